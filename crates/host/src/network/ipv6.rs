//! IPv6 addresses for what listens on this machine: all below one prefix of
//! an installation, which a single local route makes this machine's own. No
//! interface has them, so a socket binds one with `IPV6_FREEBIND`.
//!
//! The route is the only trace. It is kept while somebody needs it, also
//! beyond the daemon, and is found again by its prefix, which follows from the
//! data directory: whoever cleans up after an installation removes it.

use super::netlink::Netlink;
use crate::host::checksum;
use crate::sys;
use std::io;
use std::net::{Ipv6Addr, UdpSocket};
use std::path::Path;

/// Bits of an installation's prefix.
const PREFIX_BITS: u8 = 64;
/// Its first half: a unique local range (RFC 4193). The second half tells
/// installations apart.
const RANGE: [u16; 2] = [0xfd65, 0x6c61];

/// What this machine has of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Nothing, and why.
    Missing(String),
    /// The loopback address alone, and why there are no others.
    Shared(String),
    /// Addresses below this prefix of 64 bits.
    Own(Ipv6Addr),
}

impl Ability {
    /// What it means for load balancers, for the log and `elastane doctor`.
    pub fn sentence(&self) -> String {
        match self {
            Ability::Missing(why) => format!("load balancers cannot be dualstack: this machine has no IPv6: {why}"),
            Ability::Shared(why) => {
                format!("dualstack load balancers share the address ::1 and have ports of their own there: {why}")
            }
            Ability::Own(prefix) => {
                format!("nodes of dualstack load balancers have addresses of their own in {prefix}/{PREFIX_BITS}")
            }
        }
    }
}

/// The prefix of the installation in a data directory.
fn prefix(data_dir: &Path) -> Ipv6Addr {
    let path = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let number = checksum(path.as_os_str().as_encoded_bytes());
    let [high, low] = [(number >> 16) as u16, number as u16];
    Ipv6Addr::new(RANGE[0], RANGE[1], high, low, 0, 0, 0, 0)
}

/// What there is of IPv6 for the installation in a data directory, found by
/// trying in the calling thread's network namespace. Nothing is left of it.
pub fn find(data_dir: &Path) -> Ability {
    if let Err(err) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        return Ability::Missing(format!("the address ::1 cannot be used: {err}"));
    }
    let prefix = prefix(data_dir);
    match add(prefix) {
        // It is an earlier daemon's, and somebody may be using it.
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ability::Own(prefix),
        Err(err) => Ability::Shared(format!("a local route to others cannot be made: {err}")),
        Ok(()) => match remove(prefix) {
            Ok(()) => Ability::Own(prefix),
            Err(err) => Ability::Shared(format!("a local route to others cannot be removed: {err}")),
        },
    }
}

/// Has the addresses below the installation's prefix lead to this machine, or
/// not any more. Doing it again changes nothing.
///
/// # Errors
/// The kernel's; `PermissionDenied` without the right to change routes, also
/// when there is nothing to remove.
pub fn keep(data_dir: &Path, wanted: bool) -> io::Result<()> {
    let prefix = prefix(data_dir);
    if !wanted {
        return remove(prefix);
    }
    match add(prefix) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn add(prefix: Ipv6Addr) -> io::Result<()> {
    Netlink::open()?.add_local_range(sys::interface_index("lo")?, prefix, PREFIX_BITS)
}

fn remove(prefix: Ipv6Addr) -> io::Result<()> {
    Netlink::open()?.remove_local_range(sys::interface_index("lo")?, prefix, PREFIX_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Installations differ, and an installation stays the same.
    #[test]
    fn prefixes() {
        let (first, second) = (prefix(Path::new("/srv/one")), prefix(Path::new("/srv/two")));
        assert!(first != second && first == prefix(Path::new("/srv/one")), "{first} {second}");
        assert!(first.is_unique_local() && first.to_bits() as u64 == 0, "{first}");
    }

    /// On a thread in a network of its own, so that nobody notices: the route
    /// makes any address below the prefix answer, and only while it is there.
    #[test]
    fn the_route_makes_addresses_local() {
        let alone = std::thread::spawn(|| {
            if sys::unshare(libc::CLONE_NEWNET).is_err() {
                eprintln!("skipped: no network namespaces here");
                return;
            }
            Netlink::open().and_then(|netlink| netlink.loopback_up()).expect("a loopback interface");
            let folder = Path::new("/srv/elastane-test-of-ipv6");
            if let Ability::Missing(why) = find(folder) {
                eprintln!("skipped: {why}");
                return;
            }
            assert_eq!(find(folder), Ability::Own(prefix(folder)), "found twice: nothing is left");
            let address = Ipv6Addr::from(prefix(folder).to_bits() | 0x7f40_0001);
            let reach = || {
                let socket =
                    rustix::net::socket(rustix::net::AddressFamily::INET6, rustix::net::SocketType::DGRAM, None)?;
                rustix::net::sockopt::set_ipv6_freebind(&socket, true)?;
                rustix::net::bind(&socket, &std::net::SocketAddr::from((address, 0)))?;
                let there = UdpSocket::from(socket);
                there.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
                UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?.send_to(b"hello", there.local_addr()?)?;
                there.recv(&mut [0; 8])
            };
            assert!(reach().is_err(), "there is no route yet");
            for _ in 0..2 {
                keep(folder, true).expect("made, and made again");
            }
            assert_eq!(reach().expect("the address is here"), 5);
            for _ in 0..2 {
                keep(folder, false).expect("removed, and removed again");
            }
            assert!(reach().is_err(), "the route is gone");
        });
        alone.join().expect("the thread reports");
    }
}
