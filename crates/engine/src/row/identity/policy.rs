//! Policies: what is attached to an identity, and managed policies with their
//! versions.

use crate::row::{Tags, row};
use elastane_domain::policy::{Document, Grammar, characters};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

/// A policy as it was given, stored as its text. It is parsed when it is first
/// asked for and the result is kept with it, so that a decision parses nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PolicyText(Arc<Parsed>);

struct Parsed {
    text: String,
    document: OnceLock<Document>,
}

/// What stands for a text that cannot be read: it denies everything, as
/// nobody can tell what its author meant to deny.
static DENIES_ALL: LazyLock<PolicyText> = LazyLock::new(|| {
    PolicyText::new(r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#)
});

impl PolicyText {
    /// This text, which its maker has checked.
    pub fn new(text: impl Into<String>) -> PolicyText {
        PolicyText(Arc::new(Parsed { text: text.into(), document: OnceLock::new() }))
    }

    /// The text as given.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What it says. A text is always read by one grammar, that of its place;
    /// one that breaks it, which none should that was stored, denies everything.
    pub fn document(&self, grammar: Grammar) -> &Document {
        let Parsed { text, document } = &*self.0;
        let denying_all = || DENIES_ALL.document(Grammar::Identity).clone();
        document.get_or_init(|| Document::parse(text, grammar).unwrap_or_else(|_| denying_all()))
    }

    /// What stands for a policy that is missing where one must be.
    pub fn denying_all() -> &'static PolicyText {
        &DENIES_ALL
    }

    /// Its size as quotas count it: without white space (IAM User Guide, "IAM
    /// and AWS STS quotas").
    pub fn size(&self) -> usize {
        characters(self.text())
    }
}

impl From<String> for PolicyText {
    fn from(text: String) -> PolicyText {
        PolicyText::new(text)
    }
}

impl From<PolicyText> for String {
    fn from(policy: PolicyText) -> String {
        policy.text().to_string()
    }
}

impl PartialEq for PolicyText {
    fn eq(&self, other: &PolicyText) -> bool {
        self.text() == other.text()
    }
}

impl Eq for PolicyText {}

impl fmt::Debug for PolicyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

/// The identity-based policies of a user, a group or a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Permissions {
    /// Inline policies by name.
    pub inline: BTreeMap<String, PolicyText>,
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
    /// What it says.
    pub document: PolicyText,
    /// When it was made.
    pub created_at: Time,
}
