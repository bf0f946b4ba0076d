//! Addresses of a NAT gateway besides its primary one: pairs of an Elastic IP
//! and a private address for public gateways, private addresses for private
//! ones. A change is in force with the next network plan.

use super::addresses::lead;
use super::interface_addresses::{self as addresses, secondary, take};
use super::nat_gateways::{ADDRESSES_MAX, NAT_GATEWAY_ID, check_allocations};
use super::network::{SUBNET_ID, named};
use super::{errors, recast};
use crate::Change;
use elastane_engine::row::*;
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Addresses of a gateway as answers show them, the primary one first. A
/// deleted one has no private addresses any more.
pub(super) fn shown(view: &View<'_>, row: &NatGateway) -> Vec<wire::NatGatewayAddress> {
    let Some(interface) = view.get::<NetworkInterface>(&row.interface) else {
        return row.allocations.iter().enumerate().map(|(place, id)| released(view, row, place, id)).collect();
    };
    let one = |(place, address): (usize, &Ipv4Addr)| {
        let elastic = network::elastic_ip(view, interface, *address);
        wire::NatGatewayAddress {
            allocation_id: elastic.map(|elastic| elastic.id.clone()),
            association_id: elastic.and_then(|elastic| elastic.association.as_ref()).map(|to| to.id.clone()),
            availability_zone: Some(interface.zone.to_string()),
            availability_zone_id: Some(super::network::zone_id_of(view, &interface.zone)),
            is_primary: Some(place == 0),
            network_interface_id: Some(interface.id.clone()),
            private_ip: Some(address.to_string()),
            public_ip: elastic.map(|elastic| elastic.public_ip.to_string()),
            status: Some(status(row).to_string()),
            ..Default::default()
        }
    };
    interface.addresses.iter().enumerate().map(one).collect()
}

fn released(view: &View<'_>, row: &NatGateway, place: usize, id: &str) -> wire::NatGatewayAddress {
    wire::NatGatewayAddress {
        allocation_id: Some(id.to_string()),
        is_primary: Some(place == 0),
        network_interface_id: Some(row.interface.clone()),
        public_ip: view.get::<Address>(id).map(|address| address.public_ip.to_string()),
        status: Some(status(row).to_string()),
        ..Default::default()
    }
}

fn status(row: &NatGateway) -> &'static str {
    match (row.phase, row.public) {
        (NatGatewayPhase::Pending, true) => "associating",
        (NatGatewayPhase::Pending, false) => "assigning",
        (NatGatewayPhase::Available, _) => "succeeded",
        (NatGatewayPhase::Deleting | NatGatewayPhase::Deleted { .. }, true) => "disassociating",
        (NatGatewayPhase::Deleting | NatGatewayPhase::Deleted { .. }, false) => "unassigning",
    }
}

/// A gateway that is neither on its way out nor gone, of the kind that the
/// call is about, with its interface and subnet.
fn open<'a>(
    view: &View<'a>,
    id: &Option<String>,
    public: bool,
) -> Result<(&'a NatGateway, &'a NetworkInterface, &'a Subnet), ApiError> {
    let row = named::<NatGateway>(view, (id, "NatGatewayId"), &NAT_GATEWAY_ID)?;
    if matches!(row.phase, NatGatewayPhase::Deleting | NatGatewayPhase::Deleted { .. }) {
        return Err(NAT_GATEWAY_ID.unknown(&row.id));
    }
    if row.public != public {
        let (is, needed) = if row.public { ("public", "private") } else { ("private", "public") };
        let message = format!("The NAT gateway '{}' is {is}: this call is for {needed} NAT gateways.", row.id);
        return Err(errors::invalid_value(message));
    }
    let interface = view.get::<NetworkInterface>(&row.interface).ok_or_else(|| NAT_GATEWAY_ID.unknown(&row.id))?;
    let subnet = view.get::<Subnet>(row.subnet.as_str()).ok_or_else(|| SUBNET_ID.unknown(row.subnet.as_str()))?;
    Ok((row, interface, subnet))
}

