//! How often one access key may call: a token bucket each, so that a runaway
//! client, or an instance that is not ours to trust, cannot crowd out the
//! others (EC2 API Reference, "Request throttling").

use elastane_api::{Caller, Principal, access};
use elastane_wire::{ApiError, Service};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

/// Keys that are remembered; beyond, those with a full bucket are forgotten,
/// and a forgotten key begins with a full one.
const KEYS_MAX: usize = 10_000;

/// How often a kind of caller may call.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    /// Calls at once after a pause.
    burst: f64,
    /// Calls a second.
    a_second: f64,
}

/// Root, users and sessions of roles: far above what people and their tools
/// do, below what would keep a core busy for nobody's good.
const PEOPLE: Rate = Rate { burst: 20_000.0, a_second: 10_000.0 };

/// Instances: their agents poll, they do not load.
const INSTANCES: Rate = Rate { burst: 200.0, a_second: 50.0 };

/// The buckets of all keys.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<String, Bucket>>);

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Throttle {
    /// Counts a call of a caller.
    ///
    /// # Errors
    /// The service's own throttling error when its bucket is empty.
    pub fn check(&self, caller: &Caller, service: Service, now: Instant) -> Result<(), ApiError> {
        let rate = match &caller.principal {
            Principal::Role(session) if session.instance.is_some() => INSTANCES,
            Principal::Root | Principal::User(_) | Principal::Role(_) => PEOPLE,
        };
        let mut buckets = self.0.lock().expect("nothing panics while it is held");
        if buckets.len() >= KEYS_MAX && !buckets.contains_key(&caller.access_key) {
            buckets.retain(|_, bucket| bucket.tokens_at(now, PEOPLE) < INSTANCES.burst);
            if buckets.len() >= KEYS_MAX {
                return Err(access::throttled(service));
            }
        }
        let full = Bucket { tokens: rate.burst, at: now };
        let bucket = buckets.entry(caller.access_key.clone()).or_insert(full);
        bucket.tokens = bucket.tokens_at(now, rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(access::throttled(service));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

impl Bucket {
    fn tokens_at(&self, now: Instant, rate: Rate) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        rate.burst.min(self.tokens + passed * rate.a_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_api::RoleSession;
    use std::time::Duration;

    fn instance(key: &str) -> Caller {
        let session = RoleSession {
            role: "web".to_string(),
            name: "i-1".to_string(),
            policies: Vec::new(),
            tags: Default::default(),
            instance: Some("i-1".into()),
        };
        Caller { principal: Principal::Role(session), ..Caller::root(&"000000000000".into(), key) }
    }

    /// A burst, then the steady rate; one key's calls are not another's.
    #[test]
    fn buckets_fill_and_empty() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let passed = |caller: &Caller, at: Instant| {
            (0..1_000).filter(|_| throttle.check(caller, Service::Ec2, at).is_ok()).count()
        };
        assert_eq!(passed(&instance("a"), start), 200);
        assert_eq!(passed(&instance("b"), start), 200);
        assert_eq!(passed(&instance("a"), start + Duration::from_secs(2)), 100);
        assert_eq!(passed(&instance("a"), start + Duration::from_secs(600)), 200);
        let refused = throttle.check(&instance("a"), Service::Ec2, start).expect_err("empty");
        assert_eq!((refused.code.as_ref(), refused.status), ("RequestLimitExceeded", 503));
        assert_eq!(passed(&Caller::root(&"000000000000".into(), "c"), start), 1_000);
    }

    /// More keys than are remembered: those that rest are forgotten first.
    #[test]
    fn keys_are_bounded() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for number in 0..KEYS_MAX {
            throttle.check(&instance(&number.to_string()), Service::Ssm, start).expect("its first call");
        }
        let refused = throttle.check(&instance("one more"), Service::Ssm, start).expect_err("full");
        assert_eq!(refused.code, "ThrottlingException");
        let later = start + Duration::from_secs(10);
        throttle.check(&instance("one more"), Service::Ssm, later).expect("the others rest");
        assert!(throttle.0.lock().expect("held by nobody").len() < KEYS_MAX);
    }
}
