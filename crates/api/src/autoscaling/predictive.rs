//! Predictive scaling policies: their configuration, and what they foretell
//! (autoscaling.md 10).

use super::{errors, lookup, policy_metrics, settings};
use crate::{Call, Change};
use elastane_domain::forecast::{Config, Measure, Mode, OnBreach};
use elastane_domain::time::{Span, Time};
use elastane_engine::row::{Forecast, Foretold, Group, Policy, PolicyKind};
use elastane_wire::{ApiError, Timestamp, autoscaling as wire};

/// GetPredictiveScalingForecast answers for at most so long a time.
const SPAN_MAX: Span = Span::from_mins(30 * 24 * 60);

/// And reaches at most so far into the future.
const AHEAD_MAX: Span = Span::from_mins(2 * 24 * 60);

/// SchedulingBufferTime is below an hour.
const BUFFER_SECONDS_MAX: i32 = 3_600;

/// The kind of a PutScalingPolicy with PolicyType PredictiveScaling.
pub fn read(
    change: &mut Change<'_, '_>,
    group: &Group,
    input: &wire::PutScalingPolicyType,
) -> Result<PolicyKind, ApiError> {
    errors::refuse_foreign(
        "policy type PredictiveScaling",
        &[
            ("AdjustmentType", input.adjustment_type.is_some()),
            ("ScalingAdjustment", input.scaling_adjustment.is_some()),
            ("StepAdjustments", !input.step_adjustments.is_empty()),
            ("MetricAggregationType", input.metric_aggregation_type.is_some()),
            ("MinAdjustmentMagnitude", input.min_adjustment_magnitude.is_some()),
            ("EstimatedInstanceWarmup", input.estimated_instance_warmup.is_some()),
            ("TargetTrackingConfiguration", input.target_tracking_configuration.is_some()),
        ],
    )?;
    let given = input
        .predictive_scaling_configuration
        .as_ref()
        .ok_or_else(|| errors::missing("PredictiveScalingConfiguration"))?;
    let config = config(change, group, given)?;
    if config.mode == Mode::ForecastAndScale {
        check_only(change, group, input.policy_name.as_deref().unwrap_or_default())?;
    }
    Ok(PolicyKind::Predictive { config })
}

/// Several policies may foretell, and one may scale.
fn check_only(change: &Change<'_, '_>, group: &Group, name: &str) -> Result<(), ApiError> {
    let scales = |row: &Policy| {
        let scaling = matches!(&row.kind, PolicyKind::Predictive { config } if config.mode == Mode::ForecastAndScale);
        scaling && row.group == group.name && row.name != name
    };
    match change.all::<Policy>().find(|row| scales(row)) {
        Some(other) => Err(errors::invalid(format!(
            "Only one predictive scaling policy of a group may have the mode ForecastAndScale; policy {} has it.",
            other.name
        ))),
        None => Ok(()),
    }
}

