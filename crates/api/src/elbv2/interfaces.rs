//! Network interfaces of load balancers: one in each subnet, with the
//! balancer's security groups. Its connections to targets come from their
//! addresses, which is what rules that name its group let in.

use super::errors;
use crate::Change;
use elastane_domain::id::{SubnetId, Zone};
use elastane_engine::row::{InterfaceOwner, LoadBalancer, NetworkInterface, Subnet};
use elastane_engine::{View, network};
use elastane_wire::ApiError;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A free address in each of a new load balancer's subnets.
///
/// # Errors
/// `SubnetNotFound`, `InvalidSubnet` for a subnet without one.
pub fn places(view: &View<'_>, subnets: &[(SubnetId, Zone)]) -> Result<Vec<(Subnet, Ipv4Addr)>, ApiError> {
    let place = |(id, _): &(SubnetId, Zone)| {
        let subnet = view.get::<Subnet>(id.as_str()).ok_or_else(|| errors::subnet_not_found(id.as_str()))?;
        let free = subnet.cidr.next_free(&network::taken(view, id));
        Ok((subnet.as_ref().clone(), free.ok_or_else(|| errors::subnet_full(id.as_str()))?))
    };
    subnets.iter().map(place).collect()
}

/// Stores the interfaces of a new load balancer.
pub fn put(tx: &mut Change<'_, '_>, row: &LoadBalancer, places: Vec<(Subnet, Ipv4Addr)>) {
    for (subnet, address) in places {
        network::put_balancer_interface(tx, row, &subnet, address);
    }
}

/// Deletes the interfaces of a load balancer.
pub fn delete(tx: &mut Change<'_, '_>, arn: &str) {
    let of_it = |row: &&Arc<NetworkInterface>| match &row.owner {
        InterfaceOwner::LoadBalancer(owner) => owner.as_str() == arn,
        InterfaceOwner::User | InterfaceOwner::NatGateway(_) => false,
    };
    let ids: Vec<String> = tx.all::<NetworkInterface>().filter(of_it).map(|row| row.id.clone()).collect();
    for id in ids {
        network::delete_interface(tx, &id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Lab, ask};
    use elastane_domain::network::Cidr;
    use elastane_wire::elbv2 as wire;

    fn create(lab: &mut Lab, name: &str) -> Result<wire::CreateLoadBalancerOutput, ApiError> {
        let subnets = lab.rows::<Subnet>().iter().take(2).map(|row| row.id.to_string()).collect();
        let input = wire::CreateLoadBalancerInput { name: Some(name.to_string()), subnets, ..Default::default() };
        ask!(lab, Elbv2CreateLoadBalancer, input)
    }

    /// One in each subnet, in the balancer's groups and under the name that
    /// clients look for; they go with it, and only with it.
    #[test]
    fn interfaces_come_and_go_with_the_balancer() {
        let mut lab = Lab::new();
        let made = create(&mut lab, "web").expect("made").load_balancers.remove(0);
        create(&mut lab, "api").expect("made");
        let arn = made.load_balancer_arn.expect("an ARN");
        let name = format!("ELB {}", arn.split_once("loadbalancer/").expect("a name").1);
        let rows: Vec<Arc<NetworkInterface>> =
            lab.rows::<NetworkInterface>().into_iter().filter(|row| row.description == name).collect();
        let subnets: Vec<&SubnetId> = rows.iter().map(|row| &row.subnet).collect();
        assert!(rows.len() == 2 && subnets[0] != subnets[1], "{rows:?}");
        for row in &rows {
            assert_eq!(row.groups.iter().map(ToString::to_string).collect::<Vec<_>>(), made.security_groups);
            let subnet = lab.view().get::<Subnet>(row.subnet.as_str()).expect("its subnet").cidr;
            assert!(subnet.contains(row.primary()) && !subnet.reserves(row.primary()));
        }
        // Another call with the same settings makes nothing.
        create(&mut lab, "web").expect("the same");
        assert_eq!(lab.rows::<NetworkInterface>().len(), 4);
        let delete = wire::DeleteLoadBalancerInput { load_balancer_arn: Some(arn) };
        ask!(lab, Elbv2DeleteLoadBalancer, delete).expect("deleted");
        assert_eq!(lab.rows::<NetworkInterface>().len(), 2);
    }

    /// A subnet without a free address takes no load balancer, and nothing is left of it.
    #[test]
    fn a_full_subnet_takes_no_balancer() {
        let mut lab = Lab::new();
        let id = lab.rows::<Subnet>()[0].id.to_string();
        lab.change(|tx| {
            tx.update(&id, |row: &mut Subnet| row.cidr = Cidr::covering(row.cidr.network(), 30));
        });
        assert_eq!(create(&mut lab, "web").expect_err("no room").code, "InvalidSubnet");
        assert!(lab.rows::<LoadBalancer>().is_empty() && lab.rows::<NetworkInterface>().is_empty());
    }
}
