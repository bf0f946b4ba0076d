//! Balancing what a group has over its zones and purchase options: launch
//! first, in the place that has too little; the surplus then goes by scale-in,
//! which takes it from the place that has too much once the new instances are
//! in service (EC2 Auto Scaling User Guide, "Availability Zone balanced").

use super::plan::{LAUNCH_BATCH_MAX, Round, TENTH, serves, terminations};
use super::{Action, Member, Plan, Process, Why, units};
use crate::id::Zone;
use crate::mixed::{Market, on_demand_units};
use std::collections::BTreeMap;

/// How much may be moved in one round.
enum Way {
    /// So much above what is wanted is launched first.
    LaunchFirst(u32),
    /// So much goes at the same time.
    Together(u32),
}

impl<'a> Round<'a> {
    /// Launches in the emptiest zone for as long as another zone has an
    /// instance that may go and too many more instances, or is not enabled any
    /// more. Only a group that is otherwise at rest is balanced. Without
    /// Terminate the launches happen alone, and nothing more is launched for
    /// what they have put right.
    pub(super) fn balance_zones(&self) -> Plan {
        let stuck = self.suspends(Process::Terminate);
        let at_rest = self.view.counted().all(serves) && self.view.refresh.is_none();
        let fits = self.counted == self.wanted || (stuck && self.counted > self.wanted);
        if self.suspends(Process::AZRebalance) || self.suspends(Process::Launch) || !fits || !at_rest {
            return Plan::default();
        }
        if self.launch_obstacle().is_some() {
            return Plan::default();
        }
        let surplus = self.counted - self.wanted;
        let moves = match self.way(stuck) {
            Way::LaunchFirst(most) => self.moves(surplus, most.saturating_sub(surplus)),
            Way::Together(most) => {
                let moves = self.moves(surplus, most);
                return self.move_together(&moves);
            }
        };
        let launch = |(_, to): &(&Zone, &Zone)| Action::Launch { zone: (*to).clone(), why: Why::Rebalance };
        Plan { actions: moves.iter().map(launch).collect(), blocked: None }
    }

    /// A maintenance policy says which comes first; without one a tenth of
    /// MaxSize is launched first. Mixed instances move one at a time, as each
    /// changes which purchase option comes next.
    fn way(&self, stuck: bool) -> Way {
        if self.view.distribution.is_some() {
            return Way::LaunchFirst(1);
        }
        let default = Way::LaunchFirst((self.view.bounds.max / TENTH).clamp(1, LAUNCH_BATCH_MAX));
        let Some(policy) = self.view.maintenance.filter(|_| !stuck) else { return default };
        let above = (u64::from(self.wanted) * u64::from(policy.max_percent.saturating_sub(100)) / 100) as u32;
        let below = (u64::from(self.wanted) * u64::from(100 - policy.min_percent.min(100)) / 100) as u32;
        match (above, below) {
            (0, 0) => Way::LaunchFirst(1),
            (0, below) => Way::Together(below.min(LAUNCH_BATCH_MAX)),
            (above, _) => Way::LaunchFirst(above.min(LAUNCH_BATCH_MAX)),
        }
    }

    fn move_together(&self, moves: &[(&'a Zone, &'a Zone)]) -> Plan {
        let mut actions = Vec::new();
        let mut taken: Vec<&Member> = Vec::new();
        for (from, to) in moves {
            let fits = |member: &&Member| {
                member.zone == **from
                    && !member.protected
                    && taken.iter().all(|other| other.instance != member.instance)
            };
            let candidates: Vec<&Member> = self.view.counted().filter(fits).collect();
            let Some(victim) = self.choose(candidates, self.view.heaviest).first().copied() else { break };
            taken.push(victim);
            actions.extend(terminations(&[victim], |_| Why::RebalanceOut));
            let launch = Action::Launch { zone: (*to).clone(), why: Why::Rebalance };
            actions.extend(std::iter::repeat_n(launch, victim.weight as usize));
        }
        Plan { actions, blocked: None }
    }

