//! Who may call: signatures are checked against the installation's
//! credentials, or, with `--auth off`, taken at their word.

use crate::clock::wall_ms;
use crate::credentials::{ACCOUNT, Credentials};
use elastane_domain::id::{AccountId, Region};
use elastane_wire::sigv4::{AuthError, KeyCache, Principal, Secrets, claimed_key, verify};
use elastane_wire::{ApiError, HttpRequest, ReplyForm, Service};
use std::sync::Mutex;

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
        /// Signing keys derived from them.
        cache: Mutex<KeyCache>,
    },
    /// By what they say. For tests and emulator-style use on loopback.
    Off {
        /// The region of requests that name none.
        region: Region,
    },
}

/// What a request may do.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    /// The access key that it was signed with, or claims.
    pub access_key: String,
    /// The account that it acts in.
    pub account: AccountId,
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
        self.principal(request, Some(OWN_SERVICE)).is_ok()
    }

    fn principal(&self, request: &HttpRequest<'_>, service: Option<&str>) -> Result<Granted, AuthError> {
        match self {
            Auth::On { credentials, cache } => {
                let mut cache = cache.lock().expect("verification does not panic");
                let principal = verify(request, wall_ms() / 1000, service, credentials, &mut cache)?;
                Ok(granted(principal, &credentials.account))
            }
            Auth::Off { region } => Ok(match claimed_key(request) {
                Some(principal) => {
                    let account = account_of_key(&principal.access_key_id);
                    granted(principal, &account)
                }
                None => Granted {
                    access_key: "anonymous".to_string(),
                    account: AccountId::from(ACCOUNT),
                    region: region.clone(),
                },
            }),
        }
    }
}

impl Secrets for Credentials {
    fn secret(&self, access_key_id: &str) -> Option<&str> {
        (access_key_id == self.access_key).then_some(self.secret_key.as_str())
    }
}

fn granted(principal: Principal, account: &AccountId) -> Granted {
    Granted { access_key: principal.access_key_id, account: account.clone(), region: Region::from(principal.region) }
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
