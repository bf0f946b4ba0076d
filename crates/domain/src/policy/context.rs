//! The context of a request: condition keys and their values.

use std::collections::BTreeMap;

/// Where conditions and variables find the values of keys. What has them
/// ready is a [`Context`]; others may make them when they are asked for, so
/// that a request pays only for keys on which its decision depends.
pub trait Keys {
    /// Visits the values of a key that is in lower case; returns whether the
    /// key is in the request, which it may be without a value.
    fn visit(&self, key: &str, each: &mut dyn FnMut(&str)) -> bool;

    /// Whether the key, in lower case, has the same values whatever the resource.
    fn is_steady(&self, _key: &str) -> bool {
        false
    }
}

/// Condition keys, whose names have no case, and their values as texts:
/// booleans `true` and `false`, times in ISO 8601, numbers in decimals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// Adds a value to a key; several make a multivalued key.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0.entry(key.to_ascii_lowercase()).or_default().push(value.into());
    }

    /// Makes a key present without a value, if it is not there.
    pub fn declare(&mut self, key: &str) {
        self.0.entry(key.to_ascii_lowercase()).or_default();
    }

    /// The values of a key, in any case; `None` when the key is not in the request.
    pub fn values(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// All keys, in lower case, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(key, values)| (key.as_str(), values.as_slice()))
    }
}

impl Keys for Context {
    fn visit(&self, key: &str, each: &mut dyn FnMut(&str)) -> bool {
        let values = self.0.get(key);
        values.into_iter().flatten().for_each(|value| each(value));
        values.is_some()
    }
}