fn config(
    change: &Change<'_, '_>,
    group: &Group,
    given: &wire::PredictiveScalingConfiguration,
) -> Result<Config, ApiError> {
    let [metric] = given.metric_specifications.as_slice() else {
        return Err(errors::invalid("PredictiveScalingConfiguration must have exactly one metric specification."));
    };
    let target = metric.target_value.ok_or_else(|| errors::missing("TargetValue"))?;
    if !target.is_finite() || target <= 0.0 {
        return Err(errors::invalid(format!("TargetValue must be a positive number, not {target}")));
    }
    let (measure, resource_label, as_pair) = measure(metric)?;
    if measure == Measure::Requests {
        let label = resource_label.as_deref().ok_or_else(|| errors::missing("ResourceLabel"))?;
        policy_metrics::check_label(&change.view(), group, label)?;
    } else if resource_label.is_some() {
        return Err(errors::invalid("ResourceLabel is valid for the load balancer's metrics only."));
    }
    let mode = word(given.mode.as_deref(), Mode::ForecastOnly, Mode::from_name, "Mode")?;
    let breach = given.max_capacity_breach_behavior.as_deref();
    let on_breach = word(breach, OnBreach::HonorMaxCapacity, OnBreach::from_name, "MaxCapacityBreachBehavior")?;
    let max_buffer = settings::size(given.max_capacity_buffer, "MaxCapacityBuffer")?;
    match (on_breach, max_buffer) {
        (OnBreach::IncreaseMaxCapacity, None) => return Err(errors::missing("MaxCapacityBuffer")),
        (OnBreach::HonorMaxCapacity, Some(_)) => {
            return Err(errors::invalid("MaxCapacityBuffer is valid with IncreaseMaxCapacity only."));
        }
        (_, Some(101..)) => return Err(errors::invalid("MaxCapacityBuffer must be between 0 and 100.")),
        (_, _) => {}
    }
    if given.scheduling_buffer_time.is_some_and(|secs| secs >= BUFFER_SECONDS_MAX) {
        return Err(errors::invalid("SchedulingBufferTime must be below 3600 seconds."));
    }
    Ok(Config {
        target,
        measure,
        as_pair,
        resource_label,
        mode,
        on_breach,
        max_buffer: max_buffer.unwrap_or(0),
        buffer: settings::seconds(given.scheduling_buffer_time, "SchedulingBufferTime")?,
    })
}

fn word<T>(given: Option<&str>, otherwise: T, from: fn(&str) -> Option<T>, member: &str) -> Result<T, ApiError> {
    given.map_or(Ok(otherwise), |name| from(name).ok_or_else(|| errors::invalid(format!("Invalid {member}: {name}"))))
}

/// A pair, or a load and a scaling metric that are one: what is measured, its
/// ResourceLabel, and whether it was a pair.
fn measure(metric: &wire::PredictiveScalingMetricSpecification) -> Result<(Measure, Option<String>, bool), ApiError> {
    errors::refuse_unsupported(&[
        ("CustomizedLoadMetricSpecification", metric.customized_load_metric_specification.is_some()),
        ("CustomizedScalingMetricSpecification", metric.customized_scaling_metric_specification.is_some()),
        ("CustomizedCapacityMetricSpecification", metric.customized_capacity_metric_specification.is_some()),
    ])?;
    let invalid = |name: Option<&str>| errors::invalid(format!("Invalid PredefinedMetricType: {}", name.unwrap_or("")));
    let load = metric.predefined_load_metric_specification.as_ref();
    let scaling = metric.predefined_scaling_metric_specification.as_ref();
    match (&metric.predefined_metric_pair_specification, load, scaling) {
        (Some(pair), None, None) => {
            let name = pair.predefined_metric_type.as_deref();
            let measure = name.and_then(Measure::from_name).ok_or_else(|| invalid(name))?;
            Ok((measure, pair.resource_label.clone(), true))
        }
        (None, Some(load), Some(scaling)) => {
            let (name, per_instance) =
                (load.predefined_metric_type.as_deref(), scaling.predefined_metric_type.as_deref());
            let named = |one: &&Measure| name == Some(one.load_name());
            let measure = *Measure::ALL.iter().find(named).ok_or_else(|| invalid(name))?;
            if per_instance != Some(measure.scaling_name()) {
                let text = format!("{} needs the scaling metric {}", measure.load_name(), measure.scaling_name());
                return Err(errors::unsupported(&format!("A load and a scaling metric of different kinds ({text})")));
            }
            Ok((measure, load.resource_label.clone().or_else(|| scaling.resource_label.clone()), false))
        }
        (_, _, _) => Err(errors::invalid(
            "A metric specification must have either PredefinedMetricPairSpecification, or both \
             PredefinedLoadMetricSpecification and PredefinedScalingMetricSpecification.",
        )),
    }
}

