//! Choosing a target of a group on one thread (alb.md 3.2 to 3.4). The sets
//! that a request picks from are computed when something changed; a pick
//! costs the same for ten targets and for a thousand.

use crate::local::TargetLocal;
use crate::state::{GroupState, GroupTable, ZoneId};
use elastane_domain::choice::{self, Candidates, Shares, TargetView, WEIGHT_FULL};
use elastane_domain::routing::{Algorithm, ProtocolVersion, Stickiness, StickinessKind, TargetGroup};
use elastane_domain::time::Time;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;

/// An epoch that never comes: a set of this epoch is computed anew.
const STALE: u64 = u64::MAX;

/// What the choice must know of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// The zone of the node that the client is connected to.
    pub(crate) zone: ZoneId,
    /// Service time.
    pub(crate) now: Time,
    /// Any number.
    pub(crate) draw: u64,
    /// Not this target, if there is another one.
    pub(crate) avoid: Option<u64>,
    /// The target that the client's cookie names, from [`crate::sticky::Sticky::target`].
    pub(crate) sticky: Option<usize>,
}

/// A target chosen for a request.
pub(crate) struct Choice {
    pub(crate) target: Rc<TargetLocal>,
    /// Too few targets are healthy, so any may be chosen.
    pub(crate) fail_open: bool,
    /// It is the one that the client's cookie names.
    pub(crate) stuck: bool,
}

/// The candidates of a node.
struct Set {
    /// `None`: for nodes of all zones.
    zone: Option<ZoneId>,
    epoch: u64,
    candidates: Candidates,
    /// While candidates are in slow start and others are not: those others.
    full: Vec<usize>,
    /// When the first slow start ends.
    slow_until: Time,
    /// Weights, when they are not all the same.
    shares: Option<Shares>,
    turn: u64,
    full_turn: u64,
}

impl Set {
    fn stale(zone: Option<ZoneId>, turn: u64) -> Set {
        Set {
            zone,
            epoch: STALE,
            candidates: Candidates::default(),
            full: Vec::new(),
            slow_until: Time(i64::MAX),
            shares: None,
            turn,
            full_turn: turn,
        }
    }
}

/// A target group with this thread's turns.
pub(crate) struct GroupLocal {
    pub(crate) state: Arc<GroupState>,
    pub(crate) config: Arc<TargetGroup>,
    /// Names the group in cookies.
    pub(crate) mark: u64,
    targets: Vec<Rc<TargetLocal>>,
    shifted_away: Vec<ZoneId>,
    /// For cookies: where the targets are in `targets`; empty without stickiness.
    places: HashMap<SocketAddrV4, usize>,
    sets: RefCell<Vec<Set>>,
    first_turn: Cell<u64>,
}

impl GroupLocal {
    /// The group of a table. Turns go on from those of `before`; a group
    /// without one starts at `turn`, so that threads begin at different targets.
    pub(crate) fn new(
        table: &GroupTable,
        targets: Vec<Rc<TargetLocal>>,
        before: Option<&GroupLocal>,
        turn: u64,
    ) -> GroupLocal {
        let sets = before.map_or_else(Vec::new, |before| {
            before.sets.borrow().iter().map(|set| Set::stale(set.zone, set.turn)).collect()
        });
        let sticky = table.config.stickiness.is_some();
        let places = targets.iter().enumerate().filter(|_| sticky);
        let places = places.map(|(index, target)| (target.state.key.address, index)).collect();
        GroupLocal {
            state: table.state.clone(),
            config: table.config.clone(),
            mark: crate::sticky::mark(table.config.arn.as_str()),
            targets,
            shifted_away: table.shifted_away.clone(),
            places,
            sets: RefCell::new(sets),
            first_turn: Cell::new(turn),
        }
    }

    /// Which HTTP its targets speak.
    pub(crate) fn version(&self) -> ProtocolVersion {
        self.config.version
    }

    /// The group's own stickiness, if it is by cookie.
    pub(crate) fn stickiness(&self) -> Option<&Stickiness> {
        self.config.stickiness.as_ref().filter(|stickiness| stickiness.kind != StickinessKind::SourceIp)
    }

    /// The name of the application's cookie that clients stay by.
    pub(crate) fn app_cookie(&self) -> Option<&str> {
        match &self.config.stickiness.as_ref()?.kind {
            StickinessKind::ApplicationCookie(name) => Some(name),
            StickinessKind::LoadBalancerCookie | StickinessKind::SourceIp => None,
        }
    }

    /// The place of the target with this address; only in groups with stickiness.
    pub(crate) fn place(&self, address: SocketAddrV4) -> Option<usize> {
        self.places.get(&address).copied()
    }

