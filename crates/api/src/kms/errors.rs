//! Errors of KMS, each code in one place (KMS API Reference). All are client
//! errors with status 400.

use elastane_wire::ApiError;

/// A member's value is not allowed.
pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    ApiError::new("UnsupportedOperationException", format!("{what} is not supported by Elastane yet."))
}

/// No key or alias has this name.
pub fn not_found(what: &str) -> ApiError {
    ApiError::new("NotFoundException", format!("{what} is not found."))
}

/// A key that is disabled.
pub fn disabled(arn: &str) -> ApiError {
    ApiError::new("DisabledException", format!("{arn} is disabled."))
}

/// A key whose state does not allow what was asked.
pub fn invalid_state(arn: &str, state: &str) -> ApiError {
    ApiError::new("KMSInvalidStateException", format!("{arn} {state}."))
}

/// What was not sealed by a key of this account, or not in this context.
pub fn invalid_ciphertext() -> ApiError {
    ApiError::new(
        "InvalidCiphertextException",
        "The ciphertext refers to a key, a region or a context that does not exist.",
    )
}

/// What was sealed by another key than the one named.
pub fn incorrect_key() -> ApiError {
    ApiError::new(
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )
}

/// An alias that is there already.
pub fn exists(arn: &str) -> ApiError {
    ApiError::new("AlreadyExistsException", format!("An alias with the name {arn} already exists"))
}

/// A text that is no alias.
pub fn invalid_alias(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidAliasNameException", message)
}

/// A quota is used up.
pub fn limit(message: impl Into<String>) -> ApiError {
    ApiError::new("LimitExceededException", message)
}

/// A tag that breaks a rule.
pub fn tag(message: impl Into<String>) -> ApiError {
    ApiError::new("TagException", message)
}

/// A policy that breaks the grammar.
pub fn malformed_policy(message: impl Into<String>) -> ApiError {
    ApiError::new("MalformedPolicyDocumentException", message)
}
