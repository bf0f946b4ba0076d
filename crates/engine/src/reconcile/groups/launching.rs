//! Carrying a plan out: launches and terminations become rows with their
//! activities; a zone without capacity sends its launches elsewhere.

use super::members::begin_termination;
use super::warm_pool;
use crate::launch::mixed::{self, Chosen, Wanted};
use crate::launch::{self, Refusal};
use crate::network;
use crate::reconcile::activity::{self, Begin};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{Action, GroupView, Member, Why, ZoneStrategy};
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::mixed::Market;
use elastane_domain::time::Span;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// After a failed launch a group waits so long, doubled with each failure in
/// a row, before it tries again. AWS does not publish its own schedule.
const LAUNCH_BACKOFF: Span = Span::from_secs(30);

/// It never waits longer than this.
const LAUNCH_BACKOFF_MAX: Span = Span::from_mins(15);

/// EC2's codes when there is no room in a zone: another may have some.
const ZONE_IS_FULL: [&str; 2] = ["InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet"];

/// Types and purchase options that one round tries in a zone; a group has at
/// most 40 overrides.
const CHOICES_MAX: usize = 80;

/// What changed the desired capacity since the last activity that followed it.
pub(super) fn led_by(group: &Group) -> Option<String> {
    (!group.changes.is_empty()).then(|| group.changes.join("  "))
}

fn follows_desired(why: &Why) -> bool {
    matches!(why, Why::BelowDesired { .. } | Why::AboveDesired { .. } | Why::GroupDeleted { .. })
}

/// Does what the plan says. Launches of a zone are one call, as one call scans
/// addresses once; what one launches too much, because instances have
/// weights, the next launches less.
pub(super) fn carry_out(tx: &mut Tx<'_>, group: &Group, view: &GroupView, actions: Vec<Action>) {
    let mut followed = view.desired == view.capacity();
    if actions.is_empty() {
        if followed {
            forget_changes(tx, &group.name);
        }
        return;
    }
    let all = led_by(group);
    let led_by = |why: &Why| all.as_deref().filter(|_| follows_desired(why));
    let mut launches: Vec<Batch> = Vec::new();
    for action in actions {
        match action {
            Action::Terminate { instance, why } => {
                followed |= follows_desired(&why);
                begin_termination(tx, &instance, &why, led_by(&why));
            }
            Action::Launch { zone, why } => {
                followed |= follows_desired(&why);
                match launches.iter_mut().find(|batch| batch.zone == zone && batch.why == why) {
                    Some(batch) => batch.units += 1,
                    None => launches.push(Batch { zone, why, units: 1 }),
                }
            }
        }
    }
    let leaving = leaving(tx, view);
    let mut places = Places::new(view, &launches);
    let mut launches = VecDeque::from(launches);
    let mut too_many = 0;
    while let Some(mut batch) = launches.pop_front() {
        let credit = batch.units.min(too_many);
        (batch.units, too_many) = (batch.units - credit, too_many - credit);
        if batch.units == 0 {
            continue;
        }
        let tried = places.exhausted.contains(&batch.zone);
        let led_by = led_by(&batch.why);
        let outcome =
            if tried { Launched::NoCapacity(batch.units) } else { launch_batch(tx, group, &batch, (led_by, &leaving)) };
        match outcome {
            Launched::Yes { above } => too_many += above,
            Launched::Refused => break,
            // Balance is no reason to go elsewhere, and some want nothing but balance.
            Launched::NoCapacity(_) if stays(group, &batch.why) => {
                places.exhausted.insert(batch.zone);
                back_off(tx, &group.name);
            }
            Launched::NoCapacity(left) => {
                let elsewhere = places.elsewhere(batch.zone, left);
                if elsewhere.is_empty() {
                    back_off(tx, &group.name);
                    break;
                }
                let again = |(zone, units)| Batch { zone, why: batch.why.clone(), units };
                launches.extend(elsewhere.into_iter().map(again));
            }
        }
    }
    if followed {
        forget_changes(tx, &group.name);
    }
}

/// Activities have told what changed the desired capacity.
fn forget_changes(tx: &mut Tx<'_>, group: &GroupName) {
    if tx.groups.get(group.as_str()).is_some_and(|row| !row.changes.is_empty()) {
        tx.update(group.as_str(), |row: &mut Group| row.changes.clear());
    }
}

/// Whether a launch is tried in its own zone only.
fn stays(group: &Group, why: &Why) -> bool {
    *why == Why::Rebalance || group.zone_strategy == ZoneStrategy::BalancedOnly
}

