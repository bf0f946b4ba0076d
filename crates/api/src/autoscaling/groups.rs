//! Creating, updating and deleting groups.

use super::settings::{self, Placement};
use super::{errors, lookup, tags};
use crate::Change;
use elastane_domain::capacity::{self, Bounds, Size};
use elastane_domain::group::DesiredChange;
use elastane_domain::id::{GroupName, TargetGroupArn, Zone};
use elastane_domain::time::Span;
use elastane_engine::groups;
use elastane_engine::row::{Group, LaunchSource};
use elastane_wire::{ApiError, autoscaling as wire};

/// Groups in one region (autoscaling.md 18).
const GROUPS_MAX: usize = 500;

/// CreateAutoScalingGroup.
pub fn create_auto_scaling_group(
    change: &mut Change<'_, '_>,
    input: &wire::CreateAutoScalingGroupType,
) -> Result<wire::CreateAutoScalingGroupOutput, ApiError> {
    let name = settings::new_name(input.auto_scaling_group_name.as_deref())?;
    if change.get::<Group>(name.as_str()).is_some() {
        return Err(errors::group_exists(name.as_str()));
    }
    if change.all::<Group>().count() >= GROUPS_MAX {
        return Err(errors::limit(format!("You have reached the limit of {GROUPS_MAX} groups in one region")));
    }
    refuse_on_create(input)?;
    let id = change.rng.uuid();
    let group = new_group(change, input, name, &id)?;
    let (name, desired) = (group.name.clone(), group.desired);
    change.put(group);
    if desired > 0 {
        groups::set_desired(change.tx, &name, desired, &DesiredChange::Created);
    }
    Ok(wire::CreateAutoScalingGroupOutput {})
}

fn new_group(
    change: &Change<'_, '_>,
    input: &wire::CreateAutoScalingGroupType,
    name: GroupName,
    id: &str,
) -> Result<Group, ApiError> {
    let view = change.view();
    let spec = input.launch_template.as_ref().ok_or_else(|| {
        errors::invalid("Valid requests must contain a LaunchTemplate (LaunchConfigurationName, InstanceId and MixedInstancesPolicy \
             are not supported by Elastane yet).",
        )
    })?;
    let template = settings::template(&view, spec)?;
    let placement = settings::placement(&view, input.vpc_zone_identifier.as_deref(), &input.availability_zones)?
        .ok_or_else(|| errors::invalid("At least one Availability Zone or VPC Subnet is required."))?;
    let source = LaunchSource::Template(template);
    settings::check_launch(change, &source, &placement)?;
    let target_groups = attached(&view, input, &placement)?;
    let min = required_size(input.min_size, "MinSize")?;
    let max = required_size(input.max_size, "MaxSize")?;
    let desired = settings::size(input.desired_capacity, "DesiredCapacity")?;
    let desired = capacity::on_create(min, max, desired).map_err(errors::bounds)?;
    let arn = view.scope.arn("autoscaling", &format!("autoScalingGroup:{id}:autoScalingGroupName/{name}"));
    let tags = tags::of_new_group(&input.tags, &name)?;
    let mut group = Group::new(name, arn, Bounds { min, max }, source, view.now);
    if let Some(cooldown) = settings::seconds(input.default_cooldown, "DefaultCooldown")? {
        (group.default_cooldown, group.cooldown) = (cooldown, cooldown);
    }
    if let Some(text) = &input.health_check_type {
        group.checks_elb = settings::checks_elb(text)?;
        group.health_check_type = text.clone();
    }
    Ok(Group {
        desired,
        subnets: placement.subnets,
        zones: placement.zones,
        target_groups,
        grace: settings::seconds(input.health_check_grace_period, "HealthCheckGracePeriod")?.unwrap_or_default(),
        default_warmup: warmup(input.default_instance_warmup)?.flatten(),
        termination_policies: settings::termination_policies(&input.termination_policies)?,
        protect_new: input.new_instances_protected_from_scale_in.unwrap_or(false),
        tags,
        ..group
    })
}

fn required_size(value: Option<i32>, member: &str) -> Result<u32, ApiError> {
    settings::size(value, member)?.ok_or_else(|| errors::missing(member))
}

/// DefaultInstanceWarmup: `Some(None)` clears it.
fn warmup(value: Option<i32>) -> Result<Option<Option<Span>>, ApiError> {
    match value {
        None => Ok(None),
        Some(-1) => Ok(Some(None)),
        Some(secs) => settings::seconds(Some(secs), "DefaultInstanceWarmup").map(Some),
    }
}

/// Target groups, named as such or as traffic sources of type `elbv2`.
fn attached(
    view: &elastane_engine::View<'_>,
    input: &wire::CreateAutoScalingGroupType,
    placement: &Placement,
) -> Result<Vec<TargetGroupArn>, ApiError> {
    let mut arns = input.target_group_arns.clone();
    for source in &input.traffic_sources {
        match source.r#type.as_deref() {
            Some("elbv2") | None => arns.extend(source.identifier.clone()),
            Some(other) => return Err(errors::unsupported(&format!("A traffic source of type {other}"))),
        }
    }
    settings::target_groups(view, &arns, placement)
}

