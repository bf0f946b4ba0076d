//! Scaling policies: what they make of an alarm (autoscaling.md 7 and 9).

use super::groups::{self, Members};
use super::predictive;
pub(super) use super::tracking::follow_capacity;
pub use super::tracking::split_label;
use super::tracking::{delete_alarms, put_alarms};
use crate::engine::Plant;
use crate::row::*;
use crate::state::Tx;

use elastane_domain::alarm::AlarmState;
use elastane_domain::group::{DesiredChange, Process};
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::scaling::{self, Candidate, Gate, Headcount};
use elastane_domain::time::Span;
use std::fmt;
use std::sync::Arc;

/// What set a policy off.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The alarm.
    pub alarm: AlarmName,
    /// Its newest datapoints, as many as it evaluates, the newest last.
    pub values: Vec<f64>,
    /// Its threshold.
    pub threshold: f64,
}

/// Why a policy does nothing when it is executed by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// Its cooldown runs, or an activity is in progress.
    Busy,
    /// No step fits the value.
    NoStep,
    /// Target tracking policies follow their alarms only.
    NotExecutable,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PolicyError::Busy => "The scaling activity is in progress or the cooldown period has not ended",
            PolicyError::NoStep => "No step adjustment found for the given metric value and breach threshold",
            PolicyError::NotExecutable => "Target tracking policies cannot be executed",
        })
    }
}

impl std::error::Error for PolicyError {}

/// A group's instances, counted as policies need them.
struct Standing {
    count: Headcount,
    scale_in_blocked: bool,
    activity_in_progress: bool,
}

/// Runs the policies that alarms set off in one group: of several results the
/// largest capacity wins (autoscaling.md 7.6).
pub(super) fn follow_alarms(
    tx: &mut Tx<'_>,
    group: &GroupName,
    members: &Members,
    triggered: &[(Arc<Policy>, Trigger)],
) {
    let Some(row) = tx.get::<Group>(group.as_str()).filter(|row| !row.deleting) else { return };
    // Actions are repeated once a minute, so alarms that still breach are
    // followed soon after the process is resumed (autoscaling.md 6).
    if row.suspends(Process::AlarmNotification) {
        return;
    }
    let mut candidates = Vec::new();
    for (policy, trigger) in triggered.iter().filter(|(policy, _)| policy.enabled) {
        if let Some(capacity) = wanted(tx, (&row, members), policy, trigger, true) {
            candidates.push((Candidate { policy: policy.name.clone(), capacity }, trigger.alarm.clone()));
        }
    }
    let plain: Vec<Candidate> = candidates.iter().map(|(candidate, _)| candidate.clone()).collect();
    let Some(winner) = scaling::winner(&plain) else { return };
    let Some((_, alarm)) = candidates.iter().find(|(candidate, _)| candidate == winner) else { return };
    // What is forecast for the hour holds against scale-in (autoscaling.md 9.3).
    let floor = predictive::floor(tx, &row).min(row.desired);
    let capacity = winner.capacity.max(floor);
    if capacity == row.desired {
        return;
    }
    let change = DesiredChange::Policy { alarm: alarm.clone(), policy: winner.policy.clone() };
    start_cooldown(tx, &row, &winner.policy);
    groups::set_desired(tx, group, capacity, &change);
}

/// ExecutePolicy: runs a simple or step policy by hand.
pub fn execute(
    tx: &mut Tx<'_>,
    policy: &Policy,
    metric: Option<(f64, f64)>,
    honor_cooldown: bool,
) -> Result<(), PolicyError> {
    let Some(group) = tx.get::<Group>(policy.group.as_str()) else { return Ok(()) };
    let (value, threshold) = metric.unzip();
    let values = value.into_iter().collect();
    let trigger = Trigger { alarm: AlarmName::from(""), values, threshold: threshold.unwrap_or_default() };
    match &policy.kind {
        PolicyKind::TargetTracking { .. } | PolicyKind::Predictive { .. } => return Err(PolicyError::NotExecutable),
        PolicyKind::Step { steps, .. }
            if scaling::step_for(steps, value.unwrap_or_default(), trigger.threshold).is_none() =>
        {
            return Err(PolicyError::NoStep);
        }
        PolicyKind::Simple { cooldown, .. } if honor_cooldown => {
            if gate(tx, &group, cooldown.unwrap_or(group.default_cooldown)) != Gate::Open {
                return Err(PolicyError::Busy);
            }
        }
        PolicyKind::Step { .. } | PolicyKind::Simple { .. } => {}
    }
    let members = members(tx, &group.name);
    let capacity = wanted(tx, (&group, &members), policy, &trigger, honor_cooldown);
    if let Some(capacity) = capacity.filter(|capacity| *capacity != group.desired) {
        start_cooldown(tx, &group, &policy.name);
        groups::set_desired(tx, &policy.group, capacity, &DesiredChange::Executed { policy: policy.name.clone() });
    }
    Ok(())
}

