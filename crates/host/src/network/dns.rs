//! The VPC's resolver: the plan's names and those that follow from addresses
//! (`ip-a-b-c-d`, with any of EC2's suffixes), and back from addresses to
//! names. Other names are refused at once, so that nothing in an instance
//! waits for a name server that is not there, or passed on to the host's own
//! name servers where instances may reach the internet. UDP only.

use super::Network;
use crate::host::Addresses;
use elastane_domain::id::VpcId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

/// Longest query or answer over UDP without extensions.
const MESSAGE_BYTES_MAX: usize = 512;
/// Longest answer of a name server that is passed on.
const FORWARDED_BYTES_MAX: usize = 4096;
/// Seconds that an answer may be kept.
const ANSWER_SECONDS: u32 = 60;
/// Addresses in one answer, of IPv4 and of IPv6: what fits a message with a long name.
const ANSWERS_MAX: usize = 14;
const ANSWERS6_MAX: usize = 8;
/// Queries that wait for the host's name servers at a time; further ones are refused.
const FORWARDED_MAX: usize = 64;
/// How long each of the host's name servers may take.
const FORWARD_LIMIT: Duration = Duration::from_secs(2);
const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const REFUSED: u8 = 5;
const NO_SUCH_NAME: u8 = 3;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has these addresses, of either family.
    Addresses(Vec<IpAddr>),
    /// An address has this name.
    Name(String),
    /// It would be ours and does not exist.
    Nothing,
    /// It is somebody else's.
    Elsewhere,
}

/// What one resolver knows.
pub struct Zone {
    /// Its network, for the plan.
    pub network: Weak<Network>,
    /// Instances, for a network without a plan.
    pub addresses: Arc<Addresses>,
    /// The VPC.
    pub vpc: VpcId,
    /// Whether other names are passed on.
    pub forward: bool,
}

impl Zone {
    /// What a name means; nothing when this VPC has no resolver.
    fn find(&self, name: &str) -> Option<Found> {
        let plan = self.network.upgrade().and_then(|network| network.plan());
        let Some(plan) = plan else {
            let known = |address| self.addresses.find(&self.vpc, address).is_some();
            return Some(by_address(name, known));
        };
        plan.resolver?;
        if let Some(addresses) = plan.names.get(name) {
            return Some(Found::Addresses(addresses.iter().copied().map(IpAddr::V4).collect()));
        }
        let known = |address: Ipv4Addr| plan.interfaces.iter().any(|interface| interface.addresses.contains(&address));
        if let Some(address) = reverse_address(name) {
            let ours = plan.cidrs.iter().any(|range| range.contains(address));
            return Some(match (known(address), ours) {
                (true, _) => Found::Name(self.name_of(&plan.names, address)),
                (false, true) => Found::Nothing,
                (false, false) => Found::Elsewhere,
            });
        }
        Some(by_address(name, known))
    }

    /// The plan's own name of the usual form, or that form in the domain of
    /// the first region.
    fn name_of(&self, names: &std::collections::BTreeMap<String, Vec<Ipv4Addr>>, address: Ipv4Addr) -> String {
        let host = format!("ip-{}", address.to_string().replace('.', "-"));
        let mut planned = names.iter().filter(|(_, addresses)| addresses.contains(&address));
        let usual = planned.find(|(name, _)| name.strip_prefix(&host).is_some_and(|rest| rest.starts_with('.')));
        usual.map_or_else(|| format!("{host}.{}", self.addresses.domain(&self.vpc)), |(name, _)| name.clone())
    }
}

fn by_address(name: &str, known: impl Fn(Ipv4Addr) -> bool) -> Found {
    match instance_address(name) {
        Some(address) if known(address) => Found::Addresses(vec![IpAddr::V4(address)]),
        Some(_) => Found::Nothing,
        // No authority over other names; a single label is ours to deny.
        None if !name.contains('.') => Found::Nothing,
        None => Found::Elsewhere,
    }
}

