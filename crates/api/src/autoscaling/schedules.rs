//! Scheduled actions: putting, listing, deleting. The engine runs them.

use super::{errors, lookup, settings};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_domain::id::GroupName;
use elastane_domain::schedule::{Cron, Schedule, Sizes};
use elastane_domain::time::Time;
use elastane_engine::groups::ids_of;
use elastane_engine::row::{Group, ScheduledAction};
use elastane_wire::{ApiError, Timestamp, autoscaling as wire};

/// Scheduled actions of one group, and of one batch (autoscaling.md 8 and 18).
const ACTIONS_MAX: usize = 125;
const BATCH_MAX: usize = 50;

/// A start that lies this far back is taken for now: clocks of clients differ.
const PAST_MAX_MS: i64 = 60_000;

/// PutScheduledUpdateGroupAction. One of that name is replaced and keeps its ARN.
pub fn put_scheduled_update_group_action(
    change: &mut Change<'_, '_>,
    input: &wire::PutScheduledUpdateGroupActionType,
) -> Result<wire::PutScheduledUpdateGroupActionOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let request = wire::ScheduledUpdateGroupActionRequest {
        desired_capacity: input.desired_capacity,
        end_time: input.end_time,
        max_size: input.max_size,
        min_size: input.min_size,
        recurrence: input.recurrence.clone(),
        scheduled_action_name: input.scheduled_action_name.clone(),
        // Time is what StartTime was called.
        start_time: input.start_time.or(input.time),
        time_zone: input.time_zone.clone(),
    };
    put(change, &group, &request)?;
    Ok(wire::PutScheduledUpdateGroupActionOutput {})
}

/// BatchPutScheduledUpdateGroupAction: each on its own; those that fail are listed.
pub fn batch_put_scheduled_update_group_action(
    change: &mut Change<'_, '_>,
    input: &wire::BatchPutScheduledUpdateGroupActionType,
) -> Result<wire::BatchPutScheduledUpdateGroupActionAnswer, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    check_batch(input.scheduled_update_group_actions.len(), "ScheduledUpdateGroupActions")?;
    let mut failed = Vec::new();
    for request in &input.scheduled_update_group_actions {
        if let Err(err) = put(change, &group, request) {
            failed.push(failure(request.scheduled_action_name.clone(), &err));
        }
    }
    Ok(wire::BatchPutScheduledUpdateGroupActionAnswer { failed_scheduled_update_group_actions: failed })
}

fn check_batch(count: usize, member: &str) -> Result<(), ApiError> {
    if count == 0 {
        return Err(errors::missing(member));
    }
    if count > BATCH_MAX {
        return Err(errors::invalid(format!("{member} may hold at most {BATCH_MAX} scheduled actions")));
    }
    Ok(())
}

fn failure(name: Option<String>, err: &ApiError) -> wire::FailedScheduledUpdateGroupActionRequest {
    wire::FailedScheduledUpdateGroupActionRequest {
        error_code: Some(err.code.to_string()),
        error_message: Some(err.message.clone()),
        scheduled_action_name: name,
    }
}

fn put(
    change: &mut Change<'_, '_>,
    group: &Group,
    request: &wire::ScheduledUpdateGroupActionRequest,
) -> Result<(), ApiError> {
    let name = name(request.scheduled_action_name.as_deref())?;
    let sizes = sizes(request)?;
    let (start, end) = (request.start_time.map(time), request.end_time.map(time));
    let schedule = schedule(request)?;
    let next = first(change.now, start, end, schedule.as_ref())?;
    let key = ScheduledAction::key(&group.name, &name);
    let arn = match change.get::<ScheduledAction>(&key) {
        Some(old) => old.arn.clone(),
        None if ids_of(&change.scheduled_actions, &group.name).len() >= ACTIONS_MAX => {
            return Err(errors::limit(format!("A group may have at most {ACTIONS_MAX} scheduled actions")));
        }
        None => {
            let id = change.rng.uuid();
            let rest = format!(
                "scheduledUpdateGroupAction:{id}:autoScalingGroupName/{}:scheduledActionName/{name}",
                group.name
            );
            change.scope().arn("autoscaling", &rest)
        }
    };
    change.put(ScheduledAction {
        group: group.name.clone(),
        name,
        arn,
        start,
        end,
        recurrence: request.recurrence.clone(),
        time_zone: request.time_zone.clone(),
        sizes,
        next: Some(next),
    });
    Ok(())
}

