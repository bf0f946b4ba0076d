//! Where a subnet's traffic goes (Amazon VPC User Guide, "Route priority").

use super::Index;
use crate::row::*;
use elastane_domain::network::Cidr;
use elastane_domain::vpc::{RoutePlan, Via};
use std::cmp::Reverse;
use std::collections::BTreeSet;

impl Index<'_> {
    /// A subnet's routes, the longest prefix first. Of two with the same
    /// destination a static one goes before one of a prefix list.
    pub(super) fn routes(&self, subnet: &Subnet) -> Vec<RoutePlan> {
        let Some(table) = self.table_of(subnet) else { return Vec::new() };
        let via = |cidr: Cidr, target: &RouteTarget| match target {
            RouteTarget::NatGateway(id) => self.via_nat(table, cidr, id),
            RouteTarget::InternetGateway(_) | RouteTarget::Interface(_) => self.via(table, target),
        };
        let mut routes: Vec<(bool, RoutePlan)> = Vec::new();
        for (listed, destination, target) in self.destinations(table) {
            routes.push((listed, RoutePlan { destination, via: via(destination, target) }));
        }
        routes.sort_by_key(|(listed, route)| (Reverse(route.destination.prefix()), route.destination, *listed));
        let mut known = BTreeSet::new();
        routes.into_iter().map(|(_, route)| route).filter(|route| known.insert(route.destination)).collect()
    }

    /// The table that a subnet is associated with, or the VPC's main one.
    fn table_of(&self, subnet: &Subnet) -> Option<&RouteTable> {
        let own = |table: &RouteTable| table.associations.iter().any(|one| one.subnet.as_ref() == Some(&subnet.id));
        let tables = || self.tables().route_tables.values().filter(|table| table.vpc == subnet.vpc);
        tables().find(|table| own(table)).or_else(|| tables().find(|table| table.main())).map(AsRef::as_ref)
    }

    /// Every range that a table routes, whether a prefix list named it, and its target.
    fn destinations<'t>(&self, table: &'t RouteTable) -> Vec<(bool, Cidr, &'t RouteTarget)> {
        let mut found = Vec::new();
        for route in &table.routes {
            match &route.destination {
                RouteDestination::Cidr(cidr) => found.push((false, *cidr, &route.target)),
                RouteDestination::PrefixList(id) => {
                    let entries = self.tables().prefix_lists.get(id).map_or(&[][..], |list| list.entries.as_slice());
                    found.extend(entries.iter().map(|(cidr, _)| (true, *cidr, &route.target)));
                }
            }
        }
        found
    }

    /// Where a target leads that is no NAT gateway.
    fn via(&self, table: &RouteTable, target: &RouteTarget) -> Via {
        match target {
            RouteTarget::InternetGateway(id) => {
                let gateway = self.tables().internet_gateways.get(id);
                let attached = gateway.is_some_and(|row| row.vpc.as_ref() == Some(&table.vpc));
                if attached { Via::Internet } else { Via::Nowhere }
            }
            RouteTarget::Interface(id) => {
                let interface = self.tables().interfaces.get(id).filter(|row| row.vpc == table.vpc);
                let attached = interface.filter(|row| row.attachment.is_some());
                attached.map_or(Via::Nowhere, |row| Via::Interface(row.primary()))
            }
            RouteTarget::NatGateway(_) => Via::Nowhere,
        }
    }

    /// Where a NAT gateway leads: out under its public address, when its own
    /// subnet has a way out to the destination.
    fn via_nat(&self, table: &RouteTable, destination: Cidr, id: &str) -> Via {
        let Some(gateway) = self.tables().nat_gateways.get(id).filter(|row| row.vpc == table.vpc) else {
            return Via::Nowhere;
        };
        let works = match gateway.phase {
            NatGatewayPhase::Pending | NatGatewayPhase::Available => gateway.public,
            NatGatewayPhase::Deleting | NatGatewayPhase::Deleted { .. } => false,
        };
        let own = self.tables().subnets.get(gateway.subnet.as_str());
        let way_out = own.filter(|_| works).and_then(|subnet| self.table_of(subnet)).is_some_and(|table| {
            let mut leading = self.destinations(table).into_iter();
            leading.any(|(_, cidr, target)| cidr.overlaps(destination) && self.via(table, target) == Via::Internet)
        });
        let interface = self.tables().interfaces.get(&gateway.interface).filter(|_| way_out);
        let public = interface.and_then(|row| self.public_ip(row, row.primary()));
        public.map_or(Via::Nowhere, Via::Nat)
    }
}
