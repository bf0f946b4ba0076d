//! Suspended processes, purchase options, weights and the rest of the rules.

use super::tests::{NOW, member, short, spread};
use super::*;
use crate::mixed::{Distribution, OnDemandStrategy, SpotStrategy};

/// What a group does with each process suspended: too few, too many, one
/// dead, one unhealthy, lopsided.
#[test]
fn autoscaling_6_suspended_processes() {
    use Process::*;
    for (process, too_few, too_many, dead, lopsided) in [
        (None, "+b", "-i-2", "-i-0 +a", "+b"),
        (Some(Launch), "", "-i-2", "-i-0", ""),
        (Some(Terminate), "+b", "", "", "+b"),
        (Some(AZRebalance), "+b", "-i-2", "-i-0 +a", ""),
        (Some(ReplaceUnhealthy), "+b", "-i-2", "", "+b"),
        (Some(HealthCheck), "+b", "-i-2", "-i-0 +a", "+b"),
        (Some(AddToLoadBalancer), "+b", "-i-2", "-i-0 +a", "+b"),
        (Some(AlarmNotification), "+b", "-i-2", "-i-0 +a", "+b"),
        (Some(InstanceRefresh), "+b", "-i-2", "-i-0 +a", "+b"),
        (Some(ScheduledActions), "+b", "-i-2", "-i-0 +a", "+b"),
    ] {
        let shown = |mut view: GroupView| {
            view.suspended.extend(process);
            view.termination_policies = vec![TerminationPolicy::OldestInstance];
            short(&view)
        };
        assert_eq!(shown(spread(2, "a")), too_few, "{process:?}");
        let mut view = spread(2, "aba");
        view.members[2].launched_at = NOW - Span::from_mins(900);
        assert_eq!(shown(view), too_many, "{process:?}");
        let mut view = spread(2, "ab");
        view.members[0].marked_unhealthy = Some(UnhealthyCause::Ec2State);
        assert_eq!(shown(view), dead, "{process:?}");
        assert_eq!(shown(spread(3, "aaa")), lopsided, "{process:?}");
    }
}

/// Without Launch the unhealthy go and come back only on resume; without
/// HealthCheck nothing is marked.
#[test]
fn autoscaling_6_replacement_without_launch_and_marks() {
    let mut view = spread(2, "ab");
    view.suspended.insert(Process::Launch);
    view.members[0].marked_unhealthy = Some(UnhealthyCause::Elb);
    assert_eq!(short(&view), "-i-0");
    view.members[0].lifecycle = LifecycleState::Terminating;
    assert_eq!(short(&view), "");
    view.suspended.clear();
    assert_eq!(short(&view), "+a");
    let mut view = spread(1, "a");
    view.members[0].ec2 = InstanceState::Terminated;
    view.suspended.insert(Process::HealthCheck);
    assert!(examine(&view, NOW).is_empty());
    view.suspended.clear();
    assert_eq!(examine(&view, NOW).len(), 1);
}

/// An unhealthy surplus goes also without ReplaceUnhealthy: nothing replaces it.
#[test]
fn autoscaling_6_surplus_without_replacement() {
    let mut view = spread(1, "ab");
    view.suspended.insert(Process::ReplaceUnhealthy);
    view.members[1].marked_unhealthy = Some(UnhealthyCause::Elb);
    assert_eq!(short(&view), "-i-1");
}

/// Zones are balanced by launching alone when Terminate is suspended, once,
/// and by at most a tenth of MaxSize.
#[test]
fn autoscaling_1_5_rebalance_without_terminate() {
    let mut view = spread(8, "aaaaaaaa");
    view.suspended.insert(Process::Terminate);
    assert_eq!(short(&view), "+b +b", "a tenth of 20");
    for name in ["i-8", "i-9"] {
        view.members.push(member(name, "b"));
    }
    assert_eq!(short(&view), "", "the overshoot is used up");
    view.suspended.clear();
    view.termination_policies = vec![TerminationPolicy::OldestInstance];
    assert_eq!(short(&view).matches('-').count(), 4, "two go from zone a: {}", short(&view));
}

/// The overshoot is a tenth of MaxSize, or one instance; a maintenance policy has its own.
#[test]
fn autoscaling_1_5_overshoot() {
    for (max, policy, plan) in [
        (8, None, "+b"),
        (20, None, "+b +b"),
        (100, None, "+b +b +b +b"),
        (20, Some((100, 150)), "+b +b +b +b"),
        (20, Some((100, 100)), "+b"),
    ] {
        let mut view = spread(8, "aaaaaaaa");
        view.bounds.max = max;
        view.maintenance = policy.map(|(min_percent, max_percent)| Maintenance { min_percent, max_percent });
        assert_eq!(short(&view), plan, "{max} {policy:?}");
    }
    let mut view = spread(8, "aaaaaaaa");
    view.maintenance = Some(Maintenance { min_percent: 75, max_percent: 100 });
    let shown = short(&view);
    assert_eq!((shown.matches("-i").count(), shown.matches("+b").count()), (2, 2), "{shown}");
}

fn distribution(on_demand_base: u32, on_demand_percent: u32) -> Option<Distribution> {
    Some(Distribution {
        on_demand_strategy: OnDemandStrategy::Prioritized,
        on_demand_base,
        on_demand_percent,
        spot_strategy: SpotStrategy::PriceCapacityOptimized,
        spot_pools: 2,
        spot_max_price: None,
    })
}

