//! Reasons, and the words that scaling activities give for them.
//!
//! AWS's `Cause` is a list of sentences, each `At <time> <text>.`, joined by
//! two spaces. The wordings are observed; those for deleting a group, balancing
//! zones, lifetimes, rebalance recommendations, warm pools, hooks, attaching
//! and launching on request are our own.

use super::UnhealthyCause;
use crate::id::{AlarmName, InstanceId};
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Why an instance is launched or terminated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Launch: the capacity is below desired.
    BelowDesired {
        /// The capacity before the plan.
        from: u32,
        /// The capacity after it.
        to: u32,
    },
    /// Terminate: the capacity is above desired.
    AboveDesired {
        /// The capacity before the plan.
        from: u32,
        /// The capacity after it.
        to: u32,
    },
    /// Terminate: the instance is unhealthy.
    Unhealthy(UnhealthyCause),
    /// Launch: an unhealthy instance goes at the same time.
    Replacement,
    /// Launch: another zone has at least two instances more; one there goes when this one is in service.
    Rebalance,
    /// Terminate: the instance's zone has too many, and the maintenance policy
    /// does not let the group grow for balance.
    RebalanceOut,
    /// Terminate: an instance refresh replaces it.
    RefreshReplaced,
    /// Launch: an instance refresh replaces another.
    Refresh,
    /// Terminate: it has reached MaxInstanceLifetime.
    Lifetime,
    /// Launch: another has reached MaxInstanceLifetime.
    LifetimeReplacement,
    /// Terminate: a spot instance at risk, whose replacement is ready.
    AtRisk,
    /// Launch: a spot instance is at risk of interruption.
    CapacityRebalance,
    /// Launch: an instance for the warm pool.
    WarmPool,
    /// Terminate: the warm pool has more than it should.
    PoolExcess,
    /// Terminate: a launching hook gave it up.
    HookAbandoned,
    /// Out of the group: DetachInstances.
    UserDetached {
        /// With ShouldDecrementDesiredCapacity: the desired capacity before and after.
        shrinking: Option<(u32, u32)>,
    },
    /// Into the group: AttachInstances.
    UserAttached {
        /// The desired capacity before and after.
        growing: (u32, u32),
    },
    /// EnterStandby.
    ToStandby {
        /// With ShouldDecrementDesiredCapacity: the desired capacity before and after.
        shrinking: Option<(u32, u32)>,
    },
    /// ExitStandby.
    FromStandby {
        /// The desired capacity before and after.
        growing: (u32, u32),
    },
    /// Launch: LaunchInstances asked for it.
    UserLaunched {
        /// The desired capacity before and after.
        growing: (u32, u32),
    },
    /// Terminate: the group is being deleted.
    GroupDeleted {
        /// The capacity before the plan.
        from: u32,
    },
    /// Terminate: TerminateInstanceInAutoScalingGroup asked for this instance.
    UserTerminated {
        /// With ShouldDecrementDesiredCapacity: the desired capacity before and after.
        shrinking: Option<(u32, u32)>,
    },
}

impl Why {
    /// The activity's `Cause`: `led_by` (the sentence of the change of desired
    /// that led here, if one did), then the reason, and for a scale-in the
    /// choice of `instance`.
    pub fn cause(&self, at: Time, instance: Option<&InstanceId>, led_by: Option<&str>) -> String {
        let mut sentences: Vec<String> = led_by.into_iter().map(str::to_owned).collect();
        sentences.push(sentence(at, &self.text(instance)));
        if let (Why::AboveDesired { .. } | Why::GroupDeleted { .. }, Some(instance)) = (self, instance) {
            sentences.push(sentence(at, &format!("instance {instance} was selected for termination")));
        }
        sentences.join("  ")
    }

