//! Just enough rtnetlink to wire instances: links, addresses, routes,
//! neighbours. A socket acts on the network namespace of the thread that
//! opened it, wherever it is used afterwards.

use crate::sys;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

const REQUEST_ACK: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const CREATE_EXCLUSIVE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const CREATE_REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
/// Longest answer to one request: an error with the request quoted.
const REPLY_BYTES_MAX: usize = 8192;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const NUD_PERMANENT: u16 = 0x80;

/// An open rtnetlink socket.
pub struct Netlink {
    socket: OwnedFd,
}

/// One end of a virtual cable and the process whose network gets the other end.
pub struct Veth<'a> {
    /// Name of our end.
    pub name: &'a str,
    /// Name of the other end.
    pub peer_name: &'a str,
    /// Hardware address of the other end.
    pub peer_mac: [u8; 6],
    /// A process in the network namespace that gets the other end.
    pub peer_pid: i32,
}

/// A request under construction: header, fixed part, attributes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST_ACK | flags).to_ne_bytes());
        bytes[8..12].copy_from_slice(&1u32.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Message(bytes)
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

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Netlink> {
        // No protocol number is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Netlink { socket })
    }

    fn request(&self, message: &mut Message) -> io::Result<()> {
        let length = u32::try_from(message.0.len()).expect("requests are short");
        message.0[..4].copy_from_slice(&length.to_ne_bytes());
        send(&self.socket, &message.0, SendFlags::empty())?;
        let mut reply = vec![0u8; REPLY_BYTES_MAX];
        let (got, _) = recv(&self.socket, &mut reply[..], RecvFlags::empty())?;
        let kind = reply.get(4..6).map(|b| u16::from_ne_bytes([b[0], b[1]]));
        let code = reply.get(16..20).map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
        match (got >= 20, kind, code) {
            (true, Some(2), Some(0)) => Ok(()),
            (true, Some(2), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    /// Makes a pair of linked interfaces; ours is up, the other end is not.
    pub fn add_veth(&self, veth: &Veth<'_>) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        let mut message = Message::new(libc::RTM_NEWLINK, CREATE_EXCLUSIVE, &link_header(0, up, up));
        message.attribute(IFLA_IFNAME, &zero_terminated(veth.name));
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
        match self.request(&mut message) {
            Err(err) if err.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Gives an interface an address; one that it has already is kept.
    pub fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        const IFA_ADDRESS: u16 = 1;
        const IFA_LOCAL: u16 = 2;
        let mut fixed = vec![libc::AF_INET as u8, prefix, 0, 0];
        fixed.extend_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(libc::RTM_NEWADDR, CREATE_REPLACE, &fixed);
        message.attribute(IFA_LOCAL, &address.octets()).attribute(IFA_ADDRESS, &address.octets());
        self.request(&mut message)
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
        const RTA_DST: u16 = 1;
        const RTA_OIF: u16 = 4;
        const RTA_GATEWAY: u16 = 5;
        const RTA_PREFSRC: u16 = 7;
        let scope = if gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
        let (table, protocol, unicast) = (libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, libc::RTN_UNICAST);
        let fixed = [libc::AF_INET as u8, destination.1, 0, 0, table, protocol, scope, unicast, 0, 0, 0, 0];
        let mut message = Message::new(libc::RTM_NEWROUTE, CREATE_REPLACE, &fixed);
        message.attribute(RTA_DST, &destination.0.octets()).attribute(RTA_OIF, &index.to_ne_bytes());
        if let Some(gateway) = gateway {
            message.attribute(RTA_GATEWAY, &gateway.octets());
        }
        if let Some(source) = source {
            message.attribute(RTA_PREFSRC, &source.octets());
        }
        self.request(&mut message)
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