fn name(name: Option<&str>) -> Result<String, ApiError> {
    let name = name.ok_or_else(|| errors::missing("ScheduledActionName"))?;
    let fine = (1..=255).contains(&name.chars().count()) && !name.contains(':') && !name.chars().any(char::is_control);
    if fine { Ok(name.to_string()) } else { Err(errors::invalid(format!("Invalid scheduled action name: {name}"))) }
}

fn time(stamp: Timestamp) -> Time {
    Time(stamp.millis())
}

fn sizes(request: &wire::ScheduledUpdateGroupActionRequest) -> Result<Sizes, ApiError> {
    let sizes = Sizes {
        min: settings::size(request.min_size, "MinSize")?,
        max: settings::size(request.max_size, "MaxSize")?,
        desired: settings::size(request.desired_capacity, "DesiredCapacity")?,
    };
    let above = |low: Option<u32>, high: Option<u32>| low.zip(high).is_some_and(|(low, high)| low > high);
    let text = if sizes == Sizes::default() {
        "At least one of MinSize, MaxSize and DesiredCapacity must be given"
    } else if above(sizes.min, sizes.max) {
        "Max bound must be greater than or equal to min bound"
    } else if above(sizes.min, sizes.desired) || above(sizes.desired, sizes.max) {
        "Desired capacity must be between the specified min size and max size"
    } else {
        return Ok(sizes);
    };
    Err(errors::invalid(text))
}

fn schedule(request: &wire::ScheduledUpdateGroupActionRequest) -> Result<Option<Schedule>, ApiError> {
    let Some(text) = request.recurrence.as_deref() else {
        return match &request.time_zone {
            None => Ok(None),
            Some(_) => Err(errors::invalid("TimeZone is valid with a Recurrence only.")),
        };
    };
    let cron = Cron::parse(text).map_err(|err| {
        errors::invalid(format!(
            "Given recurrence string: {text} is invalid: {err}. It is a cron expression in UTC or in TimeZone."
        ))
    })?;
    let schedule = Schedule::new(cron, request.time_zone.as_deref());
    schedule.map(Some).map_err(|err| errors::invalid(format!("Invalid TimeZone: {err}")))
}

/// When an action runs first: at its start, else as its recurrence says.
fn first(now: Time, start: Option<Time>, end: Option<Time>, schedule: Option<&Schedule>) -> Result<Time, ApiError> {
    if start.is_some_and(|start| start.millis() < now.millis() - PAST_MAX_MS) {
        return Err(errors::invalid("Given start time is in the past"));
    }
    if end.is_some_and(|end| end <= now) {
        return Err(errors::invalid("Given end time is in the past"));
    }
    if start.zip(end).is_some_and(|(start, end)| end <= start) {
        return Err(errors::invalid("The end time must be after the start time"));
    }
    let next = match (start, schedule) {
        (Some(start), _) => Some(start),
        (None, Some(schedule)) => schedule.next(now),
        (None, None) => return Err(errors::missing("StartTime or Recurrence")),
    };
    next.ok_or_else(|| errors::invalid("The recurrence has no time"))
}

