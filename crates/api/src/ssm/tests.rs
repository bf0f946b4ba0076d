//! Run Command against a real engine.

use super::send::INVOCATIONS_MAX;
use crate::testing::{Lab, ask};
use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::{CommandEnd, CommandOutcome, HostFact};
use elastane_engine::row::{Command, Instance};
use elastane_engine::{Effect, Fact};
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

fn end(lab: &mut Lab, command: &wire::Command, instance: &InstanceId, end: CommandEnd) {
    let command = CommandId::from(command.command_id.as_deref().expect("an id"));
    let outcome = CommandOutcome { end, stdout: "out\n".to_string(), stderr: "err".to_string() };
    lab.facts(vec![Fact::Host(HostFact::CommandDone { command, instance: instance.clone(), outcome })]);
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

/// A command is run by the host and its outcome shown: pending when sent, in
/// progress until the host reports, then by the exit code.
#[test]
fn a_command_from_sending_to_its_end() {
    for (how, status, details, code, last) in [
        (CommandEnd::Exited(0), "Success", "Success", 0, "err"),
        (CommandEnd::Exited(3), "Failed", "Failed", 3, "err\nfailed to run commands: exit status 3"),
        (
            CommandEnd::TimedOut,
            "TimedOut",
            "ExecutionTimedOut",
            -1,
            "err\nfailed to run commands: the execution timeout has passed",
        ),
        (CommandEnd::Undeliverable, "Failed", "Undeliverable", -1, "err"),
    ] {
        let mut lab = Lab::new();
        let ids = lab.running(1);
        let command = send(&mut lab, &ids, "date");
        assert_eq!(command.status.as_deref(), Some("Pending"));
        let runs = |effect: &Effect| matches!(effect, Effect::RunCommand { script, .. } if script == "date");
        assert!(lab.facts(Vec::new()).iter().any(runs));
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
    }
}

/// A command succeeds when no more invocations fail than MaxErrors allows.
#[test]
fn max_errors_decides() {
    for (max_errors, status) in [("0", "Failed"), ("1", "Success"), ("49%", "Failed"), ("50%", "Success")] {
        let mut lab = Lab::new();
        let ids = lab.running(2);
        let instance_ids = ids.iter().map(ToString::to_string).collect();
        let input =
            wire::SendCommandRequest { instance_ids, max_errors: Some(max_errors.to_string()), ..shell("date") };
        let command = ask!(lab, SsmSendCommand, input).expect("they run").command.expect("a command");
        end(&mut lab, &command, &ids[0], CommandEnd::Exited(0));
        assert_eq!(list(&mut lab, &[])[0].status.as_deref(), Some("InProgress"));
        end(&mut lab, &command, &ids[1], CommandEnd::Exited(1));
        let shown = &list(&mut lab, &[])[0];
        assert_eq!(
            (shown.status.as_deref(), shown.error_count, shown.completed_count),
            (Some(status), Some(1), Some(2))
        );
    }
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
        (vec![target("tag:role", &["web"])], 2, "InProgress"),
        (vec![target("tag:role", &["web", "db"])], 3, "InProgress"),
        (vec![target("tag:role", &["web"]), target("InstanceIds", &[ids[0].as_str()])], 1, "InProgress"),
        (vec![target("tag-key", &["role"])], 3, "InProgress"),
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
        ("ValidationException", wire::SendCommandRequest { max_concurrency: text("50%"), ..good() }),
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
    end(&mut lab, &first, &ids[0], CommandEnd::Exited(0));
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
    end(&mut lab, &ended, &ids[0], CommandEnd::Exited(0));
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
