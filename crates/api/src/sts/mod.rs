//! Operations of `sts`.

use crate::{Call, Change};
use elastane_wire::{ApiError, sts as wire};

pub fn get_caller_identity(_call: &Call<'_>, _input: &wire::GetCallerIdentityRequest) -> Result<wire::GetCallerIdentityResponse, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

