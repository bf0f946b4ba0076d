//! Service time on a real machine: wall time, or wall time run faster.
//!
//! The relation between the two is kept in the data directory, so that
//! service time goes on over restarts and never runs back.

use crate::data_dir::{DataDir, Problem};
use elastane_domain::time::{Span, Time};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Faster than this, one wake-up of the engine would span minutes of service time.
pub const SCALE_MAX: f64 = 600.0;

/// Service time at one moment of wall time, and how fast it runs from there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    wall_ms: i64,
    service_ms: i64,
    scale: f64,
}

impl Clock {
    /// The clock of a data directory, running at `scale` from now on.
    pub fn open(data: &DataDir, scale: f64) -> Result<Clock, Problem> {
        let wall_ms = wall_ms();
        let service_ms = match data.read_json::<Clock>("clock.json")? {
            Some(old) => old.at(wall_ms).millis().max(old.service_ms),
            None => wall_ms,
        };
        let clock = Clock { wall_ms, service_ms, scale };
        data.write_json("clock.json", &clock)?;
        Ok(clock)
    }

    /// Service time now.
    pub fn now(&self) -> Time {
        self.at(wall_ms())
    }

    /// The wall time that a span of service time takes; zero for a negative one.
    pub fn wall(&self, span: Span) -> Duration {
        Duration::from_secs_f64((span.millis().max(0) as f64 / 1000.0) / self.scale)
    }

    /// How many times faster than wall time it runs.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The same relation, for the data plane's process.
    pub fn settings(&self) -> elastane_proxy::remote::ClockSettings {
        elastane_proxy::remote::ClockSettings { wall_ms: self.wall_ms, service_ms: self.service_ms, scale: self.scale }
    }

    fn at(&self, wall_ms: i64) -> Time {
        Time(self.service_ms + ((wall_ms - self.wall_ms) as f64 * self.scale) as i64)
    }
}

/// Wall time in milliseconds since the Unix epoch; 0 on a machine whose clock
/// is before it.
pub fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute of service time takes a second at scale 60, and the clock says so.
    #[test]
    fn scaled_time() {
        let clock = Clock { wall_ms: 1_000, service_ms: 500_000, scale: 60.0 };
        assert_eq!(clock.at(2_000), Time(560_000));
        assert_eq!(clock.wall(Span::from_mins(1)), Duration::from_secs(1));
        assert_eq!(clock.wall(Span::from_secs(-1)), Duration::ZERO);
    }
}
