//! Operations on templates.

use crate::{Call, Change};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_launch_templates(_call: &Call<'_>, _input: &wire::DescribeLaunchTemplatesRequest) -> Result<wire::DescribeLaunchTemplatesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_launch_template_versions(_call: &Call<'_>, _input: &wire::DescribeLaunchTemplateVersionsRequest) -> Result<wire::DescribeLaunchTemplateVersionsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_launch_template(_change: &mut Change<'_, '_>, _input: &wire::CreateLaunchTemplateRequest) -> Result<wire::CreateLaunchTemplateResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_launch_template_version(_change: &mut Change<'_, '_>, _input: &wire::CreateLaunchTemplateVersionRequest) -> Result<wire::CreateLaunchTemplateVersionResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn modify_launch_template(_change: &mut Change<'_, '_>, _input: &wire::ModifyLaunchTemplateRequest) -> Result<wire::ModifyLaunchTemplateResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_launch_template(_change: &mut Change<'_, '_>, _input: &wire::DeleteLaunchTemplateRequest) -> Result<wire::DeleteLaunchTemplateResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_launch_template_versions(_change: &mut Change<'_, '_>, _input: &wire::DeleteLaunchTemplateVersionsRequest) -> Result<wire::DeleteLaunchTemplateVersionsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}
