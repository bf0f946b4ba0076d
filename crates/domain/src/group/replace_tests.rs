//! Replacing: percentages, refreshes, lifetimes, spot instances at risk.

use super::tests::{NOW, member, short, spread};
use super::*;

/// A policy of percentages.
fn maintenance(min_percent: u32, max_percent: u32) -> Option<Maintenance> {
    Some(Maintenance { min_percent, max_percent })
}

/// Ten members in one zone, all unhealthy by the load balancer.
fn ten_unhealthy() -> GroupView {
    let mut view = spread(10, &"a".repeat(10));
    view.zones = vec!["a".into()];
    for member in &mut view.members {
        member.marked_unhealthy = Some(UnhealthyCause::Elb);
    }
    view
}

/// How many launches and terminations a plan has.
fn counts(view: &GroupView) -> (usize, usize) {
    let plan = plan(view, NOW, 7);
    let launches = plan.actions.iter().filter(|action| matches!(action, Action::Launch { .. })).count();
    (launches, plan.actions.len() - launches)
}

fn add(view: &mut GroupView, name: &str, lifecycle: LifecycleState, since: Option<Time>) {
    let mut new = member(name, "a");
    (new.lifecycle, new.in_service_since, new.launched_at) = (lifecycle, since, NOW);
    view.members.push(new);
}

/// How many go and come in the first round, by the policy's percentages; all
/// ten are unhealthy by the load balancer, of ten wanted.
#[test]
fn autoscaling_4_5_first_round_by_percentages() {
    for (policy, launches, terminations) in [
        (None, 1, 1),
        (maintenance(90, 100), 1, 1),
        (maintenance(100, 110), 1, 0),
        (maintenance(100, 100), 1, 0),
        (maintenance(100, 200), 10, 0),
        (maintenance(50, 100), 5, 5),
        (maintenance(50, 150), 10, 5),
        (maintenance(0, 100), 10, 10),
        (maintenance(95, 104), 1, 0),
    ] {
        let mut view = ten_unhealthy();
        view.maintenance = policy;
        assert_eq!(counts(&view), (launches, terminations), "{policy:?}");
    }
}

/// With a minimum of 100 % the old one goes once the new one is in service,
/// has passed its checks and is warm, and then the next is launched.
#[test]
fn autoscaling_4_5_launch_first_waits_until_ready() {
    let mut view = spread(2, "aa");
    view.zones = vec!["a".into()];
    view.maintenance = maintenance(100, 100);
    view.default_instance_warmup = Some(Span::from_secs(60));
    view.members[0].marked_unhealthy = Some(UnhealthyCause::Elb);
    assert_eq!(short(&view), "+a");
    add(&mut view, "i-new", LifecycleState::Pending, None);
    assert_eq!(short(&view), "", "it has not come up");
    view.members[2].lifecycle = LifecycleState::InService;
    view.members[2].in_service_since = Some(NOW - Span::from_secs(59));
    assert_eq!(short(&view), "", "it is not warm");
    view.members[2].in_service_since = Some(NOW - Span::from_secs(60));
    view.members[2].checked = false;
    assert_eq!(short(&view), "", "it has not passed its checks");
    view.members[2].checked = true;
    assert_eq!(short(&view), "-i-0");
    view.members.remove(0);
    assert_eq!(short(&view), "");
}

/// What does not run, and what a user calls unhealthy, goes at once whatever the policy.
#[test]
fn autoscaling_4_5_dead_instances_ignore_the_policy() {
    for cause in [UnhealthyCause::Ec2State, UnhealthyCause::User] {
        let mut view = spread(4, "abab");
        view.maintenance = maintenance(100, 110);
        view.members[0].marked_unhealthy = Some(cause);
        view.members[1].marked_unhealthy = Some(cause);
        assert_eq!(short(&view), "-i-0 -i-1 +a +b", "{cause:?}");
    }
}

/// One that was marked for its checks and does not run any more is as dead as the others.
#[test]
fn autoscaling_4_4_dead_whatever_they_were_marked_for() {
    for cause in [UnhealthyCause::StatusCheck, UnhealthyCause::Elb] {
        let mut view = spread(4, "abab");
        view.maintenance = maintenance(100, 110);
        view.launch_backoff_until = Some(NOW + Span::from_secs(1));
        view.members[0].marked_unhealthy = Some(cause);
        view.members[1].marked_unhealthy = Some(cause);
        view.members[1].ec2 = InstanceState::Stopped;
        assert_eq!(short(&view), "-i-1", "{cause:?}");
    }
}

