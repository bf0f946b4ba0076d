//! One client connection: request after request until either side is done.

use crate::http::body::Body;
use crate::http::page::{self, Answer};
use crate::http::request::{self, Forwarding, RequestHead};
use crate::http::{Parsed, REQUEST_HEADER_MAX};
use crate::local::{ListenerLocal, Route, RouteAction};
use crate::metrics::Count;
use crate::state::BalancerState;
use crate::stream::Stream;
use crate::thread::Thread;
use crate::watch::{Doing, Interrupt, Watch};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Longest life of a client connection (`client_keep_alive.seconds`, default).
const CLIENT_LIFE_MS: u64 = 3_600_000;
/// A head without new lines is parsed again only after so many bytes, so that
/// bytes sent one by one do not cost a parse each.
const REPARSE_BYTES: usize = 1024;
/// A connection whose listener closes may still send its first request within this time.
const CLOSING_GRACE_MS: u64 = 1000;
/// After a refusal, what the client still sends is read for so long and so
/// much: closing at once would reset the connection and destroy the answer.
const LINGER_MS: u64 = 2000;
const LINGER_BYTES: usize = 1024 * 1024;

/// A request with its head rewritten for the target.
pub(crate) struct Prepared {
    pub(crate) route: Rc<Route>,
    pub(crate) info: RequestHead,
    /// The head for the target, and those body bytes that came with it.
    pub(crate) head: Vec<u8>,
    /// The rest of the body.
    pub(crate) body: Body,
}

/// A client connection.
pub(crate) struct Connection {
    pub(crate) thread: Rc<Thread>,
    pub(crate) listener: Rc<ListenerLocal>,
    pub(crate) watch: Rc<Watch>,
    pub(crate) client: Stream,
    /// Bytes that came early: a part of a head, or the next request.
    pub(crate) input: Vec<u8>,
    client_ip: String,
    born_ms: u64,
}

/// Keeps the counters right however the connection ends.
struct Registration {
    thread: Rc<Thread>,
    balancer: Arc<BalancerState>,
    slot: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.thread.watches.remove(self.slot);
        self.thread.connections.set(self.thread.connections.get() - 1);
        self.balancer.ledger.disconnect(self.thread.index);
    }
}

/// Serves a client in a task of its own.
pub(crate) fn spawn(thread: Rc<Thread>, listener: Rc<ListenerLocal>, client: Stream, peer: SocketAddr) {
    let route = listener.route.borrow().clone();
    let (slot, watch) = thread.watches.add(listener.serial, thread.deadline_in(route.idle_ms));
    let registration = Registration { thread: thread.clone(), balancer: route.balancer.clone(), slot };
    thread.connections.set(thread.connections.get() + 1);
    route.balancer.ledger.connect(thread.index);
    route.balancer.ledger.add(thread.index, Count::NewConnections, 1);
    let mut connection = Connection {
        born_ms: thread.now_ms(),
        client_ip: peer.ip().to_canonical().to_string(),
        input: Vec::new(),
        thread,
        listener,
        watch,
        client,
    };
    tokio::task::spawn_local(async move {
        let _registration = registration;
        connection.serve().await;
    });
}

/// Tells a client that no load balancer has the name it asked for.
pub(crate) fn spawn_unknown(thread: Rc<Thread>, mut client: Stream) {
    tokio::task::spawn_local(async move {
        let mut out = Vec::new();
        let body = page::error_page(404);
        let answer = Answer {
            status: 404,
            content_type: "text/html",
            body: &body,
            now: thread.service_now(),
            keep_alive: false,
            head_only: false,
        };
        page::write(&answer, &mut out);
        // A small answer fits the socket's buffer; a client that is gone loses nothing.
        if client.write_all(&out).await.is_ok() {
            let (slot, watch) = thread.watches.add(0, thread.deadline_in(LINGER_MS));
            linger(&thread, &watch, &mut client).await;
            thread.watches.remove(slot);
        }
    });
}

/// What came instead of, or as, the next request.
enum Next {
    Request(Prepared),
    Refused(u16),
    Closed,
}

