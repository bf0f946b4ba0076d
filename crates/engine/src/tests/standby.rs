//! Standby, attaching and detaching.

use super::hooks::place;
use super::*;
use crate::groups;
use elastane_domain::hooks::{HookResult, Transition};

fn web() -> TargetGroupArn {
    TargetGroupArn::from(TARGET_GROUP)
}

/// A group `web` with target group and hooks that nobody answers; one in service.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.target_group();
    rig.group("web", (0, 4), 1, |group| group.target_groups.push(web()));
    rig.pass(Span::ZERO);
    for transition in [Transition::Launching, Transition::Terminating] {
        rig.tx(|tx| {
            tx.put(LifecycleHook {
                group: GroupName::from("web"),
                name: transition.name().to_string(),
                transition,
                heartbeat: Span::from_secs(7_200),
                default_result: HookResult::Abandon,
                target: None,
                role: None,
                metadata: None,
            });
        });
    }
    rig
}

/// Into standby it drains, without hooks and without being replaced when
/// desired is lowered with it; out of it, it is registered and in service anew.
#[test]
fn autoscaling_2_4_there_and_back() {
    let mut rig = rig();
    let id = rig.only().id.clone();
    rig.tx(|tx| {
        tx.update("web", |group: &mut Group| group.desired = 0);
        groups::enter_standby(tx, &id, Some((1, 0)))
    });
    rig.pass(Span::ZERO);
    assert_eq!((rig.lifecycles(), rig.admissions()), (vec!["EnteringStandby"], BTreeSet::from(["draining"])));
    rig.pass(Span::from_secs(300));
    assert_eq!((rig.lifecycles(), rig.only().phase, rig.all::<Target>().len()), (vec!["Standby"], Phase::Running, 0));
    rig.pass(Span::from_mins(60));
    assert_eq!(rig.lifecycles(), ["Standby"]);

    rig.tx(|tx| {
        tx.update("web", |group: &mut Group| group.desired = 1);
        groups::exit_standby(tx, &id, Some((0, 1)))
    });
    rig.pass(Span::ZERO);
    assert_eq!((rig.lifecycles(), rig.all::<Target>().len()), (vec!["InService"], 1));
    assert_eq!(place(&rig.only()).in_service_since, Some(rig.now), "the grace period begins anew");
    let said = |text: &str| rig.all::<Activity>().iter().any(|row| row.cause.contains(text) && row.end.is_some());
    assert!(said("was moved to standby in response to a user request, shrinking the capacity from 1 to 0."));
    assert!(said("was moved out of standby in response to a user request, increasing the capacity from 0 to 1."));
}

/// Who is in standby without desired being lowered is stood in for; nobody
/// looks at its health until it comes back.
#[test]
fn autoscaling_2_4_health_is_frozen() {
    let mut rig = rig();
    rig.tx(|tx| tx.delete::<LifecycleHook>(&format!("web:{}", Transition::Launching.name())));
    rig.tx(|tx| tx.delete::<LifecycleHook>(&format!("web:{}", Transition::Terminating.name())));
    let member = rig.only();
    rig.tx(|tx| groups::enter_standby(tx, &member.id, None));
    rig.pass(Span::from_secs(300));
    assert_eq!(rig.lifecycles(), ["InService", "Standby"]);
    let dies = HostFact::Exited { instance: member.id.clone(), generation: member.generation };
    rig.tell(vec![Fact::Host(dies)]);
    rig.pass(Span::from_mins(10));
    assert_eq!(rig.lifecycles(), ["InService", "Standby"]);
    rig.tx(|tx| {
        tx.update("web", |group: &mut Group| group.desired = 2);
        groups::exit_standby(tx, &member.id, Some((1, 2)))
    });
    rig.pass(Span::from_mins(1));
    rig.pass(Span::from_mins(1));
    assert_eq!(rig.lifecycles(), ["InService", "InService"]);
    assert!(rig.members("web").iter().all(|row| row.id != member.id), "the dead one is replaced");
}

/// What is detached drains and lives on, without the group's tag; what is
/// attached gets the group's tags and is registered, without hooks.
#[test]
fn autoscaling_2_5_detach_and_attach() {
    const TAG: &str = "aws:autoscaling:groupName";
    let mut rig = rig();
    rig.tx(|tx| tx.update("web", |group: &mut Group| group.protect_new = true));
    rig.tx(|tx| {
        tx.update("web", |group: &mut Group| {
            group.desired = 0;
            group.tags.insert("team".to_string(), ("a".to_string(), true));
            group.tags.insert("own".to_string(), ("b".to_string(), false));
        });
    });
    let id = rig.only().id.clone();
    rig.tx(|tx| groups::detach(tx, &id, Some((1, 0))));
    rig.pass(Span::ZERO);
    assert_eq!((rig.lifecycles(), rig.admissions()), (vec!["Detaching"], BTreeSet::from(["draining"])));
    rig.pass(Span::from_secs(300));
    assert!(rig.members("web").is_empty());
    let row = rig.get::<Instance>(id.as_str()).expect("it lives");
    assert_eq!((row.phase, row.tags.contains_key(TAG)), (Phase::Running, false));
    let entries = crate::metadata::entries(&rig.engine.view(&rig.scope, rig.now).expect("a scope"), &row);
    let target = entries.get("meta-data/autoscaling/target-lifecycle-state");
    assert_eq!(target.map(String::as_str), Some("Detached"));

    let group = rig.get::<Group>("web").expect("the group");
    rig.tx(|tx| {
        tx.update("web", |group: &mut Group| group.desired = 1);
        groups::attach(tx, &group, &id, Some((0, 1)))
    });
    rig.pass(Span::ZERO);
    let row = rig.only();
    assert_eq!((rig.lifecycles(), &row.id, rig.all::<Target>().len()), (vec!["InService"], &id, 1));
    assert!(place(&row).protected);
    let tag = |key: &str| row.tags.get(key).map(String::as_str);
    assert_eq!((tag(TAG), tag("team"), tag("own")), (Some("web"), Some("a"), None));
}
