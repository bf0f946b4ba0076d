//! Request heads: checked, and rewritten for the target (alb.md 6 and 7).

use super::body::Body;
use super::{
    ConnectionOptions, HEADERS_MAX, Lines, Parsed, REQUEST_HEADER_MAX, REQUEST_HEADERS_MAX, REQUEST_LINE_MAX, Random,
    decimal, list, push_decimal, push_hex,
};
use httparse::{Error as ParseError, Header, Status};
use std::mem::MaybeUninit;

/// Empty lines before a request line that are forgiven (RFC 9112 2.2).
const LEADING_LINES_MAX: usize = 4;
/// Most addresses in `X-Forwarded-For` before 463 (alb.md 7).
const FORWARDED_FOR_MAX: usize = 30;
/// With headers longer than this the trace id starts anew (alb.md 7.1).
const TRACE_HEADERS_MAX: usize = 7 * 1024;

/// A request that is answered without a target: the status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub u16);

const BAD_REQUEST: Refusal = Refusal(400);

/// What the proxy adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The client's address, for `X-Forwarded-For`.
    pub client_ip: &'a str,
    /// The listener's port, for `X-Forwarded-Port` and `Host`.
    pub port: u16,
    /// Stands for a missing `Host` in HTTP/1.0.
    pub default_host: &'a str,
    /// Seconds since the epoch, for the trace id.
    pub now_seconds: u32,
}

/// What must be known of a request to carry it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes of input that the head took.
    pub length: usize,
    /// The body that follows.
    pub body: Body,
    /// HEAD: the response has no body.
    pub is_head: bool,
    /// The method may be repeated without harm (RFC 9110 9.2.2).
    pub is_idempotent: bool,
    /// The client speaks HTTP/1.1: it reads chunks.
    pub is_version_11: bool,
    /// The client wants to keep the connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The client asks to switch protocols.
    pub upgrade: bool,
}

/// Reads one request head from the start of `input` and appends the head for
/// the target to `out`; `out` is untouched unless the head is complete.
///
/// The result for the first bytes of an input that are not partial is the
/// result for every longer input: how bytes are split makes no difference.
pub fn parse(
    input: &[u8],
    forwarding: &Forwarding<'_>,
    random: &mut Random,
    out: &mut Vec<u8>,
) -> Result<Parsed<RequestHead>, Refusal> {
    let skipped = match leading_lines(input)? {
        Parsed::Complete(skipped) => skipped,
        Parsed::Partial => return Ok(Parsed::Partial),
    };
    let input = &input[skipped..];
    check_request_line(input)?;
    let mut headers = [const { MaybeUninit::<Header>::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, &mut headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if exceeds_limits(input) => return Err(BAD_REQUEST),
        Ok(Status::Partial) => return Ok(Parsed::Partial),
        Err(ParseError::Version) if names_http(input) => return Err(Refusal(505)),
        Err(_) => return Err(BAD_REQUEST),
    };
    let method = request.method.ok_or(BAD_REQUEST)?;
    let target = request.path.ok_or(BAD_REQUEST)?;
    let lines = Lines::new(&input[..length], request.headers).ok_or(BAD_REQUEST)?;
    let headers_length = length - lines.first().len() - 2;
    let long_line = |index| lines.line(index).len() > REQUEST_HEADER_MAX;
    if headers_length > REQUEST_HEADERS_MAX || length > REQUEST_HEADER_MAX && (0..request.headers.len()).any(long_line)
    {
        return Err(BAD_REQUEST);
    }
    let mut rewriting = Rewriting {
        lines: &lines,
        headers: request.headers,
        forwarding,
        is_version_11: request.version == Some(1),
        headers_length,
    };
    let rollback = out.len();
    let mut head = rewriting.write(method, target, random, out).inspect_err(|_| out.truncate(rollback))?;
    head.length = skipped + length;
    Ok(Parsed::Complete(head))
}

/// How many bytes of empty lines precede the request line.
fn leading_lines(input: &[u8]) -> Result<Parsed<usize>, Refusal> {
    let mut skipped = 0;
    while input[skipped..].starts_with(b"\r\n") && skipped < 2 * LEADING_LINES_MAX {
        skipped += 2;
    }
    match &input[skipped..] {
        [] | [b'\r'] if skipped < 2 * LEADING_LINES_MAX => Ok(Parsed::Partial),
        [b'\r' | b'\n', ..] => Err(BAD_REQUEST),
        _ => Ok(Parsed::Complete(skipped)),
    }
}

/// Refuses a request line that is too long with 414, unless it is malformed
/// within the limit: then the parser will say so whatever follows.
fn check_request_line(input: &[u8]) -> Result<(), Refusal> {
    let Some(start) = input.get(..=REQUEST_LINE_MAX) else {
        return Ok(());
    };
    if start.contains(&b'\n') {
        return Ok(());
    }
    match httparse::Request::new(&mut []).parse(start) {
        Ok(_) => Err(Refusal(414)),
        Err(_) => Ok(()),
    }
}

/// Whether a head that has not ended yet is too long already.
fn exceeds_limits(input: &[u8]) -> bool {
    let mut headers = input.split_inclusive(|&byte| byte == b'\n').skip(1);
    input.len() > REQUEST_LINE_MAX + REQUEST_HEADERS_MAX
        || input.len() > REQUEST_HEADER_MAX && headers.any(|line| line.len() > REQUEST_HEADER_MAX)
}

/// Whether the third word of a request line speaks of HTTP: then an unknown
/// version is meant, else it is nonsense.
fn names_http(input: &[u8]) -> bool {
    input.split(|&byte| byte == b' ').nth(2).is_some_and(|word| word.starts_with(b"HTTP/"))
}

/// Headers that mean something to the proxy.
enum Field {
    Host,
    ContentLength,
    TransferEncoding,
    ForwardedFor,
    TraceId,
    Expect,
    Upgrade,
    /// Belongs to this hop, or is written anew.
    Dropped,
    Other,
}

fn classify(name: &str) -> Field {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Field::Dropped,
        4 if is("host") => Field::Host,
        6 if is("expect") => Field::Expect,
        7 if is("upgrade") => Field::Upgrade,
        10 if is("connection") || is("keep-alive") => Field::Dropped,
        14 if is("content-length") => Field::ContentLength,
        // Only h2c sends it, and a target must not switch behind the proxy's back.
        14 if is("http2-settings") => Field::Dropped,
        15 if is("x-forwarded-for") => Field::ForwardedFor,
        15 if is("x-amzn-trace-id") => Field::TraceId,
        16 if is("x-forwarded-port") || is("proxy-connection") => Field::Dropped,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        17 if is("x-forwarded-proto") => Field::Dropped,
        _ => Field::Other,
    }
}

