//! Life-cycle hooks: what an instance waits for on its way in and out (EC2
//! Auto Scaling User Guide, "Amazon EC2 Auto Scaling lifecycle hooks").
//!
//! Which hooks a member waits for, and how several of them come to one
//! verdict, is decided here. All hooks of one way begin together, and the
//! member goes on when none is left to wait for. What must stay true: nobody
//! waits longer than [`global_timeout`], whatever heartbeats come.

mod wait;
mod way;

pub use wait::{Ending, Terms, Verdict, abandon_reason, due, next_deadline, verdict};
pub use way::{Arrival, Place, route, waiting, way};

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

/// HeartbeatTimeout is at least this.
pub const HEARTBEAT_MIN: Span = Span::from_secs(30);

/// HeartbeatTimeout is at most this.
pub const HEARTBEAT_MAX: Span = Span::from_secs(7_200);

/// An instance waits at most for so many heartbeat timeouts.
const HEARTBEATS_MAX: i64 = 100;

/// GlobalTimeout: how long an instance may wait for one hook, whatever the heartbeats.
pub fn global_timeout(heartbeat: Span) -> Span {
    (heartbeat * HEARTBEATS_MAX).min(WAIT_MAX)
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

impl LifecycleAction {
    /// An action that begins now. `token` is a UUID.
    pub fn begin(hook: String, transition: Transition, token: String, heartbeat: Span, now: Time) -> LifecycleAction {
        let deadline = now + heartbeat;
        LifecycleAction { hook, transition, token, began_at: now, deadline, result: None }
    }

    /// Whether it is still waited for.
    pub const fn waits(&self) -> bool {
        self.result.is_none()
    }

    /// A heartbeat: the deadline is a heartbeat timeout from now, which is
    /// not added to what was left, and never past the global timeout.
    pub fn beat(&mut self, heartbeat: Span, now: Time) {
        self.deadline = (now + heartbeat).min(self.began_at + global_timeout(heartbeat));
    }
}

#[cfg(test)]
mod tests;
