//! Targets and listeners that come and go while requests are under way.

use crate::support::*;
use elastane_domain::routing::{Admission, Algorithm, ProxyFact};
use elastane_domain::time::Span;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// Far beyond the end of any test, also in fast service time.
const LONG: Span = Span::from_secs(1_000_000);

/// A server whose requests wait until they are let go; it says when one arrived.
fn gated(name: &'static str) -> (Server, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, arrivals) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let (arrived, gate) = (Mutex::new(arrived), Mutex::new(gate));
    let server = Server::start(move |_, _, stream| {
        let _ = arrived.lock().unwrap().send(());
        let _ = gate.lock().unwrap().recv();
        respond(stream, 200, "", name.as_bytes());
        true
    });
    (server, arrivals, go)
}

/// A draining target gets no new requests, finishes what it has, and is
/// drained only then.
#[test]
fn draining_finishes_what_is_in_flight() {
    let (old, arrivals, go) = gated("old");
    let new = Server::named("new");
    let mut world = World::with(2, &[&old]);
    let mut waiting = connect(world.address());
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    world.add(new.address);
    world.apply();
    world.wait_healthy(new.address);
    world.drain(old.address, LONG);
    world.apply();
    for _ in 0..8 {
        assert_eq!(get(world.address(), "/").text(), "new");
    }
    let drained = |fact: &ProxyFact| matches!(fact, ProxyFact::Drained { .. });
    assert!(!world.seen.iter().any(drained));
    let in_flight = |world: &World| {
        let counters = world.proxy.collect();
        let key = world.key(old.address);
        counters.targets.iter().find(|target| target.key == key).unwrap().report.in_flight
    };
    assert_eq!(in_flight(&world), 1);
    go.send(()).unwrap();
    assert_eq!(receive(&mut waiting).text(), "old");
    world.wait_drained(old.address);
    assert_eq!(in_flight(&world), 0);
}

/// When the delay ends, when a target leaves the snapshot and when its
/// instance stops running, requests in flight end with 502.
#[test]
fn what_is_left_is_cut() {
    let (server, arrivals, _go) = gated("never");
    let mut world = World::with(1, &[&server]);
    let mut waiting = connect(world.address());
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    world.set_admission(server.address, Admission::Unused);
    world.apply();
    assert_eq!(receive(&mut waiting).status, 502);

    let (server, arrivals, _go) = gated("never");
    let mut world = World::with(1, &[&server]);
    let mut waiting = connect(world.address());
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    world.drain(server.address, Span(-2_000_000));
    world.apply();
    assert_eq!(receive(&mut waiting).status, 502);
    world.wait_drained(server.address);

    let (server, arrivals, _go) = gated("never");
    let mut world = World::with(1, &[&server]);
    let mut waiting = connect(world.address());
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    world.group.targets.clear();
    world.apply();
    assert_eq!(receive(&mut waiting).status, 502);
    assert_eq!(send(&mut waiting, GET).status, 503);
}

/// Targets come and drain away under load, and no request fails.
#[test]
fn no_failures_under_churn() {
    let servers: Vec<Server> = ["a", "b", "c"].into_iter().map(Server::named).collect();
    let mut world = World::with(2, &[&servers[0], &servers[1]]);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = world.address();
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (stop, served) = (stop.clone(), served.clone());
            std::thread::spawn(move || {
                let mut stream = connect(address);
                let mut failed = 0;
                while !stop.load(Ordering::SeqCst) {
                    if client % 2 == 0 {
                        stream = connect(address);
                    }
                    failed += usize::from(send(&mut stream, GET).status != 200);
                    served.fetch_add(1, Ordering::SeqCst);
                }
                failed
            })
        })
        .collect();
    for round in 0..12 {
        let (leaving, coming) = (servers[round % 3].address, servers[(round + 2) % 3].address);
        let before = served.load(Ordering::SeqCst);
        world.add(coming);
        world.seen.clear();
        world.apply();
        world.wait_healthy(coming);
        world.drain(leaving, LONG);
        world.apply();
        world.wait_drained(leaving);
        world.group.targets.retain(|target| target.address != leaving);
        world.apply();
        while served.load(Ordering::SeqCst) < before + 20 {
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::SeqCst);
    let failed: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(failed, 0, "of {}", served.load(Ordering::SeqCst));
}

