//! Simulated clients: what people and tools do with the API, as typed calls.

use elastane_engine::Rng;
use elastane_wire::{Input, autoscaling, cloudwatch, ec2, elbv2};

/// The name of everything that the set-up makes.
pub const NAME: &str = "web";

fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

/// RunInstances of the built-in image.
pub fn run_instances(count: i32) -> Input {
    Input::Ec2RunInstances(Box::new(ec2::RunInstancesRequest {
        image_id: text(elastane_engine::network::host_image().as_str()),
        instance_type: text("t3.micro"),
        min_count: Some(count),
        max_count: Some(count),
        ..Default::default()
    }))
}

/// TerminateInstances.
pub fn terminate(instance: &str) -> Input {
    let instance_ids = vec![instance.to_string()];
    Input::Ec2TerminateInstances(Box::new(ec2::TerminateInstancesRequest { instance_ids, ..Default::default() }))
}

/// StopInstances.
pub fn stop(instance: &str) -> Input {
    let instance_ids = vec![instance.to_string()];
    Input::Ec2StopInstances(Box::new(ec2::StopInstancesRequest { instance_ids, ..Default::default() }))
}

/// StartInstances.
pub fn start(instance: &str) -> Input {
    let instance_ids = vec![instance.to_string()];
    Input::Ec2StartInstances(Box::new(ec2::StartInstancesRequest { instance_ids, ..Default::default() }))
}

/// RebootInstances.
pub fn reboot(instance: &str) -> Input {
    let instance_ids = vec![instance.to_string()];
    Input::Ec2RebootInstances(Box::new(ec2::RebootInstancesRequest { instance_ids, ..Default::default() }))
}

/// CreateImage.
pub fn create_image(instance: &str, rng: &mut Rng) -> Input {
    Input::Ec2CreateImage(Box::new(ec2::CreateImageRequest {
        instance_id: text(instance),
        name: text(format!("image-{}", rng.hex(8))),
        no_reboot: Some(rng.below(2) == 0),
        ..Default::default()
    }))
}

/// DeregisterImage.
pub fn deregister_image(image: &str) -> Input {
    Input::Ec2DeregisterImage(Box::new(ec2::DeregisterImageRequest { image_id: text(image), ..Default::default() }))
}

/// DescribeSubnets, for the set-up.
pub fn describe_subnets() -> Input {
    Input::Ec2DescribeSubnets(Box::default())
}

/// CreateLaunchTemplate.
pub fn create_launch_template() -> Input {
    Input::Ec2CreateLaunchTemplate(Box::new(ec2::CreateLaunchTemplateRequest {
        launch_template_name: text(NAME),
        launch_template_data: Some(ec2::RequestLaunchTemplateData {
            image_id: text(elastane_engine::network::host_image().as_str()),
            instance_type: text("t3.micro"),
            ..Default::default()
        }),
        ..Default::default()
    }))
}

/// CreateLaunchTemplateVersion, of another type.
pub fn create_template_version() -> Input {
    Input::Ec2CreateLaunchTemplateVersion(Box::new(ec2::CreateLaunchTemplateVersionRequest {
        launch_template_name: text(NAME),
        source_version: text("1"),
        launch_template_data: Some(ec2::RequestLaunchTemplateData {
            instance_type: text("t3.small"),
            ..Default::default()
        }),
        ..Default::default()
    }))
}

/// CreateKeyPair.
pub fn create_key_pair(name: &str) -> Input {
    Input::Ec2CreateKeyPair(Box::new(ec2::CreateKeyPairRequest {
        key_name: text(name),
        key_type: text("ed25519"),
        ..Default::default()
    }))
}

/// DeleteKeyPair.
pub fn delete_key_pair(name: &str) -> Input {
    Input::Ec2DeleteKeyPair(Box::new(ec2::DeleteKeyPairRequest { key_name: text(name), ..Default::default() }))
}

/// DeleteTargetGroup.
pub fn delete_target_group(arn: &str) -> Input {
    Input::Elbv2DeleteTargetGroup(Box::new(elbv2::DeleteTargetGroupInput { target_group_arn: text(arn) }))
}

/// DeregisterTargets of one instance.
pub fn deregister_target(arn: &str, instance: &str) -> Input {
    Input::Elbv2DeregisterTargets(Box::new(elbv2::DeregisterTargetsInput {
        target_group_arn: text(arn),
        targets: vec![elbv2::TargetDescription { id: text(instance), ..Default::default() }],
    }))
}

/// RegisterTargets of one instance.
pub fn register_target(arn: &str, instance: &str) -> Input {
    Input::Elbv2RegisterTargets(Box::new(elbv2::RegisterTargetsInput {
        target_group_arn: text(arn),
        targets: vec![elbv2::TargetDescription { id: text(instance), ..Default::default() }],
    }))
}

