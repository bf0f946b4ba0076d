//! Route tables and what uses them. Every VPC has one main table, which
//! subnets without an association of their own use.

use super::filter::Filters;
use super::listing::{IdKind, chosen};
use super::network::{SUBNET_ID, VPC_ID, VPN_GATEWAY_ID, dependency, given, named, required, tags_of, truth};
use super::paging::cut;
use super::{errors, recast, routes, tag_rules};
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::{RouteTable, RouteTableAssociation, Subnet, Vpc};
use elastane_wire::{ApiError, ec2 as wire};
use std::ops::RangeInclusive;

/// Ids of route tables.
pub(super) const TABLE_ID: IdKind = IdKind {
    prefix: "rtb-",
    malformed: "InvalidRouteTableId.Malformed",
    not_found: "InvalidRouteTableID.NotFound",
    noun: "The routeTable ID",
};

const ASSOCIATION_PREFIX: &str = "rtbassoc-";

/// Tables of one VPC (Amazon VPC quotas).
const TABLES_MAX: usize = 200;

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

/// CreateRouteTable: with the local routes only. The same client token makes
/// no second one.
///
/// # Errors
/// `InvalidVpcID.*`, `RouteTableLimitExceeded`, `IdempotentParameterMismatch`,
/// those of tags.
pub fn create_route_table(
    change: &mut Change<'_, '_>,
    input: &wire::CreateRouteTableRequest,
) -> Result<wire::CreateRouteTableResult, ApiError> {
    let view = change.view();
    let vpc = named::<Vpc>(&view, (&input.vpc_id, "vpcId"), &VPC_ID)?.id.clone();
    let tags = tags_of(&input.tag_specifications, "route-table")?;
    let client_token = given(&input.client_token).map(str::to_string);
    let answer = |view: &View<'_>, row: &RouteTable| wire::CreateRouteTableResult {
        client_token: row.client_token.clone(),
        route_table: Some(show(view, row)),
    };
    let earlier = view.all::<RouteTable>().find(|row| client_token.is_some() && row.client_token == client_token);
    if let Some(row) = earlier {
        errors::dry_run(input.dry_run)?;
        return if row.vpc == vpc && row.tags == tags { Ok(answer(&view, row)) } else { Err(errors::token_mismatch()) };
    }
    if view.all::<RouteTable>().filter(|row| row.vpc == vpc).count() >= TABLES_MAX {
        let message = format!("The maximum number of route tables of the VPC '{vpc}' has been reached.");
        return Err(ApiError::new("RouteTableLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let id = change.rng.id(TABLE_ID.prefix);
    let row = RouteTable { id, vpc, routes: Vec::new(), associations: Vec::new(), client_token, tags };
    let result = answer(&change.view(), &row);
    change.put(row);
    Ok(result)
}

/// DeleteRouteTable, once nothing uses it.
///
/// # Errors
/// `InvalidRouteTableId.Malformed`, `InvalidRouteTableID.NotFound`,
/// `DependencyViolation`.
pub fn delete_route_table(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteRouteTableRequest,
) -> Result<wire::DeleteRouteTableOutput, ApiError> {
    let view = change.view();
    let row = named::<RouteTable>(&view, (&input.route_table_id, "routeTableId"), &TABLE_ID)?;
    if !row.associations.is_empty() {
        return Err(dependency("routeTable", &row.id));
    }
    let id = row.id.clone();
    errors::dry_run(input.dry_run)?;
    change.delete::<RouteTable>(&id);
    Ok(wire::DeleteRouteTableOutput {})
}

/// AssociateRouteTable with a subnet; again with the same table is no change.
///
/// # Errors
/// Those of both ids, `Resource.AlreadyAssociated` for a subnet that has
/// another table, `InvalidParameterValue` for one of another VPC,
/// `UnsupportedOperation` for gateways.
pub fn associate_route_table(
    change: &mut Change<'_, '_>,
    input: &wire::AssociateRouteTableRequest,
) -> Result<wire::AssociateRouteTableResult, ApiError> {
    recast::only(&wire::ASSOCIATE_ROUTE_TABLE_REQUEST, input, &["DryRun", "RouteTableId", "SubnetId"])?;
    let view = change.view();
    let table = named::<RouteTable>(&view, (&input.route_table_id, "routeTableId"), &TABLE_ID)?;
    let subnet = named::<Subnet>(&view, (&input.subnet_id, "subnetId"), &SUBNET_ID)?;
    if table.vpc != subnet.vpc {
        let message = format!("Route table {} and subnet {} belong to different networks", table.id, subnet.id);
        return Err(errors::invalid_value(message));
    }
    let of_subnet = |one: &&RouteTableAssociation| one.subnet.as_ref() == Some(&subnet.id);
    let earlier = view.all::<RouteTable>().find_map(|row| Some((row, row.associations.iter().find(of_subnet)?)));
    if let Some((other, one)) = earlier {
        if other.id != table.id {
            let message = format!(
                "the specified association for route table {} conflicts with an existing association",
                table.id
            );
            return Err(ApiError::new("Resource.AlreadyAssociated", message));
        }
        errors::dry_run(input.dry_run)?;
        return Ok(associated(one.id.clone()));
    }
    let (table, subnet) = (table.id.clone(), Some(subnet.id.clone()));
    errors::dry_run(input.dry_run)?;
    let id = change.rng.id(ASSOCIATION_PREFIX);
    let association = RouteTableAssociation { id: id.clone(), subnet };
    change.update(&table, |row: &mut RouteTable| row.associations.push(association));
    Ok(associated(id))
}

fn associated(id: String) -> wire::AssociateRouteTableResult {
    wire::AssociateRouteTableResult { association_id: Some(id), association_state: Some(state()) }
}

fn state() -> wire::RouteTableAssociationState {
    wire::RouteTableAssociationState { state: Some("associated".to_string()), status_message: None }
}

/// DisassociateRouteTable: the subnet uses the main table again.
///
/// # Errors
/// `InvalidAssociationID.NotFound`, `InvalidParameterValue` for the main
/// table's association.
pub fn disassociate_route_table(
    change: &mut Change<'_, '_>,
    input: &wire::DisassociateRouteTableRequest,
) -> Result<wire::DisassociateRouteTableOutput, ApiError> {
    let view = change.view();
    let (table, association) = association(&view, &input.association_id)?;
    if association.subnet.is_none() {
        let message = format!("cannot disassociate the main route table association {}", association.id);
        return Err(errors::invalid_value(message));
    }
    let (table, id) = (table.id.clone(), association.id.clone());
    errors::dry_run(input.dry_run)?;
    change.update(&table, |row: &mut RouteTable| row.associations.retain(|one| one.id != id));
    Ok(wire::DisassociateRouteTableOutput {})
}

/// ReplaceRouteTableAssociation: a subnet, or the VPC as its main one, uses
/// another table.
///
/// # Errors
/// `InvalidAssociationID.NotFound`, those of the table's id,
/// `InvalidParameterValue` for a table of another VPC.
pub fn replace_route_table_association(
    change: &mut Change<'_, '_>,
    input: &wire::ReplaceRouteTableAssociationRequest,
) -> Result<wire::ReplaceRouteTableAssociationResult, ApiError> {
    let view = change.view();
    let (old, association) = association(&view, &input.association_id)?;
    let new = named::<RouteTable>(&view, (&input.route_table_id, "routeTableId"), &TABLE_ID)?;
    if old.vpc != new.vpc {
        let message = format!("Route tables {} and {} belong to different networks", old.id, new.id);
        return Err(errors::invalid_value(message));
    }
    let (old, new, association) = (old.id.clone(), new.id.clone(), association.clone());
    errors::dry_run(input.dry_run)?;
    let id = change.rng.id(ASSOCIATION_PREFIX);
    change.update(&old, |row: &mut RouteTable| row.associations.retain(|one| one.id != association.id));
    let replaced = RouteTableAssociation { id: id.clone(), ..association };
    change.update(&new, |row: &mut RouteTable| row.associations.push(replaced));
    Ok(wire::ReplaceRouteTableAssociationResult { association_state: Some(state()), new_association_id: Some(id) })
}

fn association<'a>(
    view: &View<'a>,
    id: &Option<String>,
) -> Result<(&'a RouteTable, &'a RouteTableAssociation), ApiError> {
    let id = required(id, "associationId")?;
    let mut uses = view.all::<RouteTable>().flat_map(|row| row.associations.iter().map(move |one| (row.as_ref(), one)));
    uses.find(|(_, one)| one.id == id).ok_or_else(|| {
        ApiError::new("InvalidAssociationID.NotFound", format!("The association ID '{id}' does not exist"))
    })
}

/// EnableVgwRoutePropagation. There are no virtual private gateways.
///
/// # Errors
/// Those of the table's id; `InvalidVpnGatewayID.*` always.
pub fn enable_vgw_route_propagation(
    change: &mut Change<'_, '_>,
    input: &wire::EnableVgwRoutePropagationRequest,
) -> Result<wire::EnableVgwRoutePropagationOutput, ApiError> {
    Err(no_gateway(&change.view(), &input.route_table_id, &input.gateway_id))
}

/// DisableVgwRoutePropagation. Errors as for enabling it.
pub fn disable_vgw_route_propagation(
    change: &mut Change<'_, '_>,
    input: &wire::DisableVgwRoutePropagationRequest,
) -> Result<wire::DisableVgwRoutePropagationOutput, ApiError> {
    Err(no_gateway(&change.view(), &input.route_table_id, &input.gateway_id))
}

fn no_gateway(view: &View<'_>, table: &Option<String>, gateway: &Option<String>) -> ApiError {
    let found = named::<RouteTable>(view, (table, "routeTableId"), &TABLE_ID);
    let checked = found.and_then(|_| required(gateway, "gatewayId"));
    match checked.and_then(|id| VPN_GATEWAY_ID.check(id).map(|()| id)) {
        Ok(id) => VPN_GATEWAY_ID.unknown(id),
        Err(err) => err,
    }
}

/// DescribeRouteTables. Errors: `InvalidRouteTableId.Malformed`,
/// `InvalidRouteTableID.NotFound`, those of filters and pages.
pub fn describe_route_tables(
    call: &Call<'_>,
    input: &wire::DescribeRouteTablesRequest,
) -> Result<wire::DescribeRouteTablesResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen::<RouteTable>(call, &input.route_table_ids, &TABLE_ID)?;
    errors::dry_run(input.dry_run)?;
    // Filters look at what is shown, so that the two cannot differ.
    let shown = rows.into_iter().map(|row| (row, show(&call.view, row)));
    let found = shown.filter(|(row, shown)| filters.accept(&row.tags, |name, emit| values(shown, name, emit)));
    let (token, limits) = (input.next_token.as_deref(), (PAGE, !input.route_table_ids.is_empty()));
    let (found, next_token) = cut(found.collect(), input.max_results, token, limits, |(row, _)| row.id.clone())?;
    Ok(wire::DescribeRouteTablesResult {
        route_tables: found.into_iter().map(|(_, shown)| shown).collect(),
        next_token,
    })
}

