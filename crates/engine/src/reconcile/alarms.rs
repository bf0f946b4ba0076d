//! Alarms: evaluated once a minute of service time, a little after the minute
//! so that its samples are in; their actions set off scaling policies.

use super::policy::{self, Trigger};
use super::{Memory, groups, wake_at};
use crate::engine::Plant;
use crate::row::*;
use crate::state::{Tx, View};
use elastane_domain::alarm::{self, AlarmState, Datapoint, INITIAL_REASON, Verdict, action_due};
use elastane_domain::id::{AlarmName, GroupName};
use elastane_domain::series::{Unit, math};
use elastane_domain::time::{Span, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Samples of a minute arrive within this after its end.
const LAG: Span = Span::from_secs(10);

/// What is remembered of an alarm between evaluations; lost with a restart,
/// which costs one repeated action at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timer {
    minute: Option<Time>,
    last_action_at: Option<Time>,
    /// A state that was set by hand (SetAlarmState) also has its actions run.
    acted_on: Option<AlarmState>,
}

type Triggered = BTreeMap<GroupName, Vec<(Arc<Policy>, Trigger)>>;

pub(super) fn reconcile(tx: &mut Tx<'_>, memory: &mut Memory, wake: &mut Time) {
    let alarms: Vec<Arc<Alarm>> = tx.all::<Alarm>().cloned().collect();
    let minute = (tx.now - LAG).floor(Span::from_mins(1));
    let mut triggered = Triggered::new();
    forget_deleted(tx, memory);
    for alarm in &alarms {
        wake_at(wake, minute + Span::from_mins(1) + LAG);
        let timer = memory.alarms.entry((tx.scope().clone(), alarm.name.clone())).or_default();
        if alarm.state_reason == INITIAL_REASON && timer.acted_on.is_some_and(|state| state != alarm.state) {
            // Deleted and made anew under the same name.
            *timer = Timer::default();
        }
        let set_by_hand = timer.acted_on.is_some_and(|state| state != alarm.state);
        if timer.minute == Some(minute) && !set_by_hand {
            continue;
        }
        // A state set by hand stays until the next minute's evaluation.
        timer.minute = Some(minute);
        let due = if set_by_hand {
            let old = timer.acted_on.unwrap_or(alarm.state);
            action_due(old, alarm.state, timer.last_action_at, minute, false)
        } else {
            evaluate(tx, alarm, timer, minute)
        };
        let Some(alarm) = tx.get::<Alarm>(alarm.name.as_str()) else { continue };
        timer.acted_on = Some(alarm.state);
        if due && alarm.actions_enabled {
            timer.last_action_at = Some(minute);
            act(tx, &alarm, &mut triggered);
        }
    }
    if triggered.is_empty() {
        return;
    }
    let members = groups::members_by_group(tx);
    for (group, policies) in triggered {
        let none = Vec::new();
        policy::follow_alarms(tx, &group, members.get(&group).unwrap_or(&none), &policies);
    }
}

/// Timers of alarms that are gone go too: one made anew starts anew.
fn forget_deleted(tx: &Tx<'_>, memory: &mut Memory) {
    let of_scope = memory.alarms.range((tx.scope().clone(), AlarmName::from(""))..);
    let gone: Vec<_> = of_scope
        .map(|(key, _)| key)
        .take_while(|(scope, _)| scope == tx.scope())
        .filter(|(_, name)| !tx.alarms.contains_key(name.as_str()))
        .cloned()
        .collect();
    for key in gone {
        memory.alarms.remove(&key);
    }
}

/// Evaluates an alarm and stores its new state; true when its actions are
/// due. `minute` is the moment of the evaluation.
fn evaluate(tx: &mut Tx<'_>, alarm: &Alarm, timer: &mut Timer, minute: Time) -> bool {
    let verdict = verdict(tx, alarm);
    let old = alarm.state;
    if verdict.state != old {
        let now = tx.now;
        timer.last_action_at = None;
        tx.update(alarm.name.as_str(), |row: &mut Alarm| {
            row.state = verdict.state;
            row.state_reason = verdict.reason.clone();
            row.state_reason_data = Some(verdict.reason_data.json(now));
            row.state_updated_at = now;
            row.state_transitioned_at = now;
            let summary = format!("Alarm updated from {} to {}", old.name(), verdict.state.name());
            row.remember(now, HistoryKind::StateUpdate, summary);
        });
    }
    let repeats = tx.config.plant != Some(Plant::AlarmActsOnce);
    let scaling = verdict.state != AlarmState::InsufficientData && repeats;
    action_due(old, verdict.state, timer.last_action_at, minute, scaling)
}

fn verdict(tx: &Tx<'_>, alarm: &Alarm) -> Verdict {
    alarm::evaluate(&alarm.rule, &datapoints(&tx.view(), alarm, tx.now), alarm.state)
}

/// The datapoints that an alarm looks at now: one slot a period, oldest first.
pub fn datapoints(view: &View<'_>, alarm: &Alarm, now: Time) -> Vec<Option<Datapoint>> {
    let (start, end) = alarm::evaluation_window(&alarm.rule, now - LAG);
    let Some(store) = view.metrics() else { return alarm::window(&alarm.rule, start, &[]) };
    match &alarm.metric {
        Watched::Metric(metric) => {
            let unit = alarm.unit.as_deref().and_then(Unit::from_name);
            let samples = store.distributions(metric, start, end, alarm.rule.period, unit);
            alarm::window(&alarm.rule, start, &samples)
        }
        Watched::Math(queries) => {
            // One that was accepted can be evaluated; a store of a later
            // version may hold one that cannot, which has no data then.
            let points =
                math::returned(queries, (start, end), &|stat| store.points(stat, start, end)).unwrap_or_default();
            alarm::window_of_values(&alarm.rule, start, &points)
        }
    }
}

/// Collects the scaling policies that an alarm's actions name. Transitions
/// are noted in its history; repeats are not.
fn act(tx: &mut Tx<'_>, alarm: &Alarm, triggered: &mut Triggered) {
    let values = verdict(tx, alarm).reason_data.values();
    for action in alarm.actions() {
        let policy = policy::by_arn(tx, action);
        if let Some(policy) = &policy {
            let trigger =
                Trigger { alarm: alarm.name.clone(), values: values.clone(), threshold: alarm.rule.threshold };
            triggered.entry(policy.group.clone()).or_default().push((policy.clone(), trigger));
        }
        if alarm.state_transitioned_at == tx.now {
            note_action(tx, &alarm.name, action, policy.is_some());
        }
    }
}

fn note_action(tx: &mut Tx<'_>, alarm: &AlarmName, action: &str, known: bool) {
    let now = tx.now;
    let summary = if known {
        format!("Successfully executed action {action}")
    } else {
        format!("Failed to execute action {action}: nothing here answers to it")
    };
    tx.update(alarm.as_str(), |row: &mut Alarm| row.remember(now, HistoryKind::Action, summary));
}
