//! The ways of members in and out: which hooks are on them, and what the
//! events about them name as origin and destination.

use super::Transition;
use crate::group::words;
use crate::lifecycle::LifecycleState;
use serde::{Deserialize, Serialize};

words! {
    /// `Origin` and `Destination` of a member's way.
    Place {
        /// Outside: the instance is new, or ends.
        Ec2 = "EC2",
        /// The group.
        Group = "AutoScalingGroup",
        /// The group's warm pool.
        Pool = "WarmPool",
    }
}

/// How a member came onto the way that it is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrival {
    /// It was launched, into the group or into its warm pool.
    #[default]
    Launched,
    /// It was taken from the warm pool.
    Taken,
    /// It left the group for the warm pool at a scale-in.
    Returned,
    /// It left standby.
    LeftStandby,
    /// It was attached.
    Attached,
    /// It ends without ever having come up.
    NeverRan,
}

/// Which hooks a member meets in a state: new ones and those from or for the
/// warm pool meet the launching hooks, those on their way out and back into
/// the pool the terminating ones; who is attached or leaves standby meets
/// none, and neither does who ends before it came up.
pub fn way(state: LifecycleState, arrival: Arrival) -> Option<Transition> {
    match (state, arrival) {
        (_, Arrival::NeverRan) => None,
        (LifecycleState::Pending, Arrival::Attached | Arrival::LeftStandby) => None,
        (LifecycleState::Pending, Arrival::Launched | Arrival::Taken | Arrival::Returned) => {
            Some(Transition::Launching)
        }
        (LifecycleState::WarmedPending, Arrival::Returned) => Some(Transition::Terminating),
        (LifecycleState::WarmedPending, _) => Some(Transition::Launching),
        (LifecycleState::Terminating | LifecycleState::WarmedTerminating, _) => Some(Transition::Terminating),
        _ => None,
    }
}

/// The state in which a member waits for the hooks that it meets in `state`.
pub const fn waiting(state: LifecycleState) -> Option<LifecycleState> {
    match state {
        LifecycleState::Pending => Some(LifecycleState::PendingWait),
        LifecycleState::WarmedPending => Some(LifecycleState::WarmedPendingWait),
        LifecycleState::Terminating => Some(LifecycleState::TerminatingWait),
        LifecycleState::WarmedTerminating => Some(LifecycleState::WarmedTerminatingWait),
        _ => None,
    }
}

/// Origin and destination of a member on its way.
pub const fn route(state: LifecycleState, arrival: Arrival) -> (Place, Place) {
    if state.is_warm() && state.is_terminating() {
        return (Place::Pool, Place::Ec2);
    }
    if state.is_terminating() {
        return (Place::Group, Place::Ec2);
    }
    match (state.is_warm(), arrival) {
        (true, Arrival::Returned) => (Place::Group, Place::Pool),
        (true, _) => (Place::Ec2, Place::Pool),
        (false, Arrival::Taken) => (Place::Pool, Place::Group),
        (false, _) => (Place::Ec2, Place::Group),
    }
}
