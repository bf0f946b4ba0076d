//! NAT gateways: made with an interface of their own in a subnet, shown and
//! put on their way out. That they carry traffic, and that nothing of them is
//! left, is the reconciler's to say; their further addresses are in
//! [`super::nat_gateway_addresses`].

use super::addresses::{ALLOCATION_ID, already_associated, check_gateway, lead};
use super::filter::Filters;
use super::interface_addresses::{self as addresses, Wanted};
use super::listing::{IdKind, chosen};
use super::nat_gateway_addresses::shown as addresses_shown;
use super::network::{SUBNET_ID, by_id, given, named, tags_of};
use super::network_interfaces::client_token;
use super::paging::{USUAL, cut};
use super::{errors, recast, tag_rules};
use crate::{Call, Change};
use elastane_engine::row::*;
use elastane_engine::{View, network};
use elastane_wire::{ApiError, Timestamp, ec2 as wire};

/// Ids of NAT gateways.
pub(super) const NAT_GATEWAY_ID: IdKind = IdKind {
    prefix: "nat-",
    malformed: "NatGatewayMalformed",
    not_found: "NatGatewayNotFound",
    noun: "The Nat Gateway",
};

/// Addresses of one NAT gateway, its primary one included (Amazon VPC User
/// Guide, "NAT gateway basics": up to eight).
pub(super) const ADDRESSES_MAX: usize = 8;

/// NAT gateways of one account and region that are not deleted: a bound on
/// the host's work for one account.
const GATEWAYS_MAX: usize = 100;

const FILTERS: [&str; 6] = ["connectivity-type", "nat-gateway-id", "state", "subnet-id", "vpc-id", "create-time"];

/// What a call says a gateway should be, checked.
struct Request {
    subnet: Subnet,
    /// Elastic IPs, the primary one first; none for a private gateway.
    allocations: Vec<String>,
    public: bool,
    wanted: Wanted,
    tags: Tags,
    token: Option<String>,
}

/// CreateNatGateway: pending at first, with its interface and its Elastic IPs
/// led to it from the start. What AWS would show as a failed gateway is
/// refused at once, with the failure's code.
///
/// # Errors
/// `InvalidSubnetID.*`, `InvalidAllocationID.*`, `Gateway.NotAttached`,
/// `Resource.AlreadyAssociated`, those of [`addresses::pick`],
/// `MissingParameter` for a public gateway without an Elastic IP,
/// `InvalidParameterCombination` for a private one with one,
/// `NatGatewayLimitExceeded`, `IdempotentParameterMismatch`, those of tags;
/// `UnsupportedOperation` for regional gateways.
pub fn create_nat_gateway(
    change: &mut Change<'_, '_>,
    input: &wire::CreateNatGatewayRequest,
) -> Result<wire::CreateNatGatewayResult, ApiError> {
    let request = request(&change.view(), input)?;
    let view = change.view();
    if let Some(token) = &request.token
        && let Some(row) = view.all::<NatGateway>().find(|row| row.client_token.as_ref() == Some(token))
    {
        let same = row.subnet == request.subnet.id
            && row.public == request.public
            && row.allocations.first() == request.allocations.first();
        if !same {
            return Err(errors::token_mismatch());
        }
        errors::dry_run(input.dry_run)?;
        let nat_gateway = Some(shown(&view, row));
        return Ok(wire::CreateNatGatewayResult { client_token: request.token, nat_gateway });
    }
    check(&view, &request)?;
    let private = addresses::pick(&view, &request.subnet, &request.wanted, ADDRESSES_MAX)?;
    errors::dry_run(input.dry_run)?;
    let id = change.rng.id("nat-");
    let owner = InterfaceOwner::NatGateway(id.clone());
    let mut interface = network::new_interface(change, &request.subnet, owner, private.clone());
    interface.description = format!("Interface for NAT Gateway {id}");
    interface.source_dest_check = false;
    let row = NatGateway {
        id,
        vpc: request.subnet.vpc,
        subnet: request.subnet.id,
        public: request.public,
        interface: interface.id.clone(),
        allocations: request.allocations,
        created_at: change.now,
        phase: NatGatewayPhase::Pending,
        client_token: request.token.clone(),
        tags: request.tags,
    };
    for (allocation, address) in row.allocations.iter().zip(private) {
        lead(change, allocation, interface.id.clone(), address);
    }
    change.put(interface);
    change.put(row.clone());
    let nat_gateway = Some(shown(&change.view(), &row));
    Ok(wire::CreateNatGatewayResult { client_token: request.token, nat_gateway })
}

