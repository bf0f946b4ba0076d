//! Tags of groups. They may propagate to the instances that a group launches.

use super::{errors, lookup};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_domain::id::GroupName;
use elastane_engine::row::Group;
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeMap;

/// Tags of one group, as of any AWS resource.
const TAGS_MAX: usize = 50;

/// The only type of resource that has tags here.
const RESOURCE_TYPE: &str = "auto-scaling-group";

type GroupTags = BTreeMap<String, (String, bool)>;

/// One tag, checked. A tag propagates unless it says that it does not.
fn entry(tag: &wire::Tag) -> Result<(String, (String, bool)), ApiError> {
    let key = tag.key.clone().ok_or_else(|| errors::missing("a Key in each tag"))?;
    if key.to_ascii_lowercase().starts_with("aws:") {
        let text = format!("Tag keys starting with 'aws:' are reserved for system use: {key}");
        return Err(errors::invalid(text));
    }
    let value = tag.value.clone().unwrap_or_default();
    Ok((key, (value, tag.propagate_at_launch.unwrap_or(true))))
}

fn check_count(tags: &GroupTags) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(errors::limit(format!("A group may have at most {TAGS_MAX} tags")));
    }
    Ok(())
}

fn check_type(tag: &wire::Tag) -> Result<(), ApiError> {
    match tag.resource_type.as_deref() {
        None | Some(RESOURCE_TYPE) => Ok(()),
        Some(other) => Err(errors::invalid(format!("Invalid tag resource type: {other}. It must be {RESOURCE_TYPE}"))),
    }
}

/// The tags of a new group.
pub fn of_new_group(tags: &[wire::Tag], group: &GroupName) -> Result<GroupTags, ApiError> {
    let mut found = GroupTags::new();
    for tag in tags {
        check_type(tag)?;
        if let Some(other) = tag.resource_id.as_deref().filter(|id| *id != group.as_str()) {
            return Err(errors::invalid(format!("Tag resource id {other} is not the name of the new group")));
        }
        let (key, value) = entry(tag)?;
        if found.insert(key.clone(), value).is_some() {
            return Err(errors::invalid(format!("Duplicate keys provided: {key}")));
        }
    }
    check_count(&found)?;
    Ok(found)
}

/// A group's tags as an answer has them.
pub fn shown(group: &Group) -> Vec<wire::TagDescription> {
    group
        .tags
        .iter()
        .map(|(key, (value, propagate))| wire::TagDescription {
            key: Some(key.clone()),
            propagate_at_launch: Some(*propagate),
            resource_id: Some(group.name.to_string()),
            resource_type: Some(RESOURCE_TYPE.to_string()),
            value: Some(value.clone()),
        })
        .collect()
}

/// A filter of DescribeAutoScalingGroups: values are alternatives.
pub struct GroupFilter<'a> {
    part: Part<'a>,
    values: &'a [String],
}

enum Part<'a> {
    Key,
    Value,
    ValueOf(&'a str),
}

/// The filter that a call names: `tag-key`, `tag-value` or `tag:<key>`.
pub fn group_filter(filter: &wire::Filter) -> Result<GroupFilter<'_>, ApiError> {
    let name = filter.name.as_deref().ok_or_else(|| errors::missing("a Name in each filter"))?;
    let part = match (name, name.strip_prefix("tag:")) {
        ("tag-key", _) => Part::Key,
        ("tag-value", _) => Part::Value,
        (_, Some(key)) => Part::ValueOf(key),
        (_, None) => {
            return Err(errors::invalid(format!(
                "Filter type {name} is not correct. Allowed are: tag-key, tag-value, tag:<key>"
            )));
        }
    };
    Ok(GroupFilter { part, values: &filter.values })
}

impl GroupFilter<'_> {
    /// Whether the group has such a tag.
    pub fn matches(&self, group: &Group) -> bool {
        group.tags.iter().any(|(key, (value, _))| match self.part {
            Part::Key => self.values.contains(key),
            Part::Value => self.values.contains(value),
            Part::ValueOf(wanted) => key == wanted && self.values.contains(value),
        })
    }
}

/// CreateOrUpdateTags: all, or none.
pub fn create_or_update_tags(
    change: &mut Change<'_, '_>,
    input: &wire::CreateOrUpdateTagsType,
) -> Result<wire::CreateOrUpdateTagsOutput, ApiError> {
    for tag in &input.tags {
        check_type(tag)?;
        let group = lookup::group(&change.view(), Some(resource(tag)?))?;
        let (key, value) = entry(tag)?;
        let mut tags = group.tags.clone();
        tags.insert(key, value);
        check_count(&tags)?;
        change.update(group.name.as_str(), |row: &mut Group| row.tags = tags);
    }
    Ok(wire::CreateOrUpdateTagsOutput {})
}

fn resource(tag: &wire::Tag) -> Result<&str, ApiError> {
    tag.resource_id.as_deref().ok_or_else(|| errors::missing("a ResourceId in each tag"))
}

/// DeleteTags; a tag that is not there is no error.
pub fn delete_tags(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteTagsType,
) -> Result<wire::DeleteTagsOutput, ApiError> {
    for tag in &input.tags {
        check_type(tag)?;
        let group = lookup::group(&change.view(), Some(resource(tag)?))?;
        let key = tag.key.clone().ok_or_else(|| errors::missing("a Key in each tag"))?;
        change.update(group.name.as_str(), |row: &mut Group| {
            row.tags.remove(&key);
        });
    }
    Ok(wire::DeleteTagsOutput {})
}

/// DescribeTags, of all groups that the filters let through.
pub fn describe_tags(call: &Call<'_>, input: &wire::DescribeTagsType) -> Result<wire::TagsType, ApiError> {
    let max = errors::page_size(input.max_records, 50, 100)?;
    let mut found: Vec<wire::TagDescription> = call.all::<Group>().flat_map(|group| shown(group)).collect();
    for filter in &input.filters {
        let name = filter.name.as_deref().ok_or_else(|| errors::missing("a Name in each filter"))?;
        let part: fn(&wire::TagDescription) -> Option<String> = match name {
            "auto-scaling-group" => |tag| tag.resource_id.clone(),
            "key" => |tag| tag.key.clone(),
            "value" => |tag| tag.value.clone(),
            "propagate-at-launch" => |tag| tag.propagate_at_launch.map(|propagate| propagate.to_string()),
            other => {
                return Err(errors::invalid(format!(
                    "Filter type {other} is not correct. Allowed are: auto-scaling-group, key, value, propagate-at-launch"
                )));
            }
        };
        let wanted = |value: String| {
            filter.values.iter().any(|given| match name {
                "propagate-at-launch" => given.eq_ignore_ascii_case(&value),
                _ => *given == value,
            })
        };
        found.retain(|tag| part(tag).is_some_and(wanted));
    }
    found.sort_by_cached_key(place);
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (tags, next_token) = page(found, pager, place)?;
    Ok(wire::TagsType { next_token, tags })
}

/// A name of a tag that sorts by group; group names have no colon.
fn place(tag: &wire::TagDescription) -> String {
    format!("{}:{}", tag.resource_id.as_deref().unwrap_or(""), tag.key.as_deref().unwrap_or(""))
}