fn refuse_on_create(input: &wire::CreateAutoScalingGroupType) -> Result<(), ApiError> {
    refuse_shared(&Shared {
        launch_configuration_name: input.launch_configuration_name.as_deref(),
        mixed_instances_policy: input.mixed_instances_policy.is_some(),
        availability_zone_ids: &input.availability_zone_ids,
        distribution: input.availability_zone_distribution.as_ref(),
        impairment: input.availability_zone_impairment_policy.is_some(),
        capacity_rebalance: input.capacity_rebalance,
        reservation: input.capacity_reservation_specification.as_ref(),
        context: input.context.as_deref(),
        deletion_protection: input.deletion_protection.as_deref(),
        desired_capacity_type: input.desired_capacity_type.as_deref(),
        lifecycle_policy: input.instance_lifecycle_policy.is_some(),
        maintenance: input.instance_maintenance_policy.as_ref(),
        max_instance_lifetime: input.max_instance_lifetime,
        placement_group: input.placement_group.as_deref(),
        service_linked_role: input.service_linked_role_arn.as_deref(),
    })?;
    errors::refuse_unsupported(&[
        ("InstanceId", input.instance_id.is_some()),
        ("LifecycleHookSpecificationList", !input.lifecycle_hook_specification_list.is_empty()),
        ("LoadBalancerNames", !input.load_balancer_names.is_empty()),
        ("Operator", input.operator.is_some()),
    ])
}

/// Members of both calls that are not implemented, but have a value that
/// means what happens anyway.
struct Shared<'a> {
    launch_configuration_name: Option<&'a str>,
    mixed_instances_policy: bool,
    availability_zone_ids: &'a [String],
    distribution: Option<&'a wire::AvailabilityZoneDistribution>,
    impairment: bool,
    capacity_rebalance: Option<bool>,
    reservation: Option<&'a wire::CapacityReservationSpecification>,
    context: Option<&'a str>,
    deletion_protection: Option<&'a str>,
    desired_capacity_type: Option<&'a str>,
    lifecycle_policy: bool,
    maintenance: Option<&'a wire::InstanceMaintenancePolicy>,
    max_instance_lifetime: Option<i32>,
    placement_group: Option<&'a str>,
    service_linked_role: Option<&'a str>,
}

fn refuse_shared(shared: &Shared<'_>) -> Result<(), ApiError> {
    let other = |value: Option<&str>, fine: &str| value.is_some_and(|value| !value.is_empty() && value != fine);
    let strategy = shared.distribution.and_then(|d| d.capacity_distribution_strategy.as_deref());
    let preference = shared.reservation.and_then(|r| r.capacity_reservation_preference.as_deref());
    let reserves = shared.reservation.is_some_and(|r| r.capacity_reservation_target.is_some());
    let maintains = shared
        .maintenance
        .is_some_and(|policy| policy.min_healthy_percentage != Some(-1) || policy.max_healthy_percentage != Some(-1));
    let role = shared.service_linked_role.unwrap_or("");
    errors::refuse_unsupported(&[
        ("LaunchConfigurationName", shared.launch_configuration_name.is_some()),
        ("MixedInstancesPolicy", shared.mixed_instances_policy),
        ("AvailabilityZoneIds", !shared.availability_zone_ids.is_empty()),
        ("AvailabilityZoneDistribution other than balanced-best-effort", other(strategy, "balanced-best-effort")),
        ("AvailabilityZoneImpairmentPolicy", shared.impairment),
        ("CapacityRebalance", shared.capacity_rebalance == Some(true)),
        ("CapacityReservationSpecification", other(preference, "default") || reserves),
        ("Context", other(shared.context, "")),
        ("DeletionProtection", other(shared.deletion_protection, "none")),
        ("DesiredCapacityType other than units", other(shared.desired_capacity_type, "units")),
        ("InstanceLifecyclePolicy", shared.lifecycle_policy),
        ("InstanceMaintenancePolicy", maintains),
        ("MaxInstanceLifetime", shared.max_instance_lifetime.is_some_and(|secs| secs != 0)),
        ("PlacementGroup", other(shared.placement_group, "")),
        ("A ServiceLinkedRoleARN of one's own", !role.is_empty() && !role.ends_with("/AWSServiceRoleForAutoScaling")),
    ])
}

/// UpdateAutoScalingGroup: what is not given stays.
pub fn update_auto_scaling_group(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateAutoScalingGroupType,
) -> Result<wire::UpdateAutoScalingGroupOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    refuse_on_update(input)?;
    let mut row = (*group).clone();
    update_launching(change, input, &mut row)?;
    update_health(input, &mut row)?;
    let current = Size { bounds: row.bounds, desired: row.desired };
    let (bounds, desired) = capacity::on_update(
        current,
        settings::size(input.min_size, "MinSize")?,
        settings::size(input.max_size, "MaxSize")?,
        settings::size(input.desired_capacity, "DesiredCapacity")?,
    )
    .map_err(errors::bounds)?;
    row.bounds = bounds;
    let name = row.name.clone();
    change.put(row);
    let updated = DesiredChange::Updated { min: bounds.min, max: bounds.max, desired };
    groups::set_desired(change.tx, &name, desired, &updated);
    Ok(wire::UpdateAutoScalingGroupOutput {})
}

