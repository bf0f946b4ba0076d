//! Subnets: parts of a VPC's ranges in one zone.

use super::filter::Filters;
use super::listing::chosen;
use super::network::{SUBNET_ID, VPC_ID, dependency, given, named, range, required, tags_of, truth, zone_id_of};
use super::paging::{USUAL, cut};
use super::vpcs::PREFIXES;
use super::{errors, recast, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::{SubnetId, VpcId, Zone};
use elastane_domain::network::Cidr;
use elastane_engine::row::{LoadBalancer, NetworkInterface, RouteTable, Subnet, Tags, Vpc};
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};

/// Subnets of one VPC (Amazon VPC quotas).
const SUBNETS_MAX: usize = 200;

/// Prefix length of default subnets (Amazon VPC User Guide, "Default VPCs").
const DEFAULT_PREFIX: u8 = 20;

const FILTERS: [&str; 27] = [
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

/// CreateSubnet. Without a zone it comes into the one where the VPC has fewest.
///
/// # Errors
/// `InvalidVpcID.*`, `InvalidSubnet.Range` outside of the VPC's ranges or of
/// the wrong size, `InvalidSubnet.Conflict`, `SubnetLimitExceeded`,
/// `InvalidParameterValue` for range and zone, those of tags;
/// `UnsupportedOperation` for IPv6, address pools and outposts.
pub fn create_subnet(
    change: &mut Change<'_, '_>,
    input: &wire::CreateSubnetRequest,
) -> Result<wire::CreateSubnetResult, ApiError> {
    let known = ["AvailabilityZone", "AvailabilityZoneId", "CidrBlock", "DryRun", "TagSpecifications", "VpcId"];
    recast::only(&wire::CREATE_SUBNET_REQUEST, input, &known)?;
    let view = change.view();
    let vpc = named::<Vpc>(&view, (&input.vpc_id, "vpcId"), &VPC_ID)?;
    let cidr = range(required(&input.cidr_block, "cidrBlock")?, "cidrBlock")?;
    if !PREFIXES.contains(&cidr.prefix()) || !vpc.cidrs().any(|whole| whole.covers(cidr)) {
        return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid.")));
    }
    if in_vpc(&view, &vpc.id).any(|other| other.cidr.overlaps(cidr)) {
        let message = format!("The CIDR '{cidr}' conflicts with another subnet");
        return Err(ApiError::new("InvalidSubnet.Conflict", message));
    }
    let zone = match zone(&view, &input.availability_zone, &input.availability_zone_id)? {
        Some(zone) => zone,
        None => emptiest_zone(&view, &vpc.id),
    };
    check_count(&view, &vpc.id)?;
    let (vpc, tags) = (vpc.id.clone(), tags_of(&input.tag_specifications, "subnet")?);
    errors::dry_run(input.dry_run)?;
    let id = SubnetId::from(change.rng.id(SubnetId::PREFIX));
    let row = Subnet { id, vpc, zone, cidr, default: false, public_on_launch: false, resource_names: false, tags };
    let subnet = Some(show(&change.view(), &row, cidr.usable()));
    change.put(row);
    Ok(wire::CreateSubnetResult { subnet })
}

/// CreateDefaultSubnet: the first free range of the default VPC.
///
/// # Errors
/// `DefaultVpcDoesNotExist`, `DefaultSubnetAlreadyExistsInAvailabilityZone`,
/// `InvalidSubnet.Conflict` when nothing is free, `SubnetLimitExceeded`,
/// `InvalidParameterValue` for the zone; `UnsupportedOperation` for IPv6.
pub fn create_default_subnet(
    change: &mut Change<'_, '_>,
    input: &wire::CreateDefaultSubnetRequest,
) -> Result<wire::CreateDefaultSubnetResult, ApiError> {
    if input.ipv6_native == Some(true) {
        return Err(errors::unsupported("IPv6"));
    }
    let view = change.view();
    let zone = zone(&view, &input.availability_zone, &input.availability_zone_id)?
        .ok_or_else(|| errors::missing("availabilityZone"))?;
    let vpc = network::default_vpc(&view).ok_or_else(|| {
        let message = "No default VPC exists for this account in this region.";
        ApiError::new("DefaultVpcDoesNotExist", message)
    })?;
    if let Some(subnet) = network::default_subnet(&view, &zone) {
        let message = format!("'{}' is already the default subnet in {zone}.", subnet.id);
        return Err(ApiError::new("DefaultSubnetAlreadyExistsInAvailabilityZone", message));
    }
    let free = |cidr: &Cidr| !in_vpc(&view, &vpc.id).any(|other| other.cidr.overlaps(*cidr));
    let mut ranges = (0..).map_while(|index| vpc.cidr.subnet(DEFAULT_PREFIX, index));
    let cidr = ranges.find(free).ok_or_else(|| {
        ApiError::new("InvalidSubnet.Conflict", format!("No /{DEFAULT_PREFIX} is free in {}", vpc.cidr))
    })?;
    check_count(&view, &vpc.id)?;
    let vpc = vpc.id.clone();
    errors::dry_run(input.dry_run)?;
    let id = SubnetId::from(change.rng.id(SubnetId::PREFIX));
    let public_on_launch = change.config.addresses == network::AddressPlan::Vpc;
    let row = Subnet { id, vpc, zone, cidr, default: true, public_on_launch, resource_names: false, tags: Tags::new() };
    let subnet = Some(show(&change.view(), &row, cidr.usable()));
    change.put(row);
    Ok(wire::CreateDefaultSubnetResult { subnet })
}

fn in_vpc<'a>(view: &View<'a>, vpc: &VpcId) -> impl Iterator<Item = &'a Subnet> {
    view.all::<Subnet>().filter(move |subnet| subnet.vpc == *vpc).map(AsRef::as_ref)
}

