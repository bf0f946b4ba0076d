//! Private addresses of network interfaces: how they are chosen from a
//! subnet, AssignPrivateIpAddresses and UnassignPrivateIpAddresses.

use super::network::named;
use super::network_interfaces::{INTERFACE_ID, refuse_managed};
use super::{errors, recast};
use crate::Change;
use elastane_domain::types::instance_type;
use elastane_engine::row::*;
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Private addresses that an interface may have while it is attached to
/// nothing: what the largest instance types allow.
pub(super) const ADDRESSES_MAX: usize = 50;

/// The addresses that a call asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The primary one; any free one when there is none.
    pub primary: Option<Ipv4Addr>,
    /// Others by name.
    pub further: Vec<Ipv4Addr>,
    /// How many more, whichever are free.
    pub count: usize,
}

/// An IPv4 address as a client writes it: `InvalidParameterValue`.
pub(super) fn parse(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse::<Ipv4Addr>().map_err(|_| {
        if text.parse::<Ipv6Addr>().is_ok() {
            return errors::unsupported("IPv6");
        }
        errors::invalid_value(format!("Invalid IPv4 address '{text}'"))
    })
}

/// A number of addresses; none is 0. Errors: `InvalidParameterValue`.
pub(super) fn count(said: Option<i32>, member: &str) -> Result<usize, ApiError> {
    let number = said.unwrap_or(0);
    usize::try_from(number).map_err(|_| {
        errors::invalid_value(format!("Value ({number}) for parameter {member} is invalid. It must not be negative."))
    })
}

/// Addresses of a new interface in a subnet, the primary one first; at most
/// `max` of them.
///
/// # Errors
/// `PrivateIpAddressLimitExceeded`, and those of [`free`].
pub(super) fn pick(view: &View<'_>, subnet: &Subnet, wanted: &Wanted, max: usize) -> Result<Vec<Ipv4Addr>, ApiError> {
    let named: Vec<Ipv4Addr> = wanted.primary.iter().chain(&wanted.further).copied().collect();
    let missing = usize::from(wanted.primary.is_none());
    if named.len() + wanted.count + missing > max {
        return Err(limit(max));
    }
    let mut found = free(view, subnet, &named, wanted.count + missing)?;
    if missing > 0 {
        // The first of those that were chosen here is the primary one.
        found[..=named.len()].rotate_right(1);
    }
    Ok(found)
}

