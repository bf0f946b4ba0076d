//! Group metrics: sizes of groups and of their warm pools as CloudWatch
//! samples, once a minute, for groups whose collection is enabled
//! (autoscaling.md 17).

use super::publish;
use crate::row::{Group, Membership};
use crate::state::Tx;
use elastane_domain::group::WarmPool;
use elastane_domain::id::GroupName;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::series::{StatisticSet, Unit};
use elastane_domain::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of the metrics that can be collected, in AWS's order. Those of
/// predictive scaling are published by its policies.
pub const GROUP_METRICS: [&str; 24] = [
    "GroupMinSize",
    "GroupMaxSize",
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupInServiceCapacity",
    "GroupPendingInstances",
    "GroupPendingCapacity",
    "GroupTerminatingInstances",
    "GroupTerminatingCapacity",
    "GroupStandbyInstances",
    "GroupStandbyCapacity",
    "GroupTotalInstances",
    "GroupTotalCapacity",
    "WarmPoolMinSize",
    "WarmPoolDesiredCapacity",
    "WarmPoolPendingCapacity",
    "WarmPoolTerminatingCapacity",
    "WarmPoolWarmedCapacity",
    "WarmPoolTotalCapacity",
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
    "PredictiveScalingLoadForecast",
    "PredictiveScalingCapacityForecast",
    "PredictiveScalingMetricPairCorrelation",
];

/// Members and their weights, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    instances: u32,
    capacity: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tallies {
    in_service: Tally,
    pending: Tally,
    terminating: Tally,
    standby: Tally,
    warm: u32,
    warm_pending: u32,
    warm_terminating: u32,
}

/// Writes the metrics of every group that collects some, for the minute that
/// begins at `at`.
pub(crate) fn record(tx: &mut Tx<'_>, at: Time) {
    let groups: Vec<Arc<Group>> = tx.all::<Group>().filter(|group| !group.metrics.is_empty()).cloned().collect();
    if groups.is_empty() {
        return;
    }
    let mut tallies: BTreeMap<GroupName, Tallies> = BTreeMap::new();
    for place in tx.instances.values().filter_map(|instance| instance.membership.as_ref()) {
        tallies.entry(place.group.clone()).or_default().add(place);
    }
    let now = tx.now;
    let store = tx.metrics_mut();
    for group in groups {
        let tally = tallies.get(&group.name).copied().unwrap_or_default();
        for (name, value) in figures(&group, &tally) {
            if group.metrics.contains(name) {
                let dimensions = [("AutoScalingGroupName", group.name.as_str())];
                let set = StatisticSet::of(f64::from(value));
                publish(store, "AWS/AutoScaling", name, &dimensions, Unit::None, at, set, now);
            }
        }
    }
}

impl Tallies {
    fn add(&mut self, place: &Membership) {
        use LifecycleState::*;
        let tally = match place.lifecycle {
            InService => &mut self.in_service,
            Pending | PendingWait | PendingProceed => &mut self.pending,
            Terminating | TerminatingWait | TerminatingProceed | Detaching => &mut self.terminating,
            Standby | EnteringStandby => &mut self.standby,
            WarmedPending | WarmedPendingWait | WarmedPendingProceed => return self.warm_pending += place.weight,
            WarmedStopped | WarmedRunning | WarmedHibernated => return self.warm += place.weight,
            WarmedTerminating | WarmedTerminatingWait | WarmedTerminatingProceed => {
                return self.warm_terminating += place.weight;
            }
            TerminatingRetained | Terminated | WarmedTerminated => return,
        };
        tally.instances += 1;
        tally.capacity += place.weight;
    }
}

fn figures(group: &Group, tally: &Tallies) -> Vec<(&'static str, u32)> {
    let total = |of: fn(Tally) -> u32| of(tally.in_service) + of(tally.pending) + of(tally.terminating);
    let total_capacity = total(|tally| tally.capacity);
    let mut figures = vec![
        ("GroupMinSize", group.bounds.min),
        ("GroupMaxSize", group.bounds.max),
        ("GroupDesiredCapacity", group.desired),
        ("GroupInServiceInstances", tally.in_service.instances),
        ("GroupInServiceCapacity", tally.in_service.capacity),
        ("GroupPendingInstances", tally.pending.instances),
        ("GroupPendingCapacity", tally.pending.capacity),
        ("GroupTerminatingInstances", tally.terminating.instances),
        ("GroupTerminatingCapacity", tally.terminating.capacity),
        ("GroupStandbyInstances", tally.standby.instances),
        ("GroupStandbyCapacity", tally.standby.capacity),
        ("GroupTotalInstances", total(|tally| tally.instances)),
        ("GroupTotalCapacity", total_capacity),
    ];
    if let Some(pool) = &group.warm_pool {
        let desired = desired(group, pool);
        let warm_total = tally.warm + tally.warm_pending + tally.warm_terminating;
        figures.extend([
            ("WarmPoolMinSize", pool.min),
            ("WarmPoolDesiredCapacity", desired),
            ("WarmPoolPendingCapacity", tally.warm_pending),
            ("WarmPoolTerminatingCapacity", tally.warm_terminating),
            ("WarmPoolWarmedCapacity", tally.warm),
            ("WarmPoolTotalCapacity", warm_total),
            ("GroupAndWarmPoolDesiredCapacity", group.desired + desired),
            ("GroupAndWarmPoolTotalCapacity", total_capacity + warm_total),
        ]);
    }
    figures
}

/// How many instances the pool should have (autoscaling.md 12).
fn desired(group: &Group, pool: &WarmPool) -> u32 {
    if pool.deleting {
        return 0;
    }
    pool.max_prepared.unwrap_or(group.bounds.max).saturating_sub(group.desired).max(pool.min)
}