/// Instances that are still being launched serve nobody: of what a refresh
/// replaces they go first, and the minimum is kept by those in service.
#[test]
fn autoscaling_11_3_the_minimum_is_in_service() {
    for (pending, min_percent, expected) in [
        (vec![0, 1], 50, "-i-0 -i-1 +a +a"),
        (vec![2], 75, "-i-2 +a"),
        (vec![2], 50, "-i-2 -i-0 +a +a"),
        (vec![0, 1, 2], 75, "-i-0 +a"),
        (vec![], 75, "-i-0 +a"),
    ] {
        let mut view = spread(4, "aaaa");
        view.zones = vec!["a".into()];
        view.termination_policies = vec![TerminationPolicy::OldestInstance];
        for (age, member) in view.members.iter_mut().enumerate() {
            member.launched_at = NOW - Span::from_mins(60 - age as i64);
        }
        for index in &pending {
            (view.members[*index].lifecycle, view.members[*index].in_service_since) = (LifecycleState::Pending, None);
        }
        refreshing(&mut view, min_percent, None);
        assert_eq!(short(&view), expected, "{pending:?} {min_percent}");
    }
}

/// A scale-in while everything is to be replaced takes those that are being
/// launched before those that serve, and leaves as many in service as are wanted.
#[test]
fn autoscaling_11_3_scale_in_of_a_refresh_keeps_what_serves() {
    for (desired, expected) in [(3, "-i-0"), (2, "-i-0 -i-1"), (1, "-i-0 -i-1 -i-2")] {
        let mut view = spread(4, "aaaa");
        view.zones = vec!["a".into()];
        view.desired = desired;
        view.termination_policies = vec![TerminationPolicy::OldestInstance];
        for (age, member) in view.members.iter_mut().enumerate() {
            member.launched_at = NOW - Span::from_mins(60 - age as i64);
        }
        for index in [0, 1] {
            (view.members[index].lifecycle, view.members[index].in_service_since) = (LifecycleState::Pending, None);
        }
        refreshing(&mut view, 100, None);
        assert_eq!(short(&view), expected, "{desired}");
    }
}

/// A surplus is the unhealthy one, also while everything is to be replaced.
#[test]
fn autoscaling_11_3_scale_in_of_a_refresh_takes_the_unhealthy() {
    let mut view = spread(4, "aaaa");
    view.zones = vec!["a".into()];
    view.desired = 3;
    view.maintenance = maintenance(100, 110);
    view.default_instance_warmup = Some(Span::from_mins(60));
    view.members[2].marked_unhealthy = Some(UnhealthyCause::Elb);
    refreshing(&mut view, 75, Some(150));
    assert_eq!(short(&view), "-i-2");
}

/// What a refresh has launched is at risk before it is warm: nobody else goes for it.
#[test]
fn autoscaling_11_3_a_new_instance_at_risk_replaces_nobody() {
    for (minutes, expected) in [(0, "-i-4"), (10, "-i-0")] {
        let mut view = spread(4, "aaaaa");
        view.zones = vec!["a".into()];
        view.termination_policies = vec![TerminationPolicy::OldestInstance];
        refreshing(&mut view, 100, Some(100));
        for (age, member) in view.members.iter_mut().enumerate() {
            member.launched_at = NOW - Span::from_mins(60 - age as i64);
        }
        if let Some(refresh) = &mut view.refresh {
            refresh.warmup = Span::from_mins(1);
            refresh.old.remove(&view.members[4].instance);
        }
        view.members[4].at_risk = true;
        view.members[4].in_service_since = Some(NOW - Span::from_mins(minutes));
        assert_eq!(short(&view), expected, "{minutes}");
    }
}

/// When all are unhealthy a tenth at most is marked to go, and the next waits for the new ones' checks.
#[test]
fn autoscaling_4_4_all_unhealthy_by_the_load_balancer() {
    let mut view = ten_unhealthy();
    assert_eq!(short(&view), "-i-0 +a");
    view.members.remove(0);
    add(&mut view, "i-new", LifecycleState::InService, Some(NOW));
    view.members[9].checked = false;
    assert_eq!(short(&view), "");
    view.members[9].checked = true;
    assert_eq!(short(&view), "-i-1 +a");
}

fn refreshing(view: &mut GroupView, min_percent: u32, max_percent: Option<u32>) {
    let old = view.members.iter().map(|member| member.instance.clone()).collect();
    view.refresh = Some(RefreshView { old, limit: u32::MAX, min_percent, max_percent, warmup: Span::from_secs(60) });
}

