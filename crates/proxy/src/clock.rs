//! The clock that intervals and delays follow.

use elastane_domain::time::Time;

/// Gives service time, which may run faster than the wall clock or stand
/// still. Limits that guard sockets do not follow it.
pub trait Clock: Send + Sync {
    /// Now. Called often and from several threads.
    fn now(&self) -> Time;

    /// Now in microseconds since the epoch, for logs.
    fn now_micros(&self) -> i64 {
        self.now().millis() * 1000
    }
}

/// Service time that is wall time.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    fn now_micros(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
