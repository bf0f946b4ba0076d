//! Rules of security groups between their two wire forms and rows: an
//! IpPermission is one protocol and port range with many peers, a rule has one.

use super::network::named;
use super::prefix_lists::LIST_ID;
use super::security_groups::find_group;
use super::{errors, launch_data::text};
use elastane_domain::network::{Cidr, CidrError};
use elastane_engine::View;
use elastane_engine::row::{PrefixList, RulePeer, SecurityGroup, SecurityGroupRule, Tags};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// Characters of a description (EC2 API Reference, "IpRange").
pub(super) const DESCRIPTION_MAX: usize = 255;

/// All protocols and ports.
const ALL: &str = "-1";

/// What a rule says, without what it is called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Says {
    /// As in [`SecurityGroupRule`].
    pub protocol: String,
    /// First port or ICMP type; -1 for all.
    pub from_port: i32,
    /// Last port or ICMP code; -1 for all.
    pub to_port: i32,
    /// Who it is about.
    pub peer: RulePeer,
    /// Its description; not part of what makes two rules the same.
    pub description: Option<String>,
}

impl Says {
    /// Whether `rule`, of the same direction, allows the same.
    pub fn is(&self, rule: &SecurityGroupRule) -> bool {
        let ports = (rule.from_port, rule.to_port) == (self.from_port, self.to_port);
        ports && rule.protocol == self.protocol && rule.peer == self.peer
    }

    /// Whether both allow the same.
    pub fn repeats(&self, other: &Says) -> bool {
        let ports = (other.from_port, other.to_port) == (self.from_port, self.to_port);
        ports && other.protocol == self.protocol && other.peer == self.peer
    }

    /// A rule that says this.
    pub fn rule(self, id: String, egress: bool, tags: Tags) -> SecurityGroupRule {
        let Says { protocol, from_port, to_port, peer, description } = self;
        SecurityGroupRule { id, egress, protocol, from_port, to_port, peer, description, tags }
    }

    /// The sentence part of `InvalidPermission.Duplicate`.
    pub fn words(&self) -> String {
        let peer = match &self.peer {
            RulePeer::Cidr(range) | RulePeer::Cidr6(range) => range.clone(),
            RulePeer::Group(group) => group.to_string(),
            RulePeer::PrefixList(list) => list.clone(),
        };
        match self.protocol.as_str() {
            ALL => format!("peer: {peer}, ALL, ALLOW"),
            name => {
                let name = name.to_uppercase();
                format!("peer: {peer}, {name}, from port: {}, to port: {}, ALLOW", self.from_port, self.to_port)
            }
        }
    }
}

/// The rules that permissions of a request to `group` stand for.
///
/// # Errors
/// `InvalidParameterValue` for protocols, ports, ranges and descriptions,
/// `InvalidGroup.NotFound`, `InvalidGroupId.Malformed` and those of prefix
/// lists' ids for peers, `MissingParameter` for a permission without protocol
/// or peer, `UnsupportedOperation` for peered VPCs.
pub(super) fn read(
    view: &View<'_>,
    group: &SecurityGroup,
    permissions: &[wire::IpPermission],
) -> Result<Vec<Says>, ApiError> {
    let mut found: Vec<Says> = Vec::new();
    for permission in permissions {
        let protocol = protocol(permission.ip_protocol.as_deref())?;
        let (from_port, to_port) = ports(&protocol, permission.from_port, permission.to_port)?;
        for (peer, description) in peers(view, group, permission)? {
            let says = Says { protocol: protocol.clone(), from_port, to_port, peer, description };
            if found.iter().any(|other| other.repeats(&says)) {
                return Err(errors::invalid_value("The same permission must not appear multiple times"));
            }
            found.push(says);
        }
    }
    Ok(found)
}

