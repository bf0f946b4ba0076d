//! A session's connection to a port: of the instance itself, or of a host that
//! the instance reaches. It is made from inside the instance, so its network's
//! routes, rules and names decide. The metadata service is out of reach: its
//! answers are the instance's and not those of who forwards ports.

use crate::init::InitSpec;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How long one address may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// How long the other side may take to take the last bytes.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// A connection, open or not.
pub struct Port {
    /// Names or addresses, in the order in which they are tried.
    hosts: Vec<String>,
    port: u16,
    reopens: bool,
    socket: Option<TcpStream>,
}

impl Port {
    /// A connection to a host, or to the instance itself. One that never
    /// reopens must be had at once.
    pub fn new(spec: &InitSpec, host: Option<&str>, port: u16, reopens: bool) -> Result<Port, String> {
        let own = spec.address.to_string();
        let hosts = match host {
            Some("localhost" | "127.0.0.1") | None if spec.make.is_sandbox() => {
                vec![Ipv4Addr::LOCALHOST.to_string(), own]
            }
            // Loopback is the whole machine's there, as everything is.
            Some("localhost") | None => vec![own, Ipv4Addr::LOCALHOST.to_string()],
            Some(host) => vec![host.to_owned()],
        };
        let mut made = Port { hosts, port, reopens, socket: None };
        match made.open() {
            // A server that is not there yet is told when somebody speaks to it.
            Err(why) if !reopens => Err(format!("Connection to destination port failed: {why}")),
            Ok(()) | Err(_) => Ok(made),
        }
    }

    /// The connection, while it is open.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Makes the connection, unless it is there.
    pub fn open(&mut self) -> Result<(), String> {
        if self.socket.is_some() {
            return Ok(());
        }
        let mut why = "the host has no address".to_owned();
        for host in &self.hosts {
            let found = match (host.as_str(), self.port).to_socket_addrs() {
                Ok(found) => found,
                Err(err) => {
                    why = format!("{host} cannot be resolved: {err}");
                    continue;
                }
            };
            for address in found.take(ADDRESSES_MAX) {
                match connect(address) {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        return Ok(());
                    }
                    Err(text) => why = text,
                }
            }
        }
        Err(why)
    }

    /// Whether the session outlives the connection.
    pub fn reopens(&self) -> bool {
        self.reopens
    }

    /// Closes the connection from this side, after these last bytes.
    pub fn close_here(&mut self, last: &[u8]) {
        if let Some(mut socket) = self.socket.take() {
            // What the other side does not take in time is lost, as the connection is.
            let _ = socket.set_nonblocking(false);
            let _ = socket.set_write_timeout(Some(FLUSH_LIMIT));
            let _ = socket.write_all(last);
        }
    }

    /// The other side has closed it; whether the session goes on.
    pub fn closed_there(&mut self) -> bool {
        self.socket = None;
        self.reopens()
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    if !is_allowed(address.ip()) {
        return Err(format!("{} is out of reach for sessions", address.ip()));
    }
    let failed = |err: std::io::Error| format!("{address}: {err}");
    let socket = TcpStream::connect_timeout(&address, CONNECT_LIMIT).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    // Keystrokes must not wait for each other; without it they only do.
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

/// Link-local addresses are the metadata service's and its like.
fn is_allowed(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && address.segments()[..3] != [0xfd00, 0x0ec2, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metadata service is out of reach, under each of its addresses.
    #[test]
    fn metadata_is_out_of_reach() {
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("10.0.0.7", true),
            ("169.254.169.254", false),
            ("169.254.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("fd00:ec2::254", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_allowed(address.parse().unwrap()), allowed, "{address}");
        }
    }
}
