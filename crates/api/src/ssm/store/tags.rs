//! Tags of parameters and documents.

use super::super::{documents, errors};
use super::find;
use crate::tagging::{self, Fault, TAGS_MAX};
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::{Document, Parameter, Tags};
use elastane_wire::{ApiError, ssm as wire};

/// `tags` on top of those that are there.
///
/// # Errors
/// `ValidationException`, `TooManyTagsError`.
pub fn added(found: &Tags, tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let tags = tags.iter().map(|tag| (&tag.key, &tag.value));
    tagging::added(found, tags).map_err(|fault| match fault {
        Fault::Key(text) => errors::validation(text),
        Fault::TooMany => ApiError::new("TooManyTagsError", format!("A resource has at most {TAGS_MAX} tags.")),
    })
}

/// What a call tags.
enum Tagged {
    Parameter(String, Tags),
    Document(String, Tags),
}

/// The resource of a call: a parameter or a document of the account.
fn tagged(view: &View<'_>, kind: &Option<String>, id: &Option<String>) -> Result<Tagged, ApiError> {
    let invalid = || {
        let text = format!("The resource ID {} is not valid.", id.as_deref().unwrap_or_default());
        ApiError::new("InvalidResourceId", text)
    };
    match kind.as_deref() {
        Some("Parameter") => {
            let row = find(view, id).map_err(|_| invalid())?;
            Ok(Tagged::Parameter(row.name.clone(), row.tags.clone()))
        }
        Some("Document") => {
            let row = documents::own(view, id.as_deref()).map_err(|_| invalid())?;
            Ok(Tagged::Document(row.name.clone(), row.tags.clone()))
        }
        _ => Err(invalid()),
    }
}

impl Tagged {
    fn tags(&self) -> &Tags {
        match self {
            Tagged::Parameter(_, tags) | Tagged::Document(_, tags) => tags,
        }
    }

    fn put(self, change: &mut Change<'_, '_>, tags: Tags) {
        match self {
            Tagged::Parameter(name, _) => change.update(&name, |row: &mut Parameter| row.tags = tags),
            Tagged::Document(name, _) => change.update(&name, |row: &mut Document| row.tags = tags),
        }
    }
}

/// AddTagsToResource.
///
/// # Errors
/// `InvalidResourceId`, `TooManyTagsError`, `ValidationException`.
pub fn add_tags_to_resource(
    change: &mut Change<'_, '_>,
    input: &wire::AddTagsToResourceRequest,
) -> Result<wire::AddTagsToResourceResult, ApiError> {
    let resource = tagged(&change.view(), &input.resource_type, &input.resource_id)?;
    let tags = added(resource.tags(), &input.tags)?;
    resource.put(change, tags);
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
    let resource = tagged(&change.view(), &input.resource_type, &input.resource_id)?;
    let mut tags = resource.tags().clone();
    tags.retain(|key, _| !input.tag_keys.contains(key));
    resource.put(change, tags);
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
    let resource = tagged(&call.view, &input.resource_type, &input.resource_id)?;
    let tag = |(key, value): (&String, &String)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) };
    Ok(wire::ListTagsForResourceResult { tag_list: resource.tags().iter().map(tag).collect() })
}
