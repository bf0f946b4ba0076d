//! Members that wait for life-cycle hooks on their way in and out.

use super::*;
use crate::groups::hooks::{self, Which};
use elastane_domain::hooks::{HookResult, Transition};

const HEARTBEAT: Span = Span::from_secs(60);

impl Rig {
    /// Gives the group `web` a hook.
    fn hook(&mut self, name: &str, transition: Transition, default_result: HookResult) {
        self.tx(|tx| {
            tx.put(LifecycleHook {
                group: GroupName::from("web"),
                name: name.to_string(),
                transition,
                heartbeat: HEARTBEAT,
                default_result,
                target: None,
                role: None,
                metadata: None,
            });
        });
    }

    fn complete(&mut self, hook: &str, instance: &InstanceId, result: HookResult) -> bool {
        let group = GroupName::from("web");
        let which = Which { group: &group, hook, token: None, instance: Some(instance.as_str()) };
        self.tx(|tx| hooks::complete(tx, &which, result))
    }

    fn beat(&mut self, hook: &str, token: &str) -> bool {
        let group = GroupName::from("web");
        let which = Which { group: &group, hook, token: Some(token), instance: None };
        self.tx(|tx| hooks::heartbeat(tx, &which))
    }

    /// States of the members of `web`, sorted by their words.
    pub(super) fn lifecycles(&self) -> Vec<&'static str> {
        let members = self.members("web");
        let mut states: Vec<_> = members.iter().map(|row| place(row).lifecycle.name()).collect();
        states.sort_unstable();
        states
    }

    /// The only member of `web`.
    pub(super) fn only(&self) -> Arc<Instance> {
        let members = self.members("web");
        assert_eq!(members.len(), 1, "{:?}", self.lifecycles());
        members[0].clone()
    }

    pub(super) fn set_desired(&mut self, desired: u32) {
        self.tx(|tx| tx.update("web", |group: &mut Group| group.desired = desired));
        self.pass(Span::ZERO);
    }

    /// Descriptions and words for the status of all activities, the oldest
    /// first, without the instances' ids.
    pub(super) fn activities(&self) -> Vec<(String, &'static str)> {
        let mut rows = self.all::<Activity>();
        rows.sort_by_key(|row| (row.start, row.id.clone()));
        let text = |row: &Arc<Activity>| row.description.split(": i-").next().unwrap_or_default().to_string();
        rows.iter().map(|row| (text(row), row.status.name())).collect()
    }
}

/// A member's place in its group.
pub(super) fn place(row: &Instance) -> &Membership {
    row.membership.as_ref().expect("a member")
}

/// A launched instance waits for all its hooks, registered nowhere; then it
/// is registered and in service.
#[test]
fn autoscaling_3_launch_waits_for_every_hook() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.hook("one", Transition::Launching, HookResult::Abandon);
    rig.hook("two", Transition::Launching, HookResult::Abandon);
    rig.hook("out", Transition::Terminating, HookResult::Abandon);
    rig.group("web", (0, 3), 1, |group| group.target_groups.push(TargetGroupArn::from(TARGET_GROUP)));
    rig.pass(Span::ZERO);
    let member = rig.only();
    assert_eq!((rig.lifecycles(), rig.all::<Target>().len()), (vec!["Pending:Wait"], 0));
    let actions = place(&member).actions.clone();
    let names: Vec<&str> = actions.iter().map(|action| action.hook.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_ne!(actions[0].token, actions[1].token);
    assert_eq!(actions[0].token.len(), 36);
    assert_eq!(rig.all::<Activity>()[0].status, ActivityStatus::MidLifecycleAction);
    assert_eq!(rig.get::<Group>("web").expect("the group").last_activity_end, None, "the launch is not over");

    assert!(rig.complete("one", &member.id, HookResult::Continue));
    rig.pass(Span::ZERO);
    assert_eq!(rig.lifecycles(), ["Pending:Wait"], "the other is waited for");
    assert!(!rig.complete("one", &member.id, HookResult::Continue), "it has its result");
    assert!(!rig.complete("out", &member.id, HookResult::Continue), "nobody waits for it");
    rig.now += Span::from_secs(10);
    assert!(rig.complete("two", &member.id, HookResult::Continue));
    rig.pass(Span::ZERO);
    assert_eq!((rig.lifecycles(), rig.all::<Target>().len()), (vec!["InService"], 1));
    assert_eq!(rig.only().id, member.id);
    assert!(place(&rig.only()).actions.is_empty());
    assert_eq!(place(&rig.only()).in_service_since, Some(rig.now), "the grace period begins now");
    assert_eq!(rig.activities(), [("Launching a new EC2 instance".to_string(), "Successful")]);
    assert_eq!(rig.get::<Group>("web").expect("the group").last_activity_end, Some(rig.now));
}

