//! CancelCommand: what has not been sent ends at once, what has is called back.

use super::errors;
use crate::Change;
use elastane_engine::row::{Command, Invocation, NotRun};
use elastane_wire::{ApiError, ssm as wire};
use std::collections::BTreeSet;

/// CancelCommand: of the instances that are named, or of all. What is over stays as it is.
///
/// # Errors
/// `InvalidCommandId`, `InvalidInstanceId`, `DuplicateInstanceId`.
pub fn cancel_command(
    tx: &mut Change<'_, '_>,
    input: &wire::CancelCommandRequest,
) -> Result<wire::CancelCommandResult, ApiError> {
    let id = input.command_id.as_deref().ok_or_else(|| errors::missing("CommandId"))?;
    let row = tx.get::<Command>(id).ok_or_else(|| errors::invalid_command(id))?;
    let mut meant = BTreeSet::new();
    for instance in &input.instance_ids {
        if !row.invocations.contains_key(instance.as_str()) {
            return Err(errors::invalid_instances(&[instance], tx.scope().account.as_str()));
        }
        if !meant.insert(instance.as_str()) {
            return Err(errors::duplicate_instance(instance));
        }
    }
    let at = tx.now;
    let cancelled = |invocation: Invocation| match invocation {
        Invocation::Waiting => Invocation::NotRun { at, why: NotRun::Cancelled },
        Invocation::Sent { at: since, boot } | Invocation::Withdrawing { at: since, boot } => {
            Invocation::Cancelling { since, boot }
        }
        Invocation::InProgress { since, boot } => Invocation::Cancelling { since, boot },
        Invocation::Cancelling { .. } | Invocation::NotRun { .. } | Invocation::Done { .. } => invocation,
    };
    tx.update(id, |row: &mut Command| {
        row.cancelled |= meant.is_empty() && row.is_open();
        for (instance, invocation) in &mut row.invocations {
            if meant.is_empty() || meant.contains(instance.as_str()) {
                *invocation = cancelled(*invocation);
            }
        }
    });
    Ok(wire::CancelCommandResult {})
}