    fn text(&self, instance: Option<&InstanceId>) -> String {
        const DIFFERENCE: &str = "in response to a difference between desired and actual capacity";
        const OUT: &str = "an instance was taken out of service in response to";
        match self {
            Why::BelowDesired { from, to } => {
                format!("an instance was started {DIFFERENCE}, increasing the capacity from {from} to {to}")
            }
            Why::AboveDesired { from, to } => {
                format!("an instance was taken out of service {DIFFERENCE}, shrinking the capacity from {from} to {to}")
            }
            Why::GroupDeleted { from } => {
                format!("an instance was taken out of service {DIFFERENCE}, shrinking the capacity from {from} to 0")
            }
            Why::Unhealthy(UnhealthyCause::Elb) => format!("{OUT} an ELB system health check failure"),
            Why::Unhealthy(UnhealthyCause::Ec2State) => {
                format!("{OUT} an EC2 health check indicating it has been terminated or stopped")
            }
            Why::Unhealthy(UnhealthyCause::StatusCheck) => {
                format!("{OUT} an EC2 instance status check failure")
            }
            Why::Unhealthy(UnhealthyCause::User) => format!("{OUT} a user health-check"),
            Why::Replacement => {
                "an instance was launched in response to an unhealthy instance needing to be replaced".to_owned()
            }
            Why::Rebalance => "an instance was launched to aid in balancing the group's zones".to_owned(),
            Why::RebalanceOut => format!("{OUT} a need to balance the group's zones"),
            Why::RefreshReplaced => format!("{OUT} an instance refresh"),
            Why::Refresh => "an instance was launched in response to an instance refresh".to_owned(),
            Why::Lifetime => format!("{OUT} its age, which has reached the maximum instance lifetime"),
            Why::LifetimeReplacement => {
                "an instance was launched to replace one that has reached the maximum instance lifetime".to_owned()
            }
            Why::AtRisk => format!("{OUT} an EC2 instance rebalance recommendation"),
            Why::CapacityRebalance => {
                "an instance was launched in response to an EC2 instance rebalance recommendation".to_owned()
            }
            Why::WarmPool => "an instance was started to fill the warm pool".to_owned(),
            Why::PoolExcess => format!("{OUT} a surplus in the warm pool"),
            Why::HookAbandoned => format!("{OUT} a life-cycle hook that was abandoned"),
            Why::UserTerminated { shrinking } => {
                user_request(instance, "was taken out of service", shrinks(*shrinking))
            }
            Why::UserDetached { shrinking } => user_request(instance, "was detached", shrinks(*shrinking)),
            Why::UserAttached { growing } => user_request(instance, "was attached", grows(*growing)),
            Why::ToStandby { shrinking } => user_request(instance, "was moved to standby", shrinks(*shrinking)),
            Why::FromStandby { growing } => user_request(instance, "was moved out of standby", grows(*growing)),
            Why::UserLaunched { growing } => user_request(instance, "was started", grows(*growing)),
        }
    }
}

fn user_request(instance: Option<&InstanceId>, what: &str, tail: String) -> String {
    let subject = instance.map_or_else(|| "an instance".to_owned(), |instance| format!("instance {instance}"));
    format!("{subject} {what} in response to a user request{tail}")
}

fn shrinks(change: Option<(u32, u32)>) -> String {
    change.map_or_else(String::new, |(from, to)| format!(", shrinking the capacity from {from} to {to}"))
}

fn grows((from, to): (u32, u32)) -> String {
    format!(", increasing the capacity from {from} to {to}")
}

/// What changed a group's desired capacity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DesiredChange {
    /// CreateAutoScalingGroup.
    Created,
    /// SetDesiredCapacity.
    Set,
    /// UpdateAutoScalingGroup.
    Updated {
        /// MinSize after it.
        min: u32,
        /// MaxSize after it.
        max: u32,
        /// DesiredCapacity after it.
        desired: u32,
    },
    /// An alarm's action.
    Policy {
        /// The alarm.
        alarm: AlarmName,
        /// The policy's name.
        policy: String,
    },
    /// ExecutePolicy.
    Executed {
        /// The policy's name.
        policy: String,
    },
    /// A predictive scaling policy.
    Predictive {
        /// The policy's name.
        policy: String,
    },
    /// A scheduled action.
    Scheduled {
        /// The action's name.
        action: String,
    },
    /// DeleteAutoScalingGroup with ForceDelete.
    Deleted,
}

impl DesiredChange {
    /// The sentence that opens the `Cause` of the activities that follow.
    pub fn sentence(&self, at: Time, from: u32, to: u32) -> String {
        let what = match self {
            DesiredChange::Created => "a user request created an AutoScalingGroup".to_owned(),
            DesiredChange::Set => "a user request explicitly set group desired capacity".to_owned(),
            DesiredChange::Updated { min, max, desired } => format!(
                "a user request update of AutoScalingGroup constraints to min: {min}, max: {max}, desired: {desired}"
            ),
            DesiredChange::Policy { alarm, policy } => {
                format!("a monitor alarm {alarm} in state ALARM triggered policy {policy}")
            }
            DesiredChange::Executed { policy } => {
                format!("a user request executed policy {policy}")
            }
            DesiredChange::Predictive { policy } => {
                format!("a forecast of predictive scaling policy {policy}")
            }
            DesiredChange::Scheduled { action } => format!("the scheduled action {action} was executed"),
            DesiredChange::Deleted => "a user request force deleted the AutoScalingGroup".to_owned(),
        };
        sentence(at, &format!("{what} changing the desired capacity from {from} to {to}"))
    }
}

fn sentence(at: Time, text: &str) -> String {
    format!("At {} {text}.", at.iso_seconds())
}

/// `Description` of an activity that launches `instance`.
pub fn launch_description(instance: &InstanceId) -> String {
    format!("Launching a new EC2 instance: {instance}")
}

/// `Description` of an activity whose launch failed; `reason` is EC2's error
/// and ends with its own full stop.
pub fn launch_failed_description(reason: &str) -> String {
    format!("Launching a new EC2 instance.  Status Reason: {reason} Launching EC2 instance failed.")
}

/// `Description` of an activity that terminates `instance`; `draining` while
/// its target groups still let requests finish.
pub fn terminate_description(instance: &InstanceId, draining: bool) -> String {
    let tail = if draining { " - Waiting For ELB Connection Draining" } else { "" };
    format!("Terminating EC2 instance: {instance}{tail}")
}
