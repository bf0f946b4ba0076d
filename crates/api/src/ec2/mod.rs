//! Operations of EC2: a file for each noun. Handlers validate, read and write
//! rows, and shape answers; reconcilers of the engine do what rows ask for.

mod absent_networks;
mod account;
mod addresses;
mod credits;
mod dhcp_options;
pub mod errors;
pub mod filter;
mod flow_logs;
mod image_attributes;
mod image_import;
mod image_make;
mod image_shape;
mod images;
mod instance_profiles;
mod instances;
mod instances_attributes;
mod instances_options;
mod instances_power;
mod instances_run;
mod instances_shape;
mod instances_status;
mod interface_addresses;
mod interface_attachments;
mod interface_shape;
mod internet_gateways;
mod key_material;
mod keys;
pub mod launch_data;
mod launch_network;
mod listing;
mod metadata_options;
mod nat_gateway_addresses;
mod nat_gateways;
mod network;
mod network_acls;
mod network_interfaces;
pub mod paging;
mod permissions;
mod placement_groups;
mod prefix_lists;
mod recast;
mod route_tables;
mod routes;
mod rule_changes;
#[cfg(test)]
mod scene;
mod security_groups;
mod security_rules;
mod snapshots;
mod spot_requests;
mod subnets;
mod tag_rules;
mod tagged;
mod tags;
mod template_views;
mod templates;
mod type_offerings;
mod types;
mod volume_changes;
mod volume_rules;
mod volumes;
mod vpc_attributes;
mod vpcs;
mod zones;

#[cfg(test)]
mod addresses_tests;
#[cfg(test)]
mod images_tests;
#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod launch_data_tests;
#[cfg(test)]
mod network_interfaces_tests;
#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod prefix_lists_tests;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod rule_changes_tests;
#[cfg(test)]
mod security_groups_tests;
#[cfg(test)]
mod templates_tests;
#[cfg(test)]
mod vpcs_tests;

pub use absent_networks::*;
pub use account::*;
pub use addresses::*;
pub use credits::*;
pub use dhcp_options::*;
pub use flow_logs::*;
pub use image_attributes::*;
pub use image_import::*;
pub use image_make::*;
pub use images::*;
pub use instance_profiles::*;
pub use instances::*;
pub use instances_attributes::*;
pub use instances_options::*;
pub use instances_power::*;
pub use instances_run::*;
pub use instances_status::*;
pub use interface_addresses::*;
pub use interface_attachments::*;
pub use internet_gateways::*;
pub use keys::*;
pub use metadata_options::*;
pub use nat_gateway_addresses::*;
pub use nat_gateways::*;
pub use network_acls::*;
pub use network_interfaces::*;
pub use placement_groups::*;
pub use prefix_lists::*;
pub use route_tables::*;
pub use routes::*;
pub use rule_changes::*;
pub use security_groups::*;
pub use security_rules::*;
pub use snapshots::*;
pub use spot_requests::*;
pub use subnets::*;
pub use tags::*;
pub use template_views::*;
pub use templates::*;
pub use type_offerings::*;
pub use types::*;
pub use volume_changes::*;
pub use volumes::*;
pub use vpc_attributes::*;
pub use vpcs::*;
pub use zones::*;
