//! The states of an EC2 instance and of a group's member, with AWS's words.
//!
//! Owns the transitions that an API call may ask for; carrying them out is
//! the engine's business. Terminated is final.

mod member;

pub use member::LifecycleState;

use serde::{Deserialize, Serialize};

/// State of an EC2 instance (EC2 User Guide, "Instance state changes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InstanceState {
    /// Being launched or started.
    Pending,
    /// Booted.
    Running,
    /// Being terminated.
    ShuttingDown,
    /// Gone for good.
    Terminated,
    /// Being stopped.
    Stopping,
    /// Stopped; may be started again.
    Stopped,
}

/// The instance is not in a state in which the call is allowed: EC2's
/// `IncorrectInstanceState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncorrectInstanceState {
    /// The state that it is in.
    pub state: InstanceState,
}

impl std::fmt::Display for IncorrectInstanceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the instance is in the state {}", self.state.name())
    }
}

impl std::error::Error for IncorrectInstanceState {}

impl InstanceState {
    /// Every state, in the order of its code.
    pub const ALL: [InstanceState; 6] = [
        InstanceState::Pending,
        InstanceState::Running,
        InstanceState::ShuttingDown,
        InstanceState::Terminated,
        InstanceState::Stopping,
        InstanceState::Stopped,
    ];

    /// The low byte of AWS's state code; the high byte is always zero here.
    pub const fn code(self) -> u16 {
        match self {
            InstanceState::Pending => 0,
            InstanceState::Running => 16,
            InstanceState::ShuttingDown => 32,
            InstanceState::Terminated => 48,
            InstanceState::Stopping => 64,
            InstanceState::Stopped => 80,
        }
    }

    /// AWS's word, as in `instance-state-name`.
    pub const fn name(self) -> &'static str {
        match self {
            InstanceState::Pending => "pending",
            InstanceState::Running => "running",
            InstanceState::ShuttingDown => "shutting-down",
            InstanceState::Terminated => "terminated",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
        }
    }

    /// The state after StartInstances: a pending or running instance stays
    /// as it is, a stopped one becomes pending.
    pub const fn on_start(self) -> Result<InstanceState, IncorrectInstanceState> {
        match self {
            InstanceState::Stopped => Ok(InstanceState::Pending),
            InstanceState::Pending | InstanceState::Running => Ok(self),
            InstanceState::ShuttingDown | InstanceState::Terminated | InstanceState::Stopping => {
                Err(IncorrectInstanceState { state: self })
            }
        }
    }

    /// The state after StopInstances: a stopping or stopped instance stays
    /// as it is, a running one starts stopping.
    pub const fn on_stop(self) -> Result<InstanceState, IncorrectInstanceState> {
        match self {
            InstanceState::Running => Ok(InstanceState::Stopping),
            InstanceState::Stopping | InstanceState::Stopped => Ok(self),
            InstanceState::Pending | InstanceState::ShuttingDown | InstanceState::Terminated => {
                Err(IncorrectInstanceState { state: self })
            }
        }
    }

    /// The state after TerminateInstances, which is idempotent. A stopped
    /// instance passes through `shutting-down` too.
    pub const fn on_terminate(self) -> InstanceState {
        match self {
            InstanceState::Terminated => InstanceState::Terminated,
            InstanceState::Pending
            | InstanceState::Running
            | InstanceState::ShuttingDown
            | InstanceState::Stopping
            | InstanceState::Stopped => InstanceState::ShuttingDown,
        }
    }

    /// Whether Auto Scaling's EC2 check calls the instance unhealthy for its
    /// state alone: it was running and is on its way out, or is out.
    pub const fn has_left_running(self) -> bool {
        match self {
            InstanceState::Pending | InstanceState::Running => false,
            InstanceState::ShuttingDown
            | InstanceState::Terminated
            | InstanceState::Stopping
            | InstanceState::Stopped => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes and names of EC2's states.
    #[test]
    fn ec2_6_codes_and_names() {
        let listed: Vec<(u16, &str)> = InstanceState::ALL.iter().map(|state| (state.code(), state.name())).collect();
        assert_eq!(
            listed,
            [
                (0, "pending"),
                (16, "running"),
                (32, "shutting-down"),
                (48, "terminated"),
                (64, "stopping"),
                (80, "stopped")
            ]
        );
    }

    /// What start, stop and terminate lead to from each state; an error is no change.
    #[test]
    fn ec2_6_transitions() {
        use InstanceState::*;
        for (state, start, stop, terminate) in [
            (Pending, Some(Pending), None, ShuttingDown),
            (Running, Some(Running), Some(Stopping), ShuttingDown),
            (ShuttingDown, None, None, ShuttingDown),
            (Terminated, None, None, Terminated),
            (Stopping, None, Some(Stopping), ShuttingDown),
            (Stopped, Some(Pending), Some(Stopped), ShuttingDown),
        ] {
            assert_eq!(state.on_start().ok(), start, "start {state:?}");
            assert_eq!(state.on_stop().ok(), stop, "stop {state:?}");
            assert_eq!(state.on_terminate(), terminate, "terminate {state:?}");
        }
    }
}
