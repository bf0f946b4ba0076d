//! DescribeAlarms: alarms of users and of scaling policies alike.

use super::{errors, metric, queries};
use crate::Call;
use crate::page::{Pager, page};
use elastane_domain::alarm::{AlarmState, MissingData};
use elastane_domain::series::Statistic;
use elastane_engine::row::{Alarm, Watched};
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names of one call.
const NAMES_MAX: usize = 100;

/// Alarms on a page when MaxRecords is not given, and at most.
const PAGE: usize = 50;
const PAGE_MAX: i32 = 100;

/// A page's length.
pub fn page_size(max_records: Option<i32>, default: usize) -> Result<Option<usize>, ApiError> {
    match max_records {
        None => Ok(Some(default)),
        Some(max) if (1..=PAGE_MAX).contains(&max) => Ok(Some(max as usize)),
        Some(max) => Err(errors::invalid(format!(
            "The value {max} for parameter MaxRecords is invalid. It must be 1 to {PAGE_MAX}."
        ))),
    }
}

/// DescribeAlarms.
pub fn describe_alarms(
    call: &Call<'_>,
    input: &wire::DescribeAlarmsInput,
) -> Result<wire::DescribeAlarmsOutput, ApiError> {
    let max = page_size(input.max_records, PAGE)?;
    errors::refuse_unsupported(&[
        ("ChildrenOfAlarmName (composite alarms)", input.children_of_alarm_name.is_some()),
        ("ParentsOfAlarmName (composite alarms)", input.parents_of_alarm_name.is_some()),
    ])?;
    if !input.alarm_names.is_empty() && input.alarm_name_prefix.is_some() {
        return Err(errors::combination("AlarmNamePrefix and AlarmNames must not both be specified."));
    }
    if input.alarm_names.len() > NAMES_MAX {
        return Err(errors::invalid(format!(
            "The collection AlarmNames must not have a size greater than {NAMES_MAX}."
        )));
    }
    let state = match input.state_value.as_deref() {
        None => None,
        Some(name) => Some(
            AlarmState::from_name(name)
                .ok_or_else(|| errors::invalid(format!("The value {name} for parameter StateValue is invalid.")))?,
        ),
    };
    let names: BTreeSet<&String> = input.alarm_names.iter().collect();
    let mut found: Vec<&Arc<Alarm>> = match names.is_empty() {
        true => call.all::<Alarm>().collect(),
        false => names.into_iter().filter_map(|name| call.get::<Alarm>(name)).collect(),
    };
    if !input.alarm_types.is_empty() && !input.alarm_types.iter().any(|kind| kind == "MetricAlarm") {
        found.clear();
    }
    found.retain(|alarm| {
        input.alarm_name_prefix.as_ref().is_none_or(|prefix| alarm.name.as_str().starts_with(prefix))
            && state.is_none_or(|state| alarm.state == state)
            && input.action_prefix.as_ref().is_none_or(|prefix| has_action(alarm, prefix))
    });
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, |alarm| alarm.name.to_string())?;
    let metric_alarms = rows.into_iter().map(|alarm| shown(alarm)).collect();
    Ok(wire::DescribeAlarmsOutput { composite_alarms: Vec::new(), log_alarms: Vec::new(), metric_alarms, next_token })
}

fn has_action(alarm: &Alarm, prefix: &str) -> bool {
    let actions = [&alarm.ok_actions, &alarm.alarm_actions, &alarm.insufficient_data_actions];
    actions.into_iter().flatten().any(|action| action.starts_with(prefix))
}

/// An alarm as an answer has it. Alarms of policies leave TreatMissingData
/// out, as AWS's do (autoscaling.md 9.2).
fn shown(alarm: &Alarm) -> wire::MetricAlarm {
    let rule = &alarm.rule;
    let extended = matches!(rule.statistic, Some(Statistic::Percentile(_)));
    let statistic = rule.statistic.map(|statistic| statistic.name().into_owned());
    let metric = alarm.metric.metric();
    let metrics = match &alarm.metric {
        Watched::Metric(_) => Vec::new(),
        Watched::Math(queries) => queries.iter().map(queries::shown).collect(),
    };
    let treat = (alarm.owner.is_none() || rule.treat_missing != MissingData::Missing).then_some(rule.treat_missing);
    wire::MetricAlarm {
        actions_enabled: Some(alarm.actions_enabled),
        alarm_actions: alarm.alarm_actions.clone(),
        alarm_arn: Some(alarm.arn.clone()),
        alarm_configuration_updated_timestamp: Some(Timestamp(alarm.configured_at.millis())),
        alarm_description: alarm.description.clone(),
        alarm_name: Some(alarm.name.to_string()),
        comparison_operator: Some(rule.comparison.name().to_string()),
        datapoints_to_alarm: rule.datapoints_to_alarm.map(|count| count as i32),
        dimensions: metric.map_or_else(Vec::new, metric::shown_dimensions),
        evaluation_periods: Some(rule.evaluation_periods as i32),
        insufficient_data_actions: alarm.insufficient_data_actions.clone(),
        metric_name: metric.map(|metric| metric.name.clone()),
        metrics,
        namespace: metric.map(|metric| metric.namespace.clone()),
        ok_actions: alarm.ok_actions.clone(),
        period: metric.map(|_| rule.period.seconds() as i32),
        state_reason: Some(alarm.state_reason.clone()),
        state_reason_data: alarm.state_reason_data.clone(),
        state_transitioned_timestamp: Some(Timestamp(alarm.state_transitioned_at.millis())),
        state_updated_timestamp: Some(Timestamp(alarm.state_updated_at.millis())),
        state_value: Some(alarm.state.name().to_string()),
        evaluate_low_sample_count_percentile: rule.low_samples.map(|treat| treat.name().to_string()),
        extended_statistic: statistic.clone().filter(|_| extended),
        statistic: statistic.filter(|_| !extended),
        threshold: Some(rule.threshold),
        treat_missing_data: treat.map(|treat| treat.name().to_string()),
        unit: alarm.unit.clone(),
        ..Default::default()
    }
}
