//! EC2's errors: each code and its text written once (EC2 API Reference,
//! "Error codes"; texts as clients match on them).

use elastane_domain::id::well_formed;
use elastane_engine::launch::Refusal;
use elastane_wire::ApiError;

/// A member's value is not allowed: `InvalidParameterValue`.
pub fn invalid_value(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

/// Members that exclude each other: `InvalidParameterCombination`.
pub fn invalid_combination(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterCombination", message)
}

/// A member that must be there is not: `MissingParameter`.
pub fn missing(member: &str) -> ApiError {
    ApiError::new("MissingParameter", format!("The request must contain the parameter {member}"))
}

/// What is not implemented: `UnsupportedOperation`; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    ApiError::new("UnsupportedOperation", format!("{what} is not supported by Elastane yet."))
}

/// The error of the engine's launch checks as one of the API.
pub fn refused(refusal: Refusal) -> ApiError {
    let error = ApiError::new(refusal.code, refusal.message);
    // A server's error: clients may try again elsewhere or later.
    if refusal.code == "InsufficientInstanceCapacity" { error.with_status(500) } else { error }
}

/// The end of a write that was only to be tried: `DryRunOperation`, with
/// which the transaction is rolled back. Call it after every check.
pub fn dry_run(dry_run: Option<bool>) -> Result<(), ApiError> {
    match dry_run {
        Some(true) => {
            let message = "Request would have succeeded, but DryRun flag is set.";
            Err(ApiError::new("DryRunOperation", message).with_status(412))
        }
        Some(false) | None => Ok(()),
    }
}

/// A text that must have the shape of an id with this prefix, else the
/// service's code for malformed ones, such as `InvalidInstanceID.Malformed`.
pub fn check_id(prefix: &str, code: &'static str, id: &str) -> Result<(), ApiError> {
    if well_formed(prefix, id) {
        return Ok(());
    }
    Err(ApiError::new(code, format!("Invalid id: \"{id}\" (expecting \"{prefix}...\")")))
}

/// Instances that do not exist: `InvalidInstanceID.NotFound`.
pub fn instances_not_found(ids: &[&str]) -> ApiError {
    let message = match ids {
        [id] => format!("The instance ID '{id}' does not exist"),
        ids => format!("The instance IDs '{}' do not exist", ids.join(", ")),
    };
    ApiError::new("InvalidInstanceID.NotFound", message)
}

/// An image that does not exist: `InvalidAMIID.NotFound`.
pub fn image_not_found(id: &str) -> ApiError {
    ApiError::new("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"))
}

/// An instance in a state that does not allow the call: `IncorrectInstanceState`.
pub fn incorrect_state(id: &str, verb: &str) -> ApiError {
    let message = format!("The instance '{id}' is not in a state from which it can be {verb}.");
    ApiError::new("IncorrectInstanceState", message)
}

/// The same client token with other parameters: `IdempotentParameterMismatch`.
pub fn token_mismatch() -> ApiError {
    let message = "The client token you have provided is associated with a resource whose parameters \
                   differ from those of this request.";
    ApiError::new("IdempotentParameterMismatch", message)
}
