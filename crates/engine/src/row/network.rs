//! Rows of EC2's networks: VPCs and what is in them.

use super::{Tags, row};
use elastane_domain::id::*;
use elastane_domain::network::Cidr;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A VPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its range.
    pub cidr: Cidr,
    /// Whether it is the region's default VPC.
    pub default: bool,
    /// Further ranges.
    #[serde(default)]
    pub more_cidrs: Vec<CidrAssociation>,
    /// Its DHCP options, `dopt-…`; `default` for none.
    #[serde(default = "default_dhcp_options")]
    pub dhcp_options: String,
    /// `enableDnsSupport`.
    #[serde(default = "yes")]
    pub dns_support: bool,
    /// `enableDnsHostnames`.
    #[serde(default)]
    pub dns_hostnames: bool,
    /// `enableNetworkAddressUsageMetrics`; kept and shown.
    #[serde(default)]
    pub address_usage_metrics: bool,
    /// Tags.
    pub tags: Tags,
}
row!(Vpc, |row| row.id.to_string());

impl Vpc {
    /// All its ranges, the primary one first.
    pub fn cidrs(&self) -> impl Iterator<Item = Cidr> + '_ {
        [self.cidr].into_iter().chain(self.more_cidrs.iter().map(|association| association.cidr))
    }
}

fn default_dhcp_options() -> String {
    "default".to_string()
}

fn yes() -> bool {
    true
}

/// A further range of a VPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CidrAssociation {
    /// `vpc-cidr-assoc-…`.
    pub id: String,
    /// The range.
    pub cidr: Cidr,
}

/// A subnet: a part of a VPC's range in one zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its zone.
    pub zone: Zone,
    /// Its range.
    pub cidr: Cidr,
    /// Whether it is its zone's default subnet.
    pub default: bool,
    /// `mapPublicIpOnLaunch`.
    #[serde(default)]
    pub public_on_launch: bool,
    /// `PrivateDnsNameOptionsOnLaunch.HostnameType` is `resource-name`.
    #[serde(default)]
    pub resource_names: bool,
    /// Tags.
    pub tags: Tags,
}
row!(Subnet, |row| row.id.to_string());

/// A security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its name, unique within the VPC.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Rules, in the order of their creation.
    pub rules: Vec<SecurityGroupRule>,
    /// Tags.
    pub tags: Tags,
}
row!(SecurityGroup, |row| row.id.to_string());

/// One rule of a security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// `sgr-…`.
    pub id: String,
    /// Whether it is about traffic that leaves.
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, a protocol number, or `-1` for all.
    pub protocol: String,
    /// First port or ICMP type; -1 for all.
    pub from_port: i32,
    /// Last port or ICMP code; -1 for all.
    pub to_port: i32,
    /// Who it is about.
    pub peer: RulePeer,
    /// Its description.
    pub description: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// Who a security group rule is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RulePeer {
    /// An IPv4 range.
    Cidr(String),
    /// An IPv6 range.
    Cidr6(String),
    /// Members of another group.
    Group(SecurityGroupId),
    /// Ranges of a prefix list, `pl-…`.
    PrefixList(String),
}

/// An internet gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InternetGateway {
    /// `igw-…`.
    pub id: String,
    /// The VPC that it is attached to.
    pub vpc: Option<VpcId>,
    /// Tags.
    pub tags: Tags,
}
row!(InternetGateway, |row| row.id.clone());

/// A route table. The local routes, one for each range of the VPC, are not
/// among its routes: they are always there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    /// `rtb-…`.
    pub id: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Routes that were made.
    pub routes: Vec<Route>,
    /// What uses it.
    pub associations: Vec<RouteTableAssociation>,
    /// The client token of its creation, if one was given.
    pub client_token: Option<String>,
    /// Tags.
    pub tags: Tags,
}
row!(RouteTable, |row| row.id.clone());

impl RouteTable {
    /// Whether subnets without an association of their own use it.
    pub fn main(&self) -> bool {
        self.associations.iter().any(|association| association.subnet.is_none())
    }
}

/// One use of a route table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTableAssociation {
    /// `rtbassoc-…`.
    pub id: String,
    /// The subnet; `None` makes the table the VPC's main one.
    pub subnet: Option<SubnetId>,
}

/// One route of a route table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// What it is about.
    pub destination: RouteDestination,
    /// Where that goes; the target may be gone by now (`blackhole`).
    pub target: RouteTarget,
}

/// What a route is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteDestination {
    /// An IPv4 range.
    Cidr(Cidr),
    /// The ranges of a prefix list, `pl-…`.
    PrefixList(String),
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// `igw-…`.
    InternetGateway(String),
    /// `nat-…`.
    NatGateway(String),
    /// `eni-…`, of an instance that forwards.
    Interface(String),
}

/// A network interface. Its hardware address follows from its primary address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// `eni-…`.
    pub id: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its zone.
    pub zone: Zone,
    /// Its description.
    pub description: String,
    /// Private addresses, the primary one first; never empty.
    pub addresses: Vec<Ipv4Addr>,
    /// Its security groups; none for a NAT gateway's.
    pub groups: Vec<SecurityGroupId>,
    /// `sourceDestCheck`.
    pub source_dest_check: bool,
    /// Whose it is.
    pub owner: InterfaceOwner,
    /// The instance that it is attached to.
    pub attachment: Option<Attachment>,
    /// The public address that its primary address was given at launch. An
    /// Elastic IP takes precedence over it; see [`Address`].
    pub public_ip: Option<Ipv4Addr>,
    /// When it was made.
    pub created_at: Time,
    /// The client token of its creation, if one was given.
    pub client_token: Option<String>,
    /// Tags.
    pub tags: Tags,
}
row!(NetworkInterface, |row| row.id.clone());