/// The protocol's name as EC2 shows it: names for TCP, UDP and ICMP, numbers
/// for the rest.
fn protocol(text: Option<&str>) -> Result<String, ApiError> {
    let text = text.filter(|text| !text.is_empty()).ok_or_else(|| errors::missing("IpProtocol"))?;
    let name = match text.to_ascii_lowercase().as_str() {
        ALL | "all" => ALL.to_string(),
        "tcp" | "6" => "tcp".to_string(),
        "udp" | "17" => "udp".to_string(),
        "icmp" | "1" => "icmp".to_string(),
        "icmpv6" | "58" => "icmpv6".to_string(),
        other => match other.parse::<u8>() {
            Ok(number) => number.to_string(),
            Err(_) => {
                let message = format!("Invalid value '{text}' for IP protocol. Unknown protocol.");
                return Err(errors::invalid_value(message));
            }
        },
    };
    Ok(name)
}

/// Ports of TCP and UDP, type and code of ICMP; all of them for the rest,
/// whatever was given.
fn ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<(i32, i32), ApiError> {
    match protocol {
        "tcp" | "udp" => {
            let (Some(from), Some(to)) = (from, to) else {
                let message = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
                return Err(errors::invalid_value(message));
            };
            if let Some(port) = [from, to].into_iter().find(|port| !(0..=65_535).contains(port)) {
                return Err(errors::invalid_value(format!("TCP/UDP port ({port}) out of range")));
            }
            if from > to {
                return Err(errors::invalid_value(format!("Invalid TCP/UDP port range ({from}:{to})")));
            }
            Ok((from, to))
        }
        "icmp" | "icmpv6" => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            if !(-1..=255).contains(&kind) || !(-1..=255).contains(&code) || (kind == -1 && code != -1) {
                return Err(errors::invalid_value(format!("ICMP type ({kind}) or code ({code}) out of range")));
            }
            Ok((kind, code))
        }
        _ => Ok((-1, -1)),
    }
}

type Peers = Vec<(RulePeer, Option<String>)>;

fn peers(view: &View<'_>, group: &SecurityGroup, permission: &wire::IpPermission) -> Result<Peers, ApiError> {
    let mut found = Peers::new();
    for range in &permission.ip_ranges {
        let cidr = range.cidr_ip.as_deref().ok_or_else(|| errors::missing("CidrIp"))?;
        found.push((RulePeer::Cidr(canonical(cidr)?), description(&range.description)?));
    }
    for range in &permission.ipv6_ranges {
        let cidr = range.cidr_ipv6.as_deref().ok_or_else(|| errors::missing("CidrIpv6"))?;
        found.push((RulePeer::Cidr6(canonical6(cidr)?), description(&range.description)?));
    }
    for pair in &permission.user_id_group_pairs {
        found.push((peer_group(view, group, pair)?, description(&pair.description)?));
    }
    for list in &permission.prefix_list_ids {
        let row = named::<PrefixList>(view, (&list.prefix_list_id, "PrefixListId"), &LIST_ID)?;
        found.push((RulePeer::PrefixList(row.id.clone()), description(&list.description)?));
    }
    if found.is_empty() {
        return Err(errors::missing("CidrIp, CidrIpv6, PrefixListId or a source group in every IpPermission"));
    }
    Ok(found)
}

fn peer_group(view: &View<'_>, group: &SecurityGroup, pair: &wire::UserIdGroupPair) -> Result<RulePeer, ApiError> {
    if text(&pair.vpc_peering_connection_id).is_some() {
        return Err(errors::unsupported("A peered VPC in a security group rule"));
    }
    if text(&pair.user_id).is_some_and(|account| account != view.scope.account.as_str()) {
        return Err(errors::unsupported("Another account's group in a security group rule"));
    }
    let peer = find_group(view, text(&pair.group_id).as_deref(), text(&pair.group_name).as_deref())?;
    if peer.vpc != group.vpc {
        let message =
            format!("You have specified two resources that belong to different networks: {}, {}", group.id, peer.id);
        return Err(ApiError::new("InvalidGroup.NotFound", message));
    }
    Ok(RulePeer::Group(peer.id.clone()))
}

