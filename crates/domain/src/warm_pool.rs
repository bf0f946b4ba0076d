//! Warm pools: how many instances a pool should hold, which of them the group
//! takes, and which are too many (EC2 Auto Scaling User Guide, "Warm pools").
//!
//! Instances of the pool never count as the group's capacity. The pool is
//! looked after only while the group itself has what it wants: a scale-out
//! takes from the pool before anything in it is called superfluous.

use crate::capacity::Bounds;
use crate::group::{LAUNCH_BATCH_MAX, PoolState, TERMINATE_BATCH_MAX, WarmPool};
use crate::id::{InstanceId, Zone};
use crate::lifecycle::LifecycleState;
use crate::time::Time;
use std::collections::BTreeMap;

/// A pool, with what its plan depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolView {
    /// Its settings.
    pub pool: WarmPool,
    /// The group's MinSize and MaxSize.
    pub bounds: Bounds,
    /// The group's wanted capacity.
    pub desired: u32,
    /// The capacity that the group has, pending members included.
    pub capacity: u32,
    /// The group's enabled zones that have capacity, in order.
    pub zones: Vec<Zone>,
    /// How many instances the group itself has in each zone.
    pub group_by_zone: BTreeMap<Zone, u32>,
    /// What belongs to the pool, except what is leaving it for good.
    pub members: Vec<PoolMember>,
    /// Nothing can be launched now: launches have been failing, or are suspended.
    pub launches_wait: bool,
}

/// One instance of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolMember {
    /// The instance.
    pub instance: InstanceId,
    /// Its zone.
    pub zone: Zone,
    /// How far it is.
    pub lifecycle: LifecycleState,
    /// When it was launched, or last started.
    pub launched_at: Time,
}

/// What an activity does with an instance of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Launches it into the pool.
    Into,
    /// Takes it from the pool into service.
    IntoService,
    /// Puts it from service back into the pool.
    Back,
    /// Terminates it.
    Out,
}

impl Passage {
    /// The activity's `Description`. AWS's words are observed except for the way back.
    pub fn description(self, instance: &InstanceId) -> String {
        let what = match self {
            Passage::Into => "Launching a new EC2 instance into warm pool",
            Passage::IntoService => "Launching a new EC2 instance from warm pool",
            Passage::Back => "Moving EC2 instance to warm pool",
            Passage::Out => "Terminating EC2 instance from warm pool",
        };
        format!("{what}: {instance}")
    }
}

/// One step of a pool.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolAction {
    /// Launch so many instances into the pool.
    Launch {
        /// Where.
        zone: Zone,
        /// How many.
        count: u32,
    },
    /// Terminate an instance of the pool.
    Terminate {
        /// Which.
        instance: InstanceId,
    },
}

/// How many instances a pool should hold: what is missing from the group to
/// MaxGroupPreparedCapacity, else to MaxSize, and at least MinSize. A pool
/// that is being deleted should hold none.
pub fn wanted(pool: &WarmPool, bounds: Bounds, capacity: u32) -> u32 {
    if pool.deleting {
        return 0;
    }
    pool.max_prepared.unwrap_or(bounds.max).saturating_sub(capacity).max(pool.min)
}