impl Connection {
    async fn serve(&mut self) {
        loop {
            let keep = match self.next_request().await {
                Next::Request(prepared) => Box::pin(self.carry_out(prepared)).await,
                Next::Refused(status) => self.answer_page(status, false, None).await,
                Next::Closed => false,
            };
            if !keep {
                return;
            }
        }
    }

    /// Whether the client's connection may serve another request.
    pub(crate) fn may_stay(&self) -> bool {
        !self.listener.closing.get() && self.thread.now_ms() - self.born_ms < CLIENT_LIFE_MS
    }

    async fn next_request(&mut self) -> Next {
        let idle_ms = self.listener.route.borrow().idle_ms;
        let wait_ms = if self.listener.closing.get() { CLOSING_GRACE_MS } else { idle_ms };
        self.watch.set_doing(if self.input.is_empty() { Doing::Idle } else { Doing::Talking });
        self.watch.set_deadline(self.thread.deadline_in(wait_ms));
        let mut reading = HeadReader { parsed_bytes: 0 };
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            if let Some(next) = reading.take(&input, self) {
                return next;
            }
        }
        poll_fn(|context| self.poll_head(&mut reading, context)).await
    }

    fn poll_head(&mut self, reading: &mut HeadReader, context: &mut Context<'_>) -> Poll<Next> {
        let thread = self.thread.clone();
        loop {
            // The socket is lent out so that the rest of the connection can be used on its bytes.
            let Connection { client, .. } = self;
            let scratch = thread.poll_read(client, context, <[u8]>::len);
            let length = match scratch {
                Poll::Ready(Ok(length)) if length > 0 => length,
                Poll::Ready(_) => return Poll::Ready(Next::Closed),
                Poll::Pending => {
                    return self.watch.poll(context).map(|interrupt| match interrupt {
                        Interrupt::Timeout if !self.input.is_empty() => Next::Refused(408),
                        Interrupt::Timeout | Interrupt::Closing | Interrupt::Cut => Next::Closed,
                    });
                }
            };
            if self.input.is_empty() {
                // The whole head has this long, however it is sliced.
                self.watch.set_doing(Doing::Talking);
                let idle_ms = self.listener.route.borrow().idle_ms;
                self.watch.set_deadline(self.thread.deadline_in(idle_ms));
            }
            if let Some(next) = thread.with_scratch(length, |bytes| reading.take(bytes, self)) {
                return Poll::Ready(next);
            }
        }
    }

    /// Carries out a request; `true` if another may follow.
    async fn carry_out(&mut self, prepared: Prepared) -> bool {
        let route = prepared.route.clone();
        self.watch.set_doing(Doing::Talking);
        if prepared.info.expects_continue && !prepared.body.is_done() && !self.write_all(page::CONTINUE).await {
            return false;
        }
        match &route.action {
            RouteAction::Forward { weights, groups } => {
                let draw = self.thread.random.borrow_mut().draw() >> 11;
                let index = match weights.as_slice() {
                    [weight] if *weight > 0 => Some(0),
                    weights => elastane_domain::choice::weighted(weights, draw),
                };
                match index {
                    Some(index) => self.forward(prepared, &groups[index]).await,
                    None => self.answer_page(503, true, Some(&prepared)).await,
                }
            }
            RouteAction::Fixed { status, content_type, body } => {
                route.balancer.ledger.add(self.thread.index, Count::FixedResponses, 1);
                self.answer(*status, content_type, body.as_bytes(), true, Some(&prepared)).await
            }
        }
    }

    /// Answers with an error page; see [`Connection::answer`].
    pub(crate) async fn answer_page(&mut self, status: u16, keep: bool, request: Option<&Prepared>) -> bool {
        let body = page::error_page(status);
        self.answer(status, "text/html", &body, keep, request).await
    }

    /// Answers without a target; `true` if another request may follow. The
    /// connection ends if the request's body was not read.
    async fn answer(
        &mut self,
        status: u16,
        content_type: &str,
        body: &[u8],
        keep: bool,
        request: Option<&Prepared>,
    ) -> bool {
        let keep_alive =
            keep && self.may_stay() && request.is_some_and(|request| request.info.keep_alive && request.body.is_done());
        let mut out = self.thread.buffer();
        let answer = Answer {
            status,
            content_type,
            body,
            now: self.thread.service_now(),
            keep_alive,
            head_only: request.is_some_and(|request| request.info.is_head),
        };
        page::write(&answer, &mut out);
        let ledger = &self.listener.route.borrow().balancer.clone().ledger;
        ledger.add_own_status(self.thread.index, status);
        ledger.add(self.thread.index, Count::ProcessedBytes, out.len() as u64);
        let idle_ms = self.listener.route.borrow().idle_ms;
        self.watch.set_doing(Doing::Talking);
        self.watch.set_deadline(self.thread.deadline_in(idle_ms));
        let written = self.write_all(&out).await;
        self.thread.give_back(out);
        if written && !keep_alive {
            self.linger().await;
        }
        written && keep_alive
    }

    /// Ends the connection so that the client gets all that was written.
    pub(crate) async fn linger(&mut self) {
        self.watch.set_doing(Doing::Talking);
        self.watch.set_deadline(self.thread.deadline_in(LINGER_MS));
        linger(&self.thread, &self.watch, &mut self.client).await;
    }

    async fn write_all(&mut self, bytes: &[u8]) -> bool {
        matches!(self.watch.guard(self.client.write_all(bytes)).await, Ok(Ok(())))
    }
}

