//! One member's way through its life cycle, by its instance's phase: past its
//! launching hooks into service; out of the load balancer, past its
//! terminating hooks and out of EC2. Standby and the warm pool have modules of
//! their own.

use super::hooks::{self, Outcome};
use super::launching::back_off;
use super::{Traffic, standby, warm_pool};
use crate::reconcile::activity::{self, Begin};
use crate::reconcile::{instances, targets, wake_at};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{Process, Why};
use elastane_domain::hooks::Arrival;
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::Time;
use std::sync::Arc;

/// Moves one member a step on, by its instance's phase.
pub(super) fn advance(tx: &mut Tx<'_>, instance: &Instance, traffic: &Traffic, wake: &mut Time) {
    let Some(membership) = &instance.membership else { return };
    let state = membership.lifecycle;
    if state == LifecycleState::InService {
        return;
    }
    if goes_with_group(tx, membership) {
        begin_termination(tx, &instance.id, &Why::GroupDeleted { from: 0 }, None);
        return;
    }
    match state {
        LifecycleState::Pending => match instance.phase {
            Phase::Pending => {}
            Phase::Running if hooks::begin(tx, instance, membership) => {}
            Phase::Running => enter_service(tx, instance, membership),
            Phase::Stopping | Phase::Stopped | Phase::ShuttingDown | Phase::Terminated { .. } => {
                launch_failed(tx, instance, membership);
            }
        },
        LifecycleState::PendingWait => wait_in(tx, instance, membership, wake),
        LifecycleState::PendingProceed if instance.phase == Phase::Running => enter_service(tx, instance, membership),
        LifecycleState::PendingProceed => launch_failed(tx, instance, membership),
        LifecycleState::EnteringStandby => standby::rest(tx, instance, membership, traffic, wake),
        LifecycleState::Detaching => standby::leave(tx, instance, membership, traffic, wake),
        LifecycleState::Terminating | LifecycleState::WarmedTerminating => {
            terminate_on(tx, instance, membership, traffic, wake);
        }
        LifecycleState::TerminatingWait | LifecycleState::WarmedTerminatingWait => {
            wait_out(tx, instance, membership, wake);
        }
        LifecycleState::TerminatingProceed | LifecycleState::WarmedTerminatingProceed => end(tx, instance, state),
        LifecycleState::TerminatingRetained => {
            if let Phase::Terminated { .. } = instance.phase {
                end(tx, instance, state);
            }
        }
        LifecycleState::Terminated | LifecycleState::WarmedTerminated => leave(tx, instance, membership),
        LifecycleState::WarmedPending => warm_pool::come_in(tx, instance, membership, traffic, wake),
        LifecycleState::WarmedPendingWait => warm_pool::wait_in(tx, instance, membership, wake),
        LifecycleState::WarmedPendingProceed => warm_pool::settle_in(tx, instance, membership),
        LifecycleState::WarmedStopped | LifecycleState::WarmedRunning | LifecycleState::WarmedHibernated => {
            warm_pool::watch(tx, instance, membership);
        }
        LifecycleState::InService | LifecycleState::Standby => {}
    }
}

/// Whether a member that the group's plan does not see must go because the
/// whole group does: plans know members that count as capacity.
fn goes_with_group(tx: &Tx<'_>, membership: &Membership) -> bool {
    let state = membership.lifecycle;
    let retained = state == LifecycleState::TerminatingRetained;
    let unseen = !state.counts_as_capacity() && (!state.is_terminating() || retained);
    unseen
        && state != LifecycleState::Detaching
        && tx.get::<Group>(membership.group.as_str()).is_some_and(|group| group.deleting)
}

/// Changes a member's place in its group, if it has one.
pub(super) fn set_place(tx: &mut Tx<'_>, instance: &InstanceId, change: impl FnOnce(&mut Membership)) {
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            change(membership);
        }
    });
}

/// A member that waits for its launching hooks. One that is given up is
/// terminated, and the group's plan replaces it.
fn wait_in(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, wake: &mut Time) {
    if instance.phase != Phase::Running {
        return launch_failed(tx, instance, membership);
    }
    match hooks::settle(tx, instance, wake) {
        None => {}
        Some(Outcome::Proceed) => {
            let now = tx.now;
            set_place(tx, &instance.id, |place| place.enter(LifecycleState::PendingProceed, now));
        }
        Some(Outcome::Abandoned { token, ending }) => {
            if let Some(id) = &membership.activity {
                activity::abandoned(tx, id, &token, ending);
            }
            begin_cooldown(tx, &membership.group);
            throttle(tx, &membership.group);
            begin_termination(tx, &instance.id, &Why::HookAbandoned, None);
        }
    }
}

