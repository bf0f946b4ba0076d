//! The single writer.
//!
//! All control-plane state is owned here, as typed rows under typed keys.
//! Operations change rows through [`Tx`]; the world reports [`Fact`]s; and
//! [`Engine::handle`] runs the reconcilers and returns what to commit and,
//! after that, what to do. Nothing here reads a clock, a disk or a random
//! device: a run is a function of its seed and its inputs.
//!
//! What must stay true: writes are committed before their effects start or
//! their answers are sent; a row that says `Terminated` never says anything
//! else again; no effect is issued before the first inventory.

pub mod authority;
mod chaos;
mod cursor;
mod engine;
pub mod identity;
pub mod images;
pub mod launch;
pub mod metadata;
pub mod network;
pub mod public_parameters;
mod reconcile;
mod rng;
pub mod row;
mod scope;
mod secret;
mod state;
pub mod store;
mod table;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod upgrade;

pub use chaos::{Chaos, ChaosError, OUTAGE_MAX};
pub use engine::{Config, Effect, Engine, Fact, Plant, Step};
pub use reconcile::alarms;
pub use reconcile::certificates;
pub use reconcile::commands;
pub use reconcile::groups;
pub use reconcile::instances;
pub use reconcile::network as plans;
pub use reconcile::notifications;
pub use reconcile::outages;
pub use reconcile::policy::{self, PolicyError};
pub use reconcile::routing;
pub use reconcile::target_states::{self, Idle, TargetState, TargetStates};
pub use reconcile::targets;
pub use rng::Rng;
pub use scope::Scope;
pub use secret::Entropy;
pub use state::{Seen, SeenAnomaly, SeenCommand, SeenMachine, SeenPing, SeenSession, State, Tables, Tx, View};
pub use table::Table;
