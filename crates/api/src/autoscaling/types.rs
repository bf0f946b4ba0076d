//! Kinds of adjustments, and the account's quotas.

use super::errors;
use crate::{Call, Change};
use elastane_domain::scaling::AdjustmentType;
use elastane_engine::row::{Group, LaunchConfiguration};
use elastane_wire::{ApiError, autoscaling as wire};

/// Quotas of an account in a region (autoscaling.md 18).
pub const GROUPS_MAX: usize = 500;
/// Launch configurations of an account in a region.
pub const LAUNCH_CONFIGURATIONS_MAX: usize = 200;

/// DescribeAdjustmentTypes.
pub fn describe_adjustment_types(
    _: &Call<'_>,
    _: &wire::DescribeAdjustmentTypesRequest,
) -> Result<wire::DescribeAdjustmentTypesAnswer, ApiError> {
    let one = |kind: AdjustmentType| wire::AdjustmentType { adjustment_type: Some(kind.name().to_string()) };
    Ok(wire::DescribeAdjustmentTypesAnswer { adjustment_types: AdjustmentType::ALL.into_iter().map(one).collect() })
}

/// DescribeAccountLimits.
pub fn describe_account_limits(
    call: &Call<'_>,
    _: &wire::DescribeAccountLimitsRequest,
) -> Result<wire::DescribeAccountLimitsAnswer, ApiError> {
    Ok(wire::DescribeAccountLimitsAnswer {
        max_number_of_auto_scaling_groups: Some(GROUPS_MAX as i32),
        max_number_of_launch_configurations: Some(LAUNCH_CONFIGURATIONS_MAX as i32),
        number_of_auto_scaling_groups: Some(call.all::<Group>().count() as i32),
        number_of_launch_configurations: Some(call.all::<LaunchConfiguration>().count() as i32),
    })
}

/// DescribeAccountSettings. AWS introduces settings with changes that break
/// clients; none of those is known here, so there are no settings.
pub fn describe_account_settings(
    _: &Call<'_>,
    input: &wire::DescribeAccountSettingsType,
) -> Result<wire::DescribeAccountSettingsAnswer, ApiError> {
    errors::page_size(input.max_records, 50, 100)?;
    match &input.name {
        Some(name) => Err(no_setting(name)),
        None => Ok(wire::DescribeAccountSettingsAnswer::default()),
    }
}

/// PutAccountSetting: there is no setting to put.
pub fn put_account_setting(
    _: &mut Change<'_, '_>,
    input: &wire::PutAccountSettingType,
) -> Result<wire::PutAccountSettingAnswer, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    input.value.as_deref().ok_or_else(|| errors::missing("Value"))?;
    Err(no_setting(name))
}

fn no_setting(name: &str) -> ApiError {
    errors::invalid(format!("Account setting name not found - Setting '{name}' not found"))
}
