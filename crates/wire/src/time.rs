//! Timestamps as text: ISO 8601, epoch seconds, HTTP dates.

use crate::value::Timestamp;
use std::fmt::Write;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY_SECS: i64 = 86_400;

/// The latest year that is written or read; four digits are the format.
const YEAR_MAX: i64 = 9999;

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

/// Days are counted from a year that starts in March, so that the leap day is
/// its last day (proleptic Gregorian calendar).
fn civil(secs: i64) -> Civil {
    let shifted = secs.div_euclid(DAY_SECS) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * from_march + 2) / 5 + 1,
        second_of_day: secs.rem_euclid(DAY_SECS),
    }
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn clamp(time: Timestamp) -> Timestamp {
    // Year 0 to 9999, so that the text keeps its width.
    Timestamp(time.0.clamp(-62_167_219_200_000, 253_402_300_799_999))
}

/// Appends `2026-01-01T10:00:00.000Z`.
pub(crate) fn write_iso_millis(out: &mut String, time: Timestamp) {
    write_iso(out, time, true);
}

/// Appends `2026-01-01T10:00:00Z`, with milliseconds if there are any.
pub(crate) fn write_iso_short(out: &mut String, time: Timestamp) {
    write_iso(out, time, time.0 % 1000 != 0);
}

/// Digit by digit: a list of instances has four timestamps for each of them,
/// and the formatting machinery takes as long for one as for ten texts.
fn write_iso(out: &mut String, time: Timestamp, with_millis: bool) {
    let millis = clamp(time).0;
    let at = civil(millis.div_euclid(1000));
    let (hour, minute, second) = clock(at.second_of_day);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let fields = [
        (0, 4, at.year),
        (5, 2, at.month),
        (8, 2, at.day),
        (11, 2, hour),
        (14, 2, minute),
        (17, 2, second),
        (20, 3, millis.rem_euclid(1000)),
    ];
    for (start, width, mut number) in fields {
        for digit in text[start..start + width].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    let length = if with_millis { text.len() } else { 20 };
    text[length - 1] = b'Z';
    out.push_str(std::str::from_utf8(&text[..length]).expect("digits and marks"));
}

fn clock(second_of_day: i64) -> (i64, i64, i64) {
    (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60)
}

/// Appends `Thu, 01 Jan 2026 10:00:00 GMT`.
pub(crate) fn write_http_date(out: &mut String, time: Timestamp) {
    let secs = clamp(time).0.div_euclid(1000);
    let at = civil(secs);
    let (hour, minute, second) = clock(at.second_of_day);
    let weekday = WEEKDAYS[secs.div_euclid(DAY_SECS).rem_euclid(7) as usize];
    let month = MONTHS[(at.month - 1) as usize];
    let _ = write!(out, "{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", at.day, at.year);
}

/// Appends epoch seconds, with a fraction if there is one.
pub(crate) fn write_epoch(out: &mut String, time: Timestamp) {
    let sign = if time.0 < 0 { "-" } else { "" };
    let (whole, fraction) = (time.0.unsigned_abs() / 1000, time.0.unsigned_abs() % 1000);
    if fraction == 0 {
        let _ = write!(out, "{sign}{whole}");
    } else {
        let text = format!("{fraction:03}");
        let _ = write!(out, "{sign}{whole}.{}", text.trim_end_matches('0'));
    }
}

/// A point in time from epoch seconds.
pub(crate) fn from_epoch(secs: f64) -> Option<Timestamp> {
    let millis = (secs * 1000.0).round();
    (millis.abs() <= 253_402_300_799_999.0).then_some(Timestamp(millis as i64))
}

/// `20260101T100000Z`: the form of SigV4.
pub(crate) fn compact(secs: i64) -> String {
    let at = civil(clamp(Timestamp(secs.saturating_mul(1000))).0.div_euclid(1000));
    let (hour, minute, second) = clock(at.second_of_day);
    format!("{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z", at.year, at.month, at.day)
}

/// Reads any of the three forms, and SigV4's compact one.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.is_empty() || !text.is_ascii() {
        return None;
    }
    if text.ends_with("GMT") {
        return http_date(text);
    }
    if let Some(found) = iso(text) {
        return Some(found);
    }
    text.parse().ok().and_then(from_epoch)
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn assemble(date: [i64; 3], clock: [i64; 3], millis: i64) -> Option<Timestamp> {
    let [year, month, day] = date;
    let [hour, minute, second] = clock;
    let good = (0..=YEAR_MAX).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let secs = days(year, month, day) * DAY_SECS + hour * 3600 + minute * 60 + second;
    good.then_some(Timestamp(secs * 1000 + millis))
}

