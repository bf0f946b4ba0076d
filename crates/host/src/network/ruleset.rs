//! A plan as nftables rules: a pure function from [`NetworkPlan`] to the text
//! that `nft -f -` replaces the VPC's table with, in one transaction.
//!
//! Who a packet is from or to follows from the cable that it takes (never
//! from an address that its sender chose), or, for the load balancer, which
//! has no cable, from the address. Each interface is one element of a verdict
//! map; each group's rules are written once; an interface in several groups
//! jumps from one to the next. Refused packets are marked and dropped at the
//! end of their hook, so that flow logs ([`flow_table`]) can count them in
//! between.

use super::cable_name;
use crate::host::checksum;
use elastane_domain::id::SecurityGroupId;
use elastane_domain::vpc::{GroupPlan, Holder, InterfacePlan, NetworkPlan, Peer, Protocol, RulePlan, Via};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};
use std::net::Ipv4Addr;

/// The VPC's table in its router's namespace.
pub const TABLE: &str = "elastane";
/// The router's cable to the edge.
pub const EDGE_LINK: &str = "edge";
/// The edge's address on that cable: the next hop of internet gateways.
pub const EDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 171, 1);
/// Marks of refused packets: by the sender's groups, by the receiver's.
const REFUSED: u32 = 0xe1a5_0000;
const REFUSED_OUT: u32 = REFUSED | 1;
const REFUSED_IN: u32 = REFUSED | 2;
const REFUSED_MASK: u32 = 0xffff_0000;
/// Mark of packets that the data plane sends under a client's own address.
pub const SPOKEN_AS_CLIENT: u32 = 0xe1a6_0001;
/// Mark of the answers to them, and the routing table that gives them to the
/// router itself although they are for somebody else.
pub const ANSWER_TO_CLIENT: u32 = 0x0020_0000;
/// Flows that one interval can count in each set; further ones are lost.
const FLOWS_MAX: u32 = 65_535;

/// The packet mark and the routing table of a subnet: 20 bits of its name,
/// moved on where two subnets of the VPC would share it.
pub fn subnet_tables(plan: &NetworkPlan) -> BTreeMap<&str, u32> {
    const FIRST: u32 = 0x0010_0000;
    let mut taken = BTreeSet::new();
    let mut tables = BTreeMap::new();
    for subnet in &plan.subnets {
        let mut number = checksum(subnet.id.as_str().as_bytes()) & 0xf_ffff;
        while !taken.insert(number) {
            number = (number + 1) & 0xf_ffff;
        }
        tables.insert(subnet.id.as_str(), FIRST | number);
    }
    tables
}

/// The public addresses of NAT gateways that routes name.
pub fn nat_addresses(plan: &NetworkPlan) -> BTreeSet<Ipv4Addr> {
    let vias = plan.subnets.iter().flat_map(|subnet| &subnet.routes).map(|route| route.via);
    vias.filter_map(|via| if let Via::Nat(address) = via { Some(address) } else { None }).collect()
}

/// The rules of the VPC's whole network.
pub fn table(plan: &NetworkPlan) -> String {
    let compiler = Compiler::new(plan);
    let mut text = format!("table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n");
    compiler.addresses(&mut text);
    compiler.groups(&mut text);
    compiler.verdicts(&mut text);
    compiler.hooks(&mut text);
    text.push_str("}\n");
    text
}

/// A table that counts the flows of these addresses, beside the VPC's own.
pub fn flow_table(name: &str, logged: &BTreeSet<Ipv4Addr>) -> String {
    let mut text = format!("table ip {name}\ndelete table ip {name}\ntable ip {name} {{\n");
    set(&mut text, "logged", "ipv4_addr", "", logged);
    for outcome in FLOW_SETS {
        let key = "ipv4_addr . ipv4_addr . inet_proto";
        let kinds = [("", " . inet_service . inet_service"), ("_other", "")];
        for (suffix, ports) in kinds {
            let _ = writeln!(text, "set {outcome}{suffix} {{ type {key}{ports}; flags dynamic; size {FLOWS_MAX}; }}");
        }
        let key = "ip saddr . ip daddr . ip protocol";
        let _ = writeln!(text, "chain count_{outcome} {{");
        let _ = writeln!(
            text,
            "meta l4proto {{ tcp, udp }} update @{outcome} {{ {key} . th sport . th dport counter }} return"
        );
        let _ = writeln!(text, "update @{outcome}_other {{ {key} counter }}\n}}");
    }
    let _ = writeln!(text, "chain count {{");
    let _ = writeln!(text, "meta mark {REFUSED_OUT:#x} goto count_refused_out");
    let _ = writeln!(text, "meta mark {REFUSED_IN:#x} goto count_refused_in");
    let _ = writeln!(text, "goto count_passed\n}}");
    for hook in ["forward", "input", "output"] {
        let _ = writeln!(text, "chain {hook}_flows {{ type filter hook {hook} priority 10; policy accept;");
        // Name service and metadata are in no flow log, as on AWS.
        let _ = writeln!(text, "ip saddr 169.254.0.0/16 return\nip daddr 169.254.0.0/16 return");
        let _ = writeln!(text, "ip saddr @logged goto count\nip daddr @logged goto count\n}}");
    }
    text.push_str("}\n");
    text
}

