//! Members that wait for life-cycle hooks (autoscaling.md 3): what they wait
//! for is in their rows; what a hook says is looked up when it is needed, so
//! that a hook that is gone never keeps anybody waiting.

use crate::engine::Plant;
use crate::reconcile::{activity, notifications, wake_at};
use crate::row::*;
use crate::state::{Tables, Tx};
use elastane_domain::hooks::{self, Ending, HookResult, LifecycleAction, Terms, Transition, Verdict};
use elastane_domain::id::*;
use elastane_domain::time::Time;
use std::sync::Arc;

/// Which action somebody speaks of.
#[derive(Clone, Debug)]
pub struct Which<'a> {
    /// The group.
    pub group: &'a GroupName,
    /// The hook's name.
    pub hook: &'a str,
    /// LifecycleActionToken, if it is given.
    pub token: Option<&'a str>,
    /// InstanceId, if it is given.
    pub instance: Option<&'a str>,
}

impl Which<'_> {
    fn means(&self, instance: &Instance, action: &LifecycleAction) -> bool {
        action.waits()
            && action.hook == self.hook
            && self.token.is_none_or(|token| token == action.token)
            && self.instance.is_none_or(|id| id == instance.id.as_str())
    }

    /// The instance whose action is meant, as long as the action is waited for.
    fn find(&self, tables: &Tables) -> Option<InstanceId> {
        let waits = |row: &&Arc<Instance>| {
            row.membership.as_ref().is_some_and(|place| {
                place.group == *self.group && place.actions.iter().any(|action| self.means(row, action))
            })
        };
        match self.instance {
            Some(id) => tables.instances.get(id).filter(waits).map(|row| row.id.clone()),
            None => tables.instances.values().find(waits).map(|row| row.id.clone()),
        }
    }
}

/// CompleteLifecycleAction: the action has its result, which the group acts
/// upon next. `false` when nobody waits for such an action.
pub fn complete(tx: &mut Tx<'_>, which: &Which<'_>, result: HookResult) -> bool {
    change(tx, which, |action, _| action.result = Some(result))
}

/// RecordLifecycleActionHeartbeat: the action's timeout starts again. `false`
/// when nobody waits for such an action.
pub fn heartbeat(tx: &mut Tx<'_>, which: &Which<'_>) -> bool {
    let Some(hook) = tx.get::<LifecycleHook>(&LifecycleHook::key(which.group, which.hook)) else { return false };
    change(tx, which, |action, now| action.beat(hook.heartbeat, now))
}

fn change(tx: &mut Tx<'_>, which: &Which<'_>, change: impl Fn(&mut LifecycleAction, Time)) -> bool {
    let Some(id) = which.find(tx) else { return false };
    let now = tx.now;
    tx.update(id.as_str(), |row: &mut Instance| {
        let meant: Vec<bool> = match &row.membership {
            Some(place) => place.actions.iter().map(|action| which.means(row, action)).collect(),
            None => Vec::new(),
        };
        let actions = row.membership.iter_mut().flat_map(|place| &mut place.actions);
        actions.zip(meant).filter(|(_, meant)| *meant).for_each(|(action, _)| change(action, now));
    });
    true
}

/// DeleteLifecycleHook: what is outstanding ends first, abandoned on the way
/// in and continued on the way out.
pub fn remove(tx: &mut Tx<'_>, hook: &LifecycleHook) {
    let waits = |row: &&Arc<Instance>| {
        row.membership.as_ref().is_some_and(|place| {
            place.group == hook.group && place.actions.iter().any(|action| action.waits() && action.hook == hook.name)
        })
    };
    let waiting: Vec<InstanceId> = tx.all::<Instance>().filter(waits).map(|row| row.id.clone()).collect();
    let now = tx.now;
    for id in waiting {
        tx.update(id.as_str(), |row: &mut Instance| {
            let actions = row.membership.iter_mut().flat_map(|place| &mut place.actions);
            for action in actions.filter(|action| action.hook == hook.name) {
                action.result = hooks::due(action, None, now).or(action.result);
            }
        });
    }
    tx.delete::<LifecycleHook>(&hook.id());
}

