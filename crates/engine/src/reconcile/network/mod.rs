//! Compiles the network plan of a VPC from rows. A plan is a function of the
//! scope's rows and nothing else, so the one that is in force and the one that
//! should be can be compared at any time.
//!
//! What must stay true: an interface is in the plan of its VPC from its first
//! row to its last, and no address is in two interfaces; a route whose target
//! cannot carry traffic leads nowhere instead of being left out, as a shorter
//! route must not take its place.

mod names;
mod routes;
mod rules;
mod wanted;

pub(crate) use wanted::{Networks, Touched, in_force, made_at_all};

use crate::row::*;
use crate::state::{Tables, View};
use elastane_domain::id::{SecurityGroupId, VpcId};
use elastane_domain::vpc::{FlowLogPlan, GroupPlan, Holder, InterfacePlan, NetworkPlan, Peer, SubnetPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Where the resolver is, counted from a VPC's first address (Amazon VPC User
/// Guide, "Amazon DNS server").
const RESOLVER_PLACE: u64 = 2;

/// The plan that the rows ask for, as generation 0; an empty one when there is
/// no such VPC.
pub fn compile(view: &View<'_>, vpc: &VpcId) -> NetworkPlan {
    match view.get::<Vpc>(vpc.as_str()) {
        Some(row) => Index::new(*view).plan(row),
        None => NetworkPlan::empty(vpc.clone()),
    }
}

/// Name servers and search domain of a VPC's instances, as its DHCP options
/// say; no servers for the VPC's own resolver.
pub fn resolver_settings(view: &View<'_>, vpc: &VpcId) -> (Vec<Ipv4Addr>, String) {
    let options = view.get::<Vpc>(vpc.as_str()).and_then(|row| view.get::<DhcpOptions>(&row.dhcp_options));
    let values = |name: &str| options.and_then(|row| row.options.get(name)).map_or(&[][..], Vec::as_slice);
    // `AmazonProvidedDNS` is no address, and means the resolver.
    let servers = values("domain-name-servers").iter().filter_map(|text| text.parse().ok()).collect();
    let domain = match options {
        Some(_) => values("domain-name").first().cloned().unwrap_or_default(),
        None => view.scope.private_domain(),
    };
    (servers, domain)
}

/// What is looked up again and again while the plans of a scope are made.
pub(crate) struct Index<'a> {
    view: View<'a>,
    interfaces: BTreeMap<&'a VpcId, Vec<&'a NetworkInterface>>,
    /// Elastic IPs by the interface and private address that they lead to.
    elastic: BTreeMap<(&'a str, Ipv4Addr), Ipv4Addr>,
    /// VPCs with an internet gateway.
    open: BTreeSet<&'a VpcId>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(view: View<'a>) -> Index<'a> {
        let tables = view.tables;
        let mut interfaces: BTreeMap<&VpcId, Vec<&NetworkInterface>> = BTreeMap::new();
        for row in tables.interfaces.values() {
            interfaces.entry(&row.vpc).or_default().push(row);
        }
        let associated = |row: &'a Address| Some((row.association.as_ref()?, row.public_ip));
        let leads = |(to, public): (&'a AddressAssociation, _)| ((to.interface.as_str(), to.private_ip), public);
        Index {
            view,
            interfaces,
            elastic: tables.addresses.values().filter_map(|row| associated(row)).map(leads).collect(),
            open: tables.internet_gateways.values().filter_map(|row| row.vpc.as_ref()).collect(),
        }
    }

    fn tables(&self) -> &'a Tables {
        self.view.tables
    }

    /// Interfaces of a VPC, in the order of their ids.
    fn of_vpc(&self, vpc: &VpcId) -> &[&'a NetworkInterface] {
        self.interfaces.get(vpc).map_or(&[], Vec::as_slice)
    }

    /// Whether an instance that is not terminated has an interface in the VPC.
    pub(crate) fn inhabited(&self, vpc: &VpcId) -> bool {
        self.of_vpc(vpc).iter().any(|row| row.attachment.is_some())
    }

    /// The plan of a VPC, as generation 0.
    pub(crate) fn plan(&self, vpc: &Vpc) -> NetworkPlan {
        let resolver = vpc.cidr.nth(RESOLVER_PLACE).filter(|_| vpc.dns_support);
        NetworkPlan {
            vpc: vpc.id.clone(),
            generation: 0,
            cidrs: vpc.cidrs().collect(),
            resolver,
            subnets: self.subnets(vpc),
            interfaces: self.of_vpc(&vpc.id).iter().map(|row| self.interface(row)).collect(),
            groups: self.groups(&vpc.id),
            names: if resolver.is_some() { self.names(vpc) } else { BTreeMap::new() },
            flow_logs: self.flow_logs(&vpc.id),
        }
    }

    fn subnets(&self, vpc: &Vpc) -> Vec<SubnetPlan> {
        let own = self.tables().subnets.values().filter(|row| row.vpc == vpc.id);
        let plan = |row: &Subnet| SubnetPlan {
            id: row.id.clone(),
            cidr: row.cidr,
            cut: self.tables().outages.contains_key(row.zone.as_str()),
            routes: self.routes(row),
        };
        own.map(|row| plan(row)).collect()
    }

    fn interface(&self, row: &NetworkInterface) -> InterfacePlan {
        let public = |private: &Ipv4Addr| Some((*private, self.public_ip(row, *private)?));
        InterfacePlan {
            id: row.id.clone(),
            subnet: row.subnet.clone(),
            addresses: row.addresses.clone(),
            public: row.addresses.iter().filter_map(public).collect(),
            holder: holder(row),
            groups: row.groups.clone(),
            source_dest_check: row.source_dest_check,
        }
    }

    /// The public address under which a private one is reached: only an
    /// internet gateway makes it one.
    fn public_ip(&self, row: &NetworkInterface, private: Ipv4Addr) -> Option<Ipv4Addr> {
        if !self.open.contains(&row.vpc) {
            return None;
        }
        let own = || row.public_ip.filter(|_| private == row.primary() && !self.stopped(row));
        self.elastic.get(&(row.id.as_str(), private)).copied().or_else(own)
    }

    /// A stopped instance has no public address but an Elastic IP.
    fn stopped(&self, row: &NetworkInterface) -> bool {
        crate::network::on_stopped_instance(&self.view, row)
    }

    /// Rules of groups that interfaces are in; members of those and of groups
    /// that these rules name.
    fn groups(&self, vpc: &VpcId) -> BTreeMap<SecurityGroupId, GroupPlan> {
        let mut groups: BTreeMap<SecurityGroupId, GroupPlan> = BTreeMap::new();
        for row in self.of_vpc(vpc) {
            for group in &row.groups {
                groups.entry(group.clone()).or_default().members.extend(&row.addresses);
            }
        }
        let mut named = Vec::new();
        for (id, plan) in &mut groups {
            let Some(row) = self.tables().security_groups.get(id.as_str()) else { continue };
            plan.ingress = rules::compile(self.tables(), row, false);
            plan.egress = rules::compile(self.tables(), row, true);
            named.extend(plan.ingress.iter().chain(&plan.egress).filter_map(|rule| match &rule.peer {
                Peer::Members(group) => Some(group.clone()),
                Peer::Range(_) => None,
            }));
        }
        for group in named {
            groups.entry(group).or_default();
        }
        groups
    }

    fn flow_logs(&self, vpc: &VpcId) -> Vec<FlowLogPlan> {
        let plan = |row: &FlowLog| {
            let all = row.resource == vpc.as_str();
            let subnet = self.tables().subnets.get(&row.resource).is_some_and(|subnet| subnet.vpc == *vpc);
            let one = self.tables().interfaces.get(&row.resource).is_some_and(|one| one.vpc == *vpc);
            let about = |interface: &NetworkInterface| {
                all || interface.id == row.resource || interface.subnet.as_str() == row.resource
            };
            let interfaces = self.of_vpc(vpc).iter().filter(|interface| about(interface));
            (all || subnet || one).then(|| FlowLogPlan {
                id: row.id.clone(),
                interfaces: interfaces.map(|interface| interface.id.clone()).collect(),
                accepted: row.traffic != "REJECT",
                rejected: row.traffic != "ACCEPT",
                interval_secs: row.interval_secs,
            })
        };
        self.tables().flow_logs.values().filter_map(|row| plan(row)).collect()
    }
}

fn holder(row: &NetworkInterface) -> Holder {
    match (&row.owner, &row.attachment) {
        (InterfaceOwner::NatGateway(_), _) => Holder::NatGateway,
        (InterfaceOwner::LoadBalancer(_), _) => Holder::LoadBalancer,
        (InterfaceOwner::User, Some(attachment)) => Holder::Instance(attachment.instance.clone(), attachment.device),
        (InterfaceOwner::User, None) => Holder::Nobody,
    }
}