/// The configuration as answers show it.
pub fn shown(config: &Config) -> wire::PredictiveScalingConfiguration {
    let increases = config.on_breach == OnBreach::IncreaseMaxCapacity;
    wire::PredictiveScalingConfiguration {
        max_capacity_breach_behavior: Some(config.on_breach.name().to_string()),
        max_capacity_buffer: increases.then_some(config.max_buffer as i32),
        metric_specifications: vec![specification(config)],
        mode: Some(config.mode.name().to_string()),
        scheduling_buffer_time: config.buffer.map(|span| span.seconds() as i32),
    }
}

fn specification(config: &Config) -> wire::PredictiveScalingMetricSpecification {
    let label = || config.resource_label.clone();
    let mut shown = wire::PredictiveScalingMetricSpecification {
        target_value: Some(config.target),
        ..wire::PredictiveScalingMetricSpecification::default()
    };
    if config.as_pair {
        shown.predefined_metric_pair_specification = Some(wire::PredictiveScalingPredefinedMetricPair {
            predefined_metric_type: Some(config.measure.name().to_string()),
            resource_label: label(),
        });
    } else {
        shown.predefined_load_metric_specification = Some(wire::PredictiveScalingPredefinedLoadMetric {
            predefined_metric_type: Some(config.measure.load_name().to_string()),
            resource_label: label(),
        });
        shown.predefined_scaling_metric_specification = Some(wire::PredictiveScalingPredefinedScalingMetric {
            predefined_metric_type: Some(config.measure.scaling_name().to_string()),
            resource_label: label(),
        });
    }
    shown
}

/// GetPredictiveScalingForecast: the hours from StartTime to EndTime that
/// something was foretold for.
pub fn get_predictive_scaling_forecast(
    call: &Call<'_>,
    input: &wire::GetPredictiveScalingForecastType,
) -> Result<wire::GetPredictiveScalingForecastAnswer, ApiError> {
    let group = lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    let name = input.policy_name.as_deref().ok_or_else(|| errors::missing("PolicyName"))?;
    let id = Policy::key(&group.name, name);
    let policy = call.get::<Policy>(&id).ok_or_else(|| errors::policy_not_found(name))?;
    let PolicyKind::Predictive { config } = &policy.kind else {
        return Err(errors::invalid(format!("Policy {name} is not a predictive scaling policy.")));
    };
    let time =
        |given: Option<Timestamp>, member: &str| given.map(|at| Time(at.0)).ok_or_else(|| errors::missing(member));
    let (start, end) = (time(input.start_time, "StartTime")?, time(input.end_time, "EndTime")?);
    if start >= end {
        return Err(errors::invalid("StartTime must be before EndTime."));
    }
    if (end - start) > SPAN_MAX {
        return Err(errors::invalid("The time between StartTime and EndTime must not be longer than 30 days."));
    }
    if end > call.now + AHEAD_MAX {
        return Err(errors::invalid("EndTime must be at most two days in the future."));
    }
    let row = call.get::<Forecast>(&id);
    let Some((row, made)) = row.and_then(|row| Some((row, row.made_at?))) else {
        return Err(errors::invalid(format!(
            "There is no forecast of policy {name} yet: a forecast needs at least 24 hours of metric data."
        )));
    };
    let said: Vec<(&Time, &Foretold)> = row.said.range(start..=end).collect();
    let timestamps = || said.iter().map(|(at, _)| Timestamp(at.millis())).collect();
    Ok(wire::GetPredictiveScalingForecastAnswer {
        capacity_forecast: Some(wire::CapacityForecast {
            timestamps: timestamps(),
            values: said.iter().map(|(_, foretold)| f64::from(foretold.capacity)).collect(),
        }),
        load_forecast: vec![wire::LoadForecast {
            metric_specification: Some(specification(config)),
            timestamps: timestamps(),
            values: said.iter().map(|(_, foretold)| foretold.load).collect(),
        }],
        update_time: Some(Timestamp(made.millis())),
    })
}
