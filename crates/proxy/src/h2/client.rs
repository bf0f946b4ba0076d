//! One request of an HTTP/2 client, as a connection of HTTP/1: reading it
//! gives the request, writing to it sends the response. So all that the load
//! balancer does with requests is written once.
//!
//! Nothing is read from the client before it is asked for, and nothing is
//! taken that the client's window has no room for: each side's flow control
//! holds the other.

use super::chunks::{self, Chunks, FRAMING_BYTES};
use super::head::{self, Framing, ReadResponse};
use super::to_io;
use crate::http::headers::ClientProtocol;
use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// What a head usually needs.
const HEAD_BYTES: usize = 512;
/// Most memory for heads that is kept for the next request.
const HEAD_BYTES_KEPT: usize = 2048;
/// Most of a head that is kept until it is whole; the engine writes heads at once.
const PARTIAL_MAX: usize = 128 * 1024;

/// What of the request was read.
enum Upload {
    /// The head or the trailers wait as text, of which so much was read; then what follows.
    Text { read: usize, then: After },
    /// The body.
    Body { chunked: bool },
    /// Nothing more.
    Done,
}

#[derive(Clone, Copy)]
enum After {
    Body { chunked: bool },
    Done,
}

/// How far the response is.
enum Download {
    /// The beginning of its head.
    Head { partial: Vec<u8>, respond: SendResponse<Bytes> },
    /// The body follows.
    Body { send: SendStream<Bytes>, rest: Rest },
    /// Complete.
    Done,
}

/// The rest of a response's body.
enum Rest {
    Length(u64),
    Chunked(Chunks),
    UntilEnd,
}

/// A request of an HTTP/2 client.
pub(crate) struct ClientStream {
    body: RecvStream,
    /// The head or the trailers.
    text: Vec<u8>,
    /// The rest of a frame.
    frame: Bytes,
    upload: Upload,
    download: Download,
    protocol: ClientProtocol,
    is_head: bool,
}

