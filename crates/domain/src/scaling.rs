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

/// The several counts of a group's instances that policies start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headcount {
    /// DesiredCapacity.
    pub desired: u32,
    /// In service and warmed up.
    pub contributing: u32,
    /// Everything that runs, terminating instances included.
    pub with_terminating: u32,
    /// MinSize and MaxSize.
    pub bounds: Bounds,
}

/// The desired capacity that a step asks for, `None` for no change. A step
/// up starts from the warmed-up capacity and so adds only what instances
/// under way do not add already; a step down counts instances that are still
/// terminating and does nothing while `scale_in_blocked` (a scale-out is in
/// progress or an instance warms up).
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
    if grows {
        (out > count.desired).then_some(out)
    } else {
        (down < count.desired && !scale_in_blocked).then_some(down)
    }
}

/// Scale-out of target tracking: the desired capacity at which the metric
/// would meet the target, `None` for no change. `contributing` instances
/// produced `metric`; those that warm up count as part of `desired`. With no
/// contributing instance nothing can be said of the load, hence `None`. A
/// sum per target such as ALBRequestCountPerTarget follows the same formula.
pub fn target_tracking_out(contributing: u32, metric: f64, target: f64, desired: u32, bounds: Bounds) -> Option<u32> {
    let wanted = bounds.clamp(needed(contributing, metric, target)?);
    (wanted > desired).then_some(wanted)
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
mod tests {
    use super::*;
    use AdjustmentType::*;

    const WIDE: Bounds = Bounds { min: 0, max: 100 };

    /// Percentages are rounded towards zero, but not to zero.
    #[test]
    fn autoscaling_7_1_percent_rounding() {
        for (current, percent, capacity) in [
            (127, 10, 139), // +12.7 is +12
            (67, -10, 61),  // -6.7 is -6
            (10, 5, 11),    // +0.5 is +1
            (10, -5, 9),    // -0.5 is -1
            (10, 0, 10),
            (0, 50, 0),
            (8, -25, 6),
            (11, 30, 14),
            (3, -100, 0),
            (3, -250, 0),
        ] {
            let bounds = Bounds { min: 0, max: 200 };
            assert_eq!(
                adjust(PercentChangeInCapacity, current, percent, None, bounds),
                capacity,
                "{current} {percent}"
            );
        }
    }

    /// The other types, the least magnitude, and that results are clamped.
    #[test]
    fn autoscaling_7_1_adjustments() {
        for (kind, current, adjustment, magnitude, (min, max), capacity) in [
            (ChangeInCapacity, 2, 3, None, (0, 3), 3),
            (ChangeInCapacity, 3, -2, None, (2, 9), 2),
            (ChangeInCapacity, 3, -9, None, (0, 9), 0),
            (ChangeInCapacity, 3, i32::MAX, None, (0, 9), 9),
            (ChangeInCapacity, 3, i32::MIN, None, (1, 9), 1),
            (ExactCapacity, 3, 5, None, (0, 9), 5),
            (ExactCapacity, 3, 50, None, (0, 9), 9),
            (PercentChangeInCapacity, 4, 25, Some(2), (0, 9), 6),
            (PercentChangeInCapacity, 4, -25, Some(2), (0, 9), 2),
            (PercentChangeInCapacity, 4, 100, Some(2), (0, 9), 8),
            (PercentChangeInCapacity, 4, 0, Some(2), (0, 9), 4),
            (ChangeInCapacity, 4, 1, Some(2), (0, 9), 5),
        ] {
            let bounds = Bounds { min, max };
            assert_eq!(adjust(kind, current, adjustment, magnitude, bounds), capacity, "{kind:?} {adjustment}");
        }
    }

    /// Simple scaling waits for activities and for the cooldown after the last one.
    #[test]
    fn autoscaling_7_2_simple_scaling_gate() {
        let (now, cooldown) = (Time(1_000_000), Span::from_secs(300));
        let ago = |secs: i64| Some(now - Span::from_secs(secs));
        for (last, busy, gate) in [
            (None, false, Gate::Open),
            (None, true, Gate::ActivityInProgress),
            (ago(299), false, Gate::Cooldown { until: now + Span::from_secs(1) }),
            (ago(300), false, Gate::Open),
            (ago(900), true, Gate::ActivityInProgress),
        ] {
            assert_eq!(simple_allowed(now, last, cooldown, busy), gate, "{last:?} {busy}");
        }
        assert_eq!(simple_allowed(now, ago(0), Span::ZERO, false), Gate::Open);
    }

    fn step(lower: Option<f64>, upper: Option<f64>, adjustment: i32) -> Step {
        Step { lower, upper, adjustment }
    }

    fn documented_steps() -> [Step; 6] {
        [
            step(Some(0.0), Some(10.0), 0),
            step(Some(10.0), Some(20.0), 10),
            step(Some(20.0), None, 30),
            step(Some(-10.0), Some(0.0), -1),
            step(Some(-20.0), Some(-10.0), -10),
            step(None, Some(-20.0), -30),
        ]
    }

    /// Which step a value falls into: lower bounds belong to it above the threshold, upper ones below.
    #[test]
    fn autoscaling_7_3_step_choice() {
        let steps = documented_steps();
        for (metric, adjustment) in [
            (50.0, Some(0)),
            (59.9, Some(0)),
            (60.0, Some(10)),
            (70.0, Some(30)),
            (1000.0, Some(30)),
            (49.9, Some(-1)),
            (40.0, Some(-10)),
            (30.0, Some(-30)),
            (-5.0, Some(-30)),
        ] {
            assert_eq!(step_for(&steps, metric, 50.0).map(|step| step.adjustment), adjustment, "{metric}");
        }
        assert_eq!(step_for(&steps[1..2], 50.0, 50.0), None);
        assert_eq!(step_for(&steps, f64::NAN, 50.0), None);
    }

    /// No gaps, no overlaps, no step for everything, and open ends where values can go on.
    #[test]
    fn autoscaling_7_3_step_rules() {
        let up = |lower, upper| step(Some(lower), upper, 1);
        for (steps, result) in [
            (documented_steps().to_vec(), Ok(())),
            (vec![up(0.0, None)], Ok(())),
            (vec![step(None, Some(0.0), -1)], Ok(())),
            (vec![up(10.0, None), up(0.0, Some(10.0))], Ok(())),
            (vec![], Err(StepsError::Count)),
            (vec![up(0.0, None); 21], Err(StepsError::Count)),
            (vec![step(None, None, 1)], Err(StepsError::Empty)),
            (vec![up(5.0, Some(5.0)), up(5.0, None)], Err(StepsError::Empty)),
            (vec![up(f64::NAN, None)], Err(StepsError::Empty)),
            (vec![up(0.0, Some(10.0)), up(11.0, None)], Err(StepsError::NotContiguous)),
            (vec![up(0.0, Some(10.0)), up(9.0, None)], Err(StepsError::NotContiguous)),
            (vec![up(0.0, None), up(0.0, None)], Err(StepsError::NotContiguous)),
            (vec![up(-5.0, Some(0.0))], Err(StepsError::NoLowest)),
            (vec![up(0.0, Some(5.0))], Err(StepsError::NoHighest)),
        ] {
            assert_eq!(check_steps(&steps), result, "{steps:?}");
        }
    }

    fn head(desired: u32, contributing: u32, with_terminating: u32) -> Headcount {
        Headcount { desired, contributing, with_terminating, bounds: WIDE }
    }

    /// The guide's examples: warming instances count once, blocked scale-in, terminating instances count.
    #[test]
    fn autoscaling_7_3_step_targets() {
        for (adjustment, count, blocked, target) in [
            (10, head(10, 10, 10), false, Some(11)),
            (10, head(11, 10, 11), false, None),
            (30, head(11, 10, 11), true, Some(13)),
            (30, head(11, 11, 11), false, Some(14)),
            (-10, head(14, 14, 14), false, Some(13)),
            (-30, head(13, 13, 13), false, Some(10)),
            (-30, head(13, 13, 13), true, None),
            (-10, head(13, 13, 14), false, None),
            (0, head(10, 10, 10), false, None),
        ] {
            let got = step_target(PercentChangeInCapacity, adjustment, None, count, blocked);
            assert_eq!(got, target, "{adjustment} {count:?}");
        }
        assert_eq!(step_target(ExactCapacity, 12, None, head(10, 8, 10), true), Some(12));
        assert_eq!(step_target(ExactCapacity, 5, None, head(10, 8, 10), true), None);
        assert_eq!(step_target(ExactCapacity, 5, None, head(10, 8, 10), false), Some(5));
    }

    /// The largest resulting capacity wins, growing and shrinking (-3 against -25 % of 8).
    #[test]
    fn autoscaling_7_6_several_policies() {
        let candidate = |policy: &str, capacity| Candidate { policy: policy.to_owned(), capacity };
        assert_eq!(merge(&[]), None);
        assert_eq!(merge(&[candidate("by three", 5), candidate("a quarter", 6)]), Some(6));
        let tied = [candidate("first", 6), candidate("second", 6)];
        assert_eq!(winner(&tied).map(|candidate| candidate.policy.as_str()), Some("first"));
    }

    /// An instance warms up from its coming into service.
    #[test]
    fn autoscaling_7_4_warm_up() {
        let since = Time(1_000_000);
        let warmup = Span::from_secs(60);
        assert!(warming(None, warmup, since));
        assert!(warming(Some(since), warmup, since + Span(59_999)));
        assert!(!warming(Some(since), warmup, since + warmup));
        assert!(!warming(Some(since), Span::ZERO, since));
    }

    /// Thresholds observed on AWS, by the size of the group.
    #[test]
    fn autoscaling_9_2_low_threshold() {
        for (target, desired, low) in [
            (50.0, 7, 42.5),
            (20.0, 2, 14.0),
            (50.0, 2, 35.0),
            (60.0, 10, 54.0),
            (40.0, 500, 36.0),
            (50.0, 1, 35.0),
            (50.0, 0, 35.0),
        ] {
            assert_eq!(low_threshold(target, desired), low, "{target} {desired}");
        }
    }

    /// Growing: rounded up, capped by max, nothing while enough is on its way, nothing from nothing.
    #[test]
    fn autoscaling_9_3_scale_out() {
        for (contributing, metric, desired, capacity) in [
            (2, 87.5, 2, Some(4)), // needs 3.5
            (2, 75.0, 2, Some(3)),
            (2, 100.0, 2, Some(4)),
            (2, 100.0, 4, None),
            (2, 100.0, 3, Some(4)),
            (4, 50.0, 4, None),
            (0, 50.0, 0, None),
            (0, 0.0, 0, None),
            (90, 99.0, 90, Some(100)),
            (2, f64::INFINITY, 2, None),
            (2, f64::NAN, 2, None),
        ] {
            let got = target_tracking_out(contributing, metric, 50.0, desired, WIDE);
            assert_eq!(got, capacity, "{contributing} {metric} {desired}");
        }
    }

    /// Shrinking: one and a half too many removes one, half removes none; min and blocking hold.
    #[test]
    fn autoscaling_9_3_scale_in() {
        for (capacity, metric, desired, min, blocked, wanted) in [
            (10, 42.5, 10, 0, false, Some(9)), // needs 8.5
            (10, 47.5, 10, 0, false, None),    // needs 9.5
            (10, 42.5, 10, 0, true, None),
            (10, 10.0, 10, 4, false, Some(4)),
            (3, 1e-9, 3, 0, false, Some(1)), // any load at all needs one
            (4, 0.0, 4, 0, false, Some(0)),
            (5, 20.0, 4, 0, false, Some(2)),
            (0, 0.0, 0, 0, false, None),
            (4, 90.0, 4, 0, false, None),
        ] {
            let bounds = Bounds { min, max: 100 };
            let got = target_tracking_in(capacity, metric, 50.0, desired, bounds, blocked);
            assert_eq!(got, wanted, "{capacity} {metric} {desired}");
        }
    }

    /// Quotients that are whole numbers are not rounded up for an error of floating point.
    #[test]
    fn whole_needs_are_exact() {
        for capacity in 1..=100_u32 {
            for target in [0.1, 0.7, 3.3, 50.0, 1e-9, 1e9] {
                let got = needed(capacity, target, target);
                assert_eq!(got, Some(capacity), "{capacity} {target}");
            }
        }
    }
}
