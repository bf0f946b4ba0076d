//! Run Command against a real engine.

use super::send::INVOCATIONS_MAX;
use crate::testing::{Lab, ask};
use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::{CommandEnd, CommandOutcome, CommandStep, Generation, HostFact, StepEnd, StepOutcome};
use elastane_domain::time::Time;
use elastane_engine::row::{Command, Instance, Phase};
use elastane_engine::{Config, Effect, Entropy, Fact};
use elastane_wire::ssm as wire;
use std::collections::BTreeMap;

fn shell(script: &str) -> wire::SendCommandRequest {
    wire::SendCommandRequest {
        document_name: Some("AWS-RunShellScript".to_string()),
        parameters: BTreeMap::from([("commands".to_string(), vec![script.to_string()])]),
        ..Default::default()
    }
}

fn send(lab: &mut Lab, ids: &[InstanceId], script: &str) -> wire::Command {
    let instance_ids = ids.iter().map(ToString::to_string).collect();
    let input = wire::SendCommandRequest { instance_ids, ..shell(script) };
    ask!(lab, SsmSendCommand, input).expect("instances that run").command.expect("a command")
}

/// The host says how the script ended.
fn end(lab: &mut Lab, command: &wire::Command, instance: &InstanceId, end: StepEnd) {
    let step = StepOutcome { end, stdout: "out\n".to_string(), stderr: "err".to_string(), elapsed_ms: 5 };
    done(lab, command, instance, CommandOutcome::of_step(step));
}

/// The host says that it never ran, or that nobody knows.
fn done(lab: &mut Lab, command: &wire::Command, instance: &InstanceId, outcome: CommandOutcome) {
    // What is heard of it before it is sent is of no interest.
    lab.facts(Vec::new());
    let command = id_of(command);
    lab.facts(vec![Fact::Host(HostFact::CommandDone { command, instance: instance.clone(), outcome })]);
}

fn started(lab: &mut Lab, command: &wire::Command, instance: &InstanceId) {
    let command = id_of(command);
    lab.facts(vec![Fact::Host(HostFact::CommandStarted { command, instance: instance.clone() })]);
}

fn id_of(command: &wire::Command) -> CommandId {
    CommandId::from(command.command_id.as_deref().expect("an id"))
}

/// Status and detail on each instance.
fn statuses(lab: &mut Lab, command: &wire::Command, ids: &[InstanceId]) -> Vec<String> {
    ids.iter().map(|id| invocation(lab, command, id).status_details.expect("a detail")).collect()
}

/// The command as it is listed.
fn listed(lab: &mut Lab, command: &wire::Command) -> wire::Command {
    let input = wire::ListCommandsRequest { command_id: command.command_id.clone(), ..Default::default() };
    ask!(lab, SsmListCommands, input).expect("an id").commands.remove(0)
}

/// On which instances the host is told to run something, of these effects.
fn told(effects: &[Effect]) -> Vec<InstanceId> {
    let runs = effects.iter().filter_map(|effect| match effect {
        Effect::RunCommand { instance, .. } => Some(instance.clone()),
        _ => None,
    });
    runs.collect()
}

fn invocation(lab: &mut Lab, command: &wire::Command, instance: &InstanceId) -> wire::GetCommandInvocationResult {
    let input = wire::GetCommandInvocationRequest {
        command_id: command.command_id.clone(),
        instance_id: Some(instance.to_string()),
        plugin_name: None,
    };
    ask!(lab, SsmGetCommandInvocation, input).expect("it was sent there")
}

fn list(lab: &mut Lab, filters: &[(&str, &str)]) -> Vec<wire::Command> {
    let filter = |(key, value): &(&str, &str)| wire::CommandFilter {
        key: Some(key.to_string()),
        value: Some(value.to_string()),
    };
    let input = wire::ListCommandsRequest { filters: filters.iter().map(filter).collect(), ..Default::default() };
    ask!(lab, SsmListCommands, input).expect("good filters").commands
}

