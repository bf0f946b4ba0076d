//! Tables of cron expressions and of what clocks do to them.

use super::*;
use crate::time::Civil;

/// `2026-03-28T01:30` in UTC.
fn utc(text: &str) -> Time {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().expect("digits");
    let (year, month, day) = (i64::from(number(0..4)), number(5..7), number(8..10));
    Civil { year, month, day, hour: number(11..13), minute: number(14..16), second: 0 }.time()
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule::new(Cron::parse(cron).expect(cron), Some(zone)).expect(zone)
}

fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = schedule(cron, zone);
    let next = |at: &Time| schedule.next(*at);
    let found = std::iter::successors(schedule.next(utc(after)), next).take(count);
    found.map(|at| at.iso_seconds()[..16].to_owned()).collect()
}

/// What expressions mean, in UTC.
#[test]
fn autoscaling_8_cron_times() {
    for (cron, after, expected) in [
        ("0 8 * * *", "2026-01-01T08:00", &["2026-01-02T08:00", "2026-01-03T08:00"][..]),
        ("*/20 8 * * *", "2026-01-01T08:10", &["2026-01-01T08:20", "2026-01-01T08:40", "2026-01-02T08:00"]),
        ("30 8-10 1,15 * *", "2026-01-01T09:30", &["2026-01-01T10:30", "2026-01-15T08:30"]),
        ("0 9 * * MON-FRI", "2026-01-02T10:00", &["2026-01-05T09:00"]),
        ("0 9 * * 7", "2026-01-01T00:00", &["2026-01-04T09:00"]),
        ("0 9 * * 0", "2026-01-01T00:00", &["2026-01-04T09:00"]),
        // Either day is enough when both are restricted.
        ("0 0 13 * 5", "2026-01-01T00:00", &["2026-01-02T00:00", "2026-01-09T00:00", "2026-01-13T00:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", &["2028-02-29T00:00"]),
        ("0 0 1 jan *", "2026-06-01T00:00", &["2027-01-01T00:00"]),
        ("5/25 0 * * *", "2026-01-01T00:00", &["2026-01-01T00:05", "2026-01-01T00:30", "2026-01-01T00:55"]),
        ("* * * * *", "2026-01-01T23:59", &["2026-01-02T00:00", "2026-01-02T00:01"]),
        ("0 0 30 2 *", "2026-01-01T00:00", &[]),
        ("* * 30 2 *", "2026-01-01T00:00", &[]),
    ] {
        assert_eq!(times(cron, "UTC", after, expected.len().max(1)), expected, "{cron}");
    }
}

/// What is no expression of five fields is refused.
#[test]
fn autoscaling_8_cron_refusals() {
    for text in [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "1,,2 * * * *",
        "@daily",
        "* * L * *",
        "-1 * * * *",
        "+1 * * * *",
        "1/ * * * *",
    ] {
        assert!(Cron::parse(text).is_err(), "{text}");
    }
    assert!(Schedule::new(Cron::parse("0 0 * * *").expect("fine"), Some("Mars/Olympus")).is_err());
}

/// Fixed times run once a day: at the end of a gap, and the first time of two. Others follow the clock.
#[test]
fn autoscaling_8_daylight_saving() {
    for (cron, zone, after, expected) in [
        // Berlin's clocks go from 2:00 to 3:00 at 1:00 UTC.
        ("0 8 * * *", "Europe/Berlin", "2026-03-28T00:00", &["2026-03-28T07:00", "2026-03-29T06:00"][..]),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00",
            &["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        ("0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", &["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", &["2026-03-30T00:00", "2026-03-30T00:30"]),
        ("30 * * * *", "Europe/Berlin", "2026-03-28T23:45", &["2026-03-29T00:30", "2026-03-29T01:30"]),
        // They go back from 3:00 to 2:00 at 1:00 UTC.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", &["2026-10-25T00:30", "2026-10-26T01:30"]),
        (
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:00",
            &["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"],
        ),
        // A gap of half an hour, and a day that begins at 1:00.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", &["2026-10-03T15:30", "2026-10-04T15:15"]),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", &["2026-04-23T22:00", "2026-04-24T21:00"]),
        ("*/15 0 * * *", "Asia/Kolkata", "2026-01-01T18:40", &["2026-01-01T18:45", "2026-01-01T19:00"]),
        // Samoa skipped the 30th of December 2011.
        ("0 12 30,31 12 *", "Pacific/Apia", "2011-12-29T00:00", &["2011-12-30T10:00", "2011-12-30T22:00"]),
    ] {
        assert_eq!(times(cron, zone, after, expected.len()), expected, "{cron} {zone}");
    }
}

/// An action that was missed runs once, for its last time; one without a recurrence runs once at all.
#[test]
fn autoscaling_8_due() {
    let hourly = schedule("0 * * * *", "UTC");
    let at = |hour| utc(&format!("2026-01-01T{hour:02}:00"));
    for (schedule, next, now, expected) in [
        (Some(&hourly), at(9), at(8), None),
        (Some(&hourly), at(9), at(9), Some((at(9), Some(at(10))))),
        (Some(&hourly), at(9), at(12) + Span(1), Some((at(12), Some(at(13))))),
        (None, at(9), at(12), Some((at(9), None))),
        (None, at(13), at(12), None),
    ] {
        assert_eq!(due(schedule, next, now), expected, "{next:?} {now:?}");
    }
}

/// Minimum and maximum come first, the desired capacity follows into their range.
#[test]
fn autoscaling_8_sizes() {
    let sizes = |min, max, desired| Sizes { min, max, desired };
    for (sizes, bounds, desired) in [
        (sizes(None, None, Some(3)), (1, 5), 3),
        (sizes(None, None, Some(9)), (1, 5), 5),
        (sizes(Some(4), None, None), (4, 5), 4),
        (sizes(None, Some(1), None), (1, 1), 1),
        (sizes(Some(8), Some(9), None), (8, 9), 8),
        (sizes(Some(0), Some(0), None), (0, 0), 0),
        (sizes(Some(7), None, Some(1)), (7, 7), 7),
        (sizes(None, Some(0), None), (0, 0), 0),
    ] {
        let (got, capacity) = sizes.apply(Bounds { min: 1, max: 5 }, 2);
        assert_eq!(((got.min, got.max), capacity), (bounds, desired), "{sizes:?}");
    }
}
