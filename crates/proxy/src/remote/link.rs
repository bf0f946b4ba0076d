//! One attachment to the data plane's process: orders go out from a thread of
//! their own, words come in on another. Callers never wait for the other
//! side, and nothing waits without a limit: only the newest snapshot and the
//! newest clock are kept.

use super::batches::Taken;
use super::frame::{Receiver, send};
use super::message::{ClockSettings, Greeting, Hello, Order, PROTOCOL, Role, Word};
use crate::registry::Counters;
use elastane_domain::routing::{ProxyFact, Snapshot};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Whoever answers no greeting within this is not well.
pub(super) const GREETING_LIMIT: Duration = Duration::from_secs(10);
/// A message that cannot be sent within this ends the attachment.
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(10);
/// Clients that wait to be handed over.
pub(super) const CLIENTS_MAX: usize = 1024;
/// Other orders that wait.
const ORDERS_MAX: usize = 256;

/// A client and the host that it asked for.
pub(super) type Client = (TcpStream, String);

/// What happens on an attachment. Called from its thread; must not block for long.
pub struct LinkEvents {
    /// Something is so now.
    pub fact: Box<dyn Fn(ProxyFact) + Send + Sync>,
    /// Counters that nobody asked for: the last ones of a process that ends.
    pub counters: Box<dyn Fn(Counters) + Send + Sync>,
    /// The attachment has ended; `true` when another process took over.
    pub ended: Box<dyn Fn(bool) + Send + Sync>,
}

/// An attachment. Dropping it ends it.
pub struct Link {
    /// Who is at the other end.
    pub hello: Hello,
    shared: Arc<Shared>,
}

struct Shared {
    stream: UnixStream,
    outbox: Mutex<Outbox>,
    news: Condvar,
    asked: Mutex<Asked>,
    request: AtomicU64,
}

#[derive(Default)]
struct Outbox {
    clock: Option<ClockSettings>,
    route: Option<Arc<Snapshot>>,
    clients: VecDeque<Client>,
    orders: VecDeque<Order>,
    /// Goes before everything else: snapshots from then on count.
    retire: bool,
    /// Send what is here and then no more.
    finish: bool,
    ended: bool,
}

#[derive(Default)]
struct Asked {
    counters: HashMap<u64, mpsc::Sender<(u64, Counters)>>,
    texts: HashMap<u64, mpsc::Sender<String>>,
    last_pong: Option<Instant>,
    taken: Taken,
}

/// What is to be sent next.
enum Next {
    Order(Order),
    Client(Client),
    Finish,
}

/// Greets the process at the other end. The stream's read limit is that of
/// the greeting afterwards.
pub(super) fn greet(stream: &UnixStream, role: Role) -> io::Result<(Receiver, Hello)> {
    stream.set_read_timeout(Some(GREETING_LIMIT))?;
    stream.set_write_timeout(Some(SEND_LIMIT))?;
    let mut sender = stream.try_clone()?;
    send(&mut sender, &Greeting { protocol: PROTOCOL, role }, &[])?;
    let mut receiver = Receiver::new(stream.try_clone()?);
    let (hello, _) = receiver.next::<Hello>()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((receiver, hello))
}

/// Who serves a data directory at this place; `None` when nobody does.
///
/// # Errors
/// It does not answer.
pub fn ask(folder: &std::path::Path, index: usize) -> io::Result<Option<Hello>> {
    visit(folder, index)?.map(|stream| Ok(greet(&stream, Role::Visitor)?.1)).transpose()
}

