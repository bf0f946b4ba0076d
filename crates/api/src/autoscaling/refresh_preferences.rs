//! Preferences of an instance refresh: read, checked and filled in
//! (autoscaling.md 11.1).

use super::errors;
use elastane_domain::refresh::{OnProtected, OnStandby, Preferences};
use elastane_domain::time::Span;
use elastane_engine::View;
use elastane_engine::row::{Alarm, Group};
use elastane_wire::{ApiError, autoscaling as wire};

/// The longest CheckpointDelay and BakeTime, in seconds.
const DELAY_MAX: i32 = 172_800;

/// CheckpointDelay when there are checkpoints.
const DELAY_DEFAULT: Span = Span::from_secs(3_600);

/// MinHealthyPercentage of a group without a maintenance policy.
const MIN_PERCENT_DEFAULT: u32 = 90;

/// Alarms of one refresh.
const ALARMS_MAX: usize = 10;

/// Most that minimum and maximum may lie apart.
const PERCENT_APART_MAX: u32 = 100;

/// What a call says, with every default filled in.
pub fn preferences(view: &View<'_>, group: &Group, given: &wire::RefreshPreferences) -> Result<Preferences, ApiError> {
    let (min_percent, max_percent) = percentages(group, given)?;
    let checkpoints = checkpoints(&given.checkpoint_percentages)?;
    let delay = bounded(given.checkpoint_delay, "CheckpointDelay", DELAY_MAX)?;
    if delay.is_some() && checkpoints.is_empty() {
        return Err(errors::invalid("CheckpointDelay is valid with CheckpointPercentages only."));
    }
    let warmup = bounded(given.instance_warmup, "InstanceWarmup", i32::MAX)?;
    Ok(Preferences {
        min_percent,
        max_percent,
        warmup: warmup.or(group.default_warmup).unwrap_or(group.grace),
        checkpoint_delay: delay.unwrap_or(if checkpoints.is_empty() { Span::ZERO } else { DELAY_DEFAULT }),
        checkpoints,
        bake: bounded(given.bake_time, "BakeTime", DELAY_MAX)?.unwrap_or(Span::ZERO),
        skip_matching: given.skip_matching.unwrap_or(false),
        auto_rollback: given.auto_rollback.unwrap_or(false),
        on_protected: match given.scale_in_protected_instances.as_deref() {
            None => OnProtected::Wait,
            Some(word) => OnProtected::from_name(word)
                .ok_or_else(|| unknown("ScaleInProtectedInstances", word, "Refresh, Ignore, Wait"))?,
        },
        on_standby: match given.standby_instances.as_deref() {
            None => OnStandby::Wait,
            Some(word) => OnStandby::from_name(word)
                .ok_or_else(|| unknown("StandbyInstances", word, "Terminate, Ignore, Wait"))?,
        },
        alarms: alarms(view, given)?,
    })
}

fn unknown(member: &str, word: &str, known: &str) -> ApiError {
    errors::invalid(format!("Invalid {member} '{word}'. Valid values are: {known}"))
}

/// The call's, else the maintenance policy's. A maximum of the call needs a minimum.
fn percentages(group: &Group, given: &wire::RefreshPreferences) -> Result<(u32, Option<u32>), ApiError> {
    let min = percent(given.min_healthy_percentage, "MinHealthyPercentage", 0, 100)?;
    let max = percent(given.max_healthy_percentage, "MaxHealthyPercentage", 100, 200)?;
    if max.is_some() && min.is_none() {
        return Err(errors::invalid("MaxHealthyPercentage must be given together with MinHealthyPercentage."));
    }
    let policy = group.maintenance;
    let least = min.or(policy.map(|policy| policy.min_percent)).unwrap_or(MIN_PERCENT_DEFAULT);
    let most = max.or(policy.map(|policy| policy.max_percent));
    if most.is_some_and(|most| most.saturating_sub(least) > PERCENT_APART_MAX) {
        return Err(errors::invalid(
            "The difference between MinHealthyPercentage and MaxHealthyPercentage cannot be greater than 100.",
        ));
    }
    Ok((least, most))
}

fn percent(value: Option<i32>, member: &str, least: u32, most: u32) -> Result<Option<u32>, ApiError> {
    let fits = |value: i32| u32::try_from(value).ok().filter(|value| (least..=most).contains(value));
    let wrong = |value: i32| errors::invalid(format!("{member} must be from {least} to {most}, not {value}"));
    value.map(|value| fits(value).ok_or_else(|| wrong(value))).transpose()
}

fn bounded(value: Option<i32>, member: &str, most: i32) -> Result<Option<Span>, ApiError> {
    match value {
        Some(secs) if !(0..=most).contains(&secs) => {
            Err(errors::invalid(format!("{member} must be from 0 to {most} seconds, not {secs}")))
        }
        Some(secs) => Ok(Some(Span::from_secs(i64::from(secs)))),
        None => Ok(None),
    }
}

/// Ascending and without repetition, 1 to 100.
fn checkpoints(given: &[i32]) -> Result<Vec<u32>, ApiError> {
    let numbers = given.iter().map(|value| percent(Some(*value), "CheckpointPercentages", 1, 100));
    let numbers: Vec<u32> = numbers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if !numbers.is_sorted_by(|one, next| one < next) {
        return Err(errors::invalid("CheckpointPercentages must be unique and in ascending order."));
    }
    Ok(numbers)
}

fn alarms(view: &View<'_>, given: &wire::RefreshPreferences) -> Result<Vec<String>, ApiError> {
    let names = given.alarm_specification.as_ref().map(|alarms| alarms.alarms.clone()).unwrap_or_default();
    if names.len() > ALARMS_MAX {
        return Err(errors::invalid(format!("AlarmSpecification may name at most {ALARMS_MAX} alarms")));
    }
    match names.iter().find(|name| view.get::<Alarm>(name).is_none()) {
        Some(name) => Err(errors::invalid(format!("The CloudWatch alarm '{name}' does not exist"))),
        None => Ok(names),
    }
}
