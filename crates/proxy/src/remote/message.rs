//! What a daemon and the data plane's process say to each other.

use crate::registry::{Counters, KnownHealth};
use crate::share::Share;
use crate::sockets::HeldListener;
use elastane_domain::routing::{ProxyFact, Snapshot};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Grows when a message or a snapshot changes so that an older process would
/// misunderstand it. Processes of different numbers do not hand over to each
/// other: the older one is ended, and listeners come back from the snapshot.
pub const PROTOCOL: u32 = 2;

/// Service time at one moment of wall time, and how fast it runs from there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockSettings {
    /// Wall time in milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Service time at that moment.
    pub service_ms: i64,
    /// Service time per wall time.
    pub scale: f64,
}

impl ClockSettings {
    /// Service time at a moment of wall time.
    pub fn at(&self, wall_ms: i64) -> Time {
        Time(self.service_ms + ((wall_ms - self.wall_ms) as f64 * self.scale) as i64)
    }
}

/// Who attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The daemon: one at a time, the newest wins.
    Daemon,
    /// A new process that takes over.
    Successor,
    /// A command that asks for one thing and leaves.
    Visitor,
}

/// The first message of whoever connects.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Greeting {
    pub(super) protocol: u32,
    pub(super) role: Role,
}

/// The data plane's process, as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of its program.
    pub protocol: u32,
    /// Release of its program.
    pub version: String,
    /// Tells one build of the program from another.
    pub build: String,
    /// Process id.
    pub pid: u32,
    /// What it serves; releases that know of no shares serve all.
    #[serde(default)]
    pub share: Share,
}

/// To the data plane.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Service time runs like this.
    Clock(ClockSettings),
    /// Route like this.
    Route(Arc<Snapshot>),
    /// Serve this client (a descriptor), which asked for this host.
    Serve { host: String },
    /// Tell the counters.
    Collect { request: u64 },
    /// The counters of this batch are safe.
    Collected { batch: u64 },
    /// Tell running totals as Prometheus reads them.
    Prometheus { request: u64 },
    /// Answer.
    Ping { number: u64 },
    /// Give a successor everything; go on serving.
    HandOver,
    /// The successor serves: stop accepting, finish, end.
    Retire,
    /// Close everything and end.
    Stop,
}

/// From the data plane.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// Something is so now.
    Fact(ProxyFact),
    /// The answer to `Collect`.
    Counters { request: u64, batch: u64, counters: Counters },
    /// The answer to `Prometheus`.
    Prometheus { request: u64, text: String },
    /// The answer to `Ping`.
    Pong { number: u64 },
    /// A listening socket's descriptors.
    Listener(HeldListener),
    /// The end of the answer to `HandOver`.
    Estate(Box<Estate>),
    /// Another process has taken over: attach to that one.
    Superseded,
}

/// What a successor needs besides the listening sockets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Estate {
    pub(super) threads: usize,
    pub(super) clock: Option<ClockSettings>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) health: Vec<KnownHealth>,
}
