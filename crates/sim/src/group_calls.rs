//! Calls of simulated clients about what groups do in depth: hooks, standby,
//! warm pools, refreshes, schedules.

use crate::client::NAME;
use elastane_domain::time::Time;
use elastane_wire::{Input, Timestamp, autoscaling};

fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

/// PutLifecycleHook, named by its way.
pub fn put_hook(launching: bool, heartbeat: i32, result: &str) -> Input {
    let (name, transition) = hook(launching);
    Input::AutoScalingPutLifecycleHook(Box::new(autoscaling::PutLifecycleHookType {
        auto_scaling_group_name: text(NAME),
        lifecycle_hook_name: text(name),
        lifecycle_transition: text(transition),
        heartbeat_timeout: Some(heartbeat),
        default_result: text(result),
        ..Default::default()
    }))
}

fn hook(launching: bool) -> (&'static str, &'static str) {
    match launching {
        true => ("in", "autoscaling:EC2_INSTANCE_LAUNCHING"),
        false => ("out", "autoscaling:EC2_INSTANCE_TERMINATING"),
    }
}

/// DeleteLifecycleHook.
pub fn delete_hook(launching: bool) -> Input {
    Input::AutoScalingDeleteLifecycleHook(Box::new(autoscaling::DeleteLifecycleHookType {
        auto_scaling_group_name: text(NAME),
        lifecycle_hook_name: text(hook(launching).0),
    }))
}

/// CompleteLifecycleAction of an instance's hook.
pub fn complete(instance: &str, hook: &str, result: &str) -> Input {
    Input::AutoScalingCompleteLifecycleAction(Box::new(autoscaling::CompleteLifecycleActionType {
        auto_scaling_group_name: text(NAME),
        instance_id: text(instance),
        lifecycle_action_result: text(result),
        lifecycle_hook_name: text(hook),
        ..Default::default()
    }))
}

/// RecordLifecycleActionHeartbeat of an instance's hook.
pub fn heartbeat(instance: &str, hook: &str) -> Input {
    Input::AutoScalingRecordLifecycleActionHeartbeat(Box::new(autoscaling::RecordLifecycleActionHeartbeatType {
        auto_scaling_group_name: text(NAME),
        instance_id: text(instance),
        lifecycle_hook_name: text(hook),
        ..Default::default()
    }))
}

/// EnterStandby.
pub fn enter_standby(instance: &str, decrement: bool) -> Input {
    Input::AutoScalingEnterStandby(Box::new(autoscaling::EnterStandbyQuery {
        auto_scaling_group_name: text(NAME),
        instance_ids: vec![instance.to_string()],
        should_decrement_desired_capacity: Some(decrement),
    }))
}

/// ExitStandby.
pub fn exit_standby(instance: &str) -> Input {
    Input::AutoScalingExitStandby(Box::new(autoscaling::ExitStandbyQuery {
        auto_scaling_group_name: text(NAME),
        instance_ids: vec![instance.to_string()],
    }))
}

/// DetachInstances.
pub fn detach(instance: &str, decrement: bool) -> Input {
    Input::AutoScalingDetachInstances(Box::new(autoscaling::DetachInstancesQuery {
        auto_scaling_group_name: text(NAME),
        instance_ids: vec![instance.to_string()],
        should_decrement_desired_capacity: Some(decrement),
    }))
}

/// AttachInstances.
pub fn attach(instance: &str) -> Input {
    Input::AutoScalingAttachInstances(Box::new(autoscaling::AttachInstancesQuery {
        auto_scaling_group_name: text(NAME),
        instance_ids: vec![instance.to_string()],
    }))
}

/// SuspendProcesses of one process.
pub fn suspend(process: &str) -> Input {
    Input::AutoScalingSuspendProcesses(Box::new(autoscaling::ScalingProcessQuery {
        auto_scaling_group_name: text(NAME),
        scaling_processes: vec![process.to_string()],
    }))
}

/// ResumeProcesses of all.
pub fn resume() -> Input {
    Input::AutoScalingResumeProcesses(Box::new(autoscaling::ScalingProcessQuery {
        auto_scaling_group_name: text(NAME),
        scaling_processes: Vec::new(),
    }))
}

/// PutWarmPool.
pub fn put_warm_pool(min: i32, prepared: i32, state: &str, reuse: bool) -> Input {
    Input::AutoScalingPutWarmPool(Box::new(autoscaling::PutWarmPoolType {
        auto_scaling_group_name: text(NAME),
        instance_reuse_policy: Some(autoscaling::InstanceReusePolicy { reuse_on_scale_in: Some(reuse) }),
        max_group_prepared_capacity: Some(prepared),
        min_size: Some(min),
        pool_state: text(state),
    }))
}

/// DeleteWarmPool.
pub fn delete_warm_pool(force: bool) -> Input {
    Input::AutoScalingDeleteWarmPool(Box::new(autoscaling::DeleteWarmPoolType {
        auto_scaling_group_name: text(NAME),
        force_delete: Some(force),
    }))
}

/// StartInstanceRefresh, within these percentages.
pub fn start_refresh(min: i32, max: Option<i32>, skip_matching: bool) -> Input {
    Input::AutoScalingStartInstanceRefresh(Box::new(autoscaling::StartInstanceRefreshType {
        auto_scaling_group_name: text(NAME),
        preferences: Some(autoscaling::RefreshPreferences {
            min_healthy_percentage: Some(min),
            max_healthy_percentage: max,
            instance_warmup: Some(30),
            skip_matching: Some(skip_matching),
            scale_in_protected_instances: text("Ignore"),
            standby_instances: text("Ignore"),
            ..Default::default()
        }),
        ..Default::default()
    }))
}

/// CancelInstanceRefresh.
pub fn cancel_refresh() -> Input {
    Input::AutoScalingCancelInstanceRefresh(Box::new(autoscaling::CancelInstanceRefreshType {
        auto_scaling_group_name: text(NAME),
        ..Default::default()
    }))
}

/// PutScheduledUpdateGroupAction, once.
pub fn schedule(at: Time, desired: i32) -> Input {
    Input::AutoScalingPutScheduledUpdateGroupAction(Box::new(autoscaling::PutScheduledUpdateGroupActionType {
        auto_scaling_group_name: text(NAME),
        scheduled_action_name: text("later"),
        desired_capacity: Some(desired),
        start_time: Some(Timestamp(at.millis())),
        ..Default::default()
    }))
}

/// UpdateAutoScalingGroup with an instance maintenance policy.
pub fn maintain(min: i32, max: i32) -> Input {
    Input::AutoScalingUpdateAutoScalingGroup(Box::new(autoscaling::UpdateAutoScalingGroupType {
        auto_scaling_group_name: text(NAME),
        instance_maintenance_policy: Some(autoscaling::InstanceMaintenancePolicy {
            max_healthy_percentage: Some(max),
            min_healthy_percentage: Some(min),
        }),
        ..Default::default()
    }))
}
