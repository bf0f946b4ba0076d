//! Security group rules as the packet filter needs them.

use crate::row::*;
use crate::state::Tables;
use elastane_domain::network::{Cidr, CidrError};
use elastane_domain::vpc::{Peer, Protocol, RulePlan};

/// A group's rules of one direction, in the order of their creation. Rules
/// about IPv6 are left out: instances have no such addresses.
pub(super) fn compile(tables: &Tables, group: &SecurityGroup, egress: bool) -> Vec<RulePlan> {
    let mut rules = Vec::new();
    for rule in group.rules.iter().filter(|rule| rule.egress == egress) {
        let Some(protocol) = protocol(rule) else { continue };
        rules.extend(peers(tables, &rule.peer).into_iter().map(|peer| RulePlan { protocol, peer }));
    }
    rules
}

fn peers(tables: &Tables, peer: &RulePeer) -> Vec<Peer> {
    match peer {
        RulePeer::Cidr(text) => match text.parse::<Cidr>() {
            Ok(cidr) | Err(CidrError::HostBits { canonical: cidr }) => vec![Peer::Range(cidr)],
            Err(CidrError::Malformed(_)) => Vec::new(),
        },
        RulePeer::Cidr6(_) => Vec::new(),
        RulePeer::Group(id) => vec![Peer::Members(id.clone())],
        RulePeer::PrefixList(id) => {
            let entries = tables.prefix_lists.get(id).map_or(&[][..], |list| list.entries.as_slice());
            entries.iter().map(|(cidr, _)| Peer::Range(*cidr)).collect()
        }
    }
}

/// The protocol by its word or IANA number; `None` when it is neither, and
/// the rule then allows nothing.
fn protocol(rule: &SecurityGroupRule) -> Option<Protocol> {
    const ICMP: u8 = 1;
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let number = match rule.protocol.to_ascii_lowercase().as_str() {
        "-1" | "all" => return Some(Protocol::All),
        "tcp" => TCP,
        "udp" => UDP,
        "icmp" => ICMP,
        // ICMPv6: never seen over IPv4.
        "icmpv6" => return None,
        text => text.parse().ok()?,
    };
    let (first, last) = ports(rule);
    Some(match number {
        TCP => Protocol::Tcp(first, last),
        UDP => Protocol::Udp(first, last),
        ICMP => Protocol::Icmp(u8::try_from(rule.from_port).ok(), u8::try_from(rule.to_port).ok()),
        other => Protocol::Other(other),
    })
}

/// First and last port; -1 is all.
fn ports(rule: &SecurityGroupRule) -> (u16, u16) {
    (u16::try_from(rule.from_port).unwrap_or(0), u16::try_from(rule.to_port).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words, numbers and -1 become protocols and ports.
    #[test]
    fn protocols() {
        for (word, from, to, expected) in [
            ("-1", -1, -1, Some(Protocol::All)),
            ("all", 80, 80, Some(Protocol::All)),
            ("tcp", 80, 443, Some(Protocol::Tcp(80, 443))),
            ("TCP", -1, -1, Some(Protocol::Tcp(0, 65_535))),
            ("6", 0, 65_535, Some(Protocol::Tcp(0, 65_535))),
            ("udp", 53, 53, Some(Protocol::Udp(53, 53))),
            ("17", 53, 53, Some(Protocol::Udp(53, 53))),
            ("icmp", -1, -1, Some(Protocol::Icmp(None, None))),
            ("icmp", 8, -1, Some(Protocol::Icmp(Some(8), None))),
            ("1", 3, 4, Some(Protocol::Icmp(Some(3), Some(4)))),
            ("50", -1, -1, Some(Protocol::Other(50))),
            ("icmpv6", -1, -1, None),
            ("256", -1, -1, None),
            ("ip", -1, -1, None),
        ] {
            let rule = SecurityGroupRule {
                id: String::new(),
                egress: false,
                protocol: word.to_string(),
                from_port: from,
                to_port: to,
                peer: RulePeer::Cidr("0.0.0.0/0".to_string()),
                description: None,
                tags: Tags::new(),
            };
            assert_eq!(protocol(&rule), expected, "{word} {from} {to}");
        }
    }
}
