//! Registering and deregistering targets. What happens to them afterwards
//! (draining, health) is the engine's and the data plane's business.

use super::forwards;
use super::target_groups::{checked_port, load_balancers_of, of_group};
use super::{errors, names, protocols};
use crate::Change;
use elastane_domain::routing::Family;
use elastane_engine::row::{Instance, LoadBalancer, Phase, Subnet, Target, TargetGroup, TargetType, Vpc};
use elastane_engine::{Tables, network, targets};
use elastane_wire::{ApiError, elbv2 as wire};
use std::net::Ipv4Addr;

/// Targets of one group (alb.md 12).
pub const TARGETS_MAX: usize = 1000;

/// How often one id may be registered with one load balancer, each time on another port.
pub const REGISTRATIONS_MAX: usize = 1000;

/// The zone of addresses that are outside of the VPC.
const ALL_ZONES: &str = "all";

/// Id and port of a target as a call names it; the port is the group's when
/// the call names none.
pub fn named(group: &TargetGroup, target: &wire::TargetDescription) -> Result<(String, u16), ApiError> {
    let id = target.id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| errors::missing("Targets.member.N.Id"))?;
    let port = target.port.map_or(Ok(group.port), checked_port)?;
    Ok((id.to_string(), port))
}

/// RegisterTargets: all of them, or none. A target that drains starts anew.
///
/// # Errors
/// `InvalidTarget`, `TooManyTargets`, `TooManyRegistrationsForTargetId`.
pub fn register_targets(
    tx: &mut Change<'_, '_>,
    input: &wire::RegisterTargetsInput,
) -> Result<wire::RegisterTargetsOutput, ApiError> {
    let group = names::target_group(tx.tables(), input.target_group_arn.as_deref())?.clone();
    if input.targets.is_empty() {
        return Err(errors::missing("Targets"));
    }
    for target in &input.targets {
        let (id, port) = named(&group, target)?;
        if target.quic_server_id.is_some() {
            return Err(errors::unsupported("QuicServerId"));
        }
        let zone = target.availability_zone.as_deref().filter(|zone| !zone.is_empty());
        match group.target_type {
            TargetType::Instance => check_instance(tx.tables(), &group, &id, zone)?,
            TargetType::Ip => check_address(tx, &group, &id, zone)?,
        }
        targets::register_in_zone(tx, &group.arn, &id, port, zone.map(str::to_string));
    }
    check_counts(tx.tables(), &group, input)?;
    Ok(wire::RegisterTargetsOutput {})
}

fn check_counts(tables: &Tables, group: &TargetGroup, input: &wire::RegisterTargetsInput) -> Result<(), ApiError> {
    let rows = of_group(tables, group.arn.as_str());
    if rows.len() > TARGETS_MAX {
        return Err(errors::too_many("TooManyTargets", TARGETS_MAX, "targets of one target group"));
    }
    let balancers = load_balancers_of(tables, group.arn.as_str());
    let mut balancers = balancers.into_iter().filter_map(|arn| tables.load_balancers.get(arn.as_str()));
    // A group serves one load balancer only.
    let Some(balancer) = balancers.next() else { return Ok(()) };
    check_balancer_counts(tables, balancer, input)
}

fn check_balancer_counts(
    tables: &Tables,
    balancer: &LoadBalancer,
    input: &wire::RegisterTargetsInput,
) -> Result<(), ApiError> {
    let max = forwards::targets_max(balancer.family);
    let groups = forwards::groups_of(tables, balancer);
    let rows: Vec<_> = groups.into_iter().flat_map(|group| of_group(tables, group.as_str())).collect();
    if rows.len() > max {
        return Err(errors::too_many("TooManyTargets", max, "targets of one load balancer"));
    }
    // With fewer targets in all, no id can be there too often.
    if rows.len() > REGISTRATIONS_MAX {
        let often = |id: &str| rows.iter().filter(|row: &&std::sync::Arc<Target>| row.id == id).count();
        if input.targets.iter().filter_map(|target| target.id.as_deref()).any(|id| often(id) > REGISTRATIONS_MAX) {
            let what = "registrations of one target with one load balancer";
            return Err(errors::too_many("TooManyRegistrationsForTargetId", REGISTRATIONS_MAX, what));
        }
    }
    Ok(())
}

