//! Tables of rows.

use crate::cursor::Cursor;
use smol_str::SmolStr;
use std::collections::{BTreeMap, btree_map};
use std::ops::Deref;
use std::sync::Arc;

/// The rows of a kind by their ids, in the order of their ids. Ids of up to 23
/// bytes lie within the table, so that finding one of many touches few places
/// of memory.
#[derive(Clone, Debug)]
pub struct Table<R> {
    rows: BTreeMap<SmolStr, Arc<R>>,
    changes: u64,
}

impl<R> Table<R> {
    /// The row of an id.
    pub fn get(&self, id: &str) -> Option<&Arc<R>> {
        self.rows.get(id)
    }

    /// Whether there is a row of an id.
    pub fn contains_key(&self, id: &str) -> bool {
        self.rows.contains_key(id)
    }

    /// The ids of all rows.
    pub fn ids(&self) -> Vec<String> {
        self.rows.keys().map(ToString::to_string).collect()
    }

    /// The rows whose ids begin with `prefix`.
    pub fn starting_with<'t>(&'t self, prefix: &str) -> impl Iterator<Item = (&'t SmolStr, &'t Arc<R>)> + use<'t, R> {
        let prefix = SmolStr::from(prefix);
        self.rows.range(prefix.clone()..).take_while(move |(id, _)| id.starts_with(prefix.as_str()))
    }

    /// Finds rows whose ids come in order.
    pub(crate) fn cursor(&self) -> Cursor<'_, SmolStr, Arc<R>> {
        Cursor::over(&self.rows)
    }

    /// How often it has changed: what was made of it holds while that is the same.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Puts a row in; returns the one that it takes the place of.
    pub(crate) fn insert(&mut self, id: &str, row: Arc<R>) -> Option<Arc<R>> {
        self.changes += 1;
        self.rows.insert(SmolStr::from(id), row)
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Arc<R>> {
        self.changes += 1;
        self.rows.remove(id)
    }
}

/// By their rows alone.
impl<R: PartialEq> PartialEq for Table<R> {
    fn eq(&self, other: &Table<R>) -> bool {
        self.rows == other.rows
    }
}

impl<R> Default for Table<R> {
    fn default() -> Table<R> {
        Table { rows: BTreeMap::new(), changes: 0 }
    }
}

impl<R> Deref for Table<R> {
    type Target = BTreeMap<SmolStr, Arc<R>>;
    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl<'t, R> IntoIterator for &'t Table<R> {
    type Item = (&'t SmolStr, &'t Arc<R>);
    type IntoIter = btree_map::Iter<'t, SmolStr, Arc<R>>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}
