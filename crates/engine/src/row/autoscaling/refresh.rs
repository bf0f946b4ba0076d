//! Instance refreshes of groups.

use super::LaunchSource;
use crate::row::row;
use elastane_domain::id::{GroupName, InstanceId};
use elastane_domain::refresh::{Preferences, RefreshStatus};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An instance refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceRefresh {
    /// A UUID.
    pub id: String,
    /// The group.
    pub group: GroupName,
    /// How far it is.
    pub status: RefreshStatus,
    /// StatusReason.
    pub reason: Option<String>,
    /// When it was asked for.
    pub requested_at: Time,
    /// StartTime.
    pub started_at: Option<Time>,
    /// EndTime.
    pub ended_at: Option<Time>,
    /// Preferences.
    pub preferences: Preferences,
    /// DesiredConfiguration.
    pub desired: Option<LaunchSource>,
    /// What the group launched from when it began: where a rollback goes.
    pub previous: LaunchSource,
    /// Instances still to be replaced; members that leave for other reasons leave it too.
    pub remaining: BTreeSet<InstanceId>,
    /// How much capacity there was to replace at first.
    pub total: u32,
    /// The highest checkpoint that was reached, in per cent.
    pub checkpoint: Option<u32>,
    /// The pause at a checkpoint, or the bake time, lasts until then.
    pub paused_until: Option<Time>,
    /// Since when it makes no progress.
    pub stuck_since: Option<Time>,
    /// The least capacity that was left to replace at any time.
    #[serde(default)]
    pub least: u32,
    /// How much is left to replace, as it was seen last.
    #[serde(default)]
    pub left: u32,
    /// Instances of the warm pool that are left to replace, as it was seen last.
    #[serde(default)]
    pub left_in_pool: u32,
    /// PercentageComplete, as it was seen last.
    #[serde(default)]
    pub percentage: u32,
    /// WaitForTransitioningInstances of the call that cancelled it.
    #[serde(default)]
    pub waits_for_transit: bool,
    /// RollbackDetails, once it goes back.
    pub rollback: Option<Rollback>,
}
row!(InstanceRefresh, |row| row.key());

impl InstanceRefresh {
    /// The row's id: a group's refreshes stand together. Group names hold no colon.
    pub fn key(&self) -> String {
        format!("{}:{}", self.group, self.id)
    }
}

/// How a refresh goes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollback {
    /// RollbackReason.
    pub reason: String,
    /// RollbackStartTime.
    pub started_at: Time,
    /// PercentageCompleteOnRollback.
    pub percentage: u32,
    /// InstancesToUpdateOnRollback.
    pub to_update: u32,
}
