//! A simulated world around the real engine: our tests, and the product's
//! simulator.
//!
//! A run is a function of its seed: the seed draws a mix of faults; under it
//! clients call, hosts boot and die, the disk fails, the daemon crashes at any
//! commit; after every step the checkers look; then the faults end and the
//! world must converge. A failure prints its seed.

mod balancer_acts;
mod chaos;
mod checker;
pub mod cli;
mod client;
mod command_acts;
mod command_rules;
mod commands;
mod disk;
mod focus;
mod focus_acts;
mod group_acts;
mod group_calls;
mod group_rules;
mod host;
mod met;
mod mixed_calls;
mod network_acts;
mod network_rules;
#[cfg(test)]
mod planted_bugs;
mod policy_calls;
mod policy_rules;
mod refresh_rules;
mod requests;
mod rest_rules;
mod round_rules;
mod run;
mod traffic;
mod watch;
mod world;

pub use focus::Focus;
pub use met::Met;
pub use run::{Outcome, Settings, Violation, run};
