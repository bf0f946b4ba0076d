//! An Auto Scaling group as the reconcilers see it, and what should be done
//! about it next.
//!
//! `examine` finds members that have become unhealthy; `plan` names the next
//! launches and terminations. Both are level-triggered: they look at the
//! members as they are, never at what was planned before, so running them
//! again after a crash is safe. The caller carries out a plan by turning each
//! launch into a Pending member and each terminated one into Terminating, and
//! plans again until the plan is empty.

mod balance;
mod health;
mod plan;
mod replace;
mod settings;
mod victim;
mod why;

pub use health::examine;
pub use plan::{LAUNCH_BATCH_MAX, TERMINATE_BATCH_MAX, plan};
pub(crate) use settings::words;
pub use settings::{CapacityType, DeletionProtection, Maintenance, PoolState, Process, WarmPool, ZoneStrategy};
pub use why::{DesiredChange, Why, launch_description, launch_failed_description, terminate_description};

use crate::capacity::Bounds;
use crate::id::{GroupName, InstanceId, LaunchTemplateId, Zone};
use crate::lifecycle::{InstanceState, LifecycleState};
use crate::mixed::{Distribution, Market};
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Everything about a group that its plan depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// The group's name.
    pub name: GroupName,
    /// DesiredCapacity.
    pub desired: u32,
    /// MinSize and MaxSize.
    pub bounds: Bounds,
    /// The enabled zones in the group's order.
    pub zones: Vec<Zone>,
    /// Zones that have no capacity now: launches are tried there as elsewhere,
    /// but nothing is moved there for balance.
    pub without_capacity: Vec<Zone>,
    /// Every instance that belongs to the group.
    pub members: Vec<Member>,
    /// HealthCheckGracePeriod; zero is none.
    pub health_grace: Span,
    /// Whether HealthCheckType has `ELB`.
    pub checks_elb: bool,
    /// TerminationPolicies in order; empty means `Default`.
    pub termination_policies: Vec<TerminationPolicy>,
    /// DefaultInstanceWarmup.
    pub default_instance_warmup: Option<Span>,
    /// The launch template that new instances are launched from.
    pub current_launch_template: Option<LaunchTemplateId>,
    /// The launch configuration that new instances are launched from.
    pub current_launch_configuration: Option<String>,
    /// How a group with mixed instances buys them.
    pub distribution: Option<Distribution>,
    /// The smallest weight that an instance may be launched with, at least 1.
    pub lightest: u32,
    /// The largest weight that an instance of the group has or may have, at least 1.
    pub heaviest: u32,
    /// Suspended processes.
    pub suspended: BTreeSet<Process>,
    /// InstanceMaintenancePolicy.
    pub maintenance: Option<Maintenance>,
    /// MaxInstanceLifetime.
    pub max_lifetime: Option<Span>,
    /// What the active instance refresh wants, if there is one.
    pub refresh: Option<RefreshView>,
    /// No launch is planned before this time: launches have been failing.
    pub launch_backoff_until: Option<Time>,
    /// The group is being deleted: every instance goes, protected ones too.
    pub deleting: bool,
}

/// One instance of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The instance.
    pub instance: InstanceId,
    /// Its zone, which may no longer be an enabled one.
    pub zone: Zone,
    /// Where it is in the group's life cycle.
    pub lifecycle: LifecycleState,
    /// When it last came into service: its grace period and warm-up count from here.
    pub in_service_since: Option<Time>,
    /// When it was launched.
    pub launched_at: Time,
    /// Protected from scale-in.
    pub protected: bool,
    /// Already marked unhealthy, and for what. The mark stays.
    pub marked_unhealthy: Option<UnhealthyCause>,
    /// What EC2 says of it.
    pub ec2: InstanceState,
    /// A status check says `impaired` and has for longer than AWS's few minutes of tolerance.
    pub status_impaired: bool,
    /// `Some(false)`: an attached target group whose traffic source is in the
    /// state `InService` reports it unhealthy. Initial, draining and unused
    /// are not unhealthy.
    pub elb: Option<bool>,
    /// Every target group that counts for its health has found it healthy, or
    /// none counts: it has passed its first checks.
    pub checked: bool,
    /// What it was launched from.
    pub launch_template_version: Option<(LaunchTemplateId, u64)>,
    /// The launch configuration that it was launched from, and when that was made.
    pub launch_configuration: Option<(String, Time)>,
    /// WeightedCapacity: what it counts for, at least 1.
    pub weight: u32,
    /// How it was bought.
    pub market: Market,
    /// How badly it fits the allocation strategy: the largest goes first.
    pub misfit: u32,
    /// A spot instance that EC2 recommends to replace, in a group with CapacityRebalance.
    pub at_risk: bool,
}

/// What an instance refresh wants of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshView {
    /// The counted members that are to be replaced and may go.
    pub old: BTreeSet<InstanceId>,
    /// So much capacity may still be replaced up to the next checkpoint; zero is a pause.
    pub limit: u32,
    /// MinHealthyPercentage.
    pub min_percent: u32,
    /// MaxHealthyPercentage; `None` terminates and launches at the same time.
    pub max_percent: Option<u32>,
    /// InstanceWarmup.
    pub warmup: Span,
}

