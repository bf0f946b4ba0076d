//! Revocation lists of trust stores.

use super::trust_stores::{ObjectCodes, location, named, object};
use super::{errors, pager};
use crate::acm::reading;
use crate::{Call, Change, page};
use elastane_engine::row::TrustStore;
use elastane_wire::{ApiError, elbv2 as wire};

/// Revocation files of one trust store (User Guide, "Quotas").
const FILES_MAX: usize = 30;

/// Revoked certificates of one trust store, likewise.
const ENTRIES_MAX: i64 = 500_000;

const CODES: ObjectCodes = ObjectCodes { missing: "RevocationContentNotFound", invalid: "InvalidRevocationContent" };

/// Certificates that a stored file revokes.
pub(super) fn entries(pem: &str) -> i64 {
    let lists = reading::revocations(pem.as_bytes()).unwrap_or_default();
    lists.iter().map(|(_, count)| i64::try_from(*count).unwrap_or(i64::MAX)).sum()
}

fn id_not_found(id: i64, row: &TrustStore) -> ApiError {
    let message = format!("Revocation '{id}' of the trust store '{}' not found", row.arn);
    ApiError::new("RevocationIdNotFound", message)
}

/// AddTrustStoreRevocations: all of the files, or none.
///
/// # Errors
/// `TrustStoreNotFound`, `RevocationContentNotFound`,
/// `InvalidRevocationContent`, `TooManyTrustStoreRevocationEntries`,
/// `ValidationError`.
pub fn add_trust_store_revocations(
    change: &mut Change<'_, '_>,
    input: &wire::AddTrustStoreRevocationsInput,
) -> Result<wire::AddTrustStoreRevocationsOutput, ApiError> {
    let mut row = TrustStore::clone(named(change.tables(), &input.trust_store_arn)?);
    if input.revocation_contents.is_empty() {
        return Err(errors::missing("RevocationContents"));
    }
    let mut added = Vec::new();
    for content in &input.revocation_contents {
        if !matches!(content.revocation_type.as_deref(), None | Some("CRL")) {
            return Err(errors::validation("RevocationType must be CRL"));
        }
        let place = (&content.s3_bucket, &content.s3_key, &content.s3_object_version);
        let bytes = object(change.world, place, &CODES)?;
        let lists = reading::revocations(&bytes).map_err(|why| ApiError::new(CODES.invalid, why))?;
        let pem: String = lists.into_iter().map(|(pem, _)| pem).collect();
        let id = row.revocations.keys().next_back().map_or(1, |last| last + 1);
        added.push(wire::TrustStoreRevocation {
            trust_store_arn: Some(row.arn.to_string()),
            revocation_id: Some(id),
            revocation_type: Some("CRL".to_string()),
            number_of_revoked_entries: Some(entries(&pem)),
        });
        row.revocations.insert(id, pem);
    }
    let total: i64 = row.revocations.values().map(|pem| entries(pem)).sum();
    if row.revocations.len() > FILES_MAX || total > ENTRIES_MAX {
        let message =
            format!("A trust store can have at most {FILES_MAX} revocation files with {ENTRIES_MAX} entries in all");
        return Err(ApiError::new("TooManyTrustStoreRevocationEntries", message));
    }
    change.put(row);
    Ok(wire::AddTrustStoreRevocationsOutput { trust_store_revocations: added })
}

/// DescribeTrustStoreRevocations, all or those of ids.
///
/// # Errors
/// `TrustStoreNotFound`, `RevocationIdNotFound`, `ValidationError` for a
/// marker of another make.
pub fn describe_trust_store_revocations(
    call: &Call<'_>,
    input: &wire::DescribeTrustStoreRevocationsInput,
) -> Result<wire::DescribeTrustStoreRevocationsOutput, ApiError> {
    let row = named(call.tables, &input.trust_store_arn)?;
    if let Some(id) = input.revocation_ids.iter().find(|id| !row.revocations.contains_key(id)) {
        return Err(id_not_found(*id, row));
    }
    let wanted = |id: &i64| input.revocation_ids.is_empty() || input.revocation_ids.contains(id);
    let files: Vec<(&i64, &String)> = row.revocations.iter().filter(|(id, _)| wanted(id)).collect();
    let pager = pager(input.marker.as_deref(), input.page_size);
    let (page, next_marker) = page::page(files, pager, |(id, _)| format!("{id:020}"))?;
    let shape = |(id, pem): (&i64, &String)| wire::DescribeTrustStoreRevocation {
        trust_store_arn: Some(row.arn.to_string()),
        revocation_id: Some(*id),
        revocation_type: Some("CRL".to_string()),
        number_of_revoked_entries: Some(entries(pem)),
    };
    let trust_store_revocations = page.into_iter().map(shape).collect();
    Ok(wire::DescribeTrustStoreRevocationsOutput { next_marker, trust_store_revocations })
}

/// RemoveTrustStoreRevocations: all of the ids, or none.
///
/// # Errors
/// `TrustStoreNotFound`, `RevocationIdNotFound`.
pub fn remove_trust_store_revocations(
    change: &mut Change<'_, '_>,
    input: &wire::RemoveTrustStoreRevocationsInput,
) -> Result<wire::RemoveTrustStoreRevocationsOutput, ApiError> {
    let mut row = TrustStore::clone(named(change.tables(), &input.trust_store_arn)?);
    for id in &input.revocation_ids {
        if row.revocations.remove(id).is_none() {
            return Err(id_not_found(*id, &row));
        }
    }
    change.put(row);
    Ok(wire::RemoveTrustStoreRevocationsOutput {})
}

/// GetTrustStoreRevocationContent.
///
/// # Errors
/// `TrustStoreNotFound`, `RevocationIdNotFound`.
pub fn get_trust_store_revocation_content(
    call: &Call<'_>,
    input: &wire::GetTrustStoreRevocationContentInput,
) -> Result<wire::GetTrustStoreRevocationContentOutput, ApiError> {
    let row = named(call.tables, &input.trust_store_arn)?;
    let id = input.revocation_id.ok_or_else(|| errors::missing("RevocationId"))?;
    let pem = row.revocations.get(&id).ok_or_else(|| id_not_found(id, row))?;
    Ok(wire::GetTrustStoreRevocationContentOutput { location: Some(location(pem)) })
}
