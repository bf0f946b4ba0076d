//! Tags of load balancers, listeners, rules, target groups and trust stores.

use super::names::AnyRule;
use super::{errors, names, trust_stores};
use crate::{Call, Change};
use elastane_engine::Tables;
use elastane_engine::row::{Listener, LoadBalancer, Rule, Tags, TargetGroup, TrustStore};
use elastane_wire::{ApiError, elbv2 as wire};

/// Tags that one resource may have (alb.md 12, `TooManyTags`).
const TAGS_MAX: usize = 50;

/// Resources that one DescribeTags may ask about (API text of DescribeTags).
const RESOURCES_MAX: usize = 20;

/// Longest key and value in characters (API, `TagKey` and `TagValue`).
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;

/// What an ARN names.
enum Kind {
    LoadBalancer,
    Listener,
    Rule,
    TargetGroup,
    TrustStore,
}

/// The tags of a new resource, or those to add: checked, each key once.
pub fn given(tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let mut checked = Tags::new();
    for tag in tags {
        let key = tag.key.as_deref().unwrap_or_default();
        let value = tag.value.as_deref().unwrap_or_default();
        if key.is_empty() || key.chars().count() > KEY_MAX || value.chars().count() > VALUE_MAX {
            let message =
                format!("The tag key '{key}' must have 1 to {KEY_MAX} characters and its value at most {VALUE_MAX}");
            return Err(errors::validation(message));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::validation(format!("The tag key '{key}' is reserved: it begins with 'aws:'")));
        }
        if checked.insert(key.to_string(), value.to_string()).is_some() {
            return Err(errors::duplicate_tag_key(key));
        }
    }
    check_count(&checked)?;
    Ok(checked)
}

fn check_count(tags: &Tags) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(errors::too_many("TooManyTags", TAGS_MAX, "tags of one resource"));
    }
    Ok(())
}

/// DescribeTags: one description a resource, in the order asked for.
pub fn describe_tags(call: &Call<'_>, input: &wire::DescribeTagsInput) -> Result<wire::DescribeTagsOutput, ApiError> {
    if input.resource_arns.is_empty() {
        return Err(errors::missing("ResourceArns"));
    }
    if input.resource_arns.len() > RESOURCES_MAX {
        return Err(errors::validation(format!("At most {RESOURCES_MAX} resources can be described at once")));
    }
    let describe = |arn: &String| {
        let tags = of(call.tables, arn)?.iter();
        let tags = tags.map(|(key, value)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) });
        Ok(wire::TagDescription { resource_arn: Some(arn.clone()), tags: tags.collect() })
    };
    let tag_descriptions = input.resource_arns.iter().map(describe).collect::<Result<_, ApiError>>()?;
    Ok(wire::DescribeTagsOutput { tag_descriptions })
}

/// AddTags: to all of the resources, or to none.
pub fn add_tags(tx: &mut Change<'_, '_>, input: &wire::AddTagsInput) -> Result<wire::AddTagsOutput, ApiError> {
    let added = given(&input.tags)?;
    for arn in &input.resource_arns {
        let mut tags = of(tx.tables(), arn)?.clone();
        tags.extend(added.clone());
        check_count(&tags)?;
        put(tx, arn, tags)?;
    }
    Ok(wire::AddTagsOutput {})
}

/// RemoveTags: keys that a resource does not have are no error.
pub fn remove_tags(tx: &mut Change<'_, '_>, input: &wire::RemoveTagsInput) -> Result<wire::RemoveTagsOutput, ApiError> {
    for arn in &input.resource_arns {
        let mut tags = of(tx.tables(), arn)?.clone();
        tags.retain(|key, _| !input.tag_keys.contains(key));
        put(tx, arn, tags)?;
    }
    Ok(wire::RemoveTagsOutput {})
}

fn kind(arn: &str) -> Result<Kind, ApiError> {
    let kinds = [
        (":loadbalancer/", Kind::LoadBalancer),
        (":listener/", Kind::Listener),
        (":listener-rule/", Kind::Rule),
        (":targetgroup/", Kind::TargetGroup),
        (":truststore/", Kind::TrustStore),
    ];
    let found = kinds.into_iter().find(|(part, _)| arn.starts_with("arn:") && arn.contains(part));
    found.map(|(_, kind)| kind).ok_or_else(|| errors::validation(format!("'{arn}' is not a valid resource ARN")))
}

/// A default rule has no tags of its own.
static NONE: Tags = Tags::new();

fn of<'a>(tables: &'a Tables, arn: &str) -> Result<&'a Tags, ApiError> {
    Ok(match kind(arn)? {
        Kind::LoadBalancer => &names::load_balancer(tables, Some(arn))?.tags,
        Kind::Listener => &names::listener(tables, Some(arn))?.tags,
        Kind::Rule => match names::any_rule(tables, arn)? {
            AnyRule::Rule(row) => &row.tags,
            AnyRule::Default(_) => &NONE,
        },
        Kind::TargetGroup => &names::target_group(tables, Some(arn))?.tags,
        Kind::TrustStore => &trust_stores::find(tables, arn)?.tags,
    })
}

fn put(tx: &mut Change<'_, '_>, arn: &str, tags: Tags) -> Result<(), ApiError> {
    match kind(arn)? {
        Kind::LoadBalancer => tx.update(arn, |row: &mut LoadBalancer| row.tags = tags),
        Kind::Listener => tx.update(arn, |row: &mut Listener| row.tags = tags),
        Kind::Rule => {
            names::rule(tx.tables(), Some(arn))?;
            tx.update(arn, |row: &mut Rule| row.tags = tags);
        }
        Kind::TargetGroup => tx.update(arn, |row: &mut TargetGroup| row.tags = tags),
        Kind::TrustStore => tx.update(arn, |row: &mut TrustStore| row.tags = tags),
    }
    Ok(())
}
