//! VPCs, their subnets and gateways, as clients make and take them apart.

use super::rig::{Rig, code, filter};
use super::*;
use elastane_engine::row::{
    Address, AddressAssociation, InterfaceOwner, LaunchData, NetworkInterface, RouteTable, SecurityGroup, Subnet, Vpc,
};
use elastane_engine::{launch, network as engine_network};
use elastane_wire::{ApiError, ec2 as wire};

fn text(value: &str) -> Option<String> {
    Some(value.to_string())
}

fn spec(kind: &str, key: &str, value: &str) -> Vec<wire::TagSpecification> {
    let tags = vec![wire::Tag { key: text(key), value: text(value) }];
    vec![wire::TagSpecification { resource_type: text(kind), tags }]
}

pub(super) fn make_vpc(rig: &mut Rig, cidr: &str) -> String {
    let input = wire::CreateVpcRequest { cidr_block: text(cidr), ..Default::default() };
    rig.write(create_vpc, input).expect("made").vpc.expect("a VPC").vpc_id.expect("an id")
}

fn subnet_input(vpc: &str, cidr: &str) -> wire::CreateSubnetRequest {
    wire::CreateSubnetRequest { vpc_id: text(vpc), cidr_block: text(cidr), ..Default::default() }
}

pub(super) fn make_subnet(rig: &mut Rig, vpc: &str, cidr: &str) -> String {
    let made = rig.write(create_subnet, subnet_input(vpc, cidr)).expect("made");
    made.subnet.expect("a subnet").subnet_id.expect("an id")
}

fn show_vpc(rig: &mut Rig, id: &str) -> wire::Vpc {
    let input = wire::DescribeVpcsRequest { vpc_ids: vec![id.to_string()], ..Default::default() };
    rig.read(describe_vpcs, input).expect("described").vpcs.remove(0)
}

fn show_subnet(rig: &mut Rig, id: &str) -> wire::Subnet {
    let input = wire::DescribeSubnetsRequest { subnet_ids: vec![id.to_string()], ..Default::default() };
    rig.read(describe_subnets, input).expect("described").subnets.remove(0)
}

fn delete(rig: &mut Rig, id: &str) -> String {
    code(rig.write(delete_vpc, wire::DeleteVpcRequest { vpc_id: text(id), dry_run: None }))
}

/// An interface in a subnet, without the calls that make one.
pub(super) fn put_interface(rig: &mut Rig, subnet: &str) -> String {
    rig.tx(|tx| {
        let subnet = tx.get::<Subnet>(subnet).expect("a subnet");
        let (id, created_at) = (tx.rng.id("eni-"), tx.now);
        let address = subnet.cidr.next_free(&engine_network::taken(&tx.view(), &subnet.id)).expect("free");
        tx.put(NetworkInterface {
            id: id.clone(),
            vpc: subnet.vpc.clone(),
            subnet: subnet.id.clone(),
            zone: subnet.zone.clone(),
            description: String::new(),
            addresses: vec![address],
            groups: Vec::new(),
            source_dest_check: true,
            owner: InterfaceOwner::User,
            attachment: None,
            public_ip: None,
            created_at,
            client_token: None,
            tags: Default::default(),
        });
        Ok(id)
    })
    .expect("put")
}

