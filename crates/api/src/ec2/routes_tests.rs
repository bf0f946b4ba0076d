//! Route tables, their routes and what uses them.

use super::rig::{Rig, code, filter};
use super::vpcs_tests::{make_gateway, make_subnet, make_vpc, put_interface};
use super::*;
use elastane_engine::row::{InternetGateway, NatGateway, NatGatewayPhase, NetworkInterface};
use elastane_wire::ec2 as wire;

fn text(value: &str) -> Option<String> {
    Some(value.to_string())
}

/// A VPC with a subnet, an attached gateway, a NAT gateway and a table.
struct Place {
    rig: Rig,
    vpc: String,
    subnet: String,
    gateway: String,
    interface: String,
    nat: String,
    table: String,
}

fn make_table(rig: &mut Rig, vpc: &str) -> String {
    let input = wire::CreateRouteTableRequest { vpc_id: text(vpc), ..Default::default() };
    rig.write(create_route_table, input).expect("made").route_table.expect("one").route_table_id.expect("an id")
}

fn place() -> Place {
    let mut rig = Rig::new();
    let vpc = make_vpc(&mut rig, "10.0.0.0/16");
    let subnet = make_subnet(&mut rig, &vpc, "10.0.0.0/24");
    let gateway = make_gateway(&mut rig);
    let pair =
        wire::AttachInternetGatewayRequest { internet_gateway_id: text(&gateway), vpc_id: text(&vpc), dry_run: None };
    rig.write(attach_internet_gateway, pair).expect("attached");
    let interface = put_interface(&mut rig, &subnet);
    let nat = "nat-0123456789abcdef0".to_string();
    let row = NatGateway {
        id: nat.clone(),
        vpc: vpc.as_str().into(),
        subnet: subnet.as_str().into(),
        public: true,
        interface: interface.clone(),
        allocations: Vec::new(),
        created_at: super::rig::NOW,
        phase: NatGatewayPhase::Available,
        client_token: None,
        tags: Default::default(),
    };
    rig.tx(|tx| {
        tx.put(row);
        Ok(())
    })
    .expect("put");
    let table = make_table(&mut rig, &vpc);
    Place { rig, vpc, subnet, gateway, interface, nat, table }
}

impl Place {
    fn input(&self, destination: &str) -> wire::CreateRouteRequest {
        wire::CreateRouteRequest {
            route_table_id: text(&self.table),
            destination_cidr_block: text(destination),
            ..Default::default()
        }
    }

    fn by_gateway(&self, destination: &str) -> wire::CreateRouteRequest {
        wire::CreateRouteRequest { gateway_id: text(&self.gateway), ..self.input(destination) }
    }

    fn create(&mut self, input: wire::CreateRouteRequest) -> String {
        code(self.rig.write(create_route, input))
    }

    fn remove(&mut self, destination: &str) -> String {
        let input = wire::DeleteRouteRequest {
            route_table_id: text(&self.table),
            destination_cidr_block: text(destination),
            ..Default::default()
        };
        code(self.rig.write(delete_route, input))
    }

    fn show(&mut self) -> wire::RouteTable {
        let input =
            wire::DescribeRouteTablesRequest { route_table_ids: vec![self.table.clone()], ..Default::default() };
        self.rig.read(describe_route_tables, input).expect("described").route_tables.remove(0)
    }

    /// Each route as `destination target state`.
    fn lines(&mut self) -> Vec<String> {
        let line = |route: wire::Route| {
            let target = route.gateway_id.or(route.nat_gateway_id).or(route.network_interface_id).unwrap_or_default();
            let destination = route.destination_cidr_block.or(route.destination_prefix_list_id).unwrap_or_default();
            format!("{destination} {target} {}", route.state.unwrap_or_default())
        };
        self.show().routes.into_iter().map(line).collect()
    }

    fn count(&mut self, name: &str, value: &str) -> usize {
        let filters = vec![filter(name, value), filter("vpc-id", &self.vpc)];
        let input = wire::DescribeRouteTablesRequest { filters, ..Default::default() };
        self.rig.read(describe_route_tables, input).expect("described").route_tables.len()
    }
}

