//! A small name server for load balancers: on loopback, over UDP and TCP. A
//! load balancer's name has the addresses of its nodes whose zones answer, and
//! `<zone>.<name>` those of that zone (alb.md 5.3), of IPv6 too where it has some. What could be ours and is not
//! does not exist; everything else is refused at once, so that a resolver
//! that asks here first goes on.

use crate::shell::Shell;
use crate::world::RealWorld;
use elastane_domain::routing::{LoadBalancer, Node, Snapshot};
use elastane_engine::State;
use elastane_host::names::{Found, answer};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// The loopback address that nothing else on a machine uses for names:
/// 127.0.0.53 and 127.0.0.54 are systemd's.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 153);
/// Ports to try when nobody names one: the usual one needs privileges.
const PORTS: [u16; 3] = [53, 8053, 0];
/// Names below this are ours alone.
const DOMAIN: &str = "elb.localhost";
/// Clients that speak over TCP at a time.
const CLIENTS_MAX: usize = 64;
/// A client over TCP may take so long for one question.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
/// Longest question.
const QUESTION_BYTES_MAX: usize = 512;
/// Pause after a socket failed, instead of spinning.
const PAUSE: Duration = Duration::from_millis(50);

/// The sockets of a name server.
pub struct NameServer {
    /// Where it answers.
    pub address: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
}

impl NameServer {
    /// Binds the address that was named, or else the first of ours that can be had.
    ///
    /// # Errors
    /// That of the address that was named, or of the last one tried.
    pub async fn bind(named: Option<SocketAddr>) -> io::Result<NameServer> {
        if let Some(address) = named {
            return NameServer::bind_at(address).await;
        }
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for port in PORTS {
            match NameServer::bind_at(SocketAddr::V4(SocketAddrV4::new(ADDRESS, port))).await {
                Ok(server) => return Ok(server),
                Err(err) => failed = err,
            }
        }
        Err(failed)
    }

