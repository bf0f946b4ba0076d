//! Operations on network.

use crate::{Call};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_vpcs(_call: &Call<'_>, _input: &wire::DescribeVpcsRequest) -> Result<wire::DescribeVpcsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_subnets(_call: &Call<'_>, _input: &wire::DescribeSubnetsRequest) -> Result<wire::DescribeSubnetsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_regions(_call: &Call<'_>, _input: &wire::DescribeRegionsRequest) -> Result<wire::DescribeRegionsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_availability_zones(_call: &Call<'_>, _input: &wire::DescribeAvailabilityZonesRequest) -> Result<wire::DescribeAvailabilityZonesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}
