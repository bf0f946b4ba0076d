//! Server certificates: older than ACM's, of the account as a whole. Their
//! ARNs are taken by listeners of every region.

use super::{errors, names};
use crate::acm::reading::{Fault, brought};
use crate::{Call, Change};
use elastane_domain::id::CertificateArn;
use elastane_engine::row::{ServerCertificate, Tags};
use elastane_engine::{State, View, certificates};
use elastane_wire::{ApiError, Timestamp, iam as wire};
use std::sync::Arc;

/// Server certificates of an account (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const CERTIFICATES_MAX: usize = 20;

/// Characters of a name (IAM API Reference, "UploadServerCertificate").
const NAME_MAX: usize = 128;

const KIND: &str = "The Server Certificate with name";

fn name(text: &Option<String>) -> Result<&str, ApiError> {
    names::name(text, "ServerCertificateName", NAME_MAX)
}

fn find<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<ServerCertificate>, ApiError> {
    let name = name(text)?;
    view.get::<ServerCertificate>(name).ok_or_else(|| errors::no_such(KIND, name))
}

fn refused(fault: &Fault) -> ApiError {
    let code = match fault {
        Fault::Mismatch => "KeyPairMismatch",
        Fault::Certificate(_) | Fault::Chain(_) | Fault::Key(_) | Fault::Time(_) | Fault::Kind(_) => {
            "MalformedCertificate"
        }
    };
    ApiError::new(code, fault.to_string())
}

fn metadata(view: &View<'_>, row: &ServerCertificate) -> wire::ServerCertificateMetadata {
    wire::ServerCertificateMetadata {
        arn: Some(row.arn(&view.scope.account).to_string()),
        expiration: Some(Timestamp(row.material.not_after.millis())),
        path: Some(row.path.clone()),
        server_certificate_id: Some(row.id.clone()),
        server_certificate_name: Some(row.name.clone()),
        upload_date: Some(Timestamp(row.uploaded_at.millis())),
    }
}

fn shown(tags: &Tags) -> Vec<wire::Tag> {
    tags.iter().map(|(key, value)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

/// Whether a listener of any region shows it.
fn is_used(state: &State, arn: &CertificateArn) -> bool {
    state.scopes.values().any(|tables| !certificates::used_by(tables, arn).is_empty())
}

/// UploadServerCertificate.
///
/// # Errors
/// `EntityAlreadyExists`, `MalformedCertificate`, `KeyPairMismatch`,
/// `LimitExceeded`, `ValidationError`.
pub fn upload_server_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::UploadServerCertificateRequest,
) -> Result<wire::UploadServerCertificateResponse, ApiError> {
    let name = name(&input.server_certificate_name)?;
    let path = names::path(&input.path)?;
    let tags = names::tagged(Tags::new(), &input.tags)?;
    let body = input.certificate_body.as_deref().ok_or_else(|| errors::missing("CertificateBody"))?;
    let key = input.private_key.as_deref().ok_or_else(|| errors::missing("PrivateKey"))?;
    free(change, name)?;
    if change.server_certificates.len() >= CERTIFICATES_MAX {
        let message = format!("Cannot exceed quota for ServerCertificatesPerAccount: {CERTIFICATES_MAX}");
        return Err(errors::limit(message));
    }
    let brought = brought(body, input.certificate_chain.as_deref(), key, change.now).map_err(|err| refused(&err))?;
    let row = ServerCertificate {
        name: name.to_string(),
        id: names::id(change, "ASCA"),
        path,
        names: brought.names,
        material: brought.material,
        uploaded_at: change.now,
        tags,
    };
    let metadata = metadata(&change.view(), &row);
    let tags = shown(&row.tags);
    change.put(row);
    Ok(wire::UploadServerCertificateResponse { server_certificate_metadata: Some(metadata), tags })
}

/// Names are unique regardless of case.
fn free(change: &Change<'_, '_>, name: &str) -> Result<(), ApiError> {
    if change.all::<ServerCertificate>().any(|row| row.name.eq_ignore_ascii_case(name)) {
        return Err(errors::exists("The Server Certificate", name));
    }
    Ok(())
}

/// GetServerCertificate.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_server_certificate(
    call: &Call<'_>,
    input: &wire::GetServerCertificateRequest,
) -> Result<wire::GetServerCertificateResponse, ApiError> {
    let row = find(&call.view, &input.server_certificate_name)?;
    let server_certificate = wire::ServerCertificate {
        certificate_body: Some(row.material.body_pem.clone()),
        certificate_chain: row.material.chain_pem.clone(),
        server_certificate_metadata: Some(metadata(&call.view, row)),
        tags: shown(&row.tags),
    };
    Ok(wire::GetServerCertificateResponse { server_certificate: Some(server_certificate) })
}