fn check_count(view: &View<'_>, vpc: &VpcId) -> Result<(), ApiError> {
    if in_vpc(view, vpc).count() >= SUBNETS_MAX {
        let message = format!("The maximum number of subnets of the VPC '{vpc}' has been reached.");
        return Err(ApiError::new("SubnetLimitExceeded", message));
    }
    Ok(())
}

/// A zone of the region, by name or id; both must mean the same.
fn zone(view: &View<'_>, name: &Option<String>, id: &Option<String>) -> Result<Option<Zone>, ApiError> {
    let zones = network::zones(&view.scope.region);
    let (name, id) = (given(name), given(id));
    if name.is_none() && id.is_none() {
        return Ok(None);
    }
    let is = |zone: &&Zone| {
        name.is_none_or(|name| zone.as_str() == name) && id.is_none_or(|id| zone_id_of(view, zone) == id)
    };
    match zones.iter().find(is) {
        Some(zone) => Ok(Some(zone.clone())),
        None => {
            let known: Vec<&str> = zones.iter().map(Zone::as_str).collect();
            let wrong = name.or(id).unwrap_or_default();
            Err(errors::invalid_value(format!(
                "Value ({wrong}) for parameter availabilityZone is invalid. Subnets can currently only be created in \
                 the following availability zones: {}.",
                known.join(", ")
            )))
        }
    }
}

fn emptiest_zone(view: &View<'_>, vpc: &VpcId) -> Zone {
    let zones = network::zones(&view.scope.region);
    let count = |zone: &Zone| in_vpc(view, vpc).filter(|subnet| subnet.zone == *zone).count();
    zones.into_iter().min_by_key(count).expect("every region has zones")
}

/// DeleteSubnet, once no interface is in it; its association with a route
/// table goes with it.
///
/// # Errors
/// `InvalidSubnetID.*`, `DependencyViolation`.
pub fn delete_subnet(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteSubnetRequest,
) -> Result<wire::DeleteSubnetOutput, ApiError> {
    let view = change.view();
    let id = named::<Subnet>(&view, (&input.subnet_id, "subnetId"), &SUBNET_ID)?.id.clone();
    let used = view.all::<NetworkInterface>().any(|row| row.subnet == id)
        || view.all::<LoadBalancer>().any(|row| row.subnets.iter().any(|(subnet, _)| *subnet == id));
    if used {
        return Err(dependency("subnet", id.as_str()));
    }
    errors::dry_run(input.dry_run)?;
    let tables: Vec<String> = change.all::<RouteTable>().map(|row| row.id.clone()).collect();
    for table in tables {
        change.update(&table, |row: &mut RouteTable| row.associations.retain(|one| one.subnet.as_ref() != Some(&id)));
    }
    change.delete::<Subnet>(id.as_str());
    Ok(wire::DeleteSubnetOutput {})
}

/// ModifySubnetAttribute, one attribute a call. Those of IPv6, outposts and
/// resource names in the DNS can only be told what is so anyway.
///
/// # Errors
/// `InvalidSubnetID.*`, `MissingParameter`, `InvalidParameterCombination`,
/// `InvalidParameterValue`, `UnsupportedOperation`.
pub fn modify_subnet_attribute(
    change: &mut Change<'_, '_>,
    input: &wire::ModifySubnetAttributeRequest,
) -> Result<wire::ModifySubnetAttributeOutput, ApiError> {
    let known = ["SubnetId", "MapPublicIpOnLaunch", "PrivateDnsHostnameTypeOnLaunch"];
    recast::only(&wire::MODIFY_SUBNET_ATTRIBUTE_REQUEST, input, &known)?;
    let id = named::<Subnet>(&change.view(), (&input.subnet_id, "subnetId"), &SUBNET_ID)?.id.to_string();
    let without_effect = [
        &input.assign_ipv6_address_on_creation,
        &input.disable_lni_at_device_index,
        &input.enable_dns64,
        &input.enable_resource_name_dns_aaaa_record_on_launch,
        &input.enable_resource_name_dns_a_record_on_launch,
        &input.map_customer_owned_ip_on_launch,
    ];
    let public = input.map_public_ip_on_launch.as_ref();
    let names = given(&input.private_dns_hostname_type_on_launch);
    let told = without_effect.iter().filter(|flag| flag.is_some()).count();
    match told + usize::from(public.is_some()) + usize::from(names.is_some()) {
        0 => return Err(errors::missing("an attribute to modify")),
        1 => {}
        _ => return Err(errors::invalid_combination("Only one attribute can be modified at a time.")),
    }
    let resource_names = match names {
        None => None,
        Some("ip-name") => Some(false),
        Some("resource-name") => Some(true),
        Some(other) => {
            let message = format!("Value ({other}) for parameter PrivateDnsHostnameTypeOnLaunch is invalid.");
            return Err(errors::invalid_value(message));
        }
    };
    change.update(&id, |row: &mut Subnet| {
        row.public_on_launch = public.map_or(row.public_on_launch, |flag| flag.value.unwrap_or(false));
        row.resource_names = resource_names.unwrap_or(row.resource_names);
    });
    Ok(wire::ModifySubnetAttributeOutput {})
}

