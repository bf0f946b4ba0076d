//! Listening sockets: one for each data thread on the same address.

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use crate::thread::BACKLOG;

/// Where an unprivileged process listens instead of a privileged port.
const UNPRIVILEGED_OFFSET: u16 = 8000;

/// Sockets of one listener.
pub(crate) struct Bound {
    pub(crate) sockets: Vec<TcpListener>,
    pub(crate) address: SocketAddrV4,
    /// Why it is not the port asked for; empty when it is.
    pub(crate) note: String,
}

/// Opens `count` sockets on the port, else on the port + 8000, else on one
/// that the system picks. The error is that of the port asked for.
pub(crate) fn open(address: Ipv4Addr, port: u16, count: usize) -> io::Result<Bound> {
    let asked = match open_at(SocketAddrV4::new(address, port), count) {
        Ok((sockets, address)) => return Ok(Bound { sockets, address, note: String::new() }),
        Err(error) => error,
    };
    let others = [port.checked_add(UNPRIVILEGED_OFFSET), Some(0)];
    for other in others.into_iter().flatten() {
        if let Ok((sockets, bound)) = open_at(SocketAddrV4::new(address, other), count) {
            let note =
                format!("port {port} of {address} cannot be used ({asked}); listening on {} instead", bound.port());
            return Ok(Bound { sockets, address: bound, note });
        }
    }
    Err(asked)
}

fn open_at(address: SocketAddrV4, count: usize) -> io::Result<(Vec<TcpListener>, SocketAddrV4)> {
    // Sharing a port is for our own threads: a socket that does not share
    // finds out whether somebody else is there, who may share too.
    let probe = bound(address, false)?;
    let std::net::SocketAddr::V4(address) = probe.local_addr()? else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    drop(probe);
    let sockets: io::Result<Vec<_>> = (0..count)
        .map(|_| {
            let socket = bound(address, true)?;
            listen(&socket, BACKLOG)?;
            Ok(socket)
        })
        .collect();
    Ok((sockets?, address))
}

fn bound(address: SocketAddrV4, shared: bool) -> io::Result<TcpListener> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(TcpListener::from(socket))
}
