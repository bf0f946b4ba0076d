//! Groups and their instances as clients see them.

use super::{errors, lookup, metrics, mixed, tags, warm_pool};
use crate::Call;
use crate::page::{Pager, page};
use elastane_domain::group::{CapacityType, DeletionProtection, Process};
use elastane_domain::id::{SubnetId, Zone};
use elastane_engine::View;
use elastane_engine::metadata::zone_id;
use elastane_engine::row::{Group, Instance, LaunchSource, LaunchTemplate, Membership};
use elastane_wire::{ApiError, Timestamp, autoscaling as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Instance ids that one call may name (DescribeAutoScalingInstances).
const INSTANCE_IDS_MAX: usize = 50;

/// DescribeAutoScalingGroups: unknown names are left out, not refused.
pub fn describe_auto_scaling_groups(
    call: &Call<'_>,
    input: &wire::AutoScalingGroupNamesType,
) -> Result<wire::AutoScalingGroupsType, ApiError> {
    let max = errors::page_size(input.max_records, 50, 100)?;
    let asked: BTreeSet<&String> = input.auto_scaling_group_names.iter().collect();
    let mut found: Vec<&Arc<Group>> = match asked.is_empty() {
        true => call.all::<Group>().collect(),
        false => asked.into_iter().filter_map(|name| call.get::<Group>(name)).collect(),
    };
    for filter in &input.filters {
        let wanted = tags::group_filter(filter)?;
        found.retain(|group| wanted.matches(group));
    }
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, |group| group.name.to_string())?;
    let index = lookup::members_by_group(call);
    let with_instances = input.include_instances.unwrap_or(true);
    let auto_scaling_groups = rows
        .into_iter()
        .map(|group| {
            let members = index.get(&group.name).map_or(&[][..], Vec::as_slice);
            let shown = shown_group(call, group, members);
            if with_instances { shown } else { wire::AutoScalingGroup { instances: Vec::new(), ..shown } }
        })
        .collect();
    Ok(wire::AutoScalingGroupsType { auto_scaling_groups, next_token })
}

fn shown_group(view: &View<'_>, group: &Group, members: &[(&Instance, &Membership)]) -> wire::AutoScalingGroup {
    let policies: Vec<String> = group.termination_policies.iter().map(|policy| policy.name().to_string()).collect();
    let subnets: Vec<&str> = group.subnets.iter().map(SubnetId::as_str).collect();
    let warm = members.iter().filter(|(_, place)| place.lifecycle.is_warm()).count();
    let source = |arn: &elastane_domain::id::TargetGroupArn| wire::TrafficSourceIdentifier {
        identifier: Some(arn.to_string()),
        r#type: Some("elbv2".to_string()),
    };
    wire::AutoScalingGroup {
        auto_scaling_group_arn: Some(group.arn.clone()),
        auto_scaling_group_name: Some(group.name.to_string()),
        availability_zones: group.zones.iter().map(Zone::to_string).collect(),
        availability_zone_ids: group
            .zones
            .iter()
            .map(|zone| zone_id(zone.as_str(), view.scope.region.as_str()))
            .collect(),
        availability_zone_distribution: Some(wire::AvailabilityZoneDistribution {
            capacity_distribution_strategy: Some(group.zone_strategy.name().to_string()),
        }),
        capacity_rebalance: Some(group.capacity_rebalance),
        context: group.context.clone(),
        created_time: Some(Timestamp(group.created_at.millis())),
        default_cooldown: Some(group.default_cooldown.seconds() as i32),
        default_instance_warmup: group.default_warmup.map(|span| span.seconds() as i32),
        deletion_protection: (group.named.deletion_protection || group.deletion_protection != DeletionProtection::None)
            .then(|| group.deletion_protection.name().to_string()),
        desired_capacity: Some(group.desired as i32),
        desired_capacity_type: (group.named.capacity_type || group.capacity_type != CapacityType::Units)
            .then(|| group.capacity_type.name().to_string()),
        enabled_metrics: metrics::shown(group),
        health_check_grace_period: Some(group.grace.seconds() as i32),
        health_check_type: Some(health_check_type(group)),
        instances: members
            .iter()
            .filter(|(_, place)| !place.lifecycle.is_warm())
            .map(|(instance, place)| shown_instance(view, instance, place))
            .collect(),
        availability_zone_impairment_policy: impairment_policy(group),
        capacity_reservation_specification: group.named.reservation.then(|| wire::CapacityReservationSpecification {
            capacity_reservation_preference: Some("default".to_string()),
            capacity_reservation_target: None,
        }),
        instance_lifecycle_policy: lifecycle_policy(group),
        instance_maintenance_policy: group.maintenance.map(|policy| wire::InstanceMaintenancePolicy {
            max_healthy_percentage: Some(policy.max_percent as i32),
            min_healthy_percentage: Some(policy.min_percent as i32),
        }),
        max_instance_lifetime: group.max_lifetime.map(|span| span.seconds() as i32),
        max_size: Some(group.bounds.max as i32),
        min_size: Some(group.bounds.min as i32),
        new_instances_protected_from_scale_in: Some(group.protect_new),
        placement_group: group.placement_group.clone(),
        service_linked_role_arn: Some(service_linked_role(view)),
        suspended_processes: group.suspended.iter().map(suspended).collect(),
        status: group.deleting.then(|| "Delete in progress".to_string()),
        tags: tags::shown(group),
        target_group_arns: group.target_groups.iter().map(ToString::to_string).collect(),
        termination_policies: if policies.is_empty() { vec!["Default".to_string()] } else { policies },
        traffic_sources: group.target_groups.iter().map(source).collect(),
        vpc_zone_identifier: Some(subnets.join(",")),
        warm_pool_configuration: warm_pool::configuration(group),
        warm_pool_size: group.warm_pool.map(|_| warm as i32),
        ..launched_from(view, &group.source)
    }
}

