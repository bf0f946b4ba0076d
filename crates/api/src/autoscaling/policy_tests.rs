//! Scaling policies: what is accepted, kept and shown.

use super::testing::{LABEL, Plane, TARGET_GROUP, group_request};
use super::*;
use elastane_domain::time::Span;
use elastane_engine::row::Alarm;
use elastane_wire::{ApiError, autoscaling as wire};

fn plane() -> Plane {
    let mut plane = Plane::new();
    plane.load_balancer();
    let request = wire::CreateAutoScalingGroupType {
        target_group_arns: vec![TARGET_GROUP.to_string()],
        ..group_request("web", 1, 9, 2)
    };
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    plane.pass(Span::from_secs(1));
    plane
}

fn policy(kind: &str) -> wire::PutScalingPolicyType {
    wire::PutScalingPolicyType {
        auto_scaling_group_name: Some("web".to_string()),
        policy_name: Some("p".to_string()),
        policy_type: Some(kind.to_string()),
        ..Default::default()
    }
}

fn simple() -> wire::PutScalingPolicyType {
    wire::PutScalingPolicyType {
        adjustment_type: Some("ChangeInCapacity".to_string()),
        scaling_adjustment: Some(1),
        ..policy("SimpleScaling")
    }
}

fn step() -> wire::PutScalingPolicyType {
    let step = |lower, upper, amount| wire::StepAdjustment {
        metric_interval_lower_bound: lower,
        metric_interval_upper_bound: upper,
        scaling_adjustment: Some(amount),
    };
    wire::PutScalingPolicyType {
        adjustment_type: Some("ChangeInCapacity".to_string()),
        step_adjustments: vec![step(Some(0.0), Some(10.0), 1), step(Some(10.0), None, 3)],
        estimated_instance_warmup: Some(0),
        ..policy("StepScaling")
    }
}

fn tracking(metric: &str, label: Option<&str>) -> wire::PutScalingPolicyType {
    wire::PutScalingPolicyType {
        target_tracking_configuration: Some(wire::TargetTrackingConfiguration {
            predefined_metric_specification: Some(wire::PredefinedMetricSpecification {
                predefined_metric_type: Some(metric.to_string()),
                resource_label: label.map(str::to_string),
            }),
            target_value: Some(50.0),
            ..Default::default()
        }),
        ..policy("TargetTrackingScaling")
    }
}

fn put(plane: &mut Plane, request: &wire::PutScalingPolicyType) -> Result<wire::PolicyARNType, ApiError> {
    plane.write(|change| put_scaling_policy(change, request))
}

fn shown(plane: &Plane) -> Vec<wire::ScalingPolicy> {
    plane.read(|call| describe_policies(call, &Default::default())).expect("fine").scaling_policies
}

/// Every kind is kept as it was put, with only its own members and its defaults.
#[test]
fn autoscaling_7_and_9_put_and_describe() {
    for (request, adjustment, aggregation) in [
        (simple(), Some("ChangeInCapacity"), None),
        (wire::PutScalingPolicyType { policy_type: None, ..simple() }, Some("ChangeInCapacity"), None),
        (step(), Some("ChangeInCapacity"), Some("Average")),
        (tracking("ASGAverageCPUUtilization", None), None, None),
        (tracking("ASGAverageNetworkIn", None), None, None),
        (tracking("ASGAverageNetworkOut", None), None, None),
        (tracking("ALBRequestCountPerTarget", Some(LABEL)), None, None),
    ] {
        let mut plane = plane();
        let answer = put(&mut plane, &request).expect("a good policy");
        let found = shown(&plane);
        assert_eq!(found.len(), 1);
        let policy = &found[0];
        assert_eq!(policy.policy_arn, answer.policy_arn);
        assert_eq!(policy.policy_type.as_deref(), Some(request.policy_type.as_deref().unwrap_or("SimpleScaling")));
        assert_eq!(policy.enabled, Some(true));
        assert_eq!(policy.adjustment_type.as_deref(), adjustment);
        assert_eq!(policy.metric_aggregation_type.as_deref(), aggregation);
        assert_eq!(policy.step_adjustments, request.step_adjustments);
        assert_eq!(policy.alarms, answer.alarms);
        let given = request
            .target_tracking_configuration
            .map(|configuration| wire::TargetTrackingConfiguration { disable_scale_in: Some(false), ..configuration });
        assert_eq!(policy.target_tracking_configuration, given);
    }
}

