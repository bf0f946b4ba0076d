//! Which instance a scale-in takes next (EC2 Auto Scaling User Guide, "Work
//! with Amazon EC2 Auto Scaling termination policies").
//!
//! Instances in zones that are no longer enabled go first: AWS says only that
//! they are moved. Of mixed instances, the purchase option that there is too
//! much of comes next; then zone balance, which comes before every policy; each
//! policy only breaks the ties of those before it; what is left is drawn. The
//! caller says who may go at all.

use super::plan::zone_counts;
use super::{GroupView, Member, TerminationPolicy, units};
use crate::id::Zone;
use crate::mixed::{Market, on_demand_units};
use crate::time::{Span, Time};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Instances were once billed by the hour.
const BILLING_HOUR: Span = Span::from_mins(60);

/// A sequence of numbers from one drawn number (splitmix64).
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(draw: u64) -> Draw {
        Draw(draw)
    }

    /// A number below `limit`, which is not zero.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// The candidates that are left, and the zones as they will be.
pub(super) struct Victims<'a> {
    view: &'a GroupView,
    now: Time,
    draw: Draw,
    zones: BTreeMap<&'a Zone, u32>,
    candidates: Vec<&'a Member>,
    /// The capacity that is left, and how much of it is bought on demand.
    capacity: u32,
    on_demand: u32,
}

impl<'a> Victims<'a> {
    pub(super) fn new(view: &'a GroupView, now: Time, draw: Draw, candidates: Vec<&'a Member>) -> Victims<'a> {
        let on_demand = units(view.counted().filter(|member| member.market == Market::OnDemand));
        let (zones, capacity) = (zone_counts(view), view.capacity());
        Victims { view, now, draw, zones, candidates, capacity, on_demand }
    }

    /// The next instance to go, which weighs at most `heaviest`; it is no
    /// candidate afterwards.
    pub(super) fn next(&mut self, heaviest: u32) -> Option<&'a Member> {
        let mut tied: Vec<usize> =
            (0..self.candidates.len()).filter(|index| self.candidates[*index].weight <= heaviest).collect();
        if tied.iter().any(|index| self.elsewhere(*index)) {
            tied.retain(|index| self.elsewhere(*index));
        }
        self.keep_market(&mut tied);
        let fullest = tied.iter().map(|index| self.fullness(&self.candidates[*index].zone)).max()?;
        tied.retain(|index| self.fullness(&self.candidates[*index].zone) == fullest);
        let policies: &[TerminationPolicy] = match self.view.termination_policies.as_slice() {
            [] => &[TerminationPolicy::Default],
            policies => policies,
        };
        for policy in policies {
            match policy {
                TerminationPolicy::Default => {
                    if self.view.distribution.is_some() {
                        self.keep_least(&mut tied, |_, member| Reverse(member.misfit));
                    }
                    self.keep_least(&mut tied, |victims, member| victims.outdated(member, true));
                    self.keep_least(&mut tied, Victims::to_next_hour);
                }
                TerminationPolicy::OldestInstance => {
                    self.keep_least(&mut tied, |_, member| member.launched_at);
                }
                TerminationPolicy::NewestInstance => {
                    self.keep_least(&mut tied, |_, member| Reverse(member.launched_at));
                }
                TerminationPolicy::OldestLaunchTemplate => {
                    self.keep_least(&mut tied, |victims, member| victims.outdated(member, false));
                }
                TerminationPolicy::ClosestToNextInstanceHour => {
                    self.keep_least(&mut tied, Victims::to_next_hour);
                }
                TerminationPolicy::OldestLaunchConfiguration => {
                    self.keep_least(&mut tied, Victims::old_configuration);
                }
                TerminationPolicy::AllocationStrategy => {
                    self.keep_least(&mut tied, |_, member| Reverse(member.misfit));
                }
            }
        }
        let chosen = tied[self.draw.below(tied.len())];
        let member = self.candidates.remove(chosen);
        self.zones.entry(&member.zone).and_modify(|count| *count -= member.weight);
        self.capacity -= member.weight;
        self.on_demand -= if member.market == Market::OnDemand { member.weight } else { 0 };
        Some(member)
    }

    /// Whether a candidate is in a zone that is no longer enabled.
    fn elsewhere(&self, index: usize) -> bool {
        !self.view.zones.contains(&self.candidates[index].zone)
    }

    /// Keeps the purchase option of which there will be too much, if any of it may go.
    fn keep_market(&self, tied: &mut Vec<usize>) {
        let Some(distribution) = &self.view.distribution else { return };
        let target = on_demand_units(distribution, self.capacity.saturating_sub(1));
        let market = if self.on_demand > target { Market::OnDemand } else { Market::Spot };
        if tied.iter().any(|index| self.candidates[*index].market == market) {
            tied.retain(|index| self.candidates[*index].market == market);
        }
    }

    fn fullness(&self, zone: &Zone) -> (bool, u32) {
        (!self.view.zones.contains(zone), self.zones.get(zone).copied().unwrap_or(0))
    }

    fn keep_least<K: Ord>(&self, tied: &mut Vec<usize>, key: impl Fn(&Self, &Member) -> K) {
        let key = |index: &usize| key(self, self.candidates[*index]);
        if let Some(least) = tied.iter().map(key).min() {
            tied.retain(|index| key(index) == least);
        }
    }

    /// Smaller is more outdated. Told apart only if `apart`: what came from a
    /// launch configuration goes before other launch templates, and those
    /// before old versions of the group's own; a group with a launch
    /// configuration goes by these.
    fn outdated(&self, member: &Member, apart: bool) -> (u8, u64) {
        let made = |at: Time| u64::try_from(at.millis()).unwrap_or(0);
        match (&member.launch_template_version, &self.view.current_launch_template) {
            (None, Some(_)) if apart => (0, member.launch_configuration.as_ref().map_or(0, |(_, at)| made(*at))),
            (None, Some(_)) => (1, 0),
            (Some((template, version)), Some(current)) if template == current => (2, *version),
            (Some(_), _) => (1, 0),
            (None, None) if apart => {
                let (foreign, at) = self.old_configuration(member);
                (if foreign == 0 { 1 } else { 2 }, made(at))
            }
            (None, None) => (2, 0),
        }
    }

    /// Smaller is more outdated: another configuration than the group's, the
    /// oldest first, then the group's own, then none.
    fn old_configuration(&self, member: &Member) -> (u8, Time) {
        match &member.launch_configuration {
            Some((name, at)) => (u8::from(self.view.current_launch_configuration.as_ref() == Some(name)), *at),
            None => (2, Time(0)),
        }
    }

    /// How long until the instance has run another full hour.
    fn to_next_hour(&self, member: &Member) -> i64 {
        let ran = (self.now - member.launched_at).seconds();
        BILLING_HOUR.seconds() - ran.rem_euclid(BILLING_HOUR.seconds())
    }
}
