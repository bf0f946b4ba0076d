//! IAM's errors: each code, status and text written once (operations.md 2).

use elastane_domain::policy::Malformed;
use elastane_wire::ApiError;

/// A name that names nothing: `NoSuchEntity`. The kind begins the sentence.
pub fn no_such(kind: &str, name: &str) -> ApiError {
    no_such_text(format!("{kind} {name} cannot be found."))
}

/// `NoSuchEntity` with a text of its own.
pub fn no_such_text(message: String) -> ApiError {
    ApiError::new("NoSuchEntity", message).with_status(404)
}

/// An ARN that is no managed policy's.
pub fn no_such_policy(arn: &str) -> ApiError {
    no_such_text(format!("Policy {arn} was not found."))
}

/// An ARN of a policy that cannot be attached, as there is none.
pub fn not_attachable(arn: &str) -> ApiError {
    no_such_text(format!("Policy {arn} does not exist or is not attachable."))
}

/// A version that a managed policy does not have.
pub fn no_such_version(arn: &str, version: &str) -> ApiError {
    no_such_text(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

/// A name that is taken: `EntityAlreadyExists`.
pub fn exists(kind: &str, name: &str) -> ApiError {
    exists_text(format!("{kind} with name {name} already exists."))
}

/// `EntityAlreadyExists` with a text of its own.
pub fn exists_text(message: String) -> ApiError {
    ApiError::new("EntityAlreadyExists", message).with_status(409)
}

/// What others hang on cannot go: `DeleteConflict`.
pub fn conflict(message: &str) -> ApiError {
    ApiError::new("DeleteConflict", message).with_status(409)
}

/// A quota is used up: `LimitExceeded`.
pub fn limit(message: String) -> ApiError {
    ApiError::new("LimitExceeded", message).with_status(409)
}

/// A quota of IAM's own name is used up.
pub fn quota(name: &str, max: usize) -> ApiError {
    limit(format!("Cannot exceed quota for {name}: {max}"))
}

/// A policy that breaks the grammar: `MalformedPolicyDocument`.
pub fn malformed(err: Malformed) -> ApiError {
    ApiError::new("MalformedPolicyDocument", err.0)
}

/// A member's value is not allowed: `ValidationError`.
pub fn invalid(message: String) -> ApiError {
    ApiError::new("ValidationError", message)
}

/// A member's value makes no sense here: `InvalidInput`.
pub fn input(message: String) -> ApiError {
    ApiError::new("InvalidInput", message)
}

/// What AWS alone may change: `UnmodifiableEntity`.
pub fn protected(role: &str) -> ApiError {
    let message =
        format!("Cannot perform the operation on the protected role '{role}' - this role is only modifiable by AWS");
    ApiError::new("UnmodifiableEntity", message)
}

/// A policy that belongs to AWS or to another account: `AccessDenied`.
pub fn foreign_policy() -> ApiError {
    ApiError::new("AccessDenied", "Policy is outside your own account.").with_status(403)
}

/// A policy that only services attach: `PolicyNotAttachable`.
pub fn only_for_services() -> ApiError {
    ApiError::new("PolicyNotAttachable", "Cannot attach a Service Role Policy to a Customer Role.")
}

/// A member that must be there is not.
pub fn missing(member: &str) -> ApiError {
    invalid(format!("The request must contain {member}."))
}

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    invalid(format!("{what} is not supported by Elastane yet."))
}
