//! Credentials of instances: what the metadata service hands out for the role
//! of an instance's profile, and how they are known again (ec2-imds.md 4.1).
//!
//! They are derived from a secret of the installation and from what they are
//! for, so that nothing is stored, a restart keeps them good, and they are
//! worth nothing as soon as the instance, the association or the role is gone.
//! Secrets and tokens are never logged: nothing here prints them.

use crate::credentials::random_bytes;
use crate::data_dir::{DataDir, Problem};
use crate::key_holders::same;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_api::RoleSession;
use elastane_domain::id::{AccountId, InstanceId};
use elastane_domain::secret::SecretText;
use elastane_domain::time::{Span, Time};
use elastane_engine::metadata::role::{self, Grant};
use elastane_engine::row::{Instance, Tags};
use elastane_engine::{State, View};
use elastane_wire::sigv4::AuthError;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How long credentials are good, in service time: EC2's usual six hours.
const LIFETIME: Span = Span::from_mins(6 * 60);

/// After so long there are new ones; the old stay good for another hour. EC2
/// promises five minutes (ec2-imds.md 4.1 rule 3).
const PERIOD: Span = Span::from_mins(5 * 60);

/// The longest session token that is looked at; ours have about 100 characters.
const TOKEN_BYTES_MAX: usize = 2048;

/// Where the installation's secret is kept.
const FILE: &str = "instance-credentials.json";

/// The role name that EC2 itself uses for an instance's own identity.
const OWN_ROLE: &str = "aws:ec2-instance";

/// Letters of access key ids: five bits each.
const KEY_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Bytes of a token's proof.
const PROOF_BYTES: usize = 32;

/// What credentials are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The role of the instance's profile.
    Role(Grant),
    /// The instance itself (`identity-credentials/ec2`), since it was started.
    Own(Time),
}

impl Subject {
    /// The letter that stands for it in a token.
    fn letter(&self) -> char {
        match self {
            Subject::Role(_) => 'r',
            Subject::Own(_) => 'o',
        }
    }

    /// Everything that makes other credentials when it changes.
    fn text(&self) -> String {
        match self {
            Subject::Role(grant) => format!("r\n{}\n{}", grant.role_id, grant.association),
            Subject::Own(since) => format!("o\n{}", since.millis()),
        }
    }

    fn since(&self) -> Time {
        match self {
            Subject::Role(grant) => grant.since,
            Subject::Own(since) => *since,
        }
    }
}

/// The subject of a kind of token for an instance, if there is one now.
fn subject(view: &View<'_>, instance: &Instance, letter: char) -> Option<Subject> {
    match letter {
        'r' => role::grant(view, instance).map(Subject::Role),
        'o' => role::may_act(instance).then_some(Subject::Own(instance.launched_at)),
        _ => None,
    }
}

/// Credentials for a while.
#[derive(PartialEq, Eq)]
pub struct Session {
    /// `ASIA` and sixteen characters.
    pub access_key: String,
    /// Forty characters.
    pub secret_key: String,
    /// What must come with each request.
    pub token: String,
    /// Since when they are handed out.
    pub updated: Time,
    /// From when on they are worth nothing.
    pub expires: Time,
}

impl Session {
    /// As the metadata service writes them.
    pub fn document(&self) -> String {
        format!(
            "{{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"{}\",\n  \"Type\" : \"AWS-HMAC\",\n  \
             \"AccessKeyId\" : \"{}\",\n  \"SecretAccessKey\" : \"{}\",\n  \"Token\" : \"{}\",\n  \
             \"Expiration\" : \"{}\"\n}}",
            self.updated.iso_seconds(),
            self.access_key,
            self.secret_key,
            self.token,
            self.expires.iso_seconds()
        )
    }
}

/// Who a session is.
pub struct Actor {
    /// The secret that its requests are signed with.
    pub secret_key: SecretText,
    /// Its account.
    pub account: AccountId,
    /// `arn:aws:sts::<account>:assumed-role/<role>/<instance>`.
    pub arn: String,
    /// `AROA…:<instance>`.
    pub user_id: String,
    /// The session of the role.
    pub session: RoleSession,
    /// Since when its credentials are handed out.
    pub issued_at: Time,
}

/// The installation's secret, from which all credentials of instances follow.
#[derive(Serialize, Deserialize)]
pub struct InstanceSecrets {
    secret: SecretText,
}