/// Period and SchedulingBufferTime have defaults that are shown when a client gives them, and only then.
#[test]
fn autoscaling_9_and_10_defaults_are_shown_when_given() {
    let custom = |period| wire::CustomizedMetricSpecification {
        metric_name: Some("Orders".to_string()),
        namespace: Some("Shop".to_string()),
        statistic: Some("Average".to_string()),
        period,
        ..Default::default()
    };
    for period in [None, Some(60)] {
        let mut plane = plane();
        let configuration = wire::TargetTrackingConfiguration {
            customized_metric_specification: Some(custom(period)),
            disable_scale_in: Some(false),
            target_value: Some(50.0),
            ..Default::default()
        };
        let request = wire::PutScalingPolicyType {
            target_tracking_configuration: Some(configuration.clone()),
            ..policy("TargetTrackingScaling")
        };
        put(&mut plane, &request).expect("a good policy");
        assert_eq!(shown(&plane)[0].target_tracking_configuration, Some(configuration));
    }
    for buffer in [None, Some(300), Some(0)] {
        let mut plane = plane();
        let request = wire::PutScalingPolicyType {
            predictive_scaling_configuration: Some(wire::PredictiveScalingConfiguration {
                metric_specifications: vec![wire::PredictiveScalingMetricSpecification {
                    predefined_metric_pair_specification: Some(wire::PredictiveScalingPredefinedMetricPair {
                        predefined_metric_type: Some("ASGCPUUtilization".to_string()),
                        resource_label: None,
                    }),
                    target_value: Some(40.0),
                    ..Default::default()
                }],
                scheduling_buffer_time: buffer,
                ..Default::default()
            }),
            ..policy("PredictiveScaling")
        };
        put(&mut plane, &request).expect("a good policy");
        let configuration = shown(&plane)[0].predictive_scaling_configuration.clone();
        assert_eq!(configuration.and_then(|found| found.scheduling_buffer_time), buffer);
    }
}

type Edit = fn(&mut wire::PutScalingPolicyType);

/// What a policy must not ask for.
#[test]
fn autoscaling_7_and_9_refusals() {
    fn tracked(request: &mut wire::PutScalingPolicyType) -> &mut wire::TargetTrackingConfiguration {
        request.target_tracking_configuration.as_mut().expect("one")
    }
    let cases: [(wire::PutScalingPolicyType, Edit, &str); 15] = [
        (simple(), |r| r.auto_scaling_group_name = Some("none".into()), "AutoScalingGroup 'none' not found"),
        (simple(), |r| r.policy_type = Some("Magic".into()), "Invalid policy type"),
        (simple(), |r| r.policy_type = Some("PredictiveScaling".into()), "PredictiveScaling"),
        (simple(), |r| r.adjustment_type = None, "AdjustmentType"),
        (simple(), |r| r.scaling_adjustment = None, "ScalingAdjustment"),
        (simple(), |r| r.min_adjustment_magnitude = Some(2), "PercentChangeInCapacity only"),
        (simple(), |r| r.estimated_instance_warmup = Some(2), "EstimatedInstanceWarmup is not a valid parameter"),
        (step(), |r| r.step_adjustments.truncate(1), "Invalid StepAdjustments"),
        (step(), |r| r.scaling_adjustment = Some(1), "ScalingAdjustment is not a valid parameter"),
        (tracking("ASGAverageCPUUtilization", Some(LABEL)), |_| (), "ResourceLabel is not valid"),
        (tracking("ASGAverageCPUUtilizationHighResolution", None), |_| (), "not supported"),
        (tracking("ALBRequestCountPerTarget", None), |_| (), "ResourceLabel"),
        (
            tracking("ALBRequestCountPerTarget", Some("app/web/0123456789abcdef/targetgroup/x/1")),
            |_| (),
            "not attached",
        ),
        (tracking("ASGAverageCPUUtilization", None), |r| tracked(r).target_value = Some(0.0), "TargetValue"),
        (
            tracking("ASGAverageCPUUtilization", None),
            |r| tracked(r).customized_metric_specification = Some(Default::default()),
            "either a PredefinedMetricSpecification",
        ),
    ];
    for (mut request, edit, text) in cases {
        edit(&mut request);
        let mut plane = plane();
        let got = put(&mut plane, &request).expect_err("to be refused").to_string();
        assert!(got.starts_with("ValidationError: ") && got.contains(text), "{got} should have {text}");
        assert!(shown(&plane).is_empty());
    }
}

