//! Errors of AWS Certificate Manager, each code in one place (ACM API
//! Reference). All are client errors with status 400.

use super::reading::Fault;
use elastane_wire::ApiError;

/// A member's value is not allowed.
pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    validation(format!("{what} is not supported by Elastane yet."))
}

/// A member that must be there is not.
pub fn missing(member: &str) -> ApiError {
    validation(format!("The request must contain {member}."))
}

/// No certificate has this ARN.
pub fn not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Could not find certificate {arn}."))
}

/// A text that is no certificate's ARN.
pub fn invalid_arn(arn: &str) -> ApiError {
    ApiError::new("InvalidArnException", format!("Invalid certificate ARN: {arn}"))
}

/// A certificate that listeners show.
pub fn in_use(arn: &str) -> ApiError {
    ApiError::new("ResourceInUseException", format!("Certificate {arn} is in use."))
}

/// A certificate that is not issued yet.
pub fn in_progress(arn: &str) -> ApiError {
    ApiError::new("RequestInProgressException", format!("Certificate request is in progress for {arn}."))
}

/// A certificate whose state does not allow what was asked.
pub fn invalid_state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidStateException", message)
}

/// A quota is used up.
pub fn limit(message: impl Into<String>) -> ApiError {
    ApiError::new("LimitExceededException", message)
}

/// A validation domain that is not above its name.
pub fn invalid_validation_domain(domain: &str) -> ApiError {
    let message = format!("The validation domain of {domain} must be the domain or one above it.");
    ApiError::new("InvalidDomainValidationOptionsException", message)
}

/// A tag that breaks a rule.
pub fn invalid_tag(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidTagException", message)
}

/// More tags than a certificate may have.
pub fn too_many_tags(max: usize) -> ApiError {
    ApiError::new("TooManyTagsException", format!("A certificate can have at most {max} tags."))
}

/// Parameters that contradict each other.
pub fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

/// What is wrong with an imported certificate.
pub fn refused(fault: &Fault) -> ApiError {
    validation(fault.to_string())
}

/// The authority failed.
pub fn not_issued(cause: &dyn std::error::Error) -> ApiError {
    let cause = cause.source().map_or(String::new(), |source| format!(": {source}"));
    ApiError::new("InternalFailure", format!("The certificate cannot be issued{cause}")).with_status(500)
}
