//! Booting one instance: directory, network, limits, first process, in an
//! order that a crash at any point leaves nothing that the next start does
//! not find: the directory and its record come before the process, and the
//! process waits until its record names it.

use crate::agent_client;
use crate::cgroup::{Groups, Limits};
use crate::error::{Context, HostError};
use crate::host::{Entry, Inner, stopped};
use crate::init::{AGENT_FD, BOOT_FD, INIT_ARGUMENT, InitSpec};
use crate::layout::{BASES, TOP, make_private};
use crate::make::{Make, SHIFT, SHIFT_COUNT};
use crate::network::Station;
use crate::record::{Phase, ProcessName, Record};
use crate::sys::{self, Spawn};
use crate::{image, mask, tree};
use elastane_domain::machine::{Initialization, LaunchSpec};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the first process may take for each step of its boot.
const BOOT_LIMIT: Duration = Duration::from_secs(30);
/// Layers of one image: overlayfs takes 500, the option string one page.
const LAYERS_MAX: usize = 64;
/// Preferred port of the metadata service in the process make.
const METADATA_PORT: u16 = 8169;

/// What all instances of this daemon stand on.
#[derive(Clone)]
pub struct Base {
    /// Directory of the mask, relative to the data directory.
    pub mask: String,
    /// (top-level directory, where instances find the host's).
    pub directories: Vec<(String, String)>,
    /// Owner of instances' files on the host; `None` without a user namespace of their own.
    pub owner: Option<u32>,
}

impl Base {
    /// What an image stands on: nothing of the host's when it is a whole root
    /// file system.
    fn below(&self, complete: bool) -> Base {
        match complete {
            true => Base { mask: String::new(), directories: Vec::new(), owner: self.owner },
            false => self.clone(),
        }
    }
}

/// Boots `spec` and enters it into the machines.
pub fn launch(inner: &Arc<Inner>, spec: LaunchSpec) -> Result<(), HostError> {
    let id = spec.instance.clone();
    let booted_before = inner.machines().get(&id).is_some_and(|entry| entry.record.booted_before);
    let address = address(inner, &spec);
    let record = Record {
        make: inner.make,
        phase: Phase::Launching,
        process: None,
        groups: Groups::default(),
        address,
        booted_before,
        mask: String::new(),
        metadata_port: None,
        initialization: Initialization::UnderWay,
        spec,
    };
    let placeholder = Entry { record: record.clone(), pidfd: None, tasks: Vec::new(), memory_kills_told: 0 };
    inner.machines().insert(id.clone(), placeholder);
    inner.addresses.add(&record);
    let mut attempt = Attempt { inner, record, pidfd: None };
    match attempt.run() {
        Ok((pidfd, mut tasks)) => {
            let pidfd = Arc::new(pidfd);
            tasks.push(inner.watch(&id, pidfd.clone()));
            tasks.push(inner.watch_initialization(&id, attempt.record.spec.generation));
            let record = attempt.record;
            let station = Station::of(&record);
            inner.machines().insert(id, Entry { record, pidfd: Some(pidfd), tasks, memory_kills_told: 0 });
            station.into_iter().for_each(|station| inner.check_cards(&station));
            Ok(())
        }
        Err(err) => {
            attempt.undo();
            Err(err)
        }
    }
}

/// Where the instance is reached: in the process make the loopback address
/// that ends like its private address, unless a neighbour has it.
fn address(inner: &Inner, spec: &LaunchSpec) -> Ipv4Addr {
    if inner.make.is_sandbox() {
        return spec.private_ip;
    }
    let [_, b, c, d] = spec.private_ip.octets();
    let candidates = (0..=255u8).map(|step| Ipv4Addr::new(127, b.wrapping_add(step.wrapping_mul(37)), c, d));
    let free =
        |address: &Ipv4Addr| *address != Ipv4Addr::LOCALHOST && !inner.addresses.is_taken(*address, &spec.instance);
    candidates.into_iter().find(free).unwrap_or(Ipv4Addr::new(127, b, c, d))
}

