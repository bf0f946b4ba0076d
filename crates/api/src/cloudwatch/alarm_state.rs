//! Deleting alarms, setting their state by hand, switching their actions.

use super::errors;
use crate::Change;
use elastane_domain::alarm::AlarmState;
use elastane_engine::row::{Alarm, HistoryKind};
use elastane_wire::{ApiError, cloudwatch as wire};

/// Alarms of one DeleteAlarms, EnableAlarmActions or DisableAlarmActions.
const NAMES_MAX: usize = 100;

fn check_names(names: &[String]) -> Result<(), ApiError> {
    if names.is_empty() {
        return Err(errors::missing("AlarmNames"));
    }
    if names.len() > NAMES_MAX {
        return Err(errors::invalid(format!(
            "The collection AlarmNames must not have a size greater than {NAMES_MAX}."
        )));
    }
    Ok(())
}

/// DeleteAlarms: names without an alarm are passed over, unless all are.
pub fn delete_alarms(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteAlarmsInput,
) -> Result<wire::DeleteAlarmsOutput, ApiError> {
    check_names(&input.alarm_names)?;
    if input.alarm_names.iter().all(|name| change.get::<Alarm>(name).is_none()) {
        return Err(errors::not_found(format!("The alarms [{}] do not exist.", input.alarm_names.join(", "))));
    }
    for name in &input.alarm_names {
        change.delete::<Alarm>(name);
    }
    Ok(wire::DeleteAlarmsOutput {})
}

/// SetAlarmState: the engine runs the actions of the new state, and its next
/// evaluation puts back what the metric says.
pub fn set_alarm_state(
    change: &mut Change<'_, '_>,
    input: &wire::SetAlarmStateInput,
) -> Result<wire::SetAlarmStateOutput, ApiError> {
    let name = input.alarm_name.as_deref().ok_or_else(|| errors::missing("AlarmName"))?;
    let value = input.state_value.as_deref().ok_or_else(|| errors::missing("StateValue"))?;
    let state = AlarmState::from_name(value)
        .ok_or_else(|| errors::invalid(format!("The value {value} for parameter StateValue is invalid.")))?;
    let reason = input.state_reason.clone().ok_or_else(|| errors::missing("StateReason"))?;
    let data = input.state_reason_data.clone();
    if data.as_deref().is_some_and(|text| serde_json::from_str::<serde_json::Value>(text).is_err()) {
        return Err(errors::format("The parameter StateReasonData must be JSON."));
    }
    let Some(old) = change.get::<Alarm>(name).map(|alarm| alarm.state) else {
        return Err(errors::not_found(format!("The alarm {name} does not exist.")));
    };
    let now = change.now;
    change.update(name, |row: &mut Alarm| {
        row.state = state;
        row.state_reason = reason;
        row.state_reason_data = data;
        row.state_updated_at = now;
        if state != old {
            row.state_transitioned_at = now;
            let summary = format!("Alarm updated from {} to {}", old.name(), state.name());
            row.remember(now, HistoryKind::StateUpdate, summary);
        }
    });
    Ok(wire::SetAlarmStateOutput {})
}

/// EnableAlarmActions; names without an alarm are passed over.
pub fn enable_alarm_actions(
    change: &mut Change<'_, '_>,
    input: &wire::EnableAlarmActionsInput,
) -> Result<wire::EnableAlarmActionsOutput, ApiError> {
    switch(change, &input.alarm_names, true)?;
    Ok(wire::EnableAlarmActionsOutput {})
}

/// DisableAlarmActions; names without an alarm are passed over.
pub fn disable_alarm_actions(
    change: &mut Change<'_, '_>,
    input: &wire::DisableAlarmActionsInput,
) -> Result<wire::DisableAlarmActionsOutput, ApiError> {
    switch(change, &input.alarm_names, false)?;
    Ok(wire::DisableAlarmActionsOutput {})
}

fn switch(change: &mut Change<'_, '_>, names: &[String], enabled: bool) -> Result<(), ApiError> {
    check_names(names)?;
    let now = change.now;
    for name in names {
        change.update(name, |row: &mut Alarm| {
            if row.actions_enabled != enabled {
                row.actions_enabled = enabled;
                row.configured_at = now;
                row.remember(now, HistoryKind::ConfigurationUpdate, format!("Alarm \"{name}\" updated"));
            }
        });
    }
    Ok(())
}