/// A VPC comes with a main table, a default group and a default ACL, and
/// with its defaults; its range is canonical.
#[test]
fn a_vpc_is_furnished() {
    let mut rig = Rig::new();
    let input = wire::CreateVpcRequest {
        cidr_block: text("10.1.2.3/16"),
        instance_tenancy: text("default"),
        tag_specifications: spec("vpc", "Name", "test"),
        ..Default::default()
    };
    let made = rig.write(create_vpc, input).expect("made").vpc.expect("a VPC");
    assert_eq!((made.state.as_deref(), made.cidr_block.as_deref()), (Some("pending"), Some("10.1.0.0/16")));
    let id = made.vpc_id.expect("an id");
    let shown = show_vpc(&mut rig, &id);
    assert_eq!((shown.state.as_deref(), shown.is_default), (Some("available"), Some(false)));
    let options = shown.dhcp_options_id.as_deref().unwrap_or_default();
    assert!(options.starts_with("dopt-"), "{options}");
    assert_eq!(shown.instance_tenancy.as_deref(), Some("default"));
    assert_eq!(shown.cidr_block_association_set.len(), 1);
    assert_eq!(shown.tags, spec("vpc", "Name", "test")[0].tags);
    let of_vpc = vec![filter("vpc-id", &id)];
    let main = vec![filter("vpc-id", &id), filter("association.main", "true")];
    let tables = wire::DescribeRouteTablesRequest { filters: main, ..Default::default() };
    assert_eq!(rig.read(describe_route_tables, tables).expect("tables").route_tables.len(), 1);
    let groups = wire::DescribeSecurityGroupsRequest { filters: of_vpc.clone(), ..Default::default() };
    let groups = rig.read(describe_security_groups, groups).expect("groups").security_groups;
    assert_eq!(groups.iter().filter_map(|group| group.group_name.as_deref()).collect::<Vec<_>>(), ["default"]);
    let acls = wire::DescribeNetworkAclsRequest { filters: of_vpc, ..Default::default() };
    assert_eq!(rig.read(describe_network_acls, acls).expect("lists").network_acls.len(), 1);
}

/// What is refused when a VPC is made, and that dry runs leave nothing.
#[test]
fn vpcs_are_checked_when_made() {
    let mut rig = Rig::new();
    let base = wire::CreateVpcRequest { cidr_block: text("10.0.0.0/16"), ..Default::default() };
    for (input, want) in [
        (wire::CreateVpcRequest { cidr_block: None, ..base.clone() }, "MissingParameter"),
        (wire::CreateVpcRequest { cidr_block: text("10.0.0.0/15"), ..base.clone() }, "InvalidVpc.Range"),
        (wire::CreateVpcRequest { cidr_block: text("10.0.0.0/29"), ..base.clone() }, "InvalidVpc.Range"),
        (wire::CreateVpcRequest { cidr_block: text("10.0.0.0"), ..base.clone() }, "InvalidParameterValue"),
        (wire::CreateVpcRequest { instance_tenancy: text("dedicated"), ..base.clone() }, "UnsupportedOperation"),
        (wire::CreateVpcRequest { instance_tenancy: text("shared"), ..base.clone() }, "InvalidParameterValue"),
        (
            wire::CreateVpcRequest { amazon_provided_ipv6_cidr_block: Some(true), ..base.clone() },
            "UnsupportedOperation",
        ),
        (
            wire::CreateVpcRequest { tag_specifications: spec("subnet", "a", "b"), ..base.clone() },
            "InvalidParameterValue",
        ),
        (wire::CreateVpcRequest { dry_run: Some(true), ..base.clone() }, "DryRunOperation"),
        (wire::CreateVpcRequest { amazon_provided_ipv6_cidr_block: Some(false), ..base.clone() }, ""),
    ] {
        assert_eq!(code(rig.write(create_vpc, input.clone())), want, "{input:?}");
    }
    assert_eq!(rig.read(describe_vpcs, Default::default()).expect("described").vpcs.len(), 2);
    for _ in 2..100 {
        make_vpc(&mut rig, "10.0.0.0/16");
    }
    assert_eq!(code(rig.write(create_vpc, base)), "VpcLimitExceeded");
    let page = |token: Option<String>| wire::DescribeVpcsRequest {
        max_results: Some(60),
        next_token: token,
        ..Default::default()
    };
    let first = rig.read(describe_vpcs, page(None)).expect("a page");
    let second = rig.read(describe_vpcs, page(first.next_token.clone())).expect("a page");
    assert_eq!((first.vpcs.len(), second.vpcs.len(), second.next_token), (60, 40, None));
    assert_eq!(code(rig.read(describe_vpcs, page(text("***")))), "InvalidNextToken");
}

