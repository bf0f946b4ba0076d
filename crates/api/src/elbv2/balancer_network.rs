//! Where load balancers are: subnets with their zones and addresses, and the
//! security groups of their interfaces.

use super::{errors, interfaces, load_balancers, names};
use crate::Change;
use elastane_domain::id::{SecurityGroupId, SubnetId, VpcId, Zone};
use elastane_domain::routing::Family;
use elastane_engine::View;
use elastane_engine::network::{self, Ipv6Plan};
use elastane_engine::row::{LoadBalancer, SecurityGroup, Subnet};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The `IpAddressType` of a load balancer for which none was named.
pub const IPV4: &str = "ipv4";

/// A subnet of a load balancer, and the addresses that were asked for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The subnet.
    pub subnet: SubnetId,
    /// Its zone.
    pub zone: Zone,
    /// `PrivateIPv4Address`.
    pub private: Option<Ipv4Addr>,
    /// `AllocationId`.
    pub allocation: Option<String>,
}

/// What a call says of subnets.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The load balancer's family.
    pub family: Family,
    /// Its scheme.
    pub scheme: &'a str,
    /// Subnets.
    pub subnets: &'a [String],
    /// SubnetMappings.
    pub mappings: &'a [wire::SubnetMapping],
}

/// Zones that a load balancer spans at least (alb.md 1 and 13).
fn zones_min(family: Family) -> usize {
    match family {
        Family::Application => 2,
        Family::Network => 1,
    }
}

/// The subnets of a call, one a zone and all of one VPC, in the order of their zones.
///
/// # Errors
/// `SubnetNotFound`, `InvalidConfigurationRequest`, `ValidationError`.
pub fn mappings(view: &View<'_>, given: Given<'_>) -> Result<(VpcId, Vec<Mapping>), ApiError> {
    if !given.subnets.is_empty() && !given.mappings.is_empty() {
        return Err(errors::validation("Subnets and SubnetMappings cannot be specified at the same time"));
    }
    let plain =
        given.subnets.iter().map(|id| wire::SubnetMapping { subnet_id: Some(id.clone()), ..Default::default() });
    let mut found: Vec<(VpcId, Mapping)> = Vec::new();
    for asked in plain.chain(given.mappings.iter().cloned()) {
        let id = asked.subnet_id.as_deref().ok_or_else(|| errors::missing("SubnetMappings.member.N.SubnetId"))?;
        let row = view.get::<Subnet>(id).ok_or_else(|| errors::subnet_not_found(id))?;
        if found.iter().any(|(vpc, _)| *vpc != row.vpc) {
            return Err(errors::invalid_configuration("All subnets must belong to the same VPC"));
        }
        // The same subnet twice is the subnet.
        if found.iter().any(|(_, other)| other.subnet == row.id) {
            continue;
        }
        if found.iter().any(|(_, other)| other.zone == row.zone) {
            let message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone";
            return Err(errors::invalid_configuration(message));
        }
        found.push((row.vpc.clone(), mapping(given, row, &asked)?));
    }
    if found.len() < zones_min(given.family) {
        return Err(errors::validation(match given.family {
            Family::Application => "At least two subnets in two different Availability Zones must be specified",
            Family::Network => "At least one subnet must be specified",
        }));
    }
    found.sort_by(|(_, a), (_, b)| a.zone.cmp(&b.zone));
    let vpc = found[0].0.clone();
    Ok((vpc, found.into_iter().map(|(_, mapping)| mapping).collect()))
}

fn mapping(given: Given<'_>, row: &Subnet, asked: &wire::SubnetMapping) -> Result<Mapping, ApiError> {
    if asked.i_pv6_address.is_some() || asked.source_nat_ipv6_prefix.is_some() {
        return Err(errors::unsupported("An IPv6 address in SubnetMappings"));
    }
    let private = asked.private_i_pv4_address.as_deref().filter(|text| !text.is_empty());
    let allocation = asked.allocation_id.clone().filter(|text| !text.is_empty());
    if given.family == Family::Application && (private.is_some() || allocation.is_some()) {
        return Err(errors::validation("Application load balancers take no addresses in SubnetMappings"));
    }
    if allocation.is_some() && given.scheme == "internal" {
        return Err(errors::invalid_configuration("An allocation ID cannot be specified for internal load balancers"));
    }
    if private.is_some() && given.scheme != "internal" {
        let message = "A private IPv4 address can be specified for internal load balancers only";
        return Err(errors::invalid_configuration(message));
    }
    let parsed = private
        .map(|text| text.parse().map_err(|_| errors::validation(format!("'{text}' is not a valid IPv4 address"))));
    Ok(Mapping { subnet: row.id.clone(), zone: row.zone.clone(), private: parsed.transpose()?, allocation })
}

