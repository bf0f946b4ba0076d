//! A data thread: one current-thread runtime that owns its sockets, pools,
//! scratch memory and counters, and takes orders from the control side.

use crate::clock::Clock;
use crate::connection;
use crate::h2::Workers;
use crate::http::Random;
use crate::http::headers::ClientInfo;
use crate::l4::{self, Door};
use crate::local::{Gone, ListenerLocal, Local};
use crate::log::LogSink;
use crate::metrics::Count;
use crate::oidc::Oidc;
use crate::registry::Place;
use crate::state::Table;
use crate::sticky::Jar;
use crate::stream::Stream;
use crate::tls;
use crate::upstream::{Connector, Transport};
use crate::watch::Watches;
use elastane_domain::time::Time;
use rustix::net::sockopt::set_tcp_nodelay;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Notify, mpsc};

/// Client connections of one thread: the others would run out of file
/// descriptors before they could be served.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;
/// One read takes at most this much; all connections of a thread share it.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Buffers kept for reuse, and the largest one worth keeping.
const SPARE_BUFFERS_MAX: usize = 256;
const SPARE_BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Accuracy of deadlines.
const SWEEP: Duration = Duration::from_millis(100);
/// Pools are swept every so many sweeps of deadlines.
const SWEEPS_PER_POOL_SWEEP: u64 = 10;
/// Pause after a failed accept (no descriptors left), instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Most connections taken from the queue of a socket that closes; its backlog.
pub(crate) const BACKLOG: i32 = 4096;

/// An order to a data thread.
pub(crate) enum Command {
    /// Use this table for new requests, accept on these sockets, and say so.
    Apply { table: Arc<Table>, sockets: Vec<(Place, OwnedFd)> },
    /// Accept on these sockets as well.
    Listen(Vec<(Place, OwnedFd)>),
    /// End the requests at these targets.
    Cut(Vec<u64>),
    /// Stop accepting and let every connection end when it has done what it is at.
    Retire,
    /// Close everything and end.
    Stop,
}

/// What other threads may know of a data thread.
#[derive(Default)]
pub(crate) struct Load {
    /// 0 while it is not retired, then its connections + 1.
    remaining: AtomicUsize,
}

impl Load {
    /// Connections of a retired thread as of its last sweep.
    pub(crate) fn remaining(&self) -> Option<usize> {
        self.remaining.load(Ordering::Acquire).checked_sub(1)
    }
}

/// A connection accepted elsewhere, for the load balancer of this host name.
pub(crate) struct Handed {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) host: String,
}

/// The ends of a thread's channels, and what it was started with.
pub(crate) struct Setup {
    pub(crate) index: usize,
    pub(crate) seed: u64,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) clock: Arc<dyn Clock>,
    /// What cookies are sealed with; the same in all processes of an installation.
    pub(crate) secret: [u8; 32],
    pub(crate) oidc: Arc<Oidc>,
    /// Where the lines of logs go.
    pub(crate) logs: LogSink,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) handed: mpsc::Receiver<Handed>,
    pub(crate) load: Arc<Load>,
    /// Called with (thread, sequence) when a table is in force.
    pub(crate) applied: Box<dyn Fn(usize, u64) + Send>,
}

/// What all connections of a thread share.
pub(crate) struct Thread {
    pub(crate) index: usize,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) random: RefCell<Random>,
    pub(crate) jar: Jar,
    pub(crate) oidc: Arc<Oidc>,
    pub(crate) watches: Watches,
    pub(crate) connections: Cell<usize>,
    /// TLS handshakes with clients under way; each is one of `connections`.
    pub(crate) handshakes: Cell<usize>,
    /// A successor accepts instead.
    retired: Cell<bool>,
    load: Arc<Load>,
    local: RefCell<Local>,
    clock: Arc<dyn Clock>,
    started: Instant,
    now_ms: Cell<u64>,
    service_now: Cell<Time>,
    scratch: RefCell<Box<[u8]>>,
    spare: RefCell<Vec<Vec<u8>>>,
    pub(crate) workers: Workers,
}

impl Thread {
    /// Milliseconds since the thread started, as of the last sweep.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// A deadline that is at least this far away.
    pub(crate) fn deadline_in(&self, span_ms: u64) -> u64 {
        self.now_ms.get() + SWEEP.as_millis() as u64 + span_ms
    }

    /// Service time as of the last sweep.
    pub(crate) fn service_now(&self) -> Time {
        self.service_now.get()
    }

