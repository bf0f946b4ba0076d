//! Security Token Service: who calls, and temporary credentials. Calls run in
//! the scope of the account as a whole, where its keys are.

mod assume_role;
mod errors;
mod keys;
mod limits;
mod session_token;
#[cfg(test)]
mod tests;

pub use assume_role::assume_role;
pub use session_token::get_session_token;

use crate::{Call, access};
use elastane_engine::row::IAM_REGION;
use elastane_wire::{ApiError, sts as wire};

/// GetCallerIdentity: the identity that signed the request. Needs no permission and never fails.
pub fn get_caller_identity(
    call: &Call<'_>,
    _input: &wire::GetCallerIdentityRequest,
) -> Result<wire::GetCallerIdentityResponse, ApiError> {
    Ok(wire::GetCallerIdentityResponse {
        account: Some(call.caller.account.to_string()),
        arn: Some(call.caller.arn.clone()),
        user_id: Some(call.caller.user_id.clone()),
    })
}

/// GetAccessKeyInfo: the account of a key that this installation knows.
///
/// # Errors
/// `ValidationError` for any other key.
pub fn get_access_key_info(
    call: &Call<'_>,
    input: &wire::GetAccessKeyInfoRequest,
) -> Result<wire::GetAccessKeyInfoResponse, ApiError> {
    let id = input.access_key_id.as_deref().unwrap_or_default();
    let of_rows = call.state.scopes.iter().find(|(scope, tables)| {
        let known = tables.access_keys.contains_key(id) || tables.temporary_keys.contains_key(id);
        scope.region.as_str() == IAM_REGION && known
    });
    let own = (call.caller.access_key == id).then_some(&call.caller.account);
    let account = of_rows.map(|(scope, _)| &scope.account).or(own);
    let account = account.ok_or_else(|| errors::invalid(format!("The access key {id} is not known here.")))?;
    Ok(wire::GetAccessKeyInfoResponse { account: Some(account.to_string()) })
}

/// DecodeAuthorizationMessage: what was asked and refused.
///
/// # Errors
/// `InvalidAuthorizationMessageException` for a message of another make.
pub fn decode_authorization_message(
    call: &Call<'_>,
    input: &wire::DecodeAuthorizationMessageRequest,
) -> Result<wire::DecodeAuthorizationMessageResponse, ApiError> {
    let encoded = input.encoded_message.as_deref().unwrap_or_default();
    let decoded = access::decode_message(call.world, encoded).ok_or_else(errors::foreign_message)?;
    Ok(wire::DecodeAuthorizationMessageResponse { decoded_message: Some(decoded) })
}
