//! The states of a group's member, with AWS's words and what each means for
//! the group.

use serde::{Deserialize, Serialize};

/// State of a member of an Auto Scaling group (EC2 Auto Scaling User Guide,
/// "Amazon EC2 Auto Scaling instance lifecycle" and "Warm pool instance
/// lifecycle").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LifecycleState {
    /// Launched, not yet in service.
    Pending,
    /// Running, while launching hooks wait to be completed.
    PendingWait,
    /// Its launching hooks are completed; about to be put in service.
    PendingProceed,
    /// Running and registered with the group's target groups.
    InService,
    /// On its way to standby: out of the load balancer, requests in flight end.
    EnteringStandby,
    /// Runs and belongs to the group, but does not work for it.
    Standby,
    /// Leaving the group alive: out of the load balancer, requests in flight end.
    Detaching,
    /// Leaving: draining, then terminating. It never comes back.
    Terminating,
    /// Drained, while terminating hooks wait to be completed.
    TerminatingWait,
    /// Its terminating hooks are completed; EC2 is asked to end it.
    TerminatingProceed,
    /// Kept for its owner after an abandoned terminating hook (InstanceLifecyclePolicy).
    TerminatingRetained,
    /// Gone.
    Terminated,
    /// Launched for the warm pool.
    WarmedPending,
    /// In the warm pool's way in, while hooks wait.
    WarmedPendingWait,
    /// Its hooks are completed; about to be put into the warm pool.
    WarmedPendingProceed,
    /// In the warm pool, stopped.
    WarmedStopped,
    /// In the warm pool, running.
    WarmedRunning,
    /// In the warm pool, hibernated.
    WarmedHibernated,
    /// Leaving the warm pool for good.
    WarmedTerminating,
    /// Leaving the warm pool, while terminating hooks wait.
    WarmedTerminatingWait,
    /// Leaving the warm pool; EC2 is asked to end it.
    WarmedTerminatingProceed,
    /// Gone from the warm pool.
    WarmedTerminated,
}

