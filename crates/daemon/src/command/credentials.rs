//! `elastane credentials`: access keys of the installation. Those of users are
//! made and deleted over the API, as any client could; the administrator's own
//! is replaced by the daemon, which holds its file.

use crate::admin::ROTATE;
use crate::cli::Where;
use crate::client::{Daemon, ask};
use crate::command::status::table;
use crate::credentials::Credentials as Root;
use crate::data_dir::{DataDir, Problem};
use clap::{Args, Subcommand};
use elastane_domain::time::Time;
use elastane_wire::{Timestamp, iam};
use serde::Serialize;

/// Users of which keys are listed: what IAM allows an account.
const USERS_MAX: usize = 5_000;

/// What an administrator's user has.
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// How the root is called where users' names stand.
const ROOT: &str = "root";

/// Which installation, and what to do.
#[derive(Args, Clone, Debug)]
pub struct Credentials {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// List all access keys, without their secrets.
    List,
    /// Make an access key for a user, and the user if there is none. The secret is shown this once.
    Create {
        /// The user's name.
        user: String,
        /// A managed policy to attach; may come several times. Without one a new user may do nothing.
        #[arg(long = "policy", value_name = "ARN")]
        policies: Vec<String>,
        /// Attach AdministratorAccess: everything is allowed.
        #[arg(long)]
        administrator: bool,
    },
    /// Make another key in the place of one, which is worth nothing from then on.
    Rotate {
        /// The access key id; without one, the administrator's.
        key: Option<String>,
    },
    /// Delete an access key.
    Delete {
        /// The access key id.
        key: String,
    },
}

/// An access key as it is listed.
#[derive(Serialize)]
struct Listed {
    user: String,
    access_key_id: String,
    status: String,
    created: Option<String>,
    last_used: Option<String>,
}

/// A new access key.
#[derive(Serialize)]
struct Made {
    user: String,
    access_key_id: String,
    secret_access_key: String,
}

/// Does what is asked.
pub fn run(credentials: &Credentials) -> Result<(), Problem> {
    let daemon = Daemon::find(&DataDir::existing(&credentials.place.path()?)?)?;
    match &credentials.what {
        What::List => list(&daemon, credentials.json),
        What::Create { user, policies, administrator } => {
            ensure_user(&daemon, user)?;
            let wanted = policies.iter().map(String::as_str).chain(administrator.then_some(ADMINISTRATOR));
            for arn in wanted {
                attach(&daemon, user, arn)?;
            }
            make(&daemon, user)?.show(credentials.json);
            Ok(())
        }
        What::Rotate { key: None } => rotate_root(&daemon, credentials.json),
        What::Rotate { key: Some(key) } if *key == daemon.credentials.access_key => {
            rotate_root(&daemon, credentials.json)
        }
        What::Rotate { key: Some(key) } => {
            let user = owner(&daemon, key)?;
            let (before, room) = keys_of(&daemon, &user).map(|keys| (keys.len(), keys.len() < 2))?;
            // A user has two keys at most: with both there the old one goes first.
            if !room {
                delete(&daemon, &user, key)?;
            }
            let made = make(&daemon, &user)?;
            made.show(credentials.json);
            if room && before > 0 { delete(&daemon, &user, key) } else { Ok(()) }
        }
        What::Delete { key } if *key == daemon.credentials.access_key => {
            Err(Problem::new("the administrator's key cannot be deleted; `elastane credentials rotate` replaces it"))
        }
        What::Delete { key } => {
            let user = owner(&daemon, key)?;
            delete(&daemon, &user, key)?;
            println!("{key} of {user} is deleted.");
            Ok(())
        }
    }
}

impl Made {
    fn show(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string_pretty(self).expect("plain data has a JSON form"));
            return;
        }
        println!("export AWS_ACCESS_KEY_ID={}", self.access_key_id);
        println!("export AWS_SECRET_ACCESS_KEY={}", self.secret_access_key);
    }
}

fn rotate_root(daemon: &Daemon, json: bool) -> Result<(), Problem> {
    let answer = daemon.request("POST", ROTATE)?;
    let made: Root = serde_json::from_slice(&answer)
        .map_err(|err| Problem::because("cannot understand the daemon's new credentials", err))?;
    let (access_key_id, secret) = (made.access_key.clone(), made.secret_key.expose().to_string());
    Made { user: ROOT.to_string(), access_key_id, secret_access_key: secret }.show(json);
    Ok(())
}