/// The named addresses of a subnet, which must be free, and `count` more.
///
/// # Errors
/// `InvalidParameterValue` for an address outside of the subnet or one that is
/// reserved or named twice, `InvalidIPAddress.InUse`,
/// `InsufficientFreeAddressesInSubnet`.
pub(super) fn free(
    view: &View<'_>,
    subnet: &Subnet,
    named: &[Ipv4Addr],
    count: usize,
) -> Result<Vec<Ipv4Addr>, ApiError> {
    let mut taken = network::taken(view, &subnet.id);
    let mut found = Vec::new();
    for address in named {
        check_range(subnet, *address)?;
        if found.contains(address) {
            return Err(errors::invalid_value(format!("Address {address} is specified more than once.")));
        }
        if !taken.insert(*address) {
            return Err(ApiError::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")));
        }
        found.push(*address);
    }
    for _ in 0..count {
        let address = subnet.cidr.next_free(&taken).ok_or_else(|| {
            let message = format!(
                "The specified subnet does not have enough free addresses to satisfy the request: '{}'.",
                subnet.id
            );
            ApiError::new("InsufficientFreeAddressesInSubnet", message)
        })?;
        taken.insert(address);
        found.push(address);
    }
    Ok(found)
}

fn check_range(subnet: &Subnet, address: Ipv4Addr) -> Result<(), ApiError> {
    if subnet.cidr.contains(address) && !subnet.cidr.reserves(address) {
        return Ok(());
    }
    let message = if subnet.cidr.reserves(address) {
        format!("The address {address} is reserved in the subnet's address range.")
    } else {
        format!("Address {address} does not fall within the subnet's address range")
    };
    Err(errors::invalid_value(message))
}

/// More addresses than there may be: `PrivateIpAddressLimitExceeded`.
pub(super) fn limit(max: usize) -> ApiError {
    let message = format!("Number of private addresses will exceed limit ({max}).");
    ApiError::new("PrivateIpAddressLimitExceeded", message)
}

/// How many addresses an interface may have: what its instance's type says.
fn limit_of(view: &View<'_>, row: &NetworkInterface) -> usize {
    let attachment = row.attachment.as_ref();
    let instance = attachment.and_then(|attachment| view.get::<Instance>(attachment.instance.as_str()));
    let kind = instance.and_then(|instance| instance_type(&instance.instance_type));
    kind.map_or(ADDRESSES_MAX, |kind| usize::from(kind.interface_limits().1))
}

/// AssignPrivateIpAddresses: by name, also those of other interfaces of the
/// subnet with AllowReassignment, or by number. An Elastic IP that leads to
/// an address moves with it.
///
/// # Errors
/// `InvalidNetworkInterfaceID.*`, `InvalidParameterValue` for an address that
/// cannot be had, `InvalidParameterCombination` for both forms or none,
/// `PrivateIpAddressLimitExceeded`, `InsufficientFreeAddressesInSubnet`,
/// `AuthFailure` for a service's own interface.
pub fn assign_private_ip_addresses(
    change: &mut Change<'_, '_>,
    input: &wire::AssignPrivateIpAddressesRequest,
) -> Result<wire::AssignPrivateIpAddressesResult, ApiError> {
    const NAMES: &[&str] =
        &["AllowReassignment", "NetworkInterfaceId", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount"];
    recast::only(&wire::ASSIGN_PRIVATE_IP_ADDRESSES_REQUEST, input, NAMES)?;
    let view = change.view();
    let row = named::<NetworkInterface>(&view, (&input.network_interface_id, "NetworkInterfaceId"), &INTERFACE_ID)?;
    refuse_managed(row)?;
    let subnet = view
        .get::<Subnet>(row.subnet.as_str())
        .ok_or_else(|| super::network::SUBNET_ID.unknown(row.subnet.as_str()))?;
    let count = count(input.secondary_private_ip_address_count, "secondaryPrivateIpAddressCount")?;
    if (count == 0) == input.private_ip_addresses.is_empty() {
        let message = "Either privateIpAddresses or secondaryPrivateIpAddressCount must be specified.";
        return Err(errors::invalid_combination(message));
    }
    let asked = input.private_ip_addresses.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut moves = Vec::new();
    let mut new = Vec::new();
    for address in asked {
        match holder(&view, row, address) {
            Some(holder) if holder.id == row.id => {}
            Some(holder) if input.allow_reassignment == Some(true) && holder.primary() != address => {
                refuse_managed(holder)?;
                moves.push((address, holder.id.clone()));
            }
            Some(holder) => {
                let message = format!(
                    "Some of [{address}] are already assigned to interface {}, but move is not allowed.",
                    holder.id
                );
                return Err(errors::invalid_value(message));
            }
            None => new.push(address),
        }
    }
    let new = free(&view, subnet, &new, count)?;
    let max = limit_of(&view, row);
    if row.addresses.len() + moves.len() + new.len() > max {
        return Err(limit(max));
    }
    let id = row.id.clone();
    for (address, from) in &moves {
        move_address(change, *address, from, &id);
    }
    change.update(&id, |row: &mut NetworkInterface| row.addresses.extend(&new));
    let assigned = moves.iter().map(|(address, _)| address).chain(&new);
    let assigned_private_ip_addresses = assigned
        .map(|address| wire::AssignedPrivateIpAddress { private_ip_address: Some(address.to_string()) })
        .collect();
    Ok(wire::AssignPrivateIpAddressesResult {
        assigned_private_ip_addresses,
        network_interface_id: Some(id),
        ..Default::default()
    })
}

/// Which interface of the same subnet has an address.
fn holder<'a>(view: &View<'a>, row: &NetworkInterface, address: Ipv4Addr) -> Option<&'a NetworkInterface> {
    let has = |other: &&'a NetworkInterface| other.subnet == row.subnet && other.addresses.contains(&address);
    view.all::<NetworkInterface>().map(AsRef::as_ref).find(has)
}

