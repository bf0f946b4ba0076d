//! DescribeRouteTables: every VPC's main route table. It has the one route
//! that there is: within the VPC.

use super::errors;
use super::filter::Filters;
use super::listing::IdKind;
use super::network::{relative, truth};
use super::paging::cut;
use crate::Call;
use elastane_engine::row;
use elastane_wire::{ApiError, ec2 as wire};
use std::ops::RangeInclusive;

const ROUTE_TABLE_ID: IdKind = IdKind {
    prefix: "rtb-",
    malformed: "InvalidRouteTableId.Malformed",
    not_found: "InvalidRouteTableID.NotFound",
    noun: "The routeTable ID",
};

/// MaxResults (EC2 API Reference, "DescribeRouteTables").
const PAGE: RangeInclusive<i32> = 5..=100;

const FILTERS: [&str; 20] = [
    "association.gateway-id",
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.egress-only-internet-gateway-id",
    "route.gateway-id",
    "route.instance-id",
    "route.nat-gateway-id",
    "route.origin",
    "route.state",
    "route.transit-gateway-id",
    "route.vpc-peering-connection-id",
    "transit-gateway-id",
    "vpc-id",
];

/// DescribeRouteTables. Errors: `InvalidRouteTableId.Malformed`,
/// `InvalidRouteTableID.NotFound`, those of filters and pages.
pub fn describe_route_tables(
    call: &Call<'_>,
    input: &wire::DescribeRouteTablesRequest,
) -> Result<wire::DescribeRouteTablesResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    for id in &input.route_table_ids {
        ROUTE_TABLE_ID.check(id)?;
        if !call.all::<row::Vpc>().any(|vpc| table_id(vpc) == *id) {
            return Err(ROUTE_TABLE_ID.unknown(id));
        }
    }
    errors::dry_run(input.dry_run)?;
    let by_id = !input.route_table_ids.is_empty();
    let found = call.all::<row::Vpc>().filter(|vpc| {
        (!by_id || input.route_table_ids.contains(&table_id(vpc)))
            && filters.accept(&row::Tags::new(), |name, emit| values(call, vpc, name, emit))
    });
    let token = input.next_token.as_deref();
    let (found, next_token) = cut(found.collect(), input.max_results, token, (PAGE, by_id), |vpc| table_id(vpc))?;
    Ok(wire::DescribeRouteTablesResult {
        route_tables: found.into_iter().map(|vpc| shown(call, vpc)).collect(),
        next_token,
    })
}

fn table_id(vpc: &row::Vpc) -> String {
    relative(vpc, ROUTE_TABLE_ID.prefix)
}

fn association_id(vpc: &row::Vpc) -> String {
    relative(vpc, "rtbassoc-")
}

fn values(call: &Call<'_>, vpc: &row::Vpc, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "association.main" => emit(truth(true)),
        "association.route-table-association-id" => emit(&association_id(vpc)),
        "association.route-table-id" | "route-table-id" => emit(&table_id(vpc)),
        "owner-id" => emit(call.scope.account.as_str()),
        "route.destination-cidr-block" => emit(&vpc.cidr.to_string()),
        "route.gateway-id" => emit("local"),
        "route.origin" => emit("CreateRouteTable"),
        "route.state" => emit("active"),
        "vpc-id" => emit(vpc.id.as_str()),
        // Subnets use the main table without saying so; gateways there are none.
        _ => {}
    }
}

fn shown(call: &Call<'_>, vpc: &row::Vpc) -> wire::RouteTable {
    let word = |text: &str| Some(text.to_string());
    wire::RouteTable {
        associations: vec![wire::RouteTableAssociation {
            association_state: Some(wire::RouteTableAssociationState {
                state: word("associated"),
                ..Default::default()
            }),
            main: Some(true),
            route_table_association_id: Some(association_id(vpc)),
            route_table_id: Some(table_id(vpc)),
            ..Default::default()
        }],
        owner_id: word(call.scope.account.as_str()),
        route_table_id: Some(table_id(vpc)),
        routes: vec![wire::Route {
            destination_cidr_block: Some(vpc.cidr.to_string()),
            gateway_id: word("local"),
            origin: word("CreateRouteTable"),
            state: word("active"),
            ..Default::default()
        }],
        vpc_id: word(vpc.id.as_str()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, code, filter};
    use super::*;

    /// The default VPC has its main table, with the route within it and no other.
    #[test]
    fn the_main_table_of_a_vpc() {
        let mut rig = Rig::new();
        let vpc = rig.read(super::super::describe_vpcs, Default::default()).expect("described").vpcs.remove(0);
        let id = vpc.vpc_id.expect("an id");
        let filters = vec![filter("vpc-id", &id), filter("association.main", "true")];
        let input = wire::DescribeRouteTablesRequest { filters, ..Default::default() };
        let table = rig.read(describe_route_tables, input).expect("described").route_tables.remove(0);
        assert_eq!(table.routes.len(), 1);
        assert_eq!(table.routes[0].destination_cidr_block, vpc.cidr_block);
        let ask =
            |id: &str| wire::DescribeRouteTablesRequest { route_table_ids: vec![id.to_string()], ..Default::default() };
        let by_id = ask(table.route_table_id.as_deref().expect("an id"));
        assert_eq!(rig.read(describe_route_tables, by_id).expect("described").route_tables, [table]);
        for (id, want) in
            [("rtb-00000000000000000", "InvalidRouteTableID.NotFound"), ("vpc-1", "InvalidRouteTableId.Malformed")]
        {
            assert_eq!(code(rig.read(describe_route_tables, ask(id))), want);
        }
    }
}