/// Answers queries until the task is dropped.
pub async fn serve(socket: UdpSocket, zone: Zone) {
    let socket = Arc::new(socket);
    let slots = Arc::new(Semaphore::new(FORWARDED_MAX));
    let mut query = [0u8; 600];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut query).await else { continue };
        let query = &query[..length];
        let Some((reply, found)) = answer(query, |name| zone.find(name)) else { continue };
        let slot =
            if zone.forward && found == Found::Elsewhere { slots.clone().try_acquire_owned().ok() } else { None };
        match slot {
            Some(slot) => {
                let (socket, query) = (socket.clone(), query.to_vec());
                tokio::spawn(async move {
                    let answered = forward(&query).await.unwrap_or(reply);
                    let _ = socket.send_to(&answered, from).await;
                    drop(slot);
                });
            }
            // A lost answer is asked for again.
            None => drop(socket.send_to(&reply, from).await),
        }
    }
}

/// What the host's name servers say, one after the other.
async fn forward(query: &[u8]) -> Option<Vec<u8>> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
    for server in servers.take(3) {
        let local: SocketAddr = if matches!(server, std::net::IpAddr::V4(_)) {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let ask = async {
            let socket = UdpSocket::bind(local).await.ok()?;
            socket.connect((server, 53)).await.ok()?;
            socket.send(query).await.ok()?;
            let mut reply = vec![0; FORWARDED_BYTES_MAX];
            let length = socket.recv(&mut reply).await.ok()?;
            reply.truncate(length);
            (reply.get(..2) == query.get(..2)).then_some(reply)
        };
        if let Ok(Some(reply)) = tokio::time::timeout(FORWARD_LIMIT, ask).await {
            return Some(reply);
        }
    }
    None
}

/// Answers one query with what `find` knows of its name. Nothing for what is
/// not a query with one question, or when `find` says nothing.
pub fn answer(query: &[u8], find: impl Fn(&str) -> Option<Found>) -> Option<(Vec<u8>, Found)> {
    let is_query = query.len() > HEADER && query.len() <= MESSAGE_BYTES_MAX && query[2] & 0xf8 == 0;
    if !is_query || query[4..6] != [0, 1] {
        return None;
    }
    let (name, end) = question_name(query)?;
    let tail = query.get(end..end + 4)?;
    let (kind, class) = (u16::from_be_bytes([tail[0], tail[1]]), u16::from_be_bytes([tail[2], tail[3]]));
    let found = find(&name)?;
    let code = match &found {
        Found::Addresses(_) | Found::Name(_) => 0,
        Found::Nothing => NO_SUCH_NAME,
        Found::Elsewhere => REFUSED,
    };
    let records: Vec<Vec<u8>> = match (&found, kind) {
        _ if class != CLASS_IN => Vec::new(),
        (Found::Addresses(all), TYPE_A) => {
            let octets = |one: &IpAddr| if let IpAddr::V4(one) = one { Some(one.octets().to_vec()) } else { None };
            all.iter().filter_map(octets).take(ANSWERS_MAX).collect()
        }
        (Found::Addresses(all), TYPE_AAAA) => {
            let octets = |one: &IpAddr| if let IpAddr::V6(one) = one { Some(one.octets().to_vec()) } else { None };
            all.iter().filter_map(octets).take(ANSWERS6_MAX).collect()
        }
        (Found::Name(name), TYPE_PTR) => vec![encode(name)?],
        _ => Vec::new(),
    };
    let mut reply = query[..end + 4].to_vec();
    reply[2] = 0x84 | query[2] & 1;
    // Where other names are passed on, recursion is to be had.
    reply[3] = 0x80 | code;
    let count = u8::try_from(records.len()).expect("their number is limited");
    reply[6..12].copy_from_slice(&[0, count, 0, 0, 0, 0]);
    for record in records {
        reply.extend_from_slice(&[0xc0, HEADER as u8]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&CLASS_IN.to_be_bytes());
        reply.extend_from_slice(&ANSWER_SECONDS.to_be_bytes());
        reply.extend_from_slice(&u16::try_from(record.len()).ok()?.to_be_bytes());
        reply.extend_from_slice(&record);
    }
    Some((reply, found))
}

/// A name as messages carry it.
fn encode(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => return Some((labels.join(".").to_ascii_lowercase(), at)),
            1..=63 => labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned()),
            _ => return None,
        }
        at += length;
    }
}

/// The address that an instance's name tells: `ip-10-0-1-2`, alone or in
/// `ec2.internal` or `<region>.compute.internal`.
fn instance_address(name: &str) -> Option<Ipv4Addr> {
    let (host, domain) = name.split_once('.').unwrap_or((name, ""));
    if !(domain.is_empty() || domain == "ec2.internal" || domain.ends_with(".compute.internal")) {
        return None;
    }
    host.strip_prefix("ip-")?.replace('-', ".").parse().ok()
}

