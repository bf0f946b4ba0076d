//! The network that every account and region begins with: a default VPC with
//! a subnet in each zone and a default security group, and the built-in image
//! (EC2 User Guide, "Default VPCs").

use crate::engine::{Config, Plant};
use crate::row::*;
use crate::state::{Tx, View};
use elastane_domain::id::*;
use elastane_domain::network::Cidr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Letters of the zones that every region has.
pub const ZONE_LETTERS: [char; 3] = ['a', 'b', 'c'];

/// Load balancers get loopback addresses from here, one a load balancer:
/// 127.64.0.0/10. Each installation begins at a /24 of its own.
const LOAD_BALANCER_BASE: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 0);

/// How many addresses that range has.
const LOAD_BALANCER_ADDRESSES: u32 = 1 << 22;

/// How many of them are tried; one process needs no more load balancers.
const LOAD_BALANCERS_MAX: u32 = 1 << 16;

/// Networks of the loopback plan lie above the load balancers' addresses:
/// 127.128.0.0/16 and on. Each installation begins at one of its own.
const LOOPBACK_NETWORKS: (u32, u32) = (128, 127);

/// Size of the built-in image's root volume as EC2 shows it.
pub const ROOT_VOLUME_GIB: i32 = 8;

/// Where private addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPlan {
    /// 172.31.0.0/16 in every region, as AWS has it: each VPC is a network of its own.
    Vpc,
    /// 127.x.0.0/16, another for each account and region: instances share the
    /// host's loopback network and must not collide.
    Loopback,
}

/// What load balancers have of IPv6 on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Plan {
    /// Nothing: no load balancer can be `dualstack`.
    Missing,
    /// `::1`, which all share: they are told apart by their ports.
    Shared,
    /// Addresses of their own, below this prefix of 64 bits.
    Own(Ipv6Addr),
}

impl Ipv6Plan {
    /// The IPv6 address of a load balancer's node. Below a prefix it is made
    /// of the node's IPv4 address, so no two nodes have the same; the shared
    /// address belongs to the `first` node.
    pub fn of_node(self, first: bool, address: Ipv4Addr) -> Option<Ipv6Addr> {
        match self {
            Ipv6Plan::Missing => None,
            Ipv6Plan::Shared => first.then_some(Ipv6Addr::LOCALHOST),
            Ipv6Plan::Own(prefix) => Some(Ipv6Addr::from(u128::from(prefix) | u128::from(u32::from(address)))),
        }
    }
}

/// The zones of a region, in order.
pub fn zones(region: &Region) -> Vec<Zone> {
    ZONE_LETTERS.iter().map(|letter| Zone::from(format!("{region}{letter}"))).collect()
}

/// The built-in image's id: the same in every region of every installation,
/// so that templates can name it.
pub fn host_image() -> ImageId {
    ImageId::from("ami-0e1a57a9e00000001")
}

/// Makes the default network and the built-in image, if the scope has none.
/// `index` tells the scopes of an installation apart.
pub(crate) fn ensure(tx: &mut Tx<'_>, config: &Config, index: usize) {
    if tx.images.contains_key(host_image().as_str()) || tx.scope().region.as_str() == IAM_REGION {
        return;
    }
    put_default_vpc(tx, default_network(config, index));
    let snapshot = tx.rng.id("snap-");
    let started_at = tx.now;
    tx.put(Snapshot {
        id: snapshot.clone(),
        volume: String::new(),
        description: "The host's own root".to_string(),
        layers: Vec::new(),
        image: None,
        size_gib: ROOT_VOLUME_GIB,
        started_at,
        tags: Tags::new(),
    });
    tx.put(Image {
        id: host_image(),
        name: config.host_image_name.clone(),
        description: "The host's own root, read-only, with a writable layer on top".to_string(),
        layers: Vec::new(),
        source: None,
        created_at: tx.now,
        phase: ImagePhase::Available { bytes: 0 },
        reboot: false,
        snapshot,
        details: ImageDetails::default(),
        tags: Tags::new(),
    });
}