/// A command is run by the host and its outcome shown: pending until the
/// host says that it runs, then in progress, then by the exit code.
#[test]
fn a_command_from_sending_to_its_end() {
    for (how, status, details, code, last) in [
        (StepEnd::Exited(0), "Success", "Success", 0, "err"),
        (StepEnd::Exited(3), "Failed", "Failed", 3, "err\nfailed to run commands: exit status 3"),
        (
            StepEnd::TimedOut,
            "TimedOut",
            "ExecutionTimedOut",
            -1,
            "err\nfailed to run commands: the execution timeout has passed",
        ),
    ] {
        let mut lab = Lab::new();
        let ids = lab.running(1);
        let command = send(&mut lab, &ids, "date");
        assert_eq!(command.status.as_deref(), Some("Pending"));
        let script = |step: &CommandStep| step.script == "date" && step.timeout_secs == 3600;
        let runs = |effect: &Effect| matches!(effect, Effect::RunCommand { steps, .. } if steps.iter().all(script));
        assert!(lab.facts(Vec::new()).iter().any(runs));
        assert_eq!(statuses(&mut lab, &command, &ids), ["Pending"]);
        started(&mut lab, &command, &ids[0]);
        let got = invocation(&mut lab, &command, &ids[0]);
        assert_eq!((got.status.as_deref(), got.response_code), (Some("InProgress"), Some(-1)));
        assert_eq!(got.standard_output_content.as_deref(), Some(""));

        lab.pass(2);
        end(&mut lab, &command, &ids[0], how);
        let got = invocation(&mut lab, &command, &ids[0]);
        assert_eq!((got.status.as_deref(), got.status_details.as_deref()), (Some(status), Some(details)));
        assert_eq!(got.response_code, Some(code));
        assert_eq!(got.standard_output_content.as_deref(), Some("out\n"));
        assert_eq!(got.standard_error_content.as_deref(), Some(last));
        assert_eq!(got.execution_elapsed_time.as_deref(), Some("PT2S"));
        assert_eq!(got.plugin_name.as_deref(), Some("aws:runShellScript"));
    }
}

/// No more are told to run than MaxConcurrency allows; one that ends makes room for the next.
#[test]
fn max_concurrency_holds_back() {
    for (max_concurrency, at_once) in [("1", 1), ("2", 2), ("50%", 2), ("10%", 1), ("100%", 4), ("50", 4)] {
        let mut lab = Lab::new();
        let ids = lab.running(4);
        let instance_ids = ids.iter().map(ToString::to_string).collect();
        let max_concurrency = Some(max_concurrency.to_string());
        let input = wire::SendCommandRequest { instance_ids, max_concurrency, ..shell("date") };
        let command = ask!(lab, SsmSendCommand, input).expect("they run").command.expect("a command");
        let first = told(&lab.facts(Vec::new()));
        assert_eq!(first.len(), at_once, "{:?}", command.max_concurrency);
        let outcome = CommandOutcome::without_steps(CommandEnd::Exited(0), "");
        let fact = HostFact::CommandDone { command: id_of(&command), instance: first[0].clone(), outcome };
        let next = told(&lab.facts(vec![Fact::Host(fact)]));
        assert_eq!(next.len(), usize::from(at_once < 4), "{:?}", command.max_concurrency);
    }
}

/// More errors than MaxErrors end the sending: what is out goes on, the others are terminated.
#[test]
fn max_errors_end_the_sending() {
    let mut lab = Lab::new();
    let mut ids = lab.running(4);
    ids.sort();
    let instance_ids = ids.iter().map(ToString::to_string).collect();
    let input = wire::SendCommandRequest {
        instance_ids,
        max_concurrency: Some("2".to_string()),
        max_errors: Some("1".to_string()),
        ..shell("date")
    };
    let command = ask!(lab, SsmSendCommand, input).expect("they run").command.expect("a command");
    lab.facts(Vec::new());
    end(&mut lab, &command, &ids[0], StepEnd::Exited(1));
    assert_eq!(statuses(&mut lab, &command, &ids), ["Failed", "Pending", "Pending", "Pending"]);
    end(&mut lab, &command, &ids[1], StepEnd::TimedOut);
    assert_eq!(statuses(&mut lab, &command, &ids), ["Failed", "ExecutionTimedOut", "Pending", "Terminated"]);
    end(&mut lab, &command, &ids[2], StepEnd::Exited(0));
    let shown = listed(&mut lab, &command);
    assert_eq!(shown.status_details.as_deref(), Some("Failed"));
    assert_eq!((shown.target_count, shown.completed_count, shown.error_count), (Some(4), Some(4), Some(2)));
}