    /// Up to `most` moves from zone to zone, once `surplus` has been taken
    /// from the fullest zones.
    fn moves(&self, surplus: u32, most: u32) -> Vec<(&'a Zone, &'a Zone)> {
        let mut zones = self.zone_counts();
        let mut movable: BTreeMap<&Zone, u32> = BTreeMap::new();
        for member in self.view.counted().filter(|member| !member.protected) {
            *movable.entry(&member.zone).or_default() += member.weight;
        }
        let mut moves = Vec::new();
        let mut surplus = surplus;
        loop {
            let fullest = |zone: &&Zone| (!self.view.zones.contains(zone), zones[*zone]);
            let full = movable.iter().filter(|(_, left)| **left > 0).map(|(zone, _)| *zone).max_by_key(fullest);
            let Some(from) = full else { return moves };
            if surplus == 0 {
                let Some(to) = self.emptiest(&zones, &self.view.without_capacity) else { return moves };
                let least = zones.get(to).copied().unwrap_or(0);
                let overfull = !self.view.zones.contains(from) || zones[from] > least + self.view.heaviest;
                if !overfull || moves.len() >= most as usize || !self.takes_from(from) {
                    return moves;
                }
                *zones.entry(to).or_default() += 1;
                moves.push((from, to));
            }
            surplus = surplus.saturating_sub(1);
            movable.entry(from).and_modify(|left| *left -= 1);
            zones.entry(from).and_modify(|count| *count -= 1);
        }
    }

    /// Whether scale-in, which looks at purchase options before zones and
    /// takes nothing that weighs more than the surplus, will take from a zone
    /// what a launch elsewhere has made too much. If it did not, the group
    /// would launch and terminate for ever.
    fn takes_from(&self, zone: &Zone) -> bool {
        let Some(distribution) = &self.view.distribution else { return true };
        let fits = |member: &&Member| !member.protected && member.weight <= self.view.lightest;
        let candidates = || self.view.counted().filter(fits);
        let has_one = candidates().any(|member| member.zone == *zone);
        if !self.view.zones.contains(zone) {
            return has_one;
        }
        let on_demand = units(self.view.counted().filter(|member| member.market == Market::OnDemand));
        let launches_on_demand = on_demand < on_demand_units(distribution, self.wanted + 1);
        let then = on_demand + u32::from(launches_on_demand);
        let market = if then > on_demand_units(distribution, self.wanted) { Market::OnDemand } else { Market::Spot };
        let zones: Vec<&Zone> =
            candidates().filter(|member| member.market == market).map(|member| &member.zone).collect();
        // With no such candidate all are, unless what is launched is one.
        let newcomer = launches_on_demand == (market == Market::OnDemand);
        (zones.is_empty() && !newcomer && has_one) || zones.contains(&zone)
    }

    /// A group whose purchase options have come away from its distribution
    /// launches what it lacks; scale-in then takes what there is too much of.
    pub(super) fn balance_markets(&self) -> Plan {
        let Some(distribution) = &self.view.distribution else { return Plan::default() };
        let at_rest = self.view.counted().all(serves) && self.view.refresh.is_none();
        let may = !self.suspends(Process::Launch) && !self.suspends(Process::Terminate);
        if self.counted != self.wanted || !at_rest || !may || self.launch_obstacle().is_some() {
            return Plan::default();
        }
        let movable = |market| move |member: &&Member| member.market == market && !member.protected;
        let on_demand = units(self.view.counted().filter(|member| member.market == Market::OnDemand));
        let target = on_demand_units(distribution, self.wanted);
        let (excess, market) = if on_demand > target {
            (on_demand - target, Market::OnDemand)
        } else {
            (target - on_demand, Market::Spot)
        };
        let excess = excess.min(units(self.view.counted().filter(movable(market))));
        if excess < self.view.heaviest {
            return Plan::default();
        }
        let most = (self.view.bounds.max / TENTH).clamp(1, LAUNCH_BATCH_MAX);
        Plan { actions: self.launches(excess.min(most), &mut self.zone_counts(), &Why::Rebalance), blocked: None }
    }
}
