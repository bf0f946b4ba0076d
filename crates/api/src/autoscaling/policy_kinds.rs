//! The kinds of scaling policies: from members of a call to what the engine
//! follows, and back.

use super::{errors, policy_metrics, predictive, settings};
use crate::Change;
use elastane_domain::id::AlarmName;
use elastane_domain::scaling::{self, AdjustmentType, Aggregation, Step};
use elastane_engine::row::{Group, PolicyKind};
use elastane_wire::{ApiError, autoscaling as wire};

/// AWS's word for the kind.
pub fn type_name(kind: &PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Simple { .. } => "SimpleScaling",
        PolicyKind::Step { .. } => "StepScaling",
        PolicyKind::TargetTracking { .. } => "TargetTrackingScaling",
        PolicyKind::Predictive { .. } => "PredictiveScaling",
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
        "PredictiveScaling" => predictive::read(change, group, input),
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
    let name = input.metric_aggregation_type.as_deref().unwrap_or("Average");
    let aggregation = Aggregation::from_name(name).ok_or_else(|| {
        errors::invalid(format!("Invalid MetricAggregationType: {name}. Valid: Average, Minimum, Maximum"))
    })?;
    Ok(PolicyKind::Step {
        adjustment,
        min_magnitude: magnitude(input, adjustment)?,
        steps,
        aggregation,
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
    let metric = policy_metrics::tracked(&change.view(), group, given)?;
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
            metric_aggregation_type: Some(aggregation.name().to_string()),
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
            let (predefined, customized) = policy_metrics::shown(metric);
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
        PolicyKind::Predictive { config } => {
            wire::ScalingPolicy { predictive_scaling_configuration: Some(predictive::shown(config)), ..none }
        }
    }
}
