//! Which sessions are live: who comes with a session's token gets its channel,
//! and whoever had it before loses it. A token opens one channel; the next one
//! needs a new token from ResumeSession.

use super::Ticks;
use super::live::{self, Arrival, Live};
use super::protocol::Open;
use super::socket::Socket;
use crate::clock::Clock;
use crate::key_holders::same;
use crate::shell::Shell;
use elastane_engine::row::{Session, SessionEnd};
use elastane_engine::{Fact, SeenSession};
use elastane_host::Host;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Sessions with a channel, of all accounts: each has buffers of a megabyte or two.
const LIVE_MAX: usize = 512;
/// Clients that have not sent their first message.
const PLACES: usize = 64;
/// Connections that wait to replace another one.
const ATTACHING_MAX: usize = 4;

/// The live sessions of this daemon.
pub struct Sessions {
    shell: Shell,
    host: Arc<Host>,
    data: PathBuf,
    ticks: Ticks,
    places: Arc<Semaphore>,
    live: Mutex<BTreeMap<String, Entry>>,
}

/// A live session, as it is reached.
struct Entry {
    sockets: mpsc::Sender<Arrival>,
    end: watch::Sender<Option<SessionEnd>>,
    /// Digest of the token that was used last.
    used: [u8; 32],
}

impl Sessions {
    /// Sessions with instances of a host, whose transcripts are kept in `data`.
    pub fn new(shell: Shell, host: Arc<Host>, data: PathBuf) -> Arc<Sessions> {
        let (ticks, places) = (Ticks::start(), Arc::new(Semaphore::new(PLACES)));
        Arc::new(Sessions { shell, host, data, ticks, places, live: Mutex::default() })
    }

    /// A place for a client that has not said who it is; `None` when there is none.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Gives a session's channel to a connection that brought its token.
    ///
    /// # Errors
    /// The connection, when the token opens nothing.
    pub fn attach(self: &Arc<Sessions>, id: &str, open: &Open, socket: Box<Socket>) -> Result<(), Box<Socket>> {
        let digest: [u8; 32] = Sha256::digest(open.token_value.as_bytes()).into();
        // The lock first: two that bring the same token come one after the other.
        let mut entries = self.live();
        let row = self.row(id);
        // An unknown session costs as much as a wrong token.
        let expected = row.as_ref().map_or([0; 32], |row| row.token_digest);
        let matches = same(digest, expected);
        let Some(row) = row.filter(|row| matches && row.is_open()) else { return Err(socket) };
        if let Some(entry) = entries.get_mut(id) {
            if same(entry.used, digest) {
                return Err(socket);
            }
            return match entry.sockets.try_send((socket, open.wants_exit_code)) {
                Ok(()) => {
                    entry.used = digest;
                    Ok(())
                }
                Err(err) => Err(err.into_inner().0),
            };
        }
        if entries.len() >= LIVE_MAX {
            return Err(socket);
        }
        let (sockets, waiting) = mpsc::channel(ATTACHING_MAX);
        let (end, ended) = watch::channel(None);
        entries.insert(id.to_string(), Entry { sockets, end, used: digest });
        drop(entries);
        let live = Live::new(self.clone(), row, waiting, ended);
        tokio::spawn(live::run(live, (socket, open.wants_exit_code)));
        Ok(())
    }

    /// Ends a session, if it is live, and lets the engine know that it is not.
    pub fn end(&self, id: &str, end: Option<SessionEnd>) {
        match self.live().get(id) {
            Some(entry) => drop(entry.end.send_replace(Some(end.unwrap_or(SessionEnd::Terminated)))),
            None => self.tell(id, SeenSession::Ended(SessionEnd::Terminated)),
        }
    }

    /// A session is not live any more.
    pub(super) fn forget(&self, id: &str) {
        self.live().remove(id);
    }

    /// Tells the engine how a session's channel is.
    pub(super) fn tell(&self, id: &str, seen: SeenSession) {
        self.shell.facts().send(Fact::Session { id: id.to_string(), seen });
    }

    /// The session's row, of whatever account and region.
    fn row(&self, id: &str) -> Option<Arc<Session>> {
        let engine = self.shell.engine();
        engine.state().scopes.values().find_map(|tables| tables.sessions.get(id).cloned())
    }

    /// Where instances are.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Where transcripts are kept.
    pub(super) fn data(&self) -> &std::path::Path {
        &self.data
    }

    /// Service time.
    pub(super) fn clock(&self) -> Clock {
        self.shell.clock()
    }

    /// The clock of channels.
    pub(super) fn ticks(&self) -> Ticks {
        self.ticks
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // Every change of the map is one insertion or removal.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