fn values(table: &wire::RouteTable, name: &str, emit: &mut dyn FnMut(&str)) {
    if let Some(name) = name.strip_prefix("association.") {
        for association in &table.associations {
            let value = match name {
                "main" => Some(truth(association.main == Some(true))),
                "route-table-association-id" => association.route_table_association_id.as_deref(),
                "route-table-id" => association.route_table_id.as_deref(),
                "subnet-id" => association.subnet_id.as_deref(),
                _ => association.gateway_id.as_deref(),
            };
            value.into_iter().for_each(&mut *emit);
        }
        return;
    }
    if let Some(name) = name.strip_prefix("route.") {
        table.routes.iter().filter_map(|route| route_value(route, name)).for_each(emit);
        return;
    }
    let value = match name {
        "owner-id" => table.owner_id.as_deref(),
        "route-table-id" => table.route_table_id.as_deref(),
        "vpc-id" => table.vpc_id.as_deref(),
        _ => None,
    };
    value.into_iter().for_each(emit);
}

fn route_value<'a>(route: &'a wire::Route, name: &str) -> Option<&'a str> {
    let value = match name {
        "destination-cidr-block" => &route.destination_cidr_block,
        "destination-ipv6-cidr-block" => &route.destination_ipv6_cidr_block,
        "destination-prefix-list-id" => &route.destination_prefix_list_id,
        "egress-only-internet-gateway-id" => &route.egress_only_internet_gateway_id,
        "gateway-id" => &route.gateway_id,
        "instance-id" => &route.instance_id,
        "nat-gateway-id" => &route.nat_gateway_id,
        "origin" => &route.origin,
        "state" => &route.state,
        "transit-gateway-id" => &route.transit_gateway_id,
        _ => &route.vpc_peering_connection_id,
    };
    value.as_deref()
}

fn show(view: &View<'_>, table: &RouteTable) -> wire::RouteTable {
    let association = |one: &RouteTableAssociation| wire::RouteTableAssociation {
        association_state: Some(state()),
        main: Some(one.subnet.is_none()),
        route_table_association_id: Some(one.id.clone()),
        route_table_id: Some(table.id.clone()),
        subnet_id: one.subnet.as_ref().map(ToString::to_string),
        ..Default::default()
    };
    wire::RouteTable {
        associations: table.associations.iter().map(association).collect(),
        owner_id: Some(view.scope.account.to_string()),
        propagating_vgws: Vec::new(),
        route_table_id: Some(table.id.clone()),
        routes: routes::show(view, table),
        tags: tag_rules::shown(&table.tags),
        vpc_id: Some(table.vpc.to_string()),
    }
}