/// The groups named, which are all of the VPC. When none is named an
/// application load balancer gets the VPC's default one, and a network load
/// balancer none: nothing is filtered then.
pub fn security_groups(
    view: &View<'_>,
    family: Family,
    vpc: &VpcId,
    named: &[String],
) -> Result<Vec<SecurityGroupId>, ApiError> {
    let mut groups = BTreeSet::new();
    for id in named {
        let row = view.get::<SecurityGroup>(id).filter(|row| row.vpc == *vpc);
        groups.insert(row.ok_or_else(|| errors::invalid_security_group(id))?.id.clone());
    }
    if named.is_empty() && family == Family::Application {
        groups.extend(network::default_security_group(view, vpc).map(|row| row.id.clone()));
    }
    Ok(groups.into_iter().collect())
}

/// The `IpAddressType` of a call that names one. `dualstack` needs no IPv6
/// range of the subnets, because no subnet here has one; it needs a machine
/// that has IPv6.
///
/// # Errors
/// `ValidationError`; `InvalidConfigurationRequest` on a machine without IPv6.
pub fn ip_address_type(plan: Ipv6Plan, kind: Option<&str>) -> Result<Option<String>, ApiError> {
    match kind {
        None | Some(IPV4) => {}
        Some(LoadBalancer::DUAL_STACK) if plan == Ipv6Plan::Missing => {
            let message = "The IP address type 'dualstack' cannot be used: this machine has no IPv6 \
                           (`elastane doctor` says why)";
            return Err(errors::invalid_configuration(message));
        }
        Some(LoadBalancer::DUAL_STACK) => {}
        Some(known @ "dualstack-without-public-ipv4") => {
            return Err(errors::unsupported(&format!("The IP address type '{known}'")));
        }
        Some(other) => {
            let known = "ipv4,dualstack,dualstack-without-public-ipv4";
            return Err(errors::validation(format!("IP address type '{other}' must be one of '[{known}]'")));
        }
    }
    Ok(kind.map(str::to_string))
}

/// Refuses what would have clients of UDP seen under IPv6 addresses: targets
/// have IPv4 addresses only.
pub fn refuse_source_nat(source_nat: Option<&str>) -> Result<(), ApiError> {
    match source_nat {
        None | Some("off") => Ok(()),
        Some(_) => Err(errors::unsupported("EnablePrefixForIpv6SourceNat")),
    }
}

/// SetSubnets: the subnets named take the place of those that were. Zones
/// that stay keep their address.
pub fn set_subnets(tx: &mut Change<'_, '_>, input: &wire::SetSubnetsInput) -> Result<wire::SetSubnetsOutput, ApiError> {
    let before = names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?.clone();
    let kind = ip_address_type(tx.config.ipv6, input.ip_address_type.as_deref())?;
    refuse_source_nat(input.enable_prefix_for_ipv6_source_nat.as_deref())?;
    let given = Given {
        family: before.family,
        scheme: &before.scheme,
        subnets: &input.subnets,
        mappings: &input.subnet_mappings,
    };
    let (vpc, wanted) = mappings(&tx.view(), given)?;
    if vpc != before.vpc {
        return Err(errors::invalid_configuration("The subnets must belong to the VPC of the load balancer"));
    }
    let old: BTreeSet<&SubnetId> = before.subnets.iter().map(|(subnet, _)| subnet).collect();
    let (stay, come): (Vec<&Mapping>, Vec<&Mapping>) = wanted.iter().partition(|one| old.contains(&one.subnet));
    for mapping in stay {
        check_unmoved(&tx.view(), &before, mapping)?;
    }
    let places = interfaces::places(&tx.view(), come.into_iter())?;
    let mut row = LoadBalancer::clone(&before);
    row.subnets = wanted.iter().map(|one| (one.subnet.clone(), one.zone.clone())).collect();
    row.private_addresses.retain(|zone, _| wanted.iter().any(|one| one.zone == *zone && old.contains(&one.subnet)));
    row.private_addresses.extend(wanted.iter().filter_map(|one| Some((one.zone.clone(), one.private?))));
    row.nodes = nodes(tx, &before, &wanted)?;
    row.ip_address_type = kind.unwrap_or(row.ip_address_type);
    let kept: Vec<SubnetId> = wanted.iter().map(|one| one.subnet.clone()).collect();
    interfaces::delete(tx, row.arn.as_str(), &kept);
    interfaces::put(tx, &row, places);
    tx.put(row.clone());
    Ok(wire::SetSubnetsOutput {
        availability_zones: load_balancers::zones(&tx.view(), &row),
        enable_prefix_for_ipv6_source_nat: None,
        ip_address_type: Some(row.ip_address_type),
    })
}

