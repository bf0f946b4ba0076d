//! DescribeDocument and GetDocument, and how documents are shown.

use super::super::errors;
use super::content::Content;
use super::parameters::{Parameter, plain};
use super::{Found, built_in, find, format_name, kind_name};
use crate::Call;
use elastane_engine::row::{DocumentFormat, DocumentKind, Tags};
use elastane_wire::{ApiError, ssm as wire};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The status of all documents: they are there at once.
const ACTIVE: &str = "Active";

/// DescribeDocument.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub fn describe_document(
    call: &Call<'_>,
    input: &wire::DescribeDocumentRequest,
) -> Result<wire::DescribeDocumentResult, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    let found = find(&call.view, name, input.document_version.as_deref(), input.version_name.as_deref())?;
    Ok(wire::DescribeDocumentResult { document: Some(shown(&found)?) })
}

/// GetDocument: the content as JSON, or as YAML on request. JSON is YAML as well.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub fn get_document(call: &Call<'_>, input: &wire::GetDocumentRequest) -> Result<wire::GetDocumentResult, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    let found = find(&call.view, name, input.document_version.as_deref(), input.version_name.as_deref())?;
    let version = &found.version;
    let wanted = match input.document_format.as_deref() {
        None | Some("" | "JSON") => DocumentFormat::Json,
        Some("YAML") => DocumentFormat::Yaml,
        Some(other) => return Err(errors::unsupported(&format!("The document format {other}"))),
    };
    let content = match (version.format, wanted) {
        (DocumentFormat::Yaml, DocumentFormat::Json) => super::content::as_json(&version.content)?,
        (DocumentFormat::Json | DocumentFormat::Yaml, _) => version.content.clone(),
    };
    Ok(wire::GetDocumentResult {
        content: Some(content),
        created_date: Some(version.created_at.millis().into()),
        display_name: version.display_name.clone(),
        document_format: Some(format_name(wanted).to_string()),
        document_type: Some(kind_name(found.kind).to_string()),
        document_version: Some(version.number.to_string()),
        name: Some(name_of(&found, name)),
        status: Some(ACTIVE.to_string()),
        version_name: version.name.clone(),
        ..Default::default()
    })
}

/// The name in an answer: a shared document keeps the ARN that it was asked for by.
fn name_of(found: &Found, asked: &str) -> String {
    match found.row.is_some() && asked.starts_with("arn:") {
        true => asked.to_string(),
        false => found.version.document.clone(),
    }
}

/// A document as it is described.
///
/// # Errors
/// None for what could be stored.
pub fn shown(found: &Found) -> Result<wire::DocumentDescription, ApiError> {
    let content = built_in::content_of(found)?;
    let version = &found.version;
    let (default, latest) = found.numbers();
    let Content { schema, description, parameters, .. } = content;
    Ok(wire::DocumentDescription {
        created_date: Some(version.created_at.millis().into()),
        default_version: Some(default.to_string()),
        description,
        display_name: version.display_name.clone(),
        document_format: Some(format_name(version.format).to_string()),
        document_type: Some(kind_name(found.kind).to_string()),
        document_version: Some(version.number.to_string()),
        hash: Some(hash(&version.content)),
        hash_type: Some("Sha256".to_string()),
        latest_version: Some(latest.to_string()),
        name: Some(version.document.clone()),
        owner: Some(found.owner.clone()),
        parameters: parameters.iter().map(parameter).collect(),
        platform_types: platforms(found.kind),
        schema_version: Some(schema),
        status: Some(ACTIVE.to_string()),
        tags: found.row.as_ref().map(|row| tags(&row.tags)).unwrap_or_default(),
        target_type: version.target_type.clone(),
        version_name: version.name.clone(),
        ..Default::default()
    })
}

/// SHA-256 of a content, in hexadecimal digits.
pub fn hash(content: &str) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(content.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Tags as they are shown.
pub fn tags(tags: &Tags) -> Vec<wire::Tag> {
    tags.iter().map(|(key, value)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

/// The platforms that a document of a type is for.
pub fn platforms(kind: DocumentKind) -> Vec<String> {
    let names: &[&str] = match kind {
        DocumentKind::Command => &["Linux", "MacOS"],
        DocumentKind::Session => &["Windows", "Linux", "MacOS"],
    };
    names.iter().map(|name| name.to_string()).collect()
}

fn parameter(parameter: &Parameter) -> wire::DocumentParameter {
    wire::DocumentParameter {
        default_value: parameter.default.as_ref().map(plain),
        description: parameter.description.clone(),
        name: Some(parameter.name.clone()),
        r#type: Some(parameter.kind.name().to_string()),
    }
}
