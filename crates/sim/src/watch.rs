//! Checkers of what the engine decides within a round: they compare the rows
//! as the calls left them with the rows as the reconcilers left them.

use crate::run::Violation;
use elastane_domain::alarm::{self, AlarmState};
use elastane_domain::id::InstanceId;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::series::Unit;
use elastane_domain::time::{Span, Time};
use elastane_engine::row::*;
use elastane_engine::{Engine, Scope, Table, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Samples of a minute arrive within this after its end, so the engine waits so long.
pub(crate) const LAG: Span = Span::from_secs(10);

type Key = (Scope, String);

/// A group as it was before the reconcilers ran.
#[derive(Clone)]
struct Before {
    desired: u32,
    /// Members that are part of a scaling activity.
    moving: BTreeSet<InstanceId>,
    last_activity_end: Option<Time>,
    /// A scheduled action is due.
    scheduled: bool,
    /// The hours whose forecasts were acted upon last, by policy.
    foretold: BTreeMap<String, Option<Time>>,
}

/// An alarm's evaluations, as seen from outside.
#[derive(Clone, Copy)]
struct Seen {
    minute: Option<Time>,
    state: AlarmState,
    by_hand: bool,
}

/// What is remembered from round to round.
#[derive(Default)]
pub struct Watch {
    groups: BTreeMap<Key, Before>,
    alarms: BTreeMap<Key, Arc<Alarm>>,
    /// Desired capacities at the end of the last round.
    desired: Option<BTreeMap<Key, u32>>,
    seen: BTreeMap<Key, Seen>,
}

fn rows<R>(engine: &Engine, table: impl Fn(&Tables) -> &Table<R>) -> Vec<(Key, Arc<R>)> {
    let mut found = Vec::new();
    for (scope, tables) in &engine.state().scopes {
        found.extend(table(tables).iter().map(|(id, row)| ((scope.clone(), id.to_string()), row.clone())));
    }
    found
}

impl Watch {
    /// Another daemon: what was remembered of the one before says nothing.
    pub fn restarted(&mut self) {
        *self = Watch::default();
    }

    /// The calls of a round are through; `calls` says whether there were any.
    pub fn called(&mut self, engine: &Engine, calls: bool, now: Time) -> Result<(), Violation> {
        self.alarms = rows(engine, |tables| &tables.alarms).into_iter().collect();
        self.groups.clear();
        for (key, group) in rows(engine, |tables| &tables.groups) {
            let last = self.desired.as_ref().and_then(|desired| desired.get(&key));
            if !calls && last.is_some_and(|last| *last != group.desired) {
                let what = format!("{} between two rounds", group.name);
                return Err(Violation::new("desired changes only with a cause", now, what));
            }
            let tables = &engine.state().scopes[&key.0];
            let moving = moving(tables, &group);
            let due = |row: &Arc<ScheduledAction>| row.group == group.name && row.next.is_some_and(|at| at <= now);
            let scheduled = tables.scheduled_actions.values().any(due);
            let before = Before {
                desired: group.desired,
                moving,
                last_activity_end: group.last_activity_end,
                scheduled,
                foretold: foretold(tables, &group),
            };
            self.groups.insert(key, before);
        }
        Ok(())
    }

    /// The reconcilers are through.
    pub fn handled(&mut self, engine: &Engine, now: Time) -> Result<(), Violation> {
        let mut desired = BTreeMap::new();
        for (key, group) in rows(engine, |tables| &tables.groups) {
            desired.insert(key.clone(), group.desired);
            if let Some(before) = self.groups.get(&key).filter(|before| before.desired != group.desired) {
                caused(&engine.state().scopes[&key.0], &group, before, now)?;
            }
        }
        self.desired = Some(desired);
        self.alarms_say_what_they_see(engine, now)
    }

    /// An alarm's state is what its samples say, at each evaluation, and does
    /// not change between evaluations.
    fn alarms_say_what_they_see(&mut self, engine: &Engine, now: Time) -> Result<(), Violation> {
        if !engine.state().seen.inventoried {
            return Ok(());
        }
        let minute = (now - LAG).floor(Span::from_mins(1));
        let after = rows(engine, |tables| &tables.alarms);
        let mut next = BTreeMap::new();
        for (key, alarm) in after {
            let Some(before) = self.alarms.get(&key) else { continue };
            let last = self.seen.get(&key).copied();
            let set = last.is_some_and(|last| last.state != before.state);
            let due = last.is_none_or(|last| last.minute != Some(minute));
            let by_hand = set || last.is_some_and(|last| last.by_hand && !due);
            let mut allowed = Vec::new();
            if due {
                allowed.extend([before, &alarm].map(|row| expected(engine, &key.0, row, before.state, now)));
            }
            if !due || by_hand || last.is_none() {
                allowed.push(before.state);
            }
            if !allowed.contains(&alarm.state) {
                let what = format!("{} is {:?}, not {allowed:?}", alarm.name, alarm.state);
                return Err(Violation::new("an alarm's state is what its samples say", now, what));
            }
            next.insert(key, Seen { minute: Some(minute), state: alarm.state, by_hand });
        }
        self.seen = next;
        Ok(())
    }
}

/// The hours whose forecasts were acted upon last, by policy.
fn foretold(tables: &Tables, group: &Group) -> BTreeMap<String, Option<Time>> {
    let own = tables.policies.iter().filter(|(_, policy)| policy.group == group.name);
    let forecasts = own.filter_map(|(id, _)| Some((id.to_string(), tables.forecasts.get(id)?.applied)));
    forecasts.collect()
}

/// A group's members that are part of a scaling activity.
fn moving(tables: &Tables, group: &Group) -> BTreeSet<InstanceId> {
    let moves = |row: &&Arc<Instance>| {
        row.membership.as_ref().is_some_and(|place| place.group == group.name && moves(place.lifecycle))
    };
    tables.instances.values().filter(moves).map(|row| row.id.clone()).collect()
}

/// Whether a member is part of a scaling activity.
fn moves(state: LifecycleState) -> bool {
    let leaving = state.is_terminating() && !state.is_warm() && state != LifecycleState::TerminatingRetained;
    state.is_pending() || leaving || matches!(state, LifecycleState::EnteringStandby | LifecycleState::Detaching)
}

/// The state that an alarm should be in, by its samples.
pub(crate) fn expected(engine: &Engine, scope: &Scope, alarm: &Alarm, current: AlarmState, now: Time) -> AlarmState {
    let (start, end) = alarm::evaluation_window(&alarm.rule, now - LAG);
    let unit = alarm.unit.as_deref().and_then(Unit::from_name);
    let store = engine.state().metrics.get(scope);
    // The simulated clients make no alarms on metric math.
    let sets = store
        .zip(alarm.metric.metric())
        .map_or_else(Vec::new, |(store, metric)| store.distributions(metric, start, end, alarm.rule.period, unit));
    alarm::evaluate(&alarm.rule, &alarm::window(&alarm.rule, start, &sets), current).state
}

/// Reconcilers change the desired capacity only as an alarm's action, and as
/// one of simple policies only when no cooldown runs and nothing moves.
fn caused(tables: &Tables, group: &Group, before: &Before, now: Time) -> Result<(), Violation> {
    if before.scheduled || before.foretold != foretold(tables, group) {
        return Ok(());
    }
    let acting: Vec<&Policy> = tables
        .policies
        .values()
        .filter(|policy| policy.group == group.name && policy.enabled)
        .filter(|policy| tables.alarms.values().any(|alarm| alarm.actions().contains(&policy.arn)))
        .map(AsRef::as_ref)
        .collect();
    let what = format!("{}: {} to {}", group.name, before.desired, group.desired);
    if acting.is_empty() {
        return Err(Violation::new("desired changes only with a cause", now, what));
    }
    let cooldowns: Option<Vec<Span>> = acting
        .iter()
        .map(|policy| match &policy.kind {
            PolicyKind::Simple { cooldown, .. } => Some(cooldown.unwrap_or(group.default_cooldown)),
            PolicyKind::Step { .. } | PolicyKind::TargetTracking { .. } | PolicyKind::Predictive { .. } => None,
        })
        .collect();
    let Some(least) = cooldowns.and_then(|all| all.into_iter().min()) else { return Ok(()) };
    let cooling = before.last_activity_end.is_some_and(|end| now < end + least);
    // Who arrived within the round was no activity any more when it was
    // decided, also if it is the one that leaves now.
    let arrived = |id: &InstanceId| {
        let place = tables.instances.get(id.as_str()).and_then(|row| row.membership.as_ref());
        place.is_some_and(|place| place.in_service_since == Some(now))
    };
    let still = moving(tables, group).intersection(&before.moving).any(|id| !arrived(id));
    if cooling || (still && least > Span::ZERO) {
        return Err(Violation::new("simple scaling waits for its cooldown", now, what));
    }
    Ok(())
}