impl ClientStream {
    /// Takes over a request; its head is written to `text`, which is empty.
    pub(super) fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>, mut text: Vec<u8>) -> ClientStream {
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        text.reserve(HEAD_BYTES);
        let then = match head::write_request(&parts, has_body, &mut text) {
            Framing::Empty | Framing::UntilEnd => After::Done,
            Framing::Length(_) => After::Body { chunked: false },
            Framing::Chunked => After::Body { chunked: true },
        };
        ClientStream {
            body,
            text,
            frame: Bytes::new(),
            upload: Upload::Text { read: 0, then },
            download: Download::Head { partial: Vec::new(), respond },
            protocol: head::protocol(&parts.headers),
            is_head: parts.method == Method::HEAD,
        }
    }

    /// What the client speaks: HTTP/2 or gRPC.
    pub(crate) fn protocol(&self) -> ClientProtocol {
        self.protocol
    }

    /// The memory of the request's head, which is not needed any more; empty.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.shrink_to(HEAD_BYTES_KEPT);
        text
    }

    /// Whether the response went out whole.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.download, Download::Done)
    }

    /// Ends a response whose body ends with the target's connection.
    pub(crate) fn finish(&mut self) {
        if let Download::Body { send, rest: Rest::UntilEnd } = &mut self.download {
            // A client that is gone needs no end.
            let _ = send.send_data(Bytes::new(), true);
            self.download = Download::Done;
        }
    }

    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_answered() {
            // The engine wants nothing more of a request that has its answer.
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        loop {
            match &mut self.upload {
                Upload::Text { read, then } => {
                    let text = &self.text;
                    let taken = out.remaining().min(text.len() - *read);
                    out.put_slice(&text[*read..*read + taken]);
                    *read += taken;
                    if *read == text.len() {
                        self.upload = match *then {
                            After::Body { chunked } => Upload::Body { chunked },
                            After::Done => Upload::Done,
                        };
                    }
                    // The head comes alone: body bytes go straight on to the target.
                    return Poll::Ready(Ok(()));
                }
                Upload::Body { chunked } => {
                    let chunked = *chunked;
                    match self.poll_body(context, chunked, out) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending if out.filled().len() > before => return Poll::Ready(Ok(())),
                        Poll::Pending => return Poll::Pending,
                    }
                    if !matches!(self.upload, Upload::Text { .. }) && out.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Upload::Done => return self.poll_gone(context),
            }
        }
    }

    /// Moves what there is of the body; ready when the buffer is full or the body ended.
    fn poll_body(&mut self, context: &mut Context<'_>, chunked: bool, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let framing = if chunked { FRAMING_BYTES } else { 0 };
            if out.remaining() <= framing {
                return Poll::Ready(Ok(()));
            }
            if self.frame.is_empty() {
                match ready!(self.body.poll_data(context)) {
                    Some(Ok(frame)) => self.frame = frame,
                    Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
                    None => return self.poll_end(context, chunked),
                }
                continue;
            }
            let taken = self.frame.len().min(out.remaining() - framing);
            if chunked {
                chunks::push(&self.frame[..taken], out);
            } else {
                out.put_slice(&self.frame[..taken]);
            }
            self.frame.advance(taken);
            // The client may send as much again.
            self.body.flow_control().release_capacity(taken).map_err(to_io)?;
        }
    }

    fn poll_end(&mut self, context: &mut Context<'_>, chunked: bool) -> Poll<io::Result<()>> {
        let trailers = ready!(self.body.poll_trailers(context)).map_err(to_io)?;
        self.upload = Upload::Done;
        if chunked {
            self.text.clear();
            head::write_trailers(&trailers.unwrap_or_default(), &mut self.text);
            self.upload = Upload::Text { read: 0, then: After::Done };
        }
        Poll::Ready(Ok(()))
    }

    /// After the request: the end once it is answered, an error when the client gave it up.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reset = match &mut self.download {
            Download::Head { respond, .. } => respond.poll_reset(context),
            Download::Body { send, .. } => send.poll_reset(context),
            Download::Done => return Poll::Ready(Ok(())),
        };
        reset.map(|_| Err(io::ErrorKind::ConnectionReset.into()))
    }

    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut used = 0;
        if let Download::Head { partial, .. } = &mut self.download {
            if partial.is_empty() {
                match self.take_head(bytes)? {
                    Some(length) => used = length,
                    None => return Poll::Ready(Ok(bytes.len())),
                }
            } else {
                let before = partial.len();
                partial.extend_from_slice(bytes);
                let input = std::mem::take(partial);
                match self.take_head(&input)? {
                    Some(length) => used = length - before,
                    None => return Poll::Ready(Ok(bytes.len())),
                }
            }
        }
        let rest = &bytes[used..];
        if rest.is_empty() {
            return Poll::Ready(Ok(used));
        }
        match self.poll_write_body(context, rest) {
            Poll::Ready(Ok(more)) => Poll::Ready(Ok(used + more)),
            Poll::Pending if used > 0 => Poll::Ready(Ok(used)),
            other => other,
        }
    }

    /// Sends the response's head; the bytes that it took of `input`, or `None`
    /// if it is not whole: then it is kept.
    fn take_head(&mut self, input: &[u8]) -> io::Result<Option<usize>> {
        let Download::Head { partial, respond } = &mut self.download else {
            return Ok(Some(0));
        };
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let mut taken = 0;
        loop {
            let read = head::read_response(&input[taken..], self.is_head).map_err(|_| invalid())?;
            let Some(ReadResponse { mut response, framing, length, body }) = read else {
                if input.len() > PARTIAL_MAX {
                    return Err(invalid());
                }
                partial.extend_from_slice(&input[taken..]);
                // Interim responses before it are gone; the caller counts from its own start.
                return Ok(None);
            };
            taken += length;
            if response.status().is_informational() {
                respond.send_informational(response).map_err(to_io)?;
                continue;
            }
            if self.protocol == ClientProtocol::Grpc {
                explain(&mut response);
            }
            if let Some(body) = body {
                // It waits in the connection if the client has no room for it yet.
                let mut send = respond.send_response(response, false).map_err(to_io)?;
                send.send_data(body, true).map_err(to_io)?;
                self.download = Download::Done;
                return Ok(Some(input.len()));
            }
            let rest = match framing {
                Framing::Empty => None,
                Framing::Length(length) => Some(Rest::Length(length)),
                Framing::Chunked => Some(Rest::Chunked(Chunks::new())),
                Framing::UntilEnd => Some(Rest::UntilEnd),
            };
            let send = respond.send_response(response, rest.is_none()).map_err(to_io)?;
            self.download = match rest {
                Some(rest) => Download::Body { send, rest },
                None => Download::Done,
            };
            return Ok(Some(taken));
        }
    }

    fn poll_write_body(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Download::Body { send, rest } = &mut self.download else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        send.reserve_capacity(bytes.len());
        let mut room = send.capacity();
        while room == 0 {
            match ready!(send.poll_capacity(context)) {
                Some(Ok(capacity)) => room = capacity,
                Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
        let (used, is_end) = match rest {
            Rest::Length(left) => {
                let used = bytes.len().min(room).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                let is_end = *left == 0;
                send.send_data(Bytes::copy_from_slice(&bytes[..used]), is_end).map_err(to_io)?;
                (used, is_end)
            }
            Rest::UntilEnd => {
                let used = bytes.len().min(room);
                send.send_data(Bytes::copy_from_slice(&bytes[..used]), false).map_err(to_io)?;
                (used, false)
            }
            Rest::Chunked(chunks) => write_chunks(chunks, send, bytes, room)?,
        };
        if is_end {
            self.download = Download::Done;
        }
        Poll::Ready(Ok(used))
    }
}

/// Sends the payload of chunks, and trailers if there are any.
pub(super) fn write_chunks(
    chunks: &mut Chunks,
    send: &mut SendStream<Bytes>,
    bytes: &[u8],
    room: usize,
) -> io::Result<(usize, bool)> {
    let mut data = Vec::new();
    let used = chunks
        .feed(bytes, room, |payload| {
            if data.is_empty() {
                data.reserve(payload.len().max(bytes.len().min(room) / 2));
            }
            data.extend_from_slice(payload);
        })
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if !chunks.is_done() {
        if !data.is_empty() {
            send.send_data(data.into(), false).map_err(to_io)?;
        }
        return Ok((used, false));
    }
    let trailers = head::read_trailers(chunks.trailers()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if trailers.is_empty() {
        send.send_data(data.into(), true).map_err(to_io)?;
    } else {
        if !data.is_empty() {
            send.send_data(data.into(), false).map_err(to_io)?;
        }
        send.send_trailers(trailers).map_err(to_io)?;
    }
    Ok((used, true))
}

/// Tells a gRPC client in its own terms what the load balancer answers (alb.md 8).
fn explain(response: &mut Response<()>) {
    let status = response.status();
    if status == StatusCode::OK || response.headers().contains_key("grpc-status") {
        return;
    }
    let (code, message) = match status.as_u16() {
        400 => ("13", "internal"),
        401 => ("16", "unauthenticated"),
        403 => ("7", "permission denied"),
        404 => ("12", "unimplemented"),
        429 | 502..=504 => ("14", "unavailable"),
        _ => ("2", "unknown"),
    };
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(code));
    headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(message));
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        match &mut self.download {
            Download::Head { respond, .. } => respond.send_reset(Reason::INTERNAL_ERROR),
            Download::Body { send, .. } => send.send_reset(Reason::INTERNAL_ERROR),
            // The answer is whole; what the client still sends is not wanted.
            Download::Done => {}
        }
    }
}
