//! Listening sockets: one for each data thread on the same address. They can
//! be held so that another process takes them over with all that waits in
//! their queues.

use crate::registry::Place;
use crate::thread::BACKLOG;
use crate::upstream::Transport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Where an unprivileged process listens instead of a privileged port.
const UNPRIVILEGED_OFFSET: u16 = 8000;
/// Congestion control within a machine: every kernel has it and lets everybody
/// choose it, and it does not pace.
const UNPACED: &str = "reno";

/// Sockets of one listener.
pub(crate) struct Bound {
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) address: SocketAddr,
    /// Why it is not the port asked for; empty when it is.
    pub(crate) note: String,
}

/// A listener's sockets as one process leaves them to another. What is written
/// of it tells what the descriptors are, which travel beside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeldListener {
    pub(crate) place: Place,
    /// The port that was asked for.
    pub(crate) port: u16,
    /// Where it accepts connections.
    pub(crate) bound: SocketAddr,
    /// Why it is not the port asked for; empty when it is.
    pub(crate) note: String,
    #[serde(skip)]
    pub(crate) sockets: Vec<OwnedFd>,
}

impl HeldListener {
    /// Copies of the descriptors of these sockets; `None` when the process has no room for more.
    pub(crate) fn of<'a>(
        place: Place,
        port: u16,
        bound: SocketAddr,
        note: String,
        sockets: impl Iterator<Item = BorrowedFd<'a>>,
    ) -> Option<HeldListener> {
        let sockets: io::Result<Vec<OwnedFd>> = sockets.map(|socket| socket.try_clone_to_owned()).collect();
        Some(HeldListener { place, port, bound, note, sockets: sockets.ok()? })
    }

    /// The same with copies of the descriptors.
    pub(crate) fn copy(&self) -> Option<HeldListener> {
        let sockets = self.sockets.iter().map(AsFd::as_fd);
        HeldListener::of(self.place.clone(), self.port, self.bound, self.note.clone(), sockets)
    }

    /// The descriptors, to be sent beside the written form.
    pub fn descriptors(&self) -> &[OwnedFd] {
        &self.sockets
    }

    /// Puts the descriptors that came beside the written form in place.
    pub fn attach(&mut self, descriptors: Vec<OwnedFd>) {
        self.sockets = descriptors;
    }

    /// A socket for each of `threads` threads; a thread without one of its own
    /// shares another's.
    pub(crate) fn spread(mut self, threads: usize) -> Vec<OwnedFd> {
        let count = self.sockets.len();
        for thread in count..threads {
            let shared = self.sockets.get(thread % count.max(1)).and_then(|socket| socket.try_clone().ok());
            self.sockets.extend(shared);
        }
        self.sockets
    }
}

/// Opens `count` sockets on the port, else on the port + 8000, else on one
/// that the system picks. The error is that of the port asked for.
pub(crate) fn open(transport: Transport, address: IpAddr, port: u16, count: usize) -> io::Result<Bound> {
    let asked = match open_at(transport, SocketAddr::new(address, port), count) {
        Ok((sockets, address)) => return Ok(Bound { sockets, address, note: String::new() }),
        Err(error) => error,
    };
    let others = [port.checked_add(UNPRIVILEGED_OFFSET), Some(0)];
    for other in others.into_iter().flatten() {
        if let Ok((sockets, bound)) = open_at(transport, SocketAddr::new(address, other), count) {
            let note =
                format!("port {port} of {address} cannot be used ({asked}); listening on {} instead", bound.port());
            return Ok(Bound { sockets, address: bound, note });
        }
    }
    Err(asked)
}

fn open_at(transport: Transport, address: SocketAddr, count: usize) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    // Sharing a port is for our own threads: a socket that does not share
    // finds out whether somebody else is there, who may share too.
    let probe = bound(transport, address, false)?;
    let address = SocketAddr::try_from(getsockname(&probe)?)?;
    drop(probe);
    let sockets: io::Result<Vec<_>> = (0..count)
        .map(|_| {
            let socket = bound(transport, address, true)?;
            if transport == Transport::Stream {
                listen(&socket, BACKLOG)?;
            }
            Ok(socket)
        })
        .collect();
    Ok((sockets?, address))
}

fn bound(transport: Transport, address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let kind = match transport {
        Transport::Stream => SocketType::STREAM,
        Transport::Datagram => SocketType::DGRAM,
    };
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, kind, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
        // A node's own address is no interface's: a route makes it this machine's.
        sockopt::set_ipv6_freebind(&socket, true)?;
    }
    // For UDP it would let anybody share the address.
    sockopt::set_socket_reuseaddr(&socket, transport == Transport::Stream)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    bind(&socket, &address)?;
    if transport == Transport::Stream {
        send_unpaced(&socket, address.ip());
    }
    Ok(socket)
}

/// Lets a TCP socket at, or to, an address of this machine alone send as fast as its peer
/// reads; connections that a listening socket accepts inherit it. Where the
/// system's default is one that paces (BBR), each segment of a long body
/// costs a timer and an interrupt, and nothing within a machine is congested.
/// A system that refuses keeps its default.
pub(crate) fn send_unpaced(socket: impl AsFd, address: IpAddr) {
    let is_within = match address {
        IpAddr::V4(address) => address.is_loopback(),
        // Those of nodes are unique local ones.
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    };
    if is_within {
        let _ = sockopt::set_tcp_congestion(socket, UNPACED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    /// Connections that are accepted at a loopback address do not pace.
    #[test]
    fn accepted_connections_are_not_paced() {
        for host in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            // A machine without IPv6 has nothing to show for it.
            if TcpListener::bind((host, 0)).is_err() {
                continue;
            }
            let Bound { mut sockets, address, .. } = open(Transport::Stream, host, 0, 1).unwrap();
            let listener = TcpListener::from(sockets.pop().unwrap());
            listener.set_nonblocking(false).unwrap();
            let _client = TcpStream::connect(address).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(sockopt::tcp_congestion(&accepted).unwrap(), UNPACED, "{host}");
        }
    }
}
