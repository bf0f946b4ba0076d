//! Load balancers of both families. They are active at once; each has a
//! loopback address a zone, and interfaces in its subnets.

use super::balancer_attributes::DELETION_PROTECTION;
use super::balancer_network::{self, Given, Mapping};
use super::{errors, interfaces, listeners, names, pager, tags};
use crate::page::page;
use crate::{Call, Change};
use elastane_domain::id::{ListenerArn, LoadBalancerArn, SecurityGroupId, VpcId, Zone};
use elastane_domain::routing::Family;
use elastane_engine::View;
use elastane_engine::network::{self, Ipv6Plan};
use elastane_engine::row::{Listener, LoadBalancer, Tags};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Load balancers of one family, account and region (alb.md 12).
pub const LOAD_BALANCERS_MAX: usize = 50;

/// What a call says a load balancer should be, checked.
struct Wanted {
    family: Family,
    scheme: String,
    vpc: VpcId,
    mappings: Vec<Mapping>,
    security_groups: Vec<SecurityGroupId>,
    ip_address_type: String,
    tags: Tags,
}

/// CreateLoadBalancer: of type `application` or `network`. With the settings
/// of an existing one of that name it answers with that one.
pub fn create_load_balancer(
    tx: &mut Change<'_, '_>,
    input: &wire::CreateLoadBalancerInput,
) -> Result<wire::CreateLoadBalancerOutput, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    names::check_load_balancer_name(name)?;
    let wanted = wanted(&tx.view(), tx.config.ipv6, input)?;
    if let Some(row) = tx.all::<LoadBalancer>().find(|row| row.name == name) {
        if !same(&tx.view(), row, &wanted) {
            return Err(errors::duplicate_load_balancer(name));
        }
        let load_balancers = vec![shown(&tx.view(), row)];
        return Ok(wire::CreateLoadBalancerOutput { load_balancers });
    }
    if tx.all::<LoadBalancer>().filter(|row| row.family == wanted.family).count() >= LOAD_BALANCERS_MAX {
        return Err(too_many());
    }
    let zones: Vec<Zone> = wanted.mappings.iter().map(|one| one.zone.clone()).collect();
    let nodes = network::load_balancer_nodes(tx, &zones).ok_or_else(too_many)?;
    let places = interfaces::places(&tx.view(), wanted.mappings.iter())?;
    let row = new_row(tx, name, wanted, nodes);
    interfaces::put(tx, &row, places);
    let load_balancers = vec![shown(&tx.view(), &row)];
    tx.put(row);
    Ok(wire::CreateLoadBalancerOutput { load_balancers })
}

/// There are as many load balancers as there may be.
pub fn too_many() -> ApiError {
    errors::too_many("TooManyLoadBalancers", LOAD_BALANCERS_MAX, "load balancers")
}

fn wanted(view: &View<'_>, ipv6: Ipv6Plan, input: &wire::CreateLoadBalancerInput) -> Result<Wanted, ApiError> {
    let family = match input.r#type.as_deref().unwrap_or("application") {
        "application" => Family::Application,
        "network" => Family::Network,
        "gateway" => return Err(errors::unsupported("The load balancer type 'gateway'")),
        other => {
            let known = "application,gateway,network";
            return Err(errors::validation(format!("Load balancer type '{other}' must be one of '[{known}]'")));
        }
    };
    let scheme = input.scheme.as_deref().unwrap_or("internet-facing");
    if !matches!(scheme, "internet-facing" | "internal") {
        return Err(errors::invalid_scheme(scheme));
    }
    let ip_address_type = balancer_network::ip_address_type(ipv6, input.ip_address_type.as_deref())?;
    balancer_network::refuse_source_nat(input.enable_prefix_for_ipv6_source_nat.as_deref())?;
    if input.customer_owned_ipv4_pool.as_deref().is_some_and(|pool| !pool.is_empty()) {
        return Err(errors::unsupported("CustomerOwnedIpv4Pool"));
    }
    if input.ipam_pools.as_ref().is_some_and(|pools| pools.ipv4_ipam_pool_id.is_some()) {
        return Err(errors::unsupported("IpamPools"));
    }
    let given = Given { family, scheme, subnets: &input.subnets, mappings: &input.subnet_mappings };
    let (vpc, mappings) = balancer_network::mappings(view, given)?;
    let security_groups = balancer_network::security_groups(view, family, &vpc, &input.security_groups)?;
    let tags = tags::given(&input.tags)?;
    let ip_address_type = ip_address_type.unwrap_or_else(|| balancer_network::IPV4.to_string());
    Ok(Wanted { family, scheme: scheme.to_string(), vpc, mappings, security_groups, ip_address_type, tags })
}

