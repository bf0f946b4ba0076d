//! The data plane in a process of its own: [`serve`] runs it, [`RemoteProxy`]
//! is what the daemon uses instead of a [`crate::Proxy`]. They speak over a
//! unix socket in the data directory that only its owner can use.
//!
//! Snapshots go one way whole; only the newest waits. Facts come the other
//! way: all that are true after each attachment, then each change. Counters
//! are taken by asking, and are told again until they were called safe. A
//! new process takes over by receiving the listening sockets, so that what
//! waits in their queues is served; the old one then finishes what it has,
//! and what it counts and drains is told by the new one.
//!
//! Several processes may serve one data directory, each the addresses that
//! are its [`Share`] and each found at a socket of its own.

mod batches;
mod book;
mod client;
mod council;
mod estate;
mod exposition;
mod frame;
mod link;
mod merge;
mod message;
mod place;
mod server;
mod session;

pub use crate::share::{PROCESSES_MAX, Share};
pub use client::{Process, RemoteProxy};
pub use link::{Link, LinkEvents, ask, stop};
pub use message::{ClockSettings, Hello, PROTOCOL, Role};
pub use place::{dial, peer, socket_file};
pub use server::{Parts, Service, serve};
