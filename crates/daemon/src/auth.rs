//! Who may call, and what: signatures are checked against the installation's
//! credentials, access keys of users, temporary keys and those of instances,
//! or, with `--auth off`, taken at their word.

use crate::clock::wall_ms;
use crate::credentials::{ACCOUNT, Credentials};
use crate::instance_credentials::{Actor, InstanceSecrets};
use crate::key_holders::{self, Holder};
use crate::key_uses::KeyUses;
use crate::shell::Shell;
use elastane_api::{Caller, KeyUse, Origin, Principal};
use elastane_domain::id::{AccountId, Region};
use elastane_domain::secret::SecretText;
use elastane_wire::sigv4::{self, AuthError, KeyCache, Secrets, claimed_key, session_token, verify};
use elastane_wire::{ApiError, HttpRequest, ReplyForm, Service};
use std::sync::{Arc, Mutex, RwLock};

/// Region names are host labels; the longest real one has 14 characters.
const REGION_MAX: usize = 32;

/// The service name that our own paths are signed with.
pub const OWN_SERVICE: &str = "elastane";

/// How callers are known.
pub enum Auth {
    /// By their signature.
    On {
        /// The installation's credentials: its root's.
        credentials: RwLock<Credentials>,
        /// Everybody else's.
        sessions: Sessions,
        /// Signing keys derived from them.
        cache: Mutex<KeyCache>,
    },
    /// By what they say. For tests and emulator-style use on loopback.
    Off {
        /// The region of requests that name none.
        region: Region,
    },
}

/// Access key ids of sessions begin so.
const SESSION_PREFIX: &str = "ASIA";

/// Credentials of users, roles and instances, as far as the rows say that they
/// are good.
pub struct Sessions {
    /// Where the rows are.
    pub shell: Shell,
    /// What the credentials of instances are derived from.
    pub secrets: Arc<InstanceSecrets>,
    /// When keys were last used.
    pub uses: Arc<KeyUses>,
}

/// Who sent a request, and to which region.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    /// Who calls.
    pub caller: Caller,
    /// The region that it was signed for.
    pub region: Region,
}

impl Auth {
    /// Checks an AWS request. Where it came from is still to be said of the caller.
    ///
    /// # Errors
    /// Why it is not let in, in the words of the service that it addresses.
    pub fn check(&self, request: &HttpRequest<'_>, form: ReplyForm) -> Result<Granted, ApiError> {
        let name = form.service.map(|service: Service| service.info().signing_name);
        let granted = self.principal(request, name).map_err(|err| err.into_error(form))?;
        let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if granted.region.as_str().len() > REGION_MAX || !granted.region.as_str().bytes().all(label) {
            return Err(AuthError::Incomplete("The region of the credential scope is no region's name.".to_string())
                .into_error(form));
        }
        Ok(granted)
    }

    /// Checks a request to one of our own paths; only the installation's own
    /// credentials may make it, not sessions made with them.
    pub fn check_own(&self, request: &HttpRequest<'_>) -> bool {
        let granted = self.principal(request, Some(OWN_SERVICE));
        granted.is_ok_and(|Granted { caller, .. }| caller.principal == Principal::Root && caller.issued_at.is_none())
    }

    /// Puts other credentials in the place of the installation's.
    pub fn replace(&self, made: Credentials) {
        match self {
            Auth::On { credentials, .. } => *credentials.write().expect("replacing does not panic") = made,
            Auth::Off { .. } => {}
        }
    }

