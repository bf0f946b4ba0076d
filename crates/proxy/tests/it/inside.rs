//! Listeners inside VPCs, and flows under clients' own addresses, with a
//! connector that pretends that a loopback address is in a VPC.

use crate::support::{PATIENCE, Server, World, get};
use elastane_domain::id::VpcId;
use elastane_domain::routing::{Family, Protocol};
use elastane_proxy::{Connector, HostConnector, Transport, Way};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const VPC: &str = "vpc-1";
const PRIVATE: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 9);

/// The VPC has the network of this number; 0 is none.
#[derive(Default)]
struct Pretended {
    number: AtomicU64,
    listened: AtomicUsize,
    spoken: Mutex<Vec<SocketAddrV4>>,
    /// Clients may be spoken as.
    speaks: bool,
}

impl Connector for Pretended {
    fn socket(&self, way: Way<'_>) -> io::Result<OwnedFd> {
        HostConnector.socket(way)
    }

    fn socket_as(&self, way: Way<'_>, client: SocketAddrV4) -> io::Result<OwnedFd> {
        self.spoken.lock().unwrap().push(client);
        if self.speaks { HostConnector.socket(way) } else { Err(io::ErrorKind::AddrInUse.into()) }
    }

    fn listen(&self, vpc: &VpcId, address: SocketAddrV4, transport: Transport) -> io::Result<OwnedFd> {
        assert_eq!((vpc.as_str(), transport), (VPC, Transport::Stream));
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, 16)?;
        self.listened.fetch_add(1, Ordering::SeqCst);
        Ok(socket)
    }

    fn network_number(&self, _vpc: &VpcId) -> Option<u64> {
        Some(self.number.load(Ordering::SeqCst)).filter(|&number| number > 0)
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A world with a node inside the VPC, and where that node listens.
fn world(connector: &Arc<Pretended>, server: SocketAddrV4) -> (World, SocketAddrV4) {
    let mut world = World::connected_by(2, None, connector.clone());
    let free = TcpListener::bind(SocketAddrV4::new(PRIVATE, 0)).unwrap().local_addr().unwrap().port();
    world.balancer.nodes[0].interface = Some((VPC.into(), PRIVATE));
    world.balancer.listeners[0].port = free;
    world.add(server);
    world.apply();
    world.wait_healthy(server);
    (world, SocketAddrV4::new(PRIVATE, free))
}

/// A listener is inside the VPC while the VPC has a network, is opened again
/// in the next network, and ends with the node.
#[test]
fn listeners_follow_the_networks_of_vpcs() {
    let connector = Arc::new(Pretended::default());
    let server = Server::named("a");
    let (mut world, inside) = world(&connector, server.address);
    assert!(TcpStream::connect(inside).is_err());
    connector.number.store(1, Ordering::SeqCst);
    until("it listens", || TcpStream::connect(inside).is_ok());
    assert_eq!(get(inside, "/").text(), "a");
    assert_eq!(connector.listened.load(Ordering::SeqCst), 2, "one socket a thread");
    world.apply();
    assert_eq!(connector.listened.load(Ordering::SeqCst), 2, "the network is the same");
    connector.number.store(2, Ordering::SeqCst);
    until("it listens in the next network", || connector.listened.load(Ordering::SeqCst) == 4);
    assert_eq!(get(inside, "/").text(), "a");
    world.balancer.nodes[0].interface = None;
    world.apply();
    until("it does not listen any more", || TcpStream::connect(inside).is_err());
    connector.number.store(3, Ordering::SeqCst);
    world.apply();
    assert_eq!(connector.listened.load(Ordering::SeqCst), 4);
}

/// A flow that came from inside is spoken under its client's address where
/// that works and otherwise not; one over the loopback address never is.
#[test]
fn alb_13_preserve_client_ip() {
    for speaks in [true, false] {
        let connector = Arc::new(Pretended { number: AtomicU64::new(1), speaks, ..Pretended::default() });
        let server = Server::named("a");
        let (mut world, inside) = world(&connector, server.address);
        world.balancer.family = Family::Network;
        world.balancer.listeners[0].protocol = Protocol::Tcp;
        world.group.preserve_client_ip = true;
        world.apply();
        assert_eq!(get(world.address(), "/").text(), "a");
        assert!(connector.spoken.lock().unwrap().is_empty());
        let mut stream = TcpStream::connect(inside).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        let SocketAddr::V4(client) = stream.local_addr().unwrap() else { panic!() };
        assert_eq!(*connector.spoken.lock().unwrap(), [client]);
        world.group.preserve_client_ip = false;
        world.apply();
        assert_eq!(get(inside, "/").text(), "a");
        assert_eq!(connector.spoken.lock().unwrap().len(), 1);
    }
}
