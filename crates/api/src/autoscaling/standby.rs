//! EnterStandby and ExitStandby, AttachInstances and DetachInstances: moves
//! of single members (autoscaling.md 2.4, 2.5). All of a call's instances
//! move, or none.

use super::{activities, errors, lookup, settings};
use crate::Change;
use elastane_domain::group::Process;
use elastane_domain::id::InstanceId;
use elastane_domain::lifecycle::LifecycleState;
use elastane_engine::groups;
use elastane_engine::row::{Activity, Group, Image, Instance, Phase};
use elastane_wire::{ApiError, autoscaling as wire};
use std::sync::Arc;

/// Instances of one call.
const INSTANCES_MAX: usize = 20;

/// EnterStandby of members in service.
pub fn enter_standby(
    change: &mut Change<'_, '_>,
    input: &wire::EnterStandbyQuery,
) -> Result<wire::EnterStandbyAnswer, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let members = members(change, &group, &input.instance_ids, &[LifecycleState::InService])?;
    let decrement = decrement(input.should_decrement_desired_capacity)?;
    let counted = if decrement { members.len() } else { 0 };
    check_min(&group, counted, "place into standby")?;
    let mut activities = Vec::new();
    for id in &members {
        let shrinking = decrement.then(|| shift(change, &group, -1));
        activities.extend(groups::enter_standby(change.tx, id, shrinking));
    }
    Ok(wire::EnterStandbyAnswer { activities: shown(change, &activities) })
}

/// ExitStandby: the desired capacity grows with those that come back, as far
/// as MaxSize; the rest is trimmed as any surplus is.
pub fn exit_standby(
    change: &mut Change<'_, '_>,
    input: &wire::ExitStandbyQuery,
) -> Result<wire::ExitStandbyAnswer, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let members = members(change, &group, &input.instance_ids, &[LifecycleState::Standby])?;
    check_launch(&group, "exit standby")?;
    let mut activities = Vec::new();
    for id in &members {
        let growing = shift(change, &group, 1);
        activities.extend(groups::exit_standby(change.tx, id, Some(growing)));
    }
    Ok(wire::ExitStandbyAnswer { activities: shown(change, &activities) })
}

/// DetachInstances of members in service or in standby. Those in standby do
/// not count, so that nothing is decremented for them.
pub fn detach_instances(
    change: &mut Change<'_, '_>,
    input: &wire::DetachInstancesQuery,
) -> Result<wire::DetachInstancesAnswer, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let states = [LifecycleState::InService, LifecycleState::Standby];
    let members = members(change, &group, &input.instance_ids, &states)?;
    let decrement = decrement(input.should_decrement_desired_capacity)?;
    let counts = |change: &Change<'_, '_>, id: &InstanceId| {
        let row = change.get::<Instance>(id.as_str());
        row.and_then(|row| row.membership.as_ref().map(|place| place.lifecycle.counts_as_capacity())).unwrap_or(false)
    };
    let counted = members.iter().filter(|id| decrement && counts(change, id)).count();
    check_min(&group, counted, "detach")?;
    let mut activities = Vec::new();
    for id in &members {
        let shrinking = (decrement && counts(change, id)).then(|| shift(change, &group, -1));
        activities.extend(groups::detach(change.tx, id, shrinking));
    }
    Ok(wire::DetachInstancesAnswer { activities: shown(change, &activities) })
}

/// AttachInstances: running instances that no group has become members.
pub fn attach_instances(
    change: &mut Change<'_, '_>,
    input: &wire::AttachInstancesQuery,
) -> Result<wire::AttachInstancesOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    check_count(&input.instance_ids)?;
    check_launch(&group, "attach instances")?;
    for (index, id) in input.instance_ids.iter().enumerate() {
        check_attachable(change, &group, id)?;
        check_twice(&input.instance_ids[..index], id)?;
    }
    let more = input.instance_ids.len();
    if group.desired as usize + more > group.bounds.max as usize {
        return Err(sizes(&group, more, "attach"));
    }
    for id in &input.instance_ids {
        let growing = shift(change, &group, 1);
        groups::attach(change.tx, &group, &InstanceId::from(id.as_str()), Some(growing));
    }
    Ok(wire::AttachInstancesOutput {})
}

