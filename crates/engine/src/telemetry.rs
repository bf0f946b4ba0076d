//! Measurements of the world as CloudWatch samples: CPU of instances and
//! counters of the data plane, under AWS's names and dimensions
//! (cloudwatch.md 8, alb.md 11).

mod credits;
mod group_metrics;
mod hosts;
mod names;
mod traffic;

pub use credits::Tally;
pub use group_metrics::GROUP_METRICS;
pub(crate) use group_metrics::record as record_group_metrics;
pub use hosts::HostCounts;
pub(crate) use hosts::count_changed as count_changed_hosts;
pub(crate) use traffic::record_traffic;
pub use traffic::{Counts, Traffic};

use crate::row::*;
use crate::state::{State, Tables};
use elastane_domain::id::InstanceId;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::scaling::warming;
use elastane_domain::series::{Distribution, MetricId, MetricStore, StatisticSet, Unit};
use elastane_domain::time::Time;

/// CPU use of one instance over a minute.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuSample {
    /// The instance.
    pub instance: InstanceId,
    /// Percent of what its type may use.
    pub percent: f64,
}

/// Bytes that one instance received and sent over a minute.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteSample {
    /// The instance.
    pub instance: InstanceId,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// Publishes `NetworkIn` and `NetworkOut` like `CPUUtilization`.
pub(crate) fn record_network(state: &mut State, now: Time, at: Time, samples: &[ByteSample]) {
    for (scope, tables) in &state.scopes {
        let store = state.metrics.entry(scope.clone()).or_default();
        let known = samples.iter().filter_map(|s| Some((s, tables.instances.get(s.instance.as_str())?)));
        for (sample, instance) in known {
            for dimension in &dimensions(tables, instance, now) {
                let pairs = pairs(dimension);
                for (name, bytes) in [("NetworkIn", sample.received), ("NetworkOut", sample.sent)] {
                    let set = StatisticSet::of(bytes as f64);
                    publish(store, "AWS/EC2", name, &pairs, Unit::Bytes, at, set, now);
                }
            }
        }
    }
}

/// What a measurement of an instance is published by: each of these on its
/// own, `None` for altogether.
fn dimensions(tables: &Tables, instance: &Instance, now: Time) -> Vec<Option<(&'static str, String)>> {
    let mut dimensions = vec![
        Some(("InstanceId", instance.id.to_string())),
        Some(("ImageId", instance.image.to_string())),
        Some(("InstanceType", instance.instance_type.clone())),
    ];
    dimensions.extend(counted_group(tables, instance, now).map(|group| Some(("AutoScalingGroupName", group))));
    dimensions.push(None);
    dimensions
}

fn pairs<'a>(dimension: &'a Option<(&'static str, String)>) -> Vec<(&'static str, &'a str)> {
    dimension.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Publishes `CPUUtilization` by instance, group, image, type and altogether.
pub(crate) fn record_cpu(state: &mut State, now: Time, at: Time, samples: &[CpuSample]) {
    for (scope, tables) in &state.scopes {
        let store = state.metrics.entry(scope.clone()).or_default();
        let known = samples.iter().filter_map(|s| Some((s, tables.instances.get(s.instance.as_str())?)));
        for (sample, instance) in known {
            let set = StatisticSet::of(sample.percent);
            for dimension in &dimensions(tables, instance, now) {
                let pairs = pairs(dimension);
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
    samples: impl Into<Distribution>,
    now: Time,
) {
    let _ = store.put(MetricId::new(namespace, name, dimensions), unit, at, samples, now);
}
