//! Users and their groups.

use super::Permissions;
use crate::row::{Tags, row};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its name, unique within the account whatever its case.
    pub name: String,
    /// `AIDA…`.
    pub id: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// When it was made.
    pub created_at: Time,
    /// Tags.
    pub tags: Tags,
    /// What it may do by itself.
    pub permissions: Permissions,
    /// The ARN of the policy that bounds what it may do.
    pub boundary: Option<String>,
    /// Names of its groups: 10 at most.
    pub groups: BTreeSet<String>,
}
row!(User, |row| row.name.clone());

/// A group of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserGroup {
    /// Its name, unique within the account whatever its case.
    pub name: String,
    /// `AGPA…`.
    pub id: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// When it was made.
    pub created_at: Time,
    /// What its users may do.
    pub permissions: Permissions,
}
row!(UserGroup, |row| row.name.clone());

/// The account's alias: one at most, named like itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountAlias {
    /// The alias.
    pub name: String,
}
row!(AccountAlias, |row| row.name.clone());
