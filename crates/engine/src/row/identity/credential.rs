//! Credentials that calls make: access keys of users, and temporary ones. The
//! root's own key is no row; those of instances are derived, not stored.

use super::PolicyText;
use crate::row::{Tags, row};
use elastane_domain::secret::SecretText;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A long-term access key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA` and sixteen characters.
    pub id: String,
    /// The user's name.
    pub user: String,
    /// The secret access key.
    pub secret: SecretText,
    /// Whether it is good.
    pub active: bool,
    /// When it was made.
    pub created_at: Time,
}
row!(AccessKey, |row| row.id.clone());

/// A temporary access key: good until it expires, while what it stands for exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemporaryKey {
    /// `ASIA` and sixteen characters.
    pub id: String,
    /// The secret access key.
    pub secret: SecretText,
    /// The session token that each request must carry.
    pub token: SecretText,
    /// What it stands for.
    pub holder: Holder,
    /// When it was made.
    pub created_at: Time,
    /// When it ends, in service time.
    pub expires_at: Time,
}
row!(TemporaryKey, |row| row.id.clone());

/// What a temporary key stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Holder {
    /// The account's root (GetSessionToken).
    Root,
    /// A user (GetSessionToken).
    User {
        /// Its unique id: a user made anew under the name is another one.
        id: String,
        /// Its name when the key was made.
        name: String,
    },
    /// A session of a role (AssumeRole).
    Role {
        /// The role's unique id.
        id: String,
        /// The role's name.
        name: String,
        /// RoleSessionName.
        session: String,
        /// Session policies, inline and managed.
        policies: Vec<PolicyText>,
        /// Session tags.
        tags: Tags,
        /// Keys of session tags that a role assumed from this session gets as well.
        #[serde(default)]
        transitive: BTreeSet<String>,
        /// SourceIdentity, which sessions assumed from this one keep.
        #[serde(default)]
        source_identity: Option<String>,
        /// Whether the session that assumed it was itself of a role: then an hour at most.
        chained: bool,
    },
}
