//! Key Management Service: keys, their aliases, and what is sealed with them.

mod pending;

pub use pending::*;
