//! The proxy over real loopback sockets: no fixed ports, no sleeps; every
//! wait is for an event and has a limit that only a hang reaches.

mod bodies;
mod differential;
mod failures;
mod lifecycle;
mod support;