/// A command that no instance takes in time is not delivered: one whose
/// instance is away never was, and one that was sent is taken back first.
#[test]
fn delivery_times_out() {
    let mut lab = Lab::new();
    let mut ids = lab.running(2);
    ids.sort();
    let away = HostFact::Exited { instance: ids[1].clone(), generation: Generation(1) };
    lab.facts(vec![Fact::Host(away)]);
    lab.change(|tx| tx.update(ids[1].as_str(), |row: &mut Instance| row.phase = Phase::Running));
    let instance_ids = ids.iter().map(ToString::to_string).collect();
    let input = wire::SendCommandRequest { instance_ids, timeout_seconds: Some(30), ..shell("date") };
    let command = ask!(lab, SsmSendCommand, input).expect("rows that run").command.expect("a command");
    let expires = command.expires_after.expect("a time").0 - command.requested_date_time.expect("a time").0;
    assert_eq!(expires, 3_630_000);
    lab.facts(Vec::new());
    lab.pass(29);
    assert_eq!(statuses(&mut lab, &command, &ids)[0], "Pending");
    let effects = lab.pass(1);
    let takes_back = |effect: &Effect| matches!(effect, Effect::EndCommand { unless_running: true, .. });
    assert!(effects.iter().any(takes_back), "{effects:?}");
    done(&mut lab, &command, &ids[0], CommandOutcome::without_steps(CommandEnd::Withdrawn, ""));
    assert_eq!(statuses(&mut lab, &command, &ids[..1]), ["DeliveryTimedOut"]);
    lab.pass(60);
    let shown = listed(&mut lab, &command);
    assert_eq!(shown.status.as_deref(), Some("TimedOut"), "{shown:?}");
    assert_eq!(shown.status_details.as_deref(), Some("DeliveryTimedOut"));
    assert_eq!((shown.delivery_timed_out_count, shown.completed_count), (Some(2), Some(2)));
}

/// What waits is cancelled at once, what runs when the host has ended it, and what is over stays.
#[test]
fn commands_are_cancelled() {
    let mut lab = Lab::new();
    let mut ids = lab.running(3);
    ids.sort();
    let instance_ids = ids.iter().map(ToString::to_string).collect();
    let max_concurrency = Some("2".to_string());
    let input = wire::SendCommandRequest { instance_ids, max_concurrency, ..shell("sleep 60") };
    let command = ask!(lab, SsmSendCommand, input).expect("they run").command.expect("a command");
    lab.facts(Vec::new());
    end(&mut lab, &command, &ids[0], StepEnd::Exited(0));
    started(&mut lab, &command, &ids[1]);
    let cancel = |command: &wire::Command, instance_ids: Vec<String>| wire::CancelCommandRequest {
        command_id: command.command_id.clone(),
        instance_ids,
    };
    let some = cancel(&command, vec![ids[2].to_string()]);
    ask!(lab, SsmCancelCommand, some).expect("one of them");
    ask!(lab, SsmCancelCommand, cancel(&command, Vec::new())).expect("all of them");
    assert_eq!(statuses(&mut lab, &command, &ids), ["Success", "Cancelling", "Cancelling"]);
    assert_eq!(listed(&mut lab, &command).status.as_deref(), Some("Cancelling"));
    let effects = lab.facts(Vec::new());
    let ends = |effect: &&Effect| matches!(effect, Effect::EndCommand { unless_running: false, .. });
    assert_eq!(effects.iter().filter(ends).count(), 2);
    end(&mut lab, &command, &ids[1], StepEnd::Cancelled);
    done(&mut lab, &command, &ids[2], CommandOutcome::without_steps(CommandEnd::Withdrawn, ""));
    assert_eq!(statuses(&mut lab, &command, &ids), ["Success", "Cancelled", "Cancelled"]);
    assert_eq!(listed(&mut lab, &command).status.as_deref(), Some("Cancelled"));
    let got = invocation(&mut lab, &command, &ids[1]);
    assert_eq!((got.response_code, got.standard_output_content.as_deref()), (Some(-1), Some("out\n")));
    for (code, input) in [
        (
            "InvalidCommandId",
            wire::CancelCommandRequest { command_id: Some("x".to_string()), instance_ids: Vec::new() },
        ),
        ("InvalidInstanceId", cancel(&command, vec!["i-00000000".to_string()])),
        ("DuplicateInstanceId", cancel(&command, vec![ids[0].to_string(), ids[0].to_string()])),
    ] {
        assert_eq!(ask!(lab, SsmCancelCommand, input).expect_err(code).code, code);
    }
}

