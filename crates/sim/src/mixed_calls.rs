//! Calls of simulated clients about mixed instances.

use crate::client::NAME;
use crate::focus::{Mix, Shape};
use elastane_wire::{Input, autoscaling};

fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

/// Types of a policy, the preferred first, with their weights.
const TYPES: [(&str, u32); 3] = [("t3.micro", 1), ("t3.small", 2), ("c5.large", 4)];

/// A group's launch template at a version.
pub fn template(version: &str) -> autoscaling::LaunchTemplateSpecification {
    autoscaling::LaunchTemplateSpecification {
        launch_template_name: text(NAME),
        version: text(version),
        ..Default::default()
    }
}

/// MixedInstancesPolicy.
pub fn policy(mix: &Mix) -> autoscaling::MixedInstancesPolicy {
    let item = |(name, weight): &(&str, u32)| autoscaling::LaunchTemplateOverrides {
        instance_type: text(*name),
        weighted_capacity: mix.weighted.then(|| weight.to_string()),
        ..Default::default()
    };
    autoscaling::MixedInstancesPolicy {
        instances_distribution: Some(autoscaling::InstancesDistribution {
            on_demand_base_capacity: Some(mix.base),
            on_demand_percentage_above_base_capacity: Some(mix.percent),
            spot_allocation_strategy: text(mix.strategy),
            ..Default::default()
        }),
        launch_template: Some(autoscaling::LaunchTemplate {
            launch_template_specification: Some(template("$Latest")),
            overrides: TYPES.iter().map(item).collect(),
        }),
    }
}

/// CreateAutoScalingGroup.
pub fn create_group(subnets: &[String], target_group: &str, (min, max): (i32, i32), shape: &Shape) -> Input {
    Input::AutoScalingCreateAutoScalingGroup(Box::new(autoscaling::CreateAutoScalingGroupType {
        auto_scaling_group_name: text(NAME),
        launch_template: shape.mix.is_none().then(|| template("$Latest")),
        mixed_instances_policy: shape.mix.as_ref().map(policy),
        capacity_rebalance: shape.mix.map(|mix| mix.rebalances),
        min_size: Some(min),
        max_size: Some(max),
        vpc_zone_identifier: text(subnets.join(",")),
        target_group_arns: vec![target_group.to_string()],
        health_check_type: text("ELB"),
        health_check_grace_period: Some(shape.grace),
        default_cooldown: Some(shape.cooldown),
        default_instance_warmup: shape.warmup,
        ..Default::default()
    }))
}

/// UpdateAutoScalingGroup with another mixed instances policy.
pub fn update_mix(mix: &Mix) -> Input {
    Input::AutoScalingUpdateAutoScalingGroup(Box::new(autoscaling::UpdateAutoScalingGroupType {
        auto_scaling_group_name: text(NAME),
        mixed_instances_policy: Some(policy(mix)),
        capacity_rebalance: Some(mix.rebalances),
        ..Default::default()
    }))
}

/// UpdateAutoScalingGroup with a version of the launch template.
pub fn update_template(version: &str) -> Input {
    Input::AutoScalingUpdateAutoScalingGroup(Box::new(autoscaling::UpdateAutoScalingGroupType {
        auto_scaling_group_name: text(NAME),
        launch_template: Some(template(version)),
        ..Default::default()
    }))
}