/// Makes the region's default VPC with a subnet in each zone, where it has
/// none (any more). On the loopback plan it gets a range that no VPC of any
/// scope has.
pub fn create_default_vpc(tx: &mut Tx<'_>) {
    let there = |range: Cidr| {
        let vpcs = tx.state.scopes.values().flat_map(|tables| tables.vpcs.values());
        vpcs.flat_map(|vpc| vpc.cidrs()).any(|cidr| cidr.overlaps(range))
    };
    let mut ranges = (0..LOOPBACK_NETWORKS.1 as usize).map(|index| default_network(tx.config, index));
    let range = ranges.find(|range| tx.config.addresses == AddressPlan::Vpc || !there(*range));
    let range = range.unwrap_or_else(|| default_network(tx.config, 0));
    put_default_vpc(tx, range);
}

/// The default VPC's range: 172.31.0.0/16, or the `index`th of the loopback plan.
fn default_network(config: &Config, index: usize) -> Cidr {
    let (first, second) = match config.addresses {
        AddressPlan::Vpc => (172, 31),
        AddressPlan::Loopback => {
            let (first, count) = LOOPBACK_NETWORKS;
            (127, (first + config.installation.wrapping_add(index as u32) % count) as u8)
        }
    };
    Cidr::covering(Ipv4Addr::new(first, second, 0, 0), 16)
}

fn put_default_vpc(tx: &mut Tx<'_>, cidr: Cidr) {
    let public_on_launch = tx.config.addresses == AddressPlan::Vpc;
    let vpc = VpcId::from(tx.rng.id(VpcId::PREFIX));
    let dhcp_options = regional_dhcp_options(tx);
    tx.put(Vpc {
        id: vpc.clone(),
        cidr,
        default: true,
        more_cidrs: Vec::new(),
        dhcp_options,
        dns_support: true,
        dns_hostnames: true,
        address_usage_metrics: false,
        tags: Tags::new(),
    });
    put_way_out(tx, &vpc);
    for (place, zone) in zones(&tx.scope().region.clone()).into_iter().enumerate() {
        let id = SubnetId::from(tx.rng.id(SubnetId::PREFIX));
        tx.put(Subnet {
            id,
            vpc: vpc.clone(),
            zone,
            cidr: cidr.subnet(20, place as u64).expect("a /16 has sixteen of them"),
            default: true,
            public_on_launch,
            resource_names: false,
            tags: Tags::new(),
        });
    }
    put_default_group(tx, &vpc);
}

/// The DHCP options that the region's new VPCs get, `dopt-…`: the VPC's own
/// resolver and the region's domain (VPC User Guide, "DHCP option sets").
pub fn regional_dhcp_options(tx: &mut Tx<'_>) -> String {
    if let Some(there) = tx.all::<DhcpOptions>().find(|row| row.default) {
        return there.id.clone();
    }
    let id = tx.rng.id("dopt-");
    let options = [
        ("domain-name".to_string(), vec![tx.scope().private_domain()]),
        ("domain-name-servers".to_string(), vec!["AmazonProvidedDNS".to_string()]),
    ];
    tx.put(DhcpOptions { id: id.clone(), options: options.into(), default: true, tags: Tags::new() });
    id
}

/// What a VPC has from its first moment: a main route table and a default
/// security group (EC2 API Reference, "CreateVpc").
pub fn furnish(tx: &mut Tx<'_>, vpc: &VpcId) {
    put_main_route_table(tx, vpc, Vec::new());
    put_default_group(tx, vpc);
}

/// Makes the main route table of a VPC.
pub(crate) fn put_main_route_table(tx: &mut Tx<'_>, vpc: &VpcId, routes: Vec<Route>) {
    let (id, association) = (tx.rng.id("rtb-"), tx.rng.id("rtbassoc-"));
    tx.put(RouteTable {
        id,
        vpc: vpc.clone(),
        routes,
        associations: vec![RouteTableAssociation { id: association, subnet: None }],
        client_token: None,
        tags: Tags::new(),
    });
}

