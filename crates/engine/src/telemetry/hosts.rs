//! Hosts of target groups: how many are healthy, and how many are not
//! (alb.md 11).
//!
//! They are counted at the end of a minute, and whenever a target falls ill: a
//! group replaces it at once, so that the end of the minute would not know of
//! it, nor would an alarm. Before the health of every target is known, as after
//! a restart, nothing is counted in between.

use crate::reconcile::{target_states, targets};
use crate::row::*;
use crate::state::{State, Tables};
use elastane_domain::id::{TargetGroupArn, Zone};
use elastane_domain::routing::{TargetHealth, TargetKey};
use elastane_domain::series::StatisticSet;
use std::collections::{BTreeMap, BTreeSet};

/// Targets of a group in one zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    pub healthy: u32,
    pub unhealthy: u32,
    pub anomalous: u32,
    pub mitigated: u32,
    /// Those of which nothing was heard yet.
    pub unknown: u32,
}

impl Hosts {
    pub(super) fn add(&mut self, other: &Hosts) {
        self.healthy += other.healthy;
        self.unhealthy += other.unhealthy;
        self.anomalous += other.anomalous;
        self.mitigated += other.mitigated;
        self.unknown += other.unknown;
    }
}

/// What was counted of a target group, or of its part in one zone, since it
/// was last reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counted {
    pub healthy: StatisticSet,
    pub unhealthy: StatisticSet,
}

/// By zone; `None` is the whole group.
pub(super) type ByZone = BTreeMap<Option<Zone>, Counted>;

/// What was counted between the ends of minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostCounts {
    /// Groups in which a target fell ill since they were counted.
    changed: BTreeSet<TargetGroupArn>,
    counted: BTreeMap<TargetGroupArn, ByZone>,
}

impl HostCounts {
    /// A target was heard to be unhealthy, and was not before.
    pub(crate) fn fell_ill(&mut self, target: &TargetKey) {
        self.changed.insert(target.group.clone());
    }

    /// What was counted of a group; it begins anew.
    pub(super) fn take(&mut self) -> BTreeMap<TargetGroupArn, ByZone> {
        std::mem::take(&mut self.counted)
    }
}

/// Counts the groups in which a target fell ill, before anything is done about it.
pub(crate) fn count_changed(state: &mut State) {
    for arn in std::mem::take(&mut state.seen.hosts.changed) {
        let found = state.scopes.values().find_map(|tables| Some((tables, tables.target_groups.get(arn.as_str())?)));
        let Some((tables, group)) = found else { continue };
        let zones = count(state, tables, group);
        let mut whole = Hosts::default();
        for hosts in zones.values() {
            whole.add(hosts);
        }
        if whole.unknown > 0 {
            continue;
        }
        let counted = state.seen.hosts.counted.entry(arn).or_default();
        let parts = zones.into_iter().map(|(zone, hosts)| (Some(zone), hosts));
        for (zone, hosts) in parts.chain([(None, whole)]) {
            let healthy = StatisticSet::of(f64::from(hosts.healthy));
            let unhealthy = StatisticSet::of(f64::from(hosts.unhealthy));
            counted
                .entry(zone)
                .and_modify(|sets| {
                    sets.healthy.merge(&healthy);
                    sets.unhealthy.merge(&unhealthy);
                })
                .or_insert(Counted { healthy, unhealthy });
        }
    }
}

/// Hosts of a target group by zone, as they are now.
pub(super) fn count(state: &State, tables: &Tables, group: &TargetGroup) -> BTreeMap<Zone, Hosts> {
    let mut hosts: BTreeMap<Zone, Hosts> = BTreeMap::new();
    let of_group = tables.targets.starting_with(&format!("{}|", group.arn));
    for target in of_group.map(|(_, target)| target).filter(|target| target.phase == TargetPhase::Registered) {
        let Some(key) = targets::key(tables, target) else { continue };
        let zone = target_states::zone(tables, group, target).cloned().unwrap_or_else(|| Zone::from("all"));
        let hosts = hosts.entry(zone).or_default();
        match state.seen.health.get(&key) {
            Some(TargetHealth::Healthy) => hosts.healthy += 1,
            Some(TargetHealth::Unhealthy(_)) => hosts.unhealthy += 1,
            Some(TargetHealth::Initial) => {}
            None => hosts.unknown += 1,
        }
        if let Some(seen) = state.seen.anomalies.get(&key) {
            hosts.anomalous += u32::from(seen.anomalous);
            hosts.mitigated += u32::from(seen.mitigated);
        }
    }
    hosts
}
