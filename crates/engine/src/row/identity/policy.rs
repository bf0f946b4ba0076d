//! Policies: what is attached to an identity, and managed policies with their
//! versions.

use crate::row::{Tags, row};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The identity-based policies of a user, a group or a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Permissions {
    /// Inline policies: name to JSON, as given.
    pub inline: BTreeMap<String, String>,
    /// ARNs of managed policies, the account's or AWS's.
    pub attached: BTreeSet<String>,
}

/// A managed policy of the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Its name, unique within the account whatever its case.
    pub name: String,
    /// `ANPA…`.
    pub id: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// Its description; cannot be changed.
    pub description: Option<String>,
    /// Versions by number: 5 at most.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// The one in force.
    pub default_version: u32,
    /// The number of the next version: numbers are not used again.
    pub next_version: u32,
    /// When it was made.
    pub created_at: Time,
    /// When a version came or went or the default changed.
    pub updated_at: Time,
    /// Tags.
    pub tags: Tags,
}
row!(ManagedPolicy, |row| row.name.clone());

/// A version of a managed policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// JSON, as given.
    pub document: String,
    /// When it was made.
    pub created_at: Time,
}
