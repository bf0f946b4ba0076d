//! The metadata service's rules (ec2-imds.md 2) as a function from request
//! and document to reply, without sockets and clocks.

use super::token::Tokens;
use super::{Leaf, MetadataDocument};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Versions that clients may name besides `latest`.
const VERSIONS: [&str; 28] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "latest",
];
/// Longest life of a token in seconds.
const TTL_SECONDS_MAX: u64 = 21_600;

/// The parts of an HTTP request that matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// `X-aws-ec2-metadata-token`.
    pub token: Option<&'a str>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`.
    pub ttl: Option<&'a str>,
    /// Whether `X-Forwarded-For` is there.
    pub forwarded: bool,
}

/// What the caller of the service is and when it calls.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub instance: &'a str,
    /// Unix milliseconds.
    pub now: u64,
    /// A number not used before, for a token.
    pub nonce: u32,
}

/// The reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Value of the TTL header, and with it: this reply carries a token.
    pub ttl_seconds: Option<u64>,
}

impl Reply {
    /// One of the service's error pages.
    pub fn error(status: u16) -> Reply {
        let name = match status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Service Unavailable",
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
             <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\
             \t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
             <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n \
             <head>\n  <title>{status} - {name}</title>\n </head>\n <body>\n  <h1>{status} - {name}</h1>\n </body>\n</html>\n"
        );
        Reply { status, content_type: "text/html", body: body.into_bytes(), ttl_seconds: None }
    }

    fn text(body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, content_type: "text/plain", body: body.into(), ttl_seconds: None }
    }
}

/// Answers one request.
pub fn answer(request: Request<'_>, document: &MetadataDocument, tokens: &Tokens, caller: Caller<'_>) -> Reply {
    let path = request.path.split(['?', '#']).next().unwrap_or("");
    if !document.options.http_endpoint {
        return Reply::error(403);
    }
    match request.method {
        "PUT" => put(request, path, tokens, caller),
        "GET" | "HEAD" => {
            match request.token {
                Some(_) if request.forwarded => return Reply::error(403),
                Some(token) if !tokens.accepts(token, caller.instance, caller.now) => return Reply::error(401),
                None if document.options.tokens_required => return Reply::error(401),
                _ => {}
            }
            read(path, document)
        }
        _ => Reply::error(405),
    }
}

fn put(request: Request<'_>, path: &str, tokens: &Tokens, caller: Caller<'_>) -> Reply {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        _ if request.forwarded => Reply::error(403),
        ["latest", "api", "token"] => match request.ttl.map(|ttl| ttl.trim().parse::<u64>()) {
            Some(Ok(ttl @ 1..=TTL_SECONDS_MAX)) => {
                let token = tokens.issue(caller.instance, caller.now + ttl * 1000, caller.nonce);
                Reply { ttl_seconds: Some(ttl), ..Reply::text(token) }
            }
            _ => Reply::error(400),
        },
        [version, "api", "token"] if VERSIONS.contains(&version) => Reply::error(403),
        _ => Reply::error(405),
    }
}

fn read(path: &str, document: &MetadataDocument) -> Reply {
    let decoded: Vec<Cow<'_, str>> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    // An encoded slash would name another path than the one that is written.
    if decoded.iter().any(|part| part.contains('/')) {
        return Reply::error(404);
    }
    let parts: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
    let [version, rest @ ..] = &parts[..] else { return Reply::text(VERSIONS.join("\n")) };
    if !VERSIONS.contains(version) {
        return Reply::error(404);
    }
    match rest {
        [] => Reply::text(top(document)),
        ["user-data"] => match &document.user_data {
            Some(data) => Reply { content_type: "application/octet-stream", ..Reply::text(data.clone()) },
            None => Reply::error(404),
        },
        ["meta-data" | "dynamic", ..] => entry(&rest.join("/"), &document.entries),
        _ => Reply::error(404),
    }
}

