//! Scheduled actions, group metrics, notifications and metric math policies,
//! as clients see them.

use super::testing::{Plane, START, group_request, web};
use super::*;
use elastane_domain::time::Span;
use elastane_engine::row::{Alarm, Watched};
use elastane_wire::{ApiError, Timestamp, autoscaling as wire};

fn plane() -> Plane {
    let mut plane = Plane::new();
    plane.write(|change| create_auto_scaling_group(change, &group_request("web", 1, 9, 2))).expect("a good request");
    plane
}

fn daily() -> wire::PutScheduledUpdateGroupActionType {
    wire::PutScheduledUpdateGroupActionType {
        auto_scaling_group_name: web(),
        scheduled_action_name: Some("morning".to_string()),
        recurrence: Some("0 8 * * *".to_string()),
        time_zone: Some("Europe/Berlin".to_string()),
        desired_capacity: Some(5),
        ..Default::default()
    }
}

fn put(plane: &mut Plane, request: &wire::PutScheduledUpdateGroupActionType) -> Result<(), ApiError> {
    plane.write(|change| put_scheduled_update_group_action(change, request)).map(drop)
}

fn actions(plane: &Plane) -> Vec<wire::ScheduledUpdateGroupAction> {
    let found = plane.read(|call| describe_scheduled_actions(call, &Default::default()));
    found.expect("fine").scheduled_update_group_actions
}

fn after(mins: i64) -> Option<Timestamp> {
    Some(Timestamp((START + Span::from_mins(mins)).millis()))
}

/// An action is shown as it was put, with its next time as its start; a new put replaces it and keeps its ARN.
#[test]
fn autoscaling_8_put_describe_delete() {
    let mut plane = plane();
    put(&mut plane, &daily()).expect("a good action");
    let first = actions(&plane).remove(0);
    // Tomorrow at 8 in Berlin.
    assert_eq!(first.start_time, after(21 * 60));
    assert_eq!((first.time_zone.as_deref(), first.desired_capacity), (Some("Europe/Berlin"), Some(5)));
    assert_eq!((first.min_size, first.max_size), (None, None));
    put(&mut plane, &wire::PutScheduledUpdateGroupActionType { min_size: Some(2), ..daily() }).expect("an update");
    let second = actions(&plane).remove(0);
    assert_eq!((second.min_size, &second.scheduled_action_arn), (Some(2), &first.scheduled_action_arn));
    let request = wire::DeleteScheduledActionType {
        auto_scaling_group_name: web(),
        scheduled_action_name: Some("morning".to_string()),
    };
    plane.write(|change| delete_scheduled_action(change, &request)).expect("it is there");
    assert!(actions(&plane).is_empty());
    let gone = plane.write(|change| delete_scheduled_action(change, &request)).expect_err("it is gone");
    assert!(gone.code == "ValidationError" && gone.message.contains("not found"), "{gone}");
}

/// What cannot be run is refused; in a batch only that.
#[test]
fn autoscaling_8_refusals() {
    let base = || wire::PutScheduledUpdateGroupActionType { recurrence: None, time_zone: None, ..daily() };
    let mut plane = plane();
    for (request, fragment) in [
        (wire::PutScheduledUpdateGroupActionType { desired_capacity: None, ..daily() }, "At least one of"),
        (wire::PutScheduledUpdateGroupActionType { min_size: Some(6), ..daily() }, "Desired capacity"),
        (wire::PutScheduledUpdateGroupActionType { min_size: Some(6), max_size: Some(5), ..daily() }, "Max bound"),
        (wire::PutScheduledUpdateGroupActionType { recurrence: Some("0 8 * *".into()), ..daily() }, "recurrence"),
        (wire::PutScheduledUpdateGroupActionType { time_zone: Some("Mars".into()), ..daily() }, "TimeZone"),
        (wire::PutScheduledUpdateGroupActionType { start_time: after(-5), ..base() }, "in the past"),
        (wire::PutScheduledUpdateGroupActionType { start_time: after(9), end_time: after(8), ..base() }, "end time"),
        (base(), "StartTime or Recurrence"),
        (wire::PutScheduledUpdateGroupActionType { scheduled_action_name: Some("a:b".into()), ..daily() }, "name"),
        (
            wire::PutScheduledUpdateGroupActionType { auto_scaling_group_name: Some("no".into()), ..daily() },
            "not found",
        ),
    ] {
        let error = put(&mut plane, &request).expect_err(fragment);
        assert!(error.code == "ValidationError" && error.message.contains(fragment), "{fragment}: {error}");
    }
    let one = |name: &str, desired| wire::ScheduledUpdateGroupActionRequest {
        scheduled_action_name: Some(name.to_string()),
        start_time: after(5),
        desired_capacity: desired,
        ..Default::default()
    };
    let batch = wire::BatchPutScheduledUpdateGroupActionType {
        auto_scaling_group_name: web(),
        scheduled_update_group_actions: vec![one("fine", Some(3)), one("bad", None)],
    };
    let answer = plane.write(|change| batch_put_scheduled_update_group_action(change, &batch)).expect("fine");
    let failed = &answer.failed_scheduled_update_group_actions;
    assert_eq!((failed.len(), failed[0].scheduled_action_name.as_deref()), (1, Some("bad")));
    assert_eq!(actions(&plane).len(), 1);
}

