//! Alarms: what is accepted, kept, shown, switched and remembered.

use super::*;
use crate::autoscaling::testing::Plane;
use elastane_domain::time::Span;
use elastane_wire::{ApiError, cloudwatch as wire};

fn alarm(name: &str) -> wire::PutMetricAlarmInput {
    wire::PutMetricAlarmInput {
        alarm_name: Some(name.to_string()),
        namespace: Some("Shop".to_string()),
        metric_name: Some("Orders".to_string()),
        statistic: Some("Sum".to_string()),
        period: Some(60),
        evaluation_periods: Some(2),
        threshold: Some(5.0),
        comparison_operator: Some("GreaterThanThreshold".to_string()),
        ..Default::default()
    }
}

fn put(plane: &mut Plane, input: &wire::PutMetricAlarmInput) -> Result<wire::PutMetricAlarmOutput, ApiError> {
    plane.write(|change| put_metric_alarm(change, input))
}

fn describe(plane: &Plane, input: wire::DescribeAlarmsInput) -> Vec<wire::MetricAlarm> {
    plane.read(|call| describe_alarms(call, &input)).expect("a good request").metric_alarms
}

fn names(alarms: Vec<wire::MetricAlarm>) -> Vec<String> {
    alarms.into_iter().filter_map(|alarm| alarm.alarm_name).collect()
}

/// A new alarm knows nothing; an update replaces the configuration and keeps the state.
#[test]
fn cloudwatch_5_4_create_and_update() {
    let mut plane = Plane::new();
    put(&mut plane, &alarm("busy")).expect("a good alarm");
    let shown = describe(&plane, Default::default()).remove(0);
    assert_eq!(shown.alarm_arn.as_deref(), Some("arn:aws:cloudwatch:us-east-1:000000000000:alarm:busy"));
    assert_eq!(shown.state_value.as_deref(), Some("INSUFFICIENT_DATA"));
    assert_eq!(shown.state_reason.as_deref(), Some("Unchecked: Initial alarm creation"));
    assert_eq!((shown.actions_enabled, shown.datapoints_to_alarm), (Some(true), None));
    assert_eq!(shown.treat_missing_data.as_deref(), Some("missing"));
    let set = wire::SetAlarmStateInput {
        alarm_name: Some("busy".to_string()),
        state_value: Some("OK".to_string()),
        state_reason: Some("checked".to_string()),
        state_reason_data: Some("{}".to_string()),
    };
    plane.write(|change| set_alarm_state(change, &set)).expect("set");
    plane.now += Span::from_secs(5);
    let update = wire::PutMetricAlarmInput { threshold: Some(9.0), datapoints_to_alarm: Some(1), ..alarm("busy") };
    put(&mut plane, &update).expect("a good alarm");
    let shown = describe(&plane, Default::default()).remove(0);
    assert_eq!((shown.threshold, shown.datapoints_to_alarm), (Some(9.0), Some(1)));
    assert_eq!((shown.state_value.as_deref(), shown.state_reason.as_deref()), (Some("OK"), Some("checked")));
}

