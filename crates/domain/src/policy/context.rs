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
        self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }
}
