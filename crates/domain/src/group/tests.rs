use super::*;

pub(super) const NOW: Time = Time(1_767_261_600_000); // 2026-01-01T10:00:00Z

/// A healthy member in service for a long time.
pub(super) fn member(name: &str, zone: &str) -> Member {
    Member {
        instance: name.into(),
        zone: zone.into(),
        lifecycle: LifecycleState::InService,
        in_service_since: Some(NOW - Span::from_mins(600)),
        launched_at: NOW - Span::from_mins(600),
        protected: false,
        marked_unhealthy: None,
        ec2: InstanceState::Running,
        status_impaired: false,
        elb: None,
        checked: true,
        launch_template_version: Some(("lt-1".into(), 1)),
        launch_configuration: None,
        weight: 1,
        market: Market::OnDemand,
        misfit: 0,
        at_risk: false,
    }
}

/// A group with two zones, sized 0 to 20.
pub(super) fn group(desired: u32, members: Vec<Member>) -> GroupView {
    GroupView {
        name: "web".into(),
        desired,
        bounds: Bounds { min: 0, max: 20 },
        zones: vec!["a".into(), "b".into()],
        without_capacity: Vec::new(),
        members,
        health_grace: Span::ZERO,
        checks_elb: true,
        termination_policies: Vec::new(),
        default_instance_warmup: None,
        current_launch_template: Some("lt-1".into()),
        current_launch_configuration: None,
        distribution: None,
        lightest: 1,
        heaviest: 1,
        suspended: BTreeSet::new(),
        maintenance: None,
        max_lifetime: None,
        refresh: None,
        launch_backoff_until: None,
        deleting: false,
    }
}

/// A group with a member per letter, named `i-0`, `i-1` and so on, in the zone of that letter.
pub(super) fn spread(desired: u32, zones: &str) -> GroupView {
    let members = zones.chars().enumerate();
    group(desired, members.map(|(index, zone)| member(&format!("i-{index}"), &zone.to_string())).collect())
}

/// The plan in short: `+a` launches in zone a, `-i-1` terminates.
pub(super) fn short(view: &GroupView) -> String {
    let plan = plan(view, NOW, 7);
    let words: Vec<String> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Launch { zone, .. } => format!("+{zone}"),
            Action::Terminate { instance, .. } => format!("-{instance}"),
        })
        .collect();
    words.join(" ")
}

/// Pending and in-service members count as capacity, leaving ones do not.
#[test]
fn autoscaling_1_2_what_counts_as_capacity() {
    for (state, plan) in [
        (LifecycleState::Pending, ""),
        (LifecycleState::InService, ""),
        (LifecycleState::Terminating, "+a"),
        (LifecycleState::Terminated, "+a"),
    ] {
        let mut view = spread(1, "a");
        view.members[0].lifecycle = state;
        assert_eq!(short(&view), plan, "{state:?}");
    }
}

/// What is missing is launched, each in the zone with the fewest instances, ties in zone order.
#[test]
fn autoscaling_1_4_launch_zones() {
    for (zones, desired, plan) in
        [("", 3, "+a +b +a"), ("a", 2, "+b"), ("aa", 4, "+b +b"), ("b", 4, "+a +a +b"), ("ab", 2, ""), ("", 0, "")]
    {
        assert_eq!(short(&spread(desired, zones)), plan, "{zones:?} to {desired}");
    }
}

/// A desired capacity outside of the bounds, which the API does not admit, still stays within them.
#[test]
fn autoscaling_1_1_wanted_is_within_bounds() {
    let mut view = spread(9, "ab");
    view.bounds = Bounds { min: 1, max: 3 };
    assert_eq!(short(&view), "+a");
    view.desired = 0;
    view.bounds.min = 3;
    assert_eq!(short(&view), "+a");
}

