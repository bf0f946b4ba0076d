//! Operations of EC2: a file for each noun. Handlers validate, read and write
//! rows, and shape answers; reconcilers of the engine do what rows ask for.

pub mod errors;
pub mod filter;
mod images;
mod instances;
mod keys;
pub mod launch_data;
mod network;
mod security_groups;
mod tags;
mod templates;
mod types;

pub use images::*;
pub use instances::*;
pub use keys::*;
pub use network::*;
pub use security_groups::*;
pub use tags::*;
pub use templates::*;
pub use types::*;