/// Target tracking keeps two alarms; an update makes them anew under the same
/// ARN, and they go with the policy.
#[test]
fn autoscaling_9_2_alarms_belong_to_the_policy() {
    let mut plane = plane();
    let names = |plane: &mut Plane| {
        plane
            .write(|change| Ok(change.all::<Alarm>().map(|alarm| alarm.name.to_string()).collect::<Vec<_>>()))
            .expect("fine")
    };
    let first = put(&mut plane, &tracking("ASGAverageCPUUtilization", None)).expect("a good policy");
    assert_eq!(first.alarms.len(), 2);
    let before = names(&mut plane);
    assert!(
        before[0].starts_with("TargetTracking-web-AlarmHigh-") && before[1].starts_with("TargetTracking-web-AlarmLow-")
    );
    let mut request = tracking("ASGAverageCPUUtilization", None);
    request.target_tracking_configuration.as_mut().expect("one").disable_scale_in = Some(true);
    let second = put(&mut plane, &request).expect("a good policy");
    assert_eq!(second.policy_arn, first.policy_arn);
    assert_eq!(second.alarms.len(), 1, "no AlarmLow with DisableScaleIn");
    let delete = wire::DeletePolicyType { auto_scaling_group_name: None, policy_name: second.policy_arn };
    plane.write(|change| delete_policy(change, &delete)).expect("named by its ARN");
    assert!(names(&mut plane).is_empty() && shown(&plane).is_empty());
    let got = plane.write(|change| delete_policy(change, &delete)).expect_err("gone").to_string();
    assert!(got.contains("not found"), "{got}");
}

/// ExecutePolicy: steps need a value, cooldowns may be honoured, target tracking cannot be run.
#[test]
fn autoscaling_7_5_execute() {
    let execute = |value, threshold, honor| wire::ExecutePolicyType {
        auto_scaling_group_name: Some("web".to_string()),
        policy_name: Some("p".to_string()),
        breach_threshold: threshold,
        honor_cooldown: honor,
        metric_value: value,
    };
    for (request, call, result) in [
        (simple(), execute(None, None, None), Ok(3)),
        (simple(), execute(None, None, Some(true)), Err("ScalingActivityInProgress")),
        (simple(), execute(Some(1.0), Some(1.0), None), Err("ValidationError")),
        (step(), execute(Some(65.0), Some(50.0), None), Ok(5)),
        (step(), execute(Some(55.0), Some(50.0), None), Ok(3)),
        (step(), execute(Some(45.0), Some(50.0), None), Err("ValidationError")),
        (step(), execute(None, None, None), Err("ValidationError")),
        (tracking("ASGAverageCPUUtilization", None), execute(None, None, None), Err("ValidationError")),
    ] {
        let mut plane = plane();
        put(&mut plane, &request).expect("a good policy");
        let got = plane.write(|change| execute_policy(change, &call)).map_err(|err| err.code.to_string());
        let got = got.map(|_| plane.group("web").desired_capacity.unwrap_or_default());
        assert_eq!(got, result.map_err(str::to_string), "{request:?} {call:?}");
    }
}

/// Names with slashes do not meet: a group's policies are its own, also when
/// another group's name begins with its name.
#[test]
fn autoscaling_9_policies_belong_to_one_group() {
    let mut plane = Plane::new();
    for (group, name) in [("a", "b/p"), ("a/b", "p")] {
        plane
            .write(|change| create_auto_scaling_group(change, &group_request(group, 0, 1, 0)))
            .expect("a good request");
        let request = wire::PutScalingPolicyType {
            auto_scaling_group_name: Some(group.to_string()),
            policy_name: Some(name.to_string()),
            ..simple()
        };
        put(&mut plane, &request).expect("a good policy");
    }
    assert_eq!(shown(&plane).len(), 2);
    let delete =
        wire::DeleteAutoScalingGroupType { auto_scaling_group_name: Some("a".to_string()), force_delete: None };
    plane.write(|change| delete_auto_scaling_group(change, &delete)).expect("it is empty");
    plane.pass(Span::from_secs(1));
    let left: Vec<_> =
        shown(&plane).into_iter().map(|policy| (policy.auto_scaling_group_name, policy.policy_name)).collect();
    assert_eq!(left, [(Some("a/b".to_string()), Some("p".to_string()))]);
}