/// One plan launches a limited number; the cause names the capacity that it leads to.
#[test]
fn launches_come_in_batches() {
    let mut view = spread(250, "");
    view.bounds.max = 300;
    let plan = plan(&view, NOW, 0);
    assert_eq!(plan.actions.len(), LAUNCH_BATCH_MAX as usize);
    let Action::Launch { why, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(*why, Why::BelowDesired { from: 0, to: LAUNCH_BATCH_MAX });
}

/// Nothing is launched while launches fail or without a zone, and the plan says so.
#[test]
fn launches_wait_for_the_backoff() {
    let mut view = spread(2, "a");
    view.launch_backoff_until = Some(NOW + Span(1));
    let until = NOW + Span(1);
    assert_eq!(plan(&view, NOW, 0), Plan { actions: vec![], blocked: Some(Blocked::LaunchBackoff { until }) });
    assert_eq!(view.wake(NOW), Some(until));
    view.launch_backoff_until = Some(NOW);
    assert_eq!(short(&view), "+b");
    view.zones.clear();
    assert_eq!(plan(&view, NOW, 0).blocked, Some(Blocked::NoZone));
}

/// Zone balance precedes the policies; protected instances stay, whatever the policy.
#[test]
fn autoscaling_5_1_scale_in_zone_then_policy() {
    let mut view = spread(2, "aab");
    view.termination_policies = vec![TerminationPolicy::OldestInstance];
    view.members[2].launched_at = NOW - Span::from_mins(9_000);
    view.members[1].launched_at = NOW - Span::from_mins(700);
    assert_eq!(short(&view), "-i-1", "zone a has most, i-1 is its oldest");
    view.members[1].protected = true;
    assert_eq!(short(&view), "-i-0");
    view.members[0].protected = true;
    assert_eq!(short(&view), "-i-2", "zone a has nothing that may go");
    view.members[2].protected = true;
    assert_eq!(plan(&view, NOW, 0), Plan { actions: vec![], blocked: Some(Blocked::AllProtected) });
}

/// A zone without capacity is tried when instances are wanted, but none is
/// moved there; the other zones are balanced meanwhile.
#[test]
fn autoscaling_1_4_zones_without_capacity() {
    for (desired, members, zones, plan) in
        [(4, "bbbb", "ab", ""), (5, "bbbb", "ab", "+a"), (5, "bcccc", "abc", "+b"), (5, "bbccc", "abc", "")]
    {
        let mut view = spread(desired, members);
        view.zones = zones.chars().map(|zone| zone.to_string().as_str().into()).collect();
        view.without_capacity = vec!["a".into()];
        assert_eq!(short(&view), plan, "{desired} {members}");
    }
}

/// Several victims of one plan keep the zones balanced.
#[test]
fn autoscaling_5_1_repeats_per_instance() {
    let mut view = spread(2, "aaab");
    view.termination_policies = vec![TerminationPolicy::NewestInstance];
    for (index, minutes) in [(0, 50), (1, 40), (2, 30), (3, 1)] {
        view.members[index].launched_at = NOW - Span::from_mins(minutes);
    }
    assert_eq!(short(&view), "-i-2 -i-1");
}

/// Each policy's choice between instances of one zone, and that later policies break ties only.
#[test]
fn autoscaling_5_3_policies() {
    use TerminationPolicy::*;
    // Minutes since launch, launch template.
    let members =
        [(600, Some(("lt-1", 3))), (130, Some(("lt-1", 2))), (59, Some(("lt-1", 3))), (20, Some(("lt-2", 9)))];
    for (policies, victim) in [
        (vec![OldestInstance], "-i-0"),
        (vec![NewestInstance], "-i-3"),
        (vec![OldestLaunchTemplate], "-i-3"),
        (vec![ClosestToNextInstanceHour], "-i-2"),
        (vec![Default], "-i-3"),
        (vec![], "-i-3"),
        (vec![OldestLaunchTemplate, OldestInstance, Default], "-i-3"),
    ] {
        let mut view = spread(3, "aaaa");
        view.zones = vec!["a".into()];
        view.termination_policies = policies.clone();
        for (index, (minutes, template)) in members.into_iter().enumerate() {
            view.members[index].launched_at = NOW - Span::from_mins(minutes);
            view.members[index].launch_template_version =
                template.map(|(id, version)| (LaunchTemplateId::from(id), version));
        }
        assert_eq!(short(&view), victim, "{policies:?}");
    }
}

/// `Default`: without a template, then another template, then the oldest version, then the hour.
#[test]
fn autoscaling_5_2_default_policy() {
    let mut view = spread(4, "aaaaa");
    view.zones = vec!["a".into()];
    let templates = [None, Some(("lt-2", 1)), Some(("lt-1", 1)), Some(("lt-1", 2)), Some(("lt-1", 2))];
    for (index, template) in templates.into_iter().enumerate() {
        view.members[index].launch_template_version =
            template.map(|(id, version)| (LaunchTemplateId::from(id), version));
    }
    view.members[4].launched_at = NOW - Span::from_mins(59);
    for victim in ["i-0", "i-1", "i-2", "i-4", "i-3"] {
        assert_eq!(short(&view), format!("-{victim}"));
        view.members.retain(|member| member.instance.as_str() != victim);
        view.desired = view.desired.saturating_sub(1);
    }
}

/// While instances are still being launched, those in service are kept up to the desired capacity.
#[test]
fn scale_in_waits_for_launches() {
    let mut view = spread(2, "abab");
    view.members[2].lifecycle = LifecycleState::Pending;
    view.members[3].lifecycle = LifecycleState::Pending;
    assert_eq!(plan(&view, NOW, 0), Plan { actions: vec![], blocked: Some(Blocked::Launching) });
    view.desired = 1;
    assert_eq!(plan(&view, NOW, 0).actions.len(), 1);
    view.desired = 0;
    assert_eq!(plan(&view, NOW, 0).actions.len(), 2);
}

/// Which failing check marks a member, inside and outside of the grace period.
#[test]
fn autoscaling_4_1_and_4_3_sources_and_grace() {
    use InstanceState::*;
    use UnhealthyCause::*;
    let grace = Span::from_secs(300);
    for (ec2, impaired, elb, checks_elb, after_grace, within_grace) in [
        (Running, false, None, true, None, None),
        (Running, false, Some(true), true, None, None),
        (Running, false, Some(false), true, Some(Elb), None),
        (Running, false, Some(false), false, None, None),
        (Running, true, None, false, Some(StatusCheck), None),
        (Stopping, false, None, false, Some(Ec2State), Some(Ec2State)),
        (Stopped, false, None, false, Some(Ec2State), Some(Ec2State)),
        (ShuttingDown, false, None, false, Some(Ec2State), Some(Ec2State)),
        (Terminated, true, Some(false), true, Some(Ec2State), Some(Ec2State)),
    ] {
        let mut view = spread(1, "a");
        view.health_grace = grace;
        view.checks_elb = checks_elb;
        view.members[0].ec2 = ec2;
        view.members[0].status_impaired = impaired;
        view.members[0].elb = elb;
        for (in_service_for, cause) in [(grace, after_grace), (Span(grace.0 - 1), within_grace)] {
            let since = NOW - in_service_for;
            view.members[0].in_service_since = Some(since);
            let got: Vec<UnhealthyCause> = examine(&view, NOW).into_iter().map(|(_, cause)| cause).collect();
            assert_eq!(got, cause.into_iter().collect::<Vec<_>>(), "{ec2:?} {impaired} {elb:?}");
        }
    }
}

/// Members that are not in service fail no check of a target group; marks are not made twice.
#[test]
fn autoscaling_4_1_only_members_in_service() {
    let mut view = spread(1, "a");
    view.members[0].elb = Some(false);
    view.members[0].lifecycle = LifecycleState::Pending;
    assert!(examine(&view, NOW).is_empty());
    view.members[0].ec2 = InstanceState::Terminated;
    assert_eq!(examine(&view, NOW), [("i-0".into(), UnhealthyCause::Ec2State)]);
    view.members[0].marked_unhealthy = Some(UnhealthyCause::User);
    assert!(examine(&view, NOW).is_empty());
    view.members[0].marked_unhealthy = None;
    view.members[0].lifecycle = LifecycleState::Terminating;
    assert!(examine(&view, NOW).is_empty());
}

/// Dead instances are all replaced at once, in the zones that they leave, protected or not.
#[test]
fn autoscaling_4_4_dead_instances_are_replaced_at_once() {
    for cause in [UnhealthyCause::Ec2State, UnhealthyCause::User] {
        let mut view = spread(4, "abab");
        for index in [0, 2] {
            view.members[index].marked_unhealthy = Some(cause);
            view.members[index].protected = true;
        }
        assert_eq!(short(&view), "-i-0 -i-2 +a +a");
    }
}

/// Instances that still run are replaced a tenth at a time, after those under way have warmed up.
#[test]
fn autoscaling_4_4_live_instances_are_paced() {
    let mut view = spread(20, &"ab".repeat(10));
    for member in &mut view.members {
        member.marked_unhealthy = Some(UnhealthyCause::Elb);
    }
    assert_eq!(short(&view), "-i-0 -i-1 +a +b");
    for index in [0, 1] {
        view.members[index].marked_unhealthy = None;
        view.members[index].lifecycle = LifecycleState::Pending;
        view.members[index].in_service_since = None;
    }
    assert_eq!(short(&view), "");
    view.default_instance_warmup = Some(Span::from_mins(1));
    for index in [0, 1] {
        view.members[index].lifecycle = LifecycleState::InService;
        view.members[index].in_service_since = Some(NOW - Span::from_secs(59));
    }
    assert_eq!(short(&view), "");
    assert_eq!(view.wake(NOW), Some(NOW + Span::from_secs(1)));
    view.members[0].in_service_since = Some(NOW - Span::from_secs(60));
    assert_eq!(short(&view), "-i-2 +a");
}

/// Unhealthy instances above the desired capacity go without a replacement, and no healthy one with them.
#[test]
fn unhealthy_surplus_is_not_replaced() {
    let mut view = spread(2, "abab");
    view.members[1].marked_unhealthy = Some(UnhealthyCause::Elb);
    view.members[2].marked_unhealthy = Some(UnhealthyCause::Ec2State);
    assert_eq!(short(&view), "-i-2 -i-1");
}

/// While launches fail, instances that may still work stay; dead ones go.
#[test]
fn replacement_during_the_backoff() {
    let mut view = spread(2, "ab");
    view.launch_backoff_until = Some(NOW + Span(1));
    view.members[0].marked_unhealthy = Some(UnhealthyCause::Elb);
    assert_eq!(short(&view), "");
    view.members[0].marked_unhealthy = Some(UnhealthyCause::Ec2State);
    assert_eq!(short(&view), "-i-0");
}

/// A group that lacks instances launches first; the unhealthy ones that still run wait.
#[test]
fn autoscaling_4_4_a_short_group_keeps_what_runs() {
    let mut view = spread(3, "ab");
    view.members[0].marked_unhealthy = Some(UnhealthyCause::Elb);
    assert_eq!(short(&view), "+a");
    view.members[0].marked_unhealthy = Some(UnhealthyCause::User);
    assert_eq!(short(&view), "-i-0 +a");
}

/// A lopsided group at rest launches first; the surplus goes from the full zone when that is in service.
#[test]
fn autoscaling_1_5_balance_launches_first() {
    let mut view = spread(3, "aaa");
    assert_eq!(short(&view), "+b");
    view.members.push(Member { lifecycle: LifecycleState::Pending, in_service_since: None, ..member("i-3", "b") });
    assert_eq!(short(&view), "");
    view.members[3].lifecycle = LifecycleState::InService;
    view.members[3].in_service_since = Some(NOW);
    let Action::Terminate { instance, .. } = &plan(&view, NOW, 3).actions[0] else { panic!("no termination") };
    assert_ne!(instance.as_str(), "i-3");
    view.members.remove(0);
    assert_eq!(short(&view), "");
    for member in &mut view.members {
        member.zone = "a".into();
        member.protected = true;
    }
    assert_eq!(short(&view), "", "nothing may go, so nothing is launched for it");
}

/// Zones are balanced only while every instance does its work.
#[test]
fn autoscaling_1_5_balance_waits_for_rest() {
    let mut view = spread(4, "aaaa");
    view.default_instance_warmup = Some(Span::from_mins(5));
    view.members[0].in_service_since = Some(NOW);
    assert_eq!(short(&view), "+b +b");
    view.members[1].marked_unhealthy = Some(UnhealthyCause::Elb);
    assert_eq!(short(&view), "");
    view.members[1].marked_unhealthy = None;
    view.members[0].lifecycle = LifecycleState::Pending;
    assert_eq!(short(&view), "");
}

/// Deleting takes everything that is not leaving already.
#[test]
fn autoscaling_1_6_deleting_ignores_protection() {
    let mut view = spread(3, "abab");
    view.deleting = true;
    view.members[0].protected = true;
    view.members[1].lifecycle = LifecycleState::Pending;
    view.members[2].lifecycle = LifecycleState::Terminating;
    assert_eq!(short(&view), "-i-0 -i-1 -i-3");
}

/// The documented sentences, joined by two spaces.
#[test]
fn autoscaling_15_causes() {
    let instance: InstanceId = "i-1".into();
    let led_by = DesiredChange::Created.sentence(NOW, 0, 2);
    assert_eq!(
        Why::BelowDesired { from: 0, to: 2 }.cause(NOW + Span::from_secs(9), Some(&instance), Some(&led_by)),
        "At 2026-01-01T10:00:00Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 2.  \
         At 2026-01-01T10:00:09Z an instance was started in response to a difference between desired and actual \
         capacity, increasing the capacity from 0 to 2."
    );
    assert_eq!(
        Why::AboveDesired { from: 3, to: 2 }.cause(NOW, Some(&instance), None),
        "At 2026-01-01T10:00:00Z an instance was taken out of service in response to a difference between desired and \
         actual capacity, shrinking the capacity from 3 to 2.  At 2026-01-01T10:00:00Z instance i-1 was selected for \
         termination."
    );
    for (why, text) in [
        (
            Why::Unhealthy(UnhealthyCause::Elb),
            "an instance was taken out of service in response to an ELB system health check failure",
        ),
        (
            Why::Unhealthy(UnhealthyCause::Ec2State),
            "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped",
        ),
        (
            Why::Unhealthy(UnhealthyCause::StatusCheck),
            "an instance was taken out of service in response to an EC2 instance status check failure",
        ),
        (
            Why::Unhealthy(UnhealthyCause::User),
            "an instance was taken out of service in response to a user health-check",
        ),
        (Why::Replacement, "an instance was launched in response to an unhealthy instance needing to be replaced"),
        (
            Why::UserTerminated { shrinking: None },
            "instance i-1 was taken out of service in response to a user request",
        ),
        (
            Why::UserTerminated { shrinking: Some((2, 1)) },
            "instance i-1 was taken out of service in response to a user request, shrinking the capacity from 2 to 1",
        ),
    ] {
        assert_eq!(why.cause(NOW, Some(&instance), None), format!("At 2026-01-01T10:00:00Z {text}."));
    }
}

/// The sentences of what changed the desired capacity.
#[test]
fn autoscaling_15_changes_of_desired() {
    for (change, text) in [
        (DesiredChange::Set, "a user request explicitly set group desired capacity"),
        (
            DesiredChange::Updated { min: 1, max: 4, desired: 2 },
            "a user request update of AutoScalingGroup constraints to min: 1, max: 4, desired: 2",
        ),
        (
            DesiredChange::Policy { alarm: "high".into(), policy: "out".to_owned() },
            "a monitor alarm high in state ALARM triggered policy out",
        ),
        (DesiredChange::Executed { policy: "out".to_owned() }, "a user request executed policy out"),
    ] {
        assert_eq!(
            change.sentence(NOW, 1, 2),
            format!("At 2026-01-01T10:00:00Z {text} changing the desired capacity from 1 to 2.")
        );
    }
}

/// Descriptions of activities.
#[test]
fn autoscaling_15_descriptions() {
    let instance: InstanceId = "i-1".into();
    assert_eq!(launch_description(&instance), "Launching a new EC2 instance: i-1");
    assert_eq!(terminate_description(&instance, false), "Terminating EC2 instance: i-1");
    assert_eq!(
        terminate_description(&instance, true),
        "Terminating EC2 instance: i-1 - Waiting For ELB Connection Draining"
    );
    assert_eq!(
        launch_failed_description("No room."),
        "Launching a new EC2 instance.  Status Reason: No room. Launching EC2 instance failed."
    );
}

/// The names of AWS's policies read back.
#[test]
fn policies_have_names() {
    for policy in TerminationPolicy::ALL {
        assert_eq!(TerminationPolicy::from_name(policy.name()), Some(policy));
    }
    assert_eq!(TerminationPolicy::from_name("arn:aws:lambda:us-east-1:1:function:f"), None);
}