/// AttachLoadBalancerTargetGroups.
pub fn attach(arn: &str) -> Input {
    Input::AutoScalingAttachLoadBalancerTargetGroups(Box::new(autoscaling::AttachLoadBalancerTargetGroupsType {
        auto_scaling_group_name: text(NAME),
        target_group_arns: vec![arn.to_string()],
    }))
}

/// DetachLoadBalancerTargetGroups.
pub fn detach(arn: &str) -> Input {
    Input::AutoScalingDetachLoadBalancerTargetGroups(Box::new(autoscaling::DetachLoadBalancerTargetGroupsType {
        auto_scaling_group_name: text(NAME),
        target_group_arns: vec![arn.to_string()],
    }))
}

/// DeleteAutoScalingGroup.
pub fn delete_group(force: bool) -> Input {
    Input::AutoScalingDeleteAutoScalingGroup(Box::new(autoscaling::DeleteAutoScalingGroupType {
        auto_scaling_group_name: text(NAME),
        force_delete: Some(force),
    }))
}

/// SetInstanceProtection.
pub fn protect(instance: &str, protected: bool) -> Input {
    Input::AutoScalingSetInstanceProtection(Box::new(autoscaling::SetInstanceProtectionQuery {
        auto_scaling_group_name: text(NAME),
        instance_ids: vec![instance.to_string()],
        protected_from_scale_in: Some(protected),
    }))
}

/// PutScalingPolicy with simple scaling, named by its direction.
pub fn put_simple_policy(amount: i32, cooldown: i32) -> Input {
    Input::AutoScalingPutScalingPolicy(Box::new(autoscaling::PutScalingPolicyType {
        auto_scaling_group_name: text(NAME),
        policy_name: text(if amount > 0 { "out" } else { "in" }),
        policy_type: text("SimpleScaling"),
        adjustment_type: text("ChangeInCapacity"),
        scaling_adjustment: Some(amount),
        cooldown: Some(cooldown),
        ..Default::default()
    }))
}

/// PutMetricAlarm on the group's CPU use, whose action is a policy.
pub fn put_alarm(name: &str, above: bool, threshold: f64, policy_arn: &str) -> Input {
    Input::CloudWatchPutMetricAlarm(Box::new(cloudwatch::PutMetricAlarmInput {
        alarm_name: text(name),
        alarm_actions: vec![policy_arn.to_string()],
        namespace: text("AWS/EC2"),
        metric_name: text("CPUUtilization"),
        dimensions: vec![cloudwatch::Dimension { name: text("AutoScalingGroupName"), value: text(NAME) }],
        statistic: text("Average"),
        period: Some(60),
        evaluation_periods: Some(2),
        threshold: Some(threshold),
        comparison_operator: text(if above { "GreaterThanThreshold" } else { "LessThanThreshold" }),
        ..Default::default()
    }))
}

/// SetAlarmState.
pub fn set_alarm_state(name: &str, state: &str) -> Input {
    Input::CloudWatchSetAlarmState(Box::new(cloudwatch::SetAlarmStateInput {
        alarm_name: text(name),
        state_value: text(state),
        state_reason: text("by hand"),
        ..Default::default()
    }))
}

/// DeleteAlarms.
pub fn delete_alarm(name: &str) -> Input {
    Input::CloudWatchDeleteAlarms(Box::new(cloudwatch::DeleteAlarmsInput { alarm_names: vec![name.to_string()] }))
}

/// CreateTargetGroup.
pub fn create_target_group(name: &str, vpc: &str) -> Input {
    Input::Elbv2CreateTargetGroup(Box::new(elbv2::CreateTargetGroupInput {
        name: text(name),
        protocol: text("HTTP"),
        port: Some(8080),
        vpc_id: text(vpc),
        ..Default::default()
    }))
}

/// CreateLoadBalancer.
pub fn create_load_balancer(subnets: Vec<String>) -> Input {
    Input::Elbv2CreateLoadBalancer(Box::new(elbv2::CreateLoadBalancerInput {
        name: text(NAME),
        subnets,
        ..Default::default()
    }))
}

/// CreateListener that forwards to a group.
pub fn create_listener(load_balancer: &str, target_group: &str) -> Input {
    Input::Elbv2CreateListener(Box::new(elbv2::CreateListenerInput {
        load_balancer_arn: text(load_balancer),
        protocol: text("HTTP"),
        port: Some(80),
        default_actions: vec![elbv2::Action {
            r#type: text("forward"),
            target_group_arn: text(target_group),
            ..Default::default()
        }],
        ..Default::default()
    }))
}

