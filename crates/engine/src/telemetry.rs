//! Measurements of the world as CloudWatch samples: CPU of instances and
//! counters of the data plane, under AWS's names and dimensions
//! (cloudwatch.md 8, alb.md 11).

mod credits;

pub use credits::Tally;

use crate::reconcile::routing::actions;
use crate::reconcile::targets;
use crate::row::*;
use crate::scope::Scope;
use crate::state::{State, Tables};
use elastane_domain::id::{InstanceId, LoadBalancerArn, TargetGroupArn, Zone};
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::routing::TargetHealth;
use elastane_domain::scaling::warming;
use elastane_domain::series::{MetricId, MetricStore, StatisticSet, Unit};
use elastane_domain::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// CPU use of one instance over a minute.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuSample {
    /// The instance.
    pub instance: InstanceId,
    /// Percent of what its type may use.
    pub percent: f64,
}

/// What the data plane counted over a minute that just ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Start of the minute.
    pub at: Time,
    /// By load balancer.
    pub load_balancers: BTreeMap<LoadBalancerArn, Counts>,
    /// By target group; each belongs to one load balancer.
    pub target_groups: BTreeMap<TargetGroupArn, Counts>,
}

/// Counters of a load balancer, or of its part that went to one target group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests for which a target was chosen.
    pub requests: u64,
    /// `TargetResponseTime` in seconds, if a target answered.
    pub response_time: Option<StatisticSet>,
    /// Everything that is a plain count or a sum: metric name to value. Zero
    /// values are not published.
    pub sums: BTreeMap<&'static str, f64>,
}

const ELB: &str = "AWS/ApplicationELB";

/// Publishes `CPUUtilization` by instance, group, image, type and altogether.
pub(crate) fn record_cpu(state: &mut State, now: Time, at: Time, samples: &[CpuSample]) {
    for (scope, tables) in &state.scopes {
        let store = state.metrics.entry(scope.clone()).or_default();
        let known = samples.iter().filter_map(|s| Some((s, tables.instances.get(s.instance.as_str())?)));
        for (sample, instance) in known {
            let set = StatisticSet::of(sample.percent);
            let mut dimensions = vec![
                Some(("InstanceId", instance.id.to_string())),
                Some(("ImageId", instance.image.to_string())),
                Some(("InstanceType", instance.instance_type.clone())),
            ];
            dimensions.extend(counted_group(tables, instance, now).map(|group| Some(("AutoScalingGroupName", group))));
            dimensions.push(None);
            for dimension in &dimensions {
                let pairs: Vec<(&str, &str)> = dimension.iter().map(|(name, value)| (*name, value.as_str())).collect();
                publish(store, "AWS/EC2", "CPUUtilization", &pairs, Unit::Percent, at, set, now);
            }
        }
    }
    credits::record(state, now, at, samples);
}

/// The group whose aggregate an instance counts in: with a default warm-up,
/// not before it has warmed up (cloudwatch.md 8).
fn counted_group(tables: &Tables, instance: &Instance, now: Time) -> Option<String> {
    let membership = instance.membership.as_ref()?;
    let group = tables.groups.get(membership.group.as_str())?;
    let warm = group.default_warmup.is_none_or(|warmup| !warming(membership.in_service_since, warmup, now));
    let counted = membership.lifecycle == LifecycleState::InService && warm;
    counted.then(|| membership.group.to_string())
}

/// Publishes the data plane's minute, and each target group's hosts.
pub(crate) fn record_traffic(state: &mut State, now: Time, traffic: &Traffic) {
    let scopes: Vec<Scope> = state.scopes.keys().cloned().collect();
    for scope in scopes {
        let Some(tables) = state.scopes.get(&scope) else { continue };
        let mut samples = Samples { at: traffic.at, now, store: state.metrics.remove(&scope).unwrap_or_default() };
        let mut forwarded = forwarded(tables);
        for load_balancer in tables.load_balancers.values() {
            let dimension = load_balancer.dimension();
            if let Some(counts) = traffic.load_balancers.get(&load_balancer.arn) {
                samples.counts(&[("LoadBalancer", dimension)], counts);
            }
            let arns = forwarded.remove(&load_balancer.arn).unwrap_or_default();
            for group in arns.into_iter().filter_map(|arn| tables.target_groups.get(arn.as_str())) {
                let counts = traffic.target_groups.get(&group.arn);
                let hosts = count_hosts(state, tables, group);
                samples.target_group(dimension, group.dimension(), counts, &hosts);
            }
        }
        state.metrics.insert(scope, samples.store);
    }
}

