//! One member's way through its life cycle, by its instance's phase: into
//! service, and out of the load balancer and out of EC2.

use super::Draining;
use super::launching::back_off;
use crate::reconcile::activity::{self, Begin};
use crate::reconcile::{instances, targets, wake_at};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::Why;
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::Time;

/// Moves one member a step on, by its instance's phase.
pub(super) fn advance(tx: &mut Tx<'_>, instance: &Instance, draining: &Draining, wake: &mut Time) {
    let Some(membership) = &instance.membership else { return };
    match membership.lifecycle {
        LifecycleState::Pending => match instance.phase {
            Phase::Running => enter_service(tx, instance, membership),
            Phase::Pending => {}
            Phase::Stopping | Phase::Stopped | Phase::ShuttingDown | Phase::Terminated { .. } => {
                launch_failed(tx, instance, membership);
            }
        },
        LifecycleState::Terminating => terminate_on(tx, instance, membership, draining, wake),
        LifecycleState::Terminated => leave(tx, instance, membership),
        LifecycleState::InService
        | LifecycleState::Standby
        | LifecycleState::TerminatingRetained
        | LifecycleState::WarmedStopped
        | LifecycleState::WarmedRunning
        | LifecycleState::WarmedHibernated => {}
        LifecycleState::PendingWait
        | LifecycleState::PendingProceed
        | LifecycleState::EnteringStandby
        | LifecycleState::Detaching
        | LifecycleState::TerminatingWait
        | LifecycleState::TerminatingProceed
        | LifecycleState::WarmedPending
        | LifecycleState::WarmedPendingWait
        | LifecycleState::WarmedPendingProceed
        | LifecycleState::WarmedTerminating
        | LifecycleState::WarmedTerminatingWait
        | LifecycleState::WarmedTerminatingProceed
        | LifecycleState::WarmedTerminated => {}
    }
}

/// A booted member is registered with the target groups first, then in service.
fn enter_service(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    let Some(group) = tx.get::<Group>(membership.group.as_str()) else { return };
    for arn in &group.target_groups {
        if let Some(port) = tx.get::<TargetGroup>(arn.as_str()).map(|row| row.port) {
            targets::register(tx, arn, instance.id.as_str(), port);
        }
    }
    let now = tx.now;
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.enter(LifecycleState::InService, now);
            membership.in_service_since = Some(now);
            membership.activity = None;
        }
    });
    end_activity(tx, membership, ActivityStatus::Successful, None);
    tx.update(group.name.as_str(), |row: &mut Group| {
        row.launch_failures = 0;
        row.launch_after = None;
    });
}

/// An instance that never came up: its activity fails; examining the group
/// marks it unhealthy and replaces it.
fn launch_failed(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    if membership.activity.is_none() {
        return;
    }
    let reason = instance.state_reason.as_ref().map_or("Instance failed to launch", |reason| &reason.message);
    end_activity(tx, membership, ActivityStatus::Failed, Some(format!("{reason}. Launching EC2 instance failed.")));
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.activity = None;
        }
    });
    back_off(tx, &membership.group);
}

/// Ends the activity that moves a member; cooldowns count from here.
fn end_activity(tx: &mut Tx<'_>, membership: &Membership, status: ActivityStatus, message: Option<String>) {
    if let Some(id) = &membership.activity {
        activity::end(tx, id, status, message);
    }
    let now = tx.now;
    tx.update(membership.group.as_str(), |row: &mut Group| row.last_activity_end = Some(now));
}

/// A member on its way out waits for its requests in flight, then ends.
fn terminate_on(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, draining: &Draining, wake: &mut Time) {
    if let Phase::Terminated { .. } = instance.phase {
        let now = tx.now;
        tx.update(instance.id.as_str(), |row: &mut Instance| {
            if let Some(membership) = &mut row.membership {
                membership.enter(LifecycleState::Terminated, now);
            }
        });
        return;
    }
    if instance.phase == Phase::ShuttingDown {
        return;
    }
    if let Some(until) = draining_until(tx, instance, draining) {
        return wake_at(wake, until);
    }
    if let Some(id) = &membership.activity {
        activity::drained(tx, id, &instance.id);
    }
    const CODE: &str = "Client.UserInitiatedShutdown";
    instances::end(tx, instance, CODE, &format!("{CODE}: User initiated shutdown"));
}

/// Until when requests in flight may keep a member alive; `None` when there
/// are none: drained, or its process no longer runs.
fn draining_until(tx: &Tx<'_>, instance: &Instance, draining: &Draining) -> Option<Time> {
    if instance.phase != Phase::Running {
        return None;
    }
    draining
        .get(instance.id.as_str())?
        .iter()
        .filter_map(|target| match target.phase {
            TargetPhase::Draining { until } if until > tx.now => {
                let drained = targets::key(tx, target).is_some_and(|key| tx.state.seen.drained.contains(&key));
                (!drained).then_some(until)
            }
            TargetPhase::Draining { .. } | TargetPhase::Registered => None,
        })
        .max()
}

fn leave(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    end_activity(tx, membership, ActivityStatus::Successful, None);
    tx.update(instance.id.as_str(), |row: &mut Instance| row.membership = None);
}

/// Takes a member out: from the load balancer first, then from EC2.
pub fn begin_termination(tx: &mut Tx<'_>, instance: &InstanceId, why: &Why, led_by: Option<&str>) -> Option<String> {
    let row = tx.get::<Instance>(instance.as_str())?;
    let membership = row.membership.clone()?;
    if !membership.lifecycle.counts_as_capacity() {
        return membership.activity;
    }
    if let Some(open) = &membership.activity {
        activity::end(tx, open, ActivityStatus::Cancelled, Some("The instance is being terminated".to_string()));
    }
    let groups = tx.get::<Group>(membership.group.as_str()).map_or_else(Vec::new, |group| group.target_groups.clone());
    let registered = targets::of_instance(tx, &groups, instance);
    for target in &registered {
        targets::deregister(tx, &target.group, &target.id, target.port);
    }
    let draining = !registered.is_empty() && row.phase == Phase::Running;
    let cause = why.cause(tx.now, Some(instance), led_by);
    let begin = Begin { group: &membership.group, instance: &row, cause };
    let activity = activity::terminating(tx, begin, draining);
    let now = tx.now;
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.enter(LifecycleState::Terminating, now);
            membership.activity = Some(activity.clone());
        }
    });
    Some(activity)
}