fn same(view: &View<'_>, row: &LoadBalancer, wanted: &Wanted) -> bool {
    let place = |one: &Mapping| {
        let allocation = interfaces::elastic_ip(view, row.arn.as_str(), &one.subnet).map(|address| &address.id);
        one.private.as_ref() == row.private_addresses.get(&one.zone) && one.allocation.as_ref() == allocation
    };
    let subnets = wanted.mappings.iter().map(|one| (&one.subnet, &one.zone));
    row.family == wanted.family
        && row.scheme == wanted.scheme
        && row.subnets.iter().map(|(subnet, zone)| (subnet, zone)).eq(subnets)
        && wanted.mappings.iter().all(place)
        && row.security_groups == wanted.security_groups
        && row.ip_address_type == wanted.ip_address_type
        && row.tags == wanted.tags
}

fn new_row(tx: &mut Change<'_, '_>, name: &str, wanted: Wanted, nodes: BTreeMap<Zone, Ipv4Addr>) -> LoadBalancer {
    let id = tx.rng.hex(names::ID_DIGITS);
    let kind = names::kind(wanted.family);
    let arn = tx.scope().arn(names::SERVICE, &format!("loadbalancer/{kind}/{name}/{id}"));
    // AWS's number of an application load balancer has eight to ten digits; a
    // network load balancer has its id. A name below `localhost` leads
    // browsers and curl to this machine, one below `amazonaws.com` would not.
    let number = match wanted.family {
        Family::Application => (1_000_000_000 + tx.rng.below(9_000_000_000)).to_string(),
        Family::Network => id,
    };
    let prefix = match (wanted.family, wanted.scheme.as_str()) {
        (Family::Application, "internal") => "internal-",
        (Family::Application | Family::Network, _) => "",
    };
    let dns_name = format!("{prefix}{name}-{number}.{}.elb.localhost", tx.scope().region);
    LoadBalancer {
        arn: LoadBalancerArn::from(arn),
        family: wanted.family,
        name: name.to_string(),
        dns_name,
        scheme: wanted.scheme,
        created_at: tx.now,
        vpc: wanted.vpc,
        subnets: wanted.mappings.iter().map(|one| (one.subnet.clone(), one.zone.clone())).collect(),
        security_groups: wanted.security_groups,
        nodes,
        private_addresses: wanted.mappings.iter().filter_map(|one| Some((one.zone.clone(), one.private?))).collect(),
        private_link_rules: None,
        ip_address_type: wanted.ip_address_type,
        capacity: None,
        shifted_away: Vec::new(),
        attributes: BTreeMap::new(),
        tags: wanted.tags,
    }
}

/// DescribeLoadBalancers: those of the ARNs or names, or all.
pub fn describe_load_balancers(
    call: &Call<'_>,
    input: &wire::DescribeLoadBalancersInput,
) -> Result<wire::DescribeLoadBalancersOutput, ApiError> {
    if !input.load_balancer_arns.is_empty() && !input.names.is_empty() {
        return Err(errors::validation("Load balancer names and ARNs cannot be specified at the same time"));
    }
    for arn in &input.load_balancer_arns {
        names::load_balancer(call.tables, Some(arn))?;
    }
    for name in &input.names {
        if !call.all::<LoadBalancer>().any(|row| row.name == *name) {
            return Err(errors::load_balancer_not_found(name));
        }
    }
    let all = input.load_balancer_arns.is_empty() && input.names.is_empty();
    let asked = |row: &LoadBalancer| {
        all || input.names.contains(&row.name) || input.load_balancer_arns.iter().any(|arn| arn == row.arn.as_str())
    };
    let rows = call.all::<LoadBalancer>().filter(|row| asked(row)).collect();
    let (rows, next_marker) = page(rows, pager(input.marker.as_deref(), input.page_size), |row| row.arn.to_string())?;
    let load_balancers = rows.into_iter().map(|row| shown(call, row)).collect();
    Ok(wire::DescribeLoadBalancersOutput { load_balancers, next_marker })
}

