//! Attributes of load balancers, listeners and target groups: which there are, what
//! AWS allows, and what has an effect here. A value that AWS allows but that
//! would have no effect here is refused, not kept.

use super::errors;
use elastane_wire::ApiError;
use std::collections::BTreeMap;

/// Attributes of one call (API, `LoadBalancerAttributes` and its like).
const CHANGES_MAX: usize = 50;

/// Longest value, in bytes (API, `…AttributeValue`, 1,024).
const VALUE_MAX: usize = 1024;

/// Longest name of a header, in bytes.
const HEADER_NAME_MAX: usize = 40;

/// One attribute.
pub struct Attribute {
    /// Its key.
    pub key: &'static str,
    /// Its value when it was not set.
    pub default: &'static str,
    /// What AWS allows.
    pub values: Values,
    /// What is honoured here.
    pub honoured: Honoured,
}

/// What AWS allows as an attribute's value.
pub enum Values {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number from the first to the second.
    Number(u32, u32),
    /// A word, or a whole number from the first to the second.
    WordOr(&'static str, u32, u32),
    /// The value of a header, or nothing.
    HeaderValue,
    /// The name of a header, or nothing.
    HeaderName,
}

/// What is honoured here.
pub enum Honoured {
    /// All that AWS allows: it has its effect, or the same non-effect as on
    /// AWS while the feature that it belongs to is off.
    All,
    /// Only these values: the others would have no effect.
    Only(&'static [&'static str]),
}

impl Values {
    fn allow(&self, value: &str) -> bool {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let within =
            |low: u32, high: u32| digits && value.parse::<u32>().is_ok_and(|number| (low..=high).contains(&number));
        match *self {
            Values::Text => true,
            Values::Flag => matches!(value, "true" | "false"),
            Values::OneOf(words) => words.contains(&value),
            Values::Number(low, high) => within(low, high),
            Values::WordOr(word, low, high) => value == word || within(low, high),
            Values::HeaderValue => {
                value.trim() == value && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
            }
            Values::HeaderName => {
                let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                value.len() <= HEADER_NAME_MAX && value.bytes().all(token)
            }
        }
    }
}

/// Checks changes and applies them to the attributes that were set before.
/// `owner` is `Load balancer`, `Listener` or `Target group`. An unknown key's error is
/// the sentence by which Terraform knows to leave it out.
pub fn change<'a, K: Iterator<Item = &'static Attribute>>(
    owner: &str,
    known: impl Fn() -> K,
    set: &mut BTreeMap<String, String>,
    changes: impl ExactSizeIterator<Item = (Option<&'a str>, Option<&'a str>)>,
) -> Result<(), ApiError> {
    if changes.len() > CHANGES_MAX {
        return Err(errors::validation(format!("At most {CHANGES_MAX} attributes can be modified at once")));
    }
    let mut named = Vec::new();
    for (key, value) in changes {
        let key = key.ok_or_else(|| errors::missing("Attributes.member.N.Key"))?;
        let value = value.unwrap_or_default();
        let attribute = known()
            .find(|attribute| attribute.key == key)
            .ok_or_else(|| errors::validation(format!("{owner} attribute key '{key}' is not recognized")))?;
        if named.contains(&key) {
            return Err(errors::validation(format!("{owner} attribute key '{key}' is specified more than once")));
        }
        if value.len() > VALUE_MAX || !attribute.values.allow(value) {
            let message = format!("{owner} attribute value '{value}' is not valid for the attribute key '{key}'");
            return Err(errors::validation(message));
        }
        if let Honoured::Only(values) = attribute.honoured
            && !values.contains(&value)
        {
            return Err(errors::unsupported(&format!("The value '{value}' of the attribute '{key}'")));
        }
        named.push(key);
        set.insert(key.to_string(), value.to_string());
    }
    Ok(())
}

/// Every attribute with its value in force, in the order of `known`.
pub fn in_force(
    known: impl Iterator<Item = &'static Attribute>,
    set: &BTreeMap<String, String>,
) -> impl Iterator<Item = (String, String)> {
    known.map(|attribute| {
        let value = set.get(attribute.key).map_or(attribute.default, String::as_str);
        (attribute.key.to_string(), value.to_string())
    })
}