/// A VPC goes once nothing is in it but what it began with, which goes with it.
#[test]
fn a_vpc_goes_when_it_is_empty() {
    let mut rig = Rig::new();
    let id = make_vpc(&mut rig, "10.0.0.0/16");
    let subnet = make_subnet(&mut rig, &id, "10.0.0.0/24");
    assert_eq!(delete(&mut rig, &id), "DependencyViolation");
    let gone = wire::DeleteSubnetRequest { subnet_id: text(&subnet), dry_run: None };
    assert_eq!(code(rig.write(delete_subnet, gone)), "");
    let group = wire::CreateSecurityGroupRequest {
        group_name: text("web"),
        description: text("x"),
        vpc_id: text(&id),
        ..Default::default()
    };
    let group = rig.write(create_security_group, group).expect("made").group_id;
    assert_eq!(delete(&mut rig, &id), "DependencyViolation");
    let gone = wire::DeleteSecurityGroupRequest { group_id: group, ..Default::default() };
    assert_eq!(code(rig.write(delete_security_group, gone)), "");
    let table = wire::CreateRouteTableRequest { vpc_id: text(&id), ..Default::default() };
    let table = rig.write(create_route_table, table).expect("made").route_table.expect("a table").route_table_id;
    assert_eq!(delete(&mut rig, &id), "DependencyViolation");
    let gone = wire::DeleteRouteTableRequest { route_table_id: table, dry_run: None };
    assert_eq!(code(rig.write(delete_route_table, gone)), "");
    let dry = wire::DeleteVpcRequest { vpc_id: text(&id), dry_run: Some(true) };
    assert_eq!(code(rig.write(delete_vpc, dry)), "DryRunOperation");
    assert_eq!(delete(&mut rig, &id), "");
    let left = rig.tx(|tx| {
        let tables = tx.all::<RouteTable>().filter(|row| row.vpc.as_str() == id).count();
        Ok(tables + tx.all::<SecurityGroup>().filter(|row| row.vpc.as_str() == id).count())
    });
    assert_eq!(left.expect("counted"), 0);
    assert_eq!(delete(&mut rig, &id), "InvalidVpcID.NotFound");
    assert_eq!(delete(&mut rig, "x"), "InvalidVpcID.Malformed");
}

/// Further ranges come and go; the primary one stays.
#[test]
fn ranges_come_and_go() {
    let mut rig = Rig::new();
    let id = make_vpc(&mut rig, "10.0.0.0/16");
    let more = |cidr: &str| wire::AssociateVpcCidrBlockRequest {
        vpc_id: text(&id),
        cidr_block: text(cidr),
        ..Default::default()
    };
    let made = rig.write(associate_vpc_cidr_block, more("10.1.0.0/16")).expect("widened");
    let association = made.cidr_block_association.expect("one").association_id.expect("an id");
    let six = wire::AssociateVpcCidrBlockRequest {
        vpc_id: text(&id),
        amazon_provided_ipv6_cidr_block: Some(true),
        ..Default::default()
    };
    for (input, want) in [
        (more("10.1.128.0/24"), "InvalidVpc.Range"),
        (more("10.0.0.0/8"), "InvalidVpc.Range"),
        (more("x"), "InvalidParameterValue"),
        (six, "UnsupportedOperation"),
        (more("10.2.0.0/16"), ""),
        (more("10.3.0.0/16"), ""),
        (more("10.4.0.0/16"), ""),
        (more("10.5.0.0/16"), "CidrLimitExceeded"),
    ] {
        assert_eq!(code(rig.write(associate_vpc_cidr_block, input.clone())), want, "{input:?}");
    }
    let shown = show_vpc(&mut rig, &id).cidr_block_association_set;
    assert_eq!(shown.len(), 5);
    let by_range = vec![filter("cidr-block-association.cidr-block", "10.1.0.0/16")];
    let found = wire::DescribeVpcsRequest { filters: by_range, ..Default::default() };
    assert_eq!(rig.read(describe_vpcs, found).expect("described").vpcs.len(), 1);
    let subnet = make_subnet(&mut rig, &id, "10.1.0.0/24");
    let mut less = |association: Option<&str>| {
        let input = wire::DisassociateVpcCidrBlockRequest { association_id: association.map(str::to_string) };
        code(rig.write(disassociate_vpc_cidr_block, input))
    };
    assert_eq!(less(Some(&association)), "DependencyViolation");
    assert_eq!(less(shown[0].association_id.as_deref()), "OperationNotPermitted");
    assert_eq!(less(Some("vpc-cidr-assoc-00000000")), "InvalidVpcCidrBlockAssociationIdError.NotFound");
    assert_eq!(less(None), "MissingParameter");
    let gone = wire::DeleteSubnetRequest { subnet_id: text(&subnet), dry_run: None };
    rig.write(delete_subnet, gone).expect("deleted");
    let input = wire::DisassociateVpcCidrBlockRequest { association_id: text(&association) };
    assert_eq!(code(rig.write(disassociate_vpc_cidr_block, input)), "");
    assert_eq!(show_vpc(&mut rig, &id).cidr_block_association_set.len(), 4);
}

