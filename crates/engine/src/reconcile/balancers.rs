//! What load balancers have in their zones: an interface in each of their
//! subnets, in their security groups, from which they reach their targets
//! (Elastic Load Balancing User Guide, "Subnets for your load balancer"), and
//! a loopback address for their listeners. Listeners without a load balancer
//! and rules without a listener go.

use crate::network;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::id::{SubnetId, Zone};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

pub(super) fn reconcile(tx: &mut Tx<'_>) {
    remove_orphans(tx);
    interfaces(tx);
    nodes(tx);
}

/// Deletes what belongs to a load balancer or listener that is no more.
fn remove_orphans(tx: &mut Tx<'_>) {
    let kept = |row: &&Arc<Listener>| tx.load_balancers.contains_key(row.load_balancer.as_str());
    let orphans: Vec<String> = tx.all::<Listener>().filter(|row| !kept(row)).map(|row| row.id()).collect();
    for listener in orphans {
        tx.delete::<Listener>(&listener);
    }
    let kept = |row: &&Arc<Rule>| tx.listeners.contains_key(row.listener.as_str());
    let orphans: Vec<String> = tx.all::<Rule>().filter(|row| !kept(row)).map(|row| row.id()).collect();
    for rule in orphans {
        tx.delete::<Rule>(&rule);
    }
}

/// One loopback address a zone. Zones for which there is none left are tried
/// again at the next look.
fn nodes(tx: &mut Tx<'_>) {
    let balancers: Vec<Arc<LoadBalancer>> = tx.all::<LoadBalancer>().cloned().collect();
    for row in balancers {
        let zones: BTreeSet<&Zone> = row.subnets.iter().map(|(_, zone)| zone).collect();
        let missing: Vec<Zone> = zones.iter().copied().filter(|zone| !row.nodes.contains_key(*zone)).cloned().collect();
        let new = if missing.is_empty() { None } else { network::load_balancer_nodes(tx, &missing) };
        tx.update(row.arn.as_str(), |row: &mut LoadBalancer| {
            // An address goes with its zone; it may be another's from then on.
            row.nodes.retain(|zone, _| zones.contains(zone));
            row.nodes.extend(new.unwrap_or_default());
        });
    }
}

fn interfaces(tx: &mut Tx<'_>) {
    let mut there = BTreeSet::new();
    let ours = |row: &&Arc<NetworkInterface>| matches!(row.owner, InterfaceOwner::LoadBalancer(_));
    let interfaces: Vec<Arc<NetworkInterface>> = tx.all::<NetworkInterface>().filter(ours).cloned().collect();
    for interface in interfaces {
        let InterfaceOwner::LoadBalancer(arn) = &interface.owner else { continue };
        match tx.get::<LoadBalancer>(arn.as_str()).filter(|row| enabled(row, &interface.subnet)) {
            None => network::delete_interface(tx, &interface.id),
            Some(row) => {
                there.insert((arn.clone(), interface.subnet.clone()));
                tx.update(&interface.id, |interface: &mut NetworkInterface| {
                    interface.groups = row.security_groups.clone();
                });
            }
        }
    }
    let balancers: Vec<Arc<LoadBalancer>> = tx.all::<LoadBalancer>().cloned().collect();
    for row in balancers {
        for (subnet, _) in &row.subnets {
            if !there.contains(&(row.arn.clone(), subnet.clone())) {
                put(tx, &row, subnet);
            }
        }
    }
}

fn enabled(row: &LoadBalancer, subnet: &SubnetId) -> bool {
    row.subnets.iter().any(|(enabled, _)| enabled == subnet)
}

/// Makes the interface in a subnet; in one without a free address it is tried
/// again at the next look.
fn put(tx: &mut Tx<'_>, row: &LoadBalancer, subnet: &SubnetId) {
    let Some(subnet) = tx.get::<Subnet>(subnet.as_str()) else { return };
    let taken = network::taken(&tx.view(), &subnet.id);
    let asked = row.private_addresses.get(&subnet.zone);
    let free = |address: &Ipv4Addr| subnet.cidr.contains(*address) && !taken.contains(address);
    let address = match asked {
        Some(address) => Some(*address).filter(free),
        None => subnet.cidr.next_free(&taken),
    };
    let Some(address) = address else { return };
    network::put_balancer_interface(tx, row, &subnet, address);
}
