//! Connections from the daemon into VPCs: sockets that were made inside the
//! right network. They are usable by any thread.

use crate::host::Inner;
use crate::{router, sys};
use elastane_domain::id::VpcId;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Weak;

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
        match host.router(vpc) {
            Some(router) => {
                let socket = router.tcp_socket()?;
                if let Some(source) = source {
                    sys::bind_address_no_port(socket.as_fd())?;
                    rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
                }
                Ok(socket)
            }
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Where to connect to for a private address: the address itself in a
    /// sandbox, the instance's loopback address in the process make. An
    /// unknown address is returned unchanged.
    pub fn reach(&self, vpc: &VpcId, private_ip: Ipv4Addr) -> Ipv4Addr {
        let Some(host) = self.host.upgrade().filter(|host| !host.make.is_sandbox()) else { return private_ip };
        host.addresses.reach(vpc, private_ip)
    }
}