/// What never arrived goes to the next boot of the instance.
#[test]
fn what_never_arrived_is_sent_again() {
    let mut lab = Lab::new();
    let ids = lab.running(1);
    let command = send(&mut lab, &ids, "date");
    lab.facts(Vec::new());
    let away = HostFact::Exited { instance: ids[0].clone(), generation: Generation(1) };
    let outcome = CommandOutcome::without_steps(CommandEnd::Unreached, "");
    let unreached = HostFact::CommandDone { command: id_of(&command), instance: ids[0].clone(), outcome };
    lab.facts(vec![Fact::Host(away), Fact::Host(unreached)]);
    assert_eq!(statuses(&mut lab, &command, &ids), ["Delayed"]);
    lab.change(|tx| {
        tx.update(ids[0].as_str(), |row: &mut Instance| {
            row.phase = Phase::Running;
            row.generation = Generation(2);
        });
    });
    let booted = HostFact::Booted { instance: ids[0].clone(), generation: Generation(2) };
    let effects = lab.facts(vec![Fact::Host(booted)]);
    let second = |effect: &Effect| matches!(effect, Effect::RunCommand { boot: Generation(2), .. });
    assert!(effects.iter().any(second), "{effects:?}");
}

/// An instance is online while it answers, and its last answer's time stays.
#[test]
fn ping_status_is_what_was_heard() {
    let mut lab = Lab::new();
    let mut ids = lab.running(2);
    ids.sort();
    let at = lab.now;
    let information = |lab: &mut Lab, status: Option<&str>| {
        let filter = |status: &str| wire::InstanceInformationStringFilter {
            key: Some("PingStatus".to_string()),
            values: vec![status.to_string()],
        };
        let filters = status.map(filter).into_iter().collect();
        let input = wire::DescribeInstanceInformationRequest { filters, ..Default::default() };
        let found = ask!(lab, SsmDescribeInstanceInformation, input).expect("a good filter");
        let shown = found.instance_information_list.into_iter();
        shown
            .map(|one| (one.ping_status.expect("a status"), one.last_ping_date_time.map(|at| at.0)))
            .collect::<Vec<_>>()
    };
    let online = |at: Time| ("Online".to_string(), Some(at.millis()));
    assert_eq!(information(&mut lab, None), [online(at), online(at)]);
    lab.pass(60);
    let pinged = HostFact::Pinged { answered: vec![ids[0].clone()], silent: vec![ids[1].clone()] };
    lab.facts(vec![Fact::Host(pinged)]);
    let lost = ("ConnectionLost".to_string(), Some(at.millis()));
    let now = lab.now;
    assert_eq!(information(&mut lab, None), [online(now), lost.clone()]);
    assert_eq!(information(&mut lab, Some("ConnectionLost")), [lost]);
    assert_eq!(information(&mut lab, Some("Online")), [online(now)]);
}