fn visit(folder: &std::path::Path, index: usize) -> io::Result<Option<UnixStream>> {
    match super::place::dial(folder, index) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ends the process at a place of a data directory, if there is one, and waits
/// until it has let go of its sockets. Returns whether there was one.
///
/// # Errors
/// It does not answer, or does not end within `limit`.
pub fn stop(folder: &std::path::Path, index: usize, limit: Duration) -> io::Result<bool> {
    let Some(stream) = visit(folder, index)? else { return Ok(false) };
    let (mut receiver, _) = greet(&stream, Role::Visitor)?;
    send(&mut stream.try_clone()?, &Order::Stop, &[])?;
    stream.set_read_timeout(Some(limit))?;
    // It says nothing to visitors: the end of the stream is its own.
    while receiver.next::<serde_json::Value>()?.is_some() {}
    Ok(true)
}

impl Link {
    /// Greets the process at the other end and attaches.
    ///
    /// # Errors
    /// It does not answer, or speaks another protocol (`Unsupported`); then
    /// its greeting is lost.
    pub fn open(stream: UnixStream, role: Role, events: LinkEvents) -> io::Result<Link> {
        let (receiver, hello) = greet(&stream, role)?;
        if hello.protocol != PROTOCOL {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Link::over(stream, receiver, hello, events)
    }

    /// An attachment over a stream whose greeting is done.
    pub(super) fn over(stream: UnixStream, receiver: Receiver, hello: Hello, events: LinkEvents) -> io::Result<Link> {
        receiver.stream().set_read_timeout(None)?;
        let sending = stream.try_clone()?;
        let shared = Arc::new(Shared {
            stream,
            outbox: Mutex::default(),
            news: Condvar::new(),
            asked: Mutex::default(),
            request: AtomicU64::new(0),
        });
        let (of_sender, of_reader) = (shared.clone(), shared.clone());
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned()).stack_size(512 << 10);
        thread("link-send").spawn(move || of_sender.send_all(sending))?;
        thread("link-read").spawn(move || of_reader.read_all(receiver, &events))?;
        Ok(Link { hello, shared })
    }

    /// Route like this; a snapshot that still waits is forgotten.
    pub fn route(&self, snapshot: Arc<Snapshot>) {
        self.shared.put(|outbox| outbox.route = Some(snapshot));
    }

    /// Service time runs like this.
    pub fn clock(&self, clock: ClockSettings) {
        self.shared.put(|outbox| outbox.clock = Some(clock));
    }

    /// Hands a client over; gives it back when too many wait or the attachment is ending.
    pub(super) fn serve(&self, client: Client) -> Result<(), Client> {
        let mut outbox = self.shared.outbox();
        if outbox.ended || outbox.finish || outbox.clients.len() >= CLIENTS_MAX {
            return Err(client);
        }
        outbox.clients.push_back(client);
        drop(outbox);
        self.shared.news.notify_one();
        Ok(())
    }

    /// What happened since the last time, once the other side has told it;
    /// `None` when it does not within `limit`, and then the next call tells it.
    pub fn collect(&self, limit: Duration) -> Option<Counters> {
        let request = self.shared.request.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = mpsc::channel();
        self.shared.asked().counters.insert(request, sender);
        self.shared.order(Order::Collect { request });
        let answered = answer.recv_timeout(limit).or_else(|_| {
            self.shared.asked().counters.remove(&request);
            // What came at the last moment was taken.
            answer.try_recv()
        });
        let (batch, counters) = answered.ok()?;
        self.shared.order(Order::Collected { batch });
        Some(counters)
    }

    /// Running totals as Prometheus reads them.
    pub fn prometheus(&self, limit: Duration) -> Option<String> {
        let request = self.shared.request.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = mpsc::channel();
        self.shared.asked().texts.insert(request, sender);
        self.shared.order(Order::Prometheus { request });
        let answered = answer.recv_timeout(limit).ok();
        self.shared.asked().texts.remove(&request);
        answered
    }

    /// Asks for a sign of life; see [`Link::last_sign`].
    pub fn ping(&self) {
        self.shared.order(Order::Ping { number: 0 });
    }

    /// When the last sign of life came.
    pub fn last_sign(&self) -> Option<Instant> {
        self.shared.asked().last_pong
    }

    /// The other side is to close everything and end.
    pub fn stop(&self) {
        self.shared.order(Order::Stop);
    }

    /// A successor serves: the other side is to finish and end.
    pub(super) fn retire(&self) {
        self.shared.put(|outbox| outbox.retire = true);
    }

    /// Sends what waits and then no more.
    pub fn finish(&self) {
        self.shared.put(|outbox| outbox.finish = true);
    }

    /// Clients that were not sent: for the next attachment.
    pub(super) fn take_clients(&self) -> VecDeque<Client> {
        std::mem::take(&mut self.shared.outbox().clients)
    }

    /// Whether the attachment is over.
    pub fn has_ended(&self) -> bool {
        self.shared.outbox().ended
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.finish_now();
    }
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, change: impl FnOnce(&mut Outbox)) {
        change(&mut self.outbox());
        self.news.notify_one();
    }

    /// An order that may be lost when the other side does not read.
    fn order(&self, order: Order) {
        self.put(|outbox| {
            if outbox.orders.len() < ORDERS_MAX {
                outbox.orders.push_back(order);
            }
        });
    }

    fn next(&self) -> Next {
        let mut outbox = self.outbox();
        loop {
            if outbox.ended {
                return Next::Finish;
            }
            if std::mem::take(&mut outbox.retire) {
                return Next::Order(Order::Retire);
            }
            if let Some(clock) = outbox.clock.take() {
                return Next::Order(Order::Clock(clock));
            }
            if let Some(snapshot) = outbox.route.take() {
                return Next::Order(Order::Route(snapshot));
            }
            if let Some(order) = outbox.orders.pop_front() {
                return Next::Order(order);
            }
            if let Some(client) = outbox.clients.pop_front() {
                return Next::Client(client);
            }
            if outbox.finish {
                return Next::Finish;
            }
            outbox = self.news.wait(outbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn send_all(&self, mut stream: UnixStream) {
        loop {
            let sent = match self.next() {
                Next::Order(order) => send(&mut stream, &order, &[]),
                Next::Client((client, host)) => send(&mut stream, &Order::Serve { host }, &[client.as_fd()]),
                Next::Finish => {
                    // The other side reads to the end of it.
                    let _ = stream.shutdown(Shutdown::Write);
                    return;
                }
            };
            if sent.is_err() {
                return self.finish_now();
            }
        }
    }

    /// Ends both threads.
    fn finish_now(&self) {
        self.put(|outbox| outbox.ended = true);
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn read_all(&self, mut receiver: Receiver, events: &LinkEvents) {
        let mut superseded = false;
        while let Ok(Some((word, _))) = receiver.next::<Word>() {
            self.asked().last_pong = Some(Instant::now());
            match word {
                Word::Fact(fact) => (events.fact)(fact),
                Word::Counters { request: 0, batch, counters } => {
                    if self.asked().taken.is_new(batch) {
                        (events.counters)(counters);
                    }
                    self.order(Order::Collected { batch });
                }
                Word::Counters { request, batch, counters } => {
                    let mut asked = self.asked();
                    // Who asked and waits no more leaves them where they are.
                    if let Some(asker) = asked.counters.remove(&request) {
                        let counters = if asked.taken.is_new(batch) { counters } else { Counters::default() };
                        let _ = asker.send((batch, counters));
                    }
                }
                Word::Prometheus { request, text } => {
                    if let Some(asker) = self.asked().texts.remove(&request) {
                        let _ = asker.send(text);
                    }
                }
                Word::Pong { .. } => {}
                Word::Superseded => {
                    superseded = true;
                    self.put(|outbox| outbox.finish = true);
                    (events.ended)(true);
                }
                // Only a successor asks for these, before it attaches.
                Word::Listener(_) | Word::Estate(_) => {}
            }
        }
        self.finish_now();
        // Whoever waits for an answer sees that none comes.
        *self.asked() = Asked::default();
        if !superseded {
            (events.ended)(false);
        }
    }
}
