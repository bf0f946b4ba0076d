//! Compiles the routing snapshot from rows.

use super::network;
use super::targets::deregistration_delay;
use crate::engine::{Config, Plant};
use crate::row::*;
use crate::state::{State, Tables};
use elastane_domain::id::*;
use elastane_domain::routing::{self, Action, Admission, Algorithm, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// `idle_timeout.timeout_seconds` when it was not set (alb.md 6).
const IDLE_TIMEOUT_SECS: u32 = 60;

/// Everything that the data plane must know, as of these rows.
pub(super) fn compile(state: &State, config: &Config, generation: u64) -> Snapshot {
    let plant = config.plant;
    let mut snapshot = Snapshot { generation, ..Snapshot::default() };
    for tables in state.scopes.values() {
        let used: BTreeSet<&TargetGroupArn> =
            tables.listeners.values().flat_map(|row| row.action.target_groups()).collect();
        let fronts = Fronts::new(tables, network::made_at_all(config));
        let mut targets = targets_by_group(tables, &fronts, plant);
        for row in tables.target_groups.values() {
            let targets = targets.remove(&row.arn).unwrap_or_default();
            snapshot.target_groups.push(Arc::new(target_group(row, targets, used.contains(&row.arn))));
        }
        let mut listeners: BTreeMap<&LoadBalancerArn, Vec<&Listener>> = BTreeMap::new();
        for listener in tables.listeners.values() {
            listeners.entry(&listener.load_balancer).or_default().push(listener);
        }
        for row in tables.load_balancers.values() {
            let listeners = listeners.remove(&row.arn).unwrap_or_default();
            snapshot.load_balancers.push(Arc::new(load_balancer(row, listeners)));
        }
    }
    snapshot.load_balancers.sort_by(|a, b| a.arn.cmp(&b.arn));
    snapshot.target_groups.sort_by(|a, b| a.arn.cmp(&b.arn));
    snapshot
}

fn load_balancer(row: &LoadBalancer, listeners: Vec<&Listener>) -> routing::LoadBalancer {
    let mut listeners: Vec<routing::Listener> = listeners
        .into_iter()
        .map(|listener| routing::Listener {
            arn: listener.arn.clone(),
            port: listener.port,
            action: match &listener.action {
                ListenerAction::Forward(groups) => Action::Forward(groups.clone()),
                ListenerAction::FixedResponse { status, content_type, body } => {
                    Action::FixedResponse { status: *status, content_type: content_type.clone(), body: body.clone() }
                }
            },
        })
        .collect();
    listeners.sort_by_key(|listener| listener.port);
    let idle = row.attributes.get("idle_timeout.timeout_seconds").and_then(|text| text.parse().ok());
    routing::LoadBalancer {
        arn: row.arn.clone(),
        dimension: row.dimension().to_string(),
        host_names: vec![row.dns_name.to_ascii_lowercase(), format!("{}.elb.localhost", row.name.to_ascii_lowercase())],
        address: row.address,
        listeners,
        idle_timeout_secs: idle.unwrap_or(IDLE_TIMEOUT_SECS),
        zones: row.subnets.iter().map(|(_, zone)| zone.clone()).collect(),
    }
}

fn target_group(row: &TargetGroup, targets: Vec<routing::Target>, checked: bool) -> routing::TargetGroup {
    let algorithm = match row.attributes.get("load_balancing.algorithm.type").map(String::as_str) {
        Some("least_outstanding_requests") => Algorithm::LeastOutstandingRequests,
        Some(_) | None => Algorithm::RoundRobin,
    };
    routing::TargetGroup {
        arn: row.arn.clone(),
        dimension: row.dimension().to_string(),
        algorithm,
        check: row.check.routing(),
        checked,
        deregistration_delay: deregistration_delay(row),
        targets,
    }
}

/// What is in front of target groups.
struct Fronts<'a> {
    /// The zones that load balancers in front of each group are enabled in:
    /// targets elsewhere take no requests (alb.md 5.2).
    zones: BTreeMap<&'a TargetGroupArn, BTreeSet<&'a Zone>>,
    /// The load balancer that connections to a group's targets come from, the
    /// first by its ARN: targets have one pool and one health.
    balancers: BTreeMap<&'a TargetGroupArn, &'a LoadBalancerArn>,
    /// Interfaces of each load balancer, in the order of their ids.
    interfaces: BTreeMap<&'a LoadBalancerArn, Vec<&'a NetworkInterface>>,
}

