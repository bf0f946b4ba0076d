//! A connection as the engine sees it: in clear text, inside TLS, or one
//! request of HTTP/2 in the shape of HTTP/1.

use crate::h2::{ClientStream, TargetStream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Http2(stream) => stream.poll_read(context, buffer),
            Stream::Http2Target(stream) => stream.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
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
