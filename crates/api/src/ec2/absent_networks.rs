//! What networks have elsewhere and never have here: peerings, VPN
//! connections, customer gateways, endpoints. Lists are empty, ids unknown.

use super::errors;
use super::filter::Filters;
use super::listing::IdKind;
use super::paging::{USUAL, cut};
use crate::Call;
use elastane_wire::{ApiError, ec2 as wire};

const PEERING_ID: IdKind = IdKind {
    prefix: "pcx-",
    malformed: "InvalidVpcPeeringConnectionId.Malformed",
    not_found: "InvalidVpcPeeringConnectionID.NotFound",
    noun: "The vpcPeeringConnection ID",
};

const VPN_CONNECTION_ID: IdKind = IdKind {
    prefix: "vpn-",
    malformed: "InvalidVpnConnectionID.Malformed",
    not_found: "InvalidVpnConnectionID.NotFound",
    noun: "The vpnConnection ID",
};

const CUSTOMER_GATEWAY_ID: IdKind = IdKind {
    prefix: "cgw-",
    malformed: "InvalidCustomerGatewayId.Malformed",
    not_found: "InvalidCustomerGatewayID.NotFound",
    noun: "The customerGateway ID",
};

const ENDPOINT_ID: IdKind = IdKind {
    prefix: "vpce-",
    malformed: "InvalidVpcEndpointId.Malformed",
    not_found: "InvalidVpcEndpointId.NotFound",
    noun: "The Vpc Endpoint Id",
};

/// The error for the first of some ids, none of which can exist.
pub(super) fn none(ids: &[String], kind: &IdKind) -> Result<(), ApiError> {
    ids.iter().try_for_each(|id| kind.check(id))?;
    ids.first().map_or(Ok(()), |id| Err(kind.unknown(id)))
}

/// DescribeVpcPeeringConnections. Errors: `InvalidVpcPeeringConnectionID.NotFound`
/// for every id, those of filters and pages.
pub fn describe_vpc_peering_connections(
    _: &Call<'_>,
    input: &wire::DescribeVpcPeeringConnectionsRequest,
) -> Result<wire::DescribeVpcPeeringConnectionsResult, ApiError> {
    let names = [
        "accepter-vpc-info.cidr-block",
        "accepter-vpc-info.owner-id",
        "accepter-vpc-info.vpc-id",
        "expiration-time",
        "requester-vpc-info.cidr-block",
        "requester-vpc-info.owner-id",
        "requester-vpc-info.vpc-id",
        "status-code",
        "status-message",
        "vpc-peering-connection-id",
    ];
    Filters::new(&input.filters, &names)?;
    none(&input.vpc_peering_connection_ids, &PEERING_ID)?;
    errors::dry_run(input.dry_run)?;
    let (vpc_peering_connections, next_token) =
        cut(Vec::new(), input.max_results, input.next_token.as_deref(), (USUAL, false), |_| String::new())?;
    Ok(wire::DescribeVpcPeeringConnectionsResult { next_token, vpc_peering_connections })
}

/// DescribeVpnConnections. Errors: `InvalidVpnConnectionID.NotFound` for
/// every id, those of filters.
pub fn describe_vpn_connections(
    _: &Call<'_>,
    input: &wire::DescribeVpnConnectionsRequest,
) -> Result<wire::DescribeVpnConnectionsResult, ApiError> {
    let names = [
        "bgp-asn",
        "customer-gateway-configuration",
        "customer-gateway-id",
        "option.static-routes-only",
        "route.destination-cidr-block",
        "state",
        "transit-gateway-id",
        "type",
        "vpn-connection-id",
        "vpn-gateway-id",
    ];
    Filters::new(&input.filters, &names)?;
    none(&input.vpn_connection_ids, &VPN_CONNECTION_ID)?;
    errors::dry_run(input.dry_run)?;
    Ok(wire::DescribeVpnConnectionsResult { vpn_connections: Vec::new() })
}

