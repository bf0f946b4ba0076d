//! Who may do what: each call is checked against the caller's policies before
//! its handler runs.

mod refusal;

pub use refusal::refusal;

use crate::{Caller, Principal};
use elastane_engine::View;
use elastane_wire::{ApiError, Input, Operation};

/// Refuses an operation that the caller may not carry out.
///
/// # Errors
/// The refusal in the words of the service ([`refusal`]).
pub fn permit(_view: &View<'_>, caller: &Caller, input: &Input) -> Result<(), ApiError> {
    // GetCallerIdentity needs no permission (STS API Reference).
    if caller.principal == Principal::Root || input.operation() == Operation::StsGetCallerIdentity {
        return Ok(());
    }
    let action = action(input.operation());
    Err(refusal(
        caller,
        input.operation(),
        &action,
        &format!("because no identity-based policy allows the {action} action"),
    ))
}

/// The operation's name in policies: `ec2:RunInstances`.
pub fn action(operation: Operation) -> String {
    format!("{}:{}", policy_prefix(operation.service()), operation.name())
}

/// What stands before the colon of a service's actions in policies.
fn policy_prefix(service: elastane_wire::Service) -> &'static str {
    match service {
        elastane_wire::Service::CloudWatch => "cloudwatch",
        other => other.info().signing_name,
    }
}
