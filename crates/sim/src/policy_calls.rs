//! Calls of simulated clients about scaling policies of the newer kinds, and
//! about refreshes that go to a configuration of their own.

use crate::client::NAME;
use crate::mixed_calls::template;
use elastane_wire::{Input, autoscaling, cloudwatch};

fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

/// PutScalingPolicy with step scaling by one instance, named by its direction.
pub fn put_step_policy(out: bool, warmup: i32) -> Input {
    let (name, amount) = if out { ("step-out", 1) } else { ("step-in", -1) };
    Input::AutoScalingPutScalingPolicy(Box::new(autoscaling::PutScalingPolicyType {
        auto_scaling_group_name: text(NAME),
        policy_name: text(name),
        policy_type: text("StepScaling"),
        adjustment_type: text("ChangeInCapacity"),
        estimated_instance_warmup: Some(warmup),
        step_adjustments: vec![autoscaling::StepAdjustment {
            metric_interval_lower_bound: out.then_some(0.0),
            metric_interval_upper_bound: (!out).then_some(0.0),
            scaling_adjustment: Some(amount),
        }],
        ..Default::default()
    }))
}

/// PutMetricAlarm on the group's CPU use for two step policies: one that is
/// easily reached. Its data may say that it is OK all the same.
pub fn put_step_alarm(out: bool, threshold: f64, policy_arn: &str) -> Input {
    Input::CloudWatchPutMetricAlarm(Box::new(cloudwatch::PutMetricAlarmInput {
        alarm_name: text(if out { "step-high" } else { "step-low" }),
        alarm_actions: vec![policy_arn.to_string()],
        namespace: text("AWS/EC2"),
        metric_name: text("CPUUtilization"),
        dimensions: vec![cloudwatch::Dimension { name: text("AutoScalingGroupName"), value: text(NAME) }],
        statistic: text("Average"),
        period: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(threshold),
        comparison_operator: text(if out { "GreaterThanOrEqualToThreshold" } else { "LessThanThreshold" }),
        ..Default::default()
    }))
}

/// PutScalingPolicy with target tracking of requests a target, and a warm-up.
pub fn put_tracking(label: &str, target: f64, warmup: i32) -> Input {
    Input::AutoScalingPutScalingPolicy(Box::new(autoscaling::PutScalingPolicyType {
        auto_scaling_group_name: text(NAME),
        policy_name: text("tracking"),
        policy_type: text("TargetTrackingScaling"),
        estimated_instance_warmup: Some(warmup),
        target_tracking_configuration: Some(autoscaling::TargetTrackingConfiguration {
            predefined_metric_specification: Some(autoscaling::PredefinedMetricSpecification {
                predefined_metric_type: text("ALBRequestCountPerTarget"),
                resource_label: text(label),
            }),
            target_value: Some(target),
            ..Default::default()
        }),
        ..Default::default()
    }))
}

/// PutScalingPolicy with predictive scaling on CPU use.
pub fn put_predictive(target: f64, scales: bool, above_max: bool) -> Input {
    Input::AutoScalingPutScalingPolicy(Box::new(autoscaling::PutScalingPolicyType {
        auto_scaling_group_name: text(NAME),
        policy_name: text("forecast"),
        policy_type: text("PredictiveScaling"),
        predictive_scaling_configuration: Some(autoscaling::PredictiveScalingConfiguration {
            max_capacity_breach_behavior: text(if above_max { "IncreaseMaxCapacity" } else { "HonorMaxCapacity" }),
            max_capacity_buffer: above_max.then_some(10),
            metric_specifications: vec![autoscaling::PredictiveScalingMetricSpecification {
                predefined_metric_pair_specification: Some(autoscaling::PredictiveScalingPredefinedMetricPair {
                    predefined_metric_type: text("ASGCPUUtilization"),
                    resource_label: None,
                }),
                target_value: Some(target),
                ..Default::default()
            }],
            mode: text(if scales { "ForecastAndScale" } else { "ForecastOnly" }),
            scheduling_buffer_time: None,
        }),
        ..Default::default()
    }))
}

/// What a refresh is asked to do.
#[derive(Clone, Debug, Default)]
pub struct RefreshOrder {
    /// MinHealthyPercentage.
    pub min: i32,
    /// MaxHealthyPercentage.
    pub max: Option<i32>,
    /// InstanceWarmup in seconds.
    pub warmup: i32,
    /// The template's version to go to, if it is another than the group's.
    pub version: Option<String>,
    /// SkipMatching.
    pub skip_matching: bool,
    /// AutoRollback.
    pub auto_rollback: bool,
    /// A checkpoint at half of it.
    pub checkpoint: bool,
    /// BakeTime in seconds.
    pub bake: i32,
    /// ScaleInProtectedInstances.
    pub on_protected: &'static str,
    /// StandbyInstances.
    pub on_standby: &'static str,
    /// An alarm that fails it.
    pub alarm: Option<String>,
}

/// StartInstanceRefresh.
pub fn start_refresh(order: &RefreshOrder) -> Input {
    let preferences = autoscaling::RefreshPreferences {
        alarm_specification: order.alarm.clone().map(|name| autoscaling::AlarmSpecification { alarms: vec![name] }),
        auto_rollback: Some(order.auto_rollback),
        bake_time: Some(order.bake),
        checkpoint_delay: order.checkpoint.then_some(300),
        checkpoint_percentages: if order.checkpoint { vec![50, 100] } else { Vec::new() },
        instance_warmup: Some(order.warmup),
        max_healthy_percentage: order.max,
        min_healthy_percentage: Some(order.min),
        scale_in_protected_instances: text(order.on_protected),
        skip_matching: Some(order.skip_matching),
        standby_instances: text(order.on_standby),
    };
    Input::AutoScalingStartInstanceRefresh(Box::new(autoscaling::StartInstanceRefreshType {
        auto_scaling_group_name: text(NAME),
        desired_configuration: order.version.as_deref().map(|version| autoscaling::DesiredConfiguration {
            launch_template: Some(template(version)),
            mixed_instances_policy: None,
        }),
        preferences: Some(preferences),
        strategy: None,
    }))
}

/// RollbackInstanceRefresh.
pub fn roll_back() -> Input {
    let auto_scaling_group_name = text(NAME);
    Input::AutoScalingRollbackInstanceRefresh(Box::new(autoscaling::RollbackInstanceRefreshType {
        auto_scaling_group_name,
    }))
}
