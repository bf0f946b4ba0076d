//! Internet gateways: a VPC's way out. A VPC has at most one.

use super::filter::Filters;
use super::listing::{IdKind, chosen};
use super::network::{VPC_ID, dependency, named, tags_of};
use super::paging::{USUAL, cut};
use super::{errors, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::VpcId;
use elastane_engine::row::{InternetGateway, NetworkInterface, Tags, Vpc};
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};

/// Ids of internet gateways.
pub(super) const GATEWAY_ID: IdKind = IdKind {
    prefix: "igw-",
    malformed: "InvalidInternetGatewayId.Malformed",
    not_found: "InvalidInternetGatewayID.NotFound",
    noun: "The internetGateway ID",
};

/// Gateways of one account and region: as many as VPCs (Amazon VPC quotas).
const GATEWAYS_MAX: usize = 100;

const FILTERS: [&str; 4] = ["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

/// CreateInternetGateway, attached to nothing.
///
/// # Errors
/// `InternetGatewayLimitExceeded`, those of tags.
pub fn create_internet_gateway(
    change: &mut Change<'_, '_>,
    input: &wire::CreateInternetGatewayRequest,
) -> Result<wire::CreateInternetGatewayResult, ApiError> {
    let tags: Tags = tags_of(&input.tag_specifications, "internet-gateway")?;
    if change.internet_gateways.len() >= GATEWAYS_MAX {
        let message = "The maximum number of internet gateways has been reached.";
        return Err(ApiError::new("InternetGatewayLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let row = InternetGateway { id: change.rng.id(GATEWAY_ID.prefix), vpc: None, tags };
    let internet_gateway = Some(show(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateInternetGatewayResult { internet_gateway })
}

/// AttachInternetGateway.
///
/// # Errors
/// Those of both ids, `Resource.AlreadyAssociated` for a gateway that is
/// attached, `InvalidParameterValue` for a VPC that has another.
pub fn attach_internet_gateway(
    change: &mut Change<'_, '_>,
    input: &wire::AttachInternetGatewayRequest,
) -> Result<wire::AttachInternetGatewayOutput, ApiError> {
    let (gateway, vpc) = pair(&change.view(), &input.internet_gateway_id, &input.vpc_id)?;
    if let Some(other) = &gateway.vpc {
        let message = format!("resource {} is already attached to network {other}", gateway.id);
        return Err(ApiError::new("Resource.AlreadyAssociated", message));
    }
    if change.all::<InternetGateway>().any(|row| row.vpc.as_ref() == Some(&vpc)) {
        return Err(errors::invalid_value(format!("Network {vpc} already has an internet gateway attached")));
    }
    errors::dry_run(input.dry_run)?;
    change.put(InternetGateway { vpc: Some(vpc), ..gateway });
    Ok(wire::AttachInternetGatewayOutput {})
}

/// DetachInternetGateway, once no public address leads into the VPC. Routes
/// to it become black holes.
///
/// # Errors
/// Those of both ids, `Gateway.NotAttached`, `DependencyViolation`.
pub fn detach_internet_gateway(
    change: &mut Change<'_, '_>,
    input: &wire::DetachInternetGatewayRequest,
) -> Result<wire::DetachInternetGatewayOutput, ApiError> {
    let (gateway, vpc) = pair(&change.view(), &input.internet_gateway_id, &input.vpc_id)?;
    if gateway.vpc.as_ref() != Some(&vpc) {
        let message = format!("resource {} is not attached to network {vpc}", gateway.id);
        return Err(ApiError::new("Gateway.NotAttached", message));
    }
    if has_public_addresses(&change.view(), &vpc) {
        let message = format!(
            "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before \
             detaching the gateway."
        );
        return Err(ApiError::new("DependencyViolation", message));
    }
    errors::dry_run(input.dry_run)?;
    change.put(InternetGateway { vpc: None, ..gateway });
    Ok(wire::DetachInternetGatewayOutput {})
}

fn pair(view: &View<'_>, gateway: &Option<String>, vpc: &Option<String>) -> Result<(InternetGateway, VpcId), ApiError> {
    let gateway = named::<InternetGateway>(view, (gateway, "internetGatewayId"), &GATEWAY_ID)?;
    let vpc = named::<Vpc>(view, (vpc, "vpcId"), &VPC_ID)?;
    Ok((gateway.as_ref().clone(), vpc.id.clone()))
}

fn has_public_addresses(view: &View<'_>, vpc: &VpcId) -> bool {
    let interfaces = view.all::<NetworkInterface>().filter(|row| row.vpc == *vpc);
    interfaces
        .flat_map(|row| row.addresses.iter().map(move |address| (row, *address)))
        .any(|(row, address)| network::public_ip(view, row, address).is_some())
}

/// DeleteInternetGateway, once it is detached.
///
/// # Errors
/// `InvalidInternetGatewayID.NotFound`, `InvalidInternetGatewayId.Malformed`,
/// `DependencyViolation`.
pub fn delete_internet_gateway(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteInternetGatewayRequest,
) -> Result<wire::DeleteInternetGatewayOutput, ApiError> {
    let view = change.view();
    let gateway = named::<InternetGateway>(&view, (&input.internet_gateway_id, "internetGatewayId"), &GATEWAY_ID)?;
    if gateway.vpc.is_some() {
        return Err(dependency("internetGateway", &gateway.id));
    }
    let id = gateway.id.clone();
    errors::dry_run(input.dry_run)?;
    change.delete::<InternetGateway>(&id);
    Ok(wire::DeleteInternetGatewayOutput {})
}

/// DescribeInternetGateways. Errors: those of ids, filters and pages.
pub fn describe_internet_gateways(
    call: &Call<'_>,
    input: &wire::DescribeInternetGatewaysRequest,
) -> Result<wire::DescribeInternetGatewaysResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen::<InternetGateway>(call, &input.internet_gateway_ids, &GATEWAY_ID)?;
    errors::dry_run(input.dry_run)?;
    let account = call.scope.account.as_str();
    let accepted = |row: &InternetGateway| {
        filters.accept(&row.tags, |name, emit| match name {
            "attachment.state" => row.vpc.iter().for_each(|_| emit(ATTACHED)),
            "attachment.vpc-id" => row.vpc.iter().for_each(|vpc| emit(vpc.as_str())),
            "internet-gateway-id" => emit(&row.id),
            "owner-id" => emit(account),
            _ => {}
        })
    };
    let rows = rows.into_iter().filter(|row| accepted(row)).collect();
    let limits = (USUAL, !input.internet_gateway_ids.is_empty());
    let (rows, next_token) = cut(rows, input.max_results, input.next_token.as_deref(), limits, |row| row.id.clone())?;
    let internet_gateways = rows.into_iter().map(|row| show(&call.view, row)).collect();
    Ok(wire::DescribeInternetGatewaysResult { internet_gateways, next_token })
}

/// The state of an attachment; clients wait for this word and no other.
const ATTACHED: &str = "available";

fn show(view: &View<'_>, row: &InternetGateway) -> wire::InternetGateway {
    let attachment = |vpc: &VpcId| wire::InternetGatewayAttachment {
        state: Some(ATTACHED.to_string()),
        vpc_id: Some(vpc.to_string()),
    };
    wire::InternetGateway {
        attachments: row.vpc.iter().map(attachment).collect(),
        internet_gateway_id: Some(row.id.clone()),
        owner_id: Some(view.scope.account.to_string()),
        tags: tag_rules::shown(&row.tags),
    }
}
