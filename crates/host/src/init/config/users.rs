//! `users`, `groups`, their keys and passwords; and the key pair that the
//! instance was launched with. Once in the instance's life.

use super::accounts::{Accounts, NewUser, User, is_name};
use super::ssh::{self, Owner};
use super::{is_true, text, texts};
use crate::init::boot::{Boot, feed, store};
use crate::init::command::command;
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// Users that images have for logging in; the first that exists is the
/// default user. Without any, the first one is made.
const DEFAULT_USERS: [&str; 5] = ["ec2-user", "admin", "ubuntu", "debian", "fedora"];
/// Groups that a default user joins where the image has them.
const DEFAULT_GROUPS: [&str; 4] = ["adm", "wheel", "sudo", "systemd-journal"];
/// Keys of an entry of `users` that are carried out.
const KEYS: [&str; 20] = [
    "name",
    "gecos",
    "groups",
    "primary_group",
    "primary-group",
    "shell",
    "sudo",
    "ssh_authorized_keys",
    "ssh-authorized-keys",
    "lock_passwd",
    "lock-passwd",
    "homedir",
    "no_create_home",
    "no-create-home",
    "system",
    "uid",
    "passwd",
    "hashed_passwd",
    "plain_text_passwd",
    "no_user_group",
];
/// Bytes of randomness of a generated password.
const RANDOM_BYTES: usize = 15;
const SUDO_RULES: &str = "/etc/sudoers.d/90-cloud-init-users";

/// Passwords that are set when all users exist: (user, password in clear).
type Clear = Vec<(String, String)>;

/// Makes groups and users and lets the key pair log in.
pub fn apply(boot: &mut Boot<'_>) {
    let keys = boot.spec.ssh_public_key.iter().cloned().chain(texts_of_lines(&boot.key("ssh_authorized_keys")));
    let keys: Vec<String> = keys.collect();
    let configured = ["users", "user", "groups", "chpasswd", "password"].iter().any(|key| !boot.key(key).is_null());
    if (keys.is_empty() && !configured) || !boot.first_time("users_groups") {
        return;
    }
    let etc = Path::new("/etc");
    let mut accounts = match Accounts::load(etc) {
        Ok(accounts) => accounts,
        Err(err) => return boot.report.fail(&format!("users: the image's users cannot be read: {err}")),
    };
    let before = accounts.clone();
    let default = default_name(boot, &accounts);
    add_groups(boot, &mut accounts);
    let mut clear = Clear::new();
    let mut made: Vec<(Map<String, Value>, User)> = Vec::new();
    for entry in entries(boot, !keys.is_empty()) {
        let entry = if entry.as_str() == Some("default") { default_entry(boot, &default) } else { normal(&entry) };
        match entry.and_then(|entry| add(boot, &mut accounts, &entry, &mut clear).map(|user| (entry, user))) {
            Ok(done) => made.push(done),
            Err(why) => boot.report.fail(&format!("users: {why}")),
        }
    }
    passwords(boot, &mut accounts, &default, &mut clear);
    if accounts != before
        && let Err(err) = accounts.save(etc)
    {
        return boot.report.fail(&format!("users: the image's users cannot be changed: {err}"));
    }
    for (entry, user) in &made {
        if let Err(why) = settle(boot, entry, user, &default, &keys) {
            boot.report.fail(&format!("users: {why}"));
        }
    }
    let root = Owner { home: Path::new("/root"), user: 0, group: 0 };
    let options = ssh::root_options(boot, &default);
    if let Err(why) = ssh::authorize(boot, &root, &options, &keys) {
        boot.report.fail(&format!("SSH: {why}"));
    }
    set_clear(boot, &clear);
}

/// Keys never hold commas that separate them, so a text is one or more lines.
fn texts_of_lines(value: &Value) -> Vec<String> {
    match value {
        Value::String(lines) => lines.lines().map(str::to_owned).collect(),
        Value::Object(_) => Vec::new(),
        list => texts(list),
    }
}

fn default_name(boot: &Boot<'_>, accounts: &Accounts) -> String {
    let user = boot.key("user");
    let configured = user.as_str().map(str::to_owned).or_else(|| text(&user["name"]));
    let present = || DEFAULT_USERS.iter().find(|name| accounts.user(name).is_some());
    configured.unwrap_or_else(|| (*present().unwrap_or(&DEFAULT_USERS[0])).to_owned())
}

