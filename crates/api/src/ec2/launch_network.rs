//! Where a launch says that its instances go: interfaces and placement.

use super::launch_data::text;
use super::{errors, recast};
use elastane_domain::id::{SubnetId, Zone};
use elastane_engine::row::{InterfaceChoice, PlacementChoice};
use elastane_wire::{ApiError, ec2 as wire};
use std::net::Ipv4Addr;

/// Interfaces and what is said of the network beside them exclude each other.
pub(super) fn mixed() -> ApiError {
    errors::invalid_combination(
        "Network interfaces and an instance-level subnet ID, private IP address or security groups may not be \
         specified on the same request",
    )
}

/// An IPv4 address of its text.
pub(super) fn address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| errors::invalid_value(format!("Invalid IPv4 address: '{text}'")))
}

type Specification = wire::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest;

/// NetworkInterfaces.
pub(super) fn interfaces(specifications: &[Specification]) -> Result<Vec<InterfaceChoice>, ApiError> {
    if specifications.len() > 1 && specifications.iter().any(|one| one.device_index.is_none()) {
        return Err(errors::invalid_value("Each network interface requires a device index."));
    }
    specifications.iter().map(interface).collect()
}

fn interface(specification: &Specification) -> Result<InterfaceChoice, ApiError> {
    const NAMES: &[&str] = &[
        "AssociatePublicIpAddress",
        "DeleteOnTermination",
        "Description",
        "DeviceIndex",
        "Groups",
        "NetworkInterfaceId",
        "PrivateIpAddress",
        "PrivateIpAddresses",
        "SecondaryPrivateIpAddressCount",
        "SubnetId",
    ];
    let shape = &wire::LAUNCH_TEMPLATE_INSTANCE_NETWORK_INTERFACE_SPECIFICATION_REQUEST;
    recast::only(shape, specification, NAMES)?;
    let number = |number: Option<i32>, member: &str| {
        u16::try_from(number.unwrap_or(0))
            .map_err(|_| errors::invalid_value(format!("Invalid value for {member}: {}", number.unwrap_or(0))))
    };
    let (primary, secondary) = addresses(specification)?;
    let secondary_count = number(specification.secondary_private_ip_address_count, "SecondaryPrivateIpAddressCount")?;
    if secondary_count > 0 && !secondary.is_empty() {
        return Err(errors::invalid_combination("Secondary private IP addresses may be named or counted, not both."));
    }
    Ok(InterfaceChoice {
        device: number(specification.device_index, "DeviceIndex")?,
        existing: text(&specification.network_interface_id),
        subnet: text(&specification.subnet_id).map(SubnetId::from),
        groups: specification.groups.iter().map(|id| id.as_str().into()).collect(),
        description: specification.description.clone().unwrap_or_default(),
        primary,
        secondary,
        secondary_count,
        public: specification.associate_public_ip_address,
        delete_on_termination: specification.delete_on_termination,
    })
}

/// The primary address, if one is named, and secondary ones.
fn addresses(specification: &Specification) -> Result<(Option<Ipv4Addr>, Vec<Ipv4Addr>), ApiError> {
    let mut primary = text(&specification.private_ip_address).map(|text| address(&text)).transpose()?;
    let mut secondary = Vec::new();
    for one in &specification.private_ip_addresses {
        let named =
            text(&one.private_ip_address).ok_or_else(|| errors::missing("PrivateIpAddresses.PrivateIpAddress"))?;
        let named = address(&named)?;
        match (one.primary.unwrap_or(false), primary) {
            (false, _) => secondary.push(named),
            (true, Some(other)) if other != named => {
                return Err(errors::invalid_combination("An interface has one primary private IP address."));
            }
            (true, _) => primary = Some(named),
        }
    }
    Ok((primary, secondary))
}

/// Placement; the tenancy is always `default`.
pub(super) fn placement(placement: Option<&wire::LaunchTemplatePlacementRequest>) -> Result<PlacementChoice, ApiError> {
    const NAMES: &[&str] = &["AvailabilityZone", "AvailabilityZoneId", "GroupId", "GroupName", "PartitionNumber"];
    let Some(placement) = placement else { return Ok(PlacementChoice::default()) };
    recast::only(&wire::LAUNCH_TEMPLATE_PLACEMENT_REQUEST, placement, NAMES)?;
    let (group, group_id) = (text(&placement.group_name), text(&placement.group_id));
    if group.is_some() && group_id.is_some() {
        return Err(errors::invalid_combination("Name a placement group by its name or by its ID, not by both."));
    }
    Ok(PlacementChoice {
        zone: text(&placement.availability_zone).map(Zone::from),
        zone_id: text(&placement.availability_zone_id),
        group,
        group_id,
        partition: placement.partition_number.filter(|number| *number != 0),
    })
}