/// The default VPC's internet gateway and the route to it.
pub(crate) fn put_way_out(tx: &mut Tx<'_>, vpc: &VpcId) {
    let id = tx.rng.id("igw-");
    tx.put(InternetGateway { id: id.clone(), vpc: Some(vpc.clone()), tags: Tags::new() });
    let everywhere = Cidr::covering(Ipv4Addr::UNSPECIFIED, 0);
    let route = Route { destination: RouteDestination::Cidr(everywhere), target: RouteTarget::InternetGateway(id) };
    put_main_route_table(tx, vpc, vec![route]);
}

/// A VPC's default group lets its members reach each other and everything else.
fn put_default_group(tx: &mut Tx<'_>, vpc: &VpcId) {
    let id = SecurityGroupId::from(tx.rng.id(SecurityGroupId::PREFIX));
    let ingress = all_traffic(tx, false, RulePeer::Group(id.clone()));
    let egress = all_traffic(tx, true, RulePeer::Cidr("0.0.0.0/0".to_string()));
    tx.put(SecurityGroup {
        id,
        name: "default".to_string(),
        description: "default VPC security group".to_string(),
        vpc: vpc.clone(),
        rules: vec![ingress, egress],
        tags: Tags::new(),
    });
}

/// A rule for all protocols and ports.
pub fn all_traffic(tx: &mut Tx<'_>, egress: bool, peer: RulePeer) -> SecurityGroupRule {
    SecurityGroupRule {
        id: tx.rng.id("sgr-"),
        egress,
        protocol: "-1".to_string(),
        from_port: -1,
        to_port: -1,
        peer,
        description: None,
        tags: Tags::new(),
    }
}

/// The default VPC.
pub fn default_vpc<'a>(view: &View<'a>) -> Option<&'a Vpc> {
    view.all::<Vpc>().find(|vpc| vpc.default).map(AsRef::as_ref)
}

/// The default subnet of a zone.
pub fn default_subnet<'a>(view: &View<'a>, zone: &Zone) -> Option<&'a Subnet> {
    view.all::<Subnet>().find(|subnet| subnet.default && subnet.zone == *zone).map(AsRef::as_ref)
}

/// The default security group of a VPC.
pub fn default_security_group<'a>(view: &View<'a>, vpc: &VpcId) -> Option<&'a SecurityGroup> {
    view.all::<SecurityGroup>().find(|group| group.vpc == *vpc && group.name == "default").map(AsRef::as_ref)
}

/// Addresses of a subnet that are in use.
pub fn taken(view: &View<'_>, subnet: &SubnetId) -> BTreeSet<Ipv4Addr> {
    let there = view.all::<NetworkInterface>().filter(|interface| interface.subnet == *subnet);
    there.flat_map(|interface| interface.addresses.iter().copied()).collect()
}

/// How many addresses each subnet has in use.
pub fn taken_counts(view: &View<'_>) -> BTreeMap<SubnetId, u32> {
    let mut counts = BTreeMap::new();
    for interface in view.all::<NetworkInterface>() {
        *counts.entry(interface.subnet.clone()).or_insert(0) += interface.addresses.len() as u32;
    }
    counts
}

/// The primary interface of an instance; `None` once it is terminated.
pub fn primary_interface<'a>(view: &View<'a>, instance: &Instance) -> Option<&'a NetworkInterface> {
    view.get::<NetworkInterface>(&instance.interface).map(AsRef::as_ref)
}

/// All interfaces of an instance, in the order of their device indexes.
pub fn interfaces_of<'a>(view: &View<'a>, instance: &InstanceId) -> Vec<&'a NetworkInterface> {
    let attached = |interface: &&Arc<NetworkInterface>| {
        interface.attachment.as_ref().is_some_and(|attachment| attachment.instance == *instance)
    };
    let mut found: Vec<&NetworkInterface> =
        view.all::<NetworkInterface>().filter(attached).map(AsRef::as_ref).collect();
    found.sort_by_key(|interface| interface.attachment.as_ref().map(|attachment| attachment.device));
    found
}

