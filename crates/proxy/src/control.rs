//! The control side: takes snapshots, gives orders to the data threads, runs
//! the health checks and reports facts. Its own thread does what takes time;
//! callers only ever wait for the book's lock.

use crate::clock::Clock;
use crate::log::LogSink;
use crate::oidc::Oidc;
use crate::probe::probe;
use crate::registry::{Counters, KnownHealth, Opening, Place, Probe, Registry, Side};
use crate::share::Share;
use crate::sockets::{self, HeldListener};
use crate::thread::{self, Command, Handed, Load, Setup};
use crate::upstream::{Connector, Transport, Way};
use elastane_domain::health::CheckResult;
use elastane_domain::routing::{ProxyFact, Snapshot};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often the control thread looks at what is due. With a scaled clock an
/// interval of 5 s is at least this long.
const TICK: Duration = Duration::from_millis(20);
/// How often the networks of VPCs are looked at that listeners are in.
const LOOK_INSIDE: Duration = Duration::from_millis(500);
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
    /// Random bits that all data planes of an installation have in common and
    /// nobody else knows: what clients keep for them is sealed with keys made of these.
    pub secret: [u8; 32],
    /// Where logs go: into the folder `logs` below it. Without it none are written.
    pub data_dir: Option<PathBuf>,
}

/// A running data plane. Dropping it closes all connections and waits for its threads.
pub struct Proxy {
    shared: Arc<Shared>,
    handed: Vec<mpsc::Sender<Handed>>,
    next: AtomicUsize,
    loads: Vec<Arc<Load>>,
    events: mpsc::UnboundedSender<Event>,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
}

/// Listening sockets that can change hands.
#[derive(Default)]
struct Sockets {
    /// Copies of those in use.
    held: HashMap<Place, HeldListener>,
    /// Those of a predecessor that wait for the first snapshot.
    inherited: HashMap<Place, HeldListener>,
    /// Listeners inside VPCs that are open: in which making of the VPC's
    /// network, and on which port.
    inside: HashMap<Place, (u64, u16)>,
}

