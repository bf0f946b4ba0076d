//! Elastic Load Balancing v2: application load balancers, their listeners,
//! target groups and targets.
//!
//! Handlers only read and write rows; the engine compiles the routing
//! snapshot from them and reports health back into `Seen`. HTTP listeners
//! with forward and fixed-response actions exist; everything else is refused
//! with `ValidationError`.

mod actions;
mod attributes;
mod balancer_attributes;
mod balancer_network;
mod capacity;
mod certificates;
mod conditions;
mod errors;
mod forwards;
mod group_attributes;
mod health;
mod health_check;
mod interfaces;
mod limits;
mod listener_attributes;
mod listener_tls;
mod listeners;
mod load_balancers;
mod names;
mod oidc;
mod pending;
mod protocols;
mod rules;
mod ssl_policies;
mod tags;
mod target_groups;
mod targets;
mod transforms;
mod trust_revocations;
mod trust_stores;
#[cfg(test)]
mod balancers_tests;
#[cfg(test)]
mod groups_tests;
#[cfg(test)]
mod listeners_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;

pub use balancer_attributes::{describe_load_balancer_attributes, modify_load_balancer_attributes};
pub use certificates::{add_listener_certificates, describe_listener_certificates, remove_listener_certificates};
pub use balancer_network::{set_ip_address_type, set_security_groups, set_subnets};
pub use capacity::{describe_capacity_reservation, modify_capacity_reservation, modify_ip_pools};
pub use group_attributes::{describe_target_group_attributes, modify_target_group_attributes};
pub use health::describe_target_health;
pub use limits::describe_account_limits;
pub use listener_attributes::{describe_listener_attributes, modify_listener_attributes};
pub use listeners::{create_listener, delete_listener, describe_listeners, modify_listener};
pub use load_balancers::{create_load_balancer, delete_load_balancer, describe_load_balancers};
pub use pending::*;
pub use rules::{create_rule, delete_rule, describe_rules, modify_rule, set_rule_priorities};
pub use ssl_policies::describe_ssl_policies;
pub use tags::{add_tags, describe_tags, remove_tags};
pub use target_groups::{create_target_group, delete_target_group, describe_target_groups, modify_target_group};
pub use targets::{deregister_targets, register_targets};
pub use trust_revocations::{
    add_trust_store_revocations, describe_trust_store_revocations, get_trust_store_revocation_content,
    remove_trust_store_revocations,
};
pub use trust_stores::{
    create_trust_store, delete_shared_trust_store_association, delete_trust_store,
    describe_trust_store_associations, describe_trust_stores, get_resource_policy,
    get_trust_store_ca_certificates_bundle, modify_trust_store,
};

/// Items of a page when the client names no PageSize: the model's highest.
const PAGE_SIZE: usize = 400;

/// How this service's lists are cut into pages.
fn pager(marker: Option<&str>, size: Option<i32>) -> crate::page::Pager<'_> {
    let max = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    crate::page::Pager { token: marker, max: Some(max.clamp(1, PAGE_SIZE)), bad_token: errors::VALIDATION }
}
