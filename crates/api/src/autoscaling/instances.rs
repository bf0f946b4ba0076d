//! What clients may say about single members of a group.

use super::{activities, errors, lookup};
use crate::Change;
use elastane_domain::group::{UnhealthyCause, Why};
use elastane_domain::id::InstanceId;
use elastane_domain::lifecycle::LifecycleState;
use elastane_engine::groups;
use elastane_engine::row::{Activity, Group, Instance, Membership};
use elastane_wire::{ApiError, autoscaling as wire};

/// Instance ids of one SetInstanceProtection (autoscaling.md 5.5).
const PROTECTION_MAX: usize = 50;

/// Instance ids of one TerminateInstanceInAutoScalingGroup.
const TERMINATE_MAX: usize = 100;

/// SetInstanceHealth. Within the grace period the call does nothing, unless
/// it says that it does not respect it. An instance that is neither in
/// service nor on its way there has no health to set.
pub fn set_instance_health(
    change: &mut Change<'_, '_>,
    input: &wire::SetInstanceHealthQuery,
) -> Result<wire::SetInstanceHealthOutput, ApiError> {
    let view = change.view();
    let (instance, membership) = lookup::member(&view, input.instance_id.as_deref())?;
    let leaving = membership.lifecycle.is_terminating();
    if !leaving && !membership.lifecycle.counts_as_capacity() {
        let state = membership.lifecycle.name();
        let text = format!("The health status of instance {} cannot be set while it is in {state}.", instance.id);
        return Err(errors::invalid(text));
    }
    let unhealthy = match input.health_status.as_deref() {
        Some("Unhealthy") => Some(UnhealthyCause::User),
        Some("Healthy") if leaving => {
            return Err(errors::invalid(format!(
                "The instance {} is being terminated and cannot be set to Healthy.",
                instance.id
            )));
        }
        Some("Healthy") => None,
        Some(_) | None => return Err(errors::invalid("Valid instance health states are: [Healthy, Unhealthy].")),
    };
    let grace = view.get::<Group>(membership.group.as_str()).map(|group| group.grace).unwrap_or_default();
    let in_grace = membership.in_service_since.is_none_or(|since| view.now < since + grace);
    let ignored = unhealthy.is_some() && in_grace && input.should_respect_grace_period.unwrap_or(true);
    if !ignored && !leaving {
        change.update(instance.id.as_str(), |row: &mut Instance| {
            if let Some(place) = &mut row.membership {
                place.unhealthy = unhealthy;
            }
        });
    }
    Ok(wire::SetInstanceHealthOutput {})
}

/// SetInstanceProtection: all of the instances, or none.
pub fn set_instance_protection(
    change: &mut Change<'_, '_>,
    input: &wire::SetInstanceProtectionQuery,
) -> Result<wire::SetInstanceProtectionAnswer, ApiError> {
    let group = lookup::group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let protected = input.protected_from_scale_in.ok_or_else(|| errors::missing("ProtectedFromScaleIn"))?;
    if input.instance_ids.len() > PROTECTION_MAX {
        return Err(errors::invalid(format!("At most {PROTECTION_MAX} InstanceIds may be given")));
    }
    for id in &input.instance_ids {
        let row = change.get::<Instance>(id);
        let place = row.as_ref().and_then(|row| row.membership.as_ref()).filter(|place| place.group == group.name);
        let place = place.ok_or_else(|| errors::not_part_of(id, group.name.as_str()))?;
        let may = [LifecycleState::InService, LifecycleState::EnteringStandby, LifecycleState::Standby]
            .contains(&place.lifecycle);
        if !may {
            let text = format!("The instance {id} is not in InService or EnteringStandby or Standby.");
            return Err(errors::invalid(text));
        }
        change.update(id, |row: &mut Instance| {
            if let Some(place) = &mut row.membership {
                place.protected = protected;
            }
        });
    }
    Ok(wire::SetInstanceProtectionAnswer {})
}

/// TerminateInstanceInAutoScalingGroup, in its old form (one InstanceId) and
/// its new one (a group and InstanceIds).
pub fn terminate_instance_in_auto_scaling_group(
    change: &mut Change<'_, '_>,
    input: &wire::TerminateInstanceInAutoScalingGroupType,
) -> Result<wire::ActivityType, ApiError> {
    let decrement =
        input.should_decrement_desired_capacity.ok_or_else(|| errors::missing("ShouldDecrementDesiredCapacity"))?;
    match (&input.instance_id, input.instance_ids.is_empty()) {
        (Some(id), true) => {
            let activity = terminate(change, Some(id), input.auto_scaling_group_name.as_deref(), decrement)?;
            Ok(wire::ActivityType { activities: Vec::new(), activity: Some(activity) })
        }
        (None, false) => {
            let group = input.auto_scaling_group_name.as_deref();
            let group = group.ok_or_else(|| errors::missing("AutoScalingGroupName with InstanceIds"))?;
            if input.instance_ids.len() > TERMINATE_MAX {
                return Err(errors::invalid(format!("At most {TERMINATE_MAX} InstanceIds may be given")));
            }
            let ids = input.instance_ids.iter();
            let activities: Result<Vec<_>, _> =
                ids.map(|id| terminate(change, Some(id), Some(group), decrement)).collect();
            Ok(wire::ActivityType { activities: activities?, activity: None })
        }
        (None, true) | (Some(_), false) => Err(errors::invalid("Either InstanceId or InstanceIds must be given.")),
    }
}

fn terminate(
    change: &mut Change<'_, '_>,
    id: Option<&String>,
    group: Option<&str>,
    decrement: bool,
) -> Result<wire::Activity, ApiError> {
    let (instance, membership) = lookup::member(&change.view(), id.map(String::as_str))?;
    if let Some(group) = group.filter(|group| *group != membership.group.as_str()) {
        return Err(errors::not_part_of(instance.id.as_str(), group));
    }
    if membership.lifecycle.is_warm() {
        let text = format!("The instance {} is in the warm pool and cannot be terminated by this call.", instance.id);
        return Err(errors::invalid(text));
    }
    let shrinking =
        if decrement && membership.lifecycle.counts_as_capacity() { Some(shrink(change, &membership)?) } else { None };
    let activity = begin(change, &instance.id, &Why::UserTerminated { shrinking });
    let activity = activity
        .and_then(|id| change.get::<Activity>(&id))
        .ok_or_else(|| errors::in_progress(format!("The instance {} is already being terminated.", instance.id)))?;
    Ok(activities::shown(&change.view(), &activity))
}

fn begin(change: &mut Change<'_, '_>, instance: &InstanceId, why: &Why) -> Option<String> {
    groups::begin_termination(change.tx, instance, why, None)
}

/// Takes the member's weight off the desired capacity. The activity itself says why, so no
/// sentence is left for later ones.
fn shrink(change: &mut Change<'_, '_>, membership: &Membership) -> Result<(u32, u32), ApiError> {
    let group = lookup::group(&change.view(), Some(membership.group.as_str()))?;
    if group.desired < group.bounds.min.saturating_add(membership.weight) {
        return Err(errors::invalid(format!(
            "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate group's \
             min size constraint. Please either set shouldDecrementDesiredCapacity flag to false or lower group's min \
             size.",
            group.bounds.min
        )));
    }
    let (from, to) = (group.desired, group.desired - membership.weight);
    change.update(group.name.as_str(), |row: &mut Group| row.desired = to);
    Ok((from, to))
}
