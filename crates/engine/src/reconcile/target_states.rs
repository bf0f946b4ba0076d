//! What state a target is in, and why, in AWS's words (alb.md 5.2): the one
//! place that decides it. The routing snapshot leaves out the targets that
//! [`idle`] names; DescribeTargetHealth shows what [`TargetStates`] says.

use super::routing::actions;
use super::targets;
use crate::row::*;
use crate::state::{Tables, View};
use elastane_domain::id::{VpcId, Zone};
use elastane_domain::lifecycle::InstanceState;
use elastane_domain::routing::{TargetHealth, UnhealthyReason};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// State, reason and description of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// The data plane has not answered for it yet.
    Registering,
    /// Its first checks are running.
    Checking,
    /// It takes requests.
    Healthy,
    /// It failed its checks.
    Unhealthy(UnhealthyReason),
    /// It is not a target of the group.
    NotRegistered,
    /// It takes no requests, whatever its health.
    Idle(Idle),
    /// It is being deregistered.
    Draining,
    /// Nobody looks at its health.
    Unchecked,
}

/// Why a registered target takes no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// No listener of a load balancer forwards to its group.
    GroupUnused,
    /// No load balancer in front of its group is enabled in its zone.
    ZoneNotEnabled,
    /// Its instance is not running.
    Instance(InstanceState),
    /// Its address is a load balancer's own.
    AddressOfBalancer,
}

impl TargetState {
    /// `TargetHealth.State`.
    pub fn state(self) -> &'static str {
        match self {
            TargetState::Registering | TargetState::Checking => "initial",
            TargetState::Healthy => "healthy",
            TargetState::Unhealthy(_) => "unhealthy",
            TargetState::NotRegistered | TargetState::Idle(_) => "unused",
            TargetState::Draining => "draining",
            TargetState::Unchecked => "unavailable",
        }
    }

    /// `TargetHealth.Reason`; healthy targets have none.
    pub fn reason(self) -> Option<&'static str> {
        Some(match self {
            TargetState::Registering => "Elb.RegistrationInProgress",
            TargetState::Checking => "Elb.InitialHealthChecking",
            TargetState::Healthy => return None,
            TargetState::Unhealthy(UnhealthyReason::ResponseCodeMismatch(_)) => "Target.ResponseCodeMismatch",
            TargetState::Unhealthy(UnhealthyReason::Timeout) => "Target.Timeout",
            TargetState::Unhealthy(UnhealthyReason::FailedHealthChecks) => "Target.FailedHealthChecks",
            TargetState::NotRegistered => "Target.NotRegistered",
            TargetState::Idle(Idle::GroupUnused | Idle::ZoneNotEnabled) => "Target.NotInUse",
            TargetState::Idle(Idle::Instance(_)) => "Target.InvalidState",
            TargetState::Idle(Idle::AddressOfBalancer) => "Target.IpUnusable",
            TargetState::Draining => "Target.DeregistrationInProgress",
            TargetState::Unchecked => "Target.HealthCheckDisabled",
        })
    }

    /// `TargetHealth.Description`; healthy targets have none.
    pub fn description(self) -> Option<String> {
        let text = match self {
            TargetState::Registering => "Target registration is in progress",
            TargetState::Checking => "Initial health checks in progress",
            TargetState::Healthy => return None,
            TargetState::Unhealthy(UnhealthyReason::ResponseCodeMismatch(code)) => {
                return Some(format!("Health checks failed with these codes: [{code}]"));
            }
            TargetState::Unhealthy(UnhealthyReason::Timeout) => "Request timed out",
            TargetState::Unhealthy(UnhealthyReason::FailedHealthChecks) => "Health checks failed",
            TargetState::NotRegistered => "Target is not registered to the target group",
            TargetState::Idle(Idle::GroupUnused) => {
                "Target group is not configured to receive traffic from the load balancer"
            }
            TargetState::Idle(Idle::ZoneNotEnabled) => {
                "Target is in an Availability Zone that is not enabled for the load balancer"
            }
            TargetState::Idle(Idle::Instance(state)) => {
                return Some(format!("Target is in the {} state", state.name()));
            }
            TargetState::Idle(Idle::AddressOfBalancer) => "Target IP address is in use by a load balancer",
            TargetState::Draining => "Target deregistration is in progress",
            TargetState::Unchecked => "Health checks are disabled for this target group",
        };
        Some(text.to_string())
    }
}

