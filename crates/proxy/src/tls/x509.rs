//! The few fields of an X.509 certificate that are told to targets and logs:
//! serial number, names and validity (RFC 5280 4.1). Whether a certificate
//! can be trusted is not decided here.

use elastane_domain::time::{Civil, Time};
use std::fmt::Write;

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    /// The serial number in upper-case hexadecimal digits.
    pub(crate) serial: String,
    /// The issuer's distinguished name (RFC 2253).
    pub(crate) issuer: String,
    /// The subject's distinguished name (RFC 2253).
    pub(crate) subject: String,
    /// Seconds since the epoch.
    pub(crate) not_before: i64,
    /// Seconds since the epoch.
    pub(crate) not_after: i64,
}

impl Fields {
    /// `NotBefore=2023-09-21T01:50:17Z;NotAfter=2024-09-20T01:50:17Z`.
    pub(crate) fn validity(&self) -> String {
        format!("NotBefore={};NotAfter={}", timestamp(self.not_before), timestamp(self.not_after))
    }
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version, when it is not the first.
const EXPLICIT_0: u8 = 0xa0;

/// Attributes that RFC 2253 names; the others appear as dotted numbers.
const NAMES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// Reads a certificate in DER; `None` when it is not one.
pub(crate) fn read(certificate: &[u8]) -> Option<Fields> {
    let mut outer = Der(certificate);
    let mut certificate = Der(outer.take(SEQUENCE)?);
    let mut tbs = Der(certificate.take(SEQUENCE)?);
    if tbs.0.first() == Some(&EXPLICIT_0) {
        tbs.take(EXPLICIT_0)?;
    }
    let serial = tbs.take(INTEGER)?;
    tbs.take(SEQUENCE)?;
    let issuer = name(tbs.take(SEQUENCE)?)?;
    let mut validity = Der(tbs.take(SEQUENCE)?);
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    let subject = name(tbs.take(SEQUENCE)?)?;
    Some(Fields { serial: hex(serial), issuer, subject, not_before, not_after })
}

/// `2023-09-21T01:50:17Z`, for seconds since the epoch.
fn timestamp(seconds: i64) -> String {
    let civil = Civil::from(Time(seconds.saturating_mul(1000)));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
    )
}

/// Values in distinguished encoding, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value with its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, value)| value)
    }

    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.next()?;
        let number = |range: std::ops::Range<usize>| {
            let digits = text.get(range)?;
            digits
                .iter()
                .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
        };
        let (year, at) = match tag {
            // RFC 5280 4.1.2.5.1: two digits stand for 1950 to 2049.
            UTC_TIME => (number(0..2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
            GENERALIZED_TIME => (number(0..4)?, 4),
            _ => return None,
        };
        let (month, day) = (number(at..at + 2)?, number(at + 2..at + 4)?);
        let (hour, minute, second) = (number(at + 4..at + 6)?, number(at + 6..at + 8)?, number(at + 8..at + 10)?);
        if !(1..=12).contains(&month) || text.get(at + 10) != Some(&b'Z') {
            return None;
        }
        Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
    }
}

/// Days since the epoch: years start in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 719_469
}

fn hex(bytes: &[u8]) -> String {
    // A leading zero only keeps the number positive.
    let bytes = if bytes.len() > 1 && bytes[0] == 0 { &bytes[1..] } else { bytes };
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").expect("a text takes all");
        text
    })
}

/// A distinguished name as RFC 2253 writes it: the last part first.
fn name(encoded: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = Der(encoded);
    while !sets.0.is_empty() {
        let mut set = Der(sets.take(SET)?);
        let mut values = Vec::new();
        while !set.0.is_empty() {
            let mut pair = Der(set.take(SEQUENCE)?);
            let identifier = pair.take(OBJECT_IDENTIFIER)?;
            let (tag, value) = pair.next()?;
            values.push(format!("{}={}", attribute(identifier), escaped(&text(tag, value))));
        }
        parts.push(values.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(identifier: &[u8]) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == identifier) {
        return (*name).to_owned();
    }
    let mut numbers = Vec::new();
    let mut number = 0u64;
    for byte in identifier {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - 40 * first]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

fn text(tag: u8, value: &[u8]) -> String {
    if tag == BMP_STRING {
        let units: Vec<u16> = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(value).into_owned()
}

/// RFC 2253 2.4, and nothing that could end a header line.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (index, char) in value.chars().enumerate() {
        let special = matches!(char, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        let edge = index == 0 && matches!(char, ' ' | '#') || index == last && char == ' ';
        if char.is_ascii_control() {
            write!(out, "\\{:02X}", u32::from(char)).expect("a text takes all");
            continue;
        }
        if special || edge {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both forms of time, and the day count against the calendar of the domain.
    #[test]
    fn times() {
        for (tag, text, want) in [
            (UTC_TIME, "700101000000Z", Some("1970-01-01T00:00:00Z")),
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (GENERALIZED_TIME, "20240229120000Z", Some("2024-02-29T12:00:00Z")),
            (GENERALIZED_TIME, "20501301000000Z", None),
            (UTC_TIME, "2401010000Z", None),
        ] {
            let mut encoded = vec![tag, u8::try_from(text.len()).unwrap()];
            encoded.extend_from_slice(text.as_bytes());
            assert_eq!(Der(&encoded).time().map(timestamp).as_deref(), want, "{text}");
        }
    }

    /// Names are reversed and escaped; unknown attributes are numbers.
    #[test]
    fn names() {
        let part = |identifier: &[u8], value: &str| {
            let mut pair = vec![OBJECT_IDENTIFIER, identifier.len() as u8];
            pair.extend_from_slice(identifier);
            pair.extend([0x0c, value.len() as u8]);
            pair.extend_from_slice(value.as_bytes());
            let mut set = vec![SET, pair.len() as u8 + 2, SEQUENCE, pair.len() as u8];
            set.append(&mut pair);
            set
        };
        let encoded =
            [part(&[0x55, 4, 6], "US"), part(&[0x2a, 0x86, 0x48], "x"), part(&[0x55, 4, 3], " a,b\r")].concat();
        assert_eq!(name(&encoded).unwrap(), "CN=\\ a\\,b\\0D,1.2.840=x,C=US");
        assert_eq!(name(&encoded[1..]), None);
    }

    /// Damaged input ends without a result, wherever it is damaged.
    #[test]
    fn damage_is_no_certificate() {
        let whole = [SEQUENCE, 6, SEQUENCE, 4, INTEGER, 2, 0, 0x9f];
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None);
        }
        assert_eq!(hex(&[0, 0x9f]), "9F");
        assert_eq!(read(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
