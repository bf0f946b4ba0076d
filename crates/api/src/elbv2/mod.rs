//! Elastic Load Balancing v2: application and network load balancers, their
//! listeners, rules, target groups and targets.
//!
//! Handlers only read and write rows; the engine compiles the routing
//! snapshot from them and reports health back into `Seen`. What AWS has and
//! the data plane has not (gateway load balancers, targets with IPv6
//! addresses, targets that are functions or load balancers) is refused with `ValidationError`.

mod actions;
mod attributes;
mod balancer_attributes;
mod balancer_network;
#[cfg(test)]
mod balancers_tests;
mod capacity;
mod certificates;
mod conditions;
mod errors;
mod forwards;
mod group_attributes;
#[cfg(test)]
mod groups_tests;
mod health;
mod health_check;
mod interfaces;
mod limits;
mod listener_attributes;
mod listener_tls;
mod listeners;
#[cfg(test)]
mod listeners_tests;
mod load_balancers;
mod names;
mod oidc;
mod protocols;
mod rules;
#[cfg(test)]
mod rules_tests;
mod ssl_policies;
mod tags;
mod target_groups;
mod targets;
#[cfg(test)]
mod tests;
mod transforms;
mod trust_revocations;
mod trust_stores;

pub use balancer_attributes::{describe_load_balancer_attributes, modify_load_balancer_attributes};
pub use balancer_network::{set_ip_address_type, set_security_groups, set_subnets};
pub use capacity::{describe_capacity_reservation, modify_capacity_reservation, modify_ip_pools};
pub use certificates::{add_listener_certificates, describe_listener_certificates, remove_listener_certificates};
pub use group_attributes::{describe_target_group_attributes, modify_target_group_attributes};
pub use health::describe_target_health;
pub use limits::describe_account_limits;
pub use listener_attributes::{describe_listener_attributes, modify_listener_attributes};
pub use listeners::{create_listener, delete_listener, describe_listeners, modify_listener};
pub use load_balancers::{create_load_balancer, delete_load_balancer, describe_load_balancers};
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
    create_trust_store, delete_shared_trust_store_association, delete_trust_store, describe_trust_store_associations,
    describe_trust_stores, get_resource_policy, get_trust_store_ca_certificates_bundle, modify_trust_store,
};

/// Items of a page when the client names no PageSize: the model's highest.
const PAGE_SIZE: usize = 400;

/// How this service's lists are cut into pages.
fn pager(marker: Option<&str>, size: Option<i32>) -> crate::page::Pager<'_> {
    let max = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    crate::page::Pager { token: marker, max: Some(max.clamp(1, PAGE_SIZE)), bad_token: errors::VALIDATION }
}