/// Says that nothing more comes, and lets the client finish.
async fn linger(thread: &Thread, watch: &Watch, client: &mut Stream) {
    let mut left = LINGER_BYTES;
    poll_fn(|context| {
        if Pin::new(&mut *client).poll_shutdown(context).is_pending() {
            return watch.poll(context).map(|_| ());
        }
        loop {
            match thread.poll_read(client, context, <[u8]>::len) {
                Poll::Ready(Ok(length)) if length > 0 && length < left => left -= length,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return watch.poll(context).map(|_| ()),
            }
        }
    })
    .await;
}

/// Collects the bytes of one request head.
struct HeadReader {
    /// Length of the input when it was parsed last.
    parsed_bytes: usize,
}

impl HeadReader {
    /// Takes new bytes; `None` if the head does not end in them.
    fn take(&mut self, bytes: &[u8], connection: &mut Connection) -> Option<Next> {
        if connection.input.is_empty() {
            return self.parse(bytes, connection);
        }
        connection.input.extend_from_slice(bytes);
        let length = connection.input.len();
        let worth = bytes.contains(&b'\n')
            || length - self.parsed_bytes >= REPARSE_BYTES
            || (self.parsed_bytes..length).contains(&REQUEST_HEADER_MAX);
        if !worth {
            return None;
        }
        let input = std::mem::take(&mut connection.input);
        self.parse(&input, connection)
    }

    /// Parses the whole input; what is not used goes to the connection's.
    fn parse(&mut self, input: &[u8], connection: &mut Connection) -> Option<Next> {
        let thread = connection.thread.clone();
        let route = connection.listener.route.borrow().clone();
        let forwarding = Forwarding {
            client_ip: &connection.client_ip,
            port: route.port,
            default_host: &route.default_host,
            now_seconds: u32::try_from(thread.service_now().seconds()).unwrap_or(0),
        };
        let mut head = thread.buffer();
        match request::parse(input, &forwarding, &mut thread.random.borrow_mut(), &mut head) {
            Ok(Parsed::Partial) => {
                self.parsed_bytes = input.len();
                connection.input.extend_from_slice(input);
                thread.give_back(head);
                None
            }
            Err(refusal) => {
                thread.give_back(head);
                Some(Next::Refused(refusal.0))
            }
            Ok(Parsed::Complete(info)) => {
                let mut body = info.body;
                let rest = &input[info.length..];
                let Ok(used) = body.feed(rest) else {
                    return Some(Next::Refused(400));
                };
                head.extend_from_slice(&rest[..used]);
                connection.input.extend_from_slice(&rest[used..]);
                let received = (info.length + used) as u64;
                route.balancer.ledger.add(thread.index, Count::ProcessedBytes, received);
                Some(Next::Request(Prepared { route, info, head, body }))
            }
        }
    }
}
