//! What can go wrong in this crate. Each error names the operation and keeps
//! its cause; `sentence` joins both for people.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A failed operation on this host.
#[derive(Debug)]
pub enum HostError {
    /// A system call or a file operation failed.
    System {
        /// What was tried, as in "cannot <what>".
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A file of ours does not hold what we wrote.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// The request cannot be carried out as it stands.
    Refused(String),
}

impl HostError {
    /// The error and its causes in one sentence, for `StateReason` and logs.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(err) = cause {
            text.push_str(": ");
            text.push_str(&err.to_string());
            cause = err.source();
        }
        text
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::System { what, .. } => write!(f, "cannot {what}"),
            HostError::Corrupt { path, .. } => write!(f, "cannot understand {}", path.display()),
            HostError::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HostError::System { source, .. } => Some(source),
            HostError::Corrupt { source, .. } => Some(source),
            HostError::Refused(_) => None,
        }
    }
}

/// Names the operation that an IO error belongs to.
pub(crate) trait Context<T> {
    /// Wraps the error as "cannot <what>".
    fn context(self, what: impl FnOnce() -> String) -> Result<T, HostError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, HostError> {
        self.map_err(|source| HostError::System { what: what(), source })
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, HostError> {
        self.map_err(|err| HostError::System { what: what(), source: err.into() })
    }
}