/// An IPv4 range without bits below its prefix, as EC2 stores it.
fn canonical(text: &str) -> Result<String, ApiError> {
    match text.parse::<Cidr>() {
        Ok(range) | Err(CidrError::HostBits { canonical: range }) => Ok(range.to_string()),
        Err(CidrError::Malformed(_)) => Err(malformed(text)),
    }
}

/// The same for IPv6.
fn canonical6(text: &str) -> Result<String, ApiError> {
    let (address, prefix) = text.split_once('/').ok_or_else(|| malformed(text))?;
    let address: Ipv6Addr = address.parse().map_err(|_| malformed(text))?;
    let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse::<u32>().ok().filter(|prefix| digits && *prefix <= 128).ok_or_else(|| malformed(text))?;
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    Ok(format!("{}/{prefix}", Ipv6Addr::from(u128::from(address) & mask)))
}

fn malformed(text: &str) -> ApiError {
    errors::invalid_value(format!("CIDR block {text} is malformed"))
}

fn description(text: &Option<String>) -> Result<Option<String>, ApiError> {
    let description = super::launch_data::text(text);
    if let Some(description) = &description {
        check_words("rule description", description)?;
    }
    Ok(description)
}

/// At most 255 letters, digits, spaces and `. _ - : / ( ) # , @ [ ] + = & ; { } ! $ *`
/// (EC2 API Reference, "CreateSecurityGroup").
pub(super) fn check_words(what: &str, text: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.chars().count() <= DESCRIPTION_MAX && text.chars().all(allowed) {
        return Ok(());
    }
    Err(errors::invalid_value(format!(
        "Invalid {what}. Valid descriptions are strings less than 256 characters from the following set: \
         a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*"
    )))
}

/// How much of a group's room for rules it takes: a prefix list takes its
/// maximum of entries (Amazon VPC User Guide, "Prefix lists").
pub(super) fn weight(view: &View<'_>, peer: &RulePeer) -> usize {
    match peer {
        RulePeer::PrefixList(id) => {
            view.get::<PrefixList>(id).map_or(1, |list| usize::try_from(list.max_entries).unwrap_or(1))
        }
        RulePeer::Cidr(_) | RulePeer::Cidr6(_) | RulePeer::Group(_) => 1,
    }
}

/// Rules of one direction as permissions: one for each protocol and port range.
pub(super) fn show(account: &str, rules: &[SecurityGroupRule], egress: bool) -> Vec<wire::IpPermission> {
    let mut shown: Vec<wire::IpPermission> = Vec::new();
    let mut places: BTreeMap<(&str, i32, i32), usize> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.egress == egress) {
        let at = *places.entry((&rule.protocol, rule.from_port, rule.to_port)).or_insert_with(|| {
            shown.push(without_peers(rule));
            shown.len() - 1
        });
        add_peer(&mut shown[at], account, rule);
    }
    shown
}

fn without_peers(rule: &SecurityGroupRule) -> wire::IpPermission {
    let has_ports = matches!(rule.protocol.as_str(), "tcp" | "udp" | "icmp" | "icmpv6");
    wire::IpPermission {
        ip_protocol: Some(rule.protocol.clone()),
        from_port: has_ports.then_some(rule.from_port),
        to_port: has_ports.then_some(rule.to_port),
        ..Default::default()
    }
}

fn add_peer(permission: &mut wire::IpPermission, account: &str, rule: &SecurityGroupRule) {
    let description = rule.description.clone();
    match &rule.peer {
        RulePeer::Cidr(cidr) => {
            permission.ip_ranges.push(wire::IpRange { cidr_ip: Some(cidr.clone()), description });
        }
        RulePeer::Cidr6(cidr) => {
            permission.ipv6_ranges.push(wire::Ipv6Range { cidr_ipv6: Some(cidr.clone()), description });
        }
        RulePeer::Group(group) => permission.user_id_group_pairs.push(wire::UserIdGroupPair {
            description,
            group_id: Some(group.to_string()),
            user_id: Some(account.to_string()),
            ..Default::default()
        }),
        RulePeer::PrefixList(list) => {
            permission.prefix_list_ids.push(wire::PrefixListId { description, prefix_list_id: Some(list.clone()) })
        }
    }
}