/// The next steps of a pool, of which at most one kind is taken at a time.
pub fn plan(view: &PoolView) -> Vec<PoolAction> {
    let have = count(view.members.len());
    let settled = view.capacity >= view.desired || view.pool.deleting;
    if !settled {
        return Vec::new();
    }
    let fill = wanted(&view.pool, view.bounds, view.capacity.max(view.desired));
    let keep = wanted(&view.pool, view.bounds, view.desired);
    if have < fill && !view.launches_wait {
        return launches(view, (fill - have).min(LAUNCH_BATCH_MAX));
    }
    excess(view, have.saturating_sub(keep).min(TERMINATE_BATCH_MAX))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Each launch goes where group and pool together have the fewest instances.
fn launches(view: &PoolView, number: u32) -> Vec<PoolAction> {
    let mut there: BTreeMap<&Zone, u32> = BTreeMap::new();
    for zone in &view.zones {
        there.insert(zone, view.group_by_zone.get(zone).copied().unwrap_or(0));
    }
    for member in &view.members {
        there.entry(&member.zone).and_modify(|count| *count += 1);
    }
    let mut more: BTreeMap<&Zone, u32> = BTreeMap::new();
    for _ in 0..number {
        let Some(zone) = view.zones.iter().min_by_key(|zone| there[zone]) else { break };
        there.entry(zone).and_modify(|count| *count += 1);
        *more.entry(zone).or_default() += 1;
    }
    more.into_iter().map(|(zone, count)| PoolAction::Launch { zone: zone.clone(), count }).collect()
}

/// What goes when there is too much: of the zone with the most in the pool
/// what is not ready yet, then the oldest.
fn excess(view: &PoolView, number: u32) -> Vec<PoolAction> {
    let mut left: Vec<&PoolMember> = view.members.iter().collect();
    let mut gone = Vec::new();
    for _ in 0..number {
        let mut by_zone: BTreeMap<&Zone, u32> = BTreeMap::new();
        for member in &left {
            *by_zone.entry(&member.zone).or_default() += 1;
        }
        let order = |member: &&PoolMember| {
            let ready = rests(member.lifecycle);
            (std::cmp::Reverse(by_zone[&member.zone]), ready, member.launched_at, member.instance.clone())
        };
        let Some(victim) = left.iter().copied().min_by_key(|member| order(member)) else { break };
        left.retain(|member| member.instance != victim.instance);
        gone.push(PoolAction::Terminate { instance: victim.instance.clone() });
    }
    gone
}

/// Whether a member of the pool can be taken into service.
pub const fn rests(state: LifecycleState) -> bool {
    matches!(state, LifecycleState::WarmedStopped | LifecycleState::WarmedRunning | LifecycleState::WarmedHibernated)
}

/// The instance that a scale-out in `zone` takes: the one that was ready
/// first there. Unless balance is the very purpose, one of another zone is
/// better than a cold launch, which takes much longer.
pub fn choose<'a>(
    members: impl Iterator<Item = &'a PoolMember>,
    zone: &Zone,
    same_zone_only: bool,
) -> Option<&'a PoolMember> {
    members
        .filter(|member| rests(member.lifecycle) && (member.zone == *zone || !same_zone_only))
        .min_by_key(|member| (member.zone != *zone, member.launched_at, &member.instance))
}

/// Whether an instance that leaves the group at a scale-in goes back to the
/// pool: only one that was in service, and only when the pool says so.
pub fn returns(pool: Option<&WarmPool>, state: LifecycleState) -> bool {
    state == LifecycleState::InService && pool.is_some_and(|pool| pool.reuse_on_scale_in && !pool.deleting)
}

