//! Secrets as text: private keys, secret keys, secrets of clients.

use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroize;

/// A secret as text: stored, and never shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// This secret.
    pub fn new(text: String) -> SecretText {
        SecretText(text)
    }

    /// The secret itself, for its owner or a signature.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The text does not stay in memory that is used again.
impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log line with a row does not tell its secrets.
    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", SecretText::new("abc".to_string())), "SecretText(..)");
    }
}
