//! Auto Scaling groups.

use crate::row::row;
use elastane_domain::capacity::Bounds;
use elastane_domain::group::{
    CapacityType, DeletionProtection, Maintenance, Process, TerminationPolicy, WarmPool, ZoneStrategy,
};
use elastane_domain::id::*;
use elastane_domain::mixed::{Mixed, TemplateRef};
use elastane_domain::time::{Span, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
    /// What instances are launched from.
    pub source: LaunchSource,
    /// Subnets, in the order given.
    pub subnets: Vec<SubnetId>,
    /// Zones of those subnets, in their order.
    pub zones: Vec<Zone>,
    /// Attached target groups.
    pub target_groups: Vec<TargetGroupArn>,
    /// Attached target groups in which an instance of the group has passed a
    /// check: only these may mark instances unhealthy (autoscaling.md 4.2).
    pub traffic_in_service: BTreeSet<TargetGroupArn>,
    /// Target groups that were detached and whose targets may still drain.
    #[serde(default)]
    pub traffic_removing: BTreeSet<TargetGroupArn>,
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
    /// Suspended processes, with SuspensionReason.
    #[serde(default)]
    pub suspended: BTreeMap<Process, String>,
    /// InstanceMaintenancePolicy.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// MaxInstanceLifetime.
    #[serde(default)]
    pub max_lifetime: Option<Span>,
    /// CapacityRebalance.
    #[serde(default)]
    pub capacity_rebalance: bool,
    /// AvailabilityZoneDistribution.
    #[serde(default = "best_effort")]
    pub zone_strategy: ZoneStrategy,
    /// DeletionProtection.
    #[serde(default = "unprotected")]
    pub deletion_protection: DeletionProtection,
    /// DesiredCapacityType.
    #[serde(default = "units")]
    pub capacity_type: CapacityType,
    /// PlacementGroup.
    #[serde(default)]
    pub placement_group: Option<String>,
    /// Context.
    #[serde(default)]
    pub context: Option<String>,
    /// InstanceLifecyclePolicy: instances of an abandoned terminating hook are retained.
    #[serde(default)]
    pub retain_on_abandon: bool,
    /// Which settings a client has named: their defaults are shown.
    #[serde(default)]
    pub named: NamedSettings,
    /// ImpairedZoneHealthCheckBehavior, which says something only during a
    /// zonal shift.
    #[serde(default)]
    pub impaired_zone: Option<String>,
    /// The warm pool.
    #[serde(default)]
    pub warm_pool: Option<WarmPool>,
    /// Group metrics that are collected, by name.
    #[serde(default)]
    pub metrics: BTreeSet<String>,
    /// Notification types by topic.
    #[serde(default)]
    pub notifications: BTreeMap<String, BTreeSet<String>>,
}
row!(Group, |row| row.name.to_string(), version 2 from upgrade);

fn best_effort() -> ZoneStrategy {
    ZoneStrategy::BalancedBestEffort
}

fn unprotected() -> DeletionProtection {
    DeletionProtection::None
}

fn units() -> CapacityType {
    CapacityType::Units
}

/// The first version knew launch templates only.
fn upgrade(from: u32, mut row: Value) -> Option<Value> {
    if from != 1 {
        return None;
    }
    let fields = row.as_object_mut()?;
    let (id, version) = (fields.remove("template")?, fields.remove("template_version")?);
    fields.insert("source".to_string(), json!({"Template": {"id": id, "version": version}}));
    Some(row)
}

/// DefaultCooldown when it is not given (autoscaling.md 1.1).
const DEFAULT_COOLDOWN: Span = Span::from_secs(300);

impl Group {
    /// A group of its minimum size, of instances of `source`, with AWS's
    /// defaults for everything else.
    pub fn new(name: GroupName, arn: String, bounds: Bounds, source: LaunchSource, now: Time) -> Group {
        Group {
            name,
            arn,
            created_at: now,
            bounds,
            desired: bounds.min,
            source,
            subnets: Vec::new(),
            zones: Vec::new(),
            target_groups: Vec::new(),
            traffic_in_service: BTreeSet::new(),
            traffic_removing: BTreeSet::new(),
            checks_elb: false,
            health_check_type: "EC2".to_string(),
            grace: Span::ZERO,
            default_cooldown: DEFAULT_COOLDOWN,
            default_warmup: None,
            termination_policies: Vec::new(),
            protect_new: false,
            tags: BTreeMap::new(),
            deleting: false,
            changes: Vec::new(),
            last_activity_end: None,
            cooldown: DEFAULT_COOLDOWN,
            launch_failures: 0,
            launch_after: None,
            protected_told: None,
            suspended: BTreeMap::new(),
            maintenance: None,
            max_lifetime: None,
            capacity_rebalance: false,
            zone_strategy: best_effort(),
            deletion_protection: unprotected(),
            capacity_type: units(),
            placement_group: None,
            context: None,
            retain_on_abandon: false,
            named: NamedSettings::default(),
            impaired_zone: None,
            warm_pool: None,
            metrics: BTreeSet::new(),
            notifications: BTreeMap::new(),
        }
    }

    /// Whether a process is suspended.
    pub fn suspends(&self, process: Process) -> bool {
        self.suspended.contains_key(&process)
    }
}

/// Settings whose default an answer has only when a client has given it:
/// clients that compare find what they sent, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedSettings {
    /// DesiredCapacityType.
    pub capacity_type: bool,
    /// DeletionProtection.
    pub deletion_protection: bool,
    /// InstanceLifecyclePolicy.
    pub lifecycle_policy: bool,
    /// AvailabilityZoneImpairmentPolicy.
    pub impairment_policy: bool,
    /// CapacityReservationSpecification.
    pub reservation: bool,
    /// InstanceReusePolicy of the warm pool.
    pub reuse_policy: bool,
}

/// What a group launches its instances from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LaunchSource {
    /// A launch template.
    Template(TemplateRef),
    /// A launch configuration, by name.
    Configuration(String),
    /// A mixed instances policy.
    Mixed(Mixed),
}

impl LaunchSource {
    /// The launch template behind it, the policy's own for mixed instances.
    pub fn template(&self) -> Option<&TemplateRef> {
        match self {
            LaunchSource::Template(template) => Some(template),
            LaunchSource::Mixed(mixed) => Some(&mixed.template),
            LaunchSource::Configuration(_) => None,
        }
    }
}
