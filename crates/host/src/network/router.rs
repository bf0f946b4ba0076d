//! One network namespace per VPC, the router between its instances, with the
//! metadata service, the resolver and the gateways on its loopback interface;
//! and one that joins them all, the edge. A tiny process (the holder) keeps
//! each when the daemon goes; a thread of the daemon lives in it and opens
//! sockets there.

use crate::error::{Context, HostError};
use crate::init::{BOOT_FD, HOLDER_ARGUMENT};
use crate::layout::write_private;
use crate::network::netlink::{Netlink, Veth};
use crate::record::{self, ProcessName};
use crate::sys::{self, Spawn};
use std::ffi::{CString, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// The instance's interface, as on EC2's virtual machines of the first kind.
pub const INNER_NAME: &str = "eth0";
/// The metadata service's address (ec2-imds.md 1).
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The VPC resolver's address.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// Ready-made sockets: a burst of new connections does not wait for the thread.
const STOCK: usize = 64;
/// How long a holder may take to set its namespace up.
const HOLDER_LIMIT: Duration = Duration::from_secs(10);

/// Hardware address of the instance with this address: locally administered.
pub fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0, a, b, c, d]
}

/// What a namespace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The router of a VPC.
    Vpc,
    /// What joins the routers.
    Edge,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Vpc => "vpc",
            Role::Edge => "edge",
        }
    }
}

/// The holder's life: make the namespace a router, write itself down, say
/// so, and sleep until killed. If the daemon dies first, it ends.
pub(crate) fn holder_main(arguments: &[OsString]) -> i32 {
    let Some(path) = arguments.get(2).map(PathBuf::from) else { return 2 };
    let role = if arguments.get(3).is_some_and(|word| word == Role::Edge.word()) { Role::Edge } else { Role::Vpc };
    let mut daemon = UnixStream::from(sys::inherited(BOOT_FD));
    let ready = become_router(role).context(|| "make the network namespace a router".to_owned()).and_then(|()| {
        let name = ProcessName::of(std::process::id() as i32)
            .ok_or_else(|| HostError::Refused("the holder cannot find itself in /proc".to_owned()))?;
        write_private(&path, &serde_json::to_vec(&name).expect("plain data"))
    });
    let message = match &ready {
        Ok(()) => "ok".to_owned(),
        Err(err) => err.sentence(),
    };
    if daemon.write_all(message.as_bytes()).is_err() || ready.is_err() {
        let _ = fs::remove_file(&path);
        return 1;
    }
    drop(daemon);
    loop {
        std::thread::park();
    }
}

fn become_router(role: Role) -> io::Result<()> {
    let netlink = Netlink::open()?;
    let loopback = netlink.loopback_up()?;
    let mut settings = vec![
        ("ip_forward", "1"),
        ("conf/all/send_redirects", "0"),
        ("conf/default/send_redirects", "0"),
        ("conf/default/rp_filter", "1"),
    ];
    match role {
        Role::Vpc => {
            netlink.add_address(loopback, METADATA, 32)?;
            netlink.add_address(loopback, RESOLVER, 32)?;
            // The stronger of "all" and the interface's own counts: cables of
            // instances that forward for others must be able to lower theirs.
            settings.push(("conf/all/rp_filter", "0"));
            // New cables inherit these: the router answers ARP for everybody.
            settings.push(("conf/default/proxy_arp", "1"));
        }
        Role::Edge => settings.push(("conf/all/rp_filter", "1")),
    }
    settings.into_iter().try_for_each(|(name, value)| fs::write(format!("/proc/sys/net/ipv4/{name}"), value))
}

/// Starts a holder: with a new network namespace (`CLONE_NEWNET`), or for
/// the one that the calling thread is in (no flag).
fn start_holder(path: &Path, role: Role, namespaces: i32) -> Result<ProcessName, HostError> {
    let (ours, theirs) = UnixStream::pair().context(|| "make a socket pair".to_owned())?;
    ours.set_read_timeout(Some(HOLDER_LIMIT)).context(|| "set a time limit".to_owned())?;
    let null =
        fs::OpenOptions::new().read(true).write(true).open("/dev/null").context(|| "open /dev/null".to_owned())?;
    let argv = [
        c"elastane".to_owned(),
        text(HOLDER_ARGUMENT)?,
        sys::c_path(path).context(|| "name the holder's file".to_owned())?,
        text(role.word())?,
    ];
    let (pid, _pidfd) = sys::spawn(&Spawn {
        namespaces: namespaces as u64,
        argv: &argv,
        environment: &[],
        fds: &[null.as_raw_fd(), null.as_raw_fd(), null.as_raw_fd(), theirs.as_raw_fd()],
        gate: BOOT_FD,
    })
    .context(|| "start the network's holder".to_owned())?;
    drop(theirs);
    let mut answer = String::new();
    let told = (&ours).write_all(b"g").and_then(|()| (&ours).take(1000).read_to_string(&mut answer));
    match (told, answer.as_str()) {
        (Ok(_), "ok") => {
            record::holder(path).ok_or_else(|| HostError::Refused("the network's holder left no record".to_owned()))
        }
        (told, why) => {
            let _ = sys::kill(pid, libc::SIGKILL);
            let _ = sys::wait_for(pid);
            let why = told.err().map_or_else(|| why.to_owned(), |err| err.to_string());
            Err(HostError::Refused(format!("cannot make a VPC's network: {why}")))
        }
    }
}