/// One request on its way into the head for the target.
struct Rewriting<'a, 'h> {
    lines: &'a Lines<'h>,
    headers: &'a [Header<'h>],
    forwarding: &'a Forwarding<'a>,
    is_version_11: bool,
    headers_length: usize,
}

/// What the headers said, gathered while they are copied.
#[derive(Default)]
struct Gathered<'h> {
    host_seen: bool,
    content_length: Option<u64>,
    chunked: bool,
    forwarded_for: Vec<&'h [u8]>,
    trace: Option<&'h [u8]>,
    expects_continue: bool,
    upgrade: Option<&'h [u8]>,
}

impl<'h> Rewriting<'_, 'h> {
    /// Appends the whole head. `length` of the result is for the caller to fill in.
    fn write(
        &mut self,
        method: &str,
        target: &str,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> Result<RequestHead, Refusal> {
        let (authority, path) = split_target(method, target)?;
        out.reserve(self.lines.head.len() + 256);
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        if !path.starts_with('/') && path != "*" {
            out.push(b'/');
        }
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let options = ConnectionOptions::read(self.headers);
        let mut gathered = Gathered::default();
        for index in 0..self.headers.len() {
            self.copy(index, authority, &options, &mut gathered, out)?;
        }
        if !gathered.host_seen {
            if self.is_version_11 {
                return Err(BAD_REQUEST);
            }
            let host = authority.unwrap_or(self.forwarding.default_host);
            self.push_host(host.as_bytes(), out)?;
        }
        let body = match (gathered.chunked, gathered.content_length) {
            (true, Some(_)) => return Err(BAD_REQUEST),
            // HTTP/1.0 knows no chunks: a proxy before us may not have seen the end.
            (true, None) if !self.is_version_11 => return Err(BAD_REQUEST),
            (true, None) => Body::chunked(),
            (false, length) => Body::of_length(length.unwrap_or(0)),
        };
        if method == "TRACE" {
            return Err(Refusal(405));
        }
        let upgrade = gathered.upgrade.filter(|_| options.upgrade && self.is_version_11 && body.is_done());
        self.push_added(&gathered, upgrade, random, out)?;
        Ok(RequestHead {
            length: 0,
            body,
            is_head: method == "HEAD",
            is_idempotent: matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS"),
            is_version_11: self.is_version_11,
            keep_alive: !options.close && (self.is_version_11 || options.keep_alive),
            expects_continue: gathered.expects_continue && self.is_version_11,
            upgrade: upgrade.is_some(),
        })
    }

    /// Copies, gathers or drops one header.
    fn copy(
        &self,
        index: usize,
        authority: Option<&str>,
        options: &ConnectionOptions<'h>,
        gathered: &mut Gathered<'h>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let Header { name, value } = self.headers[index];
        match classify(name) {
            Field::Host => {
                if std::mem::replace(&mut gathered.host_seen, true) {
                    return Err(BAD_REQUEST);
                }
                self.push_host(authority.map_or(value, str::as_bytes), out)?;
            }
            Field::ContentLength => {
                let length = decimal(value).ok_or(BAD_REQUEST)?;
                if gathered.content_length.replace(length).is_some() {
                    return Err(BAD_REQUEST);
                }
                out.extend_from_slice(self.lines.line(index));
            }
            Field::TransferEncoding => {
                if std::mem::replace(&mut gathered.chunked, true) {
                    return Err(BAD_REQUEST);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    let mut codings = list(value).filter(|coding| coding.eq_ignore_ascii_case(b"chunked"));
                    let twice = codings.next().is_some() && codings.next().is_some();
                    return Err(if twice || value.is_empty() { BAD_REQUEST } else { Refusal(501) });
                }
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
            Field::ForwardedFor => gathered.forwarded_for.push(value),
            Field::TraceId => gathered.trace = gathered.trace.or(Some(value)),
            Field::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                gathered.expects_continue = true;
            }
            Field::Upgrade if !value.eq_ignore_ascii_case(b"h2c") => gathered.upgrade = Some(value),
            Field::Upgrade | Field::Dropped => {}
            Field::Expect | Field::Other => {
                if !options.names(name.as_bytes()) {
                    out.extend_from_slice(self.lines.line(index));
                }
            }
        }
        Ok(())
    }

    /// `Host` in lower case; the port goes on 80 and 443 and comes on others (alb.md 7).
    fn push_host(&self, host: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+,;=".contains(byte);
        if !host.iter().all(allowed) {
            return Err(BAD_REQUEST);
        }
        let name_length = match host.iter().rposition(|&byte| byte == b':') {
            Some(colon) if !host[colon..].contains(&b']') => colon,
            _ => host.len(),
        };
        out.extend_from_slice(b"Host: ");
        out.extend(host[..name_length].iter().map(u8::to_ascii_lowercase));
        if !matches!(self.forwarding.port, 80 | 443) {
            match host.get(name_length + 1..) {
                Some(port) if !port.is_empty() => {
                    out.push(b':');
                    out.extend_from_slice(port);
                }
                _ => {
                    out.push(b':');
                    push_decimal(out, u64::from(self.forwarding.port));
                }
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// The headers that the load balancer writes itself, and the end of the head.
    fn push_added(
        &self,
        gathered: &Gathered<'h>,
        upgrade: Option<&[u8]>,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let addresses: usize = gathered.forwarded_for.iter().map(|value| list(value).count()).sum();
        if addresses > FORWARDED_FOR_MAX {
            return Err(Refusal(463));
        }
        out.extend_from_slice(b"X-Forwarded-For: ");
        for value in gathered.forwarded_for.iter().filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(self.forwarding.client_ip.as_bytes());
        out.extend_from_slice(b"\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: ");
        push_decimal(out, u64::from(self.forwarding.port));
        out.extend_from_slice(b"\r\nX-Amzn-Trace-Id: ");
        let trace = gathered.trace.filter(|_| self.headers_length <= TRACE_HEADERS_MAX);
        push_trace(trace, self.forwarding.now_seconds, random, out);
        out.extend_from_slice(b"\r\n");
        if let Some(protocol) = upgrade {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
            out.extend_from_slice(protocol);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Splits a request target into an authority, if it is in absolute form, and
/// the path with query. CONNECT's form has no path and is refused.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str), Refusal> {
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let scheme_end = target.find("://").ok_or(BAD_REQUEST)?;
    if !matches!(target[..scheme_end].to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(BAD_REQUEST);
    }
    let rest = &target[scheme_end + 3..];
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    // The caller completes a path that does not start with a slash.
    if authority.is_empty() { Err(BAD_REQUEST) } else { Ok((Some(authority), path)) }
}

/// The trace id by the table of alb.md 7.1.
fn push_trace(incoming: Option<&[u8]>, now_seconds: u32, random: &mut Random, out: &mut Vec<u8>) {
    let mut push_new = |name: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(name);
        out.extend_from_slice(b"=1-");
        push_hex(out, u64::from(now_seconds), 8);
        out.push(b'-');
        push_hex(out, random.draw(), 16);
        push_hex(out, random.draw(), 8);
    };
    let fields = || {
        let value = incoming.unwrap_or_default();
        value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).filter(|field| !field.is_empty())
    };
    let named =
        |field: &[u8], name: &[u8]| field.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let has_root = fields().any(|field| named(field, b"Root="));
    push_new(if has_root { b"Self" } else { b"Root" }, out);
    for field in fields().filter(|field| !(has_root && named(field, b"Self="))) {
        out.push(b';');
        out.extend_from_slice(field);
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

/// Shared by the fuzz tests of both parsers.
#[cfg(test)]
pub(crate) mod tests_support {
    use crate::http::Random;

    /// A few random edits with bytes that matter to framing.
    pub(crate) fn mutate(input: &mut Vec<u8>, random: &mut Random) {
        let alphabet = b"\r\n\t :;,0159afGET/\x00\x7f\xff";
        for _ in 0..random.draw() % 4 {
            let at = (random.draw() % input.len().max(1) as u64) as usize;
            let byte = alphabet[(random.draw() % alphabet.len() as u64) as usize];
            match random.draw() % 4 {
                0 if !input.is_empty() => input[at] = byte,
                1 if !input.is_empty() => {
                    input.remove(at);
                }
                2 => input.truncate(at),
                _ => input.insert(at, byte),
            }
        }
    }
}