    /// Admissions changed below the group: all sets are computed anew.
    pub(crate) fn refresh(&self) {
        self.sets.borrow_mut().iter_mut().for_each(|set| set.epoch = STALE);
    }

    /// Chooses a target; `None` is 503.
    pub(crate) fn choose(&self, ask: &Ask) -> Option<Choice> {
        self.with_set(ask.zone, ask.now, |set| {
            let fail_open = set.candidates.fail_open;
            let named = ask.sticky.filter(|place| set.candidates.targets.binary_search(place).is_ok());
            let stuck = named.filter(|&place| Some(self.targets[place].state.id) != ask.avoid);
            let place = match stuck {
                Some(place) => place,
                None => {
                    let at = self.pick(set, ask)?;
                    match ask.avoid {
                        // The one after it; another turn would come back to it now and then.
                        Some(id) if self.targets[at].state.id == id => {
                            let targets = &set.candidates.targets;
                            let position = targets.binary_search(&at).unwrap_or(0);
                            targets[(position + 1) % targets.len()]
                        }
                        Some(_) | None => at,
                    }
                }
            };
            Some(Choice { target: self.targets[place].clone(), fail_open, stuck: stuck.is_some() })
        })
    }

    /// Picks by the algorithm: the place of a candidate.
    fn pick(&self, set: &mut Set, ask: &Ask) -> Option<usize> {
        let targets = &set.candidates.targets;
        let turn = set.turn;
        set.turn = turn.wrapping_add(1);
        let position = match self.config.algorithm {
            Algorithm::RoundRobin => choice::round_robin(targets.len(), turn),
            Algorithm::WeightedRandom { .. } => match &set.shares {
                Some(shares) => shares.pick(ask.draw),
                None => choice::uniform(targets.len(), ask.draw),
            },
            Algorithm::LeastOutstandingRequests => {
                choice::least_outstanding(targets.len(), turn, ask.draw, |position| {
                    self.targets[targets[position]].state.ledger.in_flight()
                })
            }
        };
        let place = targets[position?];
        if set.full.is_empty() {
            return Some(place);
        }
        // Slow start: what a target is spared goes to those at full share, in turn.
        match self.targets[place].state.slow_start() {
            Some(start) if choice::slow_share(start, ask.now) <= (ask.draw & 0xffff) as u32 => {
                let position = choice::round_robin(set.full.len(), set.full_turn)?;
                set.full_turn = set.full_turn.wrapping_add(1);
                Some(set.full[position])
            }
            Some(_) | None => Some(place),
        }
    }

    fn with_set<R>(&self, zone: ZoneId, now: Time, with: impl FnOnce(&mut Set) -> R) -> R {
        let zone = if self.config.cross_zone { None } else { Some(zone) };
        let mut sets = self.sets.borrow_mut();
        let index = match sets.iter().position(|set| set.zone == zone) {
            Some(index) => index,
            None => {
                sets.push(Set::stale(zone, self.first_turn.get()));
                sets.len() - 1
            }
        };
        let set = &mut sets[index];
        // The epoch is read first: a change in between makes the next choice compute anew.
        let epoch = self.state.health_epoch();
        if set.epoch != epoch || now >= set.slow_until {
            self.compute(set, now);
            set.epoch = epoch;
        }
        with(set)
    }

    fn compute(&self, set: &mut Set, now: Time) {
        let views: Vec<_> = self.targets.iter().map(|target| self.view(target)).collect();
        set.candidates = choice::candidates(&views, set.zone, self.config.routing_minimum);
        let places = &set.candidates.targets;
        let ends = |place: usize| {
            let start = self.targets[place].state.slow_start().filter(|start| !start.is_over(now));
            start.map(|start| start.since + start.duration)
        };
        set.slow_until = places.iter().filter_map(|&place| ends(place)).min().unwrap_or(Time(i64::MAX));
        let slow = set.slow_until.millis() != i64::MAX && !set.candidates.fail_open;
        set.full =
            if slow { places.iter().copied().filter(|&place| ends(place).is_none()).collect() } else { Vec::new() };
        let weight = |place: &usize| self.targets[*place].state.weight();
        set.shares =
            places.iter().any(|place| weight(place) != WEIGHT_FULL).then(|| Shares::new(places.iter().map(weight)));
    }

    fn view(&self, target: &TargetLocal) -> TargetView {
        let zone = target.state.zone.zone_id;
        TargetView {
            admission: target.admission.get(),
            health: target.state.health(),
            zone,
            shifted_away: zone.is_some_and(|zone| self.shifted_away.contains(&zone)),
        }
    }

    /// The targets, in the order of their places.
    #[cfg(test)]
    pub(crate) fn targets_of_test(&self) -> &[Rc<TargetLocal>] {
        &self.targets
    }
}

#[cfg(test)]
mod tests;
