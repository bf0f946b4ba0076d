//! Who may call, and what: signatures are checked against the installation's
//! credentials and those of instances, or, with `--auth off`, taken at their
//! word.

use crate::clock::wall_ms;
use crate::credentials::{ACCOUNT, Credentials};
use crate::instance_credentials::{Actor, InstanceSecrets};
use crate::shell::Shell;
use elastane_api::Caller;
use elastane_domain::id::{AccountId, Region};
use elastane_wire::sigv4::{AuthError, KeyCache, Principal, Secrets, claimed_key, session_token, verify};
use elastane_wire::{ApiError, HttpRequest, Operation, Protocol, ReplyForm, Service};
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

/// What a request may do.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    /// Who calls.
    pub caller: Caller,
    /// The region that it was signed for.
    pub region: Region,
    /// Whether it may do everything in its account. Policies of roles are not
    /// evaluated, so an instance may only ask who it is.
    pub root: bool,
}

impl Granted {
    /// Refuses an operation that the caller may not carry out, in the words of
    /// the service.
    pub fn permit(&self, operation: Operation, form: ReplyForm) -> Result<(), ApiError> {
        // GetCallerIdentity needs no permission (STS API Reference).
        if self.root || operation == Operation::StsGetCallerIdentity {
            return Ok(());
        }
        let action = format!("{}:{}", policy_prefix(operation.service()), operation.name());
        let text = format!(
            "User: {} is not authorized to perform: {action} because no identity-based policy allows the {action} action",
            self.caller.arn
        );
        let compatible = operation.service().info().query_compatible;
        Err(match form.protocol {
            Protocol::Ec2 => {
                let text = format!("You are not authorized to perform this operation. {text}");
                ApiError::new("UnauthorizedOperation", text).with_status(403)
            }
            Protocol::Json10 | Protocol::Json11 | Protocol::Cbor if !compatible => {
                ApiError::new("AccessDeniedException", text)
            }
            Protocol::Json10 | Protocol::Json11 | Protocol::Cbor | Protocol::Query | Protocol::RestXml => {
                ApiError::new("AccessDenied", text).with_status(403)
            }
        })
    }
}

/// What stands before the colon of a service's actions in policies.
fn policy_prefix(service: Service) -> &'static str {
    match service {
        Service::CloudWatch => "cloudwatch",
        other => other.info().signing_name,
    }
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
        self.principal(request, Some(OWN_SERVICE)).is_ok_and(|granted| granted.root)
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
                    Granted { caller, region: region.clone(), root: true }
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

fn granted(principal: Principal, account: &AccountId) -> Granted {
    let caller = Caller::root(account, &principal.access_key_id);
    Granted { caller, region: Region::from(principal.region), root: true }
}

fn acting(principal: Principal, actor: Actor) -> Granted {
    let Actor { account, arn, user_id, .. } = actor;
    let caller = Caller { account, access_key: principal.access_key_id, arn, user_id };
    Granted { caller, region: Region::from(principal.region), root: false }
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

    /// An instance may ask who it is and nothing else; the refusal is in the
    /// words of each service.
    #[test]
    fn what_instances_may_do() {
        let caller = Caller {
            arn: "arn:aws:sts::000000000000:assumed-role/reader/i-1".to_string(),
            ..Caller::root(&AccountId::from(ACCOUNT), "ASIA")
        };
        let granted = |root| Granted { caller: caller.clone(), region: Region::from("us-east-1"), root };
        let form = |operation: Operation, protocol| ReplyForm {
            protocol,
            service: Some(operation.service()),
            query_mode: false,
        };
        for (operation, protocol, want) in [
            (Operation::StsGetCallerIdentity, Protocol::Query, None),
            (Operation::Ec2DescribeInstances, Protocol::Ec2, Some(("UnauthorizedOperation", 403))),
            (Operation::AutoScalingDescribeAutoScalingGroups, Protocol::Query, Some(("AccessDenied", 403))),
            (Operation::SsmSendCommand, Protocol::Json11, Some(("AccessDeniedException", 400))),
            (Operation::CloudWatchDescribeAlarms, Protocol::Cbor, Some(("AccessDenied", 403))),
        ] {
            let form = form(operation, protocol);
            assert_eq!(granted(true).permit(operation, form), Ok(()));
            let refused = granted(false).permit(operation, form).err();
            assert_eq!(refused.as_ref().map(|err| (err.code.as_ref(), err.status)), want, "{operation:?}");
            if let Some(err) = refused {
                let action = format!("{}:{}", policy_prefix(operation.service()), operation.name());
                assert!(err.message.contains(&caller.arn) && err.message.contains(&action), "{}", err.message);
            }
        }
    }

    /// Only twelve digits name an account.
    #[test]
    fn accounts_of_keys() {
        for (key, account) in [("111122223333", "111122223333"), ("test", ACCOUNT), ("11112222333x", ACCOUNT)] {
            assert_eq!(account_of_key(key).as_str(), account);
        }
    }
}