/// The first batch of a refresh of ten, by its percentages and the room to the next checkpoint.
#[test]
fn autoscaling_11_3_batches() {
    for (min, max, limit, launches, terminations) in [
        (90, None, u32::MAX, 1, 1),
        (50, None, u32::MAX, 5, 5),
        (0, None, u32::MAX, 10, 10),
        (100, None, u32::MAX, 1, 1),
        (100, Some(100), u32::MAX, 1, 0),
        (100, Some(120), u32::MAX, 2, 0),
        (90, Some(100), u32::MAX, 1, 1),
        (80, Some(120), u32::MAX, 4, 2),
        (0, Some(200), u32::MAX, 10, 10),
        (50, None, 2, 2, 2),
        (100, Some(150), 2, 2, 0),
        (50, None, 0, 0, 0),
        (100, Some(100), 0, 0, 0),
    ] {
        let mut view = spread(10, &"a".repeat(10));
        view.zones = vec!["a".into()];
        refreshing(&mut view, min, max);
        view.refresh.as_mut().expect("set").limit = limit;
        assert_eq!(counts(&view), (launches, terminations), "{min} {max:?} {limit}");
    }
}

/// The next batch waits for the last one's warm-up; surplus is taken from the
/// old instances whatever the termination policy; new ones stay.
#[test]
fn autoscaling_11_3_new_instances_warm_up_and_stay() {
    let mut view = spread(2, "aa");
    view.zones = vec!["a".into()];
    view.termination_policies = vec![TerminationPolicy::NewestInstance];
    refreshing(&mut view, 100, Some(100));
    assert_eq!(short(&view), "+a");
    add(&mut view, "i-new", LifecycleState::InService, Some(NOW - Span::from_secs(59)));
    assert_eq!(short(&view), "");
    assert_eq!(view.wake(NOW), Some(NOW + Span::from_secs(1)));
    view.members[2].in_service_since = Some(NOW - Span::from_secs(60));
    assert!(["-i-0", "-i-1"].contains(&short(&view).as_str()), "{}", short(&view));
    view.refresh.as_mut().expect("set").limit = 0;
    assert!(["-i-0", "-i-1"].contains(&short(&view).as_str()), "a pause keeps no surplus");
}

/// A refresh does nothing while one of its processes is suspended.
#[test]
fn autoscaling_6_refresh_and_lifetime_stop() {
    for process in [Process::InstanceRefresh, Process::Launch, Process::Terminate] {
        let mut view = spread(2, "ab");
        refreshing(&mut view, 0, None);
        view.suspended.insert(process);
        assert_eq!(short(&view), "", "{process:?}");
    }
    for process in [Process::Launch, Process::Terminate] {
        let mut view = spread(2, "ab");
        view.max_lifetime = Some(Span::from_mins(600));
        assert_eq!(counts(&view), (1, 1));
        view.suspended.insert(process);
        assert_eq!(short(&view), "", "{process:?}");
    }
}

/// One at a time, a tenth when more than that are over age; not protected
/// ones; launch first when the maintenance policy says so.
#[test]
fn autoscaling_14_maximum_lifetime() {
    for (over, protected, policy, launches, terminations) in [
        (0, 0, None, 0, 0),
        (1, 0, None, 1, 1),
        (3, 0, None, 1, 1),
        (4, 0, None, 3, 3),
        (30, 0, None, 3, 3),
        (2, 2, None, 0, 0),
        (30, 0, maintenance(100, 110), 3, 0),
    ] {
        let mut view = spread(30, &"ab".repeat(15));
        view.bounds.max = 40;
        view.max_lifetime = Some(Span::from_mins(1_440));
        view.maintenance = policy;
        for index in 0..over {
            view.members[index].launched_at = NOW - Span::from_mins(1_440);
            view.members[index].protected = index < protected;
        }
        assert_eq!(counts(&view), (launches, terminations), "{over} {protected} {policy:?}");
    }
    let mut view = spread(1, "a");
    view.max_lifetime = Some(Span::from_mins(1_440));
    view.members[0].launched_at = NOW - Span::from_mins(1_000);
    assert_eq!(view.wake(NOW), Some(NOW + Span::from_mins(440)));
}

/// A spot instance at risk goes once its replacement is ready.
#[test]
fn autoscaling_13_capacity_rebalancing() {
    let mut view = spread(2, "aa");
    view.zones = vec!["a".into()];
    view.members[1].at_risk = true;
    assert_eq!(short(&view), "+a");
    add(&mut view, "i-new", LifecycleState::Pending, None);
    assert_eq!(short(&view), "");
    view.members[2].lifecycle = LifecycleState::InService;
    view.members[2].in_service_since = Some(NOW);
    let plan = plan(&view, NOW, 0);
    assert_eq!(plan.actions, [Action::Terminate { instance: "i-1".into(), why: Why::AtRisk }]);
}