/// An alarm on metric math: shown as it was put, and it follows the expression; what cannot be evaluated is refused.
#[test]
fn cloudwatch_4_alarm_on_metric_math() {
    let metric = |id: &str, name: &str| wire::MetricDataQuery {
        id: Some(id.to_string()),
        metric_stat: Some(wire::MetricStat {
            metric: Some(wire::Metric {
                namespace: Some("Shop".to_string()),
                metric_name: Some(name.to_string()),
                dimensions: Vec::new(),
            }),
            period: Some(60),
            stat: Some("Sum".to_string()),
            unit: None,
        }),
        return_data: Some(false),
        ..Default::default()
    };
    let expression = |text: &str| wire::MetricDataQuery {
        id: Some("e1".to_string()),
        expression: Some(text.to_string()),
        return_data: Some(true),
        ..Default::default()
    };
    let input = |text: &str| wire::PutMetricAlarmInput {
        alarm_name: Some("rate".to_string()),
        metrics: vec![metric("m1", "Errors"), metric("m2", "Orders"), expression(text)],
        evaluation_periods: Some(1),
        threshold: Some(50.0),
        comparison_operator: Some("GreaterThanThreshold".to_string()),
        ..Default::default()
    };
    let mut plane = Plane::new();
    for (input, fragment) in [
        (input("m1 +"), "ends too early"),
        (input("SUM(m1)"), "time series"),
        (wire::PutMetricAlarmInput { period: Some(60), ..input("m1") }, "Period"),
        (wire::PutMetricAlarmInput { metrics: vec![metric("m1", "Errors")], ..input("m1") }, "return data"),
    ] {
        let refused = put(&mut plane, &input).expect_err(fragment);
        assert!(refused.message.contains(fragment), "{refused}");
    }
    let good = input("100 * m1 / m2");
    put(&mut plane, &good).expect("a good alarm");
    let shown = describe(&plane, Default::default()).remove(0);
    assert_eq!(shown.metrics, good.metrics);
    assert_eq!((shown.metric_name, shown.statistic, shown.period), (None, None, None));
    let datum = |name: &str, value: f64| wire::MetricDatum {
        metric_name: Some(name.to_string()),
        value: Some(value),
        ..Default::default()
    };
    let data = wire::PutMetricDataInput {
        namespace: Some("Shop".to_string()),
        metric_data: vec![datum("Errors", 6.0), datum("Orders", 10.0)],
        ..Default::default()
    };
    plane.write(|change| put_metric_data(change, &data)).expect("good data");
    let stamp = |span: Span| Some(elastane_wire::Timestamp((plane.now + span).millis()));
    let request = wire::GetMetricDataInput {
        start_time: stamp(Span::from_mins(-5)),
        end_time: stamp(Span::from_mins(5)),
        metric_data_queries: good.metrics.clone(),
        ..Default::default()
    };
    let found = plane.read(|call| get_metric_data(call, &request)).expect("a good request").metric_data_results;
    assert_eq!((found.len(), found[0].id.as_deref(), found[0].label.as_deref()), (1, Some("e1"), Some("e1")));
    assert_eq!(found[0].values, [60.0]);
    plane.pass(Span::from_secs(75));
    let shown = describe(&plane, Default::default()).remove(0);
    assert_eq!(shown.state_value.as_deref(), Some("ALARM"), "{:?}", shown.state_reason);
}

/// An alarm on a percentile is shown as it was given.
#[test]
fn cloudwatch_5_1_percentile_alarms() {
    let mut plane = Plane::new();
    let slow = wire::PutMetricAlarmInput {
        statistic: None,
        extended_statistic: Some("p99.9".to_string()),
        evaluate_low_sample_count_percentile: Some("ignore".to_string()),
        ..alarm("slow")
    };
    put(&mut plane, &slow).expect("a good alarm");
    let shown = describe(&plane, Default::default()).remove(0);
    assert_eq!((shown.extended_statistic.as_deref(), shown.statistic), (Some("p99.9"), None));
    assert_eq!(shown.evaluate_low_sample_count_percentile.as_deref(), Some("ignore"));
}

type Edit = fn(&mut wire::PutMetricAlarmInput);

/// What an alarm must not ask for.
#[test]
fn cloudwatch_5_1_refusals() {
    const VALUE: &str = "InvalidParameterValue";
    const MISSING: &str = "MissingParameter";
    const COMBINATION: &str = "InvalidParameterCombination";
    let cases: [(Edit, &str, &str); 21] = [
        (|r| r.metric_name = None, MISSING, "MetricName"),
        (|r| r.statistic = None, MISSING, "Statistic"),
        (|r| r.threshold = None, MISSING, "Threshold"),
        (|r| r.period = None, MISSING, "Period"),
        (|r| r.evaluation_periods = None, MISSING, "EvaluationPeriods"),
        (|r| r.comparison_operator = None, MISSING, "ComparisonOperator"),
        (|r| r.comparison_operator = Some("LessThanLowerThreshold".into()), VALUE, "anomaly"),
        (|r| r.metrics = vec![Default::default()], COMBINATION, "Metrics and MetricName are mutually exclusive"),
        (|r| r.extended_statistic = Some("p99".into()), "InvalidParameterCombination", "mutually exclusive"),
        (|r| (r.statistic, r.extended_statistic) = (None, Some("tm99".into())), VALUE, "tm99 is not supported"),
        (|r| (r.statistic, r.extended_statistic) = (None, Some("p101".into())), VALUE, "p101"),
        (|r| r.evaluate_low_sample_count_percentile = Some("maybe".into()), VALUE, "maybe"),
        (|r| r.evaluate_low_sample_count_percentile = Some("ignore".into()), COMBINATION, "percentile"),
        (|r| r.period = Some(90), VALUE, "multiple of 60"),
        (|r| r.period = Some(10), VALUE, "not supported"),
        (|r| r.evaluation_periods = Some(1441), VALUE, "more than a day"),
        (|r| (r.period, r.evaluation_periods) = (Some(3600), Some(169)), VALUE, "more than a week"),
        (|r| r.datapoints_to_alarm = Some(3), VALUE, "DatapointsToAlarm"),
        (|r| r.treat_missing_data = Some("maybe".into()), VALUE, "TreatMissingData"),
        (|r| r.alarm_actions = vec!["restart".into()], VALUE, "Invalid arn syntax: restart"),
        (|r| r.ok_actions = vec!["arn:aws:sns:us-east-1:000000000000:x".into(); 6], VALUE, "OKActions"),
    ];
    for (edit, code, text) in cases {
        let mut plane = Plane::new();
        let mut request = alarm("busy");
        edit(&mut request);
        let err = put(&mut plane, &request).expect_err("to be refused");
        assert!(err.code == code && err.message.contains(text), "{err} should have {text}");
        assert!(describe(&plane, Default::default()).is_empty());
    }
}

