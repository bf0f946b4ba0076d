//! The metrics that target tracking policies follow: predefined ones, single
//! metrics and metric math.

use super::errors;
use elastane_domain::series::math::{self, MetricStat, Query, Source};
use elastane_domain::series::{MetricId, Statistic, Unit};
use elastane_domain::time::Span;
use elastane_engine::row::{Group, LoadBalancer, TargetGroup, TrackedMetric};
use elastane_engine::{View, policy};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::{BTreeMap, BTreeSet};

/// Dimensions of a metric (cloudwatch.md 2).
const DIMENSIONS_MAX: usize = 30;

/// Members of `Metrics`, as for alarms (cloudwatch.md 4).
const QUERIES_MAX: usize = 20;

/// What a TargetTrackingConfiguration follows.
pub fn tracked(
    view: &View<'_>,
    group: &Group,
    given: &wire::TargetTrackingConfiguration,
) -> Result<TrackedMetric, ApiError> {
    match (&given.predefined_metric_specification, &given.customized_metric_specification) {
        (Some(predefined), None) => predefined_metric(view, group, predefined),
        (None, Some(custom)) => custom_metric(custom),
        (None, None) | (Some(_), Some(_)) => Err(errors::invalid(
            "A TargetTrackingConfiguration needs either a PredefinedMetricSpecification or a CustomizedMetricSpecification.",
        )),
    }
}

fn predefined_metric(
    view: &View<'_>,
    group: &Group,
    given: &wire::PredefinedMetricSpecification,
) -> Result<TrackedMetric, ApiError> {
    let name = given.predefined_metric_type.as_deref().ok_or_else(|| errors::missing("PredefinedMetricType"))?;
    match (name, given.resource_label.as_deref()) {
        ("ALBRequestCountPerTarget", Some(label)) => {
            check_label(view, group, label)?;
            Ok(TrackedMetric::RequestCountPerTarget { resource_label: label.to_string() })
        }
        ("ALBRequestCountPerTarget", None) => {
            Err(errors::missing("ResourceLabel with the metric type ALBRequestCountPerTarget"))
        }
        (_, Some(_)) => Err(errors::invalid(format!("ResourceLabel is not valid with the metric type {name}."))),
        ("ASGAverageCPUUtilization", None) => Ok(TrackedMetric::AverageCpu),
        ("ASGAverageNetworkIn", None) => Ok(TrackedMetric::AverageNetworkIn),
        ("ASGAverageNetworkOut", None) => Ok(TrackedMetric::AverageNetworkOut),
        (other, None) => Err(errors::unsupported(&format!("Predefined metric type {other}"))),
    }
}

/// A label names a load balancer and one of the group's target groups.
pub fn check_label(view: &View<'_>, group: &Group, label: &str) -> Result<(), ApiError> {
    let (load_balancer, target_group) = policy::split_label(label);
    let attached = group.target_groups.iter().filter_map(|arn| view.get::<TargetGroup>(arn.as_str()));
    let attached = attached.into_iter().any(|row| row.dimension() == target_group);
    let exists = view.all::<LoadBalancer>().any(|row| row.dimension() == load_balancer);
    if target_group.is_empty() || !load_balancer.starts_with("app/") {
        return Err(errors::invalid(format!(
            "Resource label {label} is invalid: it must have the form \
             app/<load balancer name>/<id>/targetgroup/<target group name>/<id>."
        )));
    }
    if !exists {
        return Err(errors::invalid(format!("Resource label {label} is invalid: the load balancer was not found.")));
    }
    if !attached {
        return Err(errors::invalid(format!(
            "Resource label {label} is invalid: the target group is not attached to the group {}.",
            group.name
        )));
    }
    Ok(())
}

fn custom_metric(given: &wire::CustomizedMetricSpecification) -> Result<TrackedMetric, ApiError> {
    if !given.metrics.is_empty() {
        return metric_math(given);
    }
    let required = |value: &Option<String>, member: &str| value.clone().ok_or_else(|| errors::missing(member));
    let statistic = required(&given.statistic, "Statistic")?;
    if Statistic::from_name(&statistic).is_none() {
        return Err(errors::invalid(format!("Invalid Statistic: {statistic}")));
    }
    unit(given.unit.as_deref())?;
    Ok(TrackedMetric::Custom {
        namespace: required(&given.namespace, "Namespace")?,
        name: required(&given.metric_name, "MetricName")?,
        dimensions: dimensions(&given.dimensions)?,
        statistic,
        unit: given.unit.clone(),
        period: given.period.map(|secs| period(Some(secs))).transpose()?,
    })
}

