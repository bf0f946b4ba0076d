//! Elastic IP addresses: allocated from the installation's public range, and
//! led to a private address of an interface.

use super::filter::Filters;
use super::instances::one;
use super::interface_addresses::parse;
use super::listing::IdKind;
use super::network::{by_id, given, tags_of};
use super::network_interfaces::{INTERFACE_ID, refuse_managed};
use super::{errors, recast, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::VpcId;
use elastane_engine::View;
use elastane_engine::network::{self, AddressPlan};
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Ids of Elastic IP addresses.
pub(super) const ALLOCATION_ID: IdKind = IdKind {
    prefix: "eipalloc-",
    malformed: "InvalidAllocationID.Malformed",
    not_found: "InvalidAllocationID.NotFound",
    noun: "The allocation ID",
};

/// Addresses of one account and region. AWS begins with 5 and raises that on
/// request; here it keeps one account from taking the whole range.
pub(super) const ADDRESSES_MAX: usize = 256;

/// MaxResults (EC2 API Reference, "DescribeAddressesAttribute").
const ATTRIBUTES_PAGE: RangeInclusive<i32> = 1..=1000;

/// The pool that all addresses come from, as EC2 calls it.
const POOL: &str = "amazon";

const FILTERS: [&str; 11] = [
    "allocation-id",
    "association-id",
    "domain",
    "instance-id",
    "instance-owner-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
    "public-ipv4-pool",
];

/// An Elastic IP that leads somewhere already: `Resource.AlreadyAssociated`.
pub(super) fn already_associated(id: &str, association: &AddressAssociation) -> ApiError {
    let message = format!("resource {id} is already associated with associate-id {}", association.id);
    ApiError::new("Resource.AlreadyAssociated", message)
}

/// Public addresses need an internet gateway on the VPC: `Gateway.NotAttached`.
pub(super) fn check_gateway(view: &View<'_>, vpc: &VpcId) -> Result<(), ApiError> {
    if view.all::<InternetGateway>().any(|gateway| gateway.vpc.as_ref() == Some(vpc)) {
        return Ok(());
    }
    let message = format!("Network {vpc} is not attached to any internet gateway");
    Err(ApiError::new("Gateway.NotAttached", message))
}

/// AllocateAddress.
///
/// # Errors
/// `AddressLimitExceeded`, `InsufficientAddressCapacity` when the range is
/// used up, those of tags; `UnsupportedOperation` where instances share the
/// host's network and for addresses of other pools.
pub fn allocate_address(
    change: &mut Change<'_, '_>,
    input: &wire::AllocateAddressRequest,
) -> Result<wire::AllocateAddressResult, ApiError> {
    const NAMES: &[&str] = &["Domain", "DryRun", "NetworkBorderGroup", "PublicIpv4Pool", "TagSpecifications"];
    recast::only(&wire::ALLOCATE_ADDRESS_REQUEST, input, NAMES)?;
    if let Some(domain) = given(&input.domain).filter(|domain| *domain != "vpc") {
        return Err(errors::unsupported(&format!("The domain '{domain}'")));
    }
    if let Some(pool) = given(&input.public_ipv4_pool).filter(|pool| *pool != POOL) {
        return Err(errors::unsupported(&format!("The pool '{pool}'")));
    }
    check_border_group(&change.view(), &input.network_border_group)?;
    let tags = tags_of(&input.tag_specifications, "elastic-ip")?;
    if change.addresses.len() >= ADDRESSES_MAX {
        let message = "The maximum number of addresses has been reached.";
        return Err(ApiError::new("AddressLimitExceeded", message));
    }
    if change.config.addresses == AddressPlan::Loopback {
        return Err(errors::unsupported("An Elastic IP address for instances that share the host's network"));
    }
    let public_ip = network::public_address(change).ok_or_else(|| {
        let message = "Insufficient capacity to satisfy your Elastic IP address request.";
        ApiError::new("InsufficientAddressCapacity", message)
    })?;
    errors::dry_run(input.dry_run)?;
    let id = change.rng.id("eipalloc-");
    let answer = wire::AllocateAddressResult {
        allocation_id: Some(id.clone()),
        domain: Some("vpc".to_string()),
        network_border_group: Some(change.scope().region.to_string()),
        public_ip: Some(public_ip.to_string()),
        public_ipv4_pool: Some(POOL.to_string()),
        ..Default::default()
    };
    change.put(Address { id, public_ip, association: None, tags });
    Ok(answer)
}

fn check_border_group(view: &View<'_>, group: &Option<String>) -> Result<(), ApiError> {
    match given(group) {
        Some(group) if group != view.scope.region.as_str() => {
            Err(errors::invalid_value(format!("Invalid value '{group}' for networkBorderGroup.")))
        }
        Some(_) | None => Ok(()),
    }
}

/// The address of an allocation id or of the public address itself.
///
/// # Errors
/// `InvalidAllocationID.*`, `InvalidAddress.NotFound`, `MissingParameter` for
/// neither, `InvalidParameterCombination` for both.
fn find<'a>(view: &View<'a>, id: &Option<String>, public_ip: &Option<String>) -> Result<&'a Arc<Address>, ApiError> {
    match (given(id), given(public_ip)) {
        (Some(id), None) => by_id(view, id, &ALLOCATION_ID),
        (None, Some(text)) => {
            let address = parse(text)?;
            view.all::<Address>().find(|row| row.public_ip == address).ok_or_else(|| address_not_found(text))
        }
        (None, None) => Err(errors::missing("AllocationId")),
        (Some(_), Some(_)) => {
            Err(errors::invalid_combination("You may specify public IP or allocation id, but not both."))
        }
    }
}