/// Targets mean the running instances that all of them describe.
#[test]
fn targets_describe_instances() {
    let mut lab = Lab::new();
    let ids = lab.running(3);
    lab.change(|tx| {
        for (id, role) in [(&ids[0], "web"), (&ids[1], "web"), (&ids[2], "db")] {
            tx.update(id.as_str(), |row: &mut Instance| {
                row.tags.insert("role".to_string(), role.to_string());
            });
        }
    });
    let target = |key: &str, values: &[&str]| wire::Target {
        key: Some(key.to_string()),
        values: values.iter().map(|value| value.to_string()).collect(),
    };
    for (targets, count, status) in [
        (vec![target("tag:role", &["web"])], 2, "Pending"),
        (vec![target("tag:role", &["web", "db"])], 3, "Pending"),
        (vec![target("tag:role", &["web"]), target("InstanceIds", &[ids[0].as_str()])], 1, "Pending"),
        (vec![target("tag-key", &["role"])], 3, "Pending"),
        (vec![target("tag:role", &["cache"])], 0, "Failed"),
    ] {
        let input = wire::SendCommandRequest { targets, ..shell("date") };
        let command = ask!(lab, SsmSendCommand, input).expect("good targets").command.expect("a command");
        assert_eq!(command.target_count, Some(count));
        let input = wire::ListCommandsRequest { command_id: command.command_id, ..Default::default() };
        let shown = ask!(lab, SsmListCommands, input).expect("an id").commands.remove(0);
        assert_eq!(shown.status.as_deref(), Some(status));
    }
}

/// Each command that cannot be sent has its error, and leaves no row.
#[test]
fn bad_commands_are_refused() {
    let mut lab = Lab::new();
    let id = lab.running(1).remove(0).to_string();
    let good = || wire::SendCommandRequest { instance_ids: vec![id.clone()], ..shell("date") };
    let text = |text: &str| Some(text.to_string());
    for (code, input) in [
        ("InvalidDocument", wire::SendCommandRequest { document_name: text("AWS-RunPatchBaseline"), ..good() }),
        ("InvalidDocumentVersion", wire::SendCommandRequest { document_version: text("2"), ..good() }),
        ("InvalidInstanceId", wire::SendCommandRequest { instance_ids: vec!["i-00000000".to_string()], ..good() }),
        ("DuplicateInstanceId", wire::SendCommandRequest { instance_ids: vec![id.clone(), id.clone()], ..good() }),
        ("InvalidParameters", wire::SendCommandRequest { parameters: BTreeMap::new(), ..good() }),
        ("ValidationException", wire::SendCommandRequest { instance_ids: Vec::new(), ..good() }),
        ("ValidationException", wire::SendCommandRequest { max_errors: text("-1"), ..good() }),
        ("ValidationException", wire::SendCommandRequest { max_concurrency: text("0"), ..good() }),
        ("ValidationException", wire::SendCommandRequest { timeout_seconds: Some(29), ..good() }),
        ("InvalidDocument", wire::SendCommandRequest { document_name: text("AWS-StartSSHSession"), ..good() }),
        ("InvalidDocument", wire::SendCommandRequest { document_hash: text("00"), ..good() }),
        ("ValidationException", wire::SendCommandRequest { output_s3_bucket_name: text("logs"), ..good() }),
    ] {
        let shown = format!("{input:?}");
        assert_eq!(ask!(lab, SsmSendCommand, input).expect_err(&shown).code, code, "{shown}");
    }
    assert!(lab.rows::<Command>().is_empty());
    let input = wire::GetCommandInvocationRequest { command_id: text("x"), instance_id: Some(id), plugin_name: None };
    assert_eq!(ask!(lab, SsmGetCommandInvocation, input).expect_err("never sent").code, "InvocationDoesNotExist");
}

