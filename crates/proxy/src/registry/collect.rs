//! What is told about counters: by load balancer, target group and target,
//! and by zone below the first two.

use super::{Entry, Registry, Watching};
use crate::metrics::Report;
use elastane_domain::id::{LoadBalancerArn, TargetGroupArn, Zone};
use elastane_domain::routing::{TargetHealth, TargetKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, btree_map};
use std::sync::Arc;

/// Counters of one load balancer since the last collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerReport {
    /// The load balancer.
    pub arn: LoadBalancerArn,
    /// What happened, in all zones and at none.
    pub report: Report,
    /// What happened by zone of the node, in the order of the zones.
    pub zones: Vec<BalancerZoneReport>,
}

/// Counters of a load balancer's nodes in one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerZoneReport {
    /// The zone.
    pub zone: Zone,
    /// What happened.
    pub report: Report,
}

/// Counters of one target group since the last collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// The target group.
    pub arn: TargetGroupArn,
    /// What happened.
    pub report: Report,
    /// Registered targets that are healthy now; 0 for a group that is not checked.
    pub healthy: u32,
    /// Registered targets that are unhealthy now; those still initial are neither.
    pub unhealthy: u32,
    /// Its parts by zone of the target, in the order of the zones.
    pub zones: Vec<GroupZoneReport>,
}

/// Counters of a target group's targets in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupZoneReport {
    /// The zone; `None` for targets outside of all zones.
    pub zone: Option<Zone>,
    /// What happened.
    pub report: Report,
    /// Healthy targets there.
    pub healthy: u32,
    /// Unhealthy targets there.
    pub unhealthy: u32,
    /// Anomalous targets there (`AnomalousHostCount`).
    pub anomalous: u32,
    /// Targets there that get fewer requests for it (`MitigatedHostCount`).
    pub mitigated: u32,
}

/// Counters of one target since the last collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The target.
    pub key: TargetKey,
    /// What happened.
    pub report: Report,
}

/// Everything since the last collection, in the order of ARNs and addresses.
/// What vanished from the snapshot is in one last collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// By load balancer.
    pub load_balancers: Vec<BalancerReport>,
    /// By target group.
    pub target_groups: Vec<GroupReport>,
    /// By target.
    pub targets: Vec<TargetReport>,
}

impl Counters {
    /// Adds what another proxy counted in the same time. Hosts are not added:
    /// every proxy checks all targets.
    pub fn merge(&mut self, other: Counters) {
        join(
            &mut self.load_balancers,
            other.load_balancers,
            |one| &one.arn,
            |one, more| {
                one.report.merge(&more.report);
                join(&mut one.zones, more.zones, |zone| &zone.zone, |one, more| one.report.merge(&more.report));
            },
        );
        join(
            &mut self.target_groups,
            other.target_groups,
            |one| &one.arn,
            |one, more| {
                one.report.merge(&more.report);
                join(&mut one.zones, more.zones, |zone| &zone.zone, |one, more| one.report.merge(&more.report));
            },
        );
        join(&mut self.targets, other.targets, |one| &one.key, |one, more| one.report.merge(&more.report));
    }
}

/// Merges each of `theirs` into the one of `mine` that has its key, else adds
/// it; in the order of the keys.
fn join<T, K: Ord + Clone>(mine: &mut Vec<T>, theirs: Vec<T>, key: fn(&T) -> &K, merge: fn(&mut T, T)) {
    let mut sum: BTreeMap<K, T> = mine.drain(..).map(|one| (key(&one).clone(), one)).collect();
    for more in theirs {
        match sum.entry(key(&more).clone()) {
            btree_map::Entry::Occupied(mut one) => merge(one.get_mut(), more),
            btree_map::Entry::Vacant(place) => drop(place.insert(more)),
        }
    }
    mine.extend(sum.into_values());
}

impl Registry {
    /// What happened since the last call; forgets what vanished.
    pub(crate) fn collect(&mut self) -> Counters {
        let mut counters = Counters::default();
        for (arn, balancer) in &mut self.balancers {
            let mut report = balancer.entry.seen.report(&balancer.entry.state.ledger);
            let mut zones: BTreeMap<&Zone, Report> = BTreeMap::new();
            for ((zone, _), node) in &mut balancer.nodes {
                let of_node = node.seen.report(&node.state.ledger);
                report.merge(&of_node);
                zones.entry(zone).or_default().merge(&of_node);
            }
            let zones = zones.into_iter().filter(|(zone, _)| !zone.as_str().is_empty());
            let zones = zones.map(|(zone, report)| BalancerZoneReport { zone: zone.clone(), report }).collect();
            counters.load_balancers.push(BalancerReport { arn: arn.clone(), report, zones });
        }
        let mut hosts: HashMap<(TargetGroupArn, Option<Zone>), GroupZoneReport> = HashMap::new();
        for (key, target) in &mut self.targets {
            let report = target.entry.seen.report(&target.entry.state.ledger);
            counters.targets.push(TargetReport { key: key.clone(), report });
            if target.watching != Watching::Not {
                let place = (key.group.clone(), target.entry.state.zone.zone.clone());
                let part = hosts.entry(place).or_default();
                match target.health.health() {
                    TargetHealth::Healthy => part.healthy += 1,
                    TargetHealth::Unhealthy(_) => part.unhealthy += 1,
                    TargetHealth::Initial => {}
                }
                part.anomalous += u32::from(target.anomaly.0);
                part.mitigated += u32::from(target.anomaly.1);
            }
        }
        for (arn, group) in &mut self.groups {
            let mut report = group.entry.seen.report(&group.entry.state.ledger);
            let (mut healthy, mut unhealthy, mut zones) = (0, 0, Vec::new());
            for (zone, entry) in &mut group.zones {
                let part = hosts.remove(&(arn.clone(), zone.clone())).unwrap_or_default();
                let of_zone = entry.seen.report(&entry.state.ledger);
                report.merge(&of_zone);
                healthy += part.healthy;
                unhealthy += part.unhealthy;
                zones.push(GroupZoneReport { zone: zone.clone(), report: of_zone, ..part });
            }
            counters.target_groups.push(GroupReport { arn: arn.clone(), report, healthy, unhealthy, zones });
        }
        self.forget_gone();
        counters
    }

    /// Nobody but the book holds what no thread uses any more.
    fn forget_gone(&mut self) {
        fn unused<S>(entry: &Entry<S>) -> bool {
            entry.gone && Arc::strong_count(&entry.state) == 1
        }
        for balancer in self.balancers.values_mut() {
            balancer.nodes.retain(|_, node| !unused(node));
        }
        self.balancers.retain(|_, balancer| !unused(&balancer.entry) || !balancer.nodes.is_empty());
        self.targets.retain(|_, target| target.checking || !unused(&target.entry));
        for group in self.groups.values_mut() {
            group.zones.retain(|_, zone| !unused(zone));
        }
        self.groups.retain(|_, group| !unused(&group.entry) || !group.zones.is_empty());
    }
}
