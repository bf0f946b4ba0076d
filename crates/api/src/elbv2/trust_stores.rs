//! Trust stores: the authorities that clients' certificates may come from.
//!
//! A bundle comes from a bucket. There is no S3 here yet, so the world reads
//! `buckets/<bucket>/<key>` in the data directory; versions of objects are
//! not kept. Where AWS answers with a location to fetch content from, the
//! answer is a `data:` URL, which holds the content itself.

use super::{errors, names, pager, tags};
use crate::acm::reading;
use crate::{Call, Change, ObjectError, World, page};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_domain::id::{ListenerArn, TrustStoreArn};
use elastane_domain::routing::ClientAuth;
use elastane_engine::row::TrustStore;
use elastane_engine::{Scope, Tables};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Trust stores of one account and region (User Guide, "Quotas").
const STORES_MAX: usize = 20;

/// Authorities of one trust store, likewise.
const AUTHORITIES_MAX: usize = 25;

/// Characters of a name (API, `TrustStoreName`).
const NAME_MAX: usize = 32;

fn not_found(arn: &str) -> ApiError {
    ApiError::new("TrustStoreNotFound", format!("Trust store '{arn}' not found"))
}

/// The trust store of an ARN.
///
/// # Errors
/// `TrustStoreNotFound`.
pub fn find<'a>(tables: &'a Tables, arn: &str) -> Result<&'a Arc<TrustStore>, ApiError> {
    tables.trust_stores.get(arn).ok_or_else(|| not_found(arn))
}

/// The trust store that a call names.
pub(super) fn named<'a>(tables: &'a Tables, arn: &Option<String>) -> Result<&'a Arc<TrustStore>, ApiError> {
    find(tables, arn.as_deref().ok_or_else(|| errors::missing("TrustStoreArn"))?)
}

/// Its ARN, when it is there.
///
/// # Errors
/// `TrustStoreNotFound`.
pub fn resolve(tables: &Tables, arn: &str) -> Result<TrustStoreArn, ApiError> {
    find(tables, arn).map(|row| row.arn.clone())
}

/// The codes for an object that is not there, and for one that makes no sense.
pub(super) struct ObjectCodes {
    pub(super) missing: &'static str,
    pub(super) invalid: &'static str,
}

const BUNDLE: ObjectCodes =
    ObjectCodes { missing: "CaCertificatesBundleNotFound", invalid: "InvalidCaCertificatesBundle" };

/// An object's content.
pub(super) fn object(
    world: &dyn World,
    (bucket, key, version): (&Option<String>, &Option<String>, &Option<String>),
    codes: &ObjectCodes,
) -> Result<Vec<u8>, ApiError> {
    let bucket = bucket.as_deref().ok_or_else(|| errors::missing("S3Bucket"))?;
    let key = key.as_deref().ok_or_else(|| errors::missing("S3Key"))?;
    if version.is_some() {
        return Err(errors::unsupported("A version of an S3 object"));
    }
    world.object(bucket, key).map_err(|err| match err {
        ObjectError::Missing => {
            let place = format!("buckets/{bucket}/{key}");
            let message = format!("There is no object '{key}' in the bucket '{bucket}': {place} in the data directory");
            ApiError::new(codes.missing, message)
        }
        ObjectError::TooLarge => {
            ApiError::new(codes.invalid, format!("The object '{key}' is larger than {} bytes", crate::OBJECT_BYTES_MAX))
        }
        ObjectError::Unreadable(why) => {
            ApiError::new(codes.missing, format!("The object '{key}' of the bucket '{bucket}' cannot be read: {why}"))
        }
    })
}

fn bundle(content: &[u8]) -> Result<String, ApiError> {
    let invalid = |why: String| ApiError::new(BUNDLE.invalid, why);
    let text = std::str::from_utf8(content).map_err(|_| invalid("The bundle is not in PEM format.".to_string()))?;
    let authorities = reading::authorities(text, AUTHORITIES_MAX).map_err(invalid)?;
    Ok(authorities.iter().map(|der| elastane_engine::authority::pem("CERTIFICATE", der)).collect())
}

/// A trust store as it is shown.
fn shape(row: &TrustStore) -> wire::TrustStore {
    let revoked = row.revocations.values().map(|pem| super::trust_revocations::entries(pem));
    let authorities = row.authorities_pem.matches("-----BEGIN CERTIFICATE-----").count();
    wire::TrustStore {
        name: Some(row.name.clone()),
        trust_store_arn: Some(row.arn.to_string()),
        status: Some("ACTIVE".to_string()),
        number_of_ca_certificates: i32::try_from(authorities).ok(),
        total_revoked_entries: Some(revoked.sum()),
    }
}

