//! The kinds of scaling policies: from members of a call to what the engine
//! follows, and back.

use super::{errors, settings};
use crate::Change;
use elastane_domain::id::AlarmName;
use elastane_domain::scaling::{self, AdjustmentType, Step};
use elastane_domain::series::{Statistic, Unit};
use elastane_engine::row::{Group, LoadBalancer, PolicyKind, TargetGroup, TrackedMetric};
use elastane_engine::{View, policy};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeMap;

/// Dimensions of a metric (cloudwatch.md 2).
const DIMENSIONS_MAX: usize = 30;

/// AWS's word for the kind.
pub fn type_name(kind: &PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Simple { .. } => "SimpleScaling",
        PolicyKind::Step { .. } => "StepScaling",
        PolicyKind::TargetTracking { .. } => "TargetTrackingScaling",
    }
}

/// What a PutScalingPolicy asks for. A Cooldown is let through for every
/// kind: clients send it, and only simple scaling has one.
pub fn read(
    change: &mut Change<'_, '_>,
    group: &Group,
    input: &wire::PutScalingPolicyType,
) -> Result<PolicyKind, ApiError> {
    match input.policy_type.as_deref().unwrap_or("SimpleScaling") {
        "SimpleScaling" => simple(input),
        "StepScaling" => step(input),
        "TargetTrackingScaling" => target_tracking(change, group, input),
        "PredictiveScaling" => Err(errors::unsupported("Policy type PredictiveScaling")),
        other => Err(errors::invalid(format!(
            "Invalid policy type: {other}. Valid types are: SimpleScaling, StepScaling, TargetTrackingScaling, \
             PredictiveScaling"
        ))),
    }
}

fn adjustment(input: &wire::PutScalingPolicyType) -> Result<AdjustmentType, ApiError> {
    let name = input.adjustment_type.as_deref().ok_or_else(|| errors::missing("AdjustmentType"))?;
    AdjustmentType::from_name(name).ok_or_else(|| {
        errors::invalid(format!(
            "Invalid AdjustmentType: {name}. Valid types are: ChangeInCapacity, ExactCapacity, PercentChangeInCapacity"
        ))
    })
}

/// MinAdjustmentMagnitude, or MinAdjustmentStep as it was called.
fn magnitude(input: &wire::PutScalingPolicyType, kind: AdjustmentType) -> Result<Option<u32>, ApiError> {
    let given = input.min_adjustment_magnitude.or(input.min_adjustment_step);
    let magnitude = settings::size(given, "MinAdjustmentMagnitude")?;
    if magnitude.is_some() && kind != AdjustmentType::PercentChangeInCapacity {
        return Err(errors::invalid("MinAdjustmentMagnitude is valid for PercentChangeInCapacity only."));
    }
    Ok(magnitude)
}

fn check_amount(kind: AdjustmentType, amount: i32) -> Result<(), ApiError> {
    if kind == AdjustmentType::ExactCapacity && amount < 0 {
        return Err(errors::invalid("ScalingAdjustment must not be negative with ExactCapacity."));
    }
    Ok(())
}

fn simple(input: &wire::PutScalingPolicyType) -> Result<PolicyKind, ApiError> {
    errors::refuse_foreign(
        "policy type SimpleScaling",
        &[
            ("StepAdjustments", !input.step_adjustments.is_empty()),
            ("MetricAggregationType", input.metric_aggregation_type.is_some()),
            ("EstimatedInstanceWarmup", input.estimated_instance_warmup.is_some()),
            ("TargetTrackingConfiguration", input.target_tracking_configuration.is_some()),
            ("PredictiveScalingConfiguration", input.predictive_scaling_configuration.is_some()),
        ],
    )?;
    let adjustment = adjustment(input)?;
    let amount = input.scaling_adjustment.ok_or_else(|| errors::missing("ScalingAdjustment"))?;
    check_amount(adjustment, amount)?;
    Ok(PolicyKind::Simple {
        adjustment,
        amount,
        min_magnitude: magnitude(input, adjustment)?,
        cooldown: settings::seconds(input.cooldown, "Cooldown")?,
    })
}

