//! Interfaces of load balancers: one in each of their subnets, in their
//! security groups, from which they reach their targets (Elastic Load
//! Balancing User Guide, "Subnets for your load balancer").

use crate::network;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::id::SubnetId;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn reconcile(tx: &mut Tx<'_>) {
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
    let Some(address) = subnet.cidr.next_free(&taken) else { return };
    network::put_balancer_interface(tx, row, &subnet, address);
}
