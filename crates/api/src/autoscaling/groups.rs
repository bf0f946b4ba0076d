//! Creating, updating and deleting groups.

use super::options::Options;
use super::settings::{self, Placement};
use super::{errors, hooks, launch_configurations, lookup, mixed, tags, traffic};
use crate::Change;
use elastane_domain::capacity::{self, Bounds, Size};
use elastane_domain::group::{DeletionProtection, DesiredChange};
use elastane_domain::id::{GroupName, TargetGroupArn, Zone};
use elastane_engine::row::{Group, InstanceRefresh, LaunchConfiguration, LaunchSource};
use elastane_engine::{View, groups};
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
    if !input.load_balancer_names.is_empty() {
        return Err(errors::no_classic_balancers());
    }
    errors::refuse_unsupported(&[("Operator", input.operator.is_some())])?;
    let source = new_source(change, input, &name)?;
    let id = change.rng.uuid();
    let group = new_group(change, input, (name, source), &id)?;
    let (name, desired) = (group.name.clone(), group.desired);
    change.put(group);
    for hook in &input.lifecycle_hook_specification_list {
        hooks::put_specification(change, &name, hook)?;
    }
    if desired > 0 {
        groups::set_desired(change.tx, &name, desired, &DesiredChange::Created);
    }
    Ok(wire::CreateAutoScalingGroupOutput {})
}

/// What a new group launches from: exactly one of the four ways to say it.
fn new_source(
    change: &mut Change<'_, '_>,
    input: &wire::CreateAutoScalingGroupType,
    group: &GroupName,
) -> Result<LaunchSource, ApiError> {
    let named = Source {
        template: input.launch_template.as_ref(),
        configuration: input.launch_configuration_name.as_deref(),
        mixed: input.mixed_instances_policy.as_ref(),
    };
    match (&input.instance_id, named.count()) {
        (Some(id), 0) => {
            launch_configurations::of_instance(change, id, group.as_str()).map(LaunchSource::Configuration)
        }
        (None, 1) => Ok(named.read(&change.view(), None)?.expect("one is named")),
        _ => Err(errors::one_source()),
    }
}

/// The ways to say what a group launches from.
pub(super) struct Source<'a> {
    pub(super) template: Option<&'a wire::LaunchTemplateSpecification>,
    pub(super) configuration: Option<&'a str>,
    pub(super) mixed: Option<&'a wire::MixedInstancesPolicy>,
}

impl Source<'_> {
    fn count(&self) -> usize {
        [self.template.is_some(), self.configuration.is_some(), self.mixed.is_some()]
            .into_iter()
            .filter(|named| *named)
            .count()
    }

    /// The source that is named, if one is. What a mixed instances policy does
    /// not say stays as it was `before`.
    pub(super) fn read(
        &self,
        view: &View<'_>,
        before: Option<&LaunchSource>,
    ) -> Result<Option<LaunchSource>, ApiError> {
        if self.count() > 1 {
            return Err(errors::one_source());
        }
        if let Some(spec) = self.template {
            return settings::template(view, spec).map(|found| Some(LaunchSource::Template(found)));
        }
        if let Some(name) = self.configuration {
            let found = view.get::<LaunchConfiguration>(name);
            let found = found.ok_or_else(|| errors::configuration_not_found(name))?;
            return Ok(Some(LaunchSource::Configuration(found.name.clone())));
        }
        let Some(policy) = self.mixed else { return Ok(None) };
        let before = match before {
            Some(LaunchSource::Mixed(mixed)) => Some(mixed),
            Some(LaunchSource::Template(_) | LaunchSource::Configuration(_)) | None => None,
        };
        mixed::read(view, policy, before).map(|found| Some(LaunchSource::Mixed(found)))
    }
}

fn new_group(
    change: &Change<'_, '_>,
    input: &wire::CreateAutoScalingGroupType,
    (name, source): (GroupName, LaunchSource),
    id: &str,
) -> Result<Group, ApiError> {
    let view = change.view();
    let zones = settings::zones(&view, &input.availability_zones, &input.availability_zone_ids)?;
    let placement = settings::placement(&view, input.vpc_zone_identifier.as_deref(), &zones)?
        .ok_or_else(|| errors::invalid("At least one Availability Zone or VPC Subnet is required."))?;
    settings::check_launch(change, &source, &placement)?;
    let target_groups = attached(&view, input, &placement)?;
    let min = required_size(input.min_size, "MinSize")?;
    let max = required_size(input.max_size, "MaxSize")?;
    let desired = settings::size(input.desired_capacity, "DesiredCapacity")?;
    let desired = capacity::on_create(min, max, desired).map_err(errors::bounds)?;
    let arn = view.scope.arn("autoscaling", &format!("autoScalingGroup:{id}:autoScalingGroupName/{name}"));
    let tags = tags::of_new_group(&input.tags, &name)?;
    let mut group = Group::new(name, arn, Bounds { min, max }, source, view.now);
    Options::from(input).apply(&view, &mut group)?;
    Ok(Group { desired, subnets: placement.subnets, zones: placement.zones, target_groups, tags, ..group })
}

