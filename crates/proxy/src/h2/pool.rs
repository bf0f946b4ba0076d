//! Connections to targets that speak HTTP/2: a few per thread and target,
//! shared by the requests under way.

use super::target::TargetStream;
use super::{CONNECTION_WINDOW, HEADER_LIST_MAX, STREAM_WINDOW};
use crate::stream::Stream;
use bytes::Bytes;
use h2::client::SendRequest;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// Requests on one connection at once, though a target may allow more: beyond
/// it a second connection gives the target's other threads work.
const STREAMS_MAX: usize = 100;
/// How long a connection without requests is kept.
const IDLE_MS: u64 = 50_000;
/// Request bytes of one stream that wait for the socket.
const SEND_BUFFER_MAX: usize = 64 * 1024;
/// Resets that are remembered while a target may still send on those streams.
const RESET_STREAMS_MAX: usize = 64;

/// A connection's place for one request; given back when dropped.
pub(super) struct Place {
    link: Rc<Link>,
    /// What [`Link::heard`] was when the request began.
    heard_before: u64,
}

impl Place {
    /// The target said something.
    pub(super) fn heard(&self) {
        self.link.heard.set(self.link.heard.get() + 1);
    }

    /// Nobody waits for the answer any more. If the target was silent
    /// altogether it may be gone without a word: nothing new goes there.
    pub(super) fn given_up(&self) {
        if self.link.heard.get() == self.heard_before {
            self.link.closed.set(true);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let link = &self.link;
        link.streams.set(link.streams.get() - 1);
        if link.closed.get() {
            link.retire();
        }
    }
}

/// One connection.
struct Link {
    send: SendRequest<Bytes>,
    streams: Cell<usize>,
    /// Grows when the target says something.
    heard: Cell<u64>,
    /// It takes no more requests, or is gone.
    closed: Cell<bool>,
    /// Ends the task that drives it.
    end: Notify,
    idle_since_ms: Cell<u64>,
}

/// Connections to one target.
#[derive(Default)]
pub(crate) struct Http2Pool {
    links: RefCell<Vec<Rc<Link>>>,
    connecting: Cell<bool>,
    connected: Notify,
}

/// The one connection being made, so that a burst of requests shares it.
pub(crate) struct Turn<'a>(&'a Http2Pool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.connected.notify_waiters();
    }
}

impl Http2Pool {
    /// A stream, or the turn to make a connection for one; waits while
    /// somebody else makes one.
    pub(crate) async fn take_or_turn(&self, scheme: &'static str) -> Result<Stream, Turn<'_>> {
        loop {
            if let Some(stream) = self.take(scheme) {
                return Ok(stream);
            }
            if !self.connecting.replace(true) {
                return Err(Turn(self));
            }
            self.connected.notified().await;
        }
    }

    /// A stream on a connection that has room for one.
    pub(crate) fn take(&self, scheme: &'static str) -> Option<Stream> {
        let mut links = self.links.borrow_mut();
        links.retain(|link| !link.closed.get());
        links.iter().find_map(|link| link.stream(scheme))
    }

    /// Makes a connection of a new stream to the target, and a stream on it.
    /// Not limited in time.
    pub(crate) async fn connect(&self, stream: Stream, scheme: &'static str, now_ms: u64) -> io::Result<Stream> {
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            // Until the target's settings say how many it takes.
            .initial_max_send_streams(STREAMS_MAX)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_MAX)
            .max_concurrent_reset_streams(RESET_STREAMS_MAX)
            .max_send_buffer_size(SEND_BUFFER_MAX)
            .handshake::<_, Bytes>(stream);
        let (send, connection) = handshake.await.map_err(super::to_io)?;
        let link = Rc::new(Link {
            send,
            streams: Cell::new(0),
            heard: Cell::new(0),
            closed: Cell::new(false),
            end: Notify::new(),
            idle_since_ms: Cell::new(now_ms),
        });
        let driven = link.clone();
        tokio::task::spawn_local(async move {
            let mut connection = connection;
            // How it ended is told to each of its streams.
            tokio::select! {
                _ = &mut connection => {}
                () = driven.end.notified() => {}
            }
            driven.closed.set(true);
        });
        let Some(stream) = link.stream(scheme) else {
            link.retire();
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        self.links.borrow_mut().push(link);
        Ok(stream)
    }

    /// No new requests here; those under way go on.
    pub(crate) fn clear(&self) {
        for link in self.links.borrow_mut().drain(..) {
            link.retire();
        }
    }

    /// Closes connections without requests for long.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.links.borrow_mut().retain(|link| {
            if link.streams.get() > 0 {
                link.idle_since_ms.set(now_ms);
            }
            let keep = !link.closed.get() && link.idle_since_ms.get() + IDLE_MS > now_ms;
            if !keep {
                link.retire();
            }
            keep
        });
    }
}

impl Link {
    fn stream(self: &Rc<Link>, scheme: &'static str) -> Option<Stream> {
        let room = STREAMS_MAX.min(self.send.current_max_send_streams());
        if self.closed.get() || self.streams.get() >= room {
            return None;
        }
        let mut send = self.send.clone();
        match send.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                self.streams.set(self.streams.get() + 1);
                let stream =
                    TargetStream::new(send, scheme, Place { link: self.clone(), heard_before: self.heard.get() });
                Some(Stream::Http2Target(Box::new(stream)))
            }
            Poll::Ready(Err(_)) => {
                // The target said goodbye.
                self.closed.set(true);
                None
            }
            Poll::Pending => None,
        }
    }

    fn retire(&self) {
        self.closed.set(true);
        if self.streams.get() == 0 {
            self.end.notify_one();
        }
    }
}

impl Drop for Http2Pool {
    fn drop(&mut self) {
        self.clear();
    }
}
