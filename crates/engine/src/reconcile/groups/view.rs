//! A group as its plan sees it, and the marks that its members get.

use super::{Members, Traffic, refresh};
use crate::engine::Plant;
use crate::launch::mixed::{self, Fits};
use crate::reconcile::outages;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{Action, GroupView, Member, UnhealthyCause, Why};
use elastane_domain::id::*;
use elastane_domain::lifecycle::{InstanceState, LifecycleState};
use elastane_domain::routing::TargetHealth;
use elastane_domain::time::Time;
use elastane_domain::warm_pool;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A target group counts for health once one of the group's instances has
/// passed a check in it (autoscaling.md 4.2).
pub(super) fn note_traffic(tx: &mut Tx<'_>, name: &GroupName, members: &Members, traffic: &Traffic) {
    let Some(group) = tx.get::<Group>(name.as_str()) else { return };
    for arn in group.target_groups.iter().filter(|arn| !group.traffic_in_service.contains(*arn)) {
        let health = |member: &Arc<Instance>| traffic.health(arn, member.id.as_str());
        let healthy = members.iter().any(|member| health(member) == Some(TargetHealth::Healthy));
        if healthy {
            tx.update(name.as_str(), |row: &mut Group| {
                row.traffic_in_service.insert(arn.clone());
            });
        }
    }
}

/// Forgets detached target groups in which nothing drains any more.
pub(super) fn forget_detached(tx: &mut Tx<'_>, group: &Group, traffic: &Traffic) {
    if group.traffic_removing.iter().any(|arn| !traffic.drains(arn)) {
        tx.update(group.name.as_str(), |row: &mut Group| row.traffic_removing.retain(|arn| traffic.drains(arn)));
    }
}

/// The group as the plan sees it.
pub(super) fn view(tx: &Tx<'_>, group: &Group, members: &Members, traffic: &Traffic) -> GroupView {
    let mut bounds = group.bounds;
    let mut desired = group.desired;
    if tx.config.plant == Some(Plant::CapacityAboveMax) {
        bounds.max = bounds.max.saturating_add(2);
        desired = desired.saturating_add(if desired == group.bounds.max { 1 } else { 0 });
    }
    let fits = Fits::new(tx, group, members);
    let (lightest, heaviest) = weights(group, members);
    GroupView {
        name: group.name.clone(),
        desired,
        bounds,
        zones: group.zones.clone(),
        without_capacity: group.zones.iter().filter(|zone| outages::cut(&tx.view(), zone)).cloned().collect(),
        members: members
            .iter()
            .filter(|member| !hidden_by_plant(tx, member))
            .filter_map(|member| view_member(tx, (group, &fits, traffic), member))
            .collect(),
        health_grace: group.grace,
        checks_elb: group.checks_elb,
        termination_policies: group.termination_policies.clone(),
        default_instance_warmup: group.default_warmup,
        current_launch_template: group.source.template().map(|template| template.id.clone()),
        current_launch_configuration: match &group.source {
            LaunchSource::Configuration(name) => Some(name.clone()),
            LaunchSource::Template(_) | LaunchSource::Mixed(_) => None,
        },
        distribution: match &group.source {
            LaunchSource::Mixed(mixed) => Some(mixed.distribution.clone()),
            LaunchSource::Template(_) | LaunchSource::Configuration(_) => None,
        },
        lightest,
        heaviest,
        suspended: if tx.config.plant == Some(Plant::SuspensionIgnored) {
            BTreeSet::new()
        } else {
            group.suspended.keys().copied().collect()
        },
        maintenance: group.maintenance,
        max_lifetime: group.max_lifetime,
        refresh: refresh::refresh_view(tx, group, members),
        launch_backoff_until: group.launch_after,
        deleting: group.deleting,
    }
}

/// Whether an instance has passed its first checks in every target group that
/// counts for its health.
pub(super) fn checked(group: &Group, instance: &Instance, traffic: &Traffic) -> bool {
    let id = instance.id.as_str();
    let mut reported = group.traffic_in_service.iter().filter_map(|arn| traffic.health(arn, id));
    reported.all(|health| !matches!(health, TargetHealth::Initial))
}

