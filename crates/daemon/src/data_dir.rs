//! The data directory: where everything of an installation is, private to
//! the user that runs it, and held by one daemon at a time.

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Names the data directory where the option does not.
pub const DATA_DIR_VARIABLE: &str = "ELASTANE_DATA_DIR";

/// Something that keeps a command from doing its work, in a sentence that
/// says what to do, with what lies behind it.
#[derive(Debug)]
pub struct Problem {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Problem {
    /// A problem that explains itself.
    pub fn new(what: impl Into<String>) -> Problem {
        Problem { what: what.into(), source: None }
    }

    /// A problem with a cause.
    pub fn because(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Problem {
        Problem { what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut source = self.source.as_ref().map(|source| source.as_ref() as &dyn std::error::Error);
        while let Some(err) = source {
            write!(f, ": {err}")?;
            source = err.source();
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The data directory of an installation.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// The directory when none is named: `$ELASTANE_DATA_DIR`, else below
    /// `$XDG_DATA_HOME` or `~/.local/share`.
    pub fn default_path() -> Result<PathBuf, Problem> {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        var(DATA_DIR_VARIABLE)
            .or_else(|| var("XDG_DATA_HOME").map(|base| base.join("elastane")))
            .or_else(|| var("HOME").map(|home| home.join(".local/share/elastane")))
            .ok_or_else(|| Problem::new("there is no HOME: name a directory with --data-dir"))
    }

    /// Makes the directory, if need be, readable by its owner alone.
    pub fn create(path: &Path) -> Result<DataDir, Problem> {
        let problem = |err| Problem::because(format!("cannot make the data directory {}", path.display()), err);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(problem)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(problem)?;
        let path = path.canonicalize().map_err(problem)?;
        Ok(DataDir { path })
    }

    /// An existing directory.
    pub fn existing(path: &Path) -> Result<DataDir, Problem> {
        let problem =
            |_| Problem::new(format!("there is no data directory {}: start with `elastane up`", path.display()));
        Ok(DataDir { path: path.canonicalize().map_err(problem)? })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path within it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Holds the directory until the returned file is dropped; an error when
    /// another daemon holds it.
    pub fn lock(&self) -> Result<File, Problem> {
        let path = self.file("lock");
        let problem = |err: std::io::Error| Problem::because(format!("cannot open {}", path.display()), err);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(problem)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Problem::new(format!(
                "another elastane runs on {}: stop it with `elastane down`, or name another --data-dir",
                self.path.display()
            ))
        })?;
        Ok(file)
    }

    /// The content of a JSON file; `None` when there is no such file.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        let path = self.file(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(Problem::because(format!("cannot read {}", path.display()), err)),
        };
        let problem = |err| Problem::because(format!("cannot understand {}", path.display()), err);
        serde_json::from_slice(&bytes).map(Some).map_err(problem)
    }

    /// Writes a JSON file whole or not at all, readable by its owner alone; it
    /// is on disk when this returns.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Problem> {
        self.write_file(name, value, File::sync_all)
    }

    /// Writes a file likewise that is not JSON.
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        self.write_whole(name, bytes, File::sync_all)
    }

    /// The same for a file that means nothing after a crash: it is not synced.
    pub fn write_passing<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Problem> {
        self.write_file(name, value, |_| Ok(()))
    }

    fn write_file<T: Serialize>(
        &self,
        name: &str,
        value: &T,
        sync: impl Fn(&File) -> std::io::Result<()>,
    ) -> Result<(), Problem> {
        let bytes = serde_json::to_vec_pretty(value).expect("plain data has a JSON form");
        self.write_whole(name, &bytes, sync)
    }

    fn write_whole(
        &self,
        name: &str,
        bytes: &[u8],
        sync: impl Fn(&File) -> std::io::Result<()>,
    ) -> Result<(), Problem> {
        let (path, temporary) = (self.file(name), self.file(&format!("{name}.new")));
        let write = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            sync(&file)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|err| Problem::because(format!("cannot write {}", path.display()), err))
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) {
        // A file that stays is overwritten by the next start.
        let _ = fs::remove_file(self.file(name));
    }
}
