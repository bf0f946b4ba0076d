//! The access log's line, field by field (alb.md 10), without `fmt`.

use super::{Entry, LogFile};
use crate::http::{push_decimal, push_hex};
use elastane_domain::time::{Civil, Time};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// Digits of a percent-free escape (`\x22`).
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends the line of an exchange that ended at `now_micros`.
pub(super) fn write(entry: &Entry, file: &LogFile, now_micros: i64, out: &mut Vec<u8>) {
    // 1 to 5: what, when, where.
    text(entry.kind.name().as_bytes(), out);
    push_micros(now_micros, out);
    out.push(b' ');
    text(file.dimension.as_bytes(), out);
    push_socket(entry.client, out);
    out.push(b' ');
    let last = entry.targets.last();
    match last {
        Some((address, _)) => push_target(*address, out),
        None => out.push(b'-'),
    }
    out.push(b' ');
    times(entry, out);
    // 9 to 12: statuses and bytes.
    push_status(entry.status, out);
    match last.and_then(|(_, status)| *status) {
        Some(status) => push_status(status, out),
        None => out.extend_from_slice(b"- "),
    }
    for bytes in [entry.received, entry.sent] {
        push_decimal(out, bytes);
        out.push(b' ');
    }
    // 13 to 20: what was asked, and over which TLS.
    quoted(if entry.request.is_empty() { b"- - -" } else { &entry.request }, out);
    quoted(&entry.user_agent, out);
    let tls = entry.tls.as_deref();
    text(tls.map_or("-", |tls| &tls.cipher).as_bytes(), out);
    text(tls.map_or("-", |tls| &tls.protocol).as_bytes(), out);
    text(&entry.group, out);
    quoted(&entry.trace_id, out);
    quoted(tls.and_then(|tls| tls.server_name.as_deref()).unwrap_or_default().as_bytes(), out);
    quoted(tls.map_or("", |tls| &tls.certificate).as_bytes(), out);
    decided(entry, out);
    // 30 to 34: the connection, transforms, the node.
    push_connection_id(entry.connection_id, out);
    out.push(b' ');
    quoted(&entry.transformed_host, out);
    quoted(&entry.transformed_uri, out);
    quoted(entry.transform_status.unwrap_or_default().as_bytes(), out);
    push_ip(file.address, out);
    out.push(b'\n');
}

/// Fields 6 to 8: -1 each when no target answered.
fn times(entry: &Entry, out: &mut Vec<u8>) {
    let (Some(sent), Some(took), Some(answered)) = (entry.dispatched, entry.target_took, entry.target_answered) else {
        out.extend_from_slice(b"-1 -1 -1 ");
        return;
    };
    let begun = entry.answer_begun.unwrap_or(answered);
    for span in [sent.saturating_duration_since(entry.began), took, begun.saturating_duration_since(answered)] {
        push_seconds(span, out);
        out.push(b' ');
    }
}

/// Fields 21 to 29: what was decided and which targets were tried.
fn decided(entry: &Entry, out: &mut Vec<u8>) {
    match entry.priority {
        Some(priority) => push_signed(priority, out),
        None => out.push(b'-'),
    }
    out.push(b' ');
    push_micros(entry.created_micros, out);
    out.extend_from_slice(b" \"");
    for (index, action) in entry.actions.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(action.name().as_bytes());
    }
    if entry.actions.is_empty() {
        out.push(b'-');
    }
    out.extend_from_slice(b"\" ");
    quoted(&entry.redirect_url, out);
    quoted(entry.error_reason.unwrap_or_default().as_bytes(), out);
    list(entry, |(address, _), out| push_target(*address, out), out);
    list(
        entry,
        |(_, status), out| match status {
            Some(status) => push_decimal(out, u64::from(*status)),
            None => out.push(b'-'),
        },
        out,
    );
    let (class, reason) = entry.classification.unwrap_or_default();
    quoted(class.as_bytes(), out);
    quoted(reason.as_bytes(), out);
}

/// A target that was tried, with what it answered.
type Tried = (SocketAddrV4, Option<u16>);

/// A quoted list over the targets that were tried, separated by spaces.
fn list(entry: &Entry, push: fn(&Tried, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(b'"');
    for (index, target) in entry.targets.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        push(target, out);
    }
    if entry.targets.is_empty() {
        out.push(b'-');
    }
    out.extend_from_slice(b"\" ");
}

