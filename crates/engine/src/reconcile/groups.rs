//! Auto Scaling groups: members step through their life cycle, then the plan
//! of `domain::group` is carried out: launches and terminations become rows
//! with their activities.

use super::activity::{self, Begin};
use super::{instances, outages, policy, targets, wake_at};
use crate::engine::Plant;
use crate::launch::{self, Refusal};
use crate::network;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{Action, Blocked, DesiredChange, GroupView, Member, UnhealthyCause, Why, examine, plan};
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::routing::TargetHealth;
use elastane_domain::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// After a failed launch a group waits so long, doubled with each failure in
/// a row, before it tries again. AWS does not publish its own schedule.
const LAUNCH_BACKOFF: Span = Span::from_secs(30);

/// It never waits longer than this.
const LAUNCH_BACKOFF_MAX: Span = Span::from_mins(15);

/// Health is looked at this often (autoscaling.md 4.4: the interval is not documented).
const HEALTH_INTERVAL: Span = Span::from_secs(30);

/// A group remembers at most so many sentences on changes of its desired capacity.
const CHANGES_MAX: usize = 8;

/// EC2's code when a zone has no capacity.
const INSUFFICIENT_CAPACITY: &str = "InsufficientInstanceCapacity";

/// Instances of one group.
pub(super) type Members = Vec<Arc<Instance>>;

/// Targets that drain, by the instance behind them.
type Draining = BTreeMap<String, Vec<Arc<Target>>>;

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let groups: Vec<Arc<Group>> = tx.all::<Group>().cloned().collect();
    let mut index = members_by_group(tx);
    let draining = draining(tx);
    for group in groups {
        let members = index.remove(&group.name).unwrap_or_default();
        reconcile_group(tx, &group.name, members, &draining, wake);
    }
}

/// In all target groups, also in those that are no longer attached: whoever
/// detaches one does not mean to cut requests in flight.
fn draining(tx: &Tx<'_>) -> Draining {
    let mut index = Draining::new();
    for target in tx.all::<Target>().filter(|target| matches!(target.phase, TargetPhase::Draining { .. })) {
        index.entry(target.id.clone()).or_default().push(target.clone());
    }
    index
}

pub(super) fn members_by_group(tx: &Tx<'_>) -> BTreeMap<GroupName, Members> {
    let mut index: BTreeMap<GroupName, Members> = BTreeMap::new();
    for instance in tx.all::<Instance>() {
        if let Some(membership) = &instance.membership {
            index.entry(membership.group.clone()).or_default().push(instance.clone());
        }
    }
    index
}

fn reconcile_group(tx: &mut Tx<'_>, name: &GroupName, members: Members, draining: &Draining, wake: &mut Time) {
    for member in &members {
        advance(tx, member, draining, wake);
    }
    let members: Members = members.iter().filter_map(|member| tx.get::<Instance>(member.id.as_str())).collect();
    let members: Members = members.into_iter().filter(|member| member.membership.is_some()).collect();
    note_traffic(tx, name, &members);
    let Some(group) = tx.get::<Group>(name.as_str()) else { return };
    if group.deleting && members.is_empty() {
        return delete(tx, &group);
    }
    let mut view = view(tx, &group, &members);
    for (instance, cause) in examine(&view, tx.now) {
        mark(tx, &instance, cause);
        for member in view.members.iter_mut().filter(|member| member.instance == instance) {
            member.marked_unhealthy = Some(cause);
        }
    }
    if let Some(at) = view.wake(tx.now) {
        wake_at(wake, at);
    }
    if !members.is_empty() {
        wake_at(wake, tx.now + HEALTH_INTERVAL);
    }
    let draw = tx.rng.draw();
    let plan = plan(&view, tx.now, draw);
    tell_protected(tx, &group, &view, plan.blocked);
    carry_out(tx, &group, &view, plan.actions);
    policy::follow_capacity(tx, name);
}

