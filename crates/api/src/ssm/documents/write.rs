//! CreateDocument, UpdateDocument, UpdateDocumentDefaultVersion and
//! DeleteDocument.

use super::super::{errors, store};
use super::{Found, content, describe, find, own, resolved, versions};
use crate::Change;
use elastane_engine::row::{Document, DocumentFormat, DocumentKind, DocumentVersion, Tags};
use elastane_wire::{ApiError, ssm as wire};
use std::collections::BTreeMap;

/// Documents of an account and region (AWS's quota).
const DOCUMENTS_MAX: usize = 500;

/// Versions of a document (AWS's quota).
const VERSIONS_MAX: usize = 1000;

/// Bytes of all contents of an account and region: rows are in memory.
const CONTENTS_BYTES_MAX: usize = 64 << 20;

/// CreateDocument.
///
/// # Errors
/// `DocumentAlreadyExists`, `DocumentLimitExceeded`, `InvalidDocumentContent`,
/// `InvalidDocumentSchemaVersion`, `MaxDocumentSizeExceeded`,
/// `ValidationException`.
pub fn create_document(
    tx: &mut Change<'_, '_>,
    input: &wire::CreateDocumentRequest,
) -> Result<wire::CreateDocumentResult, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    check_name(name)?;
    if !input.requires.is_empty() || !input.attachments.is_empty() {
        return Err(errors::unsupported("Requires and Attachments of documents"));
    }
    let kind = match input.document_type.as_deref() {
        None | Some("Command") => DocumentKind::Command,
        Some("Session") => DocumentKind::Session,
        Some(other) => return Err(errors::unsupported(&format!("The document type {other}"))),
    };
    let format = format(input.document_format.as_deref())?;
    let text = input.content.clone().ok_or_else(|| errors::missing("Content"))?;
    content::read(kind, format, &text)?;
    if tx.get::<Document>(name).is_some() {
        return Err(ApiError::new("DocumentAlreadyExists", format!("Document with name {name} already exists.")));
    }
    let limit = |what: String| ApiError::new("DocumentLimitExceeded", what);
    if tx.all::<Document>().count() >= DOCUMENTS_MAX {
        return Err(limit(format!("An account has at most {DOCUMENTS_MAX} documents in a region.")));
    }
    check_room(tx, &text).map_err(limit)?;
    let tags = store::added(&Tags::new(), &input.tags)?;
    let created_at = tx.now;
    tx.put(DocumentVersion {
        document: name.to_string(),
        number: 1,
        name: version_name(input.version_name.as_deref())?,
        display_name: input.display_name.clone().filter(|text| !text.is_empty()),
        target_type: target_type(input.target_type.as_deref())?,
        format,
        content: text,
        created_at,
    });
    tx.put(Document {
        name: name.to_string(),
        kind,
        created_at,
        default_version: 1,
        latest_version: 1,
        shares: BTreeMap::new(),
        tags,
    });
    Ok(wire::CreateDocumentResult { document_description: Some(description(tx, name, 1)?) })
}

/// Names that may be given: none that looks like one of AWS's own (API reference, CreateDocument).
fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if !(3..=128).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err(errors::validation(format!("The document name '{name}' is not valid")));
    }
    let lower = name.to_ascii_lowercase();
    match ["aws", "amazon", "amzn"].iter().any(|prefix| lower.starts_with(prefix)) {
        true => Err(errors::validation(format!("The document name '{name}' begins with a reserved word"))),
        false => Ok(()),
    }
}

fn format(name: Option<&str>) -> Result<DocumentFormat, ApiError> {
    match name {
        None | Some("" | "JSON") => Ok(DocumentFormat::Json),
        Some("YAML") => Ok(DocumentFormat::Yaml),
        Some(other) => Err(errors::unsupported(&format!("The document format {other}"))),
    }
}

fn version_name(name: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    match name.len() <= 128 && name.bytes().all(allowed) {
        true => Ok(Some(name.to_string())),
        false => Err(errors::validation(format!("The version name '{name}' is not valid"))),
    }
}

/// A kind of resource such as `/AWS::EC2::Instance`; it is kept and shown.
fn target_type(text: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b);
    match text.starts_with('/') && text.len() <= 200 && text.bytes().all(allowed) {
        true => Ok(Some(text.to_string())),
        false => Err(errors::validation(format!("The target type '{text}' is not valid"))),
    }
}

/// Whether one more content fits; says why not.
fn check_room(tx: &Change<'_, '_>, text: &str) -> Result<(), String> {
    let kept: usize = tx.all::<DocumentVersion>().map(|version| version.content.len()).sum();
    match kept + text.len() > CONTENTS_BYTES_MAX {
        true => Err(format!("All versions of all documents together have at most {CONTENTS_BYTES_MAX} bytes.")),
        false => Ok(()),
    }
}

/// A version that has just been written, as it is described.
fn description(tx: &Change<'_, '_>, name: &str, number: u32) -> Result<wire::DocumentDescription, ApiError> {
    let found: Found = find(&tx.view(), name, Some(&number.to_string()), None)?;
    describe::shown(&found)
}

