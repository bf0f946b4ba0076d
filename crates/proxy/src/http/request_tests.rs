use super::*;

use elastane_domain::routing::{Action, ClientAuth, ForwardedFor, Listener, LoadBalancer, Protocol, TlsSettings};
use std::net::SocketAddr;

fn config() -> (Listener, LoadBalancer) {
    let listener = Listener::http("arn:l".into(), 8080, Action::forward_to("arn:g".into()));
    let mut balancer = LoadBalancer::application("arn:b".into(), [127, 0, 0, 1].into(), Vec::new());
    balancer.host_names = vec!["web-1.elb.localhost".to_owned()];
    (listener, balancer)
}

/// The rules of a listener on port 8080 with some options changed.
fn rules(change: impl FnOnce(&mut Listener, &mut LoadBalancer)) -> HeaderRules {
    let (mut listener, mut balancer) = config();
    change(&mut listener, &mut balancer);
    HeaderRules::compile(&listener, &balancer)
}

fn client() -> ClientInfo {
    ClientInfo::new(SocketAddr::from(([10, 0, 0, 9], 1234)))
}

type Outcome = Result<Parsed<RequestHead>, u16>;

fn rewrite(input: &[u8], rules: &HeaderRules, client: &ClientInfo, rewrites: &Rewrites<'_>) -> (Outcome, String) {
    let mut table = header_table();
    let (mut out, mut random) = (Vec::new(), Random::new(1));
    let outcome = match read(input, rules.desync, &mut table) {
        Ok(Parsed::Complete(view)) => {
            let forwarding = Forwarding { rules, client, now_seconds: 0x5abc_def0 };
            view.write_http1(&forwarding, rewrites, &mut random, &mut out);
            Ok(Parsed::Complete(*view.info()))
        }
        Ok(Parsed::Partial) => Ok(Parsed::Partial),
        Err(refusal) => Err(refusal.status),
    };
    (outcome, String::from_utf8_lossy(&out).into_owned())
}

fn parse_with(input: &[u8], rules: &HeaderRules) -> (Outcome, String) {
    rewrite(input, rules, &client(), &Rewrites::default())
}

fn complete_with(input: &str, rules: &HeaderRules) -> (RequestHead, String) {
    match parse_with(input.as_bytes(), rules) {
        (Ok(Parsed::Complete(head)), out) => (head, out),
        (other, _) => panic!("{input:?}: {other:?}"),
    }
}

fn complete(input: &str) -> (RequestHead, String) {
    complete_with(input, &rules(|_, _| ()))
}

/// The reason for which a request is refused or noted, and whether it passes.
fn judged(input: &str, mode: Desync) -> (bool, Option<Reason>) {
    match read(input.as_bytes(), mode, &mut header_table()) {
        Ok(Parsed::Complete(view)) => (true, view.info().reason),
        Ok(Parsed::Partial) => panic!("{input:?} is partial"),
        Err(refusal) => (false, refusal.reason),
    }
}

