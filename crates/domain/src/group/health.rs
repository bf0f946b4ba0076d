//! Which members have become unhealthy (EC2 Auto Scaling User Guide, "Health
//! checks for instances").

use super::{GroupView, Member, Process, UnhealthyCause};
use crate::id::InstanceId;
use crate::lifecycle::LifecycleState;
use crate::time::Time;

/// The members to mark unhealthy now, with the reason. An instance that is
/// not running is unhealthy at once; a failing status or target-group check
/// counts only for a member in service whose grace period has ended. Members
/// that carry a mark are left out: the mark stays. Marks of
/// SetInstanceHealth are made by the API, not here. While HealthCheck is
/// suspended nothing is marked.
pub fn examine(view: &GroupView, now: Time) -> Vec<(InstanceId, UnhealthyCause)> {
    if view.suspends(Process::HealthCheck) {
        return Vec::new();
    }
    view.counted()
        .filter(|member| member.marked_unhealthy.is_none())
        .filter_map(|member| cause(view, member, now).map(|cause| (member.instance.clone(), cause)))
        .collect()
}

fn cause(view: &GroupView, member: &Member, now: Time) -> Option<UnhealthyCause> {
    if member.ec2.has_left_running() {
        return Some(UnhealthyCause::Ec2State);
    }
    let in_service = member.lifecycle == LifecycleState::InService;
    let grace_ended = member.in_service_since.is_some_and(|since| now >= since + view.health_grace);
    if !in_service || !grace_ended {
        None
    } else if member.status_impaired {
        Some(UnhealthyCause::StatusCheck)
    } else if view.checks_elb && member.elb == Some(false) {
        Some(UnhealthyCause::Elb)
    } else {
        None
    }
}
