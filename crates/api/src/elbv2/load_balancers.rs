//! Application load balancers. They are active at once; each has a loopback
//! address of its own.

use super::balancer_attributes::DELETION_PROTECTION;
use super::{errors, interfaces, names, pager, tags};
use crate::page::page;
use crate::{Call, Change};
use elastane_domain::id::{ListenerArn, LoadBalancerArn, SecurityGroupId, SubnetId, VpcId, Zone};
use elastane_domain::routing::Family;
use elastane_engine::row::{Listener, LoadBalancer, SecurityGroup, Subnet, Tags};
use elastane_engine::{View, network};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Load balancers of one account in one region (alb.md 12).
const LOAD_BALANCERS_MAX: usize = 50;

/// A load balancer spans at least so many zones (alb.md 1).
const ZONES_MIN: usize = 2;

/// The hosted zone of load balancers' names in us-east-1. No DNS zone is
/// served here; clients only hand the id on.
const HOSTED_ZONE: &str = "Z35SXDOTRQ7X7K";

/// What a call says a load balancer should be, checked.
struct Wanted {
    scheme: String,
    vpc: VpcId,
    subnets: Vec<(SubnetId, Zone)>,
    security_groups: Vec<SecurityGroupId>,
    tags: Tags,
}

/// CreateLoadBalancer: of type `application`. With the settings of an
/// existing one of that name it answers with that one.
pub fn create_load_balancer(
    tx: &mut Change<'_, '_>,
    input: &wire::CreateLoadBalancerInput,
) -> Result<wire::CreateLoadBalancerOutput, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    names::check_load_balancer_name(name)?;
    refuse_unsupported(input)?;
    let wanted = wanted(&tx.view(), input)?;
    if let Some(row) = tx.all::<LoadBalancer>().find(|row| row.name == name) {
        if !same(row, &wanted) {
            return Err(errors::duplicate_load_balancer(name));
        }
        let load_balancers = vec![shown(&tx.view(), row)];
        return Ok(wire::CreateLoadBalancerOutput { load_balancers });
    }
    let full = || errors::too_many("TooManyLoadBalancers", LOAD_BALANCERS_MAX, "load balancers");
    if tx.load_balancers.len() >= LOAD_BALANCERS_MAX {
        return Err(full());
    }
    let zones: Vec<Zone> = wanted.subnets.iter().map(|(_, zone)| zone.clone()).collect();
    let nodes = network::load_balancer_nodes(tx, &zones).ok_or_else(full)?;
    let places = interfaces::places(&tx.view(), &wanted.subnets)?;
    let row = new_row(tx, name, wanted, nodes);
    interfaces::put(tx, &row, places);
    let load_balancers = vec![shown(&tx.view(), &row)];
    tx.put(row);
    Ok(wire::CreateLoadBalancerOutput { load_balancers })
}

fn refuse_unsupported(input: &wire::CreateLoadBalancerInput) -> Result<(), ApiError> {
    let kind = input.r#type.as_deref().unwrap_or("application");
    if kind != "application" {
        return Err(errors::unsupported(&format!("The load balancer type '{kind}'")));
    }
    let family = input.ip_address_type.as_deref().unwrap_or("ipv4");
    if family != "ipv4" {
        return Err(errors::unsupported(&format!("The IP address type '{family}'")));
    }
    if input.customer_owned_ipv4_pool.as_deref().is_some_and(|pool| !pool.is_empty()) {
        return Err(errors::unsupported("CustomerOwnedIpv4Pool"));
    }
    if input.ipam_pools.as_ref().is_some_and(|pools| pools.ipv4_ipam_pool_id.is_some()) {
        return Err(errors::unsupported("IpamPools"));
    }
    if input.enable_prefix_for_ipv6_source_nat.as_deref() == Some("on") {
        return Err(errors::unsupported("EnablePrefixForIpv6SourceNat"));
    }
    let fixed_address = |mapping: &wire::SubnetMapping| {
        mapping.allocation_id.is_some() || mapping.private_i_pv4_address.is_some() || mapping.i_pv6_address.is_some()
    };
    if input.subnet_mappings.iter().any(fixed_address) {
        return Err(errors::validation("Application load balancers take no addresses in SubnetMappings"));
    }
    Ok(())
}

fn wanted(view: &View<'_>, input: &wire::CreateLoadBalancerInput) -> Result<Wanted, ApiError> {
    let (vpc, subnets) = wanted_subnets(view, input)?;
    let security_groups = wanted_groups(view, &vpc, &input.security_groups)?;
    let scheme = input.scheme.clone().unwrap_or_else(|| "internet-facing".to_string());
    Ok(Wanted { scheme, vpc, subnets, security_groups, tags: tags::given(&input.tags)? })
}