/// The value of one header in a rewritten head.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Refused requests and their status: nothing that two parsers could read
/// in two ways gets through.
#[test]
fn refusals() {
    let host = "Host: a.b\r\n";
    let addresses = vec!["1.1.1.1"; 31].join(", ");
    for (status, text) in [
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length: 5, 5\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length:\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length : 5\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n")),
        (501, format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n")),
        (501, format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n")),
        (501, format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n")),
        (501, format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: \x0bchunked\r\n\r\n").replace('\x0b', "\"")),
        (400, format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, chunked\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")),
        (400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        (400, format!("GET / HTTP/1.1\r\n{host}A: b\r\n folded\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}A: b\n\r\n")),
        (400, format!("GET / HTTP/1.1\n{host}\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}A: b\r\n\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}A: b\rc\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}A: b\0c\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}: x\r\n\r\n")),
        (400, "\nGET / HTTP/1.1\r\nHost: a.b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, format!("GET / HTTP/1.1\r\n{host}{host}\r\n")),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned()),
        (400, "GET /\r\n".to_owned()),
        (400, format!("GET  / HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /a b HTTP/1.1\r\n{host}\r\n")),
        (400, format!("CONNECT a.b:443 HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET ftp://a/ HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET nonsense HTTP/1.1\r\n{host}\r\n")),
        (405, format!("TRACE / HTTP/1.1\r\n{host}\r\n")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (463, format!("GET / HTTP/1.1\r\n{host}X-Forwarded-For: {addresses}\r\n\r\n")),
        (414, format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(REQUEST_LINE_MAX))),
        (400, format!("GET / HTTP/1.1\r\n{host}A: {}\r\n\r\n", "x".repeat(REQUEST_HEADER_MAX))),
        (400, format!("GET / HTTP/1.1\r\n{host}{}\r\n", format!("A: {}\r\n", "x".repeat(16_000)).repeat(5))),
        (400, format!("GET / HTTP/1.1\r\n{host}{}\r\n", "A: b\r\n".repeat(HEADERS_MAX))),
    ] {
        let (parsed, out) = parse_with(text.as_bytes(), &rules(|_, _| ()));
        assert_eq!(parsed, Err(status), "{text:.90?}");
        assert!(out.is_empty());
    }
}

/// A plain request, byte for byte.
#[test]
fn forwarded_head() {
    let (head, out) = complete("GET /a?b HTTP/1.1\r\nHost: A.b\r\nAccept: */*\r\nKeep-Alive: 1\r\n\r\nrest");
    let (start, end) = out.split_once("Root=").unwrap();
    assert_eq!(
        start,
        "GET /a?b HTTP/1.1\r\nHost: a.b:8080\r\nAccept: */*\r\nX-Forwarded-For: 10.0.0.9\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Amzn-Trace-Id: "
    );
    assert!(end.starts_with("1-5abcdef0-") && end.len() == 11 + 24 + 4, "{end:?}");
    assert_eq!((head.length, head.body), (60, Body::Empty));
    assert!(head.keep_alive && head.is_idempotent && !head.is_head);
}

/// Host rules (alb.md 7).
#[test]
fn alb_7_host() {
    for (port, request, want) in [
        (80, "GET / HTTP/1.1\r\nHost: A.b:8080\r\n\r\n", "a.b"),
        (80, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::1]"),
        (81, "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "[::1]:81"),
        (81, "GET / HTTP/1.1\r\nHost: a.b:99\r\n\r\n", "a.b:99"),
        (80, "GET http://C.d/x HTTP/1.1\r\nHost: a.b\r\n\r\n", "c.d"),
        (81, "GET / HTTP/1.0\r\n\r\n", "web-1.elb.localhost:81"),
    ] {
        let (parsed, out) = parse_with(request.as_bytes(), &rules(|listener, _| listener.port = port));
        assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{request:?}");
        assert_eq!(header(&out, "Host"), Some(want), "{request:?}");
    }
    for (target, want) in [("http://c.d", "/"), ("HTTP://c.d/e", "/e"), ("http://c.d?f", "/?f")] {
        let (_, out) = complete(&format!("GET {target} HTTP/1.1\r\nHost: a.b\r\n\r\n"));
        assert!(out.starts_with(&format!("GET {want} HTTP/1.1\r\n")), "{out}");
    }
}

/// X-Forwarded-For is appended to; -Proto and -Port are overwritten.
#[test]
fn alb_7_forwarded() {
    let (_, out) = complete(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nX-Forwarded-Port: 1\r\n\
         x-forwarded-for: 3.3.3.3\r\nX-Forwarded-Proto: gopher\r\n\r\n",
    );
    assert_eq!(header(&out, "X-Forwarded-For"), Some("1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9"));
    assert_eq!(header(&out, "X-Forwarded-Proto"), Some("http"));
    assert_eq!(out.matches("X-Forwarded-P").count(), 2);
}

/// The table of alb.md 7.1; `#` stands for a new id.
#[test]
fn alb_7_1_trace_id() {
    let long = format!("Root=1-a-b\r\nA: {}", "x".repeat(TRACE_HEADERS_MAX));
    for (incoming, want) in [
        (None, "Root=#"),
        (Some("Root=1-a-b"), "Self=#;Root=1-a-b"),
        (Some("Root=1-a-b;Self=1-c-d;X=y"), "Self=#;Root=1-a-b;X=y"),
        (Some("X=y"), "Root=#;X=y"),
        (Some(long.as_str()), "Root=#"),
    ] {
        let line = incoming.map(|value| format!("X-Amzn-Trace-Id: {value}\r\n")).unwrap_or_default();
        let (_, out) = complete(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n"));
        let got = header(&out, "X-Amzn-Trace-Id").unwrap();
        let (name, rest) = got.split_at(5);
        let tail = &rest[rest.find(';').unwrap_or(rest.len())..];
        assert_eq!(format!("{name}#{tail}"), want, "{incoming:.40?}");
    }
}

/// Hop-by-hop headers, wishes of the connection, upgrades and expectations.
#[test]
fn connection_options() {
    let (head, out) = complete(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop, Host\r\nX-Hop: 1\r\nTE: trailers\r\n\
         Expect: 100-continue\r\nProxy-Connection: x\r\n\r\n",
    );
    assert!(!head.keep_alive && head.expects_continue && !head.upgrade);
    assert!(header(&out, "Host").is_some());
    for name in ["Connection", "X-Hop", "TE", "Expect", "Proxy-Connection"] {
        assert_eq!(header(&out, name), None, "{name}");
    }
    let (head, out) =
        complete("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(head.upgrade && head.keep_alive);
    assert_eq!((header(&out, "Connection"), header(&out, "Upgrade")), (Some("Upgrade"), Some("websocket")));
    let (head, out) = complete(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    );
    assert!(!head.upgrade);
    assert_eq!((header(&out, "Upgrade"), header(&out, "HTTP2-Settings")), (None, None));
    assert!(!complete("GET / HTTP/1.0\r\n\r\n").0.keep_alive);
    assert!(complete("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").0.keep_alive);
}

/// Bodies by header.
#[test]
fn framing_of_requests() {
    for (headers, want) in [
        ("", Body::Empty),
        ("Content-Length: 0\r\n", Body::Empty),
        ("Content-Length: 7\r\n", Body::Length(7)),
        ("Transfer-Encoding: CHUNKED\r\n", Body::chunked()),
    ] {
        let (head, _) = complete(&format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        assert_eq!(head.body, want, "{headers:?}");
    }
}

/// Empty lines before the request line are forgiven, a few of them.
#[test]
fn leading_empty_lines() {
    let request = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(complete(&format!("\r\n\r\n{request}")).0.length, request.len() + 4);
    let (parsed, _) = parse_with("\r\n".repeat(5).as_bytes(), &rules(|_, _| ()));
    assert_eq!(parsed, Err(400));
}

/// Mutated requests never panic, and how bytes are split makes no
/// difference (seeded, bounded).
#[test]
fn fuzz_requests() {
    let seeds = [
        "GET /a?b=c HTTP/1.1\r\nHost: a.b:80\r\nAccept: */*\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\nhello",
        "POST http://a.b/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\nConnection: keep-alive, x\r\nX-Amzn-Trace-Id: Root=1;Self=2;a\r\n\r\n",
    ];
    let rules = rules(|_, _| ());
    let mut random = Random::new(3);
    for round in 0..4000 {
        let mut input = seeds[round % seeds.len()].as_bytes().to_vec();
        tests_support::mutate(&mut input, &mut random);
        let (whole, _) = parse_with(&input, &rules);
        let split = (0..=input.len())
            .map(|end| parse_with(&input[..end], &rules).0)
            .find(|parsed| *parsed != Ok(Parsed::Partial))
            .unwrap_or(Ok(Parsed::Partial));
        assert_eq!(whole, split, "{:?}", String::from_utf8_lossy(&input));
    }
}

/// The limits give the same answer however a head arrives.
#[test]
fn limits_do_not_depend_on_the_split() {
    let rules = rules(|_, _| ());
    for (text, status) in [
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)), 414),
        (format!("GET /{}\x01 HTTP/1.1\r\n", "x".repeat(17_000)), 414),
        (format!("GET /\x01{} HTTP/1.1\r\n", "x".repeat(17_000)), 400),
        (format!("GET / HTTP/1.1\r\nA: {}\r\n", "x".repeat(17_000)), 400),
    ] {
        for step in [1000, 16_000, text.len()] {
            let got = (0..=text.len().div_ceil(step))
                .map(|count| parse_with(&text.as_bytes()[..(count * step).min(text.len())], &rules).0)
                .find(|parsed| *parsed != Ok(Parsed::Partial));
            assert_eq!(got, Some(Err(status)), "{text:.40?} in steps of {step}");
        }
    }
}

/// Classes and reasons (alb.md 7.2), each with whether it passes in the
/// modes monitor, defensive and strictest. What cannot be framed passes in none.
#[test]
fn alb_7_2_reasons() {
    use Reason::*;
    let post = |headers: &str| format!("POST / HTTP/1.1\r\nHost: a.b\r\n{headers}\r\n");
    let get = |headers: &str| format!("GET / HTTP/1.1\r\nHost: a.b\r\n{headers}\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a.b\r\n\r\n");
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for (text, reason, passes) in [
        (post(length), None, [true; 3]),
        (get("Content-Length: 0\r\n"), Some(GetHeadZeroContentLength), [true, true, false]),
        (get("A: \u{e9}\r\n"), Some(NonCompliantHeader), [true, true, false]),
        (get(length), Some(UndefinedContentLengthSemantics), [true, true, false]),
        (get(chunked), Some(UndefinedTransferEncodingSemantics), [true, true, false]),
        (post(&format!("{length}{chunked}")), Some(BothTeClPresent), [true, true, false]),
        (post(&format!("{length}Transfer-Encoding: identity\r\n")), Some(BothTeClPresent), [true, true, false]),
        (post(&length.repeat(2)), Some(DuplicateContentLength), [true, true, false]),
        (post("Transfer_Encoding: chunked\r\n"), Some(SuspiciousHeader), [true, true, false]),
        (post(&format!("{length}Transfer_Encoding: x\r\n")), Some(SuspiciousTeClPresent), [true, false, false]),
        (post(&format!("{chunked}Content_Length: 5\r\n")), Some(SuspiciousTeClPresent), [true, false, false]),
        (post(&chunked.repeat(2)), Some(MultipleTransferEncodingChunked), [true, false, false]),
        (post(&format!("Transfer-Encoding: identity\r\n{chunked}")), Some(BadTransferEncoding), [true, false, false]),
        (post(&format!("{length}Content-Length: 6\r\n")), Some(MultipleContentLength), [false; 3]),
        (post("Content-Length: 5x\r\n"), Some(BadContentLength), [false; 3]),
        (post("Transfer-Encoding: chunked, chunked\r\n"), Some(BadTransferEncoding), [false; 3]),
        (post("Transfer-Encoding: gzip\r\n"), None, [false; 3]),
        (post("A: b\0\r\n"), Some(BadHeader), [false; 3]),
        (post("A : b\r\n"), Some(BadHeader), [false; 3]),
        (post(": b\r\n"), Some(EmptyHeader), [false; 3]),
        (line("GET /a\0b HTTP/1.1"), Some(BadUri), [false; 3]),
        (line("GET /a\x01b HTTP/1.1"), Some(AmbiguousUri), [false; 3]),
        (line("GET /a b HTTP/1.1"), Some(SpaceInUri), [false; 3]),
        (line("G(T / HTTP/1.1"), Some(BadMethod), [false; 3]),
        (line("GET / HTTQ/1.1"), Some(BadVersion), [false; 3]),
    ] {
        for (mode, passes) in [Desync::Monitor, Desync::Defensive, Desync::Strictest].into_iter().zip(passes) {
            assert_eq!(judged(&text, mode), (passes, reason), "{text:?} {mode:?}");
        }
    }
}

/// What passes although it could be read in two ways has one reading left,
/// and neither connection serves another request.
#[test]
fn alb_7_2_one_reading_is_left() {
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for (headers, kept, body) in [
        (format!("{length}{chunked}"), chunked, Body::chunked()),
        (format!("{chunked}{length}"), chunked, Body::chunked()),
        (length.repeat(2), length, Body::Length(5)),
        (format!("{length}Transfer-Encoding: identity\r\n"), length, Body::Length(5)),
    ] {
        let (head, out) = complete(&format!("POST / HTTP/1.1\r\nHost: a.b\r\n{headers}\r\n"));
        assert_eq!((head.body, head.keep_alive, head.close_target), (body, false, true), "{headers:?}");
        let framing = out.matches("Content-Length").count() + out.matches("Transfer-Encoding").count();
        assert_eq!((framing, out.matches(kept).count()), (1, 1), "{out}");
    }
}

/// Modes of X-Forwarded-For, with and without the client's port (alb.md 7).
#[test]
fn alb_7_forwarded_for_modes() {
    let old = "X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n";
    let v6 = ClientInfo::new(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 99)));
    let mapped = ClientInfo::new(SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0x0a00, 9], 99)));
    for (mode, port, client, incoming, want) in [
        (ForwardedFor::Append, false, client(), "", Some("10.0.0.9")),
        (ForwardedFor::Append, false, client(), old, Some("1.1.1.1, 2.2.2.2, 10.0.0.9")),
        (ForwardedFor::Append, true, client(), old, Some("1.1.1.1, 2.2.2.2, 10.0.0.9:1234")),
        (ForwardedFor::Append, false, v6.clone(), "", Some("::1")),
        (ForwardedFor::Append, true, v6, "", Some("[::1]:99")),
        (ForwardedFor::Append, true, mapped, "", Some("10.0.0.9:99")),
        (ForwardedFor::Preserve, true, client(), old, Some("1.1.1.1, 2.2.2.2")),
        (ForwardedFor::Preserve, false, client(), "", None),
        (ForwardedFor::Remove, false, client(), old, None),
    ] {
        let rules = rules(|_, balancer| {
            balancer.options.forwarded_for = mode;
            balancer.options.client_port = port;
        });
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{incoming}\r\n");
        let (_, out) = rewrite(request.as_bytes(), &rules, &client, &Rewrites::default());
        assert_eq!(header(&out, "X-Forwarded-For"), want, "{mode:?} {incoming:?}");
    }
}

/// `preserve_host_header` leaves the host alone.
#[test]
fn alb_7_preserved_host() {
    let rules = rules(|_, balancer| balancer.options.preserve_host = true);
    for (request, want) in
        [("GET / HTTP/1.1\r\nHost: A.b\r\n\r\n", "A.b"), ("GET http://c.d/ HTTP/1.1\r\nHost: A.b\r\n\r\n", "A.b")]
    {
        assert_eq!(header(&complete_with(request, &rules).1, "Host"), Some(want));
    }
}

/// `drop_invalid_header_fields` drops names with anything but letters, digits and hyphens.
#[test]
fn alb_7_invalid_names() {
    let request = "GET / HTTP/1.1\r\nA_b: 1\r\nHost: a\r\nC.d: 2\r\nE-f: 3\r\n\r\n";
    let (head, out) = complete(request);
    assert!(head.invalid_names && out.contains("A_b: 1\r\n") && out.contains("C.d: 2\r\n"));
    let (head, out) = complete_with(request, &rules(|_, balancer| balancer.options.drop_invalid_headers = true));
    assert!(head.invalid_names && !out.contains("A_b") && !out.contains("C.d") && out.contains("E-f: 3\r\n"));
    assert!(!complete("GET / HTTP/1.1\r\nHost: a\r\nE-f: 3\r\n\r\n").0.invalid_names);
}

/// Headers about TLS are the load balancer's own, under the names configured.
#[test]
fn alb_7_tls_headers() {
    use crate::http::headers::ClientTls;
    let tls = TlsSettings {
        policy: String::new(),
        certificates: Vec::new(),
        client_auth: ClientAuth::Passthrough,
        alpn: Vec::new(),
    };
    let rules = rules(|listener, balancer| {
        (listener.protocol, listener.port, listener.tls) = (Protocol::Https, 443, Some(tls));
        listener.headers.request_names = vec![("x-amzn-mtls-clientcert".to_owned(), "X-Cert".to_owned())];
        balancer.options.tls_headers = true;
    });
    let mut client = client();
    client.tls = Some(Box::new(ClientTls {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        headers: vec![("x-amzn-mtls-clientcert", "pem".to_owned())],
        ..ClientTls::default()
    }));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Tls-Version: SSLv2\r\nX-Amzn-Mtls-Clientcert-Issuer: me\r\n\
        x-cert: mine\r\nX-Other: 1\r\n\r\n";
    let (_, out) = rewrite(request.as_bytes(), &rules, &client, &Rewrites::default());
    for (name, want) in [
        ("X-Amzn-Tls-Version", Some("TLSv1.3")),
        ("X-Amzn-Tls-Cipher-Suite", Some("TLS_AES_128_GCM_SHA256")),
        ("X-Cert", Some("pem")),
        ("x-cert", None),
        ("X-Amzn-Mtls-Clientcert-Issuer", None),
        ("X-Forwarded-Proto", Some("https")),
        ("X-Forwarded-Port", Some("443")),
        ("X-Other", Some("1")),
    ] {
        assert_eq!(header(&out, name), want, "{name}");
    }
    assert_eq!(out.matches("Tls-Version").count(), 1);
}

/// What a rule changes: host, path with query, and headers that it vouches for.
#[test]
fn alb_2_rewrites() {
    let request = "GET http://x.y/a?b HTTP/1.1\r\nHost: a\r\nX-Amzn-Oidc-Data: forged\r\nX-Amzn-Other: 1\r\n\r\n";
    let rewrites = Rewrites { host: Some(b"New.Host:1"), url: Some(b"/new?url"), drop_prefix: Some("x-amzn-oidc-") };
    let (_, out) = rewrite(request.as_bytes(), &rules(|_, _| ()), &client(), &rewrites);
    assert!(
        out.starts_with("GET /new?url HTTP/1.1\r\nHost: New.Host:1\r\nX-Amzn-Other: 1\r\nX-Forwarded-For"),
        "{out}"
    );
}

/// Paths as rules see them.
#[test]
fn alb_2_1_normalised_paths() {
    for (path, want) in [
        ("/a/b", None),
        ("", Some("/")),
        ("/", None),
        ("/a%41%7e", Some("/aA~")),
        ("/a%2fb", Some("/a%2Fb")),
        ("/a%zz%", Some("/a%zz%")),
        ("/a/./b/../c", Some("/a/c")),
        ("/a/%2e%2E/c", Some("/c")),
        ("/../..", Some("/")),
        ("/a/.", Some("/a/")),
        ("/a//b/..", Some("/a//")),
        ("/.well-known", Some("/.well-known")),
    ] {
        let got = normalised_path(path.as_bytes()).map(|path| String::from_utf8(path).unwrap());
        assert_eq!(got.as_deref(), want, "{path:?}");
    }
}
