//! Metric alarms: from the datapoints of a window to a state and its reason.
//!
//! The algorithm is the one of the CloudWatch User Guide ("Alarm
//! evaluation", "Configuring how alarms treat missing data"); the table of
//! that page is a test here. Fetching the datapoints, storing the state and
//! carrying out actions is the caller's business.

mod reason;

pub use reason::ReasonData;

use crate::series::{Distribution, Statistic};
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// How many periods more than EvaluationPeriods are looked at, so that late
/// or missing data can be made up for by older data. AWS does not publish
/// the number; its example has two.
pub const EXTRA_PERIODS: u32 = 2;

/// A new alarm's reason.
pub const INITIAL_REASON: &str = "Unchecked: Initial alarm creation";

/// How often an Auto Scaling action is repeated while the alarm stays in its state.
pub const ACTION_REPEAT: Span = Span::from_mins(1);

/// How a value is compared with the threshold: true is breaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `>=`
    GreaterThanOrEqualToThreshold,
    /// `>`
    GreaterThanThreshold,
    /// `<`
    LessThanThreshold,
    /// `<=`
    LessThanOrEqualToThreshold,
}

impl Comparison {
    /// Every comparison.
    pub const ALL: [Comparison; 4] = [
        Comparison::GreaterThanOrEqualToThreshold,
        Comparison::GreaterThanThreshold,
        Comparison::LessThanThreshold,
        Comparison::LessThanOrEqualToThreshold,
    ];

    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            Comparison::GreaterThanOrEqualToThreshold => "GreaterThanOrEqualToThreshold",
            Comparison::GreaterThanThreshold => "GreaterThanThreshold",
            Comparison::LessThanThreshold => "LessThanThreshold",
            Comparison::LessThanOrEqualToThreshold => "LessThanOrEqualToThreshold",
        }
    }

    /// The comparison that AWS calls `name`.
    pub fn from_name(name: &str) -> Option<Comparison> {
        Comparison::ALL.into_iter().find(|comparison| comparison.name() == name)
    }

    /// Whether `value` breaches `threshold`.
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Comparison::GreaterThanOrEqualToThreshold => value >= threshold,
            Comparison::GreaterThanThreshold => value > threshold,
            Comparison::LessThanThreshold => value < threshold,
            Comparison::LessThanOrEqualToThreshold => value <= threshold,
        }
    }
}

/// What a period without data counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingData {
    /// Unknown.
    #[default]
    Missing,
    /// As if it were not there; without any data the state is kept.
    Ignore,
    /// As a breaching datapoint.
    Breaching,
    /// As one that does not breach.
    NotBreaching,
}

impl MissingData {
    /// Every treatment.
    pub const ALL: [MissingData; 4] =
        [MissingData::Missing, MissingData::Ignore, MissingData::Breaching, MissingData::NotBreaching];

    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            MissingData::Missing => "missing",
            MissingData::Ignore => "ignore",
            MissingData::Breaching => "breaching",
            MissingData::NotBreaching => "notBreaching",
        }
    }

    /// The treatment that AWS calls `name`.
    pub fn from_name(name: &str) -> Option<MissingData> {
        MissingData::ALL.into_iter().find(|treatment| treatment.name() == name)
    }
}

/// State of an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AlarmState {
    /// Enough datapoints are within the threshold.
    Ok,
    /// Enough datapoints breach it.
    Alarm,
    /// There is too little data, or the alarm is new.
    #[default]
    InsufficientData,
}