/// Launches of one zone, for one reason.
struct Batch {
    zone: Zone,
    why: Why,
    /// How much capacity.
    units: u32,
}

/// Where else launches can go when a zone has no capacity (autoscaling.md 1.4).
struct Places {
    /// Capacity of the group, what is to be launched included, by zone.
    counts: BTreeMap<Zone, u32>,
    /// Zones that have refused.
    exhausted: BTreeSet<Zone>,
}

impl Places {
    fn new(view: &GroupView, launches: &[Batch]) -> Places {
        let mut counts: BTreeMap<Zone, u32> = view.zones.iter().map(|zone| (zone.clone(), 0)).collect();
        let there = view.counted().map(|member| (&member.zone, member.weight));
        for (zone, more) in there.chain(launches.iter().map(|batch| (&batch.zone, batch.units))) {
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

/// How launches ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Launched {
    /// Well: as much as was wanted, or as its subnet had room for.
    Yes {
        /// So much more than was wanted.
        above: u32,
    },
    /// The zone has no capacity for so much: another may have some.
    NoCapacity(u32),
    /// Otherwise; the group backs off.
    Refused,
}

/// Launches members in one zone, from the warm pool first.
fn launch_batch(
    tx: &mut Tx<'_>,
    group: &Group,
    batch: &Batch,
    (led_by, leaving): (Option<&str>, &BTreeSet<InstanceId>),
) -> Launched {
    let taken = warm_pool::take(tx, group, &batch.zone, batch.units, &batch.why, led_by);
    let rest = batch.units.saturating_sub(taken);
    if rest == 0 {
        return Launched::Yes { above: 0 };
    }
    let place = LifecycleState::Pending;
    launch_members(tx, group, (&batch.zone, rest), Purpose { place, why: &batch.why, led_by, leaving })
}

/// Launches instances into the warm pool; whether it went well. The group
/// backs off otherwise.
pub(super) fn launch_into_pool(tx: &mut Tx<'_>, group: &Group, zone: &Zone, count: u32) -> bool {
    let purpose = Purpose { place: LifecycleState::WarmedPending, why: &Why::WarmPool, led_by: None, leaving: NOBODY };
    match launch_members(tx, group, (zone, count), purpose) {
        Launched::Yes { .. } => true,
        Launched::Refused => false,
        Launched::NoCapacity(_) => {
            back_off(tx, &group.name);
            false
        }
    }
}

/// What members are launched for.
#[derive(Clone, Copy)]
pub(super) struct Purpose<'a> {
    /// Their first state.
    pub(super) place: LifecycleState,
    pub(super) why: &'a Why,
    /// The sentence of what led to it.
    pub(super) led_by: Option<&'a str>,
    /// Members that are being replaced.
    pub(super) leaving: &'a BTreeSet<InstanceId>,
}

/// Nobody is being replaced.
pub(super) const NOBODY: &BTreeSet<InstanceId> = &BTreeSet::new();

/// The members that the plan is replacing, now or later.
fn leaving(tx: &Tx<'_>, view: &GroupView) -> BTreeSet<InstanceId> {
    let old = |id: &InstanceId| view.refresh.as_ref().is_some_and(|refresh| refresh.old.contains(id));
    let overaged = |member: &Member| {
        view.max_lifetime.is_some_and(|most| tx.now >= member.launched_at + most) && !member.protected
    };
    view.members
        .iter()
        .filter(|member| {
            member.marked_unhealthy.is_some() || member.at_risk || overaged(member) || old(&member.instance)
        })
        .map(|member| member.instance.clone())
        .collect()
}

/// Launches members in one zone: all, or as many as its subnet has addresses
/// for. Of several choices, one without capacity leads to the next. Each
/// refusal becomes a failed activity.
fn launch_members(tx: &mut Tx<'_>, group: &Group, (zone, units): (&Zone, u32), purpose: Purpose<'_>) -> Launched {
    let mut left = units;
    let mut tried: Vec<(String, Market)> = Vec::new();
    while left > 0 && tried.len() <= CHOICES_MAX {
        let choices = match choices(tx, group, (zone, left), &tried, purpose.leaving) {
            Ok(choices) if choices.is_empty() => return Launched::NoCapacity(left),
            Ok(choices) => choices,
            Err(refusal) => return refused(tx, group, zone, purpose, &refusal, left),
        };
        let known = tried.len();
        for choice in choices {
            let what = (choice.data.instance_type.clone().unwrap_or_default(), market(&choice.data));
            let launched = request(tx, group, zone, &choice, purpose).and_then(|request| launch::launch(tx, &request));
            match launched {
                Ok(ids) => {
                    let got = choice.weight.saturating_mul(ids.len() as u32);
                    note_launched(tx, group, &ids, purpose);
                    if got >= left {
                        return Launched::Yes { above: got - left };
                    }
                    left -= got;
                }
                Err(refusal) => {
                    let outcome = refused(tx, group, zone, purpose, &refusal, left);
                    let mixed = matches!(group.source, LaunchSource::Mixed(_));
                    if !mixed || outcome == Launched::Refused {
                        return outcome;
                    }
                    tried.push(what);
                }
            }
        }
        if tried.len() == known {
            // Less than was wanted, but all that there was room for.
            return if tried.is_empty() { Launched::Yes { above: 0 } } else { Launched::NoCapacity(left) };
        }
    }
    if left == 0 { Launched::Yes { above: 0 } } else { Launched::NoCapacity(left) }
}

fn market(data: &LaunchData) -> Market {
    if data.spot.is_some() { Market::Spot } else { Market::OnDemand }
}

pub(super) fn note_launched(tx: &mut Tx<'_>, group: &Group, ids: &[InstanceId], purpose: Purpose<'_>) {
    for id in ids {
        let Some(instance) = tx.get::<Instance>(id.as_str()) else { continue };
        let cause = purpose.why.cause(tx.now, Some(id), purpose.led_by);
        let begin = Begin { group: &group.name, instance: &instance, cause };
        let activity = if purpose.place.is_warm() {
            activity::launching_into_pool(tx, begin)
        } else {
            activity::launching(tx, begin)
        };
        set_activity(tx, id, activity);
    }
}

fn refused(
    tx: &mut Tx<'_>,
    group: &Group,
    zone: &Zone,
    purpose: Purpose<'_>,
    refusal: &Refusal,
    left: u32,
) -> Launched {
    let cause = purpose.why.cause(tx.now, None, purpose.led_by);
    activity::refused(tx, &group.name, cause, zone.as_str(), &refusal.message);
    if ZONE_IS_FULL.contains(&refusal.code) {
        return Launched::NoCapacity(left);
    }
    back_off(tx, &group.name);
    Launched::Refused
}

fn set_activity(tx: &mut Tx<'_>, instance: &InstanceId, activity: String) {
    tx.update(instance.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.activity = Some(activity);
        }
    });
}