/// An instance of the group's VPC that runs. Its zone is its own.
fn check_instance(tables: &Tables, group: &TargetGroup, id: &str, zone: Option<&str>) -> Result<(), ApiError> {
    let row: Option<&Instance> = tables.instances.get(id).map(AsRef::as_ref);
    let row = row.ok_or_else(|| errors::invalid_target(format!("Instance ID '{id}' is not valid")))?;
    if row.phase != Phase::Running {
        let message = format!("The following targets are not in a running state and cannot be registered: '{id}'");
        return Err(errors::invalid_target(message));
    }
    if row.vpc != group.vpc {
        let message = format!("The following targets are not in the target group VPC '{}': '{id}'", group.vpc);
        return Err(errors::invalid_target(message));
    }
    match zone {
        None => Ok(()),
        Some(_) => {
            let message = "You cannot specify an Availability Zone for targets of a target group of type 'instance'";
            Err(errors::validation(message))
        }
    }
}

/// An address of the VPC, or a private one, which is of all zones (alb.md 3.1).
fn check_address(tx: &Change<'_, '_>, group: &TargetGroup, id: &str, zone: Option<&str>) -> Result<(), ApiError> {
    let tables = tx.tables();
    let message = || format!("The IP address '{id}' is not a valid IPv4 address");
    let address: Ipv4Addr = id.parse().map_err(|_| errors::validation(message()))?;
    if zone
        .is_some_and(|zone| zone != ALL_ZONES && !network::zones(&tx.scope().region).iter().any(|z| z.as_str() == zone))
    {
        let zone = zone.unwrap_or_default();
        return Err(errors::validation(format!("The Availability Zone '{zone}' is not valid")));
    }
    let vpc: Option<&Vpc> = tables.vpcs.get(group.vpc.as_str()).map(AsRef::as_ref);
    if vpc.is_some_and(|vpc| vpc.cidr.contains(address)) {
        return check_zone(tables, group, address, zone);
    }
    // 100.64.0.0/10 is the shared address space (RFC 6598).
    let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
    if !address.is_private() && !shared {
        let message = format!("The IP address '{id}' is not within a range of the VPC or a private range");
        return Err(errors::invalid_target(message));
    }
    let all_only = protocols::family(group.protocol) == Family::Application;
    match zone {
        Some(ALL_ZONES) => Ok(()),
        Some(_) if !all_only => Ok(()),
        Some(_) | None => {
            let message =
                format!("The IP address '{id}' is outside the VPC, so its Availability Zone must be '{ALL_ZONES}'");
            Err(errors::validation(message))
        }
    }
}

/// An address of a subnet is in the subnet's zone, and can be of all.
fn check_zone(tables: &Tables, group: &TargetGroup, address: Ipv4Addr, zone: Option<&str>) -> Result<(), ApiError> {
    let mut subnets = tables.subnets.values().filter(|row: &&std::sync::Arc<Subnet>| row.vpc == group.vpc);
    let subnet = subnets.find(|row| row.cidr.contains(address));
    match (zone, subnet) {
        (Some(zone), Some(subnet)) if zone != ALL_ZONES && zone != subnet.zone.as_str() => {
            let message = format!("The IP address '{address}' is in the Availability Zone '{}'", subnet.zone);
            Err(errors::invalid_target(message))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// DeregisterTargets: a target that is not registered is no error.
pub fn deregister_targets(
    tx: &mut Change<'_, '_>,
    input: &wire::DeregisterTargetsInput,
) -> Result<wire::DeregisterTargetsOutput, ApiError> {
    let group = names::target_group(tx.tables(), input.target_group_arn.as_deref())?.clone();
    if input.targets.is_empty() {
        return Err(errors::missing("Targets"));
    }
    for target in &input.targets {
        let (id, port) = named(&group, target)?;
        targets::deregister(tx, &group.arn, &id, port);
    }
    Ok(wire::DeregisterTargetsOutput {})
}
