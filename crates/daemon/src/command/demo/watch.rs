//! Looking at the group as a user would: over the API, a few times a second.

use crate::client::{Daemon, ask};
use crate::data_dir::Problem;
use elastane_wire::{autoscaling, cloudwatch, elbv2};
use std::collections::BTreeSet;
use std::time::Instant;

/// The names by which the demo's things are known.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The Auto Scaling group.
    pub group: String,
    /// The target group's ARN.
    pub target_group: String,
    /// The alarms of the policy.
    pub alarms: Vec<String>,
}

/// How things stood at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub at: Instant,
    /// Wanted instances.
    pub desired: usize,
    /// Members in service, sorted.
    pub in_service: BTreeSet<String>,
    /// All members, in whatever state.
    pub members: usize,
    /// Targets that get requests.
    pub healthy: BTreeSet<String>,
    /// Targets that finish their requests.
    pub draining: usize,
    /// State of the alarm that scales out, then of the one that scales in.
    pub alarms: Vec<String>,
}

impl Moment {
    /// Whether the group has what it wants, and all of it serves.
    pub fn is_settled(&self) -> bool {
        self.members == self.desired && self.in_service.len() == self.desired && self.healthy == self.in_service
    }
}

/// Looks.
pub fn look(daemon: &Daemon, names: &Names) -> Result<Moment, Problem> {
    let group = group(daemon, &names.group)?;
    let health = target_health(daemon, &names.target_group)?;
    let with = |state: &'static str| {
        health.iter().filter(move |(_, found)| found == state).map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
    };
    let member = |instance: &autoscaling::Instance| {
        (instance.lifecycle_state.as_deref() == Some("InService")).then(|| instance.instance_id.clone())?
    };
    Ok(Moment {
        at: Instant::now(),
        desired: usize::try_from(group.desired_capacity.unwrap_or_default()).unwrap_or_default(),
        in_service: group.instances.iter().filter_map(member).collect(),
        members: group.instances.len(),
        healthy: with("healthy"),
        draining: with("draining").len(),
        alarms: alarm_states(daemon, &names.alarms)?,
    })
}

/// The group.
pub fn group(daemon: &Daemon, name: &str) -> Result<autoscaling::AutoScalingGroup, Problem> {
    let request = autoscaling::AutoScalingGroupNamesType {
        auto_scaling_group_names: vec![name.to_string()],
        ..Default::default()
    };
    let answer = ask!(daemon, AutoScalingDescribeAutoScalingGroups, request)?;
    answer.auto_scaling_groups.into_iter().next().ok_or_else(|| Problem::new(format!("the group {name} is gone")))
}

/// Target id and state of each target.
pub fn target_health(daemon: &Daemon, target_group: &str) -> Result<Vec<(String, String)>, Problem> {
    let request =
        elbv2::DescribeTargetHealthInput { target_group_arn: Some(target_group.to_string()), ..Default::default() };
    let answer = ask!(daemon, Elbv2DescribeTargetHealth, request)?;
    let row = |one: elbv2::TargetHealthDescription| Some((one.target?.id?, one.target_health?.state?));
    Ok(answer.target_health_descriptions.into_iter().filter_map(row).collect())
}

/// The states of alarms, in the order of their names here.
fn alarm_states(daemon: &Daemon, names: &[String]) -> Result<Vec<String>, Problem> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let request = cloudwatch::DescribeAlarmsInput { alarm_names: names.to_vec(), ..Default::default() };
    let answer = ask!(daemon, CloudWatchDescribeAlarms, request)?;
    let state = |name: &String| {
        let found = answer.metric_alarms.iter().find(|alarm| alarm.alarm_name.as_ref() == Some(name));
        found.and_then(|alarm| alarm.state_value.clone()).unwrap_or_else(|| "gone".to_string())
    };
    Ok(names.iter().map(state).collect())
}