/// A booted member is registered with the target groups first, then in service.
fn enter_service(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    let Some(group) = tx.get::<Group>(membership.group.as_str()) else { return };
    if !group.suspends(Process::AddToLoadBalancer) {
        for arn in &group.target_groups {
            if let Some(port) = tx.get::<TargetGroup>(arn.as_str()).map(|row| row.port) {
                targets::register(tx, arn, instance.id.as_str(), port);
            }
        }
    }
    let now = tx.now;
    set_place(tx, &instance.id, |place| {
        place.enter(LifecycleState::InService, now);
        place.in_service_since = Some(now);
        place.activity = None;
    });
    if let Some(id) = &membership.activity {
        activity::end(tx, id, ActivityStatus::Successful, None);
    }
    if launched(membership) {
        begin_cooldown(tx, &group.name);
        tx.update(group.name.as_str(), |row: &mut Group| {
            row.launch_failures = 0;
            row.launch_after = None;
        });
    }
}

/// An instance that never came up: its activity fails; examining the group
/// marks it unhealthy and replaces it.
fn launch_failed(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    let Some(activity) = &membership.activity else { return };
    let reason = instance.state_reason.as_ref().map_or("Instance failed to launch", |reason| &reason.message);
    let message = format!("{reason}. Launching EC2 instance failed.");
    activity::end(tx, activity, ActivityStatus::Failed, Some(message));
    set_place(tx, &instance.id, |place| place.activity = None);
    if launched(membership) {
        begin_cooldown(tx, &membership.group);
        // One that came up and died at its hook says little about the next.
        match membership.lifecycle {
            LifecycleState::Pending => back_off(tx, &membership.group),
            _ => throttle(tx, &membership.group),
        }
    }
}

/// Whether a member comes in because the group grows, and not because a user
/// brings it.
fn launched(membership: &Membership) -> bool {
    matches!(membership.arrival, Arrival::Launched | Arrival::Taken)
}

/// Cooldowns count from here.
fn begin_cooldown(tx: &mut Tx<'_>, group: &GroupName) {
    let now = tx.now;
    tx.update(group.as_str(), |row: &mut Group| row.last_activity_end = Some(now));
}

/// A group whose instances are given up one after the other launches more
/// slowly; the first one is replaced at once (autoscaling.md 3: the schedule
/// is not published).
pub(super) fn throttle(tx: &mut Tx<'_>, group: &GroupName) {
    if tx.get::<Group>(group.as_str()).is_some_and(|group| group.launch_failures == 0) {
        tx.update(group.as_str(), |row: &mut Group| row.launch_failures = 1);
    } else {
        back_off(tx, group);
    }
}

/// A member on its way out waits for its requests in flight, then for its
/// hooks, then ends.
fn terminate_on(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, traffic: &Traffic, wake: &mut Time) {
    if still_drains(tx, instance, traffic, wake) {
        return;
    }
    drained(tx, instance, membership);
    if !hooks::begin(tx, instance, membership) {
        end(tx, instance, membership.lifecycle);
    }
}

/// No request of a member is in flight any more. Behind a load balancer the
/// cooldown begins here, without the hooks (autoscaling.md 7.2).
pub(super) fn drained(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    if membership.activity.as_ref().is_some_and(|id| activity::drained(tx, id)) {
        begin_cooldown(tx, &membership.group);
        set_place(tx, &instance.id, |place| place.cooldown_begun = true);
    }
}

/// A member that waits for its terminating hooks. Whatever they say it ends,
/// unless the group retains what a hook gave up.
fn wait_out(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, wake: &mut Time) {
    let now = tx.now;
    let proceed = if membership.lifecycle.is_warm() {
        LifecycleState::WarmedTerminatingProceed
    } else {
        LifecycleState::TerminatingProceed
    };
    if hooks::waived(tx, membership) {
        return set_place(tx, &instance.id, |place| {
            place.enter(proceed, now);
            place.actions.clear();
        });
    }
    let Some(outcome) = hooks::settle(tx, instance, wake) else { return };
    let retains = tx.get::<Group>(membership.group.as_str()).is_some_and(|group| group.retain_on_abandon);
    let lives = !matches!(instance.phase, Phase::ShuttingDown | Phase::Terminated { .. });
    match outcome {
        Outcome::Abandoned { token, ending } if retains && lives && !membership.lifecycle.is_warm() => {
            if let Some(id) = &membership.activity {
                activity::abandoned(tx, id, &token, ending);
            }
            set_place(tx, &instance.id, |place| {
                place.enter(LifecycleState::TerminatingRetained, now);
                place.activity = None;
            });
        }
        Outcome::Abandoned { .. } | Outcome::Proceed => {
            set_place(tx, &instance.id, |place| place.enter(proceed, now));
        }
    }
}

