//! The edge of an installation: one network namespace that joins the routers
//! of all VPCs, so that public addresses work between them, and (root make)
//! this machine, by one cable into the host's own namespace.
//!
//! Nothing in the host's namespace is changed but that cable: its address
//! (`HOST_ADDRESS`, the same on every machine and for every installation) and
//! routes to the installation's public addresses, one each. The edge has no
//! route to any other address of the host, so instances reach none.

use super::internet;
use super::netlink::{Hop, MAIN_TABLE, Netlink, Route, Veth};
use super::router::{self, Role, Router};
use super::ruleset::{self, EDGE_ADDRESS, EDGE_LINK};
use crate::host::checksum;
use crate::layout::Layout;
use crate::make::Make;
use crate::{record, sys};
use elastane_domain::id::VpcId;
use elastane_domain::vpc::{Holder, NetworkPlan, Via};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// This machine as instances see it: what listens here is what they reach
/// "on the internet". It is in the range that public addresses are from and
/// none of them.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The edge as the host sees it: the gateway to public addresses.
const EDGE_AT_HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// A router as the edge sees it.
const ROUTER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 171, 2);
/// Hardware addresses: each cable has two ends and nobody else on it.
pub const EDGE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
const FAR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
/// The edge's cable to the host.
const HOST_LINK: &str = "host";
/// The record of the edge's holder is kept with those of the VPCs.
pub const RECORD: &str = "edge";

/// What a VPC has beyond itself.
pub struct Publics {
    /// Its public addresses.
    addresses: BTreeSet<Ipv4Addr>,
    /// Whether it needs the edge at all.
    needed: bool,
}

impl Publics {
    /// Of a plan.
    pub fn of(plan: &NetworkPlan) -> Publics {
        let given = plan.interfaces.iter().filter(|interface| interface.holder != Holder::Nobody);
        let mut addresses: BTreeSet<Ipv4Addr> =
            given.flat_map(|interface| interface.public.iter().map(|(_, public)| *public)).collect();
        addresses.extend(ruleset::nat_addresses(plan));
        let mut vias = plan.subnets.iter().flat_map(|subnet| &subnet.routes).map(|route| route.via);
        let leaves = vias.any(|via| matches!(via, Via::Internet | Via::Nat(_)));
        Publics { needed: leaves || !addresses.is_empty(), addresses }
    }
}

/// The edge of one installation.
pub struct Edge {
    router: Mutex<Option<Arc<Router>>>,
    /// The host's own network namespace, where it can be reached.
    host: Option<File>,
    /// Our cable's name there.
    host_link: String,
    internet: bool,
    settings: PathBuf,
}

/// Name of the edge's end of a VPC's cable: at most 15 characters.
fn link_name(vpc: &VpcId) -> String {
    let tail: String = vpc.as_str().chars().rev().filter(char::is_ascii_alphanumeric).take(14).collect();
    format!("p{}", tail.chars().rev().collect::<String>())
}

/// Named after the data directory: two installations on one machine differ.
fn host_link_name(data: &Path) -> String {
    format!("ela{:08x}", checksum(data.as_os_str().as_encoded_bytes()))
}

impl Edge {
    /// Not made yet. Only the root make has the rights to reach the host.
    pub fn new(make: Make, layout: &Layout, internet: bool) -> Edge {
        let host = if make == Make::Root { File::open("/proc/self/ns/net").ok() } else { None };
        Edge {
            router: Mutex::default(),
            internet: internet && host.is_some(),
            host,
            host_link: host_link_name(layout.data()),
            settings: layout.at("internet.json"),
        }
    }

    /// Whether instances reach beyond this machine.
    pub fn internet(&self) -> bool {
        self.internet
    }

    fn router(&self) -> MutexGuard<'_, Option<Arc<Router>>> {
        self.router.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Joins a VPC's router to the edge, with these addresses and no others;
    /// takes it off when it has no business there. Returns what failed.
    pub fn attach(&self, layout: &Layout, vpc: &VpcId, router: &Router, publics: &Publics) -> Vec<String> {
        if !publics.needed {
            self.detach(vpc);
            return Vec::new();
        }
        let mut open = self.router();
        let edge = match open.clone().filter(|edge| edge.lives() || edge.replace_holder().is_ok()) {
            Some(edge) => edge,
            None => match Router::open(layout.vpc(RECORD), RECORD, Role::Edge) {
                Ok(edge) => Arc::new(edge),
                Err(err) => return vec![err.sentence()],
            },
        };
        *open = Some(edge.clone());
        let mut problems = self.join(&edge, vpc, router, publics).err().map(|err| vec![format!("the edge: {err}")]);
        if self.host.is_some() {
            problems.get_or_insert_default().extend(self.join_host(&edge));
        }
        problems.unwrap_or_default()
    }

