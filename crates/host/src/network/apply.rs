//! Applies one plan: rules, addresses, cables, routes, flow logs and name
//! service, in this order. A step that fails is reported and does not keep the
//! others from being done. Runs on the worker of the VPC's network.

use super::edge::{EDGE_MAC, Publics};
use super::netlink::{Hop, MAIN_TABLE, Netlink, Route, Rule, Selector};
use super::router::{METADATA, RESOLVER, Router, mac_of};
use super::ruleset::{self, EDGE_ADDRESS, EDGE_LINK};
use super::{Network, Station, Work, cable_name, nft};
use crate::host::Inner;
use crate::sys;
use elastane_domain::id::InstanceId;
use elastane_domain::vpc::{Holder, InterfacePlan, NetworkPlan, SubnetPlan, Via};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Makes the network of a VPC what its plan says. Returns what is not.
pub fn apply(inner: &Arc<Inner>, network: &Arc<Network>, plan: &NetworkPlan) -> Vec<String> {
    let router = match inner.open_network(&plan.vpc) {
        Ok(router) => router,
        Err(err) => return vec![err.sentence()],
    };
    let mut problems = Vec::new();
    let mut guard = network.work();
    let work: &mut Work = &mut guard;
    let filter = inner.networks.filter();
    // Rules come first: they need no cable to be there, and a change of them is what is waited for most.
    match filter {
        Ok(()) => problems.extend(filter_packets(&router, work, plan)),
        Err(why) => problems.push(format!(
            "security groups, routes beyond the VPC and public addresses are NOT in force: {why}; \
             `elastane doctor --fix` says what to do"
        )),
    }
    let stations = inner.stations(&plan.vpc);
    let wiring = Wiring::of(plan, &stations);
    if work.wiring.as_ref() != Some(&wiring) {
        let failed = wire(inner, &router, work, plan, &stations);
        work.wiring = failed.is_empty().then_some(wiring);
        problems.extend(failed);
    }
    if filter.is_ok() {
        problems.extend(super::flows::follow(inner, network, &router, work, plan));
    }
    problems.extend(name_service(inner, network, &router, work, plan));
    problems
}

/// All that cables, addresses and routes follow from: while it stays the
/// same, they do.
#[derive(PartialEq)]
pub struct Wiring {
    plan: NetworkPlan,
    instances: Vec<(InstanceId, i32)>,
}

impl Wiring {
    fn of(plan: &NetworkPlan, stations: &[Station]) -> Wiring {
        let bare = |interface: &InterfacePlan| InterfacePlan { groups: Vec::new(), ..interface.clone() };
        let plan = NetworkPlan {
            cidrs: plan.cidrs.clone(),
            resolver: plan.resolver,
            subnets: plan.subnets.iter().map(|subnet| SubnetPlan { cut: false, ..subnet.clone() }).collect(),
            interfaces: plan.interfaces.iter().map(bare).collect(),
            ..NetworkPlan::empty(plan.vpc.clone())
        };
        let instances = stations.iter().map(|station| (station.instance.clone(), station.pid)).collect();
        Wiring { plan, instances }
    }
}

/// Cables, addresses and routes. Returns what failed.
fn wire(inner: &Arc<Inner>, router: &Router, work: &mut Work, plan: &NetworkPlan, stations: &[Station]) -> Vec<String> {
    let mut problems = Vec::new();
    let marks = inner.networks.filter().is_ok();
    if marks {
        problems.extend(inner.networks.edge.attach(&inner.layout, &plan.vpc, router, &Publics::of(plan)));
    }
    let gateways: Vec<Ipv4Addr> = stations.iter().map(|station| station.gateway).collect();
    let wired = router.inside(|netlink| {
        let named = |what: &str, done: io::Result<()>| done.err().map(|err| format!("{what}: {err}"));
        let mut problems: Vec<String> = Vec::new();
        problems.extend(named("addresses of the router", own_addresses(netlink, plan, &gateways)));
        problems.extend(lay_cables(netlink, work, plan, stations));
        problems.extend(named("source checks", source_checks(netlink, plan)));
        problems.extend(named("routes", routes(netlink, plan, marks)));
        problems
    });
    problems.extend(wired.unwrap_or_else(|err| vec![format!("cannot enter the network: {err}")]));
    problems
}

fn gateway(subnet: &SubnetPlan) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.cidr.network()).wrapping_add(1))
}

