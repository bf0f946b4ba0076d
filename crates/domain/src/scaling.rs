//! From a policy and a capacity to a new desired capacity.
//!
//! Owns the arithmetic of simple, step and target-tracking policies and of
//! several policies at once (EC2 Auto Scaling User Guide, "Dynamic scaling").
//! When an alarm calls a policy, and which instances warm up, is the caller's
//! knowledge. AWS publishes the principle of target tracking, not its
//! formula; the one here reproduces every documented example.

use crate::capacity::Bounds;
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// How a simple or step adjustment is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdjustmentType {
    /// Add the number.
    ChangeInCapacity,
    /// Set the number.
    ExactCapacity,
    /// Add that many per cent.
    PercentChangeInCapacity,
}

impl AdjustmentType {
    /// Every type, in AWS's order.
    pub const ALL: [AdjustmentType; 3] =
        [AdjustmentType::ChangeInCapacity, AdjustmentType::ExactCapacity, AdjustmentType::PercentChangeInCapacity];

    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            AdjustmentType::ChangeInCapacity => "ChangeInCapacity",
            AdjustmentType::ExactCapacity => "ExactCapacity",
            AdjustmentType::PercentChangeInCapacity => "PercentChangeInCapacity",
        }
    }

    /// The type that AWS calls `name`.
    pub fn from_name(name: &str) -> Option<AdjustmentType> {
        AdjustmentType::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The capacity after an adjustment of `current`, within `bounds`. A
/// percentage is rounded towards zero, but never to zero unless it is zero.
/// `min_magnitude` is the least change that a percentage makes.
pub fn adjust(kind: AdjustmentType, current: u32, adjustment: i32, min_magnitude: Option<u32>, bounds: Bounds) -> u32 {
    let current_wide = i64::from(current);
    let target = match kind {
        AdjustmentType::ChangeInCapacity => current_wide + i64::from(adjustment),
        AdjustmentType::ExactCapacity => i64::from(adjustment),
        AdjustmentType::PercentChangeInCapacity => {
            current_wide + percent_delta(current_wide, i64::from(adjustment), min_magnitude)
        }
    };
    bounds.clamp(u32::try_from(target.max(0)).unwrap_or(u32::MAX))
}

fn percent_delta(current: i64, percent: i64, min_magnitude: Option<u32>) -> i64 {
    let hundredths = current * percent;
    let rounded = match hundredths.abs() {
        0 => 0,
        1..100 => hundredths.signum(),
        _ => hundredths / 100,
    };
    let least = i64::from(min_magnitude.unwrap_or(0));
    if rounded.abs() < least { percent.signum() * least } else { rounded }
}

/// Whether a simple scaling policy may act now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// A scaling activity or a health replacement is in progress.
    ActivityInProgress,
    /// The cooldown lasts until then.
    Cooldown {
        /// The first moment at which the policy may act.
        until: Time,
    },
}

/// The gate in front of a simple scaling policy, and of SetDesiredCapacity and
/// ExecutePolicy with HonorCooldown. `last_activity_end` is when the last
/// instance finished launching or terminating; `cooldown` the policy's, else
/// the group's.
pub fn simple_allowed(now: Time, last_activity_end: Option<Time>, cooldown: Span, activity_in_progress: bool) -> Gate {
    if activity_in_progress {
        return Gate::ActivityInProgress;
    }
    match last_activity_end.map(|end| end + cooldown) {
        Some(until) if now < until => Gate::Cooldown { until },
        Some(_) | None => Gate::Open,
    }
}

/// One step of a step policy; bounds are relative to the alarm's threshold,
/// `None` is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// MetricIntervalLowerBound.
    pub lower: Option<f64>,
    /// MetricIntervalUpperBound.
    pub upper: Option<f64>,
    /// ScalingAdjustment.
    pub adjustment: i32,
}

/// Steps that do not make a policy (`ValidationError`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepsError {
    /// No step at all, or more than `STEPS_MAX`.
    Count,
    /// A step without either bound, or whose upper bound is not above its lower.
    Empty,
    /// Two steps overlap, or there is a gap between them.
    NotContiguous,
    /// A negative lower bound needs a step without a lower bound.
    NoLowest,
    /// A positive upper bound needs a step without an upper bound.
    NoHighest,
}

impl std::fmt::Display for StepsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StepsError::Count => "at least one and at most 20 step adjustments are allowed",
            StepsError::Empty => "a step adjustment needs a bound, and its upper bound must be above its lower bound",
            StepsError::NotContiguous => "step adjustment intervals must not overlap or leave a gap",
            StepsError::NoLowest => "a negative lower bound requires a step adjustment without a lower bound",
            StepsError::NoHighest => "a positive upper bound requires a step adjustment without an upper bound",
        })
    }
}

