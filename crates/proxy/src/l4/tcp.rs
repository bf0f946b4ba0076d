//! TCP and TLS flows: a client's connection, one to a target, and what moves
//! between them.

use super::header::{self, Carries};
use super::pump::{Broken, Half};
use super::route::FlowGroup;
use super::{Counted, Door, Fate, FlowRoute, Kind, fate, flow_end};
use crate::local::TargetLocal;
use crate::log::FlowEntry;
use crate::metrics::Count;
use crate::stream::Stream;
use crate::thread::Thread;
use crate::tls;
use crate::upstream::{CONNECT_TIMEOUT_MS, Way};
use crate::watch::{Doing, Interrupt, Watch};
use elastane_domain::flow::FlowKey;
use elastane_domain::routing::{Protocol, TargetGroup};
use rustix::net::sockopt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// IANA's number of TCP.
const TCP: u8 = 6;
/// A target that vanished without a word is noticed by its silence to
/// keep-alive probes: after this long without traffic, then so many times so often.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// Serves a client in a task of its own.
pub(crate) fn spawn(thread: Rc<Thread>, route: Rc<FlowRoute>, door: Door, client: TcpStream, peer: SocketAddr) {
    let kind = if route.protocol == Protocol::Tls { Kind::Tls } else { Kind::Tcp };
    let counted = Counted::new(thread.clone(), door.node(), kind);
    let (slot, watch) = thread.watches.add(door.listener.serial, thread.deadline_in(route.idle_ms));
    watch.set_doing(Doing::Talking);
    let flow = Flow { thread, route, door, peer: canonical(peer), watch, counted, entry: None };
    tokio::task::spawn_local(async move {
        let thread = flow.thread.clone();
        flow.run(client).await;
        thread.watches.remove(slot);
    });
}

/// An IPv4 client is one, however its socket writes its address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

struct Flow {
    thread: Rc<Thread>,
    route: Rc<FlowRoute>,
    door: Door,
    peer: SocketAddr,
    watch: Rc<Watch>,
    counted: Counted,
    /// What the access log will say; only of TLS, and only while it is on.
    entry: Option<Box<FlowEntry>>,
}

/// How a flow ended that was not completed.
enum End {
    /// By this side.
    Client(io::Error),
    Target(io::Error),
    /// By the load balancer.
    Balancer,
}

impl Flow {
    async fn run(mut self, client: TcpStream) {
        let Ok(local) = client.local_addr().map(canonical) else { return };
        let (thread, route) = (self.thread.clone(), self.route.clone());
        if let Some(log) = self.counted.node.access_log().filter(|_| route.protocol == Protocol::Tls) {
            self.entry = Some(Box::new(FlowEntry::new(log, &route.listener, self.peer, local)));
        }
        let key = FlowKey {
            protocol: TCP,
            source: flow_end(self.peer),
            destination: flow_end(local),
            seed: thread.random.borrow_mut().draw(),
        };
        let zone = self.counted.node.state.zone_id;
        let chosen = route
            .group
            .as_ref()
            .and_then(|group| group.choose(zone, key.number(), *key.source.ip()).map(|target| (group, target)));
        let Some((group, target)) = chosen else {
            self.counted.add(Count::ElbResets, 1);
            return reset(&Stream::Plain(client));
        };
        let Some(client) = self.accept(client).await else { return };
        self.counted.has_target(&target);
        self.watch.set_doing(Doing::Target(target.state.id));
        self.watch.set_deadline(thread.deadline_in(CONNECT_TIMEOUT_MS));
        let server = match self.watch.clone().guard(self.connect(group, &target)).await {
            Ok(Ok(server)) => {
                target.state.flow_taken();
                server
            }
            Ok(Err(error)) => {
                let refused = error.kind() == io::ErrorKind::ConnectionRefused || is_reset(&error);
                if refused || error.kind() == io::ErrorKind::HostUnreachable {
                    target.state.flow_failed();
                }
                self.counted.add(if refused { Count::TargetResets } else { Count::ElbResets }, 1);
                target.state.ledger.add(thread.index, Count::TargetConnectionErrors, 1);
                return reset(&client);
            }
            Err(interrupt) => {
                if interrupt == Interrupt::Timeout {
                    target.state.flow_failed();
                }
                self.counted.add(Count::ElbResets, 1);
                return reset(&client);
            }
        };
        let mut greeting = Vec::new();
        if group.config.proxy_protocol {
            header::write(self.peer, local, Carries::Stream, &mut greeting);
        }
        self.exchange(client, server, greeting, &target, &group.config).await;
    }

