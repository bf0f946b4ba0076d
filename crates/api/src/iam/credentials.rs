//! Credentials of users that cannot be made here: passwords, devices for a
//! second factor, SSH keys, signing certificates and credentials of single
//! services. What clients ask for before they delete a user is answered: there are none.

use super::bearers::{find, user_or_caller};
use super::errors;
use crate::{Call, Principal};
use elastane_engine::row::User;
use elastane_wire::{ApiError, iam as wire};

/// Checks that the user is there whose credentials are asked for; the root
/// asks for its own without a name.
fn owner(call: &Call<'_>, name: &Option<String>) -> Result<(), ApiError> {
    if name.is_none() && call.caller.principal == Principal::Root {
        return Ok(());
    }
    find::<User>(&call.view, &user_or_caller(call.caller, name)?).map(drop)
}

/// GetLoginProfile: nobody has a password.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_login_profile(
    call: &Call<'_>,
    input: &wire::GetLoginProfileRequest,
) -> Result<wire::GetLoginProfileResponse, ApiError> {
    owner(call, &input.user_name)?;
    let name = user_or_caller(call.caller, &input.user_name)?.unwrap_or_default();
    Err(errors::no_such("Login Profile for User", &name))
}

/// ListMFADevices: none.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub fn list_mfa_devices(
    call: &Call<'_>,
    input: &wire::ListMFADevicesRequest,
) -> Result<wire::ListMFADevicesResponse, ApiError> {
    owner(call, &input.user_name)?;
    Ok(wire::ListMFADevicesResponse { is_truncated: Some(false), ..Default::default() })
}

/// ListSSHPublicKeys: none.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub fn list_ssh_public_keys(
    call: &Call<'_>,
    input: &wire::ListSSHPublicKeysRequest,
) -> Result<wire::ListSSHPublicKeysResponse, ApiError> {
    owner(call, &input.user_name)?;
    Ok(wire::ListSSHPublicKeysResponse { is_truncated: Some(false), ..Default::default() })
}

/// ListServiceSpecificCredentials: none.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub fn list_service_specific_credentials(
    call: &Call<'_>,
    input: &wire::ListServiceSpecificCredentialsRequest,
) -> Result<wire::ListServiceSpecificCredentialsResponse, ApiError> {
    if input.all_users != Some(true) {
        owner(call, &input.user_name)?;
    }
    Ok(wire::ListServiceSpecificCredentialsResponse { is_truncated: Some(false), ..Default::default() })
}

/// ListSigningCertificates: none.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub fn list_signing_certificates(
    call: &Call<'_>,
    input: &wire::ListSigningCertificatesRequest,
) -> Result<wire::ListSigningCertificatesResponse, ApiError> {
    owner(call, &input.user_name)?;
    Ok(wire::ListSigningCertificatesResponse { is_truncated: Some(false), ..Default::default() })
}