/// DescribeScheduledActions: those that will run, by the time at which they do.
pub fn describe_scheduled_actions(
    call: &Call<'_>,
    input: &wire::DescribeScheduledActionsType,
) -> Result<wire::ScheduledActionsType, ApiError> {
    let max = errors::page_size(input.max_records, 50, 100)?;
    let group: Option<GroupName> = match &input.auto_scaling_group_name {
        Some(name) => Some(lookup::group(call, Some(name))?.name.clone()),
        None => None,
    };
    // Times are ignored with names, as the model says.
    let named = !input.scheduled_action_names.is_empty();
    let (from, until) = (input.start_time.filter(|_| !named).map(time), input.end_time.filter(|_| !named).map(time));
    let mut found: Vec<&ScheduledAction> = call
        .all::<ScheduledAction>()
        .map(AsRef::as_ref)
        .filter(|row| group.as_ref().is_none_or(|group| row.group == *group))
        .filter(|row| !named || input.scheduled_action_names.iter().any(|name| *name == row.name || *name == row.arn))
        .filter(|row| from.is_none_or(|from| row.next.is_some_and(|next| next >= from)))
        .filter(|row| until.is_none_or(|until| row.next.is_some_and(|next| next <= until)))
        .collect();
    let place = |row: &&ScheduledAction| ScheduledAction::key(&row.group, &row.name);
    found.sort_by_cached_key(place);
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, place)?;
    let scheduled_update_group_actions = rows.into_iter().map(shown).collect();
    Ok(wire::ScheduledActionsType { next_token, scheduled_update_group_actions })
}

/// A recurring action without a start shows when it runs next, as on AWS.
fn shown(row: &ScheduledAction) -> wire::ScheduledUpdateGroupAction {
    let number = |size: Option<u32>| size.map(|size| size as i32);
    let stamp = |time: Time| Timestamp(time.millis());
    let start = row.start.or(row.next).map(stamp);
    wire::ScheduledUpdateGroupAction {
        auto_scaling_group_name: Some(row.group.to_string()),
        desired_capacity: number(row.sizes.desired),
        end_time: row.end.map(stamp),
        max_size: number(row.sizes.max),
        min_size: number(row.sizes.min),
        recurrence: row.recurrence.clone(),
        scheduled_action_arn: Some(row.arn.clone()),
        scheduled_action_name: Some(row.name.clone()),
        start_time: start,
        time: start,
        time_zone: row.time_zone.clone(),
    }
}

/// DeleteScheduledAction.
pub fn delete_scheduled_action(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteScheduledActionType,
) -> Result<wire::DeleteScheduledActionOutput, ApiError> {
    let group = lookup::group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let name = input.scheduled_action_name.as_deref().ok_or_else(|| errors::missing("ScheduledActionName"))?;
    delete(change, &group, name)?;
    Ok(wire::DeleteScheduledActionOutput {})
}

fn delete(change: &mut Change<'_, '_>, group: &Group, name: &str) -> Result<(), ApiError> {
    let named = |row: &ScheduledAction| row.group == group.name && (row.name == name || row.arn == name);
    let id =
        change.all::<ScheduledAction>().find(|row| named(row)).map(|row| ScheduledAction::key(&row.group, &row.name));
    let id = id.ok_or_else(|| errors::invalid(format!("Scheduled action name not found - '{name}' not found")))?;
    change.delete::<ScheduledAction>(&id);
    Ok(())
}

/// BatchDeleteScheduledAction: each on its own; those that fail are listed.
pub fn batch_delete_scheduled_action(
    change: &mut Change<'_, '_>,
    input: &wire::BatchDeleteScheduledActionType,
) -> Result<wire::BatchDeleteScheduledActionAnswer, ApiError> {
    let group = lookup::group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    check_batch(input.scheduled_action_names.len(), "ScheduledActionNames")?;
    let mut failed = Vec::new();
    for name in &input.scheduled_action_names {
        if let Err(err) = delete(change, &group, name) {
            failed.push(failure(Some(name.clone()), &err));
        }
    }
    Ok(wire::BatchDeleteScheduledActionAnswer { failed_scheduled_actions: failed })
}
