//! What the Describe calls of networks, groups, keys and templates share:
//! rows by explicit ids.

use super::errors;
use crate::Call;
use elastane_engine::row::Row;
use elastane_wire::ApiError;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a kind of id looks and what is said of wrong ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdKind {
    /// What every id starts with.
    pub prefix: &'static str,
    /// The code for one of another shape.
    pub malformed: &'static str,
    /// The code for one that names nothing.
    pub not_found: &'static str,
    /// What it names, as the error's sentence has it: `The subnet ID`.
    pub noun: &'static str,
}

impl IdKind {
    /// The error for an id that names nothing.
    pub fn unknown(&self, id: &str) -> ApiError {
        ApiError::new(self.not_found, format!("{} '{id}' does not exist", self.noun))
    }

    /// Checks an id's shape.
    pub fn check(&self, id: &str) -> Result<(), ApiError> {
        errors::check_id(self.prefix, self.malformed, id)
    }
}

/// The rows of `ids`, each once, in the order of their ids; all rows when
/// there are no ids.
///
/// # Errors
/// The kind's codes for an id that is malformed or names nothing.
pub(super) fn chosen<'a, R: Row>(call: &Call<'a>, ids: &[String], kind: &IdKind) -> Result<Vec<&'a Arc<R>>, ApiError> {
    if ids.is_empty() {
        return Ok(call.all::<R>().collect());
    }
    ids.iter().try_for_each(|id| kind.check(id))?;
    let ids: BTreeSet<&String> = ids.iter().collect();
    ids.into_iter().map(|id| call.get::<R>(id).ok_or_else(|| kind.unknown(id))).collect()
}
