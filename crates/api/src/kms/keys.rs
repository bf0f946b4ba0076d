//! Keys: made, described, listed, switched on and off.

use super::lookup::{self, key_arn};
use super::shape::{self, ALGORITHM};
use super::{data, errors, policies, tags};
use crate::page::page;
use crate::{Call, Change};
use elastane_engine::row::{EncryptionKey, KeyAlias, KeyMaterial, Tags};
use elastane_wire::{ApiError, kms as wire};

/// Keys of an account in a region (KMS Developer Guide, "Resource quotas": far
/// fewer here, as each is a row).
const KEYS_MAX: usize = 1_000;

/// Characters of a description.
const DESCRIPTION_MAX: usize = 8_192;

/// CreateKey: a symmetric key whose material is made here.
///
/// # Errors
/// `MalformedPolicyDocumentException`, `LimitExceededException`,
/// `TagException`; `UnsupportedOperationException` for every other kind of key.
pub fn create_key(
    change: &mut Change<'_, '_>,
    input: &wire::CreateKeyRequest,
) -> Result<wire::CreateKeyResponse, ApiError> {
    refuse(input)?;
    let description = description(&input.description)?;
    let policy = match &input.policy {
        Some(text) => policies::checked(text)?,
        None => policies::default(&change.scope().account),
    };
    let tags = tags::added(&Tags::new(), &input.tags)?;
    if change.encryption_keys.len() >= KEYS_MAX {
        return Err(errors::limit(format!("{KEYS_MAX} keys are there already.")));
    }
    let key = EncryptionKey { description, policy, tags, ..fresh(change)? };
    let key_metadata = Some(shape::metadata(&change.view(), &key));
    change.put(key);
    Ok(wire::CreateKeyResponse { key_metadata })
}

/// A new key with new material, by default.
fn fresh(change: &mut Change<'_, '_>) -> Result<EncryptionKey, ApiError> {
    let (id, now) = (change.rng.uuid(), change.now);
    Ok(EncryptionKey {
        id,
        description: String::new(),
        service: None,
        enabled: true,
        deletion: None,
        rotation: None,
        policy: policies::default(&change.scope().account),
        materials: vec![KeyMaterial { sealed: data::new_material(change)?, since: now }],
        created_at: now,
        tags: Tags::new(),
    })
}

/// The id of AWS's own key for a service, with its alias `alias/aws/<service>`;
/// made when it is first needed (KMS Developer Guide, "AWS managed keys").
///
/// # Errors
/// `UnsupportedOperationException` without a source of randomness.
pub fn of_service(change: &mut Change<'_, '_>, service: &str) -> Result<String, ApiError> {
    let name = format!("alias/aws/{service}");
    if let Some(alias) = change.get::<KeyAlias>(&name) {
        return Ok(alias.key.clone());
    }
    let description = format!("Default key that protects my {service} data when no other key is defined");
    let key = EncryptionKey { description, service: Some(service.to_string()), ..fresh(change)? };
    let id = key.id.clone();
    let now = change.now;
    change.put(key);
    change.put(KeyAlias { name, key: id.clone(), created_at: now, updated_at: now });
    Ok(id)
}

fn refuse(input: &wire::CreateKeyRequest) -> Result<(), ApiError> {
    let spec = input.key_spec.as_deref().or(input.customer_master_key_spec.as_deref());
    let other = [
        ("KeySpec", spec.is_some_and(|spec| spec != ALGORITHM)),
        ("KeyUsage", input.key_usage.as_deref().is_some_and(|usage| usage != "ENCRYPT_DECRYPT")),
        ("Origin", input.origin.as_deref().is_some_and(|origin| origin != "AWS_KMS")),
        ("MultiRegion", input.multi_region == Some(true)),
        ("CustomKeyStoreId", input.custom_key_store_id.is_some()),
        ("XksKeyId", input.xks_key_id.is_some()),
    ];
    match other.into_iter().find(|(_, other)| *other) {
        Some((member, _)) => Err(errors::unsupported(&format!("{member} other than its default"))),
        None => Ok(()),
    }
}

fn description(given: &Option<String>) -> Result<String, ApiError> {
    let text = given.clone().unwrap_or_default();
    match text.chars().count() > DESCRIPTION_MAX {
        true => Err(errors::validation(format!("Description must have at most {DESCRIPTION_MAX} characters."))),
        false => Ok(text),
    }
}

/// DescribeKey.
///
/// # Errors
/// `NotFoundException`.
pub fn describe_key(call: &Call<'_>, input: &wire::DescribeKeyRequest) -> Result<wire::DescribeKeyResponse, ApiError> {
    let key = lookup::find(&call.view, &input.key_id)?;
    Ok(wire::DescribeKeyResponse { key_metadata: Some(shape::metadata(&call.view, key)) })
}

/// ListKeys, AWS's own among them.
///
/// # Errors
/// `InvalidMarkerException`.
pub fn list_keys(call: &Call<'_>, input: &wire::ListKeysRequest) -> Result<wire::ListKeysResponse, ApiError> {
    if !input.resource_owners.is_empty() {
        return Err(errors::unsupported("ResourceOwners"));
    }
    let keys: Vec<&EncryptionKey> = call.all::<EncryptionKey>().map(AsRef::as_ref).collect();
    let pager = super::pager(input.marker.as_deref(), input.limit);
    let (keys, next_marker) = page(keys, pager, |key| key.id.clone())?;
    let entry = |key: &EncryptionKey| wire::KeyListEntry {
        key_arn: Some(key_arn(&call.view, &key.id)),
        key_id: Some(key.id.clone()),
    };
    let truncated = Some(next_marker.is_some());
    Ok(wire::ListKeysResponse { keys: keys.into_iter().map(entry).collect(), next_marker, truncated })
}

/// EnableKey.
///
/// # Errors
/// `NotFoundException`, `KMSInvalidStateException`, `ValidationException` for AWS's own keys.
pub fn enable_key(
    change: &mut Change<'_, '_>,
    input: &wire::EnableKeyRequest,
) -> Result<wire::EnableKeyOutput, ApiError> {
    switch(change, &input.key_id, true)?;
    Ok(wire::EnableKeyOutput {})
}

/// DisableKey: what it sealed cannot be opened until it is enabled again.
///
/// # Errors
/// As for EnableKey.
pub fn disable_key(
    change: &mut Change<'_, '_>,
    input: &wire::DisableKeyRequest,
) -> Result<wire::DisableKeyOutput, ApiError> {
    switch(change, &input.key_id, false)?;
    Ok(wire::DisableKeyOutput {})
}

fn switch(change: &mut Change<'_, '_>, key: &Option<String>, enabled: bool) -> Result<(), ApiError> {
    let id = lookup::changeable(&change.view(), key)?.id.clone();
    change.update(&id, |row: &mut EncryptionKey| row.enabled = enabled);
    Ok(())
}

/// UpdateKeyDescription.
///
/// # Errors
/// As for EnableKey.
pub fn update_key_description(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateKeyDescriptionRequest,
) -> Result<wire::UpdateKeyDescriptionOutput, ApiError> {
    let id = lookup::changeable(&change.view(), &input.key_id)?.id.clone();
    let text = description(&input.description)?;
    change.update(&id, |row: &mut EncryptionKey| row.description = text);
    Ok(wire::UpdateKeyDescriptionOutput {})
}