/// What a client has said of zonal shifts: there are none.
fn impairment_policy(group: &Group) -> Option<wire::AvailabilityZoneImpairmentPolicy> {
    group.named.impairment_policy.then(|| wire::AvailabilityZoneImpairmentPolicy {
        impaired_zone_health_check_behavior: group.impaired_zone.clone(),
        zonal_shift_enabled: Some(false),
    })
}

fn lifecycle_policy(group: &Group) -> Option<wire::InstanceLifecyclePolicy> {
    let word = if group.retain_on_abandon { "retain" } else { "terminate" };
    (group.retain_on_abandon || group.named.lifecycle_policy).then(|| wire::InstanceLifecyclePolicy {
        retention_triggers: Some(wire::RetentionTriggers { terminate_hook_abandon: Some(word.to_string()) }),
    })
}

/// The role that Auto Scaling acts by, in every account.
fn service_linked_role(view: &View<'_>) -> String {
    format!(
        "arn:aws:iam::{}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        view.scope.account
    )
}

/// The one of three members that says what a group launches from.
fn launched_from(view: &View<'_>, source: &LaunchSource) -> wire::AutoScalingGroup {
    let none = wire::AutoScalingGroup::default();
    match source {
        LaunchSource::Configuration(name) => {
            wire::AutoScalingGroup { launch_configuration_name: Some(name.clone()), ..none }
        }
        LaunchSource::Template(one) => {
            wire::AutoScalingGroup { launch_template: Some(template(view, one.id.as_str(), &one.version)), ..none }
        }
        LaunchSource::Mixed(policy) => {
            wire::AutoScalingGroup { mixed_instances_policy: Some(mixed::shown(view, policy)), ..none }
        }
    }
}

fn suspended((process, reason): (&Process, &String)) -> wire::SuspendedProcess {
    wire::SuspendedProcess { process_name: Some(process.name().to_string()), suspension_reason: Some(reason.clone()) }
}

/// WeightedCapacity, of an instance of a group that has weights.
fn weighted(group: Option<&Group>, place: &Membership) -> Option<String> {
    let weighs = group.is_some_and(|group| match &group.source {
        LaunchSource::Mixed(mixed) => mixed.overrides.iter().any(|item| item.weight.is_some()),
        LaunchSource::Template(_) | LaunchSource::Configuration(_) => false,
    });
    (weighs || place.weight > 1).then(|| place.weight.to_string())
}

