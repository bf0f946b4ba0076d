//! Sockets into VPCs: made inside the right network, usable by any thread of
//! any process that shares the daemon's user namespace.
//!
//! A socket belongs to the network of the thread that makes it. The
//! functions that end in `_here` make one in the calling thread's network;
//! the others act on sockets of any.

use crate::host::Inner;
use crate::network::SPOKEN_AS_CLIENT;
use crate::{router, sys};
use elastane_domain::id::VpcId;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Weak;

/// Connections that may wait to be accepted: a burst of new clients.
const BACKLOG: i32 = 4096;

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// A non-blocking socket that takes clients at an address of the calling
/// thread's network, together with others at the same one (`SO_REUSEPORT`).
/// The address may come into being later.
///
/// # Errors
/// The system's, such as `AddrInUse`.
pub fn listening_here(address: SocketAddrV4, transport: Transport) -> io::Result<OwnedFd> {
    let kind = match transport {
        Transport::Stream => SocketType::STREAM,
        Transport::Datagram => SocketType::DGRAM,
    };
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    sockopt::set_ip_freebind(&socket, true)?;
    bind(&socket, &address)?;
    if transport == Transport::Stream {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

/// A fresh non-blocking UDP socket in the calling thread's network.
///
/// # Errors
/// The system's.
pub fn datagram_here() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?)
}

/// Has a fresh socket speak from an address of its network; the port is
/// chosen when it connects.
///
/// # Errors
/// `AddrNotAvailable` when the network has no such address.
pub fn speak_from(socket: &OwnedFd, source: Ipv4Addr) -> io::Result<()> {
    sys::bind_address_no_port(socket.as_fd())?;
    Ok(bind(socket, &SocketAddrV4::new(source, 0))?)
}

/// Has a fresh socket of a VPC's router speak under a client's own address
/// and port. Answers come back to it because the router knows its packets by
/// their mark; groups of the target are enforced against that address.
///
/// # Errors
/// `PermissionDenied` without rights over the network, `AddrInUse` while
/// another connection of that client and port is in the way.
pub fn speak_as(socket: &OwnedFd, client: SocketAddrV4) -> io::Result<()> {
    sys::set_transparent(socket.as_fd())?;
    sys::set_mark(socket.as_fd(), SPOKEN_AS_CLIENT)?;
    sockopt::set_socket_reuseaddr(socket, true)?;
    Ok(bind(socket, &client)?)
}

/// Makes sockets inside VPCs. Cheap to clone; it does not keep the host open.
#[derive(Clone)]
pub struct SocketMaker {
    pub(crate) host: Weak<Inner>,
}

impl SocketMaker {
    /// A fresh, unconnected, non-blocking TCP socket (close-on-exec) inside
    /// the VPC's network; a plain one in the process make. Usually taken from
    /// a stock, otherwise made by the network's thread within microseconds.
    ///
    /// # Errors
    /// `NotFound` when the VPC has no instance on this host, `BrokenPipe` when
    /// the host is closed.
    pub fn tcp_socket(&self, vpc: &VpcId) -> io::Result<OwnedFd> {
        self.tcp_socket_from(vpc, None)
    }

    /// The same, bound to a source address of the VPC's router (a load
    /// balancer's interface of the plan in force), so that the packet filter
    /// knows whose connection it is; the port is chosen when it connects. The
    /// process make has no such addresses and ignores it.
    ///
    /// # Errors
    /// As `tcp_socket`, and `AddrNotAvailable` when no plan in force gives
    /// the address to a load balancer.
    pub fn tcp_socket_from(&self, vpc: &VpcId, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
        let host = self.host.upgrade().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        if !host.make.is_sandbox() {
            return router::tcp_socket_here();
        }
        let router = host.router(vpc).ok_or(io::ErrorKind::NotFound)?;
        let socket = router.tcp_socket()?;
        source.map_or(Ok(()), |source| speak_from(&socket, source))?;
        Ok(socket)
    }

    /// The same, speaking under a client's own address and port ([`speak_as`]).
    ///
    /// # Errors
    /// As `tcp_socket` and [`speak_as`]; `Unsupported` in the process make.
    pub fn tcp_socket_as(&self, vpc: &VpcId, client: SocketAddrV4) -> io::Result<OwnedFd> {
        let socket = self.router(vpc)?.tcp_socket()?;
        speak_as(&socket, client)?;
        Ok(socket)
    }

    /// A fresh UDP socket inside the VPC's network, speaking from `source` if
    /// there is one; a plain one in the process make.
    ///
    /// # Errors
    /// As `tcp_socket_from`.
    pub fn datagram_socket(&self, vpc: &VpcId, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
        let host = self.host.upgrade().ok_or(io::ErrorKind::BrokenPipe)?;
        if !host.make.is_sandbox() {
            return datagram_here();
        }
        let socket = host.router(vpc).ok_or(io::ErrorKind::NotFound)?.run(|_| datagram_here())?;
        source.map_or(Ok(()), |source| speak_from(&socket, source))?;
        Ok(socket)
    }

    /// A UDP socket that speaks under a client's own address and port.
    ///
    /// # Errors
    /// As `tcp_socket_as`.
    pub fn datagram_socket_as(&self, vpc: &VpcId, client: SocketAddrV4) -> io::Result<OwnedFd> {
        let socket = self.router(vpc)?.run(|_| datagram_here())?;
        speak_as(&socket, client)?;
        Ok(socket)
    }

    /// A socket that takes clients inside the VPC ([`listening_here`]).
    ///
    /// # Errors
    /// As [`listening_here`]; `NotFound` while the VPC has no network on this
    /// host, `Unsupported` in the process make.
    pub fn listening_socket(&self, vpc: &VpcId, address: SocketAddrV4, transport: Transport) -> io::Result<OwnedFd> {
        self.router(vpc)?.run(move |_| listening_here(address, transport))
    }

    /// A number for the VPC's network that exists now, `None` if none does:
    /// sockets that were made under another number lead nowhere any more.
    pub fn network_number(&self, vpc: &VpcId) -> Option<u64> {
        self.router(vpc).ok().and_then(|router| router.number().ok())
    }

    fn router(&self, vpc: &VpcId) -> io::Result<std::sync::Arc<router::Router>> {
        let host = self.host.upgrade().ok_or(io::ErrorKind::BrokenPipe)?;
        if !host.make.is_sandbox() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        host.router(vpc).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Where to connect to for a private address: the address itself in a
    /// sandbox, the instance's loopback address in the process make. An
    /// unknown address is returned unchanged.
    pub fn reach(&self, vpc: &VpcId, private_ip: Ipv4Addr) -> Ipv4Addr {
        let Some(host) = self.host.upgrade().filter(|host| !host.make.is_sandbox()) else { return private_ip };
        host.addresses.reach(vpc, private_ip)
    }
}
