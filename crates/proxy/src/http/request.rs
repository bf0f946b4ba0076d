//! Request heads: read and checked, then, once it is decided what happens to
//! them, written for the target (alb.md 6 and 7). Between the two a
//! [`RequestView`] borrows all it knows from the bytes that came.

use super::body::Body;
use super::desync::{self, Framing, Reason, Verdict};
use super::headers::{
    ClientInfo, FORWARDED_FOR_MAX, HeaderRules, HeaderSink, TRACE_HEADERS_MAX, check_host, is_valid_name, split_host,
};
use super::{
    ConnectionOptions, HEADERS_MAX, Lines, Parsed, REQUEST_HEADER_MAX, REQUEST_HEADERS_MAX, REQUEST_LINE_MAX, Random,
    decimal, list,
};
use elastane_domain::routing::Desync;
use httparse::{Error as ParseError, Header, Status};
use std::mem::MaybeUninit;

/// Empty lines before a request line that are forgiven (RFC 9112 2.2).
const LEADING_LINES_MAX: usize = 4;

/// A request that is answered without a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status code.
    pub status: u16,
    /// What is odd about the request, if that has a name.
    pub reason: Option<Reason>,
}

impl Refusal {
    /// 400 without a further reason.
    pub const BAD_REQUEST: Refusal = Refusal::status(400);

    /// A status without a further reason.
    pub const fn status(status: u16) -> Refusal {
        Refusal { status, reason: None }
    }

    const fn because(reason: Reason) -> Refusal {
        Refusal { status: 400, reason: Some(reason) }
    }
}

/// What the proxy adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// What the listener does to headers.
    pub rules: &'a HeaderRules,
    /// Who sent it.
    pub client: &'a ClientInfo,
    /// Seconds since the epoch, for the trace id.
    pub now_seconds: u32,
}

/// What the rule that was hit changes about a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrites<'a> {
    /// The value of `Host`, sent as it is.
    pub host: Option<&'a [u8]>,
    /// Path and query.
    pub url: Option<&'a [u8]>,
    /// Headers that are not let through, besides those that never are; by
    /// their beginning, in lower case.
    pub drop_prefix: Option<&'a str>,
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
    /// The client wants to keep the connection, and may.
    pub keep_alive: bool,
    /// The target's connection must not serve another request.
    pub close_target: bool,
    /// The client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The client asks to switch protocols.
    pub upgrade: bool,
    /// The worst of what is odd about it (alb.md 7.2).
    pub reason: Option<Reason>,
    /// A header's name is not one that the load balancer takes for valid.
    pub invalid_names: bool,
    /// HTTP/0.9: the client reads the body alone, up to the connection's end.
    pub is_simple: bool,
}

/// Memory for the headers of one head. Most of it is not initialised, so a
/// new one for each head costs next to nothing.
pub struct HeaderTable<'b> {
    headers: [MaybeUninit<Header<'b>>; HEADERS_MAX],
    fields: [Field; HEADERS_MAX],
}

/// A table for [`read`].
#[inline(always)]
pub const fn header_table<'b>() -> HeaderTable<'b> {
    HeaderTable { headers: [const { MaybeUninit::uninit() }; HEADERS_MAX], fields: [Field::Other; HEADERS_MAX] }
}

/// One request as it came, checked.
pub struct RequestView<'t, 'b> {
    lines: Lines<'t>,
    headers: &'t [Header<'b>],
    fields: &'t [Field],
    method: &'b str,
    target: &'b str,
    authority: Option<&'b str>,
    host: Option<&'b [u8]>,
    trace: Option<&'b [u8]>,
    upgrade: Option<&'b [u8]>,
    options: ConnectionOptions<'b>,
    info: RequestHead,
}

