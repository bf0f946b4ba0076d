//! Targets of target groups: registering, draining, leaving.

use super::wake_at;
use crate::row::*;
use crate::state::{Tables, Tx};
use elastane_domain::id::{InstanceId, TargetGroupArn};
use elastane_domain::routing::TargetKey;
use elastane_domain::time::{Span, Time};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// `deregistration_delay.timeout_seconds` when it was not set (alb.md 3.1).
pub const DEREGISTRATION_DELAY: Span = Span::from_secs(300);

/// Targets leave that have drained, or whose group or instance is no more.
pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let mut ended = |target: &Target| match target.phase {
        TargetPhase::Draining { until } if tx.now < until => {
            wake_at(wake, until);
            false
        }
        TargetPhase::Draining { .. } => true,
        TargetPhase::Registered => false,
    };
    let (mut groups, mut instances) = (tx.target_groups.cursor(), tx.instances.cursor());
    let mut gone = |target: &Target| {
        let Some(group) = groups.get(target.group.as_str()) else { return true };
        let ended = |row: &Arc<Instance>| matches!(row.phase, Phase::Terminated { .. });
        group.target_type == TargetType::Instance && instances.get(target.id.as_str()).is_none_or(ended)
    };
    let leaves = |target: &&Arc<Target>| ended(target) || gone(target);
    let targets: Vec<Arc<Target>> = tx.all::<Target>().filter(leaves).cloned().collect();
    for target in targets {
        leave(tx, &target);
    }
}

/// Removes a target at once, with what was seen of it.
pub fn leave(tx: &mut Tx<'_>, target: &Target) {
    forget(tx, target);
    tx.delete::<Target>(&target.id());
}

/// Drops what was seen of a target: its address may be another's tomorrow.
fn forget(tx: &mut Tx<'_>, target: &Target) {
    if let Some(key) = key(tx, target) {
        tx.state.seen.health.remove(&key);
        tx.state.seen.drained.remove(&key);
    }
}

fn drain_was_routed(tx: &Tx<'_>, target: &Target) -> bool {
    key(tx, target).is_some_and(|key| tx.state.seen.draining.contains(&key))
}

fn forget_drain(tx: &mut Tx<'_>, target: &Target) {
    if let Some(key) = key(tx, target) {
        tx.state.seen.drained.remove(&key);
    }
}

/// The data plane's name for a target; `None` when its instance or group is gone.
pub fn key(tables: &Tables, target: &Target) -> Option<TargetKey> {
    let group = tables.target_groups.get(target.group.as_str())?;
    key_by(group, || tables.instances.get(&target.id), target)
}

fn key_by<'t>(
    group: &TargetGroup,
    instance: impl FnOnce() -> Option<&'t Arc<Instance>>,
    target: &Target,
) -> Option<TargetKey> {
    let (vpc, address): (_, Ipv4Addr) = match group.target_type {
        TargetType::Ip => (Some(group.vpc.clone()), target.id.parse().ok()?),
        TargetType::Instance => {
            let instance = instance()?;
            (Some(instance.vpc.clone()), instance.private_ip)
        }
    };
    Some(TargetKey { group: target.group.clone(), vpc, address: SocketAddrV4::new(address, target.port) })
}

/// The data plane's names for targets that come in the order of their table.
pub fn keys(tables: &Tables) -> impl FnMut(&Target) -> Option<TargetKey> {
    let (mut groups, mut instances) = (tables.target_groups.cursor(), tables.instances.cursor());
    move |target| key_by(groups.get(target.group.as_str())?, || instances.get(target.id.as_str()), target)
}

/// Registers a target. One that drains starts anew; but when the data plane
/// was not told of the drain, it will not tell the target's health again.
pub fn register(tx: &mut Tx<'_>, group: &TargetGroupArn, id: &str, port: u16) {
    register_in_zone(tx, group, id, port, None);
}

/// The same with the `AvailabilityZone` that was given: a zone, or `all`.
pub fn register_in_zone(
    tx: &mut Tx<'_>,
    group: &TargetGroupArn,
    id: &str,
    port: u16,
    availability_zone: Option<String>,
) {
    let target =
        Target { group: group.clone(), id: id.to_string(), port, availability_zone, phase: TargetPhase::Registered };
    match tx.get::<Target>(&target.id()).map(|old| old.phase) {
        Some(TargetPhase::Registered) => {}
        Some(TargetPhase::Draining { .. }) if !drain_was_routed(tx, &target) => forget_drain(tx, &target),
        Some(TargetPhase::Draining { .. }) | None => forget(tx, &target),
    }
    tx.put(target);
}

/// Takes a target out of the flow of new requests; requests in flight have
/// the group's deregistration delay to end. An unknown target is no error.
pub fn deregister(tx: &mut Tx<'_>, group: &TargetGroupArn, id: &str, port: u16) {
    let delay = tx.get::<TargetGroup>(group.as_str()).map_or(DEREGISTRATION_DELAY, |row| deregistration_delay(&row));
    let until = tx.now + delay;
    if let Some(target) = tx.get::<Target>(&Target::key(group, id, port)).filter(|t| t.phase == TargetPhase::Registered)
    {
        // That it drained the last time says nothing of this time.
        forget_drain(tx, &target);
    }
    tx.update(&Target::key(group, id, port), |row: &mut Target| {
        if row.phase == TargetPhase::Registered {
            row.phase = TargetPhase::Draining { until };
        }
    });
}

/// The group's deregistration delay.
pub fn deregistration_delay(group: &TargetGroup) -> Span {
    let set = group.attributes.get("deregistration_delay.timeout_seconds").and_then(|text| text.parse().ok());
    set.map_or(DEREGISTRATION_DELAY, Span::from_secs)
}

/// The targets that an instance is in these groups, draining ones included.
pub fn of_instance(tx: &Tx<'_>, groups: &[TargetGroupArn], instance: &InstanceId) -> Vec<Arc<Target>> {
    let of_group = |group: &TargetGroupArn| tx.targets.starting_with(&format!("{group}|{instance}|"));
    groups.iter().flat_map(of_group).map(|(_, row)| row.clone()).collect()
}
