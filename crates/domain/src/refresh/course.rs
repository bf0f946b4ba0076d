//! How a refresh goes on: one step at a time, from where it is and what is
//! seen of the group.
//!
//! Work is counted in units of capacity. A unit is done when what replaces it
//! is in service, healthy and warm; so one that turns unhealthy is work again.

use super::{Preferences, RefreshStatus};
use crate::time::{Span, Time};

/// Without progress for so long a refresh fails (autoscaling.md 11.3, 7).
pub const STUCK_MAX: Span = Span::from_mins(60);

/// A refresh that takes longer fails.
pub const REFRESH_MAX: Span = Span::from_mins(14 * 24 * 60);

/// Refreshes are shown for so long after they began.
pub const HISTORY: Span = Span::from_mins(6 * 7 * 24 * 60);

/// Where a refresh is.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Its status.
    pub status: RefreshStatus,
    /// When it began, or was asked for.
    pub started_at: Time,
    /// The units there were to replace at first.
    pub total: u32,
    /// The highest checkpoint that was announced.
    pub checkpoint: Option<u32>,
    /// The pause or the bake time lasts until then.
    pub paused_until: Option<Time>,
    /// When it last came on.
    pub moved_at: Time,
    /// The least units that were left at any time.
    pub least: u32,
    /// Once it goes back: how far it had come, in per cent, and the units to replace then.
    pub rollback: Option<(u32, u32)>,
    /// Whether a cancelled one waits for instances on their way.
    pub waits_for_transit: bool,
}

/// What is seen of the group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Units still to be replaced, those that must wait included.
    pub old: u32,
    /// Units that are wanted, and not there healthy, warm and of the wanted configuration.
    pub lacking: u32,
    /// Instances of the warm pool still to be replaced.
    pub pool: u32,
    /// A replacement is healthy and warms up.
    pub warming: bool,
    /// A replacement waits for its hooks, which have limits of their own.
    pub hooked: bool,
    /// Some member is being launched or terminated.
    pub in_transit: bool,
    /// Why nothing may be replaced now, for the reason of a failure.
    pub obstacle: Option<&'static str>,
    /// An alarm of the preferences in ALARM.
    pub alarm: Option<String>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing new: replace on.
    Stay,
    /// Begin.
    Begin,
    /// There is less to do than ever: the time without progress counts anew.
    Moved,
    /// More was to do again than at the checkpoint that was announced: it may
    /// be reached once more.
    Forget {
        /// The highest checkpoint that is still reached.
        reached: Option<u32>,
    },
    /// A checkpoint is reached: tell it, and pause.
    Checkpoint {
        /// The highest that is reached.
        percentage: u32,
        /// Zero at the last one.
        pause: Span,
    },
    /// The pause is over.
    Resume,
    /// All is replaced: bake.
    Bake,
    /// End well.
    Succeed,
    /// End badly.
    Fail {
        /// StatusReason.
        reason: String,
    },
    /// Go back to what was before.
    RollBack {
        /// RollbackReason.
        reason: String,
    },
    /// Cancelled.
    Cancelled,
    /// It went back.
    RolledBack,
    /// It could not go back.
    RollbackFailed {
        /// StatusReason.
        reason: String,
    },
}

impl Facts {
    /// The units that are not done.
    pub fn outstanding(&self) -> u32 {
        self.old.max(self.lacking)
    }
}

impl Course {
    /// PercentageComplete, rounded down. It decreases while a refresh goes back.
    pub fn percentage(&self, facts: &Facts) -> u32 {
        let left = facts.outstanding();
        if let Some((percentage, to_update)) = self.rollback {
            return share(percentage, left.min(to_update), to_update.max(1));
        }
        if left == 0 { 100 } else { share(100, self.total.saturating_sub(left), self.total.max(1)) }
    }

    /// How many units may still be begun: up to the next checkpoint, none
    /// while it pauses, bakes or ends.
    pub fn limit(&self, preferences: &Preferences, old: u32) -> u32 {
        match self.status {
            RefreshStatus::RollbackInProgress => return u32::MAX,
            RefreshStatus::InProgress if self.paused_until.is_none() => {}
            _ => return 0,
        }
        if preferences.checkpoints.is_empty() {
            return u32::MAX;
        }
        let next = preferences.checkpoints.iter().find(|percent| **percent > self.checkpoint.unwrap_or(0));
        let Some(next) = next else { return 0 };
        let upto = (u64::from(self.total) * u64::from(*next)).div_ceil(100) as u32;
        upto.saturating_sub(self.total.saturating_sub(old))
    }