/// Tenancy is `default` and nothing else.
#[test]
fn tenancy_stays_default() {
    let mut rig = Rig::new();
    let id = make_vpc(&mut rig, "10.0.0.0/16");
    for (vpc, tenancy, want) in [
        (id.as_str(), "default", ""),
        (&id, "dedicated", "InvalidParameterValue"),
        (&id, "", "MissingParameter"),
        ("vpc-00000000", "default", "InvalidVpcID.NotFound"),
    ] {
        let input = wire::ModifyVpcTenancyRequest { vpc_id: text(vpc), instance_tenancy: text(tenancy), dry_run: None };
        assert_eq!(code(rig.write(modify_vpc_tenancy, input)), want, "{vpc} {tenancy}");
    }
}

/// Subnets lie within the VPC, apart from each other, in a zone of the region.
#[test]
fn subnets_are_checked_when_made() {
    let mut rig = Rig::new();
    let vpc = make_vpc(&mut rig, "10.0.0.0/16");
    let base = subnet_input(&vpc, "10.0.1.0/24");
    let zone = |name: &str| wire::CreateSubnetRequest { availability_zone: text(name), ..base.clone() };
    for (input, want) in [
        (zone("us-east-1b"), ""),
        (base.clone(), "InvalidSubnet.Conflict"),
        (subnet_input(&vpc, "10.0.0.0/20"), "InvalidSubnet.Conflict"),
        (subnet_input(&vpc, "10.1.0.0/24"), "InvalidSubnet.Range"),
        (subnet_input(&vpc, "10.0.2.0/29"), "InvalidSubnet.Range"),
        (subnet_input(&vpc, "x"), "InvalidParameterValue"),
        (subnet_input(&vpc, "fd00::/64"), "UnsupportedOperation"),
        (
            wire::CreateSubnetRequest { availability_zone: text("us-east-1z"), ..subnet_input(&vpc, "10.0.2.0/24") },
            "InvalidParameterValue",
        ),
        (
            wire::CreateSubnetRequest { ipv6_native: Some(true), ..subnet_input(&vpc, "10.0.2.0/24") },
            "UnsupportedOperation",
        ),
        (subnet_input("vpc-00000000", "10.0.2.0/24"), "InvalidVpcID.NotFound"),
        (wire::CreateSubnetRequest { dry_run: Some(true), ..subnet_input(&vpc, "10.0.2.0/24") }, "DryRunOperation"),
        (
            wire::CreateSubnetRequest {
                availability_zone_id: text("use1-az2"),
                tag_specifications: spec("subnet", "Name", "two"),
                ..subnet_input(&vpc, "10.0.2.3/24")
            },
            "",
        ),
    ] {
        assert_eq!(code(rig.write(create_subnet, input.clone())), want, "{input:?}");
    }
    let input = wire::DescribeSubnetsRequest { filters: vec![filter("vpc-id", &vpc)], ..Default::default() };
    let mut all = rig.read(describe_subnets, input).expect("described").subnets;
    all.sort_by_key(|subnet| subnet.cidr_block.clone());
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].availability_zone.as_deref(), Some("us-east-1b"));
    assert_eq!(
        (all[1].cidr_block.as_deref(), all[1].availability_zone_id.as_deref()),
        (Some("10.0.2.0/24"), Some("use1-az2"))
    );
    assert_eq!((all[1].available_ip_address_count, all[1].map_public_ip_on_launch), (Some(251), Some(false)));
    for index in 3..201 {
        make_subnet(&mut rig, &vpc, &format!("10.0.{index}.0/24"));
    }
    assert_eq!(code(rig.write(create_subnet, subnet_input(&vpc, "10.0.201.0/24"))), "SubnetLimitExceeded");
}

