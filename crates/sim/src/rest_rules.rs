//! What groups must be like when all is calm: as large as they should be, in
//! service, spread over their zones and purchase options, registered, and
//! with the warm pool that they ask for.

use crate::run::Violation;
use elastane_domain::id::{TargetGroupArn, Zone};
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::mixed::Mixed;
use elastane_domain::time::Time;
use elastane_engine::Tables;
use elastane_engine::row::*;
use std::collections::BTreeSet;

type Checked = Result<(), Violation>;

/// Targets that clients took out or put in themselves: no group changes these.
pub struct ByHand<'a> {
    /// Taken out.
    pub removed: &'a BTreeSet<(TargetGroupArn, String)>,
    /// Put in.
    pub registered: &'a BTreeSet<(TargetGroupArn, String)>,
}

fn broken(rule: &'static str, now: Time, what: impl Into<String>) -> Checked {
    Err(Violation::new(rule, now, what.into()))
}

type Member<'a> = (&'a Instance, &'a Membership);

fn weight((_, place): &Member<'_>) -> u32 {
    place.weight.max(1)
}

fn sum<'a>(members: impl Iterator<Item = &'a Member<'a>>) -> u32 {
    members.map(weight).sum()
}

/// Looks at all groups of a scope.
pub fn groups_settled(tables: &Tables, by_hand: &ByHand<'_>, now: Time) -> Checked {
    if let Some(row) = tables.instance_refreshes.values().find(|row| row.status.is_active()) {
        return broken("every refresh ends", now, format!("{} is {}", row.id, row.status.name()));
    }
    tables.groups.values().try_for_each(|group| group_settled(tables, group, by_hand, now))
}

fn group_settled(tables: &Tables, group: &Group, by_hand: &ByHand<'_>, now: Time) -> Checked {
    if group.deleting {
        return broken("a deleted group goes", now, group.name.as_str());
    }
    let place = |row: &'_ Instance| row.membership.as_ref().is_some_and(|place| place.group == group.name);
    let rows = tables.instances.values().filter(|row| place(row));
    let members: Vec<Member<'_>> = rows.filter_map(|row| Some((row.as_ref(), row.membership.as_ref()?))).collect();
    let (warm, cold): (Vec<Member<'_>>, Vec<Member<'_>>) =
        members.into_iter().partition(|(_, place)| place.lifecycle.is_warm());
    let serving: Vec<Member<'_>> =
        cold.iter().copied().filter(|(_, place)| place.lifecycle == LifecycleState::InService).collect();
    let moving = cold.len() - serving.len();
    let heaviest = serving.iter().map(weight).max().unwrap_or(1);
    let protected = serving.iter().filter(|(_, place)| place.protected).count();
    let capacity = sum(serving.iter());
    // Weights may keep a group above what is wanted, by less than the lightest that could go.
    let fits = capacity >= group.desired && capacity < group.desired + heaviest;
    let stuck = capacity > group.desired && protected == serving.len();
    if (!fits && !stuck) || moving > 0 {
        let found = format!("{capacity} in service, {moving} moving, desired {}", group.desired);
        return broken("a group reaches its desired capacity", now, found);
    }
    match &group.source {
        LaunchSource::Mixed(mixed) if protected == 0 => bought(mixed, group, &serving, now)?,
        // Purchase options come before zones.
        LaunchSource::Mixed(_) => {}
        LaunchSource::Template(_) | LaunchSource::Configuration(_) if protected == 0 => {
            zones_balanced(group, &serving, now)?;
        }
        LaunchSource::Template(_) | LaunchSource::Configuration(_) => {}
    }
    pool_settled(group, &warm, capacity, now)?;
    targets_are_members(tables, group, &serving, by_hand, now)
}

fn zones_balanced(group: &Group, serving: &[Member<'_>], now: Time) -> Checked {
    let in_zone = |zone: &Zone| serving.iter().filter(|(row, _)| row.zone == *zone).count();
    let zones: Vec<usize> = group.zones.iter().map(in_zone).collect();
    let apart = zones.iter().max() > zones.iter().min().map(|least| least + 1).as_ref();
    if apart { broken("a group at rest has balanced zones", now, format!("{} {zones:?}", group.name)) } else { Ok(()) }
}

/// The base is bought on demand, and of what is above it the percentage,
/// rounded up; as nearly as weights allow (autoscaling.md 13).
fn bought(mixed: &Mixed, group: &Group, serving: &[Member<'_>], now: Time) -> Checked {
    let distribution = &mixed.distribution;
    let possible = mixed.overrides.iter().filter_map(|one| one.weight).max().unwrap_or(1);
    let heaviest = serving.iter().map(weight).max().unwrap_or(1).max(possible);
    let found = sum(serving.iter().filter(|(row, _)| row.spot_request.is_none()));
    let base = distribution.on_demand_base.min(group.desired);
    let wanted = base + ((group.desired - base) * distribution.on_demand_percent).div_ceil(100);
    if found.abs_diff(wanted) < heaviest {
        return Ok(());
    }
    let what = format!("{}: {found} of {} on demand, not {wanted}", group.name, group.desired);
    broken("a group at rest is bought as its policy says", now, what)
}

/// MaxGroupPreparedCapacity, else MaxSize, less what the group has, and at
/// least MinSize (autoscaling.md 12).
fn pool_settled(group: &Group, warm: &[Member<'_>], capacity: u32, now: Time) -> Checked {
    let rests = |(row, place): &Member<'_>| match place.lifecycle {
        LifecycleState::WarmedStopped => row.phase == Phase::Stopped,
        LifecycleState::WarmedRunning => row.phase == Phase::Running,
        _ => false,
    };
    if let Some((row, place)) = warm.iter().find(|member| !rests(member)) {
        let what = format!("{} is {}, {:?}", row.id, place.lifecycle.name(), row.phase);
        return broken("the warm pool comes to rest", now, what);
    }
    let size = |there: u32| {
        group
            .warm_pool
            .map_or(0, |pool| pool.max_prepared.unwrap_or(group.bounds.max).saturating_sub(there).max(pool.min))
    };
    // What a group has too much of, and cannot get rid of, is not launched for once more.
    let (least, most) = (size(capacity.max(group.desired)), size(group.desired));
    if (least..=most).contains(&(warm.len() as u32)) {
        return Ok(());
    }
    broken("a warm pool has its size", now, format!("{}: {} of {least} to {most}", group.name, warm.len()))
}

fn targets_are_members(
    tables: &Tables,
    group: &Group,
    serving: &[Member<'_>],
    by_hand: &ByHand<'_>,
    now: Time,
) -> Checked {
    for arn in &group.target_groups {
        let is_loose = |id: &str| tables.instances.get(id).is_none_or(|row| row.membership.is_none());
        let put_in = |id: &str| by_hand.registered.contains(&(arn.clone(), id.to_string())) && is_loose(id);
        let registered = tables.targets.values().filter(|row| row.group == *arn && !put_in(&row.id));
        let registered: BTreeSet<&str> = registered.map(|row| row.id.as_str()).collect();
        let wanted: BTreeSet<&str> = serving.iter().map(|(row, _)| row.id.as_str()).collect();
        let missing = wanted.difference(&registered);
        let missing = missing.filter(|id| !by_hand.removed.contains(&(arn.clone(), id.to_string()))).count();
        if !registered.is_subset(&wanted) || missing > 0 {
            return broken("targets are the instances in service", now, format!("{registered:?} {wanted:?}"));
        }
    }
    Ok(())
}