/// Lists are filtered, show the newest first, and hold output with Details.
#[test]
fn lists_of_commands_and_invocations() {
    let mut lab = Lab::new();
    let ids = lab.running(1);
    let first = send(&mut lab, &ids, "date");
    end(&mut lab, &first, &ids[0], StepEnd::Exited(0));
    lab.pass(60);
    let second = send(&mut lab, &ids, "date");
    let listed = |commands: Vec<wire::Command>| commands.into_iter().map(|c| c.command_id).collect::<Vec<_>>();
    let (first, second) = (first.command_id, second.command_id);
    assert_eq!(listed(list(&mut lab, &[])), [second.clone(), first.clone()]);
    assert_eq!(listed(list(&mut lab, &[("Status", "Success")])), std::slice::from_ref(&first));
    assert_eq!(listed(list(&mut lab, &[("ExecutionStage", "Executing")])), std::slice::from_ref(&second));
    assert_eq!(listed(list(&mut lab, &[("InvokedAfter", "2026-01-01T00:00:30Z")])), [second]);
    let input = wire::ListCommandInvocationsRequest { command_id: first, details: Some(true), ..Default::default() };
    let mut found = ask!(lab, SsmListCommandInvocations, input).expect("a command").command_invocations;
    let plugin = found.remove(0).command_plugins.remove(0);
    assert_eq!(plugin.output.as_deref(), Some("out\n\n----------ERROR-------\nerr"));
    assert_eq!(plugin.name.as_deref(), Some("aws:runShellScript"));
}

/// The oldest ended commands make room for new ones; those under way do not.
#[test]
fn kept_commands_are_bounded() {
    let mut lab = Lab::new();
    let ids = lab.running(1);
    let ended = send(&mut lab, &ids, "date");
    end(&mut lab, &ended, &ids[0], StepEnd::Exited(0));
    for _ in 0..INVOCATIONS_MAX {
        send(&mut lab, &ids, "date");
    }
    assert_eq!(lab.rows::<Command>().len(), INVOCATIONS_MAX);
    assert!(lab.rows::<Command>().iter().all(|row| Some(row.id.as_str()) != ended.command_id.as_deref()));
    let input = wire::SendCommandRequest { instance_ids: vec![ids[0].to_string()], ..shell("date") };
    assert_eq!(ask!(lab, SsmSendCommand, input).expect_err("full").code, "ThrottlingException");
}

/// Running instances take commands; filters choose among them.
#[test]
fn information_about_instances() {
    let mut lab = Lab::new();
    let ids = lab.running(2);
    let mut describe = |key: &str, value: &str| {
        let filter =
            wire::InstanceInformationStringFilter { key: Some(key.to_string()), values: vec![value.to_string()] };
        let input = wire::DescribeInstanceInformationRequest { filters: vec![filter], ..Default::default() };
        ask!(lab, SsmDescribeInstanceInformation, input).map(|output| output.instance_information_list.len())
    };
    assert_eq!(describe("PingStatus", "Online"), Ok(2));
    assert_eq!(describe("InstanceIds", ids[0].as_str()), Ok(1));
    assert_eq!(describe("tag:role", "web"), Ok(0));
    assert_eq!(describe("Colour", "red").expect_err("unknown").code, "InvalidFilterKey");
}

fn put(lab: &mut Lab, name: &str, kind: &str, value: &str) {
    let some = |text: &str| Some(text.to_string());
    let input = wire::PutParameterRequest {
        name: some(name),
        r#type: some(kind),
        value: some(value),
        overwrite: Some(true),
        ..Default::default()
    };
    ask!(lab, SsmPutParameter, input).expect("a parameter");
}

