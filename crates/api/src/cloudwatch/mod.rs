//! Operations of `cloudwatch`.

use crate::{Call, Change};
use elastane_wire::{ApiError, cloudwatch as wire};

pub fn get_metric_statistics(_call: &Call<'_>, _input: &wire::GetMetricStatisticsInput) -> Result<wire::GetMetricStatisticsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn get_metric_data(_call: &Call<'_>, _input: &wire::GetMetricDataInput) -> Result<wire::GetMetricDataOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn list_metrics(_call: &Call<'_>, _input: &wire::ListMetricsInput) -> Result<wire::ListMetricsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_alarms(_call: &Call<'_>, _input: &wire::DescribeAlarmsInput) -> Result<wire::DescribeAlarmsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn describe_alarm_history(_call: &Call<'_>, _input: &wire::DescribeAlarmHistoryInput) -> Result<wire::DescribeAlarmHistoryOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn put_metric_data(_change: &mut Change<'_, '_>, _input: &wire::PutMetricDataInput) -> Result<wire::PutMetricDataOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn put_metric_alarm(_change: &mut Change<'_, '_>, _input: &wire::PutMetricAlarmInput) -> Result<wire::PutMetricAlarmOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_alarms(_change: &mut Change<'_, '_>, _input: &wire::DeleteAlarmsInput) -> Result<wire::DeleteAlarmsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn set_alarm_state(_change: &mut Change<'_, '_>, _input: &wire::SetAlarmStateInput) -> Result<wire::SetAlarmStateOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn enable_alarm_actions(_change: &mut Change<'_, '_>, _input: &wire::EnableAlarmActionsInput) -> Result<wire::EnableAlarmActionsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn disable_alarm_actions(_change: &mut Change<'_, '_>, _input: &wire::DisableAlarmActionsInput) -> Result<wire::DisableAlarmActionsOutput, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

