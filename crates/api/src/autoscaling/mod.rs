//! Operations of EC2 Auto Scaling, one module a noun. They write what is
//! wanted into rows; launching, terminating and replacing is the engine's
//! business, and so is every scaling activity.

mod activities;
mod capacity;
mod describe;
mod errors;
mod groups;
mod hooks;
mod instances;
mod launch_configurations;
mod launch_instances;
mod lookup;
mod metrics;
mod mixed;
mod notifications;
mod options;
mod policies;
mod policy_kinds;
mod policy_metrics;
mod predictive;
mod processes;
mod refresh_preferences;
mod refreshes;
mod refreshes_describe;
mod requirements;
mod schedules;
mod settings;
mod standby;
mod tags;
mod traffic;
mod types;
mod warm_pool;

#[cfg(test)]
mod closed_loop_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod hook_tests;
#[cfg(test)]
mod launch_configuration_tests;
#[cfg(test)]
mod mixed_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod refresh_tests;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod standby_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use activities::describe_scaling_activities;
pub use capacity::set_desired_capacity;
pub use describe::{describe_auto_scaling_groups, describe_auto_scaling_instances};
pub use groups::{create_auto_scaling_group, delete_auto_scaling_group, update_auto_scaling_group};
pub use hooks::{
    complete_lifecycle_action, delete_lifecycle_hook, describe_lifecycle_hook_types, describe_lifecycle_hooks,
    put_lifecycle_hook, record_lifecycle_action_heartbeat,
};
pub use instances::{set_instance_health, set_instance_protection, terminate_instance_in_auto_scaling_group};
pub use launch_configurations::{
    create_launch_configuration, delete_launch_configuration, describe_launch_configurations,
};
pub use launch_instances::launch_instances;
pub use metrics::{describe_metric_collection_types, disable_metrics_collection, enable_metrics_collection};
pub use notifications::{
    delete_notification_configuration, describe_auto_scaling_notification_types, describe_notification_configurations,
    put_notification_configuration,
};
pub use policies::{delete_policy, describe_policies, execute_policy, put_scaling_policy};
pub use predictive::get_predictive_scaling_forecast;
pub use processes::{
    describe_scaling_process_types, describe_termination_policy_types, resume_processes, suspend_processes,
};
pub use refreshes::{cancel_instance_refresh, rollback_instance_refresh, start_instance_refresh};
pub use refreshes_describe::describe_instance_refreshes;
pub use schedules::{
    batch_delete_scheduled_action, batch_put_scheduled_update_group_action, delete_scheduled_action,
    describe_scheduled_actions, put_scheduled_update_group_action,
};
pub use standby::{attach_instances, detach_instances, enter_standby, exit_standby};
pub use tags::{create_or_update_tags, delete_tags, describe_tags};
pub use traffic::{
    attach_load_balancer_target_groups, attach_load_balancers, attach_traffic_sources,
    describe_load_balancer_target_groups, describe_load_balancers, describe_traffic_sources,
    detach_load_balancer_target_groups, detach_load_balancers, detach_traffic_sources,
};
pub use types::{describe_account_limits, describe_account_settings, describe_adjustment_types, put_account_setting};
pub use warm_pool::{delete_warm_pool, describe_warm_pool, put_warm_pool};
