//! Target groups attached to a group, by their own name or as traffic sources. Attaching registers the members that
//! are in service; later ones are registered as they come into service.

use super::{errors, lookup, settings};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_domain::group::Process;
use elastane_domain::id::TargetGroupArn;
use elastane_domain::lifecycle::LifecycleState;
use elastane_engine::row::{Group, Instance, Target, TargetGroup, TargetPhase};
use elastane_engine::{View, targets};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeSet;

/// Target groups that one call may attach or detach (autoscaling.md 18).
const PER_CALL_MAX: usize = 10;

/// The type of traffic source that a target group is.
const ELBV2: &str = "elbv2";

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
    attach(change, input.auto_scaling_group_name.as_deref(), &input.target_group_arns)?;
    Ok(wire::AttachLoadBalancerTargetGroupsResultType {})
}

fn attach(change: &mut Change<'_, '_>, group: Option<&str>, arns: &[String]) -> Result<(), ApiError> {
    check_count(arns)?;
    let view = change.view();
    let group = lookup::live_group(&view, group)?;
    let found = settings::target_groups(&view, arns, &settings::placement_of(&group))?;
    let new: Vec<TargetGroupArn> = found.into_iter().filter(|arn| !group.target_groups.contains(arn)).collect();
    settings::check_target_group_count(group.target_groups.len() + new.len())?;
    let suspended = group.suspends(Process::AddToLoadBalancer);
    let members = if suspended { Vec::new() } else { members_in_service(&view, &group) };
    for arn in &new {
        let Some(port) = change.get::<TargetGroup>(arn.as_str()).map(|row| row.port) else { continue };
        for instance in &members {
            targets::register(change.tx, arn, instance, port);
        }
    }
    change.update(group.name.as_str(), |row: &mut Group| {
        row.traffic_removing.retain(|arn| !new.contains(arn));
        row.target_groups.extend(new);
    });
    Ok(())
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
    detach(change, input.auto_scaling_group_name.as_deref(), &input.target_group_arns)?;
    Ok(wire::DetachLoadBalancerTargetGroupsResultType {})
}

fn detach(change: &mut Change<'_, '_>, group: Option<&str>, arns: &[String]) -> Result<(), ApiError> {
    check_count(arns)?;
    let view = change.view();
    let group = lookup::group(&view, group)?;
    let arns: Vec<TargetGroupArn> = arns.iter().map(|arn| TargetGroupArn::from(arn.as_str())).collect();
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
        row.traffic_removing.extend(arns);
    });
    Ok(())
}

/// The target group that a traffic source is; other kinds are refused.
pub fn target_group(source: &wire::TrafficSourceIdentifier) -> Result<TargetGroupArn, ApiError> {
    let id = source.identifier.as_deref().ok_or_else(|| errors::missing("an Identifier in each traffic source"))?;
    match source.r#type.as_deref() {
        Some(ELBV2) => Ok(TargetGroupArn::from(id)),
        None if id.starts_with("arn:") && id.contains(":targetgroup/") => Ok(TargetGroupArn::from(id)),
        Some("elb") | None => Err(errors::no_classic_balancers()),
        Some("vpc-lattice") => Err(errors::unsupported("A traffic source of type vpc-lattice")),
        Some(other) => Err(errors::invalid(format!("Invalid traffic source type: {other}"))),
    }
}

fn target_groups(sources: &[wire::TrafficSourceIdentifier]) -> Result<Vec<String>, ApiError> {
    if sources.is_empty() {
        return Err(errors::missing("TrafficSources"));
    }
    sources.iter().map(|source| Ok(target_group(source)?.to_string())).collect()
}

/// AttachTrafficSources.
pub fn attach_traffic_sources(
    change: &mut Change<'_, '_>,
    input: &wire::AttachTrafficSourcesType,
) -> Result<wire::AttachTrafficSourcesResultType, ApiError> {
    let arns = target_groups(&input.traffic_sources)?;
    attach(change, input.auto_scaling_group_name.as_deref(), &arns)?;
    Ok(wire::AttachTrafficSourcesResultType {})
}