/// The DNS domain of an instance's private name.
pub fn domain(spec: &LaunchSpec) -> String {
    match spec.region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// Unmounts the host's directories from the data directory; instances have
/// their own copies of the mounts.
pub fn release_base(inner: &Inner) {
    let Some(Ok(base)) = inner.base.get().filter(|_| inner.make == Make::Root) else {
        return;
    };
    for (_, place) in base.directories.iter().filter(|(_, place)| !place.starts_with('/')) {
        // What stays mounted goes with the daemon's namespace.
        let flags = rustix::mount::UnmountFlags::DETACH;
        let _ = rustix::mount::unmount(inner.layout.at(place), flags);
    }
}

/// What instances stand on, prepared at the first call.
pub fn base(inner: &Inner) -> Result<&Base, HostError> {
    let base = inner.base.get_or_init(|| prepare_base(inner).map_err(|err| err.sentence()));
    base.as_ref().map_err(|why| HostError::Refused(why.clone()))
}

struct Attempt<'a> {
    inner: &'a Arc<Inner>,
    record: Record,
    pidfd: Option<OwnedFd>,
}

impl Attempt<'_> {
    fn run(&mut self) -> Result<(OwnedFd, Vec<tokio::task::AbortHandle>), HostError> {
        let (inner, spec) = (self.inner, self.record.spec.clone());
        let base = &base(inner)?.below(image::import::is_complete(&inner.layout, &spec.layers));
        self.record.mask.clone_from(&base.mask);
        self.directories(base)?;
        let mut tasks = Vec::new();
        let init = self.init_spec(base, &mut tasks)?;
        let (boot, pid) = self.start()?;
        if let Some(station) = Station::of(&self.record).filter(|_| inner.make.is_sandbox()) {
            inner.connect(&station)?;
        }
        if let Some(hierarchy) = &inner.hierarchy {
            let limits = Limits { cpu_millicores: spec.cpu_millicores, memory_mib: spec.memory_mib };
            self.record.groups = hierarchy.make(spec.instance.as_str(), limits)?;
            self.record.save(&inner.layout)?;
        }
        self.converse(boot, &init, pid)?;
        self.record.phase = Phase::Running;
        self.record.booted_before = true;
        self.record.save(&inner.layout)?;
        let pidfd = self.pidfd.take().expect("start has set it");
        Ok((pidfd, tasks))
    }

    /// The instance's directory with its record first, then its writable layer.
    fn directories(&self, base: &Base) -> Result<(), HostError> {
        let (inner, spec) = (self.inner, &self.record.spec);
        if spec.layers.len() > LAYERS_MAX {
            return Err(HostError::Refused(format!("an image of more than {LAYERS_MAX} layers cannot be used")));
        }
        if let Some(missing) = spec.layers.iter().find(|layer| !inner.layout.image(layer.as_str()).is_dir()) {
            return Err(HostError::Refused(format!("the layer of image {missing} is not on this host")));
        }
        if !inner.make.is_sandbox() && image::import::is_complete(&inner.layout, &spec.layers) {
            let why = "the image is a whole root file system, which takes the sandbox driver: \
                       instances of the process driver share the host's files";
            return Err(HostError::Refused(why.to_owned()));
        }
        let directory = inner.layout.instance(spec.instance.as_str());
        make_private(&directory)?;
        self.record.save(&inner.layout)?;
        if !inner.make.is_sandbox() {
            if !self.record.booted_before {
                image::unpack(&inner.layout, &spec.layers, &directory)?;
            }
            return Ok(());
        }
        make_private(&directory.join("root"))?;
        let tops = std::iter::once(TOP).chain(base.directories.iter().map(|(top, _)| top.as_str()));
        for top in tops {
            for kind in ["rw", "work"] {
                let path = directory.join(kind).join(top);
                if path.is_dir() {
                    continue;
                }
                make_private(&path)?;
                own(&path, base.owner.unwrap_or(0)).context(|| format!("prepare {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn init_spec(&mut self, base: &Base, tasks: &mut Vec<tokio::task::AbortHandle>) -> Result<InitSpec, HostError> {
        let (inner, spec) = (self.inner, &self.record.spec);
        let mut metadata_endpoint = None;
        if !inner.make.is_sandbox() {
            let listener = listen_near(self.record.address, self.record.metadata_port)?;
            let local = listener.local_addr().context(|| "find the metadata service's port".to_owned())?;
            tasks.push(inner.serve_metadata(listener, &spec.instance));
            metadata_endpoint = Some(format!("http://{local}"));
            self.record.metadata_port = Some(local.port());
        }
        let (network, prefix) = spec.subnet_cidr;
        Ok(InitSpec {
            make: inner.make,
            data_dir: inner.layout.data().to_owned(),
            instance: spec.instance.as_str().to_owned(),
            generation: spec.generation.0,
            hostname: spec.hostname.clone(),
            domain: domain(spec),
            address: self.record.address,
            gateway: Ipv4Addr::from(u32::from(network).wrapping_add(1)),
            prefix,
            layers: spec.layers.iter().map(|layer| layer.as_str().to_owned()).collect(),
            mask: base.mask.clone(),
            bases: base.directories.clone(),
            owner: base.owner,
            memory_mib: spec.memory_mib,
            user_data: spec.user_data.clone(),
            ssh_public_key: spec.ssh_public_key.clone(),
            name_servers: spec.name_servers.clone(),
            search_domain: spec.search_domain.clone(),
            metadata_endpoint,
        })
    }

    /// Starts the first process, which waits, and writes it down.
    fn start(&mut self) -> Result<(UnixStream, i32), HostError> {
        let inner = self.inner;
        let directory = inner.layout.instance(self.record.spec.instance.as_str());
        let listener = agent_client::listen(&directory).context(|| "open the agent's socket".to_owned())?;
        let (boot, theirs) = UnixStream::pair().context(|| "make a socket pair".to_owned())?;
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&boot, Some(BOOT_LIMIT)).context(|| "set a time limit".to_owned())?;
        }
        let null = File::open("/dev/null").context(|| "open /dev/null".to_owned())?;
        let mut options = File::options();
        let console = options.create(true).append(true).read(true).mode(0o600).open(directory.join("console.log"));
        let console = console.context(|| "open the console log".to_owned())?;
        let namespaces = match inner.make {
            Make::Root | Make::Rootless => {
                libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET
            }
            Make::Process => 0,
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = [CString::new(format!("PATH={path}")).unwrap_or_default()];
        let argv = [c"elastane".to_owned(), CString::new(INIT_ARGUMENT).expect("a constant")];
        let fds =
            [null.as_raw_fd(), console.as_raw_fd(), console.as_raw_fd(), theirs.as_raw_fd(), listener.as_raw_fd()];
        debug_assert!(fds.len() == AGENT_FD as usize + 1);
        let (pid, pidfd) = sys::spawn(&Spawn {
            namespaces: namespaces as u64,
            argv: &argv,
            environment: &environment,
            fds: &fds,
            gate: BOOT_FD,
        })
        .context(|| "start the instance's first process".to_owned())?;
        self.pidfd = Some(pidfd);
        let name = ProcessName::of(pid);
        self.record.process =
            Some(name.ok_or_else(|| HostError::Refused("the first process ended at once".to_owned()))?);
        self.record.save(&inner.layout)?;
        Ok((boot, pid))
    }

    /// Lets the first process go, maps and limits it when it asks, and waits
    /// until it has booted.
    fn converse(&self, mut boot: UnixStream, init: &InitSpec, pid: i32) -> Result<(), HostError> {
        let mut request = b"g".to_vec();
        request.extend(serde_json::to_vec(init).expect("requests are plain data"));
        request.push(b'\n');
        boot.write_all(&request).context(|| "tell the first process what to do".to_owned())?;
        expect_word(&mut boot, b'm')?;
        if let Some(owner) = init.owner {
            let count = if owner == 0 { 1 } else { SHIFT_COUNT };
            map_users(pid, owner, count)?;
        }
        self.record.groups.join(pid)?;
        boot.write_all(b"k").context(|| "let the first process go on".to_owned())?;
        expect_word(&mut boot, b'b')
    }

    /// Removes what was made; a layer that has booted before is kept.
    fn undo(mut self) {
        if let Some(pidfd) = self.pidfd.take() {
            let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
            wait_ended(&pidfd, BOOT_LIMIT);
        }
        let layout = &self.inner.layout;
        let id = self.record.spec.instance.clone();
        let stopped = stopped(layout, &self.record);
        if self.record.booted_before {
            if let Err(err) = stopped.save(layout) {
                self.inner.note(err.sentence());
            }
            if let Some(entry) = self.inner.machines().get_mut(&id) {
                entry.record = stopped;
            }
            return;
        }
        self.inner.forget(&id);
        if let Err(err) = layout.discard(&layout.instance(id.as_str())) {
            self.inner.note(err.sentence());
        }
    }
}

/// Reads one word of the first process: what is expected, or why it failed.
fn expect_word(boot: &mut UnixStream, word: u8) -> Result<(), HostError> {
    let mut byte = [0u8];
    match boot.read(&mut byte).context(|| "hear from the first process".to_owned())? {
        1 if byte[0] == word => Ok(()),
        1 => {
            let mut message = String::new();
            // What arrived before an error is the message.
            let _ = boot.take(2000).read_to_string(&mut message);
            Err(HostError::Refused(message))
        }
        _ => Err(HostError::Refused("the first process ended while it booted".to_owned())),
    }
}

/// Gives a process in a new user namespace `count` ids that are `first`... outside.
fn map_users(pid: i32, first: u32, count: u32) -> Result<(), HostError> {
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, format!("0 {first} {count}")).context(|| format!("write {path}"))?;
    }
    Ok(())
}

