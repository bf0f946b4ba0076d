//! Predictive scaling: hours of load are put by, every six hours the next two
//! days are foretold, and before each hour a group that follows its forecast
//! gets the capacity that the hour needs (autoscaling.md 10), for which its
//! MaxSize may be raised. It never takes capacity away; while an hour lasts, no
//! policy takes less than it needs.

use super::{groups, wake_at};
use crate::engine::Plant;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::forecast::{self, Config, HORIZON, HOUR, Measure, Mode, REFRESH};
use elastane_domain::group::DesiredChange;
use elastane_domain::id::GroupName;
use elastane_domain::series::MetricId;
use elastane_domain::time::{Span, Time};
use std::sync::Arc;

/// GetPredictiveScalingForecast reaches back so far.
const SAID_KEPT: Span = Span::from_mins(30 * 24 * 60);

/// Load is put by for as long as a forecast looks back.
const LOAD_KEPT: Span = Span(forecast::HISTORY_MAX as i64 * HOUR.0);

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let predictive = |row: &&Arc<Policy>| matches!(row.kind, PolicyKind::Predictive { .. });
    let policies: Vec<Arc<Policy>> = tx.all::<Policy>().filter(predictive).cloned().collect();
    for policy in policies {
        let PolicyKind::Predictive { config } = &policy.kind else { continue };
        follow(tx, &policy, config, wake);
    }
}

fn follow(tx: &mut Tx<'_>, policy: &Policy, config: &Config, wake: &mut Time) {
    let id = Policy::key(&policy.group, &policy.name);
    let now = tx.now;
    let begun = now.floor(HOUR);
    if tx.get::<Forecast>(&id).is_none_or(|row| row.seen_until < begun || stale(&row, now)) {
        let row = tx
            .get::<Forecast>(&id)
            .map_or_else(|| Forecast { policy: id.clone(), ..Forecast::default() }, |row| (*row).clone());
        let row = brought_up_to(tx, row, policy, config);
        tx.put(row);
    }
    wake_at(wake, begun + HOUR);
    if config.mode == Mode::ForecastAndScale && policy.enabled {
        wake_at(wake, config.hour(now) + HOUR - config.ahead());
        apply(tx, &id, policy, config);
    }
}

fn stale(row: &Forecast, now: Time) -> bool {
    let enough = row.load.len() >= forecast::HISTORY_MIN;
    enough && row.made_at.is_none_or(|made| now >= made + REFRESH)
}

/// The row with all hours that are over, and a fresh forecast when the last
/// one has grown old.
fn brought_up_to(tx: &Tx<'_>, mut row: Forecast, policy: &Policy, config: &Config) -> Forecast {
    let (now, begun) = (tx.now, tx.now.floor(HOUR));
    let from = row.seen_until.max(begun - LOAD_KEPT);
    for (hour, load) in loads(tx, &policy.group, config, from, begun) {
        row.load.insert(hour, thousandths(load));
    }
    row.seen_until = begun;
    row.load = row.load.split_off(&(begun - LOAD_KEPT));
    row.said = row.said.split_off(&(begun - SAID_KEPT));
    if stale(&row, now) {
        foretell(&mut row, config, begun);
        row.made_at = Some(now);
    }
    row
}

fn foretell(row: &mut Forecast, config: &Config, begun: Time) {
    let Some(first) = row.load.keys().next().copied() else { return };
    let count = (begun - first).millis() / HOUR.millis();
    let hours: Vec<Option<f64>> =
        (0..count).map(|hour| row.load.get(&(first + Span(hour * HOUR.0))).copied()).collect();
    let Some(loads) = forecast::forecast(&forecast::fill(&hours), HORIZON) else { return };
    for (hour, load) in (0..).zip(loads) {
        let load = thousandths(load);
        let foretold = Foretold { load, capacity: forecast::capacity(load, config.target) };
        row.said.insert(begun + Span(hour * HOUR.0), foretold);
    }
}

