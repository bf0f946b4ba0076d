//! The next step of a group: an ordered list of methods, of which the first
//! with work wins the round. Replace the unhealthy; follow desired (which
//! meets the minimum too, as what is wanted is never below it); balance the
//! zones.
//!
//! Invariants: a plan never raises the capacity above what is wanted, except
//! when balancing zones, and then by at most a tenth of MaxSize or one; never
//! takes the instances in service below what is wanted while others are still
//! being launched, unless they are unhealthy.

use super::victim::{Draw, Victims};
use super::{Action, Blocked, GroupView, Member, Plan, UnhealthyCause, Why};
use crate::id::Zone;
use crate::lifecycle::LifecycleState;
use crate::scaling::warming;
use crate::time::Time;
use std::collections::BTreeMap;

/// One commit must stay short, so one plan launches at most this many.
pub const LAUNCH_BATCH_MAX: u32 = 100;

/// One commit must stay short, so one plan terminates at most this many.
pub const TERMINATE_BATCH_MAX: u32 = 100;

/// A tenth of the group is replaced at a time, when its instances still run
/// (EC2 Auto Scaling User Guide, "Health checks"), and capacity may go a tenth
/// above MaxSize when zones are balanced.
const TENTH: u32 = 10;

/// What to do next, at most `LAUNCH_BATCH_MAX` launches and
/// `TERMINATE_BATCH_MAX` terminations; plan again once they are recorded.
/// `draw` decides where AWS decides at random.
pub fn plan(view: &GroupView, now: Time, draw: u64) -> Plan {
    let round = Round::new(view, now);
    if view.deleting {
        return round.delete();
    }
    let replaced = round.replace_unhealthy();
    if !replaced.actions.is_empty() {
        return replaced;
    }
    let followed = round.follow_wanted(Draw::new(draw));
    if !followed.actions.is_empty() || followed.blocked.is_some() {
        return followed;
    }
    round.balance_zones()
}

/// Capacity as a count of things; more than four billion do not fit in memory.
fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// The view, with what all methods need of it.
struct Round<'a> {
    view: &'a GroupView,
    now: Time,
    wanted: u32,
    counted: u32,
    backoff_until: Option<Time>,
}

