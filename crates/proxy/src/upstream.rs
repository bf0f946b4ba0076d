//! Connections to targets: made by a [`Connector`], kept in a pool per
//! thread and target.

use crate::h2::Http2Pool;
use crate::local::TargetLocal;
use crate::sockets::send_unpaced;
use crate::stream::Stream;
use crate::thread::Thread;
use crate::tls::{self, Inside};
use crate::watch::{Interrupt, Watch};
use elastane_domain::id::VpcId;
use elastane_domain::routing::{Protocol, ProtocolVersion, TargetGroup};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::task::{Context, Waker};
use tokio::net::{TcpSocket, TcpStream};

/// Time for a TCP connection to a target (alb.md 6).
pub(crate) const CONNECT_TIMEOUT_MS: u64 = 10_000;
/// Time for a TLS handshake with a target (alb.md 6).
const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// Idle connections kept per target and thread; above the concurrency that a
/// thread reaches against one target, below what a target minds.
const POOL_MAX: usize = 256;
/// How long a connection waits in the pool; shorter than common servers' own limit of 60 s
/// would save retries, longer than most pauses saves connections.
const POOL_IDLE_MS: u64 = 50_000;

/// Makes sockets towards targets. A socket belongs to the network that its
/// maker's thread is in, so sockets into a VPC must come from there.
pub trait Connector: Send + Sync {
    /// A TCP socket over IPv4 that is not connected, non-blocking and closed on
    /// exec; bound to the way's source and no port where it names one.
    ///
    /// Called on data threads: it must not block for longer than a system
    /// call takes. An error is answered with 502 and counted as a target
    /// connection error.
    fn socket(&self, way: Way<'_>) -> io::Result<OwnedFd>;

    /// The same, speaking under a client's own address and port, so that the
    /// target sees who it is (`preserve_client_ip.enabled`). Refused where
    /// answers would not come back; the flow then speaks from the way's source.
    fn socket_as(&self, way: Way<'_>, client: SocketAddrV4) -> io::Result<OwnedFd> {
        let _ = (way, client);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A UDP socket that is not connected, non-blocking and closed on exec;
    /// under the client's own address where one is named (refused like
    /// [`Connector::socket_as`]), else bound to the way's source.
    fn datagram_socket(&self, way: Way<'_>, client: Option<SocketAddrV4>) -> io::Result<OwnedFd> {
        let _ = (way, client);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A socket that takes clients at an address inside a VPC (TCP: it
    /// listens); others may share the address (`SO_REUSEPORT`). May take
    /// milliseconds: called on the control side. Refused where VPCs are no networks.
    fn listen(&self, vpc: &VpcId, address: SocketAddrV4, transport: Transport) -> io::Result<OwnedFd> {
        let _ = (vpc, address, transport);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tells one making of a VPC's network from another; `None` when it has
    /// none now. Sockets made under another number lead nowhere any more.
    fn network_number(&self, vpc: &VpcId) -> Option<u64> {
        let _ = vpc;
        None
    }
}

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// The way to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way<'a> {
    /// The network that the addresses are meant in; `None` is the host's own.
    pub vpc: Option<&'a VpcId>,
    /// Where the target is.
    pub address: SocketAddrV4,
    /// The load balancer's own address in that network, if it has one.
    pub source: Option<Ipv4Addr>,
}

/// Makes sockets in the process's own network, whatever the VPC and the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostConnector;

impl Connector for HostConnector {
    fn socket(&self, _way: Way<'_>) -> io::Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
    }

    fn datagram_socket(&self, _way: Way<'_>, client: Option<SocketAddrV4>) -> io::Result<OwnedFd> {
        if client.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?)
    }
}

/// Connects a new socket to a target. Not limited in time.
pub(crate) async fn connect(connector: &dyn Connector, way: Way<'_>) -> io::Result<TcpStream> {
    let socket = connector.socket(way)?;
    send_unpaced(&socket, IpAddr::V4(*way.address.ip()));
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    let stream = socket.connect(SocketAddr::V4(way.address)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Why there is no connection.
pub(crate) enum ConnectError {
    /// The system says no.
    Failed,
    /// The target does not speak TLS, or not the HTTP that its group names.
    Handshake,
    /// The wait was interrupted.
    Interrupted(Interrupt),
    /// The wait was interrupted during the TLS handshake.
    HandshakeInterrupted(Interrupt),
}

impl ConnectError {
    /// Whether the target was reached and TLS failed.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, ConnectError::Handshake | ConnectError::HandshakeInterrupted(_))
    }
}

/// A connection for one request when the pool has none to give at once;
/// `true` if it served one before. The watch's deadline is set anew for each
/// step.
pub(crate) async fn open(
    thread: &Thread,
    target: &TargetLocal,
    watch: &Watch,
    fresh: bool,
) -> Result<(Stream, bool), ConnectError> {
    let pool = &target.pool;
    watch.set_deadline(thread.deadline_in(CONNECT_TIMEOUT_MS));
    let _turn = match pool.speaks.http2 && !fresh {
        true => match watch.guard(pool.http2.take_or_turn(pool.scheme())).await {
            Ok(Ok(stream)) => return Ok((stream, true)),
            Ok(Err(turn)) => Some(turn),
            Err(interrupt) => return Err(ConnectError::Interrupted(interrupt)),
        },
        false => None,
    };
    let key = &target.state.key;
    let way = Way { vpc: key.vpc.as_ref(), address: key.address, source: target.state.source() };
    let stream = match watch.guard(connect(&*thread.connector, way)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return Err(ConnectError::Failed),
        Err(interrupt) => return Err(ConnectError::Interrupted(interrupt)),
    };
    let Speaks { tls, http2 } = pool.speaks;
    let stream = match tls {
        false => Stream::Plain(stream),
        true => {
            watch.set_deadline(thread.deadline_in(HANDSHAKE_TIMEOUT_MS));
            let inside = if http2 { Inside::Http2 } else { Inside::Http1 };
            match watch.guard(tls::connect(stream, inside)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => return Err(ConnectError::Handshake),
                Err(interrupt) => return Err(ConnectError::HandshakeInterrupted(interrupt)),
            }
        }
    };
    if !http2 {
        return Ok((stream, false));
    }
    match watch.guard(pool.http2.connect(stream, pool.scheme(), thread.now_ms())).await {
        Ok(Ok(stream)) => Ok((stream, false)),
        Ok(Err(_)) => Err(ConnectError::Failed),
        Err(interrupt) => Err(ConnectError::Interrupted(interrupt)),
    }
}

/// What a target speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Speaks {
    tls: bool,
    http2: bool,
}

/// Connections to one target that wait for a request, or have room for more.
#[derive(Default)]
pub(crate) struct Pool {
    speaks: Speaks,
    idle: RefCell<Vec<(Stream, u64)>>,
    http2: Http2Pool,
}

impl Pool {
    /// For a target of this group.
    pub(crate) fn of(group: &TargetGroup) -> Pool {
        let tls = matches!(group.protocol, Protocol::Https | Protocol::Tls);
        let http2 = match group.protocol {
            Protocol::Http | Protocol::Https => group.version != ProtocolVersion::Http1,
            Protocol::Tcp | Protocol::Tls | Protocol::Udp | Protocol::TcpUdp => false,
        };
        Pool { speaks: Speaks { tls, http2 }, ..Pool::default() }
    }

    fn scheme(&self) -> &'static str {
        if self.speaks.tls { "https" } else { "http" }
    }

    /// The connection used last that is still silent and open.
    pub(crate) fn take(&self) -> Option<Stream> {
        if self.speaks.http2 {
            return self.http2.take(self.scheme());
        }
        let mut idle = self.idle.borrow_mut();
        while let Some((stream, _)) = idle.pop() {
            if is_quiet(&stream) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose last response is complete.
    pub(crate) fn put(&self, stream: Stream, now_ms: u64) {
        let mut idle = self.idle.borrow_mut();
        // Whether it is still open is asked when it is taken.
        if idle.len() < POOL_MAX {
            idle.push((stream, now_ms));
        }
    }

    /// Closes all of them.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.http2.clear();
    }

    /// Closes those that waited too long, or whose target closed or spoke.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let keeps = |(stream, since): &(Stream, u64)| since + POOL_IDLE_MS > now_ms && is_quiet(stream);
        self.idle.borrow_mut().retain(keeps);
        self.http2.sweep(now_ms);
    }
}

/// Whether the reactor has seen neither bytes nor a close. No system call.
fn is_quiet(stream: &Stream) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    stream.tcp().is_some_and(|tcp| tcp.poll_read_ready(&mut context).is_pending())
}