fn move_address(change: &mut Change<'_, '_>, address: Ipv4Addr, from: &str, to: &str) {
    let elastic: Vec<String> = leading(&change.view(), from, &BTreeSet::from([address]));
    for id in elastic {
        change.update(&id, |row: &mut Address| {
            row.association.iter_mut().for_each(|association| association.interface = to.to_string());
        });
    }
    change.update(from, |row: &mut NetworkInterface| row.addresses.retain(|one| *one != address));
    change.update(to, |row: &mut NetworkInterface| row.addresses.push(address));
}

/// Elastic IPs that lead to some addresses of an interface.
fn leading(view: &View<'_>, interface: &str, addresses: &BTreeSet<Ipv4Addr>) -> Vec<String> {
    let leads = |row: &&std::sync::Arc<Address>| {
        row.association.as_ref().is_some_and(|to| to.interface == interface && addresses.contains(&to.private_ip))
    };
    view.all::<Address>().filter(leads).map(|row| row.id.clone()).collect()
}

/// Takes addresses from an interface; Elastic IPs that lead to them come free.
pub(super) fn take(change: &mut Change<'_, '_>, interface: &str, addresses: &BTreeSet<Ipv4Addr>) {
    for id in leading(&change.view(), interface, addresses) {
        change.update(&id, |row: &mut Address| row.association = None);
    }
    change.update(interface, |row: &mut NetworkInterface| row.addresses.retain(|one| !addresses.contains(one)));
}

/// Addresses by name that an interface has besides its primary one:
/// `InvalidParameterValue` for another.
pub(super) fn secondary(row: &NetworkInterface, named: &[String]) -> Result<BTreeSet<Ipv4Addr>, ApiError> {
    let addresses = named.iter().map(|text| parse(text)).collect::<Result<BTreeSet<_>, _>>()?;
    if addresses.contains(&row.primary()) {
        let message = format!("The primary private address {} cannot be unassigned.", row.primary());
        return Err(errors::invalid_value(message));
    }
    match addresses.iter().find(|address| !row.addresses.contains(address)) {
        Some(address) => Err(errors::invalid_value(format!(
            "Some of the specified addresses are not assigned to interface {}: {address}",
            row.id
        ))),
        None => Ok(addresses),
    }
}

/// UnassignPrivateIpAddresses. Errors: `InvalidNetworkInterfaceID.*`,
/// `InvalidParameterValue` for the primary address or one that it does not
/// have, `AuthFailure` for a service's own interface.
pub fn unassign_private_ip_addresses(
    change: &mut Change<'_, '_>,
    input: &wire::UnassignPrivateIpAddressesRequest,
) -> Result<wire::UnassignPrivateIpAddressesOutput, ApiError> {
    recast::only(&wire::UNASSIGN_PRIVATE_IP_ADDRESSES_REQUEST, input, &["NetworkInterfaceId", "PrivateIpAddresses"])?;
    let view = change.view();
    let row = named::<NetworkInterface>(&view, (&input.network_interface_id, "NetworkInterfaceId"), &INTERFACE_ID)?;
    refuse_managed(row)?;
    if input.private_ip_addresses.is_empty() {
        return Err(errors::missing("PrivateIpAddress"));
    }
    let addresses = secondary(row, &input.private_ip_addresses)?;
    let id = row.id.clone();
    take(change, &id, &addresses);
    Ok(wire::UnassignPrivateIpAddressesOutput {})
}
