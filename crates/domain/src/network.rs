//! IPv4 ranges: what VPCs and subnets are made of.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// How many addresses at the start of a subnet AWS keeps: the network, the
/// router, DNS and one for later. A fifth, the last, is the broadcast address.
pub const RESERVED_AT_START: u64 = 4;

/// An IPv4 range in CIDR form. The address has no bits below the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    first: u32,
    prefix: u8,
}

/// A text that is not an IPv4 range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CidrError {
    /// Not `a.b.c.d/n` with `n` from 0 to 32.
    Malformed(String),
    /// Bits below the prefix are set; AWS refuses these for subnets.
    HostBits {
        /// The range that was meant.
        canonical: Cidr,
    },
}

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CidrError::Malformed(text) => write!(f, "{text} is not a valid CIDR block"),
            CidrError::HostBits { canonical } => {
                write!(f, "the CIDR block has bits beyond its prefix; the range is {canonical}")
            }
        }
    }
}

impl std::error::Error for CidrError {}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let malformed = || CidrError::Malformed(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let digits = !prefix.is_empty() && prefix.len() <= 2 && prefix.bytes().all(|b| b.is_ascii_digit());
        let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        let prefix: u8 = if digits {
            prefix.parse().map_err(|_| malformed())?
        } else {
            return Err(malformed());
        };
        if prefix > 32 {
            return Err(malformed());
        }
        let canonical = Cidr::covering(address, prefix);
        if canonical.first == u32::from(address) { Ok(canonical) } else { Err(CidrError::HostBits { canonical }) }
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Cidr {
    /// The range of `prefix` bits that holds `address`; a prefix above 32 is taken as 32.
    pub fn covering(address: Ipv4Addr, prefix: u8) -> Cidr {
        let prefix = prefix.min(32);
        Cidr { first: u32::from(address) & mask(prefix), prefix }
    }

    /// The first address: the network's own.
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first)
    }

    /// The last address.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first | !mask(self.prefix))
    }

    /// The prefix length, 0 to 32.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The number of addresses.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    /// Whether `address` is in the range.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.first
    }

    /// Whether all of `inner` is in the range.
    pub fn covers(self, inner: Cidr) -> bool {
        self.prefix <= inner.prefix && self.contains(inner.network())
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(self, other: Cidr) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The address `index` places after the first.
    pub fn nth(self, index: u64) -> Option<Ipv4Addr> {
        (index < self.size()).then(|| Ipv4Addr::from(self.first + index as u32))
    }

    /// The `index`th subrange of `prefix` bits.
    pub fn subnet(self, prefix: u8, index: u64) -> Option<Cidr> {
        if prefix < self.prefix || prefix > 32 {
            return None;
        }
        let size = 1_u64 << (32 - u32::from(prefix));
        let address = self.nth(index.checked_mul(size)?)?;
        Some(Cidr::covering(address, prefix))
    }

    /// Whether AWS keeps `address` of this subnet for itself.
    pub fn reserves(self, address: Ipv4Addr) -> bool {
        let index = u64::from(u32::from(address).wrapping_sub(self.first));
        self.contains(address) && (index < RESERVED_AT_START || index + 1 == self.size())
    }

    /// How many addresses of this subnet instances can have:
    /// `AvailableIpAddressCount` of an empty one.
    pub fn usable(self) -> u64 {
        self.size().saturating_sub(RESERVED_AT_START + 1)
    }

    /// The lowest address that is neither reserved nor taken.
    pub fn next_free(self, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        self.next_free_after(None, taken)
    }

    /// The first address after `after` (from the start again behind the
    /// end) that is neither reserved nor taken. Walking on keeps addresses
    /// of the recently terminated out of use for as long as possible.
    pub fn next_free_after(self, after: Option<Ipv4Addr>, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let low = u64::from(self.first) + RESERVED_AT_START;
        let high = u64::from(self.first) + RESERVED_AT_START + self.usable();
        let start = after.map_or(low, |after| (u64::from(u32::from(after)) + 1).clamp(low, high.max(low)));
        first_gap(start, high, taken).or_else(|| first_gap(low, start, taken))
    }
}

