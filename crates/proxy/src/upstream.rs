//! Connections to targets: made by a [`Connector`], kept in a pool per
//! thread and target.

use crate::local::TargetLocal;
use crate::stream::Stream;
use crate::watch::{Interrupt, Watch};
use elastane_domain::id::VpcId;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::task::{Context, Waker};
use tokio::net::{TcpSocket, TcpStream};

/// Time for a TCP connection to a target (alb.md 6).
pub(crate) const CONNECT_TIMEOUT_MS: u64 = 10_000;
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
}

/// Connects a new socket to a target. Not limited in time.
pub(crate) async fn connect(connector: &dyn Connector, way: Way<'_>) -> io::Result<TcpStream> {
    let socket = connector.socket(way)?;
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    let stream = socket.connect(SocketAddr::V4(way.address)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Why there is no connection.
pub(crate) enum ConnectError {
    /// The system says no.
    Failed,
    /// The wait was interrupted.
    Interrupted(Interrupt),
}

/// A connection for one request; `true` if it served one before.
pub(crate) async fn checkout(
    connector: &dyn Connector,
    target: &TargetLocal,
    watch: &Watch,
    fresh: bool,
) -> Result<(Stream, bool), ConnectError> {
    if !fresh && let Some(stream) = target.pool.take() {
        return Ok((stream, true));
    }
    let key = &target.state.key;
    let way = Way { vpc: key.vpc.as_ref(), address: key.address, source: target.state.source() };
    let connecting = connect(connector, way);
    match watch.guard(connecting).await {
        Ok(Ok(stream)) => Ok((Stream::Plain(stream), false)),
        Ok(Err(_)) => Err(ConnectError::Failed),
        Err(interrupt) => Err(ConnectError::Interrupted(interrupt)),
    }
}

/// Connections to one target that wait for a request.
#[derive(Default)]
pub(crate) struct Pool(RefCell<Vec<(Stream, u64)>>);

impl Pool {
    /// The connection used last that is still silent and open.
    pub(crate) fn take(&self) -> Option<Stream> {
        let mut idle = self.0.borrow_mut();
        while let Some((stream, _)) = idle.pop() {
            if is_quiet(&stream) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose last response is complete.
    pub(crate) fn put(&self, stream: Stream, now_ms: u64) {
        let mut idle = self.0.borrow_mut();
        if idle.len() < POOL_MAX && is_quiet(&stream) {
            idle.push((stream, now_ms));
        }
    }

    /// Closes all of them.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Closes those that waited too long, or whose target closed or spoke.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let keeps = |(stream, since): &(Stream, u64)| since + POOL_IDLE_MS > now_ms && is_quiet(stream);
        self.0.borrow_mut().retain(keeps);
    }
}

/// Whether the reactor has seen neither bytes nor a close. No system call.
fn is_quiet(stream: &Stream) -> bool {
    stream.tcp().poll_read_ready(&mut Context::from_waker(Waker::noop())).is_pending()
}
