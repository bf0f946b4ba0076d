//! Rotation: from time to time new data is sealed with new material.

use super::lookup::{self, key_arn};
use super::{data, errors};
use crate::{Call, Change};
use elastane_domain::time::{Span, Time};
use elastane_engine::row::{EncryptionKey, KeyMaterial};
use elastane_wire::{ApiError, kms as wire};
use std::ops::RangeInclusive;

/// Days between two rotations, and without a word (KMS API Reference, "EnableKeyRotation").
const PERIOD_DAYS: RangeInclusive<i32> = 90..=2_560;
const PERIOD_DEFAULT: i32 = 365;

/// Materials of one key: at 90 days each, more than a century of them.
const MATERIALS_MAX: usize = 512;

const SECS_A_DAY: i64 = 86_400;

/// When a key is to be rotated next; `None` while rotation is off.
fn next(key: &EncryptionKey) -> Option<Time> {
    let (days, on_since) = key.rotation?;
    let newest = key.materials.last()?.since;
    Some(newest.max(on_since) + Span::from_secs(i64::from(days) * SECS_A_DAY))
}

/// Gives a key new material when its time has come.
///
/// # Errors
/// `UnsupportedOperationException` without a source of randomness.
pub fn rotate_when_due(change: &mut Change<'_, '_>, id: &str) -> Result<(), ApiError> {
    let now = change.now;
    let key = change.get::<EncryptionKey>(id).expect("its caller has found it");
    if key.materials.len() >= MATERIALS_MAX || next(&key).is_none_or(|next| now < next) {
        return Ok(());
    }
    let sealed = data::new_material(change)?;
    change.update(id, |row: &mut EncryptionKey| row.materials.push(KeyMaterial { sealed, since: now }));
    Ok(())
}

/// EnableKeyRotation.
///
/// # Errors
/// `NotFoundException`, `DisabledException`, `KMSInvalidStateException`,
/// `ValidationException` for a period that is not of 90 to 2,560 days.
pub fn enable_key_rotation(
    change: &mut Change<'_, '_>,
    input: &wire::EnableKeyRotationRequest,
) -> Result<wire::EnableKeyRotationOutput, ApiError> {
    let days = input.rotation_period_in_days.unwrap_or(PERIOD_DEFAULT);
    if !PERIOD_DAYS.contains(&days) {
        return Err(errors::validation("RotationPeriodInDays must be from 90 to 2560."));
    }
    let view = change.view();
    let key = lookup::changeable(&view, &input.key_id)?;
    lookup::check_usable(&view, key)?;
    let (id, now) = (key.id.clone(), change.now);
    change.update(&id, |row: &mut EncryptionKey| row.rotation = Some((days, now)));
    Ok(wire::EnableKeyRotationOutput {})
}

/// DisableKeyRotation.
///
/// # Errors
/// `NotFoundException`, `DisabledException`, `KMSInvalidStateException`.
pub fn disable_key_rotation(
    change: &mut Change<'_, '_>,
    input: &wire::DisableKeyRotationRequest,
) -> Result<wire::DisableKeyRotationOutput, ApiError> {
    let view = change.view();
    let key = lookup::changeable(&view, &input.key_id)?;
    lookup::check_usable(&view, key)?;
    let id = key.id.clone();
    change.update(&id, |row: &mut EncryptionKey| row.rotation = None);
    Ok(wire::DisableKeyRotationOutput {})
}

/// GetKeyRotationStatus.
///
/// # Errors
/// `NotFoundException`.
pub fn get_key_rotation_status(
    call: &Call<'_>,
    input: &wire::GetKeyRotationStatusRequest,
) -> Result<wire::GetKeyRotationStatusResponse, ApiError> {
    let key = lookup::find(&call.view, &input.key_id)?;
    Ok(wire::GetKeyRotationStatusResponse {
        key_id: Some(key_arn(&call.view, &key.id)),
        key_rotation_enabled: Some(key.rotation.is_some()),
        next_rotation_date: next(key).map(|at| at.0.into()),
        on_demand_rotation_start_date: None,
        rotation_period_in_days: key.rotation.map(|(days, _)| days),
    })
}
