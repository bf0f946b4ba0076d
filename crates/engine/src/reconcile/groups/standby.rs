//! Moves of members that a user asks for: into standby and out of it, into
//! the group and out of it alive (autoscaling.md 2.4, 2.5). Hooks do not run
//! for them; leaving the load balancer takes its time as always.

use super::Traffic;
use super::members::{self, set_place, still_drains};
use crate::reconcile::activity::{self, Begin};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::hooks::Arrival;
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::moves::Move;
use elastane_domain::time::Time;

/// The tag that tells an instance's group.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// A change of the desired capacity that goes with a move: from, to.
pub type Change = Option<(u32, u32)>;

/// EnterStandby of a member in service: it leaves the load balancer first.
/// Returns the activity's id.
pub fn enter_standby(tx: &mut Tx<'_>, instance: &InstanceId, change: Change) -> Option<String> {
    leave_service(tx, instance, Move::IntoStandby, change, LifecycleState::EnteringStandby)
}

/// DetachInstances of a member in service or in standby: it leaves the load
/// balancer first, then the group, alive. Returns the activity's id.
pub fn detach(tx: &mut Tx<'_>, instance: &InstanceId, change: Change) -> Option<String> {
    leave_service(tx, instance, Move::Out, change, LifecycleState::Detaching)
}

fn leave_service(
    tx: &mut Tx<'_>,
    instance: &InstanceId,
    one: Move,
    change: Change,
    to: LifecycleState,
) -> Option<String> {
    let row = tx.get::<Instance>(instance.as_str())?;
    let membership = row.membership.clone()?;
    members::deregister(tx, &row, &membership.group);
    let activity = begin(tx, &row, &membership.group, one, change);
    let now = tx.now;
    set_place(tx, instance, |place| {
        place.enter(to, now);
        place.in_service_since = None;
        place.protected = false;
        place.activity = Some(activity.clone());
    });
    Some(activity)
}

/// ExitStandby: the member goes through `Pending` back into service. Returns
/// the activity's id.
pub fn exit_standby(tx: &mut Tx<'_>, instance: &InstanceId, change: Change) -> Option<String> {
    let row = tx.get::<Instance>(instance.as_str())?;
    let group = row.membership.as_ref()?.group.clone();
    let activity = begin(tx, &row, &group, Move::OutOfStandby, change);
    let now = tx.now;
    set_place(tx, instance, |place| {
        place.enter(LifecycleState::Pending, now);
        place.arrival = Arrival::LeftStandby;
        place.activity = Some(activity.clone());
    });
    Some(activity)
}

/// AttachInstances: an instance that runs becomes a member, with the group's
/// tags. Returns the activity's id.
pub fn attach(tx: &mut Tx<'_>, group: &Group, instance: &InstanceId, change: Change) -> Option<String> {
    let row = tx.get::<Instance>(instance.as_str())?;
    let activity = begin(tx, &row, &group.name, Move::In, change);
    let membership = Membership {
        arrival: Arrival::Attached,
        protected: group.protect_new,
        activity: Some(activity.clone()),
        ..Membership::new(group.name.clone(), LifecycleState::Pending, tx.now)
    };
    tx.update(instance.as_str(), |row: &mut Instance| {
        let propagated = group.tags.iter().filter(|(_, (_, propagate))| *propagate);
        row.tags.extend(propagated.map(|(key, (value, _))| (key.clone(), value.clone())));
        row.tags.insert(GROUP_TAG.to_string(), group.name.to_string());
        row.membership = Some(membership);
    });
    Some(activity)
}

fn begin(tx: &mut Tx<'_>, instance: &Instance, group: &GroupName, one: Move, change: Change) -> String {
    let cause = one.why(change).cause(tx.now, Some(&instance.id), None);
    activity::moving(tx, Begin { group, instance, cause }, one)
}

/// A member on its way to standby rests there once it has drained.
pub(super) fn rest(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, traffic: &Traffic, wake: &mut Time) {
    if still_drains(tx, instance, traffic, wake) {
        return;
    }
    if let Some(id) = &membership.activity {
        activity::end(tx, id, ActivityStatus::Successful, None);
    }
    let now = tx.now;
    set_place(tx, &instance.id, |place| {
        place.enter(LifecycleState::Standby, now);
        place.activity = None;
    });
}

/// A member that is detached leaves once it has drained.
pub(super) fn leave(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership, traffic: &Traffic, wake: &mut Time) {
    if still_drains(tx, instance, traffic, wake) {
        return;
    }
    if let Some(id) = &membership.activity {
        activity::end(tx, id, ActivityStatus::Successful, None);
    }
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        row.tags.remove(GROUP_TAG);
        row.membership = None;
        row.detached = true;
    });
}
