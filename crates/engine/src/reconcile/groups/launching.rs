//! Carrying a plan out: launches and terminations become rows with their
//! activities; a zone without capacity sends its launches elsewhere.

use super::members::begin_termination;
use crate::launch::{self, Refusal};
use crate::network;
use crate::reconcile::activity::{self, Begin};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{Action, GroupView, Why};
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::Span;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// After a failed launch a group waits so long, doubled with each failure in
/// a row, before it tries again. AWS does not publish its own schedule.
const LAUNCH_BACKOFF: Span = Span::from_secs(30);

/// It never waits longer than this.
const LAUNCH_BACKOFF_MAX: Span = Span::from_mins(15);

/// EC2's code when a zone has no capacity.
const INSUFFICIENT_CAPACITY: &str = "InsufficientInstanceCapacity";

/// What changed the desired capacity since the last activity that followed it.
pub(super) fn led_by(group: &Group) -> Option<String> {
    (!group.changes.is_empty()).then(|| group.changes.join("  "))
}

fn follows_desired(why: &Why) -> bool {
    matches!(why, Why::BelowDesired { .. } | Why::AboveDesired { .. } | Why::GroupDeleted { .. })
}

pub(super) fn carry_out(tx: &mut Tx<'_>, group: &Group, view: &GroupView, actions: Vec<Action>) {
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

/// What a group asks of EC2 for instances in a zone.
fn launch_request(tx: &mut Tx<'_>, group: &Group, zone: &Zone, count: u32) -> Result<launch::Request, Refusal> {
    let (mut data, template) = launch_data(tx, &group.source)?;
    data.subnet = Some(choose_subnet(tx, group, zone)?);
    data.placement.zone = None;
    let tags = data.tags.entry("instance".to_string()).or_default();
    for (key, (value, propagate)) in &group.tags {
        if *propagate {
            tags.insert(key.clone(), value.clone());
        }
    }
    let configuration = match &group.source {
        LaunchSource::Configuration(name) => Some(name.clone()),
        LaunchSource::Template(_) | LaunchSource::Mixed(_) => None,
    };
    Ok(launch::Request {
        data,
        template,
        count_min: 1,
        count_max: count,
        membership: Some(Membership {
            protected: group.protect_new,
            launch_configuration: configuration,
            ..Membership::new(group.name.clone(), LifecycleState::Pending, tx.now)
        }),
        ..launch::Request::default()
    })
}

/// What a group launches from, and the template version that it is. The
/// version is resolved now, at the launch.
pub fn launch_data(
    tx: &Tx<'_>,
    source: &LaunchSource,
) -> Result<(LaunchData, Option<(LaunchTemplateId, u64)>), Refusal> {
    let Some(wanted) = source.template() else {
        let LaunchSource::Configuration(name) = source else {
            unreachable!("only configurations are without template")
        };
        let row = tx.get::<LaunchConfiguration>(name).ok_or_else(|| {
            Refusal::new("ValidationError", format!("Launch configuration name not found - {name} does not exist."))
        })?;
        return Ok((row.data.clone(), None));
    };
    let template = tx.get::<LaunchTemplate>(wanted.id.as_str()).ok_or_else(|| {
        let message = format!("The specified launch template, with template ID {}, does not exist.", wanted.id);
        Refusal::new("InvalidLaunchTemplateId.NotFound", message)
    })?;
    let version = template.version(&wanted.version).ok_or_else(|| {
        let message = format!("Could not find launch template version {}", wanted.version);
        Refusal::new("InvalidLaunchTemplateId.VersionNotFound", message)
    })?;
    Ok((version.data.clone(), Some((template.id.clone(), version.number))))
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

pub(super) fn back_off(tx: &mut Tx<'_>, group: &GroupName) {
    let now = tx.now;
    tx.update(group.as_str(), |row: &mut Group| {
        let doublings = row.launch_failures.min(10);
        let wait = (LAUNCH_BACKOFF * (1 << doublings)).min(LAUNCH_BACKOFF_MAX);
        row.launch_failures = row.launch_failures.saturating_add(1);
        row.launch_after = Some(now + wait);
    });
}
