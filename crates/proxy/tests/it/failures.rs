//! What the load balancer answers itself (alb.md 9), and what it refuses.

use crate::support::*;
use elastane_domain::routing::{Action, Admission, TargetHealth, UnhealthyReason};
use elastane_proxy::Count;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Nothing registered, and only unused targets: 503; the connection stays.
#[test]
fn status_503() {
    let mut world = World::new(1);
    let mut client = connect(world.address());
    let got = send(&mut client, GET);
    assert_eq!((got.status, got.body.len()), (503, 162));
    assert_eq!(header(&got.head, "server"), Some("awselb/2.0"));
    assert_eq!(header(&got.head, "content-type"), Some("text/html"));
    world.add("127.0.0.1:1".parse().unwrap());
    world.set_admission("127.0.0.1:1".parse().unwrap(), Admission::Unused);
    world.apply();
    assert_eq!(send(&mut client, GET).status, 503);
    let report = &world.proxy.collect().load_balancers[0].report;
    let counted = [Count::Elb503, Count::Elb5xx, Count::Requests].map(|count| report.count(count));
    assert_eq!(counted, [2, 2, 0]);
}

/// Refused connections, closed connections and nonsense: 502.
#[test]
fn status_502() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(refusing) = closed.local_addr().unwrap() else { panic!() };
    drop(closed);
    let mut world = World::new(1);
    world.add(refusing);
    world.apply();
    let got = get(world.address(), "/");
    assert_eq!((got.status, got.body.len()), (502, 122));
    let report = &world.proxy.collect().load_balancers[0].report;
    assert!(report.count(Count::TargetConnectionErrors) >= 1);
    assert_eq!(report.count(Count::Elb502), 1);

    let server = Server::start(|_, head, stream| {
        if head.contains("/nonsense") {
            stream.write_all(b"SSH-2.0-nothing\r\n\r\n").unwrap();
        }
        if head.contains("/half") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-").unwrap();
        }
        if head.contains("/101") {
            stream.write_all(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").unwrap();
        }
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    for path in ["/", "/nonsense", "/half", "/101"] {
        assert_eq!(send(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).status, 502, "{path}");
    }
}

/// No response within the idle timeout: 504.
#[test]
fn status_504() {
    let (done, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::start(move |_, _, _| {
        let _ = wait.lock().unwrap().recv();
        false
    });
    let mut world = World::with(1, &[&server]);
    world.balancer.options.idle_timeout_secs = 1;
    world.apply();
    let got = get(world.address(), "/");
    assert_eq!((got.status, got.body.len()), (504, 132));
    drop(done);
}

/// A head that does not end within the idle timeout: 408. An idle connection just closes.
#[test]
fn status_408() {
    let mut world = World::new(1);
    world.balancer.options.idle_timeout_secs = 1;
    world.apply();
    let mut client = connect(world.address());
    assert_eq!(send(&mut client, "GET / HTTP/1.1\r\nHos").status, 408);
    assert!(is_closed(&mut client));
    assert!(is_closed(&mut connect(world.address())));
}

/// A response cut short ends the client's connection: the client can tell.
#[test]
fn truncated_responses() {
    let server = Server::start(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(GET.as_bytes()).unwrap();
    let mut all = Vec::new();
    let _ = client.read_to_end(&mut all);
    assert!(all.ends_with(b"\r\n\r\nhalf"));
}

/// A client that leaves is counted as 460, and the target's connection closes.
#[test]
fn status_460() {
    let (arrived, at_target) = mpsc::channel();
    let arrived = Mutex::new(arrived);
    let server = Server::start(move |_, _, stream| {
        arrived.lock().unwrap().send(()).unwrap();
        assert!(is_closed(stream));
        arrived.lock().unwrap().send(()).unwrap();
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(GET.as_bytes()).unwrap();
    at_target.recv_timeout(PATIENCE).unwrap();
    drop(client);
    at_target.recv_timeout(PATIENCE).unwrap();
    // The target's connection closes a moment before it is counted.
    let (started, mut sums) = (Instant::now(), (0, 0));
    while sums.0 == 0 && started.elapsed() < PATIENCE {
        let report = &world.proxy.collect().load_balancers[0].report;
        sums = (sums.0 + report.count(Count::Elb460), sums.1 + report.count(Count::Elb4xx));
    }
    assert_eq!(sums, (1, 1));
}

/// Smuggling attempts and other nonsense end at the proxy: the target sees
/// none of it, and the connection closes with the refusal.
#[test]
fn refused_requests() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let server = Server::start(move |_, _, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        respond(stream, 200, "", b"");
        true
    });
    let world = World::with(1, &[&server]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for (status, head) in [
        (400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n"),
        (501, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n"),
        (400, "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
        (400, "GET / HTTP/1.1\nHost: x\n\n"),
        (405, "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (505, "GET / HTTP/3.0\r\nHost: x\r\n\r\n"),
    ] {
        let mut client = connect(world.address());
        let got = send(&mut client, &format!("{head}{smuggled}"));
        assert_eq!(got.status, status, "{head:?}");
        assert_eq!(header(&got.head, "connection"), Some("close"));
        assert!(is_closed(&mut client), "{head:?}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

/// A connection that the target closed while it waited is replaced without
/// the client noticing; a POST is not repeated.
#[test]
fn stale_connections() {
    let server = Server::start(|connection, _, stream| {
        // Says that the connection stays and closes it with the next request.
        if connection.is_multiple_of(2) {
            respond(stream, 200, "", b"kept");
            let _ = read_head(stream);
            return false;
        }
        respond(stream, 200, "Connection: close\r\n", b"closing");
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    assert_eq!(send(&mut client, GET).text(), "kept");
    assert_eq!(send(&mut client, GET).text(), "closing");
    assert_eq!(send(&mut client, GET).text(), "kept");
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(send(&mut client, post).status, 502);
}

/// A target that refuses connections costs no request while another one does not.
#[test]
fn another_target_is_tried() {
    let (dying, living) = (Server::named("dying"), Server::named("living"));
    let mut world = World::with(1, &[&dying, &living]);
    // No check may notice in the meantime.
    world.group.check.unhealthy_threshold = u32::MAX;
    world.apply();
    drop(dying);
    let mut client = connect(world.address());
    for _ in 0..6 {
        assert_eq!(send(&mut client, GET).text(), "living");
    }
    assert!(world.proxy.collect().load_balancers[0].report.count(Count::TargetConnectionErrors) >= 1);
}

/// Checks make targets healthy and unhealthy; with none healthy the
/// unhealthy ones get the requests.
#[test]
fn health_transitions() {
    let server = Server::named("one");
    let mut world = World::with(1, &[&server]);
    let is = |wanted: TargetHealth| move |fact: &elastane_domain::routing::ProxyFact| matches!(fact, elastane_domain::routing::ProxyFact::Health { health, .. } if *health == wanted);
    server.well.store(false, Ordering::SeqCst);
    world.wait(is(TargetHealth::Unhealthy(UnhealthyReason::ResponseCodeMismatch(500))));
    assert_eq!(get(world.address(), "/").text(), "one");
    let counters = world.proxy.collect();
    let group = &counters.target_groups[0];
    assert_eq!((group.healthy, group.unhealthy, group.report.count(Count::UnhealthyRouting)), (0, 1, 1));
    server.well.store(true, Ordering::SeqCst);
    world.wait(is(TargetHealth::Healthy));
    drop(server);
    world.wait(is(TargetHealth::Unhealthy(UnhealthyReason::FailedHealthChecks)));
    // Registered again after having been unused: initial.
    let address = world.group.targets[0].address;
    world.set_admission(address, Admission::Unused);
    world.apply();
    world.set_admission(address, Admission::Registered);
    world.apply();
    assert!(world.seen.iter().any(is(TargetHealth::Initial)));
}

/// A fixed response needs no target.
#[test]
fn fixed_response() {
    let mut world = World::new(1);
    world.balancer.listeners[0].rules[0].action = Action::FixedResponse {
        status: 418,
        content_type: "text/plain".to_owned(),
        body: "short and stout".to_owned(),
    };
    world.apply();
    let got = get(world.address(), "/");
    assert_eq!((got.status, got.text().as_str()), (418, "short and stout"));
    assert_eq!(header(&got.head, "content-type"), Some("text/plain"));
}