/// CreateTrustStore.
///
/// # Errors
/// `DuplicateTrustStoreName`, `TooManyTrustStores`,
/// `CaCertificatesBundleNotFound`, `InvalidCaCertificatesBundle`,
/// `ValidationError`, those of tags.
pub fn create_trust_store(
    change: &mut Change<'_, '_>,
    input: &wire::CreateTrustStoreInput,
) -> Result<wire::CreateTrustStoreOutput, ApiError> {
    let name = input.name.clone().ok_or_else(|| errors::missing("Name"))?;
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if name.is_empty() || name.len() > NAME_MAX || !letters || name.starts_with('-') || name.ends_with('-') {
        let message = format!("Trust store name '{name}' must have 1 to {NAME_MAX} letters, digits and hyphens");
        return Err(errors::validation(message));
    }
    let tags = tags::given(&input.tags)?;
    if change.trust_stores.values().any(|row| row.name == name) {
        let message = format!("A trust store with the name '{name}' already exists");
        return Err(ApiError::new("DuplicateTrustStoreName", message));
    }
    if change.trust_stores.len() >= STORES_MAX {
        return Err(errors::too_many("TooManyTrustStores", STORES_MAX, "trust stores of a Region"));
    }
    let (bucket, key) = (&input.ca_certificates_bundle_s3_bucket, &input.ca_certificates_bundle_s3_key);
    let content = object(change.world, (bucket, key, &input.ca_certificates_bundle_s3_object_version), &BUNDLE)?;
    let authorities_pem = bundle(&content)?;
    let id = change.rng.hex(names::ID_DIGITS);
    let Scope { account, region } = change.scope();
    let arn = format!("arn:aws:{}:{region}:{account}:truststore/{name}/{id}", names::SERVICE);
    let row = TrustStore { arn: TrustStoreArn::from(arn), name, authorities_pem, revocations: BTreeMap::new(), tags };
    let shown = shape(&row);
    change.put(row);
    Ok(wire::CreateTrustStoreOutput { trust_stores: vec![shown] })
}

/// ModifyTrustStore: another bundle. Revocations stay.
///
/// # Errors
/// `TrustStoreNotFound`, `CaCertificatesBundleNotFound`,
/// `InvalidCaCertificatesBundle`, `ValidationError`.
pub fn modify_trust_store(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyTrustStoreInput,
) -> Result<wire::ModifyTrustStoreOutput, ApiError> {
    let mut row = TrustStore::clone(named(change.tables(), &input.trust_store_arn)?);
    let (bucket, key) = (&input.ca_certificates_bundle_s3_bucket, &input.ca_certificates_bundle_s3_key);
    let content = object(change.world, (bucket, key, &input.ca_certificates_bundle_s3_object_version), &BUNDLE)?;
    row.authorities_pem = bundle(&content)?;
    let shown = shape(&row);
    change.put(row);
    Ok(wire::ModifyTrustStoreOutput { trust_stores: vec![shown] })
}

/// DescribeTrustStores, all or those of ARNs or names.
///
/// # Errors
/// `TrustStoreNotFound`, `ValidationError`.
pub fn describe_trust_stores(
    call: &Call<'_>,
    input: &wire::DescribeTrustStoresInput,
) -> Result<wire::DescribeTrustStoresOutput, ApiError> {
    if !input.trust_store_arns.is_empty() && !input.names.is_empty() {
        return Err(errors::validation("Trust stores can be named by ARNs or by names, not by both"));
    }
    for arn in &input.trust_store_arns {
        find(call.tables, arn)?;
    }
    let all = || call.all::<TrustStore>();
    if let Some(unknown) = input.names.iter().find(|name| !all().any(|row| row.name == **name)) {
        return Err(not_found(unknown));
    }
    let wanted = |row: &&Arc<TrustStore>| {
        let by_arn = input.trust_store_arns.iter().any(|arn| arn == row.arn.as_str());
        let nothing_named = input.trust_store_arns.is_empty() && input.names.is_empty();
        nothing_named || by_arn || input.names.contains(&row.name)
    };
    let rows: Vec<&Arc<TrustStore>> = all().filter(wanted).collect();
    let pager = pager(input.marker.as_deref(), input.page_size);
    let (page, next_marker) = page::page(rows, pager, |row| row.arn.to_string())?;
    Ok(wire::DescribeTrustStoresOutput { next_marker, trust_stores: page.iter().map(|row| shape(row)).collect() })
}

