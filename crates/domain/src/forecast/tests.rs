use super::*;

fn daily(hours: usize) -> Vec<f64> {
    (0..hours).map(|hour| 100.0 + 50.0 * f64::from(u8::from((8..20).contains(&(hour % DAY))))).collect()
}

/// Workdays are busy from eight to twenty, weekends are quiet.
fn weekly(hours: usize) -> Vec<f64> {
    daily(hours).into_iter().enumerate().map(|(hour, load)| if hour / DAY % 7 >= 5 { 20.0 } else { load }).collect()
}

/// Half a per cent of a day's peak.
const NEAR: f64 = 0.75;

/// Less than a day says nothing; what repeats is foretold.
#[test]
fn autoscaling_10_patterns_continue() {
    assert_eq!(forecast(&daily(23), HORIZON), None);
    for days in [1, 2, 3, 7, 9, 14] {
        let all = daily((days + 2) * DAY);
        let said = forecast(&all[..days * DAY], HORIZON).unwrap();
        assert_eq!(said.len(), HORIZON);
        for (hour, (said, will)) in said.iter().zip(&all[days * DAY..]).enumerate() {
            assert!((said - will).abs() < NEAR || days == 1, "{days} days, hour {hour}: {said}, not {will}");
        }
    }
}

/// With two weeks the weekend that comes is quiet although the days before were not.
#[test]
fn autoscaling_10_weekly_pattern() {
    let all = weekly(21 * DAY);
    let friday_evening = 19 * DAY;
    let said = forecast(&all[..friday_evening], HORIZON).unwrap();
    for (hour, (said, will)) in said.iter().zip(&all[friday_evening..]).enumerate() {
        assert!((said - will).abs() < 15.0, "hour {hour}: {said}, not {will}");
    }
}

/// A load that has doubled is not foretold by its old level.
#[test]
fn autoscaling_10_changed_level() {
    let mut load = daily(10 * DAY);
    load.extend(daily(2 * DAY).iter().map(|value| value * 2.0));
    let said = forecast(&load, DAY).unwrap();
    let peak = said.iter().copied().fold(0.0, f64::max);
    assert!((250.0..=320.0).contains(&peak), "{peak}");
}

/// Silence stays silence, and nothing is negative or not a number.
#[test]
fn autoscaling_10_values_are_finite() {
    assert_eq!(forecast(&[0.0; 48], 3), Some(vec![0.0; 3]));
    let falling: Vec<f64> = (0..100).map(|hour| 1000.0 - 10.0 * f64::from(hour)).collect();
    assert!(forecast(&falling, HORIZON).unwrap().iter().all(|value| value.is_finite() && *value >= 0.0));
}

/// Gaps take the same hour of a neighbouring day.
#[test]
fn autoscaling_10_gaps() {
    let mut hours: Vec<Option<f64>> = daily(3 * DAY).into_iter().map(Some).collect();
    (hours[30], hours[9], hours[50]) = (None, None, None);
    assert_eq!(fill(&hours), daily(3 * DAY));
    assert_eq!(fill(&[None, Some(3.0), None, Some(5.0)]), [3.0, 3.0, 5.0]);
    assert!(fill(&[None, None]).is_empty());
}

/// A load of one and a half targets needs two.
#[test]
fn autoscaling_10_capacity_of_a_load() {
    for (load, target, needed) in [
        (0.0, 50.0, 0),
        (-1.0, 50.0, 0),
        (75.0, 50.0, 2),
        (100.0, 50.0, 2),
        (0.1, 50.0, 1),
        (1.0, 0.0, 0),
        (f64::NAN, 1.0, 0),
    ] {
        assert_eq!(capacity(load, target), needed, "{load} {target}");
    }
}
