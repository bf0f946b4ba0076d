//! Operations of AWS Certificate Manager.

mod errors;
mod pending;

pub use pending::*;
