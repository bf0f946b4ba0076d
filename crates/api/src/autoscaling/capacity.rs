//! Setting a group's size by hand.

use super::{errors, lookup, settings};
use crate::Change;
use elastane_domain::capacity;
use elastane_domain::group::DesiredChange;
use elastane_domain::scaling::Gate;
use elastane_engine::row::Group;
use elastane_engine::{groups, policy};
use elastane_wire::{ApiError, autoscaling as wire};

/// SetDesiredCapacity. With HonorCooldown it waits its turn, as a simple
/// policy does.
pub fn set_desired_capacity(
    change: &mut Change<'_, '_>,
    input: &wire::SetDesiredCapacityType,
) -> Result<wire::SetDesiredCapacityOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let desired =
        settings::size(input.desired_capacity, "DesiredCapacity")?.ok_or_else(|| errors::missing("DesiredCapacity"))?;
    let desired = capacity::set_desired(group.bounds, desired).map_err(errors::bounds)?;
    if input.honor_cooldown == Some(true) {
        match policy::gate(change.tx, &group, group.cooldown) {
            Gate::Open => {}
            Gate::ActivityInProgress => {
                return Err(errors::in_progress("A scaling activity is in progress and blocks this action"));
            }
            Gate::Cooldown { until } => {
                let text =
                    format!("The cooldown period of the group has not ended: it lasts until {}", until.iso_seconds());
                return Err(errors::in_progress(text));
            }
        }
    }
    groups::set_desired(change.tx, &group.name, desired, &DesiredChange::Set);
    change.update(group.name.as_str(), |row: &mut Group| row.cooldown = row.default_cooldown);
    Ok(wire::SetDesiredCapacityOutput {})
}
