//! Replacing instances: the unhealthy, those of an old configuration, spot
//! instances at risk and those that have lived too long, all by one rule.
//!
//! What is replaced and in service counts as working until it goes. Without percentages
//! instances are terminated and launched at the same time, a batch at a time;
//! with an instance maintenance policy, or a refresh that says so, at least
//! the minimum stays and at most the maximum exists, and where both cannot be
//! met the launch comes first (EC2 Auto Scaling User Guide, "Instance
//! maintenance policies").

use super::plan::{Round, TENTH, serves, terminations};
use super::{Member, Plan, Process, UnhealthyCause, Why, units};
use crate::lifecycle::LifecycleState;
use crate::time::Span;

/// How fast replacing goes.
#[derive(Clone, Copy, Debug)]
struct Pace {
    style: Style,
    /// How long a new instance warms up before the next one goes.
    warmup: Span,
    /// The most capacity to begin replacing now.
    limit: u32,
}

/// What comes first.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// Terminate and launch at the same time, so much capacity at a time.
    Together {
        /// The most that may be missing.
        batch: u32,
    },
    /// Within these percentages of what is wanted.
    Within {
        /// MinHealthyPercentage.
        min_percent: u32,
        /// MaxHealthyPercentage.
        max_percent: u32,
    },
}

/// Capacity rebalancing launches first, a tenth of desired at a time.
const AT_RISK: Style = Style::Within { min_percent: 100, max_percent: 110 };

/// `percent` of `capacity`, rounded up.
fn share_up(capacity: u32, percent: u32) -> u32 {
    (u64::from(capacity) * u64::from(percent)).div_ceil(100) as u32
}

/// `percent` of `capacity`, rounded down.
fn share_down(capacity: u32, percent: u32) -> u32 {
    (u64::from(capacity) * u64::from(percent) / 100) as u32
}

/// What one round replaces.
struct Replacing<'a> {
    /// These go now, whatever the pace.
    dead: Vec<&'a Member>,
    /// These go as the pace allows.
    outgoing: Vec<&'a Member>,
    pace: Pace,
    /// The termination policies choose who is first.
    by_policy: bool,
    /// What replacements are launched for.
    why: Why,
}

impl<'a> Round<'a> {
    /// Why a member is to be replaced, if it is, the first reason that holds.
    pub(super) fn outgoing(&self, member: &Member) -> Option<Why> {
        if let Some(cause) = member.marked_unhealthy {
            Some(Why::Unhealthy(cause))
        } else if self.view.refresh.as_ref().is_some_and(|refresh| refresh.old.contains(&member.instance)) {
            Some(Why::RefreshReplaced)
        } else if member.at_risk {
            Some(Why::AtRisk)
        } else {
            self.overaged(member).then_some(Why::Lifetime)
        }
    }

    fn overaged(&self, member: &Member) -> bool {
        let over = self.view.max_lifetime.is_some_and(|most| self.now >= member.launched_at + most);
        over && serves(member) && !member.protected
    }