/// Why a member is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UnhealthyCause {
    /// Its EC2 state is not `running`.
    Ec2State,
    /// A system or instance status check is impaired.
    StatusCheck,
    /// An attached target group reports it unhealthy.
    Elb,
    /// SetInstanceHealth.
    User,
}

/// How a scale-in chooses between instances of the same zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TerminationPolicy {
    /// Outdated configuration, then the billing hour, then at random.
    Default,
    /// The instance launched first.
    OldestInstance,
    /// The instance launched last.
    NewestInstance,
    /// Instances of another launch template, then of the lowest version.
    OldestLaunchTemplate,
    /// The instance whose next full hour since its launch is nearest.
    ClosestToNextInstanceHour,
    /// Instances of another launch configuration, then of the oldest.
    OldestLaunchConfiguration,
    /// The instance that fits the allocation strategy worst.
    AllocationStrategy,
}

impl TerminationPolicy {
    /// Every policy but a function of one's own.
    pub const ALL: [TerminationPolicy; 7] = [
        TerminationPolicy::AllocationStrategy,
        TerminationPolicy::ClosestToNextInstanceHour,
        TerminationPolicy::Default,
        TerminationPolicy::NewestInstance,
        TerminationPolicy::OldestInstance,
        TerminationPolicy::OldestLaunchConfiguration,
        TerminationPolicy::OldestLaunchTemplate,
    ];

    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            TerminationPolicy::Default => "Default",
            TerminationPolicy::OldestInstance => "OldestInstance",
            TerminationPolicy::NewestInstance => "NewestInstance",
            TerminationPolicy::OldestLaunchTemplate => "OldestLaunchTemplate",
            TerminationPolicy::ClosestToNextInstanceHour => "ClosestToNextInstanceHour",
            TerminationPolicy::OldestLaunchConfiguration => "OldestLaunchConfiguration",
            TerminationPolicy::AllocationStrategy => "AllocationStrategy",
        }
    }

    /// The policy that AWS calls `name`.
    pub fn from_name(name: &str) -> Option<TerminationPolicy> {
        TerminationPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// The next steps towards what is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do now; empty when the group is as it should be, or must wait.
    pub actions: Vec<Action>,
    /// What keeps the group from its desired capacity, if anything does.
    pub blocked: Option<Blocked>,
}

/// One step of a plan. Each is one scaling activity.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Launch one unit of capacity: one instance, or with weights as many as
    /// make up the units of a plan in a zone.
    Launch {
        /// Where.
        zone: Zone,
        /// What for.
        why: Why,
    },
    /// Take one instance out of service and terminate it.
    Terminate {
        /// Which.
        instance: InstanceId,
        /// What for.
        why: Why,
    },
}

/// Why a plan does less than the desired capacity asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Launches have been failing and wait until then.
    LaunchBackoff {
        /// When launches are planned again.
        until: Time,
    },
    /// The group has no enabled zone.
    NoZone,
    /// Every instance that could go is protected from scale-in; AWS records
    /// an activity that says so.
    AllProtected,
    /// Instances that are still being launched must come into service first.
    Launching,
}

impl GroupView {
    /// The capacity that the group should have.
    pub fn wanted(&self) -> u32 {
        if self.deleting { 0 } else { self.bounds.clamp(self.desired) }
    }

    /// The capacity that there is, in units: what the counted members weigh.
    pub fn capacity(&self) -> u32 {
        units(self.counted())
    }

    /// Whether a process is suspended.
    pub fn suspends(&self, process: Process) -> bool {
        self.suspended.contains(&process)
    }

    /// The members that count as capacity.
    pub fn counted(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.lifecycle.counts_as_capacity())
    }

    /// The next time after `now` at which `examine` or `plan` may answer
    /// differently although nothing else has changed: a grace period, a
    /// warm-up or a launch back-off ends.
    pub fn wake(&self, now: Time) -> Option<Time> {
        let warmup = self.default_instance_warmup.unwrap_or_default();
        let refresh = self.refresh.as_ref().map_or(warmup, |refresh| refresh.warmup);
        let lifetimes =
            self.max_lifetime.into_iter().flat_map(|most| self.counted().map(move |member| member.launched_at + most));
        self.counted()
            .filter_map(|member| member.in_service_since)
            .flat_map(|since| [since + self.health_grace, since + warmup, since + refresh])
            .chain(self.launch_backoff_until)
            .chain(lifetimes)
            .filter(|time| *time > now)
            .min()
    }
}

/// What members weigh together.
fn units<'a>(members: impl IntoIterator<Item = &'a Member>) -> u32 {
    members.into_iter().fold(0, |sum, member| sum.saturating_add(member.weight))
}

#[cfg(test)]
mod depth_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod replace_tests;
#[cfg(test)]
mod tests;
