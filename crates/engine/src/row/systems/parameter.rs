//! Parameters of Parameter Store.

use crate::row::{Tags, row};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A parameter with its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, `/` and all.
    pub name: String,
    /// What it holds.
    pub kind: ParameterKind,
    /// Versions by number, the newest last; the oldest go.
    pub versions: BTreeMap<u64, ParameterVersion>,
    /// Tags.
    pub tags: Tags,
}
row!(Parameter, |row| row.name.clone());

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterKind {
    /// `String`.
    Text,
    /// `StringList`: texts with commas between them.
    List,
    /// `SecureString`: a text that is sealed with a key of KMS.
    Secure,
}

/// A version of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterVersion {
    /// The value; of a SecureString what KMS made of it, in base64.
    pub value: String,
    /// KeyId as given, of a SecureString.
    pub key: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// The pattern that values must match.
    pub allowed_pattern: Option<String>,
    /// `text` or `aws:ec2:image`.
    pub data_type: String,
    /// `Standard` or `Advanced`.
    pub tier: String,
    /// Labels: each is on one version at most.
    pub labels: BTreeSet<String>,
    /// When it was made.
    pub modified_at: Time,
    /// The ARN of who made it.
    pub modified_by: String,
}