/// Routes lead where they are told, and say whether that is there.
#[test]
fn routes_are_kept_and_shown() {
    let mut at = place();
    assert_eq!(at.lines(), ["10.0.0.0/16 local active"]);
    let (nat, interface) = (at.nat.clone(), at.interface.clone());
    let by_nat = wire::CreateRouteRequest { nat_gateway_id: text(&nat), ..at.input("192.168.1.1/16") };
    let by_interface = wire::CreateRouteRequest { network_interface_id: text(&interface), ..at.input("172.16.0.0/12") };
    for input in [at.by_gateway("0.0.0.0/0"), by_nat, by_interface] {
        assert_eq!(at.create(input), "");
    }
    let gateway = at.gateway.clone();
    let mut expected = [
        "10.0.0.0/16 local active".to_string(),
        format!("0.0.0.0/0 {gateway} active"),
        format!("192.168.0.0/16 {nat} active"),
        // Nothing forwards behind an interface that is not attached.
        format!("172.16.0.0/12 {interface} blackhole"),
    ];
    assert_eq!(at.lines(), expected);
    let origins: Vec<String> = at.show().routes.into_iter().filter_map(|route| route.origin).collect();
    assert_eq!(origins, ["CreateRouteTable", "CreateRoute", "CreateRoute", "CreateRoute"]);
    for (name, value, count) in [
        ("route.gateway-id", gateway.as_str(), 1),
        ("route.gateway-id", "local", 2),
        ("route.nat-gateway-id", &nat, 1),
        ("route.state", "blackhole", 1),
        ("route.origin", "CreateRoute", 1),
        ("route.destination-cidr-block", "192.168.0.0/16", 1),
        ("association.main", "true", 1),
        ("association.main", "false", 0),
    ] {
        assert_eq!(at.count(name, value), count, "{name}={value}");
    }
    at.rig
        .tx(|tx| {
            tx.update(&gateway, |row: &mut InternetGateway| row.vpc = None);
            tx.update(&nat, |row: &mut NatGateway| row.phase = NatGatewayPhase::Deleting);
            Ok(())
        })
        .expect("updated");
    expected[1] = format!("0.0.0.0/0 {gateway} blackhole");
    expected[2] = format!("192.168.0.0/16 {nat} blackhole");
    assert_eq!(at.lines(), expected);
}

/// A route leads to one thing, which is there and in the table's network.
#[test]
fn targets_are_checked() {
    let mut at = place();
    let other_vpc = make_vpc(&mut at.rig, "10.0.0.0/16");
    let other_gateway = make_gateway(&mut at.rig);
    let other_subnet = make_subnet(&mut at.rig, &other_vpc, "10.0.0.0/24");
    let other_interface = put_interface(&mut at.rig, &other_subnet);
    let to = at.input("1.0.0.0/8");
    let gateway = |id: &str| wire::CreateRouteRequest { gateway_id: text(id), ..to.clone() };
    let nat = |id: &str| wire::CreateRouteRequest { nat_gateway_id: text(id), ..to.clone() };
    let interface = |id: &str| wire::CreateRouteRequest { network_interface_id: text(id), ..to.clone() };
    let instance = |id: &str| wire::CreateRouteRequest { instance_id: text(id), ..to.clone() };
    let transit = wire::CreateRouteRequest { transit_gateway_id: text("tgw-00000000"), ..to.clone() };
    let peering = wire::CreateRouteRequest { vpc_peering_connection_id: text("pcx-00000000"), ..to.clone() };
    let core = wire::CreateRouteRequest { core_network_arn: text("arn"), ..to.clone() };
    let two = wire::CreateRouteRequest { nat_gateway_id: text(&at.nat), ..at.by_gateway("1.0.0.0/8") };
    let cases = [
        (to.clone(), "MissingParameter"),
        (two, "InvalidParameterCombination"),
        (gateway("local"), "InvalidGatewayID.NotFound"),
        (gateway("igw-00000000"), "InvalidInternetGatewayID.NotFound"),
        (gateway("vgw-00000000"), "InvalidVpnGatewayID.NotFound"),
        (gateway(&other_gateway), "InvalidParameterValue"),
        (nat("nat-00000000"), "InvalidNatGatewayID.NotFound"),
        (interface("eni-00000000"), "InvalidNetworkInterfaceID.NotFound"),
        (interface(&other_interface), "InvalidParameterValue"),
        (instance("i-00000000"), "InvalidInstanceID.NotFound"),
        (instance("x"), "InvalidInstanceID.Malformed"),
        (transit, "InvalidTransitGatewayID.NotFound"),
        (peering, "InvalidVpcPeeringConnectionID.NotFound"),
        (core, "UnsupportedOperation"),
    ];
    for (input, want) in cases {
        assert_eq!(at.create(input.clone()), want, "{input:?}");
    }
    assert_eq!(at.lines().len(), 1, "nothing of a refused call is kept");
}