    /// The next step; ask again until it is `Stay`. `reversible` says whether
    /// it can go back.
    pub fn next(&self, preferences: &Preferences, facts: &Facts, reversible: bool, now: Time) -> Step {
        match self.status {
            RefreshStatus::Pending => Step::Begin,
            RefreshStatus::InProgress => {
                self.broken(preferences, facts, reversible, now).unwrap_or_else(|| self.roll(preferences, facts, now))
            }
            RefreshStatus::Baking => match self.broken(preferences, facts, reversible, now) {
                Some(step) => step,
                None if self.paused_until.is_none_or(|until| now >= until) => Step::Succeed,
                None => Step::Stay,
            },
            RefreshStatus::Cancelling if self.waits_for_transit && facts.in_transit => Step::Stay,
            RefreshStatus::Cancelling => Step::Cancelled,
            RefreshStatus::RollbackInProgress => self.go_back(preferences, facts, now),
            RefreshStatus::Successful
            | RefreshStatus::Failed
            | RefreshStatus::Cancelled
            | RefreshStatus::RollbackSuccessful
            | RefreshStatus::RollbackFailed => Step::Stay,
        }
    }

    /// The next time after `now` at which time alone may change the next step.
    pub fn wake(&self, preferences: &Preferences, now: Time) -> Option<Time> {
        let stuck = self.moved_at + STUCK_MAX;
        let times =
            [self.paused_until, Some(stuck), Some(stuck + preferences.warmup), Some(self.started_at + REFRESH_MAX)];
        times.into_iter().flatten().filter(|time| *time > now).min()
    }

    fn broken(&self, preferences: &Preferences, facts: &Facts, reversible: bool, now: Time) -> Option<Step> {
        let reason = match &facts.alarm {
            Some(alarm) => format!("The CloudWatch alarm {alarm} is in the ALARM state."),
            None => self.overdue(preferences, facts, now)?,
        };
        let back = preferences.auto_rollback && reversible;
        Some(if back { Step::RollBack { reason } } else { Step::Fail { reason } })
    }

    /// Why it has taken too long, if it has.
    fn overdue(&self, preferences: &Preferences, facts: &Facts, now: Time) -> Option<String> {
        if now >= self.started_at + REFRESH_MAX {
            return Some("The instance refresh did not complete within 14 days.".to_string());
        }
        let still = facts.outstanding() == 0 && facts.pool == 0;
        if self.paused_until.is_some() || facts.hooked || still {
            return None;
        }
        let warming = if facts.warming { preferences.warmup } else { Span::ZERO };
        if now < self.moved_at + STUCK_MAX + warming {
            return None;
        }
        let why = facts.obstacle.unwrap_or("replacements did not become healthy");
        Some(format!("The instance refresh made no progress for an hour: {why}."))
    }

    fn roll(&self, preferences: &Preferences, facts: &Facts, now: Time) -> Step {
        if let Some(until) = self.paused_until {
            return if now < until { Step::Stay } else { Step::Resume };
        }
        let left = facts.outstanding();
        if left < self.least {
            return Step::Moved;
        }
        let done = self.percentage(facts);
        let last = preferences.checkpoints.last().copied().unwrap_or(100);
        let reached = preferences.checkpoints.iter().copied().filter(|percent| *percent <= done).max();
        if reached > self.checkpoint && self.total > 0 {
            let percentage = reached.expect("something is more than nothing");
            let pause = if percentage == last { Span::ZERO } else { preferences.checkpoint_delay };
            return Step::Checkpoint { percentage, pause };
        }
        if done >= last && (last < 100 || facts.pool == 0) {
            return if preferences.bake == Span::ZERO { Step::Succeed } else { Step::Bake };
        }
        if reached < self.checkpoint && left > self.least {
            return Step::Forget { reached };
        }
        Step::Stay
    }

    fn go_back(&self, preferences: &Preferences, facts: &Facts, now: Time) -> Step {
        if facts.outstanding() == 0 && facts.pool == 0 {
            return Step::RolledBack;
        }
        if facts.outstanding() < self.least {
            return Step::Moved;
        }
        match self.overdue(preferences, facts, now) {
            Some(reason) => Step::RollbackFailed { reason },
            None => Step::Stay,
        }
    }
}

/// `part` of `whole` of `percent`, rounded down.
fn share(percent: u32, part: u32, whole: u32) -> u32 {
    (u64::from(percent) * u64::from(part) / u64::from(whole)) as u32
}
