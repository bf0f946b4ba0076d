//! A group as its plan sees it, and the marks that its members get.

use super::Members;
use crate::engine::Plant;
use crate::reconcile::{outages, targets};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{GroupView, Member, UnhealthyCause};
use elastane_domain::id::*;
use elastane_domain::routing::TargetHealth;

/// A target group counts for health once one of the group's instances has
/// passed a check in it (autoscaling.md 4.2).
pub(super) fn note_traffic(tx: &mut Tx<'_>, name: &GroupName, members: &Members) {
    let Some(group) = tx.get::<Group>(name.as_str()) else { return };
    for arn in group.target_groups.iter().filter(|arn| !group.traffic_in_service.contains(*arn)) {
        let healthy = members.iter().any(|member| health(tx, arn, member) == Some(TargetHealth::Healthy));
        if healthy {
            tx.update(name.as_str(), |row: &mut Group| {
                row.traffic_in_service.insert(arn.clone());
            });
        }
    }
}

fn health(tx: &Tx<'_>, group: &TargetGroupArn, instance: &Instance) -> Option<TargetHealth> {
    let targets = targets::of_instance(tx, std::slice::from_ref(group), &instance.id);
    let target = targets.iter().find(|target| target.phase == TargetPhase::Registered)?;
    tx.state.seen.health.get(&targets::key(tx, target)?).copied()
}

/// The group as the plan sees it.
pub(super) fn view(tx: &Tx<'_>, group: &Group, members: &Members) -> GroupView {
    let mut bounds = group.bounds;
    let mut desired = group.desired;
    if tx.config.plant == Some(Plant::CapacityAboveMax) {
        bounds.max = bounds.max.saturating_add(2);
        desired = desired.saturating_add(if desired == group.bounds.max { 1 } else { 0 });
    }
    GroupView {
        name: group.name.clone(),
        desired,
        bounds,
        zones: group.zones.clone(),
        without_capacity: group.zones.iter().filter(|zone| outages::cut(&tx.view(), zone)).cloned().collect(),
        members: members
            .iter()
            .filter(|member| !hidden_by_plant(tx, member))
            .filter_map(|member| view_member(tx, group, member))
            .collect(),
        health_grace: group.grace,
        checks_elb: group.checks_elb,
        termination_policies: group.termination_policies.clone(),
        default_instance_warmup: group.default_warmup,
        current_launch_template: group.source.template().map(|template| template.id.clone()),
        launch_backoff_until: group.launch_after,
        deleting: group.deleting,
    }
}

fn hidden_by_plant(tx: &Tx<'_>, member: &Instance) -> bool {
    tx.config.plant == Some(Plant::PendingNotCounted) && member.phase == Phase::Pending
}

fn view_member(tx: &Tx<'_>, group: &Group, instance: &Instance) -> Option<Member> {
    let membership = instance.membership.as_ref()?;
    let reported: Vec<TargetHealth> =
        group.traffic_in_service.iter().filter_map(|arn| health(tx, arn, instance)).collect();
    let elb = reported.iter().any(|health| matches!(health, TargetHealth::Unhealthy(_)));
    Some(Member {
        instance: instance.id.clone(),
        zone: instance.zone.clone(),
        lifecycle: membership.lifecycle,
        in_service_since: membership.in_service_since,
        launched_at: instance.launched_at,
        protected: membership.protected,
        marked_unhealthy: membership.unhealthy,
        ec2: instance.phase.state(),
        status_impaired: outages::intolerable(&tx.view(), instance),
        elb: (!reported.is_empty()).then_some(!elb),
        launch_template_version: instance.launch_template.clone(),
    })
}

pub(super) fn mark(tx: &mut Tx<'_>, instance: &InstanceId, cause: UnhealthyCause) {
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.unhealthy = Some(cause);
        }
    });
}
