//! Sockets inside VPCs for a process that runs no [`crate::Host`]: the data
//! plane's own. Networks are found by the records of their holders in the data
//! directory; a thread in each makes its sockets. Nothing here makes, changes
//! or ends a network, and a network that was made anew is entered anew.

use crate::layout::{Layout, is_safe_name};
use crate::network::router::tcp_socket_here;
use crate::record::{self, ProcessName};
use crate::sockets::{Transport, datagram_here, listening_here, speak_as, speak_from};
use crate::sys;
use elastane_domain::id::VpcId;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long a record is believed without another look: a target of a network
/// made anew is out of reach for at most this long.
const BELIEF: Duration = Duration::from_millis(500);
/// Ready-made sockets of one network, so that a burst of connections does not
/// wait for its thread.
const STOCK: usize = 64;
/// Tasks that may wait for a network's thread.
const TASKS_WAITING_MAX: usize = 1024;
/// Networks entered at a time; the one that was not used for longest goes first.
const NETWORKS_MAX: usize = 1024;

type Task = Box<dyn FnOnce() + Send>;

/// Makes sockets inside the VPCs of a data directory. It must share the user
/// namespace of the daemon that made the networks.
pub struct NetworkSockets {
    layout: Layout,
    sandbox: bool,
    known: Mutex<HashMap<VpcId, Known>>,
}

/// What was found of one network.
struct Known {
    looked: Instant,
    holder: ProcessName,
    entered: Arc<Entered>,
}

/// A network with a thread in it. Dropping it ends the thread.
struct Entered {
    number: u64,
    tasks: Mutex<mpsc::SyncSender<Task>>,
    stock: Mutex<Vec<OwnedFd>>,
}

impl NetworkSockets {
    /// For the networks below `data_dir`; with `sandbox` false there are none
    /// and every socket is the process's own.
    pub fn new(data_dir: &Path, sandbox: bool) -> NetworkSockets {
        NetworkSockets { layout: Layout::new(data_dir), sandbox, known: Mutex::default() }
    }

    /// Whether VPCs are networks of their own here.
    pub fn is_sandbox(&self) -> bool {
        self.sandbox
    }

    /// A fresh, unconnected, non-blocking TCP socket inside the VPC's network,
    /// bound to `source` and no port where one is named; a plain one without
    /// networks.
    ///
    /// # Errors
    /// `NotFound` when the VPC has no network on this machine.
    pub fn tcp_socket(&self, vpc: &VpcId, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
        if !self.sandbox {
            return tcp_socket_here();
        }
        let socket = self.network(vpc)?.tcp_socket()?;
        source.map_or(Ok(()), |source| speak_from(&socket, source))?;
        Ok(socket)
    }

    /// The same, speaking under a client's own address and port ([`speak_as`]).
    ///
    /// # Errors
    /// As `tcp_socket` and [`speak_as`]; `Unsupported` without networks.
    pub fn tcp_socket_as(&self, vpc: &VpcId, client: SocketAddrV4) -> io::Result<OwnedFd> {
        self.needs_networks()?;
        let socket = self.network(vpc)?.tcp_socket()?;
        speak_as(&socket, client)?;
        Ok(socket)
    }

    /// A fresh UDP socket inside the VPC's network, speaking from `source`
    /// where one is named; a plain one without networks.
    ///
    /// # Errors
    /// As `tcp_socket`.
    pub fn datagram_socket(&self, vpc: &VpcId, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
        let socket = self.inside(vpc, datagram_here)?;
        let source = source.filter(|_| self.sandbox);
        source.map_or(Ok(()), |source| speak_from(&socket, source))?;
        Ok(socket)
    }

    /// A UDP socket that speaks under a client's own address and port.
    ///
    /// # Errors
    /// As `tcp_socket_as`.
    pub fn datagram_socket_as(&self, vpc: &VpcId, client: SocketAddrV4) -> io::Result<OwnedFd> {
        self.needs_networks()?;
        let socket = self.inside(vpc, datagram_here)?;
        speak_as(&socket, client)?;
        Ok(socket)
    }

    /// A socket that takes clients inside the VPC ([`listening_here`]).
    ///
    /// # Errors
    /// As [`listening_here`]; `NotFound` while the VPC has no network on this
    /// machine, `Unsupported` without networks.
    pub fn listening_socket(&self, vpc: &VpcId, address: SocketAddrV4, transport: Transport) -> io::Result<OwnedFd> {
        self.needs_networks()?;
        self.inside(vpc, move || listening_here(address, transport))
    }

