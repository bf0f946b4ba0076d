//! Sessions of Session Manager: a person or a program at an instance's shell
//! or ports. The row is who, where, what and how far; the channel itself and
//! the processes behind it belong to the daemon and end with it.

use crate::row::row;
use elastane_domain::id::InstanceId;
use elastane_domain::machine::Generation;
use elastane_domain::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The caller's name, a dash, and 17 characters.
    pub id: String,
    /// ARN of who started it.
    pub owner: String,
    /// The instance.
    pub target: InstanceId,
    /// The boot that it is in: it ends with it.
    pub generation: Generation,
    /// The document's name; that of the default one when none was named.
    pub document: String,
    /// What the document makes of its parameters.
    pub work: SessionWork,
    /// Reason as given.
    pub reason: String,
    /// When it was started.
    pub started_at: Time,
    /// It ends when its user does nothing for so long.
    pub idle_limit: Span,
    /// It ends after so long in any case.
    pub duration_max: Span,
    /// SHA-256 of the token that opens its channel: the token itself is not kept.
    pub token_digest: [u8; 32],
    /// How far it is.
    pub phase: SessionPhase,
}
row!(Session, |row| row.id.clone());

/// What is done in a session (ssm.md 1 and 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionWork {
    /// A shell at a terminal.
    Shell,
    /// A command at a terminal.
    Interactive {
        /// For `sh -c`.
        command: String,
    },
    /// A command without a terminal.
    NonInteractive {
        /// For `sh -c`.
        command: String,
    },
    /// Bytes to and from a port.
    Port {
        /// The host, as the instance names it; the instance itself without one.
        host: Option<String>,
        /// The port.
        port: u16,
        /// The port at the client, as it asked for it: only its client reads it.
        local_port: String,
        /// Whether the client listens on a port of its own; otherwise its own
        /// input and output are forwarded (SSH).
        listens: bool,
    },
}

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionPhase {
    /// Nobody has come with its token.
    Connecting {
        /// Since when.
        since: Time,
    },
    /// Its channel is open.
    Connected,
    /// Its channel is gone, and may come back.
    Disconnected {
        /// Since when.
        since: Time,
    },
    /// It is over.
    Ended {
        /// Since when.
        at: Time,
        /// Why.
        end: SessionEnd,
    },
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEnd {
    /// Somebody ended it.
    Terminated,
    /// Its process exited with this code, as a shell gives it.
    Exited(i32),
    /// Its user did nothing, or was away, for too long.
    Idle,
    /// It lasted as long as a session may.
    Overdue,
    /// Its instance stopped.
    InstanceGone,
    /// The daemon ended, and its processes with it.
    DaemonEnded,
    /// It could not be: why, in a sentence.
    Failed(String),
}

impl Session {
    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, SessionPhase::Ended { .. })
    }
}