/// The states of one group's targets at one moment.
pub struct TargetStates<'a> {
    view: View<'a>,
    group: &'a TargetGroup,
    zones: Option<BTreeSet<&'a Zone>>,
    own: BalancerAddresses<'a>,
}

/// The addresses of load balancers' interfaces.
pub(super) type BalancerAddresses<'a> = BTreeSet<(&'a VpcId, Ipv4Addr)>;

/// The addresses of all load balancers' interfaces.
pub(super) fn balancer_addresses(tables: &Tables) -> BalancerAddresses<'_> {
    let ours = tables.interfaces.values().filter(|row| matches!(row.owner, InterfaceOwner::LoadBalancer(_)));
    ours.flat_map(|row| row.addresses.iter().map(|address| (&row.vpc, *address))).collect()
}

impl<'a> TargetStates<'a> {
    /// Looks at what is in front of the group once, for all its targets.
    pub fn new(view: View<'a>, group: &'a TargetGroup) -> TargetStates<'a> {
        let mut zones: Option<BTreeSet<&Zone>> = None;
        for (listener, action) in actions(view.tables) {
            if action.target_groups().any(|arn| *arn == group.arn)
                && let Some(listener) = view.tables.listeners.get(listener.as_str())
                && let Some(balancer) = view.tables.load_balancers.get(listener.load_balancer.as_str())
            {
                zones.get_or_insert_default().extend(balancer.subnets.iter().map(|(_, zone)| zone));
            }
        }
        TargetStates { view, group, zones, own: balancer_addresses(view.tables) }
    }

    /// The state of one of its targets; `None` stands for one that is not registered.
    pub fn of(&self, target: Option<&Target>) -> TargetState {
        let Some(target) = target else { return TargetState::NotRegistered };
        if matches!(target.phase, TargetPhase::Draining { .. }) {
            return TargetState::Draining;
        }
        if let Some(idle) = idle(self.view.tables, self.group, target, self.zones.as_ref(), &self.own) {
            return TargetState::Idle(idle);
        }
        if self.zones.is_none() {
            return TargetState::Idle(Idle::GroupUnused);
        }
        if !self.group.check.enabled {
            return TargetState::Unchecked;
        }
        let seen = targets::key(self.view.tables, target).and_then(|key| self.view.state.seen.health.get(&key));
        match seen {
            None => TargetState::Registering,
            Some(TargetHealth::Initial) => TargetState::Checking,
            Some(TargetHealth::Healthy) => TargetState::Healthy,
            Some(TargetHealth::Unhealthy(reason)) => TargetState::Unhealthy(*reason),
        }
    }
}

/// Why a target takes no requests although its group may. `zones` are those
/// of the load balancers in front of its group; `None` when there is none.
pub(super) fn idle(
    tables: &Tables,
    group: &TargetGroup,
    target: &Target,
    zones: Option<&BTreeSet<&Zone>>,
    own: &BalancerAddresses<'_>,
) -> Option<Idle> {
    match group.target_type {
        TargetType::Instance => {
            let state = tables.instances.get(&target.id).map_or(InstanceState::Terminated, |row| row.phase.state());
            if state != InstanceState::Running {
                return Some(Idle::Instance(state));
            }
        }
        TargetType::Ip => {
            let address: Ipv4Addr = target.id.parse().ok()?;
            if own.contains(&(&group.vpc, address)) {
                return Some(Idle::AddressOfBalancer);
            }
        }
    }
    let elsewhere = zones.is_some_and(|zones| zone(tables, group, target).is_some_and(|zone| !zones.contains(zone)));
    elsewhere.then_some(Idle::ZoneNotEnabled)
}

/// The zone of a target: its instance's; of an address the one that it was
/// registered with, else its subnet's. `None` is every zone: an address
/// registered for `all`, or one outside of the VPC.
pub fn zone<'a>(tables: &'a Tables, group: &TargetGroup, target: &'a Target) -> Option<&'a Zone> {
    match group.target_type {
        TargetType::Instance => tables.instances.get(&target.id).map(|row| &row.zone),
        TargetType::Ip => {
            let given = target.availability_zone.as_deref();
            if given == Some("all") {
                return None;
            }
            let address: Ipv4Addr = target.id.parse().ok()?;
            let mut subnets = tables.subnets.values().filter(|row| row.vpc == group.vpc);
            subnets
                .find(|row| match given {
                    Some(given) => row.zone.as_str() == given,
                    None => row.cidr.contains(address),
                })
                .map(|row| &row.zone)
        }
    }
}
