//! Names, paths, tags, policies and pages of IAM.

use super::errors;
use crate::page;
use elastane_engine::row::Tags;
use elastane_wire::{ApiError, iam as wire};
use serde_json::Value;

/// Tags of one role or profile (IAM User Guide, "IAM and AWS STS quotas").
const TAGS_MAX: usize = 50;

/// Characters of a trust policy, likewise (the largest that can be asked for).
const POLICY_MAX: usize = 4096;

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

/// Checks a trust policy: JSON with statements that name principals. What
/// they mean is looked at when credentials are made.
pub fn trust_policy(text: &Option<String>, member: &str) -> Result<String, ApiError> {
    let text = text.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| errors::missing(member))?;
    if text.chars().count() > POLICY_MAX {
        return Err(errors::limit(format!("Cannot exceed quota for ACLSizePerRole: {POLICY_MAX}")));
    }
    let policy: Value =
        serde_json::from_str(text).map_err(|_| errors::malformed_policy("This policy contains invalid Json"))?;
    let statements: Vec<&Value> = match &policy["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        Value::Null => Vec::new(),
        statement => vec![statement],
    };
    if statements.is_empty() {
        return Err(errors::malformed_policy("Missing required field Statement"));
    }
    for statement in statements {
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return Err(errors::malformed_policy("Missing required field Effect"));
        }
        if statement["Action"].is_null() && statement["NotAction"].is_null() {
            return Err(errors::malformed_policy("Missing required field Action"));
        }
        if statement["Principal"].is_null() && statement["NotPrincipal"].is_null() {
            return Err(errors::malformed_policy("Missing required field Principal"));
        }
        if !statement["Resource"].is_null() {
            return Err(errors::malformed_policy("Has prohibited field Resource"));
        }
    }
    Ok(text.to_string())
}

/// `tags` on top of what there is, checked.
pub fn tagged(mut found: Tags, tags: &[wire::Tag]) -> Result<Tags, ApiError> {
    for tag in tags {
        let (key, value) = (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default());
        let sizes = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        if !sizes || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid(format!("The tag '{key}' is invalid.")));
        }
        found.insert(key, value);
    }
    if found.len() > TAGS_MAX {
        return Err(errors::limit(format!("Cannot exceed quota for TagsPerResource: {TAGS_MAX}")));
    }
    Ok(found)
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

    /// What passes for a trust policy.
    #[test]
    fn trust_policies_are_checked() {
        let statement = |text: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{text}]}}"#);
        let good = r#"{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}"#;
        for (policy, code) in [
            (statement(good), ""),
            ("{".to_string(), "MalformedPolicyDocument"),
            ("{}".to_string(), "MalformedPolicyDocument"),
            (statement(r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#), "MalformedPolicyDocument"),
            (statement(r#"{"Effect":"Maybe","Principal":"*","Action":"*"}"#), "MalformedPolicyDocument"),
            (statement(r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#), "MalformedPolicyDocument"),
            (format!("{good}{}", " ".repeat(POLICY_MAX)), "LimitExceeded"),
            (String::new(), "ValidationError"),
        ] {
            let found = trust_policy(&Some(policy.clone()), "AssumeRolePolicyDocument");
            assert_eq!(found.err().map_or(String::new(), |err| err.code.to_string()), code, "{policy}");
        }
        for (text, good) in [("/", true), ("/app/", true), ("app", false), ("/app", false)] {
            assert_eq!(path(&Some(text.to_string())).is_ok(), good, "{text}");
        }
        assert!(name(&Some("a b".to_string()), "RoleName", 64).is_err());
        assert!(name(&Some("a".repeat(65)), "RoleName", 64).is_err());
    }
}