/// DeleteLoadBalancer: with its listeners, rules and interfaces. One that is
/// not there is no error.
pub fn delete_load_balancer(
    tx: &mut Change<'_, '_>,
    input: &wire::DeleteLoadBalancerInput,
) -> Result<wire::DeleteLoadBalancerOutput, ApiError> {
    let arn = input.load_balancer_arn.as_deref().ok_or_else(|| errors::missing("LoadBalancerArn"))?;
    names::check_load_balancer_arn(arn)?;
    let protects = |row: &LoadBalancer| row.attributes.get(DELETION_PROTECTION).is_some_and(|value| value == "true");
    if tx.get::<LoadBalancer>(arn).is_some_and(|row| protects(&row)) {
        return Err(errors::deletion_protected(arn));
    }
    let of_it = |row: &&std::sync::Arc<Listener>| row.load_balancer.as_str() == arn;
    let gone: Vec<ListenerArn> = tx.all::<Listener>().filter(of_it).map(|row| row.arn.clone()).collect();
    for listener in gone {
        listeners::delete(tx, &listener);
    }
    interfaces::delete(tx, arn, &[]);
    tx.delete::<LoadBalancer>(arn);
    Ok(wire::DeleteLoadBalancerOutput {})
}

/// The zones of a load balancer with its addresses there: an Elastic IP, else
/// the loopback address of its listeners.
pub fn zones(view: &View<'_>, row: &LoadBalancer) -> Vec<wire::AvailabilityZone> {
    let addresses = |(subnet, zone): &(_, Zone)| {
        let elastic = interfaces::elastic_ip(view, row.arn.as_str(), subnet);
        let node = row.nodes.get(zone).map(ToString::to_string);
        wire::LoadBalancerAddress {
            allocation_id: elastic.map(|address| address.id.clone()),
            ip_address: elastic.map(|address| address.public_ip.to_string()).or(node),
            private_i_pv4_address: row.private_addresses.get(zone).map(ToString::to_string),
            i_pv6_address: None,
        }
    };
    let zone = |place| wire::AvailabilityZone {
        load_balancer_addresses: vec![addresses(place)],
        subnet_id: Some(place.0.to_string()),
        zone_name: Some(place.1.to_string()),
        ..Default::default()
    };
    row.subnets.iter().map(zone).collect()
}

/// `EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic`: of network load
/// balancers with security groups, on unless it was switched off.
pub fn private_link(row: &LoadBalancer) -> Option<String> {
    let there = row.family == Family::Network && !row.security_groups.is_empty();
    let on = row.private_link_rules.unwrap_or(true);
    there.then(|| if on { "on" } else { "off" }.to_string())
}

fn shown(view: &View<'_>, row: &LoadBalancer) -> wire::LoadBalancer {
    let text = |text: &str| Some(text.to_string());
    wire::LoadBalancer {
        availability_zones: zones(view, row),
        canonical_hosted_zone_id: text(hosted_zone(row.family)),
        created_time: Some(row.created_at.millis().into()),
        dns_name: text(&row.dns_name),
        enforce_security_group_inbound_rules_on_private_link_traffic: private_link(row),
        ip_address_type: text(&row.ip_address_type),
        load_balancer_arn: Some(row.arn.to_string()),
        load_balancer_name: text(&row.name),
        scheme: text(&row.scheme),
        security_groups: row.security_groups.iter().map(ToString::to_string).collect(),
        state: Some(wire::LoadBalancerState { code: text("active"), reason: reason(view, row) }),
        r#type: text(match row.family {
            Family::Application => "application",
            Family::Network => "network",
        }),
        vpc_id: Some(row.vpc.to_string()),
        ..Default::default()
    }
}

/// The hosted zone of load balancers' names in us-east-1. No DNS zone is
/// served under it; clients only hand the id on.
fn hosted_zone(family: Family) -> &'static str {
    match family {
        Family::Application => "Z35SXDOTRQ7X7K",
        Family::Network => "Z26RNL4JYFTOTI",
    }
}

/// What the data plane says about listeners that are not on the port asked
/// for; `None` when all are.
fn reason(view: &View<'_>, row: &LoadBalancer) -> Option<String> {
    let listeners = view.all::<Listener>().filter(|listener| listener.load_balancer == row.arn);
    let notes: Vec<String> = listeners
        .flat_map(|listener| view.state.seen.heard(&listener.arn))
        .filter(|(_, note)| !note.is_empty())
        .map(|(bound, note)| match bound {
            Some(bound) => format!("{note} (listening on {bound})"),
            None => note.clone(),
        })
        .collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}