/// UpdateDocument: makes a version of what is said; the default one stays.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`, `DuplicateDocumentContent`,
/// `DuplicateDocumentVersionName`, `DocumentVersionLimitExceeded`,
/// `InvalidDocumentContent`, `InvalidDocumentSchemaVersion`,
/// `MaxDocumentSizeExceeded`.
pub fn update_document(
    tx: &mut Change<'_, '_>,
    input: &wire::UpdateDocumentRequest,
) -> Result<wire::UpdateDocumentResult, ApiError> {
    let row = own(&tx.view(), input.name.as_deref())?.clone();
    if !input.attachments.is_empty() {
        return Err(errors::unsupported("Attachments of documents"));
    }
    // Only the newest can be updated (API reference, UpdateDocument).
    if let Some(version) = input.document_version.as_deref().filter(|version| !version.is_empty())
        && resolved(&row, version) != Some(row.latest_version)
    {
        return Err(errors::invalid_document_version(version));
    }
    let format = format(input.document_format.as_deref())?;
    let text = input.content.clone().ok_or_else(|| errors::missing("Content"))?;
    let read = content::read(row.kind, format, &text)?;
    if read.schema == "1.2" {
        return Err(errors::invalid_schema(&read.schema));
    }
    let name = version_name(input.version_name.as_deref())?;
    let view = tx.view();
    let all: Vec<_> = versions(&view, &row.name).cloned().collect();
    let newest = all.iter().find(|version| version.number == row.latest_version);
    if newest.is_some_and(|newest| newest.content == text && newest.format == format) {
        let message = "The content of the document is the same as that of its latest version.";
        return Err(ApiError::new("DuplicateDocumentContent", message));
    }
    if name.is_some() && all.iter().any(|version| version.name == name) {
        let message = "The version name is that of another version.";
        return Err(ApiError::new("DuplicateDocumentVersionName", message));
    }
    let limit = |what: String| ApiError::new("DocumentVersionLimitExceeded", what);
    if all.len() >= VERSIONS_MAX {
        return Err(limit(format!("A document has at most {VERSIONS_MAX} versions.")));
    }
    check_room(tx, &text).map_err(limit)?;
    let number = row.latest_version + 1;
    let created_at = tx.now;
    tx.put(DocumentVersion {
        document: row.name.clone(),
        number,
        name,
        display_name: input.display_name.clone().or_else(|| newest.and_then(|newest| newest.display_name.clone())),
        target_type: match input.target_type.as_deref() {
            Some(text) => target_type(Some(text))?,
            None => newest.and_then(|newest| newest.target_type.clone()),
        },
        format,
        content: text,
        created_at,
    });
    tx.update(&row.name, |row: &mut Document| row.latest_version = number);
    Ok(wire::UpdateDocumentResult { document_description: Some(description(tx, &row.name, number)?) })
}

/// UpdateDocumentDefaultVersion.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub fn update_document_default_version(
    tx: &mut Change<'_, '_>,
    input: &wire::UpdateDocumentDefaultVersionRequest,
) -> Result<wire::UpdateDocumentDefaultVersionResult, ApiError> {
    let row = own(&tx.view(), input.name.as_deref())?.clone();
    let version = input.document_version.as_deref().ok_or_else(|| errors::missing("DocumentVersion"))?;
    let found = find(&tx.view(), &row.name, Some(version), None)?.version;
    tx.update(&row.name, |row: &mut Document| row.default_version = found.number);
    let description = wire::DocumentDefaultVersionDescription {
        default_version: Some(found.number.to_string()),
        default_version_name: found.name.clone(),
        name: Some(row.name.clone()),
    };
    Ok(wire::UpdateDocumentDefaultVersionResult { description: Some(description) })
}

/// DeleteDocument: all of it, or one version that is not the default.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`; `InvalidDocumentOperation`
/// while it is shared, and for its default version.
pub fn delete_document(
    tx: &mut Change<'_, '_>,
    input: &wire::DeleteDocumentRequest,
) -> Result<wire::DeleteDocumentResult, ApiError> {
    let row = own(&tx.view(), input.name.as_deref())?.clone();
    let (version, version_name) = (input.document_version.as_deref(), input.version_name.as_deref());
    if version.is_none() && version_name.is_none() {
        if !row.shares.is_empty() {
            let text = "The document is shared. Stop sharing it before you delete it.";
            return Err(errors::invalid_document_operation(text));
        }
        let numbers: Vec<u32> = versions(&tx.view(), &row.name).map(|version| version.number).collect();
        for number in numbers {
            tx.delete::<DocumentVersion>(&DocumentVersion::key(&row.name, number));
        }
        tx.delete::<Document>(&row.name);
        return Ok(wire::DeleteDocumentResult {});
    }
    let found = find(&tx.view(), &row.name, version, version_name)?.version;
    if found.number == row.default_version {
        return Err(errors::invalid_document_operation("The default version of a document cannot be deleted."));
    }
    tx.delete::<DocumentVersion>(&DocumentVersion::key(&row.name, found.number));
    let newest = versions(&tx.view(), &row.name).map(|version| version.number).max();
    tx.update(&row.name, |row: &mut Document| row.latest_version = newest.unwrap_or(row.default_version));
    Ok(wire::DeleteDocumentResult {})
}