    fn members_for(&self, wanted: &Why) -> Vec<&'a Member> {
        self.view.counted().filter(|member| self.outgoing(member).as_ref() == Some(wanted)).collect()
    }

    /// The maintenance policy's percentages, or `otherwise`.
    fn style(&self, otherwise: Style) -> Style {
        self.view.maintenance.map_or(otherwise, |policy| Style::Within {
            min_percent: policy.min_percent,
            max_percent: policy.max_percent,
        })
    }

    fn tenth(&self) -> u32 {
        (self.wanted / TENTH).max(self.view.heaviest)
    }

    /// Those that do not run, whatever they were marked for first, or that a
    /// user called unhealthy, go at once and are replaced in the same round, as far as the group wants them
    /// replaced. The others go a tenth of the group at a time, each batch
    /// after the one before it is ready, and not while launches fail: they may
    /// still do some work. Without ReplaceUnhealthy only a surplus goes.
    pub(super) fn replace_unhealthy(&self) -> Plan {
        let unhealthy = || self.view.counted().filter(|member| member.marked_unhealthy.is_some());
        if self.suspends(Process::Terminate) || unhealthy().next().is_none() {
            return Plan::default();
        }
        if self.suspends(Process::ReplaceUnhealthy) {
            let mut surplus = self.counted.saturating_sub(self.wanted);
            let going: Vec<&Member> = unhealthy()
                .filter(|member| {
                    let goes = member.weight <= surplus;
                    surplus -= if goes { member.weight } else { 0 };
                    goes
                })
                .collect();
            return Plan { actions: terminations(&going, |member| self.unhealthy_why(member)), blocked: None };
        }
        let at_once = |member: &&Member| {
            let asked = matches!(member.marked_unhealthy, Some(UnhealthyCause::Ec2State | UnhealthyCause::User));
            asked || member.ec2.has_left_running()
        };
        let (dead, outgoing) = unhealthy().partition(at_once);
        let style = self.style(Style::Together { batch: self.tenth() });
        let pace = Pace { style, warmup: self.warmup(), limit: u32::MAX };
        self.replace(Replacing { dead, outgoing, pace, by_policy: false, why: Why::Replacement })
    }

    fn unhealthy_why(&self, member: &Member) -> Why {
        self.outgoing(member).expect("the unhealthy are outgoing")
    }

    /// Goes on with the instance refresh.
    pub(super) fn refresh(&self) -> Plan {
        let Some(refresh) = &self.view.refresh else { return Plan::default() };
        if self.suspends(Process::InstanceRefresh) || !self.may_replace() {
            return Plan::default();
        }
        let style = match refresh.max_percent {
            Some(max_percent) => Style::Within { min_percent: refresh.min_percent, max_percent },
            None => {
                let missing = self.wanted - share_up(self.wanted, refresh.min_percent.min(100));
                Style::Together { batch: missing.max(self.view.heaviest) }
            }
        };
        let outgoing = self.members_for(&Why::RefreshReplaced);
        let pace = Pace { style, warmup: refresh.warmup, limit: refresh.limit };
        self.replace(Replacing { dead: Vec::new(), outgoing, pace, by_policy: true, why: Why::Refresh })
    }

    /// Launches for spot instances at risk, and lets them go when that is ready.
    pub(super) fn replace_at_risk(&self) -> Plan {
        let outgoing = self.members_for(&Why::AtRisk);
        let pace = Pace { style: self.style(AT_RISK), warmup: self.warmup(), limit: u32::MAX };
        if !self.may_replace() {
            return Plan::default();
        }
        self.replace(Replacing { dead: Vec::new(), outgoing, pace, by_policy: true, why: Why::CapacityRebalance })
    }

    /// One instance at a time, or a tenth of the group when more than that have
    /// lived too long.
    pub(super) fn replace_overaged(&self) -> Plan {
        let outgoing = self.members_for(&Why::Lifetime);
        if outgoing.is_empty() || !self.may_replace() {
            return Plan::default();
        }
        let many = units(outgoing.iter().copied()) > self.tenth();
        let batch = if many { self.tenth() } else { self.view.heaviest };
        let pace = Pace { style: self.style(Style::Together { batch }), warmup: self.warmup(), limit: u32::MAX };
        self.replace(Replacing { dead: Vec::new(), outgoing, pace, by_policy: true, why: Why::LifetimeReplacement })
    }

    fn may_replace(&self) -> bool {
        !self.suspends(Process::Launch) && !self.suspends(Process::Terminate)
    }

    fn replace(&self, replacing: Replacing<'a>) -> Plan {
        let Replacing { dead, outgoing, pace, by_policy, why } = replacing;
        let (dead_units, outgoing_units) = (units(dead.iter().copied()), units(outgoing.iter().copied()));
        let kept = self.counted - dead_units;
        let staying = kept - outgoing_units;
        let out = |member: &Member| outgoing.iter().any(|other| other.instance == member.instance);
        let ready = if outgoing.is_empty() {
            0
        } else {
            units(self.view.counted().filter(|member| self.ready(member, pace.warmup) && !out(member)))
        };
        let obstacle = self.launch_obstacle();
        let floor = self.floor(pace.style, obstacle.is_some());
        let allowed = (ready + outgoing_units).saturating_sub(floor).min(outgoing_units).min(pace.limit);
        let spare = (ready + units(outgoing.iter().copied().filter(|member| works(member)))).saturating_sub(floor);
        let mut chosen = dead;
        chosen.extend(if by_policy {
            self.choose_outgoing(outgoing, allowed, spare)
        } else {
            self.in_order(outgoing, allowed)
        });
        chosen.truncate(super::TERMINATE_BATCH_MAX as usize);

        let mut actions = terminations(&chosen, |member| self.outgoing(member).expect("it is replaced"));
        let gone = units(chosen.iter().copied());
        let left = Left { kept: self.counted - gone, staying, gone, replaced: dead_units + outgoing_units };
        let launches = self.replacements(&left, pace, staying == ready);
        if launches == 0 || self.suspends(Process::Launch) {
            return Plan { actions, blocked: None };
        }
        if obstacle.is_none() {
            let mut zones = self.zone_counts();
            for member in &chosen {
                zones.entry(&member.zone).and_modify(|count| *count -= member.weight);
            }
            actions.extend(self.launches(launches, &mut zones, &why));
        }
        Plan { actions, blocked: obstacle }
    }

    /// So much of what works, and of what is still to be replaced, must stay.
    fn floor(&self, style: Style, launches_fail: bool) -> u32 {
        match style {
            _ if launches_fail => self.wanted,
            Style::Together { batch } => self.wanted.saturating_sub(batch),
            Style::Within { min_percent, .. } => share_up(self.wanted, min_percent),
        }
    }

    /// How much to launch beside what goes.
    fn replacements(&self, left: &Left, pace: Pace, all_ready: bool) -> u32 {
        let begun = (self.wanted.saturating_add(pace.limit)).saturating_sub(self.counted);
        match pace.style {
            Style::Together { .. } => self.wanted.saturating_sub(left.kept).min(left.gone),
            Style::Within { max_percent, .. } => {
                let room = share_down(self.wanted, max_percent).saturating_sub(left.kept);
                let lacking = self.wanted.saturating_sub(left.staying).min(left.replaced);
                let launches = room.min(lacking).min(begun);
                let stuck = launches == 0 && left.gone == 0 && all_ready;
                // Weights may keep a group above what is wanted, by less than the heaviest.
                let above = self.counted.saturating_sub(self.wanted);
                let rest = above < self.view.heaviest && left.replaced > 0 && pace.limit > 0;
                if stuck && rest { self.view.heaviest } else { launches }
            }
        }
    }

    /// Victims of the termination policies among what is to be replaced, that
    /// weigh at most `allowed` together. Those that do not work yet go first,
    /// as nobody misses them; of those that do at most `spare` go, the
    /// unhealthy first.
    pub(super) fn choose_outgoing(&self, outgoing: Vec<&'a Member>, allowed: u32, spare: u32) -> Vec<&'a Member> {
        let (working, idle): (Vec<&Member>, Vec<&Member>) = outgoing.into_iter().partition(|member| works(member));
        let (healthy, unhealthy) = working.into_iter().partition(|member| serves(member));
        let mut chosen = self.choose(idle, allowed);
        let mut left = (allowed - units(chosen.iter().copied())).min(spare);
        for candidates in [unhealthy, healthy] {
            let victims = self.choose(candidates, left);
            left -= units(victims.iter().copied());
            chosen.extend(victims);
        }
        chosen
    }

    fn in_order(&self, outgoing: Vec<&'a Member>, mut allowed: u32) -> Vec<&'a Member> {
        let fits = |member: &&Member| {
            let goes = member.weight <= allowed;
            allowed -= if goes { member.weight } else { 0 };
            goes
        };
        outgoing.into_iter().filter(fits).collect()
    }
}

/// Whether a member has come into service, and may do some work yet.
pub(super) fn works(member: &Member) -> bool {
    member.lifecycle == LifecycleState::InService
}

/// What is left of a group when the chosen have gone, in units.
struct Left {
    /// All of it.
    kept: u32,
    /// What is not to be replaced.
    staying: u32,
    /// What goes now.
    gone: u32,
    /// What is to be replaced, gone or not.
    replaced: u32,
}
