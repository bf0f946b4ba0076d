//! Rows of Auto Scaling: groups, activities, policies.

use super::row;
use elastane_domain::capacity::Bounds;
use elastane_domain::group::TerminationPolicy;
use elastane_domain::id::*;
use elastane_domain::scaling::{AdjustmentType, Step};
use elastane_domain::time::{Span, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub created_at: Time,
    /// Minimum and maximum.
    pub bounds: Bounds,
    /// How many instances it should have.
    pub desired: u32,
    /// The launch template.
    pub template: LaunchTemplateId,
    /// The version as given: a number, `$Latest` or `$Default`.
    pub template_version: String,
    /// Subnets, in the order given.
    pub subnets: Vec<SubnetId>,
    /// Zones of those subnets, in their order.
    pub zones: Vec<Zone>,
    /// Attached target groups.
    pub target_groups: Vec<TargetGroupArn>,
    /// Attached target groups in which an instance of the group has passed a
    /// check: only these may mark instances unhealthy (autoscaling.md 4.2).
    pub traffic_in_service: BTreeSet<TargetGroupArn>,
    /// Whether `ELB` health counts.
    pub checks_elb: bool,
    /// HealthCheckType as given; empty in rows from before it was kept.
    #[serde(default)]
    pub health_check_type: String,
    /// HealthCheckGracePeriod.
    pub grace: Span,
    /// DefaultCooldown.
    pub default_cooldown: Span,
    /// DefaultInstanceWarmup.
    pub default_warmup: Option<Span>,
    /// TerminationPolicies, in order.
    pub termination_policies: Vec<TerminationPolicy>,
    /// NewInstancesProtectedFromScaleIn.
    pub protect_new: bool,
    /// Tags with PropagateAtLaunch.
    pub tags: BTreeMap<String, (String, bool)>,
    /// It goes away when its last instance is gone.
    pub deleting: bool,
    /// Sentences on what changed the desired capacity since the last
    /// activity; the next activities carry them.
    pub changes: Vec<String>,
    /// When the last scaling activity ended: cooldowns count from here.
    pub last_activity_end: Option<Time>,
    /// The cooldown that runs since then.
    pub cooldown: Span,
    /// Launches that failed in a row.
    pub launch_failures: u32,
    /// No launch is tried before.
    pub launch_after: Option<Time>,
    /// The desired capacity of which an activity said that it cannot be
    /// reached, because all instances left are protected: it is said once.
    #[serde(default)]
    pub protected_told: Option<u32>,
}
row!(Group, |row| row.name.to_string());

/// A scaling activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// A UUID.
    pub id: String,
    /// The group.
    pub group: GroupName,
    /// The instance, if there is one.
    pub instance: Option<InstanceId>,
    /// `Launching a new EC2 instance: i-…` or `Terminating EC2 instance: i-…`.
    pub description: String,
    /// Why, in AWS's sentences.
    pub cause: String,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Option<Time>,
    /// How far it is.
    pub status: ActivityStatus,
    /// EC2's error, if it failed.
    pub status_message: Option<String>,
    /// JSON text: subnet and zone.
    pub details: String,
}
row!(Activity, |row| row.id.clone());

/// How far an activity is (`StatusCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityStatus {
    /// Launching.
    PreInService,
    /// Terminating.
    InProgress,
    /// Waiting for requests in flight to end.
    WaitingForELBConnectionDraining,
    /// Done.
    Successful,
    /// Not done.
    Failed,
    /// Given up because something else came first.
    Cancelled,
}

impl ActivityStatus {
    /// AWS's word.
    pub fn name(self) -> &'static str {
        match self {
            ActivityStatus::PreInService => "PreInService",
            ActivityStatus::InProgress => "InProgress",
            ActivityStatus::WaitingForELBConnectionDraining => "WaitingForELBConnectionDraining",
            ActivityStatus::Successful => "Successful",
            ActivityStatus::Failed => "Failed",
            ActivityStatus::Cancelled => "Cancelled",
        }
    }

    /// Percentage shown.
    pub fn progress(self) -> i32 {
        match self {
            ActivityStatus::PreInService => 30,
            ActivityStatus::InProgress | ActivityStatus::WaitingForELBConnectionDraining => 50,
            ActivityStatus::Successful | ActivityStatus::Failed | ActivityStatus::Cancelled => 100,
        }
    }
}

/// A scaling policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The group.
    pub group: GroupName,
    /// Its name, unique within the group.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it reacts to alarms.
    pub enabled: bool,
    /// What it does.
    pub kind: PolicyKind,
}
row!(Policy, |row| Policy::key(&row.group, &row.name));

impl Policy {
    /// The row's id. Group names may hold slashes but no colon, so no two
    /// policies share one.
    pub fn key(group: &GroupName, name: &str) -> String {
        format!("{group}:{name}")
    }
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// SimpleScaling.
    Simple {
        /// AdjustmentType.
        adjustment: AdjustmentType,
        /// ScalingAdjustment.
        amount: i32,
        /// MinAdjustmentMagnitude.
        min_magnitude: Option<u32>,
        /// Cooldown; `None` is the group's default.
        cooldown: Option<Span>,
    },
    /// StepScaling.
    Step {
        /// AdjustmentType.
        adjustment: AdjustmentType,
        /// MinAdjustmentMagnitude.
        min_magnitude: Option<u32>,
        /// StepAdjustments.
        steps: Vec<Step>,
        /// MetricAggregationType.
        aggregation: String,
        /// EstimatedInstanceWarmup.
        warmup: Option<Span>,
    },
    /// TargetTrackingScaling.
    TargetTracking {
        /// TargetValue.
        target: f64,
        /// Where the value comes from.
        metric: TrackedMetric,
        /// DisableScaleIn.
        disable_scale_in: bool,
        /// EstimatedInstanceWarmup.
        warmup: Option<Span>,
        /// Name of the alarm that scales out.
        alarm_high: AlarmName,
        /// Name of the alarm that scales in; none with DisableScaleIn.
        alarm_low: Option<AlarmName>,
    },
}

/// The metric of a target tracking policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrackedMetric {
    /// ASGAverageCPUUtilization.
    AverageCpu,
    /// ALBRequestCountPerTarget, with its ResourceLabel.
    RequestCountPerTarget {
        /// `app/<lb>/<id>/targetgroup/<tg>/<id>`.
        resource_label: String,
    },
    /// A CustomizedMetricSpecification of a single metric.
    Custom {
        /// Namespace.
        namespace: String,
        /// MetricName.
        name: String,
        /// Dimensions.
        dimensions: BTreeMap<String, String>,
        /// Statistic.
        statistic: String,
        /// Unit.
        unit: Option<String>,
    },
}
