//! Tags of alarms, by the alarm's ARN.

use super::errors;
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::{Alarm, Tags};
use elastane_wire::{ApiError, cloudwatch as wire};
use std::sync::Arc;

/// Tags of one alarm, as of any AWS resource.
const TAGS_MAX: usize = 50;

/// ListTagsForResource, in the order of the keys.
pub fn list_tags_for_resource(
    call: &Call<'_>,
    input: &wire::ListTagsForResourceInput,
) -> Result<wire::ListTagsForResourceOutput, ApiError> {
    let tags = alarm(&call.view, input.resource_arn.as_deref())?.tags.iter();
    let tags = tags.map(|(key, value)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) });
    Ok(wire::ListTagsForResourceOutput { tags: tags.collect() })
}

/// TagResource: a key that is there gets the new value.
pub fn tag_resource(
    change: &mut Change<'_, '_>,
    input: &wire::TagResourceInput,
) -> Result<wire::TagResourceOutput, ApiError> {
    let row = alarm(&change.view(), input.resource_arn.as_deref())?;
    let (name, mut tags) = (row.name.clone(), row.tags.clone());
    tags.extend(given(&input.tags)?);
    check_count(&tags)?;
    change.update(name.as_str(), |row: &mut Alarm| row.tags = tags);
    Ok(wire::TagResourceOutput {})
}

/// UntagResource: keys that the alarm does not have are no error.
pub fn untag_resource(
    change: &mut Change<'_, '_>,
    input: &wire::UntagResourceInput,
) -> Result<wire::UntagResourceOutput, ApiError> {
    let name = alarm(&change.view(), input.resource_arn.as_deref())?.name.clone();
    change.update(name.as_str(), |row: &mut Alarm| row.tags.retain(|key, _| !input.tag_keys.contains(key)));
    Ok(wire::UntagResourceOutput {})
}

/// The alarm of an ARN; only alarms can have tags here.
fn alarm<'a>(view: &View<'a>, arn: Option<&str>) -> Result<&'a Arc<Alarm>, ApiError> {
    let arn = arn.filter(|arn| !arn.is_empty()).ok_or_else(|| errors::missing("ResourceARN"))?;
    let name = arn.strip_prefix(&view.scope.arn("cloudwatch", "alarm:"));
    let found = name.and_then(|name| view.get::<Alarm>(name));
    found.ok_or_else(|| {
        let message = format!("The resource {arn} does not exist, or is not an alarm of this account and region.");
        ApiError::new("ResourceNotFoundException", message).with_status(404)
    })
}

/// Tags as a client sends them, checked.
pub(super) fn given(sent: &[wire::Tag]) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in sent {
        let key = tag.key.clone().ok_or_else(|| errors::missing("Tags.Key"))?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid(format!("The tag key {key} is reserved: it begins with aws:.")));
        }
        tags.insert(key, tag.value.clone().unwrap_or_default());
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(errors::invalid(format!("The collection Tags must not have a size greater than {TAGS_MAX}.")));
    }
    Ok(())
}