    fn principal(&self, request: &HttpRequest<'_>, service: Option<&str>) -> Result<Granted, AuthError> {
        match self {
            Auth::On { credentials, sessions, cache } => {
                let claimed = claimed_key(request).map(|claimed| claimed.access_key_id).unwrap_or_default();
                let root = credentials.read().expect("replacing does not panic").clone();
                let holder = if claimed == root.access_key {
                    Some(Holder {
                        secret: root.secret_key,
                        caller: Caller::root(&root.account, &root.access_key),
                        expired: false,
                    })
                } else {
                    sessions.holder(request, &root.account, &claimed)?
                };
                // A request without a signature, or with a broken one, is told so by the verification.
                let one = OneKey { access_key: &claimed, secret_key: holder.as_ref().map(|holder| &holder.secret) };
                let verified = {
                    let mut cache = cache.lock().expect("verification does not panic");
                    verify(request, wall_ms() / 1000, service, &one, &mut cache)?
                };
                let holder = holder.ok_or(AuthError::UnknownKey)?;
                if holder.expired {
                    return Err(AuthError::TokenExpired);
                }
                sessions.note(&verified, &holder.caller);
                Ok(Granted { caller: holder.caller, region: Region::from(verified.region) })
            }
            Auth::Off { region } => Ok(match claimed_key(request) {
                Some(principal) => {
                    let account = account_of_key(&principal.access_key_id);
                    granted(principal, &account)
                }
                None => {
                    let caller = Caller::root(&AccountId::from(ACCOUNT), "anonymous");
                    Granted { caller, region: region.clone() }
                }
            }),
        }
    }
}

impl Sessions {
    /// Whose key a request claims; its signature is still to be verified.
    /// `None` for a key that nobody has.
    ///
    /// # Errors
    /// `UnknownKey` and `TokenExpired`, as for a key or token that is not or
    /// no longer good.
    fn holder(
        &self,
        request: &HttpRequest<'_>,
        account: &AccountId,
        access_key: &str,
    ) -> Result<Option<Holder>, AuthError> {
        let token = session_token(request);
        let engine = self.shell.engine();
        let now = self.shell.clock().now();
        if let Some(holder) = key_holders::find(&engine, account, (access_key, token.as_deref()), now)? {
            return Ok(Some(holder));
        }
        if !access_key.starts_with(SESSION_PREFIX) {
            return Ok(None);
        }
        let token = token.ok_or(AuthError::UnknownKey)?;
        self.secrets.actor(engine.state(), access_key, &token, now).map(|actor| Some(of_instance(access_key, actor)))
    }

    /// Remembers that a key was used, or a role, whose keys come and go.
    fn note(&self, verified: &sigv4::Principal, caller: &Caller) {
        let (region, service) = (verified.region.clone(), verified.service.clone());
        let used = KeyUse { at: self.shell.clock().now(), region, service };
        match &caller.principal {
            Principal::Root | Principal::User(_) => self.uses.note(&verified.access_key_id, used),
            Principal::Role(_) => {
                let id = caller.user_id.split(':').next().unwrap_or_default();
                self.uses.note(id, used);
            }
        }
    }
}

/// The secret of one access key; none for a key that nobody has.
struct OneKey<'a> {
    access_key: &'a str,
    secret_key: Option<&'a SecretText>,
}

impl Secrets for OneKey<'_> {
    fn secret(&self, access_key_id: &str) -> Option<&str> {
        self.secret_key.filter(|_| access_key_id == self.access_key).map(SecretText::expose)
    }
}

fn granted(principal: sigv4::Principal, account: &AccountId) -> Granted {
    let caller = Caller::root(account, &principal.access_key_id);
    Granted { caller, region: Region::from(principal.region) }
}

/// A session that an instance has through its metadata.
fn of_instance(access_key: &str, actor: Actor) -> Holder {
    let Actor { secret_key, account, arn, user_id, session, issued_at } = actor;
    let caller = Caller {
        account,
        access_key: access_key.to_string(),
        arn,
        user_id,
        principal: Principal::Role(session),
        issued_at: Some(issued_at),
        origin: Origin::default(),
    };
    Holder { secret: secret_key, caller, expired: false }
}

/// With `--auth off` an access key of twelve digits names an account, so that
/// test suites can keep apart; every other key is the default account's.
fn account_of_key(key: &str) -> AccountId {
    let digits = key.len() == 12 && key.bytes().all(|b| b.is_ascii_digit());
    AccountId::from(if digits { key } else { ACCOUNT })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only twelve digits name an account.
    #[test]
    fn accounts_of_keys() {
        for (key, account) in [("111122223333", "111122223333"), ("test", ACCOUNT), ("11112222333x", ACCOUNT)] {
            assert_eq!(account_of_key(key).as_str(), account);
        }
    }
}