/// Rows hold loads as exactly as their text does: more digits would not come
/// back from the store as they were.
fn thousandths(load: f64) -> f64 {
    (load * 1e3).round() / 1e3
}

/// The mean load of a minute of each hour with data: the sum over the group's instances.
fn loads(tx: &Tx<'_>, group: &GroupName, config: &Config, from: Time, until: Time) -> Vec<(Time, f64)> {
    const MINUTES: f64 = 60.0;
    let view = tx.view();
    let Some(store) = view.metrics() else { return Vec::new() };
    let hours = store.get(&load_metric(group, config), from.floor(HOUR), until, HOUR, None);
    hours.into_iter().map(|(hour, set)| (hour, set.sum / MINUTES)).collect()
}

/// The CloudWatch metric whose sum is the load.
fn load_metric(group: &GroupName, config: &Config) -> MetricId {
    let of_group = |name| MetricId::new("AWS/EC2", name, &[("AutoScalingGroupName", group.as_str())]);
    match config.measure {
        Measure::Cpu => of_group("CPUUtilization"),
        Measure::NetworkIn => of_group("NetworkIn"),
        Measure::NetworkOut => of_group("NetworkOut"),
        Measure::Requests => {
            let label = config.resource_label.as_deref().unwrap_or_default();
            let (balancer, target_group) = super::policy::split_label(label);
            let dimensions = [("LoadBalancer", balancer), ("TargetGroup", target_group)];
            MetricId::new("AWS/ApplicationELB", "RequestCount", &dimensions)
        }
    }
}

/// Once for each hour the group gets what was foretold for it.
fn apply(tx: &mut Tx<'_>, id: &str, policy: &Policy, config: &Config) {
    let Some(row) = tx.get::<Forecast>(id) else { return };
    let hour = config.hour(tx.now);
    let Some(foretold) = row.said.get(&hour).filter(|_| row.applied != Some(hour)) else { return };
    let Some(group) = tx.get::<Group>(policy.group.as_str()).filter(|group| !group.deleting) else { return };
    let bounds = config.bounds(foretold.capacity, group.bounds);
    if bounds != group.bounds {
        // MaxSize stays raised until a user lowers it (autoscaling.md 10, MaxCapacityBreachBehavior).
        tx.update(policy.group.as_str(), |row: &mut Group| row.bounds = bounds);
    }
    let wanted = bounds.clamp(foretold.capacity);
    if wanted > group.desired || tx.config.plant == Some(Plant::ForecastScalesIn) {
        groups::set_desired(tx, &policy.group, wanted, &DesiredChange::Predictive { policy: policy.name.clone() });
    }
    tx.update(id, |row: &mut Forecast| row.applied = Some(hour));
}

/// A policy that measures something else than before has seen nothing yet.
pub(super) fn forget_unless_same(tx: &mut Tx<'_>, old: &Policy, new: &Policy) {
    let measured = |policy: &Policy| match &policy.kind {
        PolicyKind::Predictive { config } => Some((config.measure, config.resource_label.clone(), config.target)),
        PolicyKind::Simple { .. } | PolicyKind::Step { .. } | PolicyKind::TargetTracking { .. } => None,
    };
    if measured(old) != measured(new) {
        tx.delete::<Forecast>(&Policy::key(&old.group, &old.name));
    }
}

/// The capacity that the forecasts which the group follows ask for now: no
/// policy takes the group below it (autoscaling.md 9.3). Zero without one.
pub fn floor(tx: &Tx<'_>, group: &Group) -> u32 {
    let now = tx.now;
    let policies = tx.policies.starting_with(&Policy::key(&group.name, ""));
    let asked = policies.filter_map(|(id, policy)| match &policy.kind {
        PolicyKind::Predictive { config } if config.mode == Mode::ForecastAndScale && policy.enabled => {
            let foretold = tx.forecasts.get(id)?.said.get(&config.hour(now))?;
            Some(group.bounds.clamp(foretold.capacity))
        }
        _ => None,
    });
    asked.max().unwrap_or(0)
}