/// Names, prefix, state, action prefix and type, and pages.
#[test]
fn cloudwatch_3_describe_alarms() {
    let mut plane = Plane::new();
    for name in ["a-1", "a-2", "b-1"] {
        let mut request = alarm(name);
        if name == "b-1" {
            request.ok_actions = vec!["arn:aws:sns:us-east-1:000000000000:topic".to_string()];
        }
        put(&mut plane, &request).expect("a good alarm");
    }
    let none = wire::DescribeAlarmsInput::default;
    for (input, want) in [
        (none(), &["a-1", "a-2", "b-1"][..]),
        (wire::DescribeAlarmsInput { alarm_names: vec!["b-1".into(), "x".into()], ..none() }, &["b-1"]),
        (wire::DescribeAlarmsInput { alarm_name_prefix: Some("a-".into()), ..none() }, &["a-1", "a-2"]),
        (wire::DescribeAlarmsInput { state_value: Some("OK".into()), ..none() }, &[]),
        (wire::DescribeAlarmsInput { action_prefix: Some("arn:aws:sns".into()), ..none() }, &["b-1"]),
        (wire::DescribeAlarmsInput { alarm_types: vec!["CompositeAlarm".into()], ..none() }, &[]),
        (wire::DescribeAlarmsInput { alarm_types: vec!["MetricAlarm".into()], ..none() }, &["a-1", "a-2", "b-1"]),
    ] {
        assert_eq!(names(describe(&plane, input.clone())), want, "{input:?}");
    }
    let first = wire::DescribeAlarmsInput { max_records: Some(2), ..none() };
    let page = plane.read(|call| describe_alarms(call, &first)).expect("fine");
    assert_eq!(names(page.metric_alarms), ["a-1", "a-2"]);
    let second = wire::DescribeAlarmsInput { next_token: page.next_token, ..first };
    assert_eq!(names(describe(&plane, second)), ["b-1"]);
    let both =
        wire::DescribeAlarmsInput { alarm_names: vec!["a".into()], alarm_name_prefix: Some("a".into()), ..none() };
    assert!(plane.read(|call| describe_alarms(call, &both)).is_err());
}

/// Deleting passes over unknown names, but not when there are only such.
#[test]
fn cloudwatch_5_6_delete() {
    let mut plane = Plane::new();
    put(&mut plane, &alarm("busy")).expect("a good alarm");
    let delete = wire::DeleteAlarmsInput { alarm_names: vec!["busy".to_string(), "none".to_string()] };
    plane.write(|change| delete_alarms(change, &delete)).expect("one exists");
    let err = plane.write(|change| delete_alarms(change, &delete)).expect_err("none exists");
    assert_eq!((err.code.as_ref(), err.status), ("ResourceNotFound", 404));
    assert!(describe(&plane, Default::default()).is_empty());
}