fn required_size(value: Option<i32>, member: &str) -> Result<u32, ApiError> {
    settings::size(value, member)?.ok_or_else(|| errors::missing(member))
}

/// Target groups, named as such or as traffic sources of type `elbv2`.
fn attached(
    view: &View<'_>,
    input: &wire::CreateAutoScalingGroupType,
    placement: &Placement,
) -> Result<Vec<TargetGroupArn>, ApiError> {
    let mut arns = input.target_group_arns.clone();
    for source in &input.traffic_sources {
        arns.push(traffic::target_group(source)?.to_string());
    }
    settings::target_groups(view, &arns, placement)
}

/// UpdateAutoScalingGroup: what is not given stays.
pub fn update_auto_scaling_group(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateAutoScalingGroupType,
) -> Result<wire::UpdateAutoScalingGroupOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let mut row = (*group).clone();
    update_launching(change, input, &mut row)?;
    Options::from(input).apply(&change.view(), &mut row)?;
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
    let zones = settings::zones(&view, &input.availability_zones, &input.availability_zone_ids)?;
    let subnets = input.vpc_zone_identifier.as_deref().filter(|text| !text.is_empty());
    if subnets.is_none() && !row.subnets.is_empty() {
        // Zones alone say nothing new about a group that has subnets.
        let zones: Vec<Zone> = zones.iter().map(|zone| Zone::from(zone.as_str())).collect();
        settings::check_match(&placement, &zones)?;
    } else if let Some(given) = settings::placement(&view, subnets, &zones)? {
        placement = given;
    }
    let named = Source {
        template: input.launch_template.as_ref(),
        configuration: input.launch_configuration_name.as_deref(),
        mixed: input.mixed_instances_policy.as_ref(),
    };
    let source = named.read(&view, Some(&row.source))?.unwrap_or_else(|| row.source.clone());
    if named.count() > 0 && refreshes_to_desired(&view, &row.name) {
        return Err(errors::invalid(
            "An active instance refresh with a desired configuration exists. All configuration options derived from \
             the desired configuration are not available for update while the instance refresh is active.",
        ));
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

/// Whether a refresh is under way that will set what the group launches from
/// (autoscaling.md 11.3).
fn refreshes_to_desired(view: &View<'_>, group: &GroupName) -> bool {
    view.all::<InstanceRefresh>().any(|row| row.group == *group && row.status.is_active() && row.desired.is_some())
}

/// DeleteAutoScalingGroup. The row goes once the last instance is gone; with
/// ForceDelete the instances go without their hooks.
pub fn delete_auto_scaling_group(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteAutoScalingGroupType,
) -> Result<wire::DeleteAutoScalingGroupOutput, ApiError> {
    let view = change.view();
    let group = lookup::group(&view, input.auto_scaling_group_name.as_deref())?;
    let force = input.force_delete.unwrap_or(false);
    check_deletion(&view, &group, force)?;
    if !group.deleting {
        groups::set_desired(change.tx, &group.name, 0, &DesiredChange::Deleted);
        change.update(group.name.as_str(), |row: &mut Group| {
            row.bounds = Bounds { min: 0, max: 0 };
            row.deleting = true;
        });
    }
    Ok(wire::DeleteAutoScalingGroupOutput {})
}

/// Whether a group may be deleted now (autoscaling.md 1.6).
fn check_deletion(view: &View<'_>, group: &Group, force: bool) -> Result<(), ApiError> {
    let protected = match group.deletion_protection {
        DeletionProtection::None => false,
        DeletionProtection::PreventForceDeletion => force,
        DeletionProtection::PreventAllDeletion => true,
    };
    if protected {
        let how = group.deletion_protection.name();
        return Err(errors::invalid(format!(
            "AutoScalingGroup '{}' cannot be deleted because its DeletionProtection is {how}.",
            group.name
        )));
    }
    if force {
        return Ok(());
    }
    let members = lookup::members_of(view, &group.name);
    let staying = members.iter().any(|(_, membership)| !membership.lifecycle.is_terminating());
    if staying || group.desired > 0 {
        return Err(errors::in_use(
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still \
             in the group.",
        ));
    }
    if group.warm_pool.is_some() {
        return Err(errors::in_use("You cannot delete an AutoScalingGroup while it has a warm pool."));
    }
    if !members.is_empty() {
        return Err(errors::in_progress(
            "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
        ));
    }
    Ok(())
}