fn request(view: &View<'_>, input: &wire::CreateNatGatewayRequest) -> Result<Request, ApiError> {
    const NAMES: &[&str] = &[
        "AllocationId",
        "AvailabilityMode",
        "ClientToken",
        "ConnectivityType",
        "DryRun",
        "PrivateIpAddress",
        "SecondaryAllocationIds",
        "SecondaryPrivateIpAddressCount",
        "SecondaryPrivateIpAddresses",
        "SubnetId",
        "TagSpecifications",
    ];
    if let Some(mode) = given(&input.availability_mode).filter(|mode| *mode != "zonal") {
        return Err(errors::unsupported(&format!("The availability mode '{mode}'")));
    }
    recast::only(&wire::CREATE_NAT_GATEWAY_REQUEST, input, NAMES)?;
    let subnet = named::<Subnet>(view, (&input.subnet_id, "SubnetId"), &SUBNET_ID)?.as_ref().clone();
    let public = match given(&input.connectivity_type).unwrap_or("public") {
        "public" => true,
        "private" => false,
        other => {
            return Err(errors::invalid_value(format!("Value ({other}) for parameter connectivityType is invalid.")));
        }
    };
    let count = addresses::count(input.secondary_private_ip_address_count, "secondaryPrivateIpAddressCount")?;
    let primary = given(&input.private_ip_address).map(addresses::parse).transpose()?;
    let named = input.secondary_private_ip_addresses.iter().map(|text| addresses::parse(text));
    let further = named.collect::<Result<Vec<_>, _>>()?;
    let allocations: Vec<String> = given(&input.allocation_id)
        .into_iter()
        .chain(input.secondary_allocation_ids.iter().map(String::as_str))
        .map(str::to_string)
        .collect();
    let mut wanted = Wanted { primary, further, count };
    if public {
        if given(&input.allocation_id).is_none() {
            return Err(errors::missing("AllocationId"));
        }
        if count > 0 {
            let message = "SecondaryPrivateIpAddressCount is only valid for private NAT gateways.";
            return Err(errors::invalid_combination(message));
        }
        let secondary = input.secondary_allocation_ids.len();
        wanted.count = secondary.checked_sub(wanted.further.len()).ok_or_else(|| {
            errors::invalid_combination("Each secondary private address needs a secondary allocation id.")
        })?;
    } else if !allocations.is_empty() {
        return Err(errors::invalid_combination("Private NAT gateways have no Elastic IP addresses."));
    }
    let tags = tags_of(&input.tag_specifications, "natgateway")?;
    Ok(Request { subnet, allocations, public, wanted, tags, token: client_token(&input.client_token)? })
}

fn check(view: &View<'_>, request: &Request) -> Result<(), ApiError> {
    let live = view.all::<NatGateway>().filter(|row| !matches!(row.phase, NatGatewayPhase::Deleted { .. }));
    if live.count() >= GATEWAYS_MAX {
        let message = "Performing this operation would exceed the limit of NAT gateways.";
        return Err(ApiError::new("NatGatewayLimitExceeded", message));
    }
    if request.public {
        check_gateway(view, &request.subnet.vpc)?;
    }
    check_allocations(view, &request.allocations)
}

/// Whether Elastic IPs are there, each once, and lead nowhere yet.
///
/// # Errors
/// `InvalidAllocationID.*`, `Resource.AlreadyAssociated`,
/// `InvalidParameterValue` for one that is named twice.
pub(super) fn check_allocations(view: &View<'_>, ids: &[String]) -> Result<(), ApiError> {
    for (place, id) in ids.iter().enumerate() {
        let row = by_id::<Address>(view, id, &ALLOCATION_ID)?;
        if ids[..place].contains(id) {
            return Err(errors::invalid_value(format!("The allocation ID '{id}' is specified more than once.")));
        }
        if let Some(association) = &row.association {
            return Err(already_associated(id, association));
        }
    }
    Ok(())
}