/// A new interface of a subnet with these addresses, the primary one first:
/// not attached, in no group, and not stored yet.
pub fn new_interface(
    tx: &mut Tx<'_>,
    subnet: &Subnet,
    owner: InterfaceOwner,
    addresses: Vec<Ipv4Addr>,
) -> NetworkInterface {
    NetworkInterface {
        id: tx.rng.id("eni-"),
        vpc: subnet.vpc.clone(),
        subnet: subnet.id.clone(),
        zone: subnet.zone.clone(),
        description: String::new(),
        addresses,
        groups: Vec::new(),
        source_dest_check: true,
        owner,
        attachment: None,
        public_ip: None,
        created_at: tx.now,
        client_token: None,
        tags: Tags::new(),
    }
}

/// Stores a load balancer's interface in a subnet, in the balancer's groups;
/// clients look for it by its description.
pub fn put_balancer_interface(tx: &mut Tx<'_>, row: &LoadBalancer, subnet: &Subnet, address: Ipv4Addr) {
    let owner = InterfaceOwner::LoadBalancer(row.arn.clone());
    let interface = new_interface(tx, subnet, owner, vec![address]);
    let description = format!("ELB {}", row.dimension());
    tx.put(NetworkInterface { description, groups: row.security_groups.clone(), ..interface });
}

/// Deletes an interface; Elastic IPs that lead to it come free.
pub fn delete_interface(tx: &mut Tx<'_>, id: &str) {
    let leads = |row: &&Arc<Address>| row.association.as_ref().is_some_and(|to| to.interface == id);
    let addresses: Vec<String> = tx.all::<Address>().filter(leads).map(|row| row.id.clone()).collect();
    let kept = tx.config.plant == Some(Plant::AddressKept);
    for address in addresses.into_iter().filter(|_| !kept) {
        tx.update(&address, |row: &mut Address| row.association = None);
    }
    tx.delete::<NetworkInterface>(id);
}

/// The public address that leads to a private one of an interface: an Elastic
/// IP, or the one that its instance was given, unless that is stopped.
pub fn public_ip(view: &View<'_>, interface: &NetworkInterface, private: Ipv4Addr) -> Option<Ipv4Addr> {
    let own = || interface.public_ip.filter(|_| private == interface.primary());
    elastic_ip(view, interface, private)
        .map(|address| address.public_ip)
        .or_else(|| own().filter(|_| !on_stopped_instance(view, interface)))
}

/// Whether an interface belongs to an instance that is stopped. Its own public
/// address is then the one that the next start brings into force (EC2 User
/// Guide, "Public IPv4 addresses": a stop releases it, a start brings another).
pub fn on_stopped_instance(view: &View<'_>, interface: &NetworkInterface) -> bool {
    let instance = interface.attachment.as_ref().and_then(|to| view.get::<Instance>(to.instance.as_str()));
    instance.is_some_and(|row| row.phase == Phase::Stopped)
}

/// Releases the public addresses that a stopped instance was given and sets
/// others aside for its next start. Elastic IPs stay.
pub(crate) fn renew_public_addresses(tx: &mut Tx<'_>, instance: &InstanceId) {
    let given = interfaces_of(&tx.view(), instance).into_iter().filter(|row| row.public_ip.is_some());
    let given: Vec<String> = given.map(|row| row.id.clone()).collect();
    for interface in given {
        let fresh = public_address(tx);
        tx.update(&interface, |row: &mut NetworkInterface| row.public_ip = fresh);
    }
}

