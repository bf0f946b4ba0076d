//! Cron expressions of five fields: minute, hour, day of the month, month,
//! day of the week. Each is a list of numbers, ranges and `*`, with steps;
//! months and days of the week also have names. When both days are
//! restricted, either is enough.

use super::Day;
use std::fmt;

/// A longer expression than this says the same again.
const LENGTH_MAX: usize = 255;

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Each a set of bits.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether the field begins with `*`: then the other day decides alone.
    any_day: bool,
    any_weekday: bool,
    /// Whether hours or minutes begin with `*`.
    follows_clock: bool,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronError {
    /// It has not five fields.
    Fields,
    /// A field is not one, by its position and text.
    Field(&'static str, String),
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CronError::Fields => f.write_str("it must have five fields"),
            CronError::Field(name, text) => write!(f, "the {name} '{text}' is invalid"),
        }
    }
}

impl std::error::Error for CronError {}

/// What a field may hold.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names of the numbers from `low` on.
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, words: &[] },
    Field { name: "hour", low: 0, high: 23, words: &[] },
    Field { name: "day of the month", low: 1, high: 31, words: &[] },
    Field { name: "month", low: 1, high: 12, words: &MONTHS },
    // Sunday is 0 and 7.
    Field { name: "day of the week", low: 0, high: 7, words: &WEEKDAYS },
];

impl Cron {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        let texts: Vec<&str> = text.split_whitespace().collect();
        let Ok([minute, hour, day, month, weekday]) = <[&str; 5]>::try_from(texts) else {
            return Err(CronError::Fields);
        };
        if text.len() > LENGTH_MAX {
            return Err(CronError::Fields);
        }
        let weekdays = FIELDS[4].read(weekday)?;
        let star = |text: &str| text.starts_with('*');
        Ok(Cron {
            minutes: FIELDS[0].read(minute)?,
            hours: FIELDS[1].read(hour)?,
            days: FIELDS[2].read(day)?,
            months: FIELDS[3].read(month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            any_day: star(day),
            any_weekday: star(weekday),
            follows_clock: star(minute) || star(hour),
        })
    }

    /// Whether it runs whenever the clock shows a time that fits, and not at fixed times.
    pub(super) fn follows_clock(&self) -> bool {
        self.follows_clock
    }

    pub(super) fn matches_date(&self, date: Day) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let days = if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        days && has(self.months, date.month())
    }

    pub(super) fn matches_hour(&self, hour: i8) -> bool {
        has(self.hours, hour)
    }

    pub(super) fn matches_minute(&self, minute: i8) -> bool {
        has(self.minutes, minute)
    }

    /// Its times of a day, in order.
    pub(super) fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(|hour| (0..60).filter(|minute| has(self.minutes, *minute)).map(move |minute| (hour, minute)))
    }
}

fn has(set: u64, number: i8) -> bool {
    set >> number & 1 == 1
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, CronError> {
        text.split(',')
            .map(|part| self.part(part).ok_or_else(|| CronError::Field(self.name, text.to_owned())))
            .try_fold(0, |set, part| Ok(set | part?))
    }

    /// `*`, `n` or `n-m`, each with `/step`; `n/step` goes on to the end.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((range, step)) => (range, Some(self.digits(step).filter(|step| *step > 0)?)),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None if step.is_some() => (self.number(range)?, self.high),
            None => (self.number(range)?, self.number(range)?),
        };
        if from > to {
            return None;
        }
        let numbers = (from..=to).step_by(step.unwrap_or(1) as usize);
        Some(numbers.fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let number = match word {
            Some(index) => self.low + index as u32,
            None => self.digits(text)?,
        };
        (self.low..=self.high).contains(&number).then_some(number)
    }

    fn digits(&self, text: &str) -> Option<u32> {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    }
}
