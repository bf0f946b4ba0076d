//! Operations of `autoscaling`.

use crate::{Call, Change};
use elastane_wire::{ApiError, autoscaling as wire};

pub fn describe_auto_scaling_groups(_call: &Call<'_>, _input: &wire::AutoScalingGroupNamesType) -> Result<wire::AutoScalingGroupsType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_auto_scaling_instances(_call: &Call<'_>, _input: &wire::DescribeAutoScalingInstancesType) -> Result<wire::AutoScalingInstancesType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_scaling_activities(_call: &Call<'_>, _input: &wire::DescribeScalingActivitiesType) -> Result<wire::ActivitiesType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_policies(_call: &Call<'_>, _input: &wire::DescribePoliciesType) -> Result<wire::PoliciesType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_load_balancer_target_groups(_call: &Call<'_>, _input: &wire::DescribeLoadBalancerTargetGroupsRequest) -> Result<wire::DescribeLoadBalancerTargetGroupsResponse, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_tags(_call: &Call<'_>, _input: &wire::DescribeTagsType) -> Result<wire::TagsType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_auto_scaling_group(_change: &mut Change<'_, '_>, _input: &wire::CreateAutoScalingGroupType) -> Result<wire::CreateAutoScalingGroupOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn update_auto_scaling_group(_change: &mut Change<'_, '_>, _input: &wire::UpdateAutoScalingGroupType) -> Result<wire::UpdateAutoScalingGroupOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_auto_scaling_group(_change: &mut Change<'_, '_>, _input: &wire::DeleteAutoScalingGroupType) -> Result<wire::DeleteAutoScalingGroupOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn put_scaling_policy(_change: &mut Change<'_, '_>, _input: &wire::PutScalingPolicyType) -> Result<wire::PolicyARNType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_policy(_change: &mut Change<'_, '_>, _input: &wire::DeletePolicyType) -> Result<wire::DeletePolicyOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn execute_policy(_change: &mut Change<'_, '_>, _input: &wire::ExecutePolicyType) -> Result<wire::ExecutePolicyOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn set_desired_capacity(_change: &mut Change<'_, '_>, _input: &wire::SetDesiredCapacityType) -> Result<wire::SetDesiredCapacityOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn set_instance_health(_change: &mut Change<'_, '_>, _input: &wire::SetInstanceHealthQuery) -> Result<wire::SetInstanceHealthOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn set_instance_protection(_change: &mut Change<'_, '_>, _input: &wire::SetInstanceProtectionQuery) -> Result<wire::SetInstanceProtectionAnswer, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn terminate_instance_in_auto_scaling_group(_change: &mut Change<'_, '_>, _input: &wire::TerminateInstanceInAutoScalingGroupType) -> Result<wire::ActivityType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn attach_load_balancer_target_groups(_change: &mut Change<'_, '_>, _input: &wire::AttachLoadBalancerTargetGroupsType) -> Result<wire::AttachLoadBalancerTargetGroupsResultType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn detach_load_balancer_target_groups(_change: &mut Change<'_, '_>, _input: &wire::DetachLoadBalancerTargetGroupsType) -> Result<wire::DetachLoadBalancerTargetGroupsResultType, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_or_update_tags(_change: &mut Change<'_, '_>, _input: &wire::CreateOrUpdateTagsType) -> Result<wire::CreateOrUpdateTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_tags(_change: &mut Change<'_, '_>, _input: &wire::DeleteTagsType) -> Result<wire::DeleteTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

