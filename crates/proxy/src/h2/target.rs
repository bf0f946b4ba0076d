//! One request to a target that speaks HTTP/2, as a connection of HTTP/1:
//! writing to it sends the request, reading it gives the response.

use super::chunks::{self, Chunks, FRAMING_BYTES};
use super::client::write_chunks;
use super::head::{self, Framing};
use super::to_io;
use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// Most of a request head that is kept until it is whole.
const PARTIAL_MAX: usize = 256 * 1024;

/// What of the request was sent.
enum Upload {
    Head { partial: Vec<u8>, ready: SendRequest<Bytes> },
    Body { send: SendStream<Bytes>, rest: Rest },
    Done(Option<SendStream<Bytes>>),
}

enum Rest {
    Length(u64),
    Chunked(Chunks),
}

/// What of the response was read.
enum Download {
    /// The request is not sent yet, or the head is not here.
    Head(Option<ResponseFuture>),
    /// The head or the trailers wait as text.
    Text {
        text: Vec<u8>,
        read: usize,
        body: Option<RecvStream>,
        chunked: bool,
    },
    Body {
        body: RecvStream,
        chunked: bool,
    },
    Done,
    /// The request could not be sent at all.
    Unsent,
}

/// A request to an HTTP/2 target.
pub(crate) struct TargetStream {
    upload: Upload,
    download: Download,
    /// The rest of a frame.
    frame: Bytes,
    scheme: &'static str,
    /// Its place on the connection.
    place: super::pool::Place,
}

impl TargetStream {
    /// A stream on a connection that is ready for one.
    pub(super) fn new(ready: SendRequest<Bytes>, scheme: &'static str, place: super::pool::Place) -> TargetStream {
        TargetStream {
            upload: Upload::Head { partial: Vec::new(), ready },
            download: Download::Head(None),
            frame: Bytes::new(),
            scheme,
            place,
        }
    }

    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Upload::Head { partial, .. } = &mut self.upload {
            let before = partial.len();
            partial.extend_from_slice(bytes);
            let input = std::mem::take(partial);
            let taken = self.take_head(input).inspect_err(|_| self.download = Download::Unsent);
            return Poll::Ready(taken.map(|taken| match taken {
                Some(length) => length - before,
                None => bytes.len(),
            }));
        }
        self.poll_write_body(context, bytes)
    }

    /// Sends the head; the bytes that it took of `input`, or `None` if it is
    /// not whole: then it is kept.
    fn take_head(&mut self, input: Vec<u8>) -> io::Result<Option<usize>> {
        let Upload::Head { partial, ready } = &mut self.upload else {
            return Ok(Some(0));
        };
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let Some((request, framing, length)) = head::read_request(&input, self.scheme).map_err(|_| invalid())? else {
            if input.len() > PARTIAL_MAX {
                return Err(invalid());
            }
            *partial = input;
            return Ok(None);
        };
        let rest = match framing {
            Framing::Empty | Framing::UntilEnd => None,
            Framing::Length(length) => Some(Rest::Length(length)),
            Framing::Chunked => Some(Rest::Chunked(Chunks::new())),
        };
        let (response, send) = ready.send_request(request, rest.is_none()).map_err(to_io)?;
        self.download = Download::Head(Some(response));
        self.upload = match rest {
            Some(rest) => Upload::Body { send, rest },
            None => Upload::Done(Some(send)),
        };
        Ok(Some(length))
    }

    fn poll_write_body(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Upload::Body { send, rest } = &mut self.upload else {
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
            Rest::Chunked(chunks) => write_chunks(chunks, send, bytes, room)?,
        };
        if is_end && let Upload::Body { send, .. } = std::mem::replace(&mut self.upload, Upload::Done(None)) {
            self.upload = Upload::Done(Some(send));
        }
        Poll::Ready(Ok(used))
    }

    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        loop {
            match &mut self.download {
                Download::Head(None) => return Poll::Pending,
                Download::Head(Some(response)) => {
                    let response = ready!(Pin::new(response).poll(context)).map_err(unanswered)?;
                    self.place.heard();
                    let (parts, body) = response.into_parts();
                    let mut text = Vec::with_capacity(256);
                    let framing = head::write_response(&parts, !body.is_end_stream(), &mut text);
                    let chunked = framing == Framing::Chunked;
                    let body = (framing != Framing::Empty).then_some(body);
                    self.download = Download::Text { text, read: 0, body, chunked };
                }
                Download::Text { text, read, body, chunked } => {
                    let taken = out.remaining().min(text.len() - *read);
                    out.put_slice(&text[*read..*read + taken]);
                    *read += taken;
                    if *read == text.len() {
                        self.download = match body.take() {
                            Some(body) => Download::Body { body, chunked: *chunked },
                            None => Download::Done,
                        };
                    }
                    return Poll::Ready(Ok(()));
                }
                Download::Body { chunked, .. } => {
                    let chunked = *chunked;
                    match self.poll_body(context, chunked, out) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Pending if out.filled().len() > before => return Poll::Ready(Ok(())),
                        other => return other,
                    }
                    if out.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Download::Done => return Poll::Ready(Ok(())),
                Download::Unsent => return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            }
        }
    }

    /// Moves what there is of the body; ready when the buffer is full or the body ended.
    fn poll_body(&mut self, context: &mut Context<'_>, chunked: bool, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Download::Body { body, .. } = &mut self.download else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let framing = if chunked { FRAMING_BYTES } else { 0 };
            if out.remaining() <= framing {
                return Poll::Ready(Ok(()));
            }
            if self.frame.is_empty() {
                match ready!(body.poll_data(context)) {
                    Some(Ok(frame)) => {
                        self.place.heard();
                        self.frame = frame;
                    }
                    Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
                    None => {
                        let trailers = ready!(body.poll_trailers(context)).map_err(to_io)?;
                        self.download = match chunked {
                            true => {
                                let mut text = Vec::new();
                                head::write_trailers(&trailers.unwrap_or_default(), &mut text);
                                Download::Text { text, read: 0, body: None, chunked }
                            }
                            false => Download::Done,
                        };
                        return Poll::Ready(Ok(()));
                    }
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
            body.flow_control().release_capacity(taken).map_err(to_io)?;
        }
    }
}

/// Why there is no response: a request that the target has not looked at may
/// go elsewhere.
fn unanswered(error: h2::Error) -> io::Error {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    match refused || (error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)) {
        true => io::ErrorKind::ConnectionRefused.into(),
        false => to_io(error),
    }
}

impl Drop for TargetStream {
    fn drop(&mut self) {
        if matches!(self.download, Download::Head(Some(_))) {
            self.place.given_up();
        }
        let is_whole = matches!(self.download, Download::Done);
        match &mut self.upload {
            Upload::Body { send, .. } => send.send_reset(if is_whole { Reason::NO_ERROR } else { Reason::CANCEL }),
            Upload::Done(Some(send)) if !is_whole => send.send_reset(Reason::CANCEL),
            Upload::Head { .. } | Upload::Done(_) => {}
        }
    }
}
