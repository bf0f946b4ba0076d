//! What a group can be told besides its size, with AWS's words.

use crate::lifecycle::LifecycleState;
use serde::{Deserialize, Serialize};

/// Words of AWS for the variants of an enum: `name`, `from_name` and `ALL`.
macro_rules! words {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $kind {
            $($(#[$doc])* $variant,)*
        }

        impl $kind {
            /// Every value.
            pub const ALL: &[$kind] = &[$($kind::$variant,)*];

            /// AWS's word.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $word,)* }
            }

            /// The value that AWS calls `name`.
            pub fn from_name(name: &str) -> Option<$kind> {
                match name { $($word => Some($kind::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// A process that SuspendProcesses can suspend (EC2 Auto Scaling User
    /// Guide, "Suspend and resume processes").
    Process {
        /// Adds instances.
        Launch = "Launch",
        /// Takes instances away.
        Terminate = "Terminate",
        /// Registers launched instances with load balancers.
        AddToLoadBalancer = "AddToLoadBalancer",
        /// Follows alarms.
        AlarmNotification = "AlarmNotification",
        /// Balances zones.
        AZRebalance = "AZRebalance",
        /// Marks instances unhealthy.
        HealthCheck = "HealthCheck",
        /// Rolls instance refreshes on.
        InstanceRefresh = "InstanceRefresh",
        /// Replaces marked instances.
        ReplaceUnhealthy = "ReplaceUnhealthy",
        /// Runs scheduled actions.
        ScheduledActions = "ScheduledActions",
    }
}

words! {
    /// AvailabilityZoneDistribution.CapacityDistributionStrategy.
    ZoneStrategy {
        /// A launch that fails in one zone is tried in another.
        BalancedBestEffort = "balanced-best-effort",
        /// It is tried in the same zone again.
        BalancedOnly = "balanced-only",
    }
}

words! {
    /// DeletionProtection.
    DeletionProtection {
        /// The group can be deleted.
        None = "none",
        /// Not with ForceDelete.
        PreventForceDeletion = "prevent-force-deletion",
        /// Not at all.
        PreventAllDeletion = "prevent-all-deletion",
    }
}

words! {
    /// DesiredCapacityType: what the group's sizes count.
    CapacityType {
        /// Instances, or their weights.
        Units = "units",
        /// vCPUs.
        Vcpu = "vcpu",
        /// MiB of memory.
        MemoryMib = "memory-mib",
    }
}

words! {
    /// PoolState of a warm pool.
    PoolState {
        /// Its instances are stopped.
        Stopped = "Stopped",
        /// They run.
        Running = "Running",
        /// They hibernate.
        Hibernated = "Hibernated",
    }
}

impl PoolState {
    /// The state of a member that rests in the pool.
    pub const fn resting(self) -> LifecycleState {
        match self {
            PoolState::Stopped => LifecycleState::WarmedStopped,
            PoolState::Running => LifecycleState::WarmedRunning,
            PoolState::Hibernated => LifecycleState::WarmedHibernated,
        }
    }
}

/// A warm pool (EC2 Auto Scaling User Guide, "Warm pools").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmPool {
    /// MinSize.
    pub min: u32,
    /// MaxGroupPreparedCapacity; `None` is the group's MaxSize.
    pub max_prepared: Option<u32>,
    /// PoolState.
    pub state: PoolState,
    /// InstanceReusePolicy.ReuseOnScaleIn.
    pub reuse_on_scale_in: bool,
    /// It goes away when its last instance is gone (`PendingDelete`).
    pub deleting: bool,
}

/// InstanceMaintenancePolicy: which part of the desired capacity must serve,
/// and how much there may be, while instances are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// MinHealthyPercentage, 0 to 100.
    pub min_percent: u32,
    /// MaxHealthyPercentage, 100 to 200.
    pub max_percent: u32,
}
