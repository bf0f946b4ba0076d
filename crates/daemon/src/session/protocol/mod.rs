//! The protocol of Session Manager's data channel (ssm.md 2 to 6), without
//! sockets, clocks or processes: bytes and the time go in, frames and events
//! come out. The server's half and the client's share the messages and the
//! rules of delivery.

mod channel;
pub mod client;
mod message;
mod payload;
pub mod server;
pub mod smux;
#[cfg(test)]
mod tests;

pub use message::uuid_text;
pub use payload::Open;

/// A moment, as it is passed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never goes back, from any beginning.
    pub millis: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// Bytes of a terminal or a connection that one message carries (ssm.md 5).
pub const CHUNK_BYTES: usize = 1024;

/// What a client or a server of the protocol must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Shorter than a header, or than it says that it is.
    Cut,
    /// A header of another length.
    Header,
    /// No type, or none that is known.
    Kind,
    /// No date.
    Date,
    /// The payload is not what its digest says.
    Digest,
    /// A payload that cannot be understood.
    Payload,
}

/// What a session is, for the handshake.
pub fn session_type(name: &str, properties: serde_json::Value) -> payload::SessionType {
    payload::SessionType { session_type: name.to_string(), properties }
}