/// Without a zone, subnets spread over the zones.
#[test]
fn subnets_without_a_zone_spread() {
    let mut rig = Rig::new();
    let vpc = make_vpc(&mut rig, "10.0.0.0/16");
    let mut zones = Vec::new();
    for index in 0..3 {
        let id = make_subnet(&mut rig, &vpc, &format!("10.0.{index}.0/24"));
        zones.extend(show_subnet(&mut rig, &id).availability_zone);
    }
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
}

/// A subnet stays while an interface is in it; its table association goes with it.
#[test]
fn a_subnet_goes_when_it_is_empty() {
    let mut rig = Rig::new();
    let vpc = make_vpc(&mut rig, "10.0.0.0/16");
    let id = make_subnet(&mut rig, &vpc, "10.0.0.0/24");
    let interface = put_interface(&mut rig, &id);
    assert_eq!(show_subnet(&mut rig, &id).available_ip_address_count, Some(250));
    let table = wire::CreateRouteTableRequest { vpc_id: text(&vpc), ..Default::default() };
    let table = rig.write(create_route_table, table).expect("made").route_table.expect("one").route_table_id;
    let pair =
        wire::AssociateRouteTableRequest { route_table_id: table.clone(), subnet_id: text(&id), ..Default::default() };
    rig.write(associate_route_table, pair).expect("associated");
    let gone = |id: &str| wire::DeleteSubnetRequest { subnet_id: text(id), dry_run: None };
    assert_eq!(code(rig.write(delete_subnet, gone(&id))), "DependencyViolation");
    rig.tx(|tx| {
        tx.delete::<NetworkInterface>(&interface);
        Ok(())
    })
    .expect("deleted");
    assert_eq!(code(rig.write(delete_subnet, gone(&id))), "");
    assert_eq!(code(rig.write(delete_subnet, gone(&id))), "InvalidSubnetID.NotFound");
    assert_eq!(code(rig.write(delete_subnet, gone("x"))), "InvalidSubnetID.Malformed");
    assert_eq!(code(rig.write(delete_subnet, gone(""))), "MissingParameter");
    let table = wire::DeleteRouteTableRequest { route_table_id: table, dry_run: None };
    assert_eq!(code(rig.write(delete_route_table, table)), "");
}

