//! VPCs, subnets, regions and zones: what exists without having been made.

use super::filter::Filters;
use super::listing::{IdKind, chosen};
use super::paging::{USUAL, cut};
use super::{errors, tag_rules};
use crate::Call;
use elastane_domain::id::{SubnetId, VpcId, Zone};
use elastane_engine::metadata::zone_id;
use elastane_engine::{network, row};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeSet;

/// Ids of VPCs.
pub(super) const VPC_ID: IdKind = IdKind {
    prefix: VpcId::PREFIX,
    malformed: "InvalidVpcID.Malformed",
    not_found: "InvalidVpcID.NotFound",
    noun: "The vpc ID",
};

const SUBNET_ID: IdKind = IdKind {
    prefix: SubnetId::PREFIX,
    malformed: "InvalidSubnetID.Malformed",
    not_found: "InvalidSubnetID.NotFound",
    noun: "The subnet ID",
};

/// The regions that every AWS account has without opting in (AWS Account
/// Management Reference Guide, "Available Regions"). Any other works here too;
/// the list is what a caller can expect to find.
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

const OPT_IN_STATUS: &str = "opt-in-not-required";

const VPC_FILTERS: [&str; 15] = [
    "cidr",
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

const SUBNET_FILTERS: [&str; 27] = [
    "assign-ipv6-address-on-creation",
    "availability-zone",
    "availability-zone-id",
    "availabilityZone",
    "availabilityZoneId",
    "available-ip-address-count",
    "cidr",
    "cidr-block",
    "cidrBlock",
    "customer-owned-ipv4-pool",
    "default-for-az",
    "defaultForAz",
    "enable-dns64",
    "enable-lni-at-device-index",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.state",
    "ipv6-native",
    "map-customer-owned-ip-on-launch",
    "map-public-ip-on-launch",
    "outpost-arn",
    "owner-id",
    "private-dns-name-options-on-launch.hostname-type",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];

const REGION_FILTERS: [&str; 3] = ["endpoint", "opt-in-status", "region-name"];

const ZONE_FILTERS: [&str; 11] = [
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

/// DescribeVpcs. Errors: `InvalidVpcID.*`, those of filters and pages.
pub fn describe_vpcs(call: &Call<'_>, input: &wire::DescribeVpcsRequest) -> Result<wire::DescribeVpcsResult, ApiError> {
    let filters = Filters::new(&input.filters, &VPC_FILTERS)?;
    let rows = chosen::<row::Vpc>(call, &input.vpc_ids, &VPC_ID)?;
    errors::dry_run(input.dry_run)?;
    let rows = rows.into_iter().filter(|vpc| filters.accept(&vpc.tags, |name, emit| vpc_values(call, vpc, name, emit)));
    let limits = (USUAL, !input.vpc_ids.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows.collect(), input.max_results, token, limits, |vpc| vpc.id.to_string())?;
    Ok(wire::DescribeVpcsResult { vpcs: rows.into_iter().map(|vpc| show_vpc(call, vpc)).collect(), next_token })
}

fn vpc_values(call: &Call<'_>, vpc: &row::Vpc, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "cidr" | "cidr-block-association.cidr-block" => emit(&vpc.cidr.to_string()),
        "cidr-block-association.association-id" => emit(&relative(vpc, "vpc-cidr-assoc-")),
        "cidr-block-association.state" => emit("associated"),
        "dhcp-options-id" | "dhcpOptionsId" => emit(&relative(vpc, "dopt-")),
        "is-default" | "isDefault" => emit(truth(vpc.default)),
        "owner-id" => emit(call.scope.account.as_str()),
        "state" => emit("available"),
        "vpc-id" => emit(vpc.id.as_str()),
        _ => {}
    }
}

fn show_vpc(call: &Call<'_>, vpc: &row::Vpc) -> wire::Vpc {
    let association = wire::VpcCidrBlockAssociation {
        association_id: Some(relative(vpc, "vpc-cidr-assoc-")),
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_state: Some(wire::VpcCidrBlockState { state: Some("associated".to_string()), status_message: None }),
    };
    wire::Vpc {
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_association_set: vec![association],
        dhcp_options_id: Some(relative(vpc, "dopt-")),
        instance_tenancy: Some("default".to_string()),
        is_default: Some(vpc.default),
        owner_id: Some(call.scope.account.to_string()),
        state: Some("available".to_string()),
        tags: tag_rules::shown(&vpc.tags),
        vpc_id: Some(vpc.id.to_string()),
        ..wire::Vpc::default()
    }
}

/// The id of something that every VPC has exactly one of: the VPC's own digits.
pub(super) fn relative(vpc: &row::Vpc, prefix: &str) -> String {
    format!("{prefix}{}", vpc.id.as_str().trim_start_matches(VpcId::PREFIX))
}

pub(super) fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// DescribeSubnets. Errors: `InvalidSubnetID.*`, those of filters and pages.
pub fn describe_subnets(
    call: &Call<'_>,
    input: &wire::DescribeSubnetsRequest,
) -> Result<wire::DescribeSubnetsResult, ApiError> {
    let filters = Filters::new(&input.filters, &SUBNET_FILTERS)?;
    let rows = chosen::<row::Subnet>(call, &input.subnet_ids, &SUBNET_ID)?;
    errors::dry_run(input.dry_run)?;
    let taken = network::taken_counts(&call.view);
    let free = |subnet: &row::Subnet| {
        let taken = taken.get(&subnet.id).copied().unwrap_or(0);
        subnet.cidr.usable().saturating_sub(u64::from(taken))
    };
    let rows = rows.into_iter().filter(|subnet| {
        filters.accept(&subnet.tags, |name, emit| match name {
            "available-ip-address-count" => emit(&free(subnet).to_string()),
            name => subnet_values(call, subnet, name, emit),
        })
    });
    let limits = (USUAL, !input.subnet_ids.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows.collect(), input.max_results, token, limits, |subnet| subnet.id.to_string())?;
    let subnets = rows.into_iter().map(|subnet| show_subnet(call, subnet, free(subnet))).collect();
    Ok(wire::DescribeSubnetsResult { subnets, next_token })
}

fn subnet_values(call: &Call<'_>, subnet: &row::Subnet, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "availability-zone" | "availabilityZone" => emit(subnet.zone.as_str()),
        "availability-zone-id" | "availabilityZoneId" => emit(&zone_id_of(call, &subnet.zone)),
        "cidr" | "cidr-block" | "cidrBlock" => emit(&subnet.cidr.to_string()),
        "default-for-az" | "defaultForAz" => emit(truth(subnet.default)),
        "assign-ipv6-address-on-creation"
        | "enable-dns64"
        | "ipv6-native"
        | "map-customer-owned-ip-on-launch"
        | "map-public-ip-on-launch" => emit("false"),
        "owner-id" => emit(call.scope.account.as_str()),
        "private-dns-name-options-on-launch.hostname-type" => emit("ip-name"),
        "state" => emit("available"),
        "subnet-arn" => emit(&subnet_arn(call, subnet)),
        "subnet-id" => emit(subnet.id.as_str()),
        "vpc-id" => emit(subnet.vpc.as_str()),
        _ => {}
    }
}

