//! The next step of a group: an ordered list of methods, of which the first
//! with work wins the round. Replace the unhealthy; follow desired (which
//! meets the minimum too, as what is wanted is never below it); go on with
//! the instance refresh; replace spot instances at risk; balance purchase
//! options, then zones; replace what has lived too long.
//!
//! Capacity is counted in units, which are instances unless they have
//! weights. Invariants: a plan never raises the capacity above what is wanted,
//! except to launch before it terminates (balancing: by at most a tenth of
//! MaxSize or one; replacing: as far as the percentages say, or one); never
//! takes the instances in service below what is wanted while others are still
//! being launched, unless they are replaced. A suspended process does nothing
//! here (autoscaling.md 6).

use super::replace::works;
use super::victim::{Draw, Victims};
use super::{Action, Blocked, GroupView, Member, Plan, Process, Why, units};
use crate::id::Zone;
use crate::lifecycle::LifecycleState;
use crate::scaling::warming;
use crate::time::{Span, Time};
use std::collections::BTreeMap;

/// One commit must stay short, so one plan launches at most this many.
pub const LAUNCH_BATCH_MAX: u32 = 100;

/// One commit must stay short, so one plan terminates at most this many.
pub const TERMINATE_BATCH_MAX: u32 = 100;

/// A tenth of the group is replaced at a time, when its instances still run
/// (EC2 Auto Scaling User Guide, "Health checks"), and capacity may go a tenth
/// above MaxSize when zones are balanced.
pub(super) const TENTH: u32 = 10;

/// What to do next, at most `LAUNCH_BATCH_MAX` launches and
/// `TERMINATE_BATCH_MAX` terminations; plan again once they are recorded.
/// `draw` decides where AWS decides at random.
pub fn plan(view: &GroupView, now: Time, draw: u64) -> Plan {
    let round = Round::new(view, now, Draw::new(draw));
    if view.deleting {
        return round.delete();
    }
    let methods = [
        Round::replace_unhealthy,
        Round::follow_wanted,
        Round::refresh,
        Round::replace_at_risk,
        Round::balance_markets,
        Round::balance_zones,
        Round::replace_overaged,
    ];
    for (place, method) in methods.into_iter().enumerate() {
        let plan = method(&round);
        // Replacing waits for nothing: what desired asks for comes before it.
        if !plan.actions.is_empty() || (plan.blocked.is_some() && place > 0) {
            return plan;
        }
    }
    Plan::default()
}

/// The view, with what all methods need of it.
pub(super) struct Round<'a> {
    pub(super) view: &'a GroupView,
    pub(super) now: Time,
    pub(super) draw: Draw,
    pub(super) wanted: u32,
    pub(super) counted: u32,
    backoff_until: Option<Time>,
}

