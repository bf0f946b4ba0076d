//! The network that every account and region begins with: a default VPC with
//! a subnet in each zone and a default security group, and the built-in image
//! (EC2 User Guide, "Default VPCs").

use crate::engine::Config;
use crate::row::*;
use crate::state::{Tx, View};
use elastane_domain::id::*;
use elastane_domain::network::Cidr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

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

/// Where private addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPlan {
    /// 172.31.0.0/16 in every region, as AWS has it: each VPC is a network of its own.
    Vpc,
    /// 127.x.0.0/16, another for each account and region: instances share the
    /// host's loopback network and must not collide.
    Loopback,
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
    if tx.images.contains_key(host_image().as_str()) {
        return;
    }
    let second = match config.addresses {
        AddressPlan::Vpc => 31,
        AddressPlan::Loopback => {
            let (first, count) = LOOPBACK_NETWORKS;
            (first + config.installation.wrapping_add(index as u32) % count) as u8
        }
    };
    let first = if config.addresses == AddressPlan::Vpc { 172 } else { 127 };
    let vpc = VpcId::from(tx.rng.id(VpcId::PREFIX));
    let cidr = Cidr::covering(Ipv4Addr::new(first, second, 0, 0), 16);
    tx.put(Vpc { id: vpc.clone(), cidr, default: true, tags: Tags::new() });
    for (place, zone) in zones(&tx.scope().region.clone()).into_iter().enumerate() {
        let id = SubnetId::from(tx.rng.id(SubnetId::PREFIX));
        let cidr = Cidr::covering(Ipv4Addr::new(first, second, 16 * place as u8, 0), 20);
        tx.put(Subnet { id, vpc: vpc.clone(), zone, cidr, default: true, tags: Tags::new() });
    }
    put_default_group(tx, &vpc);
    let snapshot = tx.rng.id("snap-");
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
        tags: Tags::new(),
        snapshot_tags: Tags::new(),
    });
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
    view.all::<Instance>()
        .filter(|instance| instance.subnet == *subnet && !matches!(instance.phase, Phase::Terminated { .. }))
        .map(|instance| instance.private_ip)
        .collect()
}

/// How many addresses each subnet has in use.
pub fn taken_counts(view: &View<'_>) -> BTreeMap<SubnetId, u32> {
    let mut counts = BTreeMap::new();
    for instance in view.all::<Instance>() {
        if !matches!(instance.phase, Phase::Terminated { .. }) {
            *counts.entry(instance.subnet.clone()).or_insert(0) += 1;
        }
    }
    counts
}

/// A loopback address that no load balancer of any scope has; `None` when
/// all are taken.
pub fn load_balancer_address(tx: &Tx<'_>) -> Option<Ipv4Addr> {
    let used: BTreeSet<Ipv4Addr> =
        tx.state.scopes.values().flat_map(|tables| tables.load_balancers.values()).map(|lb| lb.address).collect();
    let begin = tx.config.installation.wrapping_mul(256) % LOAD_BALANCER_ADDRESSES;
    (1..LOAD_BALANCERS_MAX)
        .map(|offset| u32::from(LOAD_BALANCER_BASE) + (begin + offset) % LOAD_BALANCER_ADDRESSES)
        .filter(|address| !matches!(address & 0xff, 0 | 0xff))
        .map(Ipv4Addr::from)
        .find(|address| !used.contains(address))
}
