//! Whose an access key is: the rows behind long-term and temporary keys.
//! Nothing here is authenticated yet: who holds a key is who it claims to be
//! once the signature is verified with [`Holder::secret`].

use aws_lc_rs::constant_time::verify_slices_are_equal;
use elastane_api::{Caller, Origin, Principal, RoleSession};
use elastane_domain::id::AccountId;
use elastane_domain::secret::SecretText;
use elastane_domain::time::Time;
use elastane_engine::row::{self, IAM_REGION, Role, TemporaryKey, User};
use elastane_engine::{Engine, Scope, View, identity};
use elastane_wire::sigv4::AuthError;

/// Who a key stands for.
pub struct Holder {
    /// The secret that its requests are signed with.
    pub secret: SecretText,
    /// Who calls, when they are.
    pub caller: Caller,
    /// Whether its time is over: told to nobody but who can sign with it.
    pub expired: bool,
}

/// The holder of a key of the account; `None` when there is no row of it.
///
/// # Errors
/// `UnknownKey` for a key that is not good: inactive, without its token or
/// with another's, or of somebody who is gone.
pub fn find(
    engine: &Engine,
    account: &AccountId,
    (access_key, token): (&str, Option<&str>),
    now: Time,
) -> Result<Option<Holder>, AuthError> {
    let scope = Scope::new(account.as_str(), IAM_REGION);
    let Some(view) = engine.view(&scope, now) else { return Ok(None) };
    if let Some(key) = identity::access_key(&view, access_key) {
        let good = key.active && token.is_none_or(str::is_empty);
        let user = identity::user(&view, &key.user).filter(|_| good).ok_or(AuthError::UnknownKey)?;
        let caller = of_user(&view, user, access_key, None);
        return Ok(Some(Holder { secret: key.secret.clone(), caller, expired: false }));
    }
    match identity::temporary_key(&view, access_key) {
        None => Ok(None),
        Some(key) => {
            let right = token.is_some_and(|token| same(key.token.expose(), token));
            let caller = temporary(&view, key).filter(|_| right).ok_or(AuthError::UnknownKey)?;
            Ok(Some(Holder { secret: key.secret.clone(), caller, expired: now >= key.expires_at }))
        }
    }
}

/// What a temporary key stands for, as long as that is there.
fn temporary(view: &View<'_>, key: &TemporaryKey) -> Option<Caller> {
    let issued_at = Some(key.created_at);
    match &key.holder {
        row::Holder::Root => Some(Caller { issued_at, ..Caller::root(&view.scope.account, &key.id) }),
        row::Holder::User { id, name } => {
            let named = identity::user(view, name).filter(|user| user.id == *id);
            // It may have another name by now.
            let user = named.or_else(|| view.all::<User>().find(|user| user.id == *id))?;
            Some(of_user(view, user, &key.id, issued_at))
        }
        row::Holder::Role { id, name, session, policies, tags, .. } => {
            let role: &Role = identity::role(view, name).filter(|role| role.id == *id)?;
            let account = view.scope.account.clone();
            Some(Caller {
                access_key: key.id.clone(),
                arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
                user_id: format!("{}:{session}", role.id),
                principal: Principal::Role(RoleSession {
                    role: name.clone(),
                    name: session.clone(),
                    policies: policies.clone(),
                    tags: tags.clone(),
                    instance: None,
                }),
                issued_at,
                origin: Origin::default(),
                account,
            })
        }
    }
}

fn of_user(view: &View<'_>, user: &User, access_key: &str, issued_at: Option<Time>) -> Caller {
    Caller {
        account: view.scope.account.clone(),
        access_key: access_key.to_string(),
        arn: identity::user_arn(&view.scope.account, user),
        user_id: user.id.clone(),
        principal: Principal::User(user.name.clone()),
        issued_at,
        origin: Origin::default(),
    }
}

