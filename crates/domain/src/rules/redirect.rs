//! Redirects: the template of an action, compiled, and the `Location` that a
//! request gets (alb.md 2.2).

use crate::routing::Redirect;

/// Longest `Location`, in bytes (alb.md 2.2).
pub const LOCATION_BYTES_MAX: usize = 8 * 1024;

/// The parts of a request that placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// `http` or `https`.
    pub protocol: &'a str,
    /// The host without port.
    pub host: &'a [u8],
    /// The listener's port.
    pub port: u16,
    /// The path with its leading `/`, without query.
    pub path: &'a [u8],
    /// The query without `?`; empty for none.
    pub query: &'a [u8],
}

/// The `Location` would be longer than [`LOCATION_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Protocol,
    Host,
    Port,
    Path,
    Query,
}

/// A redirect action, compiled.
#[derive(Clone, Debug)]
pub struct RedirectTemplate {
    status: u16,
    before_query: Vec<Part>,
    query: Vec<Part>,
}

impl RedirectTemplate {
    /// Compiles `redirect`. An unknown placeholder is text.
    pub fn compile(redirect: &Redirect) -> RedirectTemplate {
        let mut parts = Vec::new();
        parse(&redirect.protocol.to_ascii_lowercase(), &mut parts);
        text("://", &mut parts);
        parse(&redirect.host, &mut parts);
        text(":", &mut parts);
        parse(&redirect.port, &mut parts);
        parse(&redirect.path, &mut parts);
        let mut query = Vec::new();
        parse(&redirect.query, &mut query);
        RedirectTemplate { status: redirect.status, before_query: parts, query }
    }

    /// 301 or 302.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Appends the `Location` for a request to `out`. Control characters and
    /// spaces of the request are percent-encoded, so the result is always one
    /// header value.
    pub fn location(&self, request: &RequestParts<'_>, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let start = out.len();
        expand(&self.before_query, request, out);
        out.push(b'?');
        let query = out.len();
        expand(&self.query, request, out);
        if out.len() == query {
            out.pop();
        }
        if out.len() - start > LOCATION_BYTES_MAX {
            out.truncate(start);
            return Err(TooLong);
        }
        Ok(())
    }
}

fn text(value: &str, parts: &mut Vec<Part>) {
    if !value.is_empty() {
        parts.push(Part::Text(value.as_bytes().into()));
    }
}

fn parse(template: &str, parts: &mut Vec<Part>) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("#{") {
        let Some((name, after)) = after.split_once('}') else { break };
        let part = match name {
            "protocol" => Part::Protocol,
            "host" => Part::Host,
            "port" => Part::Port,
            "path" => Part::Path,
            "query" => Part::Query,
            _ => Part::Text(format!("#{{{name}}}").into_bytes().into()),
        };
        text(before, parts);
        parts.push(part);
        rest = after;
    }
    text(rest, parts);
}

fn expand(parts: &[Part], request: &RequestParts<'_>, out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Protocol => out.extend_from_slice(request.protocol.as_bytes()),
            Part::Host => encoded(request.host, out),
            Part::Port => out.extend_from_slice(request.port.to_string().as_bytes()),
            Part::Path => encoded(request.path.strip_prefix(b"/").unwrap_or(request.path), out),
            Part::Query => encoded(request.query, out),
        }
    }
}

fn encoded(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte <= b' ' || byte == 0x7f {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
}
