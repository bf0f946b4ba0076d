//! Names, paths, tags, policies and pages of IAM.

use super::errors;
use crate::page;
use elastane_domain::policy::{Document, Grammar};
use elastane_engine::row::{PolicyText, Tags};
use elastane_wire::{ApiError, iam as wire};
use std::collections::BTreeSet;

/// Tags of one role or profile (IAM User Guide, "IAM and AWS STS quotas").
const TAGS_MAX: usize = 50;

/// Characters of a trust policy, likewise (the largest that can be asked for).
pub const TRUST_POLICY_MAX: usize = 4096;

/// Items of a page when a call says nothing (IAM API Reference, "ListRoles").
const PAGE: usize = 100;

/// A name of letters, digits and `+=,.@_-`, of at most `max` characters.
pub fn name<'a>(text: &'a Option<String>, member: &str, max: usize) -> Result<&'a str, ApiError> {
    let name = text.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| errors::missing(member))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if name.chars().count() <= max && name.chars().all(allowed) {
        return Ok(name);
    }
    Err(errors::invalid(format!(
        "The specified value for {member} is invalid. It must have at most {max} characters of alphanumerics and \
         +=,.@_-"
    )))
}

/// A path: `/`, or words between slashes.
pub fn path(text: &Option<String>) -> Result<String, ApiError> {
    let path = text.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let good = path.starts_with('/')
        && path.ends_with('/')
        && path.len() <= 512
        && path.bytes().all(|b| (0x21..=0x7e).contains(&b));
    if good {
        Ok(path.to_string())
    } else {
        Err(errors::invalid("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.".to_string()))
    }
}

/// A policy that follows a grammar.
///
/// # Errors
/// `MalformedPolicyDocument`; `ValidationError` without one.
pub fn policy(text: &Option<String>, member: &str, grammar: Grammar) -> Result<PolicyText, ApiError> {
    let text = text.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| errors::missing(member))?;
    Document::parse(text, grammar).map_err(errors::malformed)?;
    Ok(PolicyText::new(text))
}

/// `tags` on top of what there is, checked. Keys differ regardless of case;
/// the new spelling stays (IAM User Guide, "Tags for IAM resources").
pub fn tagged(mut found: Tags, tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let mut keys = BTreeSet::new();
    for tag in tags {
        let (key, value) = (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default());
        let sizes = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        if !sizes || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid(format!("The tag '{key}' is invalid.")));
        }
        if !keys.insert(key.to_ascii_lowercase()) {
            let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(errors::input(message.to_string()));
        }
        found.retain(|old, _| !old.eq_ignore_ascii_case(&key));
        found.insert(key, value);
    }
    if found.len() > TAGS_MAX {
        return Err(errors::quota("TagsPerResource", TAGS_MAX));
    }
    Ok(found)
}

/// Takes tags away, whatever the case of their keys.
pub fn untag(tags: &mut Tags, keys: &[String]) {
    tags.retain(|key, _| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
}

/// The prefix of paths that a list is about; all without one.
pub fn path_prefix(prefix: &Option<String>) -> &str {
    prefix.as_deref().unwrap_or("/")
}

/// Cuts a page of at most MaxItems; the marker of the next one.
pub fn cut<T>(
    items: Vec<T>,
    (marker, max): (Option<&str>, Option<i32>),
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE);
    page::page(items, page::Pager { token: marker, max: Some(max), bad_token: "ValidationError" }, name)
}

/// An id in IAM's form: the prefix and 17 capitals and digits.
pub fn id(tx: &mut elastane_engine::Tx<'_>, prefix: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = (0..17).map(|_| char::from(LETTERS[tx.rng.below(32) as usize]));
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which paths and names pass.
    #[test]
    fn names_and_paths() {
        for (text, good) in [("/", true), ("/app/", true), ("app", false), ("/app", false)] {
            assert_eq!(path(&Some(text.to_string())).is_ok(), good, "{text}");
        }
        assert!(name(&Some("a b".to_string()), "RoleName", 64).is_err());
        assert!(name(&Some("a".repeat(65)), "RoleName", 64).is_err());
    }

    /// Keys are the same whatever their case; the last spelling stays.
    #[test]
    fn tags_regardless_of_case() {
        let tag = |key: &str| wire::Tag { key: Some(key.to_string()), value: Some("1".to_string()) };
        let found = tagged(Tags::new(), &[tag("team")]).expect("good tags");
        let mut found = tagged(found, &[tag("Team")]).expect("good tags");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["Team"]);
        untag(&mut found, &["TEAM".to_string()]);
        assert!(found.is_empty());
        for (tags, code) in [
            (vec![tag("a"), tag("A")], "InvalidInput"),
            (vec![tag("aws:x")], "ValidationError"),
            ((0..51).map(|number| tag(&number.to_string())).collect(), "LimitExceeded"),
        ] {
            assert_eq!(tagged(Tags::new(), &tags).expect_err("refused").code, code);
        }
    }
}
