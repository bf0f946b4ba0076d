//! Rules of networks, interfaces, addresses and layers.

use crate::host::Host;
use crate::run::Violation;
use elastane_domain::id::{ImageId, InstanceId, VpcId};
use elastane_domain::machine::LaunchSpec;
use elastane_domain::time::Time;
use elastane_domain::vpc::{Holder, NetworkPlan};
use elastane_engine::row::*;
use elastane_engine::{Engine, Scope, Tables, View, plans};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

type Checked = Result<(), Violation>;

fn broken(rule: &'static str, now: Time, what: impl Into<String>) -> Checked {
    Err(Violation::new(rule, now, what.into()))
}

/// What the rules remember.
#[derive(Default)]
pub struct Networks {
    /// The newest plan of each VPC that this daemon issued.
    issued: BTreeMap<VpcId, Arc<NetworkPlan>>,
    /// The private address of each instance.
    addresses: BTreeMap<InstanceId, Ipv4Addr>,
}

impl Networks {
    /// Another daemon: it has issued nothing yet.
    pub fn restarted(&mut self) {
        self.issued.clear();
    }

    /// A plan is issued: it has no interface that is gone, and no holder that does not hold.
    pub fn planned(&mut self, durable: &BTreeMap<Scope, Tables>, plan: &Arc<NetworkPlan>, now: Time) -> Checked {
        const RULE: &str = "no plan has an interface that is gone";
        let older = self.issued.get(&plan.vpc).is_some_and(|last| last.generation > plan.generation);
        if older {
            return broken("plans grow", now, plan.vpc.as_str());
        }
        for one in &plan.interfaces {
            let found = durable.values().find_map(|tables| Some((tables, tables.interfaces.get(&one.id)?)));
            let Some((tables, row)) = found else { return broken(RULE, now, one.id.as_str()) };
            if let Holder::Instance(instance, device) = &one.holder {
                let attachment = row.attachment.as_ref();
                let holds = attachment.is_some_and(|to| to.instance == *instance && to.device == *device);
                let lives = tables.instances.get(instance.as_str());
                let lives = lives.is_some_and(|row| !matches!(row.phase, Phase::Terminated { .. }));
                if !holds || !lives {
                    return broken(RULE, now, format!("{} of {instance}", one.id));
                }
            }
        }
        self.issued.insert(plan.vpc.clone(), plan.clone());
        Ok(())
    }

    /// A network ends: nobody that lives is in it.
    pub fn ended(&mut self, durable: &BTreeMap<Scope, Tables>, vpc: &VpcId, now: Time) -> Checked {
        self.issued.remove(vpc);
        let instances = durable.values().flat_map(|tables| tables.instances.values());
        let mut inside = instances.filter(|row| row.vpc == *vpc);
        match inside.find(|row| !matches!(row.phase, Phase::Terminated { .. })) {
            Some(row) => broken("no network ends around an instance", now, row.id.as_str()),
            None => Ok(()),
        }
    }

    /// An instance boots: the plan that has its interface was issued before.
    pub fn launched(&self, spec: &LaunchSpec, now: Time) -> Checked {
        let primary = Holder::Instance(spec.instance.clone(), 0);
        let planned = self.issued.get(&spec.vpc).is_some_and(|plan| {
            let mut interfaces = plan.interfaces.iter();
            interfaces.any(|one| one.holder == primary && one.addresses.first() == Some(&spec.private_ip))
        });
        if planned { Ok(()) } else { broken("no instance boots before its network", now, spec.instance.as_str()) }
    }

    /// Looks at all rows after a step.
    pub fn look(&mut self, engine: &Engine, host: &Host, now: Time) -> Checked {
        let mut public = BTreeMap::new();
        for tables in engine.state().scopes.values() {
            addresses_differ(tables, now)?;
            public_addresses_differ(tables, &mut public, now)?;
            associations_lead_somewhere(tables, now)?;
            attachments_live(tables, now)?;
            self.private_addresses_stay(tables, now)?;
            layers_are_there(tables, host, now)?;
        }
        Ok(())
    }

    /// An instance has the address that it was launched with, and so has its interface.
    fn private_addresses_stay(&mut self, tables: &Tables, now: Time) -> Checked {
        const RULE: &str = "an instance keeps its private address";
        for row in tables.instances.values().filter(|row| !matches!(row.phase, Phase::Terminated { .. })) {
            let first = self.addresses.entry(row.id.clone()).or_insert(row.private_ip);
            let interface = tables.interfaces.get(&row.interface).map(|interface| interface.primary());
            if *first != row.private_ip || interface != Some(row.private_ip) {
                let what = format!("{}: {first}, {}, {interface:?}", row.id, row.private_ip);
                return broken(RULE, now, what);
            }
        }
        Ok(())
    }
}