/// Least outstanding requests avoids the busy target; round robin would not.
#[test]
fn least_outstanding_requests() {
    let (busy, arrivals, go) = gated("busy");
    let free = Server::named("free");
    let mut world = World::with(1, &[&busy]);
    world.group.algorithm = Algorithm::LeastOutstandingRequests;
    let mut waiting = connect(world.address());
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    world.add(free.address);
    world.apply();
    world.wait_healthy(free.address);
    let mut client = connect(world.address());
    for _ in 0..8 {
        assert_eq!(send(&mut client, GET).text(), "free");
    }
    go.send(()).unwrap();
    assert_eq!(receive(&mut waiting).text(), "busy");
}

/// What a snapshot leaves as it was keeps its health.
#[test]
fn snapshots_do_not_disturb_health() {
    let servers = [Server::named("a"), Server::named("b")];
    let mut world = World::with(1, &[&servers[0]]);
    world.seen.clear();
    for _ in 0..5 {
        world.apply();
        assert_eq!(world.proxy.collect().target_groups[0].healthy, 1);
    }
    world.add(servers[1].address);
    world.apply();
    world.wait_healthy(servers[1].address);
    let about_first =
        |fact: &ProxyFact| matches!(fact, ProxyFact::Health { target, .. } if target.address == servers[0].address);
    assert!(!world.seen.iter().any(about_first), "{:?}", world.seen);
}

/// Round robin takes turns.
#[test]
fn round_robin() {
    let servers = [Server::named("a"), Server::named("b")];
    let world = World::with(1, &[&servers[0], &servers[1]]);
    let mut client = connect(world.address());
    let got: Vec<String> = (0..4).map(|_| send(&mut client, GET).text()).collect();
    assert_eq!(got[..2], got[2..]);
    assert_ne!(got[0], got[1]);
}

/// Listeners open and close at run time. One that closes finishes what it
/// has with `Connection: close` and ends idle connections.
#[test]
fn listeners_come_and_go() {
    let (server, arrivals, go) = gated("last words");
    let mut world = World::with(2, &[&server]);
    world.balancer.listeners.push(listener("arn:second"));
    world.apply();
    let second = world.bound["arn:second"];
    let mut waiting = connect(second);
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    let mut idle = connect(second);
    go.send(()).unwrap();
    assert_eq!(receive(&mut waiting).status, 200);
    go.send(()).unwrap();
    assert_eq!(send(&mut idle, GET).status, 200);
    arrivals.recv_timeout(PATIENCE).unwrap();
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    world.balancer.listeners.pop();
    world.apply();
    assert!(is_closed(&mut idle));
    go.send(()).unwrap();
    let got = receive(&mut waiting);
    assert_eq!((got.text().as_str(), header(&got.head, "connection")), ("last words", Some("close")));
    assert!(is_closed(&mut waiting));
    go.send(()).unwrap();
    assert_eq!(get(world.address(), "/").status, 200);
}

/// A port that is taken is replaced, and the fact says so.
#[test]
fn taken_ports() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = taken.local_addr().unwrap() else { panic!() };
    let mut world = World::new(2);
    world.balancer.listeners[0].port = address.port();
    world.apply();
    let listening = |fact: &&ProxyFact| matches!(fact, ProxyFact::Listening { note, .. } if note.contains("instead"));
    assert!(world.seen.iter().any(|fact| listening(&fact)), "{:?}", world.seen);
    assert_ne!(world.address(), address);
    assert_eq!(get(world.address(), "/").status, 503);
}

/// A listener that gets another port is there, and at the old one no more.
#[test]
fn another_port() {
    let mut world = World::new(2);
    let old = world.address();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.balancer.listeners[0].port = free;
    world.apply();
    assert_eq!(world.address().port(), free);
    assert_eq!(get(world.address(), "/").status, 503);
    while TcpStream::connect(old).is_ok() {
        std::thread::yield_now();
    }
}
