//! PutMetricAlarm, for alarms on a metric or on metric math.

use super::{errors, metric, queries, tags};
use crate::Change;
use elastane_domain::alarm::{AlarmRule, AlarmState, Comparison, INITIAL_REASON, LowSamples, MissingData};
use elastane_domain::id::AlarmName;
use elastane_domain::series::Statistic;
use elastane_domain::series::math::{self, Query};
use elastane_domain::time::Span;
use elastane_engine::row::{Alarm, HistoryKind, Tags, Watched};
use elastane_wire::{ApiError, cloudwatch as wire};

/// Alarms in one region; AWS's default quota.
const ALARMS_MAX: usize = 5_000;

/// Members of `Metrics`, and how many of them metrics and expressions
/// (cloudwatch.md 4).
const QUERIES_MAX: usize = 20;
const QUERIES_OF_A_KIND_MAX: usize = 10;

/// Actions of one state (cloudwatch.md 5.1).
const ACTIONS_MAX: usize = 5;

/// The longest time that an alarm with a period below an hour looks at.
const DAY_SECS: i64 = 86_400;

/// The longest time that any alarm looks at.
const WEEK_SECS: i64 = 7 * DAY_SECS;

/// PutMetricAlarm. An update replaces the whole configuration; the state and
/// the tags stay (cloudwatch.md 5.4).
pub fn put_metric_alarm(
    change: &mut Change<'_, '_>,
    input: &wire::PutMetricAlarmInput,
) -> Result<wire::PutMetricAlarmOutput, ApiError> {
    let name =
        input.alarm_name.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| errors::missing("AlarmName"))?;
    refuse(input)?;
    let metric = watched(change, input)?;
    let rule = rule(input, &metric)?;
    metric::unit(input.unit.as_deref())?;
    for (member, actions) in [
        ("AlarmActions", &input.alarm_actions),
        ("OKActions", &input.ok_actions),
        ("InsufficientDataActions", &input.insufficient_data_actions),
    ] {
        check_actions(member, actions)?;
    }
    let old = change.get::<Alarm>(name);
    let verb = if old.is_some() { "updated" } else { "created" };
    let mut row = match old {
        Some(old) => (*old).clone(),
        None if change.all::<Alarm>().count() >= ALARMS_MAX => {
            return Err(errors::limit(format!("The limit of {ALARMS_MAX} alarms in one region has been reached.")));
        }
        None => new_row(change, name, metric.clone(), rule.clone(), tags::given(&input.tags)?),
    };
    row.description = input.alarm_description.clone();
    row.actions_enabled = input.actions_enabled.unwrap_or(true);
    row.ok_actions = input.ok_actions.clone();
    row.alarm_actions = input.alarm_actions.clone();
    row.insufficient_data_actions = input.insufficient_data_actions.clone();
    row.metric = metric;
    row.unit = input.unit.clone();
    row.rule = rule;
    row.configured_at = change.now;
    row.remember(change.now, HistoryKind::ConfigurationUpdate, format!("Alarm \"{name}\" {verb}"));
    change.put(row);
    Ok(wire::PutMetricAlarmOutput {})
}

fn new_row(change: &Change<'_, '_>, name: &str, metric: Watched, rule: AlarmRule, tags: Tags) -> Alarm {
    Alarm {
        name: AlarmName::from(name),
        arn: change.scope().arn("cloudwatch", &format!("alarm:{name}")),
        description: None,
        actions_enabled: true,
        ok_actions: Vec::new(),
        alarm_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
        metric,
        unit: None,
        rule,
        state: AlarmState::InsufficientData,
        state_reason: INITIAL_REASON.to_string(),
        state_reason_data: None,
        state_updated_at: change.now,
        state_transitioned_at: change.now,
        configured_at: change.now,
        owner: None,
        history: Vec::new(),
        tags,
    }
}

fn refuse(input: &wire::PutMetricAlarmInput) -> Result<(), ApiError> {
    if input.statistic.is_some() && input.extended_statistic.is_some() {
        return Err(errors::combination(
            "The parameters Statistic and ExtendedStatistic are mutually exclusive and you have specified both.",
        ));
    }
    errors::refuse_unsupported(&[
        ("ThresholdMetricId (anomaly detection)", input.threshold_metric_id.is_some()),
        ("EvaluationCriteria", input.evaluation_criteria.is_some()),
        ("EvaluationInterval", input.evaluation_interval.is_some()),
        ("EvaluationWindow", input.evaluation_window.is_some()),
        ("WarmUpConfiguration", input.warm_up_configuration.is_some()),
        ("ActionConfiguration", input.action_configuration.is_some()),
    ])
}

/// The metric that the call names, or its list of metrics and expressions.
fn watched(change: &Change<'_, '_>, input: &wire::PutMetricAlarmInput) -> Result<Watched, ApiError> {
    if input.metrics.is_empty() {
        let metric = metric::id(input.namespace.as_deref(), input.metric_name.as_deref(), &input.dimensions)?;
        return Ok(Watched::Metric(metric));
    }
    let single = [
        ("MetricName", input.metric_name.is_some()),
        ("Namespace", input.namespace.is_some()),
        ("Dimensions", !input.dimensions.is_empty()),
        ("Period", input.period.is_some()),
        ("Unit", input.unit.is_some()),
        ("Statistic", input.statistic.is_some()),
        ("ExtendedStatistic", input.extended_statistic.is_some()),
        ("EvaluateLowSampleCountPercentile", input.evaluate_low_sample_count_percentile.is_some()),
    ];
    if let Some((member, _)) = single.iter().find(|(_, given)| *given) {
        return Err(errors::combination(format!("The parameters Metrics and {member} are mutually exclusive.")));
    }
    let queries = queries::read(change.scope(), "Metrics", &input.metrics, QUERIES_MAX)?;
    let metrics = math::stats(&queries).count();
    if metrics.max(queries.len() - metrics) > QUERIES_OF_A_KIND_MAX {
        return Err(errors::invalid(format!(
            "Metrics must not hold more than {QUERIES_OF_A_KIND_MAX} metrics and {QUERIES_OF_A_KIND_MAX} expressions."
        )));
    }
    if metrics == 0 {
        return Err(errors::invalid("Metrics must hold at least one MetricStat."));
    }
    math::check_single(&queries).map_err(|err| queries::refused(&err))?;
    if math::stats(&queries).any(|stat| Some(stat.period) != math::period(&queries)) {
        return Err(errors::invalid("The metrics of an alarm must all have its period."));
    }
    Ok(Watched::Math(queries))
}