fn check_attachable(change: &Change<'_, '_>, group: &Group, id: &str) -> Result<(), ApiError> {
    let view = change.view();
    let row = view.get::<Instance>(id);
    let row = row.ok_or_else(|| errors::invalid(format!("Invalid Instance ID(s): [{id}] specified")))?;
    if let Some(place) = &row.membership {
        return Err(errors::invalid(format!("Instance {id} is already part of AutoScalingGroup:{}", place.group)));
    }
    if row.phase != Phase::Running {
        let state = row.phase.state().name();
        return Err(errors::invalid(format!("Instance {id} is not in correct state: it is {state}, not running")));
    }
    if view.get::<Image>(row.image.as_str()).is_none() {
        return Err(errors::invalid(format!("The image {} of instance {id} does not exist", row.image)));
    }
    if !group.zones.contains(&row.zone) {
        let text = format!("Instance {id} is in {}, which is none of the group's Availability Zones", row.zone);
        return Err(errors::invalid(text));
    }
    let vpc = settings::vpc(&view, &settings::placement_of(group));
    if vpc.is_some_and(|vpc| *vpc != row.vpc) {
        return Err(errors::invalid(format!("Instance {id} is in another VPC than the group's subnets")));
    }
    Ok(())
}

/// The members of a group that a call names, all in one of these states.
fn members(
    change: &Change<'_, '_>,
    group: &Group,
    ids: &[String],
    states: &[LifecycleState],
) -> Result<Vec<InstanceId>, ApiError> {
    check_count(ids)?;
    let mut found = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        check_twice(&ids[..index], id)?;
        let row: Option<Arc<Instance>> = change.get::<Instance>(id);
        let place = row.as_ref().and_then(|row| row.membership.as_ref()).filter(|place| place.group == group.name);
        let place = place.ok_or_else(|| errors::not_part_of(id, group.name.as_str()))?;
        if !states.contains(&place.lifecycle) {
            let wanted: Vec<&str> = states.iter().map(|state| state.name()).collect();
            return Err(errors::invalid(format!("The instance {id} is not in {}.", wanted.join(" or "))));
        }
        found.push(InstanceId::from(id.as_str()));
    }
    Ok(found)
}

fn check_count(ids: &[String]) -> Result<(), ApiError> {
    match ids.len() {
        0 => Err(errors::missing("InstanceIds")),
        1..=INSTANCES_MAX => Ok(()),
        _ => Err(errors::invalid(format!("At most {INSTANCES_MAX} InstanceIds may be given"))),
    }
}

fn check_twice(before: &[String], id: &String) -> Result<(), ApiError> {
    if before.contains(id) { Err(errors::invalid(format!("The instance {id} is given twice."))) } else { Ok(()) }
}

fn decrement(value: Option<bool>) -> Result<bool, ApiError> {
    value.ok_or_else(|| errors::missing("ShouldDecrementDesiredCapacity"))
}

fn check_min(group: &Group, fewer: usize, what: &str) -> Result<(), ApiError> {
    let left = (group.desired as usize).checked_sub(fewer);
    if left.is_none_or(|left| left < group.bounds.min as usize) {
        return Err(sizes(group, fewer, what));
    }
    Ok(())
}

fn check_launch(group: &Group, what: &str) -> Result<(), ApiError> {
    if group.suspends(Process::Launch) {
        let text = format!("The Launch process of group {} is suspended: it cannot {what} now.", group.name);
        return Err(errors::invalid(text));
    }
    Ok(())
}

fn sizes(group: &Group, count: usize, what: &str) -> ApiError {
    let plural = if count == 1 { "" } else { "s" };
    errors::invalid(format!(
        "AutoScalingGroup {} has min-size={}, max-size={}, and desired-size={}. To {what} {count} instance{plural}, \
         please update the AutoScalingGroup sizes appropriately.",
        group.name, group.bounds.min, group.bounds.max, group.desired
    ))
}

/// Moves the desired capacity by one, within the bounds; from where to where.
/// The move's activity says why, so that no sentence is left for later ones.
fn shift(change: &mut Change<'_, '_>, group: &Group, by: i32) -> (u32, u32) {
    let now = change.get::<Group>(group.name.as_str()).map_or(group.desired, |row| row.desired);
    let then = now.saturating_add_signed(by).min(group.bounds.max.max(now));
    change.update(group.name.as_str(), |row: &mut Group| row.desired = then);
    (now, then)
}

fn shown(change: &Change<'_, '_>, ids: &[String]) -> Vec<wire::Activity> {
    let view = change.view();
    ids.iter().filter_map(|id| view.get::<Activity>(id)).map(|row| activities::shown(&view, row)).collect()
}