fn address_not_found(text: &str) -> ApiError {
    ApiError::new("InvalidAddress.NotFound", format!("Address '{text}' not found."))
}

/// AssociateAddress: with an instance that has one interface, or with an
/// interface. An address that leads elsewhere is led here instead, and an
/// address that led here is not any more, unless AllowReassociation is false.
///
/// # Errors
/// Those of ids; `Resource.AlreadyAssociated`, `Gateway.NotAttached`,
/// `InvalidInstanceID` for an instance that is pending or has several
/// interfaces, `IncorrectInstanceState` for one that is going,
/// `InvalidParameterValue` for an address that the interface does not have,
/// `AuthFailure` for a service's own interface.
pub fn associate_address(
    change: &mut Change<'_, '_>,
    input: &wire::AssociateAddressRequest,
) -> Result<wire::AssociateAddressResult, ApiError> {
    let view = change.view();
    let address = find(&view, &input.allocation_id, &input.public_ip)?;
    let interface = target(&view, input)?;
    refuse_managed(interface)?;
    let private_ip = given(&input.private_ip_address).map(parse).transpose()?.unwrap_or(interface.primary());
    if !interface.addresses.contains(&private_ip) {
        let message = format!("The private IP address {private_ip} is not assigned to interface {}", interface.id);
        return Err(errors::invalid_value(message));
    }
    check_gateway(&view, &interface.vpc)?;
    let here = |to: &AddressAssociation| to.interface == interface.id && to.private_ip == private_ip;
    if let Some(association) = address.association.as_ref().filter(|to| here(to)) {
        errors::dry_run(input.dry_run)?;
        return Ok(wire::AssociateAddressResult { association_id: Some(association.id.clone()) });
    }
    let earlier = network::elastic_ip(&view, interface, private_ip);
    if input.allow_reassociation == Some(false) {
        let taken = [Some(address.as_ref()), earlier].into_iter().flatten();
        let taken = taken.filter_map(|row| Some((row, row.association.as_ref()?))).next();
        taken.map_or(Ok(()), |(row, association)| Err(already_associated(&row.id, association)))?;
    }
    refuse_taken_by_service(&view, address)?;
    errors::dry_run(input.dry_run)?;
    let (id, earlier) = (address.id.clone(), earlier.map(|row| row.id.clone()));
    let interface = interface.id.clone();
    if let Some(earlier) = earlier {
        change.update(&earlier, |row: &mut Address| row.association = None);
    }
    Ok(wire::AssociateAddressResult { association_id: Some(lead(change, &id, interface, private_ip)) })
}

/// Leads an Elastic IP to a private address; the association's id.
pub(super) fn lead(change: &mut Change<'_, '_>, id: &str, interface: String, private_ip: Ipv4Addr) -> String {
    let association = change.rng.id("eipassoc-");
    let to = AddressAssociation { id: association.clone(), interface, private_ip };
    change.update(id, |row: &mut Address| row.association = Some(to));
    association
}

