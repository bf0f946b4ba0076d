//! The warm pool of a group (autoscaling.md 12): its members' way in, what a
//! scale-out takes from it, what a scale-in puts back, and its size. Members
//! of the pool are never registered with target groups and never count as
//! capacity.

use super::hooks::{self, Outcome};
use super::members::{self, begin_termination, deregister, set_place, still_drains};
use super::{Members, Traffic, launching, refresh};
use crate::reconcile::activity::{self, Begin};
use crate::reconcile::{instances, outages, wake_at};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{Process, UnhealthyCause, Why};
use elastane_domain::hooks::{Arrival, Ending};
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::Time;
use elastane_domain::warm_pool::{self as pool, PoolAction, PoolMember, PoolView};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes up to `units` instances out of the group's pool for a scale-out in
/// a zone, each with its activity; how many it took. Instances of other zones
/// are taken too, unless the launch is for balance.
pub(super) fn take(tx: &mut Tx<'_>, group: &Group, zone: &Zone, units: u32, why: &Why, led_by: Option<&str>) -> u32 {
    if group.warm_pool.is_none_or(|pool| pool.deleting) {
        return 0;
    }
    let usable = |row: &&Arc<Instance>| belongs(row, &group.name) && ready(row) && !outages::cut(&tx.view(), &row.zone);
    let mut members: Vec<PoolMember> = tx.all::<Instance>().filter(usable).filter_map(|row| member(row)).collect();
    let mut taken = 0;
    while taken < units
        && let Some(chosen) = pool::choose(members.iter(), zone, *why == Why::Rebalance)
    {
        let id = chosen.instance.clone();
        members.retain(|member| member.instance != id);
        let Some(row) = tx.get::<Instance>(id.as_str()) else { continue };
        let cause = why.cause(tx.now, Some(&id), led_by);
        let activity = activity::launching_from_pool(tx, Begin { group: &group.name, instance: &row, cause });
        let now = tx.now;
        set_place(tx, &id, |place| {
            place.enter(LifecycleState::Pending, now);
            place.arrival = Arrival::Taken;
            place.protected = group.protect_new;
            place.activity = Some(activity);
        });
        instances::start(tx, &id);
        taken += 1;
    }
    taken
}

fn belongs(row: &Instance, group: &GroupName) -> bool {
    row.membership.as_ref().is_some_and(|place| place.group == *group)
}

/// Whether a member rests in the pool and its instance is as it should be.
fn ready(row: &Instance) -> bool {
    row.membership.as_ref().is_some_and(|place| pool::rests(place.lifecycle) && sound(row, place.lifecycle))
}

/// Whether an instance is in the state that its place in the pool asks for.
fn sound(row: &Instance, state: LifecycleState) -> bool {
    let wanted = if state == LifecycleState::WarmedRunning { Phase::Running } else { Phase::Stopped };
    row.phase == wanted
}

fn member(row: &Instance) -> Option<PoolMember> {
    Some(PoolMember {
        instance: row.id.clone(),
        zone: row.zone.clone(),
        lifecycle: row.membership.as_ref()?.lifecycle,
        launched_at: row.launched_at,
    })
}

/// Puts a member from service back into the pool: out of the load balancer
/// first. Returns the activity's id.
pub(super) fn put_back(tx: &mut Tx<'_>, row: &Instance, group: &Group, why: &Why, led_by: Option<&str>) -> String {
    let registered = deregister(tx, row, &group.name);
    let cause = why.cause(tx.now, Some(&row.id), led_by);
    let begin = Begin { group: &group.name, instance: row, cause };
    let activity = activity::returning_to_pool(tx, begin, registered && row.phase == Phase::Running);
    let now = tx.now;
    set_place(tx, &row.id, |place| {
        place.enter(LifecycleState::WarmedPending, now);
        place.arrival = Arrival::Returned;
        place.in_service_since = None;
        place.protected = false;
        place.activity = Some(activity.clone());
    });
    activity
}

/// A step of a member on its way into the pool that does not wait for hooks:
/// drained if it was in service, then past its hooks, then to rest.
pub(super) fn come_in(
    tx: &mut Tx<'_>,
    instance: &Instance,
    membership: &Membership,
    traffic: &Traffic,
    wake: &mut Time,
) {
    if still_drains(tx, instance, traffic, wake) {
        return;
    }
    members::drained(tx, instance, membership);
    if instance.phase != Phase::Running || !hooks::begin(tx, instance, membership) {
        settle_in(tx, instance, membership);
    }
}

/// A member of the pool that waits for its hooks. One that is given up is
/// terminated; the pool fills again.
pub(super) fn wait_in(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, wake: &mut Time) {
    if instance.phase != Phase::Running {
        return failed(tx, instance, membership);
    }
    match hooks::settle(tx, instance, wake) {
        None => {}
        Some(Outcome::Proceed) => {
            let now = tx.now;
            set_place(tx, &instance.id, |place| place.enter(LifecycleState::WarmedPendingProceed, now));
        }
        Some(Outcome::Abandoned { token, ending }) => abandon(tx, instance, membership, &token, ending),
    }
}

