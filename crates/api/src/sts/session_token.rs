//! GetSessionToken: temporary credentials with the caller's own permissions.

use super::{errors, keys};
use crate::{Change, Principal};
use elastane_engine::row::Holder;
use elastane_wire::{ApiError, sts as wire};

/// How long a user's session lasts when nothing is said, in seconds (STS API
/// Reference, "GetSessionToken").
const USER_SECS: i32 = 43_200;

/// How long one of the root lasts at most, and when nothing is said, likewise.
const ROOT_SECS_MAX: i32 = 3_600;

/// GetSessionToken.
///
/// # Errors
/// `AccessDenied` for a role's session and for a code of a device, of which
/// there are none; `Throttling`, `ValidationError`.
pub fn get_session_token(
    change: &mut Change<'_, '_>,
    input: &wire::GetSessionTokenRequest,
) -> Result<wire::GetSessionTokenResponse, ApiError> {
    refuse_devices(&input.serial_number, &input.token_code)?;
    if input.minimum_session_token_size.is_some() {
        return Err(errors::unsupported("MinimumSessionTokenSize"));
    }
    let (holder, seconds) = match &change.caller.principal {
        Principal::Root => {
            let seconds = input.duration_seconds.unwrap_or(ROOT_SECS_MAX);
            // AWS shortens what the root asks for as well.
            (Holder::Root, seconds.min(ROOT_SECS_MAX))
        }
        Principal::User(name) => {
            let holder = Holder::User { id: change.caller.user_id.clone(), name: name.clone() };
            (holder, input.duration_seconds.unwrap_or(USER_SECS))
        }
        Principal::Role(_) => return Err(errors::denied("Cannot call GetSessionToken with session credentials")),
    };
    let credentials = keys::issue(change, holder, seconds)?;
    Ok(wire::GetSessionTokenResponse { credentials: Some(credentials), ..Default::default() })
}

/// Refuses what comes from a device for a second factor: nobody has one.
///
/// # Errors
/// `AccessDenied`.
pub fn refuse_devices(serial: &Option<String>, code: &Option<String>) -> Result<(), ApiError> {
    if serial.is_none() && code.is_none() {
        return Ok(());
    }
    Err(errors::denied("MultiFactorAuthentication failed with invalid MFA one time pass code."))
}
