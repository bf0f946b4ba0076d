//! Which instance a scale-in takes next (EC2 Auto Scaling User Guide, "Work
//! with Amazon EC2 Auto Scaling termination policies").
//!
//! Zone balance comes before every policy; each policy only breaks the ties
//! of those before it; what is left is drawn. Protected instances, and those
//! that do not serve, are never chosen. Instances in zones that are no longer
//! enabled go first: AWS says only that they are moved.

use super::plan::{serves, zone_counts};
use super::{GroupView, Member, TerminationPolicy};
use crate::id::Zone;
use crate::time::{Span, Time};
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
}

impl<'a> Victims<'a> {
    pub(super) fn new(view: &'a GroupView, now: Time, draw: Draw) -> Victims<'a> {
        let candidates = view.counted().filter(|member| serves(member) && !member.protected).collect();
        Victims { view, now, draw, zones: zone_counts(view), candidates }
    }

    /// The next instance to go; it is no candidate afterwards.
    pub(super) fn next(&mut self) -> Option<&'a Member> {
        let fullest = self.candidates.iter().map(|member| self.fullness(&member.zone)).max()?;
        let mut tied: Vec<usize> = (0..self.candidates.len())
            .filter(|index| self.fullness(&self.candidates[*index].zone) == fullest)
            .collect();
        let policies: &[TerminationPolicy] = match self.view.termination_policies.as_slice() {
            [] => &[TerminationPolicy::Default],
            policies => policies,
        };
        for policy in policies {
            match policy {
                TerminationPolicy::Default => {
                    self.keep_least(&mut tied, |victims, member| victims.outdated(member, true));
                    self.keep_least(&mut tied, Victims::to_next_hour);
                }
                TerminationPolicy::OldestInstance => {
                    self.keep_least(&mut tied, |_, member| member.launched_at);
                }
                TerminationPolicy::NewestInstance => {
                    self.keep_least(&mut tied, |_, member| std::cmp::Reverse(member.launched_at));
                }
                TerminationPolicy::OldestLaunchTemplate => {
                    self.keep_least(&mut tied, |victims, member| victims.outdated(member, false));
                }
                TerminationPolicy::ClosestToNextInstanceHour => {
                    self.keep_least(&mut tied, Victims::to_next_hour);
                }
            }
        }
        let chosen = tied[self.draw.below(tied.len())];
        let member = self.candidates.remove(chosen);
        self.zones.entry(&member.zone).and_modify(|count| *count -= 1);
        Some(member)
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

    /// Smaller is more outdated: no launch template at all (told apart only if
    /// `apart`), another launch template, an old version of the group's own.
    fn outdated(&self, member: &Member, apart: bool) -> (u8, u64) {
        match (&member.launch_template_version, &self.view.current_launch_template) {
            (None, Some(_)) => (if apart { 0 } else { 1 }, 0),
            (Some((template, version)), Some(current)) if template == current => (2, *version),
            (Some(_), Some(_)) => (1, 0),
            (_, None) => (2, 0),
        }
    }

    /// How long until the instance has run another full hour.
    fn to_next_hour(&self, member: &Member) -> i64 {
        let ran = (self.now - member.launched_at).seconds();
        BILLING_HOUR.seconds() - ran.rem_euclid(BILLING_HOUR.seconds())
    }
}
