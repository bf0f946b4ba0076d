//! One request to one target and the response back, both streaming: neither
//! side is read faster than the other can be written to.

use crate::connection::Connection;
use crate::forward::Way;
use crate::http::body::Body;
use crate::http::response::{self, ResponseContext, ResponseHead};
use crate::http::{Parsed, RESPONSE_HEAD_MAX};
use crate::local::TargetLocal;
use crate::prepare::Prepared;
use crate::splice::{MoveError, Mover};
use crate::sticky::{self, Answer};
use crate::stream::Stream;
use crate::thread::Thread;
use crate::watch::Interrupt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::AsyncWrite;

/// Interim responses that one request may get; they are not passed on.
const INTERIM_MAX: u32 = 8;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The response is complete; whether the client's connection stays.
    Complete { keep_client: bool },
    /// The target closed or reset before a response began. `silent`: without a byte of it.
    NoAnswer { silent: bool },
    /// The target did not take the request: it has seen nothing of it.
    Refused,
    /// What came is not a response.
    BadAnswer,
    /// No response in time.
    Late,
    /// The target was cut off before a response began.
    Cut,
    /// The client's body is not framed as it should be.
    BadBody,
    /// The client closed before a response began.
    ClientGone,
    /// The client closed, or said that nothing more comes, within its body.
    ShortBody,
    /// The response had begun and cannot be completed.
    Broken,
}