/// Listeners that let a trust store's clients in.
fn users<'a>(tables: &'a Tables, arn: &TrustStoreArn) -> Vec<&'a ListenerArn> {
    let uses = tables.listeners.values().filter(|listener| match listener.tls.as_ref().map(|tls| &tls.client_auth) {
        Some(ClientAuth::Verify { trust_store, .. }) => trust_store == arn,
        Some(ClientAuth::Off | ClientAuth::Passthrough) | None => false,
    });
    uses.map(|listener| &listener.arn).collect()
}

/// DescribeTrustStoreAssociations: listeners that use it.
///
/// # Errors
/// `TrustStoreNotFound`, `ValidationError` for a marker of another make.
pub fn describe_trust_store_associations(
    call: &Call<'_>,
    input: &wire::DescribeTrustStoreAssociationsInput,
) -> Result<wire::DescribeTrustStoreAssociationsOutput, ApiError> {
    let row = named(call.tables, &input.trust_store_arn)?;
    let pager = pager(input.marker.as_deref(), input.page_size);
    let (page, next_marker) = page::page(users(call.tables, &row.arn), pager, |arn| arn.to_string())?;
    let association = |arn: &ListenerArn| wire::TrustStoreAssociation { resource_arn: Some(arn.to_string()) };
    let trust_store_associations = page.into_iter().map(association).collect();
    Ok(wire::DescribeTrustStoreAssociationsOutput { next_marker, trust_store_associations })
}

/// DeleteTrustStore.
///
/// # Errors
/// `TrustStoreNotFound`, `TrustStoreInUse` while a listener uses it.
pub fn delete_trust_store(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteTrustStoreInput,
) -> Result<wire::DeleteTrustStoreOutput, ApiError> {
    let arn = named(change.tables(), &input.trust_store_arn)?.arn.clone();
    if !users(change.tables(), &arn).is_empty() {
        return Err(ApiError::new("TrustStoreInUse", format!("Trust store '{arn}' is currently in use by a listener")));
    }
    change.delete::<TrustStore>(arn.as_str());
    Ok(wire::DeleteTrustStoreOutput {})
}

/// DeleteSharedTrustStoreAssociation. Nothing is shared between accounts, so
/// there is never one to delete.
///
/// # Errors
/// `TrustStoreNotFound`; `DeleteAssociationSameAccount` for a listener that
/// uses it, `TrustStoreAssociationNotFound` for anything else.
pub fn delete_shared_trust_store_association(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteSharedTrustStoreAssociationInput,
) -> Result<wire::DeleteSharedTrustStoreAssociationOutput, ApiError> {
    let row = named(change.tables(), &input.trust_store_arn)?;
    let resource = input.resource_arn.as_deref().ok_or_else(|| errors::missing("ResourceArn"))?;
    if users(change.tables(), &row.arn).iter().any(|arn| arn.as_str() == resource) {
        let message = "The association is within the account: change the listener's mutual authentication instead";
        return Err(ApiError::new("DeleteAssociationSameAccount", message));
    }
    let message = format!("Trust store '{}' is not associated with '{resource}'", row.arn);
    Err(ApiError::new("TrustStoreAssociationNotFound", message))
}

/// GetResourcePolicy: trust stores are not shared, so none has a policy.
///
/// # Errors
/// `ResourceNotFound` always.
pub fn get_resource_policy(
    call: &Call<'_>,
    input: &wire::GetResourcePolicyInput,
) -> Result<wire::GetResourcePolicyOutput, ApiError> {
    let arn = input.resource_arn.as_deref().ok_or_else(|| errors::missing("ResourceArn"))?;
    let what = if call.get::<TrustStore>(arn).is_some() { "has no resource policy" } else { "not found" };
    Err(ApiError::new("ResourceNotFound", format!("Resource '{arn}' {what}")))
}

/// A `data:` URL of PEM.
pub(super) fn location(content: &str) -> String {
    format!("data:application/x-pem-file;base64,{}", STANDARD.encode(content))
}

/// GetTrustStoreCaCertificatesBundle.
///
/// # Errors
/// `TrustStoreNotFound`.
pub fn get_trust_store_ca_certificates_bundle(
    call: &Call<'_>,
    input: &wire::GetTrustStoreCaCertificatesBundleInput,
) -> Result<wire::GetTrustStoreCaCertificatesBundleOutput, ApiError> {
    let row = named(call.tables, &input.trust_store_arn)?;
    Ok(wire::GetTrustStoreCaCertificatesBundleOutput { location: Some(location(&row.authorities_pem)) })
}