    fn join(&self, edge: &Arc<Router>, vpc: &VpcId, router: &Router, publics: &Publics) -> io::Result<()> {
        let (name, pid) = (link_name(vpc), edge.holder_pid());
        let far = name.clone();
        let there = edge.inside(|_| sys::interface_index(&far).is_ok())?;
        router.inside(|netlink| -> io::Result<()> {
            if !there || sys::interface_index(EDGE_LINK).is_err() {
                netlink.remove_link(EDGE_LINK)?;
                let mac = Some(FAR_MAC);
                let veth = Veth { name: EDGE_LINK, mac, peer_name: &name, peer_mac: EDGE_MAC, peer_pid: pid };
                netlink.add_veth(&veth)?;
            }
            // It answers for nobody here: everything is told by neighbour entries.
            fs::write(format!("/proc/sys/net/ipv4/conf/{EDGE_LINK}/proxy_arp"), "0")?;
            netlink.add_neighbour(sys::interface_index(EDGE_LINK)?, EDGE_ADDRESS, EDGE_MAC)
        })??;
        edge.inside(|netlink| -> io::Result<()> {
            let index = sys::interface_index(&name)?;
            netlink.set_up(index)?;
            netlink.add_neighbour(index, ROUTER_ADDRESS, FAR_MAC)?;
            let hop = Hop::Link { index, gateway: Some(ROUTER_ADDRESS), source: None };
            let to = |address: &Ipv4Addr| Route { table: MAIN_TABLE, destination: (*address, 32), hop };
            let wanted: Vec<Route> = publics.addresses.iter().map(to).collect();
            let ours = |route: &Route| matches!(route.hop, Hop::Link { index: one, .. } if one == index);
            netlink.sync_routes(&wanted, ours)?.pop().map_or(Ok(()), |(_, err)| Err(err))
        })?
    }

    /// The cable to the host, and the host's routes to all public addresses that the edge knows.
    fn join_host(&self, edge: &Arc<Router>) -> Vec<String> {
        let Some(host) = &self.host else { return Vec::new() };
        let (name, internet) = (self.host_link.clone(), self.internet);
        let made = router::inside(host, |netlink| self.make_host_link(netlink, edge)).and_then(|made| made);
        let known = made.and_then(|()| edge.inside(|netlink| edge_side(netlink, internet))?);
        let addresses = match known {
            Ok(addresses) => addresses,
            Err(err) => return vec![format!("public addresses do not lead from this machine: {err}")],
        };
        let synced = router::inside(host, |netlink| host_routes(netlink, &name, &addresses)).and_then(|done| done);
        let mut problems = match synced {
            Ok(problems) => problems,
            Err(err) => vec![format!("public addresses do not lead from this machine: {err}")],
        };
        if internet {
            let opened = router::inside(host, |_| internet::open(&name, &self.settings));
            problems.extend(opened.unwrap_or_else(|err| Err(err.to_string())).err());
        }
        problems
    }

    /// Runs in the host's own namespace.
    fn make_host_link(&self, netlink: &Netlink, edge: &Arc<Router>) -> io::Result<()> {
        let name = &self.host_link;
        let there = edge.inside(|_| sys::interface_index(HOST_LINK).is_ok())?;
        if !there || sys::interface_index(name).is_err() {
            netlink.remove_link(name)?;
            let veth = Veth {
                name,
                mac: Some(FAR_MAC),
                peer_name: HOST_LINK,
                peer_mac: EDGE_MAC,
                peer_pid: edge.holder_pid(),
            };
            netlink.add_veth(&veth)?;
        }
        // A host without IPv6 has no such file.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        let index = sys::interface_index(name)?;
        netlink.add_address(index, HOST_ADDRESS, 32)?;
        netlink.add_neighbour(index, EDGE_AT_HOST, EDGE_MAC)
    }

    /// Takes a VPC off the edge; the edge ends with the last one.
    pub fn detach(&self, vpc: &VpcId) {
        let mut open = self.router();
        let Some(edge) = open.clone() else { return };
        let name = link_name(vpc);
        let left = edge.inside(|netlink| {
            // A link that is gone has taken its routes along.
            let _ = netlink.remove_link(&name);
            netlink.links().map_or(0, |links| links.iter().filter(|(name, _)| name.starts_with('p')).count())
        });
        if left.unwrap_or(0) > 0 {
            self.join_host(&edge);
            return;
        }
        self.shut(&edge);
        *open = None;
    }