/// Names of the sets that a flow table counts in; `<name>_other` holds
/// protocols without ports.
pub const FLOW_SETS: [&str; 3] = ["passed", "refused_out", "refused_in"];

/// Writes a set or a map; one without elements is written empty.
fn set<T: Display>(text: &mut String, name: &str, kind: &str, flags: &str, elements: impl IntoIterator<Item = T>) {
    let word = if kind.contains(" : ") { "map" } else { "set" };
    let _ = write!(text, "{word} {name} {{ type {kind}; {flags}");
    let mut elements = elements.into_iter().peekable();
    if elements.peek().is_some() {
        text.push_str(" elements = { ");
        for element in elements {
            let _ = write!(text, "{element}, ");
        }
        text.push('}');
    }
    text.push_str(" }\n");
}

struct Compiler<'a> {
    plan: &'a NetworkPlan,
    /// Interfaces on a cable, with its name.
    cabled: Vec<(String, &'a InterfacePlan)>,
    /// Number of each group: names of chains and sets follow from it.
    numbers: BTreeMap<&'a SecurityGroupId, usize>,
    /// Number of each distinct set of groups.
    combinations: BTreeMap<Vec<&'a SecurityGroupId>, usize>,
}

impl<'a> Compiler<'a> {
    fn new(plan: &'a NetworkPlan) -> Compiler<'a> {
        let cable = |interface: &'a InterfacePlan| match &interface.holder {
            Holder::Instance(id, number) => Some((cable_name(id.as_str(), *number, &interface.id), interface)),
            Holder::LoadBalancer | Holder::NatGateway | Holder::Nobody => None,
        };
        let mut combinations = BTreeMap::new();
        for interface in &plan.interfaces {
            let next = combinations.len();
            combinations.entry(sorted(&interface.groups)).or_insert(next);
        }
        Compiler {
            plan,
            cabled: plan.interfaces.iter().filter_map(cable).collect(),
            numbers: plan.groups.keys().enumerate().map(|(number, id)| (id, number)).collect(),
            combinations,
        }
    }

    fn combination(&self, interface: &'a InterfacePlan) -> usize {
        *self.combinations.get(&sorted(&interface.groups)).expect("every interface was looked at")
    }

