//! Network load balancers: TCP and UDP flows over loopback.

use crate::certificates;
use crate::logs::{Folder, fields};
use crate::support::{GROUP, PATIENCE, World};
use elastane_domain::routing::{
    Admission, CheckProtocol, Family, HealthCheck, LogPlace, Protocol, Stickiness, StickinessKind, TargetHealth,
};
use elastane_domain::routing::{Node, ProxyFact};
use elastane_domain::time::Span;
use elastane_proxy::{Count, Report};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A TCP target: what it accepts comes out of a channel, without health
/// checks, which say nothing. Each flow's first byte is already there.
struct Raw {
    address: SocketAddrV4,
    flows: Receiver<TcpStream>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Raw {
    fn start() -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, (sender, flows)) = (stop.clone(), channel());
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let sender: Sender<TcpStream> = sender.clone();
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    if matches!(stream.peek(&mut [0]), Ok(1)) {
                        let _ = sender.send(stream);
                    }
                });
            }
        });
        Raw { address, flows, stop, accepting: Some(accepting) }
    }

    fn next(&self) -> TcpStream {
        self.flows.recv_timeout(PATIENCE).expect("a flow comes")
    }

    fn is_idle(&self) -> bool {
        self.flows.try_recv().is_err()
    }

    /// From now on it refuses connections; those it has stay.
    fn refuse(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.accepting.take().map(JoinHandle::join);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.refuse();
        }
    }
}

/// A world with a network load balancer in one zone.
fn world(threads: usize, protocol: Protocol) -> World {
    network(World::new(threads), protocol)
}

fn network(mut world: World, protocol: Protocol) -> World {
    world.balancer.family = Family::Network;
    world.balancer.options.cross_zone = false;
    world.balancer.listeners[0].arn = "arn:flows".into();
    world.balancer.listeners[0].protocol = protocol;
    world.group.protocol = protocol;
    world.group.cross_zone = false;
    world.group.check = HealthCheck {
        protocol: CheckProtocol::Tcp,
        interval: Span::from_secs(5),
        timeout_secs: 30,
        healthy_threshold: 2,
        ..HealthCheck::default()
    };
    // Datagrams have no check of their own here.
    world.group.check.enabled = !matches!(protocol, Protocol::Udp);
    world
}

fn with(threads: usize, targets: &[&Raw]) -> World {
    let mut world = world(threads, Protocol::Tcp);
    targets.iter().for_each(|target| world.add(target.address));
    world.apply();
    targets.iter().for_each(|target| world.wait_healthy(target.address));
    world
}

fn address(world: &World) -> SocketAddrV4 {
    world.bound["arn:flows"]
}

/// A client that has said one byte.
fn client(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(address(world)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"!").unwrap();
    stream
}

/// A client and its target's end.
fn flow(world: &World, target: &Raw) -> (TcpStream, TcpStream) {
    let client = client(world);
    let mut server = target.next();
    server.read_exact(&mut [0]).unwrap();
    (client, server)
}

fn both_talk(client: &TcpStream, server: &TcpStream) {
    for (mut from, mut to) in [(client, server), (server, client)] {
        from.write_all(b"word").unwrap();
        let mut word = [0; 4];
        to.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"word");
    }
}

