//! The two rates of a command.

use super::errors;
use elastane_domain::command::Rate;
use elastane_engine::row::{CONCURRENCY, ERRORS};
use elastane_wire::{ApiError, ssm as wire};

/// Longest rate in characters (the model's).
const RATE_CHARACTERS_MAX: usize = 7;

/// MaxConcurrency as it is kept.
///
/// # Errors
/// `ValidationException`.
pub fn max_concurrency(input: &wire::SendCommandRequest) -> Result<String, ApiError> {
    let text = input.max_concurrency.as_deref().unwrap_or(CONCURRENCY);
    let rate = Rate::parse(text).filter(|rate| !matches!(rate, Rate::Number(0) | Rate::Percent(0)));
    let invalid = || errors::validation(format!("MaxConcurrency '{text}' must be a number or a percentage above 0"));
    rate.filter(|_| text.len() <= RATE_CHARACTERS_MAX).map(|_| text.to_string()).ok_or_else(invalid)
}

/// MaxErrors as it is kept.
///
/// # Errors
/// `ValidationException`.
pub fn max_errors(input: &wire::SendCommandRequest) -> Result<String, ApiError> {
    let text = input.max_errors.as_deref().unwrap_or(ERRORS);
    let invalid = || errors::validation(format!("MaxErrors '{text}' must be a number or a percentage"));
    Rate::parse(text).filter(|_| text.len() <= RATE_CHARACTERS_MAX).map(|_| text.to_string()).ok_or_else(invalid)
}
