//! Which target a flow of a network load balancer goes to (alb.md 13).
//!
//! A flow is a number made of its protocol, its two ends and a seed (the
//! initial sequence number of TCP, as far as anybody can see it); so is a
//! target. Each target's claim on a flow is a hash of both, and the strongest
//! claim wins: all threads and all processes agree without a table, and a
//! target that comes or goes moves only the flows that it wins or had.

use std::net::{Ipv4Addr, SocketAddrV4};

/// What tells flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// IANA's number of the protocol: 6 or 17.
    pub protocol: u8,
    /// The client.
    pub source: SocketAddrV4,
    /// What the client connected to.
    pub destination: SocketAddrV4,
    /// The TCP sequence number's stand-in; 0 for UDP.
    pub seed: u64,
}

impl FlowKey {
    /// The flow's number.
    pub fn number(&self) -> u64 {
        let ends = end_number(self.source).rotate_left(17) ^ end_number(self.destination);
        mixed(mixed(ends ^ u64::from(self.protocol) << 56) ^ self.seed)
    }
}

/// The number of all flows of a client, for `source_ip` stickiness.
pub fn client_number(source: Ipv4Addr) -> u64 {
    mixed(u64::from(u32::from(source)))
}

/// The number of a target.
pub fn target_number(address: SocketAddrV4) -> u64 {
    mixed(end_number(address) ^ 0x7461_7267_6574)
}

/// The index of the target that a flow goes to, among the numbers of the
/// candidates in any order; `None` if there are none.
pub fn choose(flow: u64, targets: impl IntoIterator<Item = u64>) -> Option<usize> {
    let claims = targets.into_iter().map(|target| mixed(flow ^ target)).enumerate();
    claims.max_by_key(|&(_, claim)| claim).map(|(index, _)| index)
}

fn end_number(end: SocketAddrV4) -> u64 {
    mixed(u64::from(u32::from(*end.ip())) << 16 | u64::from(end.port()))
}

/// Spreads a number's differences over all bits: every step is reversible, so
/// different numbers stay different.
fn mixed(number: u64) -> u64 {
    let folded = (number ^ (number >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let folded = (folded ^ (folded >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    folded ^ (folded >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(port: u16, seed: u64) -> FlowKey {
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 7), port);
        FlowKey { protocol: 6, source, destination: "10.0.1.1:80".parse().unwrap(), seed }
    }

    fn targets(count: u8) -> Vec<u64> {
        let address = |last| SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, last), 8000);
        (0..count).map(|last| target_number(address(last))).collect()
    }

    /// Every part of a flow counts, and nothing else.
    #[test]
    fn alb_13_flow_hash() {
        let base = flow(1, 1);
        let changes = [
            FlowKey { protocol: 17, ..base },
            FlowKey { source: "10.0.0.8:1".parse().unwrap(), ..base },
            FlowKey { source: "10.0.0.7:2".parse().unwrap(), ..base },
            FlowKey { destination: "10.0.1.2:80".parse().unwrap(), ..base },
            FlowKey { destination: "10.0.1.1:81".parse().unwrap(), ..base },
            FlowKey { seed: 2, ..base },
        ];
        for change in changes {
            assert_ne!(change.number(), base.number(), "{change:?}");
        }
        assert_eq!(flow(1, 1).number(), base.number());
        assert_eq!(choose(base.number(), []), None);
    }

    /// Targets get equal shares: 10,000 flows to ten differ by less than a tenth and a half.
    #[test]
    fn alb_13_flows_spread() {
        let targets = targets(10);
        let mut hits = [0; 10];
        for seed in 0..10_000 {
            hits[choose(flow((seed % 60_000) as u16, seed).number(), targets.iter().copied()).unwrap()] += 1;
        }
        assert!(hits.iter().all(|&hits| (850..1150).contains(&hits)), "{hits:?}");
    }

    /// A target that goes moves its own flows only; one that comes takes its share only.
    #[test]
    fn alb_13_few_flows_move() {
        let (before, after) = (targets(10), targets(9));
        for port in 0..2000 {
            let number = flow(port, 0).number();
            let (was, is) = (choose(number, before.clone()).unwrap(), choose(number, after.clone()).unwrap());
            assert!(was == is || was == 9, "port {port}: {was} {is}");
        }
    }

    /// The order of the candidates does not matter.
    #[test]
    fn alb_13_order_of_targets() {
        let forward = targets(7);
        let backward: Vec<u64> = forward.iter().rev().copied().collect();
        for port in 0..500 {
            let number = flow(port, 0).number();
            let here = choose(number, forward.clone()).unwrap();
            assert_eq!(choose(number, backward.clone()).unwrap(), 6 - here);
        }
    }
}