/// Reads one request head from the start of `input`.
///
/// The result for the first bytes of an input that are not partial is the
/// result for every longer input: how bytes are split makes no difference.
pub fn read<'t, 'b>(
    input: &'b [u8],
    mode: Desync,
    table: &'t mut HeaderTable<'b>,
) -> Result<Parsed<RequestView<'t, 'b>>, Refusal> {
    let skipped = match leading_lines(input)? {
        Parsed::Complete(skipped) => skipped,
        Parsed::Partial => return Ok(Parsed::Partial),
    };
    let input = &input[skipped..];
    check_request_line(input)?;
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, &mut table.headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if exceeds_limits(input) => return Err(Refusal::BAD_REQUEST),
        Ok(Status::Partial) => return Ok(Parsed::Partial),
        Err(error) => return Err(diagnose(input, error)),
    };
    let httparse::Request { method, path, version, headers } = request;
    let (method, target) = method.zip(path).ok_or(Refusal::BAD_REQUEST)?;
    let headers: &[Header<'b>] = headers;
    let lines = Lines::new(&input[..length], headers).ok_or(Refusal::because(Reason::BadHeader))?;
    let headers_length = length - lines.first().len() - 2;
    let long_line = |index| lines.line(index).len() > REQUEST_HEADER_MAX;
    if headers_length > REQUEST_HEADERS_MAX || length > REQUEST_HEADER_MAX && (0..headers.len()).any(long_line) {
        return Err(Refusal::BAD_REQUEST);
    }
    let (authority, target) = split_target(method, target)?;
    let mut reading = Reading { method, is_version_11: version == Some(1), ..Reading::default() };
    let fields = &mut table.fields[..headers.len()];
    for (field, header) in fields.iter_mut().zip(headers) {
        *field = reading.take(header)?;
    }
    // Without an early end: it is cheaper where nearly all heads are ASCII.
    if input[lines.first().len()..length].iter().fold(0, |all, byte| all | byte) >= 0x80 {
        reading.found(Reason::NonCompliantHeader);
    }
    let mut info = reading.finish(authority, mode)?;
    if info.reason.is_some_and(|reason| reason >= Reason::AmbiguousUri) {
        reading.drop_doubles(fields);
    }
    info.length = skipped + length;
    Ok(Parsed::Complete(RequestView {
        lines,
        headers,
        fields,
        method,
        target,
        authority,
        host: reading.host,
        trace: reading.trace.filter(|_| headers_length <= TRACE_HEADERS_MAX),
        upgrade: reading.upgrade.filter(|_| info.upgrade),
        options: reading.options,
        info,
    }))
}

/// How many bytes of empty lines precede the request line.
fn leading_lines(input: &[u8]) -> Result<Parsed<usize>, Refusal> {
    let mut skipped = 0;
    while input[skipped..].starts_with(b"\r\n") && skipped < 2 * LEADING_LINES_MAX {
        skipped += 2;
    }
    match &input[skipped..] {
        [] | [b'\r'] if skipped < 2 * LEADING_LINES_MAX => Ok(Parsed::Partial),
        [b'\r' | b'\n', ..] => Err(Refusal::BAD_REQUEST),
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
        Ok(_) => Err(Refusal::status(414)),
        Err(_) => Ok(()),
    }
}

/// Whether a head that has not ended yet is too long already.
fn exceeds_limits(input: &[u8]) -> bool {
    let mut headers = input.split_inclusive(|&byte| byte == b'\n').skip(1);
    input.len() > REQUEST_LINE_MAX + REQUEST_HEADERS_MAX
        || input.len() > REQUEST_HEADER_MAX && headers.any(|line| line.len() > REQUEST_HEADER_MAX)
}

