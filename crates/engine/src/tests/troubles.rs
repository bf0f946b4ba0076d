//! Zone outages and spot interruptions.

use super::*;
use crate::{Chaos, ChaosError, OUTAGE_MAX};
use elastane_domain::group::UnhealthyCause;

fn zone(letter: &str) -> Zone {
    Zone::from(format!("us-east-1{letter}"))
}

fn trouble(rig: &mut Rig, chaos: Chaos) -> Result<(), ChaosError> {
    rig.engine.trouble(rig.now, &chaos)
}

fn cut(rig: &mut Rig, letter: &str, span: Option<Span>) {
    trouble(rig, Chaos::ZoneOutage { zone: zone(letter), span }).expect("the zone is there");
}

/// Members in service by zone, `a` to `c`.
fn spread(rig: &Rig) -> [usize; 3] {
    let lives = |row: &&Arc<Instance>| row.phase == Phase::Running;
    ["a", "b", "c"].map(|letter| rig.members("web").iter().filter(lives).filter(|row| row.zone == zone(letter)).count())
}

fn failures(rig: &Rig) -> Vec<Arc<Activity>> {
    rig.all::<Activity>().into_iter().filter(|row| row.status == ActivityStatus::Failed).collect()
}

/// An outage is in every scope of its region, also in later ones, and ends by itself.
#[test]
fn outages_come_and_go() {
    let mut rig = Rig::new();
    cut(&mut rig, "a", Some(Span::from_secs(60)));
    let other = Scope::new("111111111111", "us-east-1");
    let elsewhere = Scope::new("000000000000", "eu-west-1");
    for scope in [&other, &elsewhere] {
        rig.engine.transact(scope, rig.now, |_| Ok::<(), ()>(())).expect("nothing fails");
    }
    let cut_in = |rig: &Rig, scope: &Scope| rig.engine.state().scopes[scope].outages.len();
    assert_eq!([&rig.scope.clone(), &other, &elsewhere].map(|scope| cut_in(&rig, scope)), [1, 1, 0]);
    rig.pass(Span::from_secs(59));
    assert_eq!(cut_in(&rig, &other), 1);
    rig.pass(Span::from_secs(1));
    assert_eq!([&rig.scope.clone(), &other].map(|scope| cut_in(&rig, scope)), [0, 0]);
}

/// What cannot be done is refused.
#[test]
fn troubles_that_are_refused() {
    let mut rig = Rig::new();
    let id = rig.tx(super::rounds::run_one);
    rig.pass(Span::ZERO);
    let nowhere = Zone::from("us-east-1x");
    for (chaos, expected) in [
        (Chaos::ZoneOutage { zone: nowhere.clone(), span: None }, ChaosError::UnknownZone(nowhere)),
        (Chaos::ZoneOutage { zone: zone("a"), span: Some(Span::ZERO) }, ChaosError::Span(Span::ZERO)),
        (
            Chaos::ZoneOutage { zone: zone("a"), span: Some(Span(OUTAGE_MAX.0 + 1)) },
            ChaosError::Span(Span(OUTAGE_MAX.0 + 1)),
        ),
        (Chaos::EndZoneOutage { zone: zone("a") }, ChaosError::NoOutage(zone("a"))),
        (Chaos::SpotInterruption { instance: id.clone() }, ChaosError::NotInterruptible(id)),
        (
            Chaos::SpotInterruption { instance: InstanceId::from("i-none") },
            ChaosError::UnknownInstance(InstanceId::from("i-none")),
        ),
    ] {
        assert_eq!(trouble(&mut rig, chaos), Err(expected));
    }
}

/// Where a zone is cut its members are replaced elsewhere, with a failed activity for the zone; later all is balanced.
#[test]
fn groups_outlive_an_outage() {
    let mut rig = Rig::new();
    rig.group("web", (0, 9), 6, |_| {});
    rig.pass(Span::ZERO);
    assert_eq!(spread(&rig), [2, 2, 2]);
    cut(&mut rig, "a", None);
    rig.pass(Span::from_secs(60));
    assert_eq!(spread(&rig), [2, 2, 2], "a failed check is tolerated for a while");
    for _ in 0..10 {
        rig.pass(Span::from_mins(1));
    }
    assert_eq!(spread(&rig), [0, 3, 3]);
    let gone: Vec<_> = rig.all::<Instance>().into_iter().filter(|row| row.zone == zone("a")).collect();
    assert_eq!(gone.len(), 2);
    let failed = failures(&rig);
    assert!(!failed.is_empty() && failed.iter().all(|row| row.details.contains("us-east-1a")), "{failed:?}");
    let causes = rig.all::<Activity>().into_iter().filter(|row| row.cause.contains("status check")).count();
    assert_eq!(causes, 2);
    assert!(rig.get::<Group>("web").expect("it is there").launch_after.is_none(), "others had capacity");
    let before = failed.len();
    rig.tx(|tx| tx.update("web", |row: &mut Group| row.desired = 8));
    rig.pass(Span::ZERO);
    assert_eq!((spread(&rig), failures(&rig).len()), ([0, 4, 4], before + 1));
    trouble(&mut rig, Chaos::EndZoneOutage { zone: zone("a") }).expect("it is cut");
    for _ in 0..10 {
        rig.pass(Span::from_mins(1));
    }
    assert_eq!(spread(&rig), [2, 3, 3]);
}