/// PutScalingPolicy with target tracking of requests a target.
pub fn put_policy(label: &str, target: f64) -> Input {
    Input::AutoScalingPutScalingPolicy(Box::new(autoscaling::PutScalingPolicyType {
        auto_scaling_group_name: text(NAME),
        policy_name: text("tracking"),
        policy_type: text("TargetTrackingScaling"),
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

/// SetDesiredCapacity.
pub fn set_desired(capacity: i32) -> Input {
    Input::AutoScalingSetDesiredCapacity(Box::new(autoscaling::SetDesiredCapacityType {
        auto_scaling_group_name: text(NAME),
        desired_capacity: Some(capacity),
        ..Default::default()
    }))
}

/// UpdateAutoScalingGroup with new bounds.
pub fn update_group(min: i32, max: i32) -> Input {
    Input::AutoScalingUpdateAutoScalingGroup(Box::new(autoscaling::UpdateAutoScalingGroupType {
        auto_scaling_group_name: text(NAME),
        min_size: Some(min),
        max_size: Some(max),
        ..Default::default()
    }))
}

/// SetInstanceHealth to unhealthy.
pub fn set_unhealthy(instance: &str) -> Input {
    Input::AutoScalingSetInstanceHealth(Box::new(autoscaling::SetInstanceHealthQuery {
        instance_id: text(instance),
        health_status: text("Unhealthy"),
        should_respect_grace_period: Some(false),
    }))
}

/// TerminateInstanceInAutoScalingGroup.
pub fn terminate_in_group(instance: &str, decrement: bool) -> Input {
    Input::AutoScalingTerminateInstanceInAutoScalingGroup(Box::new(
        autoscaling::TerminateInstanceInAutoScalingGroupType {
            instance_id: text(instance),
            should_decrement_desired_capacity: Some(decrement),
            ..Default::default()
        },
    ))
}

fn forward(weights: &[(String, i32)]) -> Vec<elbv2::Action> {
    let tuple =
        |(arn, weight): &(String, i32)| elbv2::TargetGroupTuple { target_group_arn: text(arn), weight: Some(*weight) };
    vec![elbv2::Action {
        r#type: text("forward"),
        forward_config: Some(elbv2::ForwardActionConfig {
            target_groups: weights.iter().map(tuple).collect(),
            ..Default::default()
        }),
        ..Default::default()
    }]
}

/// CreateRule on a path.
pub fn create_rule(listener: &str, priority: i32, path: &str, weights: &[(String, i32)]) -> Input {
    Input::Elbv2CreateRule(Box::new(elbv2::CreateRuleInput {
        listener_arn: text(listener),
        priority: Some(priority),
        conditions: vec![elbv2::RuleCondition {
            field: text("path-pattern"),
            values: vec![path.to_string()],
            ..Default::default()
        }],
        actions: forward(weights),
        ..Default::default()
    }))
}

/// ModifyRule: other weights.
pub fn modify_rule(rule: &str, weights: &[(String, i32)]) -> Input {
    Input::Elbv2ModifyRule(Box::new(elbv2::ModifyRuleInput {
        rule_arn: text(rule),
        actions: forward(weights),
        ..Default::default()
    }))
}

/// DeleteRule.
pub fn delete_rule(rule: &str) -> Input {
    Input::Elbv2DeleteRule(Box::new(elbv2::DeleteRuleInput { rule_arn: text(rule) }))
}

/// SetRulePriorities of one rule.
pub fn set_rule_priority(rule: &str, priority: i32) -> Input {
    let pair = elbv2::RulePriorityPair { rule_arn: text(rule), priority: Some(priority) };
    Input::Elbv2SetRulePriorities(Box::new(elbv2::SetRulePrioritiesInput { rule_priorities: vec![pair] }))
}

/// ModifyListener: other weights of the default action.
pub fn modify_listener(listener: &str, weights: &[(String, i32)]) -> Input {
    Input::Elbv2ModifyListener(Box::new(elbv2::ModifyListenerInput {
        listener_arn: text(listener),
        default_actions: forward(weights),
        ..Default::default()
    }))
}

/// CreateListener on another port.
pub fn create_listener_on(load_balancer: &str, port: i32, target_group: &str) -> Input {
    match create_listener(load_balancer, target_group) {
        Input::Elbv2CreateListener(input) => {
            Input::Elbv2CreateListener(Box::new(elbv2::CreateListenerInput { port: Some(port), ..*input }))
        }
        other => other,
    }
}

/// SetSubnets.
pub fn set_subnets(load_balancer: &str, subnets: Vec<String>) -> Input {
    Input::Elbv2SetSubnets(Box::new(elbv2::SetSubnetsInput {
        load_balancer_arn: text(load_balancer),
        subnets,
        ..Default::default()
    }))
}

/// ModifyTargetGroupAttributes: whether nodes use targets of other zones.
pub fn set_cross_zone(target_group: &str, value: &str) -> Input {
    Input::Elbv2ModifyTargetGroupAttributes(Box::new(elbv2::ModifyTargetGroupAttributesInput {
        target_group_arn: text(target_group),
        attributes: vec![elbv2::TargetGroupAttribute {
            key: text("load_balancing.cross_zone.enabled"),
            value: text(value),
        }],
    }))
}
