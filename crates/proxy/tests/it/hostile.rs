//! Clients that mean harm, or are just broken: what they can make the proxy
//! keep has a limit, and others are served meanwhile.

use crate::support::*;
use elastane_proxy::Count;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// More than sockets' own buffers on loopback and the proxy's own take together.
const FLOOD_BYTES: usize = 256 * 1024 * 1024;
/// Between the lines of a head that trickles in: few enough lines that their number is no fault.
const TRICKLE: Duration = Duration::from_millis(100);

/// Writes `piece` again and again until the peer closes or takes no more for a
/// while; how many bytes it took.
fn flood(client: &mut TcpStream, piece: &[u8]) -> usize {
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while sent < FLOOD_BYTES {
        match client.write(piece) {
            Ok(length) => sent += length,
            Err(_) => break,
        }
    }
    sent
}

/// Heads that never end: each ends with 408 after the idle timeout however
/// its bytes trickle in, and others do not notice.
#[test]
fn slow_heads() {
    let server = Server::named("one");
    let mut world = World::with(1, &[&server]);
    world.balancer.options.idle_timeout_secs = 2;
    world.apply();
    let mut slow: Vec<_> = (0..300).map(|_| connect(world.address())).collect();
    for client in &mut slow {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    }
    let mut open = slow;
    let mut answered = 0;
    let begun = Instant::now();
    let mut trickled = 0;
    while !open.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{} are still open", open.len());
        assert_eq!(get(world.address(), "/").text(), "one");
        let due = begun.elapsed() >= TRICKLE * trickled;
        trickled += u32::from(due);
        open.retain_mut(|client| {
            // Another header now and then does not make the head last longer.
            if due {
                let _ = client.write_all(b"A: b\r\n");
            }
            client.set_nonblocking(true).unwrap();
            let mut start = [0; 12];
            let read = client.read(&mut start);
            client.set_nonblocking(false).unwrap();
            match read {
                Ok(length) if length > 0 => {
                    assert_eq!(&start[..length], b"HTTP/1.1 408");
                    answered += 1;
                    false
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => true,
                // The answer was lost to a reset, because the client went on sending.
                Ok(_) | Err(_) => false,
            }
        });
    }
    assert!(answered > 0);
    assert_eq!(world.proxy.collect().load_balancers[0].report.count(Count::Elb4xx), 300);
}

/// Floods that are refused: endless request lines, header lines and numbers
/// of headers, chunk extensions and trailers. The flood ends soon after the limit.
#[test]
fn floods_are_refused() {
    let server = Server::start(|_, head, stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        head.contains("never")
    });
    let world = World::with(1, &[&server]);
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (start, piece, status) in [
        ("GET /".to_owned(), "x".repeat(4096), 414),
        (format!("{get}A: "), "x".repeat(4096), 400),
        (get.to_owned(), "A: b\r\n".repeat(64), 400),
        (get.to_owned(), format!("A: {}\r\n", "x".repeat(4000)), 400),
        (format!("{chunked}5;"), "x".repeat(4096), 400),
        (format!("{chunked}0\r\nA: "), "x".repeat(4096), 400),
        (format!("{chunked}0\r\n"), "A: b\r\n".repeat(700), 400),
        (chunked.to_owned(), "0".repeat(4096), 400),
        (String::new(), "\r\n".repeat(64), 400),
    ] {
        let mut client = connect(world.address());
        client.write_all(start.as_bytes()).unwrap();
        // What a refused client still sends is read for a while; then the connection is reset.
        let sent = flood(&mut client.try_clone().unwrap(), piece.as_bytes());
        assert!(sent < 64 * 1024 * 1024, "{start:?}: {sent} bytes went through");
        let mut answer = [0; 12];
        // The answer may be lost to the reset.
        if client.read_exact(&mut answer).is_ok() {
            assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes(), "{start:?} {piece:.20?}");
        }
        assert_eq!(send(&mut connect(world.address()), "GET / HTTP/1.1\r\n\r\n").status, 400);
    }
    let report = &world.proxy.collect().load_balancers[0].report;
    assert_eq!(report.count(Count::Elb4xx), 18);
}

/// Floods that are slowed down: a chunk of 10^18 bytes to a target that does
/// not read, and requests without end from a client that does not read.
#[test]
fn floods_are_slowed_down() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let server = Server::start(move |_, head, stream| {
        if head.contains("/stuck") {
            let _ = gone.lock().unwrap().recv();
            return false;
        }
        respond(stream, 200, "", &[b'x'; 1000]);
        true
    });
    let world = World::with(1, &[&server]);
    let chunk = "POST /stuck HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nDE0B6B3A7640000\r\n";
    for (start, piece) in [(chunk, vec![b'x'; 64 * 1024]), ("", GET.repeat(1000).into_bytes())] {
        let mut client = connect(world.address());
        client.write_all(start.as_bytes()).unwrap();
        assert!(flood(&mut client, &piece) < FLOOD_BYTES, "{start:?}: nothing stopped the client");
        let got = get(world.address(), "/");
        assert_eq!((got.status, got.body.len()), (200, 1000));
    }
    drop(go);
}

/// A client that closes its direction after a request is gone: the target's
/// connection ends, and nothing waits for either.
#[test]
fn half_closed_clients() {
    let (sender, ended) = mpsc::channel();
    let sender = Mutex::new(sender);
    let server = Server::start(move |_, head, stream| {
        if head.contains("/wait") {
            let closed = is_closed(stream);
            sender.lock().unwrap().send(closed).unwrap();
            return false;
        }
        respond(stream, 200, "", b"one");
        true
    });
    let world = World::with(1, &[&server]);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = connect(world.address());
        client.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        waiting.push(client);
    }
    for client in &mut waiting {
        assert!(ended.recv_timeout(PATIENCE).unwrap());
        assert!(is_closed(client));
    }
    let mut idle = connect(world.address());
    assert_eq!(send(&mut idle, GET).text(), "one");
    idle.shutdown(Shutdown::Write).unwrap();
    assert!(is_closed(&mut idle));
    let report = &world.proxy.collect().load_balancers[0].report;
    assert_eq!((report.count(Count::Elb460), report.active_connections), (20, 0));
}

/// Connections by the thousand that say nothing, or half a word, and go: a
/// client among them is served, and none of them stays.
#[test]
fn connection_storms() {
    let server = Server::named("one");
    let world = World::with(2, &[&server]);
    let mut client = connect(world.address());
    for round in 0..8 {
        let storm: Vec<_> = (0..150).map(|_| TcpStream::connect(world.address()).unwrap()).collect();
        for (index, mut stream) in storm.iter().enumerate() {
            if index % 3 == 0 {
                stream.write_all(b"GET / HT").unwrap();
            }
            if index % 3 == 1 {
                let linger = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(stream, linger).unwrap();
            }
        }
        assert_eq!(send(&mut client, GET).text(), "one", "round {round}");
        drop(storm);
        assert_eq!(send(&mut client, GET).text(), "one", "round {round}");
    }
    drop(client);
    let deadline = Instant::now() + PATIENCE;
    let mut connections = 0;
    loop {
        let report = world.proxy.collect().load_balancers[0].report.clone();
        connections += report.count(Count::NewConnections);
        if report.active_connections == 0 && connections > 1000 {
            break;
        }
        assert!(Instant::now() < deadline, "{} stay", report.active_connections);
        std::thread::yield_now();
    }
}