/// A path segment without its percent encoding: clients encode the `:` and
/// `@` of tag keys. What is not an encoding stays as it is.
fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let text = digits.filter(|_| bytes[at] == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match text.and_then(|text| u8::from_str_radix(text, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn top(document: &MetadataDocument) -> String {
    let mut names = Vec::new();
    let has = |prefix: &str| document.entries.keys().any(|key| key.starts_with(prefix));
    names.extend(has("dynamic/").then_some("dynamic"));
    names.push("meta-data");
    names.extend(document.user_data.as_ref().map(|_| "user-data"));
    names.join("\n")
}

/// A leaf's value, or the listing of a directory; with or without a slash at the end.
fn entry(path: &str, entries: &BTreeMap<String, Leaf>) -> Reply {
    match entries.get(path) {
        Some(Leaf::Text(value)) => return Reply::text(value.as_str()),
        Some(Leaf::Made(make)) => return Reply::text(make()),
        None => {}
    }
    let prefix = format!("{path}/");
    let below = entries.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
    let mut names = BTreeSet::new();
    for (key, value) in below.take_while(|(key, _)| key.starts_with(&prefix)) {
        let rest = &key[prefix.len()..];
        names.insert(match rest.split_once('/') {
            Some((number, "openssh-key")) if path == "meta-data/public-keys" => {
                format!("{number}={}", key_name(value))
            }
            Some((directory, _)) => format!("{directory}/"),
            None => rest.to_owned(),
        });
    }
    if names.is_empty() {
        return Reply::error(404);
    }
    Reply::text(names.into_iter().collect::<Vec<_>>().join("\n"))
}

/// The name in `type key name`; it may hold spaces.
fn key_name(key: &Leaf) -> &str {
    match key {
        Leaf::Text(text) => text.splitn(3, ' ').nth(2).unwrap_or("key"),
        Leaf::Made(_) => "key",
    }
}

#[cfg(test)]
mod tests {
    use super::super::MetadataOptions;
    use super::*;
    use std::sync::Arc;

    const CALLER: Caller<'static> = Caller { instance: "i-1", now: 1_000_000, nonce: 1 };

    fn document() -> MetadataDocument {
        let entries = [
            ("meta-data/instance-id", "i-1"),
            ("meta-data/placement/availability-zone", "us-east-1a"),
            ("meta-data/placement/region", "us-east-1"),
            ("meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA my key"),
            ("meta-data/tags/instance/aws:a@b", "tag"),
            ("meta-data/iam/security-credentials/role", "{}"),
            ("dynamic/instance-identity/document", "{\"a\":1}"),
        ];
        MetadataDocument {
            options: MetadataOptions { http_endpoint: true, tokens_required: false, hop_limit: 1 },
            entries: entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), Leaf::Text(value.to_owned())))
                .chain([("dynamic/instance-identity/signature".to_owned(), Leaf::Made(Arc::new(|| "made".to_owned())))])
                .collect(),
            user_data: Some(b"#!/bin/sh\n".to_vec()),
        }
    }

    fn tokens() -> Tokens {
        Tokens::new([1; 32])
    }

    fn get(path: &str) -> Reply {
        answer(Request { method: "GET", path, ..Request::default() }, &document(), &tokens(), CALLER)
    }

    /// Leaves, directories with and without slash, renamed key listing, no newline at the end.
    #[test]
    fn paths_and_listings() {
        for (path, want) in [
            ("/latest", "dynamic\nmeta-data\nuser-data"),
            ("/latest/meta-data/", "iam/\ninstance-id\nplacement/\npublic-keys/\ntags/"),
            ("/latest/meta-data", "iam/\ninstance-id\nplacement/\npublic-keys/\ntags/"),
            ("/2009-04-04/meta-data/instance-id", "i-1"),
            ("/latest/meta-data/placement/availability-zone/", "us-east-1a"),
            ("/latest/meta-data/placement", "availability-zone\nregion"),
            ("/latest/meta-data/public-keys/", "0=my key"),
            ("/latest/meta-data/public-keys/0/", "openssh-key"),
            ("/latest/meta-data/iam/security-credentials/", "role"),
            ("/latest/dynamic/instance-identity", "document\nsignature"),
            ("/latest/dynamic/instance-identity/signature", "made"),
            ("/latest/meta-data/tags/instance/aws%3Aa%40b", "tag"),
            ("/latest/user-data", "#!/bin/sh\n"),
            ("//latest//meta-data/instance-id?x=1", "i-1"),
        ] {
            let reply = get(path);
            assert_eq!((reply.status, String::from_utf8(reply.body).unwrap().as_str()), (200, want), "{path}");
        }
        assert_eq!(get("/latest/user-data").content_type, "application/octet-stream");
        assert!(get("/").body.ends_with(b"\nlatest"));
        for path in [
            "/nope/meta-data/",
            "/latest/meta-data/nothing",
            "/latest/other",
            "/latest/meta-data/instance",
            "/latest/meta-data%2Finstance-id",
            "/latest/meta-data/instance-id%",
            "/latest/meta-data/instance-id/below",
        ] {
            assert_eq!(get(path).status, 404, "{path}");
        }
        assert!(String::from_utf8(get("/x").body).unwrap().contains("<title>404 - Not Found</title>"));
    }

    /// Random paths, tokens and lifetimes get one of the service's statuses and never a panic.
    #[test]
    fn random_requests() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize % below
        };
        let pieces = ["/", "latest", "meta-data", "..", "%2f", "?", "#", "api", "token", "placement", "é", "", "1.0"];
        for _ in 0..20_000 {
            let mut text = || {
                let length = random(8);
                (0..length).map(|_| pieces[random(pieces.len())]).collect::<String>()
            };
            let (path, token, ttl) = (text(), text(), text());
            let method = ["GET", "HEAD", "PUT", "POST", ""][random(5)];
            let request = Request {
                method,
                path: &path,
                token: (random(2) == 0).then_some(&token),
                ttl: (random(2) == 0).then_some(&ttl),
                forwarded: random(4) == 0,
            };
            let reply = answer(request, &document(), &tokens(), CALLER);
            assert!([200, 400, 401, 403, 404, 405].contains(&reply.status), "{request:?}");
        }
    }

    /// The token request's rules, one row each.
    #[test]
    fn token_requests() {
        for (path, ttl, forwarded, want) in [
            ("/latest/api/token", Some("21600"), false, 200),
            ("/latest/api/token", Some("1"), false, 200),
            ("/latest/api/token", None, false, 400),
            ("/latest/api/token", Some("0"), false, 400),
            ("/latest/api/token", Some("21601"), false, 400),
            ("/latest/api/token", Some("ten"), false, 400),
            ("/latest/api/token", Some("-1"), false, 400),
            ("/latest/api/token", Some("60"), true, 403),
            ("/2021-03-23/api/token", Some("60"), false, 403),
            ("/latest/meta-data/", Some("60"), false, 405),
        ] {
            let request = Request { method: "PUT", path, ttl, forwarded, token: None };
            let reply = answer(request, &document(), &tokens(), CALLER);
            assert_eq!(reply.status, want, "{path} {ttl:?} {forwarded}");
            assert_eq!(reply.ttl_seconds.map(|ttl| ttl.to_string()).as_deref(), ttl.filter(|_| want == 200));
        }
    }

    /// The decision table of reads (ec2-imds.md 2.2) and the other methods.
    #[test]
    fn reads_with_and_without_tokens() {
        let good = tokens().issue("i-1", CALLER.now + 1000, 1);
        let old = tokens().issue("i-1", CALLER.now, 1);
        let others = tokens().issue("i-2", CALLER.now + 1000, 1);
        for (endpoint, required, token, forwarded, want) in [
            (false, false, Some(&good), false, 403),
            (true, false, None, false, 200),
            (true, false, None, true, 200),
            (true, true, None, false, 401),
            (true, true, Some(&good), false, 200),
            (true, false, Some(&good), false, 200),
            (true, false, Some(&good), true, 403),
            (true, false, Some(&old), false, 401),
            (true, false, Some(&others), false, 401),
            (true, true, Some(&others), false, 401),
        ] {
            let mut document = document();
            document.options = MetadataOptions { http_endpoint: endpoint, tokens_required: required, hop_limit: 1 };
            let token = token.map(String::as_str);
            let request = Request { method: "GET", path: "/latest/meta-data/instance-id", token, forwarded, ttl: None };
            assert_eq!(answer(request, &document, &tokens(), CALLER).status, want, "{endpoint} {required} {token:?}");
        }
        for method in ["POST", "DELETE", "PATCH", "OPTIONS"] {
            let request = Request { method, path: "/latest/meta-data/", ..Request::default() };
            assert_eq!(answer(request, &document(), &tokens(), CALLER).status, 405, "{method}");
        }
    }
}
