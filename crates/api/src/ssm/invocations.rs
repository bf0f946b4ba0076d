//! GetCommandInvocation and ListCommandInvocations.

use super::{PLUGIN, computer_name, errors, filters, newest_first, pager, status};
use crate::Call;
use crate::page::page;
use elastane_domain::id::InstanceId;
use elastane_domain::time::Time;
use elastane_engine::row::{Command, Instance, Invocation};
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

/// Output that a list shows, in characters; a longer one ends in the marker.
const OUTPUT_MAX: usize = 2500;
const OUTPUT_MARKER: &str = "--output truncated--";

/// What stands between standard output and standard error in a list.
const ERROR_HEADING: &str = "\n----------ERROR-------\n";

/// GetCommandInvocation: how far a command is on one instance.
pub fn get_command_invocation(
    call: &Call<'_>,
    input: &wire::GetCommandInvocationRequest,
) -> Result<wire::GetCommandInvocationResult, ApiError> {
    let command = input.command_id.as_deref().ok_or_else(|| errors::missing("CommandId"))?;
    let instance = input.instance_id.as_deref().ok_or_else(|| errors::missing("InstanceId"))?;
    let row = call.get::<Command>(command).ok_or_else(errors::no_invocation)?;
    let invocation = row.invocations.get(instance).ok_or_else(errors::no_invocation)?;
    if let Some(plugin) = input.plugin_name.as_deref().filter(|plugin| *plugin != PLUGIN) {
        return Err(errors::invalid_plugin(plugin));
    }
    let status = status::of_invocation(invocation);
    let (start, end) = times(invocation);
    let elapsed = end.map_or_else(String::new, |end| iso_duration((end - start).millis()));
    Ok(wire::GetCommandInvocationResult {
        cloud_watch_output_config: Some(wire::CloudWatchOutputConfig {
            cloud_watch_log_group_name: Some(String::new()),
            cloud_watch_output_enabled: Some(false),
        }),
        command_id: Some(row.id.to_string()),
        comment: Some(row.comment.clone()),
        document_name: Some(row.document.clone()),
        document_version: Some("$DEFAULT".to_string()),
        execution_elapsed_time: Some(elapsed),
        execution_end_date_time: Some(end.map_or_else(String::new, Time::iso_millis)),
        execution_start_date_time: Some(start.iso_millis()),
        instance_id: Some(instance.to_string()),
        plugin_name: Some(PLUGIN.to_string()),
        response_code: Some(status::response_code(invocation)),
        standard_error_content: Some(status::stderr(invocation)),
        standard_error_url: Some(String::new()),
        standard_output_content: Some(status::stdout(invocation)),
        standard_output_url: Some(String::new()),
        status: Some(status.name.to_string()),
        status_details: Some(status.details.to_string()),
    })
}

/// When it began and, if it has, ended.
fn times(invocation: &Invocation) -> (Time, Option<Time>) {
    match invocation {
        Invocation::InProgress { since } => (*since, None),
        Invocation::Done { since, at, .. } => (*since, Some(*at)),
    }
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
    let mut asked: Vec<_> = all
        .filter(|(_, id, _)| input.instance_id.as_deref().is_none_or(|wanted| wanted == id.as_str()))
        .filter(|(row, _, invocation)| filters::matches(&filters, row, status::of_invocation(invocation).name))
        .collect();
    let name = |(row, id, _): &(&Arc<Command>, &InstanceId, &Invocation)| format!("{}/{id}", newest_first(row));
    asked.sort_by_cached_key(name);
    let (asked, next_token) = page(asked, pager(input.next_token.as_deref(), input.max_results), name)?;
    let details = input.details == Some(true);
    let command_invocations =
        asked.into_iter().map(|(row, id, invocation)| shown(call, row, id, invocation, details)).collect();
    Ok(wire::ListCommandInvocationsResult { command_invocations, next_token })
}

fn shown(
    call: &Call<'_>,
    row: &Command,
    id: &InstanceId,
    invocation: &Invocation,
    details: bool,
) -> wire::CommandInvocation {
    let status = status::of_invocation(invocation);
    let instance = call.get::<Instance>(id.as_str());
    wire::CommandInvocation {
        command_id: Some(row.id.to_string()),
        command_plugins: if details { vec![plugin(invocation)] } else { Vec::new() },
        comment: Some(row.comment.clone()),
        document_name: Some(row.document.clone()),
        document_version: Some("$DEFAULT".to_string()),
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

fn plugin(invocation: &Invocation) -> wire::CommandPlugin {
    let status = status::of_invocation(invocation);
    let (start, end) = times(invocation);
    let (mut output, stderr) = (status::stdout(invocation), status::stderr(invocation));
    if !stderr.is_empty() {
        output = output + ERROR_HEADING + &stderr;
    }
    wire::CommandPlugin {
        name: Some(PLUGIN.to_string()),
        output: Some(truncated(output)),
        response_code: Some(status::response_code(invocation)),
        response_finish_date_time: end.map(|end| end.millis().into()),
        response_start_date_time: Some(start.millis().into()),
        standard_error_url: Some(String::new()),
        standard_output_url: Some(String::new()),
        status: Some(status.name.to_string()),
        status_details: Some(status.details.to_string()),
        ..Default::default()
    }
}

fn truncated(output: String) -> String {
    if output.chars().count() <= OUTPUT_MAX {
        return output;
    }
    output.chars().take(OUTPUT_MAX - OUTPUT_MARKER.len()).collect::<String>() + OUTPUT_MARKER
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

    /// Output is cut at 2,500 characters, marker included.
    #[test]
    fn long_output_is_cut() {
        assert_eq!(truncated("ä".repeat(OUTPUT_MAX)), "ä".repeat(OUTPUT_MAX));
        let cut = truncated("ä".repeat(OUTPUT_MAX + 1));
        assert!(cut.ends_with(OUTPUT_MARKER) && cut.chars().count() == OUTPUT_MAX);
    }
}