impl std::error::Error for StepsError {}

/// AWS's quota of steps per policy.
pub const STEPS_MAX: usize = 20;

/// Whether `steps`, in any order, make a step policy.
pub fn check_steps(steps: &[Step]) -> Result<(), StepsError> {
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return Err(StepsError::Count);
    }
    let mut ranges: Vec<(f64, f64)> = steps
        .iter()
        .map(|step| (step.lower.unwrap_or(f64::NEG_INFINITY), step.upper.unwrap_or(f64::INFINITY)))
        .collect();
    ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let whole_line = |(lower, upper): &(f64, f64)| lower.is_infinite() && upper.is_infinite();
    if ranges.iter().any(|range| range.0.is_nan() || range.1.is_nan() || range.0 >= range.1 || whole_line(range)) {
        return Err(StepsError::Empty);
    }
    if ranges.windows(2).any(|pair| pair[0].1 != pair[1].0) {
        return Err(StepsError::NotContiguous);
    }
    let (lowest, highest) = (ranges[0].0, ranges[ranges.len() - 1].1);
    if lowest < 0.0 && lowest.is_finite() {
        Err(StepsError::NoLowest)
    } else if highest > 0.0 && highest.is_finite() {
        Err(StepsError::NoHighest)
    } else {
        Ok(())
    }
}

/// The step that a metric value falls into, if any does. At and above the
/// threshold the lower bound belongs to the step; below it, the upper one.
pub fn step_for(steps: &[Step], metric: f64, threshold: f64) -> Option<&Step> {
    let over = metric - threshold;
    steps.iter().find(|step| {
        let lower = step.lower.unwrap_or(f64::NEG_INFINITY);
        let upper = step.upper.unwrap_or(f64::INFINITY);
        if over >= 0.0 { lower <= over && over < upper } else { lower < over && over <= upper }
    })
}

/// How a step policy makes one value of an alarm's newest datapoints
/// (MetricAggregationType).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregation {
    /// Their mean.
    Average,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
}

impl Aggregation {
    /// Every aggregation, in AWS's order.
    pub const ALL: [Aggregation; 3] = [Aggregation::Average, Aggregation::Minimum, Aggregation::Maximum];

    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            Aggregation::Average => "Average",
            Aggregation::Minimum => "Minimum",
            Aggregation::Maximum => "Maximum",
        }
    }

    /// The aggregation that AWS calls `name`.
    pub fn from_name(name: &str) -> Option<Aggregation> {
        Aggregation::ALL.into_iter().find(|aggregation| aggregation.name() == name)
    }

    /// One value of several; `None` of none.
    pub fn of(self, values: &[f64]) -> Option<f64> {
        let (first, rest) = values.split_first()?;
        let fold = |combine: fn(f64, f64) -> f64| rest.iter().fold(*first, |so_far, value| combine(so_far, *value));
        Some(match self {
            Aggregation::Average => fold(|a, b| a + b) / values.len() as f64,
            Aggregation::Minimum => fold(f64::min),
            Aggregation::Maximum => fold(f64::max),
        })
    }
}

/// The several counts of a group's capacity that policies start from, in
/// units of the group: instances, or their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headcount {
    /// DesiredCapacity.
    pub desired: u32,
    /// In service and warmed up.
    pub contributing: u32,
    /// Everything that runs, terminating instances included.
    pub with_terminating: u32,
    /// What counts as capacity: on its way into service, or in service.
    pub counted: u32,
    /// Whether instances count for different amounts.
    pub weighted: bool,
    /// MinSize and MaxSize.
    pub bounds: Bounds,
}

/// The desired capacity that a simple policy asks for, `None` for no say. One
/// that would grow the group but cannot, because of its maximum, asks for
/// what there is. A scale-in does nothing while `scale_in_blocked`, and
/// nothing in a weighted group whose weights exceed the desired capacity by
/// as much as would go.
pub fn simple_target(
    kind: AdjustmentType,
    adjustment: i32,
    min_magnitude: Option<u32>,
    count: Headcount,
    scale_in_blocked: bool,
) -> Option<u32> {
    let capacity = adjust(kind, count.desired, adjustment, min_magnitude, count.bounds);
    let grows = match kind {
        AdjustmentType::ExactCapacity => capacity > count.desired,
        AdjustmentType::ChangeInCapacity | AdjustmentType::PercentChangeInCapacity => adjustment > 0,
    };
    if grows {
        return Some(capacity.max(count.desired));
    }
    let excess = count.counted.saturating_sub(count.desired);
    let covered = count.weighted && count.desired - capacity.min(count.desired) <= excess;
    (capacity < count.desired && !scale_in_blocked && !covered).then_some(capacity)
}

