//! Scheduled actions of groups.

use crate::row::row;
use elastane_domain::id::GroupName;
use elastane_domain::schedule::Sizes;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};

/// A scheduled action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduledAction {
    /// The group.
    pub group: GroupName,
    /// Its name, unique within the group.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// StartTime.
    pub start: Option<Time>,
    /// EndTime.
    pub end: Option<Time>,
    /// Recurrence: a cron expression of five fields.
    pub recurrence: Option<String>,
    /// TimeZone: an IANA name.
    pub time_zone: Option<String>,
    /// What it sets.
    pub sizes: Sizes,
    /// When it runs next; `None` when it does not run again.
    pub next: Option<Time>,
}
row!(ScheduledAction, |row| ScheduledAction::key(&row.group, &row.name));

impl ScheduledAction {
    /// The row's id. Group names hold no colon, so no two actions share one.
    pub fn key(group: &GroupName, name: &str) -> String {
        format!("{group}:{name}")
    }
}
