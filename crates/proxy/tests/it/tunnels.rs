//! WebSocket tunnels: bytes in both directions until either side is done.

use crate::support::*;
use elastane_domain::routing::{Admission, Algorithm};
use elastane_domain::time::{Span, Time};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// A server that switches and then does something with the connection.
fn switching(then: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    Server::start(move |_, head, stream| {
        if !head.contains("/ws") {
            respond(stream, 200, "", b"plain");
            return true;
        }
        stream.write_all(SWITCH).unwrap();
        then(stream);
        false
    })
}

fn echo(stream: &mut TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(length) = stream.read(&mut bytes) {
        if length == 0 || stream.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}

fn open(world: &World) -> TcpStream {
    let mut client = connect(world.address());
    client.write_all(UPGRADE.as_bytes()).unwrap();
    assert!(read_head(&mut client).unwrap().starts_with("HTTP/1.1 101 "));
    client
}

fn exchange(client: &mut TcpStream, text: &[u8]) {
    client.write_all(text).unwrap();
    let mut got = vec![0; text.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got, text);
}

/// The target may end its direction first; the client's goes on.
#[test]
fn a_tunnel_closes_by_halves() {
    let (sender, received) = mpsc::channel();
    let sender = Mutex::new(sender);
    let server = switching(move |stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        sender.lock().unwrap().send(rest).unwrap();
    });
    let world = World::with(1, &[&server]);
    let mut client = open(&world);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"bye");
    client.write_all(b"still here").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"still here");
}

/// Silence in both directions ends a tunnel after the idle timeout.
#[test]
fn a_silent_tunnel_ends() {
    let server = switching(echo);
    let mut world = World::with(1, &[&server]);
    world.balancer.options.idle_timeout_secs = 1;
    world.apply();
    let mut client = open(&world);
    exchange(&mut client, b"hello");
    assert!(is_closed(&mut client));
}

/// A target that does not read stops its client: little is kept in between.
#[test]
fn a_tunnel_has_back_pressure() {
    let (go, gone) = mpsc::channel::<()>();
    let (sender, received) = mpsc::channel();
    let (gone, sender) = (Mutex::new(gone), Mutex::new(sender));
    let server = switching(move |stream| {
        gone.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        sender.lock().unwrap().send(all.len()).unwrap();
    });
    let world = World::with(1, &[&server]);
    let mut client = open(&world);
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![7; 64 * 1024];
    let mut sent = 0;
    // Sockets' own buffers on loopback take a few MB; a proxy that keeps what it reads takes everything.
    let most = 256 * 1024 * 1024;
    while sent < most {
        match client.write(&piece) {
            Ok(length) => sent += length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < most, "nothing stopped the client");
    go.send(()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), sent);
}

/// A draining target keeps its tunnels until the delay ends, then they are cut.
#[test]
fn draining_keeps_tunnels_for_the_delay() {
    let server = switching(echo);
    let mut world = World::with(1, &[&server]);
    let mut client = open(&world);
    world.drain(server.address, Span::from_mins(600));
    world.apply();
    assert_eq!(get(world.address(), "/").status, 503);
    exchange(&mut client, b"still open");
    world.set_admission(server.address, Admission::Draining { until: Time(0) });
    world.apply();
    assert!(is_closed(&mut client));
    world.wait_drained(server.address);
}

/// Open tunnels count as outstanding requests.
#[test]
fn least_outstanding_counts_tunnels() {
    let number = || {
        Server::start(|_, head, stream| {
            if head.contains("/ws") {
                stream.write_all(SWITCH).unwrap();
                echo(stream);
                return false;
            }
            let port = stream.local_addr().unwrap().port().to_string();
            respond(stream, 200, "", port.as_bytes());
            true
        })
    };
    let servers = [number(), number()];
    let mut world = World::with(1, &[&servers[0], &servers[1]]);
    world.group.algorithm = Algorithm::LeastOutstandingRequests;
    world.apply();
    let _tunnel = open(&world);
    let answers: Vec<String> = (0..8).map(|_| get(world.address(), "/").text()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let _other = open(&world);
    let answers: Vec<String> = (0..8).map(|_| get(world.address(), "/").text()).collect();
    assert!(answers.iter().any(|answer| *answer != answers[0]), "{answers:?}");
}