/// What the group launches in a zone for so much capacity, in order: one
/// thing unless it has mixed instances.
pub(super) fn choices(
    tx: &mut Tx<'_>,
    group: &Group,
    (zone, units): (&Zone, u32),
    tried: &[(String, Market)],
    leaving: &BTreeSet<InstanceId>,
) -> Result<Vec<Choice>, Refusal> {
    let LaunchSource::Mixed(policy) = &group.source else {
        let (data, template) = launch_data(tx, &group.source)?;
        return Ok(vec![Choice { data, template, weight: 1, count: units }]);
    };
    let chosen = mixed::choose(tx, group, policy, Wanted { zone, units, tried, leaving })?;
    Ok(chosen
        .into_iter()
        .map(|Chosen { data, template, weight, count }| Choice { data, template, weight, count })
        .collect())
}

/// Instances to launch alike.
pub(super) struct Choice {
    data: LaunchData,
    template: Option<(LaunchTemplateId, u64)>,
    weight: u32,
    count: u32,
}

/// What a group asks of EC2 for instances in a zone.
pub(super) fn request(
    tx: &mut Tx<'_>,
    group: &Group,
    zone: &Zone,
    choice: &Choice,
    purpose: Purpose<'_>,
) -> Result<launch::Request, Refusal> {
    let mut data = choice.data.clone();
    data.subnet = Some(choose_subnet(tx, group, zone)?);
    data.placement.zone = None;
    if group.placement_group.is_some() {
        (data.placement.group, data.placement.group_id) = (group.placement_group.clone(), None);
    }
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
        template: choice.template.clone(),
        count_min: 1,
        count_max: choice.count,
        membership: Some(Membership {
            protected: group.protect_new && !purpose.place.is_warm(),
            launch_configuration: configuration,
            weight: choice.weight,
            ..Membership::new(group.name.clone(), purpose.place, tx.now)
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
