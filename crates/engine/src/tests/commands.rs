//! Run Command across restarts of the daemon.

use super::rounds::run_one;
use super::*;
use crate::store::decode;
use elastane_domain::machine::{
    CommandEnd, CommandOutcome, CommandStep, Generation, Machine, MachineState, StepEnd, StepOutcome,
};

fn command(instance: &InstanceId) -> Command {
    Command {
        id: CommandId::from("c"),
        document: "AWS-RunShellScript".to_string(),
        document_version: "$DEFAULT".to_string(),
        steps: vec![CommandStep { script: "date".to_string(), timeout_secs: 60, ..CommandStep::default() }],
        parameters: BTreeMap::new(),
        comment: String::new(),
        requested_at: START,
        delivery_timeout_secs: 3600,
        max_concurrency: "50".to_string(),
        max_errors: "0".to_string(),
        targets: Vec::new(),
        cancelled: false,
        invocations: BTreeMap::from([(instance.clone(), Invocation::Waiting)]),
    }
}

/// The daemon dies and the next one finds the machine in this boot.
fn restart(rig: &mut Rig, instance: &InstanceId, boot: Generation) -> Step {
    let rows = rig.stored.clone().into_iter().collect();
    rig.engine = Engine::open(Config::default(), 8, rows).expect("a store");
    let (instance, state) = (instance.clone(), MachineState::Running);
    let machine = Machine { instance, generation: boot, state, initialization: Default::default() };
    rig.tell(vec![Fact::Host(HostFact::Inventory(vec![machine]))])
}

fn sent_to(step: &Step) -> Vec<Generation> {
    let boots = step.effects.iter().filter_map(|effect| match effect {
        Effect::RunCommand { boot, .. } => Some(*boot),
        _ => None,
    });
    boots.collect()
}

/// A daemon that starts asks the same boot again. When that boot is over
/// nobody knows whether the command ran, and it is not sent to another one.
#[test]
fn what_an_earlier_daemon_sent_is_not_sent_to_another_boot() {
    let mut rig = Rig::new();
    let id = rig.tx(run_one);
    rig.tell(Vec::new());
    rig.tell(vec![Fact::Host(HostFact::Booted { instance: id.clone(), generation: Generation(1) })]);
    rig.tx(|tx| tx.put(command(&id)));
    assert_eq!(sent_to(&rig.tell(Vec::new())), [Generation(1)]);
    assert_eq!(sent_to(&restart(&mut rig, &id, Generation(1))), [Generation(1)]);
    let outcome = CommandOutcome::without_steps(CommandEnd::Unreached, "It does not run.");
    let fact = HostFact::CommandDone { command: CommandId::from("c"), instance: id.clone(), outcome };
    let step = rig.tell(vec![Fact::Host(fact)]);
    assert_eq!(sent_to(&step), []);
    let row = rig.get::<Command>("c").expect("a row");
    assert!(matches!(row.invocations[&id], Invocation::Done { end: CommandEnd::Lost, .. }), "{row:?}");
    let output = rig.get::<CommandOutput>(&format!("c/{id}")).expect("a note");
    assert!(output.note.contains("not known"), "{output:?}");
}

/// A command that is being cancelled is not run by the next daemon.
#[test]
fn a_cancelled_command_stays_cancelled() {
    let mut rig = Rig::new();
    let id = rig.tx(run_one);
    rig.tell(Vec::new());
    rig.tell(vec![Fact::Host(HostFact::Booted { instance: id.clone(), generation: Generation(1) })]);
    let invocation = Invocation::Cancelling { since: START, boot: Generation(1) };
    let row = Command { invocations: BTreeMap::from([(id.clone(), invocation)]), ..command(&id) };
    rig.tx(|tx| tx.put(row));
    rig.tell(Vec::new());
    let step = restart(&mut rig, &id, Generation(1));
    assert_eq!(sent_to(&step), []);
    let ends = |effect: &Effect| matches!(effect, Effect::EndCommand { unless_running: false, .. });
    assert!(step.effects.iter().any(ends));
}

/// Rows of version 1 held one script and what it printed.
#[test]
fn old_commands_are_understood() {
    let stored = r#"{"v": 1, "row": {"id": "c", "document": "AWS-RunShellScript", "parameters": {}, "comment": "",
        "requested_at": 5, "delivery_timeout_secs": 60, "execution_timeout_secs": 90, "script": "date",
        "working_directory": "/tmp", "invocations": {
            "i-1": {"InProgress": {"since": 5}},
            "i-2": {"Done": {"since": 5, "at": 7, "outcome": {"end": {"Exited": 3}, "stdout": "a", "stderr": "b"}}}}}}"#;
    let row = decode::<Command>("k", stored.as_bytes()).expect("an old row");
    let step = &row.steps[0];
    assert_eq!((step.script.as_str(), step.directory.as_str(), step.timeout_secs), ("date", "/tmp", 90));
    assert_eq!((row.max_concurrency.as_str(), row.max_errors.as_str()), ("50", "0"));
    let [running, done] = ["i-1", "i-2"].map(|id| row.invocations[&InstanceId::from(id)]);
    assert_eq!(running, Invocation::InProgress { since: Time(5), boot: ANY_BOOT });
    assert_eq!(done, Invocation::Done { since: Time(5), at: Time(7), end: CommandEnd::Exited(3) });
    let key = "000000000000/us-east-1/command/c".to_string();
    let engine = Engine::open(Config::default(), 8, vec![(key, stored.as_bytes().to_vec())]).expect("a store");
    let tables = engine.state().scopes.values().next().expect("a scope");
    let step = StepOutcome { end: StepEnd::Exited(3), stdout: "a".into(), stderr: "b".into(), elapsed_ms: 0 };
    assert_eq!(tables.command_outputs["c/i-2"].steps, [step]);
}
