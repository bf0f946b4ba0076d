//! HTTP/2 with clients and with targets (alb.md 6 and 8).
//!
//! Frames, windows and header compression are the `h2` crate's. Here each
//! request becomes a [`Stream`](crate::stream::Stream) that speaks HTTP/1, on
//! either side: [`ClientStream`] towards the engine, [`TargetStream`] towards
//! a target. What rules, headers, cookies, errors and logs mean is therefore
//! the same for all versions. Trailers travel as those of chunked bodies.

mod chunks;
mod client;
mod head;
mod pool;
mod server;
mod target;
mod workers;

pub(crate) use client::ClientStream;
pub(crate) use pool::Http2Pool;
pub(crate) use server::spawn;
pub(crate) use target::TargetStream;
pub(crate) use workers::Workers;

use std::io;

/// Bytes that a peer may send on one stream before they are read: what a
/// stalled reader costs.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for a whole connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Longest header list (alb.md 6).
const HEADER_LIST_MAX: u32 = 64 * 1024;

/// An error of HTTP/2 as the error of a connection.
fn to_io(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().expect("it is one of input and output"),
        false => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}

#[cfg(test)]
mod tests {
    use crate::connection::speaks;
    use crate::http::headers::ClientProtocol as C;
    use elastane_domain::routing::ProtocolVersion as V;

    /// The table of alb.md 8.
    #[test]
    fn alb_8_versions() {
        for (client, group, head, want) in [
            (C::Http1, V::Http1, "GET / ", true),
            (C::Http2, V::Http1, "GET / ", true),
            (C::Grpc, V::Http1, "POST / ", false),
            (C::Http1, V::Http2, "GET / ", false),
            (C::Http1, V::Grpc, "POST / ", false),
            (C::Http2, V::Http2, "GET / ", true),
            (C::Grpc, V::Http2, "POST / ", true),
            (C::Http2, V::Grpc, "POST / ", true),
            (C::Http2, V::Grpc, "GET / ", false),
            (C::Grpc, V::Grpc, "POST / ", true),
        ] {
            assert_eq!(speaks(client, group, head.as_bytes()), want, "{client:?} {group:?}");
        }
    }
}
