//! Operations on types.

use crate::{Call};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_instance_types(_call: &Call<'_>, _input: &wire::DescribeInstanceTypesRequest) -> Result<wire::DescribeInstanceTypesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}