/// The gate in front of what honours cooldowns.
pub fn gate(tx: &Tx<'_>, group: &Group, cooldown: Span) -> Gate {
    gate_of(tx, (group, &members(tx, &group.name)), cooldown)
}

fn gate_of(tx: &Tx<'_>, (group, members): (&Group, &Members), cooldown: Span) -> Gate {
    let standing = standing(tx, (group, members), Span::ZERO);
    scaling::simple_allowed(tx.now, group.last_activity_end, cooldown, standing.activity_in_progress)
}

/// The capacity that a policy asks for; `None` when it has no say. By hand it
/// is asked without `honor_cooldown`.
fn wanted(
    tx: &Tx<'_>,
    (group, members): (&Group, &Members),
    policy: &Policy,
    trigger: &Trigger,
    honor_cooldown: bool,
) -> Option<u32> {
    match &policy.kind {
        PolicyKind::Simple { adjustment, amount, min_magnitude, cooldown } => {
            let cooldown = cooldown.unwrap_or(group.cooldown.max(group.default_cooldown));
            if honor_cooldown && gate_of(tx, (group, members), cooldown) != Gate::Open {
                return None;
            }
            // Whoever executes it by hand means it.
            let standing = standing(tx, (group, members), group.default_warmup.unwrap_or(Span::ZERO));
            let blocked = honor_cooldown && standing.scale_in_blocked;
            scaling::simple_target(*adjustment, *amount, *min_magnitude, standing.count, blocked)
        }
        PolicyKind::Step { adjustment, min_magnitude, steps, aggregation, warmup } => {
            let standing = standing(tx, (group, members), warmup_of(group, *warmup));
            let step = scaling::step_for(steps, aggregation.of(&trigger.values)?, trigger.threshold)?;
            scaling::step_target(
                *adjustment,
                step.adjustment,
                *min_magnitude,
                standing.count,
                standing.scale_in_blocked,
            )
        }
        // It follows the clock, not alarms.
        PolicyKind::Predictive { .. } => None,
        PolicyKind::TargetTracking { target, warmup, alarm_high, alarm_low, .. } => {
            let standing = standing(tx, (group, members), warmup_of(group, *warmup));
            let (count, value) = (standing.count, *trigger.values.last()?);
            let cools_down = tx.config.plant == Some(Plant::TrackingCoolsDown);
            if cools_down && gate_of(tx, (group, members), group.default_cooldown) != Gate::Open {
                return None;
            }
            if trigger.alarm == *alarm_high {
                return scaling::target_tracking_out(count.contributing, value, *target, count.desired, count.bounds);
            }
            // Only its own alarms speak of its metric.
            alarm_low.as_ref().filter(|low| trigger.alarm == **low)?;
            let blocked = standing.scale_in_blocked || !others_agree(tx, policy);
            scaling::target_tracking_in(count.with_terminating, value, *target, count.desired, count.bounds, blocked)
        }
    }
}

/// A simple policy's own cooldown counts from the activity that it causes.
fn start_cooldown(tx: &mut Tx<'_>, group: &Group, policy: &str) {
    let Some(row) = tx.get::<Policy>(&Policy::key(&group.name, policy)) else { return };
    let cooldown = match &row.kind {
        PolicyKind::Simple { cooldown, .. } => cooldown.unwrap_or(group.default_cooldown),
        PolicyKind::Step { .. } | PolicyKind::TargetTracking { .. } | PolicyKind::Predictive { .. } => return,
    };
    tx.update(group.name.as_str(), |row: &mut Group| row.cooldown = cooldown);
}

/// Warm-up of a policy (autoscaling.md 7.4).
fn warmup_of(group: &Group, policy: Option<Span>) -> Span {
    policy.or(group.default_warmup).unwrap_or(group.default_cooldown)
}

fn members(tx: &Tx<'_>, group: &GroupName) -> Members {
    let belongs = |row: &&Arc<Instance>| row.membership.as_ref().is_some_and(|place| place.group == *group);
    tx.all::<Instance>().filter(belongs).cloned().collect()
}