impl InstanceSecrets {
    /// That of the data directory, made if there is none.
    pub fn open(data: &DataDir) -> Result<InstanceSecrets, Problem> {
        if let Some(found) = data.read_json(FILE)? {
            return Ok(found);
        }
        let mut bytes = [0; 32];
        random_bytes(&mut bytes)?;
        let made = InstanceSecrets { secret: SecretText::new(STANDARD.encode(bytes)) };
        data.write_json(FILE, &made)?;
        Ok(made)
    }

    /// The credentials to hand out at `now`.
    pub fn session(&self, instance: &InstanceId, subject: &Subject, now: Time) -> Session {
        self.session_of(instance, subject, period_at(subject, now))
    }

    /// Credentials number `period` of a subject, from 0.
    fn session_of(&self, instance: &InstanceId, subject: &Subject, period: i64) -> Session {
        let purpose = format!("{instance}\n{}\n{period}", subject.text());
        let letters = self.derive("access", &purpose).into_iter().take(16);
        let key: String = letters.map(|byte| char::from(KEY_LETTERS[usize::from(byte % 32)])).collect();
        let mut token = format!("{}.{instance}.{period}", subject.letter()).into_bytes();
        token.extend_from_slice(&self.derive("token", &purpose));
        let updated = subject.since() + PERIOD * period;
        Session {
            access_key: format!("ASIA{key}"),
            secret_key: STANDARD.encode(&self.derive("secret", &purpose)[..30]),
            token: STANDARD.encode(token),
            updated,
            expires: updated + LIFETIME,
        }
    }

    fn derive(&self, what: &str, purpose: &str) -> [u8; PROOF_BYTES] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes()).expect("any key length is allowed");
        mac.update(what.as_bytes());
        mac.update(b"\n");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Whose credentials these are.
    ///
    /// # Errors
    /// `UnknownKey` when they are nobody's (any more), `TokenExpired` when
    /// their time is over.
    pub fn actor(&self, state: &State, access_key: &str, token: &str, now: Time) -> Result<Actor, AuthError> {
        let claim = Claim::read(token).ok_or(AuthError::UnknownKey)?;
        let (scope, tables) = state
            .scopes
            .iter()
            .find(|(_, tables)| tables.instances.contains_key(&claim.instance))
            .ok_or(AuthError::UnknownKey)?;
        let view = View { state, tables, scope, now };
        let instance = view.get::<Instance>(&claim.instance).ok_or(AuthError::UnknownKey)?;
        let subject = subject(&view, instance, claim.letter).ok_or(AuthError::UnknownKey)?;
        if !(0..=period_at(&subject, now)).contains(&claim.period) {
            return Err(AuthError::UnknownKey);
        }
        let session = self.session_of(&instance.id, &subject, claim.period);
        if !same(&session.token, token) || session.access_key != access_key {
            return Err(AuthError::UnknownKey);
        }
        if now >= session.expires {
            return Err(AuthError::TokenExpired);
        }
        let account = scope.account.clone();
        let (name, id) = match &subject {
            Subject::Role(grant) => (grant.role.as_str(), grant.role_id.clone()),
            Subject::Own(_) => (OWN_ROLE, format!("{account}:{OWN_ROLE}")),
        };
        Ok(Actor {
            secret_key: SecretText::new(session.secret_key),
            issued_at: session.updated,
            arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{}", instance.id),
            user_id: format!("{id}:{}", instance.id),
            account,
            session: RoleSession {
                role: name.to_string(),
                name: instance.id.to_string(),
                policies: Vec::new(),
                tags: Tags::new(),
                instance: Some(instance.id.clone()),
            },
        })
    }
}

fn period_at(subject: &Subject, now: Time) -> i64 {
    (now - subject.since()).millis().max(0) / PERIOD.millis()
}

/// What a token says of itself, before it is believed.
struct Claim {
    letter: char,
    instance: String,
    period: i64,
}

impl Claim {
    fn read(token: &str) -> Option<Claim> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = STANDARD.decode(token).ok()?;
        let text = std::str::from_utf8(bytes.get(..bytes.len().checked_sub(PROOF_BYTES)?)?).ok()?;
        let mut parts = text.split('.');
        let (letter, instance, period) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Claim { letter: letter.parse().ok()?, instance: instance.to_owned(), period: period.parse().ok()? })
    }
}