    /// Reads what is there, at most the scratch memory, and hands it to `take`
    /// at once: no connection keeps a buffer while it waits. No bytes mean
    /// that the peer closed. `take` must not read.
    pub(crate) fn poll_read<R>(
        &self,
        stream: &mut Stream,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<R>> {
        let scratch = &mut *self.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    }

    /// The first bytes of the scratch memory: what the read just before left there.
    pub(crate) fn with_scratch<R>(&self, length: usize, take: impl FnOnce(&[u8]) -> R) -> R {
        take(&self.scratch.borrow()[..length])
    }

    /// All of the scratch memory, to be filled and used at once.
    pub(crate) fn with_whole_scratch<R>(&self, take: impl FnOnce(&mut [u8]) -> R) -> R {
        take(&mut self.scratch.borrow_mut())
    }

    /// Whether the table in force has the target of this id.
    pub(crate) fn has_target(&self, id: u64) -> bool {
        self.local.borrow().targets.contains_key(&id)
    }

    /// Whether there are as many client connections as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.connections.get() >= CONNECTIONS_MAX
    }

    /// An empty buffer.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        let worth = buffer.capacity() > 0 && buffer.capacity() <= SPARE_BUFFER_BYTES_MAX;
        if worth && spare.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }

    fn tick(&self, sweeps: u64) {
        self.now_ms.set(self.started.elapsed().as_millis() as u64);
        self.service_now.set(self.clock.now());
        self.watches.sweep(self.now_ms());
        self.local.borrow().flush_logs();
        for listener in self.local.borrow().listeners.values() {
            if let Some(group) = listener.flow.borrow().as_ref().and_then(|flow| flow.group.as_ref()) {
                self.watches.cut(&group.newly_unhealthy());
            }
        }
        if self.retired.get() {
            self.load.remaining.store(self.connections.get() + 1, Ordering::Release);
        }
        if sweeps.is_multiple_of(SWEEPS_PER_POOL_SWEEP) {
            for target in self.local.borrow().targets.values() {
                target.pool.sweep(self.now_ms());
            }
        }
    }

    fn apply(self: &Rc<Self>, table: &Table, sockets: Vec<(Place, OwnedFd)>) {
        let Gone { listeners, targets, cut } = self.local.borrow_mut().apply(table, self.index);
        for target in targets {
            target.admission.set(elastane_domain::routing::Admission::Unused);
            target.pool.clear();
        }
        self.watches.cut(&cut);
        for listener in listeners {
            listener.closing.set(true);
            for accepting in listener.accepting.take().into_values() {
                accepting.notify_one();
            }
            self.watches.close_idle(listener.serial);
        }
        self.leave_nodes(table);
        self.listen(sockets);
    }

    /// Stops accepting where load balancers are no more.
    fn leave_nodes(&self, table: &Table) {
        for balancer in &table.balancers {
            let is_there = |place: &Place| balancer.config.nodes.iter().any(|node| place.is_of(node));
            for listener in &balancer.config.listeners {
                let Some(local) = self.local.borrow().listeners.get(&listener.arn).cloned() else { continue };
                local.accepting.borrow_mut().retain(|place, end| {
                    let stays = is_there(place);
                    if !stays {
                        end.notify_one();
                    }
                    stays
                });
            }
        }
    }

    fn listen(self: &Rc<Self>, sockets: Vec<(Place, OwnedFd)>) {
        for (place, socket) in sockets {
            let listener = self.local.borrow().listeners.get(&place.listener).cloned();
            if let Some(listener) = listener.filter(|_| !self.retired.get()) {
                self.accept_on(listener, place, socket);
            }
        }
    }

    /// Connections end after what they are at. Those that wait for a request
    /// are not cut: a client may just be sending one.
    fn retire(&self) {
        self.retired.set(true);
        self.watches.close_multiplexed();
        for listener in self.local.borrow().listeners.values() {
            listener.closing.set(true);
            for accepting in listener.accepting.take().into_values() {
                accepting.notify_one();
            }
        }
    }

    fn accept_on(self: &Rc<Self>, listener: Rc<ListenerLocal>, place: Place, socket: OwnedFd) {
        let end = Rc::new(Notify::new());
        if let Some(before) = listener.accepting.borrow_mut().insert(place.clone(), end.clone()) {
            before.notify_one();
        }
        let thread = self.clone();
        let door = Door { listener, node: place.node, is_inside: place.side.is_inside() };
        // The control side made it non-blocking; registering fails only
        // without descriptors for epoll, and then nothing works.
        match place.transport {
            Transport::Stream => {
                // The connections that it accepts inherit it.
                if set_tcp_nodelay(&socket, true).is_err() {
                    return;
                }
                let Ok(socket) = TcpListener::from_std(socket.into()) else { return };
                tokio::task::spawn_local(async move { thread.accept(door, socket, end).await });
            }
            Transport::Datagram => {
                let Ok(socket) = UdpSocket::from_std(socket.into()) else { return };
                tokio::task::spawn_local(async move { l4::serve(thread, door, socket, end).await });
            }
        }
    }

    async fn accept(self: Rc<Self>, door: Door, socket: TcpListener, end: Rc<Notify>) {
        let mut ended = pin!(end.notified());
        loop {
            let accepted = poll_fn(|context| match ended.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => socket.poll_accept(context).map(Some),
            });
            match accepted.await {
                Some(Ok((stream, peer))) => self.open(stream, peer, &door),
                Some(Err(_)) => tokio::time::sleep(ACCEPT_PAUSE).await,
                None => break,
            }
        }
        // The successor serves what waits in the queue.
        if self.retired.get() {
            return;
        }
        // Closing a socket resets what waits in its queue: those clients are connected already.
        let Ok(socket) = socket.into_std() else {
            return;
        };
        for _ in 0..BACKLOG {
            let Ok((stream, peer)) = socket.accept() else {
                break;
            };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.open(stream, peer, &door);
            }
        }
    }

    /// Starts to serve a client, unless there are too many.
    fn open(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, door: &Door) {
        let listener = door.listener.clone();
        let balancer = listener.route.borrow().balancer.clone();
        if self.connections.get() >= CONNECTIONS_MAX {
            balancer.ledger.add(self.index, Count::RejectedConnections, 1);
            return;
        }
        if let Some(flow) = listener.flow() {
            return l4::spawn(self.clone(), flow, door.clone(), stream, peer);
        }
        let node = listener.route.borrow().node(door.node);
        let mut peer = ClientInfo::new(peer);
        peer.connection_id = self.random.borrow_mut().draw_wide();
        let tls = listener.tls.borrow().clone();
        match tls {
            Some(tls) => tls::open(self.clone(), listener, node, tls, stream, peer),
            None => connection::spawn(self.clone(), listener, node, Stream::Plain(stream), Rc::new(peer)),
        }
    }

    fn take_handed(self: &Rc<Self>, handed: Handed) {
        let Ok(peer) = handed.stream.peer_addr() else {
            return;
        };
        let listener = self.local.borrow().hosts.get(&handed.host).cloned();
        let stream = handed.stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(handed.stream));
        let Ok(stream) = stream else {
            return;
        };
        match listener {
            Some(listener) => {
                if stream.set_nodelay(true).is_err() {
                    return;
                }
                self.open(stream, peer, &Door { listener, node: Ipv4Addr::UNSPECIFIED, is_inside: false });
            }
            None => connection::spawn_unknown(self.clone(), Stream::Plain(stream)),
        }
    }
}

