//! Rules of what the engine decides about a group's members within a round:
//! rows as the calls left them are compared with rows as the reconcilers left
//! them, so that whoever went or came did so by the engine's own decision.

use crate::run::Violation;
use elastane_domain::group::Process;
use elastane_domain::hooks::{Arrival, HookResult};
use elastane_domain::id::{GroupName, InstanceId};
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::refresh::{OnProtected, RefreshStatus};
use elastane_domain::time::Time;
use elastane_engine::row::*;
use elastane_engine::{Engine, Scope, Table, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Checked = Result<(), Violation>;

/// Rows of the groups of each scope when the calls of a round were through.
#[derive(Default)]
pub struct RoundRules {
    before: BTreeMap<Scope, Before>,
}

struct Before {
    members: BTreeMap<InstanceId, Arc<Instance>>,
    groups: Table<Group>,
    refreshes: Vec<Arc<InstanceRefresh>>,
    /// Groups with a scheduled action that is due: what it sets, an alarm may change in the same round.
    scheduled: BTreeSet<GroupName>,
}

impl Before {
    fn of(tables: &Tables, now: Time) -> Before {
        let due = tables.scheduled_actions.values().filter(|row| row.next.is_some_and(|at| at <= now));
        let members = tables.instances.values().filter(|row| row.membership.is_some());
        let active = tables.instance_refreshes.values().filter(|row| row.status.is_active());
        Before {
            members: members.map(|row| (row.id.clone(), row.clone())).collect(),
            groups: tables.groups.clone(),
            refreshes: active.cloned().collect(),
            scheduled: due.map(|row| row.group.clone()).collect(),
        }
    }
}

impl RoundRules {
    /// Another daemon, or another world.
    pub fn restarted(&mut self) {
        self.before.clear();
    }

    /// The calls of a round are through.
    pub fn called(&mut self, engine: &Engine, now: Time) {
        let scopes = engine.state().scopes.iter().filter(|(_, tables)| !tables.groups.is_empty());
        self.before = scopes.map(|(scope, tables)| (scope.clone(), Before::of(tables, now))).collect();
    }

    /// The reconcilers are through. `done`: they have nothing more to do at once.
    pub fn handled(&self, engine: &Engine, now: Time, done: bool) -> Checked {
        if !engine.state().seen.inventoried {
            return Ok(());
        }
        for (scope, before) in &self.before {
            let Some(tables) = engine.state().scopes.get(scope) else { continue };
            for group in tables.groups.values().filter(|group| !group.deleting) {
                let Some(was) = before.groups.get(group.name.as_str()) else { continue };
                Look { tables, before, was, group, now }.check(done)?;
            }
        }
        Ok(())
    }
}

/// One group, before and after.
struct Look<'a> {
    tables: &'a Tables,
    before: &'a Before,
    was: &'a Group,
    group: &'a Group,
    now: Time,
}

/// A member with its place in the group.
type Member<'a> = (&'a Instance, &'a Membership);

fn place<'a>(group: &Group, row: &'a Instance) -> Option<Member<'a>> {
    let place = row.membership.as_ref().filter(|place| place.group == group.name)?;
    Some((row, place))
}

fn units<'a>(members: impl Iterator<Item = Member<'a>>) -> u32 {
    members.map(|(_, place)| place.weight.max(1)).sum()
}

/// A member in a few words.
fn told((row, place): &Member<'_>) -> String {
    let mark = place.unhealthy.map_or(String::new(), |cause| format!(" {cause:?}"));
    let since = place.in_service_since.map_or(String::new(), |at| format!(" since {}", at.iso_seconds()));
    format!("{} {} {:?} {}{mark}{since}", row.id, place.lifecycle.name(), row.phase, place.weight)
}

/// In service, and not marked unhealthy.
fn serves((_, place): &Member<'_>) -> bool {
    place.lifecycle == LifecycleState::InService && place.unhealthy.is_none()
}

