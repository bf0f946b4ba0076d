//! Documents of Systems Manager that an account has made.

use crate::row::{Tags, row};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A document; its contents are its versions'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its name, unique in the account and region.
    pub name: String,
    /// What it is for.
    pub kind: DocumentKind,
    /// When it was made.
    pub created_at: Time,
    /// The version that is meant when none is named.
    pub default_version: u32,
    /// The newest version that is there.
    pub latest_version: u32,
    /// Accounts that may use it, or `all`, and which version each may:
    /// `$DEFAULT`, `$LATEST` or `$ALL`.
    pub shares: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}
row!(Document, |row| row.name.clone());

/// What a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentKind {
    /// `Command`: Run Command.
    Command,
    /// `Session`: preferences of Session Manager.
    Session,
}

/// A version of a document. Versions do not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DocumentVersion {
    /// The document's name.
    pub document: String,
    /// Counts from 1.
    pub number: u32,
    /// VersionName, if it was given one.
    pub name: Option<String>,
    /// DisplayName, likewise.
    pub display_name: Option<String>,
    /// TargetType, likewise.
    pub target_type: Option<String>,
    /// How the content is written.
    pub format: DocumentFormat,
    /// The content as it was given.
    pub content: String,
    /// When it was made.
    pub created_at: Time,
}
row!(DocumentVersion, |row| DocumentVersion::key(&row.document, row.number));

impl DocumentVersion {
    /// The row's id: versions of one document lie together, oldest first.
    pub fn key(document: &str, number: u32) -> String {
        format!("{document}/{number:010}")
    }
}

/// How a content is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentFormat {
    /// `JSON`.
    Json,
    /// `YAML`.
    Yaml,
}
