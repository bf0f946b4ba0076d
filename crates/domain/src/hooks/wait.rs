//! What the results of several hooks come to.

use super::{HookResult, LifecycleAction, Transition};
use crate::time::{Span, Time};

/// What a hook says of those that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// HeartbeatTimeout.
    pub heartbeat: Span,
    /// DefaultResult.
    pub default_result: HookResult,
}

/// How an abandoned action came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody said so.
    Completed,
    /// Nobody said anything in time.
    TimedOut,
}

/// Where a member that waits for its hooks goes from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It waits on.
    Wait,
    /// Every hook let it pass.
    Proceed,
    /// A hook gave up; the action of that hook.
    Abandoned(&'a LifecycleAction),
}

/// The result that an action gets without anybody saying anything; `None`
/// when it is still waited for. `terms` is what its hook says, `None` once
/// the hook is deleted: what is outstanding then ends at once, abandoned on
/// the way in and continued on the way out.
pub fn due(action: &LifecycleAction, terms: Option<Terms>, now: Time) -> Option<HookResult> {
    match (action.waits(), terms, action.transition) {
        (false, _, _) => None,
        (true, Some(terms), _) => (now >= action.deadline).then_some(terms.default_result),
        (true, None, Transition::Launching) => Some(HookResult::Abandon),
        (true, None, Transition::Terminating) => Some(HookResult::Continue),
    }
}

/// What a member's actions come to. The first that is abandoned decides, on
/// the way in because the instance is of no use, on the way out because
/// nobody waits for the rest; otherwise all are waited for.
pub fn verdict(actions: &[LifecycleAction]) -> Verdict<'_> {
    let abandoned = actions.iter().find(|action| action.result == Some(HookResult::Abandon));
    match abandoned {
        Some(action) => Verdict::Abandoned(action),
        None if actions.iter().any(LifecycleAction::waits) => Verdict::Wait,
        None => Verdict::Proceed,
    }
}

/// When the next action that is waited for gets its hook's default result.
pub fn next_deadline(actions: &[LifecycleAction]) -> Option<Time> {
    actions.iter().filter(|action| action.waits()).map(|action| action.deadline).min()
}

/// What the activity of an abandoned launch says (EC2 Auto Scaling User Guide,
/// "Tutorial: Use data script and instance metadata to retrieve lifecycle
/// state", and the troubleshooting of CodeDeploy).
pub fn abandon_reason(token: &str, ending: Ending) -> String {
    let how = match ending {
        Ending::Completed => "Lifecycle Action Completed with ABANDON Result",
        Ending::TimedOut => "Heartbeat Timeout",
    };
    format!(
        "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {token} was abandoned: {how}"
    )
}