/// What the host is to run, and what is shown, when parameters refer to Parameter Store; what cannot be referred to is
/// refused in the words of AWS's agent.
#[test]
fn references_to_parameter_store() {
    let mut lab = Lab::with(Config { entropy: Some(Entropy::new([7; 32])), ..Config::default() });
    let ids = lab.running(1);
    put(&mut lab, "/app/url", "String", "one");
    put(&mut lab, "/app/url", "String", "two {{ssm:plain}} {{ commands }}");
    put(&mut lab, "plain", "String", "p");
    put(&mut lab, "list", "StringList", "date,'echo a,b'");
    put(&mut lab, "dirs", "StringList", "/tmp");
    put(&mut lab, "secret", "SecureString", "s");
    let label = wire::LabelParameterVersionRequest {
        name: Some("/app/url".to_string()),
        parameter_version: Some(1),
        labels: vec!["prod".to_string()],
    };
    ask!(lab, SsmLabelParameterVersion, label).expect("a label");
    let refused = "SSM parameter list of type StringList cannot be used as a String";
    for (commands, directory, want) in [
        (&["echo {{ssm:plain}}{{ ssm:/app/url:1 }}"][..], "", Ok("echo pone")),
        (&["echo {{ssm:/app/url:prod}}"], "", Ok("echo one")),
        // What a parameter holds is not looked into.
        (&["echo {{ssm:/app/url}}"], "", Ok("echo two {{ssm:plain}} {{ commands }}")),
        (&["a", "{{ssm:list}}", "b"], "", Ok("a\ndate\necho a,b\nb")),
        (&["{{.Names}} {{ssm:a b}}"], "", Ok("{{.Names}} {{ssm:a b}}")),
        (&["pwd"], "/{{ssm:plain}}", Ok("pwd")),
        (&["echo {{ssm:list}}"], "", Err(refused)),
        (&["pwd"], "{{ssm:dirs}}", Err("SSM parameter dirs of type StringList cannot be used as a String")),
        (&["{{ssm:secret}} {{ssm:plain}}"], "", Err("Parameters [secret] of type SecureString are not supported")),
        (
            &["{{ssm:/no}}", "{{ssm:plain:7}} {{ssm:secret}}"],
            "",
            Err("Input contains invalid parameters [/no plain:7]"),
        ),
    ] {
        let given = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let parameters = BTreeMap::from([
            ("commands".to_string(), given(commands)),
            ("workingDirectory".to_string(), given(&[directory])),
        ]);
        let instance_ids = ids.iter().map(ToString::to_string).collect();
        let input = wire::SendCommandRequest { instance_ids, parameters: parameters.clone(), ..shell("") };
        match (ask!(lab, SsmSendCommand, input), want) {
            (Ok(sent), Ok(script)) => {
                let sent = sent.command.expect("a command");
                let row = lab.view().get::<Command>(id_of(&sent).as_str()).expect("a row").clone();
                assert_eq!(row.steps[0].script, script, "{commands:?}");
                assert_eq!(row.steps[0].directory, directory.replace("{{ssm:plain}}", "p"));
                assert_eq!((&sent.parameters, listed(&mut lab, &sent).parameters), (&parameters, parameters.clone()));
            }
            (Err(err), Err(message)) => {
                assert_eq!((err.code.as_ref(), err.message.as_str()), ("InvalidParameters", message));
            }
            (got, _) => panic!("{commands:?}: {got:?}"),
        }
    }
}

/// A short call does not become a long command: neither by one long value nor by many.
#[test]
fn what_is_referred_to_has_a_limit() {
    let mut lab = Lab::new();
    let ids = lab.running(1);
    put(&mut lab, "long", "String", &"x".repeat(4096));
    for (script, fine) in [("{{ssm:long}}".repeat(15), true), ("{{ssm:long}}".repeat(17), false)] {
        let instance_ids = ids.iter().map(ToString::to_string).collect();
        let got = ask!(lab, SsmSendCommand, wire::SendCommandRequest { instance_ids, ..shell(&script) });
        assert_eq!(got.map_err(|err| err.code.to_string()).err(), (!fine).then(|| "InvalidParameters".to_string()));
    }
    let many: String = (0..101).map(|index| format!("{{{{ssm:p{index}}}}}")).collect();
    let got = ask!(lab, SsmSendCommand, shell(&many));
    assert!(got.expect_err("too many").message.contains("at most 100"));
}
