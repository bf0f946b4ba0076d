//! Life-cycle hooks: what an instance waits for on its way in and out (EC2
//! Auto Scaling User Guide, "Amazon EC2 Auto Scaling lifecycle hooks").

use crate::group::words;
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// HeartbeatTimeout when it is not given.
pub const HEARTBEAT_DEFAULT: Span = Span::from_secs(3_600);

/// The longest that an instance waits, whatever the heartbeats.
pub const WAIT_MAX: Span = Span::from_mins(48 * 60);

words! {
    /// LifecycleTransition.
    Transition {
        /// On the way in.
        Launching = "autoscaling:EC2_INSTANCE_LAUNCHING",
        /// On the way out.
        Terminating = "autoscaling:EC2_INSTANCE_TERMINATING",
    }
}

words! {
    /// The result of a life-cycle action.
    HookResult {
        /// Go on.
        Continue = "CONTINUE",
        /// Give up: terminate, and leave the other hooks of a termination out.
        Abandon = "ABANDON",
    }
}

/// What one instance waits for because of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleAction {
    /// The hook's name.
    pub hook: String,
    /// Which way.
    pub transition: Transition,
    /// LifecycleActionToken.
    pub token: String,
    /// When it began: the global timeout counts from here.
    pub began_at: Time,
    /// When the hook's default result is taken.
    pub deadline: Time,
    /// Its result, once there is one.
    pub result: Option<HookResult>,
}