/// What the router itself has: gateways, the resolver, the load balancers' interfaces.
fn own_addresses(netlink: &Netlink, plan: &NetworkPlan, gateways: &[Ipv4Addr]) -> io::Result<()> {
    let balancers = plan.interfaces.iter().filter(|interface| interface.holder == Holder::LoadBalancer);
    let mut wanted: BTreeSet<Ipv4Addr> = balancers.flat_map(|interface| interface.addresses.iter().copied()).collect();
    wanted.extend(plan.subnets.iter().map(gateway).chain(plan.resolver).chain([METADATA, RESOLVER]));
    wanted.extend(gateways);
    let loopback = netlink.loopback_up()?;
    let present = netlink.addresses(loopback)?;
    for (address, prefix) in present.iter().filter(|(address, prefix)| *prefix == 32 && !wanted.contains(address)) {
        netlink.remove_address(loopback, *address, *prefix)?;
    }
    let missing = wanted.iter().filter(|address| !present.iter().any(|(one, _)| one == *address));
    missing.into_iter().try_for_each(|address| netlink.add_address(loopback, *address, 32))
}

fn lay_cables(netlink: &Netlink, work: &mut Work, plan: &NetworkPlan, stations: &[Station]) -> Vec<String> {
    let links = match netlink.links() {
        Ok(links) => links.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(),
        Err(err) => return vec![format!("cannot list interfaces: {err}")],
    };
    let mut problems = Vec::new();
    for station in stations {
        let fitted = work.cards.fit(netlink, station, Some(plan), &links);
        // One that ends meanwhile takes its cables along.
        let ended = !std::path::Path::new(&format!("/proc/{}/ns/net", station.pid)).exists();
        problems.extend(fitted.err().filter(|_| !ended));
    }
    let wanted = work.cards.keep(stations);
    let stray = links.iter().filter(|name| name.starts_with('x') && !wanted.contains(*name));
    for name in stray {
        problems.extend(netlink.remove_link(name).err().map(|err| format!("cannot remove a cable: {err}")));
    }
    problems
}

fn cabled(plan: &NetworkPlan) -> impl Iterator<Item = (String, &InterfacePlan)> {
    plan.interfaces.iter().filter_map(|interface| match &interface.holder {
        Holder::Instance(id, number) => Some((cable_name(id.as_str(), *number, &interface.id), interface)),
        Holder::LoadBalancer | Holder::NatGateway | Holder::Nobody => None,
    })
}

fn indexes(netlink: &Netlink) -> io::Result<BTreeMap<String, u32>> {
    Ok(netlink.links()?.into_iter().collect())
}

