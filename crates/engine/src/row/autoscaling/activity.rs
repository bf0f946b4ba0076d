//! Scaling activities: what a group did and why.

use crate::row::row;
use elastane_domain::id::*;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};

/// A scaling activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// A UUID.
    pub id: String,
    /// The group.
    pub group: GroupName,
    /// The instance, if there is one.
    pub instance: Option<InstanceId>,
    /// `Launching a new EC2 instance: i-…` or `Terminating EC2 instance: i-…`.
    pub description: String,
    /// Why, in AWS's sentences.
    pub cause: String,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Option<Time>,
    /// How far it is.
    pub status: ActivityStatus,
    /// EC2's error, if it failed.
    pub status_message: Option<String>,
    /// JSON text: subnet and zone.
    pub details: String,
}
row!(Activity, |row| row.id.clone());

/// How far an activity is (`StatusCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityStatus {
    /// Launching.
    PreInService,
    /// Terminating.
    InProgress,
    /// Waiting for requests in flight to end.
    WaitingForELBConnectionDraining,
    /// Waiting for life-cycle hooks.
    MidLifecycleAction,
    /// Done.
    Successful,
    /// Not done.
    Failed,
    /// Given up because something else came first.
    Cancelled,
}

impl ActivityStatus {
    /// AWS's word.
    pub fn name(self) -> &'static str {
        match self {
            ActivityStatus::PreInService => "PreInService",
            ActivityStatus::InProgress => "InProgress",
            ActivityStatus::WaitingForELBConnectionDraining => "WaitingForELBConnectionDraining",
            ActivityStatus::MidLifecycleAction => "MidLifecycleAction",
            ActivityStatus::Successful => "Successful",
            ActivityStatus::Failed => "Failed",
            ActivityStatus::Cancelled => "Cancelled",
        }
    }

    /// Percentage shown.
    pub fn progress(self) -> i32 {
        match self {
            ActivityStatus::PreInService => 30,
            ActivityStatus::InProgress
            | ActivityStatus::WaitingForELBConnectionDraining
            | ActivityStatus::MidLifecycleAction => 50,
            ActivityStatus::Successful | ActivityStatus::Failed | ActivityStatus::Cancelled => 100,
        }
    }
}
