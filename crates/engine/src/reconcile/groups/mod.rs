//! Auto Scaling groups: members step through their life cycle, then the plan
//! of `domain::group` is carried out: launches and terminations become rows
//! with their activities.

pub mod hooks;
mod launching;
mod members;
mod on_request;
pub mod refresh;
mod standby;
mod traffic;
mod view;
mod warm_pool;

pub use launching::launch_data;
pub use members::begin_termination;
pub use on_request::{LaunchNow, launch_now};
pub use standby::{attach, detach, enter_standby, exit_standby};

use super::{activity, policy, wake_at};
use crate::row::*;
use crate::state::Tx;
use crate::table::Table;
use elastane_domain::group::{Blocked, DesiredChange, GroupView, Why, examine, plan};
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::{Span, Time};
use launching::{carry_out, led_by};
use members::advance;
use std::collections::BTreeMap;
use std::sync::Arc;
use traffic::{Reported, Targets, Traffic};
use view::{forget_detached, mark, note_traffic, view};

/// Health is looked at this often (autoscaling.md 4.4: the interval is not documented).
const HEALTH_INTERVAL: Span = Span::from_secs(30);

/// A group remembers at most so many sentences on changes of its desired capacity.
const CHANGES_MAX: usize = 8;

/// Instances of one group.
pub(in crate::reconcile) type Members = Vec<Arc<Instance>>;

pub(in crate::reconcile) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let groups: Vec<Arc<Group>> = tx.all::<Group>().cloned().collect();
    let mut targets = Targets::gather(tx);
    let mut index = by_group(tx, |(members, reported): &mut (Members, Vec<Reported>), instance| {
        members.push(instance.clone());
        targets.take_of(instance.id.as_str(), reported);
    });
    for group in groups {
        let (members, reported) = index.remove(&group.name).unwrap_or_default();
        reconcile_group(tx, &group.name, members, &targets.seen_with(reported), wake);
    }
}

pub(in crate::reconcile) fn members_by_group(tx: &Tx<'_>) -> BTreeMap<GroupName, Members> {
    by_group(tx, |members: &mut Members, instance| members.push(instance.clone()))
}

/// Something of each group, made of its members, which come in the order of
/// their ids.
fn by_group<T: Default>(tx: &Tx<'_>, mut add: impl FnMut(&mut T, &Arc<Instance>)) -> BTreeMap<GroupName, T> {
    let mut index: BTreeMap<GroupName, T> = BTreeMap::new();
    for instance in tx.all::<Instance>() {
        if let Some(membership) = &instance.membership {
            add(index.entry(membership.group.clone()).or_default(), instance);
        }
    }
    index
}

fn reconcile_group(tx: &mut Tx<'_>, name: &GroupName, members: Members, traffic: &Traffic, wake: &mut Time) {
    let members = move_on(tx, members, traffic, wake);
    note_traffic(tx, name, &members, traffic);
    refresh::advance(tx, name, &members, traffic, wake);
    let Some(group) = tx.get::<Group>(name.as_str()) else { return };
    let group = refresh::launching(tx, group);
    if group.deleting && members.is_empty() {
        return delete(tx, &group);
    }
    forget_detached(tx, &group, traffic);
    let mut view = view(tx, &group, &members, traffic);
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
    let actions = view::planted(tx, &view, plan.actions);
    carry_out(tx, &group, &view, actions);
    warm_pool::reconcile(tx, name, &members, wake);
    policy::follow_capacity(tx, name);
}

/// Moves those on who are on their way somewhere: most groups are at rest in
/// most rounds, and then nothing is looked up again.
fn move_on(tx: &mut Tx<'_>, members: Members, traffic: &Traffic, wake: &mut Time) -> Members {
    let rests = |place: &Membership| place.lifecycle == LifecycleState::InService;
    if members.iter().all(|member| member.membership.as_ref().is_some_and(rests)) {
        return members;
    }
    for member in &members {
        advance(tx, member, traffic, wake);
    }
    let members = members.iter().filter_map(|member| tx.get::<Instance>(member.id.as_str()));
    members.filter(|member| member.membership.is_some()).collect()
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
        let from = view.capacity();
        let why = Why::AboveDesired { from, to: group.desired };
        let cause = why.cause(tx.now, None, led_by(group).as_deref());
        activity::protected(tx, group, cause);
    }
    tx.update(group.name.as_str(), |row: &mut Group| row.protected_told = told);
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

/// The group goes, and what belongs to it.
fn delete(tx: &mut Tx<'_>, group: &Group) {
    for id in ids_of(&tx.policies, &group.name) {
        policy::delete(tx, &id);
    }
    for id in ids_of(&tx.lifecycle_hooks, &group.name) {
        tx.delete::<LifecycleHook>(&id);
    }
    for id in ids_of(&tx.scheduled_actions, &group.name) {
        tx.delete::<ScheduledAction>(&id);
    }
    for id in ids_of(&tx.instance_refreshes, &group.name) {
        tx.delete::<InstanceRefresh>(&id);
    }
    tx.delete::<Group>(group.name.as_str());
}

/// Ids of the rows of one group, in a table whose ids are `group:name`.
pub fn ids_of<R>(table: &Table<R>, group: &GroupName) -> Vec<String> {
    table.starting_with(&format!("{group}:")).map(|(id, _)| id.to_string()).collect()
}
