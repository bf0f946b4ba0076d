//! Target groups attached to a group. Attaching registers the members that
//! are in service; later ones are registered as they come into service.

use super::{errors, lookup, settings};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_domain::id::TargetGroupArn;
use elastane_domain::lifecycle::LifecycleState;
use elastane_engine::row::{Group, Instance, Target, TargetGroup, TargetPhase};
use elastane_engine::{View, targets};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeSet;

/// Target groups that one call may attach or detach (autoscaling.md 18).
const PER_CALL_MAX: usize = 10;

fn check_count(arns: &[String]) -> Result<(), ApiError> {
    if arns.is_empty() {
        return Err(errors::missing("TargetGroupARNs"));
    }
    if arns.len() > PER_CALL_MAX {
        let text = format!("Trying to update too many Target Groups: at most {PER_CALL_MAX} may be given");
        return Err(errors::invalid(text));
    }
    Ok(())
}

/// AttachLoadBalancerTargetGroups; one that is attached already stays so.
pub fn attach_load_balancer_target_groups(
    change: &mut Change<'_, '_>,
    input: &wire::AttachLoadBalancerTargetGroupsType,
) -> Result<wire::AttachLoadBalancerTargetGroupsResultType, ApiError> {
    check_count(&input.target_group_arns)?;
    let view = change.view();
    let group = lookup::live_group(&view, input.auto_scaling_group_name.as_deref())?;
    let found = settings::target_groups(&view, &input.target_group_arns, &settings::placement_of(&group))?;
    let new: Vec<TargetGroupArn> = found.into_iter().filter(|arn| !group.target_groups.contains(arn)).collect();
    settings::check_target_group_count(group.target_groups.len() + new.len())?;
    let members = members_in_service(&view, &group);
    for arn in &new {
        let Some(port) = change.get::<TargetGroup>(arn.as_str()).map(|row| row.port) else { continue };
        for instance in &members {
            targets::register(change.tx, arn, instance, port);
        }
    }
    change.update(group.name.as_str(), |row: &mut Group| row.target_groups.extend(new));
    Ok(wire::AttachLoadBalancerTargetGroupsResultType {})
}

fn members_in_service(view: &View<'_>, group: &Group) -> Vec<String> {
    lookup::members_of(view, &group.name)
        .into_iter()
        .filter(|(_, place)| place.lifecycle == LifecycleState::InService)
        .map(|(instance, _)| instance.id.to_string())
        .collect()
}

/// DetachLoadBalancerTargetGroups: the members' targets drain.
pub fn detach_load_balancer_target_groups(
    change: &mut Change<'_, '_>,
    input: &wire::DetachLoadBalancerTargetGroupsType,
) -> Result<wire::DetachLoadBalancerTargetGroupsResultType, ApiError> {
    check_count(&input.target_group_arns)?;
    let view = change.view();
    let group = lookup::group(&view, input.auto_scaling_group_name.as_deref())?;
    let arns: Vec<TargetGroupArn> =
        input.target_group_arns.iter().map(|arn| TargetGroupArn::from(arn.as_str())).collect();
    if arns.iter().any(|arn| !group.target_groups.contains(arn)) {
        return Err(errors::invalid("Trying to remove Target Groups that are not part of the group"));
    }
    let members: Vec<Instance> =
        lookup::members_of(&view, &group.name).into_iter().map(|(instance, _)| instance.clone()).collect();
    for instance in &members {
        for target in targets::of_instance(change.tx, &arns, &instance.id) {
            targets::deregister(change.tx, &target.group, &target.id, target.port);
        }
    }
    change.update(group.name.as_str(), |row: &mut Group| {
        row.target_groups.retain(|arn| !arns.contains(arn));
        row.traffic_in_service.retain(|arn| !arns.contains(arn));
    });
    Ok(wire::DetachLoadBalancerTargetGroupsResultType {})
}

/// DescribeLoadBalancerTargetGroups, with the state of each (autoscaling.md 4.2).
pub fn describe_load_balancer_target_groups(
    call: &Call<'_>,
    input: &wire::DescribeLoadBalancerTargetGroupsRequest,
) -> Result<wire::DescribeLoadBalancerTargetGroupsResponse, ApiError> {
    let max = errors::page_size(input.max_records, 100, 100)?;
    let group = lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    let mut arns = group.target_groups.clone();
    arns.sort();
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (arns, next_token) = page(arns, pager, TargetGroupArn::to_string)?;
    let load_balancer_target_groups = arns
        .into_iter()
        .map(|arn| wire::LoadBalancerTargetGroupState {
            state: Some(state(call, &group, &arn).to_string()),
            load_balancer_target_group_arn: Some(arn.to_string()),
        })
        .collect();
    Ok(wire::DescribeLoadBalancerTargetGroupsResponse { load_balancer_target_groups, next_token })
}

fn state(view: &View<'_>, group: &Group, arn: &TargetGroupArn) -> &'static str {
    if group.traffic_in_service.contains(arn) {
        return "InService";
    }
    let registered: BTreeSet<&str> = view
        .all::<Target>()
        .filter(|target| target.group == *arn && target.phase == TargetPhase::Registered)
        .map(|target| target.id.as_str())
        .collect();
    if members_in_service(view, group).iter().all(|id| registered.contains(id.as_str())) { "Added" } else { "Adding" }
}