/// The target groups that each load balancer's listeners forward to.
fn forwarded(tables: &Tables) -> BTreeMap<&LoadBalancerArn, BTreeSet<&TargetGroupArn>> {
    let mut forwarded: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (listener, action) in actions(tables) {
        let Some(listener) = tables.listeners.get(listener.as_str()) else { continue };
        forwarded.entry(&listener.load_balancer).or_default().extend(action.target_groups());
    }
    forwarded
}

/// Healthy and unhealthy hosts of a target group by zone.
fn count_hosts(state: &State, tables: &Tables, group: &TargetGroup) -> BTreeMap<Zone, (u32, u32)> {
    let mut hosts = BTreeMap::new();
    let prefix = format!("{}|", group.arn);
    let of_group = tables.targets.range(prefix.clone()..).take_while(|(id, _)| id.starts_with(&prefix));
    for target in of_group.map(|(_, target)| target).filter(|target| target.phase == TargetPhase::Registered) {
        let Some(key) = targets::key(tables, target) else { continue };
        let zone = match group.target_type {
            TargetType::Instance => tables.instances.get(&target.id).map(|row| row.zone.clone()),
            TargetType::Ip => None,
        };
        let zone = zone.unwrap_or_else(|| Zone::from("all"));
        let (healthy, unhealthy): &mut (u32, u32) = hosts.entry(zone).or_default();
        match state.seen.health.get(&key) {
            Some(TargetHealth::Healthy) => *healthy += 1,
            Some(TargetHealth::Unhealthy(_)) => *unhealthy += 1,
            Some(TargetHealth::Initial) | None => {}
        }
    }
    hosts
}

struct Samples {
    at: Time,
    now: Time,
    store: MetricStore,
}

impl Samples {
    fn put(&mut self, name: &str, dimensions: &[(&str, &str)], unit: Unit, set: StatisticSet) {
        publish(&mut self.store, ELB, name, dimensions, unit, self.at, set, self.now);
    }

    /// Counters that are published only when something was counted.
    fn counts(&mut self, dimensions: &[(&str, &str)], counts: &Counts) {
        if counts.requests > 0 {
            self.put("RequestCount", dimensions, Unit::Count, StatisticSet::of(counts.requests as f64));
        }
        if let Some(set) = counts.response_time {
            self.put("TargetResponseTime", dimensions, Unit::Seconds, set);
        }
        for (name, value) in counts.sums.iter().filter(|(_, value)| **value > 0.0) {
            let unit = if name.ends_with("Bytes") { Unit::Bytes } else { Unit::Count };
            self.put(name, dimensions, unit, StatisticSet::of(*value));
        }
    }

    fn target_group(
        &mut self,
        load_balancer: &str,
        group: &str,
        counts: Option<&Counts>,
        hosts: &BTreeMap<Zone, (u32, u32)>,
    ) {
        let both = [("LoadBalancer", load_balancer), ("TargetGroup", group)];
        if let Some(counts) = counts {
            self.counts(&both, counts);
        }
        let (healthy, unhealthy) = hosts.values().fold((0, 0), |sum, zone| (sum.0 + zone.0, sum.1 + zone.1));
        self.hosts(&both, healthy, unhealthy);
        for (zone, (healthy, unhealthy)) in hosts {
            self.hosts(&[both[0], both[1], ("AvailabilityZone", zone.as_str())], *healthy, *unhealthy);
        }
        // Always reported, zeros too: this is what lets target tracking reach 0.
        let requests = counts.map_or(0, |counts| counts.requests);
        let per_target = StatisticSet::of(requests as f64 / f64::from(healthy.max(1)));
        self.put("RequestCountPerTarget", &both, Unit::Count, per_target);
        self.put("RequestCountPerTarget", &both[1..], Unit::Count, per_target);
    }

    fn hosts(&mut self, dimensions: &[(&str, &str)], healthy: u32, unhealthy: u32) {
        self.put("HealthyHostCount", dimensions, Unit::Count, StatisticSet::of(f64::from(healthy)));
        self.put("UnHealthyHostCount", dimensions, Unit::Count, StatisticSet::of(f64::from(unhealthy)));
    }
}

/// Puts one sample. Our own samples are finite and recent; one that the store
/// refuses all the same is dropped, as CloudWatch drops late ones.
#[expect(clippy::too_many_arguments, reason = "a metric's identity has that many parts")]
fn publish(
    store: &mut MetricStore,
    namespace: &str,
    name: &str,
    dimensions: &[(&str, &str)],
    unit: Unit,
    at: Time,
    set: StatisticSet,
    now: Time,
) {
    let _ = store.put(MetricId::new(namespace, name, dimensions), unit, at, set, now);
}