    /// The client's connection, without TLS around what it carries.
    async fn accept(&mut self, client: TcpStream) -> Option<Stream> {
        if self.route.protocol != Protocol::Tls {
            return Some(Stream::Plain(client));
        }
        let Some(settings) = self.route.tls.clone() else {
            self.counted.add(Count::ClientTlsErrors, 1);
            reset(&Stream::Plain(client));
            return None;
        };
        match self.watch.clone().guard(tls::handshake(&settings, client)).await {
            Ok(Ok(shaken)) => {
                if let Some(entry) = &mut self.entry {
                    entry.agreed(shaken.client, shaken.facts);
                }
                Some(shaken.stream)
            }
            Ok(Err(_)) => {
                self.counted.add(Count::ClientTlsErrors, 1);
                None
            }
            Err(_) => None,
        }
    }

    async fn connect(&self, group: &FlowGroup, target: &Rc<TargetLocal>) -> io::Result<Stream> {
        let key = &target.state.key;
        let way = Way { vpc: key.vpc.as_ref(), address: key.address, source: target.state.source() };
        let connector: &Arc<_> = &self.thread.connector;
        let stream = match (group.config.preserve_client_ip && self.door.is_inside, self.peer) {
            (true, SocketAddr::V4(client)) => {
                // Where the client's own address cannot be spoken under, the flow still serves it.
                let spoken = async { connect(connector.socket_as(way, client)?, way.address).await };
                match spoken.await {
                    Err(error) if may_speak_otherwise(&error) => connect(connector.socket(way)?, way.address).await?,
                    stream => stream?,
                }
            }
            _ => connect(connector.socket(way)?, way.address).await?,
        };
        match group.config.protocol {
            Protocol::Tls => tls::connect(stream, tls::Inside::Bytes).await,
            Protocol::Tcp | Protocol::TcpUdp | Protocol::Udp | Protocol::Http | Protocol::Https => {
                Ok(Stream::Plain(stream))
            }
        }
    }

    /// Moves both directions to their ends.
    async fn exchange(
        mut self,
        mut client: Stream,
        mut server: Stream,
        greeting: Vec<u8>,
        target: &TargetLocal,
        group: &TargetGroup,
    ) {
        let (mut up, mut down) = (Half::beginning_with(greeting), Half::default());
        self.touch();
        let end = poll_fn(|context| {
            loop {
                let polled = self.poll(&mut client, &mut server, &mut up, &mut down, context);
                let Poll::Pending = polled else { return polled };
                match self.watch.poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Interrupt::Closing) => {}
                    Poll::Ready(Interrupt::Timeout) => return Poll::Ready(Err(End::Balancer)),
                    Poll::Ready(Interrupt::Cut) => match fate(&self.thread, &self.door, target, group) {
                        Fate::GoesOn => self.counted.release(),
                        Fate::Ends => return Poll::Ready(Err(End::Balancer)),
                    },
                }
            }
        })
        .await;
        let Err(end) = end else { return };
        let count = match end {
            End::Client(error) if is_reset(&error) => Count::ClientResets,
            End::Target(error) if is_reset(&error) => Count::TargetResets,
            End::Client(_) | End::Target(_) | End::Balancer => Count::ElbResets,
        };
        self.counted.add(count, 1);
        reset(&client);
        reset(&server);
    }

    fn poll(
        &mut self,
        client: &mut Stream,
        server: &mut Stream,
        up: &mut Half,
        down: &mut Half,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        let (mut sent, mut received) = (0, 0);
        let upward = up.poll(&self.thread, client, server, &mut sent, context);
        let downward = down.poll(&self.thread, server, client, &mut received, context);
        if sent + received > 0 {
            self.counted.bytes(sent + received);
            if let Some(entry) = &mut self.entry {
                entry.moved(sent, received);
            }
            self.touch();
        }
        if let Poll::Ready(Err(broken)) = upward {
            return Poll::Ready(Err(match broken {
                Broken::From(error) => End::Client(error),
                Broken::To(error) => End::Target(error),
            }));
        }
        if let Poll::Ready(Err(broken)) = downward {
            return Poll::Ready(Err(match broken {
                Broken::From(error) => End::Target(error),
                Broken::To(error) => End::Client(error),
            }));
        }
        if up.is_done() && down.is_done() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Bytes moved: the idle timeout starts anew.
    fn touch(&self) {
        self.watch.set_deadline(self.thread.deadline_in(self.route.idle_ms));
    }
}

/// Connects a fresh socket.
async fn connect(socket: std::os::fd::OwnedFd, address: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    let stream = socket.connect(SocketAddr::V4(address)).await?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(&stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(&stream, PROBES)?;
    Ok(stream)
}

/// Whether a failure is about the client's address, not about the target.
fn may_speak_otherwise(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
    )
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Has the connection end with a reset when it is closed.
fn reset(stream: &Stream) {
    // A socket that cannot be told so closes in order, which is all that is left.
    let _ = stream.tcp().map(|socket| sockopt::set_socket_linger(socket, Some(Duration::ZERO)));
}
