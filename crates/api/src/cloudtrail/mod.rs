//! CloudTrail: the trail of calls.

mod pending;

pub use pending::*;