/// As it was given; of a row from before it was kept, what it means.
fn health_check_type(group: &Group) -> String {
    match (group.health_check_type.as_str(), group.checks_elb) {
        ("", true) => "ELB".to_string(),
        ("", false) => "EC2".to_string(),
        (given, _) => given.to_string(),
    }
}

/// A launch template as answers name it.
pub fn template(view: &View<'_>, id: &str, version: &str) -> wire::LaunchTemplateSpecification {
    wire::LaunchTemplateSpecification {
        launch_template_id: Some(id.to_string()),
        launch_template_name: view.get::<LaunchTemplate>(id).map(|row| row.name.clone()),
        version: Some(version.to_string()),
    }
}

fn template_of(view: &View<'_>, instance: &Instance) -> Option<wire::LaunchTemplateSpecification> {
    let (id, version) = instance.launch_template.as_ref()?;
    Some(template(view, id.as_str(), &version.to_string()))
}

/// A member as answers about its group have it.
pub fn shown_instance(view: &View<'_>, instance: &Instance, place: &Membership) -> wire::Instance {
    wire::Instance {
        availability_zone: Some(instance.zone.to_string()),
        availability_zone_id: Some(zone_id(instance.zone.as_str(), view.scope.region.as_str())),
        health_status: Some(if place.unhealthy.is_some() { "Unhealthy" } else { "Healthy" }.to_string()),
        image_id: None,
        instance_id: Some(instance.id.to_string()),
        instance_type: Some(instance.instance_type.clone()),
        launch_configuration_name: place.launch_configuration.clone(),
        launch_template: template_of(view, instance),
        lifecycle_state: Some(place.lifecycle.name().to_string()),
        protected_from_scale_in: Some(place.protected),
        weighted_capacity: weighted(view.get::<Group>(place.group.as_str()).map(AsRef::as_ref), place),
    }
}

/// DescribeAutoScalingInstances. Its health is written in capitals, unlike
/// that of DescribeAutoScalingGroups.
pub fn describe_auto_scaling_instances(
    call: &Call<'_>,
    input: &wire::DescribeAutoScalingInstancesType,
) -> Result<wire::AutoScalingInstancesType, ApiError> {
    let max = errors::page_size(input.max_records, 50, 50)?;
    if input.instance_ids.len() > INSTANCE_IDS_MAX {
        return Err(errors::invalid(format!("At most {INSTANCE_IDS_MAX} InstanceIds may be given")));
    }
    let asked: BTreeSet<&String> = input.instance_ids.iter().collect();
    let rows: Vec<&Arc<Instance>> = match asked.is_empty() {
        true => call.all::<Instance>().collect(),
        false => asked.into_iter().filter_map(|id| call.get::<Instance>(id)).collect(),
    };
    let members = rows.into_iter().filter_map(|row| Some((row.as_ref(), row.membership.as_ref()?))).collect();
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (members, next_token) = page(members, pager, |(instance, _)| instance.id.to_string())?;
    let auto_scaling_instances = members
        .into_iter()
        .map(|(instance, place)| wire::AutoScalingInstanceDetails {
            auto_scaling_group_name: Some(place.group.to_string()),
            availability_zone: Some(instance.zone.to_string()),
            availability_zone_id: Some(zone_id(instance.zone.as_str(), call.scope.region.as_str())),
            health_status: Some(if place.unhealthy.is_some() { "UNHEALTHY" } else { "HEALTHY" }.to_string()),
            image_id: None,
            instance_id: Some(instance.id.to_string()),
            instance_type: Some(instance.instance_type.clone()),
            launch_configuration_name: place.launch_configuration.clone(),
            launch_template: template_of(call, instance),
            lifecycle_state: Some(place.lifecycle.name().to_string()),
            protected_from_scale_in: Some(place.protected),
            weighted_capacity: weighted(call.get::<Group>(place.group.as_str()).map(AsRef::as_ref), place),
        })
        .collect();
    Ok(wire::AutoScalingInstancesType { auto_scaling_instances, next_token })
}
