//! What a session is given besides its role: policies and tags, and how much
//! of them there may be.

use super::errors;
use elastane_domain::policy::{Document, Grammar, characters};
use elastane_engine::row::{Holder, PolicyText, Tags, TemporaryKey};
use elastane_engine::{View, identity};
use elastane_wire::{ApiError, sts as wire};
use std::collections::BTreeSet;

/// Characters of the session policy and the managed policies' ARNs together
/// (STS API Reference, "AssumeRole").
const POLICY_CHARACTERS_MAX: usize = 2_048;

/// Managed session policies, likewise.
const MANAGED_MAX: usize = 10;

/// Session tags, likewise.
const TAGS_MAX: usize = 50;

/// Bytes that policies and tags may take together. AWS packs them in a form
/// that it does not tell and gives the share; here it is a share of this.
const PACKED_BYTES_MAX: usize = 4_096;

/// What a session is given.
#[derive(Debug, Default)]
pub struct Given {
    /// Session policies, inline and managed.
    pub policies: Vec<PolicyText>,
    /// Its tags, with those that it inherits.
    pub tags: Tags,
    /// Keys of tags that sessions assumed from it inherit.
    pub transitive: BTreeSet<String>,
    /// How much of the room it takes, in percent; `None` when it is given nothing.
    pub packed: Option<i32>,
}

/// Reads the policies and tags of a request; `from` is the session that asks,
/// whose transitive tags are inherited.
///
/// # Errors
/// `MalformedPolicyDocument`, `PackedPolicyTooLarge`, `ValidationError`.
pub fn given(view: &View<'_>, input: &wire::AssumeRoleRequest, from: Option<&TemporaryKey>) -> Result<Given, ApiError> {
    let policies = policies(view, input)?;
    let own = tags(&input.tags)?;
    let mut transitive: BTreeSet<String> = BTreeSet::new();
    let mut tags = Tags::new();
    if let Some(Holder::Role { tags: old, transitive: kept, .. }) = from.map(|key| &key.holder) {
        transitive.clone_from(kept);
        tags.extend(old.iter().filter(|(key, _)| kept.contains(*key)).map(|(key, it)| (key.clone(), it.clone())));
    }
    for (key, value) in own {
        if tags.keys().any(|old| old.eq_ignore_ascii_case(&key)) {
            return Err(errors::invalid(format!("The session tag {key} is inherited and cannot be set again.")));
        }
        tags.insert(key, value);
    }
    for key in &input.transitive_tag_keys {
        let Some((found, _)) = tags.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(key)) else {
            let message = format!("The specified transitive tag key {key} must be included in the requested tags.");
            return Err(errors::invalid(message));
        };
        transitive.insert(found.clone());
    }
    let packed = packed(input, &tags)?;
    Ok(Given { policies, tags, transitive, packed })
}

/// The session policies: the inline one and what the managed ones say now.
fn policies(view: &View<'_>, input: &wire::AssumeRoleRequest) -> Result<Vec<PolicyText>, ApiError> {
    let mut found = Vec::new();
    let arns: Vec<&str> = input.policy_arns.iter().filter_map(|policy| policy.arn.as_deref()).collect();
    if arns.len() > MANAGED_MAX {
        return Err(errors::invalid(format!("At most {MANAGED_MAX} managed session policies can be given.")));
    }
    let plain = input.policy.as_deref().map_or(0, characters) + arns.iter().map(|arn| arn.len()).sum::<usize>();
    if plain > POLICY_CHARACTERS_MAX {
        return Err(errors::invalid(format!(
            "The session policy and the ARNs of managed session policies have {plain} characters together; at most \
             {POLICY_CHARACTERS_MAX} are allowed."
        )));
    }
    if let Some(text) = &input.policy {
        Document::parse(text, Grammar::Identity).map_err(errors::malformed)?;
        found.push(PolicyText::new(text.as_str()));
    }
    for arn in arns {
        let policy = identity::managed(view, arn).and_then(|policy| policy.in_force());
        let policy = policy.ok_or_else(|| errors::invalid(format!("The managed policy {arn} does not exist.")))?;
        found.push(policy.clone());
    }
    Ok(found)
}

/// Session tags as the request gives them.
fn tags(tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(errors::invalid(format!("At most {TAGS_MAX} session tags can be given.")));
    }
    let mut found = Tags::new();
    for tag in tags {
        let (key, value) = (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default());
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid(format!("The session tag {key} uses a prefix that is AWS's own.")));
        }
        if found.keys().any(|old: &String| old.eq_ignore_ascii_case(&key)) {
            let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(ApiError::new("InvalidParameterValue", message));
        }
        found.insert(key, value);
    }
    Ok(found)
}

/// How much of the room policies and tags take, in percent.
fn packed(input: &wire::AssumeRoleRequest, tags: &Tags) -> Result<Option<i32>, ApiError> {
    let policy = input.policy.as_deref().map_or(0, characters);
    let arns: usize = input.policy_arns.iter().filter_map(|policy| policy.arn.as_ref()).map(String::len).sum();
    let tags: usize = tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    let bytes = policy + arns + tags;
    if bytes == 0 {
        return Ok(None);
    }
    let percent = (bytes * 100).div_ceil(PACKED_BYTES_MAX);
    if percent > 100 { Err(errors::too_large(percent)) } else { Ok(i32::try_from(percent).ok()) }
}
