//! Operations of EC2 Auto Scaling, one module a noun. They write what is
//! wanted into rows; launching, terminating and replacing is the engine's
//! business, and so is every scaling activity.

mod activities;
mod capacity;
mod describe;
mod errors;
mod groups;
mod instances;
mod lookup;
mod pending;
mod policies;
mod policy_kinds;
mod settings;
mod tags;
mod traffic;

#[cfg(test)]
mod closed_loop_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use activities::describe_scaling_activities;
pub use capacity::set_desired_capacity;
pub use describe::{describe_auto_scaling_groups, describe_auto_scaling_instances};
pub use groups::{create_auto_scaling_group, delete_auto_scaling_group, update_auto_scaling_group};
pub use instances::{set_instance_health, set_instance_protection, terminate_instance_in_auto_scaling_group};
pub use pending::*;
pub use policies::{delete_policy, describe_policies, execute_policy, put_scaling_policy};
pub use tags::{create_or_update_tags, delete_tags, describe_tags};
pub use traffic::{
    attach_load_balancer_target_groups, describe_load_balancer_target_groups, detach_load_balancer_target_groups,
};