/// Counts a group's capacity in its units: instances, or their weights.
/// Standby and the warm pool do not work for the group; those that leave
/// alive no longer do, but their activity is in progress.
fn standing(tx: &Tx<'_>, (group, members): (&Group, &Members), warmup: Span) -> Standing {
    let (mut contributing, mut counted, mut terminating) = (0, 0, 0);
    let (mut moving, mut warming, mut lightest, mut heaviest) = (false, false, u32::MAX, 1);
    for place in members.iter().filter_map(|instance| instance.membership.as_ref()) {
        (lightest, heaviest) = (lightest.min(place.weight), heaviest.max(place.weight));
        match place.lifecycle {
            state if state.is_pending() => (counted, moving, warming) = (counted + place.weight, true, true),
            LifecycleState::InService => {
                counted += place.weight;
                if scaling::warming(place.in_service_since, warmup, tx.now) {
                    warming = true;
                } else {
                    contributing += place.weight;
                }
            }
            LifecycleState::Terminating | LifecycleState::TerminatingWait | LifecycleState::TerminatingProceed => {
                (terminating, moving) = (terminating + place.weight, true);
            }
            LifecycleState::EnteringStandby | LifecycleState::Detaching => moving = true,
            _ => {}
        }
    }
    let growing = counted < group.desired && !group.suspends(Process::Launch);
    // A weighted group may rest above its desired capacity, by less than an instance.
    let shrinking = counted > group.desired
        && counted - group.desired >= lightest
        && !group.suspends(Process::Terminate)
        && group.protected_told != Some(group.desired);
    Standing {
        count: Headcount {
            desired: group.desired,
            contributing,
            with_terminating: counted + terminating,
            counted,
            weighted: heaviest > 1,
            bounds: group.bounds,
        },
        scale_in_blocked: (warming || growing) && tx.config.plant != Some(Plant::WarmUpIgnored),
        activity_in_progress: moving || growing || shrinking,
    }
}

/// Whether every other target tracking policy that may scale in would.
fn others_agree(tx: &Tx<'_>, policy: &Policy) -> bool {
    of_group(tx, &policy.group).iter().filter(|other| other.enabled && other.name != policy.name).all(|other| {
        match &other.kind {
            PolicyKind::TargetTracking { alarm_low: Some(low), .. } => {
                tx.get::<Alarm>(low.as_str()).is_some_and(|alarm| alarm.state == AlarmState::Alarm)
            }
            PolicyKind::TargetTracking { alarm_low: None, .. }
            | PolicyKind::Simple { .. }
            | PolicyKind::Step { .. }
            | PolicyKind::Predictive { .. } => true,
        }
    })
}

/// The policy behind an ARN, found by the names that the ARN ends in.
pub(super) fn by_arn(tx: &Tx<'_>, arn: &str) -> Option<Arc<Policy>> {
    let (_, names) = arn.split_once(":autoScalingGroupName/")?;
    let (group, name) = names.split_once(":policyName/")?;
    tx.get::<Policy>(&Policy::key(&GroupName::from(group), name)).filter(|policy| policy.arn == arn)
}

/// A group's policies, in the order of their names.
pub fn of_group(tx: &Tx<'_>, group: &GroupName) -> Vec<Arc<Policy>> {
    tx.policies.starting_with(&Policy::key(group, "")).map(|(_, row)| row.clone()).collect()
}

/// Stores a policy; a target tracking policy gets its two alarms anew.
pub fn put(tx: &mut Tx<'_>, policy: Policy) {
    if let Some(old) = tx.get::<Policy>(&policy.id()) {
        delete_alarms(tx, &old);
        predictive::forget_unless_same(tx, &old, &policy);
    }
    put_alarms(tx, &policy);
    tx.put(policy);
}

/// Deletes a policy by its row's id, with the alarms that belong to it.
pub fn delete(tx: &mut Tx<'_>, id: &str) {
    if let Some(policy) = tx.get::<Policy>(id) {
        delete_alarms(tx, &policy);
        remove_action(tx, &policy.arn);
        tx.delete::<Policy>(id);
        tx.delete::<Forecast>(id);
    }
}

/// An alarm of the user's no longer names a policy that is gone.
fn remove_action(tx: &mut Tx<'_>, arn: &str) {
    let naming: Vec<AlarmName> = tx
        .all::<Alarm>()
        .filter(|alarm| {
            [&alarm.ok_actions, &alarm.alarm_actions, &alarm.insufficient_data_actions]
                .into_iter()
                .flatten()
                .any(|a| a == arn)
        })
        .map(|alarm| alarm.name.clone())
        .collect();
    for name in naming {
        tx.update(name.as_str(), |alarm: &mut Alarm| {
            for actions in [&mut alarm.ok_actions, &mut alarm.alarm_actions, &mut alarm.insufficient_data_actions] {
                actions.retain(|action| action != arn);
            }
        });
    }
}