/// Once for each change of the desired capacity an activity says that it
/// cannot be reached because of protection.
fn tell_protected(tx: &mut Tx<'_>, group: &Group, view: &GroupView, blocked: Option<Blocked>) {
    let protected = blocked == Some(Blocked::AllProtected);
    let told = if protected { Some(group.desired) } else { group.protected_told.filter(|told| *told == group.desired) };
    if told == group.protected_told {
        return;
    }
    if protected {
        let from = view.counted().count() as u32;
        let why = Why::AboveDesired { from, to: group.desired };
        let cause = why.cause(tx.now, None, led_by(group).as_deref());
        activity::protected(tx, group, cause);
    }
    tx.update(group.name.as_str(), |row: &mut Group| row.protected_told = told);
}

/// Moves one member a step on, by its instance's phase.
fn advance(tx: &mut Tx<'_>, instance: &Instance, draining: &Draining, wake: &mut Time) {
    let Some(membership) = &instance.membership else { return };
    match membership.lifecycle {
        LifecycleState::Pending => match instance.phase {
            Phase::Running => enter_service(tx, instance, membership),
            Phase::Pending => {}
            Phase::Stopping | Phase::Stopped | Phase::ShuttingDown | Phase::Terminated { .. } => {
                launch_failed(tx, instance, membership);
            }
        },
        LifecycleState::InService => {}
        LifecycleState::Terminating => terminate_on(tx, instance, membership, draining, wake),
        LifecycleState::Terminated => leave(tx, instance, membership),
    }
}

/// A booted member is registered with the target groups first, then in service.
fn enter_service(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    let Some(group) = tx.get::<Group>(membership.group.as_str()) else { return };
    for arn in &group.target_groups {
        if let Some(port) = tx.get::<TargetGroup>(arn.as_str()).map(|row| row.port) {
            targets::register(tx, arn, instance.id.as_str(), port);
        }
    }
    let now = tx.now;
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.lifecycle = LifecycleState::InService;
            membership.in_service_since = Some(now);
            membership.activity = None;
        }
    });
    end_activity(tx, membership, ActivityStatus::Successful, None);
    tx.update(group.name.as_str(), |row: &mut Group| {
        row.launch_failures = 0;
        row.launch_after = None;
    });
}

/// An instance that never came up: its activity fails; examining the group
/// marks it unhealthy and replaces it.
fn launch_failed(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    if membership.activity.is_none() {
        return;
    }
    let reason = instance.state_reason.as_ref().map_or("Instance failed to launch", |reason| &reason.message);
    end_activity(tx, membership, ActivityStatus::Failed, Some(format!("{reason}. Launching EC2 instance failed.")));
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.activity = None;
        }
    });
    back_off(tx, &membership.group);
}

fn back_off(tx: &mut Tx<'_>, group: &GroupName) {
    let now = tx.now;
    tx.update(group.as_str(), |row: &mut Group| {
        let doublings = row.launch_failures.min(10);
        let wait = (LAUNCH_BACKOFF * (1 << doublings)).min(LAUNCH_BACKOFF_MAX);
        row.launch_failures = row.launch_failures.saturating_add(1);
        row.launch_after = Some(now + wait);
    });
}

/// Ends the activity that moves a member; cooldowns count from here.
fn end_activity(tx: &mut Tx<'_>, membership: &Membership, status: ActivityStatus, message: Option<String>) {
    if let Some(id) = &membership.activity {
        activity::end(tx, id, status, message);
    }
    let now = tx.now;
    tx.update(membership.group.as_str(), |row: &mut Group| row.last_activity_end = Some(now));
}