/// The interface that a call names, itself or by its instance.
fn target<'a>(view: &View<'a>, input: &wire::AssociateAddressRequest) -> Result<&'a NetworkInterface, ApiError> {
    match (given(&input.network_interface_id), given(&input.instance_id)) {
        (Some(id), instance) => {
            let row = by_id::<NetworkInterface>(view, id, &INTERFACE_ID)?;
            let attached = row.attachment.as_ref().map(|attachment| attachment.instance.as_str());
            if instance.is_some() && instance != attached {
                let message =
                    "You may specify an instance id or an interface id that is attached to it, but not another.";
                return Err(errors::invalid_combination(message));
            }
            Ok(row)
        }
        (None, Some(_)) => {
            let instance = one(view, input.instance_id.as_ref())?;
            let id = &instance.id;
            match instance.phase {
                Phase::Running | Phase::Stopping | Phase::Stopped => {}
                Phase::Pending => {
                    let message = format!("The pending instance '{id}' is not in a valid state for this operation.");
                    return Err(ApiError::new("InvalidInstanceID", message));
                }
                Phase::ShuttingDown | Phase::Terminated { .. } => {
                    return Err(errors::incorrect_state(id.as_str(), "associated with an address"));
                }
            }
            match network::interfaces_of(view, id).as_slice() {
                [row] => Ok(row),
                _ => {
                    let message = format!(
                        "There are multiple interfaces attached to instance '{id}'. \
                         Please specify an interface ID for the operation instead."
                    );
                    Err(ApiError::new("InvalidInstanceID", message))
                }
            }
        }
        (None, None) => Err(errors::missing("InstanceId or NetworkInterfaceId")),
    }
}

/// An address that a NAT gateway has is that service's to give up.
fn refuse_taken_by_service(view: &View<'_>, address: &Address) -> Result<(), ApiError> {
    let interface = address.association.as_ref().and_then(|to| view.get::<NetworkInterface>(&to.interface));
    interface.map_or(Ok(()), |row| refuse_managed(row))
}

/// DisassociateAddress. Errors: `InvalidAssociationID.NotFound`,
/// `InvalidAddress.NotFound`, `AuthFailure` for a NAT gateway's.
pub fn disassociate_address(
    change: &mut Change<'_, '_>,
    input: &wire::DisassociateAddressRequest,
) -> Result<wire::DisassociateAddressOutput, ApiError> {
    let view = change.view();
    let unknown =
        |id: &str| ApiError::new("InvalidAssociationID.NotFound", format!("The association ID '{id}' does not exist"));
    let row = match (given(&input.association_id), given(&input.public_ip)) {
        (Some(id), _) => {
            let leads = |row: &&Arc<Address>| row.association.as_ref().is_some_and(|to| to.id == id);
            view.all::<Address>().find(leads).ok_or_else(|| unknown(id))?
        }
        (None, Some(text)) => {
            let row = find(&view, &None, &input.public_ip)?;
            if row.association.is_none() {
                return Err(unknown(text));
            }
            row
        }
        (None, None) => return Err(errors::missing("AssociationId")),
    };
    refuse_taken_by_service(&view, row)?;
    errors::dry_run(input.dry_run)?;
    let id = row.id.clone();
    change.update(&id, |row: &mut Address| row.association = None);
    Ok(wire::DisassociateAddressOutput {})
}

/// ReleaseAddress. Errors: `InvalidAllocationID.*`, `InvalidAddress.NotFound`,
/// `InvalidIPAddress.InUse` for one that leads somewhere.
pub fn release_address(
    change: &mut Change<'_, '_>,
    input: &wire::ReleaseAddressRequest,
) -> Result<wire::ReleaseAddressOutput, ApiError> {
    let view = change.view();
    let row = find(&view, &input.allocation_id, &input.public_ip)?;
    check_border_group(&view, &input.network_border_group)?;
    if row.association.is_some() {
        return Err(ApiError::new("InvalidIPAddress.InUse", format!("Address {} is in use.", row.public_ip)));
    }
    errors::dry_run(input.dry_run)?;
    let id = row.id.clone();
    change.delete::<Address>(&id);
    Ok(wire::ReleaseAddressOutput {})
}