/// DetachTrafficSources: the members' targets drain.
pub fn detach_traffic_sources(
    change: &mut Change<'_, '_>,
    input: &wire::DetachTrafficSourcesType,
) -> Result<wire::DetachTrafficSourcesResultType, ApiError> {
    let arns = target_groups(&input.traffic_sources)?;
    detach(change, input.auto_scaling_group_name.as_deref(), &arns)?;
    Ok(wire::DetachTrafficSourcesResultType {})
}

/// DescribeTrafficSources.
pub fn describe_traffic_sources(
    call: &Call<'_>,
    input: &wire::DescribeTrafficSourcesRequest,
) -> Result<wire::DescribeTrafficSourcesResponse, ApiError> {
    let max = errors::page_size(input.max_records, 50, 50)?;
    let group = lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    let arns = match input.traffic_source_type.as_deref() {
        None | Some(ELBV2) => shown_groups(call, &group),
        Some("elb" | "vpc-lattice") => Vec::new(),
        Some(other) => return Err(errors::invalid(format!("Invalid traffic source type: {other}"))),
    };
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (arns, next_token) = page(arns, pager, TargetGroupArn::to_string)?;
    let traffic_sources = arns
        .into_iter()
        .map(|arn| wire::TrafficSourceState {
            identifier: Some(arn.to_string()),
            state: Some(state(call, &group, &arn).to_string()),
            traffic_source: Some(arn.to_string()),
            r#type: Some(ELBV2.to_string()),
        })
        .collect();
    Ok(wire::DescribeTrafficSourcesResponse { next_token, traffic_sources })
}

/// AttachLoadBalancers: classic load balancers do not exist here.
pub fn attach_load_balancers(
    change: &mut Change<'_, '_>,
    input: &wire::AttachLoadBalancersType,
) -> Result<wire::AttachLoadBalancersResultType, ApiError> {
    lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    Err(errors::no_classic_balancers())
}

/// DetachLoadBalancers: none is attached.
pub fn detach_load_balancers(
    change: &mut Change<'_, '_>,
    input: &wire::DetachLoadBalancersType,
) -> Result<wire::DetachLoadBalancersResultType, ApiError> {
    lookup::group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    Err(errors::invalid("Trying to remove Load Balancers that are not part of the group"))
}

/// DescribeLoadBalancers: there are none.
pub fn describe_load_balancers(
    call: &Call<'_>,
    input: &wire::DescribeLoadBalancersRequest,
) -> Result<wire::DescribeLoadBalancersResponse, ApiError> {
    lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    Ok(wire::DescribeLoadBalancersResponse::default())
}

/// The attached target groups, and those whose targets still drain.
fn shown_groups(view: &View<'_>, group: &Group) -> Vec<TargetGroupArn> {
    let removing = group.traffic_removing.iter().filter(|arn| drains(view, group, arn));
    let shown: BTreeSet<&TargetGroupArn> = group.target_groups.iter().chain(removing).collect();
    shown.into_iter().cloned().collect()
}

fn drains(view: &View<'_>, group: &Group, arn: &TargetGroupArn) -> bool {
    let members: BTreeSet<String> =
        lookup::members_of(view, &group.name).into_iter().map(|(instance, _)| instance.id.to_string()).collect();
    let mut targets = view.all::<Target>().filter(|target| target.group == *arn);
    targets.any(|target| matches!(target.phase, TargetPhase::Draining { .. }) && members.contains(&target.id))
}

/// DescribeLoadBalancerTargetGroups, with the state of each (autoscaling.md 4.2).
pub fn describe_load_balancer_target_groups(
    call: &Call<'_>,
    input: &wire::DescribeLoadBalancerTargetGroupsRequest,
) -> Result<wire::DescribeLoadBalancerTargetGroupsResponse, ApiError> {
    let max = errors::page_size(input.max_records, 100, 100)?;
    let group = lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    let arns = shown_groups(call, &group);
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
    if !group.target_groups.contains(arn) {
        return "Removing";
    }
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
