//! STS's errors: each code, status and text written once.

use elastane_domain::policy::Malformed;
use elastane_wire::ApiError;

/// A member's value is not allowed: `ValidationError`.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}

/// `AccessDenied` for a reason of its own.
pub fn denied(message: impl Into<String>) -> ApiError {
    ApiError::new("AccessDenied", message).with_status(403)
}

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    invalid(format!("{what} is not supported by Elastane yet."))
}

/// A session policy that breaks the grammar.
pub fn malformed(err: Malformed) -> ApiError {
    ApiError::new("MalformedPolicyDocument", err.0)
}

/// Session policies and tags that are too large together.
pub fn too_large(percent: usize) -> ApiError {
    let message = format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.");
    ApiError::new("PackedPolicyTooLarge", message)
}

/// More sessions than are kept.
pub fn too_many() -> ApiError {
    ApiError::new("Throttling", "Rate exceeded: too many temporary credentials are still good.")
}

/// A message that this installation did not encode.
pub fn foreign_message() -> ApiError {
    ApiError::new("InvalidAuthorizationMessageException", "Message is not valid")
}