impl<'a> Round<'a> {
    fn new(view: &'a GroupView, now: Time) -> Round<'a> {
        Round {
            view,
            now,
            wanted: view.wanted(),
            counted: count(view.counted()),
            backoff_until: view.launch_backoff_until.filter(|until| now < *until),
        }
    }

    fn unhealthy(&self) -> impl Iterator<Item = (&'a Member, UnhealthyCause)> {
        self.view.counted().filter_map(|member| Some((member, member.marked_unhealthy?)))
    }

    fn delete(&self) -> Plan {
        let actions = self.view.counted().take(TERMINATE_BATCH_MAX as usize).map(|member| Action::Terminate {
            instance: member.instance.clone(),
            why: Why::GroupDeleted { from: self.counted },
        });
        Plan { actions: actions.collect(), blocked: None }
    }

    /// Terminates unhealthy members and launches as many in the same round,
    /// as far as the group wants them replaced. Those that do not run, or that
    /// a user called unhealthy, go at once. The others go a tenth of the group
    /// at a time, each batch after the one before it is in service and warm,
    /// and not while launches fail: they may still do some work.
    fn replace_unhealthy(&self) -> Plan {
        let at_once = |cause| matches!(cause, UnhealthyCause::Ec2State | UnhealthyCause::User);
        let surplus = self.counted.saturating_sub(self.wanted);
        let mut paced_left = surplus + if self.backoff_until.is_some() { 0 } else { self.pace() };
        let (now_ones, others): (Vec<_>, Vec<_>) = self.unhealthy().partition(|(_, cause)| at_once(*cause));
        paced_left = paced_left.saturating_sub(count(now_ones.iter()).min(surplus));
        let chosen: Vec<(&Member, UnhealthyCause)> = now_ones
            .into_iter()
            .chain(others.into_iter().take(paced_left as usize))
            .take(TERMINATE_BATCH_MAX as usize)
            .collect();

        let mut zones = self.zone_counts();
        for (member, _) in &chosen {
            zones.entry(&member.zone).and_modify(|count| *count -= 1);
        }
        let going = count(chosen.iter());
        let replacements = self.wanted.saturating_sub(self.counted - going).min(going);
        let mut actions: Vec<Action> = chosen
            .iter()
            .map(|(member, cause)| Action::Terminate { instance: member.instance.clone(), why: Why::Unhealthy(*cause) })
            .collect();
        let blocked = if replacements == 0 { None } else { self.launch_obstacle() };
        if blocked.is_none() {
            actions.extend(self.launches(replacements, &mut zones, &Why::Replacement));
        }
        Plan { actions, blocked }
    }

    /// How many instances that still run may be replaced now. What the group
    /// lacks counts as being replaced: where launches fail again and again, it
    /// must not lose one more instance with each attempt.
    fn pace(&self) -> u32 {
        let warmup = self.view.default_instance_warmup.unwrap_or_default();
        let under_way = self.view.counted().filter(|member| {
            member.marked_unhealthy.is_none()
                && (member.lifecycle == LifecycleState::Pending || warming(member.in_service_since, warmup, self.now))
        });
        let lacking = self.wanted.saturating_sub(self.counted);
        (self.wanted / TENTH).max(1).saturating_sub(count(under_way) + lacking)
    }

    fn follow_wanted(&self, draw: Draw) -> Plan {
        if self.counted < self.wanted {
            return self.scale_out();
        }
        // An unhealthy surplus has gone before: this one is healthy.
        let surplus = self.counted - self.wanted;
        if surplus > 0 { self.scale_in(surplus, draw) } else { Plan::default() }
    }

    fn scale_out(&self) -> Plan {
        if let Some(obstacle) = self.launch_obstacle() {
            return Plan { actions: Vec::new(), blocked: Some(obstacle) };
        }
        let launches = (self.wanted - self.counted).min(LAUNCH_BATCH_MAX);
        let why = Why::BelowDesired { from: self.counted, to: self.counted + launches };
        Plan { actions: self.launches(launches, &mut self.zone_counts(), &why), blocked: None }
    }

    fn scale_in(&self, surplus: u32, draw: Draw) -> Plan {
        let in_service = count(self.view.counted().filter(|member| serves(member)));
        let allowed = surplus.min(in_service.saturating_sub(self.wanted)).min(TERMINATE_BATCH_MAX);
        let mut victims = Victims::new(self.view, self.now, draw);
        let chosen: Vec<&Member> = std::iter::from_fn(|| victims.next()).take(allowed as usize).collect();
        let blocked = if !chosen.is_empty() {
            None
        } else if allowed == 0 {
            Some(Blocked::Launching)
        } else {
            Some(Blocked::AllProtected)
        };
        let why = Why::AboveDesired { from: self.counted, to: self.counted - count(chosen.iter()) };
        let actions = chosen
            .into_iter()
            .map(|member| Action::Terminate { instance: member.instance.clone(), why: why.clone() })
            .collect();
        Plan { actions, blocked }
    }

    /// Launches in the emptiest zone for as long as another zone has an
    /// instance that may go and at least two more instances, or is not
    /// enabled any more. The surplus then goes by scale-in, which takes it
    /// from the fullest zone once the new ones are in service. Only a group
    /// that is otherwise at rest is balanced.
    fn balance_zones(&self) -> Plan {
        let at_rest = self.view.counted().all(serves);
        if self.counted != self.wanted || !at_rest || self.launch_obstacle().is_some() {
            return Plan::default();
        }
        let mut zones = self.zone_counts();
        let mut movable: BTreeMap<&Zone, u32> = BTreeMap::new();
        for member in self.view.counted().filter(|member| !member.protected) {
            *movable.entry(&member.zone).or_default() += 1;
        }
        let limit = (self.view.bounds.max / TENTH).clamp(1, LAUNCH_BATCH_MAX);
        let mut actions = Vec::new();
        while count(actions.iter()) < limit {
            let Some(emptiest) = self.emptiest(&zones, &self.view.without_capacity) else {
                break;
            };
            let least = zones.get(emptiest).copied().unwrap_or(0);
            let overfull = |zone: &Zone| !self.view.zones.contains(zone) || zones[zone] > least + 1;
            let Some(from) = movable
                .iter()
                .filter(|(zone, left)| **left > 0 && overfull(zone))
                .map(|(zone, _)| *zone)
                .max_by_key(|zone| (!self.view.zones.contains(zone), zones[*zone]))
            else {
                break;
            };
            movable.entry(from).and_modify(|left| *left -= 1);
            zones.entry(from).and_modify(|count| *count -= 1);
            *zones.entry(emptiest).or_default() += 1;
            actions.push(Action::Launch { zone: emptiest.clone(), why: Why::Rebalance });
        }
        Plan { actions, blocked: None }
    }

    fn launch_obstacle(&self) -> Option<Blocked> {
        if self.view.zones.is_empty() {
            return Some(Blocked::NoZone);
        }
        self.backoff_until.map(|until| Blocked::LaunchBackoff { until })
    }

    fn launches(&self, number: u32, zones: &mut BTreeMap<&'a Zone, u32>, why: &Why) -> Vec<Action> {
        let mut actions = Vec::new();
        for _ in 0..number.min(LAUNCH_BATCH_MAX) {
            let Some(zone) = self.emptiest(zones, &[]) else {
                break;
            };
            *zones.entry(zone).or_default() += 1;
            actions.push(Action::Launch { zone: zone.clone(), why: why.clone() });
        }
        actions
    }

    /// The enabled zone with the fewest instances, the first of these, that is
    /// none of `except`.
    fn emptiest(&self, zones: &BTreeMap<&'a Zone, u32>, except: &[Zone]) -> Option<&'a Zone> {
        let enabled = self.view.zones.iter().filter(|zone| !except.contains(zone));
        enabled.min_by_key(|zone| zones.get(zone).copied().unwrap_or(0))
    }

    fn zone_counts(&self) -> BTreeMap<&'a Zone, u32> {
        zone_counts(self.view)
    }
}

/// Whether a member does the group's work.
pub(super) fn serves(member: &Member) -> bool {
    member.lifecycle == LifecycleState::InService && member.marked_unhealthy.is_none()
}

/// The instances that count as capacity, by zone.
pub(super) fn zone_counts(view: &GroupView) -> BTreeMap<&Zone, u32> {
    let mut counts = BTreeMap::new();
    for member in view.counted() {
        *counts.entry(&member.zone).or_default() += 1;
    }
    counts
}
