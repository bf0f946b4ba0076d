//! What holds for every round: transactions, inventories, generations.

use super::*;
use crate::launch::{Request, launch};
use elastane_domain::machine::{CommandEnd, CommandOutcome, Generation, Machine, MachineState};

pub(super) fn run_one(tx: &mut Tx<'_>) -> InstanceId {
    let request = Request { data: data(), count_min: 1, count_max: 1, ..Request::default() };
    launch(tx, &request).expect("a good request").remove(0)
}

/// A transaction that fails leaves rows as they were, and nothing to commit.
#[test]
fn a_failed_transaction_leaves_nothing() {
    let mut rig = Rig::new();
    rig.group("web", (0, 9), 0, |_| {});
    rig.pass(Span::ZERO);
    let before = rig.engine.state().scopes.clone();
    let failed: Result<(), &str> = rig.engine.transact(&rig.scope.clone(), rig.now, |tx| {
        tx.delete::<LaunchTemplate>(TEMPLATE);
        tx.update("web", |group: &mut Group| group.desired = 5);
        tx.update("web", |group: &mut Group| group.desired = 6);
        tx.put(group("other", (0, 1), 0));
        run_one(tx);
        Err("no")
    });
    assert_eq!(failed, Err("no"));
    assert_eq!(rig.engine.state().scopes, before);
    let step = rig.tell(Vec::new());
    assert!(step.writes.is_empty() && step.effects.is_empty(), "{step:?}");
}

/// Before the first inventory nothing is done, whatever rows say; after it everything is.
#[test]
fn nothing_happens_before_the_first_inventory() {
    let mut rig = Rig::blank();
    let id = rig.tx(run_one);
    assert!(rig.tell(Vec::new()).effects.is_empty());
    rig.now += Span::from_mins(60);
    assert!(rig.tell(Vec::new()).effects.is_empty());
    let step = rig.tell(vec![Fact::Host(HostFact::Inventory(Vec::new()))]);
    assert!(step.effects.iter().any(|effect| matches!(effect, Effect::Launch(spec) if spec.instance == id)));
}

/// A machine that no row owns is ended; an image's layer that no row knows is
/// removed, also one whose image went while it was captured.
#[test]
fn what_nobody_owns_goes() {
    let mut rig = Rig::blank();
    let stranger = InstanceId::from("i-00000000000000001");
    let machine = Machine {
        instance: stranger.clone(),
        generation: Generation(1),
        state: MachineState::Running,
        initialization: Default::default(),
    };
    let layers = vec![ImageId::from("ami-00000000000000001")];
    let facts = [HostFact::Inventory(vec![machine]), HostFact::Layers(layers.clone())];
    let step = rig.tell(facts.into_iter().map(Fact::Host).collect());
    assert!(step.effects.contains(&Effect::Terminate { instance: stranger }), "{step:?}");
    assert!(step.effects.contains(&Effect::DeleteImage { image: layers[0].clone() }), "{step:?}");
    let late = ImageId::from("ami-00000000000000002");
    let step = rig.tell(vec![Fact::Host(HostFact::Captured { image: late.clone(), bytes: 1 })]);
    assert_eq!(step.effects, [Effect::DeleteImage { image: late }]);
}

/// Facts of an older boot change nothing; the current boot's do.
#[test]
fn facts_of_older_boots_are_ignored() {
    let mut rig = Rig::new();
    let id = rig.tx(run_one);
    rig.pass(Span::ZERO);
    rig.tx(|tx| tx.update(id.as_str(), |row: &mut Instance| row.generation = Generation(2)));
    rig.pass(Span::ZERO);
    let exited = |generation| vec![Fact::Host(HostFact::Exited { instance: id.clone(), generation })];
    rig.tell(exited(Generation(1)));
    assert_eq!(rig.get::<Instance>(id.as_str()).expect("a row").phase, Phase::Running);
    rig.tell(exited(Generation(2)));
    assert_eq!(rig.get::<Instance>(id.as_str()).expect("a row").phase, Phase::Stopped);
}

/// A new instance whose boot fails is terminated; one that lived is stopped and can be started again.
#[test]
fn failed_boots() {
    let mut rig = Rig::new();
    let id = rig.tx(run_one);
    rig.tell(Vec::new());
    let failed = |generation| {
        let reason = "no room".to_string();
        vec![Fact::Host(HostFact::LaunchFailed { instance: id.clone(), generation, reason })]
    };
    rig.tell(failed(Generation(9)));
    assert_eq!(rig.get::<Instance>(id.as_str()).expect("a row").phase, Phase::Pending);
    rig.tx(|tx| tx.update(id.as_str(), |row: &mut Instance| row.generation = Generation(2)));
    rig.tell(failed(Generation(2)));
    let row = rig.get::<Instance>(id.as_str()).expect("a row");
    assert_eq!((row.phase, row.goal), (Phase::Stopped, Goal::Stop));
    assert_eq!(row.state_reason.as_ref().map(|reason| reason.code.as_str()), Some("Server.InternalError"));

    let new = rig.tx(run_one);
    rig.tell(Vec::new());
    let reason = "no room".to_string();
    rig.tell(vec![Fact::Host(HostFact::LaunchFailed { instance: new.clone(), generation: Generation(1), reason })]);
    assert_eq!(rig.get::<Instance>(new.as_str()).expect("a row").phase, Phase::ShuttingDown);
}

/// Effects are not repeated while they are under way, and are after a while.
#[test]
fn effects_are_repeated_after_a_while() {
    let mut rig = Rig::new();
    rig.tx(run_one);
    let launches = |step: &Step| step.effects.iter().filter(|e| matches!(e, Effect::Launch(_))).count();
    assert_eq!(launches(&rig.tell(Vec::new())), 1);
    rig.now += Span::from_mins(1);
    assert_eq!(launches(&rig.tell(Vec::new())), 0);
    rig.now += Span::from_mins(10);
    assert_eq!(launches(&rig.tell(Vec::new())), 1);
}

/// Facts about rows that are gone leave no trace.
#[test]
fn facts_of_nobody_are_not_kept() {
    let mut rig = Rig::new();
    let id = InstanceId::from("i-00000000000000001");
    let outcome = CommandOutcome::without_steps(CommandEnd::Exited(0), String::new());
    let facts = [
        HostFact::LaunchFailed { instance: id.clone(), generation: Generation(1), reason: String::new() },
        HostFact::Captured { image: ImageId::from("ami-00000000000000001"), bytes: 1 },
        HostFact::CommandDone { command: CommandId::from("c"), instance: id.clone(), outcome },
        HostFact::Removed { instance: id },
    ];
    let before = rig.engine.state().seen.clone();
    rig.tell(facts.into_iter().map(Fact::Host).collect());
    assert_eq!(rig.engine.state().seen, before);
}
