//! VPCs: made, shown, widened and deleted. A VPC has from its first moment a
//! main route table, a default group and a default network ACL, which go with it.

use super::filter::Filters;
use super::listing::chosen;
use super::network::{VPC_ID, dependency, given, named, range, relative, required, tags_of, truth};
use super::paging::{USUAL, cut};
use super::{errors, recast, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::VpcId;
use elastane_domain::network::Cidr;
use elastane_engine::row::{
    CidrAssociation, InternetGateway, NetworkInterface, Route, RouteDestination, RouteTable, SecurityGroup, Subnet, Vpc,
};
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};
use std::ops::RangeInclusive;

/// VPCs of one account and region: as far as the quota of 5 can be raised
/// (Amazon VPC quotas).
const VPCS_MAX: usize = 100;

/// Ranges of one VPC, likewise.
const RANGES_MAX: usize = 5;

/// Prefix lengths of VPCs and subnets (EC2 API Reference, "CreateVpc").
pub(super) const PREFIXES: RangeInclusive<u8> = 16..=28;

const ASSOCIATION_PREFIX: &str = "vpc-cidr-assoc-";

const FILTERS: [&str; 17] = [
    "cidr",
    "cidr-block",
    "cidrBlock",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "cidr-block-association.state",
    "dhcp-options-id",
    "dhcpOptionsId",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.ipv6-pool",
    "ipv6-cidr-block-association.state",
    "is-default",
    "isDefault",
    "owner-id",
    "state",
    "vpc-id",
];

/// CreateVpc: with its main route table, default group and default ACL.
///
/// # Errors
/// `InvalidVpc.Range`, `InvalidParameterValue`, `VpcLimitExceeded`, those of
/// tags; `UnsupportedOperation` for IPv6, address pools and other tenancies.
pub fn create_vpc(
    change: &mut Change<'_, '_>,
    input: &wire::CreateVpcRequest,
) -> Result<wire::CreateVpcResult, ApiError> {
    recast::only(&wire::CREATE_VPC_REQUEST, input, &["CidrBlock", "DryRun", "InstanceTenancy", "TagSpecifications"])?;
    tenancy(&input.instance_tenancy)?;
    let cidr = range(required(&input.cidr_block, "cidrBlock")?, "cidrBlock")?;
    check_size(cidr)?;
    let tags = tags_of(&input.tag_specifications, "vpc")?;
    check_count(change)?;
    errors::dry_run(input.dry_run)?;
    let id = VpcId::from(change.rng.id(VpcId::PREFIX));
    let dhcp_options = elastane_engine::network::regional_dhcp_options(change);
    let vpc = Vpc {
        id: id.clone(),
        cidr,
        default: false,
        more_cidrs: Vec::new(),
        dhcp_options,
        dns_support: true,
        dns_hostnames: false,
        address_usage_metrics: false,
        tags,
    };
    let shown = wire::Vpc { state: Some("pending".to_string()), ..show(&change.view(), &vpc) };
    change.put(vpc);
    network::furnish(change, &id);
    Ok(wire::CreateVpcResult { vpc: Some(shown) })
}

/// CreateDefaultVpc: with a default subnet in each zone and a way out.
///
/// # Errors
/// `DefaultVpcAlreadyExists`, `VpcLimitExceeded`.
pub fn create_default_vpc(
    change: &mut Change<'_, '_>,
    input: &wire::CreateDefaultVpcRequest,
) -> Result<wire::CreateDefaultVpcResult, ApiError> {
    if network::default_vpc(&change.view()).is_some() {
        let message = "A Default VPC already exists for this account in this region.";
        return Err(ApiError::new("DefaultVpcAlreadyExists", message));
    }
    check_count(change)?;
    errors::dry_run(input.dry_run)?;
    network::create_default_vpc(change);
    let vpc = network::default_vpc(&change.view()).map(|vpc| show(&change.view(), vpc));
    Ok(wire::CreateDefaultVpcResult { vpc })
}

fn check_count(change: &Change<'_, '_>) -> Result<(), ApiError> {
    if change.vpcs.len() >= VPCS_MAX {
        return Err(ApiError::new("VpcLimitExceeded", "The maximum number of VPCs has been reached."));
    }
    Ok(())
}

/// All instances share the host: only `default` is so.
fn tenancy(value: &Option<String>) -> Result<(), ApiError> {
    match given(value) {
        None | Some("default") => Ok(()),
        Some("dedicated" | "host") => Err(errors::unsupported("Another instance tenancy than default")),
        Some(other) => Err(errors::invalid_value(format!("Value ({other}) for parameter instanceTenancy is invalid."))),
    }
}

fn check_size(cidr: Cidr) -> Result<(), ApiError> {
    if PREFIXES.contains(&cidr.prefix()) {
        return Ok(());
    }
    Err(ApiError::new("InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid.")))
}

