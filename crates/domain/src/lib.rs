//! Decisions as pure functions over plain data.
//!
//! What should happen is computed here; that it happens is the business of
//! the crates around it. Nothing in this crate reads a clock, does IO, starts
//! a thread or draws a random number of its own.

pub mod id;
pub mod machine;
pub mod routing;
pub mod time;
