use super::*;
use crate::http::Random;

const PLAIN: ResponseContext<'static> =
    ResponseContext { is_head: false, upgrade: false, is_version_11: true, keep_alive: true, edits: None };

/// The result of the shortest prefix that is not partial, and of the whole.
fn whole_and_split(input: &[u8], context: &ResponseContext<'_>) -> [Result<Parsed<ResponseHead>, BadResponse>; 2] {
    let mut out = Vec::new();
    let whole = parse(input, context, &mut out);
    let split = (0..=input.len())
        .map(|end| {
            let mut out = Vec::new();
            parse(&input[..end], context, &mut out)
        })
        .find(|parsed| *parsed != Ok(Parsed::Partial))
        .unwrap_or(Ok(Parsed::Partial));
    [whole, split]
}

fn rewrite(input: &str, context: &ResponseContext<'_>) -> Option<(ResponseHead, String)> {
    let mut out = Vec::new();
    match parse(input.as_bytes(), context, &mut out) {
        Ok(Parsed::Complete(head)) => Some((head, String::from_utf8(out).unwrap())),
        _ => None,
    }
}

/// How the body of a response ends (RFC 9112 6.3).
#[test]
fn framing_of_responses() {
    let head = ResponseContext { is_head: true, ..PLAIN };
    for (text, context, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", PLAIN, Body::Length(5)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", head, Body::Empty),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", PLAIN, Body::Empty),
        ("HTTP/1.1 204 No Content\r\n\r\n", PLAIN, Body::Empty),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", PLAIN, Body::chunked()),
        ("HTTP/1.1 200 OK\r\n\r\n", PLAIN, Body::UntilClose),
        ("HTTP/1.0 200\r\n\r\n", PLAIN, Body::UntilClose),
    ] {
        assert_eq!(rewrite(text, &context).unwrap().0.body, want, "{text:?}");
    }
}

/// What a target may not answer.
#[test]
fn bad_responses() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(RESPONSE_HEAD_MAX));
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 600 No\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        &long,
    ] {
        let mut out = Vec::new();
        assert_eq!(parse(text.as_bytes(), &PLAIN, &mut out), Err(BadResponse), "{text:.60?}");
        assert!(out.is_empty());
    }
}

/// Hop-by-hop headers end here and the client's version and wish decide the rest.
#[test]
fn rewritten_heads() {
    let old = ResponseContext { is_version_11: false, keep_alive: false, ..PLAIN };
    let upgrade = ResponseContext { upgrade: true, ..PLAIN };
    for (text, context, want) in [
        (
            "HTTP/1.0 200 Fine\r\nServer: x\r\nContent-Length: 1\r\nKeep-Alive: 5\r\n\r\n",
            PLAIN,
            "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nContent-Length: 1\r\n\r\n",
            PLAIN,
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", old, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        (
            "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n",
            PLAIN,
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            upgrade,
            "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", PLAIN, ""),
    ] {
        assert_eq!(rewrite(text, &context).unwrap().1, want);
    }
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n";
    let (head, _) = rewrite(close, &PLAIN).unwrap();
    assert!(head.keep_client && !head.keep_target);
}

/// Mutated responses never panic, and how bytes are split makes no
/// difference (seeded, bounded).
#[test]
fn fuzz_responses() {
    let seeds = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 101 Go\r\nUpgrade: a\r\nConnection: Upgrade\r\n\r\n",
    ];
    let mut random = Random::new(11);
    for round in 0..3000 {
        let mut input = seeds[round % seeds.len()].as_bytes().to_vec();
        crate::http::request::tests_support::mutate(&mut input, &mut random);
        let [whole, split] = whole_and_split(&input, &PLAIN);
        assert_eq!(whole, split, "{:?}", String::from_utf8_lossy(&input));
    }
}
