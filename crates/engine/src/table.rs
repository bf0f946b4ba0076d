//! Tables of rows.

use smol_str::SmolStr;
use std::collections::{BTreeMap, btree_map};
use std::ops::Deref;
use std::sync::Arc;

/// The rows of a kind by their ids, in the order of their ids. Ids of up to 23
/// bytes lie within the table, so that finding one of many touches few places
/// of memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<R>(BTreeMap<SmolStr, Arc<R>>);

impl<R> Table<R> {
    /// The row of an id.
    pub fn get(&self, id: &str) -> Option<&Arc<R>> {
        self.0.get(id)
    }

    /// Whether there is a row of an id.
    pub fn contains_key(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The ids of all rows.
    pub fn ids(&self) -> Vec<String> {
        self.0.keys().map(ToString::to_string).collect()
    }

    /// The rows whose ids begin with `prefix`.
    pub fn starting_with<'t>(&'t self, prefix: &str) -> impl Iterator<Item = (&'t SmolStr, &'t Arc<R>)> + use<'t, R> {
        let prefix = SmolStr::from(prefix);
        self.0.range(prefix.clone()..).take_while(move |(id, _)| id.starts_with(prefix.as_str()))
    }

    /// Puts a row in; returns the one that it takes the place of.
    pub(crate) fn insert(&mut self, id: &str, row: Arc<R>) -> Option<Arc<R>> {
        self.0.insert(SmolStr::from(id), row)
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Arc<R>> {
        self.0.remove(id)
    }
}

impl<R> Default for Table<R> {
    fn default() -> Table<R> {
        Table(BTreeMap::new())
    }
}

impl<R> Deref for Table<R> {
    type Target = BTreeMap<SmolStr, Arc<R>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'t, R> IntoIterator for &'t Table<R> {
    type Item = (&'t SmolStr, &'t Arc<R>);
    type IntoIter = btree_map::Iter<'t, SmolStr, Arc<R>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