/// At the deadline the default result counts; one that is given up is
/// terminated and replaced, at once the first time and more slowly after that.
#[test]
fn autoscaling_3_default_result_on_launch() {
    for (default_result, states, cancelled) in
        [(HookResult::Continue, ["InService"], 0), (HookResult::Abandon, ["Pending:Wait"], 1)]
    {
        let mut rig = Rig::new();
        rig.hook("in", Transition::Launching, default_result);
        rig.group("web", (0, 3), 1, |_| {});
        rig.pass(Span::ZERO);
        let first = rig.only().id.clone();
        rig.pass(Span::from_secs(59));
        assert_eq!((rig.lifecycles(), &rig.only().id), (vec!["Pending:Wait"], &first));
        rig.pass(Span::from_secs(1));
        assert_eq!(rig.lifecycles(), states, "{default_result:?}");
        assert_eq!(rig.only().id == first, cancelled == 0, "{default_result:?}");
        let given_up: Vec<_> =
            rig.all::<Activity>().into_iter().filter(|row| row.status == ActivityStatus::Cancelled).collect();
        assert_eq!(given_up.len(), cancelled);
        if let Some(row) = given_up.first() {
            let message = row.status_message.as_deref().unwrap_or_default();
            assert!(message.ends_with("was abandoned: Heartbeat Timeout"), "{message}");
            assert!(row.description.contains(".  Status Reason: Instance failed to complete user's Lifecycle Action"));
            rig.pass(HEARTBEAT);
            assert!(rig.members("web").is_empty(), "the second one in a row is not replaced at once");
            rig.pass(Span::from_mins(2));
            assert_eq!(rig.lifecycles(), ["Pending:Wait"]);
        }
    }
}

/// ABANDON before the deadline ends the launch at once, whatever the other hooks do.
#[test]
fn autoscaling_3_first_abandon_ends_the_launch() {
    let mut rig = Rig::new();
    rig.hook("one", Transition::Launching, HookResult::Continue);
    rig.hook("two", Transition::Launching, HookResult::Continue);
    rig.group("web", (0, 3), 1, |_| {});
    rig.pass(Span::ZERO);
    let first = rig.only().id.clone();
    assert!(rig.complete("two", &first, HookResult::Abandon));
    rig.pass(Span::ZERO);
    assert_ne!(rig.only().id, first);
    let text = "was abandoned: Lifecycle Action Completed with ABANDON Result";
    let says = |row: &Arc<Activity>| row.status_message.as_deref().is_some_and(|message| message.ends_with(text));
    assert!(rig.all::<Activity>().iter().any(says));
    let why = "in response to a life-cycle hook that was abandoned";
    assert!(rig.all::<Activity>().iter().any(|row| row.cause.contains(why)));
}

/// Heartbeats prolong the wait, by a heartbeat timeout from the moment, up to 100 of them in all.
#[test]
fn autoscaling_3_heartbeats_and_global_timeout() {
    let mut rig = Rig::new();
    rig.hook("in", Transition::Launching, HookResult::Continue);
    rig.group("web", (0, 3), 1, |_| {});
    rig.pass(Span::ZERO);
    let token = place(&rig.only()).actions[0].token.clone();
    let began = rig.now;
    while rig.now < began + HEARTBEAT * 99 {
        rig.pass(Span::from_secs(50));
        assert_eq!(rig.lifecycles(), ["Pending:Wait"], "after {:?}", rig.now - began);
        assert!(rig.beat("in", &token));
    }
    rig.pass(began + HEARTBEAT * 100 - rig.now);
    assert_eq!(rig.lifecycles(), ["InService"]);
    assert!(!rig.beat("in", &token));
}

/// Out of the load balancer first, then the terminating hook, then the end;
/// the cooldown counts from the end of the draining.
#[test]
fn autoscaling_2_3_order_on_the_way_out() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.hook("out", Transition::Terminating, HookResult::Continue);
    rig.group("web", (0, 3), 1, |group| group.target_groups.push(TargetGroupArn::from(TARGET_GROUP)));
    rig.pass(Span::ZERO);
    rig.set_desired(0);
    let activity = |rig: &Rig| rig.activities().last().expect("an activity").clone();
    let waiting = "Terminating EC2 instance";
    assert_eq!((rig.lifecycles(), activity(&rig).1), (vec!["Terminating"], "WaitingForELBConnectionDraining"));
    assert!(place(&rig.only()).actions.is_empty(), "its time has not come");
    rig.pass(Span::from_secs(300));
    assert_eq!(
        (rig.lifecycles(), activity(&rig)),
        (vec!["Terminating:Wait"], (waiting.to_string(), "MidLifecycleAction"))
    );
    let drained = rig.now;
    assert_eq!((rig.only().phase, rig.all::<Target>().len()), (Phase::Running, 0));
    let cooldown = |rig: &Rig| rig.get::<Group>("web").expect("the group").last_activity_end;
    assert_eq!(cooldown(&rig), Some(drained));
    rig.pass(HEARTBEAT);
    assert_eq!((rig.lifecycles().len(), activity(&rig).1), (0, "Successful"));
    assert_eq!(cooldown(&rig), Some(drained), "the hook does not prolong it");
}