/// The address that a reverse lookup is about: `2.1.0.10.in-addr.arpa`.
fn reverse_address(name: &str) -> Option<Ipv4Addr> {
    let turned: Vec<&str> = name.strip_suffix(".in-addr.arpa")?.rsplit('.').collect();
    turned.join(".").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(encode(name).unwrap());
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    fn find(name: &str) -> Option<Found> {
        Some(by_address(name, |address| address == Ipv4Addr::new(10, 0, 1, 2)))
    }

    /// Known instances are answered, others denied, the world refused.
    #[test]
    fn answers() {
        for (name, kind, code, answers) in [
            ("ip-10-0-1-2", 1, 0, 1),
            ("IP-10-0-1-2.ec2.internal", 1, 0, 1),
            ("ip-10-0-1-2.eu-west-1.compute.internal", 1, 0, 1),
            ("ip-10-0-1-2.ec2.internal", 28, 0, 0),
            ("ip-10-0-1-3.ec2.internal", 1, 3, 0),
            ("printer", 1, 3, 0),
            ("example.com", 1, 5, 0),
            ("ip-10-0-1-2.example.com", 1, 5, 0),
        ] {
            let (reply, _) = answer(&query(name, kind), find).unwrap();
            assert_eq!((reply[0], reply[1], reply[3] & 15, reply[7]), (0xab, 0xcd, code, answers), "{name}");
            assert!(answers == 0 || reply.ends_with(&[10, 0, 1, 2]), "{name}");
        }
    }

    /// A name with many addresses is cut to what fits, names of addresses are
    /// written out, and a VPC without a resolver is silent.
    #[test]
    fn kinds_of_answers() {
        let many: Vec<IpAddr> = (0..100)
            .flat_map(|last| [IpAddr::from([10, 0, 0, last]), IpAddr::from([0xfd65, 0, 0, 0, 0, 0, 0, last.into()])])
            .collect();
        let long = ["a".repeat(60).as_str(); 4].join(".");
        for (kind, most) in [(1, ANSWERS_MAX), (28, ANSWERS6_MAX), (16, 0)] {
            let (reply, _) = answer(&query(&long, kind), |_| Some(Found::Addresses(many.clone()))).unwrap();
            assert!(reply.len() <= MESSAGE_BYTES_MAX && usize::from(reply[7]) == most, "{kind}");
        }
        let six = IpAddr::from([0xfd65, 0x6c61, 0, 0, 0, 0, 0, 9]);
        let (reply, _) = answer(&query("lb.example", 28), |_| Some(Found::Addresses(vec![six]))).unwrap();
        assert!(reply.ends_with(&[&[0, 16, 0xfd, 0x65, 0x6c, 0x61][..], &[0; 11], &[9]].concat()), "{reply:?}");
        let name = Found::Name("ip-10-0-1-2.ec2.internal".to_owned());
        let (reply, _) = answer(&query("2.1.0.10.in-addr.arpa", 12), |_| Some(name.clone())).unwrap();
        assert!(reply[7] == 1 && reply.ends_with(&encode("ip-10-0-1-2.ec2.internal").unwrap()));
        assert_eq!(reverse_address("2.1.0.10.in-addr.arpa"), Some(Ipv4Addr::new(10, 0, 1, 2)));
        assert_eq!(answer(&query("any.name", 1), |_| None), None);
    }

    /// Random bytes in and around a good query never break the parser, and
    /// every answer repeats the query's number. Seeded, so a failure repeats.
    #[test]
    fn random_messages() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let mut bytes = query("ip-10-0-1-2.ec2.internal", 1);
            for _ in 0..random() % 8 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(bytes.len() - random() as usize % bytes.len() / 2);
            if let Some((reply, _)) = answer(&bytes, find) {
                assert_eq!(reply[..2], bytes[..2]);
            }
        }
    }

    /// Broken messages get no answer and do no harm.
    #[test]
    fn broken_messages() {
        let good = query("ip-10-0-1-2", 1);
        for length in 0..good.len() {
            assert_eq!(answer(&good[..length], find), None, "{length}");
        }
        let mut pointer = good.clone();
        pointer[12] = 0xc0;
        assert_eq!(answer(&pointer, find), None);
        let mut response = good;
        response[2] |= 0x80;
        assert_eq!(answer(&response, find), None);
    }
}
