//! Notifications of groups as SNS would deliver them, and events as
//! EventBridge would (autoscaling.md 16), both to the webhook of the
//! installation.
//!
//! Each is a row until it was delivered: delivery is at least once, within
//! `KEPT`. Without a webhook none are made.

use super::Memory;
use crate::row::*;
use crate::scope::Scope;
use crate::state::Tx;
use elastane_domain::hooks::{LifecycleAction, Place, Transition};
use elastane_domain::id::{GroupName, InstanceId};
use elastane_domain::time::Span;
use serde_json::{Value, json};

/// Notifications that wait in one scope; when there are more the oldest go.
/// A webhook that is away for long must not fill the store.
const WAITING_MAX: usize = 1_000;

/// One that could not be delivered for so long is dropped.
const KEPT: Span = Span::from_mins(60);

/// NotificationTypes, in AWS's order.
pub const TYPES: [&str; 5] = [
    "autoscaling:EC2_INSTANCE_LAUNCH",
    "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
    "autoscaling:EC2_INSTANCE_TERMINATE",
    "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
    TEST,
];

const TEST: &str = "autoscaling:TEST_NOTIFICATION";
const SERVICE: &str = "AWS Auto Scaling";

/// What became of an instance refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshEvent {
    /// It began.
    Started,
    /// All instances are replaced.
    Succeeded,
    /// It gave up.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It pauses at a checkpoint.
    Checkpoint {
        /// CheckpointPercentage.
        percentage: u32,
        /// CheckpointDelay.
        delay: Span,
    },
}

impl RefreshEvent {
    fn name(self) -> &'static str {
        match self {
            RefreshEvent::Started => "Started",
            RefreshEvent::Succeeded => "Succeeded",
            RefreshEvent::Failed => "Failed",
            RefreshEvent::Cancelled => "Cancelled",
            RefreshEvent::Checkpoint { .. } => "Checkpoint Reached",
        }
    }
}

/// Rows that were delivered go, and so do those that are too old.
pub(super) fn reconcile(tx: &mut Tx<'_>, memory: &mut Memory) {
    let oldest = tx.now - KEPT;
    let gone: Vec<String> = tx
        .all::<Notification>()
        .filter(|row| memory.notified.contains(&row.id) || row.created_at < oldest)
        .map(|row| row.id.clone())
        .collect();
    for id in gone {
        memory.notified.remove(&id);
        tx.delete::<Notification>(&id);
    }
    // Ids are unique, so one that is no row here is another scope's or gone.
    if memory.notified.len() > WAITING_MAX {
        memory.notified.clear();
    }
}

/// An instance waits for a life-cycle hook: an event, and a notification if
/// the hook has a target.
pub fn lifecycle(tx: &mut Tx<'_>, hook: &LifecycleHook, action: &LifecycleAction, instance: &Instance) {
    if !tx.config.webhook {
        return;
    }
    let route = instance.membership.as_ref().map(|place| elastane_domain::hooks::route(place.lifecycle, place.arrival));
    let mut detail = json!({
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": hook.group,
        "LifecycleHookName": hook.name,
        "EC2InstanceId": instance.id,
        "LifecycleTransition": action.transition.name(),
    });
    if let Some(metadata) = &hook.metadata {
        detail["NotificationMetadata"] = json!(metadata);
    }
    if let Some((from, to)) = route {
        (detail["Origin"], detail["Destination"]) = (json!(from.name()), json!(to.name()));
    }
    let kind = match action.transition {
        Transition::Launching => "EC2 Instance-launch Lifecycle Action",
        Transition::Terminating => "EC2 Instance-terminate Lifecycle Action",
    };
    event(tx, kind, &hook.group, None, detail.clone());
    if let Some(target) = &hook.target {
        let mut message = detail;
        complete(tx, &mut message);
        publish(tx, target, &format!("Auto Scaling: Lifecycle action '{kind}'"), &message);
    }
}

/// A hook got a target: it hears so.
pub fn hook_test(tx: &mut Tx<'_>, hook: &LifecycleHook) {
    if let Some(target) = &hook.target {
        test(tx, &hook.group, target);
    }
}

/// A topic hears that it will be notified.
pub fn test(tx: &mut Tx<'_>, group: &GroupName, topic: &str) {
    if !tx.config.webhook {
        return;
    }
    let mut message = json!({"AutoScalingGroupName": group, "AutoScalingGroupARN": arn_of(tx, group), "Event": TEST});
    complete(tx, &mut message);
    publish(tx, topic, &format!("Auto Scaling: test notification for group \"{group}\""), &message);
}

/// An instance refresh came to another state.
pub fn refresh(tx: &mut Tx<'_>, refresh: &InstanceRefresh, event_of: RefreshEvent) {
    if !tx.config.webhook {
        return;
    }
    let mut detail = json!({"InstanceRefreshId": refresh.id, "AutoScalingGroupName": refresh.group});
    if let RefreshEvent::Checkpoint { percentage, delay } = event_of {
        detail["CheckpointPercentage"] = json!(percentage.to_string());
        detail["CheckpointDelay"] = json!(delay.seconds().to_string());
    }
    let kind = format!("EC2 Auto Scaling Instance Refresh {}", event_of.name());
    event(tx, &kind, &refresh.group, None, detail);
}

