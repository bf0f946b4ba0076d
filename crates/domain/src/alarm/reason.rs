//! What an alarm says about its state: StateReason and StateReasonData, in
//! AWS's observed wording.

use super::{AlarmRule, AlarmState, Comparison, Datapoint, MissingData};
use crate::series::Statistic;
use crate::time::{Civil, Span, Time};
use std::fmt::Write;

/// A reason lists at most this many datapoints, and StateReason is at most
/// 1023 characters long.
const LISTED_MAX: usize = 20;

/// StateReason for an evaluation that ended in `state`; `evaluated` is newest first.
pub(super) fn text(rule: &AlarmRule, evaluated: &[Datapoint], state: AlarmState) -> String {
    match (state, evaluated.is_empty()) {
        (AlarmState::InsufficientData, _) | (AlarmState::Ok | AlarmState::Alarm, true)
            if unknown(rule, state, evaluated) =>
        {
            let missing = rule.needed() - evaluated.len();
            format!("Insufficient Data: {} unknown.", count_was(missing, "datapoint"))
        }
        (_, true) => filled(rule),
        (_, false) => crossed(rule, evaluated, state),
    }
}

fn unknown(rule: &AlarmRule, state: AlarmState, evaluated: &[Datapoint]) -> bool {
    let counts_missing = matches!(rule.treat_missing, MissingData::Breaching | MissingData::NotBreaching);
    state == AlarmState::InsufficientData || (evaluated.is_empty() && !counts_missing)
}

/// No datapoint at all: the missing ones decide.
fn filled(rule: &AlarmRule) -> String {
    let periods = rule.needed();
    format!(
        "Threshold Crossed: no datapoints were received for {periods} {} and {}.",
        plural(periods, "period"),
        treated(rule, periods),
    )
}

fn treated(rule: &AlarmRule, missing: usize) -> String {
    let word = if rule.treat_missing == MissingData::Breaching { "Breaching" } else { "NonBreaching" };
    format!("{} treated as [{word}]", count_was(missing, "missing datapoint"))
}

fn crossed(rule: &AlarmRule, evaluated: &[Datapoint], state: AlarmState) -> String {
    let alarm = state == AlarmState::Alarm;
    let counted: Vec<&Datapoint> = match rule.datapoints_to_alarm {
        Some(_) => evaluated.iter().filter(|datapoint| rule.breaches(datapoint) == alarm).collect(),
        None => evaluated.iter().collect(),
    };
    let number = counted.len();
    if number == 0 {
        // Only missing datapoints speak for the state.
        return format!("Threshold Crossed: {}.", treated(rule, rule.needed() - evaluated.len()));
    }
    let subject = match rule.datapoints_to_alarm {
        Some(_) => format!("{number} out of the last {} datapoints", evaluated.len()),
        None => format!("{number} {}", plural(number, "datapoint")),
    };
    let tail = rule.datapoints_to_alarm.map_or_else(String::new, |_| {
        let (minimum, transition) =
            if alarm { (rule.to_alarm(), "OK -> ALARM") } else { (rule.needed() - rule.to_alarm() + 1, "ALARM -> OK") };
        format!(" (minimum {minimum} {} for {transition} transition)", plural(minimum, "datapoint"))
    });
    format!(
        "Threshold Crossed: {subject} [{}] {}{} {} the threshold ({}){tail}.",
        listed(&counted),
        if number == 1 { "was" } else { "were" },
        if alarm { "" } else { " not" },
        operator(rule.comparison),
        java_double(rule.threshold),
    )
}

fn listed(datapoints: &[&Datapoint]) -> String {
    let shown: Vec<String> = datapoints
        .iter()
        .take(LISTED_MAX)
        .map(|datapoint| format!("{} ({})", java_double(datapoint.value), day_first(datapoint.at)))
        .collect();
    shown.join(", ")
}

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::GreaterThanOrEqualToThreshold => "greater than or equal to",
        Comparison::GreaterThanThreshold => "greater than",
        Comparison::LessThanThreshold => "less than",
        Comparison::LessThanOrEqualToThreshold => "less than or equal to",
    }
}

fn plural(number: usize, word: &str) -> String {
    if number == 1 { word.to_owned() } else { format!("{word}s") }
}

fn count_was(number: usize, word: &str) -> String {
    format!("{number} {} {}", plural(number, word), if number == 1 { "was" } else { "were" })
}

/// `25/09/22 18:49:00`
fn day_first(at: Time) -> String {
    let c = Civil::from(at);
    let year = c.year.rem_euclid(100);
    format!("{:02}/{:02}/{year:02} {:02}:{:02}:{:02}", c.day, c.month, c.hour, c.minute, c.second)
}

/// `2025-07-03T08:34:06.300+0000`
fn zoned(at: Time) -> String {
    let millis = at.iso_millis();
    format!("{}+0000", millis.trim_end_matches('Z'))
}

/// A number as Java's `Double.toString` writes it, whose forms AWS's texts
/// have: `6.0`, `0.25`, `1.0E7`.
fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        Some(_) | None => scientific,
    }
}

/// What StateReasonData is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ReasonData {
    statistic: Option<Statistic>,
    period: Span,
    threshold: f64,
    /// Oldest first.
    datapoints: Vec<Datapoint>,
}

impl ReasonData {
    pub(super) fn new(rule: &AlarmRule, newest_first: &[Datapoint]) -> ReasonData {
        ReasonData {
            statistic: rule.statistic,
            period: rule.period,
            threshold: rule.threshold,
            datapoints: newest_first.iter().rev().copied().collect(),
        }
    }

    /// The values of the datapoints that were evaluated, the newest last: what
    /// policies that the alarm calls work with.
    pub fn values(&self) -> Vec<f64> {
        self.datapoints.iter().map(|datapoint| datapoint.value).collect()
    }

    /// StateReasonData: JSON text; `query_date` is when the alarm was evaluated.
    pub fn json(&self, query_date: Time) -> String {
        let mut out = format!("{{\"version\":\"1.0\",\"queryDate\":\"{}\"", zoned(query_date));
        if let Some(oldest) = self.datapoints.first() {
            push(&mut out, format_args!(",\"startDate\":\"{}\"", zoned(oldest.at)));
        }
        let recent: Vec<String> = self.datapoints.iter().map(|datapoint| number(datapoint.value)).collect();
        push(
            &mut out,
            format_args!(
                "{},\"period\":{},\"recentDatapoints\":[{}],\"threshold\":{},\"evaluatedDatapoints\":[",
                self.statistic.map_or_else(String::new, |statistic| format!(",\"statistic\":\"{}\"", statistic.name())),
                self.period.seconds(),
                recent.join(","),
                number(self.threshold),
            ),
        );
        for (index, datapoint) in self.datapoints.iter().rev().enumerate() {
            push(
                &mut out,
                format_args!(
                    "{}{{\"timestamp\":\"{}\",\"sampleCount\":{},\"value\":{}}}",
                    if index == 0 { "" } else { "," },
                    zoned(datapoint.at),
                    number(datapoint.samples),
                    number(datapoint.value),
                ),
            );
        }
        out.push_str("]}");
        out
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}

/// A JSON number; the store admits finite ones only, others become null.
fn number(value: f64) -> String {
    if value.is_finite() { java_double(value) } else { "null".to_owned() }
}