/// What is wrong with a head that cannot be read. The status depends only on
/// what the parser had seen; the reason may name more of what came.
#[cold]
fn diagnose(input: &[u8], error: ParseError) -> Refusal {
    let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|&byte| byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reason = match error {
        ParseError::Version => match words.next() {
            // Names HTTP: an unknown version is meant, else it is nonsense.
            Some(version) if version.starts_with(b"HTTP/") => return Refusal::status(505),
            Some(_) if words.next_back().is_some_and(|word| word.starts_with(b"HTTP/")) => Reason::SpaceInUri,
            _ => Reason::BadVersion,
        },
        ParseError::Token if !super::is_token(method) => Reason::BadMethod,
        ParseError::Token if target.iter().any(|byte| matches!(byte, b'\0' | b'\r')) => Reason::BadUri,
        ParseError::Token if target.iter().any(u8::is_ascii_control) => Reason::AmbiguousUri,
        ParseError::Token | ParseError::Status | ParseError::TooManyHeaders => return Refusal::BAD_REQUEST,
        ParseError::HeaderName if has_nameless_line(input) => Reason::EmptyHeader,
        ParseError::HeaderName | ParseError::HeaderValue | ParseError::NewLine => Reason::BadHeader,
    };
    Refusal::because(reason)
}

/// Whether a header line is blank but for spaces, or has no name.
fn has_nameless_line(input: &[u8]) -> bool {
    let lines = input.split(|&byte| byte == b'\n').skip(1);
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.any(|line| line.first() == Some(&b':') || !line.is_empty() && line.trim_ascii().is_empty())
}

/// Headers that mean something to the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Host,
    ContentLength,
    TransferEncoding,
    ForwardedFor,
    TraceId,
    Expect,
    Upgrade,
    Connection,
    /// Belongs to this hop, or is written anew.
    Dropped,
    Cookie,
    /// Starts with `x-amzn-`: may be one that the load balancer vouches for.
    Amazon,
    Other,
}

fn classify(name: &str) -> Field {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Field::Dropped,
        4 if is("host") => Field::Host,
        6 if is("expect") => Field::Expect,
        6 if is("cookie") => Field::Cookie,
        7 if is("upgrade") => Field::Upgrade,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::Dropped,
        14 if is("content-length") => Field::ContentLength,
        // Only h2c sends it, and a target must not switch behind the proxy's back.
        14 if is("http2-settings") => Field::Dropped,
        15 if is("x-forwarded-for") => Field::ForwardedFor,
        15 if is("x-amzn-trace-id") => Field::TraceId,
        16 if is("x-forwarded-port") || is("proxy-connection") => Field::Dropped,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        17 if is("x-forwarded-proto") => Field::Dropped,
        18.. if name.as_bytes()[..7].eq_ignore_ascii_case(b"x-amzn-") => Field::Amazon,
        _ => Field::Other,
    }
}

/// What the headers say, gathered one by one.
#[derive(Default)]
struct Reading<'b> {
    method: &'b str,
    is_version_11: bool,
    host: Option<&'b [u8]>,
    content_length: Option<u64>,
    chunked: bool,
    identity: bool,
    forwarded_for: usize,
    trace: Option<&'b [u8]>,
    expects_continue: bool,
    upgrade: Option<&'b [u8]>,
    options: ConnectionOptions<'b>,
    suspicious_length: bool,
    suspicious_coding: bool,
    reason: Option<Reason>,
    invalid_names: bool,
}

impl<'b> Reading<'b> {
    fn found(&mut self, reason: Reason) {
        self.reason = self.reason.max(Some(reason));
    }