/// Free private addresses for a gateway: those named, and `count` more.
fn further(
    view: &View<'_>,
    (interface, subnet): (&NetworkInterface, &Subnet),
    named: &[String],
    count: usize,
) -> Result<Vec<Ipv4Addr>, ApiError> {
    let named = named.iter().map(|text| addresses::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if interface.addresses.len() + named.len() + count > ADDRESSES_MAX {
        return Err(addresses::limit(ADDRESSES_MAX));
    }
    addresses::free(view, subnet, &named, count)
}

/// AssociateNatGatewayAddress: Elastic IPs for a public gateway, each with a
/// private address, named or free.
///
/// # Errors
/// `NatGatewayNotFound`, `InvalidAllocationID.*`, `Resource.AlreadyAssociated`,
/// `PrivateIpAddressLimitExceeded`, those of private addresses,
/// `InvalidParameterCombination` for more private addresses than Elastic IPs.
pub fn associate_nat_gateway_address(
    change: &mut Change<'_, '_>,
    input: &wire::AssociateNatGatewayAddressRequest,
) -> Result<wire::AssociateNatGatewayAddressResult, ApiError> {
    const NAMES: &[&str] = &["AllocationIds", "DryRun", "NatGatewayId", "PrivateIpAddresses"];
    recast::only(&wire::ASSOCIATE_NAT_GATEWAY_ADDRESS_REQUEST, input, NAMES)?;
    let view = change.view();
    let (row, interface, subnet) = open(&view, &input.nat_gateway_id, true)?;
    if input.allocation_ids.is_empty() {
        return Err(errors::missing("AllocationId"));
    }
    check_allocations(&view, &input.allocation_ids)?;
    let named = &input.private_ip_addresses;
    let count = input
        .allocation_ids
        .len()
        .checked_sub(named.len())
        .ok_or_else(|| errors::invalid_combination("Each private address needs an allocation id."))?;
    let private = further(&view, (interface, subnet), named, count)?;
    errors::dry_run(input.dry_run)?;
    let (id, interface) = (row.id.clone(), interface.id.clone());
    for (allocation, address) in input.allocation_ids.iter().zip(&private) {
        lead(change, allocation, interface.clone(), *address);
    }
    change.update(&interface, |row: &mut NetworkInterface| row.addresses.extend(&private));
    change.update(&id, |row: &mut NatGateway| row.allocations.extend(input.allocation_ids.iter().cloned()));
    let nat_gateway_addresses = of(change, &id, &private.into_iter().collect());
    Ok(wire::AssociateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id: Some(id) })
}

/// Some of a gateway's addresses as they are now.
fn of(change: &Change<'_, '_>, id: &str, private: &BTreeSet<Ipv4Addr>) -> Vec<wire::NatGatewayAddress> {
    let view = change.view();
    let all = view.get::<NatGateway>(id).map(|row| shown(&view, row)).unwrap_or_default();
    let asked = |one: &wire::NatGatewayAddress| {
        let address = one.private_ip.as_deref().and_then(|text| text.parse().ok());
        address.is_some_and(|address| private.contains(&address))
    };
    all.into_iter().filter(asked).collect()
}