/// The hooks of a group, in the order of their names.
pub fn of_group(tables: &Tables, group: &GroupName) -> Vec<Arc<LifecycleHook>> {
    tables.lifecycle_hooks.starting_with(&LifecycleHook::key(group, "")).map(|(_, row)| row.clone()).collect()
}

/// Whether no hook is waited for: the whole group is deleted, or the warm pool
/// of this member.
pub(super) fn waived(tx: &Tx<'_>, membership: &Membership) -> bool {
    let Some(group) = tx.get::<Group>(membership.group.as_str()) else { return true };
    group.deleting || (membership.lifecycle.is_warm() && group.warm_pool.is_none_or(|pool| pool.deleting))
}

/// Lets a member wait for the hooks on its way, if there are any; whether it
/// waits now.
pub(super) fn begin(tx: &mut Tx<'_>, instance: &Instance, membership: &Membership) -> bool {
    let state = membership.lifecycle;
    let (Some(transition), Some(waiting)) = (hooks::way(state, membership.arrival), hooks::waiting(state)) else {
        return false;
    };
    if waived(tx, membership) {
        return false;
    }
    let mut met = of_group(tx, &membership.group);
    met.retain(|hook| hook.transition == transition);
    if met.is_empty() {
        return false;
    }
    let now = tx.now;
    let mut actions = Vec::new();
    for hook in &met {
        let token = tx.rng.uuid();
        actions.push(LifecycleAction::begin(hook.name.clone(), transition, token, hook.heartbeat, now));
    }
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.enter(waiting, now);
            membership.actions.clone_from(&actions);
        }
    });
    if let Some(id) = &membership.activity {
        activity::waits_for_hooks(tx, id);
    }
    if let Some(row) = tx.get::<Instance>(instance.id.as_str()) {
        for (hook, action) in met.iter().zip(&actions) {
            notifications::lifecycle(tx, hook, action, &row);
        }
    }
    true
}

/// How a member's wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every hook let it pass.
    Proceed,
    /// A hook gave up.
    Abandoned {
        /// The token of that hook's action.
        token: String,
        /// How it came to that.
        ending: Ending,
    },
}

/// What the hooks of a waiting member come to; `None` while it waits on.
/// Those whose time is over get their hook's default result.
pub(super) fn settle(tx: &mut Tx<'_>, instance: &Instance, wake: &mut Time) -> Option<Outcome> {
    let membership = instance.membership.as_ref()?;
    let now = tx.now;
    let mut actions = membership.actions.clone();
    let mut timed_out = Vec::new();
    for action in &mut actions {
        let hook = tx.get::<LifecycleHook>(&LifecycleHook::key(&membership.group, &action.hook));
        let terms = hook.map(|hook| Terms { heartbeat: hook.heartbeat, default_result: hook.default_result });
        let due = hooks::due(action, terms, now).filter(|_| tx.config.plant != Some(Plant::HookDefaultIgnored));
        if let Some(result) = due {
            action.result = Some(result);
            if terms.is_some() {
                timed_out.push(action.token.clone());
            }
        }
    }
    if let Some(at) = hooks::next_deadline(&actions).filter(|at| *at > now) {
        wake_at(wake, at);
    }
    let outcome = match hooks::verdict(&actions) {
        Verdict::Wait => None,
        Verdict::Proceed => Some(Outcome::Proceed),
        Verdict::Abandoned(action) => {
            let ending = if timed_out.contains(&action.token) { Ending::TimedOut } else { Ending::Completed };
            Some(Outcome::Abandoned { token: action.token.clone(), ending })
        }
    };
    if let (Some(id), Some(Outcome::Proceed)) = (&membership.activity, &outcome) {
        activity::goes_on(tx, id, transition_of(&actions));
    }
    // Once the wait is over nothing of it is kept.
    let kept = if outcome.is_some() { Vec::new() } else { actions };
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        if let Some(membership) = &mut row.membership {
            membership.actions = kept;
        }
    });
    outcome
}

/// All actions of one wait go the same way.
fn transition_of(actions: &[LifecycleAction]) -> Transition {
    actions.first().map_or(Transition::Launching, |action| action.transition)
}