/// ListServerCertificates, of a path.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_server_certificates(
    call: &Call<'_>,
    input: &wire::ListServerCertificatesRequest,
) -> Result<wire::ListServerCertificatesResponse, ApiError> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let rows = call.all::<ServerCertificate>().filter(|row| row.path.starts_with(prefix)).collect();
    let (page, marker) =
        names::cut(rows, (input.marker.as_deref(), input.max_items), |row: &&Arc<ServerCertificate>| row.name.clone())?;
    Ok(wire::ListServerCertificatesResponse {
        is_truncated: Some(marker.is_some()),
        marker,
        server_certificate_metadata_list: page.into_iter().map(|row| metadata(&call.view, row)).collect(),
    })
}

/// UpdateServerCertificate: another name or path, and so another ARN.
///
/// # Errors
/// `NoSuchEntity`, `EntityAlreadyExists`; `ValidationError` while a listener
/// shows it, as listeners know it by its ARN.
pub fn update_server_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateServerCertificateRequest,
) -> Result<wire::UpdateServerCertificateOutput, ApiError> {
    let mut row = ServerCertificate::clone(find(&change.view(), &input.server_certificate_name)?);
    let (old_name, old_arn) = (row.name.clone(), row.arn(&change.scope().account));
    if input.new_server_certificate_name.is_some() {
        row.name = names::name(&input.new_server_certificate_name, "NewServerCertificateName", NAME_MAX)?.to_string();
        if !row.name.eq_ignore_ascii_case(&old_name) {
            free(change, &row.name)?;
        }
    }
    if input.new_path.is_some() {
        row.path = names::path(&input.new_path)?;
    }
    if row.arn(&change.scope().account) != old_arn && is_used(change.view().state, &old_arn) {
        return Err(errors::unsupported("A new name or path for a server certificate that a listener shows"));
    }
    change.delete::<ServerCertificate>(&old_name);
    change.put(row);
    Ok(wire::UpdateServerCertificateOutput {})
}

/// DeleteServerCertificate.
///
/// # Errors
/// `NoSuchEntity`, `DeleteConflict` while a listener shows it.
pub fn delete_server_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteServerCertificateRequest,
) -> Result<wire::DeleteServerCertificateOutput, ApiError> {
    let row = find(&change.view(), &input.server_certificate_name)?.clone();
    if is_used(change.view().state, &row.arn(&change.scope().account)) {
        let message = format!("Certificate: {} is currently in use. Please remove it first before deletion.", row.id);
        return Err(errors::conflict(&message));
    }
    change.delete::<ServerCertificate>(&row.name);
    Ok(wire::DeleteServerCertificateOutput {})
}

/// TagServerCertificate.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`, `ValidationError`.
pub fn tag_server_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::TagServerCertificateRequest,
) -> Result<wire::TagServerCertificateOutput, ApiError> {
    let row = find(&change.view(), &input.server_certificate_name)?.clone();
    let tags = names::tagged(row.tags.clone(), &input.tags)?;
    change.update(&row.name, |row: &mut ServerCertificate| row.tags = tags);
    Ok(wire::TagServerCertificateOutput {})
}

/// UntagServerCertificate.
///
/// # Errors
/// `NoSuchEntity`.
pub fn untag_server_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::UntagServerCertificateRequest,
) -> Result<wire::UntagServerCertificateOutput, ApiError> {
    let name = find(&change.view(), &input.server_certificate_name)?.name.clone();
    change.update(&name, |row: &mut ServerCertificate| names::untag(&mut row.tags, &input.tag_keys));
    Ok(wire::UntagServerCertificateOutput {})
}

/// ListServerCertificateTags.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError` for a marker of another make.
pub fn list_server_certificate_tags(
    call: &Call<'_>,
    input: &wire::ListServerCertificateTagsRequest,
) -> Result<wire::ListServerCertificateTagsResponse, ApiError> {
    let row = find(&call.view, &input.server_certificate_name)?;
    let key = |tag: &wire::Tag| tag.key.clone().unwrap_or_default();
    let (tags, marker) = names::cut(shown(&row.tags), (input.marker.as_deref(), input.max_items), key)?;
    Ok(wire::ListServerCertificateTagsResponse { is_truncated: Some(marker.is_some()), marker, tags })
}
