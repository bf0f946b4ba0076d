//! Which of several data planes serves which addresses of load balancers.
//!
//! AWS runs a node of a load balancer in each zone. Here a process serves the
//! addresses of the zones that are its own, and those only: what happens to
//! it happens to them. The rule depends on nothing but the zone's name, so an
//! address stays with its process whatever load balancers and zones come and go.

use elastane_domain::id::Zone;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Data planes that may share the work: more than any region has zones, so
/// that nobody is refused a process for each, and few enough to look after.
pub const PROCESSES_MAX: usize = 8;

/// One of several data planes. Written as `number/count`, such as `1/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    index: usize,
    count: usize,
}

impl Share {
    /// All there is.
    pub const WHOLE: Share = Share { index: 0, count: 1 };

    /// The one at `index`, from zero, of `count`; `None` when there is no such one.
    pub fn new(index: usize, count: usize) -> Option<Share> {
        (index < count && count <= PROCESSES_MAX).then_some(Share { index, count })
    }

    /// All of `count`, which is taken for 1 to [`PROCESSES_MAX`].
    pub fn all(count: usize) -> impl Iterator<Item = Share> {
        let count = count.clamp(1, PROCESSES_MAX);
        (0..count).map(move |index| Share { index, count })
    }

    /// Its place, from zero.
    pub fn index(self) -> usize {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether it serves the addresses of this zone: zones take turns by the
    /// letter that their names end with.
    pub fn serves(self, zone: &Zone) -> bool {
        let letter = zone.as_str().bytes().next_back().filter(u8::is_ascii_lowercase);
        let turn = letter.map_or(0, |letter| usize::from(letter - b'a'));
        turn % self.count == self.index
    }
}

impl Default for Share {
    fn default() -> Share {
        Share::WHOLE
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let parse = || {
            let (number, count) = text.split_once('/')?;
            Share::new(number.parse::<usize>().ok()?.checked_sub(1)?, count.parse().ok()?)
        };
        parse().ok_or_else(|| format!("must look like 1/2, with at most {PROCESSES_MAX} shares"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each zone has one process, zones that follow each other have different
    /// ones, and no other zone has a say in it.
    #[test]
    fn zones_take_turns() {
        let owners = |zone: &str, count| {
            let serving = Share::all(count).filter(|share| share.serves(&zone.into()));
            serving.map(|share| share.index).collect::<Vec<_>>()
        };
        for (zone, count, wanted) in [
            ("us-east-1a", 1, 0),
            ("us-east-1f", 1, 0),
            ("us-east-1a", 2, 0),
            ("us-east-1b", 2, 1),
            ("us-east-1c", 2, 0),
            ("us-east-1c", 3, 2),
            ("us-east-1d", 3, 0),
            ("eu-west-2b", 8, 1),
            ("us-west-2-lax-1b", 2, 1),
            // The stand-in of a load balancer without addresses.
            ("", 4, 0),
        ] {
            assert_eq!(owners(zone, count), [wanted], "{zone} of {count}");
        }
    }

    /// What is written is read again, and nothing else is.
    #[test]
    fn written_and_read() {
        for share in Share::all(PROCESSES_MAX) {
            assert_eq!(share.to_string().parse(), Ok(share));
        }
        for text in ["", "1", "0/2", "3/2", "1/0", "1/9", "1/2/3", "a/b"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