/// DescribeAddresses. Errors: `InvalidAllocationID.*`,
/// `InvalidAddress.NotFound`, those of filters.
pub fn describe_addresses(
    call: &Call<'_>,
    input: &wire::DescribeAddressesRequest,
) -> Result<wire::DescribeAddressesResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let view = &call.view;
    for id in &input.allocation_ids {
        by_id::<Address>(view, id, &ALLOCATION_ID)?;
    }
    let known = |text: &String| view.all::<Address>().any(|row| row.public_ip.to_string() == *text);
    if let Some(text) = input.public_ips.iter().find(|text| !known(text)) {
        return Err(address_not_found(text));
    }
    errors::dry_run(input.dry_run)?;
    let all = input.allocation_ids.is_empty() && input.public_ips.is_empty();
    let named = |row: &Address| {
        all || input.allocation_ids.contains(&row.id) || input.public_ips.contains(&row.public_ip.to_string())
    };
    let rows = view.all::<Address>().filter(|row| named(row)).map(|row| (row, shown(view, row)));
    let accepted = rows.filter(|(row, shown)| filters.accept(&row.tags, |name, emit| values(shown, name, emit)));
    let addresses = accepted.map(|(_, shown)| shown);
    Ok(wire::DescribeAddressesResult { addresses: addresses.collect() })
}

fn shown(view: &View<'_>, row: &Address) -> wire::Address {
    let to = row.association.as_ref();
    let interface = to.and_then(|to| view.get::<NetworkInterface>(&to.interface));
    let instance =
        interface.and_then(|interface| interface.attachment.as_ref()).map(|there| there.instance.to_string());
    let managed = interface.is_some_and(|interface| interface.owner != InterfaceOwner::User);
    wire::Address {
        allocation_id: Some(row.id.clone()),
        association_id: to.map(|to| to.id.clone()),
        domain: Some("vpc".to_string()),
        instance_id: instance,
        network_border_group: Some(view.scope.region.to_string()),
        network_interface_id: to.map(|to| to.interface.clone()),
        network_interface_owner_id: to.map(|_| view.scope.account.to_string()),
        private_ip_address: to.map(|to| to.private_ip.to_string()),
        public_ip: Some(row.public_ip.to_string()),
        public_ipv4_pool: Some(POOL.to_string()),
        service_managed: managed.then(|| "nat-gateway".to_string()),
        subnet_id: interface.map(|interface| interface.subnet.to_string()),
        tags: tag_rules::shown(&row.tags),
        ..Default::default()
    }
}

fn values(shown: &wire::Address, name: &str, emit: &mut dyn FnMut(&str)) {
    let value = match name {
        "allocation-id" => &shown.allocation_id,
        "association-id" => &shown.association_id,
        "domain" => &shown.domain,
        "instance-id" => &shown.instance_id,
        "network-border-group" => &shown.network_border_group,
        "network-interface-id" => &shown.network_interface_id,
        "instance-owner-id" | "network-interface-owner-id" => &shown.network_interface_owner_id,
        "private-ip-address" => &shown.private_ip_address,
        "public-ip" => &shown.public_ip,
        "public-ipv4-pool" => &shown.public_ipv4_pool,
        _ => &None,
    };
    value.iter().for_each(|value| emit(value));
}

/// DescribeAddressesAttribute: no address has a reverse DNS name, so there is
/// nothing to show (terraform-calls.md 2, "aws_eip"). Errors:
/// `InvalidAllocationID.*`, `InvalidParameterValue`.
pub fn describe_addresses_attribute(
    call: &Call<'_>,
    input: &wire::DescribeAddressesAttributeRequest,
) -> Result<wire::DescribeAddressesAttributeResult, ApiError> {
    if let Some(attribute) = given(&input.attribute).filter(|attribute| *attribute != "domain-name") {
        return Err(errors::invalid_value(format!("Value ({attribute}) for parameter attribute is invalid.")));
    }
    for id in &input.allocation_ids {
        by_id::<Address>(&call.view, id, &ALLOCATION_ID)?;
    }
    errors::dry_run(input.dry_run)?;
    let limits = (ATTRIBUTES_PAGE, !input.allocation_ids.is_empty());
    let token = input.next_token.as_deref();
    let (addresses, next_token) =
        super::paging::cut(Vec::new(), input.max_results, token, limits, |row: &wire::AddressAttribute| {
            row.allocation_id.clone().unwrap_or_default()
        })?;
    Ok(wire::DescribeAddressesAttributeResult { addresses, next_token })
}
