//! The health of one target, from the results of its checks (alb.md 5.2).
//!
//! Owns the counting and nothing else: who probes, how often and what a
//! probe says is the business of the caller. Draining and unused targets are
//! not a matter of health and have no state here.

use crate::routing::{TargetHealth, UnhealthyReason};

/// How one check ended: success, or the reason of the failure.
pub type CheckResult = Result<(), UnhealthyReason>;

/// Checks in a row that change a target's state (`HealthyThresholdCount` and
/// `UnhealthyThresholdCount`, 2 to 10 each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes that make an unhealthy target healthy.
    pub healthy: u32,
    /// Failures that make an initial or a healthy target unhealthy.
    pub unhealthy: u32,
}

/// The state machine of one target's health.
///
/// Invariant: `run` counts the latest results that speak against `health`,
/// all in a row, and is smaller than the threshold that would end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetHealthState {
    health: TargetHealth,
    run: u32,
}

impl Default for TargetHealthState {
    fn default() -> Self {
        TargetHealthState::new()
    }
}

impl TargetHealthState {
    /// A target that was just registered, or registered again (rules 1 and 6).
    pub const fn new() -> Self {
        TargetHealthState { health: TargetHealth::Initial, run: 0 }
    }

    /// A target whose health somebody else found out: it needs as many checks
    /// to change as if they had been its own.
    pub const fn known(health: TargetHealth) -> Self {
        TargetHealthState { health, run: 0 }
    }

    /// What the target is now.
    pub const fn health(&self) -> TargetHealth {
        self.health
    }

    /// Takes one result into account. Returns the new health when the state
    /// or the reason for being unhealthy changed, else `None`.
    pub fn observe(&mut self, result: CheckResult, thresholds: Thresholds) -> Option<TargetHealth> {
        let before = self.health;
        match (self.health, result) {
            // One success is enough, whatever the threshold says (rule 1).
            (TargetHealth::Initial, Ok(())) => self.enter(TargetHealth::Healthy),
            (TargetHealth::Healthy, Ok(())) => self.run = 0,
            (TargetHealth::Initial | TargetHealth::Healthy, Err(reason)) => {
                self.run += 1;
                if self.run >= thresholds.unhealthy {
                    self.enter(TargetHealth::Unhealthy(reason));
                }
            }
            (TargetHealth::Unhealthy(_), Ok(())) => {
                self.run += 1;
                if self.run >= thresholds.healthy {
                    self.enter(TargetHealth::Healthy);
                }
            }
            // A failure for another reason keeps the state and says why it fails now.
            (TargetHealth::Unhealthy(_), Err(reason)) => self.enter(TargetHealth::Unhealthy(reason)),
        }
        (self.health != before).then_some(self.health)
    }

    fn enter(&mut self, health: TargetHealth) {
        self.health = health;
        self.run = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISMATCH: UnhealthyReason = UnhealthyReason::ResponseCodeMismatch(500);

    /// Feeds `+` (success), `-` (wrong code) and `t` (timeout); returns one
    /// letter a check: i(nitial), h(ealthy), u(nhealthy).
    fn states(checks: &str, thresholds: Thresholds) -> String {
        let mut state = TargetHealthState::new();
        checks
            .chars()
            .map(|check| {
                let result = match check {
                    '+' => Ok(()),
                    '-' => Err(MISMATCH),
                    _ => Err(UnhealthyReason::Timeout),
                };
                let before = state.health();
                let changed = state.observe(result, thresholds);
                assert_eq!(changed.is_some(), before != state.health());
                match state.health() {
                    TargetHealth::Initial => 'i',
                    TargetHealth::Healthy => 'h',
                    TargetHealth::Unhealthy(_) => 'u',
                }
            })
            .collect()
    }

    /// The transitions of alb.md 5.2, rule by rule.
    #[test]
    fn alb_5_2_transitions() {
        for (rule, healthy, unhealthy, checks, want) in [
            ("1: one success makes initial healthy", 5, 2, "+", "h"),
            ("1: also after a failure", 5, 3, "--+", "iih"),
            ("2: initial needs all failures", 5, 3, "---", "iiu"),
            ("3: failures in a row", 5, 2, "+--", "hhu"),
            ("3: a success starts the count anew", 5, 2, "+-+--", "hhhhu"),
            ("4: successes in a row", 3, 2, "--+++", "iuuuh"),
            ("4: a failure starts the count anew", 3, 2, "--++-+++", "iuuuuuuh"),
            ("4: so does one for another reason", 2, 2, "--+t++", "iuuuuh"),
        ] {
            let thresholds = Thresholds { healthy, unhealthy };
            assert_eq!(states(checks, thresholds), want, "{rule}");
        }
    }

    /// A new reason for being unhealthy is reported, the same one is not.
    #[test]
    fn alb_5_2_reason_follows_the_latest_failure() {
        let thresholds = Thresholds { healthy: 2, unhealthy: 2 };
        let mut state = TargetHealthState::new();
        state.observe(Err(MISMATCH), thresholds);
        assert_eq!(state.observe(Err(MISMATCH), thresholds), Some(TargetHealth::Unhealthy(MISMATCH)));
        assert_eq!(state.observe(Err(MISMATCH), thresholds), None);
        assert_eq!(
            state.observe(Err(UnhealthyReason::Timeout), thresholds),
            Some(TargetHealth::Unhealthy(UnhealthyReason::Timeout))
        );
    }
}