/// DeleteNatGateway: its state is `deleting` until its interface is gone and
/// its Elastic IPs are free. Errors: `NatGatewayMalformed`,
/// `NatGatewayNotFound`, also for one that is deleted.
pub fn delete_nat_gateway(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteNatGatewayRequest,
) -> Result<wire::DeleteNatGatewayResult, ApiError> {
    let view = change.view();
    let row = named::<NatGateway>(&view, (&input.nat_gateway_id, "NatGatewayId"), &NAT_GATEWAY_ID)?;
    if matches!(row.phase, NatGatewayPhase::Deleted { .. }) {
        return Err(NAT_GATEWAY_ID.unknown(&row.id));
    }
    errors::dry_run(input.dry_run)?;
    let id = row.id.clone();
    change.update(&id, |row: &mut NatGateway| row.phase = NatGatewayPhase::Deleting);
    Ok(wire::DeleteNatGatewayResult { nat_gateway_id: Some(id) })
}

/// DescribeNatGateways; deleted ones are there for an hour. Errors:
/// `NatGatewayMalformed`, `NatGatewayNotFound`, those of filters and pages.
pub fn describe_nat_gateways(
    call: &Call<'_>,
    input: &wire::DescribeNatGatewaysRequest,
) -> Result<wire::DescribeNatGatewaysResult, ApiError> {
    let filters = Filters::new(&input.filter, &FILTERS)?;
    let rows = chosen::<NatGateway>(call, &input.nat_gateway_ids, &NAT_GATEWAY_ID)?;
    errors::dry_run(input.dry_run)?;
    let rows = rows.into_iter().filter(|row| filters.accept(&row.tags, |name, emit| values(row, name, emit))).collect();
    let limits = (USUAL, !input.nat_gateway_ids.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows, input.max_results, token, limits, |row| row.id.clone())?;
    let nat_gateways = rows.into_iter().map(|row| shown(&call.view, row)).collect();
    Ok(wire::DescribeNatGatewaysResult { nat_gateways, next_token })
}

fn state(phase: NatGatewayPhase) -> &'static str {
    match phase {
        NatGatewayPhase::Pending => "pending",
        NatGatewayPhase::Available => "available",
        NatGatewayPhase::Deleting => "deleting",
        NatGatewayPhase::Deleted { .. } => "deleted",
    }
}

fn connectivity(row: &NatGateway) -> &'static str {
    if row.public { "public" } else { "private" }
}

fn values(row: &NatGateway, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "connectivity-type" => emit(connectivity(row)),
        "create-time" => emit(&row.created_at.iso_millis()),
        "nat-gateway-id" => emit(&row.id),
        "state" => emit(state(row.phase)),
        "subnet-id" => emit(row.subnet.as_str()),
        "vpc-id" => emit(row.vpc.as_str()),
        _ => {}
    }
}

fn shown(view: &View<'_>, row: &NatGateway) -> wire::NatGateway {
    let deleted = match row.phase {
        NatGatewayPhase::Deleted { at } => Some(Timestamp(at.millis())),
        NatGatewayPhase::Pending | NatGatewayPhase::Available | NatGatewayPhase::Deleting => None,
    };
    wire::NatGateway {
        availability_mode: Some("zonal".to_string()),
        connectivity_type: Some(connectivity(row).to_string()),
        create_time: Some(Timestamp(row.created_at.millis())),
        delete_time: deleted,
        nat_gateway_addresses: addresses_shown(view, row),
        nat_gateway_id: Some(row.id.clone()),
        state: Some(state(row.phase).to_string()),
        subnet_id: Some(row.subnet.to_string()),
        tags: tag_rules::shown(&row.tags),
        vpc_id: Some(row.vpc.to_string()),
        ..Default::default()
    }
}