fn ensure_user(daemon: &Daemon, name: &str) -> Result<(), Problem> {
    if users(daemon)?.iter().any(|user| user == name) {
        return Ok(());
    }
    let input = iam::CreateUserRequest { user_name: Some(name.to_string()), ..Default::default() };
    ask!(daemon, IamCreateUser, input).map(|_| ())
}

fn attach(daemon: &Daemon, user: &str, arn: &str) -> Result<(), Problem> {
    let input = iam::AttachUserPolicyRequest { user_name: Some(user.to_string()), policy_arn: Some(arn.to_string()) };
    ask!(daemon, IamAttachUserPolicy, input).map(|_| ())
}

fn make(daemon: &Daemon, user: &str) -> Result<Made, Problem> {
    let input = iam::CreateAccessKeyRequest { user_name: Some(user.to_string()) };
    let made = ask!(daemon, IamCreateAccessKey, input)?.access_key.unwrap_or_default();
    Ok(Made {
        user: user.to_string(),
        access_key_id: made.access_key_id.unwrap_or_default(),
        secret_access_key: made.secret_access_key.unwrap_or_default(),
    })
}

fn delete(daemon: &Daemon, user: &str, key: &str) -> Result<(), Problem> {
    let (user_name, access_key_id) = (Some(user.to_string()), Some(key.to_string()));
    ask!(daemon, IamDeleteAccessKey, iam::DeleteAccessKeyRequest { user_name, access_key_id }).map(|_| ())
}

/// Names of all users.
fn users(daemon: &Daemon) -> Result<Vec<String>, Problem> {
    let mut names = Vec::new();
    let mut marker = None;
    while names.len() < USERS_MAX {
        let input = iam::ListUsersRequest { marker, ..Default::default() };
        let page = ask!(daemon, IamListUsers, input)?;
        names.extend(page.users.into_iter().filter_map(|user| user.user_name));
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    Ok(names)
}

fn keys_of(daemon: &Daemon, user: &str) -> Result<Vec<iam::AccessKeyMetadata>, Problem> {
    let input = iam::ListAccessKeysRequest { user_name: Some(user.to_string()), ..Default::default() };
    Ok(ask!(daemon, IamListAccessKeys, input)?.access_key_metadata)
}

/// The user that has a key.
fn owner(daemon: &Daemon, key: &str) -> Result<String, Problem> {
    for user in users(daemon)? {
        if keys_of(daemon, &user)?.iter().any(|found| found.access_key_id.as_deref() == Some(key)) {
            return Ok(user);
        }
    }
    Err(Problem::new(format!(
        "nobody has the access key {key}: `elastane credentials list` shows those that are there"
    )))
}

fn list(daemon: &Daemon, json: bool) -> Result<(), Problem> {
    let when = |at: Option<Timestamp>| at.map(|at| Time(at.millis()).iso_seconds());
    let mut rows = vec![Listed {
        user: ROOT.to_string(),
        access_key_id: daemon.credentials.access_key.clone(),
        status: "Active".to_string(),
        created: None,
        last_used: None,
    }];
    for user in users(daemon)? {
        for key in keys_of(daemon, &user)? {
            let access_key_id = key.access_key_id.unwrap_or_default();
            let input = iam::GetAccessKeyLastUsedRequest { access_key_id: Some(access_key_id.clone()) };
            let used = ask!(daemon, IamGetAccessKeyLastUsed, input)?.access_key_last_used;
            rows.push(Listed {
                user: user.clone(),
                access_key_id,
                status: key.status.unwrap_or_default(),
                created: when(key.create_date),
                last_used: when(used.and_then(|used| used.last_used_date)),
            });
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows).expect("plain data has a JSON form"));
        return Ok(());
    }
    let cells = |row: &Listed| {
        let or_never = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_string());
        vec![
            row.user.clone(),
            row.access_key_id.clone(),
            row.status.clone(),
            or_never(&row.created),
            or_never(&row.last_used),
        ]
    };
    let mut out = String::new();
    table(&mut out, &["USER", "ACCESS KEY ID", "STATUS", "CREATED", "LAST USED"], rows.iter().map(cells).collect());
    print!("{}", out.trim_start());
    Ok(())
}