/// The period of an alarm, and what it makes of the samples of one.
fn sampling(
    input: &wire::PutMetricAlarmInput,
    watched: &Watched,
) -> Result<(Span, Option<Statistic>, Option<LowSamples>), ApiError> {
    let of_list = |queries: &[Query]| math::period(queries).ok_or_else(|| errors::missing("MetricStat.Period"));
    match watched {
        Watched::Math(queries) => Ok((of_list(queries)?, None, None)),
        Watched::Metric(_) => {
            let (statistic, low_samples) = statistic(input)?;
            Ok((metric::period(input.period)?, Some(statistic), low_samples))
        }
    }
}

fn rule(input: &wire::PutMetricAlarmInput, watched: &Watched) -> Result<AlarmRule, ApiError> {
    let operator = input.comparison_operator.as_deref().ok_or_else(|| errors::missing("ComparisonOperator"))?;
    let comparison = Comparison::from_name(operator)
        .ok_or_else(|| errors::unsupported(&format!("The ComparisonOperator {operator} (anomaly detection)")))?;
    let threshold = input.threshold.ok_or_else(|| errors::missing("Threshold"))?;
    if !threshold.is_finite() {
        return Err(errors::invalid(format!("The value {threshold} for parameter Threshold is invalid.")));
    }
    let (period, statistic, low_samples) = sampling(input, watched)?;
    let evaluation_periods =
        count(input.evaluation_periods, "EvaluationPeriods")?.ok_or_else(|| errors::missing("EvaluationPeriods"))?;
    let datapoints_to_alarm = count(input.datapoints_to_alarm, "DatapointsToAlarm")?;
    if datapoints_to_alarm.is_some_and(|needed| needed > evaluation_periods) {
        return Err(errors::invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods."));
    }
    let looked_at = period.seconds().saturating_mul(i64::from(evaluation_periods));
    if period.seconds() < 3_600 && looked_at > DAY_SECS {
        return Err(errors::invalid(
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).",
        ));
    }
    if looked_at > WEEK_SECS {
        return Err(errors::invalid(
            "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800).",
        ));
    }
    let treat_missing = match input.treat_missing_data.as_deref() {
        None => MissingData::Missing,
        Some(name) => MissingData::from_name(name).ok_or_else(|| {
            errors::invalid(format!(
                "The value {name} for parameter TreatMissingData is invalid. Valid values are: breaching, \
                 notBreaching, ignore, missing."
            ))
        })?,
    };
    Ok(AlarmRule {
        comparison,
        threshold,
        evaluation_periods,
        datapoints_to_alarm,
        treat_missing,
        period,
        statistic,
        low_samples,
    })
}

/// Statistic or ExtendedStatistic, and what percentiles of few samples do.
fn statistic(input: &wire::PutMetricAlarmInput) -> Result<(Statistic, Option<LowSamples>), ApiError> {
    let statistic = match (&input.statistic, &input.extended_statistic) {
        (_, Some(name)) => metric::extended_statistic(name)?,
        (Some(name), None) => metric::statistic(name)?,
        (None, None) => return Err(errors::missing("Statistic")),
    };
    let Some(name) = input.evaluate_low_sample_count_percentile.as_deref() else { return Ok((statistic, None)) };
    let low_samples = LowSamples::from_name(name).ok_or_else(|| {
        errors::invalid(format!(
            "Option {name} is not supported for parameter EvaluateLowSampleCountPercentile. Valid values are: \
             evaluate, ignore."
        ))
    })?;
    if !matches!(statistic, Statistic::Percentile(_)) {
        return Err(errors::combination(
            "The parameter EvaluateLowSampleCountPercentile is only valid with a percentile as ExtendedStatistic.",
        ));
    }
    Ok((statistic, Some(low_samples)))
}

/// A number above zero.
fn count(value: Option<i32>, member: &str) -> Result<Option<u32>, ApiError> {
    value
        .map(|number| {
            u32::try_from(number)
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| errors::invalid(format!("The parameter {member} must be above 0, not {number}.")))
        })
        .transpose()
}

/// Actions are ARNs; whether something answers to them shows in the history
/// when they are due, as on AWS.
fn check_actions(member: &str, actions: &[String]) -> Result<(), ApiError> {
    if actions.len() > ACTIONS_MAX {
        return Err(errors::invalid(format!(
            "The collection {member} must not have a size greater than {ACTIONS_MAX}."
        )));
    }
    let malformed = |arn: &&String| !arn.starts_with("arn:") || arn.split(':').count() < 6;
    match actions.iter().find(malformed) {
        Some(arn) => Err(errors::invalid(format!("Invalid arn syntax: {arn}"))),
        None => Ok(()),
    }
}
