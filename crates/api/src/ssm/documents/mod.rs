//! Documents: what Run Command runs and what sessions prefer. AWS's own are
//! constants, an account's are rows; both are read, described and run the
//! same way. Another account's are used by their ARN, as far as they are
//! shared.

mod built_in;
mod content;
mod describe;
mod fields;
mod list;
mod parameters;
pub mod references;
mod share;
mod steps;
#[cfg(test)]
mod tests;
mod write;

pub use built_in::content_of;
pub use content::{Body, Preferences};
pub use describe::{describe_document, get_document, hash};
pub use list::{list_document_versions, list_documents};
pub use parameters::Arguments;
pub use share::{describe_document_permission, modify_document_permission};
pub use steps::compile;
pub use write::{create_document, delete_document, update_document, update_document_default_version};

use super::errors;
use elastane_engine::row::{Document, DocumentFormat, DocumentKind, DocumentVersion};
use elastane_engine::{Scope, View};
use elastane_wire::ApiError;
use std::sync::Arc;

/// Stands for every account in what a document is shared with.
const ALL: &str = "all";

/// A version of a document, whoever's it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its row; `None` for one of AWS's own.
    pub row: Option<Arc<Document>>,
    /// The version.
    pub version: Arc<DocumentVersion>,
    /// Who made it: an account, or `Amazon`.
    pub owner: String,
    /// What it is for.
    pub kind: DocumentKind,
}

impl Found {
    /// The numbers of its default and its newest version.
    pub fn numbers(&self) -> (u32, u32) {
        self.row.as_ref().map_or((1, 1), |row| (row.default_version, row.latest_version))
    }
}

/// The version of a document that a name or ARN, a version and a version's
/// name mean; the default one without either.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub fn find(view: &View<'_>, name: &str, version: Option<&str>, version_name: Option<&str>) -> Result<Found, ApiError> {
    let (account, own_name) = split(view.scope, name);
    let other = account.filter(|account| *account != view.scope.account.as_str());
    let scope = other.map(|account| Scope::new(account, view.scope.region.as_str()));
    let scope = scope.as_ref().unwrap_or(view.scope);
    let tables = view.state.scopes.get(scope);
    let row = tables.and_then(|tables| tables.documents.get(own_name));
    let Some(row) = row.filter(|row| other.is_none() || is_shared(row, view.scope)) else {
        return built_in(name, own_name, version, version_name);
    };
    let versions = tables.map(|tables| &tables.document_versions);
    let numbered = |number: u32| versions?.get(&DocumentVersion::key(&row.name, number));
    let named = |wanted: &str| {
        let mut own = versions?.values().filter(|version| version.document == row.name);
        own.find(|version| version.name.as_deref() == Some(wanted))
    };
    let found = match (version.filter(|text| !text.is_empty()), version_name.filter(|text| !text.is_empty())) {
        (None, None) | (Some("$DEFAULT"), None) => numbered(row.default_version),
        (Some("$LATEST"), None) => numbered(row.latest_version),
        (Some(number), None) => number.parse().ok().and_then(numbered),
        (None, Some(wanted)) => named(wanted),
        (Some(number), Some(wanted)) => {
            named(wanted).filter(|found| resolved(row, number).is_some_and(|number| number == found.number))
        }
    };
    let may_use = |found: &&Arc<DocumentVersion>| other.is_none() || shares_version(row, view.scope, found.number);
    let found = found.filter(may_use);
    let version =
        found.ok_or_else(|| errors::invalid_document_version(version.or(version_name).unwrap_or_default()))?;
    Ok(Found { row: Some(row.clone()), version: version.clone(), owner: scope.account.to_string(), kind: row.kind })
}

/// The number that a version's text means.
fn resolved(row: &Document, text: &str) -> Option<u32> {
    match text {
        "$DEFAULT" => Some(row.default_version),
        "$LATEST" => Some(row.latest_version),
        number => number.parse().ok(),
    }
}

/// Account and name of a document's name or ARN.
fn split<'n>(scope: &Scope, name: &'n str) -> (Option<&'n str>, &'n str) {
    let Some(rest) = name.strip_prefix("arn:aws:ssm:") else { return (None, name) };
    let mut parts = rest.splitn(3, ':');
    let (region, account, own) = (parts.next(), parts.next(), parts.next());
    match own.and_then(|own| own.strip_prefix("document/")).filter(|_| region == Some(scope.region.as_str())) {
        Some(own) => (account.filter(|account| !account.is_empty()), own),
        None => (None, name),
    }
}

/// Whether another account may use a document.
fn is_shared(row: &Document, with: &Scope) -> bool {
    row.shares.contains_key(ALL) || row.shares.contains_key(with.account.as_str())
}

/// Whether another account may use this version of a document.
fn shares_version(row: &Document, with: &Scope, number: u32) -> bool {
    let shared = [ALL, with.account.as_str()].into_iter().filter_map(|account| row.shares.get(account));
    shared.into_iter().any(|version| match version.as_str() {
        "$ALL" => true,
        "$LATEST" => number == row.latest_version,
        _ => number == row.default_version,
    })
}

fn built_in(asked: &str, name: &str, version: Option<&str>, version_name: Option<&str>) -> Result<Found, ApiError> {
    let found = built_in::find(name).ok_or_else(|| errors::invalid_document(asked))?;
    match (version, version_name.filter(|text| !text.is_empty())) {
        (None | Some("" | "1" | "$DEFAULT" | "$LATEST"), None) => Ok(found),
        (version, version_name) => Err(errors::invalid_document_version(version.or(version_name).unwrap_or_default())),
    }
}

/// The document of this account of a name.
///
/// # Errors
/// `InvalidDocument`; `InvalidDocumentOperation` for one of AWS's own.
pub fn own<'a>(view: &View<'a>, name: Option<&str>) -> Result<&'a Arc<Document>, ApiError> {
    let name = name.ok_or_else(|| errors::missing("Name"))?;
    let (account, own_name) = split(view.scope, name);
    let ours = account.is_none_or(|account| account == view.scope.account.as_str());
    match view.get::<Document>(own_name).filter(|_| ours) {
        Some(row) => Ok(row),
        None if built_in::find(own_name).is_some() => Err(errors::invalid_document_operation(format!(
            "The document {own_name} is owned by Amazon and cannot be changed."
        ))),
        None => Err(errors::invalid_document(name)),
    }
}

/// The versions of a document of this account, oldest first.
fn versions<'a>(view: &View<'a>, name: &str) -> impl Iterator<Item = &'a Arc<DocumentVersion>> + use<'a> {
    view.tables.document_versions.starting_with(&format!("{name}/")).map(|(_, version)| version)
}

/// A format's name in requests and answers.
fn format_name(format: DocumentFormat) -> &'static str {
    match format {
        DocumentFormat::Json => "JSON",
        DocumentFormat::Yaml => "YAML",
    }
}

/// A type's name in requests and answers.
fn kind_name(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Command => "Command",
        DocumentKind::Session => "Session",
    }
}
