//! Long bodies of stated length, which pass through pipes instead of memory.

use crate::support::{Server, World, connect, header, is_closed, read_head, receive, respond, send};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

/// Lengths around the reads, the pipes and the turns that bodies are cut into.
const LENGTHS: [usize; 9] =
    [0, 65_535, 65_536, 131_072, 131_073, 262_144 + 65_536, (1 << 20) + 1, (4 << 20) - 1, (20 << 20) + 12_345];

fn byte(at: usize) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 13) as u8
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(byte).collect()
}

/// A target that answers `/<length>` with so much of the pattern, and checks what it is sent.
fn server() -> Server {
    Server::start(|_, head, stream| {
        let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).is_err() {
            return false;
        }
        let right = body == pattern(length);
        let wanted: usize = head.split([' ', '/']).nth(2).unwrap().parse().unwrap();
        respond(stream, if right { 200 } else { 418 }, "", &pattern(wanted));
        true
    })
}

/// Bodies of all lengths arrive whole in both directions, one after the
/// other on one connection, and the target's connection serves all of them.
#[test]
fn long_bodies_arrive_whole() {
    let server = server();
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    for length in LENGTHS {
        let answer = send(&mut client, &format!("GET /{length} HTTP/1.1\r\nHost: x.test\r\n\r\n"));
        assert_eq!((answer.status, answer.body.len()), (200, length));
        assert!(answer.body == pattern(length), "{length}");
        let head = format!("POST /{length} HTTP/1.1\r\nHost: x.test\r\nContent-Length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&pattern(length)).unwrap();
        let answer = receive(&mut client);
        assert_eq!((answer.status, answer.body.len()), (200, length));
        assert!(answer.body == pattern(length), "{length}");
    }
}

/// A client that reads slowly gets everything as well, and others are served meanwhile.
#[test]
fn slow_reader_gets_everything() {
    const LENGTH: usize = 16 << 20;
    let server = server();
    let world = World::with(1, &[&server]);
    let mut slow = connect(world.address());
    slow.write_all(format!("GET /{LENGTH} HTTP/1.1\r\nHost: x.test\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(header(&read_head(&mut slow).unwrap(), "content-length"), Some(LENGTH.to_string().as_str()));
    let (mut got, mut part) = (Vec::with_capacity(LENGTH), vec![0; 200_000]);
    while got.len() < LENGTH {
        let length = slow.read(&mut part).unwrap();
        assert!(length > 0, "{} bytes", got.len());
        got.extend_from_slice(&part[..length]);
        if got.len() < LENGTH / 4 {
            let other = send(&mut connect(world.address()), "GET /7 HTTP/1.1\r\nHost: x.test\r\n\r\n");
            assert_eq!(other.body, pattern(7));
        }
    }
    assert!(got == pattern(LENGTH));
}

/// More clients that stop in the middle of a long body than there are pipes:
/// the others are served, and all get the rest when they read on.
#[test]
fn stopped_readers_go_on() {
    // Above the pipes of a thread; the rest is copied.
    const READERS: usize = 300;
    // More than the sockets between a target and a client that does not read take.
    const LENGTH: usize = 3 << 20;
    const HANDS: usize = 4;
    let body = Arc::new(pattern(LENGTH));
    let whole = body.clone();
    let server = Server::start(move |_, head, stream| {
        let length = if head.starts_with("GET /long") { LENGTH } else { 7 };
        respond(stream, 200, "", &whole[..length]);
        true
    });
    let mut world = World::with(1, &[&server]);
    // Those who wait for their turn to read must not be cut off, however busy the machine is.
    world.balancer.options.idle_timeout_secs = 4000;
    world.apply();
    let mut stopped: Vec<TcpStream> = (0..READERS).map(|_| connect(world.address())).collect();
    for client in &mut stopped {
        client.write_all(b"GET /long HTTP/1.1\r\nHost: x.test\r\n\r\n").unwrap();
        let head = read_head(client).unwrap();
        assert_eq!(header(&head, "content-length"), Some(LENGTH.to_string().as_str()));
    }
    let other = send(&mut connect(world.address()), "GET /short HTTP/1.1\r\nHost: x.test\r\n\r\n");
    assert!(other.body == body[..7]);
    std::thread::scope(|scope| {
        for clients in stopped.chunks_mut(READERS / HANDS) {
            scope.spawn(|| {
                let mut got = vec![0; LENGTH];
                for (at, client) in clients.iter_mut().enumerate() {
                    got.fill(0);
                    client.read_exact(&mut got).unwrap_or_else(|error| panic!("reader {at}: {error}"));
                    assert!(got == *body, "reader {at}");
                }
            });
        }
    });
}

/// The request that follows a long body in the same bytes is served next.
#[test]
fn next_request_follows_a_long_body() {
    const LENGTH: usize = 3 << 20;
    let server = server();
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    let mut bytes = format!("POST /1 HTTP/1.1\r\nHost: x.test\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    bytes.extend(pattern(LENGTH));
    bytes.extend(b"GET /2 HTTP/1.1\r\nHost: x.test\r\n\r\n");
    let mut writing = client.try_clone().unwrap();
    let sender = std::thread::spawn(move || writing.write_all(&bytes).unwrap());
    assert_eq!(receive(&mut client).body, pattern(1));
    assert_eq!(receive(&mut client).body, pattern(2));
    sender.join().unwrap();
}

/// A target that ends in the middle of a body breaks the client's connection
/// after what had come, and the next client is served.
#[test]
fn target_that_ends_early_is_heard() {
    const SENT: usize = 2 << 20;
    let server = Server::start(|_, head, stream| {
        if head.starts_with("GET /whole") {
            respond(stream, 200, "", b"whole");
            return true;
        }
        let _ = stream.write_all(format!("HTTP/1.1 200 Fine\r\nContent-Length: {}\r\n\r\n", 2 * SENT).as_bytes());
        let _ = stream.write_all(&pattern(SENT));
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(b"GET /part HTTP/1.1\r\nHost: x.test\r\n\r\n").unwrap();
    read_head(&mut client).unwrap();
    let mut got = Vec::new();
    let _ = client.read_to_end(&mut got);
    assert!(got.len() <= SENT && pattern(SENT).starts_with(&got), "{}", got.len());
    assert_eq!(send(&mut connect(world.address()), "GET /whole HTTP/1.1\r\nHost: x.test\r\n\r\n").text(), "whole");
}

/// A target that answers before it has read a long body, and then reads no
/// more, is still heard.
#[test]
fn answer_before_the_end_of_a_long_body() {
    let server = Server::start(|_, _, stream| {
        stream.read_exact(&mut [0; 100_000]).unwrap();
        respond(stream, 413, "Connection: close\r\n", b"too long");
        let _ = stream.shutdown(Shutdown::Write);
        // What still comes is read, so that the answer is not destroyed by a reset.
        let _ = stream.read_to_end(&mut Vec::new());
        false
    });
    let world = World::with(1, &[&server]);
    let mut client = connect(world.address());
    let mut writing: TcpStream = client.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nHost: x.test\r\nContent-Length: {}\r\n\r\n", 64 << 20);
        let _ = writing.write_all(head.as_bytes());
        while writing.write_all(&[7; 100_000]).is_ok() {}
    });
    let answer = receive(&mut client);
    assert_eq!((answer.status, answer.text().as_str()), (413, "too long"));
    assert!(is_closed(&mut client));
    drop(client);
    sender.join().unwrap();
}