fn show_subnet(call: &Call<'_>, subnet: &row::Subnet, free: u64) -> wire::Subnet {
    wire::Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(subnet.zone.to_string()),
        availability_zone_id: Some(zone_id_of(call, &subnet.zone)),
        available_ip_address_count: Some(i32::try_from(free).unwrap_or(i32::MAX)),
        cidr_block: Some(subnet.cidr.to_string()),
        default_for_az: Some(subnet.default),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(false),
        owner_id: Some(call.scope.account.to_string()),
        private_dns_name_options_on_launch: Some(wire::PrivateDnsNameOptionsOnLaunch {
            enable_resource_name_dns_aaaa_record: Some(false),
            enable_resource_name_dns_a_record: Some(false),
            hostname_type: Some("ip-name".to_string()),
        }),
        state: Some("available".to_string()),
        subnet_arn: Some(subnet_arn(call, subnet)),
        subnet_id: Some(subnet.id.to_string()),
        tags: tag_rules::shown(&subnet.tags),
        vpc_id: Some(subnet.vpc.to_string()),
        ..wire::Subnet::default()
    }
}

fn subnet_arn(call: &Call<'_>, subnet: &row::Subnet) -> String {
    call.scope.arn("ec2", &format!("subnet/{}", subnet.id))
}

fn zone_id_of(call: &Call<'_>, zone: &Zone) -> String {
    zone_id(zone.as_str(), call.scope.region.as_str())
}

