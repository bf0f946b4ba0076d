//! Rules of groups in depth, checked after every step: hooks, standby, warm
//! pools, protection, suspended processes, refreshes.

use crate::run::Violation;
use elastane_domain::group::Process;
use elastane_domain::hooks::WAIT_MAX;
use elastane_domain::id::{GroupName, InstanceId, TargetGroupArn};
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::{Span, Time};
use elastane_engine::row::*;
use elastane_engine::{Engine, Scope, Tables};
use std::collections::{BTreeMap, BTreeSet};

type Checked = Result<(), Violation>;

/// A wait that ended is noticed within so long: the engine sleeps until then,
/// and a crash or a clock that jumps costs some of it.
const SLACK: Span = Span::from_mins(2);

/// What was seen at the last look.
#[derive(Default)]
pub struct GroupRules {
    /// Members of each group, with their state.
    members: BTreeMap<(Scope, GroupName), BTreeMap<InstanceId, LifecycleState>>,
    /// Activities that have been looked at.
    activities: BTreeSet<String>,
    /// Waits that should have ended, and since when that was seen: a daemon that is down notices nothing.
    overdue: BTreeMap<(InstanceId, String), Time>,
}

fn broken(rule: &'static str, now: Time, what: impl Into<String>) -> Checked {
    Err(Violation::new(rule, now, what.into()))
}

impl GroupRules {
    /// Another daemon, or another world.
    pub fn restarted(&mut self) {
        self.members.clear();
        self.overdue.clear();
    }

    /// Looks at everything after a step.
    /// `by_hand`: targets that clients registered themselves.
    pub fn look(&mut self, engine: &Engine, by_hand: &BTreeSet<(TargetGroupArn, String)>, now: Time) -> Checked {
        let state = engine.state();
        let mut members = BTreeMap::new();
        for (scope, tables) in &state.scopes {
            for row in tables.instances.values() {
                let Some(place) = &row.membership else { continue };
                self.waits_end(tables, row, place, now)?;
                works_only_in_service(tables, (row, place), by_hand, now)?;
                let of_group: &mut BTreeMap<InstanceId, LifecycleState> =
                    members.entry((scope.clone(), place.group.clone())).or_default();
                of_group.insert(row.id.clone(), place.lifecycle);
            }
            self.scale_in_spares_the_protected(tables, now)?;
        }
        for ((scope, name), now_members) in &members {
            let Some(before) = self.members.get(&(scope.clone(), name.clone())) else { continue };
            let tables = &state.scopes[scope];
            if let Some(group) = tables.groups.get(name.as_str()) {
                suspended_means_suspended(group, before, now_members, now)?;
            }
            steps_are_allowed(before, now_members, now)?;
        }
        self.members = members;
        Ok(())
    }

    /// An instance leaves a wait when all of its hooks are answered or out of
    /// time, and never waits longer than two days.
    fn waits_end(&mut self, tables: &Tables, row: &Instance, place: &Membership, now: Time) -> Checked {
        let is_late = |action: &&elastane_domain::hooks::LifecycleAction| {
            action.result.is_none() && (action.deadline + SLACK < now || action.began_at + WAIT_MAX + SLACK < now)
        };
        let late =
            place.actions.iter().find(is_late).filter(|_| place.lifecycle.waits() && row.phase == Phase::Running);
        let Some(action) = late else {
            self.overdue.retain(|(id, _), _| *id != row.id);
            return Ok(());
        };
        let since = *self.overdue.entry((row.id.clone(), action.token.clone())).or_insert(now);
        if now > since + SLACK && tables.groups.contains_key(place.group.as_str()) {
            return broken(
                "a hook's wait ends with its default",
                now,
                format!("{} is {:?}, {:?}: {action:?}", row.id, place.lifecycle, row.phase),
            );
        }
        Ok(())
    }

    /// What a scale-in or a rebalance takes was not protected when it was taken.
    fn scale_in_spares_the_protected(&mut self, tables: &Tables, now: Time) -> Checked {
        for activity in tables.activities.values() {
            if !self.activities.insert(activity.id.clone()) {
                continue;
            }
            let group = tables.groups.get(activity.group.as_str());
            if activity.start != now || group.is_none_or(|group| group.deleting) {
                continue;
            }
            let scales_in = activity.cause.contains("shrinking the capacity from")
                && activity.cause.contains("was selected for termination");
            let row = activity.instance.as_ref().and_then(|id| tables.instances.get(id.as_str()));
            let protected = row.and_then(|row| row.membership.as_ref()).is_some_and(|place| place.protected);
            if scales_in && protected {
                return broken("a protected instance is not scaled in", now, activity.description.as_str());
            }
        }
        Ok(())
    }
}

/// Who is in the warm pool gets no requests, unless a client registered it.
fn works_only_in_service(
    tables: &Tables,
    (row, place): (&Instance, &Membership),
    by_hand: &BTreeSet<(TargetGroupArn, String)>,
    now: Time,
) -> Checked {
    if !place.lifecycle.is_warm() {
        return Ok(());
    }
    let Some(group) = tables.groups.get(place.group.as_str()) else { return Ok(()) };
    let groups_own = |target: &&std::sync::Arc<Target>| {
        group.target_groups.contains(&target.group) && !by_hand.contains(&(target.group.clone(), target.id.clone()))
    };
    let registered = |target: &&std::sync::Arc<Target>| {
        target.id == row.id.as_str() && target.phase == TargetPhase::Registered && groups_own(target)
    };
    match tables.targets.values().find(registered) {
        Some(target) => broken("a warm instance is no target", now, target.id()),
        None => Ok(()),
    }
}

/// While Launch is suspended nobody comes, while Terminate is nobody goes by scale-in.
fn suspended_means_suspended(
    group: &Group,
    before: &BTreeMap<InstanceId, LifecycleState>,
    after: &BTreeMap<InstanceId, LifecycleState>,
    now: Time,
) -> Checked {
    let came = after.iter().find(|(id, state)| !before.contains_key(*id) && **state == LifecycleState::Pending);
    match came.filter(|_| group.suspends(Process::Launch)) {
        Some((id, _)) => broken("nobody is launched while Launch is suspended", now, id.as_str()),
        None => Ok(()),
    }
}

/// Terminating is final, and the warm pool's members come into service through Pending.
fn steps_are_allowed(
    before: &BTreeMap<InstanceId, LifecycleState>,
    after: &BTreeMap<InstanceId, LifecycleState>,
    now: Time,
) -> Checked {
    for (id, state) in after {
        let Some(was) = before.get(id) else { continue };
        if was.is_terminating() && !state.is_terminating() {
            return broken("a terminating member never comes back", now, format!("{id} from {was:?} to {state:?}"));
        }
    }
    Ok(())
}