/// A CustomizedMetricSpecification of Metrics (autoscaling.md 9.1).
fn metric_math(given: &wire::CustomizedMetricSpecification) -> Result<TrackedMetric, ApiError> {
    errors::refuse_foreign(
        "a CustomizedMetricSpecification with Metrics",
        &[
            ("MetricName", given.metric_name.is_some()),
            ("Namespace", given.namespace.is_some()),
            ("Dimensions", !given.dimensions.is_empty()),
            ("Statistic", given.statistic.is_some()),
            ("Unit", given.unit.is_some()),
            ("Period", given.period.is_some()),
        ],
    )?;
    if given.metrics.len() > QUERIES_MAX {
        return Err(errors::invalid(format!("Metrics may hold at most {QUERIES_MAX} queries")));
    }
    let mut ids = BTreeSet::new();
    let mut queries = Vec::new();
    for query in &given.metrics {
        let query = read_query(query)?;
        if !ids.insert(query.id.clone()) {
            return Err(errors::invalid(format!("The Id {} is given twice in Metrics", query.id)));
        }
        queries.push(query);
    }
    math::check_single(&queries).map_err(|err| errors::invalid(err.to_string()))?;
    let period = math::period(&queries).ok_or_else(|| errors::missing("a MetricStat in Metrics"))?;
    if math::stats(&queries).any(|stat| stat.period != period) {
        return Err(errors::invalid("All Metrics must have the same Period."));
    }
    Ok(TrackedMetric::Math { queries })
}

fn read_query(given: &wire::TargetTrackingMetricDataQuery) -> Result<Query, ApiError> {
    let id = given.id.clone().ok_or_else(|| errors::missing("an Id in each of Metrics"))?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !id.starts_with(|c: char| c.is_ascii_lowercase()) || !id.chars().all(word) {
        return Err(errors::invalid(format!("Invalid Id in Metrics: {id}")));
    }
    let source = match (&given.metric_stat, &given.expression) {
        (None, Some(expression)) => Source::Expression(expression.clone()),
        (Some(stat), None) => Source::Stat(read_stat(stat, given.period)?),
        (None, None) | (Some(_), Some(_)) => {
            return Err(errors::invalid(format!("The query {id} needs either a MetricStat or an Expression.")));
        }
    };
    let own = matches!(source, Source::Expression(_)).then_some(given.period).flatten();
    Ok(Query {
        id,
        source,
        label: given.label.clone(),
        returned: given.return_data.unwrap_or(true),
        period: own.map(|secs| period(Some(secs))).transpose()?,
    })
}

fn read_stat(given: &wire::TargetTrackingMetricStat, outer: Option<i32>) -> Result<MetricStat, ApiError> {
    let required = |value: &Option<String>, member: &str| value.clone().ok_or_else(|| errors::missing(member));
    let metric = given.metric.as_ref().ok_or_else(|| errors::missing("Metric in each MetricStat"))?;
    let statistic = required(&given.stat, "Stat in each MetricStat")?;
    let known = Statistic::from_name(&statistic).or_else(|| Statistic::percentile(&statistic));
    Ok(MetricStat {
        metric: MetricId {
            namespace: required(&metric.namespace, "Namespace")?,
            name: required(&metric.metric_name, "MetricName")?,
            dimensions: dimensions(&metric.dimensions)?,
        },
        period: period(given.period.or(outer))?,
        statistic: known.ok_or_else(|| errors::invalid(format!("Invalid Stat: {statistic}")))?,
        unit: unit(given.unit.as_deref())?,
    })
}

fn unit(name: Option<&str>) -> Result<Option<Unit>, ApiError> {
    let unknown = |name: &str| errors::invalid(format!("Invalid Unit: {name}"));
    name.map(|name| Unit::from_name(name).ok_or_else(|| unknown(name))).transpose()
}

