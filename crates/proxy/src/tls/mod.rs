//! TLS on both sides: listeners shake hands with clients by what a snapshot
//! says ([`Book`]), and connections to targets are wrapped by [`connect`].
//! Bytes inside are no business of this module.

mod accept;
mod choice;
mod config;
mod mutual;
mod open;
mod target;
mod x509;

pub(crate) use accept::{HandshakeFacts, handshake};
pub(crate) use config::{Book, ListenerTls};
pub(crate) use open::open;
pub(crate) use target::{Inside, connect};