/// What a route cannot be about, and how many there are at most.
#[test]
fn destinations_are_checked() {
    let mut at = place();
    assert_eq!(at.create(at.by_gateway("0.0.0.0/0")), "");
    let within = wire::CreateRouteRequest { network_interface_id: text(&at.interface), ..at.input("10.0.1.0/24") };
    let six = wire::CreateRouteRequest { destination_ipv6_cidr_block: text("::/0"), ..at.by_gateway("") };
    let list = wire::CreateRouteRequest { destination_prefix_list_id: text("pl-00000000"), ..at.by_gateway("") };
    let table = wire::CreateRouteRequest { route_table_id: text("rtb-00000000"), ..at.by_gateway("1.0.0.0/8") };
    let dry = wire::CreateRouteRequest { dry_run: Some(true), ..at.by_gateway("1.0.0.0/8") };
    let cases = [
        (at.by_gateway("0.0.0.0/0"), "RouteAlreadyExists"),
        (at.by_gateway("10.0.0.0/16"), "RouteAlreadyExists"),
        (at.by_gateway("10.0.1.0/24"), "InvalidParameterValue"),
        (within, "UnsupportedOperation"),
        (at.by_gateway("x"), "InvalidParameterValue"),
        (at.by_gateway(""), "MissingParameter"),
        (six, "UnsupportedOperation"),
        (list, "InvalidPrefixListID.NotFound"),
        (table, "InvalidRouteTableID.NotFound"),
        (dry, "DryRunOperation"),
    ];
    for (input, want) in cases {
        assert_eq!(at.create(input.clone()), want, "{input:?}");
    }
    assert_eq!(at.lines().len(), 2, "nothing of a refused call is kept");
    for index in 1..50 {
        assert_eq!(at.create(at.by_gateway(&format!("{}.0.0.0/8", 20 + index))), "");
    }
    assert_eq!(at.create(at.by_gateway("1.0.0.0/8")), "RouteLimitExceeded");
}

/// Routes are replaced and removed; local ones stay.
#[test]
fn routes_are_replaced_and_removed() {
    let mut at = place();
    assert_eq!(at.create(at.by_gateway("0.0.0.0/0")), "");
    let nat = at.nat.clone();
    let base = wire::ReplaceRouteRequest {
        route_table_id: text(&at.table),
        destination_cidr_block: text("0.0.0.0/0"),
        ..Default::default()
    };
    let by_nat = wire::ReplaceRouteRequest { nat_gateway_id: text(&nat), ..base.clone() };
    let local = wire::ReplaceRouteRequest { local_target: Some(true), ..base.clone() };
    for (input, want) in [
        (by_nat.clone(), ""),
        (
            wire::ReplaceRouteRequest { destination_cidr_block: text("1.0.0.0/8"), ..by_nat.clone() },
            "InvalidParameterValue",
        ),
        (wire::ReplaceRouteRequest { destination_cidr_block: text("10.0.0.0/16"), ..by_nat }, "UnsupportedOperation"),
        (wire::ReplaceRouteRequest { destination_cidr_block: text("10.0.0.0/16"), ..local.clone() }, ""),
        (local, "InvalidParameterValue"),
        (base, "MissingParameter"),
    ] {
        assert_eq!(code(at.rig.write(replace_route, input.clone())), want, "{input:?}");
    }
    assert_eq!(at.lines()[1], format!("0.0.0.0/0 {nat} active"));
    for (destination, want) in [
        ("10.0.0.0/16", "InvalidParameterValue"),
        ("1.0.0.0/8", "InvalidRoute.NotFound"),
        ("0.0.0.0/0", ""),
        ("0.0.0.0/0", "InvalidRoute.NotFound"),
        ("", "MissingParameter"),
    ] {
        assert_eq!(at.remove(destination), want, "{destination}");
    }
}