/// Waits until the process behind a pidfd has ended.
pub fn wait_ended(pidfd: &OwnedFd, limit: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let deadline = std::time::Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let timeout = rustix::event::Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], timeout.as_ref()) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn own(path: &Path, owner: u32) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    tree::give_to(path, owner)
}

/// A listener on the instance's loopback address: the port it had, the usual
/// one, or any.
pub fn listen_near(address: Ipv4Addr, before: Option<u16>) -> Result<TcpListener, HostError> {
    let ports = before.into_iter().chain([METADATA_PORT, 0]);
    let mut last = None;
    for port in ports {
        match TcpListener::bind((address, port)) {
            Ok(listener) => {
                listener.set_nonblocking(true).context(|| "prepare the metadata service".to_owned())?;
                return Ok(listener);
            }
            Err(err) => last = Some(err),
        }
    }
    let err = last.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrInUse));
    Err(err).context(|| format!("open the metadata service on {address}"))
}

/// Builds the mask and, as root, the host's directories with shifted owners.
fn prepare_base(inner: &Inner) -> Result<Base, HostError> {
    if inner.make == Make::Process {
        return Ok(Base { mask: String::new(), directories: Vec::new(), owner: None });
    }
    let owner = match inner.make {
        Make::Rootless => Some(0),
        Make::Root => match shift_bases(inner) {
            Ok(()) => Some(SHIFT),
            Err(err) => {
                inner.note(format!(
                    "instances share the host's user ids and only lack capabilities: {}",
                    err.sentence()
                ));
                None
            }
        },
        Make::Process => None,
    };
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let name = format!("masks/{millis:x}");
    let target = inner.layout.at(&name);
    make_private(&target)?;
    mask::build(&target, inner.layout.data(), owner.unwrap_or(0), inner.make == Make::Rootless)?;
    let place = |top: &str| match owner {
        Some(SHIFT) => (top.to_owned(), format!("bases/{top}")),
        _ => (top.to_owned(), format!("/{top}")),
    };
    let mut directories: Vec<(String, String)> =
        BASES.iter().filter(|top| Path::new("/").join(top).is_dir()).map(|top| place(top)).collect();
    directories.extend(binary_directories().iter().map(|top| place(top)));
    Ok(Base { mask: name, directories, owner })
}

