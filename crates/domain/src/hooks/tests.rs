//! Tables of section 3 of the reference.

use super::*;
use crate::lifecycle::LifecycleState;

const START: Time = Time(1_000_000);
const MINUTE: Span = Span::from_secs(60);

fn action(transition: Transition, result: Option<HookResult>) -> LifecycleAction {
    let begun = LifecycleAction::begin("hook".to_string(), transition, "token".to_string(), MINUTE, START);
    LifecycleAction { result, ..begun }
}

/// 100 heartbeat timeouts, at most 48 hours.
#[test]
fn autoscaling_3_global_timeout() {
    for (heartbeat, expected) in [(30, 3_000), (60, 6_000), (1_728, 172_800), (1_729, 172_800), (3_600, 172_800)] {
        assert_eq!(global_timeout(Span::from_secs(heartbeat)), Span::from_secs(expected), "{heartbeat}");
    }
}

/// A heartbeat restarts the timeout rather than adding to it, up to the global timeout.
#[test]
fn autoscaling_3_heartbeat_restarts() {
    for (at, deadline) in [(0, 60), (59, 119), (1_000, 1_060), (5_939, 5_999), (5_940, 6_000), (5_941, 6_000)] {
        let mut one = action(Transition::Launching, None);
        one.beat(MINUTE, START + Span::from_secs(at));
        assert_eq!(one.deadline, START + Span::from_secs(deadline), "at {at}");
    }
}

/// At the deadline the default result counts; a deleted hook abandons a
/// launch and lets a termination go on; what has a result keeps it.
#[test]
fn autoscaling_3_default_result_and_deletion() {
    use HookResult::{Abandon, Continue};
    use Transition::{Launching, Terminating};
    let terms = |default_result| Some(Terms { heartbeat: MINUTE, default_result });
    for (transition, result, terms, secs, expected) in [
        (Launching, None, terms(Abandon), 59, None),
        (Launching, None, terms(Abandon), 60, Some(Abandon)),
        (Launching, None, terms(Continue), 60, Some(Continue)),
        (Terminating, None, terms(Abandon), 60, Some(Abandon)),
        (Terminating, None, terms(Continue), 61, Some(Continue)),
        (Launching, Some(Continue), terms(Abandon), 60, None),
        (Launching, None, None, 0, Some(Abandon)),
        (Terminating, None, None, 0, Some(Continue)),
        (Terminating, Some(Abandon), None, 0, None),
    ] {
        let one = action(transition, result);
        let got = due(&one, terms, START + Span::from_secs(secs));
        assert_eq!(got, expected, "{transition:?} {result:?} {terms:?} after {secs} s");
    }
}

/// One abandoned hook ends the wait both ways; otherwise all are waited for.
#[test]
fn autoscaling_3_several_hooks() {
    use HookResult::{Abandon, Continue};
    for (results, expected) in [
        (vec![], "proceed"),
        (vec![None], "wait"),
        (vec![Some(Continue)], "proceed"),
        (vec![Some(Abandon)], "abandoned"),
        (vec![Some(Continue), None], "wait"),
        (vec![Some(Continue), Some(Continue)], "proceed"),
        (vec![None, Some(Abandon)], "abandoned"),
        (vec![Some(Continue), Some(Abandon), None], "abandoned"),
    ] {
        for transition in [Transition::Launching, Transition::Terminating] {
            let actions: Vec<_> = results.iter().map(|result| action(transition, *result)).collect();
            let got = match verdict(&actions) {
                Verdict::Wait => "wait",
                Verdict::Proceed => "proceed",
                Verdict::Abandoned(_) => "abandoned",
            };
            assert_eq!(got, expected, "{transition:?} {results:?}");
            assert_eq!(next_deadline(&actions).is_some(), results.contains(&None), "{results:?}");
        }
    }
}

/// Hooks are for launches, terminations and the warm pool; not for attaching and standby.
#[test]
fn autoscaling_3_which_hooks_and_where_between() {
    use Arrival::{Attached, Launched, LeftStandby, NeverRan, Returned, Taken};
    use LifecycleState::*;
    let (launching, terminating) = (Some(Transition::Launching), Some(Transition::Terminating));
    for (state, arrival, hooks, between) in [
        (Pending, Launched, launching, ("EC2", "AutoScalingGroup")),
        (Pending, Taken, launching, ("WarmPool", "AutoScalingGroup")),
        (Pending, Attached, None, ("EC2", "AutoScalingGroup")),
        (Pending, LeftStandby, None, ("EC2", "AutoScalingGroup")),
        (WarmedPending, Launched, launching, ("EC2", "WarmPool")),
        (WarmedPending, Returned, terminating, ("AutoScalingGroup", "WarmPool")),
        (Terminating, Launched, terminating, ("AutoScalingGroup", "EC2")),
        (Terminating, LeftStandby, terminating, ("AutoScalingGroup", "EC2")),
        (Terminating, NeverRan, None, ("AutoScalingGroup", "EC2")),
        (WarmedTerminating, Launched, terminating, ("WarmPool", "EC2")),
        (InService, Launched, None, ("EC2", "AutoScalingGroup")),
        (EnteringStandby, Launched, None, ("EC2", "AutoScalingGroup")),
        (Detaching, Launched, None, ("EC2", "AutoScalingGroup")),
    ] {
        let (origin, destination) = route(state, arrival);
        assert_eq!(way(state, arrival), hooks, "{state:?} {arrival:?}");
        assert_eq!((origin.name(), destination.name()), between, "{state:?} {arrival:?}");
        assert!(hooks.is_none() || waiting(state).is_some_and(LifecycleState::waits), "{state:?}");
    }
}