impl AlarmState {
    /// Every state.
    pub const ALL: [AlarmState; 3] = [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData];

    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    /// The state that AWS calls `name`.
    pub fn from_name(name: &str) -> Option<AlarmState> {
        AlarmState::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The part of an alarm's configuration that its state depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmRule {
    /// ComparisonOperator.
    pub comparison: Comparison,
    /// Threshold.
    pub threshold: f64,
    /// EvaluationPeriods (N), at least 1.
    pub evaluation_periods: u32,
    /// DatapointsToAlarm (M), 1 to N; all N if not set.
    pub datapoints_to_alarm: Option<u32>,
    /// TreatMissingData.
    pub treat_missing: MissingData,
    /// Period.
    pub period: Span,
    /// Statistic or ExtendedStatistic; none for metric math.
    pub statistic: Option<Statistic>,
    /// EvaluateLowSampleCountPercentile, as given.
    #[serde(default)]
    pub low_samples: Option<LowSamples>,
}

/// What an alarm on a percentile does in periods with too few samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LowSamples {
    /// `evaluate`: what it does with enough; the same as not saying.
    Evaluate,
    /// `ignore`: it keeps its state.
    Ignore,
}

impl LowSamples {
    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            LowSamples::Evaluate => "evaluate",
            LowSamples::Ignore => "ignore",
        }
    }

    /// The treatment that AWS calls `name`.
    pub fn from_name(name: &str) -> Option<LowSamples> {
        [LowSamples::Evaluate, LowSamples::Ignore].into_iter().find(|treatment| treatment.name() == name)
    }
}

impl AlarmRule {
    /// N.
    fn needed(&self) -> usize {
        self.evaluation_periods.max(1) as usize
    }

    /// M.
    fn to_alarm(&self) -> usize {
        self.datapoints_to_alarm.map_or(self.needed(), |m| (m.max(1) as usize).min(self.needed()))
    }

    /// Whether a period has too few samples for its percentile to mean
    /// something: fewer than 10 beyond it (CloudWatch User Guide,
    /// "Percentile-based CloudWatch alarms and low data samples").
    fn is_too_thin(&self, datapoint: &Datapoint) -> bool {
        match (self.low_samples, self.statistic) {
            (Some(LowSamples::Ignore), Some(Statistic::Percentile(percent))) => {
                let fraction = percent.fraction();
                datapoint.samples < 10.0 / fraction.min(1.0 - fraction)
            }
            _ => false,
        }
    }

    fn breaches(&self, datapoint: &Datapoint) -> bool {
        self.comparison.breaches(datapoint.value, self.threshold)
    }
}

/// One period's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datapoint {
    /// Start of the period.
    pub at: Time,
    /// The statistic's value.
    pub value: f64,
    /// Number of samples behind it.
    pub samples: f64,
}

/// Result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The state that the alarm should be in.
    pub state: AlarmState,
    /// StateReason, as it reads if this is a change of state.
    pub reason: String,
    /// What StateReasonData is made of.
    pub reason_data: ReasonData,
}

/// The time range whose data an evaluation at `now` looks at: whole minutes
/// (whole ten seconds for periods below a minute) that are over, as many
/// periods as `evaluate` wants. The window slides: it is not aligned to
/// multiples of the period.
pub fn evaluation_window(rule: &AlarmRule, now: Time) -> (Time, Time) {
    let step = if rule.period < Span::from_mins(1) { Span::from_secs(10) } else { Span::from_mins(1) };
    let end = now.floor(step);
    let periods = i64::from(rule.evaluation_periods.max(1)) + i64::from(EXTRA_PERIODS);
    (end - rule.period * periods, end)
}

/// The window as `evaluate` wants it: one slot per period from `start`, oldest
/// first, filled from samples stamped with their period's start
/// (`MetricStore::distributions` over `evaluation_window` with the alarm's period).
pub fn window(rule: &AlarmRule, start: Time, samples: &[(Time, Distribution)]) -> Vec<Option<Datapoint>> {
    let datapoint = |(at, samples): &(Time, Distribution)| {
        let value = rule.statistic.unwrap_or(Statistic::Average).of(samples)?;
        Some(Datapoint { at: *at, value, samples: samples.set().count })
    };
    slots(rule, start, samples.iter().filter_map(datapoint))
}

