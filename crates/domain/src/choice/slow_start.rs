//! Slow start (alb.md 3.3): a target that just became healthy gets a share
//! that grows in a straight line from nothing to full.

use crate::time::{Span, Time};

/// A target's slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowStart {
    /// When it became healthy.
    pub since: Time,
    /// `slow_start.duration_seconds`.
    pub duration: Span,
}

impl SlowStart {
    /// Whether it is over.
    pub fn is_over(&self, now: Time) -> bool {
        now >= self.since + self.duration
    }
}

/// Whether a target that becomes healthy now starts slowly: slow start is on,
/// and another healthy target of its group is not in it, so that somebody can
/// take what it is spared.
pub fn enters_slow_start(duration: Span, others_at_full_share: bool) -> bool {
    duration > Span::ZERO && others_at_full_share
}

/// The share of a target in slow start, in 65,536ths of a full one.
pub fn slow_share(start: SlowStart, now: Time) -> u32 {
    const FULL: i64 = 1 << 16;
    if start.is_over(now) {
        return FULL as u32;
    }
    let elapsed = (now - start.since).millis().max(0);
    // Below the duration, so below a full share.
    u32::try_from(elapsed * FULL / start.duration.millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share grows linearly and stays full.
    #[test]
    fn alb_3_3_share_grows_linearly() {
        let start = SlowStart { since: Time(1_000), duration: Span::from_secs(100) };
        for (now, share) in [
            (0, 0),
            (1_000, 0),
            (26_000, 16_384),
            (51_000, 32_768),
            (100_999, 65_535),
            (101_000, 65_536),
            (500_000, 65_536),
        ] {
            assert_eq!(slow_share(start, Time(now)), share, "{now}");
        }
    }

    /// Only with a duration, and only if somebody else takes full shares.
    #[test]
    fn alb_3_3_who_starts_slowly() {
        assert!(enters_slow_start(Span::from_secs(30), true));
        assert!(!enters_slow_start(Span::from_secs(30), false));
        assert!(!enters_slow_start(Span::ZERO, true));
    }
}