/// Both results end the instance; ABANDON does not wait for the other hooks,
/// and leaves the instance alone when the group retains it.
#[test]
fn autoscaling_3_results_on_the_way_out() {
    use HookResult::{Abandon, Continue};
    for (result, retain, states) in [
        (Continue, false, vec!["Terminating:Wait"]),
        (Abandon, false, vec![]),
        (Continue, true, vec!["Terminating:Wait"]),
        (Abandon, true, vec!["Terminating:Retained"]),
    ] {
        let mut rig = Rig::new();
        rig.hook("one", Transition::Terminating, Abandon);
        rig.hook("two", Transition::Terminating, Continue);
        rig.group("web", (0, 3), 1, |group| group.retain_on_abandon = retain);
        rig.pass(Span::ZERO);
        rig.set_desired(0);
        let member = rig.only().id.clone();
        assert!(rig.complete("one", &member, result));
        rig.pass(Span::ZERO);
        assert_eq!(rig.lifecycles(), states, "{result:?}, retained: {retain}");
        if result == Continue {
            assert!(rig.complete("two", &member, Continue));
            rig.pass(Span::ZERO);
        }
        if retain && result == Abandon {
            rig.pass(Span::from_mins(60));
            assert_eq!((rig.lifecycles(), rig.only().phase), (vec!["Terminating:Retained"], Phase::Running));
            let why = elastane_domain::group::Why::UserTerminated { shrinking: None };
            assert!(rig.tx(|tx| crate::groups::begin_termination(tx, &member, &why, None)).is_some());
            rig.pass(Span::ZERO);
        }
        assert!(rig.members("web").is_empty(), "{result:?}, retained: {retain}");
    }
}

/// A deleted hook is waited for no longer: launches are given up, terminations go on.
#[test]
fn autoscaling_3_deleted_hook() {
    for (transition, lives) in [(Transition::Launching, true), (Transition::Terminating, false)] {
        let mut rig = Rig::new();
        rig.hook("hook", transition, HookResult::Continue);
        rig.group("web", (0, 3), 1, |_| {});
        rig.pass(Span::ZERO);
        let first = rig.only().id.clone();
        if !lives {
            rig.set_desired(0);
        }
        assert!(place(&rig.only()).lifecycle.waits());
        let row = rig.get::<LifecycleHook>("web:hook").expect("the hook");
        rig.tx(|tx| hooks::remove(tx, &row));
        rig.pass(Span::ZERO);
        match lives {
            true => assert!(rig.only().id != first && rig.lifecycles() == ["InService"], "another came, with no hook"),
            false => assert!(rig.members("web").is_empty()),
        }
    }
}

/// Nobody waits when the whole group is deleted, also who waits already.
#[test]
fn autoscaling_1_6_forced_deletion_skips_hooks() {
    let mut rig = Rig::new();
    rig.hook("in", Transition::Launching, HookResult::Continue);
    rig.hook("out", Transition::Terminating, HookResult::Continue);
    rig.group("web", (0, 3), 2, |_| {});
    rig.pass(Span::ZERO);
    let ids: Vec<InstanceId> = rig.members("web").iter().map(|row| row.id.clone()).collect();
    rig.complete("in", &ids[0], HookResult::Continue);
    rig.pass(Span::ZERO);
    rig.set_desired(1);
    rig.complete("in", &ids[1], HookResult::Continue);
    rig.pass(Span::ZERO);
    assert_eq!(rig.lifecycles(), ["InService", "Terminating:Wait"]);
    rig.tx(|tx| tx.update("web", |group: &mut Group| (group.deleting, group.desired) = (true, 0)));
    rig.pass(Span::ZERO);
    assert!(rig.get::<Group>("web").is_none());
    assert!(rig.all::<LifecycleHook>().is_empty());
}

/// An instance that dies while it waits to come in is replaced at once; what
/// never came up meets no terminating hook.
#[test]
fn autoscaling_3_death_at_the_hook() {
    let mut rig = Rig::new();
    rig.hook("in", Transition::Launching, HookResult::Continue);
    rig.group("web", (0, 3), 1, |_| {});
    rig.pass(Span::ZERO);
    let first = rig.only();
    let dies = HostFact::Exited { instance: first.id.clone(), generation: first.generation };
    rig.tell(vec![Fact::Host(dies)]);
    rig.pass(Span::ZERO);
    assert_ne!(rig.only().id, first.id);

    let mut rig = Rig::new();
    rig.hook("out", Transition::Terminating, HookResult::Continue);
    rig.group("web", (0, 3), 1, |_| {});
    rig.tell(Vec::new());
    rig.answers.clear();
    let first = rig.only();
    let (instance, generation) = (first.id.clone(), first.generation);
    let fails = HostFact::LaunchFailed { instance, generation, reason: "no memory".to_string() };
    rig.tell(vec![Fact::Host(fails)]);
    rig.pass(Span::from_mins(1));
    assert!(rig.lifecycles() == ["InService"] && rig.only().id != first.id, "{:?}", rig.lifecycles());
}