fn step(input: &wire::PutScalingPolicyType) -> Result<PolicyKind, ApiError> {
    errors::refuse_foreign(
        "policy type StepScaling",
        &[
            ("ScalingAdjustment", input.scaling_adjustment.is_some()),
            ("TargetTrackingConfiguration", input.target_tracking_configuration.is_some()),
            ("PredictiveScalingConfiguration", input.predictive_scaling_configuration.is_some()),
        ],
    )?;
    let adjustment = adjustment(input)?;
    let mut steps = Vec::new();
    for given in &input.step_adjustments {
        let amount = given.scaling_adjustment.ok_or_else(|| errors::missing("ScalingAdjustment in each step"))?;
        check_amount(adjustment, amount)?;
        let (lower, upper) = (given.metric_interval_lower_bound, given.metric_interval_upper_bound);
        steps.push(Step { lower, upper, adjustment: amount });
    }
    scaling::check_steps(&steps).map_err(|err| errors::invalid(format!("Invalid StepAdjustments: {err}")))?;
    let aggregation = input.metric_aggregation_type.as_deref().unwrap_or("Average");
    if !["Average", "Minimum", "Maximum"].contains(&aggregation) {
        let text = format!("Invalid MetricAggregationType: {aggregation}. Valid: Average, Minimum, Maximum");
        return Err(errors::invalid(text));
    }
    Ok(PolicyKind::Step {
        adjustment,
        min_magnitude: magnitude(input, adjustment)?,
        steps,
        aggregation: aggregation.to_string(),
        warmup: settings::seconds(input.estimated_instance_warmup, "EstimatedInstanceWarmup")?,
    })
}

fn target_tracking(
    change: &mut Change<'_, '_>,
    group: &Group,
    input: &wire::PutScalingPolicyType,
) -> Result<PolicyKind, ApiError> {
    errors::refuse_foreign(
        "policy type TargetTrackingScaling",
        &[
            ("AdjustmentType", input.adjustment_type.is_some()),
            ("ScalingAdjustment", input.scaling_adjustment.is_some()),
            ("StepAdjustments", !input.step_adjustments.is_empty()),
            ("MinAdjustmentMagnitude", input.min_adjustment_magnitude.or(input.min_adjustment_step).is_some()),
            ("MetricAggregationType", input.metric_aggregation_type.is_some()),
            ("PredictiveScalingConfiguration", input.predictive_scaling_configuration.is_some()),
        ],
    )?;
    let given = input.target_tracking_configuration.as_ref();
    let given = given.ok_or_else(|| errors::missing("TargetTrackingConfiguration"))?;
    let target = given.target_value.ok_or_else(|| errors::missing("TargetValue"))?;
    // AWS's range, without zero and below: no capacity meets such a target.
    if !(2f64.powi(-360)..=2f64.powi(360)).contains(&target) {
        return Err(errors::invalid(format!("TargetValue must be a positive number, not {target}")));
    }
    let metric = tracked(&change.view(), group, given)?;
    let disable_scale_in = given.disable_scale_in.unwrap_or(false);
    let warmup = settings::seconds(input.estimated_instance_warmup, "EstimatedInstanceWarmup")?;
    let mut alarm = |side| AlarmName::from(format!("TargetTracking-{}-{side}-{}", group.name, change.rng.uuid()));
    Ok(PolicyKind::TargetTracking {
        target,
        metric,
        disable_scale_in,
        warmup,
        alarm_high: alarm("AlarmHigh"),
        alarm_low: (!disable_scale_in).then(|| alarm("AlarmLow")),
    })
}

fn tracked(
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
        (other, None) => Err(errors::unsupported(&format!("Predefined metric type {other}"))),
    }
}

