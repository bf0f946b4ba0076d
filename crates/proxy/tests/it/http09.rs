//! Clients of HTTP/0.9: a line goes in, a body comes out (alb.md 6).

use crate::logs::{Folder, fields};
use crate::support::*;
use elastane_domain::routing::{Action, Desync, LogPlace, Redirect};
use elastane_proxy::Count;
use std::io::{Read, Write};

/// All that comes back for a request, up to the end of the connection.
fn whole(world: &World, request: &[u8]) -> String {
    let mut client = connect(world.address());
    client.write_all(request).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// A target that answers with the head that it got: as one piece, in chunks,
/// or up to the end of its connection.
fn mirror() -> Server {
    Server::start(|_, head, stream| {
        if head.contains("/chunked") {
            let chunks = format!("{:x}\r\n{head}\r\n4\r\nmore\r\n0\r\n\r\n", head.len());
            let _ =
                stream.write_all(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes());
            return true;
        }
        if head.contains("/unframed") {
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{head}").as_bytes());
            return false;
        }
        respond(stream, 200, "X-Own: v\r\n", head.as_bytes());
        true
    })
}

/// The target sees a request of HTTP/1.1 for the load balancer's own name, and
/// the client its answer's body alone, however it is framed. What follows the
/// line is not another request.
#[test]
fn alb_6_a_line_in_a_body_out() {
    let server = mirror();
    let world = World::with(1, &[&server]);
    for (request, path, end) in [
        (&b"GET /a?b=c\r\n"[..], "/a?b=c", ""),
        (b"GET /a\n", "/a", ""),
        (b"GET /chunked\r\n", "/chunked", "more"),
        (b"GET /unframed\r\n", "/unframed", ""),
        (b"GET /a\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "/a", ""),
    ] {
        let got = whole(&world, request);
        assert!(got.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{got}");
        assert!(got.ends_with(&format!("\r\n\r\n{end}")) && !got.contains("smuggled"), "{got}");
        assert!(header(&got, "host").unwrap().starts_with("web-1.us-east-1.elb.localhost"), "{got}");
        assert_eq!(header(&got, "x-forwarded-for"), Some("127.0.0.1"));
    }
    let report = &world.proxy.collect().load_balancers[0].report;
    assert_eq!((report.count(Count::Requests), report.count(Count::DesyncNonCompliant)), (5, 5));
}

/// A line may come byte by byte.
#[test]
fn alb_6_a_line_in_pieces() {
    let server = Server::named("a");
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    for byte in b"GET /slow\r\n" {
        client.write_all(&[*byte]).unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "a");
}

/// The load balancer's own answers are bodies too; the strictest mode, and
/// what is no request of HTTP/0.9 either, get a refusal of HTTP/1.1.
#[test]
fn alb_6_own_answers() {
    let mut world = World::new(1);
    assert!(whole(&world, b"GET /\r\n").starts_with("<html>\r\n<head><title>503 "));
    world.balancer.listeners[0].rules[0].action = fixed(200, "fixed");
    world.apply();
    assert_eq!(whole(&world, b"GET /\r\n"), "fixed");
    for request in [&b"POST /\r\n"[..], b"GET x\r\n", b"GET / \r\n", b"HEAD /\r\n"] {
        let got = whole(&world, request);
        assert!(got.starts_with("HTTP/1.1 400 "), "{got}");
    }
    world.balancer.options.desync = Desync::Strictest;
    world.apply();
    assert!(whole(&world, b"GET /\r\n").starts_with("HTTP/1.1 400 "));
}

/// The log names the version, and what is odd about it.
#[test]
fn alb_10_line_of_http_0_9() {
    let folder = Folder::new();
    let mut world = World::start(1, Some(folder.0.clone()));
    world.balancer.options.access_log = Some(LogPlace { bucket: "bucket".to_owned(), prefix: String::new() });
    world.balancer.listeners[0].rules[0].action = Action::Redirect(Redirect {
        status: 301,
        protocol: "#{protocol}".to_owned(),
        host: "other.test".to_owned(),
        port: "#{port}".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
    });
    world.apply();
    assert!(whole(&world, b"GET /x\r\n").starts_with("<html>"));
    let line = fields(&folder.wait_lines(1)[0]);
    assert_eq!(line[12], "GET http://web-1.us-east-1.elb.localhost:0/x HTTP/0.9");
    assert_eq!((line[8].as_str(), line[10].as_str()), ("301", "8"));
    assert_eq!([line[27].as_str(), line[28].as_str()], ["Acceptable", "NonCompliantVersion"]);
}