/// Credentials as items of an instance's tree.
pub fn entries(view: &View<'_>, instance: &Instance, secrets: &InstanceSecrets) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    if let Some(grant) = role::grant(view, instance) {
        let path = format!("meta-data/iam/security-credentials/{}", grant.role);
        let document = match grant.trusted {
            true => secrets.session(&instance.id, &Subject::Role(grant), view.now).document(),
            false => untrusted(&grant.role, view.now),
        };
        entries.push((path, document));
    }
    if let Some(own) = subject(view, instance, 'o') {
        let session = secrets.session(&instance.id, &own, view.now);
        let info = serde_json::json!({
            "Code": "Success",
            "LastUpdated": session.updated.iso_seconds(),
            "AccountId": view.scope.account,
        });
        let info = serde_json::to_string_pretty(&info).expect("a JSON value prints");
        let base = "meta-data/identity-credentials/ec2";
        entries.push((format!("{base}/info"), info));
        entries.push((format!("{base}/security-credentials/ec2-instance"), session.document()));
    }
    entries
}

/// The answer in place of credentials when the role does not trust EC2.
fn untrusted(role: &str, now: Time) -> String {
    let failure = serde_json::json!({
        "Code": "AssumeRoleUnauthorizedAccess",
        "Message": format!("EC2 cannot assume the role {role}: its trust policy does not allow ec2.amazonaws.com."),
        "LastUpdated": now.iso_seconds(),
    });
    serde_json::to_string_pretty(&failure).expect("a JSON value prints")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_767_261_600_000);

    fn secrets() -> InstanceSecrets {
        InstanceSecrets { secret: SecretText::new("a secret".to_string()) }
    }

    fn grant() -> Grant {
        Grant {
            role: "reader".to_string(),
            role_id: "AROA1".to_string(),
            association: "iip-assoc-1".to_string(),
            since: START,
            trusted: true,
        }
    }

    /// They last six hours, and there are new ones an hour before.
    #[test]
    fn rotation() {
        let (secrets, id, role) = (secrets(), InstanceId::from("i-1"), Subject::Role(grant()));
        let at = |mins| secrets.session(&id, &role, START + Span::from_mins(mins));
        assert!(at(0) == at(299) && at(0) != at(300));
        assert_eq!(at(0).expires, START + Span::from_mins(360));
        assert_eq!(at(300).expires, START + Span::from_mins(660));
        // A clock that ran back does not break anything.
        assert!(at(-5) == at(0));
    }

    /// They look like AWS's, and the document is the one that SDKs parse.
    #[test]
    fn form() {
        let session = secrets().session(&InstanceId::from("i-1"), &Subject::Role(grant()), START);
        assert_eq!((session.access_key.len(), session.secret_key.len()), (20, 40));
        let document: serde_json::Value = serde_json::from_str(&session.document()).unwrap();
        assert_eq!(document["Expiration"], "2026-01-01T16:00:00Z");
        assert_eq!(document["AccessKeyId"], session.access_key);
        assert_eq!(document["Type"], "AWS-HMAC");
    }

    /// Each thing that they depend on makes others; the same things make the same.
    #[test]
    fn what_they_depend_on() {
        let id = InstanceId::from("i-1");
        let usual = secrets().session(&id, &Subject::Role(grant()), START);
        assert!(usual == secrets().session(&id, &Subject::Role(grant()), START));
        let others = [
            secrets().session(&InstanceId::from("i-2"), &Subject::Role(grant()), START),
            secrets().session(&id, &Subject::Role(Grant { role_id: "AROA2".to_string(), ..grant() }), START),
            secrets().session(&id, &Subject::Role(Grant { association: "b".to_string(), ..grant() }), START),
            secrets().session(&id, &Subject::Own(START), START),
            InstanceSecrets { secret: SecretText::new("another".to_string()) }.session(
                &id,
                &Subject::Role(grant()),
                START,
            ),
        ];
        for other in others {
            assert_ne!(usual.access_key, other.access_key);
            assert_ne!(usual.secret_key, other.secret_key);
            assert_ne!(usual.token, other.token);
        }
    }

    /// Tokens that nobody made are nobody's, whatever they hold.
    #[test]
    fn foreign_tokens() {
        let good = secrets().session(&InstanceId::from("i-1"), &Subject::Role(grant()), START).token;
        let claim = Claim::read(&good).unwrap();
        assert_eq!((claim.letter, claim.instance.as_str(), claim.period), ('r', "i-1", 0));
        for bad in ["", "x", "====", &STANDARD.encode([0; 31]), &STANDARD.encode([0xff; 64]), &"A".repeat(4000)] {
            assert!(Claim::read(bad).is_none(), "{bad}");
        }
        let state = State::default();
        let actor = secrets().actor(&state, "ASIAX", &good, START);
        assert!(matches!(actor, Err(AuthError::UnknownKey)));
    }
}
