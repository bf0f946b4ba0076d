//! CloudWatch's errors: each code and its text written once (cloudwatch.md 10).

use elastane_wire::ApiError;

/// A value that is not allowed: `InvalidParameterValue`.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

/// Members that exclude each other: `InvalidParameterCombination`.
pub fn combination(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterCombination", message)
}

/// A member that must be there is not: `MissingParameter`.
pub fn missing(member: &str) -> ApiError {
    ApiError::new("MissingParameter", format!("The parameter {member} is required."))
}

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    invalid(format!("{what} is not supported by Elastane yet."))
}

/// Refuses the first member that is set and not implemented.
pub fn refuse_unsupported(members: &[(&str, bool)]) -> Result<(), ApiError> {
    match members.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(unsupported(name)),
        None => Ok(()),
    }
}

/// No such alarm: `ResourceNotFound`, with status 404.
pub fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new("ResourceNotFound", message).with_status(404)
}

/// A token that was not made here.
pub fn bad_token(token: &str) -> ApiError {
    ApiError::new("InvalidNextToken", format!("The token '{token}' is invalid"))
}

/// A quota is used up.
pub fn limit(message: impl Into<String>) -> ApiError {
    ApiError::new("LimitExceeded", message)
}

/// JSON that is none: `InvalidFormat`.
pub fn format(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidFormat", message)
}