    /// Takes one header.
    fn take(&mut self, header: &Header<'b>) -> Result<Field, Refusal> {
        let Header { name, value } = *header;
        let field = classify(name);
        match field {
            Field::Host if self.host.replace(value).is_some() => return Err(Refusal::BAD_REQUEST),
            Field::ContentLength => {
                let length = decimal(value).ok_or(Refusal::because(Reason::BadContentLength))?;
                match self.content_length.replace(length) {
                    Some(before) if before != length => return Err(Refusal::because(Reason::MultipleContentLength)),
                    Some(_) => self.found(Reason::DuplicateContentLength),
                    None => {}
                }
            }
            Field::TransferEncoding => self.take_coding(value)?,
            Field::ForwardedFor => self.forwarded_for += list(value).count(),
            Field::Connection => self.options.take(value),
            Field::TraceId => self.trace = self.trace.or(Some(value)),
            Field::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                self.expects_continue = true;
                return Ok(Field::Dropped);
            }
            Field::Upgrade if !value.eq_ignore_ascii_case(b"h2c") => self.upgrade = Some(value),
            Field::Other => {
                self.invalid_names |= !is_valid_name(name.as_bytes());
                match desync::is_suspicious(name.as_bytes()) {
                    Some(Framing::ContentLength) => self.suspicious_length = true,
                    Some(Framing::TransferEncoding) => self.suspicious_coding = true,
                    None => {}
                }
            }
            _ => {}
        }
        Ok(field)
    }

    fn take_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if value.eq_ignore_ascii_case(b"chunked") {
            if std::mem::replace(&mut self.chunked, true) {
                self.found(Reason::MultipleTransferEncodingChunked);
            }
            return Ok(());
        }
        if value.eq_ignore_ascii_case(b"identity") {
            self.identity = true;
            return Ok(());
        }
        let mut codings = list(value).filter(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        let twice = codings.next().is_some() && codings.next().is_some();
        let nonsense = twice || list(value).next().is_none();
        Err(if nonsense { Refusal::because(Reason::BadTransferEncoding) } else { Refusal::status(501) })
    }

    /// Judges the whole. `length` of the result is for the caller to fill in.
    fn finish(&mut self, authority: Option<&str>, mode: Desync) -> Result<RequestHead, Refusal> {
        match (self.host, authority) {
            (None, _) if self.is_version_11 => return Err(Refusal::BAD_REQUEST),
            (_, Some(authority)) => check_host(authority.as_bytes())?,
            (Some(host), None) => check_host(host)?,
            (None, None) => {}
        }
        let body = self.body()?;
        if self.method == "TRACE" {
            return Err(Refusal::status(405));
        }
        if self.forwarded_for > FORWARDED_FOR_MAX {
            return Err(Refusal::status(463));
        }
        let verdict = self.reason.map_or(Verdict::Allow, |reason| reason.verdict(mode));
        if verdict == Verdict::Block {
            return Err(Refusal { status: 400, reason: self.reason });
        }
        let closes = verdict == Verdict::AllowAndClose;
        let options = &self.options;
        Ok(RequestHead {
            length: 0,
            body,
            is_head: self.method == "HEAD",
            is_idempotent: matches!(self.method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS"),
            is_version_11: self.is_version_11,
            keep_alive: !closes && !options.close && (self.is_version_11 || options.keep_alive),
            close_target: closes,
            expects_continue: self.expects_continue && self.is_version_11,
            upgrade: self.upgrade.is_some() && options.upgrade && self.is_version_11 && body.is_done(),
            reason: self.reason,
            invalid_names: self.invalid_names,
            is_simple: false,
        })
    }

    /// Which body follows (RFC 9112 6.3): chunks overrule a length.
    fn body(&mut self) -> Result<Body, Refusal> {
        let coded = self.chunked || self.identity;
        let suspicious = self.suspicious_coding || self.suspicious_length;
        if self.suspicious_coding && (self.content_length.is_some() || self.suspicious_length)
            || self.suspicious_length && coded
            || suspicious && coded && self.content_length.is_some()
        {
            self.found(Reason::SuspiciousTeClPresent);
        } else if suspicious {
            self.found(Reason::SuspiciousHeader);
        } else if coded && self.content_length.is_some() {
            self.found(Reason::BothTeClPresent);
        }
        if self.chunked && self.identity {
            self.found(Reason::BadTransferEncoding);
        }
        if matches!(self.method, "GET" | "HEAD") {
            match self.content_length {
                _ if self.chunked => self.found(Reason::UndefinedTransferEncodingSemantics),
                Some(0) => self.found(Reason::GetHeadZeroContentLength),
                Some(_) => self.found(Reason::UndefinedContentLengthSemantics),
                None => {}
            }
        }
        match (self.chunked, self.content_length) {
            // HTTP/1.0 knows no chunks: a proxy before us may not have seen the end.
            (true, _) if !self.is_version_11 => Err(Refusal::because(Reason::BadTransferEncoding)),
            (true, _) => Ok(Body::chunked()),
            (false, length) => Ok(Body::of_length(length.unwrap_or(0))),
        }
    }

    /// Leaves one framing header for the target, whatever came.
    fn drop_doubles(&self, fields: &mut [Field]) {
        let (mut length_seen, mut coding_seen) = (self.chunked, false);
        for field in fields {
            let seen = match field {
                Field::ContentLength => &mut length_seen,
                Field::TransferEncoding => &mut coding_seen,
                _ => continue,
            };
            if std::mem::replace(seen, true) {
                *field = Field::Dropped;
            }
        }
    }
}