/// DescribeRegions: AWS's regions that need no opt-in, and the caller's own
/// whatever it is called. Errors: `InvalidParameterValue` for an unknown name,
/// those of filters.
pub fn describe_regions(
    call: &Call<'_>,
    input: &wire::DescribeRegionsRequest,
) -> Result<wire::DescribeRegionsResult, ApiError> {
    let filters = Filters::new(&input.filters, &REGION_FILTERS)?;
    let known: BTreeSet<&str> = REGIONS.into_iter().chain([call.scope.region.as_str()]).collect();
    if let Some(name) = input.region_names.iter().find(|name| !known.contains(name.as_str())) {
        return Err(errors::invalid_value(format!("Invalid region name: [{name}]")));
    }
    errors::dry_run(input.dry_run)?;
    let wanted = |name: &str| input.region_names.is_empty() || input.region_names.iter().any(|one| one == name);
    let accepted = |name: &str| {
        filters.accept(&row::Tags::new(), |filter, emit| match filter {
            "endpoint" => emit(&endpoint(name)),
            "opt-in-status" => emit(OPT_IN_STATUS),
            "region-name" => emit(name),
            _ => {}
        })
    };
    let regions = known.into_iter().filter(|name| wanted(name) && accepted(name)).map(|name| wire::Region {
        endpoint: Some(endpoint(name)),
        opt_in_status: Some(OPT_IN_STATUS.to_string()),
        region_name: Some(name.to_string()),
        ..wire::Region::default()
    });
    Ok(wire::DescribeRegionsResult { regions: regions.collect() })
}

/// AWS's name for a region's endpoint; clients take it as a label.
fn endpoint(region: &str) -> String {
    format!("ec2.{region}.amazonaws.com")
}

/// DescribeAvailabilityZones: the zones of the caller's region. Errors:
/// `InvalidParameterValue` for an unknown name or id, those of filters.
pub fn describe_availability_zones(
    call: &Call<'_>,
    input: &wire::DescribeAvailabilityZonesRequest,
) -> Result<wire::DescribeAvailabilityZonesResult, ApiError> {
    let filters = Filters::new(&input.filters, &ZONE_FILTERS)?;
    let zones = network::zones(&call.scope.region);
    let ids: Vec<String> = zones.iter().map(|zone| zone_id_of(call, zone)).collect();
    let unknown = input.zone_names.iter().find(|name| zones.iter().all(|zone| zone.as_str() != name.as_str()));
    if let Some(name) = unknown.or_else(|| input.zone_ids.iter().find(|id| !ids.contains(id))) {
        return Err(errors::invalid_value(format!("Invalid availability zone: [{name}]")));
    }
    errors::dry_run(input.dry_run)?;
    let region = call.scope.region.as_str();
    let kept = zones.iter().zip(&ids).filter(|(zone, id)| {
        let named = input.zone_names.is_empty() || input.zone_names.iter().any(|name| name == zone.as_str());
        let by_id = input.zone_ids.is_empty() || input.zone_ids.contains(id);
        named && by_id && filters.accept(&row::Tags::new(), |filter, emit| zone_values(region, zone, id, filter, emit))
    });
    let availability_zones = kept.map(|(zone, id)| show_zone(region, zone, id)).collect();
    Ok(wire::DescribeAvailabilityZonesResult { availability_zones })
}

fn zone_values(region: &str, zone: &Zone, id: &str, filter: &str, emit: &mut dyn FnMut(&str)) {
    match filter {
        "group-name" | "region-name" => emit(region),
        "opt-in-status" => emit(OPT_IN_STATUS),
        "state" => emit("available"),
        "zone-id" => emit(id),
        "zone-name" => emit(zone.as_str()),
        "zone-type" => emit("availability-zone"),
        _ => {}
    }
}

fn show_zone(region: &str, zone: &Zone, id: &str) -> wire::AvailabilityZone {
    wire::AvailabilityZone {
        group_name: Some(region.to_string()),
        network_border_group: Some(region.to_string()),
        opt_in_status: Some(OPT_IN_STATUS.to_string()),
        region_name: Some(region.to_string()),
        state: Some("available".to_string()),
        zone_id: Some(id.to_string()),
        zone_name: Some(zone.to_string()),
        zone_type: Some("availability-zone".to_string()),
        ..wire::AvailabilityZone::default()
    }
}