fn abandon(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, token: &str, ending: Ending) {
    if let Some(id) = &membership.activity {
        activity::abandoned(tx, id, token, ending);
    }
    members::throttle(tx, &membership.group);
    begin_termination(tx, &instance.id, &Why::HookAbandoned, None);
}

/// Brings a member that waits for nothing any more to rest in the pool's state.
pub(super) fn settle_in(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    let group = tx.get::<Group>(membership.group.as_str());
    // A pool that is gone meanwhile has no use for its members.
    let Some(pool) = group.and_then(|group| group.warm_pool) else {
        return failed(tx, instance, membership);
    };
    match (instance.phase, pool::stops(pool.state)) {
        (Phase::Pending | Phase::Stopping, _) => {}
        (Phase::Running, true) => {
            const CODE: &str = "Client.UserInitiatedShutdown";
            instances::stop(tx, &instance.id, CODE, &format!("{CODE}: User initiated shutdown"));
        }
        (Phase::Stopped, true) | (Phase::Running, false) => {
            if let Some(id) = &membership.activity {
                activity::end(tx, id, ActivityStatus::Successful, None);
            }
            let now = tx.now;
            set_place(tx, &instance.id, |place| {
                place.enter(pool.state.resting(), now);
                place.arrival = Arrival::Launched;
                place.activity = None;
                place.cooldown_begun = false;
            });
        }
        (Phase::Stopped, false) | (Phase::ShuttingDown | Phase::Terminated { .. }, _) => {
            failed(tx, instance, membership);
        }
    }
}

/// A member whose instance did not come up, or ended, on its way into the pool.
fn failed(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    let reason = instance.state_reason.as_ref().map_or("Instance failed to launch", |reason| &reason.message);
    if let Some(id) = &membership.activity {
        let message = format!("{reason}. Launching EC2 instance failed.");
        activity::end(tx, id, ActivityStatus::Failed, Some(message));
    }
    members::throttle(tx, &membership.group);
    begin_termination(tx, &instance.id, &Why::Unhealthy(UnhealthyCause::Ec2State), None);
}

/// A member at rest whose instance somebody stopped, started or ended is of no
/// use, and neither is one that runs with an impaired status. There is no
/// grace period (autoscaling.md 4.3).
pub(super) fn watch(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) {
    let cause = if !sound(instance, membership.lifecycle) {
        UnhealthyCause::Ec2State
    } else if outages::intolerable(&tx.view(), instance) {
        UnhealthyCause::StatusCheck
    } else {
        return;
    };
    begin_termination(tx, &instance.id, &Why::Unhealthy(cause), None);
}

/// Keeps the pool at its size, after the group's own plan was carried out. A
/// pool that is being deleted goes with its last member.
pub(super) fn reconcile(tx: &mut Tx<'_>, group: &GroupName, members: &Members, wake: &mut Time) {
    let Some(group) = tx.get::<Group>(group.as_str()).filter(|group| !group.deleting) else { return };
    let group = refresh::launching(tx, group);
    let Some(settings) = group.warm_pool else { return };
    let rows: Vec<Arc<Instance>> = members.iter().filter_map(|row| tx.get::<Instance>(row.id.as_str())).collect();
    let warm = |row: &&Arc<Instance>| row.membership.as_ref().is_some_and(|place| place.lifecycle.is_warm());
    if settings.deleting && !rows.iter().any(|row| warm(&row)) {
        return tx.update(group.name.as_str(), |row: &mut Group| row.warm_pool = None);
    }
    let waits_until = group.launch_after.filter(|at| *at > tx.now);
    if let Some(at) = waits_until {
        wake_at(wake, at);
    }
    let launches_wait = waits_until.is_some() || group.suspends(Process::Launch);
    let zones = group.zones.iter().filter(|zone| !outages::cut(&tx.view(), zone)).cloned().collect();
    for action in pool::plan(&view(&group, settings, &rows, zones, launches_wait)) {
        match action {
            PoolAction::Launch { zone, count } => {
                if !launching::launch_into_pool(tx, &group, &zone, count) {
                    return;
                }
            }
            PoolAction::Terminate { .. } if group.suspends(Process::Terminate) && !settings.deleting => {}
            PoolAction::Terminate { instance } => {
                begin_termination(tx, &instance, &Why::PoolExcess, None);
            }
        }
    }
}

fn view(
    group: &Group,
    pool: elastane_domain::group::WarmPool,
    rows: &[Arc<Instance>],
    zones: Vec<Zone>,
    launches_wait: bool,
) -> PoolView {
    let state = |row: &&Arc<Instance>| row.membership.as_ref().map(|place| place.lifecycle);
    let counted = rows.iter().filter(|row| state(row).is_some_and(LifecycleState::counts_as_capacity));
    let mut group_by_zone: BTreeMap<Zone, u32> = BTreeMap::new();
    for row in counted.clone() {
        *group_by_zone.entry(row.zone.clone()).or_default() += 1;
    }
    let stays = |state: LifecycleState| state.is_warm() && !state.is_terminating();
    PoolView {
        pool,
        bounds: group.bounds,
        desired: group.bounds.clamp(group.desired),
        capacity: counted.count() as u32,
        zones,
        group_by_zone,
        members: rows.iter().filter(|row| state(row).is_some_and(stays)).filter_map(|row| member(row)).collect(),
        launches_wait,
    }
}
