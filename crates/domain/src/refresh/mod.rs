//! Instance refresh: what it is asked to do, and how far it is (EC2 Auto
//! Scaling User Guide, "Use an instance refresh to update instances"). The
//! group's plan makes the batches; here is decided which members are to go
//! (`treatment`, `Wanted`) and when a refresh pauses, fails, goes back or ends
//! (`Course`).

mod course;
mod scope;

pub use course::{Course, Facts, HISTORY, REFRESH_MAX, STUCK_MAX, Step};
pub use scope::{Launched, Treatment, Wanted, treatment};

use crate::group::words;
use crate::time::Span;
use serde::{Deserialize, Serialize};

words! {
    /// Status of an instance refresh.
    RefreshStatus {
        /// Not begun.
        Pending = "Pending",
        /// Replacing instances.
        InProgress = "InProgress",
        /// Everything is replaced; the bake time runs.
        Baking = "Baking",
        /// Done.
        Successful = "Successful",
        /// Given up.
        Failed = "Failed",
        /// Being cancelled.
        Cancelling = "Cancelling",
        /// Cancelled.
        Cancelled = "Cancelled",
        /// Going back.
        RollbackInProgress = "RollbackInProgress",
        /// Gone back.
        RollbackSuccessful = "RollbackSuccessful",
        /// Could not go back.
        RollbackFailed = "RollbackFailed",
    }
}

impl RefreshStatus {
    /// Whether the refresh still does something: a group has at most one such.
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            RefreshStatus::Pending
                | RefreshStatus::InProgress
                | RefreshStatus::Baking
                | RefreshStatus::Cancelling
                | RefreshStatus::RollbackInProgress
        )
    }
}

words! {
    /// ScaleInProtectedInstances.
    OnProtected {
        /// Replace them too.
        Refresh = "Refresh",
        /// Leave them.
        Ignore = "Ignore",
        /// Wait until they are not protected.
        Wait = "Wait",
    }
}

words! {
    /// StandbyInstances.
    OnStandby {
        /// Terminate them.
        Terminate = "Terminate",
        /// Leave them.
        Ignore = "Ignore",
        /// Wait until they are back in service.
        Wait = "Wait",
    }
}

/// RefreshPreferences, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preferences {
    /// MinHealthyPercentage.
    pub min_percent: u32,
    /// MaxHealthyPercentage; `None` when neither call nor group named one:
    /// terminate and launch at the same time.
    pub max_percent: Option<u32>,
    /// InstanceWarmup.
    pub warmup: Span,
    /// CheckpointPercentages.
    pub checkpoints: Vec<u32>,
    /// CheckpointDelay.
    pub checkpoint_delay: Span,
    /// BakeTime.
    pub bake: Span,
    /// SkipMatching.
    pub skip_matching: bool,
    /// AutoRollback.
    pub auto_rollback: bool,
    /// ScaleInProtectedInstances.
    pub on_protected: OnProtected,
    /// StandbyInstances.
    pub on_standby: OnStandby,
    /// AlarmSpecification.Alarms.
    pub alarms: Vec<String>,
}

#[cfg(test)]
mod tests;