/// A member on its way out waits for its requests in flight, then ends.
fn terminate_on(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, draining: &Draining, wake: &mut Time) {
    if let Phase::Terminated { .. } = instance.phase {
        tx.update(instance.id.as_str(), |row: &mut Instance| {
            if let Some(membership) = &mut row.membership {
                membership.lifecycle = LifecycleState::Terminated;
            }
        });
        return;
    }
    if instance.phase == Phase::ShuttingDown {
        return;
    }
    if let Some(until) = draining_until(tx, instance, draining) {
        return wake_at(wake, until);
    }
    if let Some(id) = &membership.activity {
        activity::drained(tx, id, &instance.id);
    }
    const CODE: &str = "Client.UserInitiatedShutdown";
    instances::end(tx, instance, CODE, &format!("{CODE}: User initiated shutdown"));
}

/// Until when requests in flight may keep a member alive; `None` when there
/// are none: drained, or its process no longer runs.
fn draining_until(tx: &Tx<'_>, instance: &Instance, draining: &Draining) -> Option<Time> {
    if instance.phase != Phase::Running {
        return None;
    }
    draining
        .get(instance.id.as_str())?
        .iter()
        .filter_map(|target| match target.phase {
            TargetPhase::Draining { until } if until > tx.now => {
                let drained = targets::key(tx, target).is_some_and(|key| tx.state.seen.drained.contains(&key));
                (!drained).then_some(until)
            }
            TargetPhase::Draining { .. } | TargetPhase::Registered => None,
        })
        .max()
}

fn leave(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    end_activity(tx, membership, ActivityStatus::Successful, None);
    tx.update(instance.id.as_str(), |row: &mut Instance| row.membership = None);
}

/// A target group counts for health once one of the group's instances has
/// passed a check in it (autoscaling.md 4.2).
fn note_traffic(tx: &mut Tx<'_>, name: &GroupName, members: &Members) {
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
fn view(tx: &Tx<'_>, group: &Group, members: &Members) -> GroupView {
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
        current_launch_template: Some(group.template.clone()),
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

fn mark(tx: &mut Tx<'_>, instance: &InstanceId, cause: UnhealthyCause) {
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.unhealthy = Some(cause);
        }
    });
}

/// What changed the desired capacity since the last activity that followed it.
fn led_by(group: &Group) -> Option<String> {
    (!group.changes.is_empty()).then(|| group.changes.join("  "))
}

fn follows_desired(why: &Why) -> bool {
    matches!(why, Why::BelowDesired { .. } | Why::AboveDesired { .. } | Why::GroupDeleted { .. })
}

fn carry_out(tx: &mut Tx<'_>, group: &Group, view: &GroupView, actions: Vec<Action>) {
    let all = led_by(group);
    let led_by = |why: &Why| all.as_deref().filter(|_| follows_desired(why));
    let mut followed = view.desired as usize == view.counted().count();
    // Launches of a zone are one call, as one call scans addresses once.
    let mut launches: Vec<(Zone, Why, u32)> = Vec::new();
    for action in actions {
        match action {
            Action::Terminate { instance, why } => {
                followed |= follows_desired(&why);
                begin_termination(tx, &instance, &why, led_by(&why));
            }
            Action::Launch { zone, why } => {
                followed |= follows_desired(&why);
                match launches.iter_mut().find(|(same, reason, _)| *same == zone && *reason == why) {
                    Some((_, _, count)) => *count += 1,
                    None => launches.push((zone, why, 1)),
                }
            }
        }
    }
    let mut places = Places::new(view, &launches);
    let mut launches = VecDeque::from(launches);
    while let Some((zone, why, count)) = launches.pop_front() {
        let tried = places.exhausted.contains(&zone);
        let outcome =
            if tried { Launched::NoCapacity } else { launch_members(tx, group, (&zone, count), &why, led_by(&why)) };
        match outcome {
            Launched::Yes => {}
            Launched::Refused => break,
            // Balance is no reason to go elsewhere.
            Launched::NoCapacity if why == Why::Rebalance => back_off(tx, &group.name),
            Launched::NoCapacity => {
                let elsewhere = places.elsewhere(zone, count);
                if elsewhere.is_empty() {
                    back_off(tx, &group.name);
                    break;
                }
                launches.extend(elsewhere.into_iter().map(|(zone, count)| (zone, why.clone(), count)));
            }
        }
    }
    if followed {
        tx.update(group.name.as_str(), |row: &mut Group| row.changes.clear());
    }
}

