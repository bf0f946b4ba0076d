//! Operations on images.

use crate::{Call, Change};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_images(_call: &Call<'_>, _input: &wire::DescribeImagesRequest) -> Result<wire::DescribeImagesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_image(_change: &mut Change<'_, '_>, _input: &wire::CreateImageRequest) -> Result<wire::CreateImageResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn deregister_image(_change: &mut Change<'_, '_>, _input: &wire::DeregisterImageRequest) -> Result<wire::DeregisterImageResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}
