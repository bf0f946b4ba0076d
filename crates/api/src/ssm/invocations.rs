//! GetCommandInvocation and ListCommandInvocations.

use super::outputs::{self, Shown};
use super::{computer_name, errors, filters, instances, newest_first, pager, status};
use crate::Call;
use crate::page::page;
use elastane_domain::id::InstanceId;
use elastane_domain::time::Time;
use elastane_engine::row::{Command, Instance, Invocation};
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

/// Output that a list shows, in characters; a longer one ends in the mark.
const OUTPUT_MAX: usize = 2500;

/// What stands between standard output and standard error in a list.
const ERROR_HEADING: &str = "\n----------ERROR-------\n";

/// GetCommandInvocation: how far a command, or one of its steps, is on one instance.
///
/// # Errors
/// `InvocationDoesNotExist`, `InvalidPluginName`.
pub fn get_command_invocation(
    call: &Call<'_>,
    input: &wire::GetCommandInvocationRequest,
) -> Result<wire::GetCommandInvocationResult, ApiError> {
    let command = input.command_id.as_deref().ok_or_else(|| errors::missing("CommandId"))?;
    let instance = input.instance_id.as_deref().ok_or_else(|| errors::missing("InstanceId"))?;
    let row = call.get::<Command>(command).ok_or_else(errors::no_invocation)?;
    let invocation = *row.invocations.get(instance).ok_or_else(errors::no_invocation)?;
    let away = is_away(call, instance);
    let shown = match input.plugin_name.as_deref().filter(|name| !name.is_empty()) {
        None => outputs::whole(call, row, instance, invocation, away),
        Some(name) => {
            let mut steps = outputs::steps(call, row, instance, invocation, away).into_iter();
            steps.find(|step| step.name == name).ok_or_else(|| errors::invalid_plugin(name))?
        }
    };
    let elapsed = shown.start.zip(shown.end).map(|(start, end)| iso_duration((end - start).millis()));
    Ok(wire::GetCommandInvocationResult {
        cloud_watch_output_config: Some(wire::CloudWatchOutputConfig {
            cloud_watch_log_group_name: Some(String::new()),
            cloud_watch_output_enabled: Some(false),
        }),
        command_id: Some(row.id.to_string()),
        comment: Some(row.comment.clone()),
        document_name: Some(row.document.clone()),
        document_version: Some(row.document_version.clone()),
        execution_elapsed_time: Some(elapsed.unwrap_or_default()),
        execution_end_date_time: Some(shown.end.map_or_else(String::new, Time::iso_millis)),
        execution_start_date_time: Some(shown.start.map_or_else(String::new, Time::iso_millis)),
        instance_id: Some(instance.to_string()),
        plugin_name: Some(shown.name),
        response_code: Some(shown.response_code),
        standard_error_content: Some(shown.stderr),
        standard_error_url: Some(String::new()),
        standard_output_content: Some(shown.stdout),
        standard_output_url: Some(String::new()),
        status: Some(shown.status.name.to_string()),
        status_details: Some(shown.status.details.to_string()),
    })
}

/// Whether an instance cannot be sent anything now.
fn is_away(call: &Call<'_>, instance: &str) -> bool {
    call.get::<Instance>(instance).is_none_or(|row| !instances::is_online(call, row))
}

/// `PT0.5S`: seconds in ISO 8601, without trailing zeros.
fn iso_duration(millis: i64) -> String {
    let text = format!("{}.{:03}", millis.max(0) / 1000, millis.max(0) % 1000);
    format!("PT{}S", text.trim_end_matches('0').trim_end_matches('.'))
}

/// ListCommandInvocations: those of the newest command first; with Details,
/// with what the scripts printed.
pub fn list_command_invocations(
    call: &Call<'_>,
    input: &wire::ListCommandInvocationsRequest,
) -> Result<wire::ListCommandInvocationsResult, ApiError> {
    let filters = filters::parse(&input.filters, &["InvokedAfter", "InvokedBefore", "Status"])?;
    let commands =
        call.all::<Command>().filter(|row| input.command_id.as_deref().is_none_or(|id| id == row.id.as_str()));
    let all = commands.flat_map(|row| row.invocations.iter().map(move |(id, invocation)| (row, id, invocation)));
    let meant = |row: &Command, id: &InstanceId, invocation: Invocation| {
        let status = status::of_invocation(invocation, is_away(call, id.as_str()));
        filters::matches(&filters, row, status, !invocation.is_over())
    };
    let mut asked: Vec<_> = all
        .filter(|(_, id, _)| input.instance_id.as_deref().is_none_or(|wanted| wanted == id.as_str()))
        .filter(|(row, id, invocation)| meant(row, id, **invocation))
        .collect();
    let name = |(row, id, _): &(&Arc<Command>, &InstanceId, &Invocation)| format!("{}/{id}", newest_first(row));
    asked.sort_by_cached_key(name);
    let (asked, next_token) = page(asked, pager(input.next_token.as_deref(), input.max_results), name)?;
    let details = input.details == Some(true);
    let command_invocations =
        asked.into_iter().map(|(row, id, invocation)| shown(call, row, id, *invocation, details)).collect();
    Ok(wire::ListCommandInvocationsResult { command_invocations, next_token })
}

fn shown(
    call: &Call<'_>,
    row: &Command,
    id: &InstanceId,
    invocation: Invocation,
    details: bool,
) -> wire::CommandInvocation {
    let away = is_away(call, id.as_str());
    let status = status::of_invocation(invocation, away);
    let instance = call.get::<Instance>(id.as_str());
    let plugins = || outputs::steps(call, row, id.as_str(), invocation, away).into_iter().map(plugin).collect();
    wire::CommandInvocation {
        command_id: Some(row.id.to_string()),
        command_plugins: if details { plugins() } else { Vec::new() },
        comment: Some(row.comment.clone()),
        document_name: Some(row.document.clone()),
        document_version: Some(row.document_version.clone()),
        instance_id: Some(id.to_string()),
        instance_name: Some(instance.map_or_else(String::new, |instance| computer_name(call.scope, instance))),
        requested_date_time: Some(row.requested_at.millis().into()),
        service_role: Some(String::new()),
        standard_error_url: Some(String::new()),
        standard_output_url: Some(String::new()),
        status: Some(status.name.to_string()),
        status_details: Some(status.details.to_string()),
        ..Default::default()
    }
}

fn plugin(step: Shown) -> wire::CommandPlugin {
    let mut output = step.stdout;
    if !step.stderr.is_empty() {
        output = output + ERROR_HEADING + &step.stderr;
    }
    // A step knows nothing of what an invocation waits for.
    let name = match step.status.name {
        "Delayed" => "Pending",
        "Cancelling" => "InProgress",
        name => name,
    };
    wire::CommandPlugin {
        name: Some(step.name),
        output: Some(outputs::cut(&output, OUTPUT_MAX)),
        response_code: Some(step.response_code),
        response_finish_date_time: step.end.map(|end| end.millis().into()),
        response_start_date_time: step.start.map(|start| start.millis().into()),
        standard_error_url: Some(String::new()),
        standard_output_url: Some(String::new()),
        status: Some(name.to_string()),
        status_details: Some(step.status.details.to_string()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Durations have no trailing zeros.
    #[test]
    fn durations() {
        for (millis, text) in [(0, "PT0S"), (500, "PT0.5S"), (53, "PT0.053S"), (61_000, "PT61S")] {
            assert_eq!(iso_duration(millis), text);
        }
    }
}