/// One attribute a call; what is not there can only be told to stay so.
#[test]
fn subnets_are_modified() {
    let mut rig = Rig::new();
    let vpc = make_vpc(&mut rig, "10.0.0.0/16");
    let id = make_subnet(&mut rig, &vpc, "10.0.0.0/24");
    let flag = |value: bool| Some(wire::AttributeBooleanValue { value: Some(value) });
    let base = wire::ModifySubnetAttributeRequest { subnet_id: text(&id), ..Default::default() };
    let names = |kind: &str| wire::ModifySubnetAttributeRequest {
        private_dns_hostname_type_on_launch: text(kind),
        ..base.clone()
    };
    let six =
        |on: bool| wire::ModifySubnetAttributeRequest { assign_ipv6_address_on_creation: flag(on), ..base.clone() };
    let public = wire::ModifySubnetAttributeRequest { map_public_ip_on_launch: flag(true), ..base.clone() };
    let both =
        wire::ModifySubnetAttributeRequest { private_dns_hostname_type_on_launch: text("ip-name"), ..public.clone() };
    let unknown = wire::ModifySubnetAttributeRequest { subnet_id: text("subnet-00000000"), ..public.clone() };
    for (input, want) in [
        (public, ""),
        (names("resource-name"), ""),
        (names("nickname"), "InvalidParameterValue"),
        (six(false), ""),
        (six(true), "UnsupportedOperation"),
        (both, "InvalidParameterCombination"),
        (base.clone(), "MissingParameter"),
        (unknown, "InvalidSubnetID.NotFound"),
    ] {
        assert_eq!(code(rig.write(modify_subnet_attribute, input.clone())), want, "{input:?}");
    }
    let shown = show_subnet(&mut rig, &id);
    assert_eq!(shown.map_public_ip_on_launch, Some(true));
    let names = shown.private_dns_name_options_on_launch.and_then(|names| names.hostname_type);
    assert_eq!(names.as_deref(), Some("resource-name"));
    for (name, value) in [
        ("map-public-ip-on-launch", "true"),
        ("private-dns-name-options-on-launch.hostname-type", "resource-name"),
        ("cidr-block", "10.0.0.0/24"),
    ] {
        let filters = vec![filter(name, value), filter("vpc-id", &vpc)];
        let input = wire::DescribeSubnetsRequest { filters, ..Default::default() };
        assert_eq!(rig.read(describe_subnets, input).expect("described").subnets.len(), 1, "{name}");
    }
}

/// The default VPC can be taken apart and made again.
#[test]
fn the_default_network_comes_back() {
    let mut rig = Rig::new();
    assert_eq!(code(rig.write(create_default_vpc, Default::default())), "DefaultVpcAlreadyExists");
    let zone = |name: &str| wire::CreateDefaultSubnetRequest { availability_zone: text(name), ..Default::default() };
    let taken = rig.write(create_default_subnet, zone("us-east-1a"));
    assert_eq!(code(taken), "DefaultSubnetAlreadyExistsInAvailabilityZone");
    let subnets = rig.read(describe_subnets, Default::default()).expect("described").subnets;
    for subnet in subnets {
        rig.write(delete_subnet, wire::DeleteSubnetRequest { subnet_id: subnet.subnet_id, dry_run: None })
            .expect("gone");
    }
    let made = rig.write(create_default_subnet, zone("us-east-1c")).expect("made").subnet.expect("one");
    assert_eq!((made.cidr_block.as_deref(), made.default_for_az), (Some("172.31.0.0/20"), Some(true)));
    assert_eq!(code(rig.write(create_default_subnet, zone("eu-west-1a"))), "InvalidParameterValue");
    assert_eq!(code(rig.write(create_default_subnet, zone(""))), "MissingParameter");
    rig.write(delete_subnet, wire::DeleteSubnetRequest { subnet_id: made.subnet_id, dry_run: None }).expect("gone");
    let gateway =
        rig.read(describe_internet_gateways, Default::default()).expect("described").internet_gateways.remove(0);
    let vpc = gateway.attachments[0].vpc_id.clone();
    let pair = wire::DetachInternetGatewayRequest {
        internet_gateway_id: gateway.internet_gateway_id,
        vpc_id: vpc.clone(),
        dry_run: None,
    };
    rig.write(detach_internet_gateway, pair).expect("detached");
    rig.write(delete_vpc, wire::DeleteVpcRequest { vpc_id: vpc, dry_run: None }).expect("gone");
    assert_eq!(code(rig.write(create_default_subnet, zone("us-east-1a"))), "DefaultVpcDoesNotExist");
    let made = rig.write(create_default_vpc, Default::default()).expect("made").vpc.expect("one");
    assert_eq!((made.is_default, made.cidr_block.as_deref()), (Some(true), Some("172.31.0.0/16")));
    assert_eq!(rig.read(describe_subnets, Default::default()).expect("described").subnets.len(), 3);
    let data = LaunchData { image: Some(engine_network::host_image()), ..LaunchData::default() };
    let request = launch::Request { data, count_min: 1, count_max: 1, ..launch::Request::default() };
    let launched = rig.tx(|tx| launch::launch(tx, &request).map_err(errors::refused));
    assert_eq!(launched.expect("launched into it").len(), 1);
}

