//! Scaling policies: what they make of an alarm, and the alarms that target
//! tracking keeps.

use super::groups::{self, Members};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::alarm::{AlarmRule, AlarmState, Comparison, INITIAL_REASON, MissingData};
use elastane_domain::group::DesiredChange;
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::scaling::{self, Candidate, Gate, Headcount};
use elastane_domain::series::{MetricId, Statistic};
use elastane_domain::time::Span;
use std::fmt;
use std::sync::Arc;

/// What set a policy off.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The alarm.
    pub alarm: AlarmName,
    /// Its latest datapoint.
    pub value: Option<f64>,
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
    let mut candidates = Vec::new();
    for (policy, trigger) in triggered.iter().filter(|(policy, _)| policy.enabled) {
        if let Some(capacity) = wanted(tx, (&row, members), policy, trigger, true) {
            candidates.push((Candidate { policy: policy.name.clone(), capacity }, trigger.alarm.clone()));
        }
    }
    let plain: Vec<Candidate> = candidates.iter().map(|(candidate, _)| candidate.clone()).collect();
    let Some(winner) = scaling::winner(&plain) else { return };
    let Some((_, alarm)) = candidates.iter().find(|(candidate, _)| candidate == winner) else { return };
    let change = DesiredChange::Policy { alarm: alarm.clone(), policy: winner.policy.clone() };
    start_cooldown(tx, &row, &winner.policy);
    groups::set_desired(tx, group, winner.capacity, &change);
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
    let trigger = Trigger { alarm: AlarmName::from(""), value, threshold: threshold.unwrap_or_default() };
    match &policy.kind {
        PolicyKind::TargetTracking { .. } => return Err(PolicyError::NotExecutable),
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
    if let Some(capacity) = wanted(tx, (&group, &members), policy, &trigger, honor_cooldown) {
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

/// The capacity that a policy asks for; `None` when it asks for no change.
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
            let capacity = scaling::adjust(*adjustment, group.desired, *amount, *min_magnitude, group.bounds);
            (capacity != group.desired).then_some(capacity)
        }
        PolicyKind::Step { adjustment, min_magnitude, steps, warmup, .. } => {
            let standing = standing(tx, (group, members), warmup_of(group, *warmup));
            let step = scaling::step_for(steps, trigger.value?, trigger.threshold)?;
            scaling::step_target(
                *adjustment,
                step.adjustment,
                *min_magnitude,
                standing.count,
                standing.scale_in_blocked,
            )
        }
        PolicyKind::TargetTracking { target, warmup, alarm_high, .. } => {
            let standing = standing(tx, (group, members), warmup_of(group, *warmup));
            let (count, value) = (standing.count, trigger.value?);
            if trigger.alarm == *alarm_high {
                return scaling::target_tracking_out(count.contributing, value, *target, count.desired, count.bounds);
            }
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
        PolicyKind::Step { .. } | PolicyKind::TargetTracking { .. } => return,
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

fn standing(tx: &Tx<'_>, (group, members): (&Group, &Members), warmup: Span) -> Standing {
    let (mut contributing, mut with_terminating, mut moving, mut warming) = (0, 0, false, false);
    let mut counted = 0;
    let working = |place: &&Membership| !place.lifecycle.is_warm() && place.lifecycle != LifecycleState::Standby;
    for membership in members.iter().filter_map(|instance| instance.membership.as_ref()).filter(working) {
        with_terminating += 1;
        match membership.lifecycle {
            state if state.is_pending() => (counted, moving, warming) = (counted + 1, true, true),
            LifecycleState::InService => {
                counted += 1;
                if scaling::warming(membership.in_service_since, warmup, tx.now) {
                    warming = true;
                } else {
                    contributing += 1;
                }
            }
            _ => moving = true,
        }
    }
    Standing {
        count: Headcount { desired: group.desired, contributing, with_terminating, bounds: group.bounds },
        scale_in_blocked: warming || counted < group.desired,
        activity_in_progress: moving || counted != group.desired,
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
            | PolicyKind::Step { .. } => true,
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
    let prefix = Policy::key(group, "");
    let range = tx.policies.range(prefix.clone()..).take_while(|(id, _)| id.starts_with(&prefix));
    range.map(|(_, row)| row.clone()).collect()
}

/// Keeps AlarmLow's threshold where the size of the group wants it.
pub(super) fn follow_capacity(tx: &mut Tx<'_>, group: &GroupName) {
    let Some(row) = tx.get::<Group>(group.as_str()) else { return };
    for policy in of_group(tx, group) {
        if let PolicyKind::TargetTracking { target, alarm_low: Some(low), .. } = &policy.kind {
            let threshold = scaling::low_threshold(*target, row.desired);
            tx.update(low.as_str(), |alarm: &mut Alarm| alarm.rule.threshold = threshold);
        }
    }
}

/// Stores a policy; a target tracking policy gets its two alarms anew.
pub fn put(tx: &mut Tx<'_>, policy: Policy) {
    if let Some(old) = tx.get::<Policy>(&policy.id()) {
        delete_alarms(tx, &old);
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

fn delete_alarms(tx: &mut Tx<'_>, policy: &Policy) {
    if let PolicyKind::TargetTracking { alarm_high, alarm_low, .. } = &policy.kind {
        tx.delete::<Alarm>(alarm_high.as_str());
        if let Some(low) = alarm_low {
            tx.delete::<Alarm>(low.as_str());
        }
    }
}

/// The two alarms of target tracking (autoscaling.md 9.2).
fn put_alarms(tx: &mut Tx<'_>, policy: &Policy) {
    const HIGH_PERIODS: u32 = 3;
    const LOW_PERIODS: u32 = 15;
    let PolicyKind::TargetTracking { target, metric, alarm_high, alarm_low, .. } = &policy.kind else { return };
    let desired = tx.get::<Group>(policy.group.as_str()).map_or(0, |group| group.desired);
    let (id, statistic, unit) = tracked(&policy.group, metric);
    let mut put = |name: &AlarmName, comparison, threshold, evaluation_periods| {
        let (now, arn) = (tx.now, tx.scope().arn("cloudwatch", &format!("alarm:{name}")));
        tx.put(Alarm {
            name: name.clone(),
            arn,
            description: Some(format!("DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {}.", policy.arn)),
            actions_enabled: true,
            ok_actions: Vec::new(),
            alarm_actions: vec![policy.arn.clone()],
            insufficient_data_actions: Vec::new(),
            metric: id.clone(),
            unit: unit.clone(),
            rule: AlarmRule {
                comparison,
                threshold,
                evaluation_periods,
                datapoints_to_alarm: None,
                treat_missing: MissingData::Missing,
                period: Span::from_secs(60),
                statistic,
                low_samples: None,
            },
            state: AlarmState::InsufficientData,
            state_reason: INITIAL_REASON.to_string(),
            state_reason_data: None,
            state_updated_at: now,
            state_transitioned_at: now,
            configured_at: now,
            owner: Some(policy.arn.clone()),
            history: Vec::new(),
            tags: Tags::new(),
        });
    };
    put(alarm_high, Comparison::GreaterThanThreshold, *target, HIGH_PERIODS);
    if let Some(low) = alarm_low {
        put(low, Comparison::LessThanThreshold, scaling::low_threshold(*target, desired), LOW_PERIODS);
    }
}

/// The CloudWatch metric behind a target tracking policy (autoscaling.md 9.1).
fn tracked(group: &GroupName, metric: &TrackedMetric) -> (MetricId, Statistic, Option<String>) {
    match metric {
        TrackedMetric::AverageCpu => {
            let id = MetricId::new("AWS/EC2", "CPUUtilization", &[("AutoScalingGroupName", group.as_str())]);
            (id, Statistic::Average, None)
        }
        TrackedMetric::RequestCountPerTarget { resource_label } => {
            let (load_balancer, target_group) = split_label(resource_label);
            let dimensions = [("LoadBalancer", load_balancer), ("TargetGroup", target_group)];
            (MetricId::new("AWS/ApplicationELB", "RequestCountPerTarget", &dimensions), Statistic::Sum, None)
        }
        TrackedMetric::Custom { namespace, name, dimensions, statistic, unit } => {
            let id = MetricId { namespace: namespace.clone(), name: name.clone(), dimensions: dimensions.clone() };
            (id, Statistic::from_name(statistic).unwrap_or(Statistic::Average), unit.clone())
        }
    }
}

/// `app/<lb>/<id>/targetgroup/<tg>/<id>` as the two dimensions' values.
pub fn split_label(label: &str) -> (&str, &str) {
    match label.find("/targetgroup/") {
        Some(at) => (&label[..at], &label[at + 1..]),
        None => (label, ""),
    }
}