/// A route to an instance is one to its interface, and shows both.
#[test]
fn a_route_to_an_instance() {
    let mut scene = super::scene::Scene::new();
    let instance = scene.launch(1).remove(0);
    scene.settle();
    let row = scene.row::<elastane_engine::row::Instance>(&instance);
    let table = wire::CreateRouteTableRequest { vpc_id: text(row.vpc.as_str()), ..Default::default() };
    let table = scene.write(|change| create_route_table(change, &table)).expect("made").route_table.expect("one");
    let input = wire::CreateRouteRequest {
        route_table_id: table.route_table_id.clone(),
        destination_cidr_block: text("10.0.0.0/8"),
        instance_id: text(&instance),
        ..Default::default()
    };
    scene.write(|change| create_route(change, &input)).expect("routed");
    let ask = wire::DescribeRouteTablesRequest {
        route_table_ids: table.route_table_id.into_iter().collect(),
        ..Default::default()
    };
    let shown = scene.read(|call| describe_route_tables(call, &ask)).expect("described").route_tables.remove(0);
    let route = &shown.routes[1];
    assert_eq!(route.instance_id.as_deref(), Some(instance.as_str()));
    assert_eq!(route.instance_owner_id.as_deref(), Some("000000000000"));
    assert_eq!(route.network_interface_id.as_deref(), Some(row.interface.as_str()));
    assert_eq!(route.state.as_deref(), Some("active"));
}

/// The same token makes one table; a wrong call none.
#[test]
fn tables_are_made_once_a_token() {
    let mut at = place();
    let base = wire::CreateRouteTableRequest { vpc_id: text(&at.vpc), client_token: text("one"), ..Default::default() };
    let other = make_vpc(&mut at.rig, "10.0.0.0/16");
    let first = at.rig.write(create_route_table, base.clone()).expect("made").route_table.expect("one");
    let again = at.rig.write(create_route_table, base.clone()).expect("found").route_table.expect("one");
    assert_eq!(first, again);
    for (input, want) in [
        (wire::CreateRouteTableRequest { vpc_id: text(&other), ..base.clone() }, "IdempotentParameterMismatch"),
        (wire::CreateRouteTableRequest { vpc_id: text("vpc-00000000"), ..base.clone() }, "InvalidVpcID.NotFound"),
        (wire::CreateRouteTableRequest { vpc_id: None, ..base.clone() }, "MissingParameter"),
        (wire::CreateRouteTableRequest { dry_run: Some(true), client_token: None, ..base }, "DryRunOperation"),
    ] {
        assert_eq!(code(at.rig.write(create_route_table, input.clone())), want, "{input:?}");
    }
    assert_eq!(at.count("vpc-id", "*"), 3);
    let page = wire::DescribeRouteTablesRequest { max_results: Some(5), ..Default::default() };
    assert_eq!(at.rig.read(describe_route_tables, page).expect("a page").next_token, None);
    let page = wire::DescribeRouteTablesRequest { max_results: Some(101), ..Default::default() };
    assert_eq!(code(at.rig.read(describe_route_tables, page)), "InvalidParameterValue");
    for (id, want) in
        [("rtb-00000000000000000", "InvalidRouteTableID.NotFound"), ("vpc-1", "InvalidRouteTableId.Malformed")]
    {
        let ask = wire::DescribeRouteTablesRequest { route_table_ids: vec![id.to_string()], ..Default::default() };
        assert_eq!(code(at.rig.read(describe_route_tables, ask)), want);
    }
    for _ in 3..200 {
        make_table(&mut at.rig, &at.vpc);
    }
    let more = wire::CreateRouteTableRequest { vpc_id: text(&at.vpc), ..Default::default() };
    assert_eq!(code(at.rig.write(create_route_table, more)), "RouteTableLimitExceeded");
}

