//! Heads between the two forms: HTTP/2's header lists and HTTP/1's text. What
//! headers mean is decided by the HTTP/1 engine; this only carries them over.

use crate::http::headers::ClientProtocol;
use crate::http::{HEADERS_MAX, RESPONSE_HEAD_MAX, decimal};
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request, response};
use httparse::{Header, Status};
use memchr::memchr;
use std::mem::MaybeUninit;

/// How the body behind a head ends, as far as an adapter must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the sender says so.
    UntilEnd,
}

/// A head that cannot be carried over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadHead;

/// What a client's request speaks.
pub(super) fn protocol(headers: &HeaderMap) -> ClientProtocol {
    match headers.get(header::CONTENT_TYPE) {
        Some(value) if is_grpc(value.as_bytes()) => ClientProtocol::Grpc,
        _ => ClientProtocol::Http2,
    }
}

fn is_grpc(content_type: &[u8]) -> bool {
    const PREFIX: &[u8] = b"application/grpc";
    content_type.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        && matches!(content_type.get(PREFIX.len()), None | Some(b'+' | b';' | b' '))
}

/// Appends a client's request head as HTTP/1 text; returns how its body is framed.
pub(super) fn write_request(parts: &request::Parts, has_body: bool, out: &mut Vec<u8>) -> Framing {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str(),
        None => parts.uri.authority().map_or("/", |authority| authority.as_str()),
    };
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let authority = parts.uri.authority();
    if let Some(authority) = authority {
        push_line("Host", authority.as_str().as_bytes(), out);
    }
    let mut length = None;
    let mut in_cookie = false;
    // Values of one name follow each other.
    for (name, value) in &parts.headers {
        match *name {
            header::HOST if authority.is_some() => {}
            // Malformed already for HTTP/2; in HTTP/1 they would mean something.
            header::TRANSFER_ENCODING => {}
            _ if is_hop_by_hop(name) => {}
            header::COOKIE if std::mem::replace(&mut in_cookie, true) => {
                // RFC 9113 8.2.3: crumbs are one header again.
                out.truncate(out.len() - b"\r\n".len());
                out.extend_from_slice(b"; ");
                out.extend_from_slice(value.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            header::CONTENT_LENGTH => {
                length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
                push_line("Content-Length", value.as_bytes(), out);
            }
            _ => push_line(name.as_str(), value.as_bytes(), out),
        }
    }
    let framing = match (has_body, length) {
        (false, _) => Framing::Empty,
        (true, Some(length)) => Framing::Length(length),
        (true, None) => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            Framing::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    framing
}

/// Appends a target's response head as HTTP/1 text; returns how its body is framed.
pub(super) fn write_response(parts: &response::Parts, has_body: bool, out: &mut Vec<u8>) -> Framing {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut length = None;
    for (name, value) in &parts.headers {
        if *name == header::CONTENT_LENGTH {
            length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        }
        push_line(name.as_str(), value.as_bytes(), out);
    }
    let framing = match (has_body, length) {
        (true, Some(length)) => Framing::Length(length),
        (true, None) => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Framing::Chunked
        }
        (false, None) if !bodiless(parts.status.as_u16()) => {
            out.extend_from_slice(b"content-length: 0\r\n");
            Framing::Empty
        }
        (false, _) => Framing::Empty,
    };
    out.extend_from_slice(b"\r\n");
    framing
}

/// Appends the last chunk with trailers.
pub(super) fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        push_line(name.as_str(), value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

fn push_line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

/// Most of a body that is copied together with its head.
const SMALL_BODY_MAX: usize = 16 * 1024;

/// A response head that the engine wrote.
pub(super) struct ReadResponse {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Bytes of input that the head took.
    pub(super) length: usize,
    /// The body, if all of it came with the head and it is small.
    pub(super) body: Option<Bytes>,
}

/// Reads a response head that the engine wrote. `None`: it is not complete.
///
/// The engine has checked the target's head and ended every line with CRLF,
/// so lines are only taken apart here; what is no name or no value is still
/// refused.
pub(super) fn read_response(input: &[u8], is_head: bool) -> Result<Option<ReadResponse>, BadHead> {
    let Some((length, lines)) = head_end(input) else {
        // What the engine adds is little beside what it let through.
        return if input.len() < 2 * RESPONSE_HEAD_MAX { Ok(None) } else { Err(BadHead) };
    };
    let (first, code) = (input.strip_prefix(b"HTTP/1.1 ").ok_or(BadHead)?, b"200".len());
    let status = StatusCode::from_bytes(first.get(..code).ok_or(BadHead)?).map_err(|_| BadHead)?;
    let is_small = input.len() - length <= SMALL_BODY_MAX;
    let text = Bytes::copy_from_slice(if is_small { input } else { &input[..length] });
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_2;
    let (map, mut framing) = read_lines(&text.slice(..length), lines)?;
    *response.headers_mut() = map;
    if is_head || bodiless(status.as_u16()) {
        framing = Framing::Empty;
    }
    if framing == Framing::Length(0) {
        framing = Framing::Empty;
    }
    let body = match framing {
        Framing::Length(bytes) if (text.len() - length) as u64 == bytes => Some(text.slice(length..)),
        _ => None,
    };
    Ok(Some(ReadResponse { response, framing, length, body }))
}

/// Where a head ends, and how many lines it has with its first; `None` if it
/// does not end here.
fn head_end(input: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut lines) = (0, 0);
    loop {
        let length = memchr(b'\n', &input[at..])?;
        at += length + 1;
        if length <= 1 {
            return Some((at, lines));
        }
        lines += 1;
    }
}

/// The headers of a head that the engine wrote, as [`header_map`] does it.
/// The values are parts of `text`; `lines` is how many lines it has.
fn read_lines(text: &Bytes, lines: usize) -> Result<(HeaderMap, Framing), BadHead> {
    let mut map = HeaderMap::with_capacity(lines);
    let mut framing = Framing::UntilEnd;
    let line_end = |at: usize| memchr(b'\r', &text[at..]).map(|length| at + length);
    let mut at = line_end(0).ok_or(BadHead)? + b"\r\n".len();
    loop {
        let end = line_end(at).ok_or(BadHead)?;
        if end == at {
            return Ok((map, framing));
        }
        let colon = at + text[at..end].iter().position(|&byte| byte == b':').ok_or(BadHead)?;
        let name = &text[at..colon];
        at = end + b"\r\n".len();
        if ends_here(name) {
            continue;
        }
        let value = text[colon + 1..end].trim_ascii();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            framing = Framing::Chunked;
            continue;
        }
        if framing != Framing::Chunked && name.eq_ignore_ascii_case(b"content-length") {
            framing = Framing::Length(decimal(value).ok_or(BadHead)?);
        }
        let value = if value.is_empty() { Bytes::new() } else { text.slice_ref(value) };
        let name = HeaderName::from_bytes(name).map_err(|_| BadHead)?;
        map.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| BadHead)?);
    }
}