    /// The public addresses of interfaces, as (private, public).
    fn public(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> {
        let with = self.plan.interfaces.iter().filter(|interface| interface.holder != Holder::NatGateway);
        with.flat_map(|interface| interface.public.iter().copied())
    }

    fn addresses(&self, text: &mut String) {
        let plan = self.plan;
        let ranges = "flags interval; auto-merge;";
        set(text, "vpc", "ipv4_addr", ranges, &plan.cidrs);
        let cut = plan.subnets.iter().filter(|subnet| subnet.cut).map(|subnet| subnet.cidr);
        set(text, "cut", "ipv4_addr", ranges, cut);
        let (checked, loose): (Vec<_>, Vec<_>) =
            self.cabled.iter().partition(|(_, interface)| interface.source_dest_check);
        let own = checked.iter().flat_map(|(cable, interface)| {
            interface.addresses.iter().map(move |address| format!("\"{cable}\" . {address}"))
        });
        set(text, "own", "ifname . ipv4_addr", "", own);
        set(text, "loose", "ifname", "", loose.iter().map(|(cable, _)| format!("\"{cable}\"")));
        let tables = subnet_tables(plan);
        let marks = self.cabled.iter().filter_map(|(cable, interface)| {
            let mark = tables.get(interface.subnet.as_str())?;
            Some(format!("\"{cable}\" : {mark:#x}"))
        });
        set(text, "subnet_of", "ifname : mark", "", marks);
        let outward: BTreeMap<Ipv4Addr, Ipv4Addr> = self.public().collect();
        let inward: BTreeMap<Ipv4Addr, Ipv4Addr> = self.public().map(|(private, public)| (public, private)).collect();
        set(text, "public", "ipv4_addr", "", outward.keys());
        for (name, map) in [("outward", outward.clone()), ("inward", inward)] {
            set(text, name, "ipv4_addr : ipv4_addr", "", map.iter().map(|(from, to)| format!("{from} : {to}")));
        }
        let gateways = nat_addresses(plan);
        set(text, "gateways", "ipv4_addr : ipv4_addr", "", gateways.iter().map(|one| format!("{one} : {one}")));
    }

    fn groups(&self, text: &mut String) {
        for (id, group) in &self.plan.groups {
            let number = self.numbers[id];
            let members: BTreeSet<Ipv4Addr> = group.members.iter().copied().collect();
            set(text, &format!("members{number}"), "ipv4_addr", "", members);
        }
        text.push_str("chain refuse_out { meta mark set ");
        let _ = writeln!(text, "{REFUSED_OUT:#x} accept\n}}");
        let _ = writeln!(text, "chain refuse_in {{ meta mark set {REFUSED_IN:#x} accept\n}}");
        for (id, group) in &self.plan.groups {
            self.rules(text, "in", self.numbers[id], group);
        }
        for (groups, number) in &self.combinations {
            self.combined(text, "in", groups, *number);
        }
    }

    /// The receivers' map needs its chains, the senders' chains need `inbound`.
    fn verdicts(&self, text: &mut String) {
        let elements = |direction: &'static str| {
            let line = move |(cable, interface): &(String, &'a InterfacePlan)| {
                format!("\"{cable}\" : goto {direction}_any{}", self.combination(interface))
            };
            self.cabled.iter().map(line)
        };
        let balancers = |direction: &'static str| {
            let held = self.plan.interfaces.iter().filter(|interface| interface.holder == Holder::LoadBalancer);
            held.flat_map(move |interface| {
                let chain = self.combination(interface);
                let verdict = match (interface.groups.is_empty(), direction) {
                    // A network load balancer without groups is not filtered.
                    (true, "in") => "accept".to_owned(),
                    (true, _) => "goto inbound".to_owned(),
                    (false, _) => format!("goto {direction}_any{chain}"),
                };
                interface.addresses.iter().map(move |address| format!("{address} : {verdict}"))
            })
        };
        let edge = std::iter::once(format!("\"{EDGE_LINK}\" : accept"));
        set(text, "receivers", "ifname : verdict", "", elements("in").chain(edge));
        set(text, "receiving_balancers", "ipv4_addr : verdict", "", balancers("in"));
        text.push_str(
            "chain inbound {\noifname vmap @receivers\nip daddr vmap @receiving_balancers\ngoto refuse_in\n}\n",
        );
        for (id, group) in &self.plan.groups {
            self.rules(text, "out", self.numbers[id], group);
        }
        for (groups, number) in &self.combinations {
            self.combined(text, "out", groups, *number);
        }
        set(text, "senders", "ifname : verdict", "", elements("out"));
        set(text, "sending_balancers", "ipv4_addr : verdict", "", balancers("out"));
    }

    fn rules(&self, text: &mut String, direction: &str, number: usize, group: &GroupPlan) {
        let (rules, side, verdict) = match direction {
            "in" => (&group.ingress, "saddr", "accept"),
            _ => (&group.egress, "daddr", "goto inbound"),
        };
        let _ = writeln!(text, "chain {direction}_group{number} {{");
        for line in self.matches(rules, side) {
            let _ = writeln!(text, "{line}{verdict}");
        }
        text.push_str("}\n");
    }

    /// What rules match, in as few lines as possible, each with a space
    /// behind: ports of one peer are one set, and so are ranges with the same
    /// ports. Rules that cannot match are left out.
    fn matches(&self, rules: &[RulePlan], side: &str) -> Vec<String> {
        let mut by_peer: BTreeMap<(Whom, &str), Intervals> = BTreeMap::new();
        let mut by_protocol: BTreeMap<String, BTreeSet<Whom>> = BTreeMap::new();
        for rule in rules {
            let whom = match &rule.peer {
                Peer::Range(range) => Whom::Range(u32::from(range.network()), u32::from(range.last())),
                Peer::Members(group) => match self.numbers.get(group) {
                    Some(number) => Whom::Members(*number),
                    None => continue,
                },
            };
            match (ports(rule.protocol), other(rule.protocol)) {
                (Some((name, first, last)), _) if first <= last => {
                    by_peer.entry((whom, name)).or_default().insert((u32::from(first), u32::from(last)));
                }
                (None, Some(text)) => drop(by_protocol.entry(text).or_default().insert(whom)),
                _ => {}
            }
        }
        for ((whom, name), ports) in by_peer {
            let text = match merged(ports)[..] {
                [(0, 0xffff)] => format!("meta l4proto {name} "),
                ref ports => format!("{name} dport {{ {} }} ", listed(ports, |port| port.to_string())),
            };
            by_protocol.entry(text).or_default().insert(whom);
        }
        let mut lines = Vec::new();
        for (protocol, whoms) in by_protocol {
            let ranges = whoms.iter().filter_map(|whom| match whom {
                Whom::Range(first, last) => Some((*first, *last)),
                Whom::Members(_) => None,
            });
            match merged(ranges.collect())[..] {
                [] => {}
                [(0, u32::MAX)] => lines.push(protocol.clone()),
                ref ranges => {
                    let text = listed(ranges, |address| Ipv4Addr::from(address).to_string());
                    lines.push(format!("ip {side} {{ {text} }} {protocol}"));
                }
            }
            let groups = whoms.iter().filter_map(|whom| match whom {
                Whom::Members(number) => Some(number),
                Whom::Range(..) => None,
            });
            lines.extend(groups.map(|number| format!("ip {side} @members{number} {protocol}")));
        }
        lines
    }

    fn combined(&self, text: &mut String, direction: &str, groups: &[&SecurityGroupId], number: usize) {
        let _ = writeln!(text, "chain {direction}_any{number} {{");
        for group in groups.iter().filter_map(|group| self.numbers.get(*group)) {
            let _ = writeln!(text, "jump {direction}_group{group}");
        }
        let _ = writeln!(text, "goto refuse_{direction}\n}}");
    }

    fn hooks(&self, text: &mut String) {
        let resolver = self.plan.resolver.map(|address| format!(", {address}")).unwrap_or_default();
        let own = format!("{{ 169.254.169.253, 169.254.169.254{resolver} }}");
        let names = format!("{{ 169.254.169.253{resolver} }}");
        let known = "ct state established,related accept\nct state invalid drop";
        let _ = write!(
            text,
            "chain sources {{ type filter hook prerouting priority raw; policy accept;
iifname \"lo\" accept
iifname \"{EDGE_LINK}\" ip saddr @vpc drop
iifname \"{EDGE_LINK}\" ip daddr 169.254.0.0/16 drop
iifname \"{EDGE_LINK}\" accept
iifname @loose accept
iifname . ip saddr @own accept
drop
}}
chain ways {{ type filter hook prerouting priority mangle; policy accept;
meta mark set iifname map @subnet_of
ct direction reply ct mark {ANSWER_TO_CLIENT:#x} meta mark set {ANSWER_TO_CLIENT:#x}
}}
chain spoken_as_clients {{ type filter hook output priority mangle; policy accept;
meta mark {SPOKEN_AS_CLIENT:#x} ct mark set {ANSWER_TO_CLIENT:#x}
}}
chain to_private {{ type nat hook prerouting priority dstnat; policy accept;
iifname \"{EDGE_LINK}\" dnat to ip daddr map @inward
}}
chain to_public {{ type nat hook postrouting priority srcnat; policy accept;
oifname \"{EDGE_LINK}\" rt ip nexthop {EDGE_ADDRESS} snat to ip saddr map @outward
oifname \"{EDGE_LINK}\" snat to rt ip nexthop map @gateways
}}
chain forward_groups {{ type filter hook forward priority filter; policy drop;
ip saddr @cut drop
ip daddr @cut drop
iifname \"{EDGE_LINK}\" oifname \"{EDGE_LINK}\" drop
{known}
oifname \"{EDGE_LINK}\" rt ip nexthop {EDGE_ADDRESS} ip saddr != @public drop
iifname \"{EDGE_LINK}\" goto inbound
iifname vmap @senders
}}
chain input_groups {{ type filter hook input priority filter; policy drop;
iifname \"lo\" accept
iifname != \"{EDGE_LINK}\" ip daddr 169.254.169.254 tcp dport 80 accept
iifname != \"{EDGE_LINK}\" ip daddr {names} udp dport 53 accept
ip saddr @cut drop
ip daddr @cut drop
{known}
iifname \"{EDGE_LINK}\" goto inbound
iifname vmap @senders
}}
chain output_groups {{ type filter hook output priority filter; policy drop;
oifname \"lo\" accept
ip saddr {own} accept
ip saddr @cut drop
ip daddr @cut drop
{known}
ip saddr vmap @sending_balancers
goto inbound
}}
"
        );
        for hook in ["forward", "input", "output"] {
            let _ = writeln!(text, "chain {hook}_end {{ type filter hook {hook} priority 20; policy accept;");
            let _ = writeln!(text, "meta mark & {REFUSED_MASK:#x} == {REFUSED:#x} drop\n}}");
        }
    }
}

