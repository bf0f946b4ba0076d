//! Tags of keys.

use super::{errors, lookup, pager};
use crate::page::page;
use crate::{Call, Change};
use elastane_engine::row::{EncryptionKey, Tags};
use elastane_wire::{ApiError, kms as wire};

/// Tags of one key (KMS Developer Guide, "Tags in AWS KMS").
const TAGS_MAX: usize = 50;

/// `tags` on top of those that are there.
///
/// # Errors
/// `TagException`, `LimitExceededException`.
pub fn added(found: &Tags, tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let mut found = found.clone();
    for tag in tags {
        let key = tag.tag_key.clone().unwrap_or_default();
        if key.is_empty() || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::tag(format!("The tag key '{key}' is not allowed.")));
        }
        found.insert(key, tag.tag_value.clone().unwrap_or_default());
    }
    if found.len() > TAGS_MAX {
        return Err(errors::limit(format!("A key has at most {TAGS_MAX} tags.")));
    }
    Ok(found)
}

/// TagResource.
///
/// # Errors
/// `NotFoundException`, `KMSInvalidStateException`, those of tags.
pub fn tag_resource(
    change: &mut Change<'_, '_>,
    input: &wire::TagResourceRequest,
) -> Result<wire::TagResourceOutput, ApiError> {
    let key = lookup::changeable(&change.view(), &input.key_id)?.clone();
    let tags = added(&key.tags, &input.tags)?;
    change.update(&key.id, |row: &mut EncryptionKey| row.tags = tags);
    Ok(wire::TagResourceOutput {})
}

/// UntagResource.
///
/// # Errors
/// `NotFoundException`, `KMSInvalidStateException`.
pub fn untag_resource(
    change: &mut Change<'_, '_>,
    input: &wire::UntagResourceRequest,
) -> Result<wire::UntagResourceOutput, ApiError> {
    let id = lookup::changeable(&change.view(), &input.key_id)?.id.clone();
    change.update(&id, |row: &mut EncryptionKey| row.tags.retain(|key, _| !input.tag_keys.contains(key)));
    Ok(wire::UntagResourceOutput {})
}

/// ListResourceTags.
///
/// # Errors
/// `NotFoundException`, `InvalidMarkerException`.
pub fn list_resource_tags(
    call: &Call<'_>,
    input: &wire::ListResourceTagsRequest,
) -> Result<wire::ListResourceTagsResponse, ApiError> {
    let key = lookup::find(&call.view, &input.key_id)?;
    let tags: Vec<(&String, &String)> = key.tags.iter().collect();
    let (tags, next_marker) = page(tags, pager(input.marker.as_deref(), input.limit), |(name, _)| (*name).clone())?;
    let shape =
        |(name, value): (&String, &String)| wire::Tag { tag_key: Some(name.clone()), tag_value: Some(value.clone()) };
    let truncated = Some(next_marker.is_some());
    Ok(wire::ListResourceTagsResponse { next_marker, tags: tags.into_iter().map(shape).collect(), truncated })
}
