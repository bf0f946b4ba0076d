//! Security Token Service: who calls.

mod pending;

pub use pending::*;

use crate::Call;
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

#[cfg(test)]
mod tests {
    use crate::testing::{Lab, ask};
    use elastane_wire::sts as wire;

    /// The identity is the caller's own.
    #[test]
    fn identity_of_the_caller() {
        let mut lab = Lab::new();
        let got = ask!(lab, StsGetCallerIdentity, wire::GetCallerIdentityRequest {}).expect("never fails");
        assert_eq!(got.account.as_deref(), Some("000000000000"));
        assert_eq!(got.arn.as_deref(), Some("arn:aws:iam::000000000000:root"));
        assert_eq!(got.user_id.as_deref(), Some("000000000000"));
    }
}
