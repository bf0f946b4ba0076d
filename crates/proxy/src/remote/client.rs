//! The data plane as the daemon uses it: what [`crate::Proxy`] does, done by
//! other processes. While none is attached only the newest snapshot and a
//! limited number of clients wait.

use super::council::Council;
use super::exposition;
use super::link::{CLIENTS_MAX, Client, Link};
use super::message::{ClockSettings, Hello};
use crate::control::{FactSink, Overloaded};
use crate::registry::Counters;
use crate::share::Share;
use elastane_domain::routing::{ProxyFact, Snapshot};
use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the other process may take to tell its counters. It needs
/// microseconds for each of them.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A process that gave no sign of life for so long gets no clients of the
/// main port while another one did: it is asked for one every second.
const FRESH: Duration = Duration::from_secs(3);

/// The data plane in one or several other processes, each of which serves a [`Share`].
pub struct RemoteProxy {
    state: Mutex<State>,
    /// What processes say becomes one story here, told in its order.
    council: Mutex<Council>,
    facts: FactSink,
}

struct State {
    links: Vec<Option<Arc<Link>>>,
    clock: ClockSettings,
    newest: Option<Arc<Snapshot>>,
    waiting: VecDeque<Client>,
    /// The process that the next client is offered to first.
    turn: usize,
}

/// A process of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What it is to serve.
    pub share: Share,
    /// How it introduced itself; `None` while none is attached.
    pub hello: Option<Hello>,
    /// The snapshot that it has in force; 0 before the first.
    pub generation: u64,
}