/// The desired capacity that a step asks for, `None` for no say. A step up
/// starts from the warmed-up capacity and so adds only what instances under
/// way do not add already; when they add all of it, it asks for what is
/// desired. A step down counts instances that are still terminating and does
/// nothing while `scale_in_blocked` (a scale-out is in progress or an
/// instance warms up).
pub fn step_target(
    kind: AdjustmentType,
    adjustment: i32,
    min_magnitude: Option<u32>,
    count: Headcount,
    scale_in_blocked: bool,
) -> Option<u32> {
    let out = adjust(kind, count.contributing, adjustment, min_magnitude, count.bounds);
    let down = adjust(kind, count.with_terminating, adjustment, min_magnitude, count.bounds);
    let grows = match kind {
        AdjustmentType::ExactCapacity => out > count.desired,
        AdjustmentType::ChangeInCapacity | AdjustmentType::PercentChangeInCapacity => adjustment > 0,
    };
    if grows { Some(out.max(count.desired)) } else { (down < count.desired && !scale_in_blocked).then_some(down) }
}

/// Scale-out of target tracking: the desired capacity at which the metric
/// would meet the target, at least what is desired already. `contributing`
/// instances produced `metric`; those that warm up count as part of
/// `desired`. With no contributing instance nothing can be said of the load,
/// hence `None`. A sum per target such as ALBRequestCountPerTarget follows
/// the same formula.
pub fn target_tracking_out(contributing: u32, metric: f64, target: f64, desired: u32, bounds: Bounds) -> Option<u32> {
    Some(bounds.clamp(needed(contributing, metric, target)?).max(desired))
}

/// Scale-in of target tracking: the desired capacity at which the metric
/// would still not exceed the target, `None` for no change. Instances that
/// are still terminating count, so that a slow termination is not followed
/// by another. `blocked`: a scale-out is in progress, an instance warms up,
/// or another target-tracking policy does not agree.
pub fn target_tracking_in(
    capacity_including_terminating: u32,
    metric: f64,
    target: f64,
    desired: u32,
    bounds: Bounds,
    blocked: bool,
) -> Option<u32> {
    if blocked {
        return None;
    }
    let wanted = bounds.clamp(needed(capacity_including_terminating, metric, target)?);
    (wanted < desired).then_some(wanted)
}

/// `ceil(capacity x metric / target)`, with quotients that are whole but for
/// a rounding error of floating point taken as whole.
fn needed(capacity: u32, metric: f64, target: f64) -> Option<u32> {
    /// Well above the relative error of one multiplication and one division
    /// (3e-16), well below what a metric can mean.
    const ROUNDING: f64 = 1e-12;
    if !metric.is_finite() || !target.is_finite() || target <= 0.0 || (capacity == 0 && metric > 0.0) {
        return None;
    }
    let exact = f64::from(capacity) * metric / target;
    // The cast saturates: a negative metric needs nothing.
    Some((exact * (1.0 - ROUNDING)).ceil() as u32)
}

/// The threshold of a target-tracking policy's AlarmLow. Observed between
/// 0.70 and 0.90 of the target, wider for small groups: at two instances one
/// less doubles the load. AWS does not publish the rule; this one is
/// `(n - 1) / n` within those limits, rounded down to 0.05.
pub fn low_threshold(target: f64, desired: u32) -> f64 {
    // In twentieths, so that the rounding is exact.
    let twentieths = (20 * u64::from(desired.saturating_sub(1)) / u64::from(desired.max(1))).clamp(14, 18);
    target * twentieths as f64 / 20.0
}

/// The desired capacity that one of several policies asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The policy's name.
    pub policy: String,
    /// The desired capacity that it asks for.
    pub capacity: u32,
}

/// Of several policies that act at once the largest resulting capacity wins,
/// when growing and when shrinking.
pub fn merge(candidates: &[Candidate]) -> Option<u32> {
    winner(candidates).map(|candidate| candidate.capacity)
}

/// The candidate that `merge` follows: the first of those with the largest capacity.
pub fn winner(candidates: &[Candidate]) -> Option<&Candidate> {
    candidates.iter().rev().max_by_key(|candidate| candidate.capacity)
}

/// Whether an instance still warms up. One that is not in service yet does.
pub fn warming(in_service_since: Option<Time>, warmup: Span, now: Time) -> bool {
    in_service_since.is_none_or(|since| now < since + warmup)
}

#[cfg(test)]
mod tests;
