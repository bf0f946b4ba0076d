//! Codes that the load balancer generates (alb.md 9), each by its cause, as
//! far as `failures` does not have it.

use crate::support::*;
use elastane_domain::routing::{Action, Admission, Desync, Protocol, ProtocolVersion, TargetGroup};
use elastane_domain::time::Span;
use elastane_proxy::Count;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Mutex, mpsc};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn statuses(world: &World, count: Count) -> u64 {
    world.proxy.collect().load_balancers[0].report.count(count)
}

/// Requests that are refused by what they are, in the mode of alb.md 7.2.
#[test]
fn alb_9_refused_by_form() {
    let server = Server::named("one");
    let mut world = World::with(1, &[&server]);
    let addresses = vec!["1.1.1.1"; 31].join(", ");
    let long = "x".repeat(17_000);
    let both = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let zero = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let severe =
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (mode, status, request) in [
        (Desync::Defensive, 463, format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {addresses}\r\n\r\n")),
        (Desync::Defensive, 414, format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        (Desync::Defensive, 400, format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n")),
        (Desync::Defensive, 200, both.to_owned()),
        (Desync::Defensive, 200, zero.to_owned()),
        (Desync::Defensive, 400, severe.to_owned()),
        (Desync::Monitor, 200, both.to_owned()),
        (Desync::Monitor, 200, severe.to_owned()),
        (Desync::Strictest, 400, both.to_owned()),
        (Desync::Strictest, 400, zero.to_owned()),
        (Desync::Strictest, 400, severe.to_owned()),
        (Desync::Strictest, 200, GET.to_owned()),
    ] {
        world.balancer.options.desync = mode;
        world.apply();
        let got = send(&mut connect(world.address()), &request);
        assert_eq!(got.status, status, "{mode:?} {request:.80?}");
    }
    assert_eq!(statuses(&world, Count::DesyncNonCompliant), 8);
}

/// An ambiguous request passes in one reading, and ends both connections:
/// what was smuggled behind it is never read.
#[test]
fn alb_7_2_ambiguous_requests_end_both_connections() {
    let server = Server::start(|connection, head, stream| {
        let body = read_body(stream, head);
        assert_eq!(header(head, "content-length"), None);
        assert!(!head.contains("smuggled"));
        respond(stream, 200, &format!("X-Connection: {connection}\r\n"), &body);
        true
    });
    let world = World::with(1, &[&server]);
    for connection in ["0", "1"] {
        let mut client = connect(world.address());
        let got = send(
            &mut client,
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        );
        assert_eq!((got.status, got.text().as_str()), (200, "hi"));
        assert_eq!(
            (header(&got.head, "connection"), header(&got.head, "x-connection")),
            (Some("close"), Some(connection))
        );
        assert!(is_closed(&mut client));
    }
}

/// A client that says within its body that nothing more comes gets 400.
#[test]
fn alb_9_short_body() {
    let server = Server::start(|_, head, stream| {
        let _ = stream.read_exact(&mut vec![0; header(head, "content-length").unwrap().parse().unwrap()]);
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(receive(&mut client).status, 400);
    assert_eq!(statuses(&world, Count::Elb4xx), 1);
}

/// Clients of HTTP/1 cannot reach groups of other versions: 464.
#[test]
fn alb_8_versions() {
    let server = Server::named("one");
    let mut world = World::with(1, &[&server]);
    for version in [ProtocolVersion::Http2, ProtocolVersion::Grpc] {
        world.group.version = version;
        world.apply();
        assert_eq!(get(world.address(), "/").status, 464, "{version:?}");
    }
    world.group.version = ProtocolVersion::Http1;
    world.apply();
    assert_eq!(get(world.address(), "/").status, 200);
}

/// Resets, heads that are too long, and targets that speak no TLS: 502.
#[test]
fn alb_9_bad_gateway() {
    let server = Server::start(|_, head, stream| {
        if head.contains("/long") {
            let line = format!("X: {}\r\n", "x".repeat(8_000)).repeat(5);
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{line}Content-Length: 0\r\n\r\n").as_bytes());
        }
        if head.contains("/reset") {
            sockopt::set_socket_linger(&*stream, Some(std::time::Duration::ZERO)).unwrap();
        }
        if head.contains("/lengths") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab");
        }
        false
    });
    let mut world = World::with(1, &[&server]);
    for path in ["/long", "/reset", "/lengths", "/closed"] {
        assert_eq!(get(world.address(), path).status, 502, "{path}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    let no_tls = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Speak plainly\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    world.others = vec![TargetGroup { protocol: Protocol::Https, ..unchecked_group("arn:tls", address) }];
    world.balancer.listeners[0].rules[0].action = Action::forward_to("arn:tls".into());
    world.apply();
    assert_eq!(get(world.address(), "/").status, 502);
    no_tls.join().unwrap();
    let report = &world.proxy.collect().load_balancers[0].report;
    assert_eq!((report.count(Count::Elb502), report.count(Count::TargetTlsErrors)), (5, 1));
}

/// A request in flight at a target whose deregistration delay ends: 502.
#[test]
fn alb_9_deregistration_delay_ends() {
    let (arrived, at_target) = mpsc::channel();
    let (arrived, wait) = (Mutex::new(arrived), Mutex::new(()));
    let hold = wait.lock().unwrap();
    let server = Server::start(move |_, _, stream| {
        arrived.lock().unwrap().send(()).unwrap();
        let _ = stream.read(&mut [0; 1]);
        false
    });
    let mut world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(GET.as_bytes()).unwrap();
    at_target.recv_timeout(PATIENCE).unwrap();
    world.set_admission(server.address, Admission::Draining { until: elastane_domain::time::Time(0) });
    world.apply();
    assert_eq!(receive(&mut client).status, 502);
    drop(hold);
}

/// A target that does not accept within 10 s: 504.
#[test]
fn alb_9_connect_timeout() {
    // A socket with a full queue does not answer to further connections.
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    bind(&socket, &"127.0.0.1:0".parse::<SocketAddrV4>().unwrap()).unwrap();
    listen(&socket, 0).unwrap();
    let listener = TcpListener::from(socket);
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    let mut fillers = Vec::new();
    loop {
        let filler = TcpStream::connect_timeout(&address.into(), std::time::Duration::from_millis(300));
        match filler {
            Ok(stream) => fillers.push(stream),
            Err(_) => break,
        }
        assert!(fillers.len() < 64, "the queue has an end");
    }
    let mut world = World::new(1);
    world.group.check.enabled = false;
    world.add(address);
    world.apply();
    let got = get(world.address(), "/");
    assert_eq!((got.status, got.body.len()), (504, 132));
    assert_eq!(statuses(&world, Count::TargetConnectionErrors), 1);
}

/// A body that is shorter than its length, and a client that waits: 504.
#[test]
fn alb_9_length_larger_than_body() {
    let server = Server::start(|_, head, stream| {
        let _ = stream.read_exact(&mut vec![0; header(head, "content-length").unwrap().parse().unwrap()]);
        false
    });
    let mut world = World::with(1, &[&server]);
    world.balancer.options.idle_timeout_secs = 1;
    world.apply();
    let mut client = connect(world.address());
    let got = send(&mut client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(got.status, 504);
    assert!(is_closed(&mut client));
}

/// A client's connection ends when it is old enough (`client_keep_alive.seconds`).
#[test]
fn alb_6_client_keep_alive() {
    let server = Server::named("one");
    let mut world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    assert_eq!(header(&send(&mut client, GET).head, "connection"), Some("keep-alive"));
    world.balancer.options.client_keep_alive_secs = 0;
    world.apply();
    assert_eq!(header(&send(&mut client, GET).head, "connection"), Some("close"));
    assert!(is_closed(&mut client));
}

/// Draining targets finish what they have; nothing new goes there.
#[test]
fn alb_3_draining_finishes_requests() {
    let (arrived, at_target) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let (arrived, gone) = (Mutex::new(arrived), Mutex::new(gone));
    let server = Server::start(move |_, _, stream| {
        arrived.lock().unwrap().send(()).unwrap();
        gone.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        respond(stream, 200, "", b"done");
        true
    });
    let mut world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(GET.as_bytes()).unwrap();
    at_target.recv_timeout(PATIENCE).unwrap();
    world.drain(server.address, Span::from_mins(600));
    world.apply();
    assert_eq!(get(world.address(), "/").status, 503);
    go.send(()).unwrap();
    assert_eq!(receive(&mut client).text(), "done");
    world.wait_drained(server.address);
}
