//! Operations of `elbv2`.

use crate::{Call, Change};
use elastane_wire::{ApiError, elbv2 as wire};

pub fn describe_load_balancers(_call: &Call<'_>, _input: &wire::DescribeLoadBalancersInput) -> Result<wire::DescribeLoadBalancersOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_load_balancer_attributes(_call: &Call<'_>, _input: &wire::DescribeLoadBalancerAttributesInput) -> Result<wire::DescribeLoadBalancerAttributesOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_target_groups(_call: &Call<'_>, _input: &wire::DescribeTargetGroupsInput) -> Result<wire::DescribeTargetGroupsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_target_group_attributes(_call: &Call<'_>, _input: &wire::DescribeTargetGroupAttributesInput) -> Result<wire::DescribeTargetGroupAttributesOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_target_health(_call: &Call<'_>, _input: &wire::DescribeTargetHealthInput) -> Result<wire::DescribeTargetHealthOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_listeners(_call: &Call<'_>, _input: &wire::DescribeListenersInput) -> Result<wire::DescribeListenersOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_tags(_call: &Call<'_>, _input: &wire::DescribeTagsInput) -> Result<wire::DescribeTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_load_balancer(_change: &mut Change<'_, '_>, _input: &wire::CreateLoadBalancerInput) -> Result<wire::CreateLoadBalancerOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_load_balancer(_change: &mut Change<'_, '_>, _input: &wire::DeleteLoadBalancerInput) -> Result<wire::DeleteLoadBalancerOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn modify_load_balancer_attributes(_change: &mut Change<'_, '_>, _input: &wire::ModifyLoadBalancerAttributesInput) -> Result<wire::ModifyLoadBalancerAttributesOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_target_group(_change: &mut Change<'_, '_>, _input: &wire::CreateTargetGroupInput) -> Result<wire::CreateTargetGroupOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn modify_target_group(_change: &mut Change<'_, '_>, _input: &wire::ModifyTargetGroupInput) -> Result<wire::ModifyTargetGroupOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_target_group(_change: &mut Change<'_, '_>, _input: &wire::DeleteTargetGroupInput) -> Result<wire::DeleteTargetGroupOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn modify_target_group_attributes(_change: &mut Change<'_, '_>, _input: &wire::ModifyTargetGroupAttributesInput) -> Result<wire::ModifyTargetGroupAttributesOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn register_targets(_change: &mut Change<'_, '_>, _input: &wire::RegisterTargetsInput) -> Result<wire::RegisterTargetsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn deregister_targets(_change: &mut Change<'_, '_>, _input: &wire::DeregisterTargetsInput) -> Result<wire::DeregisterTargetsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_listener(_change: &mut Change<'_, '_>, _input: &wire::CreateListenerInput) -> Result<wire::CreateListenerOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn modify_listener(_change: &mut Change<'_, '_>, _input: &wire::ModifyListenerInput) -> Result<wire::ModifyListenerOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_listener(_change: &mut Change<'_, '_>, _input: &wire::DeleteListenerInput) -> Result<wire::DeleteListenerOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn add_tags(_change: &mut Change<'_, '_>, _input: &wire::AddTagsInput) -> Result<wire::AddTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn remove_tags(_change: &mut Change<'_, '_>, _input: &wire::RemoveTagsInput) -> Result<wire::RemoveTagsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

