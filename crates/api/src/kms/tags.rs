//! Tags of keys.

use super::{errors, lookup, pager};
use crate::page::page;
use crate::tagging::{self, Fault, TAGS_MAX};
use crate::{Call, Change};
use elastane_engine::row::{EncryptionKey, Tags};
use elastane_wire::{ApiError, kms as wire};

/// `tags` on top of those that are there.
///
/// # Errors
/// `TagException`, `LimitExceededException`.
pub fn added(found: &Tags, tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let tags = tags.iter().map(|tag| (&tag.tag_key, &tag.tag_value));
    tagging::added(found, tags).map_err(|fault| match fault {
        Fault::Key(text) => errors::tag(text),
        Fault::TooMany => errors::limit(format!("A key has at most {TAGS_MAX} tags.")),
    })
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
