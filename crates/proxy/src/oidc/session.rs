//! Sessions: all that is known of a user, sealed in cookies. The load
//! balancer keeps nothing itself, so any of its nodes can go on with a session.

use super::seal::Sealer;
use super::text::cookie;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest value of one cookie: with its name and attributes it stays below
/// the 4 KiB that browsers keep.
const SHARD_MAX: usize = 3800;

/// Cookies of one session (User Guide, "Authenticate users": up to four).
const SHARDS_MAX: usize = 4;

/// A user's session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    /// The provider's access token.
    pub(super) access_token: String,
    /// What gets another one, if the provider gives such.
    pub(super) refresh_token: Option<String>,
    /// When the access token ends (Unix time), if the provider said so.
    pub(super) access_until: Option<i64>,
    /// What the provider says about the user.
    pub(super) claims: Map<String, Value>,
    /// When the user must log in again (Unix time).
    pub(super) until: i64,
}

impl Session {
    /// `x-amzn-oidc-identity`.
    pub(super) fn subject(&self) -> &str {
        self.claims.get("sub").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The session of a request's cookies, if it is still good.
pub(super) fn open(sealer: &Sealer, context: &str, name: &str, cookies: &[u8], now: i64) -> Option<Session> {
    let mut sealed = Vec::new();
    for shard in 0..SHARDS_MAX {
        match cookie(cookies, &format!("{name}-{shard}")) {
            Some(part) => sealed.extend_from_slice(part),
            None => break,
        }
    }
    if sealed.is_empty() {
        return None;
    }
    // What is left of a longer session that was there before follows the end mark.
    let end = sealed.iter().position(|&byte| byte == b'.').unwrap_or(sealed.len());
    let plain = sealer.open(context, &sealed[..end])?;
    let session: Session = serde_json::from_slice(&plain).ok()?;
    (now < session.until).then_some(session)
}

/// `Set-Cookie` values that keep a session; `None` when it does not fit.
pub(super) fn cookies(sealer: &Sealer, context: &str, name: &str, session: &Session, now: i64) -> Option<Vec<String>> {
    let plain = serde_json::to_vec(session).expect("plain data has a JSON form");
    let sealed = sealer.seal(context, &plain) + ".";
    let shards: Vec<&[u8]> = sealed.as_bytes().chunks(SHARD_MAX).collect();
    if shards.len() > SHARDS_MAX {
        return None;
    }
    let age = (session.until - now).max(0);
    let shard = |(number, part): (usize, &&[u8])| {
        let part: String = part.iter().map(|&byte| char::from(byte)).collect();
        format!("{name}-{number}={part}; Max-Age={age}; Path=/; Secure; HttpOnly")
    };
    Some(shards.iter().enumerate().map(shard).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn session(size: usize) -> Session {
        Session {
            access_token: "token".to_owned(),
            refresh_token: None,
            access_until: None,
            claims: Map::from_iter([("sub".to_owned(), json!("ann")), ("note".to_owned(), json!("x".repeat(size)))]),
            until: 100,
        }
    }

    fn sent_back(set: &[String]) -> Vec<u8> {
        let pairs: Vec<&str> = set.iter().filter_map(|value| value.split(';').next()).collect();
        pairs.join("; ").into_bytes()
    }

    /// A session survives in as many cookies as it needs, each of which fits,
    /// until it ends; a shorter one after a longer one is read as well.
    #[test]
    fn sessions_survive_in_cookies() {
        let sealer = Sealer::new(&[7; 32]);
        let mut jar = Vec::new();
        for (size, count) in [(0, 1), (5_000, 2), (9_500, 4), (20, 1)] {
            let session = session(size);
            let set = cookies(&sealer, "lb", "C", &session, 50).expect("it fits");
            assert_eq!(set.len(), count, "{size}");
            assert!(
                set.iter().all(|value| value.len() < 4096 && value.contains("Max-Age=50; Path=/; Secure; HttpOnly"))
            );
            jar.splice(..set.len().min(jar.len()), set.clone());
            let sent = sent_back(&jar);
            assert_eq!(open(&sealer, "lb", "C", &sent, 99), Some(session), "{size}");
            assert_eq!(open(&sealer, "lb", "C", &sent, 100), None, "over");
            assert_eq!(open(&sealer, "other", "C", &sent, 99), None, "of another action");
        }
        assert_eq!(cookies(&sealer, "lb", "C", &session(20_000), 50), None);
        assert_eq!(open(&sealer, "lb", "C", b"a=b", 50), None);
    }
}
