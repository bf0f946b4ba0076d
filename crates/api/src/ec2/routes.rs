//! Routes of route tables. Whether a route is `active` or a `blackhole`
//! follows from its target's row at the moment of the look.

use super::internet_gateways::GATEWAY_ID;
use super::network::{VPN_GATEWAY_ID, by_id, given, named, range};
use super::prefix_lists::LIST_ID;
use super::route_tables::TABLE_ID;
use super::{errors, recast};
use crate::Change;
use elastane_domain::id::VpcId;
use elastane_domain::network::Cidr;
use elastane_engine::row::{
    Instance, InternetGateway, NatGateway, NatGatewayPhase, NetworkInterface, Phase, PrefixList, Route,
    RouteDestination, RouteTable, RouteTarget, Vpc,
};
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};

/// Routes of one table, a prefix list counted as its maximum of entries
/// (Amazon VPC quotas).
const ROUTES_MAX: usize = 50;

/// CreateRoute.
///
/// # Errors
/// Those of the table's and the target's ids, `RouteAlreadyExists`,
/// `RouteLimitExceeded`, `InvalidParameterValue` for ranges and for targets
/// of another network, `UnsupportedOperation` for IPv6 and for routes within
/// the VPC.
pub fn create_route(
    change: &mut Change<'_, '_>,
    input: &wire::CreateRouteRequest,
) -> Result<wire::CreateRouteResult, ApiError> {
    let view = change.view();
    let mut table = named::<RouteTable>(&view, (&input.route_table_id, "routeTableId"), &TABLE_ID)?.as_ref().clone();
    let destination = destination(&view, input)?;
    if is_local(&view, &table.vpc, &destination) || table.routes.iter().any(|route| route.destination == destination) {
        let message = format!("The route identified by {} already exists.", words(&destination));
        return Err(ApiError::new("RouteAlreadyExists", message));
    }
    let target = target(&view, &table, input)?;
    check_within(&view, &table.vpc, &destination, &target)?;
    table.routes.push(Route { destination, target });
    if table.routes.iter().map(|route| weight(&view, route)).sum::<usize>() > ROUTES_MAX {
        let message = format!("The maximum number of routes of the route table '{}' has been reached.", table.id);
        return Err(ApiError::new("RouteLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    change.put(table);
    Ok(wire::CreateRouteResult { r#return: Some(true) })
}

/// ReplaceRoute: another target for a destination that has one.
///
/// # Errors
/// Those of [`create_route`], `InvalidParameterValue` when there is no such
/// route; `UnsupportedOperation` for another target than `local` of a local one.
pub fn replace_route(
    change: &mut Change<'_, '_>,
    input: &wire::ReplaceRouteRequest,
) -> Result<wire::ReplaceRouteOutput, ApiError> {
    let mut wanted = wire::CreateRouteRequest::default();
    recast::recast((&wire::REPLACE_ROUTE_REQUEST, input), (&wire::CREATE_ROUTE_REQUEST, &mut wanted));
    let view = change.view();
    let mut table = named::<RouteTable>(&view, (&input.route_table_id, "routeTableId"), &TABLE_ID)?.as_ref().clone();
    let destination = destination(&view, &wanted)?;
    let local = is_local(&view, &table.vpc, &destination);
    if input.local_target == Some(true) || given(&wanted.gateway_id) == Some("local") {
        if !local {
            return Err(errors::invalid_value(format!("{} is not a local route", words(&destination))));
        }
        return errors::dry_run(input.dry_run).map(|()| wire::ReplaceRouteOutput {});
    }
    if local {
        return Err(errors::unsupported("Another target than 'local' for a local route"));
    }
    let target = target(&view, &table, &wanted)?;
    let Some(route) = table.routes.iter_mut().find(|route| route.destination == destination) else {
        let message = format!(
            "There is no route defined for '{}' in the route table. Use CreateRoute instead.",
            words(&destination)
        );
        return Err(errors::invalid_value(message));
    };
    route.target = target;
    errors::dry_run(input.dry_run)?;
    change.put(table);
    Ok(wire::ReplaceRouteOutput {})
}

/// DeleteRoute.
///
/// # Errors
/// Those of the table's id, `InvalidRoute.NotFound`, `InvalidParameterValue`
/// for a local route.
pub fn delete_route(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteRouteRequest,
) -> Result<wire::DeleteRouteOutput, ApiError> {
    let view = change.view();
    let mut table = named::<RouteTable>(&view, (&input.route_table_id, "routeTableId"), &TABLE_ID)?.as_ref().clone();
    let asked = wire::CreateRouteRequest {
        destination_cidr_block: input.destination_cidr_block.clone(),
        destination_ipv6_cidr_block: input.destination_ipv6_cidr_block.clone(),
        destination_prefix_list_id: input.destination_prefix_list_id.clone(),
        ..Default::default()
    };
    // The list may be gone by now; its route must still be removable.
    let destination = match given(&asked.destination_prefix_list_id) {
        Some(id) => RouteDestination::PrefixList(id.to_string()),
        None => destination(&view, &asked)?,
    };
    if is_local(&view, &table.vpc, &destination) {
        let message = format!("cannot remove local route {} in route table {}", words(&destination), table.id);
        return Err(errors::invalid_value(message));
    }
    let Some(at) = table.routes.iter().position(|route| route.destination == destination) else {
        let message = format!("no route with destination {} in route table {}", words(&destination), table.id);
        return Err(ApiError::new("InvalidRoute.NotFound", message));
    };
    table.routes.remove(at);
    errors::dry_run(input.dry_run)?;
    change.put(table);
    Ok(wire::DeleteRouteOutput {})
}

fn destination(view: &View<'_>, input: &wire::CreateRouteRequest) -> Result<RouteDestination, ApiError> {
    let cidr = given(&input.destination_cidr_block);
    let list = given(&input.destination_prefix_list_id);
    if given(&input.destination_ipv6_cidr_block).is_some() {
        return Err(errors::unsupported("IPv6"));
    }
    match (cidr, list) {
        (Some(cidr), None) => Ok(RouteDestination::Cidr(range(cidr, "destinationCidrBlock")?)),
        (None, Some(id)) => {
            by_id::<PrefixList>(view, id, &LIST_ID)?;
            Ok(RouteDestination::PrefixList(id.to_string()))
        }
        (None, None) => Err(errors::missing("destinationCidrBlock")),
        (Some(_), Some(_)) => Err(errors::invalid_combination("A route has one destination.")),
    }
}

fn words(destination: &RouteDestination) -> String {
    match destination {
        RouteDestination::Cidr(cidr) => cidr.to_string(),
        RouteDestination::PrefixList(id) => id.clone(),
    }
}

fn ranges_of(view: &View<'_>, vpc: &VpcId) -> Vec<Cidr> {
    view.get::<Vpc>(vpc.as_str()).map_or(Vec::new(), |vpc| vpc.cidrs().collect())
}

fn is_local(view: &View<'_>, vpc: &VpcId, destination: &RouteDestination) -> bool {
    matches!(destination, RouteDestination::Cidr(cidr) if ranges_of(view, vpc).contains(cidr))
}

/// What is within the VPC is local here, whatever a route says.
fn check_within(
    view: &View<'_>,
    vpc: &VpcId,
    destination: &RouteDestination,
    target: &RouteTarget,
) -> Result<(), ApiError> {
    let RouteDestination::Cidr(cidr) = destination else { return Ok(()) };
    if !ranges_of(view, vpc).iter().any(|whole| whole.covers(*cidr)) {
        return Ok(());
    }
    match target {
        RouteTarget::Interface(_) => Err(errors::unsupported("A route to an interface for a part of the VPC")),
        RouteTarget::InternetGateway(_) | RouteTarget::NatGateway(_) => Err(errors::invalid_value(format!(
            "The destination CIDR block {cidr} is equal to or more specific than one of this VPC's CIDR blocks. \
             This route can target only an interface or an instance."
        ))),
    }
}

fn weight(view: &View<'_>, route: &Route) -> usize {
    match &route.destination {
        RouteDestination::Cidr(_) => 1,
        RouteDestination::PrefixList(id) => {
            view.get::<PrefixList>(id).map_or(1, |list| usize::try_from(list.max_entries).unwrap_or(1))
        }
    }
}

/// Where the request leads: to exactly one thing, of the table's network.
fn target(view: &View<'_>, table: &RouteTable, input: &wire::CreateRouteRequest) -> Result<RouteTarget, ApiError> {
    let absent = [
        (&input.egress_only_internet_gateway_id, "InvalidGatewayID.NotFound"),
        (&input.transit_gateway_id, "InvalidTransitGatewayID.NotFound"),
        (&input.vpc_peering_connection_id, "InvalidVpcPeeringConnectionID.NotFound"),
        (&input.vpc_endpoint_id, "InvalidVpcEndpointId.NotFound"),
        (&input.carrier_gateway_id, "InvalidCarrierGatewayID.NotFound"),
        (&input.local_gateway_id, "InvalidLocalGatewayID.NotFound"),
    ];
    if given(&input.core_network_arn).or(given(&input.odb_network_arn)).is_some() {
        return Err(errors::unsupported("A route to another kind of network"));
    }
    let present =
        [&input.gateway_id, &input.nat_gateway_id, &input.network_interface_id, &input.instance_id].map(given);
    match absent.iter().filter_map(|(id, _)| given(id)).chain(present.into_iter().flatten()).count() {
        0 => return Err(errors::missing("gatewayId")),
        1 => {}
        _ => return Err(errors::invalid_combination("A route has one target.")),
    }
    // Nothing of these kinds can exist.
    if let Some((id, code)) = absent.iter().find_map(|(id, code)| given(id).map(|id| (id, *code))) {
        return Err(ApiError::new(code, format!("The ID '{id}' does not exist")));
    }
    let [gateway, nat, interface, instance] = present;
    if let Some(id) = gateway {
        return gateway_target(view, table, id);
    }
    if let Some(id) = nat {
        let missing =
            || ApiError::new("InvalidNatGatewayID.NotFound", format!("The natGateway ID '{id}' does not exist"));
        let row = view.get::<NatGateway>(id).filter(|row| lives(row)).ok_or_else(missing)?;
        check_network(table, &row.vpc, "NAT gateway", id)?;
        return Ok(RouteTarget::NatGateway(id.to_string()));
    }
    let interface = match (interface, instance) {
        (Some(id), _) => id.to_string(),
        (None, instance) => interface_of(view, instance.unwrap_or_default())?,
    };
    let missing = || {
        let message = format!("The networkInterface ID '{interface}' does not exist");
        ApiError::new("InvalidNetworkInterfaceID.NotFound", message)
    };
    let row = view.get::<NetworkInterface>(&interface).ok_or_else(missing)?;
    check_network(table, &row.vpc, "interface", &interface)?;
    Ok(RouteTarget::Interface(interface))
}

fn gateway_target(view: &View<'_>, table: &RouteTable, id: &str) -> Result<RouteTarget, ApiError> {
    if id.starts_with(VPN_GATEWAY_ID.prefix) {
        return Err(VPN_GATEWAY_ID.unknown(id));
    }
    if !id.starts_with(GATEWAY_ID.prefix) {
        return Err(ApiError::new("InvalidGatewayID.NotFound", format!("The gateway ID '{id}' does not exist")));
    }
    let row = by_id::<InternetGateway>(view, id, &GATEWAY_ID)?;
    if row.vpc.as_ref() != Some(&table.vpc) {
        return Err(other_network(table, "network gateway", id));
    }
    Ok(RouteTarget::InternetGateway(id.to_string()))
}

fn check_network(table: &RouteTable, vpc: &VpcId, noun: &str, id: &str) -> Result<(), ApiError> {
    if table.vpc == *vpc { Ok(()) } else { Err(other_network(table, noun, id)) }
}

fn other_network(table: &RouteTable, noun: &str, id: &str) -> ApiError {
    errors::invalid_value(format!("route table {} and {noun} {id} belong to different networks", table.id))
}

/// The interface of an instance that has only one.
fn interface_of(view: &View<'_>, id: &str) -> Result<String, ApiError> {
    let missing = || errors::instances_not_found(&[id]);
    errors::check_id("i-", "InvalidInstanceID.Malformed", id)?;
    let instance = view.get::<Instance>(id).ok_or_else(missing)?;
    match network::interfaces_of(view, &instance.id).as_slice() {
        [] => Err(missing()),
        [one] => Ok(one.id.clone()),
        _ => {
            let message = format!(
                "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the \
                 operation instead."
            );
            Err(ApiError::new("InvalidInstanceID", message))
        }
    }
}

/// Whether a NAT gateway is one that traffic can be sent to, now or soon.
fn lives(row: &NatGateway) -> bool {
    match row.phase {
        NatGatewayPhase::Pending | NatGatewayPhase::Available => true,
        NatGatewayPhase::Deleting | NatGatewayPhase::Deleted { .. } => false,
    }
}

/// A table's routes as an answer shows them: the local ones, then those that
/// were made.
pub(super) fn show(view: &View<'_>, table: &RouteTable) -> Vec<wire::Route> {
    let local = ranges_of(view, &table.vpc).into_iter().map(|cidr| wire::Route {
        destination_cidr_block: Some(cidr.to_string()),
        gateway_id: Some("local".to_string()),
        origin: Some("CreateRouteTable".to_string()),
        state: Some("active".to_string()),
        ..Default::default()
    });
    local.chain(table.routes.iter().map(|route| show_route(view, table, route))).collect()
}

fn show_route(view: &View<'_>, table: &RouteTable, route: &Route) -> wire::Route {
    let state = if is_active(view, table, route) { "active" } else { "blackhole" };
    let mut shown =
        wire::Route { origin: Some("CreateRoute".to_string()), state: Some(state.to_string()), ..Default::default() };
    match &route.destination {
        RouteDestination::Cidr(cidr) => shown.destination_cidr_block = Some(cidr.to_string()),
        RouteDestination::PrefixList(id) => shown.destination_prefix_list_id = Some(id.clone()),
    }
    match &route.target {
        RouteTarget::InternetGateway(id) => shown.gateway_id = Some(id.clone()),
        RouteTarget::NatGateway(id) => shown.nat_gateway_id = Some(id.clone()),
        RouteTarget::Interface(id) => {
            shown.network_interface_id = Some(id.clone());
            if let Some(instance) = instance_behind(view, id) {
                shown.instance_id = Some(instance.id.to_string());
                shown.instance_owner_id = Some(view.scope.account.to_string());
            }
        }
    }
    shown
}

fn instance_behind<'a>(view: &View<'a>, interface: &str) -> Option<&'a Instance> {
    let attachment = view.get::<NetworkInterface>(interface)?.attachment.as_ref()?;
    view.get::<Instance>(attachment.instance.as_str()).map(AsRef::as_ref)
}

/// Whether what the route leads to is there and takes traffic.
fn is_active(view: &View<'_>, table: &RouteTable, route: &Route) -> bool {
    match &route.target {
        RouteTarget::InternetGateway(id) => {
            view.get::<InternetGateway>(id).is_some_and(|row| row.vpc.as_ref() == Some(&table.vpc))
        }
        RouteTarget::NatGateway(id) => view.get::<NatGateway>(id).is_some_and(|row| lives(row)),
        RouteTarget::Interface(id) => instance_behind(view, id).is_some_and(|row| match row.phase {
            Phase::Pending | Phase::Running => true,
            Phase::Stopping | Phase::Stopped | Phase::ShuttingDown | Phase::Terminated { .. } => false,
        }),
    }
}