/// Where else launches can go when a zone has no capacity (autoscaling.md 1.4).
struct Places {
    /// Instances of the group, those to be launched included, by zone.
    counts: BTreeMap<Zone, u32>,
    /// Zones that have refused.
    exhausted: BTreeSet<Zone>,
}

impl Places {
    fn new(view: &GroupView, launches: &[(Zone, Why, u32)]) -> Places {
        let mut counts: BTreeMap<Zone, u32> = view.zones.iter().map(|zone| (zone.clone(), 0)).collect();
        let there = view.counted().map(|member| (&member.zone, 1));
        for (zone, more) in there.chain(launches.iter().map(|(zone, _, count)| (zone, *count))) {
            if let Some(count) = counts.get_mut(zone) {
                *count += more;
            }
        }
        Places { counts, exhausted: BTreeSet::new() }
    }

    /// So many launches that a zone refused, over the zones that did not, the
    /// emptiest first; nothing when all did.
    fn elsewhere(&mut self, zone: Zone, count: u32) -> BTreeMap<Zone, u32> {
        self.exhausted.insert(zone);
        let mut found = BTreeMap::new();
        for _ in 0..count {
            let left = self.counts.iter_mut().filter(|(zone, _)| !self.exhausted.contains(*zone));
            let Some((zone, there)) = left.min_by_key(|(_, there)| **there) else { break };
            *there += 1;
            *found.entry(zone.clone()).or_default() += 1;
        }
        found
    }
}

/// How a launch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Launched {
    /// Well.
    Yes,
    /// The zone has no capacity: another may have some.
    NoCapacity,
    /// Otherwise; the group backs off.
    Refused,
}

/// Launches members in one zone: all, or as many as its subnet has addresses
/// for. A refusal becomes a failed activity.
fn launch_members(
    tx: &mut Tx<'_>,
    group: &Group,
    (zone, count): (&Zone, u32),
    why: &Why,
    led_by: Option<&str>,
) -> Launched {
    let result = launch_request(tx, group, zone, count).and_then(|request| launch::launch(tx, &request));
    match result {
        Ok(ids) => {
            for id in ids {
                let Some(instance) = tx.get::<Instance>(id.as_str()) else { continue };
                let cause = why.cause(tx.now, Some(&id), led_by);
                let activity = activity::launching(tx, Begin { group: &group.name, instance: &instance, cause });
                set_activity(tx, &id, activity);
            }
            Launched::Yes
        }
        Err(refusal) => {
            let cause = why.cause(tx.now, None, led_by);
            activity::refused(tx, &group.name, cause, zone.as_str(), &refusal.message);
            if refusal.code == INSUFFICIENT_CAPACITY {
                return Launched::NoCapacity;
            }
            back_off(tx, &group.name);
            Launched::Refused
        }
    }
}

fn set_activity(tx: &mut Tx<'_>, instance: &InstanceId, activity: String) {
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.activity = Some(activity);
        }
    });
}

