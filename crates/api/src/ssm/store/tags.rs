//! Tags of parameters and documents.

use super::super::errors;
use super::find;
use crate::{Call, Change};
use elastane_engine::row::{Parameter, Tags};
use elastane_wire::{ApiError, ssm as wire};

/// Tags of one resource.
const TAGS_MAX: usize = 50;

/// `tags` on top of those that are there.
///
/// # Errors
/// `ValidationException`, `TooManyTagsError`.
pub fn added(found: &Tags, tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let mut found = found.clone();
    for tag in tags {
        let key = tag.key.clone().unwrap_or_default();
        if key.is_empty() || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::validation(format!("The tag key '{key}' is not allowed.")));
        }
        found.insert(key, tag.value.clone().unwrap_or_default());
    }
    match found.len() > TAGS_MAX {
        true => Err(ApiError::new("TooManyTagsError", format!("A resource has at most {TAGS_MAX} tags."))),
        false => Ok(found),
    }
}

/// Only parameters and documents of those that AWS tags here exist.
fn check(kind: &Option<String>, id: &Option<String>) -> Result<(), ApiError> {
    match kind.as_deref() {
        Some("Parameter" | "Document") => Ok(()),
        _ => {
            let text = format!("The resource ID {} is not valid.", id.as_deref().unwrap_or_default());
            Err(ApiError::new("InvalidResourceId", text))
        }
    }
}

/// The parameter of a call.
fn parameter<'a>(
    view: &elastane_engine::View<'a>,
    kind: &Option<String>,
    id: &Option<String>,
) -> Result<&'a Parameter, ApiError> {
    check(kind, id)?;
    let found = find(view, id).map(AsRef::as_ref);
    found.map_err(|_| {
        let text = format!("The resource ID {} is not valid.", id.as_deref().unwrap_or_default());
        ApiError::new("InvalidResourceId", text)
    })
}

/// AddTagsToResource.
///
/// # Errors
/// `InvalidResourceId`, `TooManyTagsError`, `ValidationException`.
pub fn add_tags_to_resource(
    change: &mut Change<'_, '_>,
    input: &wire::AddTagsToResourceRequest,
) -> Result<wire::AddTagsToResourceResult, ApiError> {
    let view = change.view();
    let row = parameter(&view, &input.resource_type, &input.resource_id)?;
    let (name, tags) = (row.name.clone(), added(&row.tags, &input.tags)?);
    change.update(&name, |row: &mut Parameter| row.tags = tags);
    Ok(wire::AddTagsToResourceResult {})
}

/// RemoveTagsFromResource.
///
/// # Errors
/// `InvalidResourceId`.
pub fn remove_tags_from_resource(
    change: &mut Change<'_, '_>,
    input: &wire::RemoveTagsFromResourceRequest,
) -> Result<wire::RemoveTagsFromResourceResult, ApiError> {
    let name = parameter(&change.view(), &input.resource_type, &input.resource_id)?.name.clone();
    change.update(&name, |row: &mut Parameter| row.tags.retain(|key, _| !input.tag_keys.contains(key)));
    Ok(wire::RemoveTagsFromResourceResult {})
}

/// ListTagsForResource.
///
/// # Errors
/// `InvalidResourceId`.
pub fn list_tags_for_resource(
    call: &Call<'_>,
    input: &wire::ListTagsForResourceRequest,
) -> Result<wire::ListTagsForResourceResult, ApiError> {
    let row = parameter(&call.view, &input.resource_type, &input.resource_id)?;
    let tag = |(key, value): (&String, &String)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) };
    Ok(wire::ListTagsForResourceResult { tag_list: row.tags.iter().map(tag).collect() })
}
