//! The embedded store: rows in one redb file, one transaction a commit,
//! synced before it returns.

use elastane_engine::store::{Store, StoreError, StoreWrite};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

const ROWS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rows");

/// Pages that redb keeps in memory: all rows are in memory anyhow.
const CACHE_BYTES: usize = 1 << 20;

/// Rows in a redb file.
pub struct RedbStore {
    database: Database,
}

fn failed(doing: &'static str) -> impl Fn(redb::Error) -> StoreError {
    move |err| StoreError { doing, source: Box::new(err) }
}

impl RedbStore {
    /// Opens or makes the file; an interrupted commit is undone.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let failed = failed("open the store");
        let unreadable = |err: std::io::Error| failed(redb::StorageError::from(err).into());
        // Its owner alone may read it, also when an older daemon has made it.
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(unreadable)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(unreadable)?;
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|err| failed(err.into()))?;
        Ok(RedbStore { database })
    }

    fn rows(&self) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let read = self.database.begin_read()?;
        let table = match read.open_table(ROWS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(err) => return Err(err.into()),
        };
        let mut rows = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            rows.push((key.value().to_string(), value.value().to_vec()));
        }
        Ok(rows)
    }

    fn write(&self, batch: &[StoreWrite]) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(ROWS)?;
            for change in batch {
                let key = change.key.to_string();
                match &change.value {
                    Some(value) => table.insert(key.as_str(), value.as_slice())?,
                    None => table.remove(key.as_str())?,
                };
            }
        }
        write.commit()?;
        Ok(())
    }
}

impl Store for RedbStore {
    fn load(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.rows().map_err(failed("read the store"))
    }

    fn commit(&mut self, batch: &[StoreWrite]) -> Result<(), StoreError> {
        self.write(batch).map_err(failed("commit to the store"))
    }
}