/// `/bin`, `/lib` and so on where they are real directories.
fn binary_directories() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/") else { return Vec::new() };
    let names = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| matches!(name.as_str(), "bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32")).collect()
}

/// Mounts the host's directories with owners shifted into the instances' range.
fn shift_bases(inner: &Inner) -> Result<(), HostError> {
    let (ours, theirs) = UnixStream::pair().context(|| "make a socket pair".to_owned())?;
    let fd = theirs.as_raw_fd();
    // The child only exists for its user namespace; it never passes its gate.
    let (pid, _pidfd) = sys::spawn(&Spawn {
        namespaces: libc::CLONE_NEWUSER as u64,
        argv: &[c"elastane".to_owned()],
        environment: &[],
        fds: &[fd],
        gate: 0,
    })
    .context(|| "make a user namespace".to_owned())?;
    drop(theirs);
    let mapping = map_users(pid, SHIFT, SHIFT_COUNT)
        .and_then(|()| File::open(format!("/proc/{pid}/ns/user")).context(|| "open the user namespace".to_owned()));
    drop(ours);
    let _ = sys::wait_for(pid);
    let mapping = mapping?;
    let directories = BASES.iter().map(|top| (*top).to_owned()).chain(binary_directories());
    for top in directories.filter(|top| Path::new("/").join(top).is_dir()) {
        let target = inner.layout.at(&format!("bases/{top}"));
        make_private(&target)?;
        sys::mount_id_mapped(&Path::new("/").join(&top), &target, mapping.as_fd())
            .context(|| format!("shift the owners of /{top}"))?;
    }
    Ok(())
}
