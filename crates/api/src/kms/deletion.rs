//! Deletion: a key waits for days before it goes, as everything that it
//! sealed goes with it.

use super::lookup::{self, key_arn};
use super::{errors, shape};
use crate::Change;
use elastane_domain::time::Span;
use elastane_engine::row::EncryptionKey;
use elastane_wire::{ApiError, kms as wire};
use std::ops::RangeInclusive;

/// Days that a key waits (KMS API Reference, "ScheduleKeyDeletion").
const WINDOW_DAYS: RangeInclusive<i32> = 7..=30;

const SECS_A_DAY: i64 = 86_400;

/// ScheduleKeyDeletion.
///
/// # Errors
/// `NotFoundException`; `KMSInvalidStateException` when it waits already;
/// `ValidationException` for a window that is not of 7 to 30 days.
pub fn schedule_key_deletion(
    change: &mut Change<'_, '_>,
    input: &wire::ScheduleKeyDeletionRequest,
) -> Result<wire::ScheduleKeyDeletionResponse, ApiError> {
    let days = input.pending_window_in_days.unwrap_or(*WINDOW_DAYS.end());
    if !WINDOW_DAYS.contains(&days) {
        return Err(errors::validation("PendingWindowInDays must be from 7 to 30."));
    }
    let key = lookup::changeable(&change.view(), &input.key_id)?.clone();
    let at = change.now + Span::from_secs(i64::from(days) * SECS_A_DAY);
    change.update(&key.id, |row: &mut EncryptionKey| {
        row.deletion = Some((at, days));
        row.enabled = false;
    });
    Ok(wire::ScheduleKeyDeletionResponse {
        deletion_date: Some(at.0.into()),
        key_id: Some(key_arn(&change.view(), &key.id)),
        key_state: change.get::<EncryptionKey>(&key.id).map(|key| shape::state(&key).to_string()),
        pending_window_in_days: Some(days),
    })
}

/// CancelKeyDeletion: the key is there again, disabled.
///
/// # Errors
/// `NotFoundException`; `KMSInvalidStateException` when it does not wait.
pub fn cancel_key_deletion(
    change: &mut Change<'_, '_>,
    input: &wire::CancelKeyDeletionRequest,
) -> Result<wire::CancelKeyDeletionResponse, ApiError> {
    let view = change.view();
    let key = lookup::customers(&view, &input.key_id)?;
    let arn = key_arn(&view, &key.id);
    if key.deletion.is_none() {
        return Err(errors::invalid_state(&arn, "is not pending deletion"));
    }
    let id = key.id.clone();
    change.update(&id, |row: &mut EncryptionKey| row.deletion = None);
    Ok(wire::CancelKeyDeletionResponse { key_id: Some(arn) })
}
