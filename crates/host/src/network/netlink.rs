//! Just enough rtnetlink to wire instances: links, addresses, routes, rules,
//! neighbours. A socket acts on the network namespace of the thread that
//! opened it, wherever it is used afterwards.

use crate::sys;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

const REQUEST_ACK: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const REQUEST_DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
const CREATE_EXCLUSIVE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const CREATE_REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
/// Longest answer to one request: an error with the request quoted, or a part of a dump.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// Parts of one dump: far more than a network of thousands of interfaces has.
const DUMP_PARTS_MAX: usize = 10_000;
const HEADER_BYTES: usize = 16;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const NUD_PERMANENT: u16 = 0x80;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;

/// `RTNH_F_ONLINK`: the gateway is on the link whatever the addresses say.
const NEXT_HOP_ON_LINK: u32 = 4;

const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FR_ACT_TO_TABLE: u8 = 1;

/// Marks the routes that this program keeps (`rtm_protocol`): those and no
/// others are compared with what is wanted.
const ROUTE_PROTOCOL: u8 = 171;
/// The table of ordinary routes.
pub const MAIN_TABLE: u32 = libc::RT_TABLE_MAIN as u32;

/// An open rtnetlink socket.
pub struct Netlink {
    socket: OwnedFd,
}

/// A virtual cable and the process whose network gets the other end.
pub struct Veth<'a> {
    /// Name of our end.
    pub name: &'a str,
    /// Hardware address of our end; the kernel's choice if `None`.
    pub mac: Option<[u8; 6]>,
    /// Name of the other end.
    pub peer_name: &'a str,
    /// Hardware address of the other end.
    pub peer_mac: [u8; 6],
    /// A process in the network namespace that gets the other end.
    pub peer_pid: i32,
}

/// Where packets for a destination go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// Out of an interface, to a gateway on the link if there is one.
    Link {
        /// The interface's index.
        index: u32,
        /// The next hop; it need not be in a range of the interface.
        gateway: Option<Ipv4Addr>,
        /// Source address of the machine's own packets.
        source: Option<Ipv4Addr>,
    },
    /// Dropped without a word.
    Blackhole,
    /// This table has no answer; the next rule is asked.
    Throw,
    /// Taken in by this machine, whoever it is for.
    Local {
        /// The loopback interface's index.
        index: u32,
    },
}

/// A route as this program writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The routing table.
    pub table: u32,
    /// First address and prefix length.
    pub destination: (Ipv4Addr, u8),
    /// Where to.
    pub hop: Hop,
}

/// Who asks a routing table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// Packets with this mark.
    Mark(u32),
    /// Packets from this address.
    From(Ipv4Addr),
}

/// A policy rule of this program's priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Which packets.
    pub selector: Selector,
    /// The table they ask.
    pub table: u32,
}

/// All rules of this program have this priority: after the local table,
/// before the main one.
const RULE_PRIORITY: u32 = 1000;

