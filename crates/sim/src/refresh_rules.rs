//! Rules of instance refreshes over their whole course, checked after every
//! step (autoscaling.md 11). What they do within a round is checked with the
//! rest of what happens in it.

use crate::run::Violation;
use elastane_domain::hooks::Arrival;
use elastane_domain::id::{GroupName, InstanceId};
use elastane_domain::refresh::RefreshStatus;
use elastane_domain::time::{Span, Time};
use elastane_engine::row::*;
use elastane_engine::{Engine, Scope, Tables};
use std::collections::{BTreeMap, BTreeSet};

type Checked = Result<(), Violation>;

/// Refreshes as they were at the last look.
#[derive(Default)]
pub struct RefreshRules {
    seen: BTreeMap<(Scope, String), Seen>,
}

struct Seen {
    status: RefreshStatus,
    ended_at: Option<Time>,
    /// Members that were there when it was asked for, and that nothing has
    /// kept from it since: they are its to replace.
    old: BTreeSet<InstanceId>,
}

fn broken(rule: &'static str, now: Time, what: impl Into<String>) -> Checked {
    Err(Violation::new(rule, now, what.into()))
}

impl RefreshRules {
    /// Another daemon, or another world.
    pub fn restarted(&mut self) {
        self.seen.clear();
    }

    /// Looks at all refreshes after a step.
    pub fn look(&mut self, engine: &Engine, now: Time) -> Checked {
        let mut next = BTreeMap::new();
        for (scope, tables) in &engine.state().scopes {
            let mut active: BTreeSet<&GroupName> = BTreeSet::new();
            for row in tables.instance_refreshes.values() {
                if row.status.is_active() && !active.insert(&row.group) {
                    return broken("a group has one active refresh", now, row.id.as_str());
                }
                let key = (scope.clone(), row.id.clone());
                let before = self.seen.remove(&key);
                let mut old = replaceable(tables, row);
                if let Some(before) = &before {
                    old.retain(|id| before.old.contains(id));
                    goes_on(tables, row, (before, &old), now)?;
                }
                next.insert(key, Seen { status: row.status, ended_at: row.ended_at, old });
            }
        }
        self.seen = next;
        Ok(())
    }
}

/// What is older than a refresh, works, and neither is protected nor came
/// back from where refreshes do not reach.
fn replaceable(tables: &Tables, refresh: &InstanceRefresh) -> BTreeSet<InstanceId> {
    let old = |row: &Instance| {
        row.launched_at < refresh.requested_at
            && row.membership.as_ref().is_some_and(|place| {
                place.group == refresh.group
                    && place.lifecycle.counts_as_capacity()
                    && !place.protected
                    && !matches!(place.arrival, Arrival::Attached | Arrival::LeftStandby)
            })
    };
    tables.instances.values().filter(|row| old(row)).map(|row| row.id.clone()).collect()
}

/// How far a refresh is with this status: it never goes back.
fn rank(status: RefreshStatus) -> u32 {
    match status {
        RefreshStatus::Pending => 0,
        RefreshStatus::InProgress => 1,
        RefreshStatus::Baking => 2,
        RefreshStatus::RollbackInProgress => 3,
        RefreshStatus::Cancelling => 4,
        RefreshStatus::Successful
        | RefreshStatus::Failed
        | RefreshStatus::Cancelled
        | RefreshStatus::RollbackSuccessful
        | RefreshStatus::RollbackFailed => 5,
    }
}

fn goes_on(
    tables: &Tables,
    row: &InstanceRefresh,
    (before, old): (&Seen, &BTreeSet<InstanceId>),
    now: Time,
) -> Checked {
    let what = || format!("{} from {} to {}", row.id, before.status.name(), row.status.name());
    let ended = !before.status.is_active();
    if ended && (before.status != row.status || before.ended_at != row.ended_at) {
        return broken("a refresh that ended stays as it is", now, what());
    }
    if rank(row.status) < rank(before.status) {
        return broken("a refresh does not go back to an earlier status", now, what());
    }
    if ended || row.status.is_active() {
        return Ok(());
    }
    if row.ended_at.is_none() || row.remaining.is_empty() && row.status == RefreshStatus::Failed && row.reason.is_none()
    {
        return broken("a refresh that ended says when and why", now, what());
    }
    if row.status != RefreshStatus::Successful {
        return Ok(());
    }
    // While it bakes, what was replaced may fail and be replaced again.
    let whole = row.preferences.checkpoints.last().is_none_or(|last| *last == 100);
    if whole && row.preferences.bake == Span::ZERO && row.percentage != 100 {
        let what = format!("{}: {} %, {:?}", row.id, row.percentage, row.preferences);
        return broken("a refresh that succeeded is complete", now, what);
    }
    if let Some(id) = old.iter().next().filter(|_| whole && !row.preferences.skip_matching) {
        return broken("a refresh that succeeded has replaced what was there", now, format!("{} {id}", row.id));
    }
    let source = tables.groups.get(row.group.as_str()).map(|group| &group.source);
    match row.desired.as_ref().filter(|desired| source.is_some_and(|source| source != *desired)) {
        Some(_) => broken("a refresh that succeeded leaves its configuration", now, row.id.as_str()),
        None => Ok(()),
    }
}
