//! Answers that the load balancer gives itself (alb.md 9).

use super::headers::ResponseEdits;
use super::push_decimal;
use elastane_domain::time::{Civil, Time};

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What an answer of the load balancer needs beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// `Content-Type`; empty for none.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Service time, for `Date`.
    pub now: Time,
    /// Whether the connection stays open.
    pub keep_alive: bool,
    /// Whether it answers a HEAD request: the body is described, not sent.
    pub head_only: bool,
    /// Further header lines, each with its line end.
    pub lines: &'a [u8],
    /// What the listener changes about responses.
    pub edits: Option<&'a ResponseEdits>,
}

/// The reason phrase of a status code that the load balancer generates.
/// 405, 408, 414, 463, 464, 507 and 561 are unconfirmed (alb.md 9).
pub fn reason(status: u16) -> &'static str {
    match status {
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        408 => "Request Time-out",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        429 => "Too Many Requests",
        463 | 464 => "Bad Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        561 => "Unauthorized",
        _ => match status / 100 {
            2 => "OK",
            4 => "Client Error",
            _ => "Error",
        },
    }
}

/// The body of an error page.
pub fn error_page(status: u16) -> Vec<u8> {
    let mut title = status.to_string();
    title.push(' ');
    title.push_str(reason(status));
    let mut page = Vec::with_capacity(192);
    for part in [
        "<html>\r\n<head><title>",
        &title,
        "</title></head>\r\n<body>\r\n<center><h1>",
        &title,
        "</h1></center>\r\n</body>\r\n</html>\r\n",
    ] {
        page.extend_from_slice(part.as_bytes());
    }
    page
}

/// Appends a whole answer to `out`.
pub fn write(answer: &Answer<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(answer.status));
    out.push(b' ');
    out.extend_from_slice(reason(answer.status).as_bytes());
    if answer.edits.is_none_or(|edits| edits.keep_server) {
        out.extend_from_slice(b"\r\nServer: awselb/2.0");
    }
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(http_date(answer.now).as_bytes());
    if !answer.content_type.is_empty() {
        out.extend_from_slice(b"\r\nContent-Type: ");
        // A line end in a configured value must not become a header.
        let visible = |byte: &u8| !byte.is_ascii_control();
        out.extend(answer.content_type.bytes().filter(visible));
    }
    // RFC 9110 8.6: no length where there can be no body.
    let bodiless = answer.status == 204;
    if !bodiless {
        out.extend_from_slice(b"\r\nContent-Length: ");
        push_decimal(out, answer.body.len() as u64);
    }
    out.extend_from_slice(match answer.keep_alive {
        true => b"\r\nConnection: keep-alive\r\n".as_slice(),
        false => b"\r\nConnection: close\r\n".as_slice(),
    });
    if let Some(edits) = answer.edits {
        edits.push(out);
    }
    out.extend_from_slice(answer.lines);
    out.extend_from_slice(b"\r\n");
    if !bodiless && !answer.head_only {
        out.extend_from_slice(answer.body);
    }
}

/// `Sat, 01 Jan 2000 00:00:00 GMT` (RFC 9110, IMF-fixdate).
pub fn http_date(time: Time) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let civil = Civil::from(time);
    let weekday = time.seconds().div_euclid(86_400).rem_euclid(7) as usize;
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        DAYS[weekday],
        civil.day,
        MONTHS[civil.month as usize - 1],
        civil.year,
        civil.hour,
        civil.minute,
        civil.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The observed lengths of the pages (alb.md 9).
    #[test]
    fn alb_9_page_lengths() {
        for (status, length) in [(503, 162), (502, 122), (504, 132)] {
            assert_eq!(error_page(status).len(), length, "{status}");
        }
    }

    /// A page, byte for byte.
    #[test]
    fn alb_9_answer() {
        let mut out = Vec::new();
        write(
            &Answer {
                status: 502,
                content_type: "text/html",
                body: &error_page(502),
                now: Time(1_709_164_799_000),
                keep_alive: true,
                head_only: false,
                lines: b"",
                edits: None,
            },
            &mut out,
        );
        let want = "HTTP/1.1 502 Bad Gateway\r\nServer: awselb/2.0\r\n\
            Date: Wed, 28 Feb 2024 23:59:59 GMT\r\nContent-Type: text/html\r\nContent-Length: 122\r\n\
            Connection: keep-alive\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
            <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