fn gateway_pair(gateway: &str, vpc: &str) -> wire::AttachInternetGatewayRequest {
    wire::AttachInternetGatewayRequest { internet_gateway_id: text(gateway), vpc_id: text(vpc), dry_run: None }
}

fn detach(rig: &mut Rig, gateway: &str, vpc: &str) -> String {
    let input =
        wire::DetachInternetGatewayRequest { internet_gateway_id: text(gateway), vpc_id: text(vpc), dry_run: None };
    code(rig.write(detach_internet_gateway, input))
}

pub(super) fn make_gateway(rig: &mut Rig) -> String {
    let made = rig.write(create_internet_gateway, Default::default()).expect("made");
    made.internet_gateway.expect("one").internet_gateway_id.expect("an id")
}

/// A gateway is attached to one VPC, a VPC to one gateway; it goes once detached,
/// and is detached once no public address leads in.
#[test]
fn a_gateway_from_start_to_end() -> Result<(), ApiError> {
    let mut rig = Rig::new();
    let (vpc, other) = (make_vpc(&mut rig, "10.0.0.0/16"), make_vpc(&mut rig, "10.0.0.0/16"));
    let (id, second) = (make_gateway(&mut rig), make_gateway(&mut rig));
    for (gateway, vpc, want) in [
        ("igw-00000000", vpc.as_str(), "InvalidInternetGatewayID.NotFound"),
        ("x", &vpc, "InvalidInternetGatewayId.Malformed"),
        (&id, "vpc-00000000", "InvalidVpcID.NotFound"),
        (&id, &vpc, ""),
        (&id, &other, "Resource.AlreadyAssociated"),
        (&second, &vpc, "InvalidParameterValue"),
    ] {
        assert_eq!(code(rig.write(attach_internet_gateway, gateway_pair(gateway, vpc))), want, "{gateway} {vpc}");
    }
    for (name, value, count) in [
        ("attachment.vpc-id", vpc.as_str(), 1),
        ("attachment.state", "available", 2),
        ("internet-gateway-id", &second, 1),
    ] {
        let input = wire::DescribeInternetGatewaysRequest { filters: vec![filter(name, value)], ..Default::default() };
        let found = rig.read(describe_internet_gateways, input)?.internet_gateways;
        assert_eq!(found.len(), count, "{name}={value}");
    }
    let subnet = make_subnet(&mut rig, &vpc, "10.0.0.0/24");
    let interface = put_interface(&mut rig, &subnet);
    rig.tx(|tx| {
        let private_ip = tx.get::<NetworkInterface>(&interface).expect("put").primary();
        let association = Some(AddressAssociation { id: "eipassoc-1".to_string(), interface, private_ip });
        let (id, public_ip) = ("eipalloc-1".to_string(), "198.18.0.4".parse().expect("an address"));
        tx.put(Address { id, public_ip, association, tags: Default::default() });
        Ok(())
    })?;
    assert_eq!(detach(&mut rig, &id, &vpc), "DependencyViolation");
    rig.tx(|tx| {
        tx.delete::<Address>("eipalloc-1");
        Ok(())
    })?;
    let gone = |id: &str| wire::DeleteInternetGatewayRequest { internet_gateway_id: text(id), dry_run: None };
    assert_eq!(code(rig.write(delete_internet_gateway, gone(&id))), "DependencyViolation");
    assert_eq!(detach(&mut rig, &id, &other), "Gateway.NotAttached");
    assert_eq!(detach(&mut rig, &id, &vpc), "");
    assert_eq!(code(rig.write(delete_internet_gateway, gone(&id))), "");
    assert_eq!(code(rig.write(delete_internet_gateway, gone(&id))), "InvalidInternetGatewayID.NotFound");
    let vpcs = rig.tx(|tx| Ok(tx.all::<Vpc>().count()))?;
    assert_eq!(vpcs, 3);
    Ok(())
}