/// Whether two secrets, or their digests, are the same, in a time that depends
/// on their length only.
pub fn same(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> bool {
    verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_engine::Config;
    use elastane_engine::row::{AccessKey, Permissions, PolicyText, Tags};

    const NOW: Time = Time(1_767_261_600_000);

    fn user(id: &str, name: &str) -> User {
        User {
            name: name.to_string(),
            id: id.to_string(),
            path: "/team/".to_string(),
            created_at: NOW,
            tags: Tags::new(),
            permissions: Permissions::default(),
            boundary: None,
            groups: Default::default(),
        }
    }

    fn role(id: &str) -> Role {
        Role {
            name: "app".to_string(),
            id: id.to_string(),
            path: "/".to_string(),
            description: None,
            trust_policy: PolicyText::new("{}"),
            session_secs_max: 3600,
            created_at: NOW,
            tags: Tags::new(),
            permissions: Permissions::default(),
            boundary: None,
        }
    }

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_string())
    }

    fn temporary(id: &str, holder: row::Holder) -> TemporaryKey {
        let (created_at, expires_at) = (NOW, Time(NOW.millis() + 1000));
        TemporaryKey { id: id.to_string(), secret: secret("s"), token: secret("token"), holder, created_at, expires_at }
    }

    /// Users ann and cid, a role, and a key of each kind.
    fn engine() -> Engine {
        let mut engine = Engine::open(Config::default(), 7, Vec::new()).expect("no rows");
        let done: Result<(), ()> = engine.transact(&Scope::new("000000000000", IAM_REGION), NOW, |tx| {
            tx.put(user("AIDAANN", "ann"));
            tx.put(user("AIDACID", "cid"));
            tx.put(role("AROA2"));
            for (id, user, active) in [("AKIAANN", "ann", true), ("AKIAOFF", "ann", false), ("AKIAGONE", "bob", true)] {
                let (id, user) = (id.to_string(), user.to_string());
                tx.put(AccessKey { id, user, secret: secret("s"), active, created_at: NOW });
            }
            tx.put(temporary("ASIAROOT", row::Holder::Root));
            let of_user = |id: &str, name: &str| row::Holder::User { id: id.to_string(), name: name.to_string() };
            tx.put(temporary("ASIAANN", of_user("AIDAANN", "ann")));
            tx.put(temporary("ASIARENAMED", of_user("AIDACID", "bob")));
            tx.put(temporary("ASIAREMADE", of_user("AIDAOLD", "ann")));
            let of_role = |id: &str| row::Holder::Role {
                id: id.to_string(),
                name: "app".to_string(),
                session: "s1".to_string(),
                policies: Vec::new(),
                tags: Tags::new(),
                chained: false,
                transitive: Default::default(),
                source_identity: None,
            };
            tx.put(temporary("ASIAROLE", of_role("AROA2")));
            tx.put(temporary("ASIAOLDROLE", of_role("AROA1")));
            Ok(())
        });
        done.expect("the change cannot fail");
        engine
    }

    /// Whose each key is: nobody's when it is inactive, when its holder is gone
    /// or another one by the same name, or when its token is not the right one.
    #[test]
    fn holders() {
        let engine = engine();
        for (key, token, want) in [
            ("AKIAANN", None, Ok(Some("arn:aws:iam::000000000000:user/team/ann"))),
            ("AKIAANN", Some("token"), Err(AuthError::UnknownKey)),
            ("AKIAOFF", None, Err(AuthError::UnknownKey)),
            ("AKIAGONE", None, Err(AuthError::UnknownKey)),
            ("AKIANONE", None, Ok(None)),
            ("ASIAROOT", Some("token"), Ok(Some("arn:aws:iam::000000000000:root"))),
            ("ASIAROOT", Some("tokem"), Err(AuthError::UnknownKey)),
            ("ASIAROOT", None, Err(AuthError::UnknownKey)),
            ("ASIAANN", Some("token"), Ok(Some("arn:aws:iam::000000000000:user/team/ann"))),
            ("ASIARENAMED", Some("token"), Ok(Some("arn:aws:iam::000000000000:user/team/cid"))),
            ("ASIAREMADE", Some("token"), Err(AuthError::UnknownKey)),
            ("ASIAROLE", Some("token"), Ok(Some("arn:aws:sts::000000000000:assumed-role/app/s1"))),
            ("ASIAOLDROLE", Some("token"), Err(AuthError::UnknownKey)),
        ] {
            let got = find(&engine, &"000000000000".into(), (key, token), NOW);
            let got = got.map(|holder| holder.map(|holder| holder.caller.arn));
            assert_eq!(got.as_ref().map(Option::as_deref), want.as_ref().copied(), "{key} {token:?}");
        }
    }

    /// Secrets are the same when all of their bytes are.
    #[test]
    fn same_secrets() {
        for (one, other, want) in [("", "", true), ("ab", "ab", true), ("ab", "aB", false), ("ab", "abc", false)] {
            assert_eq!(same(one, other), want, "{one} {other}");
        }
    }

    /// A temporary key ends at its time, and not before.
    #[test]
    fn expiry() {
        let engine = engine();
        for (millis, expired) in [(0, false), (999, false), (1000, true)] {
            let now = Time(NOW.millis() + millis);
            let holder = find(&engine, &"000000000000".into(), ("ASIAROOT", Some("token")), now).unwrap().unwrap();
            assert_eq!((holder.expired, holder.caller.issued_at), (expired, Some(NOW)), "{millis}");
        }
    }
}
