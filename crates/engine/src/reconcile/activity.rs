//! Scaling activities: what a group did, why, and how it ended.

use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::{launch_description, launch_failed_description, terminate_description};
use elastane_domain::id::{GroupName, InstanceId};
use elastane_domain::time::Span;

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

/// Begins the activity of terminating an instance.
pub fn terminating(tx: &mut Tx<'_>, begin: Begin<'_>, draining: bool) -> String {
    let description = terminate_description(&begin.instance.id, draining);
    let status = if draining { ActivityStatus::WaitingForELBConnectionDraining } else { ActivityStatus::InProgress };
    put(tx, begin, description, status)
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
        id,
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

/// The activity no longer waits for requests in flight.
pub fn drained(tx: &mut Tx<'_>, id: &str, instance: &InstanceId) {
    let description = terminate_description(instance, false);
    tx.update(id, |row: &mut Activity| {
        if row.status == ActivityStatus::WaitingForELBConnectionDraining {
            row.status = ActivityStatus::InProgress;
            row.description = description;
        }
    });
}

/// Ends an activity. One that ended keeps its end.
pub fn end(tx: &mut Tx<'_>, id: &str, status: ActivityStatus, message: Option<String>) {
    let now = tx.now;
    tx.update(id, |row: &mut Activity| {
        if row.end.is_none() {
            row.end = Some(now);
            row.status = status;
            row.status_message = message.map(|text| cut(text, STATUS_MESSAGE_MAX));
        }
    });
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
