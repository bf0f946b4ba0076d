//! Who may call, and what: signatures are checked against the installation's
//! credentials and those of instances, or, with `--auth off`, taken at their
//! word.

use crate::clock::wall_ms;
use crate::credentials::{ACCOUNT, Credentials};
use crate::instance_credentials::{Actor, InstanceSecrets};
use crate::shell::Shell;
use elastane_api::{Caller, Origin, Principal};
use elastane_domain::id::{AccountId, Region};
use elastane_wire::sigv4::{self, AuthError, KeyCache, Secrets, claimed_key, session_token, verify};
use elastane_wire::{ApiError, HttpRequest, ReplyForm, Service};
use std::sync::{Arc, Mutex};

/// Region names are host labels; the longest real one has 14 characters.
const REGION_MAX: usize = 32;

/// The service name that our own paths are signed with.
pub const OWN_SERVICE: &str = "elastane";

/// How callers are known.
pub enum Auth {
    /// By their signature.
    On {
        /// The installation's credentials.
        credentials: Credentials,
        /// Those of instances.
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

/// The credentials of instances, as far as the rows say that they are good.
pub struct Sessions {
    /// Where the rows are.
    pub shell: Shell,
    /// What the credentials are derived from.
    pub secrets: Arc<InstanceSecrets>,
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
    /// Checks an AWS request.
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
    /// credentials may make it.
    pub fn check_own(&self, request: &HttpRequest<'_>) -> bool {
        self.principal(request, Some(OWN_SERVICE)).is_ok_and(|granted| granted.caller.principal == Principal::Root)
    }

    fn principal(&self, request: &HttpRequest<'_>, service: Option<&str>) -> Result<Granted, AuthError> {
        match self {
            Auth::On { credentials, sessions, cache } => match sessions.actor(request)? {
                Some((access_key, actor)) => {
                    let one = OneKey { access_key: &access_key, secret_key: &actor.secret_key };
                    let mut cache = cache.lock().expect("verification does not panic");
                    let principal = verify(request, wall_ms() / 1000, service, &one, &mut cache)?;
                    Ok(acting(principal, actor))
                }
                None => {
                    let mut cache = cache.lock().expect("verification does not panic");
                    let principal = verify(request, wall_ms() / 1000, service, credentials, &mut cache)?;
                    Ok(granted(principal, &credentials.account))
                }
            },
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

impl Secrets for Credentials {
    fn secret(&self, access_key_id: &str) -> Option<&str> {
        (access_key_id == self.access_key).then_some(self.secret_key.as_str())
    }
}

impl Sessions {
    /// Who a request says it is, if it says that it is an instance's; its
    /// signature is still to be verified.
    ///
    /// # Errors
    /// `UnknownKey` and `TokenExpired`, as for a token that is not or no
    /// longer good.
    fn actor(&self, request: &HttpRequest<'_>) -> Result<Option<(String, Actor)>, AuthError> {
        let Some(claimed) = claimed_key(request).filter(|claimed| claimed.access_key_id.starts_with(SESSION_PREFIX))
        else {
            return Ok(None);
        };
        let token = session_token(request).ok_or(AuthError::UnknownKey)?;
        let engine = self.shell.engine();
        let now = self.shell.clock().now();
        let actor = self.secrets.actor(engine.state(), &claimed.access_key_id, &token, now)?;
        Ok(Some((claimed.access_key_id, actor)))
    }
}

/// The secret of one access key.
struct OneKey<'a> {
    access_key: &'a str,
    secret_key: &'a str,
}

impl Secrets for OneKey<'_> {
    fn secret(&self, access_key_id: &str) -> Option<&str> {
        (access_key_id == self.access_key).then_some(self.secret_key)
    }
}

fn granted(principal: sigv4::Principal, account: &AccountId) -> Granted {
    let caller = Caller::root(account, &principal.access_key_id);
    Granted { caller, region: Region::from(principal.region) }
}

fn acting(principal: sigv4::Principal, actor: Actor) -> Granted {
    let Actor { account, arn, user_id, session, .. } = actor;
    let caller = Caller {
        account,
        access_key: principal.access_key_id,
        arn,
        user_id,
        principal: Principal::Role(session),
        origin: Origin::default(),
    };
    Granted { caller, region: Region::from(principal.region) }
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
