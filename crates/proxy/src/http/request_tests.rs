use super::*;

const FORWARDING: Forwarding<'static> =
    Forwarding { client_ip: "10.0.0.9", port: 8080, default_host: "web-1.elb.localhost", now_seconds: 0x5abc_def0 };

fn parse_with(input: &[u8], forwarding: &Forwarding<'_>) -> (Result<Parsed<RequestHead>, Refusal>, String) {
    let mut out = Vec::new();
    let parsed = parse(input, forwarding, &mut Random::new(1), &mut out);
    (parsed, String::from_utf8_lossy(&out).into_owned())
}

fn complete(input: &str) -> (RequestHead, String) {
    match parse_with(input.as_bytes(), &FORWARDING) {
        (Ok(Parsed::Complete(head)), out) => (head, out),
        (other, _) => panic!("{input:?}: {other:?}"),
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
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n")),
        (400, format!("POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 5\r\n\r\n")),
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
        let (parsed, out) = parse_with(text.as_bytes(), &FORWARDING);
        assert_eq!(parsed, Err(Refusal(status)), "{text:.90?}");
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
        let (parsed, out) = parse_with(request.as_bytes(), &Forwarding { port, ..FORWARDING });
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
    let (parsed, _) = parse_with("\r\n".repeat(5).as_bytes(), &FORWARDING);
    assert_eq!(parsed, Err(Refusal(400)));
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
    let mut random = Random::new(3);
    for round in 0..4000 {
        let mut input = seeds[round % seeds.len()].as_bytes().to_vec();
        tests_support::mutate(&mut input, &mut random);
        let (whole, _) = parse_with(&input, &FORWARDING);
        let split = (0..=input.len())
            .map(|end| parse_with(&input[..end], &FORWARDING).0)
            .find(|parsed| *parsed != Ok(Parsed::Partial))
            .unwrap_or(Ok(Parsed::Partial));
        assert_eq!(whole, split, "{:?}", String::from_utf8_lossy(&input));
    }
}

/// The limits give the same answer however a head arrives.
#[test]
fn limits_do_not_depend_on_the_split() {
    for (text, status) in [
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)), 414),
        (format!("GET /{}\x01 HTTP/1.1\r\n", "x".repeat(17_000)), 414),
        (format!("GET /\x01{} HTTP/1.1\r\n", "x".repeat(17_000)), 400),
        (format!("GET / HTTP/1.1\r\nA: {}\r\n", "x".repeat(17_000)), 400),
    ] {
        for step in [1000, 16_000, text.len()] {
            let got = (0..=text.len().div_ceil(step))
                .map(|count| parse_with(&text.as_bytes()[..(count * step).min(text.len())], &FORWARDING).0)
                .find(|parsed| *parsed != Ok(Parsed::Partial));
            assert_eq!(got, Some(Err(Refusal(status))), "{text:.40?} in steps of {step}");
        }
    }
}
