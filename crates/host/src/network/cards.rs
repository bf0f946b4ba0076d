//! The network cards of instances: a cable from the router to each, and the
//! addresses and routes on the instance's side, set from outside by a thread
//! that enters its network. The instance's own root has no say over them.

use super::cable_name;
use super::netlink::{Hop, Netlink, Route, Rule, Selector};
use super::router::{self, CABLE_MAC, Cable, INNER_NAME};
use crate::record::Record;
use crate::sys;
use elastane_domain::id::{InstanceId, VpcId};
use elastane_domain::vpc::{Holder, InterfacePlan, NetworkPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;

/// Cards of one instance: more than the largest type has (EC2 User Guide,
/// "Elastic network interfaces").
const CARDS_MAX: u16 = 32;
/// Routing tables inside an instance: this and the card's number.
const CARD_TABLE: u32 = 10_000;

/// An instance that runs or waits to, as far as cables are concerned.
pub struct Station {
    /// The instance.
    pub instance: InstanceId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its first process.
    pub pid: i32,
    /// Its primary address.
    pub address: Ipv4Addr,
    /// Its subnet's prefix length and gateway.
    pub prefix: u8,
    /// The gateway.
    pub gateway: Ipv4Addr,
}

impl Station {
    /// The station of an instance with a process.
    pub fn of(record: &Record) -> Option<Station> {
        let (network, prefix) = record.spec.subnet_cidr;
        Some(Station {
            instance: record.spec.instance.clone(),
            vpc: record.spec.vpc.clone(),
            pid: record.process?.pid,
            address: record.spec.private_ip,
            prefix,
            gateway: Ipv4Addr::from(u32::from(network).wrapping_add(1)),
        })
    }
}

/// One card as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Card {
    number: u16,
    cable: String,
    addresses: Vec<Ipv4Addr>,
    prefix: u8,
    gateway: Ipv4Addr,
}

impl Card {
    fn inner_name(&self) -> String {
        match self.number {
            0 => INNER_NAME.to_owned(),
            number => format!("eth{number}"),
        }
    }
}

/// What the plan wants of an instance's cards; without a plan the primary one.
fn wanted(station: &Station, plan: Option<&NetworkPlan>) -> Vec<Card> {
    let mut cards: BTreeMap<u16, Card> = plan
        .into_iter()
        .flat_map(|plan| plan.interfaces.iter().filter_map(|interface| card(station, plan, interface)))
        .map(|card| (card.number, card))
        .collect();
    let primary = cards.entry(0).or_insert_with(|| Card {
        number: 0,
        cable: cable_name(station.instance.as_str(), 0, ""),
        addresses: Vec::new(),
        prefix: station.prefix,
        gateway: station.gateway,
    });
    // The instance has configured this one as its own.
    primary.addresses.retain(|address| *address != station.address);
    primary.addresses.insert(0, station.address);
    cards.into_values().collect()
}

fn card(station: &Station, plan: &NetworkPlan, interface: &InterfacePlan) -> Option<Card> {
    let Holder::Instance(id, number) = &interface.holder else { return None };
    if *id != station.instance || *number >= CARDS_MAX || interface.addresses.is_empty() {
        return None;
    }
    let subnet = plan.subnets.iter().find(|subnet| subnet.id == interface.subnet)?;
    Some(Card {
        number: *number,
        cable: cable_name(id.as_str(), *number, &interface.id),
        addresses: interface.addresses.clone(),
        prefix: subnet.cidr.prefix(),
        gateway: subnet.cidr.nth(1)?,
    })
}

/// The cards that this daemon has fitted, by instance, with its process.
#[derive(Default)]
pub struct Cards {
    fitted: BTreeMap<InstanceId, (i32, Vec<Card>)>,
}

impl Cards {
    /// Whether an instance's cards are as they should be, as far as is known.
    pub fn is_fitted(&self, station: &Station, plan: Option<&NetworkPlan>) -> bool {
        let known = self.fitted.get(&station.instance);
        known.is_some_and(|(pid, cards)| *pid == station.pid && *cards == wanted(station, plan))
    }

