//! The PROXY protocol's binary header, version 2 (its specification, section
//! 2.2), which tells targets who the client is.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// The first twelve bytes of every header.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, the command `PROXY`: the connection of a client.
const PROXY: u8 = 0x21;
/// Lengths of the addresses and ports that follow.
const V4_BYTES: u16 = 12;
const V6_BYTES: u16 = 36;

/// Version 2, the command `LOCAL`: a connection of the load balancer's own,
/// such as a health check.
pub(crate) const LOCAL_HEADER: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// What a connection carries, as the header's low half-byte says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// TCP.
    Stream = 1,
    /// UDP.
    Datagrams = 2,
}

/// Appends the header of a client's connection. Ends of different families
/// are both written as IPv6.
pub(crate) fn write(source: SocketAddr, destination: SocketAddr, carries: Carries, out: &mut Vec<u8>) {
    out.extend_from_slice(&SIGNATURE);
    out.push(PROXY);
    match (source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            out.push(0x10 | carries as u8);
            out.extend_from_slice(&V4_BYTES.to_be_bytes());
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
        }
        (source, destination) => {
            out.push(0x20 | carries as u8);
            out.extend_from_slice(&V6_BYTES.to_be_bytes());
            out.extend_from_slice(&as_v6(source).ip().octets());
            out.extend_from_slice(&as_v6(destination).ip().octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

fn as_v6(address: SocketAddr) -> SocketAddrV6 {
    let mapped = |address: SocketAddrV4| SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0);
    match address {
        SocketAddr::V4(address) => mapped(address),
        SocketAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers byte by byte, as the specification lays them out.
    #[test]
    fn alb_13_proxy_protocol_v2() {
        let signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
        let v6 = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        for (source, destination, carries, want) in [
            (
                "192.0.2.7:4660",
                "10.0.0.1:443",
                Carries::Stream,
                [&[0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb][..]].concat(),
            ),
            (
                "192.0.2.7:1",
                "10.0.0.1:53",
                Carries::Datagrams,
                [&[0x21, 0x12, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 0, 1, 0, 53][..]].concat(),
            ),
            (
                "[2001:db8::1]:4660",
                "[2001:db8::2]:80",
                Carries::Stream,
                [&[0x21, 0x21, 0, 36][..], &v6(1), &v6(2), &[0x12, 0x34, 0, 80]].concat(),
            ),
            (
                "[2001:db8::1]:1",
                "[2001:db8::2]:2",
                Carries::Datagrams,
                [&[0x21, 0x22, 0, 36][..], &v6(1), &v6(2), &[0, 1, 0, 2]].concat(),
            ),
        ] {
            let mut out = Vec::new();
            write(source.parse().unwrap(), destination.parse().unwrap(), carries, &mut out);
            assert_eq!(out, [&signature[..], &want].concat(), "{source}");
        }
        assert_eq!(LOCAL_HEADER, [&signature[..], &[0x20, 0, 0, 0]].concat()[..]);
    }
}