/// A state that was set by hand is remembered; the next evaluation puts back
/// what the metric says, and the history tells of both, newest first.
#[test]
fn cloudwatch_5_4_set_state_and_history() {
    let mut plane = Plane::new();
    put(&mut plane, &alarm("busy")).expect("a good alarm");
    plane.pass(Span::from_secs(61));
    let set = |name: &str, data: Option<&str>| wire::SetAlarmStateInput {
        alarm_name: Some(name.to_string()),
        state_value: Some("ALARM".to_string()),
        state_reason: Some("by hand".to_string()),
        state_reason_data: data.map(str::to_string),
    };
    let err = plane.write(|change| set_alarm_state(change, &set("none", None))).expect_err("unknown");
    assert_eq!((err.code.as_ref(), err.status), ("ResourceNotFound", 404));
    let err = plane.write(|change| set_alarm_state(change, &set("busy", Some("{")))).expect_err("not JSON");
    assert_eq!(err.code, "InvalidFormat");
    plane.write(|change| set_alarm_state(change, &set("busy", None))).expect("set");
    assert_eq!(describe(&plane, Default::default())[0].state_value.as_deref(), Some("ALARM"));
    plane.pass(Span::from_mins(1));
    plane.pass(Span::from_mins(1));
    assert_eq!(describe(&plane, Default::default())[0].state_value.as_deref(), Some("INSUFFICIENT_DATA"));
    let summaries = |input: wire::DescribeAlarmHistoryInput| {
        let found = plane.read(|call| describe_alarm_history(call, &input)).expect("a good request");
        found.alarm_history_items.into_iter().filter_map(|item| item.history_summary).collect::<Vec<_>>()
    };
    let all = [
        "Alarm updated from ALARM to INSUFFICIENT_DATA",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        "Alarm \"busy\" created",
    ];
    assert_eq!(summaries(Default::default()), all);
    let ascending =
        wire::DescribeAlarmHistoryInput { scan_by: Some("TimestampAscending".into()), ..Default::default() };
    assert_eq!(summaries(ascending), [all[2], all[1], all[0]]);
    let states =
        wire::DescribeAlarmHistoryInput { history_item_type: Some("StateUpdate".into()), ..Default::default() };
    assert_eq!(summaries(states), all[..2]);
    let other = wire::DescribeAlarmHistoryInput { alarm_name: Some("none".into()), ..Default::default() };
    assert!(summaries(other).is_empty());
}

/// Actions are switched off and on; unknown names are passed over.
#[test]
fn cloudwatch_5_5_switch_actions() {
    let mut plane = Plane::new();
    put(&mut plane, &alarm("busy")).expect("a good alarm");
    let off = wire::DisableAlarmActionsInput { alarm_names: vec!["busy".to_string(), "none".to_string()] };
    plane.write(|change| disable_alarm_actions(change, &off)).expect("switched");
    assert_eq!(describe(&plane, Default::default())[0].actions_enabled, Some(false));
    let on = wire::EnableAlarmActionsInput { alarm_names: vec!["busy".to_string()] };
    plane.write(|change| enable_alarm_actions(change, &on)).expect("switched");
    assert_eq!(describe(&plane, Default::default())[0].actions_enabled, Some(true));
}

/// Tags are set at the start, replaced by key, taken away by key, and limited.
#[test]
fn cloudwatch_tags_of_alarms() {
    let mut plane = Plane::new();
    let tag = |key: &str, value: &str| wire::Tag { key: Some(key.into()), value: Some(value.into()) };
    put(&mut plane, &wire::PutMetricAlarmInput { tags: vec![tag("team", "a")], ..alarm("busy") }).expect("good");
    let arn = |name: &str| Some(format!("arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"));
    let list = |plane: &Plane, arn: Option<String>| {
        plane.read(|call| list_tags_for_resource(call, &wire::ListTagsForResourceInput { resource_arn: arn }))
    };
    let set = |plane: &mut Plane, tags: Vec<wire::Tag>| {
        let input = wire::TagResourceInput { resource_arn: arn("busy"), tags };
        plane.write(|change| tag_resource(change, &input))
    };
    set(&mut plane, vec![tag("team", "b"), tag("stage", "test")]).expect("good tags");
    let found = list(&plane, arn("busy")).expect("an alarm").tags;
    assert_eq!(found, [tag("stage", "test"), tag("team", "b")]);
    let input = wire::UntagResourceInput { resource_arn: arn("busy"), tag_keys: vec!["stage".into(), "x".into()] };
    plane.write(|change| untag_resource(change, &input)).expect("an alarm");
    let many = (0..50).map(|n| tag(&n.to_string(), "")).collect();
    for (tags, code) in [(many, "InvalidParameterValue"), (vec![tag("aws:x", "")], "InvalidParameterValue")] {
        assert_eq!(set(&mut plane, tags).expect_err(code).code, code);
    }
    assert_eq!(list(&plane, arn("busy")).expect("an alarm").tags, [tag("team", "b")]);
    assert_eq!(list(&plane, arn("idle")).expect_err("no such alarm").code, "ResourceNotFoundException");
}