impl<'a> Look<'a> {
    fn check(&self, done: bool) -> Checked {
        self.dead_go_at_once()?;
        self.hooks_are_waited_for()?;
        if done {
            self.lacking_is_launched()?;
        }
        let gone = self.departures();
        self.none_is_protected(&gone)?;
        self.terminate_is_not_suspended(&gone)?;
        if !self.before.scheduled.contains(&self.group.name) {
            self.enough_others_serve(&gone)?;
            self.refresh_keeps_its_minimum(&gone)?;
        }
        self.refresh_launches_fit()?;
        self.base_is_bought_on_demand()?;
        self.pool_comes_first()
    }

    fn broken(&self, rule: &'static str, what: impl Into<String>) -> Checked {
        Err(Violation::new(rule, self.now, what.into()))
    }

    fn members(&self) -> impl Iterator<Item = Member<'a>> {
        self.tables.instances.values().filter_map(|row| place(self.group, row))
    }

    fn members_before(&self) -> impl Iterator<Item = Member<'a>> {
        self.before.members.values().filter_map(|row| place(self.group, row))
    }

    /// The capacity that should be there, the least of what was wanted in the round.
    fn wanted(&self) -> u32 {
        self.was.bounds.clamp(self.was.desired).min(self.group.bounds.clamp(self.group.desired))
    }

    /// The largest weight that an instance has or may have.
    fn heaviest(&self) -> u32 {
        let there = self.members().chain(self.members_before()).map(|(_, place)| place.weight);
        let possible = match &self.group.source {
            LaunchSource::Mixed(mixed) => mixed.overrides.iter().filter_map(|one| one.weight).max().unwrap_or(1),
            LaunchSource::Template(_) | LaunchSource::Configuration(_) => 1,
        };
        there.max().unwrap_or(1).max(possible)
    }

    /// Whether EC2 refused a launch in this round.
    fn refused(&self) -> bool {
        self.tables.activities.values().any(|row| {
            row.group == self.group.name && row.instance.is_none() && row.start == self.now && row.end.is_some()
        })
    }

    fn cause(&self, place: &Membership) -> &'a str {
        let activity = place.activity.as_ref().and_then(|id| self.tables.activities.get(id));
        activity.map_or("", |row| row.cause.as_str())
    }

    /// An instance that does not run is unhealthy whatever the grace period,
    /// and is replaced without waiting for others (autoscaling.md 4.1, 4.4).
    fn dead_go_at_once(&self) -> Checked {
        let checks = !self.group.suspends(Process::HealthCheck);
        let replaces = !self.group.suspends(Process::ReplaceUnhealthy) && !self.group.suspends(Process::Terminate);
        for (row, place) in self.members().filter(|(_, place)| place.lifecycle == LifecycleState::InService) {
            let dead = !matches!(row.phase, Phase::Pending | Phase::Running);
            if dead && checks && place.unhealthy.is_none() {
                return self.broken("an instance that does not run is unhealthy at once", told(&(row, place)));
            }
            if dead && replaces && place.unhealthy.is_some() {
                return self.broken("the dead are replaced at once", told(&(row, place)));
            }
        }
        Ok(())
    }

    /// Nobody passes a hook that was not answered in its time, and after that
    /// its default decides (autoscaling.md 3).
    fn hooks_are_waited_for(&self) -> Checked {
        for (row, was) in self.members_before().filter(|(_, was)| was.lifecycle == LifecycleState::PendingWait) {
            let now = self.tables.instances.get(row.id.as_str()).and_then(|row| row.membership.as_ref());
            let passes = now.is_some_and(|place| {
                matches!(place.lifecycle, LifecycleState::PendingProceed | LifecycleState::InService)
            });
            if !passes {
                continue;
            }
            for action in &was.actions {
                let hook = self.tables.lifecycle_hooks.get(&LifecycleHook::key(&self.group.name, &action.hook));
                let Some(hook) = hook else { continue };
                match action.result {
                    Some(HookResult::Continue) => {}
                    None if action.deadline <= self.now && hook.default_result == HookResult::Continue => {}
                    None if action.deadline > self.now => {
                        return self.broken("a hook is waited for", format!("{} and {}", row.id, action.hook));
                    }
                    Some(HookResult::Abandon) | None => {
                        return self.broken("who is given up does not serve", format!("{} by {}", row.id, action.hook));
                    }
                }
            }
        }
        Ok(())
    }

    /// A group that lacks capacity launches at once, unless launches are
    /// suspended or have been failing; the warm pool is no capacity
    /// (autoscaling.md 1.2, 1.3).
    fn lacking_is_launched(&self) -> Checked {
        let waits = self.group.launch_after.is_some_and(|at| at > self.now);
        if waits || self.group.suspends(Process::Launch) || self.group.zones.is_empty() {
            return Ok(());
        }
        let there = units(self.members().filter(|(_, place)| place.lifecycle.counts_as_capacity()));
        if there >= self.group.bounds.clamp(self.group.desired) || self.refused() {
            return Ok(());
        }
        let what = format!("{there} of {} in {}", self.group.desired, self.group.name);
        self.broken("a group that lacks capacity launches at once", what)
    }

    /// Members that worked well when the round began and were taken out in it.
    fn departures(&self) -> Vec<Departure<'a>> {
        let worked = self.members_before().filter(serves).filter(|(row, _)| row.phase == Phase::Running);
        let departed = worked.filter_map(|(row, was)| {
            let (_, place) = place(self.group, self.tables.instances.get(row.id.as_str())?)?;
            let goes = place.lifecycle.is_terminating() || place.lifecycle == LifecycleState::WarmedPending;
            (goes && place.unhealthy.is_none()).then_some(Departure { row, was, refresh: self.refresh_of(row) })
        });
        departed.collect()
    }

    /// The refresh that was to replace a member.
    fn refresh_of(&self, row: &Instance) -> Option<&'a InstanceRefresh> {
        let refreshes = self.before.refreshes.iter().filter(|refresh| refresh.group == self.group.name);
        let replaces = |refresh: &&InstanceRefresh| refresh.remaining.contains(&row.id) || self.turned(refresh);
        refreshes.map(AsRef::as_ref).find(replaces)
    }

    /// Whether a refresh turned round in this round: it then replaces what it had launched.
    fn turned(&self, refresh: &InstanceRefresh) -> bool {
        self.status(refresh) == Some(RefreshStatus::RollbackInProgress)
            && refresh.status != RefreshStatus::RollbackInProgress
    }

    /// The status of a refresh now.
    fn status(&self, refresh: &InstanceRefresh) -> Option<RefreshStatus> {
        self.tables.instance_refreshes.get(&refresh.key()).map(|row| row.status)
    }

    /// Scale-in protection (autoscaling.md 5.5).
    fn none_is_protected(&self, gone: &[Departure<'_>]) -> Checked {
        let may = |one: &&Departure<'_>| {
            one.at_risk(self.group)
                || one.refresh.is_some_and(|refresh| refresh.preferences.on_protected == OnProtected::Refresh)
        };
        match gone.iter().find(|one| one.was.protected && !may(one)) {
            Some(one) => self.broken("a protected instance is not scaled in", one.row.id.as_str()),
            None => Ok(()),
        }
    }

    /// While Terminate is suspended nobody who works goes (autoscaling.md 6).
    fn terminate_is_not_suspended(&self, gone: &[Departure<'_>]) -> Checked {
        match gone.first().filter(|_| self.group.suspends(Process::Terminate)) {
            Some(one) => self.broken("nobody is scaled in while Terminate is suspended", one.row.id.as_str()),
            None => Ok(()),
        }
    }

    /// Scale-in and balancing leave as many in service as are wanted: what is
    /// to replace an instance comes first (autoscaling.md 1.5, 4.5). A
    /// maintenance policy may say otherwise, and so do refreshes.
    fn enough_others_serve(&self, gone: &[Departure<'_>]) -> Checked {
        let lax = self.group.maintenance.is_some_and(|policy| policy.min_percent < 100);
        if gone.is_empty() || lax || gone.iter().any(|one| one.refresh.is_some()) {
            return Ok(());
        }
        let left = units(self.members().filter(serves));
        if left >= self.wanted() {
            return Ok(());
        }
        let ids: Vec<&str> = gone.iter().map(|one| one.row.id.as_str()).collect();
        let others: Vec<String> = self.members().map(|member| told(&member)).collect();
        let what = format!("{left} of {} serve without {}; {}", self.wanted(), ids.join(", "), others.join(", "));
        self.broken("an instance that works goes only when enough others serve", what)
    }

    /// While a refresh replaces, the minimum healthy percentage of the wanted
    /// capacity is in service, healthy and warm; terminating and launching at
    /// the same time it may always replace one (autoscaling.md 11.3).
    fn refresh_keeps_its_minimum(&self, gone: &[Departure<'_>]) -> Checked {
        let Some(refresh) = gone.iter().find_map(|one| one.refresh) else { return Ok(()) };
        let preferences = &refresh.preferences;
        let wanted = self.wanted();
        let least = (u64::from(wanted) * u64::from(preferences.min_percent.min(100))).div_ceil(100) as u32;
        let floor = match preferences.max_percent {
            Some(_) => least,
            None => wanted.saturating_sub((wanted - least).max(self.heaviest())),
        };
        // Scale-in does not ask who is warm, nor does who is at risk and has been replaced; what a
        // refresh that ends leaves too much goes by scale-in.
        let rolls = matches!(refresh.status, RefreshStatus::InProgress | RefreshStatus::RollbackInProgress)
            && self.status(refresh) == Some(refresh.status);
        let scales_in = gone.iter().any(|one| one.refresh.is_none() || one.at_risk(self.group)) || !rolls;
        let ready = |(row, place): &Member<'_>| {
            let warm = place.in_service_since.is_some_and(|since| since + preferences.warmup <= self.now);
            scales_in || refresh.remaining.contains(&row.id) || warm
        };
        let left = units(self.members().filter(serves).filter(ready));
        if left >= floor {
            return Ok(());
        }
        let ids: Vec<&str> = gone.iter().map(|one| one.row.id.as_str()).collect();
        let percents = (preferences.min_percent, preferences.max_percent);
        let others: Vec<String> = self.members().map(|member| told(&member)).collect();
        let what = format!(
            "{left} of {floor} ({wanted} wanted, {percents:?} per cent) serve without {}; {}",
            ids.join(", "),
            others.join(", ")
        );
        self.broken("a refresh keeps its minimum in service", what)
    }

    /// What a refresh launches stays within its maximum, or one above what is
    /// wanted where both bounds cannot be met (autoscaling.md 11.3).
    fn refresh_launches_fit(&self) -> Checked {
        let launched = self.launched(|cause| cause.contains("launched in response to an instance refresh"));
        let Some((row, _)) = launched.first() else { return Ok(()) };
        if self.group.suspends(Process::InstanceRefresh) {
            return self.broken("a suspended refresh replaces nobody", row.id.as_str());
        }
        let mine = |row: &&&Arc<InstanceRefresh>| row.group == self.group.name;
        let Some(refresh) = self.before.refreshes.iter().find(|row| mine(&row)) else {
            return self.broken("a refresh launches while it is active", row.id.as_str());
        };
        let wanted = self.was.bounds.clamp(self.was.desired).max(self.group.bounds.clamp(self.group.desired));
        let most = match refresh.preferences.max_percent {
            None => wanted + self.heaviest() - 1,
            Some(percent) => {
                let most = (u64::from(wanted) * u64::from(percent) / 100) as u32;
                most.max(wanted + self.heaviest()) + self.heaviest() - 1
            }
        };
        let there = units(self.members().filter(|(_, place)| place.lifecycle.counts_as_capacity()));
        if there <= most {
            return Ok(());
        }
        let others: Vec<String> = self.members().map(|member| told(&member)).collect();
        let percents = (refresh.preferences.min_percent, refresh.preferences.max_percent);
        let what = format!(
            "{there} of {most} ({wanted} wanted, {percents:?} per cent) with {}; {}",
            row.id,
            others.join(", ")
        );
        self.broken("a refresh stays within its maximum", what)
    }

    /// Instances that were launched into service in this round, by the cause of their activities.
    fn launched(&self, because: impl Fn(&str) -> bool) -> Vec<Member<'a>> {
        let fresh = |(row, place): &Member<'_>| {
            place.lifecycle.is_pending()
                && place.arrival == Arrival::Launched
                && !self.before.members.contains_key(&row.id)
                && because(self.cause(place))
        };
        self.members().filter(fresh).collect()
    }

    /// Nothing is launched on the spot market while less than
    /// OnDemandBaseCapacity is bought on demand (autoscaling.md 13).
    fn base_is_bought_on_demand(&self) -> Checked {
        let LaunchSource::Mixed(mixed) = &self.group.source else { return Ok(()) };
        let launched = self.launched(|_| true);
        let Some((row, _)) = launched.iter().find(|(row, _)| row.spot_request.is_some()) else { return Ok(()) };
        let counts = |(row, place): &Member<'_>| place.lifecycle.counts_as_capacity() && row.spot_request.is_none();
        let now = |row: &Instance| self.tables.instances.get(row.id.as_str()).and_then(|row| place(self.group, row));
        // Who left in the round may have been there when it was decided.
        let left = self.members_before().filter(counts).filter(|(row, _)| !now(row).is_some_and(|one| counts(&one)));
        let on_demand = units(self.members().filter(counts).chain(left));
        let base = mixed.distribution.on_demand_base.min(self.wanted());
        if on_demand >= base || self.refused() {
            return Ok(());
        }
        self.broken("the base is bought on demand first", format!("{on_demand} of {base} before {}", row.id))
    }

    /// A scale-out takes what rests in the warm pool before it launches
    /// (autoscaling.md 1.3, 12). Balancing takes from its own zone only.
    fn pool_comes_first(&self) -> Checked {
        if self.group.warm_pool.is_none_or(|pool| pool.deleting) {
            return Ok(());
        }
        let launched = self.launched(|cause| !cause.contains("balancing") && !cause.contains("user request"));
        let Some((row, _)) = launched.first() else { return Ok(()) };
        let rests = |(row, place): &Member<'_>| {
            let sound = match place.lifecycle {
                LifecycleState::WarmedStopped => row.phase == Phase::Stopped,
                LifecycleState::WarmedRunning => row.phase == Phase::Running,
                _ => false,
            };
            sound && !self.tables.outages.contains_key(row.zone.as_str())
        };
        let rested = |(row, _): &Member<'_>| self.members_before().any(|one| one.0.id == row.id && rests(&one));
        match self.members().filter(rests).find(rested) {
            Some((idle, _)) => {
                self.broken("a scale-out takes from the warm pool first", format!("{} and not {}", row.id, idle.id))
            }
            None => Ok(()),
        }
    }
}

/// A member that worked well and was taken out.
struct Departure<'a> {
    row: &'a Instance,
    was: &'a Membership,
    /// What was to replace it.
    refresh: Option<&'a InstanceRefresh>,
}

impl Departure<'_> {
    /// A spot instance that EC2 recommends to replace.
    fn at_risk(&self, group: &Group) -> bool {
        group.capacity_rebalance && self.row.interruption.is_some()
    }
}