/// DisassociateNatGatewayAddress: Elastic IPs of a public gateway, with their
/// private addresses; the primary one stays.
///
/// # Errors
/// `NatGatewayNotFound`, `InvalidAssociationID.NotFound`,
/// `InvalidParameterValue` for the primary address; `UnsupportedOperation`
/// for a drain: connections end at once.
pub fn disassociate_nat_gateway_address(
    change: &mut Change<'_, '_>,
    input: &wire::DisassociateNatGatewayAddressRequest,
) -> Result<wire::DisassociateNatGatewayAddressResult, ApiError> {
    const NAMES: &[&str] = &["AssociationIds", "DryRun", "NatGatewayId"];
    recast::only(&wire::DISASSOCIATE_NAT_GATEWAY_ADDRESS_REQUEST, input, NAMES)?;
    let view = change.view();
    let (row, interface, _) = open(&view, &input.nat_gateway_id, true)?;
    if input.association_ids.is_empty() {
        return Err(errors::missing("AssociationId"));
    }
    let mut private = BTreeSet::new();
    let mut released = BTreeSet::new();
    for id in &input.association_ids {
        let found = view.all::<Address>().find_map(|address| {
            let to = address.association.as_ref()?;
            (to.id == *id && to.interface == interface.id).then_some((address, to.private_ip))
        });
        let (address, private_ip) = found.ok_or_else(|| {
            ApiError::new("InvalidAssociationID.NotFound", format!("The association ID '{id}' does not exist"))
        })?;
        if private_ip == interface.primary() {
            let message = format!("The primary address of a NAT gateway cannot be disassociated: {id}");
            return Err(errors::invalid_value(message));
        }
        private.insert(private_ip);
        released.insert(address.id.clone());
    }
    errors::dry_run(input.dry_run)?;
    let (id, interface) = (row.id.clone(), interface.id.clone());
    let gone = of(change, &id, &private);
    take(change, &interface, &private);
    change.update(&id, |row: &mut NatGateway| row.allocations.retain(|one| !released.contains(one)));
    let going = |one| wire::NatGatewayAddress { status: Some("disassociating".to_string()), ..one };
    let nat_gateway_addresses = gone.into_iter().map(going).collect();
    Ok(wire::DisassociateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id: Some(id) })
}

/// AssignPrivateNatGatewayAddress: private addresses for a private gateway,
/// by name or by number.
///
/// # Errors
/// `NatGatewayNotFound`, `InvalidParameterCombination` for both forms or
/// none, `PrivateIpAddressLimitExceeded`, those of private addresses.
pub fn assign_private_nat_gateway_address(
    change: &mut Change<'_, '_>,
    input: &wire::AssignPrivateNatGatewayAddressRequest,
) -> Result<wire::AssignPrivateNatGatewayAddressResult, ApiError> {
    let view = change.view();
    let (row, interface, subnet) = open(&view, &input.nat_gateway_id, false)?;
    let count = addresses::count(input.private_ip_address_count, "privateIpAddressCount")?;
    if (count == 0) == input.private_ip_addresses.is_empty() {
        let message = "Either privateIpAddresses or privateIpAddressCount must be specified.";
        return Err(errors::invalid_combination(message));
    }
    let private = further(&view, (interface, subnet), &input.private_ip_addresses, count)?;
    errors::dry_run(input.dry_run)?;
    let (id, interface) = (row.id.clone(), interface.id.clone());
    change.update(&interface, |row: &mut NetworkInterface| row.addresses.extend(&private));
    let nat_gateway_addresses = of(change, &id, &private.into_iter().collect());
    Ok(wire::AssignPrivateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id: Some(id) })
}

/// UnassignPrivateNatGatewayAddress: of a private gateway; the primary one
/// stays. Errors: `NatGatewayNotFound`, `InvalidParameterValue` for an
/// address that it does not have; `UnsupportedOperation` for a drain.
pub fn unassign_private_nat_gateway_address(
    change: &mut Change<'_, '_>,
    input: &wire::UnassignPrivateNatGatewayAddressRequest,
) -> Result<wire::UnassignPrivateNatGatewayAddressResult, ApiError> {
    const NAMES: &[&str] = &["DryRun", "NatGatewayId", "PrivateIpAddresses"];
    recast::only(&wire::UNASSIGN_PRIVATE_NAT_GATEWAY_ADDRESS_REQUEST, input, NAMES)?;
    let view = change.view();
    let (row, interface, _) = open(&view, &input.nat_gateway_id, false)?;
    if input.private_ip_addresses.is_empty() {
        return Err(errors::missing("PrivateIpAddress"));
    }
    let private = secondary(interface, &input.private_ip_addresses)?;
    errors::dry_run(input.dry_run)?;
    let (id, interface) = (row.id.clone(), interface.id.clone());
    let gone = of(change, &id, &private);
    take(change, &interface, &private);
    let going = |one| wire::NatGatewayAddress { status: Some("unassigning".to_string()), ..one };
    let nat_gateway_addresses = gone.into_iter().map(going).collect();
    Ok(wire::UnassignPrivateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id: Some(id) })
}
