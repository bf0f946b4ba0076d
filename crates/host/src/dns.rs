//! The VPC's resolver: names of instances (`ip-a-b-c-d`, with any of EC2's
//! suffixes) to addresses, everything else refused at once, so that nothing
//! in an instance waits for a name server that is not there.

use std::net::Ipv4Addr;

/// Longest query or answer over UDP without extensions.
const MESSAGE_BYTES_MAX: usize = 512;
/// Seconds that an answer may be kept.
const ANSWER_SECONDS: u32 = 60;
const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const REFUSED: u8 = 5;
const NO_SUCH_NAME: u8 = 3;

/// Answers one query; `known` says whether an instance has the address.
/// Nothing for what is not a query with one question.
pub fn answer(query: &[u8], known: impl Fn(Ipv4Addr) -> bool) -> Option<Vec<u8>> {
    let is_query = query.len() > HEADER && query.len() <= MESSAGE_BYTES_MAX && query[2] & 0xf8 == 0;
    if !is_query || query[4..6] != [0, 1] {
        return None;
    }
    let (name, end) = question_name(query)?;
    let tail = query.get(end..end + 4)?;
    let (kind, class) = (u16::from_be_bytes([tail[0], tail[1]]), u16::from_be_bytes([tail[2], tail[3]]));
    let address = instance_address(&name);
    let (code, found) = match address {
        Some(address) if known(address) => (0, (kind == TYPE_A && class == CLASS_IN).then_some(address)),
        Some(_) => (NO_SUCH_NAME, None),
        // No authority over other names; a single label is ours to deny.
        None if !name.contains('.') => (NO_SUCH_NAME, None),
        None => (REFUSED, None),
    };
    let mut reply = query[..end + 4].to_vec();
    reply[2] = 0x84 | query[2] & 1;
    reply[3] = code;
    reply[6..12].copy_from_slice(&[0, u8::from(found.is_some()), 0, 0, 0, 0]);
    if let Some(address) = found {
        reply.extend_from_slice(&[0xc0, HEADER as u8]);
        reply.extend_from_slice(&TYPE_A.to_be_bytes());
        reply.extend_from_slice(&CLASS_IN.to_be_bytes());
        reply.extend_from_slice(&ANSWER_SECONDS.to_be_bytes());
        reply.extend_from_slice(&[0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    Some(reply)
}

fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => return Some((labels.join(".").to_ascii_lowercase(), at)),
            1..=63 => labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned()),
            _ => return None,
        }
        at += length;
    }
}

/// The address that an instance's name tells: `ip-10-0-1-2`, alone or in
/// `ec2.internal` or `<region>.compute.internal`.
fn instance_address(name: &str) -> Option<Ipv4Addr> {
    let (host, domain) = name.split_once('.').unwrap_or((name, ""));
    if !(domain.is_empty() || domain == "ec2.internal" || domain.ends_with(".compute.internal")) {
        return None;
    }
    host.strip_prefix("ip-")?.replace('-', ".").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    /// Known instances are answered, others denied, the world refused.
    #[test]
    fn answers() {
        let known = |address| address == Ipv4Addr::new(10, 0, 1, 2);
        for (name, kind, code, answers) in [
            ("ip-10-0-1-2", 1, 0, 1),
            ("IP-10-0-1-2.ec2.internal", 1, 0, 1),
            ("ip-10-0-1-2.eu-west-1.compute.internal", 1, 0, 1),
            ("ip-10-0-1-2.ec2.internal", 28, 0, 0),
            ("ip-10-0-1-3.ec2.internal", 1, 3, 0),
            ("printer", 1, 3, 0),
            ("example.com", 1, 5, 0),
            ("ip-10-0-1-2.example.com", 1, 5, 0),
        ] {
            let reply = answer(&query(name, kind), known).unwrap();
            assert_eq!((reply[0], reply[1], reply[3], reply[7]), (0xab, 0xcd, code, answers), "{name}");
            assert!(answers == 0 || reply.ends_with(&[10, 0, 1, 2]), "{name}");
        }
    }

    /// Random bytes in and around a good query never break the parser, and
    /// every answer repeats the query's number. Seeded, so a failure repeats.
    #[test]
    fn random_messages() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let mut bytes = query("ip-10-0-1-2.ec2.internal", 1);
            for _ in 0..random() % 8 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(bytes.len() - random() as usize % bytes.len() / 2);
            if let Some(reply) = answer(&bytes, |_| true) {
                assert_eq!(reply[..2], bytes[..2]);
            }
        }
    }

    /// Broken messages get no answer and do no harm.
    #[test]
    fn broken_messages() {
        let good = query("ip-10-0-1-2", 1);
        for length in 0..good.len() {
            assert_eq!(answer(&good[..length], |_| true), None, "{length}");
        }
        let mut pointer = good.clone();
        pointer[12] = 0xc0;
        assert_eq!(answer(&pointer, |_| true), None);
        let mut response = good;
        response[2] |= 0x80;
        assert_eq!(answer(&response, |_| true), None);
    }
}