/// Whom a rule is about, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    /// From the first to the last address.
    Range(u32, u32),
    /// Members of the group with this number.
    Members(usize),
}

/// Inclusive intervals.
type Intervals = BTreeSet<(u32, u32)>;

/// The same values in intervals that neither overlap nor touch.
fn merged(intervals: Intervals) -> Vec<(u32, u32)> {
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, last) in intervals {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn listed(intervals: &[(u32, u32)], show: impl Fn(u32) -> String) -> String {
    let shown = intervals.iter().map(|(first, last)| match first == last {
        true => show(*first),
        false => format!("{}-{}", show(*first), show(*last)),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The ports of a protocol that has them.
fn ports(protocol: Protocol) -> Option<(&'static str, u16, u16)> {
    match protocol {
        Protocol::Tcp(first, last) => Some(("tcp", first, last)),
        Protocol::Udp(first, last) => Some(("udp", first, last)),
        Protocol::All | Protocol::Icmp(..) | Protocol::Other(_) => None,
    }
}

/// How a protocol without ports is matched, with a space behind.
fn other(protocol: Protocol) -> Option<String> {
    match protocol {
        Protocol::All => Some(String::new()),
        Protocol::Icmp(None, _) => Some("meta l4proto icmp ".to_owned()),
        Protocol::Icmp(Some(kind), None) => Some(format!("icmp type {kind} ")),
        Protocol::Icmp(Some(kind), Some(code)) => Some(format!("icmp type {kind} icmp code {code} ")),
        Protocol::Other(number) => Some(format!("meta l4proto {number} ")),
        Protocol::Tcp(..) | Protocol::Udp(..) => None,
    }
}

fn sorted(groups: &[SecurityGroupId]) -> Vec<&SecurityGroupId> {
    let mut groups: Vec<&SecurityGroupId> = groups.iter().collect();
    groups.sort();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::vpc::{RoutePlan, SubnetPlan};

    fn rule(protocol: Protocol, peer: &str) -> RulePlan {
        let peer = match peer.strip_prefix("sg-") {
            Some(_) => Peer::Members(peer.into()),
            None => Peer::Range(peer.parse().expect("a range")),
        };
        RulePlan { protocol, peer }
    }

    fn plan() -> NetworkPlan {
        let mut plan = NetworkPlan::empty("vpc-1".into());
        plan.cidrs = vec!["10.0.0.0/16".parse().unwrap()];
        plan.resolver = Some(Ipv4Addr::new(10, 0, 0, 2));
        let routes = vec![
            RoutePlan { destination: "0.0.0.0/0".parse().unwrap(), via: Via::Nat(Ipv4Addr::new(198, 18, 1, 9)) },
            RoutePlan { destination: "192.0.2.0/24".parse().unwrap(), via: Via::Internet },
        ];
        let cidr = "10.0.0.0/24".parse().unwrap();
        plan.subnets.push(SubnetPlan { id: "subnet-1".into(), cidr, cut: false, routes });
        for (last, holder) in
            [(5, Holder::Instance("i-1".into(), 0)), (6, Holder::LoadBalancer), (7, Holder::Instance("i-2".into(), 1))]
        {
            plan.interfaces.push(InterfacePlan {
                id: format!("eni-{last}"),
                subnet: "subnet-1".into(),
                addresses: vec![Ipv4Addr::new(10, 0, 0, last)],
                public: Vec::new(),
                holder,
                groups: vec!["sg-b".into(), "sg-a".into()],
                source_dest_check: true,
            });
        }
        for id in ["sg-a", "sg-b"] {
            plan.groups.insert(id.into(), GroupPlan::default());
        }
        plan
    }

    /// Rules become as few lines as possible, and what cannot match none.
    #[test]
    fn rules_become_lines() {
        let tcp = |first, last| Protocol::Tcp(first, last);
        let any = "0.0.0.0/0";
        for (rules, want) in [
            (vec![rule(Protocol::All, any)], vec![""]),
            (vec![rule(tcp(0, 65535), any)], vec!["meta l4proto tcp "]),
            (vec![rule(tcp(80, 80), any), rule(tcp(443, 450), any)], vec!["tcp dport { 80, 443-450 } "]),
            (vec![rule(tcp(80, 90), any), rule(tcp(91, 99), any)], vec!["tcp dport { 80-99 } "]),
            (vec![rule(tcp(90, 80), any)], vec![]),
            (
                vec![rule(Protocol::Udp(53, 53), "10.0.0.0/8")],
                vec!["ip saddr { 10.0.0.0-10.255.255.255 } udp dport { 53 } "],
            ),
            (
                vec![rule(tcp(22, 22), "10.0.0.5/32"), rule(tcp(22, 22), "10.0.0.9/32"), rule(tcp(22, 22), "sg-a")],
                vec!["ip saddr { 10.0.0.5, 10.0.0.9 } tcp dport { 22 } ", "ip saddr @members0 tcp dport { 22 } "],
            ),
            (vec![rule(tcp(22, 22), "10.0.0.0/8"), rule(tcp(22, 22), any)], vec!["tcp dport { 22 } "]),
            (vec![rule(tcp(22, 22), "sg-unknown")], vec![]),
            (vec![rule(Protocol::Icmp(None, None), any)], vec!["meta l4proto icmp "]),
            (vec![rule(Protocol::Icmp(Some(8), None), "sg-b")], vec!["ip saddr @members1 icmp type 8 "]),
            (vec![rule(Protocol::Icmp(Some(3), Some(4)), any)], vec!["icmp type 3 icmp code 4 "]),
            (vec![rule(Protocol::Other(50), any)], vec!["meta l4proto 50 "]),
        ] {
            let plan = plan();
            assert_eq!(Compiler::new(&plan).matches(&rules, "saddr"), want, "{rules:?}");
        }
    }

    /// Intervals that overlap or touch become one; the whole range stays in range.
    #[test]
    fn intervals_are_merged() {
        for (given, want) in [
            (vec![(5, 6), (1, 2)], vec![(1, 2), (5, 6)]),
            (vec![(1, 2), (3, 4)], vec![(1, 4)]),
            (vec![(1, 9), (3, 4)], vec![(1, 9)]),
            (vec![(0, u32::MAX), (7, 7)], vec![(0, u32::MAX)]),
        ] {
            assert_eq!(merged(given.iter().copied().collect()), want, "{given:?}");
        }
    }

    /// Each interface is found by its cable, a balancer by its address, and
    /// equal sets of groups share their chains whatever their order.
    #[test]
    fn interfaces_are_looked_up() {
        let text = table(&plan());
        for part in [
            "map senders { type ifname : verdict;  elements = { \"vi1\" : goto out_any0, \"xeni7\" : goto out_any0, }",
            "map receivers { type ifname : verdict;  elements = { \"vi1\" : goto in_any0, \"xeni7\" : goto in_any0, \"edge\" : accept, }",
            "map sending_balancers { type ipv4_addr : verdict;  elements = { 10.0.0.6 : goto out_any0, }",
            "chain in_any0 {\njump in_group0\njump in_group1\ngoto refuse_in\n}",
            "set own { type ifname . ipv4_addr;  elements = { \"vi1\" . 10.0.0.5, \"xeni7\" . 10.0.0.7, }",
            "map gateways { type ipv4_addr : ipv4_addr;  elements = { 198.18.1.9 : 198.18.1.9, }",
            "set cut { type ipv4_addr; flags interval; auto-merge; }",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("in_any1"), "one set of groups, one chain");
    }

    /// Subnets have marks of their own, the same from plan to plan, apart from those of refusals.
    #[test]
    fn subnets_have_marks() {
        let mut plan = plan();
        let first = subnet_tables(&plan)["subnet-1"];
        for number in 2..300 {
            let mut subnet = plan.subnets[0].clone();
            subnet.id = format!("subnet-{number}").as_str().into();
            plan.subnets.push(subnet);
        }
        let tables = subnet_tables(&plan);
        let different: BTreeSet<u32> = tables.values().copied().collect();
        assert_eq!((different.len(), tables["subnet-1"]), (299, first));
        assert!(different.iter().all(|mark| mark & REFUSED_MASK != REFUSED));
    }
}
