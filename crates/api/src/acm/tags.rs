//! Tags of certificates.

use super::{errors, lookup};
use crate::tagging::{self, Fault, TAGS_MAX};
use crate::{Call, Change};
use elastane_engine::row::{Certificate, Tags};
use elastane_wire::{ApiError, acm as wire};

/// `tags` on top of those that are there.
///
/// # Errors
/// `InvalidTagException`, `TooManyTagsException`.
pub fn added(found: &Tags, tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let tags = tags.iter().map(|tag| (&tag.key, &tag.value));
    tagging::added(found, tags).map_err(|fault| match fault {
        Fault::Key(text) => errors::invalid_tag(text),
        Fault::TooMany => errors::too_many_tags(TAGS_MAX),
    })
}

/// AddTagsToCertificate.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidArnException`, those of tags.
pub fn add_tags_to_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::AddTagsToCertificateRequest,
) -> Result<wire::AddTagsToCertificateOutput, ApiError> {
    let row = lookup::find(change.tables(), &input.certificate_arn)?.clone();
    let tags = added(&row.tags, &input.tags)?;
    change.update(row.arn.as_str(), |row: &mut Certificate| row.tags = tags);
    Ok(wire::AddTagsToCertificateOutput {})
}

/// RemoveTagsFromCertificate: a tag with a value goes only when its value is
/// that one.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidArnException`.
pub fn remove_tags_from_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::RemoveTagsFromCertificateRequest,
) -> Result<wire::RemoveTagsFromCertificateOutput, ApiError> {
    let arn = lookup::find(change.tables(), &input.certificate_arn)?.arn.clone();
    let named = |key: &String, value: &String| {
        let same = |tag: &wire::Tag| tag.key.as_ref() == Some(key) && tag.value.as_ref().is_none_or(|own| own == value);
        input.tags.iter().any(same)
    };
    change.update(arn.as_str(), |row: &mut Certificate| row.tags.retain(|key, value| !named(key, value)));
    Ok(wire::RemoveTagsFromCertificateOutput {})
}

/// ListTagsForCertificate.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidArnException`.
pub fn list_tags_for_certificate(
    call: &Call<'_>,
    input: &wire::ListTagsForCertificateRequest,
) -> Result<wire::ListTagsForCertificateResponse, ApiError> {
    let tags = lookup::find(call.tables, &input.certificate_arn)?.tags.iter();
    let tags = tags.map(|(key, value)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) });
    Ok(wire::ListTagsForCertificateResponse { tags: tags.collect() })
}