impl RemoteProxy {
    /// Not attached to any of `count` processes yet. What they say together is
    /// told to `facts`, which must neither block nor call this proxy.
    pub fn new(clock: ClockSettings, count: usize, facts: FactSink) -> RemoteProxy {
        let links = Share::all(count).map(|_| None).collect();
        let state = State { links, clock, newest: None, waiting: VecDeque::new(), turn: 0 };
        RemoteProxy { state: Mutex::new(state), council: Mutex::new(Council::new(count)), facts }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn council(&self) -> MutexGuard<'_, Council> {
        self.council.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shares that processes serve.
    pub fn shares(&self) -> Vec<Share> {
        let count = self.state().links.len();
        Share::all(count).collect()
    }

    /// A process says something. `attachment` grows with each attachment at
    /// this place and begins at 1; what comes late from an earlier one is void.
    pub fn hear(&self, index: usize, attachment: u64, fact: ProxyFact) {
        // Told under the lock: in the order in which it was decided.
        let mut council = self.council();
        if let Some(told) = council.hear(index, attachment, fact) {
            (self.facts)(told);
        }
    }

    /// Uses this attachment at a place from now on: it gets the clock, the
    /// newest snapshot and the clients that wait.
    pub fn attach(&self, index: usize, attachment: u64, link: Arc<Link>) {
        self.council().join(index, attachment);
        let mut state = self.state();
        link.clock(state.clock);
        if let Some(snapshot) = &state.newest {
            link.route(snapshot.clone());
        }
        let Some(place) = state.links.get_mut(index) else { return };
        if let Some(before) = place.replace(link) {
            state.waiting.extend(before.take_clients());
        }
        state.hand_out();
    }

    /// Uses no attachment at this place until the next.
    pub fn detach(&self, index: usize) {
        {
            let mut state = self.state();
            if let Some(link) = state.links.get_mut(index).and_then(Option::take) {
                state.waiting.extend(link.take_clients());
                state.hand_out();
            }
        }
        let mut council = self.council();
        council.leave(index).into_iter().for_each(|told| (self.facts)(told));
    }

    /// Puts a snapshot in force. Does not wait; a snapshot that waits to be
    /// sent is replaced.
    pub fn apply(&self, snapshot: Arc<Snapshot>) {
        self.council().route(&snapshot);
        let mut state = self.state();
        for link in state.links.iter().flatten() {
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

    /// Serves a client that connected elsewhere, by any process that lives;
    /// see [`crate::Proxy::serve_connection`].
    pub fn serve_connection(&self, stream: TcpStream, host: &str) -> Result<(), Overloaded> {
        let mut state = self.state();
        if state.waiting.len() >= CLIENTS_MAX {
            return Err(Overloaded);
        }
        state.waiting.push_back((stream, host.to_owned()));
        state.hand_out();
        Ok(())
    }

    /// All processes by their places.
    pub fn processes(&self) -> Vec<Process> {
        let hellos: Vec<Option<Hello>> =
            self.state().links.iter().map(|link| link.as_ref().map(|link| link.hello.clone())).collect();
        let council = self.council();
        let process = |(share, hello): (Share, Option<Hello>)| {
            let generation = council.applied(share.index()).unwrap_or(0);
            Process { share, hello, generation }
        };
        Share::all(hellos.len()).zip(hellos).map(process).collect()
    }

    /// The process that is attached at a place.
    pub fn process(&self, index: usize) -> Option<Hello> {
        self.state().links.get(index)?.as_ref().map(|link| link.hello.clone())
    }

    /// The attachments, with the numbers of their processes from one.
    fn links(&self) -> Vec<(usize, Arc<Link>)> {
        let state = self.state();
        state.links.iter().enumerate().filter_map(|(index, link)| Some((index + 1, link.clone()?))).collect()
    }

    /// What happened since the last call, at all processes together. What one
    /// does not tell now, a later call does.
    pub async fn collect(&self) -> Counters {
        let ask = |(_, link): (usize, Arc<Link>)| tokio::task::spawn_blocking(move || link.collect(ANSWER_LIMIT));
        let mut sum: Option<Counters> = None;
        for asking in self.links().into_iter().map(ask).collect::<Vec<_>>() {
            let Some(counters) = asking.await.ok().flatten() else { continue };
            match &mut sum {
                Some(sum) => sum.merge(counters),
                None => sum = Some(counters),
            }
        }
        sum.unwrap_or_default()
    }

    /// Running totals as Prometheus reads them; those of several processes
    /// with the label `proxy`. `None` when no process answers.
    pub async fn prometheus(&self) -> Option<String> {
        let count = self.state().links.len();
        let ask = |(number, link): (usize, Arc<Link>)| {
            (number, tokio::task::spawn_blocking(move || link.prometheus(ANSWER_LIMIT)))
        };
        let mut texts = Vec::new();
        for (number, asking) in self.links().into_iter().map(ask).collect::<Vec<_>>() {
            texts.extend(asking.await.ok().flatten().map(|text| (number, text)));
        }
        if count == 1 {
            return texts.pop().map(|(_, text)| text);
        }
        (!texts.is_empty()).then(|| exposition::join(&texts))
    }

    /// Ends the processes that are attached, if any.
    pub fn stop(&self) {
        self.links().iter().for_each(|(_, link)| link.stop());
    }
}

impl State {
    /// Gives the clients that wait to processes, which take turns.
    fn hand_out(&mut self) {
        while let Some(client) = self.waiting.pop_front() {
            let count = self.links.len();
            self.turn = (self.turn + 1) % count;
            let places = || (0..count).map(|step| (self.turn + step) % count);
            let fresh = |link: &Arc<Link>| link.last_sign().is_some_and(|sign| sign.elapsed() < FRESH);
            let links = |wanted: bool| {
                places().filter_map(|place| self.links[place].as_ref()).filter(move |link| fresh(link) == wanted)
            };
            let refused = links(true).chain(links(false)).try_fold(client, |client, link| match link.serve(client) {
                Ok(()) => Err(()),
                Err(back) => Ok(back),
            });
            if let Ok(client) = refused {
                self.waiting.push_front(client);
                return;
            }
        }
    }
}
