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
mod errors;
mod group_attributes;
mod health;
mod health_check;
mod interfaces;
mod listener_attributes;
mod listeners;
mod load_balancers;
mod names;
mod pending;
mod pending_trust;
mod tags;
mod target_groups;
mod targets;
#[cfg(test)]
mod tests;

pub use balancer_attributes::{describe_load_balancer_attributes, modify_load_balancer_attributes};
pub use group_attributes::{describe_target_group_attributes, modify_target_group_attributes};
pub use health::describe_target_health;
pub use listener_attributes::{describe_listener_attributes, modify_listener_attributes};
pub use listeners::{create_listener, delete_listener, describe_listeners, modify_listener};
pub use load_balancers::{create_load_balancer, delete_load_balancer, describe_load_balancers};
pub use pending::*;
pub use pending_trust::*;
pub use tags::{add_tags, describe_tags, remove_tags};
pub use target_groups::{create_target_group, delete_target_group, describe_target_groups, modify_target_group};
pub use targets::{deregister_targets, register_targets};

/// Items of a page when the client names no PageSize: the model's highest.
const PAGE_SIZE: usize = 400;

/// How this service's lists are cut into pages.
fn pager(marker: Option<&str>, size: Option<i32>) -> crate::page::Pager<'_> {
    let max = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    crate::page::Pager { token: marker, max: Some(max.clamp(1, PAGE_SIZE)), bad_token: errors::VALIDATION }
}
