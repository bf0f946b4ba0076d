//! Scheduled actions: when they run, and what they make of a group's sizes
//! (EC2 Auto Scaling User Guide, "Scheduled scaling").

mod cron;

pub use cron::{Cron, CronError};

use crate::capacity::Bounds;
use crate::time::{Span, Time};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

/// A recurrence that has no time in so many days has none at all: the leap
/// day of a weekday comes every 28 years, and once in 40 about 2100.
const DAYS_MAX: u32 = 41 * 366;

/// Occurrences that are stepped over when a schedule was not looked at for
/// long: a minute's schedule over a week.
const MISSED_MAX: usize = 10_080;

/// The sizes that an action sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// MinSize.
    pub min: Option<u32>,
    /// MaxSize.
    pub max: Option<u32>,
    /// DesiredCapacity.
    pub desired: Option<u32>,
}

impl Sizes {
    /// A group's bounds and desired capacity after the action: minimum and
    /// maximum first, then the desired capacity, pulled into them. A minimum
    /// above a maximum that the action leaves alone lifts it, and a maximum
    /// below the minimum lowers that.
    pub fn apply(self, bounds: Bounds, desired: u32) -> (Bounds, u32) {
        let (mut min, mut max) = (self.min.unwrap_or(bounds.min), self.max.unwrap_or(bounds.max));
        if min > max {
            match (self.min, self.max) {
                (Some(_), None) => max = min,
                (_, _) => min = max,
            }
        }
        let bounds = Bounds { min, max };
        (bounds, bounds.clamp(self.desired.unwrap_or(desired)))
    }
}

/// A time zone that there is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownZone(pub String);

impl std::fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no time zone {}", self.0)
    }
}

impl std::error::Error for UnknownZone {}

/// A recurrence in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// The recurrence `cron` by the clocks of an IANA time zone, or of UTC.
    pub fn new(cron: Cron, zone: Option<&str>) -> Result<Schedule, UnknownZone> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => find_zone(name)?,
        };
        Ok(Schedule { cron, zone })
    }

    /// The first time after `after`; `None` when there is none, as for the
    /// 30th of February.
    ///
    /// A recurrence with fixed hours and minutes runs once a day whatever the
    /// clocks do: at the end of the gap when its time is skipped, and the
    /// first time when its time comes twice. One with `*` in the hours or
    /// minutes runs whenever the clock shows such a time.
    pub fn next(&self, after: Time) -> Option<Time> {
        let local = self.local(after);
        if self.cron.follows_clock() {
            return self.next_by_clock(after);
        }
        // A gap or a fold may move a time of the day before across midnight.
        let mut date = local.date().yesterday().ok()?;
        for _ in 0..DAYS_MAX {
            if self.cron.matches_date(date) {
                let times = self.cron.times().map(|(hour, minute)| self.once(date.at(hour, minute, 0, 0)));
                if let Some(found) = times.flatten().find(|at| *at > after) {
                    return Some(found);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Walks through real time and looks at the clock: minute by minute, but
    /// over hours and days that do not fit at once.
    fn next_by_clock(&self, after: Time) -> Option<Time> {
        const MINUTE: Span = Span::from_mins(1);
        let mut at = after.floor(MINUTE) + MINUTE;
        let last = after + MINUTE * (i64::from(DAYS_MAX) * 24 * 60);
        while at < last {
            let local = self.local(at);
            if !self.cron.matches_date(local.date()) {
                let midnight = self.once(local.date().tomorrow().ok()?.at(0, 0, 0, 0))?;
                at = midnight.max(at + MINUTE);
            } else if !self.cron.matches_hour(local.hour()) {
                // The next full hour, unless the clocks change before it.
                let step = MINUTE * i64::from(60 - local.minute());
                let direct = self.local(at + step).minute() == 0;
                at += if direct { step } else { MINUTE };
            } else if !self.cron.matches_minute(local.minute()) {
                at += MINUTE;
            } else {
                return Some(at);
            }
        }
        None
    }

    fn local(&self, at: Time) -> DateTime {
        let stamp = Timestamp::from_second(at.seconds()).unwrap_or(Timestamp::UNIX_EPOCH);
        self.zone.to_datetime(stamp)
    }

    /// The moment of a local time: the first one when there are two, the end
    /// of the gap when there is none.
    fn once(&self, local: DateTime) -> Option<Time> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let stamp = match ambiguous.offset() {
            AmbiguousOffset::Gap { before, .. } => {
                // By the old offset it is a moment after the change.
                let late = before.to_timestamp(local).ok()?;
                return Some(self.last_change(late).unwrap_or(Time(late.as_millisecond())));
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok()?,
        };
        Some(Time(stamp.as_millisecond()))
    }

    /// When the clocks changed last, at or before a moment.
    fn last_change(&self, at: Timestamp) -> Option<Time> {
        let later = at.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
        let change = self.zone.preceding(later).next()?;
        Some(Time(change.timestamp().as_millisecond()))
    }
}

/// A zone of the data in this binary, by its IANA name.
fn find_zone(name: &str) -> Result<TimeZone, UnknownZone> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| UnknownZone(name.to_owned()))
}

/// When an action is due, of which `next` is the next time that is known:
/// the last time up to `now`, so that a daemon that was away runs it once.
/// With it comes the next time after that, `None` when there is none.
pub fn due(schedule: Option<&Schedule>, next: Time, now: Time) -> Option<(Time, Option<Time>)> {
    if next > now {
        return None;
    }
    let Some(schedule) = schedule else { return Some((next, None)) };
    let mut last = next;
    for _ in 0..MISSED_MAX {
        match schedule.next(last) {
            Some(following) if following <= now => last = following,
            following => return Some((last, following)),
        }
    }
    Some((last, schedule.next(now)))
}

/// The date that a cron expression is asked about.
pub(crate) type Day = Date;

#[cfg(test)]
mod tests;
