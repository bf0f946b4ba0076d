//! Requests and responses as they pass: connections, bodies, framing.

use crate::support::*;
use elastane_proxy::Count;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Requests on one client connection use one target connection, in both
/// directions, and the headers are those of alb.md 7.
#[test]
fn keep_alive_on_both_sides() {
    let server = Server::start(|connection, head, stream| {
        respond(stream, 200, &format!("X-Connection: {connection}\r\n"), head.as_bytes());
        true
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    for _ in 0..3 {
        let got = send(&mut client, "GET /a HTTP/1.1\r\nHost: X.test\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
        assert_eq!(got.status, 200);
        assert_eq!(header(&got.head, "X-Connection"), Some("0"));
        assert_eq!(header(&got.head, "Connection"), Some("keep-alive"));
        let head = got.text();
        assert_eq!(header(&head, "X-Forwarded-For"), Some("9.9.9.9, 127.0.0.1"));
        assert_eq!(header(&head, "X-Forwarded-Proto"), Some("http"));
        assert!(header(&head, "X-Amzn-Trace-Id").unwrap().starts_with("Root=1-"));
        assert_eq!(header(&head, "Host"), Some("x.test:0"));
    }
    let got = send(&mut client, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(header(&got.head, "Connection"), Some("close"));
    assert!(is_closed(&mut client));
    let counters = world.proxy.collect();
    let report = &counters.load_balancers[0].report;
    let counted = [Count::Requests, Count::Target2xx, Count::NewConnections].map(|count| report.count(count));
    assert_eq!(counted, [4, 4, 1]);
    assert_eq!(report.response_time.count, 4);
    assert!(report.response_time.min_micros <= report.response_time.max_micros);
    assert!(report.count(Count::ProcessedBytes) > 400);
    assert_eq!((counters.target_groups[0].healthy, counters.target_groups[0].report.count(Count::Requests)), (1, 4));
    assert_eq!(counters.targets[0].report.count(Count::Requests), 4);
    let again = world.proxy.collect();
    assert_eq!(again.load_balancers[0].report.count(Count::Requests), 0);
}

/// Pipelined requests are answered in order.
#[test]
fn pipelined_requests() {
    let server = Server::start(|_, head, stream| {
        respond(stream, 200, "", head.split(' ').nth(1).unwrap().as_bytes());
        true
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    let requests: String = (0..5).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    client.write_all(requests.as_bytes()).unwrap();
    for number in 0..5 {
        assert_eq!(receive(&mut client).text(), format!("/{number}"));
    }
}

/// A head that arrives byte by byte is one request.
#[test]
fn a_head_in_pieces() {
    let server = Server::named("one");
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    for _ in 0..2 {
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" {
            client.write_all(&[*byte]).unwrap();
        }
        assert_eq!(receive(&mut client).text(), "one");
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Large bodies stream through in both directions at once, with a length and
/// in chunks; the connection is good for the next request.
#[test]
fn large_bodies_both_ways() {
    let server = Server::start(|_, head, stream| {
        let body = read_body(stream, head);
        let chunked = header(head, "transfer-encoding").is_some();
        if !chunked {
            respond(stream, 200, "", &body);
            return true;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for piece in body.chunks(70_001) {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            stream.write_all(piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        true
    });
    let world = World::with(1, &[&server]);
    let body = pattern(6_000_000);
    let mut client = connect(world.address());
    for round in 0..2 {
        let mut sender = client.try_clone().unwrap();
        let sent = body.clone();
        let sending = std::thread::spawn(move || {
            if round == 0 {
                let head = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", sent.len());
                sender.write_all(head.as_bytes()).unwrap();
                sender.write_all(&sent).unwrap();
                return;
            }
            sender.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            for piece in sent.chunks(99_991) {
                sender.write_all(format!("{:X}\r\n", piece.len()).as_bytes()).unwrap();
                sender.write_all(piece).unwrap();
                sender.write_all(b"\r\n").unwrap();
            }
            sender.write_all(b"0\r\n\r\n").unwrap();
        });
        let got = receive(&mut client);
        sending.join().unwrap();
        assert_eq!(got.status, 200);
        assert!(got.body == body, "round {round}: {} bytes", got.body.len());
    }
}

/// HEAD, 204 and 304 have no body whatever their headers say.
#[test]
fn responses_without_a_body() {
    let server = Server::start(|_, head, stream| {
        let status = if head.contains("/304") { "304 Not Modified" } else { "200 OK" };
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n").as_bytes()).unwrap();
        true
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    for request in ["HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /304 HTTP/1.1\r\nHost: x\r\n\r\n"] {
        for _ in 0..2 {
            client.write_all(request.as_bytes()).unwrap();
            let head = read_head(&mut client).unwrap();
            assert_eq!(header(&head, "content-length"), Some("5"));
            assert_eq!(header(&head, "connection"), Some("keep-alive"));
        }
    }
}

/// A client of HTTP/1.0 gets the payload of chunks, and the end by closing.
#[test]
fn old_clients_get_no_chunks() {
    let server = Server::start(|_, _, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            .unwrap();
        true
    });
    let world = World::with(1, &[&server]);
    let got = send(&mut connect(world.address()), "GET / HTTP/1.0\r\n\r\n");
    assert_eq!((got.status, got.text().as_str()), (200, "hello world"));
    assert_eq!(header(&got.head, "transfer-encoding"), None);
}

/// A response that ends with the target's connection ends with the client's.
#[test]
fn bodies_until_close() {
    let server = Server::start(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").unwrap();
        false
    });
    let world = World::with(1, &[&server]);
    let got = get(world.address(), "/");
    assert_eq!(got.text(), "until the end");
}

/// `Expect: 100-continue` is answered at once and not passed on.
#[test]
fn continue_at_once() {
    let server = Server::start(|_, head, stream| {
        assert_eq!(header(head, "expect"), None);
        let body = read_body(stream, head);
        respond(stream, 200, "", &body);
        true
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut client).unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(send(&mut client, "body").text(), "body");
}

/// After 101 bytes pass in both directions, and one may end before the other.
#[test]
fn upgrade_tunnel() {
    let server = Server::start(|_, head, stream| {
        assert_eq!((header(head, "upgrade"), header(head, "connection")), (Some("websocket"), Some("Upgrade")));
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi ")
            .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly ").unwrap();
    let head = read_head(&mut client).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "connection"), Some("Upgrade"));
    client.write_all(b"late").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "hi early late");
}

/// A connection that the daemon accepted reaches the load balancer of its
/// name; other names get 404.
#[test]
fn connections_from_the_main_port() {
    let server = Server::named("one");
    let world = World::with(2, &[&server]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for (host, status) in [("Web-1.us-east-1.ELB.localhost:4566", 200), ("other.localhost", 404)] {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        client.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        world.proxy.serve_connection(accepted, host).unwrap();
        let got = receive(&mut client);
        assert_eq!(got.status, status, "{host}");
        if status == 404 {
            assert_eq!(header(&got.head, "server"), Some("awselb/2.0"));
        }
    }
}

/// A target may answer before it has the whole body: the client gets the
/// answer, and the connection ends.
#[test]
fn early_answers() {
    let server = Server::start(|_, _, stream| {
        respond(stream, 413, "Connection: close\r\n", b"too much");
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n").unwrap();
    // The proxy reads on for a while, so that its answer is not lost to a reset.
    let _ = client.write_all(&pattern(800_000));
    let got = receive(&mut client);
    assert_eq!((got.status, got.text().as_str()), (413, "too much"));
    assert_eq!(header(&got.head, "connection"), Some("close"));
    assert!(is_closed(&mut client));
}
