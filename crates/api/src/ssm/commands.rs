//! ListCommands, and commands as they are shown.

use super::{filters, newest_first, pager, status};
use crate::Call;
use crate::page::page;
use elastane_domain::time::Span;
use elastane_engine::row::Command;
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

/// ListCommands: the newest first.
pub fn list_commands(call: &Call<'_>, input: &wire::ListCommandsRequest) -> Result<wire::ListCommandsResult, ApiError> {
    let keys = ["InvokedAfter", "InvokedBefore", "Status", "ExecutionStage", "DocumentName"];
    let filters = filters::parse(&input.filters, &keys)?;
    let asked = |row: &&Arc<Command>| {
        input.command_id.as_deref().is_none_or(|id| id == row.id.as_str())
            && input.instance_id.as_deref().is_none_or(|id| row.invocations.contains_key(id))
            && filters::matches(&filters, row, status::of_command(row).status, row.is_open())
    };
    let mut rows: Vec<&Arc<Command>> = call.all::<Command>().filter(asked).collect();
    rows.sort_by_cached_key(|row| newest_first(row));
    let pager = pager(input.next_token.as_deref(), input.max_results);
    let (rows, next_token) = page(rows, pager, |row| newest_first(row))?;
    Ok(wire::ListCommandsResult { commands: rows.into_iter().map(|row| shown(row)).collect(), next_token })
}

/// A command.
pub fn shown(row: &Command) -> wire::Command {
    let summary = status::of_command(row);
    let lifetime = Span::from_secs(i64::from(row.delivery_timeout_secs) + row.execution_timeout_secs());
    let named =
        if row.targets.is_empty() { row.invocations.keys().map(ToString::to_string).collect() } else { Vec::new() };
    let targets =
        row.targets.iter().map(|(key, values)| wire::Target { key: Some(key.clone()), values: values.clone() });
    wire::Command {
        command_id: Some(row.id.to_string()),
        comment: Some(row.comment.clone()),
        completed_count: Some(summary.completed as i32),
        delivery_timed_out_count: Some(summary.delivery_timed_out as i32),
        document_name: Some(row.document.clone()),
        document_version: Some(row.document_version.clone()),
        error_count: Some(summary.errors as i32),
        expires_after: Some((row.requested_at + lifetime).millis().into()),
        instance_ids: named,
        max_concurrency: Some(row.max_concurrency.clone()),
        max_errors: Some(row.max_errors.clone()),
        output_s3_bucket_name: Some(String::new()),
        output_s3_key_prefix: Some(String::new()),
        parameters: row.parameters.clone(),
        requested_date_time: Some(row.requested_at.millis().into()),
        service_role: Some(String::new()),
        status: Some(summary.status.name.to_string()),
        status_details: Some(summary.status.details.to_string()),
        target_count: Some(row.invocations.len() as i32),
        targets: targets.collect(),
        timeout_seconds: Some(row.delivery_timeout_secs),
        ..Default::default()
    }
}
