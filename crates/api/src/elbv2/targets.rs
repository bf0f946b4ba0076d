//! Registering and deregistering targets. What happens to them afterwards
//! (draining, health) is the engine's and the data plane's business.

use super::target_groups::{checked_port, of_group};
use super::{errors, names};
use crate::Change;
use elastane_engine::row::{Instance, Phase, TargetGroup, TargetType, Vpc};
use elastane_engine::{Tables, targets};
use elastane_wire::{ApiError, elbv2 as wire};
use std::net::Ipv4Addr;

/// Targets of one group (alb.md 12); a group serves one load balancer, so
/// this bounds that as well.
const TARGETS_MAX: usize = 1000;

/// Id and port of a target as a call names it; the port is the group's when
/// the call names none.
pub fn named(group: &TargetGroup, target: &wire::TargetDescription) -> Result<(String, u16), ApiError> {
    let id = target.id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| errors::missing("Targets.member.N.Id"))?;
    let port = target.port.map_or(Ok(group.port), checked_port)?;
    Ok((id.to_string(), port))
}

/// RegisterTargets: all of them, or none. A target that drains starts anew.
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
        match group.target_type {
            TargetType::Instance => check_instance(tx.tables(), &group, &id)?,
            TargetType::Ip => check_address(tx.tables(), &group, &id)?,
        }
        targets::register(tx, &group.arn, &id, port);
    }
    if of_group(tx.tables(), group.arn.as_str()).len() > TARGETS_MAX {
        return Err(errors::too_many("TooManyTargets", TARGETS_MAX, "targets of one target group"));
    }
    Ok(wire::RegisterTargetsOutput {})
}

/// An instance of the group's VPC that runs.
fn check_instance(tables: &Tables, group: &TargetGroup, id: &str) -> Result<(), ApiError> {
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
    Ok(())
}

/// An address of the VPC, or a private one (alb.md 3.1).
fn check_address(tables: &Tables, group: &TargetGroup, id: &str) -> Result<(), ApiError> {
    let message = || format!("The IP address '{id}' is not a valid IPv4 address");
    let address: Ipv4Addr = id.parse().map_err(|_| errors::validation(message()))?;
    let vpc: Option<&Vpc> = tables.vpcs.get(group.vpc.as_str()).map(AsRef::as_ref);
    // 100.64.0.0/10 is the shared address space (RFC 6598).
    let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
    if address.is_private() || shared || vpc.is_some_and(|vpc| vpc.cidr.contains(address)) {
        return Ok(());
    }
    let message = format!("The IP address '{id}' is not within a range of the VPC or a private range");
    Err(errors::invalid_target(message))
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
