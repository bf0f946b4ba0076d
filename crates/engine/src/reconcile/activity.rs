//! Scaling activities: what a group did, why, and how it ended.

use super::notifications;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{launch_description, launch_failed_description, terminate_description};
use elastane_domain::hooks::{Ending, Transition, abandon_reason};
use elastane_domain::id::GroupName;
use elastane_domain::moves::Move;
use elastane_domain::time::Span;
use elastane_domain::warm_pool;

/// Activities are kept for six weeks (autoscaling.md 15).
const KEPT: Span = Span::from_mins(6 * 7 * 24 * 60);

/// And at most so many in a scope, so that a group that fails for weeks does
/// not fill the store; the oldest ended ones go first.
const ACTIVITIES_MAX: usize = 5_000;

/// How many go at once when there are too many.
const TRIM: usize = 100;

/// AWS's limits of `Cause` and `StatusMessage`.
const CAUSE_MAX: usize = 1_023;
const STATUS_MESSAGE_MAX: usize = 255;

/// How the description of an activity ends while requests in flight are waited for.
const DRAINING: &str = " - Waiting For ELB Connection Draining";

/// What begins an activity.
pub struct Begin<'a> {
    /// The group.
    pub group: &'a GroupName,
    /// The instance, and where it is.
    pub instance: &'a Instance,
    /// Why, in AWS's sentences.
    pub cause: String,
}

/// Begins the activity of launching an instance.
pub fn launching(tx: &mut Tx<'_>, begin: Begin<'_>) -> String {
    let description = launch_description(&begin.instance.id);
    put(tx, begin, description, ActivityStatus::PreInService)
}

/// Begins the activity of launching an instance into the warm pool.
pub fn launching_into_pool(tx: &mut Tx<'_>, begin: Begin<'_>) -> String {
    let description = warm_pool::Passage::Into.description(&begin.instance.id);
    put(tx, begin, description, ActivityStatus::PreInService)
}

/// Begins the activity of taking an instance out of the warm pool, into service.
pub fn launching_from_pool(tx: &mut Tx<'_>, begin: Begin<'_>) -> String {
    let description = warm_pool::Passage::IntoService.description(&begin.instance.id);
    put(tx, begin, description, ActivityStatus::PreInService)
}

/// Begins the activity of putting an instance from service back into the warm pool.
pub fn returning_to_pool(tx: &mut Tx<'_>, begin: Begin<'_>, draining: bool) -> String {
    let description = warm_pool::Passage::Back.description(&begin.instance.id);
    let tail = if draining { DRAINING } else { "" };
    put(tx, begin, format!("{description}{tail}"), out_of_service(draining))
}

/// Begins the activity of terminating an instance of the warm pool.
pub fn terminating_from_pool(tx: &mut Tx<'_>, begin: Begin<'_>) -> String {
    let description = warm_pool::Passage::Out.description(&begin.instance.id);
    put(tx, begin, description, ActivityStatus::InProgress)
}

/// Begins the activity of a move that a user asked for.
pub fn moving(tx: &mut Tx<'_>, begin: Begin<'_>, one: Move) -> String {
    let description = one.description(&begin.instance.id);
    let status = match one {
        Move::IntoStandby | Move::Out => ActivityStatus::InProgress,
        Move::OutOfStandby | Move::In => ActivityStatus::PreInService,
    };
    put(tx, begin, description, status)
}

/// Begins the activity of terminating an instance.
pub fn terminating(tx: &mut Tx<'_>, begin: Begin<'_>, draining: bool) -> String {
    let description = terminate_description(&begin.instance.id, draining);
    put(tx, begin, description, out_of_service(draining))
}

fn out_of_service(draining: bool) -> ActivityStatus {
    if draining { ActivityStatus::WaitingForELBConnectionDraining } else { ActivityStatus::InProgress }
}

fn put(tx: &mut Tx<'_>, begin: Begin<'_>, description: String, status: ActivityStatus) -> String {
    trim(tx);
    let id = tx.rng.uuid();
    let details =
        serde_json::json!({"Subnet ID": begin.instance.subnet, "Availability Zone": begin.instance.zone}).to_string();
    tx.put(Activity {
        id: id.clone(),
        group: begin.group.clone(),
        instance: Some(begin.instance.id.clone()),
        description,
        cause: cut(begin.cause, CAUSE_MAX),
        start: tx.now,
        end: None,
        status,
        status_message: None,
        details,
    });
    id
}