/// DeleteVpc, once nothing is in it but what it began with.
///
/// # Errors
/// `InvalidVpcID.*`, `DependencyViolation`.
pub fn delete_vpc(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteVpcRequest,
) -> Result<wire::DeleteVpcOutput, ApiError> {
    let id = named::<Vpc>(&change.view(), (&input.vpc_id, "vpcId"), &VPC_ID)?.id.clone();
    if occupied(&change.view(), &id) {
        return Err(dependency("vpc", id.as_str()));
    }
    errors::dry_run(input.dry_run)?;
    let tables: Vec<String> =
        change.all::<RouteTable>().filter(|row| row.vpc == id).map(|row| row.id.clone()).collect();
    tables.iter().for_each(|table| change.delete::<RouteTable>(table));
    let groups = change.all::<SecurityGroup>().filter(|row| row.vpc == id).map(|row| row.id.to_string());
    let groups: Vec<String> = groups.collect();
    groups.iter().for_each(|group| change.delete::<SecurityGroup>(group));
    change.delete::<Vpc>(id.as_str());
    Ok(wire::DeleteVpcOutput {})
}

/// Whether something is in the VPC besides what every VPC has.
fn occupied(view: &View<'_>, id: &VpcId) -> bool {
    view.all::<Subnet>().any(|row| row.vpc == *id)
        || view.all::<InternetGateway>().any(|row| row.vpc.as_ref() == Some(id))
        || view.all::<SecurityGroup>().any(|row| row.vpc == *id && row.name != "default")
        || view.all::<RouteTable>().any(|row| row.vpc == *id && !row.main())
        || view.all::<NetworkInterface>().any(|row| row.vpc == *id)
}

/// ModifyVpcTenancy: to `default`, which every VPC's is.
///
/// # Errors
/// `InvalidVpcID.*`, `InvalidParameterValue` for another tenancy.
pub fn modify_vpc_tenancy(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyVpcTenancyRequest,
) -> Result<wire::ModifyVpcTenancyResult, ApiError> {
    named::<Vpc>(&change.view(), (&input.vpc_id, "vpcId"), &VPC_ID)?;
    let wanted = required(&input.instance_tenancy, "instanceTenancy")?;
    if wanted != "default" {
        return Err(errors::invalid_value(format!("Value ({wanted}) for parameter instanceTenancy is invalid.")));
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::ModifyVpcTenancyResult { return_value: Some(true) })
}

/// AssociateVpcCidrBlock: a further range.
///
/// # Errors
/// `InvalidVpcID.*`, `InvalidVpc.Range` for one of the wrong size or one that
/// overlaps the VPC's or covers a route's destination, `CidrLimitExceeded`,
/// `UnsupportedOperation` for IPv6 and address pools.
pub fn associate_vpc_cidr_block(
    change: &mut Change<'_, '_>,
    input: &wire::AssociateVpcCidrBlockRequest,
) -> Result<wire::AssociateVpcCidrBlockResult, ApiError> {
    recast::only(&wire::ASSOCIATE_VPC_CIDR_BLOCK_REQUEST, input, &["CidrBlock", "VpcId"])?;
    let vpc = named::<Vpc>(&change.view(), (&input.vpc_id, "vpcId"), &VPC_ID)?.clone();
    let cidr = range(required(&input.cidr_block, "cidrBlock")?, "cidrBlock")?;
    check_size(cidr)?;
    if vpc.cidrs().any(|other| other.overlaps(cidr)) || covers_a_route(&change.view(), &vpc.id, cidr) {
        let message = format!("The CIDR '{cidr}' conflicts with a range or a route of the VPC '{}'.", vpc.id);
        return Err(ApiError::new("InvalidVpc.Range", message));
    }
    if vpc.cidrs().count() >= RANGES_MAX {
        let message = format!("This network '{}' has met its maximum number of allowed CIDRs: {RANGES_MAX}", vpc.id);
        return Err(ApiError::new("CidrLimitExceeded", message));
    }
    let id = change.rng.id(ASSOCIATION_PREFIX);
    let shown = association(id.clone(), cidr, "associating");
    change.update(vpc.id.as_str(), |row: &mut Vpc| row.more_cidrs.push(CidrAssociation { id, cidr }));
    Ok(wire::AssociateVpcCidrBlockResult {
        cidr_block_association: Some(shown),
        ipv6_cidr_block_association: None,
        vpc_id: Some(vpc.id.to_string()),
    })
}

/// A range becomes local: no route may lead elsewhere with what is in it.
fn covers_a_route(view: &View<'_>, vpc: &VpcId, cidr: Cidr) -> bool {
    let leads_within = |route: &Route| matches!(&route.destination, RouteDestination::Cidr(to) if cidr.covers(*to));
    view.all::<RouteTable>().any(|table| table.vpc == *vpc && table.routes.iter().any(leads_within))
}