/// Splits a request target into an authority, if it is in absolute form, and
/// the path with query. CONNECT's form has no path and is refused.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str), Refusal> {
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let scheme_end = target.find("://").ok_or(Refusal::BAD_REQUEST)?;
    if !matches!(target[..scheme_end].to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(Refusal::BAD_REQUEST);
    }
    let rest = &target[scheme_end + 3..];
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    // Whoever uses a path that does not start with a slash completes it.
    if authority.is_empty() { Err(Refusal::BAD_REQUEST) } else { Ok((Some(authority), path)) }
}

impl<'b> RequestView<'_, 'b> {
    /// What must be known of it to carry it out.
    pub fn info(&self) -> &RequestHead {
        &self.info
    }

    /// The same as a request of HTTP/0.9, of whose input it took `length` bytes.
    pub fn simple(mut self, length: usize) -> Self {
        let reason = Some(Reason::NonCompliantVersion);
        self.info = RequestHead { length, reason, keep_alive: false, is_simple: true, ..self.info };
        self
    }

    /// The method, as sent.
    pub fn method(&self) -> &'b str {
        self.method
    }

    /// Path and query as sent; may lack the first slash in absolute form.
    pub fn target(&self) -> &'b str {
        self.target
    }

    /// The host and port that the client named; `None` only for HTTP/1.0.
    pub fn authority(&self) -> Option<&'b [u8]> {
        self.authority.map(str::as_bytes).or(self.host)
    }

    /// The host without port; empty when there is none.
    pub fn host_name(&self) -> &'b [u8] {
        self.authority().map_or(&[], |host| split_host(host).0)
    }

    /// The path as sent; may be empty in absolute form.
    pub fn path(&self) -> &'b [u8] {
        self.target.split_once('?').map_or(self.target, |(path, _)| path).as_bytes()
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&'b [u8]> {
        self.target.split_once('?').map(|(_, query)| query.as_bytes())
    }

    /// Every header: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        self.headers.iter().map(|header| (header.name.as_bytes(), header.value))
    }

    /// The values of a header, by its name in any case.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'_, 'b, 'n> {
        let named = move |header: &&Header<'b>| header.name.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|header| header.value)
    }

    /// The head as it came.
    pub fn bytes(&self) -> &[u8] {
        self.lines.head
    }

    fn values_of(&self, wanted: Field) -> impl Iterator<Item = &'b [u8]> {
        let fields = self.headers.iter().zip(self.fields);
        fields.filter(move |(_, field)| **field == wanted).map(|(header, _)| header.value)
    }

    /// The values of `Cookie`.
    pub fn cookies(&self) -> impl Iterator<Item = &'b [u8]> {
        self.values_of(Field::Cookie)
    }

    /// Appends the head for the target to `out`.
    pub fn write_http1(
        &self,
        forwarding: &Forwarding<'_>,
        rewrites: &Rewrites<'_>,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) {
        let rules = forwarding.rules;
        out.reserve(self.lines.head.len() + 256);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        let url = rewrites.url.unwrap_or(self.target.as_bytes());
        if url.first() != Some(&b'/') && url != b"*" {
            out.push(b'/');
        }
        out.extend_from_slice(url);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.write_headers(rules, rewrites, out);
        if self.host.is_none() {
            self.write_host(rules, rewrites, out);
        }
        let forwarded_for = self.values_of(Field::ForwardedFor);
        rules.add(forwarding.client, forwarded_for, self.trace, forwarding.now_seconds, random, out);
        if let Some(protocol) = self.upgrade {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
            out.extend_from_slice(protocol);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Copies what passes, in as few pieces as possible.
    fn write_headers(&self, rules: &HeaderRules, rewrites: &Rewrites<'_>, out: &mut Vec<u8>) {
        let special = !rules.keeps_all() || rewrites.drop_prefix.is_some() || !self.options.named.is_empty();
        let drops_invalid = rules.drop_invalid && self.info.invalid_names;
        let head = self.lines.head;
        // Lines from here on up to the one at hand pass.
        let mut start = self.lines.first().len();
        for (index, field) in self.fields.iter().enumerate() {
            let name = self.headers[index].name.as_bytes();
            let passes = match field {
                Field::Other | Field::Expect | Field::Cookie | Field::Amazon => {
                    let is_invalid = drops_invalid && !is_valid_name(name);
                    !(is_invalid || special && self.is_dropped(name, rules, rewrites))
                }
                Field::ContentLength => true,
                _ => false,
            };
            if passes {
                continue;
            }
            out.extend_from_slice(&head[start..self.lines.start(index)]);
            start = self.lines.start(index + 1);
            match field {
                Field::Host => self.write_host(rules, rewrites, out),
                Field::TransferEncoding if matches!(self.info.body, Body::Chunked(_)) => {
                    out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                }
                _ => {}
            }
        }
        out.extend_from_slice(&head[start..head.len() - 2]);
    }

    /// Whether a header that is like any other does not pass all the same.
    fn is_dropped(&self, name: &[u8], rules: &HeaderRules, rewrites: &Rewrites<'_>) -> bool {
        let prefixed =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
        self.options.names(name) || !rules.keeps(name) || rewrites.drop_prefix.is_some_and(prefixed)
    }

    fn write_host(&self, rules: &HeaderRules, rewrites: &Rewrites<'_>, out: &mut Vec<u8>) {
        out.header("Host", |out| match (rewrites.host, self.authority, self.host) {
            (Some(host), _, _) => out.extend_from_slice(host),
            (None, _, Some(host)) if rules.preserve_host => out.extend_from_slice(host),
            (None, authority, host) => {
                let host = authority.map(str::as_bytes).or(host);
                rules.push_host(host.unwrap_or(rules.default_host.as_bytes()), out);
            }
        });
    }
}

/// The path in the form that rules are written for: escapes of characters
/// that need none are resolved, other escapes are in upper case, and dot
/// segments are gone (RFC 3986 6.2.2). `None` when it is in that form already.
pub fn normalised_path(path: &[u8]) -> Option<Vec<u8>> {
    let has_dots = path.windows(2).any(|pair| pair == b"/.");
    if !has_dots && !path.contains(&b'%') && path.first() == Some(&b'/') {
        return None;
    }
    let decoded = decode_unreserved(path);
    let mut result: Vec<u8> = Vec::with_capacity(decoded.len() + 1);
    let rest = decoded.strip_prefix(b"/").unwrap_or(&decoded);
    let mut segments = rest.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    let parent = result.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                    result.truncate(parent);
                }
                if last {
                    result.push(b'/');
                }
            }
            segment => {
                result.push(b'/');
                result.extend_from_slice(segment);
            }
        }
    }
    Some(result)
}

fn decode_unreserved(path: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let escaped = match path[at..] {
            [b'%', high, low, ..] => digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        match escaped {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                decoded.push(byte);
                at += 3;
            }
            Some(_) => {
                decoded.extend_from_slice(&path[at..at + 3].to_ascii_uppercase());
                at += 3;
            }
            None => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    decoded
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
