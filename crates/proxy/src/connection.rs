//! One client connection: request after request until either side is done.
//! A request's head is read, the rule that it hits is found on the borrowed
//! head, and what that rule needs is prepared in the same breath; nothing of
//! the head is looked at later.

use crate::exchange::{ClientConnection, Exchange};
use crate::http::body::Body;
use crate::http::headers::{ClientInfo, ClientProtocol};
use crate::http::page::{self, Answer};
use crate::http::request::{self, Refusal, RequestHead};
use crate::http::simple::{self, Look};
use crate::http::{Parsed, REQUEST_HEADER_MAX};
use crate::local::{ListenerLocal, NodeLocal};
use crate::prepare::Prepared;
use crate::route::RouteAction;
use crate::stream::Stream;
use crate::thread::Thread;
use crate::watch::{Doing, Interrupt, Watch};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// A head without new lines is parsed again only after so many bytes, so that
/// bytes sent one by one do not cost a parse each.
const REPARSE_BYTES: usize = 1024;
/// A connection whose listener closes may still send its first request within this time.
const CLOSING_GRACE_MS: u64 = 1000;
/// After a refusal, what the client still sends is read for so long and so
/// much: closing at once would reset the connection and destroy the answer.
const LINGER_MS: u64 = 2000;
const LINGER_BYTES: usize = 1024 * 1024;

/// A client connection.
pub(crate) struct Connection {
    pub(crate) thread: Rc<Thread>,
    pub(crate) listener: Rc<ListenerLocal>,
    pub(crate) node: Rc<NodeLocal>,
    pub(crate) watch: Rc<Watch>,
    pub(crate) client: Stream,
    /// Who is at the other end.
    pub(crate) peer: Rc<ClientInfo>,
    pub(crate) protocol: ClientProtocol,
    /// Bytes that came early: a part of a head, or the next request.
    pub(crate) input: Vec<u8>,
    born_ms: u64,
}

/// Keeps the counters right however the connection ends.
struct Registration {
    thread: Rc<Thread>,
    slot: usize,
    _counted: ClientConnection,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.thread.watches.remove(self.slot);
        self.thread.connections.set(self.thread.connections.get() - 1);
    }
}

/// Serves a client in a task of its own.
pub(crate) fn spawn(
    thread: Rc<Thread>,
    listener: Rc<ListenerLocal>,
    node: Rc<NodeLocal>,
    client: Stream,
    peer: Rc<ClientInfo>,
) {
    let idle_ms = listener.route.borrow().idle_ms;
    let (slot, watch) = thread.watches.add(listener.serial, thread.deadline_in(idle_ms));
    let counted = ClientConnection::new(node.clone(), thread.index);
    let registration = Registration { thread: thread.clone(), slot, _counted: counted };
    thread.connections.set(thread.connections.get() + 1);
    let mut connection = Connection::new(thread, listener, node, watch, client, peer, ClientProtocol::Http1);
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
            lines: b"",
            edits: None,
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
pub(crate) enum Next {
    Request(Prepared),
    Refused(Refusal, Exchange),
    Closed,
}

/// An answer of the load balancer itself.
pub(crate) struct Own<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    /// Further header lines, each with its line end.
    pub(crate) lines: &'a [u8],
    /// Whether the connection may stay.
    pub(crate) keep: bool,
}

/// What of an answer a client reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    /// It asked with HEAD.
    Head,
    /// It speaks HTTP/0.9.
    Body,
}

impl Connection {
    /// A connection; the caller counts it.
    pub(crate) fn new(
        thread: Rc<Thread>,
        listener: Rc<ListenerLocal>,
        node: Rc<NodeLocal>,
        watch: Rc<Watch>,
        client: Stream,
        peer: Rc<ClientInfo>,
        protocol: ClientProtocol,
    ) -> Connection {
        let born_ms = thread.now_ms();
        Connection { thread, listener, node, watch, client, peer, protocol, input: Vec::new(), born_ms }
    }

