//! Where things are in the data directory. Everything in it is private:
//! directories 0700, files 0600.
//!
//! ```text
//! instances/<id>/state.json    record (see `record`)
//! instances/<id>/agent.sock    the first process listens here
//! instances/<id>/console.log   what GetConsoleOutput returns the end of
//! instances/<id>/rw/<top>      writable layer per top-level directory
//! instances/<id>/work/<top>    overlayfs' own
//! instances/<id>/root          mount point (seen only by the instance)
//! images/<ami>/<top>           captured layers
//! vpcs/<vpc>.json              the process that keeps a VPC's network
//! masks/<n>/<top>              what instances must not see of the host
//! bases/<top>                  mount points of the host's directories
//! trash/                       being deleted
//! ```

use crate::error::{Context, HostError};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The part of a layer that holds what lies in none of [`BASES`].
pub const TOP: &str = "@root";
/// The host's directories that instances see read-only under their own layer.
pub const BASES: [&str; 4] = ["usr", "etc", "var", "opt"];

/// Paths of one data directory.
#[derive(Clone, Debug)]
pub struct Layout {
    data: PathBuf,
}

impl Layout {
    /// The layout of this data directory; nothing is created.
    pub fn new(data_dir: &Path) -> Layout {
        Layout { data: data_dir.to_owned() }
    }

    /// Creates the directories that are always there.
    pub fn prepare(&self) -> Result<(), HostError> {
        for name in ["", "instances", "images", "vpcs", "masks", "bases", "trash"] {
            make_private(&self.data.join(name))?;
        }
        Ok(())
    }

    /// The data directory itself.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A file or directory right in the data directory.
    pub fn at(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// An instance's directory.
    pub fn instance(&self, id: &str) -> PathBuf {
        self.data.join("instances").join(id)
    }

    /// An image's layer.
    pub fn image(&self, id: &str) -> PathBuf {
        self.data.join("images").join(id)
    }

    /// The record of a VPC's holder.
    pub fn vpc(&self, id: &str) -> PathBuf {
        self.data.join("vpcs").join(format!("{id}.json"))
    }

    /// Moves a directory out of sight and deletes it; what a crash leaves of
    /// it is deleted at the next start.
    pub fn discard(&self, path: &Path) -> Result<(), HostError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for attempt in 0..1000 {
            let target = self.data.join("trash").join(format!("{name}.{attempt}"));
            match rustix::fs::renameat_with(
                rustix::fs::CWD,
                path,
                rustix::fs::CWD,
                &target,
                rustix::fs::RenameFlags::NOREPLACE,
            ) {
                Ok(()) => return crate::tree::remove(&target),
                Err(rustix::io::Errno::NOENT) => return Ok(()),
                Err(rustix::io::Errno::EXIST) => {}
                Err(err) => return Err(err).context(|| format!("move {} away", path.display())),
            }
        }
        Err(HostError::Refused(format!("{} holds too much", self.data.join("trash").display())))
    }
}

/// Whether `id` can be a file name here: what clients and the store use does.
pub fn is_safe_name(id: &str) -> bool {
    !id.is_empty() && id.len() <= 100 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Makes a directory, and those above it, with mode 0700.
pub fn make_private(path: &Path) -> Result<(), HostError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .context(|| format!("make the directory {}", path.display()))
}

/// Replaces a file's content at once, with mode 0600.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), HostError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        io::Write::write_all(&mut file, content)?;
        fs::rename(&temporary, path)
    };
    write().context(|| format!("write {}", path.display()))
}
