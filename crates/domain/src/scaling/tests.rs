//! Tables of the User Guide's rules and examples.

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
        assert_eq!(adjust(PercentChangeInCapacity, current, percent, None, bounds), capacity, "{current} {percent}");
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
    Headcount { desired, contributing, with_terminating, counted: desired, weighted: false, bounds: WIDE }
}

/// The guide's examples: warming instances count once, blocked scale-in, terminating instances count.
#[test]
fn autoscaling_7_3_step_targets() {
    for (adjustment, count, blocked, target) in [
        (10, head(10, 10, 10), false, Some(11)),
        (10, head(11, 10, 11), false, Some(11)),
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
        (2, 100.0, 4, Some(4)),
        (2, 100.0, 3, Some(4)),
        (4, 50.0, 4, Some(4)),
        (0, 50.0, 0, None),
        (0, 0.0, 0, Some(0)),
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

/// A growth that the maximum cuts still speaks for what there is; weights in excess cover a scale-in.
#[test]
fn autoscaling_7_3_simple_targets_and_weights() {
    let count = |desired, counted, weighted, max| Headcount {
        desired,
        contributing: counted,
        with_terminating: counted,
        counted,
        weighted,
        bounds: Bounds { min: 1, max },
    };
    for (amount, count, blocked, capacity) in [
        (2, count(4, 4, false, 9), false, Some(6)),
        (2, count(4, 4, false, 5), true, Some(5)),
        (2, count(5, 5, false, 5), false, Some(5)),
        (-1, count(4, 4, false, 9), false, Some(3)),
        (-1, count(4, 4, false, 9), true, None),
        (-9, count(4, 4, false, 9), false, Some(1)),
        (-1, count(1, 1, false, 9), false, None),
        (-1, count(5, 6, true, 9), false, None),
        (-2, count(5, 6, true, 9), false, Some(3)),
        (-1, count(5, 6, false, 9), false, Some(4)),
        (0, count(5, 5, false, 9), false, None),
    ] {
        assert_eq!(simple_target(ChangeInCapacity, amount, None, count, blocked), capacity, "{amount} {count:?}");
    }
    assert_eq!(simple_target(ExactCapacity, 2, None, count(5, 5, false, 9), false), Some(2));
    assert_eq!(simple_target(ExactCapacity, 2, None, count(5, 5, false, 9), true), None);
}

/// The newest datapoints become one value as MetricAggregationType says.
#[test]
fn autoscaling_7_3_aggregation() {
    for (aggregation, values, value) in [
        (Aggregation::Average, &[60.0, 80.0, 70.0][..], Some(70.0)),
        (Aggregation::Minimum, &[60.0, 80.0, 70.0], Some(60.0)),
        (Aggregation::Maximum, &[60.0, 80.0, 70.0], Some(80.0)),
        (Aggregation::Average, &[5.0], Some(5.0)),
        (Aggregation::Maximum, &[], None),
    ] {
        assert_eq!(aggregation.of(values), value, "{aggregation:?}");
        assert_eq!(Aggregation::from_name(aggregation.name()), Some(aggregation));
    }
}
