//! The network plan: all that a host must know of one VPC's network, compiled
//! by the control plane and applied whole. Hosts keep no other source: what a
//! plan does not allow does not pass.

use crate::id::{InstanceId, SecurityGroupId, SubnetId, VpcId};
use crate::network::Cidr;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// One generation of a VPC's network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPlan {
    /// The VPC.
    pub vpc: VpcId,
    /// Grows with each plan of this VPC; the host reports the one it applied.
    pub generation: u64,
    /// The VPC's ranges, the primary one first: what is in them is local.
    pub cidrs: Vec<Cidr>,
    /// The resolver's address (the primary range's first plus two); `None`
    /// when `enableDnsSupport` is false.
    pub resolver: Option<Ipv4Addr>,
    /// Subnets, in the order of their ids.
    pub subnets: Vec<SubnetPlan>,
    /// Interfaces that have an address in the VPC, in the order of their ids.
    pub interfaces: Vec<InterfacePlan>,
    /// Rules of every group that an interface is in, and members of every
    /// group that a rule names.
    pub groups: BTreeMap<SecurityGroupId, GroupPlan>,
    /// Lower-case private names without a final dot, besides those that follow
    /// from addresses (`ip-10-0-0-5`): instance ids, load balancers, public names.
    pub names: BTreeMap<String, Vec<Ipv4Addr>>,
    /// What is written down of the VPC's traffic.
    pub flow_logs: Vec<FlowLogPlan>,
}

/// A subnet and where its traffic goes.
#[derive(Clone, Debug, PartialEq)]
pub struct SubnetPlan {
    /// Its id.
    pub id: SubnetId,
    /// Its range; its gateway is the first address after the network's own.
    pub cidr: Cidr,
    /// Whether its zone is cut off: nothing passes to or from it, not even
    /// from the load balancer.
    pub cut: bool,
    /// Where traffic beyond the VPC goes, the longest prefix first; what no
    /// route matches is dropped.
    pub routes: Vec<RoutePlan>,
}

/// One route beyond the local ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePlan {
    /// What it is about.
    pub destination: Cidr,
    /// Where that goes.
    pub via: Via,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// An internet gateway: interfaces with a public address leave under it,
    /// others do not leave.
    Internet,
    /// A NAT gateway: traffic leaves under this public address.
    Nat(Ipv4Addr),
    /// An interface of the VPC, by its primary private address; its instance
    /// forwards (`sourceDestCheck` false).
    Interface(Ipv4Addr),
    /// A target that is gone: `blackhole`.
    Nowhere,
}

/// An interface with an address in the VPC.
#[derive(Clone, Debug, PartialEq)]
pub struct InterfacePlan {
    /// `eni-…`.
    pub id: String,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its private addresses, the primary one first.
    pub addresses: Vec<Ipv4Addr>,
    /// Public addresses, as (private, public).
    pub public: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Who has it.
    pub holder: Holder,
    /// Its groups; none for a NAT gateway, which is not filtered.
    pub groups: Vec<SecurityGroupId>,
    /// Whether traffic that is not from or to its own addresses is dropped.
    pub source_dest_check: bool,
}

/// Who holds an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An instance, as its network card number so-and-so; 0 is the primary one.
    Instance(InstanceId, u16),
    /// A load balancer: the data plane connects from its address.
    LoadBalancer,
    /// A NAT gateway.
    NatGateway,
    /// Nobody: it is not attached.
    Nobody,
}

/// A security group as the packet filter needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupPlan {
    /// What is allowed in.
    pub ingress: Vec<RulePlan>,
    /// What is allowed out.
    pub egress: Vec<RulePlan>,
    /// Private addresses of all interfaces in the group.
    pub members: Vec<Ipv4Addr>,
}

/// One rule: traffic that it matches passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlan {
    /// Which packets.
    pub protocol: Protocol,
    /// From whom, or to whom.
    pub peer: Peer,
}

/// Packets that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// All.
    All,
    /// TCP to ports from the first to the last.
    Tcp(u16, u16),
    /// UDP likewise.
    Udp(u16, u16),
    /// ICMP of a type and code; `None` is any.
    Icmp(Option<u8>, Option<u8>),
    /// Another protocol by its IANA number.
    Other(u8),
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An IPv4 range.
    Range(Cidr),
    /// Members of a group.
    Members(SecurityGroupId),
}

/// What a flow log writes down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowLogPlan {
    /// `fl-…`.
    pub id: String,
    /// The interfaces it is about.
    pub interfaces: Vec<String>,
    /// Whether flows that passed are written down.
    pub accepted: bool,
    /// Whether flows that were dropped are written down.
    pub rejected: bool,
    /// Aggregation interval in seconds of wall time: 60 or 600.
    pub interval_secs: u32,
}

impl NetworkPlan {
    /// The plan of a VPC with nothing in it.
    pub fn empty(vpc: VpcId) -> NetworkPlan {
        NetworkPlan {
            vpc,
            generation: 0,
            cidrs: Vec::new(),
            resolver: None,
            subnets: Vec::new(),
            interfaces: Vec::new(),
            groups: BTreeMap::new(),
            names: BTreeMap::new(),
            flow_logs: Vec::new(),
        }
    }
}
