//! The rules of EC2's tags (EC2 User Guide, "Tag restrictions"), and their
//! way between rows and answers.

use super::errors;
use elastane_engine::row::Tags;
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeMap;

/// Tags of users that a resource may have; those of AWS are not counted.
pub const TAGS_MAX: usize = 50;

/// Characters of a key.
pub const KEY_MAX: usize = 128;

/// Characters of a value.
pub const VALUE_MAX: usize = 256;

/// Keys with this prefix are AWS's own.
pub const RESERVED_PREFIX: &str = "aws:";

/// Whether a key is one that users cannot set or remove.
pub fn reserved(key: &str) -> bool {
    key.get(..RESERVED_PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX))
}

/// Tags as a client sends them, checked.
///
/// # Errors
/// `InvalidParameterValue` for keys and values that break a rule or a key
/// that comes twice, `TagLimitExceeded` for more than [`TAGS_MAX`].
pub fn checked(tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    let mut found = Tags::new();
    for tag in tags {
        let key = tag.key.clone().unwrap_or_default();
        let value = tag.value.clone().unwrap_or_default();
        if key.is_empty() || key.chars().count() > KEY_MAX {
            return Err(errors::invalid_value(format!("Tag keys have 1 to {KEY_MAX} characters: '{key}'")));
        }
        if value.chars().count() > VALUE_MAX {
            return Err(errors::invalid_value(format!("Tag values have at most {VALUE_MAX} characters: key '{key}'")));
        }
        if reserved(&key) {
            let message = format!(
                "Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use"
            );
            return Err(errors::invalid_value(message));
        }
        if found.contains_key(&key) {
            return Err(errors::invalid_value(format!("Duplicate tag key '{key}' specified.")));
        }
        found.insert(key, value);
    }
    check_count(&found)?;
    Ok(found)
}

/// Whether a resource may have so many tags: `TagLimitExceeded`.
pub fn check_count(tags: &Tags) -> Result<(), ApiError> {
    if tags.keys().filter(|key| !reserved(key)).count() > TAGS_MAX {
        let message = format!("More than {TAGS_MAX} tags were given for one resource");
        return Err(ApiError::new("TagLimitExceeded", message));
    }
    Ok(())
}

/// TagSpecifications by resource type, checked; `allowed` are the types that
/// the call makes.
///
/// # Errors
/// As [`checked`]; `InvalidParameterValue` for another or no type and for one
/// that comes twice.
pub fn specified(
    specifications: &[wire::TagSpecification],
    allowed: &[&str],
) -> Result<BTreeMap<String, Tags>, ApiError> {
    by_type(specifications.iter().map(|one| (&one.resource_type, one.tags.as_slice())), allowed)
}

/// Likewise, of resource types and tags whose structures are another's.
///
/// # Errors
/// As [`specified`].
pub fn by_type<'t>(
    specifications: impl Iterator<Item = (&'t Option<String>, &'t [wire::Tag])>,
    allowed: &[&str],
) -> Result<BTreeMap<String, Tags>, ApiError> {
    let mut found = BTreeMap::new();
    for (kind, tags) in specifications {
        let kind = kind.as_deref().unwrap_or_default();
        if !allowed.contains(&kind) {
            let message = format!("'{kind}' is not a valid taggable resource type for this operation.");
            return Err(errors::invalid_value(message));
        }
        if found.insert(kind.to_string(), checked(tags)?).is_some() {
            return Err(errors::invalid_value(format!("Duplicate tag specification for resource type '{kind}'")));
        }
    }
    Ok(found)
}

/// Tags as an answer shows them, in the order of their keys.
pub fn shown(tags: &Tags) -> Vec<wire::Tag> {
    tags.iter().map(|(key, value)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> wire::Tag {
        wire::Tag { key: Some(key.to_string()), value: Some(value.to_string()) }
    }

    /// Lengths, reserved keys, repetition and number.
    #[test]
    fn ec2_10_4_tag_rules() {
        let many: Vec<wire::Tag> = (0..=TAGS_MAX).map(|n| tag(&n.to_string(), "")).collect();
        for (tags, code) in [
            (vec![tag("", "a")], "InvalidParameterValue"),
            (vec![tag(&"k".repeat(KEY_MAX + 1), "a")], "InvalidParameterValue"),
            (vec![tag("k", &"v".repeat(VALUE_MAX + 1))], "InvalidParameterValue"),
            (vec![tag("aws:x", "a")], "InvalidParameterValue"),
            (vec![tag("k", "a"), tag("k", "b")], "InvalidParameterValue"),
            (many.clone(), "TagLimitExceeded"),
        ] {
            assert_eq!(checked(&tags).expect_err(code).code, code, "{tags:?}");
        }
        assert_eq!(shown(&checked(&many[1..]).expect("just enough")).len(), TAGS_MAX);
        assert!(checked(&[tag("ä", ""), tag("Aw", "x")]).is_ok());
    }
}
