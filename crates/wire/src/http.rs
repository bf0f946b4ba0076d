//! Requests and answers as plain data, free of any HTTP library.

use std::borrow::Cow;

/// Header look-up, by name without regard to case. The daemon implements it
/// over its HTTP library's own type, so that nothing is copied.
pub trait Headers {
    /// Visits all values of a header in order; values that are not visible
    /// ASCII or UTF-8 may be left out.
    fn each(&self, name: &str, visit: &mut dyn FnMut(&str));

    /// The first value of a header.
    fn first(&self, name: &str) -> Option<&str>;
}

impl<N: AsRef<str>, V: AsRef<str>> Headers for &[(N, V)] {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&str)) {
        for (key, value) in *self {
            if key.as_ref().eq_ignore_ascii_case(name) {
                visit(value.as_ref());
            }
        }
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.as_ref().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Headers for Vec<(N, V)> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&str)) {
        self.as_slice().each(name, visit);
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.as_ref().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }
}

/// A request as it came in. `target` is path and query as on the request
/// line; `body` is not yet decompressed.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// `POST`, `GET`.
    pub method: &'a str,
    /// Path and query: `/?Action=...`.
    pub target: &'a str,
    /// Its headers.
    pub headers: &'a dyn Headers,
    /// Its body as received.
    pub body: &'a [u8],
}

impl<'a> HttpRequest<'a> {
    /// The target's path.
    pub fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or("")
    }

    /// The target's query, without the question mark.
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// A request of a client, ready to be signed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// `POST`.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Headers that the protocol needs; `host` is the sender's business.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer. The server adds `content-length` and `date`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Headers in lower case.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_ref())
    }
}