/// Records a launch that EC2 refused.
pub fn refused(tx: &mut Tx<'_>, group: &GroupName, cause: String, zone: &str, reason: &str) {
    trim(tx);
    let id = tx.rng.uuid();
    tx.put(Activity {
        id: id.clone(),
        group: group.clone(),
        instance: None,
        description: launch_failed_description(reason),
        cause: cut(cause, CAUSE_MAX),
        start: tx.now,
        end: Some(tx.now),
        status: ActivityStatus::Failed,
        status_message: Some(cut(format!("{reason}. Launching EC2 instance failed."), STATUS_MESSAGE_MAX)),
        details: serde_json::json!({"Availability Zone": zone}).to_string(),
    });
    notifications::refused(tx, &id);
}

/// Records that a group cannot shrink, because all instances that could go
/// are protected from scale in (autoscaling.md 1.3).
pub fn protected(tx: &mut Tx<'_>, group: &Group, cause: String) {
    const TEXT: &str =
        "Could not scale to desired capacity because all remaining instances are protected from scale-in.";
    trim(tx);
    let id = tx.rng.uuid();
    tx.put(Activity {
        id,
        group: group.name.clone(),
        instance: None,
        description: TEXT.to_string(),
        cause: cut(cause, CAUSE_MAX),
        start: tx.now,
        end: Some(tx.now),
        status: ActivityStatus::Failed,
        status_message: Some(TEXT.to_string()),
        details: "{}".to_string(),
    });
}

/// The activity no longer waits for requests in flight; whether it did.
pub fn drained(tx: &mut Tx<'_>, id: &str) -> bool {
    let waited =
        tx.get::<Activity>(id).is_some_and(|row| row.status == ActivityStatus::WaitingForELBConnectionDraining);
    if waited {
        tx.update(id, |row: &mut Activity| {
            row.status = ActivityStatus::InProgress;
            row.description.truncate(row.description.trim_end_matches(DRAINING).len());
        });
    }
    waited
}

/// The activity waits for life-cycle hooks.
pub fn waits_for_hooks(tx: &mut Tx<'_>, id: &str) {
    set_status(tx, id, ActivityStatus::MidLifecycleAction);
}

/// The activity no longer waits for hooks and goes on, on its way in or out.
pub fn goes_on(tx: &mut Tx<'_>, id: &str, transition: Transition) {
    set_status(
        tx,
        id,
        match transition {
            Transition::Launching => ActivityStatus::PreInService,
            Transition::Terminating => ActivityStatus::InProgress,
        },
    );
}

fn set_status(tx: &mut Tx<'_>, id: &str, status: ActivityStatus) {
    tx.update(id, |row: &mut Activity| {
        if row.end.is_none() {
            row.status = status;
        }
    });
}

/// Ends the activity of a launch that a hook gave up.
pub fn abandoned(tx: &mut Tx<'_>, id: &str, token: &str, ending: Ending) {
    let reason = abandon_reason(token, ending);
    tx.update(id, |row: &mut Activity| row.description.push_str(&format!(".  Status Reason: {reason}")));
    end(tx, id, ActivityStatus::Cancelled, Some(reason));
}

/// Ends an activity. One that ended keeps its end.
pub fn end(tx: &mut Tx<'_>, id: &str, status: ActivityStatus, message: Option<String>) {
    let now = tx.now;
    if tx.get::<Activity>(id).is_none_or(|row| row.end.is_some()) {
        return;
    }
    tx.update(id, |row: &mut Activity| {
        row.end = Some(now);
        row.status = status;
        row.status_message = message.map(|text| cut(text, STATUS_MESSAGE_MAX));
    });
    if let Some(ended) = tx.get::<Activity>(id) {
        notifications::ended(tx, &ended);
    }
}

fn cut(mut text: String, max: usize) -> String {
    let mut at = max.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.truncate(at);
    text
}

fn trim(tx: &mut Tx<'_>) {
    if tx.activities.len() < ACTIVITIES_MAX {
        return;
    }
    let mut ended: Vec<_> = tx.all::<Activity>().filter_map(|row| row.end.map(|end| (end, row.id.clone()))).collect();
    ended.sort();
    let too_old = ended.iter().take_while(|(end, _)| *end + KEPT < tx.now).count();
    for (_, id) in ended.into_iter().take(too_old.max(TRIM)) {
        tx.delete::<Activity>(&id);
    }
}