impl<'a> Fronts<'a> {
    /// `networks` says whether there are any in which addresses are told apart.
    fn new(tables: &'a Tables, networks: bool) -> Fronts<'a> {
        let mut fronts = Fronts { zones: BTreeMap::new(), balancers: BTreeMap::new(), interfaces: BTreeMap::new() };
        for listener in tables.listeners.values() {
            let Some(balancer) = tables.load_balancers.get(listener.load_balancer.as_str()) else { continue };
            for group in listener.action.target_groups() {
                fronts.zones.entry(group).or_default().extend(balancer.subnets.iter().map(|(_, zone)| zone));
                let first = fronts.balancers.entry(group).or_insert(&balancer.arn);
                *first = (*first).min(&balancer.arn);
            }
        }
        for row in tables.interfaces.values().filter(|_| networks) {
            if let InterfaceOwner::LoadBalancer(arn) = &row.owner {
                fronts.interfaces.entry(arn).or_default().push(row);
            }
        }
        fronts
    }

    /// The load balancer's address in the target's zone, else its first one
    /// in that VPC.
    fn source(&self, group: &TargetGroupArn, vpc: &VpcId, zone: &Zone) -> Option<Ipv4Addr> {
        let interfaces = self.interfaces.get(self.balancers.get(group)?)?;
        let here = || interfaces.iter().filter(|row| row.vpc == *vpc);
        here().find(|row| row.zone == *zone).or_else(|| here().next()).map(|row| row.primary())
    }
}

fn targets_by_group(
    tables: &Tables,
    fronts: &Fronts<'_>,
    plant: Option<Plant>,
) -> BTreeMap<TargetGroupArn, Vec<routing::Target>> {
    let mut by_group: BTreeMap<TargetGroupArn, Vec<routing::Target>> = BTreeMap::new();
    for row in tables.targets.values() {
        let Some(group) = tables.target_groups.get(row.group.as_str()) else { continue };
        if let Some(mut target) = target(tables, group, row, plant) {
            let elsewhere = fronts.zones.get(&row.group).is_some_and(|zones| !zones.contains(&target.zone));
            if elsewhere && target.instance.is_some() && target.admission == Admission::Registered {
                target.admission = Admission::Unused;
            }
            target.source = target.vpc.as_ref().and_then(|vpc| fronts.source(&row.group, vpc, &target.zone));
            by_group.entry(row.group.clone()).or_default().push(target);
        }
    }
    by_group
}

fn target(tables: &Tables, group: &TargetGroup, row: &Target, plant: Option<Plant>) -> Option<routing::Target> {
    let admission = match row.phase {
        TargetPhase::Draining { .. } if plant == Some(Plant::TargetRoutedAfterDrain) => Admission::Registered,
        TargetPhase::Draining { until } => Admission::Draining { until },
        TargetPhase::Registered => Admission::Registered,
    };
    match group.target_type {
        TargetType::Ip => Some(routing::Target {
            instance: None,
            address: SocketAddrV4::new(row.id.parse().ok()?, row.port),
            vpc: Some(group.vpc.clone()),
            source: None,
            zone: Zone::from("all"),
            admission,
        }),
        TargetType::Instance => {
            let instance = tables.instances.get(&row.id)?;
            let running = instance.phase == Phase::Running;
            Some(routing::Target {
                instance: Some(instance.id.clone()),
                address: SocketAddrV4::new(instance.private_ip, row.port),
                vpc: Some(instance.vpc.clone()),
                source: None,
                zone: instance.zone.clone(),
                admission: if running { admission } else { Admission::Unused },
            })
        }
    }
}
