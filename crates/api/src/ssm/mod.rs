//! Operations of `ssm`.

use crate::{Call, Change};
use elastane_wire::{ApiError, ssm as wire};

pub fn get_command_invocation(_call: &Call<'_>, _input: &wire::GetCommandInvocationRequest) -> Result<wire::GetCommandInvocationResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn list_command_invocations(_call: &Call<'_>, _input: &wire::ListCommandInvocationsRequest) -> Result<wire::ListCommandInvocationsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn list_commands(_call: &Call<'_>, _input: &wire::ListCommandsRequest) -> Result<wire::ListCommandsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_instance_information(_call: &Call<'_>, _input: &wire::DescribeInstanceInformationRequest) -> Result<wire::DescribeInstanceInformationResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn send_command(_change: &mut Change<'_, '_>, _input: &wire::SendCommandRequest) -> Result<wire::SendCommandResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

