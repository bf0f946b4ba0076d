//! ListDocuments and ListDocumentVersions.

use super::super::{errors, pager};
use super::describe::{platforms, tags};
use super::{Found, built_in, find, format_name, kind_name, own, versions};
use crate::Call;
use crate::page::page;
use elastane_engine::row::{Document, DocumentVersion};
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

/// ListDocuments: the account's and AWS's own, by name.
///
/// # Errors
/// `InvalidFilterKey`, `InvalidNextToken`.
pub fn list_documents(
    call: &Call<'_>,
    input: &wire::ListDocumentsRequest,
) -> Result<wire::ListDocumentsResult, ApiError> {
    let old = input.document_filter_list.iter();
    let old = old.map(|filter| (filter.key.clone().unwrap_or_default(), filter.value.iter().cloned().collect()));
    let new = input.filters.iter();
    let new = new.map(|filter| (filter.key.clone().unwrap_or_default(), filter.values.clone()));
    let filters: Vec<(String, Vec<String>)> = old.chain(new).collect();
    if let Some((key, _)) = filters.iter().find(|(key, _)| !is_known(key)) {
        return Err(errors::invalid_filter_key(key));
    }
    let mut names: Vec<String> = call.all::<Document>().map(|row| row.name.clone()).collect();
    names.extend(built_in::names().map(str::to_string));
    let mut found: Vec<Found> =
        names.iter().map(|name| find(&call.view, name, None, None)).collect::<Result<_, _>>()?;
    found.retain(|one| filters.iter().all(|(key, values)| matches(one, key, values)));
    found.sort_by(|one, other| one.version.document.cmp(&other.version.document));
    let pager = pager(input.next_token.as_deref(), input.max_results);
    let (found, next_token) = page(found, pager, |one| one.version.document.clone())?;
    let document_identifiers = found.iter().map(identifier).collect::<Result<_, _>>()?;
    Ok(wire::ListDocumentsResult { document_identifiers, next_token })
}

fn is_known(key: &str) -> bool {
    const KEYS: [&str; 6] = ["Name", "Owner", "PlatformTypes", "DocumentType", "SearchKeyword", "TargetType"];
    KEYS.contains(&key) || key.starts_with("tag:")
}

/// Whether a document has one of a filter's values.
fn matches(found: &Found, key: &str, values: &[String]) -> bool {
    let version = &found.version;
    let ours = found.row.is_some();
    values.iter().any(|value| match key {
        // Names that begin so (API reference, DocumentKeyValuesFilter).
        "Name" => version.document.starts_with(value.as_str()),
        "Owner" => match value.as_str() {
            "Self" | "Private" => ours,
            "Amazon" | "Public" => !ours,
            "All" => true,
            _ => false,
        },
        "PlatformTypes" => platforms(found.kind).contains(value),
        "DocumentType" => kind_name(found.kind) == value,
        "SearchKeyword" => version.document.to_lowercase().contains(&value.to_lowercase()),
        "TargetType" => version.target_type.as_deref() == Some(value),
        key => {
            let tag = key.strip_prefix("tag:").unwrap_or_default();
            found.row.as_ref().is_some_and(|row| row.tags.get(tag) == Some(value))
        }
    })
}

fn identifier(found: &Found) -> Result<wire::DocumentIdentifier, ApiError> {
    let version = &found.version;
    Ok(wire::DocumentIdentifier {
        created_date: Some(version.created_at.millis().into()),
        display_name: version.display_name.clone(),
        document_format: Some(format_name(version.format).to_string()),
        document_type: Some(kind_name(found.kind).to_string()),
        document_version: Some(version.number.to_string()),
        name: Some(version.document.clone()),
        owner: Some(found.owner.clone()),
        platform_types: platforms(found.kind),
        schema_version: Some(built_in::content_of(found)?.schema),
        tags: found.row.as_ref().map(|row| tags(&row.tags)).unwrap_or_default(),
        target_type: version.target_type.clone(),
        version_name: version.name.clone(),
        ..Default::default()
    })
}

/// ListDocumentVersions: the newest first.
///
/// # Errors
/// `InvalidDocument`, `InvalidNextToken`.
pub fn list_document_versions(
    call: &Call<'_>,
    input: &wire::ListDocumentVersionsRequest,
) -> Result<wire::ListDocumentVersionsResult, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    let found = find(&call.view, name, None, None)?;
    let (default, _) = found.numbers();
    let mut all: Vec<Arc<DocumentVersion>> = match (&found.row, own(&call.view, Some(name))) {
        (Some(_), Ok(row)) => versions(&call.view, &row.name).cloned().collect(),
        // Of another account's, and of AWS's own, the version that is meant.
        (Some(_) | None, _) => vec![found.version.clone()],
    };
    let order = |version: &Arc<DocumentVersion>| format!("{:010}", u32::MAX - version.number);
    all.sort_by_key(order);
    let pager = pager(input.next_token.as_deref(), input.max_results);
    let (all, next_token) = page(all, pager, order)?;
    let shown = |version: &Arc<DocumentVersion>| wire::DocumentVersionInfo {
        created_date: Some(version.created_at.millis().into()),
        display_name: version.display_name.clone(),
        document_format: Some(format_name(version.format).to_string()),
        document_version: Some(version.number.to_string()),
        is_default_version: Some(version.number == default),
        name: Some(version.document.clone()),
        status: Some("Active".to_string()),
        version_name: version.name.clone(),
        ..Default::default()
    };
    Ok(wire::ListDocumentVersionsResult { document_versions: all.iter().map(shown).collect(), next_token })
}