/// The purchase option that there is too much of goes first, before zones and
/// policies; protected ones leave the choice to the other option.
#[test]
fn autoscaling_5_1_purchase_option_first() {
    use Market::{OnDemand, Spot};
    for (markets, base, percent, victim) in [
        ([OnDemand, OnDemand, Spot], 0, 0, "-i-0"),
        ([OnDemand, OnDemand, Spot], 2, 0, "-i-2"),
        ([OnDemand, OnDemand, Spot], 0, 50, "-i-0"),
        ([OnDemand, Spot, Spot], 1, 0, "-i-2"),
        ([Spot, Spot, Spot], 0, 100, "-i-1"),
    ] {
        // Zone b has most; i-0 is alone in zone a and the youngest.
        let mut view = spread(2, "abb");
        view.termination_policies = vec![TerminationPolicy::OldestInstance];
        view.distribution = distribution(base, percent);
        for (index, market) in markets.into_iter().enumerate() {
            view.members[index].market = market;
            view.members[index].launched_at = NOW - Span::from_mins(600 - index as i64);
        }
        if markets == [OnDemand, Spot, Spot] {
            view.members[2].launched_at = NOW - Span::from_mins(900);
        }
        if victim == "-i-0" {
            view.members[1].protected = true;
        }
        assert_eq!(short(&view), victim, "{markets:?} {base} {percent}");
    }
}

/// A changed distribution launches what is missing; then what is too much goes.
#[test]
fn autoscaling_13_purchase_options_are_balanced() {
    let mut view = spread(2, "ab");
    view.distribution = distribution(0, 50);
    assert_eq!(short(&view), "+a");
    view.members.push(Member { market: Market::Spot, ..member("i-2", "a") });
    assert!(["-i-0", "-i-1"].contains(&short(&view).as_str()));
    view.members.remove(0);
    assert_eq!(short(&view), "");
}

/// The policies of mixed instances and of launch configurations.
#[test]
fn autoscaling_5_3_configurations_and_strategies() {
    use TerminationPolicy::*;
    let made = |minutes: i64| NOW - Span::from_mins(minutes);
    for (policies, victim) in [
        (vec![OldestLaunchConfiguration], "-i-1"),
        (vec![AllocationStrategy], "-i-2"),
        (vec![AllocationStrategy, OldestLaunchConfiguration], "-i-2"),
        (vec![Default], "-i-1"),
    ] {
        let mut view = spread(3, "aaaa");
        view.zones = vec!["a".into()];
        view.termination_policies = policies.clone();
        view.current_launch_template = None;
        view.current_launch_configuration = Some("new".to_owned());
        for (index, (name, minutes)) in [("old", 50), ("older", 60), ("new", 70), ("new", 70)].into_iter().enumerate() {
            view.members[index].launch_template_version = None;
            view.members[index].launch_configuration = Some((name.to_owned(), made(minutes)));
        }
        view.members[2].misfit = 3;
        assert_eq!(short(&view), victim, "{policies:?}");
    }
}

/// `Default` in a mixed group looks at the allocation strategy first.
#[test]
fn autoscaling_5_2_default_of_mixed_instances() {
    for (mixed, victim) in [(true, "-i-1"), (false, "-i-0")] {
        let mut view = spread(1, "aa");
        view.zones = vec!["a".into()];
        view.distribution = if mixed { distribution(0, 100) } else { None };
        view.members[1].misfit = 1;
        view.members[0].launch_template_version = None;
        assert_eq!(short(&view), victim);
    }
}

/// Weights count: what is missing is launched in units, and nothing goes that
/// weighs more than the surplus.
#[test]
fn autoscaling_1_1_weights() {
    for (weights, desired, plan) in [
        (vec![4, 4], 8, ""),
        (vec![4, 4], 10, "+a +b"),
        (vec![4, 4], 5, ""),
        (vec![4, 4], 4, "-i-0"),
        (vec![4, 1], 3, "-i-1"),
        (vec![4, 2, 1], 6, "-i-2"),
    ] {
        let mut view = spread(desired, &"ab".repeat(2)[..weights.len()]);
        view.heaviest = 4;
        view.termination_policies = vec![TerminationPolicy::OldestInstance];
        for (index, weight) in weights.iter().enumerate() {
            view.members[index].weight = *weight;
            view.members[index].launched_at = NOW - Span::from_mins(600 - index as i64);
        }
        assert_eq!(short(&view), plan, "{weights:?} for {desired}");
    }
}

/// A weighted group is balanced only by what scale-in can take back: nothing
/// that weighs more than the lightest launch, or it would launch and terminate
/// for ever.
#[test]
fn autoscaling_1_5_weights_that_cannot_move() {
    for (weights, zones, plan) in [
        ([4, 4, 4, 1], ["a", "b"], ""),
        ([4, 4, 1, 1], ["a", "b"], "+b"),
        ([4, 4, 4, 4], ["b", "c"], ""),
        ([4, 4, 1, 4], ["b", "c"], "+c"),
    ] {
        let mut view = spread(weights.iter().sum(), "aaab");
        view.zones = zones.map(Into::into).to_vec();
        view.distribution = distribution(0, 100);
        view.heaviest = 4;
        view.members.iter_mut().zip(weights).for_each(|(member, weight)| member.weight = weight);
        assert_eq!(short(&view), plan, "{weights:?} for {zones:?}");
    }
}

/// Standby, detaching and warm members are no capacity.
#[test]
fn autoscaling_1_2_members_aside() {
    use LifecycleState::*;
    for state in [EnteringStandby, Standby, Detaching, WarmedPending, WarmedStopped, WarmedRunning, TerminatingWait] {
        let mut view = spread(1, "ab");
        view.members[0].lifecycle = state;
        assert_eq!(short(&view), "", "{state:?}");
        assert_eq!(view.capacity(), 1);
    }
    for state in [PendingWait, PendingProceed] {
        let mut view = spread(2, "ab");
        view.members[0].lifecycle = state;
        assert_eq!(short(&view), "", "{state:?}");
    }
}
