//! Predictive scaling: from hours of load to the capacity before the hour.

use super::*;
use crate::policy;
use elastane_domain::forecast::{Config as Predictive, HOUR, Measure, Mode, OnBreach};
use elastane_domain::scaling::AdjustmentType;
use elastane_domain::series::{MetricId, StatisticSet, Unit};

const BUSY: f64 = 400.0;
const QUIET: f64 = 100.0;

fn config(mode: Mode) -> Predictive {
    Predictive {
        target: 50.0,
        measure: Measure::Cpu,
        as_pair: true,
        resource_label: None,
        mode,
        on_breach: OnBreach::HonorMaxCapacity,
        max_buffer: 0,
        buffer: None,
    }
}

/// Busy from eight to twenty.
fn load_at(at: Time) -> f64 {
    if (8..20).contains(&(at.seconds() / 3_600 % 24)) { BUSY } else { QUIET }
}

/// A group with a policy and `days` of load, at ten o'clock.
fn rig(config: Predictive, days: i64, max: u32) -> Rig {
    let mut rig = Rig::new();
    rig.group("web", (1, max), 2, |_| {});
    for hour in 1..=days * 24 {
        let begun = START - Span(hour * HOUR.0);
        for minute in 0..60 {
            let at = begun + Span::from_mins(minute);
            let id = MetricId::new("AWS/EC2", "CPUUtilization", &[("AutoScalingGroupName", "web")]);
            let sample = StatisticSet::of(load_at(begun));
            let now = rig.now;
            rig.tx(|tx| tx.metrics_mut().put(id, Unit::Percent, at, sample, now)).expect("a sample");
        }
    }
    let policy = Policy {
        group: GroupName::from("web"),
        name: "p".to_string(),
        arn: "arn:p".to_string(),
        enabled: true,
        kind: PolicyKind::Predictive { config },
    };
    rig.tx(|tx| policy::put(tx, policy));
    rig.pass(Span::ZERO);
    rig
}

fn desired(rig: &Rig) -> u32 {
    rig.get::<Group>("web").expect("it is there").desired
}

/// Passes the time until `hour` o'clock less so many seconds.
fn until(rig: &mut Rig, hour: i64, less: i64) {
    let midnight = rig.now.floor(Span(24 * HOUR.0));
    let mut at = midnight + Span(hour * HOUR.0) - Span::from_secs(less);
    if at <= rig.now {
        at += Span(24 * HOUR.0);
    }
    while rig.now < at {
        let step = (at - rig.now).min(Span::from_mins(15));
        rig.pass(step);
    }
}

/// Capacity comes five minutes before the busy hours, and is never taken away.
#[test]
fn autoscaling_10_capacity_before_the_hour() {
    let mut rig = rig(config(Mode::ForecastAndScale), 9, 20);
    assert_eq!(desired(&rig), 8, "it is ten o'clock: 400 of load at 50 each");
    rig.tx(|tx| tx.update("web", |row: &mut Group| row.desired = 2));
    until(&mut rig, 11, 301);
    assert_eq!(desired(&rig), 2, "a hand's change holds for the hour");
    until(&mut rig, 11, 299);
    assert_eq!(desired(&rig), 8);
    until(&mut rig, 23, 0);
    assert_eq!(desired(&rig), 8, "it never scales in");
    let cause =
        rig.all::<Activity>().into_iter().find(|row| row.cause.contains("forecast")).map(|row| row.cause.clone());
    assert!(cause.is_some_and(|cause| cause.contains("policy p changing the desired capacity from 2 to 8")));
}

/// Forecasts alone change nothing; too little history foretells nothing.
#[test]
fn autoscaling_10_forecast_only_and_too_little_history() {
    let mut only = rig(config(Mode::ForecastOnly), 3, 20);
    only.pass(Span::from_mins(70));
    assert_eq!(desired(&only), 2);
    let row = only.get::<Forecast>("web:p").expect("there is one");
    assert_eq!(row.said.len(), 48);
    assert_eq!(row.said.values().next().map(|said| said.capacity), Some(8));
    let mut young = rig(config(Mode::ForecastAndScale), 0, 20);
    young.pass(Span::from_mins(70));
    assert_eq!((desired(&young), young.get::<Forecast>("web:p").and_then(|row| row.made_at)), (2, None));
}

/// The maximum holds, or is raised by a buffer.
#[test]
fn autoscaling_10_maximum() {
    assert_eq!(desired(&rig(config(Mode::ForecastAndScale), 3, 5)), 5);
    let raising =
        Predictive { on_breach: OnBreach::IncreaseMaxCapacity, max_buffer: 25, ..config(Mode::ForecastAndScale) };
    let mut rig = rig(raising, 3, 5);
    assert_eq!((desired(&rig), rig.members("web").len()), (8, 8));
    let bounds = |rig: &Rig| rig.get::<Group>("web").expect("there is one").bounds;
    assert_eq!(bounds(&rig).max, 10, "a quarter above eight");
    until(&mut rig, 21, 0);
    assert_eq!(bounds(&rig).max, 10, "it stays when the hours that needed it are over");
}

/// What is foretold for the hour holds against a policy that would shrink the group.
#[test]
fn autoscaling_9_3_forecast_holds_capacity_up() {
    let mut rig = rig(config(Mode::ForecastAndScale), 3, 20);
    let down = Policy {
        group: GroupName::from("web"),
        name: "down".to_string(),
        arn: "arn:aws:autoscaling:us-east-1:000000000000:scalingPolicy:2:autoScalingGroupName/web:policyName/down"
            .to_string(),
        enabled: true,
        kind: PolicyKind::Simple {
            adjustment: AdjustmentType::ExactCapacity,
            amount: 1,
            min_magnitude: None,
            cooldown: Some(Span::ZERO),
        },
    };
    rig.pass(Span::from_mins(1));
    let arn = down.arn.clone();
    rig.tx(|tx| policy::put(tx, down));
    scaling::put_alarm(&mut rig, arn);
    for _ in 0..5 {
        scaling::minute(&mut rig, 50.0);
    }
    assert_eq!(desired(&rig), 8);
    until(&mut rig, 21, 0);
    for _ in 0..5 {
        scaling::minute(&mut rig, 50.0);
    }
    assert_eq!(desired(&rig), 2, "at night 100 of load need two");
}

/// Two weeks of load survive a restart; the samples do not.
#[test]
fn autoscaling_10_history_is_durable() {
    let rig = rig(config(Mode::ForecastAndScale), 3, 20);
    let rows = rig.stored.iter().map(|(key, bytes)| (key.clone(), bytes.clone())).collect();
    let engine = Engine::open(Config::default(), 8, rows).expect("it opens");
    let row = engine.state().scopes[&rig.scope].forecasts["web:p"].clone();
    assert_eq!((row.load.len(), row.said.len()), (72, 48));
}