/// Template and network: what new instances are launched from, and where.
fn update_launching(
    change: &Change<'_, '_>,
    input: &wire::UpdateAutoScalingGroupType,
    row: &mut Group,
) -> Result<(), ApiError> {
    let view = change.view();
    let mut placement = settings::placement_of(row);
    let subnets = input.vpc_zone_identifier.as_deref().filter(|text| !text.is_empty());
    if subnets.is_none() && !row.subnets.is_empty() {
        // Zones alone say nothing new about a group that has subnets.
        let zones: Vec<Zone> = input.availability_zones.iter().map(|zone| Zone::from(zone.as_str())).collect();
        settings::check_match(&placement, &zones)?;
    } else if let Some(given) = settings::placement(&view, subnets, &input.availability_zones)? {
        placement = given;
    }
    let mut source = row.source.clone();
    if let Some(spec) = &input.launch_template {
        source = LaunchSource::Template(settings::template(&view, spec)?);
    }
    let moved = placement != settings::placement_of(row);
    if moved || source != row.source {
        settings::check_launch(change, &source, &placement)?;
    }
    if moved {
        let arns: Vec<String> = row.target_groups.iter().map(ToString::to_string).collect();
        settings::target_groups(&view, &arns, &placement)?;
    }
    row.source = source;
    (row.subnets, row.zones) = (placement.subnets, placement.zones);
    Ok(())
}

fn update_health(input: &wire::UpdateAutoScalingGroupType, row: &mut Group) -> Result<(), ApiError> {
    if let Some(text) = &input.health_check_type {
        row.checks_elb = settings::checks_elb(text)?;
        row.health_check_type = text.clone();
    }
    if let Some(grace) = settings::seconds(input.health_check_grace_period, "HealthCheckGracePeriod")? {
        row.grace = grace;
    }
    if let Some(cooldown) = settings::seconds(input.default_cooldown, "DefaultCooldown")? {
        (row.default_cooldown, row.cooldown) = (cooldown, cooldown);
    }
    if let Some(given) = warmup(input.default_instance_warmup)? {
        row.default_warmup = given;
    }
    if !input.termination_policies.is_empty() {
        row.termination_policies = settings::termination_policies(&input.termination_policies)?;
    }
    if let Some(protect) = input.new_instances_protected_from_scale_in {
        row.protect_new = protect;
    }
    Ok(())
}

fn refuse_on_update(input: &wire::UpdateAutoScalingGroupType) -> Result<(), ApiError> {
    refuse_shared(&Shared {
        launch_configuration_name: input.launch_configuration_name.as_deref(),
        mixed_instances_policy: input.mixed_instances_policy.is_some(),
        availability_zone_ids: &input.availability_zone_ids,
        distribution: input.availability_zone_distribution.as_ref(),
        impairment: input.availability_zone_impairment_policy.is_some(),
        capacity_rebalance: input.capacity_rebalance,
        reservation: input.capacity_reservation_specification.as_ref(),
        context: input.context.as_deref(),
        deletion_protection: input.deletion_protection.as_deref(),
        desired_capacity_type: input.desired_capacity_type.as_deref(),
        lifecycle_policy: input.instance_lifecycle_policy.is_some(),
        maintenance: input.instance_maintenance_policy.as_ref(),
        max_instance_lifetime: input.max_instance_lifetime,
        placement_group: input.placement_group.as_deref(),
        service_linked_role: input.service_linked_role_arn.as_deref(),
    })
}

/// DeleteAutoScalingGroup. The row goes once the last instance is gone.
pub fn delete_auto_scaling_group(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteAutoScalingGroupType,
) -> Result<wire::DeleteAutoScalingGroupOutput, ApiError> {
    let view = change.view();
    let group = lookup::group(&view, input.auto_scaling_group_name.as_deref())?;
    let force = input.force_delete.unwrap_or(false);
    let members = lookup::members_of(&view, &group.name);
    let staying = members.iter().any(|(_, membership)| membership.lifecycle.counts_as_capacity());
    if !force && (staying || group.desired > 0) {
        return Err(errors::in_use(
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still \
             in the group.",
        ));
    }
    if !force && !members.is_empty() {
        return Err(errors::in_progress(
            "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
        ));
    }
    if !group.deleting {
        groups::set_desired(change.tx, &group.name, 0, &DesiredChange::Deleted);
        change.update(group.name.as_str(), |row: &mut Group| {
            row.bounds = Bounds { min: 0, max: 0 };
            row.deleting = true;
        });
    }
    Ok(wire::DeleteAutoScalingGroupOutput {})
}
