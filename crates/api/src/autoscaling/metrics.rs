//! Which group metrics are collected.

use super::{errors, lookup};
use crate::{Call, Change};
use elastane_engine::row::Group;
use elastane_engine::telemetry::GROUP_METRICS;
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeSet;

/// The only granularity that there is.
pub const GRANULARITY: &str = "1Minute";

/// EnableMetricsCollection; without names all metrics are collected.
pub fn enable_metrics_collection(
    change: &mut Change<'_, '_>,
    input: &wire::EnableMetricsCollectionQuery,
) -> Result<wire::EnableMetricsCollectionOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    match input.granularity.as_deref() {
        Some(GRANULARITY) => {}
        Some(other) => {
            return Err(errors::invalid(format!(
                "Invalid Granularity: {other}. The only valid value is {GRANULARITY}."
            )));
        }
        None => return Err(errors::missing("Granularity")),
    }
    let names = names(&input.metrics)?;
    change.update(group.name.as_str(), |row: &mut Group| row.metrics.extend(names));
    Ok(wire::EnableMetricsCollectionOutput {})
}

/// DisableMetricsCollection; without names no metric is collected.
pub fn disable_metrics_collection(
    change: &mut Change<'_, '_>,
    input: &wire::DisableMetricsCollectionQuery,
) -> Result<wire::DisableMetricsCollectionOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let names = names(&input.metrics)?;
    change.update(group.name.as_str(), |row: &mut Group| row.metrics.retain(|name| !names.contains(name)));
    Ok(wire::DisableMetricsCollectionOutput {})
}

fn names(given: &[String]) -> Result<BTreeSet<String>, ApiError> {
    if let Some(other) = given.iter().find(|name| !GROUP_METRICS.contains(&name.as_str())) {
        return Err(errors::invalid(format!(
            "Invalid metric: {other}. Valid metrics are: {}",
            GROUP_METRICS.join(", ")
        )));
    }
    Ok(match given.is_empty() {
        true => GROUP_METRICS.iter().map(ToString::to_string).collect(),
        false => given.iter().cloned().collect(),
    })
}

/// What a group collects, as an answer has it.
pub fn shown(group: &Group) -> Vec<wire::EnabledMetric> {
    let collected = GROUP_METRICS.iter().filter(|name| group.metrics.contains(**name));
    let one = |name: &&str| wire::EnabledMetric {
        granularity: Some(GRANULARITY.to_string()),
        metric: Some(name.to_string()),
    };
    collected.map(one).collect()
}

/// DescribeMetricCollectionTypes.
pub fn describe_metric_collection_types(
    _: &Call<'_>,
    _: &wire::DescribeMetricCollectionTypesRequest,
) -> Result<wire::DescribeMetricCollectionTypesAnswer, ApiError> {
    let metric = |name: &&str| wire::MetricCollectionType { metric: Some(name.to_string()) };
    Ok(wire::DescribeMetricCollectionTypesAnswer {
        granularities: vec![wire::MetricGranularityType { granularity: Some(GRANULARITY.to_string()) }],
        metrics: GROUP_METRICS.iter().map(metric).collect(),
    })
}