/// DescribeCustomerGateways. Errors: `InvalidCustomerGatewayID.NotFound` for
/// every id, those of filters.
pub fn describe_customer_gateways(
    _: &Call<'_>,
    input: &wire::DescribeCustomerGatewaysRequest,
) -> Result<wire::DescribeCustomerGatewaysResult, ApiError> {
    Filters::new(&input.filters, &["bgp-asn", "customer-gateway-id", "ip-address", "state", "type"])?;
    none(&input.customer_gateway_ids, &CUSTOMER_GATEWAY_ID)?;
    errors::dry_run(input.dry_run)?;
    Ok(wire::DescribeCustomerGatewaysResult { customer_gateways: Vec::new() })
}

/// DescribeVpcEndpoints. Errors: `InvalidVpcEndpointId.NotFound` for every
/// id, those of filters and pages.
pub fn describe_vpc_endpoints(
    _: &Call<'_>,
    input: &wire::DescribeVpcEndpointsRequest,
) -> Result<wire::DescribeVpcEndpointsResult, ApiError> {
    let names = [
        "ip-address-type",
        "service-name",
        "service-region",
        "vpc-endpoint-id",
        "vpc-endpoint-state",
        "vpc-endpoint-type",
        "vpc-id",
    ];
    Filters::new(&input.filters, &names)?;
    none(&input.vpc_endpoint_ids, &ENDPOINT_ID)?;
    errors::dry_run(input.dry_run)?;
    let (vpc_endpoints, next_token) =
        cut(Vec::new(), input.max_results, input.next_token.as_deref(), (USUAL, false), |_| String::new())?;
    Ok(wire::DescribeVpcEndpointsResult { next_token, vpc_endpoints })
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, code, filter};
    use super::*;

    /// Lists are empty; ids, filters and pages are checked all the same.
    #[test]
    fn nothing_is_there() {
        let mut rig = Rig::new();
        macro_rules! check {
            ($handler:ident, $input:ident, $ids:ident, $list:ident, $good:literal, $not_found:literal, $malformed:literal) => {
                assert_eq!(rig.read($handler, Default::default()).expect("listed").$list.len(), 0);
                let known = wire::$input { filters: vec![filter("tag:a", "b")], ..Default::default() };
                assert_eq!(rig.read($handler, known).expect("listed").$list.len(), 0);
                let unknown = wire::$input { filters: vec![filter("colour", "b")], ..Default::default() };
                assert_eq!(code(rig.read($handler, unknown)), "InvalidParameterValue");
                for (id, want) in [($good, $not_found), ("x", $malformed)] {
                    let input = wire::$input { $ids: vec![id.to_string()], ..Default::default() };
                    assert_eq!(code(rig.read($handler, input)), want);
                }
            };
        }
        check!(
            describe_vpc_peering_connections,
            DescribeVpcPeeringConnectionsRequest,
            vpc_peering_connection_ids,
            vpc_peering_connections,
            "pcx-00000000",
            "InvalidVpcPeeringConnectionID.NotFound",
            "InvalidVpcPeeringConnectionId.Malformed"
        );
        check!(
            describe_vpn_connections,
            DescribeVpnConnectionsRequest,
            vpn_connection_ids,
            vpn_connections,
            "vpn-00000000",
            "InvalidVpnConnectionID.NotFound",
            "InvalidVpnConnectionID.Malformed"
        );
        check!(
            describe_customer_gateways,
            DescribeCustomerGatewaysRequest,
            customer_gateway_ids,
            customer_gateways,
            "cgw-00000000",
            "InvalidCustomerGatewayID.NotFound",
            "InvalidCustomerGatewayId.Malformed"
        );
        check!(
            describe_vpc_endpoints,
            DescribeVpcEndpointsRequest,
            vpc_endpoint_ids,
            vpc_endpoints,
            "vpce-00000000",
            "InvalidVpcEndpointId.NotFound",
            "InvalidVpcEndpointId.Malformed"
        );
        let page = wire::DescribeVpcEndpointsRequest { max_results: Some(4), ..Default::default() };
        assert_eq!(code(rig.read(describe_vpc_endpoints, page)), "InvalidParameterValue");
    }
}