/// A minute when it is not given.
fn period(secs: Option<i32>) -> Result<Span, ApiError> {
    match secs.unwrap_or(60) {
        60 => Ok(Span::from_secs(60)),
        secs @ (10 | 30) => Err(errors::unsupported(&format!("A metric Period of {secs} seconds"))),
        other => Err(errors::invalid(format!("Invalid Period: {other}. Valid periods are 10, 30 and 60 seconds."))),
    }
}

fn dimensions(given: &[wire::MetricDimension]) -> Result<BTreeMap<String, String>, ApiError> {
    let required = |value: &Option<String>, member: &str| value.clone().ok_or_else(|| errors::missing(member));
    let mut dimensions = BTreeMap::new();
    for dimension in given {
        let (name, value) = (required(&dimension.name, "Name")?, required(&dimension.value, "Value")?);
        if dimensions.insert(name.clone(), value).is_some() {
            return Err(errors::invalid(format!("The dimension {name} is given twice")));
        }
    }
    if dimensions.len() > DIMENSIONS_MAX {
        return Err(errors::invalid(format!("A metric may have at most {DIMENSIONS_MAX} dimensions")));
    }
    Ok(dimensions)
}

/// The two forms of a metric in an answer, one of which is there.
type ShownMetric = (Option<wire::PredefinedMetricSpecification>, Option<wire::CustomizedMetricSpecification>);

/// A metric as an answer has it.
pub fn shown(metric: &TrackedMetric) -> ShownMetric {
    let predefined = |name: &str, label: Option<&String>| wire::PredefinedMetricSpecification {
        predefined_metric_type: Some(name.to_string()),
        resource_label: label.cloned(),
    };
    match metric {
        TrackedMetric::AverageCpu => (Some(predefined("ASGAverageCPUUtilization", None)), None),
        TrackedMetric::AverageNetworkIn => (Some(predefined("ASGAverageNetworkIn", None)), None),
        TrackedMetric::AverageNetworkOut => (Some(predefined("ASGAverageNetworkOut", None)), None),
        TrackedMetric::RequestCountPerTarget { resource_label } => {
            (Some(predefined("ALBRequestCountPerTarget", Some(resource_label))), None)
        }
        TrackedMetric::Custom { namespace, name, dimensions, statistic, unit, period } => {
            let custom = wire::CustomizedMetricSpecification {
                dimensions: shown_dimensions(dimensions),
                metric_name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                statistic: Some(statistic.clone()),
                unit: unit.clone(),
                period: period.map(|span| span.seconds() as i32),
                ..Default::default()
            };
            (None, Some(custom))
        }
        TrackedMetric::Math { queries } => {
            let metrics = queries.iter().map(shown_query).collect();
            (None, Some(wire::CustomizedMetricSpecification { metrics, ..Default::default() }))
        }
    }
}

fn shown_dimensions(dimensions: &BTreeMap<String, String>) -> Vec<wire::MetricDimension> {
    let one = |(name, value): (&String, &String)| wire::MetricDimension {
        name: Some(name.clone()),
        value: Some(value.clone()),
    };
    dimensions.iter().map(one).collect()
}

fn shown_query(query: &Query) -> wire::TargetTrackingMetricDataQuery {
    let (metric_stat, expression) = match &query.source {
        Source::Expression(text) => (None, Some(text.clone())),
        Source::Stat(stat) => {
            let metric = wire::Metric {
                dimensions: shown_dimensions(&stat.metric.dimensions),
                metric_name: Some(stat.metric.name.clone()),
                namespace: Some(stat.metric.namespace.clone()),
            };
            let stat = wire::TargetTrackingMetricStat {
                metric: Some(metric),
                period: (stat.period != Span::from_mins(1)).then(|| stat.period.seconds() as i32),
                stat: Some(stat.statistic.name().into_owned()),
                unit: stat.unit.map(|unit| unit.name().to_string()),
            };
            (Some(stat), None)
        }
    };
    wire::TargetTrackingMetricDataQuery {
        expression,
        id: Some(query.id.clone()),
        label: query.label.clone(),
        metric_stat,
        period: query.period.map(|span| span.seconds() as i32),
        return_data: Some(query.returned),
    }
}
