//! A small name server for load balancers: on loopback, over UDP and TCP. A
//! load balancer's name has the addresses of its nodes whose zones answer, and
//! `<zone>.<name>` the one of that zone (alb.md 5.3). What could be ours and is not
//! does not exist; everything else is refused at once, so that a resolver
//! that asks here first goes on.

use crate::shell::Shell;
use crate::world::RealWorld;
use elastane_domain::routing::{LoadBalancer, Snapshot};
use elastane_engine::State;
use elastane_host::names::{Found, answer};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
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
        let mut addresses = answering(state, balancer);
        let first = turn % addresses.len().max(1);
        addresses.rotate_left(first);
        return Found::Addresses(addresses);
    }
    let of_zone = name.split_once('.').and_then(|(zone, name)| {
        let balancer = snapshot.load_balancers.iter().find(|one| is_ours(one, name))?;
        balancer.nodes.iter().find(|node| node.zone.as_str() == zone)
    });
    match of_zone {
        Some(node) => Found::Addresses(vec![node.address]),
        None if name == DOMAIN || name.ends_with(&format!(".{DOMAIN}")) => Found::Nothing,
        None => Found::Elsewhere,
    }
}

/// The addresses of a load balancer's nodes whose zones answer; all of them
/// while nothing is known, or when none does.
fn answering(state: &State, balancer: &LoadBalancer) -> Vec<Ipv4Addr> {
    let zones = state.seen.zones_in_dns.get(&balancer.arn);
    let answers = |zone| zones.is_none_or(|zones| zones.contains(zone));
    let away = &balancer.options.shifted_away;
    let nodes = balancer.nodes.iter();
    let chosen: Vec<Ipv4Addr> =
        nodes.filter(|node| answers(&node.zone) && !away.contains(&node.zone)).map(|node| node.address).collect();
    if chosen.is_empty() { balancer.nodes.iter().map(|node| node.address).collect() } else { chosen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::routing::Node;

    /// Names of load balancers lead to the nodes whose zones answer, in turns;
    /// names of zones to one; unknown names of ours do not exist, and others
    /// are somebody else's.
    #[test]
    fn names() {
        let node =
            |zone: &str, last| Node { zone: zone.into(), address: Ipv4Addr::new(127, 0, 8, last), interface: None };
        let mut balancer = LoadBalancer::application("arn:lb".into(), Ipv4Addr::LOCALHOST, Vec::new());
        balancer.host_names = vec!["shop-1.us-east-1.elb.localhost".to_string()];
        balancer.nodes = vec![node("us-east-1a", 1), node("us-east-1b", 2), node("us-east-1c", 3)];
        balancer.options.shifted_away = vec!["us-east-1c".into()];
        let mut state = State::default();
        let snapshot = Snapshot { load_balancers: vec![Arc::new(balancer)], ..Snapshot::default() };
        let found = |state: &State, name: &str, turn| match find(&snapshot, state, name, turn) {
            Found::Addresses(all) => all.iter().map(|one| one.octets()[3].to_string()).collect::<Vec<_>>().join(" "),
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
