//! Alarms and policies: from samples to the desired capacity.

use super::*;
use crate::policy;
use elastane_domain::alarm::{AlarmRule, AlarmState, Comparison, INITIAL_REASON, MissingData};
use elastane_domain::scaling::AdjustmentType;
use elastane_domain::series::{MetricId, Statistic, StatisticSet, Unit};

fn metric() -> MetricId {
    MetricId::new("Shop", "Orders", &[])
}

/// One more minute with this value.
pub(super) fn minute(rig: &mut Rig, value: f64) {
    let now = rig.now;
    rig.tx(|tx| tx.metrics_mut().put(metric(), Unit::None, now, StatisticSet::of(value), now)).expect("a sample");
    rig.pass(Span::from_mins(1));
}

fn desired(rig: &Rig) -> u32 {
    rig.get::<Group>("web").expect("it is there").desired
}

fn put_policy(rig: &mut Rig, kind: PolicyKind) -> String {
    let arn = "arn:aws:autoscaling:us-east-1:000000000000:scalingPolicy:1:autoScalingGroupName/web:policyName/p";
    let group = GroupName::from("web");
    let policy = Policy { group, name: "p".to_string(), arn: arn.to_string(), enabled: true, kind };
    rig.tx(|tx| policy::put(tx, policy));
    arn.to_string()
}

pub(super) fn put_alarm(rig: &mut Rig, action: String) {
    rig.tx(|tx| {
        tx.put(Alarm {
            name: AlarmName::from("busy"),
            arn: String::new(),
            description: None,
            actions_enabled: true,
            ok_actions: Vec::new(),
            alarm_actions: vec![action],
            insufficient_data_actions: Vec::new(),
            metric: Watched::Metric(metric()),
            unit: None,
            rule: AlarmRule {
                comparison: Comparison::GreaterThanThreshold,
                threshold: 10.0,
                evaluation_periods: 1,
                datapoints_to_alarm: None,
                treat_missing: MissingData::Missing,
                period: Span::from_secs(60),
                statistic: Some(Statistic::Sum),
                low_samples: None,
            },
            state: AlarmState::InsufficientData,
            state_reason: INITIAL_REASON.to_string(),
            state_reason_data: None,
            state_updated_at: tx.now,
            state_transitioned_at: tx.now,
            configured_at: tx.now,
            owner: None,
            history: Vec::new(),
            tags: Tags::new(),
        });
    });
}

/// An alarm that stays in ALARM grows the group once a cooldown, up to its maximum.
#[test]
fn simple_scaling_honours_its_cooldown() {
    let mut rig = Rig::new();
    rig.now += Span::from_secs(20);
    rig.group("web", (1, 3), 1, |_| {});
    rig.pass(Span::ZERO);
    let kind = PolicyKind::Simple {
        adjustment: AdjustmentType::ChangeInCapacity,
        amount: 1,
        min_magnitude: None,
        cooldown: Some(Span::from_secs(240)),
    };
    let arn = put_policy(&mut rig, kind);
    put_alarm(&mut rig, arn);
    let mut sizes = Vec::new();
    for _ in 0..16 {
        minute(&mut rig, 50.0);
        sizes.push(desired(&rig));
    }
    assert_eq!(sizes, [1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    let cause = |row: &Arc<Activity>| row.cause.contains("a monitor alarm busy in state ALARM triggered policy p");
    assert_eq!(rig.all::<Activity>().iter().filter(|row| cause(row)).count(), 2);
}

/// An alarm made anew under the name of a deleted one runs no action for what it replaced.
#[test]
fn an_alarm_made_anew_starts_anew() {
    let mut rig = Rig::new();
    rig.now += Span::from_secs(20);
    rig.group("web", (0, 9), 1, |_| {});
    put_alarm(&mut rig, "nowhere".to_string());
    minute(&mut rig, 50.0);
    rig.tx(|tx| tx.delete::<Alarm>("busy"));
    put_alarm(&mut rig, "nowhere".to_string());
    rig.tx(|tx| tx.update("busy", |row: &mut Alarm| row.insufficient_data_actions = vec!["elsewhere".to_string()]));
    rig.pass(Span::ZERO);
    let row = rig.get::<Alarm>("busy").expect("it is there");
    assert!(!row.history.iter().any(|item| item.summary.contains("elsewhere")), "{:?}", row.history);
}

/// Target tracking grows after three minutes above its target and shrinks after fifteen below, to nothing if it may.
#[test]
fn target_tracking_out_and_in() {
    let mut rig = Rig::new();
    rig.now += Span::from_secs(20);
    rig.group("web", (0, 8), 2, |group| group.default_warmup = Some(Span::from_secs(60)));
    rig.pass(Span::ZERO);
    let kind = PolicyKind::TargetTracking {
        target: 100.0,
        metric: TrackedMetric::Custom {
            namespace: "Shop".to_string(),
            name: "Orders".to_string(),
            dimensions: BTreeMap::new(),
            statistic: "Average".to_string(),
            unit: None,
            period: None,
        },
        disable_scale_in: false,
        warmup: None,
        alarm_high: AlarmName::from("high"),
        alarm_low: Some(AlarmName::from("low")),
    };
    put_policy(&mut rig, kind);
    let mut changes = Vec::new();
    let mut watch = |rig: &mut Rig, minutes: usize, value: f64| {
        for at in 1..=minutes {
            let before = desired(rig);
            minute(rig, value);
            if desired(rig) != before {
                changes.push((value as u32, at, desired(rig)));
            }
        }
    };
    watch(&mut rig, 3, 190.0);
    watch(&mut rig, 4, 95.0);
    watch(&mut rig, 20, 0.0);
    let sizes: Vec<u32> = changes.iter().map(|(_, _, size)| *size).collect();
    assert_eq!(sizes, [4, 0], "{changes:?}");
    assert_eq!((changes[0].0, changes[1].0), (190, 0));
    assert!((3..=4).contains(&changes[0].1) && (13..=18).contains(&changes[1].1), "{changes:?}");
    assert!(rig.members("web").is_empty());
}