struct Shared {
    registry: Mutex<Registry>,
    /// Held by one [`Proxy::apply`] at a time.
    order: Mutex<Sockets>,
    retired: AtomicBool,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    facts: FactSink,
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    /// Lines of logs that were thrown away.
    lost_lines: Arc<AtomicU64>,
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
        let (logs, writer) = LogSink::start(config.data_dir.clone(), config.clock.clone())?;
        let lost_lines = logs.lost_lines();
        let oidc = Arc::new(Oidc::new(&config.secret));
        let loads: Vec<Arc<Load>> = (0..count).map(|_| Arc::default()).collect();
        for (index, load) in loads.iter().enumerate() {
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
                secret: config.secret,
                oidc: oidc.clone(),
                logs: logs.clone(),
                commands: command_receiver,
                handed: handed_receiver,
                load: load.clone(),
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
            order: Mutex::default(),
            retired: AtomicBool::new(false),
            commands,
            facts: config.facts,
            connector: config.connector,
            clock: config.clock,
            lost_lines,
        });
        let control = (shared.clone(), events.clone());
        let run = move || run_control(control.0, control.1, inbox);
        threads.push(std::thread::Builder::new().name("proxy-control".to_owned()).spawn(run)?);
        // It ends when the data threads have: they hold the only ways to it.
        threads.extend(writer);
        Ok(Proxy { shared, handed, next: AtomicUsize::new(0), loads, events, threads: Mutex::new(threads) })
    }

    /// Puts a snapshot in force. Listening sockets are open when this
    /// returns; [`ProxyFact::Applied`] says when no thread uses an older
    /// snapshot any more, and when several were applied quickly only the last of them is named. Each listener opened anew gives a [`ProxyFact::Listening`].
    pub fn apply(&self, snapshot: &Snapshot) {
        // All threads see all tables in the same order, and what a snapshot
        // changed is told before it is said to be applied.
        let mut order = self.shared.order();
        let (table, mut openings, mut facts) = self.shared.registry().apply(snapshot);
        if self.shared.retired.load(Ordering::Relaxed) {
            openings.clear();
        }
        {
            let registry = self.shared.registry();
            order.held.retain(|place, _| registry.listens(place));
        }
        let mut sockets: Vec<Vec<(Place, OwnedFd)>> = self.shared.commands.iter().map(|_| Vec::new()).collect();
        for opening in openings {
            let inherited = order.inherited.remove(&opening.place).filter(|held| held.port == opening.port);
            let (opened, fact) = match inherited {
                Some(held) => take_over(held, sockets.len()),
                None => {
                    let port = opening.place.examples().find_map(|place| Some(order.held.get(&place)?.bound.port()));
                    open_listener(&opening, port.unwrap_or(opening.port), sockets.len())
                }
            };
            order.held.extend(hold(&opening, &opened, &fact).map(|held| (opening.place.clone(), held)));
            // Of a listener's two places the first one speaks, unless the second one fails.
            let spoken = opening.place.transport == Transport::Datagram
                && !opened.is_empty()
                && order.held.contains_key(&opening.place.beside());
            facts.extend((!spoken).then_some(fact));
            if opened.is_empty() {
                self.shared.registry().not_listening(&opening.place);
            }
            for (of_thread, socket) in sockets.iter_mut().zip(opened) {
                of_thread.push((opening.place.clone(), socket));
            }
        }
        // What the predecessor listened on and the snapshot does not name.
        order.inherited.retain(|place, _| place.side.is_inside());
        self.shared.report(facts);
        let table = Arc::new(table);
        for (command, sockets) in self.shared.commands.iter().zip(sockets) {
            let table = table.clone();
            // A thread that ended takes no requests either.
            let _ = command.send(Command::Apply { table, sockets });
        }
        listen_inside(&self.shared, &mut order);
        order.inherited.clear();
    }

    /// Listens on the addresses of this share only, from the next snapshot
    /// on; without it on all. Everything else is done whole.
    pub fn serve_share(&self, share: Share) {
        self.shared.registry().serve_share(share);
    }

    /// Listening sockets of a predecessor, for the first snapshot to be
    /// applied. It must not have had more data threads than this proxy has.
    pub fn adopt(&self, listeners: Vec<HeldListener>) {
        self.shared.order().inherited = listeners.into_iter().map(|held| (held.place.clone(), held)).collect();
    }

    /// Data threads.
    pub fn threads(&self) -> usize {
        self.handed.len()
    }

    /// Copies of all listening sockets, for a successor. This proxy goes on accepting.
    pub fn hand_over(&self) -> Vec<HeldListener> {
        self.shared.order().held.values().filter_map(HeldListener::copy).collect()
    }

    /// Closes all connections and waits for the threads: the logs are whole
    /// and packed afterwards, and later orders have no effect.
    pub fn stop(&self) {
        for command in &self.shared.commands {
            let _ = command.send(Command::Stop);
        }
        let _ = self.events.send(Event::Stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }

    /// Stops accepting, for good, because a successor has the listening
    /// sockets: what waits in their queues is its. Connections finish what
    /// they are at; HTTP/1 clients are told to close with the next response.
    pub fn retire(&self) {
        let mut order = self.shared.order();
        self.shared.retired.store(true, Ordering::Relaxed);
        order.held.clear();
        for command in &self.shared.commands {
            let _ = command.send(Command::Retire);
        }
    }

    /// Client connections that a retired proxy still serves, as of the last
    /// sweep of each thread; `None` until all threads know that they are retired.
    pub fn remaining(&self) -> Option<usize> {
        self.loads.iter().map(|load| load.remaining()).sum()
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

    /// What is known of the targets' health, for a successor.
    pub fn export_health(&self) -> Vec<KnownHealth> {
        self.shared.registry().export_health()
    }

    /// Health that a predecessor found out. Targets that come with the next
    /// snapshot start with it, which is told as a fact, instead of initial.
    pub fn seed_health(&self, known: Vec<KnownHealth>) {
        self.shared.registry().seed_health(known);
    }

    /// All counters since the start in Prometheus's text form. Reading them
    /// takes nothing away from [`Proxy::collect`].
    pub fn prometheus(&self) -> String {
        self.shared.registry().prometheus(self.shared.lost_lines.load(Ordering::Relaxed))
    }

    /// What happened since the last call. There is one caller: what it got is
    /// not told again.
    pub fn collect(&self) -> Counters {
        self.shared.registry().collect()
    }
}

/// The sockets of a listener, and what to tell about them.
fn open_listener(opening: &Opening, port: u16, threads: usize) -> (Vec<OwnedFd>, ProxyFact) {
    let place = &opening.place;
    let address = place.address();
    let (sockets, bound, note) = match sockets::open(place.transport, address, port, threads) {
        Ok(bound) => (bound.sockets, Some(bound.address), bound.note),
        Err(error) => (Vec::new(), None, format!("cannot listen on {}: {error}", SocketAddr::new(address, port))),
    };
    (sockets, ProxyFact::Listening { listener: place.listener.clone(), node: address, bound, note })
}

/// Opens the listeners inside VPCs whose networks are there now and were not
/// the last time, or are others.
fn listen_inside(shared: &Shared, order: &mut Sockets) {
    if shared.retired.load(Ordering::Relaxed) {
        return;
    }
    let wanted = shared.registry().inside().clone();
    order.inside.retain(|place, (_, port)| wanted.get(place) == Some(port));
    for (place, port) in wanted {
        let Side::Inside(vpc, address) = &place.side else { continue };
        let Some(number) = shared.connector.network_number(vpc) else {
            order.inside.remove(&place);
            continue;
        };
        if order.inside.get(&place) == Some(&(number, port)) {
            continue;
        }
        let bound = SocketAddrV4::new(*address, port);
        let inherited = order.inherited.remove(&place).filter(|held| held.port == port);
        let threads = shared.commands.len();
        let opened = match inherited {
            Some(held) => held.spread(threads),
            // One that cannot be opened now is tried again with the next look.
            None => (0..threads).map_while(|_| shared.connector.listen(vpc, bound, place.transport).ok()).collect(),
        };
        if opened.len() < threads {
            continue;
        }
        order.inside.insert(place.clone(), (number, port));
        let at = SocketAddr::V4(bound);
        let held = HeldListener::of(place.clone(), port, at, String::new(), opened.iter().map(AsFd::as_fd));
        order.held.extend(held.map(|held| (place.clone(), held)));
        for (command, socket) in shared.commands.iter().zip(opened) {
            let _ = command.send(Command::Listen(vec![(place.clone(), socket)]));
        }
    }
}

/// A predecessor's sockets of a listener, and what to tell about them.
fn take_over(held: HeldListener, threads: usize) -> (Vec<OwnedFd>, ProxyFact) {
    let (listener, node) = (held.place.listener.clone(), held.place.address());
    let (bound, note) = (Some(held.bound), held.note.clone());
    (held.spread(threads), ProxyFact::Listening { listener, node, bound, note })
}

/// Copies of a listener's sockets, if it has any.
fn hold(opening: &Opening, opened: &[OwnedFd], fact: &ProxyFact) -> Option<HeldListener> {
    let ProxyFact::Listening { bound: Some(bound), note, .. } = fact else { return None };
    HeldListener::of(opening.place.clone(), opening.port, *bound, note.clone(), opened.iter().map(AsFd::as_fd))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        // The book's operations leave it whole between any two steps that can panic.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self) -> MutexGuard<'_, Sockets> {
        // Its maps are whole between any two steps that can panic.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
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
    let mut looked = Instant::now();
    loop {
        tokio::select! {
            event = inbox.recv() => match event {
                Some(Event::Applied { thread, sequence }) => {
                    let facts = shared.registry().applied(thread, sequence);
                    shared.report(facts);
                }
                Some(Event::Checked { probe, result }) => {
                    let fact = shared.registry().checked(&probe, result, shared.clock.now());
                    shared.report(fact);
                    // Nothing is due because of it: the ticks look often enough.
                    continue;
                }
                Some(Event::Stop) | None => return,
            },
            _ = ticks.tick() => if looked.elapsed() >= LOOK_INSIDE {
                looked = Instant::now();
                listen_inside(&shared, &mut shared.order());
            }
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
            let result = probe(&*shared.connector, way, &due.question).await;
            let _ = events.send(Event::Checked { probe: due, result });
        });
    }
}
