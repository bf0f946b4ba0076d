//! Errors of AWS Certificate Manager.

use elastane_wire::ApiError;

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    ApiError::new("ValidationException", format!("{what} is not supported by Elastane yet."))
}