/// An address in a subnet that stays cannot change.
fn check_unmoved(view: &View<'_>, row: &LoadBalancer, mapping: &Mapping) -> Result<(), ApiError> {
    let private = row.private_addresses.get(&mapping.zone);
    let allocation = interfaces::elastic_ip(view, row.arn.as_str(), &mapping.subnet).map(|address| &address.id);
    let moved = mapping.private.is_some() && mapping.private.as_ref() != private
        || mapping.allocation.is_some() && mapping.allocation.as_ref() != allocation;
    if moved {
        let message = format!("The addresses of the load balancer in the subnet '{}' cannot change", mapping.subnet);
        return Err(errors::invalid_configuration(message));
    }
    Ok(())
}

/// Loopback addresses of the zones: those that stay, and new ones.
fn nodes(tx: &Change<'_, '_>, before: &LoadBalancer, wanted: &[Mapping]) -> Result<BTreeMap<Zone, Ipv4Addr>, ApiError> {
    let zones = || wanted.iter().map(|one| &one.zone);
    let come: Vec<Zone> = zones().filter(|zone| !before.nodes.contains_key(*zone)).cloned().collect();
    let mut nodes = network::load_balancer_nodes(tx, &come).ok_or_else(load_balancers::too_many)?;
    nodes.extend(zones().filter_map(|zone| Some((zone.clone(), *before.nodes.get(zone)?))));
    Ok(nodes)
}

/// SetSecurityGroups: those named take the place of those that were.
pub fn set_security_groups(
    tx: &mut Change<'_, '_>,
    input: &wire::SetSecurityGroupsInput,
) -> Result<wire::SetSecurityGroupsOutput, ApiError> {
    let mut row = LoadBalancer::clone(names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?);
    let enforce = input.enforce_security_group_inbound_rules_on_private_link_traffic.as_deref();
    match row.family {
        Family::Application if enforce.is_some() => {
            let message = "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic is for network load balancers";
            return Err(errors::validation(message));
        }
        Family::Network if row.security_groups.is_empty() => {
            let message = "Security groups cannot be set on a network load balancer that was created without any";
            return Err(errors::invalid_configuration(message));
        }
        Family::Application | Family::Network => {}
    }
    if input.security_groups.is_empty() && enforce.is_none() {
        return Err(errors::missing("SecurityGroups"));
    }
    if !input.security_groups.is_empty() {
        row.security_groups = security_groups(&tx.view(), row.family, &row.vpc, &input.security_groups)?;
    }
    match enforce {
        None => {}
        Some("on") => row.private_link_rules = Some(true),
        Some("off") => row.private_link_rules = Some(false),
        Some(other) => {
            let message =
                format!("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic '{other}' must be one of '[on,off]'");
            return Err(errors::validation(message));
        }
    }
    let output = wire::SetSecurityGroupsOutput {
        enforce_security_group_inbound_rules_on_private_link_traffic: load_balancers::private_link(&row),
        security_group_ids: row.security_groups.iter().map(ToString::to_string).collect(),
    };
    tx.put(row);
    Ok(output)
}

/// SetIpAddressType: `ipv4` or `dualstack`. Addresses of IPv6 come and go with
/// it; connections to those of IPv4 notice nothing.
pub fn set_ip_address_type(
    tx: &mut Change<'_, '_>,
    input: &wire::SetIpAddressTypeInput,
) -> Result<wire::SetIpAddressTypeOutput, ApiError> {
    let kind = input.ip_address_type.as_deref().ok_or_else(|| errors::missing("IpAddressType"))?;
    let mut row = LoadBalancer::clone(names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?);
    let kind = ip_address_type(tx.config.ipv6, Some(kind))?;
    row.ip_address_type = kind.clone().unwrap_or(row.ip_address_type);
    tx.put(row);
    Ok(wire::SetIpAddressTypeOutput { ip_address_type: kind })
}