fn text(argument: &str) -> Result<CString, HostError> {
    CString::new(argument).map_err(|_| HostError::Refused("an argument holds a NUL byte".to_owned()))
}

type Task = Box<dyn FnOnce(&Netlink) + Send>;

/// A namespace as the daemon uses it. Dropping it ends the thread, not the
/// namespace.
pub struct Router {
    tasks: Mutex<mpsc::SyncSender<Task>>,
    stock: Mutex<Vec<OwnedFd>>,
    holder: Mutex<ProcessName>,
    namespace: Arc<fs::File>,
    role: Role,
    path: PathBuf,
}

/// Tasks that may wait for a router's thread.
const TASKS_WAITING_MAX: usize = 1024;

/// Runs `task` on a thread of its own inside a network namespace.
pub fn inside<T: Send>(namespace: &fs::File, task: impl FnOnce(&Netlink) -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("net-task".to_owned()).spawn_scoped(scope, || {
            sys::setns(namespace.as_fd(), libc::CLONE_NEWNET)?;
            Ok(task(&Netlink::open()?))
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a task in a network failed")))
    })
}

impl Router {
    /// Finds the namespace left by an earlier daemon, or makes it.
    pub fn open(path: PathBuf, name: &str, role: Role) -> Result<Router, HostError> {
        let holder = match record::holder(&path).filter(ProcessName::lives) {
            Some(holder) => holder,
            None => start_holder(&path, role, libc::CLONE_NEWNET)?,
        };
        let file = format!("/proc/{}/ns/net", holder.pid);
        let namespace = Arc::new(fs::File::open(&file).context(|| format!("open {file}"))?);
        let (sender, receiver) = mpsc::sync_channel::<Task>(TASKS_WAITING_MAX);
        let (ready, entered) = mpsc::channel();
        let target = namespace.clone();
        std::thread::Builder::new()
            .name(format!("net-{name}"))
            .stack_size(256 << 10)
            .spawn(move || {
                let netlink = sys::setns(target.as_fd(), libc::CLONE_NEWNET).and_then(|()| Netlink::open());
                match netlink {
                    Ok(netlink) => {
                        let _ = ready.send(Ok(()));
                        receiver.into_iter().for_each(|task| task(&netlink));
                    }
                    Err(err) => drop(ready.send(Err(err))),
                }
            })
            .context(|| "start a network thread".to_owned())?;
        let entered = entered.recv().unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe)));
        entered.context(|| "enter the VPC's network".to_owned())?;
        let (tasks, stock, holder) = (Mutex::new(sender), Mutex::new(Vec::new()), Mutex::new(holder));
        Ok(Router { tasks, stock, holder, namespace, role, path })
    }

    /// Runs `task` on a thread of its own inside the network: for what takes
    /// longer than others may wait.
    pub fn inside<T: Send>(&self, task: impl FnOnce(&Netlink) -> T + Send) -> io::Result<T> {
        inside(&self.namespace, task)
    }

    /// A process that is in the namespace.
    pub fn holder_pid(&self) -> i32 {
        self.holder.lock().expect("no code panics under this lock").pid
    }

    /// A descriptor that becomes readable when the holder ends.
    pub fn holder_descriptor(&self) -> io::Result<OwnedFd> {
        sys::pidfd_open(self.holder_pid())
    }

    /// After the holder has died: a new one for the same namespace, which the
    /// daemon's own threads have kept with all that is in it.
    pub fn replace_holder(&self) -> Result<(), HostError> {
        let dead = self.holder_pid();
        let started = self.inside(|_| start_holder(&self.path, self.role, 0));
        let started = started.context(|| "enter the network".to_owned())??;
        *self.holder.lock().expect("no code panics under this lock") = started;
        sys::reap(dead);
        Ok(())
    }

    /// Runs `task` on the thread inside the network and returns what it returns.
    pub fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Netlink) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = mpsc::channel();
        let boxed: Task = Box::new(move |netlink| drop(sender.send(task(netlink))));
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        let tasks = self.tasks.lock().expect("no task panics under this lock").clone();
        tasks.send(boxed).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        receiver.recv().map_err(gone)?
    }

    /// A fresh non-blocking TCP socket inside the network.
    pub fn tcp_socket(self: &Arc<Router>) -> io::Result<OwnedFd> {
        let (taken, left) = {
            let mut stock = self.stock.lock().expect("no code panics under this lock");
            (stock.pop(), stock.len())
        };
        if left == STOCK / 2 || taken.is_none() {
            self.refill();
        }
        match taken {
            Some(socket) => Ok(socket),
            None => self.run(|_| tcp_socket_here()),
        }
    }

    fn refill(self: &Arc<Router>) {
        let router = self.clone();
        let boxed: Task = Box::new(move |_| {
            let mut made: Vec<OwnedFd> = Vec::new();
            let missing = STOCK - router.stock.lock().expect("no code panics under this lock").len().min(STOCK);
            made.extend((0..missing).map_while(|_| tcp_socket_here().ok()));
            router.stock.lock().expect("no code panics under this lock").append(&mut made);
        });
        // A full queue means that a refill waits in it already.
        let _ = self.tasks.lock().expect("no task panics under this lock").try_send(boxed);
    }

    /// A listening TCP socket inside the network.
    pub fn listen(&self, address: SocketAddrV4) -> io::Result<TcpListener> {
        self.run(move |_| {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
    }

    /// A bound UDP socket inside the network.
    pub fn bind_udp(&self, address: SocketAddrV4) -> io::Result<UdpSocket> {
        self.run(move |_| {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    }

    /// The kernel's number of the namespace: another one is another network.
    pub fn number(&self) -> io::Result<u64> {
        Ok(std::os::unix::fs::MetadataExt::ino(&self.namespace.metadata()?))
    }

    /// Whether the holder still lives.
    pub fn lives(&self) -> bool {
        self.holder.lock().expect("no code panics under this lock").lives()
    }

    /// Ends the network. Its instances must have ended.
    pub fn end(&self) {
        end_holder(&self.path, *self.holder.lock().expect("no code panics under this lock"));
    }
}

/// Hardware address of the router's end of every cable: there is nobody else
/// on it, so instances can be told it and need not ask.
pub const CABLE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 3];

/// A cable from a router to a card of an instance.
pub struct Cable<'a> {
    /// The router's end.
    pub name: &'a str,
    /// The instance's end.
    pub inner: &'a str,
    /// The instance's first process.
    pub pid: i32,
    /// The subnet's gateway: what the router itself speaks as on this cable.
    pub gateway: Ipv4Addr,
    /// The card's addresses, the primary one first.
    pub addresses: &'a [Ipv4Addr],
}

/// Lays a cable and routes its addresses.
pub fn lay_cable(netlink: &Netlink, cable: &Cable<'_>) -> io::Result<()> {
    let Some(primary) = cable.addresses.first() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mac = mac_of(*primary);
    let veth =
        Veth { name: cable.name, mac: Some(CABLE_MAC), peer_name: cable.inner, peer_mac: mac, peer_pid: cable.pid };
    netlink.add_veth(&veth)?;
    let index = sys::interface_index(cable.name)?;
    // By default an answer for somebody else waits for most of a second.
    fs::write(format!("/proc/sys/net/ipv4/neigh/{}/proxy_delay", cable.name), "0")?;
    for address in cable.addresses {
        netlink.add_route((*address, 32), index, None, Some(cable.gateway))?;
        netlink.add_neighbour(index, *address, mac)?;
    }
    Ok(())
}

/// Kills a holder and removes its record.
pub fn end_holder(path: &Path, holder: ProcessName) {
    // The name is checked after the pidfd is open: from then on it cannot be another process.
    if let Some(pidfd) = sys::pidfd_open(holder.pid).ok().filter(|_| holder.lives()) {
        let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
        crate::launch::wait_ended(&pidfd, HOLDER_LIMIT);
        sys::reap(holder.pid);
    }
    let _ = fs::remove_file(path);
}

/// A non-blocking TCP socket in the calling thread's network.
pub fn tcp_socket_here() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
}