/// The window of values that metric math computed.
pub fn window_of_values(rule: &AlarmRule, start: Time, points: &[(Time, f64)]) -> Vec<Option<Datapoint>> {
    slots(rule, start, points.iter().map(|(at, value)| Datapoint { at: *at, value: *value, samples: 1.0 }))
}

fn slots(rule: &AlarmRule, start: Time, datapoints: impl Iterator<Item = Datapoint>) -> Vec<Option<Datapoint>> {
    let mut slots = vec![None; rule.needed() + EXTRA_PERIODS as usize];
    for datapoint in datapoints {
        let index = (datapoint.at - start).millis().div_euclid(rule.period.millis().max(1));
        if let Some(slot) = usize::try_from(index).ok().and_then(|index| slots.get_mut(index)) {
            *slot = Some(datapoint);
        }
    }
    slots
}

/// The state that an alarm in the state `current` should be in. `window` has
/// one slot per period, oldest first, `evaluation_periods + EXTRA_PERIODS` long.
pub fn evaluate(rule: &AlarmRule, window: &[Option<Datapoint>], current: AlarmState) -> Verdict {
    let newest_first = window.iter().rev().enumerate();
    let real: Vec<(usize, &Datapoint)> =
        newest_first.filter_map(|(slot, datapoint)| Some((slot + 1, datapoint.as_ref()?))).collect();
    let state = match real.first() {
        Some((_, newest)) if rule.is_too_thin(newest) => current,
        _ => state(rule, &real, current),
    };
    let evaluated: Vec<Datapoint> = real.iter().take(rule.needed()).map(|(_, datapoint)| **datapoint).collect();
    Verdict { state, reason: reason::text(rule, &evaluated, state), reason_data: ReasonData::new(rule, &evaluated) }
}

/// `real` is newest first, each datapoint with the age of its slot in
/// periods, the newest slot's being 1.
fn state(rule: &AlarmRule, real: &[(usize, &Datapoint)], current: AlarmState) -> AlarmState {
    let (needed, to_alarm) = (rule.needed(), rule.to_alarm());
    let counted = &real[..real.len().min(needed)];
    let breaching = counted.iter().filter(|(_, datapoint)| rule.breaches(datapoint)).count();
    let alarm_if = |alarm: bool| {
        if alarm { AlarmState::Alarm } else { AlarmState::Ok }
    };
    if real.len() >= needed {
        return alarm_if(breaching >= to_alarm);
    }
    if real.is_empty() {
        return match rule.treat_missing {
            MissingData::Missing => AlarmState::InsufficientData,
            MissingData::Ignore => current,
            MissingData::Breaching => AlarmState::Alarm,
            MissingData::NotBreaching => AlarmState::Ok,
        };
    }
    match rule.treat_missing {
        MissingData::Breaching => alarm_if(breaching + needed - real.len() >= to_alarm),
        MissingData::NotBreaching => alarm_if(breaching >= to_alarm),
        MissingData::Missing | MissingData::Ignore if breaching >= to_alarm => AlarmState::Alarm,
        MissingData::Missing | MissingData::Ignore if breaching < real.len() => AlarmState::Ok,
        // All that is known breaches, but it is too little. It alarms once
        // the data would have been enough had it kept coming.
        MissingData::Missing if real.last().is_some_and(|(age, _)| *age >= to_alarm) => AlarmState::Alarm,
        MissingData::Missing | MissingData::Ignore => current,
    }
}

/// Whether the actions of the state `new` are due: after a transition, and
/// for Auto Scaling actions again every minute while the state lasts.
/// `last_action_at` is the moment of the evaluation by which they last ran in
/// this state, and `now` that of this one; both as planned, so that an
/// evaluation that is late by a little does not put the next one off.
pub fn action_due(
    old: AlarmState,
    new: AlarmState,
    last_action_at: Option<Time>,
    now: Time,
    is_auto_scaling: bool,
) -> bool {
    let repeat = is_auto_scaling && last_action_at.is_none_or(|last| now >= last + ACTION_REPEAT);
    old != new || repeat
}

#[cfg(test)]
mod tests;
