//! Policy documents, compiled: parsed once, asked often.

use super::condition::Condition;
use super::grammar;
use super::index::Index;
use super::principal::{PrincipalName, Principals};
use super::resource::Resources;
use std::collections::BTreeSet;

/// A parsed policy document. It is meant to be kept: parsing compiles its
/// patterns and an index over its actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(super) grammar: Grammar,
    pub(super) statements: Vec<Statement>,
    pub(super) index: Index,
}

/// One statement; its actions are in the document's index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) sid: Option<String>,
    pub(super) effect: Effect,
    /// None in documents of identities.
    pub(super) principals: Option<Principals>,
    /// None in trust documents.
    pub(super) resources: Option<Resources>,
    pub(super) conditions: Vec<Condition>,
    pub(super) start: Position,
    pub(super) end: Position,
}

impl Statement {
    /// The condition keys that it uses, in conditions and as variables, in
    /// lower case, some twice.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let of_resources = self.resources.iter().flat_map(Resources::variables);
        let of_conditions = self.conditions.iter().flat_map(Condition::variables);
        let variables = of_resources.chain(of_conditions).map(|variable| variable.key.as_str());
        self.conditions.iter().map(|condition| condition.key.as_str()).chain(variables)
    }
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It grants.
    Allow,
    /// It denies.
    Deny,
}

/// A place in a document's text, both from one on, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// Which grammar a document must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// Of an identity, a boundary or a session: no Principal.
    Identity,
    /// Of a role's trust: Principal, no Resource.
    Trust,
    /// Of a resource: Principal and Resource.
    Resource,
}

/// Why a document is refused; the text is AWS's where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Document {
    /// Reads and compiles a document (IAM User Guide, "Grammar of the IAM
    /// JSON policy language"). Quotas of its size are the caller's
    /// ([`characters`]); here only what no request can carry is refused.
    ///
    /// # Errors
    /// [`Malformed`] says what breaks the grammar.
    pub fn parse(text: &str, grammar: Grammar) -> Result<Document, Malformed> {
        grammar::parse(text, grammar)
    }

    /// The condition keys that it uses, in conditions and as variables, each
    /// once, as it is first written, in order (`GetContextKeysForCustomPolicy`).
    pub fn context_keys(&self) -> Vec<String> {
        let (mut keys, mut seen) = (Vec::new(), BTreeSet::new());
        let mut add = |key: &str| {
            if seen.insert(key.to_ascii_lowercase()) {
                keys.push(key.to_owned());
            }
        };
        for statement in &self.statements {
            statement.resources.iter().flat_map(Resources::variables).for_each(|variable| add(&variable.shown));
            for condition in &statement.conditions {
                add(&condition.shown);
                condition.variables().for_each(|variable| add(&variable.shown));
            }
        }
        keys
    }

    /// The principals that its statements name, in order; `*` among them.
    pub fn principals(&self) -> Vec<PrincipalName> {
        self.statements
            .iter()
            .filter_map(|statement| statement.principals.as_ref())
            .flat_map(Principals::shown)
            .collect()
    }
}

/// The size of a document as quotas count it: characters that are no white
/// space (IAM User Guide, "IAM and AWS STS quotas").
pub fn characters(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}
