//! A load balancer's listeners inside a VPC, and connections that speak under
//! a client's own address: who gets through and whom the other side sees.

use crate::cases::{Case, expect};
use crate::isolated;
use crate::vpc::{Net, REFUSAL, anyone, boot_all, range, reaches, rule, serve, unreached};
use crate::world::{World, until};
use elastane_domain::machine::LaunchSpec;
use elastane_domain::vpc::{Holder, Peer, Protocol};
use elastane_host::Transport;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub const CASES: [(&str, Case); 4] = [
    ("net_listener_on_a_balancers_address", listener_on_a_balancers_address),
    ("net_listener_for_datagrams", listener_for_datagrams),
    ("net_spoken_as_client", spoken_as_client),
    ("net_datagrams_spoken_as_client", datagrams_spoken_as_client),
];

const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 50);

/// Tells each client on a listening socket the address that it sees; ends when dropped.
struct Greeter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Greeter {
    fn new(socket: OwnedFd) -> Result<Greeter, String> {
        let listener = TcpListener::from(socket);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((mut stream, peer)) => drop(stream.write_all(format!("{}\n", peer.ip()).as_bytes())),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(Greeter { stop, thread: Some(thread) })
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Instances reach a listener on the load balancer's own address as its groups
/// let them, and are seen as themselves; one without groups is open to all.
fn listener_on_a_balancers_address(world: &mut World) -> Result<(), String> {
    let sockets = world.host().sockets();
    let address = SocketAddrV4::new(BALANCER, 80);
    let mut net = Net::new();
    if !isolated(world.make) {
        let refused = sockets.listening_socket(&net.plan.vpc, address, Transport::Stream).map_err(|err| err.kind());
        return expect(refused.is_err_and(|kind| kind == io::ErrorKind::Unsupported), || "it listens".to_owned());
    }
    expect(sockets.network_number(&net.plan.vpc).is_none(), || "there is a network already".to_owned())?;
    let all = vec![rule(Protocol::All, anyone())];
    net.group("lb", vec![rule(Protocol::Tcp(80, 80), Peer::Range(range("10.9.0.11/32")))], all.clone());
    net.interface(Holder::LoadBalancer, 1, 50, &["lb"]);
    let (client, stranger) = (net.instance(0, 11, &["open"]), net.instance(1, 12, &["open"]));
    net.send(world);
    boot_all(world, &[&client, &stranger])?;
    net.applied(world)?;
    let open = |port: u16| {
        let address = SocketAddrV4::new(BALANCER, port);
        let socket = sockets.listening_socket(&net.plan.vpc, address, Transport::Stream);
        socket.map_err(|err| format!("cannot listen on {address}: {err}")).and_then(Greeter::new)
    };
    let greeters = [open(80)?, open(81)?];
    let second = open(80)?;
    let number = sockets.network_number(&net.plan.vpc);
    expect(number.is_some(), || "the network has no number".to_owned())?;
    let seen = reaches(world, &client, BALANCER, 80)?;
    expect(seen == "10.9.0.11", || format!("the client is seen as {seen}"))?;
    unreached(world, &stranger, BALANCER, 80)?;
    unreached(world, &client, BALANCER, 81)?;
    // Without groups nothing is filtered, as for a network load balancer that never had any.
    let mut bare = net.plan.clone();
    bare.interfaces.iter_mut().filter(|one| one.holder == Holder::LoadBalancer).for_each(|one| one.groups.clear());
    net.plan = bare;
    net.apply(world)?;
    let seen = reaches(world, &stranger, BALANCER, 81)?;
    expect(seen == "10.9.1.12", || format!("the stranger is seen as {seen}"))?;
    expect(sockets.network_number(&net.plan.vpc) == number, || "another network".to_owned())?;
    drop((greeters, second));
    let vpc = net.plan.vpc.clone();
    net.end(world, &[&client, &stranger])?;
    expect(sockets.network_number(&vpc).is_none(), || "the number outlives the network".to_owned())
}

/// Sends a datagram from an instance and returns what comes back, if anything does.
fn ask(world: &World, from: &LaunchSpec, to: SocketAddrV4) -> Result<String, String> {
    let program = format!(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout({})\n\
         s.connect((\"{}\", {})); s.send(b\"who\")\n\
         try: print(s.recv(100).decode())\n\
         except OSError: print(\"silence\")\n",
        REFUSAL.as_secs_f32(),
        to.ip(),
        to.port()
    );
    world.output(&from.instance, &format!("/usr/bin/python3 - <<'END'\n{program}END"))
}

/// The same for UDP.
fn listener_for_datagrams(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let all = vec![rule(Protocol::All, anyone())];
    net.group("lb", vec![rule(Protocol::Udp(53, 53), Peer::Range(range("10.9.0.11/32")))], all.clone());
    net.interface(Holder::LoadBalancer, 1, 50, &["lb"]);
    let (client, stranger) = (net.instance(0, 11, &["open"]), net.instance(1, 12, &["open"]));
    net.send(world);
    boot_all(world, &[&client, &stranger])?;
    net.applied(world)?;
    let address = SocketAddrV4::new(BALANCER, 53);
    let socket = world.host().sockets().listening_socket(&net.plan.vpc, address, Transport::Datagram);
    let socket = UdpSocket::from(socket.map_err(|err| err.to_string())?);
    let stop = AtomicBool::new(false);
    let (allowed, refused) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let mut datagram = [0; 100];
                match socket.recv_from(&mut datagram) {
                    Ok((_, peer)) => drop(socket.send_to(peer.ip().to_string().as_bytes(), peer)),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        let answered = || ask(world, &client, address).ok().filter(|answer| answer != "silence");
        let both = (until("an answer by UDP", answered), ask(world, &stranger, address));
        stop.store(true, Ordering::SeqCst);
        both
    });
    expect(allowed == Ok("10.9.0.11".to_owned()), || format!("the client is told {allowed:?}"))?;
    expect(refused == Ok("silence".to_owned()), || format!("the stranger is told {refused:?}"))?;
    drop(socket);
    net.end(world, &[&client, &stranger])
}

/// Connects under somebody else's address; what the server says it sees, then an echo.
fn greeted(world: &World, net: &Net, client: &str, server: Ipv4Addr, port: u16) -> Result<Option<String>, String> {
    let client: SocketAddrV4 = client.parse().map_err(|_| client.to_owned())?;
    let socket = world.host().sockets().tcp_socket_as(&net.plan.vpc, client).map_err(|err| err.to_string())?;
    rustix::io::ioctl_fionbio(&socket, false).map_err(|err| err.to_string())?;
    let limit = rustix::net::sockopt::Timeout::Send;
    rustix::net::sockopt::set_socket_timeout(&socket, limit, Some(REFUSAL)).map_err(|err| err.to_string())?;
    if rustix::net::connect(&socket, &SocketAddrV4::new(server, port)).is_err() {
        return Ok(None);
    }
    let mut stream = TcpStream::from(socket);
    let mut talk = || -> io::Result<String> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let (mut text, mut byte) = (String::new(), [0]);
        while !text.ends_with('\n') {
            stream.read_exact(&mut byte)?;
            text.push(char::from(byte[0]));
        }
        let (sent, mut echoed) = (vec![7; 100_000], vec![0; 100_000]);
        std::thread::scope(|scope| {
            let mut writing = stream.try_clone()?;
            scope.spawn(move || writing.write_all(&sent).is_ok());
            stream.read_exact(&mut echoed)
        })?;
        Ok(text.trim().to_owned())
    };
    talk().map(Some).map_err(|err| format!("the connection as {client} breaks: {err}"))
}

/// A connection under a client's address is seen as that client's, filtered
/// as such, carries answers back, and leaves the client's own traffic alone.
fn spoken_as_client(world: &mut World) -> Result<(), String> {
    let mut net = Net::new();
    if !isolated(world.make) {
        let refused = world.host().sockets().tcp_socket_as(&net.plan.vpc, "10.9.0.11:1".parse().expect("an address"));
        return expect(refused.is_err(), || "it speaks as others".to_owned());
    }
    let all = vec![rule(Protocol::All, anyone())];
    net.group("web", vec![rule(Protocol::Tcp(8000, 8000), Peer::Range(range("10.9.0.11/32")))], all.clone());
    net.interface(Holder::LoadBalancer, 1, 50, &["open"]);
    let (server, client) = (net.instance(0, 10, &["web"]), net.instance(0, 11, &["open"]));
    let open = net.instance(1, 12, &["open"]);
    net.send(world);
    boot_all(world, &[&server, &client, &open])?;
    net.applied(world)?;
    serve(world, &server, 8000)?;
    serve(world, &open, 8000)?;
    let seen = greeted(world, &net, "10.9.0.11:41000", server.private_ip, 8000)?;
    expect(seen.as_deref() == Some("10.9.0.11"), || format!("the client is seen as {seen:?}"))?;
    // The target's groups are about the client, not about the load balancer.
    let seen = greeted(world, &net, "10.9.1.12:41000", server.private_ip, 8000)?;
    expect(seen.is_none(), || format!("a client that the group refuses is seen as {seen:?}"))?;
    // A client that came over the host's link or from another VPC.
    let seen = greeted(world, &net, "198.51.100.7:41000", open.private_ip, 8000)?;
    expect(seen.as_deref() == Some("198.51.100.7"), || format!("a client from afar is seen as {seen:?}"))?;
    let seen = reaches(world, &client, server.private_ip, 8000)?;
    expect(seen == "10.9.0.11", || format!("the client itself is seen as {seen}"))?;
    // The same port again, to another target.
    let seen = greeted(world, &net, "10.9.0.11:41000", open.private_ip, 8000)?;
    expect(seen.as_deref() == Some("10.9.0.11"), || format!("the client is seen as {seen:?} by another target"))?;
    net.end(world, &[&server, &client, &open])
}

/// The same for UDP.
fn datagrams_spoken_as_client(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let (server, client) = (net.instance(0, 10, &["open"]), net.instance(0, 11, &["open"]));
    net.interface(Holder::LoadBalancer, 1, 50, &["open"]);
    net.send(world);
    boot_all(world, &[&server, &client])?;
    net.applied(world)?;
    let program = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"\", 5000)); open(\"/run/udp\", \"w\").close()\n\
        while True:\n\
        \x20   d, a = s.recvfrom(100); s.sendto(a[0].encode(), a)\n";
    let script = format!(
        "cat > /run/udp.py <<'END'\n{program}END\n/usr/bin/python3 /run/udp.py > /run/udp.log 2>&1 &\n\
         until test -e /run/udp; do sleep 0.02; done"
    );
    world.output(&server.instance, &script)?;
    let as_client =
        world.host().sockets().datagram_socket_as(&net.plan.vpc, SocketAddrV4::new(client.private_ip, 41000));
    let socket = UdpSocket::from(as_client.map_err(|err| err.to_string())?);
    let talk = || -> io::Result<String> {
        socket.connect(SocketAddrV4::new(server.private_ip, 5000))?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        socket.send(b"who")?;
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    let seen = talk().map_err(|err| format!("no answer: {err}"))?;
    expect(seen == "10.9.0.11", || format!("the client is seen as {seen}"))?;
    drop(socket);
    net.end(world, &[&server, &client])
}