/// DisassociateVpcCidrBlock: a further range goes, once no subnet is in it.
///
/// # Errors
/// `InvalidVpcCidrBlockAssociationIdError.NotFound`, `OperationNotPermitted`
/// for the primary range, `DependencyViolation`.
pub fn disassociate_vpc_cidr_block(
    change: &mut Change<'_, '_>,
    input: &wire::DisassociateVpcCidrBlockRequest,
) -> Result<wire::DisassociateVpcCidrBlockResult, ApiError> {
    let id = required(&input.association_id, "associationId")?;
    if let Some(vpc) = change.all::<Vpc>().find(|vpc| primary_association(vpc) == id) {
        let message = format!(
            "The vpc CIDR block with association ID {id} may not be disassociated. It is the primary IPv4 CIDR block \
             of the VPC '{}'",
            vpc.id
        );
        return Err(ApiError::new("OperationNotPermitted", message));
    }
    let view = change.view();
    let holder = view.all::<Vpc>().find_map(|vpc| {
        let association = vpc.more_cidrs.iter().find(|association| association.id == id)?;
        Some((vpc.id.clone(), association.cidr))
    });
    let (vpc, cidr) = holder.ok_or_else(|| {
        let message = format!("The vpc CIDR block association ID '{id}' does not exist");
        ApiError::new("InvalidVpcCidrBlockAssociationIdError.NotFound", message)
    })?;
    if view.all::<Subnet>().any(|subnet| subnet.vpc == vpc && cidr.overlaps(subnet.cidr)) {
        let message = format!("The CIDR '{cidr}' has dependencies and cannot be disassociated.");
        return Err(ApiError::new("DependencyViolation", message));
    }
    change.update(vpc.as_str(), |row: &mut Vpc| row.more_cidrs.retain(|association| association.id != id));
    Ok(wire::DisassociateVpcCidrBlockResult {
        cidr_block_association: Some(association(id.to_string(), cidr, "disassociating")),
        ipv6_cidr_block_association: None,
        vpc_id: Some(vpc.to_string()),
    })
}

/// DescribeVpcs. Errors: `InvalidVpcID.*`, those of filters and pages.
pub fn describe_vpcs(call: &Call<'_>, input: &wire::DescribeVpcsRequest) -> Result<wire::DescribeVpcsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen::<Vpc>(call, &input.vpc_ids, &VPC_ID)?;
    errors::dry_run(input.dry_run)?;
    let view = &call.view;
    let rows = rows.into_iter().filter(|vpc| filters.accept(&vpc.tags, |name, emit| values(view, vpc, name, emit)));
    let limits = (USUAL, !input.vpc_ids.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows.collect(), input.max_results, token, limits, |vpc| vpc.id.to_string())?;
    Ok(wire::DescribeVpcsResult { vpcs: rows.into_iter().map(|vpc| show(view, vpc)).collect(), next_token })
}

fn values(view: &View<'_>, vpc: &Vpc, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "cidr" | "cidr-block" | "cidrBlock" => emit(&vpc.cidr.to_string()),
        "cidr-block-association.cidr-block" => vpc.cidrs().for_each(|cidr| emit(&cidr.to_string())),
        "cidr-block-association.association-id" => {
            emit(&primary_association(vpc));
            vpc.more_cidrs.iter().for_each(|association| emit(&association.id));
        }
        "cidr-block-association.state" => emit("associated"),
        "dhcp-options-id" | "dhcpOptionsId" => emit(&vpc.dhcp_options),
        "is-default" | "isDefault" => emit(truth(vpc.default)),
        "owner-id" => emit(view.scope.account.as_str()),
        "state" => emit("available"),
        "vpc-id" => emit(vpc.id.as_str()),
        // No VPC has an IPv6 range.
        _ => {}
    }
}

/// A VPC as an answer shows it.
fn show(view: &View<'_>, vpc: &Vpc) -> wire::Vpc {
    let further = vpc.more_cidrs.iter().map(|row| association(row.id.clone(), row.cidr, "associated"));
    let ranges = [association(primary_association(vpc), vpc.cidr, "associated")].into_iter().chain(further);
    wire::Vpc {
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_association_set: ranges.collect(),
        dhcp_options_id: Some(vpc.dhcp_options.clone()),
        instance_tenancy: Some("default".to_string()),
        is_default: Some(vpc.default),
        owner_id: Some(view.scope.account.to_string()),
        state: Some("available".to_string()),
        tags: tag_rules::shown(&vpc.tags),
        vpc_id: Some(vpc.id.to_string()),
        ..wire::Vpc::default()
    }
}

fn primary_association(vpc: &Vpc) -> String {
    relative(vpc.id.as_str(), ASSOCIATION_PREFIX)
}

fn association(id: String, cidr: Cidr, state: &str) -> wire::VpcCidrBlockAssociation {
    wire::VpcCidrBlockAssociation {
        association_id: Some(id),
        cidr_block: Some(cidr.to_string()),
        cidr_block_state: Some(wire::VpcCidrBlockState { state: Some(state.to_string()), status_message: None }),
    }
}
