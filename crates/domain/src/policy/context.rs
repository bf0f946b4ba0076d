//! The context of a request: condition keys and their values.

use std::collections::BTreeMap;

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
        self.lower(&key.to_ascii_lowercase())
    }

    /// The values of a key that is already in lower case: no allocation.
    pub(super) fn lower(&self, key: &str) -> Option<&[String]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// All keys, in lower case, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(key, values)| (key.as_str(), values.as_slice()))
    }
}
