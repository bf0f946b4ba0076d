//! What the engine asks of a store, and how rows become bytes.
//!
//! A stored row is JSON: `{"v": <version of its kind>, "row": {..}}`. Each
//! kind names its version and how older ones are upgraded, so that a data
//! directory of an older release can be opened by a newer one; one of a newer
//! release is refused.

use crate::row::{AnyRow, Kind, Row};
use crate::scope::Scope;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// The key of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreKey {
    /// Whose row it is.
    pub scope: Scope,
    /// What it is.
    pub kind: Kind,
    /// Its name within scope and kind.
    pub id: String,
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreWrite {
    /// The row.
    pub key: StoreKey,
    /// Its new bytes, or `None` to delete it.
    pub value: Option<Vec<u8>>,
}

/// A place that keeps rows.
pub trait Store {
    /// All rows, in any order.
    fn load(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Makes all of `batch` durable, or none of it.
    fn commit(&mut self, batch: &[StoreWrite]) -> Result<(), StoreError>;
}

/// A store that does not do its work.
#[derive(Debug)]
pub struct StoreError {
    /// What was attempted.
    pub doing: &'static str,
    /// Why it failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.doing)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Stored bytes that are not a row of this release.
#[derive(Debug)]
pub enum RowError {
    /// The key has not the form `account/region/kind/id`.
    Key(String),
    /// The value is not what the kind stores.
    Value {
        /// The row's key.
        key: String,
        /// What serde found.
        source: serde_json::Error,
    },
    /// No release wrote such a version.
    Version {
        /// The row's key.
        key: String,
        /// The version found.
        version: u32,
    },
    /// The row was written by a newer release.
    Newer {
        /// The row's key.
        key: String,
        /// The version found.
        version: u32,
    },
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowError::Key(key) => write!(f, "the store holds a key of unknown form: {key}"),
            RowError::Value { key, .. } => write!(f, "cannot read row {key}"),
            RowError::Version { key, version } => write!(f, "row {key} has the unknown version {version}"),
            RowError::Newer { key, version } => {
                write!(f, "row {key} has version {version}: it was written by a newer release of elastane")
            }
        }
    }
}

impl std::error::Error for RowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RowError::Value { source, .. } => Some(source),
            RowError::Key(_) | RowError::Version { .. } | RowError::Newer { .. } => None,
        }
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.scope, self.kind.name(), self.id)
    }
}

impl StoreKey {
    /// Reads the form that `Display` writes. The id may hold slashes.
    pub fn parse(text: &str) -> Result<StoreKey, RowError> {
        let mut parts = text.splitn(4, '/');
        let (account, region, kind, id) = (parts.next(), parts.next(), parts.next(), parts.next());
        match (account, region, kind.and_then(Kind::from_name), id) {
            (Some(account), Some(region), Some(kind), Some(id)) => {
                Ok(StoreKey { scope: Scope::new(account, region), kind, id: id.to_string() })
            }
            _ => Err(RowError::Key(text.to_string())),
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    v: u32,
    row: Value,
}

/// A row as bytes.
pub fn encode<R: Row>(row: &R) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Borrowed<'a, R> {
        v: u32,
        row: &'a R,
    }
    serde_json::to_vec(&Borrowed { v: R::VERSION, row }).expect("rows hold only what JSON can say")
}

/// A row from bytes, upgraded to this release's version.
pub fn decode<R: Row>(key: &str, bytes: &[u8]) -> Result<Arc<R>, RowError> {
    let wrong = |source| RowError::Value { key: key.to_string(), source };
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(wrong)?;
    if envelope.v > R::VERSION {
        return Err(RowError::Newer { key: key.to_string(), version: envelope.v });
    }
    let current = (envelope.v..R::VERSION).try_fold(envelope.row, |row, version| R::upgrade(version, row));
    let current = current.ok_or_else(|| RowError::Version { key: key.to_string(), version: envelope.v })?;
    serde_json::from_value(current).map(Arc::new).map_err(wrong)
}

/// A loaded key and value as a row.
pub fn read(key: &str, bytes: &[u8]) -> Result<(StoreKey, AnyRow), RowError> {
    let parsed = StoreKey::parse(key)?;
    let row = AnyRow::decode(parsed.kind, key, bytes)?;
    Ok((parsed, row))
}