/// A subnet uses one table; the main one changes hands and never goes.
#[test]
fn tables_are_used() {
    let mut at = place();
    let second = make_table(&mut at.rig, &at.vpc);
    let other_vpc = make_vpc(&mut at.rig, "10.0.0.0/16");
    let foreign = make_table(&mut at.rig, &other_vpc);
    let pair = |table: &str, subnet: &str| wire::AssociateRouteTableRequest {
        route_table_id: text(table),
        subnet_id: text(subnet),
        ..Default::default()
    };
    let edge = wire::AssociateRouteTableRequest { gateway_id: text(&at.gateway), ..pair(&at.table, "") };
    for (input, want) in [
        (pair(&foreign, &at.subnet), "InvalidParameterValue"),
        (pair("rtb-00000000", &at.subnet), "InvalidRouteTableID.NotFound"),
        (pair(&at.table, "subnet-00000000"), "InvalidSubnetID.NotFound"),
        (edge, "UnsupportedOperation"),
        (pair(&at.table, &at.subnet), ""),
        (pair(&second, &at.subnet), "Resource.AlreadyAssociated"),
    ] {
        assert_eq!(code(at.rig.write(associate_route_table, input.clone())), want, "{input:?}");
    }
    let again = at.rig.write(associate_route_table, pair(&at.table, &at.subnet)).expect("as before");
    let id = at.show().associations[0].route_table_association_id.clone().expect("an id");
    assert_eq!(again.association_id.as_deref(), Some(id.as_str()));
    assert_eq!(at.count("association.subnet-id", &at.subnet.clone()), 1);
    let gone = |id: &str| wire::DeleteRouteTableRequest { route_table_id: text(id), dry_run: None };
    assert_eq!(code(at.rig.write(delete_route_table, gone(&at.table))), "DependencyViolation");
    let replace = |id: &str, table: &str| wire::ReplaceRouteTableAssociationRequest {
        association_id: text(id),
        route_table_id: text(table),
        dry_run: None,
    };
    assert_eq!(code(at.rig.write(replace_route_table_association, replace(&id, &foreign))), "InvalidParameterValue");
    let moved = at.rig.write(replace_route_table_association, replace(&id, &second)).expect("moved");
    let moved = moved.new_association_id.expect("an id");
    assert_eq!(
        code(at.rig.write(replace_route_table_association, replace(&id, &second))),
        "InvalidAssociationID.NotFound"
    );
    assert_eq!(code(at.rig.write(delete_route_table, gone(&at.table))), "");
    let apart = |id: &str| wire::DisassociateRouteTableRequest { association_id: text(id), dry_run: None };
    assert_eq!(code(at.rig.write(disassociate_route_table, apart(&moved))), "");
    assert_eq!(code(at.rig.write(disassociate_route_table, apart(&moved))), "InvalidAssociationID.NotFound");

    let filters = vec![filter("vpc-id", &at.vpc), filter("association.main", "true")];
    let main = wire::DescribeRouteTablesRequest { filters, ..Default::default() };
    let old = at.rig.read(describe_route_tables, main.clone()).expect("described").route_tables.remove(0);
    let id = old.associations[0].route_table_association_id.clone().expect("an id");
    assert_eq!(code(at.rig.write(disassociate_route_table, apart(&id))), "InvalidParameterValue");
    at.rig.write(replace_route_table_association, replace(&id, &second)).expect("another main table");
    let new = at.rig.read(describe_route_tables, main).expect("described").route_tables;
    assert_eq!((new.len(), new[0].route_table_id.as_deref()), (1, Some(second.as_str())));
    assert_eq!(code(at.rig.write(delete_route_table, gone(&second))), "DependencyViolation");
    assert_eq!(code(at.rig.write(delete_route_table, gone(&old.route_table_id.expect("an id")))), "");
}

/// There is no gateway whose routes could spread.
#[test]
fn nothing_propagates() {
    let mut at = place();
    for (table, gateway, want) in [
        (at.table.as_str(), "vgw-00000000", "InvalidVpnGatewayID.NotFound"),
        (&at.table, "x", "InvalidVpnGatewayID.Malformed"),
        (&at.table, "", "MissingParameter"),
        ("rtb-00000000", "vgw-00000000", "InvalidRouteTableID.NotFound"),
    ] {
        let on = wire::EnableVgwRoutePropagationRequest {
            route_table_id: text(table),
            gateway_id: text(gateway),
            dry_run: None,
        };
        let off = wire::DisableVgwRoutePropagationRequest {
            route_table_id: text(table),
            gateway_id: text(gateway),
            dry_run: None,
        };
        assert_eq!(code(at.rig.write(enable_vgw_route_propagation, on)), want);
        assert_eq!(code(at.rig.write(disable_vgw_route_propagation, off)), want);
    }
    let rows = at.rig.tx(|tx| Ok(tx.all::<NetworkInterface>().count())).expect("counted");
    assert_eq!(rows, 1);
}