/// Metrics are enabled and disabled by name, all of them without names.
#[test]
fn autoscaling_17_collection() {
    let mut plane = plane();
    let enable = |metrics: &[&str]| wire::EnableMetricsCollectionQuery {
        auto_scaling_group_name: web(),
        granularity: Some("1Minute".to_string()),
        metrics: metrics.iter().map(ToString::to_string).collect(),
    };
    plane.write(|change| enable_metrics_collection(change, &enable(&["GroupMinSize"]))).expect("fine");
    assert_eq!(plane.group("web").enabled_metrics.len(), 1);
    assert!(plane.write(|change| enable_metrics_collection(change, &enable(&["Nope"]))).is_err());
    plane.write(|change| enable_metrics_collection(change, &enable(&[]))).expect("fine");
    let all = plane.read(|call| describe_metric_collection_types(call, &Default::default())).expect("fine");
    assert_eq!(plane.group("web").enabled_metrics.len(), all.metrics.len());
    let none = wire::DisableMetricsCollectionQuery { auto_scaling_group_name: web(), metrics: Vec::new() };
    plane.write(|change| disable_metrics_collection(change, &none)).expect("fine");
    assert!(plane.group("web").enabled_metrics.is_empty());
}

/// Topics have types; one that has none is not there.
#[test]
fn autoscaling_16_configurations() {
    let mut plane = plane();
    let topic = Some("arn:aws:sns:us-east-1:000000000000:t".to_string());
    let request = |types: &[&str]| wire::PutNotificationConfigurationType {
        auto_scaling_group_name: web(),
        notification_types: types.iter().map(ToString::to_string).collect(),
        topic_arn: topic.clone(),
    };
    let launch = "autoscaling:EC2_INSTANCE_LAUNCH";
    plane
        .write(|change| put_notification_configuration(change, &request(&[launch, "autoscaling:TEST_NOTIFICATION"])))
        .expect("fine");
    plane.write(|change| put_notification_configuration(change, &request(&[launch]))).expect("it replaces");
    let shown = |plane: &Plane| {
        let found = plane.read(|call| describe_notification_configurations(call, &Default::default()));
        found.expect("fine").notification_configurations
    };
    assert_eq!(shown(&plane).len(), 1);
    assert_eq!((shown(&plane)[0].notification_type.as_deref(), &shown(&plane)[0].topic_arn), (Some(launch), &topic));
    for types in [&["autoscaling:NOPE"][..], &[]] {
        assert!(plane.write(|change| put_notification_configuration(change, &request(types))).is_err());
    }
    let delete = wire::DeleteNotificationConfigurationType { auto_scaling_group_name: web(), topic_arn: topic.clone() };
    plane.write(|change| delete_notification_configuration(change, &delete)).expect("it is there");
    let gone = plane.write(|change| delete_notification_configuration(change, &delete)).expect_err("it is gone");
    assert!(gone.message.contains("doesn't exist"), "{gone}");
}

/// A policy on metric math is shown as it was put, and its alarms watch the list.
#[test]
fn autoscaling_9_1_metric_math() {
    let mut plane = plane();
    let stat = |id: &str, name: &str| wire::TargetTrackingMetricDataQuery {
        id: Some(id.to_string()),
        metric_stat: Some(wire::TargetTrackingMetricStat {
            metric: Some(wire::Metric {
                namespace: Some("Shop".to_string()),
                metric_name: Some(name.to_string()),
                dimensions: Vec::new(),
            }),
            stat: Some("Sum".to_string()),
            ..Default::default()
        }),
        return_data: Some(false),
        ..Default::default()
    };
    let expression = |text: &str| wire::TargetTrackingMetricDataQuery {
        id: Some("e".to_string()),
        expression: Some(text.to_string()),
        return_data: Some(true),
        ..Default::default()
    };
    let request = |text: &str| wire::PutScalingPolicyType {
        auto_scaling_group_name: web(),
        policy_name: Some("backlog".to_string()),
        policy_type: Some("TargetTrackingScaling".to_string()),
        target_tracking_configuration: Some(wire::TargetTrackingConfiguration {
            customized_metric_specification: Some(wire::CustomizedMetricSpecification {
                metrics: vec![stat("m1", "Backlog"), stat("m2", "Workers"), expression(text)],
                ..Default::default()
            }),
            disable_scale_in: Some(false),
            target_value: Some(100.0),
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused = plane.write(|change| put_scaling_policy(change, &request("m1 / m3"))).expect_err("no m3");
    assert!(refused.code == "ValidationError" && refused.message.contains("m3"), "{refused}");
    plane.write(|change| put_scaling_policy(change, &request("m1 / m2"))).expect("a good policy");
    let found = plane.read(|call| describe_policies(call, &Default::default())).expect("fine").scaling_policies;
    assert_eq!(found[0].target_tracking_configuration, request("m1 / m2").target_tracking_configuration);
    let alarm = found[0].alarms[0].alarm_name.clone().expect("a name");
    let math = plane.read(|call| {
        Ok(call.get::<Alarm>(&alarm).is_some_and(|row| matches!(&row.metric, Watched::Math(list) if list.len() == 3)))
    });
    assert!(math.expect("it reads"));
}