/// The smallest weight that the group may launch, and the largest of what it
/// has or may launch.
fn weights(group: &Group, members: &Members) -> (u32, u32) {
    let (lightest, heaviest) = match &group.source {
        LaunchSource::Mixed(policy) => mixed::weights(policy, group.capacity_type),
        LaunchSource::Template(_) | LaunchSource::Configuration(_) => (1, 1),
    };
    let there = members.iter().filter_map(|member| member.membership.as_ref()).map(|membership| membership.weight);
    (lightest, there.max().unwrap_or(1).max(heaviest))
}

/// The actions of a plan, as [`Plant::RebalanceTerminatesFirst`] has them:
/// one goes, and what is lacking then is launched.
pub(super) fn planted(tx: &Tx<'_>, view: &GroupView, actions: Vec<Action>) -> Vec<Action> {
    let balances = actions.iter().any(|action| matches!(action, Action::Launch { why: Why::Rebalance, .. }));
    if !balances || tx.config.plant != Some(Plant::RebalanceTerminatesFirst) {
        return actions;
    }
    let in_zone = |zone: &Zone| view.counted().filter(|member| member.zone == *zone).count();
    let fullest = view.counted().filter(|member| !member.protected).max_by_key(|member| in_zone(&member.zone));
    let goes = fullest.map(|member| Action::Terminate { instance: member.instance.clone(), why: Why::RebalanceOut });
    goes.into_iter().collect()
}

fn hidden_by_plant(tx: &Tx<'_>, member: &Instance) -> bool {
    tx.config.plant == Some(Plant::PendingNotCounted) && member.phase == Phase::Pending
}

fn view_member(tx: &Tx<'_>, (group, fits, traffic): (&Group, &Fits, &Traffic), instance: &Instance) -> Option<Member> {
    let membership = instance.membership.as_ref()?;
    let health = |arn| traffic.health(arn, instance.id.as_str());
    let reported: Vec<TargetHealth> = group.traffic_in_service.iter().filter_map(health).collect();
    let made = |name: &String| tx.get::<LaunchConfiguration>(name).map_or(Time(0), |row| row.created_at);
    let elb = reported.iter().any(|health| matches!(health, TargetHealth::Unhealthy(_)));
    let plant = tx.config.plant;
    let pool_counts = plant == Some(Plant::WarmPoolCounted) && warm_pool::rests(membership.lifecycle);
    let in_grace = membership.in_service_since.is_some_and(|since| tx.now < since + group.grace);
    let spared = plant == Some(Plant::GraceForTheDead) && in_grace;
    Some(Member {
        instance: instance.id.clone(),
        zone: instance.zone.clone(),
        lifecycle: if pool_counts { LifecycleState::InService } else { membership.lifecycle },
        in_service_since: membership.in_service_since,
        launched_at: instance.launched_at,
        protected: membership.protected && plant != Some(Plant::ProtectionIgnored),
        marked_unhealthy: membership.unhealthy,
        ec2: if spared || pool_counts { InstanceState::Running } else { instance.phase.state() },
        status_impaired: outages::intolerable(&tx.view(), instance),
        elb: (!reported.is_empty()).then_some(!elb),
        checked: !group.checks_elb || reported.iter().all(|health| !matches!(health, TargetHealth::Initial)),
        launch_template_version: instance.launch_template.clone(),
        launch_configuration: membership.launch_configuration.as_ref().map(|name| (name.clone(), made(name))),
        weight: if plant == Some(Plant::WeightsIgnored) { 1 } else { membership.weight.max(1) },
        market: mixed::market(instance),
        misfit: fits.misfit(&instance.id),
        at_risk: mixed::at_risk(group, instance),
    })
}

pub(super) fn mark(tx: &mut Tx<'_>, instance: &InstanceId, cause: UnhealthyCause) {
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.unhealthy = Some(cause);
        }
    });
}