/// DescribeSubnets. Errors: `InvalidSubnetID.*`, those of filters and pages.
pub fn describe_subnets(
    call: &Call<'_>,
    input: &wire::DescribeSubnetsRequest,
) -> Result<wire::DescribeSubnetsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen::<Subnet>(call, &input.subnet_ids, &SUBNET_ID)?;
    errors::dry_run(input.dry_run)?;
    let taken = network::taken_counts(&call.view);
    let free = |subnet: &Subnet| {
        let taken = taken.get(&subnet.id).copied().unwrap_or(0);
        subnet.cidr.usable().saturating_sub(u64::from(taken))
    };
    let view = &call.view;
    let rows = rows.into_iter().filter(|subnet| {
        filters.accept(&subnet.tags, |name, emit| match name {
            "available-ip-address-count" => emit(&free(subnet).to_string()),
            name => values(view, subnet, name, emit),
        })
    });
    let limits = (USUAL, !input.subnet_ids.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows.collect(), input.max_results, token, limits, |subnet| subnet.id.to_string())?;
    let subnets = rows.into_iter().map(|subnet| show(view, subnet, free(subnet))).collect();
    Ok(wire::DescribeSubnetsResult { subnets, next_token })
}

fn values(view: &View<'_>, subnet: &Subnet, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "availability-zone" | "availabilityZone" => emit(subnet.zone.as_str()),
        "availability-zone-id" | "availabilityZoneId" => emit(&zone_id_of(view, &subnet.zone)),
        "cidr" | "cidr-block" | "cidrBlock" => emit(&subnet.cidr.to_string()),
        "default-for-az" | "defaultForAz" => emit(truth(subnet.default)),
        "map-public-ip-on-launch" => emit(truth(subnet.public_on_launch)),
        "assign-ipv6-address-on-creation" | "enable-dns64" | "ipv6-native" | "map-customer-owned-ip-on-launch" => {
            emit("false");
        }
        "owner-id" => emit(view.scope.account.as_str()),
        "private-dns-name-options-on-launch.hostname-type" => emit(hostname_type(subnet)),
        "state" => emit("available"),
        "subnet-arn" => emit(&arn(view, subnet)),
        "subnet-id" => emit(subnet.id.as_str()),
        "vpc-id" => emit(subnet.vpc.as_str()),
        // No subnet has an IPv6 range or is on an outpost.
        _ => {}
    }
}

/// A subnet with `free` addresses as an answer shows it.
fn show(view: &View<'_>, subnet: &Subnet, free: u64) -> wire::Subnet {
    wire::Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(subnet.zone.to_string()),
        availability_zone_id: Some(zone_id_of(view, &subnet.zone)),
        available_ip_address_count: Some(i32::try_from(free).unwrap_or(i32::MAX)),
        cidr_block: Some(subnet.cidr.to_string()),
        default_for_az: Some(subnet.default),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(subnet.public_on_launch),
        owner_id: Some(view.scope.account.to_string()),
        private_dns_name_options_on_launch: Some(wire::PrivateDnsNameOptionsOnLaunch {
            enable_resource_name_dns_aaaa_record: Some(false),
            enable_resource_name_dns_a_record: Some(false),
            hostname_type: Some(hostname_type(subnet).to_string()),
        }),
        state: Some("available".to_string()),
        subnet_arn: Some(arn(view, subnet)),
        subnet_id: Some(subnet.id.to_string()),
        tags: tag_rules::shown(&subnet.tags),
        vpc_id: Some(subnet.vpc.to_string()),
        ..wire::Subnet::default()
    }
}

fn hostname_type(subnet: &Subnet) -> &'static str {
    if subnet.resource_names { "resource-name" } else { "ip-name" }
}

fn arn(view: &View<'_>, subnet: &Subnet) -> String {
    view.scope.arn("ec2", &format!("subnet/{}", subnet.id))
}