    /// Serves requests until either side is done.
    pub(crate) async fn serve(&mut self) {
        while self.serve_one().await {}
    }

    /// Serves the next request; `true` if another may follow.
    pub(crate) async fn serve_one(&mut self) -> bool {
        // Boxed, because a connection between two requests should take little memory.
        match self.next_request().await {
            Next::Request(prepared) => Box::pin(self.carry_out(prepared)).await,
            Next::Refused(refusal, exchange) => Box::pin(self.refuse(refusal, exchange)).await,
            Next::Closed => false,
        }
    }

    /// Whether the client's connection may serve another request.
    pub(crate) fn may_stay(&self) -> bool {
        let life_ms = self.listener.route.borrow().client_life_ms;
        !self.listener.closing.get() && self.thread.now_ms() - self.born_ms < life_ms
    }

    async fn next_request(&mut self) -> Next {
        let idle_ms = self.listener.route.borrow().idle_ms;
        let wait_ms = if self.listener.closing.get() { CLOSING_GRACE_MS } else { idle_ms };
        self.watch.set_doing(if self.input.is_empty() { Doing::Idle } else { Doing::Talking });
        self.watch.set_deadline(self.thread.deadline_in(wait_ms));
        let mut reading = HeadReader { parsed_bytes: 0, exchange: None };
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
                        Interrupt::Timeout if !self.input.is_empty() => {
                            let exchange =
                                reading.exchange.take().unwrap_or_else(|| Exchange::begin(&self.node, &self.peer));
                            self.refused(Refusal::status(408), &[], exchange)
                        }
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
    ///
    /// Its future is made for each request and lives as long as the target
    /// takes. What is rare is boxed, so that it stays small.
    async fn carry_out(&mut self, mut prepared: Prepared) -> bool {
        self.watch.set_doing(Doing::Talking);
        if prepared.info.expects_continue && !prepared.body.is_done() && !Box::pin(self.write_all(page::CONTINUE)).await
        {
            return false;
        }
        if let Some(visit) = prepared.visit.take()
            && let Err(keep) = Box::pin(self.authenticate(&visit, &mut prepared)).await
        {
            return keep;
        }
        if let Some(status) = prepared.refused {
            return self.answer_page(status, true, &mut prepared).await;
        }
        let route = prepared.route.clone();
        match &route.rules[prepared.rule].action {
            RouteAction::Forward(action) => self.forward(&mut prepared, action).await,
            RouteAction::Redirect(redirect) => self.answer_page(redirect.status(), true, &mut prepared).await,
            RouteAction::Fixed { status, content_type, body } => {
                let lines = std::mem::take(&mut prepared.lines);
                let own = Own { status: *status, content_type, body: body.as_bytes(), lines: &lines, keep: true };
                self.answer(own, &mut prepared).await
            }
            RouteAction::Broken => self.answer_page(500, true, &mut prepared).await,
        }
    }

    /// Answers with an error page; see [`Connection::answer`].
    pub(crate) async fn answer_page(&mut self, status: u16, keep: bool, prepared: &mut Prepared) -> bool {
        let body = page::error_page(status);
        let lines = std::mem::take(&mut prepared.lines);
        self.answer(Own { status, content_type: "text/html", body: &body, lines: &lines, keep }, prepared).await
    }

    /// Answers without a target; `true` if another request may follow. The
    /// connection ends if the request's body was not read.
    pub(crate) async fn answer(&mut self, own: Own<'_>, prepared: &mut Prepared) -> bool {
        self.thread.give_back(std::mem::take(&mut prepared.head));
        let keep = own.keep && prepared.info.keep_alive && prepared.body.is_done() && self.may_stay();
        let form = match prepared.info {
            RequestHead { is_head: true, .. } => Form::Head,
            RequestHead { is_simple: true, .. } => Form::Body,
            _ => Form::Whole,
        };
        self.write_own(&own, keep, form, &mut prepared.exchange).await
    }

    /// Answers a request that is not carried out. The connection ends.
    async fn refuse(&mut self, refusal: Refusal, mut exchange: Exchange) -> bool {
        let body = page::error_page(refusal.status);
        let own = Own { status: refusal.status, content_type: "text/html", body: &body, lines: b"", keep: false };
        self.write_own(&own, false, Form::Whole, &mut exchange).await
    }

    async fn write_own(&mut self, own: &Own<'_>, keep_alive: bool, form: Form, exchange: &mut Exchange) -> bool {
        let route = self.listener.route.borrow().clone();
        let mut out = self.thread.buffer();
        let answer = Answer {
            status: own.status,
            content_type: own.content_type,
            body: own.body,
            now: self.thread.service_now(),
            keep_alive,
            head_only: form == Form::Head,
            lines: own.lines,
            edits: route.response.as_ref(),
        };
        match form {
            Form::Whole | Form::Head => page::write(&answer, &mut out),
            Form::Body => out.extend_from_slice(own.body),
        }
        exchange.answer_begun(own.status);
        exchange.own_answer(self.thread.index, &self.node, own.status);
        exchange.bytes(self.thread.index, &self.node, 0, out.len() as u64);
        self.watch.set_doing(Doing::Talking);
        self.watch.set_deadline(self.thread.deadline_in(route.idle_ms));
        let written = self.write_all(&out).await;
        self.client.finish();
        exchange.finish();
        self.thread.give_back(out);
        if written && !keep_alive {
            Box::pin(self.linger()).await;
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
        let client = &mut self.client;
        let written = self.watch.guard(async {
            client.write_all(bytes).await?;
            client.flush().await
        });
        matches!(written.await, Ok(Ok(())))
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
    /// Began with the first of them.
    exchange: Option<Exchange>,
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
        let exchange = self.exchange.take().unwrap_or_else(|| Exchange::begin(&connection.node, &connection.peer));
        let route = connection.listener.route.borrow().clone();
        let mut table = request::header_table();
        match request::read(input, route.headers.desync, &mut table) {
            Ok(Parsed::Partial) => self.wait(input, exchange, connection),
            Ok(Parsed::Complete(view)) => Some(connection.prepare(&view, route, input, exchange)),
            Err(refusal) => match simple::look(input) {
                Look::Line(length) => Some(connection.prepare_simple(length, route, input, exchange)),
                Look::Partial => self.wait(input, exchange, connection),
                Look::Other => Some(connection.refused(refusal, input, exchange)),
            },
        }
    }

    /// Keeps what came until there is more.
    fn wait(&mut self, input: &[u8], exchange: Exchange, connection: &mut Connection) -> Option<Next> {
        self.parsed_bytes = input.len();
        self.exchange = Some(exchange);
        connection.input.extend_from_slice(input);
        None
    }
}

/// Whether a client's wish can be met by a group's version; `false` is 464 (alb.md 8).
pub(crate) fn speaks(
    protocol: ClientProtocol,
    version: elastane_domain::routing::ProtocolVersion,
    head: &[u8],
) -> bool {
    use elastane_domain::routing::ProtocolVersion::{Grpc, Http1, Http2};
    match (protocol, version) {
        (ClientProtocol::Http1, Http1) | (ClientProtocol::Http2, Http1 | Http2) => true,
        (ClientProtocol::Http1, Http2 | Grpc) | (ClientProtocol::Grpc, Http1) => false,
        (ClientProtocol::Http2, Grpc) => head.starts_with(b"POST "),
        (ClientProtocol::Grpc, Http2 | Grpc) => true,
    }
}

/// A body that ends where its head does, for requests that nothing is sent of.
pub(crate) fn rest_of(info: &RequestHead, rest: &[u8]) -> Result<(Body, usize), Refusal> {
    let mut body = info.body;
    let used = body.feed(rest).map_err(|_| Refusal::BAD_REQUEST)?;
    Ok((body, used))
}
