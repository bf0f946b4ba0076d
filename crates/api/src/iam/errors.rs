//! IAM's errors: each code, status and text written once (operations.md 2).

use elastane_wire::ApiError;

/// A name that names nothing: `NoSuchEntity`.
pub fn no_such(kind: &str, name: &str) -> ApiError {
    let message = format!("{kind} {name} cannot be found.");
    ApiError::new("NoSuchEntity", message).with_status(404)
}

/// A name that is taken: `EntityAlreadyExists`.
pub fn exists(kind: &str, name: &str) -> ApiError {
    let message = format!("{kind} with name {name} already exists.");
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

/// A trust policy that makes no sense: `MalformedPolicyDocument`.
pub fn malformed_policy(message: &str) -> ApiError {
    ApiError::new("MalformedPolicyDocument", message)
}

/// A member's value is not allowed: `ValidationError`.
pub fn invalid(message: String) -> ApiError {
    ApiError::new("ValidationError", message)
}

/// A member that must be there is not.
pub fn missing(member: &str) -> ApiError {
    invalid(format!("The request must contain {member}."))
}

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    invalid(format!("{what} is not supported by Elastane yet."))
}
