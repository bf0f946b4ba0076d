//! Network interfaces of load balancers: one in each subnet, with the
//! balancer's security groups. Its connections to targets come from their
//! addresses, which is what rules that name its group let in.

use super::balancer_network::Mapping;
use super::errors;
use crate::Change;
use elastane_domain::id::SubnetId;
use elastane_engine::row::{Address, AddressAssociation, InterfaceOwner, LoadBalancer, NetworkInterface, Subnet};
use elastane_engine::{View, network};
use elastane_wire::ApiError;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Where an interface will be.
pub struct Place {
    subnet: Subnet,
    address: Ipv4Addr,
    allocation: Option<String>,
}

/// An address in each of these subnets: the one that the mapping names, else
/// a free one.
///
/// # Errors
/// `SubnetNotFound`; `InvalidSubnet` for a subnet without a free address;
/// `InvalidConfigurationRequest` for an address that is not the subnet's or
/// taken; `AllocationIdNotFound`.
pub fn places<'a>(view: &View<'_>, mappings: impl Iterator<Item = &'a Mapping>) -> Result<Vec<Place>, ApiError> {
    mappings.map(|mapping| place(view, mapping)).collect()
}

fn place(view: &View<'_>, mapping: &Mapping) -> Result<Place, ApiError> {
    let id = &mapping.subnet;
    let subnet = view.get::<Subnet>(id.as_str()).ok_or_else(|| errors::subnet_not_found(id.as_str()))?;
    let taken = network::taken(view, id);
    let address = match mapping.private {
        Some(address) => {
            if !subnet.cidr.contains(address) || subnet.cidr.reserves(address) {
                let message = format!("The private IPv4 address '{address}' is not one of the subnet '{id}'");
                return Err(errors::invalid_configuration(message));
            }
            if taken.contains(&address) {
                let message = format!("The private IPv4 address '{address}' is in use");
                return Err(errors::invalid_configuration(message));
            }
            address
        }
        None => subnet.cidr.next_free(&taken).ok_or_else(|| errors::subnet_full(id.as_str()))?,
    };
    if let Some(allocation) = &mapping.allocation {
        let row = view.get::<Address>(allocation).filter(|row| row.association.is_none());
        row.ok_or_else(|| errors::allocation_id_not_found(allocation))?;
    }
    Ok(Place { subnet: subnet.as_ref().clone(), address, allocation: mapping.allocation.clone() })
}

/// Stores interfaces of a load balancer, and leads Elastic IPs to them.
pub fn put(tx: &mut Change<'_, '_>, row: &LoadBalancer, places: Vec<Place>) {
    for Place { subnet, address, allocation } in places {
        network::put_balancer_interface(tx, row, &subnet, address);
        let view = tx.view();
        let made = of_subnet(&view, row.arn.as_str(), &subnet.id).map(|interface| interface.id.clone());
        if let (Some(interface), Some(allocation)) = (made, allocation) {
            let id = tx.rng.id("eipassoc-");
            let to = AddressAssociation { id, interface, private_ip: address };
            tx.update(&allocation, |row: &mut Address| row.association = Some(to));
        }
    }
}

/// The interfaces of a load balancer.
fn of<'a>(view: &View<'a>, arn: &str) -> impl Iterator<Item = &'a Arc<NetworkInterface>> {
    view.all::<NetworkInterface>().filter(move |row| match &row.owner {
        InterfaceOwner::LoadBalancer(owner) => owner.as_str() == arn,
        InterfaceOwner::User | InterfaceOwner::NatGateway(_) => false,
    })
}

/// The interface of a load balancer in a subnet.
pub fn of_subnet<'a>(view: &View<'a>, arn: &str, subnet: &SubnetId) -> Option<&'a Arc<NetworkInterface>> {
    of(view, arn).find(|row| row.subnet == *subnet)
}

/// The Elastic IP that leads to a load balancer in a subnet.
pub fn elastic_ip<'a>(view: &View<'a>, arn: &str, subnet: &SubnetId) -> Option<&'a Address> {
    let interface = of_subnet(view, arn, subnet)?;
    network::elastic_ip(view, interface, interface.primary())
}

/// Deletes the interfaces of a load balancer, but for those in subnets that it keeps.
pub fn delete(tx: &mut Change<'_, '_>, arn: &str, kept: &[SubnetId]) {
    let view = tx.view();
    let gone = of(&view, arn).filter(|row| !kept.contains(&row.subnet));
    let ids: Vec<String> = gone.map(|row| row.id.clone()).collect();
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