    fn needs_networks(&self) -> io::Result<()> {
        if self.sandbox { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// What `task` returns on a thread inside the VPC's network; on the
    /// calling thread without networks. It must not block.
    ///
    /// # Errors
    /// `NotFound` when the VPC has no network on this machine, and the task's own.
    pub fn inside<T: Send + 'static>(
        &self,
        vpc: &VpcId,
        task: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if !self.sandbox {
            return task();
        }
        self.network(vpc)?.run(task)
    }

    /// Tells one making of a VPC's network from another; `None` when it has
    /// none now, or where there are none.
    pub fn network_number(&self, vpc: &VpcId) -> Option<u64> {
        if !self.sandbox {
            return None;
        }
        self.network(vpc).ok().map(|network| network.number)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<VpcId, Known>> {
        // Every change of the map is one insertion or removal.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self, vpc: &VpcId) -> io::Result<Arc<Entered>> {
        let mut known = self.known();
        if let Some(found) = known.get(vpc).filter(|found| found.looked.elapsed() < BELIEF) {
            return Ok(found.entered.clone());
        }
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let holder = is_safe_name(vpc.as_str()).then(|| record::holder(&self.layout.vpc(vpc.as_str()))).flatten();
        let Some(holder) = holder.filter(ProcessName::lives) else {
            known.remove(vpc);
            return Err(gone());
        };
        if let Some(found) = known.get_mut(vpc).filter(|found| found.holder == holder) {
            found.looked = Instant::now();
            return Ok(found.entered.clone());
        }
        let namespace = File::open(format!("/proc/{}/ns/net", holder.pid))?;
        let number = namespace.metadata()?.ino();
        // Another holder may keep the same network.
        let same = known.get(vpc).filter(|found| found.entered.number == number);
        let entered = match same {
            Some(found) => found.entered.clone(),
            None => Arc::new(Entered::open(vpc, &namespace, number)?),
        };
        if known.len() >= NETWORKS_MAX
            && let Some(oldest) = known.iter().min_by_key(|(_, found)| found.looked).map(|(vpc, _)| vpc.clone())
        {
            known.remove(&oldest);
        }
        known.insert(vpc.clone(), Known { looked: Instant::now(), holder, entered: entered.clone() });
        Ok(entered)
    }
}

impl Entered {
    fn open(vpc: &VpcId, namespace: &File, number: u64) -> io::Result<Entered> {
        let (sender, receiver) = mpsc::sync_channel::<Task>(TASKS_WAITING_MAX);
        let (ready, entered) = mpsc::channel();
        let target = namespace.try_clone()?;
        std::thread::Builder::new().name(format!("net-{vpc}")).stack_size(256 << 10).spawn(move || {
            let inside = sys::setns(target.as_fd(), libc::CLONE_NEWNET);
            let failed = inside.is_err();
            let _ = ready.send(inside);
            if !failed {
                receiver.into_iter().for_each(|task| task());
            }
        })?;
        entered.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        Ok(Entered { number, tasks: Mutex::new(sender), stock: Mutex::default() })
    }

    fn sender(&self) -> mpsc::SyncSender<Task> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stock(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T: Send + 'static>(&self, task: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let (sender, receiver) = mpsc::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender().send(Box::new(move || drop(sender.send(task())))).map_err(|_| gone())?;
        receiver.recv().map_err(|_| gone())?
    }

    fn tcp_socket(self: &Arc<Entered>) -> io::Result<OwnedFd> {
        let (taken, left) = {
            let mut stock = self.stock();
            (stock.pop(), stock.len())
        };
        if taken.is_none() || left == STOCK / 2 {
            self.refill();
        }
        taken.map_or_else(|| self.run(tcp_socket_here), Ok)
    }

    fn refill(self: &Arc<Entered>) {
        // The task must not keep the thread alive that runs it.
        let network = Arc::downgrade(self);
        let task: Task = Box::new(move || {
            let Some(network) = network.upgrade() else { return };
            let missing = STOCK.saturating_sub(network.stock().len());
            let mut made: Vec<OwnedFd> = (0..missing).map_while(|_| tcp_socket_here().ok()).collect();
            network.stock().append(&mut made);
        });
        // A full queue means that a refill waits in it already.
        let _ = self.sender().try_send(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without networks sockets are the process's own; with them a VPC that
    /// has none is not found, whatever its name.
    #[test]
    fn missing_networks() {
        let nowhere = std::env::temp_dir();
        let plain = NetworkSockets::new(&nowhere, false);
        assert!(plain.tcp_socket(&VpcId::from("vpc-1"), None).is_ok());
        assert_eq!(plain.inside(&VpcId::from("vpc-1"), || Ok(7)).unwrap(), 7);
        assert_eq!(plain.network_number(&VpcId::from("vpc-1")), None);
        let sandbox = NetworkSockets::new(&nowhere, true);
        for name in ["vpc-1", "../../etc/passwd", ""] {
            let error = sandbox.tcp_socket(&VpcId::from(name), None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}");
        }
    }
}
