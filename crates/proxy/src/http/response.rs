//! Response heads: checked, and rewritten for the client.

use super::body::Body;
use super::headers::ResponseEdits;
use super::{ConnectionOptions, HEADERS_MAX, Lines, Parsed, RESPONSE_HEAD_MAX, decimal, push_decimal};
use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// A response that cannot be passed on: 502 for the client, and the end of
/// the connection to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadResponse;

/// What of the request decides how its response is read and written.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// It answers a HEAD request.
    pub is_head: bool,
    /// The client asked to switch protocols, so 101 is an answer.
    pub upgrade: bool,
    /// The client reads chunks.
    pub is_version_11: bool,
    /// Both the client and the proxy want to keep the client's connection.
    pub keep_alive: bool,
    /// What the listener changes about responses.
    pub edits: Option<&'a ResponseEdits>,
}

/// What must be known of a response to carry it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Bytes of input that the head took.
    pub length: usize,
    /// Status code.
    pub status: u16,
    /// The body that follows.
    pub body: Body,
    /// 1xx but 101: nothing was written, the real response follows.
    pub is_interim: bool,
    /// 101: bytes in both directions follow.
    pub is_tunnel: bool,
    /// The client gets the payload without chunk framing.
    pub unframed: bool,
    /// The client's connection stays open afterwards.
    pub keep_client: bool,
    /// The target's connection stays open afterwards.
    pub keep_target: bool,
}

/// Reads one response head from the start of `input` and appends the head for
/// the client to `out`, unless it is partial, interim or bad.
pub fn parse(
    input: &[u8],
    context: &ResponseContext<'_>,
    out: &mut Vec<u8>,
) -> Result<Parsed<ResponseHead>, BadResponse> {
    let mut headers = [const { MaybeUninit::<Header>::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut headers);
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= RESPONSE_HEAD_MAX => length,
        Ok(Status::Partial) if input.len() < RESPONSE_HEAD_MAX => return Ok(Parsed::Partial),
        _ => return Err(BadResponse),
    };
    if !input.starts_with(b"HTTP/1.") {
        return Err(BadResponse);
    }
    let status = response.code.filter(|code| (100..600).contains(code)).ok_or(BadResponse)?;
    let lines = Lines::new(&input[..length], response.headers).ok_or(BadResponse)?;
    let is_version_11 = response.version == Some(1);
    let options = ConnectionOptions::read(response.headers);
    let framing = Framing::read(response.headers, is_version_11)?;
    let is_tunnel = status == 101;
    if is_tunnel && !(context.upgrade && options.upgrade && is_version_11) {
        return Err(BadResponse);
    }
    let body = framing.body(status, context.is_head);
    let unframed = matches!(body, Body::Chunked(_)) && !context.is_version_11;
    let head = ResponseHead {
        length,
        status,
        body,
        is_interim: status < 200 && !is_tunnel,
        is_tunnel,
        unframed,
        keep_client: context.keep_alive && body != Body::UntilClose && !unframed && !is_tunnel,
        keep_target: is_version_11 && !options.close && body != Body::UntilClose && !is_tunnel,
    };
    if !head.is_interim {
        let reason = response.reason.unwrap_or_default();
        let writing = Writing { head: &head, lines: &lines, headers: response.headers, options: &options };
        writing.write(reason, context.edits, out);
    }
    Ok(Parsed::Complete(head))
}

/// What the framing headers say.
struct Framing {
    chunked: bool,
    length: Option<u64>,
}

impl Framing {
    fn read(headers: &[Header<'_>], is_version_11: bool) -> Result<Framing, BadResponse> {
        let mut framing = Framing { chunked: false, length: None };
        for header in headers {
            if is_length(header.name) {
                let length = decimal(header.value).ok_or(BadResponse)?;
                if framing.length.replace(length).is_some() {
                    return Err(BadResponse);
                }
            } else if is_coding(header.name) {
                let chunked = header.value.eq_ignore_ascii_case(b"chunked") && is_version_11;
                if !chunked || std::mem::replace(&mut framing.chunked, true) {
                    return Err(BadResponse);
                }
            }
        }
        match framing {
            Framing { chunked: true, length: Some(_) } => Err(BadResponse),
            framing => Ok(framing),
        }
    }

    /// RFC 9112 6.3.
    fn body(&self, status: u16, is_head: bool) -> Body {
        match (self.chunked, self.length) {
            _ if is_head || status < 200 || status == 204 || status == 304 => Body::Empty,
            (true, _) => Body::chunked(),
            (false, Some(length)) => Body::of_length(length),
            (false, None) => Body::UntilClose,
        }
    }
}

fn is_length(name: &str) -> bool {
    name.len() == 14 && name.eq_ignore_ascii_case("content-length")
}

fn is_coding(name: &str) -> bool {
    name.len() == 17 && name.eq_ignore_ascii_case("transfer-encoding")
}

/// Whether a header ends at this hop, or is written anew.
fn is_dropped(name: &str, head: &ResponseHead) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        7 => !head.is_tunnel && is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        14 => (head.status == 204 || head.is_tunnel) && is("content-length"),
        16 => is("proxy-connection"),
        17 => (head.unframed || head.status == 204 || head.status == 304 || head.is_tunnel) && is("transfer-encoding"),
        _ => false,
    }
}

/// A head on its way to the client.
struct Writing<'a> {
    head: &'a ResponseHead,
    lines: &'a Lines<'a>,
    headers: &'a [Header<'a>],
    options: &'a ConnectionOptions<'a>,
}

impl Writing<'_> {
    fn write(&self, reason: &str, edits: Option<&ResponseEdits>, out: &mut Vec<u8>) {
        let Writing { head, lines, .. } = self;
        out.reserve(head.length + 64);
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(out, u64::from(head.status));
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        // Lines from here on up to the one at hand pass.
        let mut start = lines.first().len();
        for (index, header) in self.headers.iter().enumerate() {
            if self.passes(header.name) && edits.is_none_or(|edits| edits.keeps(header.name.as_bytes())) {
                continue;
            }
            out.extend_from_slice(&lines.head[start..lines.start(index)]);
            start = lines.start(index + 1);
        }
        out.extend_from_slice(&lines.head[start..lines.head.len() - 2]);
        if let Some(edits) = edits {
            edits.push(out);
        }
        out.extend_from_slice(match head {
            ResponseHead { is_tunnel: true, .. } => b"Connection: Upgrade\r\n\r\n".as_slice(),
            ResponseHead { keep_client: true, .. } => b"Connection: keep-alive\r\n\r\n".as_slice(),
            _ => b"Connection: close\r\n\r\n".as_slice(),
        });
    }

    fn passes(&self, name: &str) -> bool {
        if is_dropped(name, self.head) {
            return false;
        }
        // Almost no response names headers that end here.
        if self.options.named.is_empty() || self.head.is_tunnel {
            return true;
        }
        is_length(name) || is_coding(name) || !self.options.names(name.as_bytes())
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