/// The first address in `low..high` that is not taken. Steps through the
/// taken addresses, never through more.
fn first_gap(low: u64, high: u64, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let address = |index: u64| u32::try_from(index).ok().map(Ipv4Addr::from);
    if low >= high {
        return None;
    }
    let mut candidate = low;
    for used in taken.range(address(low)?..=address(high - 1)?) {
        if u64::from(u32::from(*used)) != candidate {
            break;
        }
        candidate += 1;
    }
    if candidate < high { address(candidate) } else { None }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a range")
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
    }

    /// What is a range, and what is said of what is none.
    #[test]
    fn ranges_are_read() {
        for text in ["10.0.0.0/16", "0.0.0.0/0", "1.2.3.4/32", "172.31.16.0/20"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        for text in
            ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/008", "a/8", "::/0"]
        {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Malformed(text.to_owned())), "{text}");
        }
        assert_eq!("10.0.0.1/16".parse::<Cidr>(), Err(CidrError::HostBits { canonical: cidr("10.0.0.0/16") }));
    }

    /// Containment, overlap and position.
    #[test]
    fn ranges_are_compared() {
        let vpc = cidr("172.31.0.0/16");
        assert!(vpc.contains(ip("172.31.255.255")) && !vpc.contains(ip("172.32.0.0")));
        for (other, covers, overlaps) in [
            ("172.31.16.0/20", true, true),
            ("172.31.0.0/16", true, true),
            ("172.16.0.0/12", false, true),
            ("172.32.0.0/16", false, false),
            ("0.0.0.0/0", false, true),
        ] {
            assert_eq!((vpc.covers(cidr(other)), vpc.overlaps(cidr(other))), (covers, overlaps), "{other}");
        }
        assert_eq!(vpc.nth(65_535), Some(ip("172.31.255.255")));
        assert_eq!(vpc.nth(65_536), None);
        assert_eq!(vpc.subnet(20, 1), Some(cidr("172.31.16.0/20")));
        assert_eq!(vpc.subnet(20, 16), None);
        assert_eq!(vpc.subnet(8, 0), None);
        assert_eq!(cidr("0.0.0.0/0").size(), 1 << 32);
        assert_eq!(cidr("0.0.0.0/0").last(), ip("255.255.255.255"));
    }

    /// AWS keeps the first four addresses and the last of every subnet.
    #[test]
    fn five_addresses_are_reserved() {
        let subnet = cidr("10.0.0.0/28");
        let free: Vec<u8> =
            (0..16).filter(|n| !subnet.reserves(subnet.nth(*n).expect("inside"))).map(|n| n as u8).collect();
        assert_eq!(free, (4..15).collect::<Vec<u8>>());
        assert_eq!(subnet.usable(), 11);
        assert_eq!(cidr("10.0.0.0/20").usable(), 4091);
        assert!(!subnet.reserves(ip("10.0.1.0")));
        assert_eq!(cidr("10.0.0.0/30").usable(), 0);
    }

    /// Addresses are given out in order, gaps are found, and a full subnet gives none.
    #[test]
    fn free_addresses_are_found() {
        let subnet = cidr("10.0.0.0/28");
        let mut taken = BTreeSet::new();
        for n in 4..15 {
            let next = subnet.next_free(&taken).expect("free");
            assert_eq!(next, Ipv4Addr::new(10, 0, 0, n));
            taken.insert(next);
        }
        assert_eq!(subnet.next_free(&taken), None);
        assert_eq!(subnet.next_free_after(Some(ip("10.0.0.9")), &taken), None);
        taken.remove(&ip("10.0.0.7"));
        assert_eq!(subnet.next_free(&taken), Some(ip("10.0.0.7")));
        assert_eq!(subnet.next_free_after(Some(ip("10.0.0.9")), &taken), Some(ip("10.0.0.7")));
        taken.clear();
        for (after, next) in [("10.0.0.9", 10), ("10.0.0.14", 4), ("10.0.0.15", 4), ("10.0.0.1", 4), ("9.0.0.0", 4)] {
            assert_eq!(subnet.next_free_after(Some(ip(after)), &taken), Some(Ipv4Addr::new(10, 0, 0, next)));
        }
        for tiny in ["10.0.0.0/29", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32"] {
            assert_eq!(cidr(tiny).next_free(&taken).is_some(), tiny.ends_with("29"), "{tiny}");
        }
        assert_eq!(cidr("255.255.255.0/24").next_free(&taken), Some(ip("255.255.255.4")));
    }
}