impl NetworkInterface {
    /// Its primary private address.
    pub fn primary(&self) -> Ipv4Addr {
        self.addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }
}

/// Whose an interface is: services make their own (`requester-managed`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceOwner {
    /// Made by CreateNetworkInterface or with an instance.
    User,
    /// A NAT gateway's, `nat-…`.
    NatGateway(String),
    /// A load balancer's.
    LoadBalancer(LoadBalancerArn),
}

/// The attachment of an interface to an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// `eni-attach-…`.
    pub id: String,
    /// The instance.
    pub instance: InstanceId,
    /// Device index; 0 is the primary interface.
    pub device: u16,
    /// Whether the interface goes with the instance.
    pub delete_on_termination: bool,
    /// Since when.
    pub attached_at: Time,
}

/// An Elastic IP address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// `eipalloc-…`.
    pub id: String,
    /// The public address.
    pub public_ip: Ipv4Addr,
    /// What it leads to.
    pub association: Option<AddressAssociation>,
    /// Tags.
    pub tags: Tags,
}
row!(Address, |row| row.id.clone());

/// What an Elastic IP address leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressAssociation {
    /// `eipassoc-…`.
    pub id: String,
    /// The interface.
    pub interface: String,
    /// The private address.
    pub private_ip: Ipv4Addr,
}

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatGateway {
    /// `nat-…`.
    pub id: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// `ConnectivityType` is `public`; private ones lead nowhere beyond the VPC.
    pub public: bool,
    /// Its interface, `eni-…`.
    pub interface: String,
    /// Elastic IPs, `eipalloc-…`, the primary one first; what they lead to is
    /// in the associations of [`Address`].
    pub allocations: Vec<String>,
    /// When it was made.
    pub created_at: Time,
    /// How far it is.
    pub phase: NatGatewayPhase,
    /// The client token of its creation, if one was given.
    pub client_token: Option<String>,
    /// Tags.
    pub tags: Tags,
}
row!(NatGateway, |row| row.id.clone());

/// How far a NAT gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatGatewayPhase {
    /// Not in any network plan yet.
    Pending,
    /// It carries traffic.
    Available,
    /// Its interface is about to go.
    Deleting,
    /// Nothing of it is left.
    Deleted {
        /// Since when; an hour later the row goes.
        at: Time,
    },
}

/// A set of DHCP options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhcpOptions {
    /// `dopt-…`.
    pub id: String,
    /// Values by option name, such as `domain-name`.
    pub options: BTreeMap<String, Vec<String>>,
    /// Whether it is the set that the region's new VPCs get.
    #[serde(default)]
    pub default: bool,
    /// Tags.
    pub tags: Tags,
}
row!(DhcpOptions, |row| row.id.clone());

/// A managed prefix list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefixList {
    /// `pl-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many entries it may have.
    pub max_entries: i32,
    /// Grows with each change of its entries, from 1.
    pub version: i64,
    /// Ranges with their descriptions.
    pub entries: Vec<(Cidr, Option<String>)>,
    /// Whether it was ever modified: its state is `modify-complete` then.
    #[serde(default)]
    pub modified: bool,
    /// The client token of its creation, if one was given.
    #[serde(default)]
    pub client_token: Option<String>,
    /// Tags.
    pub tags: Tags,
}
row!(PrefixList, |row| row.id.clone());

/// A placement group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacementGroup {
    /// Its name, unique within the scope.
    pub name: String,
    /// `pg-…`.
    pub id: String,
    /// `cluster`, `spread` or `partition`.
    pub strategy: String,
    /// Partitions, 1 to 7, of a partition group.
    pub partitions: Option<i32>,
    /// `host` or `rack`, of a spread group.
    pub spread_level: Option<String>,
    /// Tags.
    pub tags: Tags,
}
row!(PlacementGroup, |row| row.name.clone());

/// A flow log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowLog {
    /// `fl-…`.
    pub id: String,
    /// `vpc-…`, `subnet-…` or `eni-…`.
    pub resource: String,
    /// `ACCEPT`, `REJECT` or `ALL`.
    pub traffic: String,
    /// `cloud-watch-logs` or `s3`.
    pub destination_type: String,
    /// LogDestination, as given.
    pub destination: Option<String>,
    /// LogGroupName, as given.
    pub log_group: Option<String>,
    /// DeliverLogsPermissionArn, as given.
    pub role_arn: Option<String>,
    /// MaxAggregationInterval in seconds: 60 or 600.
    pub interval_secs: u32,
    /// When it was made.
    pub created_at: Time,
    /// The client token of its creation, if one was given.
    pub client_token: Option<String>,
    /// Tags.
    pub tags: Tags,
}
row!(FlowLog, |row| row.id.clone());

/// A zone that is cut off, as `elastane chaos zone-outage` does it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// The zone.
    pub zone: Zone,
    /// Since when.
    pub since: Time,
    /// When it ends by itself; `None` when it is ended by hand.
    pub until: Option<Time>,
}
row!(Outage, |row| row.zone.to_string());