/// Where no zone has capacity the group backs off, and tries again.
#[test]
fn groups_without_capacity_wait() {
    let mut rig = Rig::new();
    ["a", "b", "c"].into_iter().for_each(|letter| cut(&mut rig, letter, Some(Span::from_secs(80))));
    rig.group("web", (0, 9), 2, |_| {});
    rig.pass(Span::ZERO);
    assert_eq!((spread(&rig), failures(&rig).len()), ([0, 0, 0], 3));
    rig.pass(Span::from_secs(29));
    assert_eq!(failures(&rig).len(), 3);
    for _ in 0..5 {
        rig.pass(Span::from_secs(30));
    }
    assert_eq!(rig.members("web").len(), 2);
}

/// A grace period covers status checks too.
#[test]
fn outages_within_the_grace_period() {
    let mut rig = Rig::new();
    rig.group("web", (0, 9), 3, |group| group.grace = Span::from_mins(30));
    rig.pass(Span::ZERO);
    cut(&mut rig, "a", None);
    rig.pass(Span::from_mins(29));
    assert_eq!(spread(&rig), [1, 1, 1]);
    rig.pass(Span::from_mins(1));
    assert_eq!(spread(&rig)[0], 0);
    let marks = rig.all::<Instance>();
    let marks = marks.iter().filter_map(|row| row.membership.as_ref()?.unhealthy).collect::<Vec<_>>();
    assert!(marks.iter().all(|cause| *cause == UnhealthyCause::StatusCheck));
}

/// Makes an instance a spot instance of this request.
fn spot(rig: &mut Rig, persistent: bool, behavior: InterruptionBehavior) -> InstanceId {
    let id = rig.tx(super::rounds::run_one);
    rig.tx(|tx| {
        tx.put(SpotRequest {
            id: "sir-1".to_string(),
            instance: Some(id.clone()),
            data: data(),
            persistent,
            behavior,
            price: None,
            created_at: START,
            changed_at: START,
            valid_until: None,
            phase: SpotPhase::Active,
            client_token: None,
            tags: Tags::new(),
        });
        tx.update(id.as_str(), |row: &mut Instance| row.spot_request = Some("sir-1".to_string()));
    });
    rig.pass(Span::ZERO);
    trouble(rig, Chaos::SpotInterruption { instance: id.clone() }).expect("a spot instance that runs");
    id
}

/// Two minutes after the notice the instance is gone, and its request with it or open for another.
#[test]
fn spot_instances_are_terminated() {
    for persistent in [false, true] {
        let mut rig = Rig::new();
        let id = spot(&mut rig, persistent, InterruptionBehavior::Terminate);
        rig.pass(Span::from_secs(119));
        let row = rig.get::<Instance>(id.as_str()).expect("a row");
        assert_eq!((row.phase, row.interruption), (Phase::Running, Some(START + Span::from_mins(2))));
        rig.pass(Span::from_secs(1));
        let row = rig.get::<Instance>(id.as_str()).expect("a row");
        assert!(matches!(row.phase, Phase::Terminated { .. }));
        assert_eq!(
            row.state_reason.as_ref().map(|reason| reason.code.as_str()),
            Some("Server.SpotInstanceTermination")
        );
        let request = rig.get::<SpotRequest>("sir-1").expect("a row");
        if persistent {
            let fresh = request.instance.clone().expect("launched again");
            assert!(fresh != id && request.phase == SpotPhase::Active);
            let fresh = rig.get::<Instance>(fresh.as_str()).expect("a row");
            assert_eq!((fresh.phase, fresh.spot_request.as_deref()), (Phase::Running, Some("sir-1")));
        } else {
            assert_eq!((request.phase.clone(), request.instance.clone()), (SpotPhase::Closed, Some(id)));
        }
    }
}

/// A persistent request that stops its instance starts it again, but not in a zone without capacity.
#[test]
fn spot_instances_are_stopped() {
    let mut rig = Rig::new();
    let id = spot(&mut rig, true, InterruptionBehavior::Stop);
    cut(&mut rig, "a", Some(Span::from_mins(10)));
    rig.pass(Span::from_mins(2));
    let row = rig.get::<Instance>(id.as_str()).expect("a row");
    assert_eq!(row.state_reason.as_ref().map(|reason| reason.code.as_str()), Some("Server.SpotInstanceShutdown"));
    assert_eq!((row.phase, row.interruption), (Phase::Stopped, None));
    assert_eq!(rig.get::<SpotRequest>("sir-1").expect("a row").phase, SpotPhase::Open);
    rig.pass(Span::from_mins(8));
    let row = rig.get::<Instance>(id.as_str()).expect("a row");
    assert_eq!((row.phase, row.generation.0, row.state_reason.clone()), (Phase::Running, 2, None));
    assert_eq!(rig.get::<SpotRequest>("sir-1").expect("a row").phase, SpotPhase::Active);
}
