//! Operations of `ec2`.

use crate::{Call, Change};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_instances(_call: &Call<'_>, _input: &wire::DescribeInstancesRequest) -> Result<wire::DescribeInstancesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_instance_status(_call: &Call<'_>, _input: &wire::DescribeInstanceStatusRequest) -> Result<wire::DescribeInstanceStatusResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn get_console_output(_call: &Call<'_>, _input: &wire::GetConsoleOutputRequest) -> Result<wire::GetConsoleOutputResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_tags(_call: &Call<'_>, _input: &wire::DescribeTagsRequest) -> Result<wire::DescribeTagsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_images(_call: &Call<'_>, _input: &wire::DescribeImagesRequest) -> Result<wire::DescribeImagesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_launch_templates(_call: &Call<'_>, _input: &wire::DescribeLaunchTemplatesRequest) -> Result<wire::DescribeLaunchTemplatesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_launch_template_versions(_call: &Call<'_>, _input: &wire::DescribeLaunchTemplateVersionsRequest) -> Result<wire::DescribeLaunchTemplateVersionsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_key_pairs(_call: &Call<'_>, _input: &wire::DescribeKeyPairsRequest) -> Result<wire::DescribeKeyPairsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_vpcs(_call: &Call<'_>, _input: &wire::DescribeVpcsRequest) -> Result<wire::DescribeVpcsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_subnets(_call: &Call<'_>, _input: &wire::DescribeSubnetsRequest) -> Result<wire::DescribeSubnetsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_security_groups(_call: &Call<'_>, _input: &wire::DescribeSecurityGroupsRequest) -> Result<wire::DescribeSecurityGroupsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_security_group_rules(_call: &Call<'_>, _input: &wire::DescribeSecurityGroupRulesRequest) -> Result<wire::DescribeSecurityGroupRulesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_regions(_call: &Call<'_>, _input: &wire::DescribeRegionsRequest) -> Result<wire::DescribeRegionsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_availability_zones(_call: &Call<'_>, _input: &wire::DescribeAvailabilityZonesRequest) -> Result<wire::DescribeAvailabilityZonesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_instance_types(_call: &Call<'_>, _input: &wire::DescribeInstanceTypesRequest) -> Result<wire::DescribeInstanceTypesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_instance_attribute(_call: &Call<'_>, _input: &wire::DescribeInstanceAttributeRequest) -> Result<wire::InstanceAttribute, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn run_instances(_change: &mut Change<'_, '_>, _input: &wire::RunInstancesRequest) -> Result<wire::Reservation, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn start_instances(_change: &mut Change<'_, '_>, _input: &wire::StartInstancesRequest) -> Result<wire::StartInstancesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn stop_instances(_change: &mut Change<'_, '_>, _input: &wire::StopInstancesRequest) -> Result<wire::StopInstancesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn reboot_instances(_change: &mut Change<'_, '_>, _input: &wire::RebootInstancesRequest) -> Result<wire::RebootInstancesOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn terminate_instances(_change: &mut Change<'_, '_>, _input: &wire::TerminateInstancesRequest) -> Result<wire::TerminateInstancesResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn modify_instance_attribute(_change: &mut Change<'_, '_>, _input: &wire::ModifyInstanceAttributeRequest) -> Result<wire::ModifyInstanceAttributeOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_tags(_change: &mut Change<'_, '_>, _input: &wire::CreateTagsRequest) -> Result<wire::CreateTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_tags(_change: &mut Change<'_, '_>, _input: &wire::DeleteTagsRequest) -> Result<wire::DeleteTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_image(_change: &mut Change<'_, '_>, _input: &wire::CreateImageRequest) -> Result<wire::CreateImageResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn deregister_image(_change: &mut Change<'_, '_>, _input: &wire::DeregisterImageRequest) -> Result<wire::DeregisterImageResult, ApiError> {
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

pub fn create_key_pair(_change: &mut Change<'_, '_>, _input: &wire::CreateKeyPairRequest) -> Result<wire::KeyPair, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn import_key_pair(_change: &mut Change<'_, '_>, _input: &wire::ImportKeyPairRequest) -> Result<wire::ImportKeyPairResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_key_pair(_change: &mut Change<'_, '_>, _input: &wire::DeleteKeyPairRequest) -> Result<wire::DeleteKeyPairResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_security_group(_change: &mut Change<'_, '_>, _input: &wire::CreateSecurityGroupRequest) -> Result<wire::CreateSecurityGroupResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_security_group(_change: &mut Change<'_, '_>, _input: &wire::DeleteSecurityGroupRequest) -> Result<wire::DeleteSecurityGroupResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn authorize_security_group_ingress(_change: &mut Change<'_, '_>, _input: &wire::AuthorizeSecurityGroupIngressRequest) -> Result<wire::AuthorizeSecurityGroupIngressResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn authorize_security_group_egress(_change: &mut Change<'_, '_>, _input: &wire::AuthorizeSecurityGroupEgressRequest) -> Result<wire::AuthorizeSecurityGroupEgressResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn revoke_security_group_ingress(_change: &mut Change<'_, '_>, _input: &wire::RevokeSecurityGroupIngressRequest) -> Result<wire::RevokeSecurityGroupIngressResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn revoke_security_group_egress(_change: &mut Change<'_, '_>, _input: &wire::RevokeSecurityGroupEgressRequest) -> Result<wire::RevokeSecurityGroupEgressResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

