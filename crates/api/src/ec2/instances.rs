//! Operations on instances.

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