fn wanted_subnets(
    view: &View<'_>,
    input: &wire::CreateLoadBalancerInput,
) -> Result<(VpcId, Vec<(SubnetId, Zone)>), ApiError> {
    if !input.subnets.is_empty() && !input.subnet_mappings.is_empty() {
        return Err(errors::validation("Subnets and SubnetMappings cannot be specified at the same time"));
    }
    let mapped = input.subnet_mappings.iter().map(|mapping| mapping.subnet_id.as_deref().unwrap_or_default());
    let ids: BTreeSet<&str> = input.subnets.iter().map(String::as_str).chain(mapped).collect();
    let mut rows: Vec<&Subnet> = Vec::new();
    for id in ids {
        let row = view.get::<Subnet>(id).ok_or_else(|| errors::subnet_not_found(id))?;
        if rows.iter().any(|other| other.vpc != row.vpc) {
            return Err(errors::invalid_configuration("All subnets must belong to the same VPC"));
        }
        if rows.iter().any(|other| other.zone == row.zone) {
            let message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone";
            return Err(errors::invalid_configuration(message));
        }
        rows.push(row);
    }
    if rows.len() < ZONES_MIN {
        let message = "At least two subnets in two different Availability Zones must be specified";
        return Err(errors::validation(message));
    }
    rows.sort_by(|a, b| a.zone.cmp(&b.zone));
    let vpc = rows[0].vpc.clone();
    Ok((vpc, rows.into_iter().map(|row| (row.id.clone(), row.zone.clone())).collect()))
}

/// The groups named, or the VPC's default one.
fn wanted_groups(view: &View<'_>, vpc: &VpcId, named: &[String]) -> Result<Vec<SecurityGroupId>, ApiError> {
    let mut groups = BTreeSet::new();
    for id in named {
        let row = view.get::<SecurityGroup>(id).filter(|row| row.vpc == *vpc);
        groups.insert(row.ok_or_else(|| errors::invalid_security_group(id))?.id.clone());
    }
    if named.is_empty() {
        groups.extend(network::default_security_group(view, vpc).map(|row| row.id.clone()));
    }
    Ok(groups.into_iter().collect())
}

fn same(row: &LoadBalancer, wanted: &Wanted) -> bool {
    row.scheme == wanted.scheme
        && row.subnets == wanted.subnets
        && row.security_groups == wanted.security_groups
        && row.tags == wanted.tags
}

fn new_row(tx: &mut Change<'_, '_>, name: &str, wanted: Wanted, nodes: BTreeMap<Zone, Ipv4Addr>) -> LoadBalancer {
    let id = tx.rng.hex(names::ID_DIGITS);
    let arn = tx.scope().arn(names::SERVICE, &format!("loadbalancer/app/{name}/{id}"));
    // AWS's number has eight to ten digits; a name below `localhost` leads
    // browsers and curl to this machine, one below `amazonaws.com` would not.
    let number = 1_000_000_000 + tx.rng.below(9_000_000_000);
    let prefix = if wanted.scheme == "internal" { "internal-" } else { "" };
    let dns_name = format!("{prefix}{name}-{number}.{}.elb.localhost", tx.scope().region);
    LoadBalancer {
        arn: LoadBalancerArn::from(arn),
        name: name.to_string(),
        dns_name,
        scheme: wanted.scheme,
        created_at: tx.now,
        vpc: wanted.vpc,
        subnets: wanted.subnets,
        security_groups: wanted.security_groups,
        family: Family::Application,
        nodes,
        ip_address_type: "ipv4".to_string(),
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

/// DeleteLoadBalancer: with its listeners. One that is not there is no error.
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
    let listeners: Vec<ListenerArn> = tx.all::<Listener>().filter(of_it).map(|row| row.arn.clone()).collect();
    for listener in listeners {
        tx.delete::<Listener>(listener.as_str());
    }
    interfaces::delete(tx, arn);
    tx.delete::<LoadBalancer>(arn);
    Ok(wire::DeleteLoadBalancerOutput {})
}

fn shown(view: &View<'_>, row: &LoadBalancer) -> wire::LoadBalancer {
    let address = |zone: &Zone| {
        let ip_address = row.nodes.get(zone).map(ToString::to_string);
        wire::LoadBalancerAddress { ip_address, ..Default::default() }
    };
    let zones = row.subnets.iter().map(|(subnet, zone)| wire::AvailabilityZone {
        load_balancer_addresses: vec![address(zone)],
        subnet_id: Some(subnet.to_string()),
        zone_name: Some(zone.to_string()),
        ..Default::default()
    });
    wire::LoadBalancer {
        availability_zones: zones.collect(),
        canonical_hosted_zone_id: Some(HOSTED_ZONE.to_string()),
        created_time: Some(row.created_at.millis().into()),
        dns_name: Some(row.dns_name.clone()),
        ip_address_type: Some("ipv4".to_string()),
        load_balancer_arn: Some(row.arn.to_string()),
        load_balancer_name: Some(row.name.clone()),
        scheme: Some(row.scheme.clone()),
        security_groups: row.security_groups.iter().map(ToString::to_string).collect(),
        state: Some(wire::LoadBalancerState { code: Some("active".to_string()), reason: reason(view, row) }),
        r#type: Some("application".to_string()),
        vpc_id: Some(row.vpc.to_string()),
        ..Default::default()
    }
}

/// What the data plane says about listeners that are not on the port asked
/// for; `None` when all are.
fn reason(view: &View<'_>, row: &LoadBalancer) -> Option<String> {
    let listeners = view.all::<Listener>().filter(|listener| listener.load_balancer == row.arn);
    let notes: Vec<String> = listeners
        .flat_map(|listener| row.nodes.values().map(|node| (listener.arn.clone(), *node)))
        .filter_map(|key| view.state.seen.listening.get(&key))
        .filter(|(_, note)| !note.is_empty())
        .map(|(bound, note)| match bound {
            Some(bound) => format!("{note} (listening on {bound})"),
            None => note.clone(),
        })
        .collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}