fn is_reset(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// The load balancer's counts since the last call.
fn report(world: &World) -> Report {
    world.proxy.collect().load_balancers.remove(0).report
}

/// Collects until the sums satisfy.
fn wait_report(world: &World, satisfies: impl Fn(&Report) -> bool) -> Report {
    let mut sum = report(world);
    let until = std::time::Instant::now() + PATIENCE;
    while !satisfies(&sum) {
        assert!(std::time::Instant::now() < until, "{sum:?}");
        std::thread::sleep(Duration::from_millis(5));
        let now = report(world);
        (sum.in_flight, sum.active_connections, sum.active_flows) = (0, 0, [0; 3]);
        sum.merge(&now);
    }
    sum
}

fn linger_zero(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

/// Bytes pass both ways, either side may end first, and all of it is counted.
#[test]
fn alb_13_flow_with_half_closed_sides() {
    let target = Raw::start();
    let world = with(2, &[&target]);
    let (mut client, mut server) = flow(&world, &target);
    both_talk(&client, &server);
    let open = wait_report(&world, |report| report.count(Count::ProcessedBytes) == 9);
    assert_eq!((open.count(Count::NewFlows), open.count(Count::NewFlowsTcp)), (1, 1));
    assert_eq!((open.active_connections, open.active_flows), (1, [1, 0, 0]));
    assert_eq!(open.count(Count::ProcessedBytesTcp), 9);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question");
    server.write_all(b"answer").unwrap();
    drop(server);
    heard.clear();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "answer");
    let closed = wait_report(&world, |report| report.active_connections == 0);
    assert_eq!(closed.active_flows, [0; 3]);
    let resets = [Count::ClientResets, Count::TargetResets, Count::ElbResets].map(|count| closed.count(count));
    assert_eq!(resets, [0; 3]);
}

/// What one side resets, the other side sees reset, and whose doing it was is counted.
#[test]
fn alb_13_resets_pass_and_are_counted() {
    let target = Raw::start();
    let world = with(1, &[&target]);
    let (client, mut server) = flow(&world, &target);
    linger_zero(&client);
    drop(client);
    assert!(is_reset(&mut server));
    let (mut client, server) = flow(&world, &target);
    linger_zero(&server);
    drop(server);
    assert!(is_reset(&mut client));
    let counts = wait_report(&world, |report| report.count(Count::TargetResets) == 1);
    assert_eq!((counts.count(Count::ClientResets), counts.count(Count::ElbResets)), (1, 0));
}

/// A target that refuses is heard as a reset; so is a node without any target.
#[test]
fn alb_13_no_target_is_a_reset() {
    let mut target = Raw::start();
    let mut world = with(1, &[&target]);
    target.refuse();
    // It says nothing, because a reset would be heard by whichever comes first.
    let silent = |world: &World| {
        let stream = TcpStream::connect(address(world)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    assert!(is_reset(&mut silent(&world)));
    wait_report(&world, |report| report.count(Count::TargetResets) == 1);
    world.group.targets.clear();
    world.apply();
    assert!(is_reset(&mut silent(&world)));
    wait_report(&world, |report| report.count(Count::ElbResets) == 1);
}

/// A target that takes no connections is found out by those of clients, long
/// before its next check: none goes there any more.
#[test]
fn alb_13_passive_checks() {
    let mut targets = [Raw::start(), Raw::start()];
    let mut world = world(1, Protocol::Tcp);
    world.group.check.interval = Span::from_secs(10_000_000);
    targets.iter().for_each(|target| world.add(target.address));
    world.apply();
    targets.iter().for_each(|target| world.wait_healthy(target.address));
    targets[0].refuse();
    for _ in 0..64 {
        // Some go to the target that refuses, and are reset.
        let _ = TcpStream::connect(address(&world)).unwrap().write_all(b"!");
    }
    let refuses = targets[0].address;
    world.wait(|fact| {
        matches!(fact, ProxyFact::Health { target, health: TargetHealth::Unhealthy(_) } if target.address == refuses)
    });
    for number in 0..20 {
        client(&world).write_all(&[number]).unwrap();
        // Those before it may come late.
        let mut said = [0; 2];
        while said != [b'!', number] {
            let _ = targets[1].next().read_exact(&mut said);
        }
    }
}

/// The PROXY header names both ends of the client's connection, before its first byte.
#[test]
fn alb_13_proxy_protocol_reaches_the_target() {
    let target = Raw::start();
    let mut world = with(1, &[&target]);
    world.group.proxy_protocol = true;
    world.apply();
    let client = client(&world);
    let SocketAddr::V4(ours) = client.local_addr().unwrap() else { panic!() };
    let mut want = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    want.extend([ours.ip().octets(), address(&world).ip().octets()].concat());
    want.extend([ours.port().to_be_bytes(), address(&world).port().to_be_bytes()].concat());
    want.push(b'!');
    // Health checks begin with a header as well, that of no client.
    let found = (0..).any(|_| {
        let mut server = target.next();
        let mut first = [0; 16];
        server.read_exact(&mut first).unwrap();
        if first[12] == 0x20 {
            return false;
        }
        let mut rest = vec![0; want.len() - 16];
        server.read_exact(&mut rest).unwrap();
        assert_eq!([&first[..], &rest].concat(), want);
        true
    });
    assert!(found);
}

/// Flows of a target that becomes unhealthy are reset while there is a
/// healthy one, and new ones go there.
#[test]
fn alb_13_unhealthy_target_loses_its_flows() {
    let (mut ill, well) = (Raw::start(), Raw::start());
    let mut world = with(2, &[&ill, &well]);
    let mut clients: Vec<TcpStream> = (0..40).map(|_| client(&world)).collect();
    let mut lost: Vec<TcpStream> = Vec::new();
    let mut kept = Vec::new();
    while lost.len() + kept.len() < 40 {
        lost.extend(ill.flows.try_iter());
        kept.extend(well.flows.try_iter());
    }
    assert!(!lost.is_empty() && !kept.is_empty(), "{} {}", lost.len(), kept.len());
    ill.refuse();
    let key = ill.address;
    world.wait(|fact| matches!(fact, ProxyFact::Health { target, health: TargetHealth::Unhealthy(_) } if target.address == key));
    assert!(lost.iter_mut().all(is_reset));
    wait_report(&world, |report| report.count(Count::ElbResets) == lost.len() as u64);
    for server in &mut kept {
        server.write_all(b"on").unwrap();
    }
    let on = clients.iter_mut().filter_map(|client| client.read_exact(&mut [0; 2]).ok()).count();
    assert_eq!(on, kept.len());
    for _ in 0..10 {
        flow(&world, &well);
    }
}

/// Without any healthy target flows go on, and new ones go to all (fail-open).
#[test]
fn alb_13_all_unhealthy_fail_open() {
    let mut target = Raw::start();
    let mut world = with(1, &[&target]);
    let (client, server) = flow(&world, &target);
    target.refuse();
    let key = target.address;
    world.wait(|fact| matches!(fact, ProxyFact::Health { target, health: TargetHealth::Unhealthy(_) } if target.address == key));
    // Two snapshots later every thread has swept more than once.
    world.apply();
    world.apply();
    both_talk(&client, &server);
    let again = TcpListener::bind(target.address).unwrap();
    let late = self::client(&world);
    let heard = again.incoming().map(Result::unwrap).any(|mut stream| stream.read_exact(&mut [0]).is_ok());
    assert!(heard);
    drop(late);
}

/// A deregistered target gets no new flows; those it has go on after its
/// delay, unless the group says that they end with it.
#[test]
fn alb_13_deregistration() {
    for terminate in [false, true] {
        let (leaving, staying) = (Raw::start(), Raw::start());
        let mut world = with(2, &[&leaving]);
        let (mut client, mut server) = flow(&world, &leaving);
        world.group.terminate_at_deregistration = terminate;
        world.add(staying.address);
        // Its delay is over at once.
        world.set_admission(leaving.address, Admission::Draining { until: elastane_domain::time::Time(0) });
        world.apply();
        world.wait_healthy(staying.address);
        for _ in 0..10 {
            flow(&world, &staying);
        }
        assert!(leaving.is_idle());
        world.wait_drained(leaving.address);
        world.group.targets.retain(|target| target.address != leaving.address);
        world.apply();
        if terminate {
            assert!(is_reset(&mut client) && is_reset(&mut server));
        } else {
            both_talk(&client, &server);
        }
    }
}

/// An instance that stops takes its flows along.
#[test]
fn alb_13_stopped_instance_ends_flows() {
    let target = Raw::start();
    let mut world = with(1, &[&target]);
    let (mut client, _server) = flow(&world, &target);
    world.set_admission(target.address, Admission::Unused);
    world.apply();
    assert!(is_reset(&mut client));
}

/// New flows spread over targets; those of one client stay together when the group says so.
#[test]
fn alb_13_source_ip_stickiness() {
    let targets = [Raw::start(), Raw::start(), Raw::start()];
    let mut world = with(2, &targets.each_ref());
    let mut hits = |sticky: bool| {
        world.group.stickiness = sticky.then_some(Stickiness { kind: StickinessKind::SourceIp, secs: 0 });
        world.apply();
        let clients: Vec<TcpStream> = (0..60).map(|_| client(&world)).collect();
        let mut hits = [0; 3];
        while hits.iter().sum::<usize>() < clients.len() {
            for (hits, target) in hits.iter_mut().zip(&targets) {
                *hits += target.flows.try_iter().count();
            }
        }
        hits
    };
    let spread = hits(false);
    assert!(spread.iter().all(|&hits| hits > 0), "{spread:?}");
    let together = hits(true);
    assert!(together.contains(&60), "{together:?}");
}

/// A node uses the targets of its own zone, or of all with cross-zone of either kind.
#[test]
fn alb_13_cross_zone() {
    let targets = [Raw::start(), Raw::start()];
    let mut world = world(1, Protocol::Tcp);
    world.balancer.nodes.push(Node {
        zone: "us-east-1b".into(),
        address: Ipv4Addr::new(127, 0, 0, 2),
        ipv6: None,
        interface: None,
    });
    for (target, zone) in targets.iter().zip(["us-east-1a", "us-east-1b"]) {
        world.add(target.address);
        world.group.targets.last_mut().unwrap().zone = Some(zone.into());
    }
    for (of_balancer, of_group, want) in [(false, false, 1), (true, false, 2), (false, true, 2)] {
        world.balancer.options.cross_zone = of_balancer;
        world.group.cross_zone = of_group;
        world.apply();
        targets.iter().for_each(|target| world.wait_healthy(target.address));
        for (node, own) in [(Ipv4Addr::LOCALHOST, 0), (Ipv4Addr::new(127, 0, 0, 2), 1)] {
            let place = |fact: &&ProxyFact| matches!(fact, ProxyFact::Listening { node: at, .. } if *at == node);
            let Some(ProxyFact::Listening { bound: Some(bound), .. }) = world.seen.iter().rev().find(place) else {
                panic!("the node listens")
            };
            let clients: Vec<TcpStream> = (0..40)
                .map(|_| {
                    let mut stream = TcpStream::connect(bound).unwrap();
                    stream.write_all(b"!").unwrap();
                    stream
                })
                .collect();
            let mut hits = [0; 2];
            while hits.iter().sum::<usize>() < clients.len() {
                for (hits, target) in hits.iter_mut().zip(&targets) {
                    *hits += target.flows.try_iter().count();
                }
            }
            assert!(hits[own] > 0, "{of_balancer} {of_group}");
            assert_eq!(hits.iter().filter(|&&hits| hits > 0).count(), want, "{of_balancer} {of_group}");
        }
    }
}

/// A flow without a byte for its idle timeout is reset on both sides.
#[test]
fn alb_13_idle_flow_is_reset() {
    let target = Raw::start();
    let mut world = with(1, &[&target]);
    world.balancer.listeners[0].tcp_idle_secs = 1;
    world.apply();
    let (mut client, mut server) = flow(&world, &target);
    assert!(is_reset(&mut client) && is_reset(&mut server));
    wait_report(&world, |report| report.count(Count::ElbResets) == 1);
}

/// Long runs in both directions at once arrive whole, also when one side reads slowly.
#[test]
fn long_flows_arrive_whole() {
    const LENGTH: usize = 24 << 20;
    let pattern: Arc<Vec<u8>> = Arc::new((0..LENGTH).map(|at| (at * 31 + at / 251) as u8).collect());
    let target = Raw::start();
    let world = with(1, &[&target]);
    let (client, server) = flow(&world, &target);
    std::thread::scope(|scope| {
        for (end, pause) in [(&client, 1), (&server, 0)] {
            let sent = pattern.clone();
            scope.spawn(move || {
                let mut writing = end;
                writing.write_all(&sent).unwrap();
                end.shutdown(Shutdown::Write).unwrap();
            });
            let want = pattern.clone();
            scope.spawn(move || {
                let (mut reading, mut got, mut part) = (end, Vec::with_capacity(LENGTH), vec![0; 300_000]);
                loop {
                    let length = reading.read(&mut part).unwrap();
                    if length == 0 {
                        break;
                    }
                    got.extend_from_slice(&part[..length]);
                    // A receiver that is behind leaves bytes inside the pipe.
                    if got.len() < LENGTH / 8 {
                        std::thread::sleep(Duration::from_millis(pause));
                    }
                }
                assert!(got == *want, "{} bytes", got.len());
            });
        }
    });
    wait_report(&world, |report| report.count(Count::ProcessedBytes) == 2 * LENGTH as u64 + 1);
}

/// A UDP target that answers with its name and what it heard.
struct Echo {
    address: SocketAddrV4,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(name: &'static str) -> Echo {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!() };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut datagram = [0; 65_535];
            while let Ok((length, peer)) = socket.recv_from(&mut datagram) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let _ = socket.send_to(&[name.as_bytes(), &datagram[..length]].concat(), peer);
            }
        });
        Echo { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"", self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn udp_world(threads: usize, targets: &[&Echo]) -> World {
    let mut world = world(threads, Protocol::Udp);
    targets.iter().for_each(|target| world.add(target.address));
    world.apply();
    world
}

/// Asks until there is an answer: datagrams may be lost.
fn ask(socket: &UdpSocket, to: impl Into<SocketAddr>, question: &[u8]) -> Vec<u8> {
    let to = to.into();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = [0; 65_535];
    for _ in 0..30 {
        socket.send_to(question, to).unwrap();
        while let Ok((length, from)) = socket.recv_from(&mut answer) {
            assert_eq!(from, to);
            if answer[..length].ends_with(question) {
                return answer[..length].to_vec();
            }
        }
    }
    panic!("no answer")
}

/// Datagrams of a client go to one target and its answers come back from
/// where they were sent to; clients spread.
#[test]
fn alb_13_udp_flows() {
    let targets = [Echo::start("a"), Echo::start("b")];
    let world = udp_world(2, &targets.each_ref());
    let mut hits: HashMap<u8, usize> = HashMap::new();
    for number in 0..24 {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let first = ask(&client, address(&world), format!("{number}").as_bytes());
        for round in 0..5 {
            let again = ask(&client, address(&world), format!("{number}-{round}").as_bytes());
            assert_eq!(again[0], first[0], "a flow stays on its target");
        }
        *hits.entry(first[0]).or_default() += 1;
    }
    assert_eq!(hits.len(), 2, "{hits:?}");
    let counts = wait_report(&world, |report| report.count(Count::ProcessedPackets) >= 24 * 6 * 2);
    assert_eq!((counts.count(Count::NewFlowsUdp), counts.active_flows[2]), (24, 24));
    // The longest datagram fits.
    let long = vec![7; 60_000];
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(ask(&client, address(&world), &long).len(), 60_001);
}

/// The PROXY header comes before each datagram.
#[test]
fn alb_13_udp_proxy_protocol() {
    let target = Echo::start("");
    let mut world = udp_world(1, &[&target]);
    world.group.proxy_protocol = true;
    world.apply();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let heard = ask(&client, address(&world), b"question");
    let ours = client.local_addr().unwrap().port().to_be_bytes();
    assert_eq!(heard.len(), 28 + 8);
    assert_eq!(heard[12..16], [0x21, 0x12, 0, 12]);
    assert_eq!(heard[24..26], ours);
}

/// Over IPv6 clients come to the same targets; the PROXY header names both
/// ends as they are.
#[test]
fn alb_13_flows_over_ipv6() {
    let target = Raw::start();
    let mut world = with(1, &[&target]);
    let Some(address) = world.listen_over_ipv6() else { return };
    world.group.proxy_protocol = true;
    world.apply();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"!").unwrap();
    let octets = |address: SocketAddr| if let SocketAddr::V6(six) = address { six.ip().octets() } else { panic!() };
    let ours = client.local_addr().unwrap();
    let mut want = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    want.extend([octets(ours), octets(address)].concat());
    want.extend([ours.port().to_be_bytes(), address.port().to_be_bytes()].concat());
    want.push(b'!');
    // Health checks begin with a header as well, that of no client.
    let server = std::iter::repeat_with(|| target.next()).find_map(|mut server| {
        let mut first = [0; 16];
        server.read_exact(&mut first).unwrap();
        (first[12] != 0x20).then_some((server, first))
    });
    let (mut server, first) = server.unwrap();
    let mut rest = vec![0; want.len() - 16];
    server.read_exact(&mut rest).unwrap();
    assert_eq!([&first[..], &rest].concat(), want);
    both_talk(&client, &server);
}

/// Datagrams over IPv6 find the same targets, and answers come from where they were sent to.
#[test]
fn alb_13_udp_over_ipv6() {
    let targets = [Echo::start("a"), Echo::start("b")];
    let mut world = udp_world(2, &targets.each_ref());
    let Some(address) = world.listen_over_ipv6() else { return };
    for number in 0..8 {
        let client = UdpSocket::bind("[::1]:0").unwrap();
        let first = ask(&client, address, format!("{number}").as_bytes());
        let again = ask(&client, address, format!("{number}-again").as_bytes());
        assert_eq!(again[0], first[0], "a flow stays on its target");
    }
    let counts = wait_report(&world, |report| report.count(Count::ProcessedPackets) >= 8 * 2 * 2);
    assert_eq!(counts.active_flows[2], 8);
}

/// A client whose target's instance stops goes to another one with its next datagram.
#[test]
fn alb_13_udp_moves_from_a_stopped_target() {
    let targets = [Echo::start("a"), Echo::start("b")];
    let mut world = udp_world(1, &targets.each_ref());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = ask(&client, address(&world), b"one")[0];
    let stopped = &targets[usize::from(first == b'b')];
    world.set_admission(stopped.address, Admission::Unused);
    world.apply();
    let second = ask(&client, address(&world), b"two")[0];
    assert_ne!(first, second);
}

/// `TCP_UDP` is both on one port.
#[test]
fn alb_13_tcp_and_udp_on_one_port() {
    let tcp = Raw::start();
    let udp = UdpSocket::bind(tcp.address).unwrap();
    let mut world = world(2, Protocol::TcpUdp);
    world.add(tcp.address);
    world.apply();
    world.wait_healthy(tcp.address);
    let (client, server) = flow(&world, &tcp);
    both_talk(&client, &server);
    let asking = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut heard = [0; 16];
    udp.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let length = (0..30).find_map(|_| {
        asking.send_to(b"datagram", address(&world)).unwrap();
        udp.recv(&mut heard).ok()
    });
    assert_eq!(&heard[..length.unwrap()], b"datagram");
    assert_eq!(world.group.arn.as_str(), GROUP);
}

/// TLS ends at a listener of that protocol, and what is inside is a flow like others.
#[test]
fn alb_13_tls_listener() {
    let target = Raw::start();
    let mut world = with(1, &[&target]);
    certificates::secure(&mut world);
    let listener = &mut world.balancer.listeners[0];
    (listener.arn, listener.protocol) = ("arn:flows".into(), Protocol::Tls);
    world.apply();
    let mut client = certificates::tls(address(&world), &certificates::Offer::default().config(), "a.test");
    client.write_all(b"!inside").unwrap();
    let mut server = target.next();
    let mut heard = [0; 7];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"!inside");
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut heard = [0; 6];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"answer");
    drop(client);
    let counts = wait_report(&world, |report| report.active_connections == 0);
    assert_eq!((counts.count(Count::NewFlowsTls), counts.count(Count::ProcessedBytesTls)), (1, 13));
}