/// Asks EC2 for the end, and notes it when it has come.
fn end(tx: &mut Tx<'_>, instance: &Instance, state: LifecycleState) {
    match instance.phase {
        Phase::Terminated { .. } => {
            let gone = if state.is_warm() { LifecycleState::WarmedTerminated } else { LifecycleState::Terminated };
            let now = tx.now;
            set_place(tx, &instance.id, |place| place.enter(gone, now));
        }
        Phase::ShuttingDown => {}
        Phase::Pending | Phase::Running | Phase::Stopping | Phase::Stopped => {
            const CODE: &str = "Client.UserInitiatedShutdown";
            instances::end(tx, instance, CODE, &format!("{CODE}: User initiated shutdown"));
        }
    }
}

/// Whether requests in flight may keep a member alive, which ends at a time
/// that `wake` is pulled to. There are none when its process no longer runs.
pub(super) fn still_drains(tx: &Tx<'_>, instance: &Instance, traffic: &Traffic, wake: &mut Time) -> bool {
    if instance.phase != Phase::Running {
        return false;
    }
    let until = |target: &Arc<Target>| match target.phase {
        TargetPhase::Draining { until } if until > tx.now => {
            let drained = targets::key(tx, target).is_some_and(|key| tx.state.seen.drained.contains(&key));
            (!drained).then_some(until)
        }
        TargetPhase::Draining { .. } | TargetPhase::Registered => None,
    };
    let last = traffic.draining_of(instance.id.as_str()).iter().filter_map(until).max();
    if let Some(at) = last {
        wake_at(wake, at);
    }
    last.is_some()
}

fn leave(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    if let Some(id) = &membership.activity {
        activity::end(tx, id, ActivityStatus::Successful, None);
    }
    if !membership.cooldown_begun && !membership.lifecycle.is_warm() {
        begin_cooldown(tx, &membership.group);
    }
    tx.update(instance.id.as_str(), |row: &mut Instance| row.membership = None);
}

/// Takes a member out: from the load balancer first, then past its hooks and
/// out of EC2, or back into a warm pool that reuses what a scale-in takes.
/// Returns the activity that does it; one that is already on its way out
/// keeps the activity that it has.
pub fn begin_termination(tx: &mut Tx<'_>, instance: &InstanceId, why: &Why, led_by: Option<&str>) -> Option<String> {
    let row = tx.get::<Instance>(instance.as_str())?;
    let membership = row.membership.clone()?;
    let state = membership.lifecycle;
    let retained = state == LifecycleState::TerminatingRetained;
    if (state.is_terminating() && !retained) || state == LifecycleState::Detaching {
        return membership.activity;
    }
    if let Some(open) = &membership.activity {
        activity::end(tx, open, ActivityStatus::Cancelled, Some("The instance is being terminated".to_string()));
    }
    if let Some(group) = tx.get::<Group>(membership.group.as_str()).filter(|_| scales_in(why))
        && row.phase == Phase::Running
        && elastane_domain::warm_pool::returns(group.warm_pool.as_ref(), state)
    {
        return Some(warm_pool::put_back(tx, &row, &group, why, led_by));
    }
    let draining = deregister(tx, &row, &membership.group) && row.phase == Phase::Running;
    let cause = why.cause(tx.now, Some(instance), led_by);
    let begin = Begin { group: &membership.group, instance: &row, cause };
    let activity = match state.is_warm() {
        true => activity::terminating_from_pool(tx, begin),
        false => activity::terminating(tx, begin, draining),
    };
    let now = tx.now;
    set_place(tx, instance, |place| {
        place.enter(way_out(state), now);
        place.activity = Some(activity.clone());
        place.actions.clear();
        if never_ran(&row, state) {
            place.arrival = Arrival::NeverRan;
        }
    });
    Some(activity)
}

/// Whether a member is taken out because there are too many.
fn scales_in(why: &Why) -> bool {
    matches!(why, Why::AboveDesired { .. })
}

/// The state in which a member begins its way out.
fn way_out(state: LifecycleState) -> LifecycleState {
    match state {
        // Its hooks have had their say.
        LifecycleState::TerminatingRetained => LifecycleState::TerminatingProceed,
        _ if state.is_warm() => LifecycleState::WarmedTerminating,
        _ => LifecycleState::Terminating,
    }
}

/// Whether an instance ends before it came up, so that no hook can do
/// anything with it.
fn never_ran(row: &Instance, state: LifecycleState) -> bool {
    let first = matches!(state, LifecycleState::Pending | LifecycleState::WarmedPending);
    first && row.phase != Phase::Running && row.generation.0 <= 1
}

/// Takes an instance out of the target groups of its group; whether it was in any.
pub(super) fn deregister(tx: &mut Tx<'_>, instance: &Instance, group: &GroupName) -> bool {
    let groups = tx.get::<Group>(group.as_str()).map_or_else(Vec::new, |group| group.target_groups.clone());
    let registered = targets::of_instance(tx, &groups, &instance.id);
    for target in &registered {
        targets::deregister(tx, &target.group, &target.id, target.port);
    }
    !registered.is_empty()
}