/// Whether an instance in the pool's state must be stopped to rest there.
pub const fn stops(state: PoolState) -> bool {
    match state {
        PoolState::Stopped | PoolState::Hibernated => true,
        PoolState::Running => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LifecycleState::{InService, Pending, WarmedPending, WarmedPendingWait, WarmedStopped};

    const POOL: WarmPool =
        WarmPool { min: 0, max_prepared: None, state: PoolState::Stopped, reuse_on_scale_in: false, deleting: false };

    fn member(name: &str, zone: &str, lifecycle: LifecycleState, at: i64) -> PoolMember {
        PoolMember { instance: InstanceId::from(name), zone: Zone::from(zone), lifecycle, launched_at: Time(at) }
    }

    fn view(pool: WarmPool, desired: u32, capacity: u32, warm: u32) -> PoolView {
        let zones = vec![Zone::from("a"), Zone::from("b")];
        let members = (0..warm)
            .map(|n| member(&format!("i-{n}"), if n % 2 == 0 { "a" } else { "b" }, WarmedStopped, i64::from(n)))
            .collect();
        PoolView {
            pool,
            bounds: Bounds { min: 0, max: 10 },
            desired,
            capacity,
            zones,
            group_by_zone: BTreeMap::new(),
            members,
            launches_wait: false,
        }
    }

    /// `(MaxGroupPreparedCapacity ?? MaxSize) - capacity`, at least MinSize, never negative.
    #[test]
    fn autoscaling_12_size() {
        for (min, prepared, capacity, deleting, expected) in [
            (0, None, 4, false, 6),
            (0, None, 10, false, 0),
            (0, None, 12, false, 0),
            (3, None, 9, false, 3),
            (0, Some(7), 4, false, 3),
            (0, Some(3), 4, false, 0),
            (2, Some(3), 4, false, 2),
            (5, Some(7), 4, true, 0),
        ] {
            let pool = WarmPool { min, max_prepared: prepared, deleting, ..POOL };
            let got = wanted(&pool, Bounds { min: 0, max: 10 }, capacity);
            assert_eq!(got, expected, "min {min} prepared {prepared:?} capacity {capacity}");
        }
    }

    /// The pool fills and shrinks only when the group has what it wants; what
    /// the group has too much of is not made up for by less in the pool.
    #[test]
    fn autoscaling_12_fill_and_excess() {
        for (desired, capacity, warm, waits, launched, terminated) in [
            (4, 4, 0, false, 6, 0),
            (4, 4, 6, false, 0, 0),
            (4, 4, 8, false, 0, 2),
            (4, 4, 0, true, 0, 0),
            (6, 4, 6, false, 0, 0),
            (6, 6, 6, false, 0, 2),
            (4, 6, 4, false, 0, 0),
            (4, 6, 7, false, 0, 1),
        ] {
            let plan = plan(&PoolView { launches_wait: waits, ..view(POOL, desired, capacity, warm) });
            let (mut up, mut down) = (0, 0);
            for action in plan {
                match action {
                    PoolAction::Launch { count, .. } => up += count,
                    PoolAction::Terminate { .. } => down += 1,
                }
            }
            assert_eq!((up, down), (launched, terminated), "desired {desired} capacity {capacity} warm {warm}");
        }
    }

    /// Zones are filled evenly with the group's own instances counted, and
    /// emptied evenly: what is not ready first, then the oldest.
    #[test]
    fn autoscaling_12_zones() {
        let mut one = view(WarmPool { max_prepared: Some(7), ..POOL }, 4, 4, 0);
        one.group_by_zone = BTreeMap::from([(Zone::from("a"), 3), (Zone::from("b"), 1)]);
        let launch = |zone: &str, count| PoolAction::Launch { zone: Zone::from(zone), count };
        assert_eq!(plan(&one), [launch("a", 1), launch("b", 2)]);

        one.pool = WarmPool { max_prepared: Some(5), ..POOL };
        one.members = vec![
            member("i-1", "a", WarmedStopped, 1),
            member("i-2", "a", WarmedPendingWait, 3),
            member("i-3", "b", WarmedStopped, 2),
        ];
        let gone = |name: &str| PoolAction::Terminate { instance: InstanceId::from(name) };
        assert_eq!(plan(&one), [gone("i-2"), gone("i-1")]);
    }

    /// The one that rested longest in the zone is taken; another zone's only when that is allowed.
    #[test]
    fn autoscaling_12_take() {
        let members = [
            member("i-1", "a", WarmedPending, 0),
            member("i-2", "a", WarmedStopped, 2),
            member("i-3", "a", WarmedStopped, 1),
            member("i-4", "b", WarmedStopped, 0),
        ];
        for (zone, same, expected) in
            [("a", true, Some("i-3")), ("b", false, Some("i-4")), ("c", true, None), ("c", false, Some("i-4"))]
        {
            let got = choose(members.iter(), &Zone::from(zone), same).map(|member| member.instance.as_str());
            assert_eq!(got, expected, "zone {zone}, same only {same}");
        }
        assert!(choose(members[..1].iter(), &Zone::from("a"), false).is_none(), "it is not ready");
    }

    /// Only members in service go back, and only to a pool that reuses them.
    #[test]
    fn autoscaling_12_reuse() {
        let reusing = WarmPool { reuse_on_scale_in: true, ..POOL };
        for (pool, state, expected) in [
            (None, InService, false),
            (Some(POOL), InService, false),
            (Some(reusing), InService, true),
            (Some(reusing), Pending, false),
            (Some(WarmPool { deleting: true, ..reusing }), InService, false),
        ] {
            assert_eq!(returns(pool.as_ref(), state), expected, "{pool:?} {state:?}");
        }
    }
}
