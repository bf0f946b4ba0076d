//! Typed values of conditions: numbers, points in time, ranges of addresses.

use crate::routing::Cidr;
use crate::time::Civil;
use std::net::IpAddr;

/// A number as conditions write it: decimal digits, a sign, a fraction, an exponent.
pub(super) fn number(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let number: f64 = text.trim().bytes().all(plain).then(|| text.trim().parse().ok())??;
    number.is_finite().then_some(number)
}

/// `true` or `false`, in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// An address, or a range as `10.0.0.0/8`; an address alone is a range of one.
pub(super) fn range(text: &str) -> Option<Cidr> {
    let (network, prefix) = match text.split_once('/') {
        Some((network, prefix)) => (network, Some(prefix)),
        None => (text, None),
    };
    let network: IpAddr = network.parse().ok()?;
    let bits = if network.is_ipv4() { 32 } else { 128 };
    let prefix: u8 = match prefix {
        None => bits,
        Some(digits) if !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|prefix| *prefix <= bits)?
        }
        Some(_) => return None,
    };
    Some(Cidr { network, prefix })
}

/// Base64 with its padding (RFC 4648, section 4): one text for each binary
/// value, so texts can be compared.
pub(super) fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    text.len().is_multiple_of(4)
        && padding <= 2
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// A point in time in milliseconds since 1970: ISO 8601 (W3C's forms, from a
/// year and month on; UTC when no zone is given), or seconds since 1970 when
/// there is neither a hyphen nor a `T`.
pub(super) fn date(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.contains(['-', 'T', 't']) {
        let seconds: i64 = text.parse().ok().filter(|seconds| *seconds >= 0)?;
        return seconds.checked_mul(1000);
    }
    let (day, clock) = match text.split_once(['T', 't']) {
        Some((day, clock)) => (day, Some(clock)),
        None => (text, None),
    };
    let mut fields = day.split('-');
    let year = digits(fields.next()?, 4)?;
    let month = fields.next().map_or(Some(1), |month| digits(month, 2))?;
    let date = fields.next().map_or(Some(1), |date| digits(date, 2))?;
    if fields.next().is_some() || !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&date) {
        return None;
    }
    let start = Civil { year: year.into(), month, day: date, hour: 0, minute: 0, second: 0 };
    Some(start.time().millis() + clock.map_or(Some(0), of_day)?)
}

/// Milliseconds from midnight UTC for `hh:mm[:ss[.fraction]][Z|+hh:mm]`.
fn of_day(text: &str) -> Option<i64> {
    let (clock, zone) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => text.split_at(at),
        None => (text, "Z"),
    };
    let mut fields = clock.split(':');
    let (hour, minute) = (digits(fields.next()?, 2)?, digits(fields.next()?, 2)?);
    let (second, fraction) = match fields.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) =
                seconds.split_once('.').map_or((seconds, None), |(whole, part)| (whole, Some(part)));
            (digits(whole, 2)?, fraction.map_or(Some(0), thousandths)?)
        }
    };
    if fields.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local = i64::from(hour) * 3_600_000 + i64::from(minute) * 60_000 + i64::from(second) * 1000 + fraction;
    Some(local - offset(zone)?)
}

fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hour, minute) = zone[1..].split_once(':')?;
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
    let ahead = i64::from(hour) * 3_600_000 + i64::from(minute) * 60_000;
    let ahead = if zone.starts_with('-') { -ahead } else { ahead };
    (hour <= 23 && minute <= 59).then_some(ahead)
}

/// Thousandths of a second of a fraction; what is finer is cut off.
fn thousandths(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let three: String = fraction.chars().chain("000".chars()).take(3).collect();
    three.parse().ok()
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days_of_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W3C's forms of ISO 8601, zones, epoch seconds, and what is neither.
    #[test]
    fn dates() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01", Some(0)),
            ("1970-01", Some(0)),
            ("86400", Some(86_400_000)),
            ("2020-04-01T00:00:00Z", Some(1_585_699_200_000)),
            ("2020-04-01T02:00:00+02:00", Some(1_585_699_200_000)),
            ("2020-03-31T19:30:00-04:30", Some(1_585_699_200_000)),
            ("2020-04-01T00:00Z", Some(1_585_699_200_000)),
            ("2020-04-01T00:00:00.25Z", Some(1_585_699_200_250)),
            ("2020-04-01T00:00:00.1234567Z", Some(1_585_699_200_123)),
            ("2020-04-01t00:00:00z", Some(1_585_699_200_000)),
            ("2020-02-29", Some(1_582_934_400_000)),
            ("2021-02-29", None),
            ("2020-13-01", None),
            ("2020-00-01", None),
            ("2020-01-01T24:00:00Z", None),
            ("2020-01-01T00:60:00Z", None),
            ("2020-01-01T00:00:00+25:00", None),
            ("2020-01-01T00:00:00.Z", None),
            ("2020-01-01T", None),
            ("-1", None),
            ("today", None),
            ("99999999999999999999", None),
            ("9223372036854775807", None),
        ] {
            assert_eq!(date(text), wanted, "{text}");
        }
    }

    /// Numbers, ranges and base64.
    #[test]
    fn scalars() {
        for (text, wanted) in [
            ("10", Some(10.0)),
            ("-1.5", Some(-1.5)),
            ("1e3", Some(1000.0)),
            ("inf", None),
            ("NaN", None),
            ("1e999", None),
            ("", None),
            ("0x10", None),
        ] {
            assert_eq!(number(text), wanted, "{text}");
        }
        for (text, valid) in [
            ("10.0.0.0/8", true),
            ("10.0.0.0", true),
            ("2001:db8::/32", true),
            ("::1", true),
            ("10.0.0.0/33", false),
            ("10.0.0.0/", false),
            ("10.0.0/8", false),
            ("10.0.0.0/+8", false),
            ("*", false),
        ] {
            assert_eq!(range(text).is_some(), valid, "{text}");
        }
        for (text, valid) in [
            ("", true),
            ("QUJD", true),
            ("QUI=", true),
            ("QQ==", true),
            ("Q===", false),
            ("QUJ", false),
            ("QU_D", false),
        ] {
            assert_eq!(is_base64(text), valid, "{text}");
        }
        for (text, wanted) in [("true", Some(true)), ("FALSE", Some(false)), ("1", None), ("", None)] {
            assert_eq!(boolean(text), wanted, "{text}");
        }
    }
}
