//! Operations of EC2: a file for each noun. Handlers validate, read and write
//! rows, and shape answers; reconcilers of the engine do what rows ask for.

mod credits;
pub mod errors;
pub mod filter;
mod images;
mod instances;
mod instances_attributes;
mod instances_power;
mod instances_run;
mod instances_shape;
mod instances_status;
mod key_material;
mod keys;
pub mod launch_data;
mod listing;
mod network;
mod network_interfaces;
pub mod paging;
mod permissions;
mod recast;
mod route_tables;
#[cfg(test)]
mod scene;
mod security_groups;
mod security_rules;
mod tag_rules;
mod tags;
mod template_views;
mod templates;
mod types;
mod volumes;
mod vpc_attributes;

#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod security_groups_tests;
#[cfg(test)]
mod templates_tests;

pub use credits::*;
pub use images::*;
pub use instances::*;
pub use instances_attributes::*;
pub use instances_power::*;
pub use instances_run::*;
pub use instances_status::*;
pub use keys::*;
pub use network::*;
pub use network_interfaces::*;
pub use route_tables::*;
pub use security_groups::*;
pub use security_rules::*;
pub use tags::*;
pub use template_views::*;
pub use templates::*;
pub use types::*;
pub use volumes::*;
pub use vpc_attributes::*;
