//! Operations on security groups.

use crate::{Call, Change};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_security_groups(_call: &Call<'_>, _input: &wire::DescribeSecurityGroupsRequest) -> Result<wire::DescribeSecurityGroupsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_security_group_rules(_call: &Call<'_>, _input: &wire::DescribeSecurityGroupRulesRequest) -> Result<wire::DescribeSecurityGroupRulesResult, ApiError> {
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