    /// Lays all cables of a new instance. Runs in the router's network.
    pub fn connect(&mut self, netlink: &Netlink, station: &Station, plan: Option<&NetworkPlan>) -> Result<(), String> {
        let lay = || -> io::Result<()> {
            netlink.add_address(sys::interface_index("lo")?, station.gateway, 32)?;
            // Cables of an earlier boot go with its namespace, but not at once.
            wanted(station, plan).iter().try_for_each(|card| netlink.remove_link(&card.cable))
        };
        lay().map_err(|err| format!("cannot connect the instance to its network: {err}"))?;
        self.fitted.remove(&station.instance);
        self.fit(netlink, station, plan, &BTreeSet::new())
    }

    /// Makes the cards of an instance what they should be. `cables` are the
    /// names of those that lie. Runs in the router's network.
    pub fn fit(
        &mut self,
        netlink: &Netlink,
        station: &Station,
        plan: Option<&NetworkPlan>,
        cables: &BTreeSet<String>,
    ) -> Result<(), String> {
        let cards = wanted(station, plan);
        let lie = cards.iter().all(|card| cables.contains(&card.cable));
        if lie && self.is_fitted(station, plan) {
            return Ok(());
        }
        let what = |err: io::Error| format!("the cards of {} are not as planned: {err}", station.instance);
        let before = self.fitted.remove(&station.instance).map(|(_, cards)| cards).unwrap_or_default();
        let gone = before.iter().filter(|old| !cards.iter().any(|card| card.cable == old.cable));
        gone.into_iter().try_for_each(|old| netlink.remove_link(&old.cable)).map_err(what)?;
        let namespace = File::open(format!("/proc/{}/ns/net", station.pid)).map_err(what)?;
        let mut laid = BTreeSet::new();
        for card in cards.iter().filter(|card| !cables.contains(&card.cable)) {
            let inner = card.inner_name();
            // One whose other end has gone with an earlier router is gone too, but not at once.
            router::inside(&namespace, |inside| inside.remove_link(&inner)).and_then(|done| done).map_err(what)?;
            let (name, gateway) = (card.cable.as_str(), card.gateway);
            let cable = Cable { name, inner: &inner, pid: station.pid, gateway, addresses: &card.addresses };
            router::lay_cable(netlink, &cable).map_err(what)?;
            laid.insert(card.number);
        }
        router::inside(&namespace, |inside| configure(inside, &cards, &laid)).and_then(|done| done).map_err(what)?;
        self.fitted.insert(station.instance.clone(), (station.pid, cards));
        Ok(())
    }

    /// Forgets instances that have ended, and names the cables that are still wanted.
    pub fn keep(&mut self, stations: &[Station]) -> BTreeSet<String> {
        let runs = |id: &InstanceId, pid: i32| stations.iter().any(|one| one.instance == *id && one.pid == pid);
        self.fitted.retain(|id, (pid, _)| runs(id, *pid));
        self.fitted.values().flat_map(|(_, cards)| cards.iter().map(|card| card.cable.clone())).collect()
    }
}

/// The instance's side of all its cards, some of whose cables have just been
/// laid. Runs in the instance's network.
fn configure(netlink: &Netlink, cards: &[Card], laid: &BTreeSet<u16>) -> io::Result<()> {
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    for card in cards {
        let index = sys::interface_index(&card.inner_name())?;
        let present = netlink.addresses(index)?;
        for (address, prefix) in present.iter().filter(|(address, _)| !card.addresses.contains(address)) {
            netlink.remove_address(index, *address, *prefix)?;
        }
        for address in card.addresses.iter().filter(|address| !present.iter().any(|(one, _)| one == *address)) {
            netlink.add_address(index, *address, card.prefix)?;
        }
        netlink.set_up(index)?;
        if laid.contains(&card.number) {
            netlink.add_neighbour(index, card.gateway, CABLE_MAC)?;
        }
        let hop = Hop::Link { index, gateway: Some(card.gateway), source: None };
        let default = (Ipv4Addr::UNSPECIFIED, 0);
        if card.number == 0 {
            routes.push(Route { table: super::netlink::MAIN_TABLE, destination: default, hop });
        }
        if cards.len() == 1 {
            continue;
        }
        // Answers leave by the card that was asked: others would drop them as spoofed.
        let table = CARD_TABLE + u32::from(card.number);
        routes.push(Route { table, destination: default, hop });
        rules.extend(card.addresses.iter().map(|address| Rule { selector: Selector::From(*address), table }));
    }
    if let Some((_, err)) = netlink.sync_routes(&routes, |_| true)?.pop() {
        return Err(err);
    }
    netlink.sync_rules(&rules)
}
