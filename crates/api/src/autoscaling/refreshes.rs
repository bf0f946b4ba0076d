//! Instance refreshes: starting, cancelling, going back. The engine replaces
//! the instances.

use super::refresh_preferences::preferences;
use super::{errors, groups, lookup, settings};
use crate::Change;
use elastane_domain::refresh::RefreshStatus;
use elastane_engine::groups::refresh;
use elastane_engine::row::{Group, InstanceRefresh, LaunchSource};
use elastane_wire::{ApiError, autoscaling as wire};
use std::sync::Arc;

/// StartInstanceRefresh.
pub fn start_instance_refresh(
    change: &mut Change<'_, '_>,
    input: &wire::StartInstanceRefreshType,
) -> Result<wire::StartInstanceRefreshAnswer, ApiError> {
    let view = change.view();
    let group = lookup::live_group(&view, input.auto_scaling_group_name.as_deref())?;
    match input.strategy.as_deref() {
        None | Some("Rolling") => {}
        Some("ReplaceRootVolume") => return Err(errors::unsupported("Strategy ReplaceRootVolume")),
        Some(other) => {
            let text = format!("Invalid Strategy '{other}'. Valid values are: Rolling, ReplaceRootVolume");
            return Err(errors::invalid(text));
        }
    }
    if refresh::active(view.tables, &group.name).is_some() {
        return Err(errors::refresh_in_progress());
    }
    let desired = desired(change, &group, input.desired_configuration.as_ref())?;
    let view = change.view();
    let given = input.preferences.clone().unwrap_or_default();
    let preferences = preferences(&view, &group, &given)?;
    if preferences.auto_rollback
        && let Some(why) = refresh::irreversible(&view, desired.as_ref(), &group.source)
    {
        return Err(errors::invalid(format!("AutoRollback is not possible: {why}.")));
    }
    let now = change.now;
    let mut row = InstanceRefresh {
        id: change.rng.uuid(),
        group: group.name.clone(),
        status: RefreshStatus::Pending,
        reason: None,
        requested_at: now,
        started_at: None,
        ended_at: None,
        preferences,
        desired,
        previous: group.source.clone(),
        remaining: Default::default(),
        total: 0,
        checkpoint: None,
        paused_until: None,
        stuck_since: None,
        least: 0,
        left: 0,
        left_in_pool: 0,
        percentage: 0,
        waits_for_transit: true,
        rollback: None,
    };
    (row.remaining, row.total) = refresh::to_replace(&change.view(), &row);
    row.left = row.total;
    let instance_refresh_id = Some(row.id.clone());
    change.put(row);
    Ok(wire::StartInstanceRefreshAnswer { instance_refresh_id })
}

/// DesiredConfiguration: a launch template or a mixed instances policy that
/// EC2 would launch where the group launches.
fn desired(
    change: &Change<'_, '_>,
    group: &Group,
    wanted: Option<&wire::DesiredConfiguration>,
) -> Result<Option<LaunchSource>, ApiError> {
    let Some(wanted) = wanted else { return Ok(None) };
    let named = groups::Source {
        template: wanted.launch_template.as_ref(),
        configuration: None,
        mixed: wanted.mixed_instances_policy.as_ref(),
    };
    let source = named.read(&change.view(), Some(&group.source))?.ok_or_else(|| {
        errors::invalid("DesiredConfiguration must contain either LaunchTemplate or MixedInstancesPolicy.")
    })?;
    settings::check_launch(change, &source, &settings::placement_of(group))?;
    Ok(Some(source))
}

/// The active refresh of the group that a call names.
fn active(change: &Change<'_, '_>, group: Option<&str>) -> Result<Arc<InstanceRefresh>, ApiError> {
    let view = change.view();
    let group = lookup::live_group(&view, group)?;
    let found = refresh::active(view.tables, &group.name).filter(|row| row.status != RefreshStatus::Cancelling);
    found.ok_or_else(|| errors::no_active_refresh(group.name.as_str()))
}

/// CancelInstanceRefresh: what is replaced stays replaced. Waits for instances
/// on their way unless WaitForTransitioningInstances is false.
pub fn cancel_instance_refresh(
    change: &mut Change<'_, '_>,
    input: &wire::CancelInstanceRefreshType,
) -> Result<wire::CancelInstanceRefreshAnswer, ApiError> {
    let row = active(change, input.auto_scaling_group_name.as_deref())?;
    let waits = input.wait_for_transitioning_instances.unwrap_or(true);
    change.update(&row.key(), |row: &mut InstanceRefresh| {
        row.status = RefreshStatus::Cancelling;
        row.waits_for_transit = waits;
        row.paused_until = None;
    });
    Ok(wire::CancelInstanceRefreshAnswer { instance_refresh_id: Some(row.id.clone()) })
}

/// RollbackInstanceRefresh: back to what the group launched from before.
pub fn rollback_instance_refresh(
    change: &mut Change<'_, '_>,
    input: &wire::RollbackInstanceRefreshType,
) -> Result<wire::RollbackInstanceRefreshAnswer, ApiError> {
    let row = active(change, input.auto_scaling_group_name.as_deref())?;
    if row.status == RefreshStatus::RollbackInProgress {
        return Err(errors::irreversible_refresh("it is being rolled back already"));
    }
    if let Some(why) = refresh::irreversible(&change.view(), row.desired.as_ref(), &row.previous) {
        return Err(errors::irreversible_refresh(why));
    }
    refresh::roll_back(change.tx, &row.key(), "Rolled back by a user.".to_string());
    Ok(wire::RollbackInstanceRefreshAnswer { instance_refresh_id: Some(row.id.clone()) })
}
