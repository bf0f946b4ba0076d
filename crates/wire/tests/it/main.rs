//! The wire crate through its public interface: every operation there and
//! back in every protocol, bad requests, and a seeded fuzz of the parsers.

mod fuzz;
mod random;
mod requests;
mod roundtrip;
