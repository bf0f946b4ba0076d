//! Decisions as pure functions over plain data.
//!
//! What should happen is computed here; that it happens is the business of
//! the crates around it. Nothing in this crate reads a clock, does IO, starts
//! a thread or draws a random number of its own.

pub mod alarm;
pub mod capacity;
pub mod capacity_units;
pub mod choice;
pub mod command;
pub mod credits;
pub mod flow;
pub mod forecast;
pub mod group;
pub mod health;
pub mod hooks;
pub mod id;
pub mod lifecycle;
pub mod machine;
pub mod mixed;
pub mod moves;
pub mod network;
pub mod policy;
pub mod refresh;
pub mod routing;
pub mod rules;
pub mod scaling;
pub mod schedule;
pub mod secret;
pub mod series;
pub mod time;
pub mod tls;
pub mod types;
pub mod vpc;
pub mod warm_pool;
pub mod wildcard;