/// A label names a load balancer and one of the group's target groups.
fn check_label(view: &View<'_>, group: &Group, label: &str) -> Result<(), ApiError> {
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
    errors::refuse_unsupported(&[
        ("A CustomizedMetricSpecification of Metrics (metric math)", !given.metrics.is_empty()),
        ("A metric Period other than 60", given.period.is_some_and(|secs| secs != 60)),
    ])?;
    let required = |value: &Option<String>, member: &str| value.clone().ok_or_else(|| errors::missing(member));
    let statistic = required(&given.statistic, "Statistic")?;
    if Statistic::from_name(&statistic).is_none() {
        return Err(errors::invalid(format!("Invalid Statistic: {statistic}")));
    }
    if let Some(unit) = given.unit.as_deref().filter(|unit| Unit::from_name(unit).is_none()) {
        return Err(errors::invalid(format!("Invalid Unit: {unit}")));
    }
    let mut dimensions = BTreeMap::new();
    for dimension in &given.dimensions {
        let (name, value) = (required(&dimension.name, "Name")?, required(&dimension.value, "Value")?);
        if dimensions.insert(name.clone(), value).is_some() {
            return Err(errors::invalid(format!("The dimension {name} is given twice")));
        }
    }
    if dimensions.len() > DIMENSIONS_MAX {
        return Err(errors::invalid(format!("A metric may have at most {DIMENSIONS_MAX} dimensions")));
    }
    Ok(TrackedMetric::Custom {
        namespace: required(&given.namespace, "Namespace")?,
        name: required(&given.metric_name, "MetricName")?,
        dimensions,
        statistic,
        unit: given.unit.clone(),
    })
}

/// The members of an answer that a kind has.
pub fn shown(kind: &PolicyKind) -> wire::ScalingPolicy {
    let secs = |span: &Option<elastane_domain::time::Span>| span.map(|span| span.seconds() as i32);
    let none = wire::ScalingPolicy { policy_type: Some(type_name(kind).to_string()), ..Default::default() };
    match kind {
        PolicyKind::Simple { adjustment, amount, min_magnitude, cooldown } => wire::ScalingPolicy {
            adjustment_type: Some(adjustment.name().to_string()),
            scaling_adjustment: Some(*amount),
            min_adjustment_magnitude: min_magnitude.map(|least| least as i32),
            cooldown: secs(cooldown),
            ..none
        },
        PolicyKind::Step { adjustment, min_magnitude, steps, aggregation, warmup } => wire::ScalingPolicy {
            adjustment_type: Some(adjustment.name().to_string()),
            min_adjustment_magnitude: min_magnitude.map(|least| least as i32),
            metric_aggregation_type: Some(aggregation.clone()),
            estimated_instance_warmup: secs(warmup),
            step_adjustments: steps
                .iter()
                .map(|step| wire::StepAdjustment {
                    metric_interval_lower_bound: step.lower,
                    metric_interval_upper_bound: step.upper,
                    scaling_adjustment: Some(step.adjustment),
                })
                .collect(),
            ..none
        },
        PolicyKind::TargetTracking { target, metric, disable_scale_in, warmup, .. } => {
            let (predefined, customized) = shown_metric(metric);
            wire::ScalingPolicy {
                estimated_instance_warmup: secs(warmup),
                target_tracking_configuration: Some(wire::TargetTrackingConfiguration {
                    customized_metric_specification: customized,
                    disable_scale_in: Some(*disable_scale_in),
                    predefined_metric_specification: predefined,
                    target_value: Some(*target),
                }),
                ..none
            }
        }
    }
}

type ShownMetric = (Option<wire::PredefinedMetricSpecification>, Option<wire::CustomizedMetricSpecification>);

fn shown_metric(metric: &TrackedMetric) -> ShownMetric {
    let predefined = |name: &str, label: Option<&String>| wire::PredefinedMetricSpecification {
        predefined_metric_type: Some(name.to_string()),
        resource_label: label.cloned(),
    };
    match metric {
        TrackedMetric::AverageCpu => (Some(predefined("ASGAverageCPUUtilization", None)), None),
        TrackedMetric::RequestCountPerTarget { resource_label } => {
            (Some(predefined("ALBRequestCountPerTarget", Some(resource_label))), None)
        }
        TrackedMetric::Custom { namespace, name, dimensions, statistic, unit } => {
            let dimension = |(name, value): (&String, &String)| wire::MetricDimension {
                name: Some(name.clone()),
                value: Some(value.clone()),
            };
            let custom = wire::CustomizedMetricSpecification {
                dimensions: dimensions.iter().map(dimension).collect(),
                metric_name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                statistic: Some(statistic.clone()),
                unit: unit.clone(),
                ..Default::default()
            };
            (None, Some(custom))
        }
    }
}
