//! The control side: takes snapshots, gives orders to the data threads, runs
//! the health checks and reports facts. Its own thread does what takes time;
//! callers only ever wait for the book's lock.

use crate::clock::Clock;
use crate::probe::probe;
use crate::registry::{Counters, Opening, Place, Probe, Registry};
use crate::sockets;
use crate::thread::{self, Command, Handed, Setup};
use crate::upstream::{Connector, Way};
use elastane_domain::health::CheckResult;
use elastane_domain::routing::{ProxyFact, Snapshot};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often the control thread looks at what is due. With a scaled clock an
/// interval of 5 s is at least this long.
const TICK: Duration = Duration::from_millis(20);
/// Connections handed over and not yet taken, per data thread.
const HANDED_MAX: usize = 4096;

/// Takes facts. Called from the proxy's control thread and from the thread
/// that calls [`Proxy::apply`]. It must not block, and not call `apply` itself.
pub type FactSink = Arc<dyn Fn(ProxyFact) + Send + Sync>;

/// What a proxy is started with.
#[derive(Clone)]
pub struct ProxyConfig {
    /// Data threads; 0 is one for each core.
    pub threads: usize,
    /// Where facts go.
    pub facts: FactSink,
    /// Makes sockets towards targets.
    pub connector: Arc<dyn Connector>,
    /// Service time, for check intervals and deregistration delays.
    pub clock: Arc<dyn Clock>,
}

/// A running data plane. Dropping it closes all connections and waits for its threads.
pub struct Proxy {
    shared: Arc<Shared>,
    handed: Vec<mpsc::Sender<Handed>>,
    next: AtomicUsize,
    /// Held by one [`Proxy::apply`] at a time.
    order: Mutex<()>,
    events: mpsc::UnboundedSender<Event>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

struct Shared {
    registry: Mutex<Registry>,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    facts: FactSink,
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
}

/// News for the control thread.
enum Event {
    Applied { thread: usize, sequence: u64 },
    Checked { probe: Probe, result: CheckResult },
    Stop,
}

/// No data thread can take the connection; it was closed and counted as rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl std::fmt::Display for Overloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no data thread can take another connection")
    }
}

impl std::error::Error for Overloaded {}

impl Proxy {
    /// Starts the threads. Nothing listens before the first snapshot.
    pub fn start(config: ProxyConfig) -> io::Result<Proxy> {
        let count = match config.threads {
            0 => std::thread::available_parallelism()?.get(),
            count => count,
        };
        let (events, inbox) = mpsc::unbounded_channel();
        let mut commands = Vec::new();
        let mut handed = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count {
            let (command_sender, command_receiver) = mpsc::unbounded_channel();
            let (handed_sender, handed_receiver) = mpsc::channel(HANDED_MAX);
            commands.push(command_sender);
            handed.push(handed_sender);
            let applied = events.clone();
            let setup = Setup {
                index,
                seed: RandomState::new().build_hasher().finish(),
                connector: config.connector.clone(),
                clock: config.clock.clone(),
                commands: command_receiver,
                handed: handed_receiver,
                // The control thread ends last; when it does not listen nobody needs to know.
                applied: Box::new(move |thread, sequence| {
                    let _ = applied.send(Event::Applied { thread, sequence });
                }),
            };
            let name = format!("proxy-{index}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || thread::run(setup))?);
        }
        let shared = Arc::new(Shared {
            registry: Mutex::new(Registry::new(count)),
            commands,
            facts: config.facts,
            connector: config.connector,
            clock: config.clock,
        });
        let control = (shared.clone(), events.clone());
        let run = move || run_control(control.0, control.1, inbox);
        threads.push(std::thread::Builder::new().name("proxy-control".to_owned()).spawn(run)?);
        Ok(Proxy { shared, handed, next: AtomicUsize::new(0), order: Mutex::new(()), events, threads })
    }

    /// Puts a snapshot in force. Listening sockets are open when this
    /// returns; [`ProxyFact::Applied`] says when no thread uses an older
    /// snapshot any more, and when several were applied quickly only the last of them is named. Each listener opened anew gives a [`ProxyFact::Listening`].
    pub fn apply(&self, snapshot: &Snapshot) {
        // All threads see all tables in the same order, and what a snapshot
        // changed is told before it is said to be applied.
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let (table, openings, mut facts) = self.shared.registry().apply(snapshot);
        let mut sockets: Vec<Vec<(Place, TcpListener)>> = self.shared.commands.iter().map(|_| Vec::new()).collect();
        for opening in openings {
            let (opened, fact) = open_listener(&opening, sockets.len());
            facts.push(fact);
            if opened.is_empty() {
                self.shared.registry().not_listening(&opening.place);
            }
            for (of_thread, socket) in sockets.iter_mut().zip(opened) {
                of_thread.push((opening.place.clone(), socket));
            }
        }
        self.shared.report(facts);
        let table = Arc::new(table);
        for (command, sockets) in self.shared.commands.iter().zip(sockets) {
            let table = table.clone();
            // A thread that ended takes no requests either.
            let _ = command.send(Command::Apply { table, sockets });
        }
    }

    /// Serves a client that connected elsewhere. `host` is what it asks for
    /// in `Host`, with or without a port; nothing may have been read from the
    /// stream. The connection belongs to that load balancer's first listener
    /// for as long as it lasts. A host that no load balancer has is answered with 404.
    pub fn serve_connection(&self, stream: TcpStream, host: &str) -> Result<(), Overloaded> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let mut handed = Handed { stream, host: name.to_ascii_lowercase() };
        for _ in 0..self.handed.len() {
            let index = self.next.fetch_add(1, Ordering::Relaxed) % self.handed.len();
            match self.handed[index].try_send(handed) {
                Ok(()) => return Ok(()),
                Err(error) => handed = error.into_inner(),
            }
        }
        self.shared.registry().reject(&handed.host);
        Err(Overloaded)
    }

