//! Scheduled actions: those that are due set their group's sizes, in the
//! order of their times (autoscaling.md 8).

use super::{groups, wake_at};
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{DesiredChange, Process};
use elastane_domain::schedule::{Cron, Schedule, due};
use elastane_domain::time::Time;
use std::sync::Arc;

/// Runs what is due and forgets what does not run again.
pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let mut ready: Vec<(Time, Arc<ScheduledAction>, Option<Time>)> = Vec::new();
    let now = tx.now;
    let actions: Vec<Arc<ScheduledAction>> = tx.all::<ScheduledAction>().cloned().collect();
    for action in actions {
        let Some(next) = action.next else { continue };
        if next > now {
            wake_at(wake, next);
            continue;
        }
        if let Some((at, following)) = due(schedule(&action).as_ref(), next, now) {
            ready.push((at, action, following));
        }
    }
    ready.sort_by(|a, b| (a.0, &a.1.group, &a.1.name).cmp(&(b.0, &b.1.group, &b.1.name)));
    for (at, action, following) in ready {
        if action.end.is_none_or(|end| at <= end) {
            run(tx, &action);
        }
        let following = following.filter(|next| action.end.is_none_or(|end| *next <= end));
        match following {
            // It never runs again: AWS lists only those that will.
            None => tx.delete::<ScheduledAction>(&action.id()),
            Some(next) => {
                tx.update(&action.id(), |row: &mut ScheduledAction| row.next = Some(next));
                wake_at(wake, next);
            }
        }
    }
}

/// The recurrence of an action, if it has one. Rows hold what was checked.
fn schedule(action: &ScheduledAction) -> Option<Schedule> {
    let cron = Cron::parse(action.recurrence.as_deref()?).ok()?;
    Schedule::new(cron, action.time_zone.as_deref()).ok()
}

/// Sets the sizes of a group, unless its process is suspended: then the
/// action is skipped (autoscaling.md 6).
fn run(tx: &mut Tx<'_>, action: &ScheduledAction) {
    let Some(group) = tx.get::<Group>(action.group.as_str()) else { return };
    if group.deleting || group.suspends(Process::ScheduledActions) {
        return;
    }
    let (bounds, desired) = action.sizes.apply(group.bounds, group.desired);
    tx.update(group.name.as_str(), |row: &mut Group| {
        row.bounds = bounds;
        if row.desired != desired {
            row.cooldown = row.default_cooldown;
        }
    });
    let change = DesiredChange::Scheduled { action: action.name.clone() };
    groups::set_desired(tx, &group.name, desired, &change);
}