/// Packets of others may come from cards that forward, and from the edge.
fn source_checks(netlink: &Netlink, plan: &NetworkPlan) -> io::Result<()> {
    let links = indexes(netlink)?;
    let set = |name: &str, check: bool| {
        let file = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        let value = if check { "1" } else { "0" };
        match fs::read_to_string(&file)?.trim() == value {
            true => Ok(()),
            false => fs::write(&file, value),
        }
    };
    fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0")?;
    // A packet that an instance forwards passes here twice; its window looks wrong then.
    let _ = fs::write("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", "1");
    if links.contains_key(EDGE_LINK) {
        set(EDGE_LINK, false)?;
    }
    let lying = cabled(plan).filter(|(cable, _)| links.contains_key(cable));
    for (cable, interface) in lying {
        match set(&cable, interface.source_dest_check) {
            // Its instance has ended meanwhile.
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// All routes: to cards in the main table, beyond the VPC in a table per
/// subnet, asked by the mark that packets get where they come in.
fn routes(netlink: &Netlink, plan: &NetworkPlan, marks: bool) -> io::Result<()> {
    let links = indexes(netlink)?;
    let mut wanted = Vec::new();
    let mut known = BTreeSet::new();
    let subnets: BTreeMap<&str, &SubnetPlan> = plan.subnets.iter().map(|one| (one.id.as_str(), one)).collect();
    for (cable, interface) in cabled(plan) {
        let (Some(index), Some(subnet)) = (links.get(&cable), subnets.get(interface.subnet.as_str())) else { continue };
        known.insert(*index);
        let hop = Hop::Link { index: *index, gateway: None, source: Some(gateway(subnet)) };
        let to = |address: &Ipv4Addr| Route { table: MAIN_TABLE, destination: (*address, 32), hop };
        wanted.extend(interface.addresses.iter().map(to));
        if let Some(mac) = interface.addresses.first().map(|primary| mac_of(*primary)) {
            let add = |address: &Ipv4Addr| netlink.add_neighbour(*index, *address, mac);
            interface.addresses.iter().try_for_each(add)?;
        }
    }
    let local = plan.cidrs.iter().map(|range| (range.network(), range.prefix()));
    wanted.extend(local.map(|destination| Route { table: MAIN_TABLE, destination, hop: Hop::Blackhole }));
    if let Some(edge) = links.get(EDGE_LINK) {
        let hops = ruleset::nat_addresses(plan).into_iter().chain([EDGE_ADDRESS]);
        hops.into_iter().try_for_each(|hop| netlink.add_neighbour(*edge, hop, EDGE_MAC))?;
    }
    let mut rules = Vec::new();
    if marks {
        // Answers to what the data plane sends under clients' addresses are for itself.
        let table = ruleset::ANSWER_TO_CLIENT;
        let hop = Hop::Local { index: sys::interface_index("lo")? };
        wanted.push(Route { table, destination: (Ipv4Addr::UNSPECIFIED, 0), hop });
        rules.push(Rule { selector: Selector::Mark(table), table });
        for (subnet, table) in ruleset::subnet_tables(plan) {
            rules.push(Rule { selector: Selector::Mark(table), table });
            wanted.extend(subnets.get(subnet).into_iter().flat_map(|subnet| beyond(plan, subnet, table, &links)));
        }
    }
    let concerned = |route: &Route| match route.hop {
        Hop::Link { index, .. } if route.table == MAIN_TABLE => known.contains(&index),
        _ => true,
    };
    let failed = netlink.sync_routes(&wanted, concerned)?;
    netlink.sync_rules(&rules)?;
    // A cable may have gone with its instance since the interfaces were listed.
    let gone = |err: &io::Error| matches!(err.raw_os_error(), Some(libc::ENODEV | libc::ENETDOWN));
    match failed.into_iter().find(|(_, err)| !gone(err)) {
        Some((route, err)) => Err(io::Error::other(format!("{}/{}: {err}", route.destination.0, route.destination.1))),
        None => Ok(()),
    }
}

/// The routes of a subnet beyond the VPC, which itself is looked up elsewhere.
fn beyond(plan: &NetworkPlan, subnet: &SubnetPlan, table: u32, links: &BTreeMap<String, u32>) -> Vec<Route> {
    let edge = |gateway: Ipv4Addr| match links.get(EDGE_LINK) {
        Some(index) => Hop::Link { index: *index, gateway: Some(gateway), source: None },
        None => Hop::Blackhole,
    };
    // A card whose source and destination are checked takes nothing for others.
    let forwarder = |address: Ipv4Addr| {
        let held = cabled(plan).find(|(_, interface)| interface.addresses.contains(&address));
        held.filter(|(_, interface)| !interface.source_dest_check).and_then(|(cable, _)| links.get(&cable))
    };
    let mut routes: BTreeMap<(Ipv4Addr, u8), Route> = BTreeMap::new();
    let ranges = plan.cidrs.iter().map(|range| ((range.network(), range.prefix()), Hop::Throw));
    let planned = subnet.routes.iter().map(|route| {
        let hop = match route.via {
            Via::Internet => edge(EDGE_ADDRESS),
            Via::Nat(public) => edge(public),
            Via::Interface(address) => forwarder(address).map_or(Hop::Blackhole, |index| Hop::Link {
                index: *index,
                gateway: Some(address),
                source: None,
            }),
            Via::Nowhere => Hop::Blackhole,
        };
        ((route.destination.network(), route.destination.prefix()), hop)
    });
    // What no route matches is dropped without a word, as on AWS.
    let nowhere = std::iter::once(((Ipv4Addr::UNSPECIFIED, 0), Hop::Blackhole));
    for (destination, hop) in nowhere.chain(planned).chain(ranges) {
        routes.insert(destination, Route { table, destination, hop });
    }
    routes.into_values().collect()
}

/// Replaces the rules unless they are those in force. Connections that are
/// under way stay in the kernel's table and go on.
fn filter_packets(router: &Router, work: &mut Work, plan: &NetworkPlan) -> Option<String> {
    let text = ruleset::table(plan);
    if work.ruleset == text {
        return None;
    }
    let done = router.inside(|_| nft::apply(&text));
    match done.unwrap_or_else(|err| Err(err.to_string())) {
        Ok(()) => {
            work.ruleset = text;
            None
        }
        Err(why) => {
            work.ruleset.clear();
            Some(format!("security groups are NOT as planned: {why}"))
        }
    }
}

/// Answers on the VPC's own resolver address as well.
fn name_service(
    inner: &Arc<Inner>,
    network: &Arc<Network>,
    router: &Router,
    work: &mut Work,
    plan: &NetworkPlan,
) -> Option<String> {
    let served = work.resolver.as_ref().map(|(address, _)| *address);
    if served == plan.resolver {
        return None;
    }
    if let Some((_, task)) = work.resolver.take() {
        task.abort();
    }
    let address = plan.resolver?;
    match inner.resolver(network, router, address) {
        Ok(task) => {
            work.resolver = Some((address, task));
            None
        }
        Err(err) => Some(err.sentence()),
    }
}
