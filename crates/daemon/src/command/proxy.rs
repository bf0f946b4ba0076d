//! `elastane proxy`: the data plane's process. The daemon starts it and it
//! outlives the daemon: it goes on serving, checking and draining until it is
//! told to end, a successor has taken over, or nothing needs it.

use crate::cli::Where;
use crate::credentials::proxy_secret;
use crate::data_dir::{DataDir, Problem};
use clap::Args;
use elastane_domain::id::VpcId;
use elastane_host::NetworkSockets;
use elastane_proxy::remote::{self, Parts, Service, Share};
use elastane_proxy::{Connector, ProxyConfig, Transport, Way};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How the data plane's process runs.
#[derive(Args, Clone, Debug)]
pub struct Proxy {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// Take over from the process that runs: it hands its listening sockets over and finishes what it has.
    #[arg(long)]
    pub take_over: bool,
    /// Which of how many processes it is, such as 1/2: it listens on the addresses of its zones.
    #[arg(long, value_name = "NUMBER/COUNT", default_value_t)]
    pub share: Share,
    /// VPCs are networks of their own, and this process shares the namespaces of the daemon that made them.
    #[arg(long, hide = true)]
    pub sandbox: bool,
}

/// Serves until there is nothing more to serve.
pub fn run(proxy: &Proxy) -> Result<(), Problem> {
    // Signals to the daemon's terminal are not meant for this process. It
    // fails only for one that leads a group, which a shell has started as such.
    let _ = rustix::process::setsid();
    super::up::raise_file_limit();
    let data = DataDir::existing(&proxy.place.path()?)?;
    let secret = proxy_secret(&data)?;
    let build =
        build(Path::new("/proc/self/exe")).map_err(|err| Problem::because("cannot find our own program", err))?;
    let service = Service {
        folder: data.path().to_path_buf(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        build,
        take_over: proxy.take_over,
        share: proxy.share,
    };
    let connector = NetworkConnector(NetworkSockets::new(data.path(), proxy.sandbox));
    let make = |parts: Parts| ProxyConfig {
        threads: parts.threads,
        facts: parts.facts,
        connector: std::sync::Arc::new(connector),
        clock: parts.clock,
        secret,
        data_dir: Some(data.path().to_path_buf()),
    };
    remote::serve(&service, make).map_err(|err| Problem::because("the data plane cannot run", err))
}

/// Tells one program file, in one user namespace, from another: a process of
/// another user namespace cannot enter the networks of this one.
///
/// # Errors
/// The file cannot be looked at.
pub fn build(program: &Path) -> io::Result<String> {
    let file = std::fs::metadata(program)?;
    let namespace = std::fs::metadata("/proc/self/ns/user")?.ino();
    Ok(format!("{}-{}.{:09}-{namespace}", file.len(), file.mtime(), file.mtime_nsec()))
}

/// Makes the data plane's sockets in the network that a target lives in.
struct NetworkConnector(NetworkSockets);

impl NetworkConnector {
    /// Targets of every kind live in the VPC of their group.
    fn vpc<'a>(way: Way<'a>, nowhere: &'a VpcId) -> &'a VpcId {
        way.vpc.unwrap_or(nowhere)
    }
}

impl Connector for NetworkConnector {
    fn socket(&self, way: Way<'_>) -> io::Result<OwnedFd> {
        self.0.tcp_socket(NetworkConnector::vpc(way, &VpcId::from("")), way.source)
    }

    fn socket_as(&self, way: Way<'_>, client: SocketAddrV4) -> io::Result<OwnedFd> {
        self.0.tcp_socket_as(way.vpc.ok_or(io::ErrorKind::Unsupported)?, client)
    }

    fn datagram_socket(&self, way: Way<'_>, client: Option<SocketAddrV4>) -> io::Result<OwnedFd> {
        let nowhere = VpcId::from("");
        let vpc = NetworkConnector::vpc(way, &nowhere);
        match client {
            Some(client) => self.0.datagram_socket_as(vpc, client),
            None => self.0.datagram_socket(vpc, way.source),
        }
    }

    fn listen(&self, vpc: &VpcId, address: SocketAddrV4, transport: Transport) -> io::Result<OwnedFd> {
        let transport = match transport {
            Transport::Stream => elastane_host::Transport::Stream,
            Transport::Datagram => elastane_host::Transport::Datagram,
        };
        self.0.listening_socket(vpc, address, transport)
    }

    fn network_number(&self, vpc: &VpcId) -> Option<u64> {
        self.0.network_number(vpc)
    }
}