/// The Elastic IP that leads to a private address of an interface.
pub fn elastic_ip<'a>(view: &View<'a>, interface: &NetworkInterface, private: Ipv4Addr) -> Option<&'a Address> {
    let leads = |address: &&Arc<Address>| {
        let association = address.association.as_ref();
        association.is_some_and(|to| to.interface == interface.id && to.private_ip == private)
    };
    view.all::<Address>().find(leads).map(AsRef::as_ref)
}

/// Public addresses come from here: 198.18.0.0/15, which nobody on the
/// internet has (RFC 2544). Each installation begins at a /24 of its own.
const PUBLIC_BASE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// How many addresses that range has.
const PUBLIC_ADDRESSES: u32 = 1 << 17;

/// Public addresses that nothing of any scope has, each given once: one look
/// at all rows serves a launch of many.
pub struct PublicAddresses {
    /// Marks by the place in the range; empty when there are no public addresses.
    used: Vec<bool>,
    begin: u32,
    next: usize,
}

impl PublicAddresses {
    /// Those that are free now; none where instances share the host's network.
    pub fn free(tx: &Tx<'_>) -> PublicAddresses {
        let begin = tx.config.installation.wrapping_mul(256) % PUBLIC_ADDRESSES;
        if tx.config.addresses == AddressPlan::Loopback {
            return PublicAddresses { used: Vec::new(), begin, next: 0 };
        }
        let scopes = || tx.state.scopes.values();
        let elastic = scopes().flat_map(|tables| tables.addresses.values()).map(|row| row.public_ip);
        let given = scopes().flat_map(|tables| tables.interfaces.values()).filter_map(|row| row.public_ip);
        let given = given.filter(|_| tx.config.plant != Some(Plant::PublicAddressTwice));
        let base = u32::from(PUBLIC_BASE) + begin;
        let place = |address: Ipv4Addr| u32::from(address).wrapping_sub(base) % PUBLIC_ADDRESSES;
        // Marks are cheaper than a set.
        let mut used = vec![false; PUBLIC_ADDRESSES as usize];
        elastic.chain(given).for_each(|address| used[place(address) as usize] = true);
        PublicAddresses { used, begin, next: 0 }
    }

    /// The next one; `None` when all are taken.
    pub fn take(&mut self) -> Option<Ipv4Addr> {
        while let Some(used) = self.used.get(self.next) {
            let address = u32::from(PUBLIC_BASE) + (self.begin + self.next as u32) % PUBLIC_ADDRESSES;
            self.next += 1;
            // The first ones of each /24 are left to the edge itself.
            if !used && !matches!(address & 0xff, 0..=3 | 0xff) {
                return Some(Ipv4Addr::from(address));
            }
        }
        None
    }
}

/// A public address that nothing of any scope has; `None` when all are taken
/// or instances share the host's network.
pub fn public_address(tx: &Tx<'_>) -> Option<Ipv4Addr> {
    PublicAddresses::free(tx).take()
}

/// A loopback address for each of these zones that no load balancer of any
/// scope has; `None` when there are not enough.
pub fn load_balancer_nodes(tx: &Tx<'_>, zones: &[Zone]) -> Option<BTreeMap<Zone, Ipv4Addr>> {
    let used: BTreeSet<Ipv4Addr> = tx
        .state
        .scopes
        .values()
        .flat_map(|tables| tables.load_balancers.values())
        .flat_map(|lb| lb.nodes.values().copied())
        .collect();
    let begin = tx.config.installation.wrapping_mul(256) % LOAD_BALANCER_ADDRESSES;
    let free = (1..LOAD_BALANCERS_MAX)
        .map(|offset| u32::from(LOAD_BALANCER_BASE) + (begin + offset) % LOAD_BALANCER_ADDRESSES)
        .filter(|address| !matches!(address & 0xff, 0 | 0xff))
        .map(Ipv4Addr::from)
        .filter(|address| !used.contains(address));
    let nodes: BTreeMap<Zone, Ipv4Addr> = zones.iter().cloned().zip(free).collect();
    (nodes.len() == zones.len()).then_some(nodes)
}
