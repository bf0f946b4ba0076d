//! A client's HTTP/2 connection: accepts its requests, bounds what it may
//! cost, and says goodbye in order.

use super::client::ClientStream;
use super::workers::{Job, Watched};
use super::{CONNECTION_WINDOW, HEADER_LIST_MAX, STREAM_WINDOW};
use crate::describe::describe_client;
use crate::exchange::ClientConnection;
use crate::http::headers::{ClientInfo, ClientProtocol};
use crate::local::{ListenerLocal, NodeLocal};
use crate::log::LogLocal;
use crate::route::Route;
use crate::stream::Stream;
use crate::thread::Thread;
use crate::watch::{Doing, Interrupt, Watch};
use bytes::Bytes;
use h2::server::{self, Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Requests of one connection at once (alb.md 6).
const STREAMS_MAX: u32 = 128;
/// Requests of one connection before GOAWAY (alb.md 6).
const REQUESTS_MAX: u64 = 10_000;
/// Requests taken before others of the thread have their turn.
const ACCEPTED_AT_ONCE: usize = 32;
/// Requests under way, with those that the client gave up and whose ends are
/// not noticed yet: a client that resets faster than that is cut off.
const ACTIVE_MAX: usize = 2 * STREAMS_MAX as usize;
/// Requests that a client may give up beyond those that were answered
/// (CVE-2023-44487): each costs work that nobody sees.
const CANCELLED_MAX: u64 = 500;
/// Streams that the client reset before they were taken, and those that we
/// reset, which are remembered for a while.
const PENDING_RESETS_MAX: usize = 32;
const LOCAL_RESETS_MAX: usize = 256;
/// Response bytes of one stream that wait for the socket.
const SEND_BUFFER_MAX: usize = 64 * 1024;

/// What the requests of a connection tell it.
#[derive(Default)]
struct Tally {
    active: Cell<usize>,
    answered: Cell<u64>,
    cancelled: Cell<u64>,
    /// When a request began or ended last, in milliseconds of the thread.
    moved_ms: Cell<u64>,
}

/// Who is served, and where.
pub(super) struct Client {
    pub(super) thread: Rc<Thread>,
    pub(super) listener: Rc<ListenerLocal>,
    pub(super) node: Rc<NodeLocal>,
    pub(super) peer: Rc<ClientInfo>,
}

impl Client {
    pub(super) fn route(&self) -> Rc<Route> {
        self.listener.route.borrow().clone()
    }
}

/// Keeps the counters right however the connection ends.
struct Registration {
    thread: Rc<Thread>,
    _counted: ClientConnection,
}

impl Registration {
    fn new(client: &Client) -> Registration {
        let thread = client.thread.clone();
        thread.connections.set(thread.connections.get() + 1);
        let counted = ClientConnection::new(client.node.clone(), thread.index);
        Registration { thread, _counted: counted }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.thread.connections.set(self.thread.connections.get() - 1);
    }
}

/// Counts one request while it is under way.
pub(super) struct Ticket {
    tally: Rc<Tally>,
    thread: Rc<Thread>,
}

impl Ticket {
    /// Whether the client got its answer.
    pub(super) fn ended(self, answered: bool) {
        let cell = if answered { &self.tally.answered } else { &self.tally.cancelled };
        cell.set(cell.get() + 1);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tally.active.set(self.tally.active.get() - 1);
        self.tally.moved_ms.set(self.thread.now_ms());
    }
}

struct Server {
    client: Rc<Client>,
    watch: Rc<Watch>,
    connection: server::Connection<Stream, Bytes>,
    tally: Rc<Tally>,
    accepted: u64,
    born_ms: u64,
    /// Since when it takes no new requests.
    leaving_ms: Option<u64>,
}

/// Serves a client in a task of its own, until it or the load balancer ends
/// the connection.
pub(crate) fn spawn(
    thread: Rc<Thread>,
    listener: Rc<ListenerLocal>,
    node: Rc<NodeLocal>,
    stream: Stream,
    peer: Rc<ClientInfo>,
) {
    let client = Rc::new(Client { thread, listener, node, peer });
    let registration = Registration::new(&client);
    tokio::task::spawn_local(async move {
        let _registration = registration;
        let watched = Watched::new(&client);
        serve(client, watched.watch.clone(), stream).await;
    });
}

async fn serve(client: Rc<Client>, watch: Rc<Watch>, stream: Stream) {
    let route = client.route();
    watch.set_doing(Doing::Multiplexed);
    watch.set_deadline(client.thread.deadline_in(route.idle_ms));
    let handshake = Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buffer_size(SEND_BUFFER_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .handshake(stream);
    let Ok(Ok(connection)) = watch.guard(handshake).await else {
        return;
    };
    let tally = Rc::new(Tally::default());
    let born_ms = client.thread.now_ms();
    tally.moved_ms.set(born_ms);
    let mut server = Server { client, watch, connection, tally, accepted: 0, born_ms, leaving_ms: None };
    poll_fn(|context| server.poll(context)).await;
}

impl Server {
    /// Ready when the connection is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(interrupt) = self.watch.poll(context) {
            match interrupt {
                Interrupt::Timeout if self.is_overdue() => return Poll::Ready(()),
                Interrupt::Timeout => {}
                Interrupt::Closing => self.leave(),
                Interrupt::Cut => return Poll::Ready(()),
            }
        }
        if self.client.listener.closing.get() {
            self.leave();
        }
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.accepted += 1;
        if self.accepted == REQUESTS_MAX {
            self.leave();
            self.log_goodbye();
        }
        let tally = &self.tally;
        tally.active.set(tally.active.get() + 1);
        tally.moved_ms.set(self.client.thread.now_ms());
        if tally.active.get() > ACTIVE_MAX || tally.cancelled.get() > tally.answered.get() + CANCELLED_MAX {
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        let thread = &self.client.thread;
        let ticket = Ticket { tally: tally.clone(), thread: thread.clone() };
        let stream = Box::new(ClientStream::new(request, respond, thread.workers.text()));
        thread.workers.serve(Job { client: self.client.clone(), stream, ticket });
    }

    /// A line of its own for a connection that ends because it had all the
    /// requests that it may have: it has the status 000 (alb.md 9).
    fn log_goodbye(&self) {
        let Client { node, peer, .. } = &*self.client;
        if let Some(mut entry) = node.access_log().map(LogLocal::entry) {
            describe_client(&mut entry, peer, ClientProtocol::Http2, true);
            LogLocal::finish(entry);
        }
    }

    /// Looks at a deadline that passed; `true` if the connection ends at once.
    fn is_overdue(&mut self) -> bool {
        let route = self.client.route();
        let thread = self.client.thread.clone();
        let now = thread.now_ms();
        let is_idle = self.tally.active.get() == 0 && self.tally.moved_ms.get() + route.idle_ms <= now;
        let is_old = self.born_ms + route.client_life_ms <= now;
        match self.leaving_ms {
            // Goodbye was said; nothing is under way and the client does not go.
            Some(since) => {
                if self.tally.active.get() == 0 && since + route.idle_ms <= now {
                    return true;
                }
                self.watch.set_deadline(thread.deadline_in(route.idle_ms));
            }
            None if is_idle || is_old => self.leave(),
            None => {
                let idle_ends = self.tally.moved_ms.get().max(now - route.idle_ms.min(now)) + route.idle_ms;
                let idle_ends = if self.tally.active.get() > 0 { now + route.idle_ms } else { idle_ends };
                self.watch.set_deadline(idle_ends.min(self.born_ms + route.client_life_ms).max(now + 1));
            }
        }
        false
    }

    /// Takes no new requests; the connection ends after those under way.
    fn leave(&mut self) {
        if self.leaving_ms.is_none() {
            let idle_ms = self.client.route().idle_ms;
            self.leaving_ms = Some(self.client.thread.now_ms());
            self.connection.graceful_shutdown();
            self.watch.set_deadline(self.client.thread.deadline_in(idle_ms));
        }
    }
}
