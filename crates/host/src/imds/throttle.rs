//! How much one instance may ask of the service. EC2 throttles per instance
//! too, without a published number (ec2-imds.md 1).
//!
//! Time is an argument, in milliseconds of any steady clock.

use elastane_domain::id::InstanceId;
use std::collections::HashMap;

/// Requests a second in the long run. SDKs keep what they read, agents poll
/// every few seconds; the service shares one thread with all instances.
const REQUESTS_A_SECOND: u64 = 100;
/// Requests at once: several walks of a whole tree by different programs at boot.
const BURST: u64 = 500;
/// Instances remembered. Those whose burst is whole again are forgotten first.
const INSTANCES_MAX: usize = 10_000;

/// What is left of an instance's allowance, in thousandths of a request.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    at: u64,
}

impl Allowance {
    fn refilled(self, now: u64) -> Allowance {
        // A millisecond brings as many thousandths as a second brings requests.
        let gained = now.saturating_sub(self.at).saturating_mul(REQUESTS_A_SECOND);
        Allowance { left: self.left.saturating_add(gained).min(BURST * 1000), at: now.max(self.at) }
    }
}

/// The allowances of all instances.
#[derive(Debug, Default)]
pub struct Throttle {
    allowances: HashMap<InstanceId, Allowance>,
}

impl Throttle {
    /// Whether the instance may make a request now; it counts if so.
    pub fn admits(&mut self, instance: &InstanceId, now: u64) -> bool {
        if self.allowances.len() >= INSTANCES_MAX && !self.allowances.contains_key(instance) {
            self.allowances.retain(|_, allowance| allowance.refilled(now).left < BURST * 1000);
            if self.allowances.len() >= INSTANCES_MAX {
                return false;
            }
        }
        let full = Allowance { left: BURST * 1000, at: now };
        let known = self.allowances.entry(instance.clone()).or_insert(full);
        *known = known.refilled(now);
        let admitted = known.left >= 1000;
        if admitted {
            known.left -= 1000;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The burst, then the rate; another instance has its own; a pause brings
    /// the burst back and no more.
    #[test]
    fn burst_and_rate() {
        let mut throttle = Throttle::default();
        let (one, two) = (InstanceId::from("i-1"), InstanceId::from("i-2"));
        let mut admitted =
            |id: &InstanceId, now: u64, tries: u64| (0..tries).filter(|_| throttle.admits(id, now)).count() as u64;
        assert_eq!(admitted(&one, 5_000, BURST + 50), BURST);
        assert_eq!(admitted(&two, 5_000, 10), 10);
        assert_eq!(admitted(&one, 5_009, 5), 0);
        assert_eq!(admitted(&one, 5_010, 5), 1);
        assert_eq!(admitted(&one, 6_010, BURST), REQUESTS_A_SECOND);
        assert_eq!(admitted(&one, 4_000, 5), 0);
        assert_eq!(admitted(&one, 10_000_000, BURST * 2), BURST);
    }

    /// Instances that rest are forgotten when there are too many.
    #[test]
    fn bounded() {
        let mut throttle = Throttle::default();
        let id = |number: usize| InstanceId::from(format!("i-{number}"));
        assert!((0..INSTANCES_MAX).all(|number| throttle.admits(&id(number), 0)));
        assert!(!throttle.admits(&id(INSTANCES_MAX), 0));
        assert!(throttle.admits(&id(0), 0));
        assert!(throttle.admits(&id(INSTANCES_MAX), 1_000));
        assert!(throttle.allowances.len() < 10);
    }
}
