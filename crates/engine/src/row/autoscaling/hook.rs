//! Life-cycle hooks of groups.

use crate::row::row;
use elastane_domain::hooks::{HookResult, Transition};
use elastane_domain::id::GroupName;
use elastane_domain::time::Span;
use serde::{Deserialize, Serialize};

/// A life-cycle hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifecycleHook {
    /// The group.
    pub group: GroupName,
    /// Its name, unique within the group.
    pub name: String,
    /// LifecycleTransition.
    pub transition: Transition,
    /// HeartbeatTimeout.
    pub heartbeat: Span,
    /// DefaultResult.
    pub default_result: HookResult,
    /// NotificationTargetARN.
    pub target: Option<String>,
    /// RoleARN.
    pub role: Option<String>,
    /// NotificationMetadata.
    pub metadata: Option<String>,
}
row!(LifecycleHook, |row| LifecycleHook::key(&row.group, &row.name));

impl LifecycleHook {
    /// The row's id. Group names hold no colon, so no two hooks share one.
    pub fn key(group: &GroupName, name: &str) -> String {
        format!("{group}:{name}")
    }
}