/// No two interfaces of a VPC share an address.
fn addresses_differ(tables: &Tables, now: Time) -> Checked {
    let mut taken = BTreeMap::new();
    for row in tables.interfaces.values() {
        for address in &row.addresses {
            if let Some(other) = taken.insert((&row.vpc, address), &row.id) {
                return broken("no two interfaces share an address", now, format!("{} and {other}", row.id));
            }
        }
    }
    Ok(())
}

/// No two things of any scope share a public address.
fn public_addresses_differ(tables: &Tables, taken: &mut BTreeMap<Ipv4Addr, String>, now: Time) -> Checked {
    let elastic = tables.addresses.values().map(|row| (row.public_ip, &row.id));
    let given = tables.interfaces.values().filter_map(|row| Some((row.public_ip?, &row.id)));
    for (address, id) in elastic.chain(given) {
        if let Some(other) = taken.insert(address, id.clone()) {
            return broken("no two things share a public address", now, format!("{address}: {id} and {other}"));
        }
    }
    Ok(())
}

/// An Elastic IP is associated with an address of an interface that is there, one of them each.
fn associations_lead_somewhere(tables: &Tables, now: Time) -> Checked {
    let mut led = BTreeSet::new();
    for row in tables.addresses.values() {
        let Some(to) = &row.association else { continue };
        let interface = tables.interfaces.get(&to.interface);
        let there = interface.is_some_and(|interface| interface.addresses.contains(&to.private_ip));
        if !there {
            return broken("released addresses come free", now, row.id.as_str());
        }
        if !led.insert((&to.interface, to.private_ip)) {
            return broken("one Elastic IP leads to an address", now, row.id.as_str());
        }
    }
    Ok(())
}

/// Whoever an interface is attached to is not terminated, and has one at each index.
fn attachments_live(tables: &Tables, now: Time) -> Checked {
    let mut places = BTreeSet::new();
    for row in tables.interfaces.values() {
        let Some(to) = &row.attachment else { continue };
        let instance = tables.instances.get(to.instance.as_str());
        if instance.is_none_or(|row| matches!(row.phase, Phase::Terminated { .. })) {
            return broken("no attachment names a terminated instance", now, row.id.as_str());
        }
        if !places.insert((&to.instance, to.device)) {
            return broken("one interface is attached at an index", now, row.id.as_str());
        }
    }
    Ok(())
}

/// The host has every layer that an available image, or a living instance, stands on.
fn layers_are_there(tables: &Tables, host: &Host, now: Time) -> Checked {
    let available = |row: &&Arc<Image>| matches!(row.phase, ImagePhase::Available { .. });
    let images = tables.images.values().filter(available).flat_map(|row| &row.layers);
    let living = tables.instances.values().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    let missing = |id: &&ImageId| !host.layers.contains(*id);
    match images.chain(living.flat_map(|row| &row.layers)).find(missing) {
        Some(id) => broken("a layer is there while anything stands on it", now, id.as_str()),
        None => Ok(()),
    }
}

/// In a world at rest the networks in force are those that the rows ask for,
/// and NAT gateways have come where they were going.
pub fn settled(engine: &Engine, host: &Host, now: Time) -> Checked {
    let state = engine.state();
    let mut inhabited = BTreeSet::new();
    for (scope, tables) in &state.scopes {
        let view = View { state, tables, scope, now };
        for row in tables.interfaces.values().filter(|row| row.attachment.is_some()) {
            inhabited.insert(row.vpc.clone());
        }
        for vpc in tables.vpcs.values().filter(|row| inhabited.contains(&row.id)) {
            let in_force = host.networks.get(&vpc.id);
            let generation = in_force.map_or(0, |plan| plan.generation);
            let wanted = NetworkPlan { generation, ..plans::compile(&view, &vpc.id) };
            if in_force.map(AsRef::as_ref) != Some(&wanted) {
                return broken("the network in force is what the rows ask for", now, vpc.id.as_str());
            }
        }
        let moving = |row: &&Arc<NatGateway>| matches!(row.phase, NatGatewayPhase::Pending | NatGatewayPhase::Deleting);
        if let Some(row) = tables.nat_gateways.values().find(moving) {
            return broken("every NAT gateway becomes available or goes", now, row.id.as_str());
        }
    }
    match host.networks.keys().find(|vpc| !inhabited.contains(*vpc)) {
        Some(vpc) => broken("a network that nobody needs ends", now, vpc.as_str()),
        None => Ok(()),
    }
}