/// A request under construction: header, fixed part, attributes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST_ACK | flags).to_ne_bytes());
        bytes[8..12].copy_from_slice(&1u32.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Message(bytes)
    }

    fn dump(kind: u16, fixed: &[u8]) -> Message {
        let mut message = Message::new(kind, 0, fixed);
        message.0[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
        message
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Message {
        let length = u16::try_from(value.len() + 4).expect("attributes are short");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) -> &mut Message {
        let start = self.0.len();
        self.attribute(kind, &[]);
        fill(self);
        let length = u16::try_from(self.0.len() - start).expect("attributes are short");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn seal(&mut self) -> &[u8] {
        let length = u32::try_from(self.0.len()).expect("requests are short");
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        &self.0
    }
}

/// One object of a dump: its fixed part and its attributes.
struct Object<'a> {
    fixed: &'a [u8],
    attributes: &'a [u8],
}

impl<'a> Object<'a> {
    fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.attributes;
        while let Some((length, kind)) = short(rest, 0).zip(short(rest, 2)) {
            let length = usize::from(length);
            let value = rest.get(4..length)?;
            if kind & 0x3fff == wanted {
                return Some(value);
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
        None
    }

    fn number(&self, wanted: u16) -> Option<u32> {
        self.attribute(wanted).and_then(|value| word(value, 0))
    }

    fn address(&self, wanted: u16) -> Option<Ipv4Addr> {
        let bytes = <[u8; 4]>::try_from(self.attribute(wanted)?).ok()?;
        Some(Ipv4Addr::from(bytes))
    }

    fn text(&self, wanted: u16) -> Option<String> {
        let bytes = self.attribute(wanted)?;
        Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned())
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn zero_terminated(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&index.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&change.to_ne_bytes());
    bytes
}

/// Success also for what is gone already.
fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(err)
            if matches!(err.raw_os_error(), Some(libc::ENODEV | libc::ESRCH | libc::ENOENT | libc::EADDRNOTAVAIL)) =>
        {
            Ok(())
        }
        other => other,
    }
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Netlink> {
        // No protocol number is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Netlink { socket })
    }

    fn request(&self, message: &mut Message) -> io::Result<()> {
        send(&self.socket, message.seal(), SendFlags::empty())?;
        let mut reply = vec![0u8; 8192];
        let (got, _) = recv(&self.socket, &mut reply[..], RecvFlags::empty())?;
        let code = word(&reply, HEADER_BYTES).map(|code| code as i32);
        match (got >= 20, short(&reply, 4), code) {
            (true, Some(KIND_ERROR), Some(0)) => Ok(()),
            (true, Some(KIND_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    /// All objects of a kind, each turned into what `read` makes of it.
    fn dump<T>(
        &self,
        mut message: Message,
        fixed_bytes: usize,
        mut read: impl FnMut(Object<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        send(&self.socket, message.seal(), SendFlags::empty())?;
        let mut found = Vec::new();
        let mut reply = vec![0u8; REPLY_BYTES_MAX];
        for _ in 0..DUMP_PARTS_MAX {
            let (got, _) = recv(&self.socket, &mut reply[..], RecvFlags::empty())?;
            let mut rest = &reply[..got];
            while let Some((length, kind)) = word(rest, 0).zip(short(rest, 4)) {
                let length = length as usize;
                match kind {
                    KIND_DONE => return Ok(found),
                    KIND_ERROR => {
                        let code = word(rest, HEADER_BYTES).map_or(libc::EIO, |code| -(code as i32));
                        return Err(io::Error::from_raw_os_error(code));
                    }
                    _ => {}
                }
                let start = HEADER_BYTES + fixed_bytes;
                let parts = rest.get(HEADER_BYTES..start).zip(rest.get(start..length));
                if let Some((fixed, attributes)) = parts {
                    found.extend(read(Object { fixed, attributes }));
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
            }
        }
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Makes a pair of linked interfaces; ours is up, the other end is not.
    pub fn add_veth(&self, veth: &Veth<'_>) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        let mut message = Message::new(libc::RTM_NEWLINK, CREATE_EXCLUSIVE, &link_header(0, up, up));
        message.attribute(IFLA_IFNAME, &zero_terminated(veth.name));
        if let Some(mac) = veth.mac {
            message.attribute(IFLA_ADDRESS, &mac);
        }
        message.nested(IFLA_LINKINFO, |info| {
            info.attribute(IFLA_INFO_KIND, b"veth");
            info.nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |peer| {
                    peer.0.extend_from_slice(&link_header(0, 0, 0));
                    peer.attribute(IFLA_IFNAME, &zero_terminated(veth.peer_name));
                    peer.attribute(IFLA_ADDRESS, &veth.peer_mac);
                    peer.attribute(IFLA_NET_NS_PID, &veth.peer_pid.to_ne_bytes());
                });
            });
        });
        self.request(&mut message)
    }

    /// Brings an interface up.
    pub fn set_up(&self, index: u32) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        self.request(&mut Message::new(libc::RTM_NEWLINK, 0, &link_header(index, up, up)))
    }

    /// Removes the interface of this name, if there is one.
    pub fn remove_link(&self, name: &str) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_DELLINK, 0, &link_header(0, 0, 0));
        message.attribute(IFLA_IFNAME, &zero_terminated(name));
        absent_is_fine(self.request(&mut message))
    }

    /// Names and indexes of all interfaces.
    pub fn links(&self) -> io::Result<Vec<(String, u32)>> {
        let message = Message::dump(libc::RTM_GETLINK, &link_header(0, 0, 0));
        self.dump(message, 16, |link| Some((link.text(IFLA_IFNAME)?, word(link.fixed, 4)?)))
    }

    /// Gives an interface an address; one that it has already is kept.
    pub fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.request(&mut Netlink::address(libc::RTM_NEWADDR, CREATE_REPLACE, index, address, prefix))
    }

    /// Takes an address from an interface, if it has it.
    pub fn remove_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        absent_is_fine(self.request(&mut Netlink::address(libc::RTM_DELADDR, 0, index, address, prefix)))
    }

    fn address(kind: u16, flags: u16, index: u32, address: Ipv4Addr, prefix: u8) -> Message {
        let mut fixed = vec![libc::AF_INET as u8, prefix, 0, 0];
        fixed.extend_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(kind, flags, &fixed);
        message.attribute(IFA_LOCAL, &address.octets()).attribute(IFA_ADDRESS, &address.octets());
        message
    }

    /// Addresses of an interface with their prefix lengths.
    pub fn addresses(&self, index: u32) -> io::Result<Vec<(Ipv4Addr, u8)>> {
        let message = Message::dump(libc::RTM_GETADDR, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0]);
        self.dump(message, 8, |found| {
            let ours = word(found.fixed, 4) == Some(index);
            ours.then(|| Some((found.address(IFA_LOCAL)?, *found.fixed.get(1)?)))?
        })
    }

    /// Adds a route, or replaces the one to the same destination in its table.
    pub fn set_route(&self, route: &Route) -> io::Result<()> {
        self.request(&mut Netlink::route(libc::RTM_NEWROUTE, CREATE_REPLACE, route))
    }

    /// Adds a route where there is none to the same destination.
    ///
    /// # Errors
    /// `AlreadyExists` where there is one, of whomever.
    pub fn add_new_route(&self, route: &Route) -> io::Result<()> {
        self.request(&mut Netlink::route(libc::RTM_NEWROUTE, CREATE_EXCLUSIVE, route))
    }

    /// Removes a route, if it is there.
    pub fn remove_route(&self, route: &Route) -> io::Result<()> {
        absent_is_fine(self.request(&mut Netlink::route(libc::RTM_DELROUTE, 0, route)))
    }

    fn route(kind: u16, flags: u16, route: &Route) -> Message {
        let (gateway, unicast) = match route.hop {
            Hop::Link { gateway, .. } => (gateway, libc::RTN_UNICAST),
            Hop::Blackhole => (None, libc::RTN_BLACKHOLE),
            Hop::Throw => (None, libc::RTN_THROW),
            Hop::Local { .. } => (None, libc::RTN_LOCAL),
        };
        let scope = match route.hop {
            Hop::Link { gateway: None, .. } => libc::RT_SCOPE_LINK,
            Hop::Local { .. } => libc::RT_SCOPE_HOST,
            Hop::Link { .. } | Hop::Blackhole | Hop::Throw => libc::RT_SCOPE_UNIVERSE,
        };
        let table = u8::try_from(route.table).unwrap_or(libc::RT_TABLE_UNSPEC);
        let mut fixed = vec![libc::AF_INET as u8, route.destination.1, 0, 0, table, ROUTE_PROTOCOL, scope, unicast];
        let next_hop_flags: u32 = if gateway.is_some() { NEXT_HOP_ON_LINK } else { 0 };
        fixed.extend_from_slice(&next_hop_flags.to_ne_bytes());
        let mut message = Message::new(kind, flags, &fixed);
        message.attribute(RTA_TABLE, &route.table.to_ne_bytes());
        if route.destination.1 > 0 {
            message.attribute(RTA_DST, &route.destination.0.octets());
        }
        if let Hop::Local { index } = route.hop {
            message.attribute(RTA_OIF, &index.to_ne_bytes());
        }
        if let Hop::Link { index, gateway, source } = route.hop {
            message.attribute(RTA_OIF, &index.to_ne_bytes());
            for (kind, address) in [(RTA_GATEWAY, gateway), (RTA_PREFSRC, source)] {
                if let Some(address) = address {
                    message.attribute(kind, &address.octets());
                }
            }
        }
        message
    }

    /// Makes all IPv6 addresses of a range this machine's own.
    ///
    /// # Errors
    /// `AlreadyExists` where they are, by whomever.
    pub fn add_local_range(&self, index: u32, first: Ipv6Addr, bits: u8) -> io::Result<()> {
        self.request(&mut Netlink::local_range(libc::RTM_NEWROUTE, CREATE_EXCLUSIVE, index, first, bits))
    }

    /// Takes back what [`Netlink::add_local_range`] did, if it is there.
    pub fn remove_local_range(&self, index: u32, first: Ipv6Addr, bits: u8) -> io::Result<()> {
        absent_is_fine(self.request(&mut Netlink::local_range(libc::RTM_DELROUTE, 0, index, first, bits)))
    }

    fn local_range(kind: u16, flags: u16, index: u32, first: Ipv6Addr, bits: u8) -> Message {
        let (family, table) = (libc::AF_INET6 as u8, libc::RT_TABLE_LOCAL);
        let mut fixed = vec![family, bits, 0, 0, table, ROUTE_PROTOCOL, libc::RT_SCOPE_UNIVERSE, libc::RTN_LOCAL];
        fixed.extend_from_slice(&[0; 4]);
        let mut message = Message::new(kind, flags, &fixed);
        message.attribute(RTA_TABLE, &u32::from(table).to_ne_bytes());
        message.attribute(RTA_DST, &first.octets()).attribute(RTA_OIF, &index.to_ne_bytes());
        message
    }

    /// The routes of all tables that this program has written here.
    pub fn routes(&self) -> io::Result<Vec<Route>> {
        let mut fixed = [0u8; 12];
        fixed[0] = libc::AF_INET as u8;
        let message = Message::dump(libc::RTM_GETROUTE, &fixed);
        self.dump(message, 12, |found| {
            let hop = match (found.fixed[5], found.fixed[7]) {
                (ROUTE_PROTOCOL, libc::RTN_UNICAST) => Hop::Link {
                    index: found.number(RTA_OIF)?,
                    gateway: found.address(RTA_GATEWAY),
                    source: found.address(RTA_PREFSRC),
                },
                (ROUTE_PROTOCOL, libc::RTN_BLACKHOLE) => Hop::Blackhole,
                (ROUTE_PROTOCOL, libc::RTN_THROW) => Hop::Throw,
                (ROUTE_PROTOCOL, libc::RTN_LOCAL) => Hop::Local { index: found.number(RTA_OIF)? },
                _ => return None,
            };
            let first = found.address(RTA_DST).unwrap_or(Ipv4Addr::UNSPECIFIED);
            Some(Route { table: found.number(RTA_TABLE)?, destination: (first, found.fixed[1]), hop })
        })
    }

    /// Makes this program's routes, among those that `concerned` names,
    /// exactly these; says which failed and why.
    pub fn sync_routes(
        &self,
        wanted: &[Route],
        concerned: impl Fn(&Route) -> bool,
    ) -> io::Result<Vec<(Route, io::Error)>> {
        let mut present = self.routes()?;
        present.retain(|route| concerned(route));
        let mut failed = Vec::new();
        for route in wanted.iter().filter(|route| !present.contains(route)) {
            failed.extend(self.set_route(route).err().map(|err| (*route, err)));
        }
        // A replaced route is gone already; removing it by all its fields does not touch its successor.
        for route in present.iter().filter(|route| !wanted.contains(route)) {
            failed.extend(self.remove_route(route).err().map(|err| (*route, err)));
        }
        Ok(failed)
    }

    fn rule(kind: u16, flags: u16, rule: &Rule) -> Message {
        let source_bits = if matches!(rule.selector, Selector::From(_)) { 32 } else { 0 };
        let fixed = [libc::AF_INET as u8, 0, source_bits, 0, 0, 0, 0, FR_ACT_TO_TABLE, 0, 0, 0, 0];
        let mut message = Message::new(kind, flags, &fixed);
        message.attribute(FRA_PRIORITY, &RULE_PRIORITY.to_ne_bytes());
        message.attribute(FRA_TABLE, &rule.table.to_ne_bytes());
        match rule.selector {
            Selector::Mark(mark) => message.attribute(FRA_FWMARK, &mark.to_ne_bytes()),
            Selector::From(address) => message.attribute(FRA_SRC, &address.octets()),
        };
        message
    }

    /// Makes the rules of this program's priority exactly these.
    pub fn sync_rules(&self, wanted: &[Rule]) -> io::Result<()> {
        let mut fixed = [0u8; 12];
        fixed[0] = libc::AF_INET as u8;
        let present = self.dump(Message::dump(libc::RTM_GETRULE, &fixed), 12, |found| {
            let ours = found.number(FRA_PRIORITY) == Some(RULE_PRIORITY);
            let selector = match (found.number(FRA_FWMARK), found.address(FRA_SRC)) {
                (_, Some(address)) => Selector::From(address),
                (Some(mark), None) => Selector::Mark(mark),
                (None, None) => return None,
            };
            ours.then_some(Rule { selector, table: found.number(FRA_TABLE)? })
        })?;
        for rule in wanted.iter().filter(|rule| !present.contains(rule)) {
            self.request(&mut Netlink::rule(libc::RTM_NEWRULE, CREATE_EXCLUSIVE, rule))?;
        }
        for rule in present.iter().filter(|rule| !wanted.contains(rule)) {
            absent_is_fine(self.request(&mut Netlink::rule(libc::RTM_DELRULE, 0, rule)))?;
        }
        Ok(())
    }

    /// Adds or replaces a route to `destination` through an interface, with
    /// an optional gateway and an optional source address for own packets.
    pub fn add_route(
        &self,
        destination: (Ipv4Addr, u8),
        index: u32,
        gateway: Option<Ipv4Addr>,
        source: Option<Ipv4Addr>,
    ) -> io::Result<()> {
        self.set_route(&Route { table: MAIN_TABLE, destination, hop: Hop::Link { index, gateway, source } })
    }

    /// Fixes the hardware address of a neighbour, so that no packet waits for ARP.
    pub fn add_neighbour(&self, index: u32, address: Ipv4Addr, mac: [u8; 6]) -> io::Result<()> {
        const NDA_DST: u16 = 1;
        const NDA_LLADDR: u16 = 2;
        let mut fixed = vec![libc::AF_INET as u8, 0, 0, 0];
        fixed.extend_from_slice(&index.to_ne_bytes());
        fixed.extend_from_slice(&NUD_PERMANENT.to_ne_bytes());
        fixed.extend_from_slice(&[0, 0]);
        let mut message = Message::new(libc::RTM_NEWNEIGH, CREATE_REPLACE, &fixed);
        message.attribute(NDA_DST, &address.octets()).attribute(NDA_LLADDR, &mac);
        self.request(&mut message)
    }

    /// Brings the loopback interface up and returns its index.
    pub fn loopback_up(&self) -> io::Result<u32> {
        let index = sys::interface_index("lo")?;
        self.set_up(index)?;
        Ok(index)
    }
}
