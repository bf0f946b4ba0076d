//! A connection as the engine sees it: in clear text, inside TLS, or one
//! request of HTTP/2 in the shape of HTTP/1.

use crate::h2::{ClientStream, TargetStream};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection to a client or to a target. What is written may wait inside
/// TLS until it is flushed.
pub(crate) enum Stream {
    /// In clear text.
    Plain(TcpStream),
    /// Inside TLS; boxed, because most connections are not.
    Tls(Box<TlsStream<TcpStream>>),
    /// One request of an HTTP/2 client.
    Http2(Box<ClientStream>),
    /// One request to an HTTP/2 target.
    Http2Target(Box<TargetStream>),
}

impl Stream {
    /// The socket below; `None` for one of many requests of a connection.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(stream) => Some(stream.get_ref().0),
            Stream::Http2(_) | Stream::Http2Target(_) => None,
        }
    }

    /// The response to the client is complete. Where the end of the connection
    /// would say so, and the connection goes on, it is said here.
    pub(crate) fn finish(&mut self) {
        if let Stream::Http2(stream) = self {
            stream.finish();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => poll_receive(stream, context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Http2(stream) => stream.poll_read(context, buffer),
            Stream::Http2Target(stream) => stream.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => poll_send(stream, context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Http2(stream) => stream.poll_write(context, bytes),
            Stream::Http2Target(stream) => stream.poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Http2(_) | Stream::Http2Target(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Http2(_) | Stream::Http2Target(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            // Their connections' tasks send what they have.
            Stream::Http2(_) | Stream::Http2Target(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Http2(_) | Stream::Http2Target(_) => Poll::Ready(Ok(())),
        }
    }
}

/// What [`AsyncRead`] of a socket does, without what the C library's call
/// costs in a process of several threads, where it is a point at which a
/// thread may be cancelled.
fn poll_receive(stream: &TcpStream, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let length = transfer(
        || stream.poll_read_ready(context),
        |call| stream.try_io(Interest::READABLE, call),
        buffer.remaining(),
        || recv(stream, buffer.initialize_unfilled(), RecvFlags::empty()).map(|(_, length)| length),
    );
    Poll::Ready(ready!(length).map(|length| buffer.advance(length)))
}

/// The same for [`AsyncWrite`].
fn poll_send(stream: &TcpStream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    transfer(
        || stream.poll_write_ready(context),
        |call| stream.try_io(Interest::WRITABLE, call),
        bytes.len(),
        || send(stream, bytes, SendFlags::NOSIGNAL),
    )
}

/// Waits for a socket and calls once. When less moved than could have, the
/// socket has no more for now: that is noted, so that nobody has to call again
/// to learn it (it announces what comes next).
fn transfer(
    mut poll_ready: impl FnMut() -> Poll<io::Result<()>>,
    mut attempt: impl FnMut(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    most: usize,
    mut call: impl FnMut() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(poll_ready())?;
        let mut moved = None;
        let result = attempt(&mut || {
            let length = call()?;
            moved = Some(length);
            let is_short = length > 0 && length < most;
            if is_short { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (moved, result) {
            (Some(length), _) => return Poll::Ready(Ok(length)),
            (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
            (None, _) => {}
        }
    }
}