/// The entries of `users`. Without that key it is the default user, who is
/// made when there is a key for it.
fn entries(boot: &Boot<'_>, has_keys: bool) -> Vec<Value> {
    match boot.key("users") {
        Value::Null if has_keys || !boot.key("user").is_null() || !boot.key("password").is_null() => {
            vec![json!("default")]
        }
        Value::String(names) => names.split(',').map(|name| json!(name.trim())).collect(),
        Value::Array(entries) => entries,
        Value::Object(one) => one
            .into_iter()
            .map(|(name, of)| match of {
                Value::Object(mut of) => {
                    of.insert("name".to_owned(), json!(name));
                    Value::Object(of)
                }
                _ => json!(name),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// The default user as a distribution would define it, with what `user` changes.
fn default_entry(boot: &Boot<'_>, name: &str) -> Result<Map<String, Value>, String> {
    let groups: Vec<&str> = DEFAULT_GROUPS.to_vec();
    let mut entry = json!({
        "name": name, "gecos": "Default user", "default_groups": groups, "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": true,
    });
    let entry = entry.as_object_mut().expect("it is one").clone();
    let changes = boot.key("user");
    let changes = changes.as_object().cloned().unwrap_or_default();
    Ok(entry.into_iter().chain(changes).collect())
}

fn normal(entry: &Value) -> Result<Map<String, Value>, String> {
    match entry {
        Value::String(name) => Ok(Map::from_iter([("name".to_owned(), json!(name))])),
        Value::Object(entry) => Ok(entry.clone()),
        _ => Err("an entry is neither a name nor a mapping".to_owned()),
    }
}

/// A key of an entry, in its old spelling too.
fn value(entry: &Map<String, Value>, name: &str) -> Value {
    entry.get(name).or_else(|| entry.get(&name.replace('_', "-"))).cloned().unwrap_or_default()
}

fn add_groups(boot: &mut Boot<'_>, accounts: &mut Accounts) {
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    let of_map = |map: Map<String, Value>| map.into_iter().map(|(name, members)| (name, texts(&members)));
    match boot.key("groups") {
        Value::Null => {}
        Value::Object(map) => wanted.extend(of_map(map)),
        Value::Array(list) => {
            for entry in list {
                match entry {
                    Value::Object(map) => wanted.extend(of_map(map)),
                    other => wanted.extend(text(&other).map(|name| (name, Vec::new()))),
                }
            }
        }
        other => wanted.extend(texts(&other).into_iter().map(|name| (name, Vec::new()))),
    }
    for (name, members) in wanted {
        if let Err(why) = accounts.add_group(&name, None, false) {
            boot.report.fail(&format!("groups: {why}"));
            continue;
        }
        for member in members {
            match accounts.user(&member) {
                Some(_) => accounts.add_member(&name, &member),
                None => boot.report.warn(&format!("groups: {member} is no user yet and did not join {name}")),
            }
        }
    }
}

/// The user of an entry, made if need be, with groups and password.
fn add(
    boot: &mut Boot<'_>,
    accounts: &mut Accounts,
    entry: &Map<String, Value>,
    clear: &mut Clear,
) -> Result<User, String> {
    let name = text(&value(entry, "name")).ok_or("an entry has no name")?;
    for key in entry.keys().filter(|key| !KEYS.contains(&key.as_str()) && *key != "default_groups") {
        boot.report.warn(&format!("users: `{key}` of {name} is not supported and has no effect"));
    }
    let is_new = accounts.user(&name).is_none();
    let user = match accounts.user(&name) {
        Some(user) => user,
        None => make(accounts, entry, &name)?,
    };
    for group in texts(&value(entry, "groups")) {
        accounts.add_group(&group, None, false)?;
        accounts.add_member(&group, &name);
    }
    let present: Vec<String> =
        texts(&value(entry, "default_groups")).into_iter().filter(|group| accounts.group(group).is_some()).collect();
    present.iter().for_each(|group| accounts.add_member(group, &name));
    let hash = text(&value(entry, "hashed_passwd")).or_else(|| text(&value(entry, "passwd")).filter(|_| is_new));
    let locks = value(entry, "lock_passwd");
    let locks = locks.is_null() || is_true(&locks);
    if let Some(hash) = hash {
        accounts.set_password(&name, &if locks { format!("!{hash}") } else { hash })?;
    } else if let Some(password) = text(&value(entry, "plain_text_passwd")).filter(|_| !locks) {
        clear.push((name, password));
    }
    Ok(user)
}

fn make(accounts: &mut Accounts, entry: &Map<String, Value>, name: &str) -> Result<User, String> {
    let bash = ["/bin/bash", "/bin/sh"].into_iter().find(|shell| Path::new(shell).exists()).unwrap_or("/bin/sh");
    let (gecos, primary) = (text(&value(entry, "gecos")), text(&value(entry, "primary_group")));
    let primary = primary.or_else(|| is_true(&value(entry, "no_user_group")).then(|| "users".to_owned()));
    let home = text(&value(entry, "homedir")).unwrap_or_else(|| format!("/home/{name}"));
    if !home.starts_with('/') {
        return Err(format!("the home directory of {name} is not absolute"));
    }
    let id = match value(entry, "uid") {
        Value::Null => None,
        wanted => Some(text(&wanted).and_then(|id| id.parse().ok()).ok_or(format!("the uid of {name} is no number"))?),
    };
    accounts.add_user(&NewUser {
        name,
        id,
        system: is_true(&value(entry, "system")),
        gecos: gecos.as_deref().unwrap_or(""),
        home: &home,
        shell: text(&value(entry, "shell")).as_deref().unwrap_or(bash),
        primary_group: primary.as_deref(),
    })
}

/// What a user has besides its line: home directory, sudo rules, keys.
fn settle(
    boot: &mut Boot<'_>,
    entry: &Map<String, Value>,
    user: &User,
    default: &str,
    keys: &[String],
) -> Result<(), String> {
    let name = text(&value(entry, "name")).unwrap_or_default();
    let owner = Owner { home: Path::new(&user.home), user: user.id, group: user.group };
    let homeless = is_true(&value(entry, "no_create_home")) || is_true(&value(entry, "system"));
    if !homeless {
        ssh::make_home(boot, &owner)?;
    }
    sudo(&name, &value(entry, "sudo"))?;
    let mut all = texts_of_lines(&value(entry, "ssh_authorized_keys"));
    if name == default {
        all.extend(keys.iter().cloned());
    }
    if !all.is_empty() && !owner.home.is_dir() {
        return Err(format!("the keys of {name} have no home directory to be in"));
    }
    ssh::authorize(boot, &owner, "", &all)
}

/// Appends a user's rules to the file that sudo reads.
fn sudo(name: &str, rules: &Value) -> Result<(), String> {
    let rules: Vec<String> = match rules {
        Value::String(rule) => vec![rule.clone()],
        Value::Array(rules) => rules.iter().filter_map(text).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    if rules.is_empty() || !is_name(name) {
        return Ok(());
    }
    let result = (|| {
        fs::create_dir_all("/etc/sudoers.d")?;
        let main = fs::read_to_string("/etc/sudoers").unwrap_or_default();
        let includes =
            main.lines().any(|line| line.trim_start_matches(['#', '@']).starts_with("includedir /etc/sudoers.d"));
        if !includes {
            store(Path::new("/etc/sudoers"), format!("{main}\n@includedir /etc/sudoers.d\n").as_bytes(), 0o440)?;
        }
        let mut text = fs::read_to_string(SUDO_RULES).unwrap_or_else(|_| "# Made by cloud-config.\n".to_owned());
        text.push_str(&format!("\n# User rules for {name}\n"));
        rules.iter().for_each(|rule| text.push_str(&format!("{name} {}\n", rule.replace('\n', " "))));
        store(Path::new(SUDO_RULES), text.as_bytes(), 0o440)
    })();
    result.map_err(|err: std::io::Error| format!("cannot write the sudo rules of {name}: {err}"))
}

/// Whether a password is a hash of crypt's.
fn is_hash(password: &str) -> bool {
    let kinds = ["$1$", "$2a$", "$2y$", "$2b$", "$5$", "$6$", "$y$"];
    kinds.iter().any(|kind| password.starts_with(kind))
}

/// `chpasswd` and `password`.
fn passwords(boot: &mut Boot<'_>, accounts: &mut Accounts, default: &str, clear: &mut Clear) {
    let wanted = boot.key("chpasswd");
    let mut pairs: Vec<(String, String)> = Vec::new();
    pairs.extend(text(&boot.key("password")).map(|password| (default.to_owned(), password)));
    let lines = match &wanted["list"] {
        Value::String(lines) => lines.lines().map(str::to_owned).collect(),
        list => texts(list),
    };
    for line in lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, password)) => pairs.push((name.to_owned(), password.to_owned())),
            None => boot.report.fail("chpasswd: a line is not `user:password`"),
        }
    }
    for entry in wanted["users"].as_array().into_iter().flatten() {
        let (name, password) = (text(&entry["name"]), text(&entry["password"]));
        match (name, password, entry["type"].as_str().unwrap_or("hash")) {
            (Some(name), _, "RANDOM") => pairs.push((name, "RANDOM".to_owned())),
            (Some(name), Some(password), "hash" | "text") => pairs.push((name, password)),
            _ => boot.report.fail("chpasswd: an entry of users has no name, password or known type"),
        }
    }
    let expires = wanted.get("expire").is_none_or(is_true);
    for (name, password) in pairs {
        if accounts.user(&name).is_none() {
            boot.report.fail(&format!("chpasswd: there is no user {name}"));
        } else if is_hash(&password) {
            if let Err(why) = accounts.set_password(&name, &password) {
                boot.report.fail(&format!("chpasswd: {why}"));
            }
        } else {
            let random = matches!(password.as_str(), "R" | "RANDOM");
            let password = if random { random_password() } else { password };
            if random {
                boot.report.line(&format!("Set the following 'random' passwords\n{name}:{password}"));
            }
            clear.push((name.clone(), password));
        }
        if expires && accounts.user(&name).is_some() {
            accounts.expire(&name);
        }
    }
}

fn random_password() -> String {
    let mut bytes = [0u8; RANDOM_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        // The kernel has given random bytes since long before the first instance.
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Passwords in clear are hashed by the image's own chpasswd.
fn set_clear(boot: &mut Boot<'_>, clear: &Clear) {
    if clear.is_empty() {
        return;
    }
    let expired: Vec<String> =
        Accounts::load(Path::new("/etc")).map(|accounts| expired(&accounts, clear)).unwrap_or_default();
    let input: String =
        clear.iter().map(|(name, password)| format!("{name}:{}\n", password.replace('\n', ""))).collect();
    match feed(command(boot.spec, Path::new("chpasswd")), input.as_bytes()) {
        Ok(0) => {}
        Ok(code) => return boot.report.fail(&format!("chpasswd: the image's chpasswd exited with {code}")),
        Err(err) => return boot.report.fail(&format!("chpasswd: the image's chpasswd cannot be started: {err}")),
    }
    // It has set the day of the change to today.
    let expire_again = || {
        let mut accounts = Accounts::load(Path::new("/etc"))?;
        expired.iter().for_each(|name| accounts.expire(name));
        accounts.save(Path::new("/etc"))
    };
    if !expired.is_empty()
        && let Err(err) = expire_again()
    {
        boot.report.fail(&format!("chpasswd: {err}"));
    }
}

/// Of the users whose passwords are set, those that were made to change it.
fn expired(accounts: &Accounts, clear: &Clear) -> Vec<String> {
    clear.iter().map(|(name, _)| name.clone()).filter(|name| accounts.is_expired(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys may be a list or lines; a key with commas in its comment stays whole.
    #[test]
    fn keys_of_users() {
        for (value, want) in [
            (json!("ssh-rsa A a,b\nssh-rsa B"), vec!["ssh-rsa A a,b", "ssh-rsa B"]),
            (json!(["ssh-rsa A a,b"]), vec!["ssh-rsa A a,b"]),
            (json!(null), vec![]),
        ] {
            assert_eq!(texts_of_lines(&value), want);
        }
    }

    /// Random passwords are long and differ; hashes are told from passwords.
    #[test]
    fn passwords_and_hashes() {
        let (one, two) = (random_password(), random_password());
        assert!(one.len() == 20 && one != two);
        assert!(is_hash("$6$salt$hash") && is_hash("$y$j9T$x") && !is_hash("secret") && !is_hash("$HOME"));
    }
}
