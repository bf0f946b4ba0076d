//! Operations on tags.

use crate::{Call, Change};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_tags(_call: &Call<'_>, _input: &wire::DescribeTagsRequest) -> Result<wire::DescribeTagsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_tags(_change: &mut Change<'_, '_>, _input: &wire::CreateTagsRequest) -> Result<wire::CreateTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_tags(_change: &mut Change<'_, '_>, _input: &wire::DeleteTagsRequest) -> Result<wire::DeleteTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}