    async fn bind_at(address: SocketAddr) -> io::Result<NameServer> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        let udp = UdpSocket::bind(address).await?;
        Ok(NameServer { address, udp, tcp })
    }

    /// Answers for as long as the daemon runs.
    pub async fn serve(self, shell: Shell, world: Arc<RealWorld>) {
        let names = Arc::new(Names { shell, world, turn: AtomicUsize::new(0) });
        let over_tcp = tokio::spawn(serve_tcp(self.tcp, names.clone()));
        let mut question = [0; QUESTION_BYTES_MAX + 1];
        loop {
            match self.udp.recv_from(&mut question).await {
                Ok((length, from)) => {
                    if let Some(reply) = names.answer(&question[..length]) {
                        // A lost answer is asked for again.
                        let _ = self.udp.send_to(&reply, from).await;
                    }
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            if over_tcp.is_finished() {
                return;
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, names: Arc<Names>) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let names = names.clone();
                tokio::spawn(async move {
                    // A client that breaks off has lost nothing of ours.
                    let _ = converse(stream, &names).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn converse(mut stream: TcpStream, names: &Names) -> io::Result<()> {
    loop {
        let ask = async {
            let length = usize::from(stream.read_u16().await?);
            if length > QUESTION_BYTES_MAX {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let mut question = vec![0; length];
            stream.read_exact(&mut question).await?;
            let reply = names.answer(&question).ok_or(io::ErrorKind::InvalidData)?;
            let length = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            let message = [&length.to_be_bytes()[..], &reply].concat();
            stream.write_all(&message).await
        };
        tokio::time::timeout(QUESTION_LIMIT, ask).await??;
    }
}

/// What names are looked up in.
struct Names {
    shell: Shell,
    world: Arc<RealWorld>,
    /// Grows with each answer: addresses take turns at being first.
    turn: AtomicUsize,
}

impl Names {
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let snapshot = self.world.proxy.snapshot().unwrap_or_default();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let engine = self.shell.engine();
        answer(question, |name| Some(find(&snapshot, engine.state(), name, turn))).map(|(reply, _)| reply)
    }
}

fn find(snapshot: &Snapshot, state: &State, name: &str, turn: usize) -> Found {
    let is_ours = |balancer: &&Arc<LoadBalancer>, name: &str| balancer.host_names.iter().any(|one| one == name);
    if let Some(balancer) = snapshot.load_balancers.iter().find(|one| is_ours(one, name)) {
        let mut nodes = answering(state, balancer);
        let first = turn % nodes.len().max(1);
        nodes.rotate_left(first);
        return Found::Addresses(nodes.into_iter().flat_map(|node| addresses(state, balancer, node)).collect());
    }
    let of_zone = name.split_once('.').and_then(|(zone, name)| {
        let balancer = snapshot.load_balancers.iter().find(|one| is_ours(one, name))?;
        let node = balancer.nodes.iter().find(|node| node.zone.as_str() == zone)?;
        Some(addresses(state, balancer, node).collect())
    });
    match of_zone {
        Some(addresses) => Found::Addresses(addresses),
        None if name == DOMAIN || name.ends_with(&format!(".{DOMAIN}")) => Found::Nothing,
        None => Found::Elsewhere,
    }
}

/// A load balancer's nodes whose zones answer; all of them while nothing is
/// known, or when none does.
fn answering<'a>(state: &State, balancer: &'a LoadBalancer) -> Vec<&'a Node> {
    let zones = state.seen.zones_in_dns.get(&balancer.arn);
    let answers = |zone| zones.is_none_or(|zones| zones.contains(zone));
    let away = &balancer.options.shifted_away;
    let nodes = balancer.nodes.iter();
    let chosen: Vec<&Node> = nodes.filter(|node| answers(&node.zone) && !away.contains(&node.zone)).collect();
    if chosen.is_empty() { balancer.nodes.iter().collect() } else { chosen }
}

/// A node's addresses.
fn addresses(state: &State, balancer: &LoadBalancer, node: &Node) -> impl Iterator<Item = IpAddr> {
    let six = node.ipv6.filter(|address| leads_here(state, balancer, node, *address));
    [Some(IpAddr::V4(node.address)), six.map(IpAddr::V6)].into_iter().flatten()
}

/// Whether the ports that clients know lead to this load balancer at a node's
/// IPv6 address too: at the address that all share they may be another's.
fn leads_here(state: &State, balancer: &LoadBalancer, node: &Node, address: Ipv6Addr) -> bool {
    let port = |arn: &elastane_domain::id::ListenerArn, address: IpAddr| {
        state.seen.listening.get(&(arn.clone(), address))?.0.map(|bound| bound.port())
    };
    let same = |arn| port(arn, IpAddr::V6(address)) == port(arn, IpAddr::V4(node.address));
    !address.is_loopback() || balancer.listeners.iter().all(|listener| same(&listener.arn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::routing::{Action, Listener};

    /// The end of an address, after its last dot or colon.
    fn last(address: &IpAddr) -> String {
        address.to_string().rsplit(['.', ':']).next().unwrap_or_default().to_string()
    }

    /// A load balancer at addresses of both families answers with both, and
    /// with one that all load balancers share only where its ports are its own.
    #[test]
    fn names_of_both_families() {
        let listener = Listener::http("arn:listener".into(), 80, Action::forward_to("arn:group".into()));
        let address = Ipv4Addr::new(127, 0, 8, 1);
        let mut balancer = LoadBalancer::application("arn:lb".into(), address, vec![listener]);
        balancer.host_names = vec!["shop-1.elb.localhost".to_string()];
        for (six, ports, wanted) in [
            ("fd65:6c61::a", (None, None), "1 a"),
            ("::1", (Some(8080), Some(8080)), "1 1"),
            ("::1", (Some(8080), Some(9)), "1"),
            ("::1", (Some(8080), None), "1"),
        ] {
            let six: Ipv6Addr = six.parse().unwrap();
            balancer.nodes[0].ipv6 = Some(six);
            let mut state = State::default();
            for (address, port) in [(IpAddr::V4(address), ports.0), (IpAddr::V6(six), ports.1)] {
                let bound = port.map(|port| SocketAddr::new(address, port));
                state.seen.listening.insert(("arn:listener".into(), address), (bound, String::new()));
            }
            let snapshot = Snapshot { load_balancers: vec![Arc::new(balancer.clone())], ..Snapshot::default() };
            for name in ["shop-1.elb.localhost", "us-east-1a.shop-1.elb.localhost"] {
                let Found::Addresses(found) = find(&snapshot, &state, name, 0) else { panic!("{name} is not found") };
                assert_eq!(found.iter().map(last).collect::<Vec<_>>().join(" "), wanted, "{six} {ports:?}");
            }
        }
    }

    /// Names of load balancers lead to the nodes whose zones answer, in turns;
    /// names of zones to one; unknown names of ours do not exist, and others
    /// are somebody else's.
    #[test]
    fn names() {
        let node = |zone: &str, last| Node {
            zone: zone.into(),
            address: Ipv4Addr::new(127, 0, 8, last),
            ipv6: None,
            interface: None,
        };
        let mut balancer = LoadBalancer::application("arn:lb".into(), Ipv4Addr::LOCALHOST, Vec::new());
        balancer.host_names = vec!["shop-1.us-east-1.elb.localhost".to_string()];
        balancer.nodes = vec![node("us-east-1a", 1), node("us-east-1b", 2), node("us-east-1c", 3)];
        balancer.options.shifted_away = vec!["us-east-1c".into()];
        let mut state = State::default();
        let snapshot = Snapshot { load_balancers: vec![Arc::new(balancer)], ..Snapshot::default() };
        let found = |state: &State, name: &str, turn| match find(&snapshot, state, name, turn) {
            Found::Addresses(all) => all.iter().map(last).collect::<Vec<_>>().join(" "),
            Found::Nothing => "nothing".to_string(),
            Found::Elsewhere => "elsewhere".to_string(),
            Found::Name(name) => name,
        };
        let name = "shop-1.us-east-1.elb.localhost";
        assert_eq!((found(&state, name, 0), found(&state, name, 1)), ("1 2".to_string(), "2 1".to_string()));
        state.seen.zones_in_dns.insert("arn:lb".into(), vec!["us-east-1b".into()]);
        assert_eq!(found(&state, name, 5), "2");
        state.seen.zones_in_dns.insert("arn:lb".into(), Vec::new());
        assert_eq!(found(&state, name, 0), "1 2 3");
        assert_eq!(found(&state, &format!("us-east-1a.{name}"), 0), "1");
        for (name, wanted) in [
            ("us-east-1d.shop-1.us-east-1.elb.localhost", "nothing"),
            ("other-1.us-east-1.elb.localhost", "nothing"),
            ("elb.localhost", "nothing"),
            ("example.com", "elsewhere"),
            ("localhost", "elsewhere"),
        ] {
            assert_eq!(found(&state, name, 0), wanted, "{name}");
        }
    }
}
