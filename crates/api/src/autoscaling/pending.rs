//! Operations that are being built: each line goes when its handler comes.

use super::errors;
use crate::{Call, Change};
use elastane_wire::{ApiError, autoscaling as wire};

macro_rules! pending {
    (read $name:ident $input:ident $output:ident) => {
        /// Refused until it is built.
        pub fn $name(_: &Call<'_>, _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(errors::unsupported(stringify!($name)))
        }
    };
    (write $name:ident $input:ident $output:ident) => {
        /// Refused until it is built.
        pub fn $name(_: &mut Change<'_, '_>, _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(errors::unsupported(stringify!($name)))
        }
    };
}

pending!(read describe_account_limits DescribeAccountLimitsRequest DescribeAccountLimitsAnswer);
pending!(read describe_account_settings DescribeAccountSettingsType DescribeAccountSettingsAnswer);
pending!(read describe_adjustment_types DescribeAdjustmentTypesRequest DescribeAdjustmentTypesAnswer);
pending!(read describe_auto_scaling_notification_types DescribeAutoScalingNotificationTypesRequest DescribeAutoScalingNotificationTypesAnswer);
pending!(read describe_instance_refreshes DescribeInstanceRefreshesType DescribeInstanceRefreshesAnswer);
pending!(read describe_launch_configurations LaunchConfigurationNamesType LaunchConfigurationsType);
pending!(read describe_lifecycle_hook_types DescribeLifecycleHookTypesRequest DescribeLifecycleHookTypesAnswer);
pending!(read describe_lifecycle_hooks DescribeLifecycleHooksType DescribeLifecycleHooksAnswer);
pending!(read describe_load_balancers DescribeLoadBalancersRequest DescribeLoadBalancersResponse);
pending!(read describe_metric_collection_types DescribeMetricCollectionTypesRequest DescribeMetricCollectionTypesAnswer);
pending!(read describe_notification_configurations DescribeNotificationConfigurationsType DescribeNotificationConfigurationsAnswer);
pending!(read describe_scaling_process_types DescribeScalingProcessTypesRequest ProcessesType);
pending!(read describe_scheduled_actions DescribeScheduledActionsType ScheduledActionsType);
pending!(read describe_termination_policy_types DescribeTerminationPolicyTypesRequest DescribeTerminationPolicyTypesAnswer);
pending!(read describe_traffic_sources DescribeTrafficSourcesRequest DescribeTrafficSourcesResponse);
pending!(read describe_warm_pool DescribeWarmPoolType DescribeWarmPoolAnswer);
pending!(read get_predictive_scaling_forecast GetPredictiveScalingForecastType GetPredictiveScalingForecastAnswer);
pending!(write attach_instances AttachInstancesQuery AttachInstancesOutput);
pending!(write attach_load_balancers AttachLoadBalancersType AttachLoadBalancersResultType);
pending!(write attach_traffic_sources AttachTrafficSourcesType AttachTrafficSourcesResultType);
pending!(write batch_delete_scheduled_action BatchDeleteScheduledActionType BatchDeleteScheduledActionAnswer);
pending!(write batch_put_scheduled_update_group_action BatchPutScheduledUpdateGroupActionType BatchPutScheduledUpdateGroupActionAnswer);
pending!(write cancel_instance_refresh CancelInstanceRefreshType CancelInstanceRefreshAnswer);
pending!(write complete_lifecycle_action CompleteLifecycleActionType CompleteLifecycleActionAnswer);
pending!(write create_launch_configuration CreateLaunchConfigurationType CreateLaunchConfigurationOutput);
pending!(write delete_launch_configuration LaunchConfigurationNameType DeleteLaunchConfigurationOutput);
pending!(write delete_lifecycle_hook DeleteLifecycleHookType DeleteLifecycleHookAnswer);
pending!(write delete_notification_configuration DeleteNotificationConfigurationType DeleteNotificationConfigurationOutput);
pending!(write delete_scheduled_action DeleteScheduledActionType DeleteScheduledActionOutput);
pending!(write delete_warm_pool DeleteWarmPoolType DeleteWarmPoolAnswer);
pending!(write detach_instances DetachInstancesQuery DetachInstancesAnswer);
pending!(write detach_load_balancers DetachLoadBalancersType DetachLoadBalancersResultType);
pending!(write detach_traffic_sources DetachTrafficSourcesType DetachTrafficSourcesResultType);
pending!(write disable_metrics_collection DisableMetricsCollectionQuery DisableMetricsCollectionOutput);
pending!(write enable_metrics_collection EnableMetricsCollectionQuery EnableMetricsCollectionOutput);
pending!(write enter_standby EnterStandbyQuery EnterStandbyAnswer);
pending!(write exit_standby ExitStandbyQuery ExitStandbyAnswer);
pending!(write launch_instances LaunchInstancesRequest LaunchInstancesResult);
pending!(write put_account_setting PutAccountSettingType PutAccountSettingAnswer);
pending!(write put_lifecycle_hook PutLifecycleHookType PutLifecycleHookAnswer);
pending!(write put_notification_configuration PutNotificationConfigurationType PutNotificationConfigurationOutput);
pending!(write put_scheduled_update_group_action PutScheduledUpdateGroupActionType PutScheduledUpdateGroupActionOutput);
pending!(write put_warm_pool PutWarmPoolType PutWarmPoolAnswer);
pending!(write record_lifecycle_action_heartbeat RecordLifecycleActionHeartbeatType RecordLifecycleActionHeartbeatAnswer);
pending!(write resume_processes ScalingProcessQuery ResumeProcessesOutput);
pending!(write rollback_instance_refresh RollbackInstanceRefreshType RollbackInstanceRefreshAnswer);
pending!(write start_instance_refresh StartInstanceRefreshType StartInstanceRefreshAnswer);
pending!(write suspend_processes ScalingProcessQuery SuspendProcessesOutput);
