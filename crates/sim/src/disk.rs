//! A disk in memory that fails on demand.

use elastane_engine::store::{Store, StoreError, StoreWrite};
use std::collections::BTreeMap;

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is durable.
    Whole,
    /// It fails, and nothing of it is on disk.
    Failed,
    /// The machine dies within it, and nothing of it is on disk.
    Lost,
    /// The machine dies right after it: it is on disk, but nobody was told.
    Unheard,
}

/// The rows of the last commit that reached the disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    rows: BTreeMap<String, Vec<u8>>,
    /// Commits that reached it.
    pub commits: u64,
}

impl Disk {
    /// Takes in a commit, or not.
    pub fn write(&mut self, batch: &[StoreWrite], fate: Commit) -> Result<(), StoreError> {
        match fate {
            Commit::Whole | Commit::Unheard => self.commit(batch),
            Commit::Failed | Commit::Lost => {
                Err(StoreError { doing: "commit to the store", source: "the disk is full".into() })
            }
        }
    }
}

impl Store for Disk {
    fn load(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(self.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&mut self, batch: &[StoreWrite]) -> Result<(), StoreError> {
        self.commits += 1;
        for change in batch {
            match &change.value {
                Some(value) => self.rows.insert(change.key.to_string(), value.clone()),
                None => self.rows.remove(&change.key.to_string()),
            };
        }
        Ok(())
    }
}
