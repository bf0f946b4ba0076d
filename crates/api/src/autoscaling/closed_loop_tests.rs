//! The closed loop through the API alone: samples, alarms, policy, desired
//! capacity, instances, and the words that the activities have for it.

use super::testing::{Plane, group_request};
use super::*;
use crate::cloudwatch;
use elastane_domain::time::Span;
use elastane_wire::{autoscaling as wire, cloudwatch as metrics};

const MINUTE: Span = Span::from_mins(1);

/// After a minute and the lag of samples, the minute is evaluated.
const LAG: Span = Span::from_secs(11);

fn put_sample(plane: &mut Plane, value: f64) {
    let datum =
        metrics::MetricDatum { metric_name: Some("Load".to_string()), value: Some(value), ..Default::default() };
    let request = metrics::PutMetricDataInput {
        namespace: Some("Shop".to_string()),
        metric_data: vec![datum],
        ..Default::default()
    };
    plane.write(|change| cloudwatch::put_metric_data(change, &request)).expect("a good sample");
}

fn minutes(plane: &mut Plane, count: usize, value: f64) {
    for _ in 0..count {
        put_sample(plane, value);
        plane.pass(MINUTE);
    }
}

fn plane() -> Plane {
    let mut plane = Plane::new();
    let request = group_request("web", 1, 4, 1);
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    plane.pass(LAG);
    let policy = wire::PutScalingPolicyType {
        auto_scaling_group_name: Some("web".to_string()),
        policy_name: Some("load".to_string()),
        policy_type: Some("TargetTrackingScaling".to_string()),
        estimated_instance_warmup: Some(0),
        target_tracking_configuration: Some(wire::TargetTrackingConfiguration {
            customized_metric_specification: Some(wire::CustomizedMetricSpecification {
                metric_name: Some("Load".to_string()),
                namespace: Some("Shop".to_string()),
                statistic: Some("Average".to_string()),
                ..Default::default()
            }),
            target_value: Some(50.0),
            ..Default::default()
        }),
        ..Default::default()
    };
    plane.write(|change| put_scaling_policy(change, &policy)).expect("a good policy");
    plane
}

fn state(plane: &Plane, side: &str) -> String {
    let request = metrics::DescribeAlarmsInput {
        alarm_name_prefix: Some(format!("TargetTracking-web-{side}-")),
        ..Default::default()
    };
    let found = plane.read(|call| cloudwatch::describe_alarms(call, &request)).expect("fine").metric_alarms;
    found[0].state_value.clone().expect("a state")
}

/// Three minutes above the target grow the group to what the target needs,
/// fifteen below the low threshold shrink it; both say which alarm and policy.
#[test]
fn autoscaling_9_target_tracking_closes_the_loop() {
    let mut plane = plane();
    minutes(&mut plane, 2, 90.0);
    assert_eq!((state(&plane, "AlarmHigh").as_str(), plane.members("web").len()), ("INSUFFICIENT_DATA", 1));
    minutes(&mut plane, 1, 90.0);
    assert_eq!((state(&plane, "AlarmHigh").as_str(), plane.members("web").len()), ("ALARM", 2));
    let cause = &plane.causes("web")[0];
    assert!(cause.contains("a monitor alarm TargetTracking-web-AlarmHigh-"), "{cause}");
    assert!(
        cause.contains(" in state ALARM triggered policy load changing the desired capacity from 1 to 2."),
        "{cause}"
    );
    assert!(
        cause.contains(
            ".  At 2026-01-01T10:03:11Z an instance was started in response to a difference between desired and actual \
         capacity, increasing the capacity from 1 to 2."
        ),
        "{cause}"
    );

    minutes(&mut plane, 14, 10.0);
    assert_eq!((state(&plane, "AlarmHigh").as_str(), plane.members("web").len()), ("OK", 2));
    minutes(&mut plane, 1, 10.0);
    assert_eq!((state(&plane, "AlarmLow").as_str(), plane.members("web").len()), ("ALARM", 1));
    let cause = &plane.causes("web")[0];
    assert!(cause.contains("a monitor alarm TargetTracking-web-AlarmLow-"), "{cause}");
    assert!(cause.contains("triggered policy load changing the desired capacity from 2 to 1."), "{cause}");
    assert!(
        cause.contains("shrinking the capacity from 2 to 1.") && cause.ends_with("was selected for termination."),
        "{cause}"
    );
}

/// While the alarm lasts the policy acts again each minute, up to max; without data nothing moves.
#[test]
fn autoscaling_7_5_alarms_repeat_until_max() {
    let mut plane = plane();
    minutes(&mut plane, 8, 500.0);
    assert_eq!((plane.group("web").desired_capacity, plane.members("web").len()), (Some(4), 4));
    for _ in 0..20 {
        plane.pass(MINUTE);
    }
    assert_eq!((state(&plane, "AlarmHigh").as_str(), plane.members("web").len()), ("INSUFFICIENT_DATA", 4));
}

/// A user's own alarm sets off a simple policy by its ARN, once a cooldown.
#[test]
fn autoscaling_7_2_simple_policy_by_an_alarm() {
    let mut plane = plane();
    let policy = wire::PutScalingPolicyType {
        auto_scaling_group_name: Some("web".to_string()),
        policy_name: Some("add".to_string()),
        adjustment_type: Some("ChangeInCapacity".to_string()),
        scaling_adjustment: Some(1),
        cooldown: Some(120),
        ..Default::default()
    };
    let arn = plane.write(|change| put_scaling_policy(change, &policy)).expect("a good policy").policy_arn;
    let alarm = metrics::PutMetricAlarmInput {
        alarm_name: Some("busy".to_string()),
        namespace: Some("Shop".to_string()),
        metric_name: Some("Orders".to_string()),
        statistic: Some("Sum".to_string()),
        period: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(5.0),
        comparison_operator: Some("GreaterThanThreshold".to_string()),
        alarm_actions: arn.into_iter().collect(),
        ..Default::default()
    };
    plane.write(|change| cloudwatch::put_metric_alarm(change, &alarm)).expect("a good alarm");
    plane.pass(Span::from_mins(10));
    let set = |state: &str| metrics::SetAlarmStateInput {
        alarm_name: Some("busy".to_string()),
        state_value: Some(state.to_string()),
        state_reason: Some("by hand".to_string()),
        state_reason_data: None,
    };
    plane.write(|change| cloudwatch::set_alarm_state(change, &set("ALARM"))).expect("set");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.members("web").len(), 2, "the policy acted");
    assert!(plane.causes("web")[0].contains("a monitor alarm busy in state ALARM triggered policy add"));
    plane.write(|change| cloudwatch::set_alarm_state(change, &set("OK"))).expect("set");
    plane.pass(Span::from_secs(1));
    plane.write(|change| cloudwatch::set_alarm_state(change, &set("ALARM"))).expect("set");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.members("web").len(), 2, "the cooldown holds it back");
}
