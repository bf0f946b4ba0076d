//! The data plane as the daemon uses it: what [`crate::Proxy`] does, done by
//! another process. While none is attached only the newest snapshot and a
//! limited number of clients wait.

use super::link::{CLIENTS_MAX, Client, Link};
use super::message::{ClockSettings, Hello};
use crate::control::Overloaded;
use crate::registry::Counters;
use elastane_domain::routing::Snapshot;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the other process may take to tell its counters. It needs
/// microseconds for each of them.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The data plane in another process.
pub struct RemoteProxy(Mutex<State>);

struct State {
    link: Option<Arc<Link>>,
    clock: ClockSettings,
    newest: Option<Arc<Snapshot>>,
    waiting: VecDeque<Client>,
}

impl RemoteProxy {
    /// Not attached to any process yet.
    pub fn new(clock: ClockSettings) -> RemoteProxy {
        RemoteProxy(Mutex::new(State { link: None, clock, newest: None, waiting: VecDeque::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses this attachment from now on: it gets the clock, the newest
    /// snapshot and the clients that wait.
    pub fn attach(&self, link: Arc<Link>) {
        let mut state = self.state();
        link.clock(state.clock);
        if let Some(snapshot) = &state.newest {
            link.route(snapshot.clone());
        }
        if let Some(before) = state.link.replace(link.clone()) {
            state.waiting.extend(before.take_clients());
        }
        while let Some(client) = state.waiting.pop_front() {
            if let Err(client) = link.serve(client) {
                state.waiting.push_front(client);
                return;
            }
        }
    }

    /// Uses no attachment until the next.
    pub fn detach(&self) {
        let mut state = self.state();
        if let Some(link) = state.link.take() {
            let clients = link.take_clients();
            state.waiting.extend(clients);
        }
    }

    /// Puts a snapshot in force. Does not wait; a snapshot that waits to be
    /// sent is replaced.
    pub fn apply(&self, snapshot: Arc<Snapshot>) {
        let mut state = self.state();
        if let Some(link) = &state.link {
            link.route(snapshot.clone());
        }
        state.newest = Some(snapshot);
    }

    /// The newest snapshot; `None` before the first.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.state().newest.clone()
    }

    /// Whether the newest snapshot has load balancers.
    pub fn has_load_balancers(&self) -> bool {
        self.state().newest.as_ref().is_some_and(|snapshot| !snapshot.load_balancers.is_empty())
    }

    /// Serves a client that connected elsewhere; see [`crate::Proxy::serve_connection`].
    pub fn serve_connection(&self, stream: TcpStream, host: &str) -> Result<(), Overloaded> {
        let mut state = self.state();
        let mut client = (stream, host.to_owned());
        if let Some(link) = &state.link {
            match link.serve(client) {
                Ok(()) => return Ok(()),
                Err(back) => client = back,
            }
        }
        if state.waiting.len() >= CLIENTS_MAX {
            return Err(Overloaded);
        }
        state.waiting.push_back(client);
        Ok(())
    }

    /// The process that is attached.
    pub fn process(&self) -> Option<Hello> {
        self.state().link.as_ref().map(|link| link.hello.clone())
    }

    fn link(&self) -> Option<Arc<Link>> {
        self.state().link.clone()
    }

    /// What happened since the last call; empty when no process answers, and
    /// then a later call tells it.
    pub async fn collect(&self) -> Counters {
        let Some(link) = self.link() else { return Counters::default() };
        let asking = tokio::task::spawn_blocking(move || link.collect(ANSWER_LIMIT));
        asking.await.ok().flatten().unwrap_or_default()
    }

    /// Running totals as Prometheus reads them; `None` when no process answers.
    pub async fn prometheus(&self) -> Option<String> {
        let link = self.link()?;
        tokio::task::spawn_blocking(move || link.prometheus(ANSWER_LIMIT)).await.ok().flatten()
    }

    /// Ends the process that is attached, if any.
    pub fn stop(&self) {
        if let Some(link) = self.link() {
            link.stop();
        }
    }
}