/// What a group asks of EC2 for instances in a zone. The template's
/// version is resolved now, at the launch.
fn launch_request(tx: &mut Tx<'_>, group: &Group, zone: &Zone, count: u32) -> Result<launch::Request, Refusal> {
    let template = tx.get::<LaunchTemplate>(group.template.as_str()).ok_or_else(|| {
        let message = format!("The specified launch template, with template ID {}, does not exist.", group.template);
        Refusal::new("InvalidLaunchTemplateId.NotFound", message)
    })?;
    let version = template.version(&group.template_version).ok_or_else(|| {
        let message = format!("Could not find launch template version {}", group.template_version);
        Refusal::new("InvalidLaunchTemplateId.VersionNotFound", message)
    })?;
    let mut data = version.data.clone();
    data.subnet = Some(choose_subnet(tx, group, zone)?);
    data.placement.zone = None;
    let tags = data.tags.entry("instance".to_string()).or_default();
    for (key, (value, propagate)) in &group.tags {
        if *propagate {
            tags.insert(key.clone(), value.clone());
        }
    }
    Ok(launch::Request {
        data,
        template: Some((template.id.clone(), version.number)),
        count_min: 1,
        count_max: count,
        client_token: None,
        request_digest: None,
        group: Some((group.name.clone(), group.protect_new)),
    })
}

/// One of the group's subnets in the zone, at random when there are several.
fn choose_subnet(tx: &mut Tx<'_>, group: &Group, zone: &Zone) -> Result<SubnetId, Refusal> {
    let view = tx.view();
    let mut fitting: Vec<SubnetId> = group
        .subnets
        .iter()
        .filter(|id| view.get::<Subnet>(id.as_str()).is_some_and(|subnet| subnet.zone == *zone))
        .cloned()
        .collect();
    if fitting.is_empty() && group.subnets.is_empty() {
        fitting.extend(network::default_subnet(&view, zone).map(|subnet| subnet.id.clone()));
    }
    let index = tx.rng.below(fitting.len() as u64) as usize;
    let missing = || Refusal::new("InvalidSubnetID.NotFound", format!("The group has no subnet in zone '{zone}'"));
    fitting.into_iter().nth(index).ok_or_else(missing)
}

/// Takes a member out: from the load balancer first, then from EC2.
pub fn begin_termination(tx: &mut Tx<'_>, instance: &InstanceId, why: &Why, led_by: Option<&str>) -> Option<String> {
    let row = tx.get::<Instance>(instance.as_str())?;
    let membership = row.membership.clone()?;
    if !membership.lifecycle.counts_as_capacity() {
        return membership.activity;
    }
    if let Some(open) = &membership.activity {
        activity::end(tx, open, ActivityStatus::Cancelled, Some("The instance is being terminated".to_string()));
    }
    let groups = tx.get::<Group>(membership.group.as_str()).map_or_else(Vec::new, |group| group.target_groups.clone());
    let registered = targets::of_instance(tx, &groups, instance);
    for target in &registered {
        targets::deregister(tx, &target.group, &target.id, target.port);
    }
    let draining = !registered.is_empty() && row.phase == Phase::Running;
    let cause = why.cause(tx.now, Some(instance), led_by);
    let begin = Begin { group: &membership.group, instance: &row, cause };
    let activity = activity::terminating(tx, begin, draining);
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.lifecycle = LifecycleState::Terminating;
            membership.activity = Some(activity.clone());
        }
    });
    Some(activity)
}

/// Sets a group's desired capacity and remembers why; the next activities say so.
pub fn set_desired(tx: &mut Tx<'_>, group: &GroupName, desired: u32, change: &DesiredChange) {
    let now = tx.now;
    tx.update(group.as_str(), |row: &mut Group| {
        if row.desired == desired && *change != DesiredChange::Created {
            return;
        }
        let from = if *change == DesiredChange::Created { 0 } else { row.desired };
        row.changes.push(change.sentence(now, from, desired));
        if row.changes.len() > CHANGES_MAX {
            row.changes.remove(0);
        }
        row.desired = desired;
    });
}

fn delete(tx: &mut Tx<'_>, group: &Group) {
    let prefix = Policy::key(&group.name, "");
    let policies: Vec<String> = tx
        .policies
        .range(prefix.clone()..)
        .map(|(id, _)| id.clone())
        .take_while(|id| id.starts_with(&prefix))
        .collect();
    for id in policies {
        policy::delete(tx, &id);
    }
    tx.delete::<Group>(group.name.as_str());
}