/// What [`is_hop_by_hop`] says, of a name in any case.
fn ends_here(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        7 => is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        14 => is("http2-settings"),
        16 => is("proxy-connection"),
        _ => false,
    }
}

/// Reads a request head that the engine wrote. `None`: it is not complete.
pub(super) fn read_request(
    input: &[u8],
    scheme: &'static str,
) -> Result<Option<(Request<()>, Framing, usize)>, BadHead> {
    let mut headers = [const { MaybeUninit::<Header>::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(input, &mut headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(BadHead),
    };
    let text = Bytes::copy_from_slice(&input[..length]);
    let host = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
    let mut uri = Uri::builder().scheme(scheme).path_and_query(parsed.path.ok_or(BadHead)?);
    uri = uri.authority(host.map_or(b"".as_slice(), |host| host.value));
    let method = Method::from_bytes(parsed.method.ok_or(BadHead)?.as_bytes()).map_err(|_| BadHead)?;
    let (mut map, framing) = header_map(parsed.headers, input, &text)?;
    map.remove(header::HOST);
    if map.get(header::CONTENT_TYPE).is_some_and(|value| is_grpc(value.as_bytes())) {
        // It ends at each hop, and gRPC servers ask for it.
        map.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri.build().map_err(|_| BadHead)?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = map;
    let framing = if matches!(framing, Framing::UntilEnd | Framing::Length(0)) { Framing::Empty } else { framing };
    Ok(Some((request, framing, length)))
}

/// Reads trailer lines up to their empty line.
pub(super) fn read_trailers(lines: &[u8]) -> Result<HeaderMap, BadHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(lines, &mut headers) {
        Ok(Status::Complete((_, headers))) => {
            let text = Bytes::copy_from_slice(lines);
            header_map(headers, lines, &text).map(|(map, _)| map)
        }
        _ => Err(BadHead),
    }
}

/// Headers without those that end at this hop, and what they say of the body.
/// `text` is a copy of `input`; the values are parts of it.
fn header_map(headers: &[Header<'_>], input: &[u8], text: &Bytes) -> Result<(HeaderMap, Framing), BadHead> {
    let mut map = HeaderMap::with_capacity(headers.len());
    let mut framing = Framing::UntilEnd;
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| BadHead)?;
        if name == header::TRANSFER_ENCODING {
            framing = Framing::Chunked;
            continue;
        }
        if is_hop_by_hop(&name) {
            continue;
        }
        if name == header::CONTENT_LENGTH && framing != Framing::Chunked {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            framing = Framing::Length(length.ok_or(BadHead)?);
        }
        let start = header.value.as_ptr() as usize - input.as_ptr() as usize;
        let value = if header.value.is_empty() { Bytes::new() } else { text.slice(start..start + header.value.len()) };
        map.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| BadHead)?);
    }
    Ok((map, framing))
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::UPGRADE
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(request: request::Builder) -> request::Parts {
        request.body(()).unwrap().into_parts().0
    }

    /// Crumbs are joined, the authority wins over `host`, and bodies without a
    /// length are chunked.
    #[test]
    fn requests_as_text() {
        let builder = || Request::builder().method("POST").uri("https://a.test:8443/x?y=1");
        let request =
            builder().header("host", "other").header("cookie", "a=1").header("cookie", "b=2").header("x", "y");
        let mut out = Vec::new();
        assert_eq!(write_request(&parts(request), true, &mut out), Framing::Chunked);
        let want = "POST /x?y=1 HTTP/1.1\r\nHost: a.test:8443\r\ncookie: a=1; b=2\r\nx: y\r\n\
            Transfer-Encoding: chunked\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let mut out = Vec::new();
        let framing = write_request(&parts(builder().header("content-length", "3")), true, &mut out);
        assert_eq!(framing, Framing::Length(3));
        assert_eq!(write_request(&parts(builder()), false, &mut out), Framing::Empty);
    }

    /// Hop-by-hop headers do not pass; the framing is read; names are lower-case.
    #[test]
    fn responses_from_text() {
        for (head, is_head, want) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\nX-A: b\r\n\r\n", false, Framing::Length(5)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\n", true, Framing::Empty),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n", false, Framing::Chunked),
            ("HTTP/1.1 200 OK\r\nKeep-Alive: 1\r\nX-A: b\r\n\r\n", false, Framing::UntilEnd),
            ("HTTP/1.1 304 Not Modified\r\nX-A: b\r\n\r\n", false, Framing::Empty),
        ] {
            let input = [head.as_bytes(), b"rest"].concat();
            let ReadResponse { response, framing, length, body } = read_response(&input, is_head).unwrap().unwrap();
            assert_eq!((framing, length), (want, head.len()), "{head}");
            assert_eq!(body, None);
            assert_eq!(response.headers()["x-a"], "b");
            assert!(!response.headers().contains_key("connection") && !response.headers().contains_key("keep-alive"));
        }
        assert!(read_response(b"HTTP/1.1 200 OK\r\n", false).unwrap().is_none());
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nrest";
        assert_eq!(read_response(whole, false).unwrap().unwrap().body.unwrap(), "rest");
    }

    /// Names in any case, spaces around values, doubles and empty values are
    /// carried over; nothing is read beyond the head; what is no head is refused.
    #[test]
    fn lines_of_a_head() {
        let input = b"HTTP/1.1 200 OK\r\nSET-Cookie:a=1 \r\nset-cookie: b=2\r\nX-Empty:\r\nX-Colon: a:b\r\n\
            TRANSFER-ENCODING: chunked\r\nProxy-Connection: x\r\n\r\n5\r\nX-Not: a head\r\n\r\n";
        let read = read_response(input, false).unwrap().unwrap();
        let headers = read.response.headers();
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(headers["x-empty"], "");
        assert_eq!(headers["x-colon"], "a:b");
        assert_eq!((headers.len(), read.framing), (4, Framing::Chunked));
        assert!(input[read.length..].starts_with(b"5\r\n"));
        for bad in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        ] {
            assert!(matches!(read_response(bad.as_bytes(), false), Err(BadHead)), "{bad:?}");
        }
    }

    /// A head for a target becomes pseudo-headers and keeps what passes.
    #[test]
    fn requests_from_text() {
        let head = "POST /a?b HTTP/1.1\r\nHost: h.test\r\nContent-Type: application/grpc+proto\r\n\
            Transfer-Encoding: chunked\r\nX-Forwarded-Proto: https\r\n\r\n";
        let (request, framing, length) = read_request(head.as_bytes(), "http").unwrap().unwrap();
        assert_eq!((framing, length), (Framing::Chunked, head.len()));
        assert_eq!(request.uri().to_string(), "http://h.test/a?b");
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.headers()["x-forwarded-proto"], "https");
        assert!(!request.headers().contains_key("host") && !request.headers().contains_key("transfer-encoding"));
    }

    /// A response without a body needs no end; trailers come and go.
    #[test]
    fn responses_as_text_and_trailers() {
        let response = Response::builder().status(200).header("grpc-status", "0").body(()).unwrap().into_parts().0;
        let mut out = Vec::new();
        assert_eq!(write_response(&response, false, &mut out), Framing::Empty);
        assert_eq!(String::from_utf8(out).unwrap(), "HTTP/1.1 200 OK\r\ngrpc-status: 0\r\ncontent-length: 0\r\n\r\n");
        let mut out = Vec::new();
        write_trailers(&response.headers, &mut out);
        assert_eq!(out, b"0\r\ngrpc-status: 0\r\n\r\n");
        assert_eq!(read_trailers(&out[3..]).unwrap()["grpc-status"], "0");
        assert_eq!(read_trailers(b"\r\n").unwrap().len(), 0);
    }

    /// Only media types of the family are gRPC.
    #[test]
    fn grpc_types() {
        for (value, want) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc; x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(value.as_bytes()), want, "{value}");
        }
    }
}