/// Each TLS connection has a line in the access log when it is over, also one
/// whose handshake failed.
#[test]
fn alb_13_access_log_of_tls() {
    let folder = Folder::new();
    let target = Raw::start();
    let mut world = network(World::start(1, Some(folder.0.clone())), Protocol::Tcp);
    world.add(target.address);
    certificates::secure(&mut world);
    world.balancer.dimension = "net/flows/1".to_owned();
    world.balancer.options.access_log = Some(LogPlace { bucket: "bucket".to_owned(), prefix: String::new() });
    let listener = &mut world.balancer.listeners[0];
    (listener.arn, listener.protocol) = ("arn:listener/net/flows/1/2".into(), Protocol::Tls);
    world.apply();
    world.wait_healthy(target.address);
    let address = world.bound["arn:listener/net/flows/1/2"];
    TcpStream::connect(address).unwrap().write_all(b"no handshake at all").unwrap();
    let failed = fields(&folder.wait_lines(1)[0]);
    assert_eq!(failed[..5], ["tls", "2.0", &failed[2], "net/flows/1", "2"]);
    assert!(failed[8..21].iter().all(|field| field == "-" || field == "0"), "{failed:?}");
    let config = certificates::Offer { alpn: &[b"x", b"y"], ..certificates::Offer::default() }.config();
    let mut client = certificates::tls(address, &config, "a.test");
    client.write_all(b"!inside").unwrap();
    let mut server = target.next();
    server.read_exact(&mut [0; 7]).unwrap();
    server.write_all(b"answer").unwrap();
    drop(server);
    client.read_exact(&mut [0; 6]).unwrap();
    drop(client);
    let lines = folder.wait_lines(2);
    let line = fields(lines.iter().find(|line| line.contains("a.test")).unwrap());
    assert_eq!(line.len(), 22, "{line:?}");
    assert_eq!(line[6], address.to_string());
    assert_eq!(line[9..12], ["7", "6", "-"]);
    assert_eq!((line[12].as_str(), line[15].as_str(), line[17].as_str()), ("arn:certificate/a", "tlsv13", "a.test"));
    assert_eq!(line[20], "x,y");
}