/// Runs a data thread until it is told to stop.
pub(crate) fn run(setup: Setup) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(setup));
    Ok(())
}

async fn serve(mut setup: Setup) {
    let thread = Rc::new(Thread {
        index: setup.index,
        connector: setup.connector,
        random: RefCell::new(Random::new(setup.seed)),
        jar: Jar::new(setup.secret),
        oidc: setup.oidc,
        watches: Watches::default(),
        connections: Cell::new(0),
        handshakes: Cell::new(0),
        retired: Cell::new(false),
        load: setup.load,
        local: RefCell::new(Local::new(setup.logs)),
        started: Instant::now(),
        now_ms: Cell::new(0),
        service_now: Cell::new(setup.clock.now()),
        clock: setup.clock,
        scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
        spare: RefCell::new(Vec::new()),
        workers: Workers::default(),
    });
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sweeps = 0;
    loop {
        tokio::select! {
            biased;
            command = setup.commands.recv() => match command {
                Some(Command::Apply { table, sockets }) => {
                    thread.apply(&table, sockets);
                    (setup.applied)(thread.index, table.sequence);
                }
                Some(Command::Cut(targets)) => thread.watches.cut(&targets),
                Some(Command::Listen(sockets)) => thread.listen(sockets),
                Some(Command::Retire) => thread.retire(),
                Some(Command::Stop) | None => return,
            },
            Some(handed) = setup.handed.recv() => thread.take_handed(handed),
            _ = ticks.tick() => {
                sweeps += 1;
                thread.tick(sweeps);
            }
        }
    }
}
