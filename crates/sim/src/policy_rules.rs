//! Rules of scaling policies: when they must act, and when they must not.
//! Rows as the calls of a round left them are compared with rows as the
//! reconcilers left them.

use crate::met::Met;
use crate::run::Violation;
use crate::watch::{LAG, expected};
use elastane_domain::alarm::{AlarmState, Comparison};
use elastane_domain::forecast::Mode;
use elastane_domain::group::Process;
use elastane_domain::id::GroupName;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::scaling::AdjustmentType;
use elastane_domain::time::{Span, Time};
use elastane_engine::row::*;
use elastane_engine::{Engine, Scope, Table, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Checked = Result<(), Violation>;

/// What is remembered from round to round.
#[derive(Default)]
pub struct PolicyRules {
    before: BTreeMap<Scope, Before>,
    /// Alarms in ALARM after the last round, with the minute that they were evaluated for.
    lasting: BTreeMap<(Scope, String), Time>,
}

struct Before {
    groups: Table<Group>,
    members: Vec<Arc<Instance>>,
    alarms: Table<Alarm>,
    forecasts: Table<Forecast>,
    /// Groups with a scheduled action that is due.
    scheduled: BTreeSet<GroupName>,
}

impl Before {
    fn of(tables: &Tables, now: Time) -> Before {
        let due = tables.scheduled_actions.values().filter(|row| row.next.is_some_and(|at| at <= now));
        Before {
            groups: tables.groups.clone(),
            members: tables.instances.values().filter(|row| row.membership.is_some()).cloned().collect(),
            alarms: tables.alarms.clone(),
            forecasts: tables.forecasts.clone(),
            scheduled: due.map(|row| row.group.clone()).collect(),
        }
    }
}

impl PolicyRules {
    /// Another daemon, or another world.
    pub fn restarted(&mut self) {
        *self = PolicyRules::default();
    }

    /// The calls of a round are through.
    pub fn called(&mut self, engine: &Engine, now: Time) {
        let scopes = engine.state().scopes.iter().filter(|(_, tables)| !tables.groups.is_empty());
        self.before = scopes.map(|(scope, tables)| (scope.clone(), Before::of(tables, now))).collect();
    }

    /// The reconcilers are through.
    pub fn handled(&mut self, engine: &Engine, now: Time, met: &mut Met) -> Checked {
        if !engine.state().seen.inventoried {
            return Ok(());
        }
        for (scope, before) in &self.before {
            let Some(tables) = engine.state().scopes.get(scope) else { continue };
            for group in tables.groups.values().filter(|group| !group.deleting) {
                let Some(was) = before.groups.get(group.name.as_str()) else { continue };
                Look { tables, before, was, group, now }.check(met)?;
            }
            self.lasting_alarms_act(engine, scope, before, now)?;
        }
        let minute = (now - LAG).floor(Span::from_mins(1));
        self.lasting.clear();
        for (scope, tables) in &engine.state().scopes {
            for row in tables.alarms.values().filter(|row| row.state == AlarmState::Alarm) {
                self.lasting.insert((scope.clone(), row.name.to_string()), minute);
            }
        }
        Ok(())
    }

    /// An alarm that stays in ALARM has its actions run again each minute
    /// (autoscaling.md 7.5). A group at rest below its maximum, whose
    /// instances are all warm, then grows; tracking policies wait for no
    /// cooldown (7.2).
    fn lasting_alarms_act(&self, engine: &Engine, scope: &Scope, before: &Before, now: Time) -> Checked {
        let tables = &engine.state().scopes[scope];
        let minute = (now - LAG).floor(Span::from_mins(1));
        for (name, alarm) in &tables.alarms {
            let last = self.lasting.get(&(scope.clone(), name.to_string()));
            let evaluated = last.is_some_and(|last| *last < minute) && alarm.actions_enabled;
            let Some(was) = before.alarms.get(name).filter(|was| was.state == AlarmState::Alarm) else { continue };
            if !evaluated || alarm.state != AlarmState::Alarm {
                continue;
            }
            let says = |row| expected(engine, scope, row, AlarmState::Alarm, now) == AlarmState::Alarm;
            if !says(was) || !says(alarm) {
                continue;
            }
            for policy in tables.policies.values().filter(|policy| alarm.alarm_actions.contains(&policy.arn)) {
                let group = tables.groups.get(policy.group.as_str()).filter(|group| !group.deleting);
                let was = before.groups.get(policy.group.as_str());
                if let Some((group, was)) = group.zip(was) {
                    Look { tables, before, was, group, now }.follows(alarm, policy)?;
                }
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

/// How long instances warm up for a policy (autoscaling.md 7.4).
fn warmup(group: &Group, policy: &Policy) -> Span {
    match &policy.kind {
        PolicyKind::Simple { .. } | PolicyKind::Predictive { .. } => group.default_warmup.unwrap_or(Span::ZERO),
        PolicyKind::Step { warmup, .. } | PolicyKind::TargetTracking { warmup, .. } => {
            warmup.or(group.default_warmup).unwrap_or(group.default_cooldown)
        }
    }
}

impl<'a> Look<'a> {
    fn check(&self, met: &mut Met) -> Checked {
        let (from, to) = (self.was.desired, self.group.desired);
        if from == to || self.before.scheduled.contains(&self.group.name) {
            return Ok(());
        }
        let foretold = self.foretold();
        met.add(match (foretold, from < to) {
            (true, true) => "forecasts that raise desired",
            (true, false) | (false, false) => "policies that lower desired",
            (false, true) => "policies that raise desired",
        });
        if to > from {
            return Ok(());
        }
        if foretold {
            // An alarm may have acted in the same round.
            let alarmed = self.tables.alarms.values().any(|row| row.state == AlarmState::Alarm);
            return if alarmed { Ok(()) } else { self.broken("predictive scaling never scales in") };
        }
        self.forecast_holds()?;
        self.nobody_warms_up()
    }

    fn broken(&self, rule: &'static str) -> Checked {
        let what = format!("{}: {} to {}", self.group.name, self.was.desired, self.group.desired);
        Err(Violation::new(rule, self.now, what))
    }

    fn policies(&self) -> impl Iterator<Item = &'a Policy> {
        let own = self.tables.policies.values().map(AsRef::as_ref);
        own.filter(|policy| policy.group == self.group.name && policy.enabled)
    }

    /// Whether a forecast was acted upon in this round.
    fn foretold(&self) -> bool {
        self.policies().any(|policy| {
            let id = Policy::key(&policy.group, &policy.name);
            let applied = |rows: &Table<Forecast>| rows.get(&id).and_then(|row| row.applied);
            applied(&self.tables.forecasts) != applied(&self.before.forecasts)
        })
    }

    /// No policy takes less than is forecast for the hour (autoscaling.md 9.3, 10).
    fn forecast_holds(&self) -> Checked {
        for policy in self.policies() {
            let PolicyKind::Predictive { config } = &policy.kind else { continue };
            let row = self.tables.forecasts.get(&Policy::key(&policy.group, &policy.name));
            let hour = self.now.floor(Span::from_mins(60));
            // Before the hour it is the next one's that counts.
            let said = |hour| row.and_then(|row| row.said.get(&hour)).map_or(0, |said| said.capacity);
            let foretold = said(hour).min(said(hour + Span::from_mins(60)));
            let least = self.group.bounds.clamp(foretold).min(self.was.desired);
            if config.mode == Mode::ForecastAndScale && self.group.desired < least {
                return self.broken("no policy takes less than is forecast");
            }
        }
        Ok(())
    }

    /// No policy scales in while an instance comes into service or warms up
    /// (autoscaling.md 7.3, 9.3).
    fn nobody_warms_up(&self) -> Checked {
        let acting = self.policies().filter(|policy| {
            !matches!(policy.kind, PolicyKind::Predictive { .. })
                && self.tables.alarms.values().any(|alarm| alarm.actions().contains(&policy.arn))
        });
        let Some(least) = acting.map(|policy| warmup(self.group, policy)).min() else { return Ok(()) };
        let warms = |row: &Instance| {
            row.membership.as_ref().filter(|place| place.group == self.group.name).is_some_and(|place| {
                let warm = place.in_service_since.is_some_and(|since| since + least <= self.now);
                place.lifecycle.is_pending() || (place.lifecycle == LifecycleState::InService && !warm)
            })
        };
        let young = self.before.members.iter().filter(|row| warms(row));
        let mut still = young.filter_map(|row| self.tables.instances.get(row.id.as_str())).filter(|row| warms(row));
        match still.next() {
            Some(row) => {
                let what = format!("{} to {} with {}", self.was.desired, self.group.desired, row.id);
                Err(Violation::new("no policy scales in while instances warm up", self.now, what))
            }
            None => Ok(()),
        }
    }

    /// A policy whose alarm has been in ALARM for longer than a minute lets
    /// its group grow, if nothing speaks against it.
    fn follows(&self, alarm: &Alarm, policy: &Policy) -> Checked {
        let full = self.group.desired >= self.group.bounds.max || self.group.desired != self.was.desired;
        let deaf = !policy.enabled || self.group.suspends(Process::AlarmNotification);
        if full || deaf || self.group.desired == 0 || !self.at_rest(warmup(self.group, policy)) {
            return Ok(());
        }
        let ends = [self.was.last_activity_end, self.group.last_activity_end];
        let cools = |cooldown: Span| ends.into_iter().flatten().any(|end| self.now < end + cooldown);
        let own = self.group.cooldown.max(self.was.cooldown).max(self.group.default_cooldown);
        let grows = match &policy.kind {
            PolicyKind::TargetTracking { alarm_high, .. } => alarm.name == *alarm_high,
            PolicyKind::Simple { adjustment: AdjustmentType::ChangeInCapacity, amount, cooldown, .. } => {
                *amount > 0 && !cools(own.max(cooldown.unwrap_or(Span::ZERO))) && self.nobody_leaves()
            }
            PolicyKind::Step { adjustment: AdjustmentType::ChangeInCapacity, steps, .. } => {
                // The simulated clients' steps are one for each way, and speak of what is above the threshold.
                use Comparison::{GreaterThanOrEqualToThreshold, GreaterThanThreshold};
                matches!(alarm.rule.comparison, GreaterThanOrEqualToThreshold | GreaterThanThreshold)
                    && steps.iter().all(|step| step.adjustment > 0 && step.lower == Some(0.0))
            }
            PolicyKind::Simple { .. } | PolicyKind::Step { .. } | PolicyKind::Predictive { .. } => false,
        };
        let simple = matches!(policy.kind, PolicyKind::Simple { .. });
        match grows {
            false => Ok(()),
            true => {
                let (name, max) = (&policy.name, self.group.bounds.max);
                let what = format!("{} in ALARM, {name} leaves {} of {max}", alarm.name, self.group.desired);
                let waits = !simple && cools(self.group.default_cooldown);
                let rule = match waits {
                    true => "only simple scaling waits for cooldowns",
                    false => "an alarm's actions are repeated while it lasts",
                };
                Err(Violation::new(rule, self.now, what))
            }
        }
    }

    /// Whether all capacity is what is wanted, in service and warm, before and after.
    fn at_rest(&self, warmup: Span) -> bool {
        let after: Vec<Arc<Instance>> = self.tables.instances.values().cloned().collect();
        [(&self.before.members, self.was), (&after, self.group)].into_iter().all(|(rows, group)| {
            let places = rows.iter().filter_map(|row| row.membership.as_ref());
            let counted = places.filter(|place| place.group == group.name && place.lifecycle.counts_as_capacity());
            let (mut there, mut warm) = (0, true);
            for place in counted {
                there += place.weight.max(1);
                warm &= place.lifecycle == LifecycleState::InService
                    && place.in_service_since.is_some_and(|since| since + warmup <= self.now);
            }
            warm && there == group.desired
        })
    }

    fn nobody_leaves(&self) -> bool {
        let after = self.tables.instances.values();
        let mut places = self.before.members.iter().chain(after).filter_map(|row| row.membership.as_ref());
        places.all(|place| {
            let idle = matches!(place.lifecycle, LifecycleState::InService | LifecycleState::Standby);
            place.group != self.group.name || idle || place.lifecycle.is_warm()
        })
    }
}