impl LifecycleState {
    /// Every state.
    pub const ALL: [LifecycleState; 22] = [
        LifecycleState::Pending,
        LifecycleState::PendingWait,
        LifecycleState::PendingProceed,
        LifecycleState::InService,
        LifecycleState::EnteringStandby,
        LifecycleState::Standby,
        LifecycleState::Detaching,
        LifecycleState::Terminating,
        LifecycleState::TerminatingWait,
        LifecycleState::TerminatingProceed,
        LifecycleState::TerminatingRetained,
        LifecycleState::Terminated,
        LifecycleState::WarmedPending,
        LifecycleState::WarmedPendingWait,
        LifecycleState::WarmedPendingProceed,
        LifecycleState::WarmedStopped,
        LifecycleState::WarmedRunning,
        LifecycleState::WarmedHibernated,
        LifecycleState::WarmedTerminating,
        LifecycleState::WarmedTerminatingWait,
        LifecycleState::WarmedTerminatingProceed,
        LifecycleState::WarmedTerminated,
    ];

    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            LifecycleState::Pending => "Pending",
            LifecycleState::PendingWait => "Pending:Wait",
            LifecycleState::PendingProceed => "Pending:Proceed",
            LifecycleState::InService => "InService",
            LifecycleState::EnteringStandby => "EnteringStandby",
            LifecycleState::Standby => "Standby",
            LifecycleState::Detaching => "Detaching",
            LifecycleState::Terminating => "Terminating",
            LifecycleState::TerminatingWait => "Terminating:Wait",
            LifecycleState::TerminatingProceed => "Terminating:Proceed",
            LifecycleState::TerminatingRetained => "Terminating:Retained",
            LifecycleState::Terminated => "Terminated",
            LifecycleState::WarmedPending => "Warmed:Pending",
            LifecycleState::WarmedPendingWait => "Warmed:Pending:Wait",
            LifecycleState::WarmedPendingProceed => "Warmed:Pending:Proceed",
            LifecycleState::WarmedStopped => "Warmed:Stopped",
            LifecycleState::WarmedRunning => "Warmed:Running",
            LifecycleState::WarmedHibernated => "Warmed:Hibernated",
            LifecycleState::WarmedTerminating => "Warmed:Terminating",
            LifecycleState::WarmedTerminatingWait => "Warmed:Terminating:Wait",
            LifecycleState::WarmedTerminatingProceed => "Warmed:Terminating:Proceed",
            LifecycleState::WarmedTerminated => "Warmed:Terminated",
        }
    }

    /// Whether the member is on its way into service for the first time since
    /// its launch, its leaving the warm pool or its leaving standby.
    pub const fn is_pending(self) -> bool {
        matches!(self, LifecycleState::Pending | LifecycleState::PendingWait | LifecycleState::PendingProceed)
    }

    /// Whether the member counts towards the capacity that is compared with
    /// desired. Pending ones do, else the group would launch too many.
    pub const fn counts_as_capacity(self) -> bool {
        self.is_pending() || matches!(self, LifecycleState::InService)
    }

    /// Whether the member is being terminated, or is gone: it never comes back.
    pub const fn is_terminating(self) -> bool {
        matches!(
            self,
            LifecycleState::Terminating
                | LifecycleState::TerminatingWait
                | LifecycleState::TerminatingProceed
                | LifecycleState::TerminatingRetained
                | LifecycleState::Terminated
                | LifecycleState::WarmedTerminating
                | LifecycleState::WarmedTerminatingWait
                | LifecycleState::WarmedTerminatingProceed
                | LifecycleState::WarmedTerminated
        )
    }

    /// Whether the member belongs to the warm pool, one of its leaving states included.
    pub const fn is_warm(self) -> bool {
        matches!(
            self,
            LifecycleState::WarmedPending
                | LifecycleState::WarmedPendingWait
                | LifecycleState::WarmedPendingProceed
                | LifecycleState::WarmedStopped
                | LifecycleState::WarmedRunning
                | LifecycleState::WarmedHibernated
                | LifecycleState::WarmedTerminating
                | LifecycleState::WarmedTerminatingWait
                | LifecycleState::WarmedTerminatingProceed
                | LifecycleState::WarmedTerminated
        )
    }

    /// Whether hooks are waited for.
    pub const fn waits(self) -> bool {
        matches!(
            self,
            LifecycleState::PendingWait
                | LifecycleState::TerminatingWait
                | LifecycleState::WarmedPendingWait
                | LifecycleState::WarmedTerminatingWait
        )
    }

    /// What `autoscaling/target-lifecycle-state` in the instance's metadata
    /// says: the steady state that the member is heading for. `pool` is the
    /// state in which the group's warm pool keeps its instances.
    pub const fn target_name(self, pool: LifecycleState) -> &'static str {
        match self {
            LifecycleState::Pending
            | LifecycleState::PendingWait
            | LifecycleState::PendingProceed
            | LifecycleState::InService => "InService",
            LifecycleState::EnteringStandby | LifecycleState::Standby => "Standby",
            LifecycleState::Detaching => "Detached",
            LifecycleState::Terminating
            | LifecycleState::TerminatingWait
            | LifecycleState::TerminatingProceed
            | LifecycleState::TerminatingRetained
            | LifecycleState::Terminated => "Terminated",
            LifecycleState::WarmedPending
            | LifecycleState::WarmedPendingWait
            | LifecycleState::WarmedPendingProceed => pool.name(),
            LifecycleState::WarmedStopped | LifecycleState::WarmedRunning | LifecycleState::WarmedHibernated => {
                self.name()
            }
            LifecycleState::WarmedTerminating
            | LifecycleState::WarmedTerminatingWait
            | LifecycleState::WarmedTerminatingProceed
            | LifecycleState::WarmedTerminated => "Warmed:Terminated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what is on its way in or in counts; the metadata names where it is heading.
    #[test]
    fn autoscaling_1_2_and_2_6_member_states() {
        for state in LifecycleState::ALL {
            let target = state.target_name(LifecycleState::WarmedStopped);
            let name = state.name();
            let counts = ["Pending", "Pending:Wait", "Pending:Proceed", "InService"].contains(&name);
            assert_eq!(state.counts_as_capacity(), counts, "{name}");
            assert_eq!(state.is_warm(), name.starts_with("Warmed:"), "{name}");
            assert_eq!(state.waits(), name.ends_with(":Wait"), "{name}");
            assert_eq!(state.is_terminating(), name.contains("Terminat"), "{name}");
            let expected = match name {
                "EnteringStandby" | "Standby" => "Standby",
                "Detaching" => "Detached",
                "Warmed:Running" | "Warmed:Hibernated" => name,
                _ if name.starts_with("Warmed:Terminat") => "Warmed:Terminated",
                _ if name.starts_with("Warmed:") => "Warmed:Stopped",
                _ if name.starts_with("Terminat") => "Terminated",
                _ => "InService",
            };
            assert_eq!(target, expected, "{name}");
        }
    }
}