    /// Ends the edge. The cable to the host goes first, so that it is gone when this returns.
    fn shut(&self, edge: &Router) {
        self.leave_host();
        edge.end();
    }

    fn leave_host(&self) {
        let Some(host) = &self.host else { return };
        let name = self.host_link.clone();
        let _ = router::inside(host, |netlink| {
            internet::close(&name, &self.settings);
            netlink.remove_link(&name)
        });
    }

    /// What an earlier daemon has left: the way further out, if it is not
    /// wanted any more, and the edge itself, if no network is left to join.
    pub fn recover(&self, layout: &Layout, networks_left: bool) -> Vec<String> {
        let path = layout.vpc(RECORD);
        if let Some(host) = self.host.as_ref().filter(|_| !self.internet) {
            let _ = router::inside(host, |_| internet::close(&self.host_link, &self.settings));
        }
        let holder = record::holder(&path);
        if networks_left && holder.is_some_and(|holder| holder.lives()) {
            return match Router::open(path, RECORD, Role::Edge) {
                Ok(edge) => {
                    *self.router() = Some(Arc::new(edge));
                    Vec::new()
                }
                Err(err) => vec![err.sentence()],
            };
        }
        self.leave_host();
        match holder {
            Some(holder) => router::end_holder(&path, holder),
            None => drop(fs::remove_file(&path)),
        }
        Vec::new()
    }

    /// The daemon ends: what was changed for the way further out is taken
    /// back; the edge stays for VPCs whose instances go on.
    pub fn close(&self) {
        if let Some(host) = self.host.as_ref().filter(|_| self.internet) {
            let _ = router::inside(host, |_| internet::close(&self.host_link, &self.settings));
        }
    }
}

/// The edge's end of the host's cable. Returns the public addresses that it
/// has routes to. Runs in the edge.
fn edge_side(netlink: &Netlink, internet: bool) -> io::Result<BTreeSet<Ipv4Addr>> {
    let index = sys::interface_index(HOST_LINK)?;
    netlink.set_up(index)?;
    netlink.add_neighbour(index, HOST_ADDRESS, FAR_MAC)?;
    let mut wanted = vec![Route {
        table: MAIN_TABLE,
        destination: (HOST_ADDRESS, 32),
        hop: Hop::Link { index, gateway: None, source: None },
    }];
    if internet {
        let hop = Hop::Link { index, gateway: Some(HOST_ADDRESS), source: None };
        wanted.push(Route { table: MAIN_TABLE, destination: (Ipv4Addr::UNSPECIFIED, 0), hop });
    }
    let ours = |route: &Route| matches!(route.hop, Hop::Link { index: one, .. } if one == index);
    if let Some((_, err)) = netlink.sync_routes(&wanted, ours)?.pop() {
        return Err(err);
    }
    let others = netlink.routes()?.into_iter().filter(|route| !ours(route));
    Ok(others.map(|route| route.destination.0).collect())
}

/// The host's routes to public addresses, one each. An address that has a
/// route of somebody else's is left to it and reported. Runs in the host's
/// own namespace.
fn host_routes(netlink: &Netlink, link: &str, addresses: &BTreeSet<Ipv4Addr>) -> io::Result<Vec<String>> {
    let index = sys::interface_index(link)?;
    let hop = Hop::Link { index, gateway: Some(EDGE_AT_HOST), source: Some(HOST_ADDRESS) };
    let present: BTreeSet<Route> = netlink
        .routes()?
        .into_iter()
        .filter(|route| matches!(route.hop, Hop::Link { index: one, .. } if one == index))
        .collect();
    let wanted: BTreeSet<Route> =
        addresses.iter().map(|address| Route { table: MAIN_TABLE, destination: (*address, 32), hop }).collect();
    let mut problems = Vec::new();
    for route in present.difference(&wanted) {
        netlink.remove_route(route)?;
    }
    for route in wanted.difference(&present) {
        if let Err(err) = netlink.add_new_route(route) {
            let address = route.destination.0;
            problems.push(match err.kind() {
                io::ErrorKind::AlreadyExists => {
                    format!("{address} leads elsewhere on this machine: another installation has it")
                }
                _ => format!("{address} does not lead from this machine: {err}"),
            });
        }
    }
    Ok(problems)
}