/// A field and the space after it.
pub(super) fn text(field: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if field.is_empty() { b"-" } else { field });
    out.push(b' ');
}

/// A field in quotes, escaped, and the space after it; empty is `"-"`.
pub(super) fn quoted(field: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if field.is_empty() {
        out.push(b'-');
    }
    let odd = |byte: u8| (byte == b'"') | (byte == b'\\') | !(0x20..0x7f).contains(&byte);
    // Nearly all fields are copied whole. Without an early end, many bytes are looked at in one go.
    if !field.iter().fold(false, |found, &byte| found | odd(byte)) {
        out.extend_from_slice(field);
        out.extend_from_slice(b"\" ");
        return;
    }
    let mut rest = field;
    while let Some(place) = rest.iter().position(|&byte| odd(byte)) {
        let byte = rest[place];
        out.extend_from_slice(&rest[..place]);
        out.extend_from_slice(b"\\x");
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\" ");
}

/// A second as the log writes it, up to the point.
type Second = [u8; 20];

thread_local! {
    /// The second that this thread wrote last: the next one is mostly the same.
    static LAST_SECOND: Cell<(i64, Second)> = const { Cell::new((i64::MIN, [b'0'; 20])) };
}

/// `2018-07-02T22:23:00.186641Z`.
pub(super) fn push_micros(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros.div_euclid(1_000_000);
    let (known, mut text) = LAST_SECOND.get();
    if known != seconds {
        text = second(seconds);
        LAST_SECOND.set((seconds, text));
    }
    out.extend_from_slice(&text);
    push_padded(micros.rem_euclid(1_000_000) as u64, 6, out);
    out.push(b'Z');
}

/// `2018-07-02T22:23:00`.
pub(super) fn push_second(micros: i64, out: &mut Vec<u8>) {
    let text = second(micros.div_euclid(1_000_000));
    out.extend_from_slice(&text[..text.len() - 1]);
}

fn second(seconds: i64) -> Second {
    let civil = Civil::from(Time(seconds * 1000));
    let parts = [
        (u64::try_from(civil.year).unwrap_or(0), 4, b'-'),
        (u64::from(civil.month), 2, b'-'),
        (u64::from(civil.day), 2, b'T'),
        (u64::from(civil.hour), 2, b':'),
        (u64::from(civil.minute), 2, b':'),
        (u64::from(civil.second), 2, b'.'),
    ];
    let mut text = Vec::with_capacity(size_of::<Second>());
    for (number, digits, end) in parts {
        push_padded(number, digits, &mut text);
        text.push(end);
    }
    text.try_into().expect("the parts have so many digits")
}

/// Seconds with three decimals.
pub(super) fn push_seconds(span: Duration, out: &mut Vec<u8>) {
    push_decimal(out, span.as_secs());
    out.push(b'.');
    push_padded(u64::from(span.subsec_millis()), 3, out);
}

/// The lowest `digits` decimal digits.
pub(super) fn push_padded(number: u64, digits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits, b'0');
    let mut left = number;
    for cell in out[start..].iter_mut().rev() {
        *cell = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

fn push_signed(number: i32, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    push_decimal(out, u64::from(number.unsigned_abs()));
}

/// A status with three digits and the space after it.
fn push_status(status: u16, out: &mut Vec<u8>) {
    push_padded(u64::from(status), 3, out);
    out.push(b' ');
}

/// `TID_` and 32 hex digits; `-` for none.
pub(super) fn push_connection_id(id: u128, out: &mut Vec<u8>) {
    if id == 0 {
        out.push(b'-');
        return;
    }
    out.extend_from_slice(b"TID_");
    push_hex(out, (id >> 64) as u64, 16);
    push_hex(out, id as u64, 16);
}

fn push_ip(ip: Ipv4Addr, out: &mut Vec<u8>) {
    for (index, octet) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        push_decimal(out, u64::from(octet));
    }
}

fn push_target(address: SocketAddrV4, out: &mut Vec<u8>) {
    push_ip(*address.ip(), out);
    out.push(b':');
    push_decimal(out, u64::from(address.port()));
}

/// An address of a client, which IPv6 writes in brackets.
pub(super) fn push_socket(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => push_ip(ip, out),
        // Rare enough for `fmt`.
        IpAddr::V6(ip) => out.extend_from_slice(format!("[{ip}]").as_bytes()),
    }
    out.push(b':');
    push_decimal(out, u64::from(address.port()));
}

#[cfg(test)]
mod tests;