/// An activity ended: whoever wants to know of its kind hears so.
pub(super) fn ended(tx: &mut Tx<'_>, activity: &Activity) {
    if !tx.config.webhook {
        return;
    }
    let Some((launch, fine)) = outcome(activity) else { return };
    let verb = if launch { "Launch" } else { "Terminate" };
    let kind = format!("EC2 Instance {verb} {}", if fine { "Successful" } else { "Unsuccessful" });
    let detail = detail_of(tx, activity, launch, fine);
    event(tx, &kind, &activity.group, activity.instance.as_ref(), detail.clone());
    let name = match (launch, fine) {
        (true, true) => TYPES[0],
        (true, false) => TYPES[1],
        (false, true) => TYPES[2],
        (false, false) => TYPES[3],
    };
    let Some(group) = tx.get::<Group>(activity.group.as_str()) else { return };
    let mut message = detail;
    message["Event"] = json!(name);
    message["Progress"] = json!(if fine { 50 } else { 100 });
    message["AutoScalingGroupARN"] = json!(group.arn);
    complete(tx, &mut message);
    let subject = format!("Auto Scaling: {} for group \"{}\"", kind.to_lowercase(), group.name);
    for (topic, _) in group.notifications.iter().filter(|(_, types)| types.contains(name)) {
        publish(tx, topic, &subject, &message);
    }
}

/// Whether an activity that ended is a launch, and whether it succeeded;
/// `None` for one of another kind.
fn outcome(activity: &Activity) -> Option<(bool, bool)> {
    let launch = activity.description.starts_with("Launching a new EC2 instance");
    if !launch && !activity.description.starts_with("Terminating EC2 instance") {
        return None;
    }
    match activity.status {
        ActivityStatus::Successful => Some((launch, true)),
        ActivityStatus::Failed | ActivityStatus::Cancelled => Some((launch, false)),
        _ => None,
    }
}

/// Successful ones say InProgress, as AWS's do (observed).
fn detail_of(tx: &mut Tx<'_>, activity: &Activity, launch: bool, fine: bool) -> Value {
    let into_pool = activity.description.contains("into warm pool");
    let from_pool = activity.description.contains("from warm pool");
    let inside = if into_pool || (from_pool && !launch) { Place::Pool } else { Place::Group };
    let outside = if from_pool && launch { Place::Pool } else { Place::Ec2 };
    let (from, to) = if launch { (outside, inside) } else { (inside, Place::Ec2) };
    json!({
        "StatusCode": if fine { "InProgress" } else { activity.status.name() },
        "Description": activity.description,
        "AutoScalingGroupName": activity.group,
        "ActivityId": activity.id,
        "Details": serde_json::from_str::<Value>(&activity.details).unwrap_or_default(),
        "RequestId": activity.id,
        "StatusMessage": activity.status_message.clone().unwrap_or_default(),
        "EndTime": activity.end.unwrap_or(tx.now).iso_millis(),
        "EC2InstanceId": activity.instance.as_ref().map(ToString::to_string).unwrap_or_default(),
        "StartTime": activity.start.iso_millis(),
        "Cause": activity.cause,
        "Origin": from.name(),
        "Destination": to.name(),
    })
}

/// What every notification says of itself.
fn complete(tx: &mut Tx<'_>, message: &mut Value) {
    message["AccountId"] = json!(tx.scope().account);
    message["Service"] = json!(SERVICE);
    message["Time"] = json!(tx.now.iso_millis());
    if message.get("RequestId").is_none() {
        message["RequestId"] = json!(tx.rng.uuid());
    }
}

fn arn_of(tx: &Tx<'_>, group: &GroupName) -> String {
    tx.get::<Group>(group.as_str()).map_or_else(String::new, |row| row.arn.clone())
}

/// An event as EventBridge delivers it.
fn event(tx: &mut Tx<'_>, kind: &str, group: &GroupName, instance: Option<&InstanceId>, detail: Value) {
    let mut resources = vec![arn_of(tx, group)];
    resources.extend(instance.map(|id| tx.scope().arn("ec2", &format!("instance/{id}"))));
    let Scope { account, region } = tx.scope().clone();
    let body = json!({
        "version": "0",
        "id": tx.rng.uuid(),
        "detail-type": kind,
        "source": "aws.autoscaling",
        "account": account,
        "time": tx.now.iso_seconds(),
        "region": region,
        "resources": resources,
        "detail": detail,
    });
    put(tx, None, &body);
}

/// A launch was refused: an activity that ended before it began.
pub(super) fn refused(tx: &mut Tx<'_>, id: &str) {
    if let Some(activity) = tx.get::<Activity>(id) {
        ended(tx, &activity);
    }
}

/// A message as SNS delivers it to an HTTP endpoint, unsigned.
fn publish(tx: &mut Tx<'_>, topic: &str, subject: &str, message: &Value) {
    let body = json!({
        "Type": "Notification",
        "MessageId": tx.rng.uuid(),
        "TopicArn": topic,
        "Subject": subject.chars().take(100).collect::<String>(),
        "Message": message.to_string(),
        "Timestamp": tx.now.iso_millis(),
    });
    put(tx, Some(topic.to_string()), &body);
}

fn put(tx: &mut Tx<'_>, topic: Option<String>, body: &Value) {
    let waiting = tx.notifications.len();
    if waiting >= WAITING_MAX {
        let oldest: Vec<String> =
            tx.notifications.keys().take(waiting + 1 - WAITING_MAX).map(ToString::to_string).collect();
        for id in oldest {
            tx.delete::<Notification>(&id);
        }
    }
    let id = format!("{:014}-{}", tx.now.millis().max(0), tx.rng.uuid());
    tx.put(Notification { id, created_at: tx.now, topic, body: body.to_string() });
}