impl<'a> Round<'a> {
    fn new(view: &'a GroupView, now: Time, draw: Draw) -> Round<'a> {
        Round {
            view,
            now,
            draw,
            wanted: view.wanted(),
            counted: view.capacity(),
            backoff_until: view.launch_backoff_until.filter(|until| now < *until),
        }
    }

    pub(super) fn suspends(&self, process: Process) -> bool {
        self.view.suspends(process)
    }

    fn delete(&self) -> Plan {
        let actions = self.view.counted().take(TERMINATE_BATCH_MAX as usize).map(|member| Action::Terminate {
            instance: member.instance.clone(),
            why: Why::GroupDeleted { from: self.counted },
        });
        Plan { actions: actions.collect(), blocked: None }
    }

    fn follow_wanted(&self) -> Plan {
        if self.counted < self.wanted {
            return if self.suspends(Process::Launch) { Plan::default() } else { self.scale_out() };
        }
        // An unhealthy surplus has gone before: this one is healthy.
        let surplus = self.counted - self.wanted;
        if surplus == 0 || self.suspends(Process::Terminate) { Plan::default() } else { self.scale_in(surplus) }
    }

    fn scale_out(&self) -> Plan {
        if let Some(obstacle) = self.launch_obstacle() {
            return Plan { actions: Vec::new(), blocked: Some(obstacle) };
        }
        let launches = (self.wanted - self.counted).min(LAUNCH_BATCH_MAX);
        let why = Why::BelowDesired { from: self.counted, to: self.counted + launches };
        Plan { actions: self.launches(launches, &mut self.zone_counts(), &why), blocked: None }
    }

    /// Takes the surplus: what is being replaced first, as a replacement that
    /// was launched before may have made it.
    fn scale_in(&self, surplus: u32) -> Plan {
        let outgoing: Vec<&Member> = self.view.counted().filter(|member| self.outgoing(member).is_some()).collect();
        if outgoing.is_empty() {
            return self.scale_in_healthy(surplus);
        }
        let staying = self.view.counted().filter(|member| self.outgoing(member).is_none());
        let warmup = self.view.refresh.as_ref().map_or(self.warmup(), |refresh| refresh.warmup.max(self.warmup()));
        let ready = units(staying.filter(|member| self.ready(member, warmup)));
        let replaced = units(outgoing.iter().copied());
        // One at risk may be as new as a replacement.
        let works = |member: &&Member| works(member) && (!member.at_risk || self.ready(member, warmup));
        let working = units(outgoing.iter().copied().filter(works));
        let chosen = self.choose_outgoing(outgoing, surplus, (ready + working).saturating_sub(self.wanted));
        if chosen.is_empty() && surplus > replaced {
            return self.scale_in_healthy(surplus - replaced);
        }
        let why = |member: &Member| self.outgoing(member).expect("only outgoing ones are candidates");
        Plan { actions: terminations(&chosen, why), blocked: None }
    }

    fn scale_in_healthy(&self, surplus: u32) -> Plan {
        let in_service = units(self.view.counted().filter(|member| serves(member)));
        let allowed = surplus.min(in_service.saturating_sub(self.wanted)).min(TERMINATE_BATCH_MAX);
        let candidates: Vec<&Member> = self
            .view
            .counted()
            .filter(|member| serves(member) && !member.protected && self.outgoing(member).is_none())
            .collect();
        let protected = candidates.is_empty();
        let chosen = self.choose(candidates, allowed);
        let blocked = if !chosen.is_empty() {
            None
        } else if allowed == 0 {
            Some(Blocked::Launching)
        } else {
            // Instances that weigh more than the surplus stay.
            protected.then_some(Blocked::AllProtected)
        };
        let why = Why::AboveDesired { from: self.counted, to: self.counted - units(chosen.iter().copied()) };
        Plan { actions: terminations(&chosen, |_| why.clone()), blocked }
    }

    /// Victims of the termination policies, that weigh at most `allowed` together.
    pub(super) fn choose(&self, candidates: Vec<&'a Member>, mut allowed: u32) -> Vec<&'a Member> {
        let mut victims = Victims::new(self.view, self.now, self.draw, candidates);
        let mut chosen = Vec::new();
        while allowed > 0 && chosen.len() < TERMINATE_BATCH_MAX as usize {
            let Some(member) = victims.next(allowed) else { break };
            allowed -= member.weight;
            chosen.push(member);
        }
        chosen
    }

    pub(super) fn launch_obstacle(&self) -> Option<Blocked> {
        if self.view.zones.is_empty() {
            return Some(Blocked::NoZone);
        }
        self.backoff_until.map(|until| Blocked::LaunchBackoff { until })
    }

    pub(super) fn launches(&self, number: u32, zones: &mut BTreeMap<&'a Zone, u32>, why: &Why) -> Vec<Action> {
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
    pub(super) fn emptiest(&self, zones: &BTreeMap<&'a Zone, u32>, except: &[Zone]) -> Option<&'a Zone> {
        let enabled = self.view.zones.iter().filter(|zone| !except.contains(zone));
        enabled.min_by_key(|zone| zones.get(zone).copied().unwrap_or(0))
    }

    pub(super) fn zone_counts(&self) -> BTreeMap<&'a Zone, u32> {
        zone_counts(self.view)
    }

    /// DefaultInstanceWarmup, zero without one.
    pub(super) fn warmup(&self) -> Span {
        self.view.default_instance_warmup.unwrap_or_default()
    }

    /// Whether a member does the group's work, has passed its first health
    /// checks and is warm: another may go because of it.
    pub(super) fn ready(&self, member: &Member, warmup: Span) -> bool {
        serves(member) && member.checked && !warming(member.in_service_since, warmup, self.now)
    }
}

/// One termination for each of `chosen`.
pub(super) fn terminations(chosen: &[&Member], why: impl Fn(&Member) -> Why) -> Vec<Action> {
    chosen.iter().map(|member| Action::Terminate { instance: member.instance.clone(), why: why(member) }).collect()
}

/// Whether a member does the group's work.
pub(super) fn serves(member: &Member) -> bool {
    member.lifecycle == LifecycleState::InService && member.marked_unhealthy.is_none()
}

/// The capacity that counts, by zone.
pub(super) fn zone_counts(view: &GroupView) -> BTreeMap<&Zone, u32> {
    let mut counts = BTreeMap::new();
    for member in view.counted() {
        *counts.entry(&member.zone).or_default() += member.weight;
    }
    counts
}