/// Bytes that wait to be written.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Writes what it can. Ready when all is written, or with the error.
    fn poll_flush(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
        mut progress: impl FnMut(usize),
    ) -> Poll<std::io::Result<()>> {
        while !self.is_empty() {
            match Pin::new(&mut *stream).poll_write(context, &self.bytes[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => {
                    self.sent += sent;
                    progress(sent);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // What a layer of encryption or framing keeps must go out too.
        Pin::new(stream).poll_flush(context)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}

/// What came of moving a body.
enum Moved {
    /// There is more to do.
    On,
    /// The sender ended before the body did, or the move failed.
    Ended,
    /// It cannot be moved, and nothing of it was taken.
    CopyInstead,
}

/// The exchange.
pub(crate) struct Relay<'a> {
    thread: Rc<Thread>,
    connection: &'a mut Connection,
    prepared: &'a mut Prepared,
    way: &'a Way<'a>,
    target: &'a TargetLocal,
    stream: Stream,
    head_sent: usize,
    upload: Outgoing,
    upload_failed: bool,
    /// Whether reading from the client still makes sense.
    upload_open: bool,
    upload_mover: Mover,
    download: Outgoing,
    download_mover: Mover,
    /// Whether more may come from the target; only a tunnel goes on without.
    download_open: bool,
    /// The beginning of a response head.
    partial: Vec<u8>,
    response: Option<ResponseHead>,
    response_body: Body,
    interims: u32,
    started: Instant,
    received: u64,
    sent: u64,
}

impl<'a> Relay<'a> {
    /// An exchange at its beginning, with its idle timeout.
    pub(crate) fn new(
        connection: &'a mut Connection,
        prepared: &'a mut Prepared,
        way: &'a Way<'a>,
        target: &'a TargetLocal,
        stream: Stream,
    ) -> Relay<'a> {
        let thread = connection.thread.clone();
        let started = Instant::now();
        prepared.exchange.dispatched(started);
        connection.watch.set_deadline(thread.deadline_in(prepared.route.idle_ms));
        let download = Outgoing { bytes: thread.buffer(), sent: 0 };
        // Early bytes of the next request say nothing about whether the client is still there.
        let upload_open = !prepared.body.is_done() || connection.input.is_empty();
        Relay {
            thread,
            connection,
            prepared,
            way,
            target,
            stream,
            head_sent: 0,
            upload: Outgoing::default(),
            upload_failed: false,
            upload_open,
            upload_mover: Mover::default(),
            download,
            download_mover: Mover::default(),
            download_open: true,
            partial: Vec::new(),
            response: None,
            response_body: Body::Empty,
            interims: 0,
            started,
            received: 0,
            sent: 0,
        }
    }

    /// After [`Relay::poll`] was ready: the target's connection goes back to
    /// the pool if it can serve another request.
    pub(crate) fn finish(mut self, end: End) -> End {
        if matches!(end, End::Complete { .. }) {
            self.connection.client.finish();
        }
        let (thread, node) = (self.thread.index, &self.connection.node);
        self.prepared.exchange.bytes(thread, node, self.received, self.sent);
        self.thread.give_back(std::mem::take(&mut self.download.bytes));
        let (Some(response), End::Complete { .. }) = (self.response, end) else {
            return end;
        };
        let whole = self.prepared.body.is_done()
            && !self.upload_failed
            && self.head_sent == self.prepared.head.len()
            && self.upload.is_empty()
            && self.upload_mover.is_empty();
        if whole && response.keep_target && !self.prepared.info.close_target && self.target.may_pool() {
            self.target.pool.put(self.stream, self.thread.now_ms());
        }
        End::Complete { keep_client: whole && response.keep_client }
    }

    /// Moves bytes until the exchange ended.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if let Poll::Ready(end) = self.poll_upload(context) {
            return Poll::Ready(end);
        }
        let was_tunnel = self.is_tunnel();
        if let Poll::Ready(end) = self.poll_download(context) {
            return Poll::Ready(end);
        }
        // A tunnel that just began makes the client's direction live again.
        if self.is_tunnel()
            && !was_tunnel
            && let Poll::Ready(end) = self.poll_upload(context)
        {
            return Poll::Ready(end);
        }
        self.connection.watch.poll(context).map(|interrupt| match interrupt {
            _ if self.response.is_some() => End::Broken,
            Interrupt::Timeout => End::Late,
            Interrupt::Cut | Interrupt::Closing => End::Cut,
        })
    }

    /// Bytes moved: the idle timeout starts anew.
    fn touch(&self) {
        let deadline = self.thread.deadline_in(self.prepared.route.idle_ms);
        self.connection.watch.set_deadline(deadline);
    }

    fn is_tunnel(&self) -> bool {
        self.response.is_some_and(|response| response.is_tunnel)
    }

    /// Moves the request; ready only if the exchange cannot go on.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.poll_flush_upload(context).is_pending() {
                return Poll::Pending;
            }
            if !self.upload_failed && self.upload_mover.is_wanted(&self.prepared.body) {
                match ready!(self.poll_move_upload(context)) {
                    Moved::On => continue,
                    Moved::Ended => return Poll::Ready(self.client_gone()),
                    Moved::CopyInstead => {}
                }
            }
            if !self.upload_open {
                return Poll::Pending;
            }
            let Poll::Ready(read) = self.thread.poll_read(&mut self.connection.client, context, <[u8]>::len) else {
                return Poll::Pending;
            };
            match read {
                Ok(length) if length > 0 => {
                    if let Some(end) = self.take_upload(length, context) {
                        return Poll::Ready(end);
                    }
                }
                Ok(_) if self.is_tunnel() => {
                    // One direction of a tunnel may end before the other. The
                    // shutdown of a socket without a layer above does not wait.
                    let _ = Pin::new(&mut self.stream).poll_shutdown(context);
                    self.upload_open = false;
                    if !self.download_open {
                        return Poll::Ready(End::Complete { keep_client: false });
                    }
                }
                Ok(_) | Err(_) => return Poll::Ready(self.client_gone()),
            }
        }
    }

    /// Moves a long body without copying it. As with copies, an error of the
    /// target only ends the upload.
    fn poll_move_upload(&mut self, context: &mut Context<'_>) -> Poll<Moved> {
        let left = &mut self.prepared.body;
        let moved = self.upload_mover.poll_body(&self.connection.client, &self.stream, left, context);
        Poll::Ready(match ready!(moved) {
            Ok(0) if self.upload_mover.is_usable() => Moved::Ended,
            Ok(0) => Moved::CopyInstead,
            Ok(count) => {
                self.received += count;
                self.touch();
                Moved::On
            }
            Err(MoveError::From(_)) => Moved::Ended,
            Err(MoveError::To(_)) => {
                self.upload_failed = true;
                Moved::On
            }
        })
    }

    /// Writes what waits for the target. A target that does not read any
    /// more may still answer, so an error only ends the upload.
    fn poll_flush_upload(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.upload_failed && self.head_sent < self.prepared.head.len() {
            let rest = &self.prepared.head[self.head_sent..];
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(sent)) if sent > 0 => self.head_sent += sent,
                Poll::Ready(_) => self.upload_failed = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.upload_failed {
            return Poll::Ready(());
        }
        let mut moved = false;
        let flushed = self.upload.poll_flush(&mut self.stream, context, |_| moved = true);
        if moved {
            self.touch();
        }
        match flushed {
            Poll::Ready(Ok(())) => self.upload.clear(),
            Poll::Ready(Err(_)) => self.upload_failed = true,
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Takes what was read from the client.
    fn take_upload(&mut self, length: usize, context: &mut Context<'_>) -> Option<End> {
        self.touch();
        let thread = self.thread.clone();
        thread.with_scratch(length, |bytes| {
            let body = &mut self.prepared.body;
            if body.is_done() {
                // The next request came early; it waits its turn.
                self.connection.input.extend_from_slice(bytes);
                self.upload_open = false;
                return None;
            }
            let Ok(used) = body.feed(bytes) else {
                return Some(if self.response.is_some() { End::Broken } else { End::BadBody });
            };
            self.received += used as u64;
            if used < bytes.len() {
                self.connection.input.extend_from_slice(&bytes[used..]);
                self.upload_open = false;
            }
            if !self.upload_failed {
                let sent = match Pin::new(&mut self.stream).poll_write(context, &bytes[..used]) {
                    Poll::Ready(Ok(sent)) => sent,
                    Poll::Ready(Err(_)) => {
                        self.upload_failed = true;
                        used
                    }
                    Poll::Pending => 0,
                };
                self.upload.bytes.extend_from_slice(&bytes[sent..used]);
            }
            None
        })
    }

    fn client_gone(&self) -> End {
        match self.response {
            Some(_) => End::Broken,
            None if self.prepared.body.is_done() => End::ClientGone,
            None => End::ShortBody,
        }
    }

    /// Moves the response; ready when the exchange ended.
    fn poll_download(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            let mut moved = 0;
            let client = &mut self.connection.client;
            let flushed = self.download.poll_flush(client, context, |sent| moved += sent as u64);
            if moved > 0 {
                self.sent += moved;
                self.touch();
            }
            match flushed {
                Poll::Ready(Ok(())) => self.download.clear(),
                Poll::Ready(Err(_)) => return Poll::Ready(End::Broken),
                Poll::Pending => return Poll::Pending,
            }
            if self.response.is_some_and(|head| !head.unframed) && self.download_mover.is_wanted(&self.response_body) {
                match ready!(self.poll_move_download(context)) {
                    Moved::On => continue,
                    Moved::Ended => return Poll::Ready(End::Broken),
                    Moved::CopyInstead => {}
                }
            }
            if self.response.is_some() && self.response_body.is_done() {
                return Poll::Ready(End::Complete { keep_client: true });
            }
            if !self.download_open {
                return Poll::Pending;
            }
            let Poll::Ready(read) = self.thread.poll_read(&mut self.stream, context, <[u8]>::len) else {
                return Poll::Pending;
            };
            match read {
                Ok(length) if length > 0 => {
                    if let Some(end) = self.take_download(length, context) {
                        return Poll::Ready(end);
                    }
                }
                Ok(_) if self.is_tunnel() && self.upload_open && !self.upload_failed => {
                    let _ = Pin::new(&mut self.connection.client).poll_shutdown(context);
                    self.download_open = false;
                }
                Err(error) if self.response.is_none() && error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    return Poll::Ready(End::Refused);
                }
                closed => return Poll::Ready(self.target_ended(closed.is_ok())),
            }
        }
    }

    /// Moves a long body without copying it.
    fn poll_move_download(&mut self, context: &mut Context<'_>) -> Poll<Moved> {
        let left = &mut self.response_body;
        let moved = self.download_mover.poll_body(&self.stream, &self.connection.client, left, context);
        Poll::Ready(match ready!(moved) {
            Ok(0) if !self.download_mover.is_usable() => Moved::CopyInstead,
            Ok(0) | Err(_) => Moved::Ended,
            Ok(count) => {
                self.sent += count;
                self.touch();
                Moved::On
            }
        })
    }

    fn target_ended(&self, orderly: bool) -> End {
        match self.response {
            None => End::NoAnswer { silent: self.partial.is_empty() && self.interims == 0 },
            Some(_) if orderly && self.response_body == Body::UntilClose => End::Complete { keep_client: false },
            Some(_) => End::Broken,
        }
    }

    /// Takes what was read from the target.
    fn take_download(&mut self, length: usize, context: &mut Context<'_>) -> Option<End> {
        self.touch();
        let thread = self.thread.clone();
        thread.with_scratch(length, |bytes| {
            let Some(response) = &mut self.response else {
                if self.partial.is_empty() {
                    return self.take_head(bytes);
                }
                self.partial.extend_from_slice(bytes);
                // A head cannot end without a line's end: no need to parse again.
                if !bytes.contains(&b'\n') && self.partial.len() < RESPONSE_HEAD_MAX {
                    return None;
                }
                let input = std::mem::take(&mut self.partial);
                return self.take_head(&input);
            };
            if response.unframed {
                let out = &mut self.download.bytes;
                let fed = self.response_body.feed_payload(bytes, &mut |data| out.extend_from_slice(data));
                return fed.err().map(|_| End::Broken);
            }
            let Ok(used) = self.response_body.feed(bytes) else {
                return Some(End::Broken);
            };
            response.keep_target &= used == bytes.len();
            let sent = match Pin::new(&mut self.connection.client).poll_write(context, &bytes[..used]) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(_)) => return Some(End::Broken),
                Poll::Pending => 0,
            };
            self.sent += sent as u64;
            self.download.bytes.extend_from_slice(&bytes[sent..used]);
            None
        })
    }

    /// Reads the response's head, after interim ones, and the body bytes that came with it.
    fn take_head(&mut self, mut input: &[u8]) -> Option<End> {
        let info = self.prepared.info;
        let context = ResponseContext {
            is_head: info.is_head,
            upgrade: info.upgrade,
            is_version_11: info.is_version_11,
            // A body that the target has not waited for may never be read to its end.
            keep_alive: info.keep_alive && self.prepared.body.is_done() && self.connection.may_stay(),
            edits: self.prepared.route.response.as_ref(),
        };
        loop {
            match response::parse(input, &context, &mut self.download.bytes) {
                Err(_) => return Some(End::BadAnswer),
                Ok(Parsed::Partial) => {
                    self.partial.extend_from_slice(input);
                    return None;
                }
                Ok(Parsed::Complete(head)) if head.is_interim => {
                    self.interims += 1;
                    if self.interims > INTERIM_MAX {
                        return Some(End::BadAnswer);
                    }
                    input = &input[head.length..];
                }
                Ok(Parsed::Complete(head)) => {
                    if self.prepared.sticky.is_some() || !self.prepared.lines.is_empty() {
                        self.add_lines(&input[..head.length]);
                    }
                    return self.begin(head, &input[head.length..]);
                }
            }
        }
    }

    /// Puts the load balancer's own lines at the end of the head for the
    /// client; `raw` is the target's head.
    fn add_lines(&mut self, raw: &[u8]) {
        let out = &mut self.download.bytes;
        out.truncate(out.len() - b"\r\n".len());
        out.extend_from_slice(&self.prepared.lines);
        let Way { group, action } = self.way;
        if self.prepared.sticky.is_some() {
            let answer = Answer {
                jar: &self.thread.jar,
                balancer: &self.prepared.route.balancer_arn,
                group,
                target: self.target,
                group_secs: action.stickiness_secs,
                app_cookie_set: group.app_cookie().is_some_and(|name| sticky::sets_cookie(raw, name)),
                now: self.thread.service_now(),
            };
            answer.write_lines(out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Starts the response to the client.
    fn begin(&mut self, mut head: ResponseHead, rest: &[u8]) -> Option<End> {
        let mut body = if head.is_tunnel { Body::UntilClose } else { head.body };
        let out = &mut self.download.bytes;
        if self.prepared.info.is_simple {
            out.clear();
        }
        let fed = match head.unframed {
            true => body.feed_payload(rest, &mut |data| out.extend_from_slice(data)),
            false => body.feed(rest).inspect(|&used| out.extend_from_slice(&rest[..used])),
        };
        let Ok(used) = fed else {
            // Nothing of it has been sent.
            self.download.clear();
            return Some(End::BadAnswer);
        };
        head.keep_target &= used == rest.len();
        let now = Instant::now();
        let (thread, took) = (self.thread.index, now.saturating_duration_since(self.started));
        let exchange = &mut self.prepared.exchange;
        exchange.responded(thread, &self.connection.node, self.target, head.status, took, now);
        self.response_body = body;
        if head.is_tunnel {
            if let Some(entry) = exchange.entry() {
                entry.kind = entry.kind.upgraded();
            }
            self.prepared.body = Body::UntilClose;
            self.upload_open = true;
            self.upload.bytes.append(&mut self.connection.input);
        }
        self.response = Some(head);
        None
    }
}