    /// What happened since the last call. There is one caller: what it got is
    /// not told again.
    pub fn collect(&self) -> Counters {
        self.shared.registry().collect()
    }
}

/// The sockets of a listener, and what to tell about them.
fn open_listener(opening: &Opening, threads: usize) -> (Vec<TcpListener>, ProxyFact) {
    let Opening { place, port } = opening;
    let address = place.node;
    let (sockets, bound, note) = match sockets::open(address, *port, threads) {
        Ok(bound) => (bound.sockets, Some(bound.address), bound.note),
        Err(error) => (Vec::new(), None, format!("cannot listen on {address}:{port}: {error}")),
    };
    let Place { listener, node } = place.clone();
    (sockets, ProxyFact::Listening { listener, node, bound, note })
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for command in &self.shared.commands {
            let _ = command.send(Command::Stop);
        }
        let _ = self.events.send(Event::Stop);
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        // The book's operations leave it whole between any two steps that can panic.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, facts: impl IntoIterator<Item = ProxyFact>) {
        for fact in facts {
            (self.facts)(fact);
        }
    }
}

fn run_control(
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, control(shared, events, inbox));
    Ok(())
}

async fn control(shared: Arc<Shared>, events: mpsc::UnboundedSender<Event>, mut inbox: mpsc::UnboundedReceiver<Event>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = inbox.recv() => match event {
                Some(Event::Applied { thread, sequence }) => {
                    let facts = shared.registry().applied(thread, sequence);
                    shared.report(facts);
                }
                Some(Event::Checked { probe, result }) => {
                    let fact = shared.registry().checked(&probe, result);
                    shared.report(fact);
                    // Nothing is due because of it: the ticks look often enough.
                    continue;
                }
                Some(Event::Stop) | None => return,
            },
            _ = ticks.tick() => {}
        }
        carry_out_due(&shared, &events);
    }
}

fn carry_out_due(shared: &Arc<Shared>, events: &mpsc::UnboundedSender<Event>) {
    let due = shared.registry().due(shared.clock.now());
    shared.report(due.facts);
    if !due.cut.is_empty() {
        for command in &shared.commands {
            let _ = command.send(Command::Cut(due.cut.clone()));
        }
    }
    for due in due.probes {
        let (shared, events) = (shared.clone(), events.clone());
        tokio::task::spawn_local(async move {
            let way = Way { vpc: due.key.vpc.as_ref(), address: due.key.address, source: due.source };
            let result = probe(&*shared.connector, way, &due.check).await;
            let _ = events.send(Event::Checked { probe: due, result });
        });
    }
}