fn iso(text: &str) -> Option<Timestamp> {
    let (date, rest) = match text.split_once(['T', 't', ' ']) {
        Some(parts) => parts,
        None => (text, "00:00:00Z"),
    };
    let date = match date.len() {
        10 if date.as_bytes()[4] == b'-' && date.as_bytes()[7] == b'-' => {
            [digits(&date[..4])?, digits(&date[5..7])?, digits(&date[8..])?]
        }
        8 if text.len() > 8 => [digits(&date[..4])?, digits(&date[4..6])?, digits(&date[6..])?],
        _ => return None,
    };
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let clock = match clock.len() {
        8 => [digits(&clock[..2])?, digits(&clock[3..5])?, digits(&clock[6..])?],
        6 => [digits(&clock[..2])?, digits(&clock[2..4])?, digits(&clock[4..])?],
        5 => [digits(&clock[..2])?, digits(&clock[3..])?, 0],
        _ => return None,
    };
    let millis = digits(&format!("{fraction:0<3}")[..3])?;
    let at = assemble(date, clock, millis)?;
    Some(Timestamp(at.0 - offset_secs(offset)? * 1000))
}

fn offset_secs(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(0),
        b'-' => -1,
        _ => 1,
    };
    let number: String = text[1..].chars().filter(|&c| c != ':').collect();
    if number.len() != 4 {
        return None;
    }
    Some(sign * (digits(&number[..2])? * 3600 + digits(&number[2..])? * 60))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let (_, rest) = text.split_once(", ")?;
    let [day, month, year, clock, _] = rest.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = clock.split(':').map(digits).collect::<Option<Vec<_>>>()?[..] else {
        return None;
    };
    let millis = digits(&format!("{fraction:0<3}")[..3])?;
    assemble([digits(year)?, month, digits(day)?], [hour, minute, second], millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All forms of one instant read as it, and each is written as its readers expect.
    #[test]
    fn forms_of_an_instant() {
        let at = Timestamp(1_767_261_600_000);
        for text in [
            "2026-01-01T10:00:00Z",
            "2026-01-01T10:00:00.000Z",
            "2026-01-01T12:00:00+02:00",
            "2026-01-01T10:00Z",
            "20260101T100000Z",
            "1767261600",
            "1767261600.0",
            "Thu, 01 Jan 2026 10:00:00 GMT",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        for text in ["", "x", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "é", "2026-01-01T1Z", "NaN", "1e300"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let mut out = String::new();
        write_iso_millis(&mut out, Timestamp(at.0 + 7));
        out.push(' ');
        write_iso_short(&mut out, at);
        out.push(' ');
        write_iso_short(&mut out, Timestamp(i64::MIN));
        out.push(' ');
        write_http_date(&mut out, at);
        out.push(' ');
        write_epoch(&mut out, Timestamp(at.0 + 250));
        assert_eq!(
            out,
            "2026-01-01T10:00:00.007Z 2026-01-01T10:00:00Z 0000-01-01T00:00:00.000Z Thu, 01 Jan 2026 10:00:00 GMT 1767261600.25"
        );
        assert_eq!(compact(1_767_261_600), "20260101T100000Z");
    }
}
