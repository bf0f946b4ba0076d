//! The host as the daemon sees it: requests go in and return at once, facts
//! come out. Work of one instance runs in order on the pool (`jobs`); exits
//! are noticed through pidfds.

use crate::agent_client;
use crate::cgroup::{Groups, Hierarchy};
use crate::commands::{self, Commands};
use crate::error::{Context, HostError};
use crate::image::import::Imported;
use crate::image::owners::Owners;
use crate::image::unpack::Progress;
use crate::imds::MetadataSource;
use crate::imds::server::{self, Service};
use crate::init::{Answer, Ask};
use crate::jobs::Jobs;
use crate::launch::Base;
use crate::layout::{Layout, is_safe_name};
use crate::make::Make;
use crate::network::Networks;
use crate::record::{Phase, Record};
use crate::router::Router;
use crate::session::{self, SessionReader, SessionTask, SessionWriter};
use crate::sockets::SocketMaker;
use crate::{image, launch, make, process, recovery, sys};
use elastane_domain::id::{ImageId, InstanceId, VpcId};
use elastane_domain::machine::{Generation, HostFact, Initialization, LaunchSpec, Machine, MachineState};
use elastane_domain::vpc::NetworkPlan;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::AbortHandle;

/// Where facts go. Called from several threads; must not block.
pub type Facts = Arc<dyn Fn(HostFact) + Send + Sync>;

/// What GetConsoleOutput returns at most (EC2 API Reference).
const CONSOLE_BYTES_MAX: u64 = 64 << 10;
/// Time between SIGTERM and SIGKILL when an instance is stopped.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// After that much more the first process itself is killed.
const STOP_SLACK: Duration = Duration::from_secs(3);
/// How long a killed process may take to vanish: the kernel frees its memory first.
const KILL_LIMIT: Duration = Duration::from_secs(20);
/// How long the agent may take to answer what it answers at once.
const AGENT_LIMIT: Duration = Duration::from_secs(5);
/// How long all instances together may take to end when everything is shut down.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(60);
/// A killed daemon may hold its lock a little longer: its memory is freed
/// first, and a child that it was starting has the lock until it notices.
const LOCK_LIMIT: Duration = Duration::from_secs(3);

/// What a host needs.
pub struct HostConfig {
    /// Where everything is kept. Outside of /usr, /etc, /var and /opt for the sandbox makes.
    pub data_dir: PathBuf,
    /// The make that the process is prepared for (`enter_best`).
    pub make: Make,
    /// What the metadata service says.
    pub source: Arc<dyn MetadataSource>,
    /// Where facts go.
    pub facts: Facts,
    /// Whether instances with a way to the internet reach beyond this
    /// machine: forwarding and one nftables table in the host's own network
    /// namespace, until the host is closed. Root make only.
    pub internet: bool,
}

/// The instances of one data directory. Dropping it leaves them running.
pub struct Host {
    inner: Arc<Inner>,
    io_thread: Option<std::thread::JoinHandle<()>>,
    io_stop: Option<tokio::sync::oneshot::Sender<()>>,
}

/// One machine.
pub(crate) struct Entry {
    pub record: Record,
    pub pidfd: Option<Arc<OwnedFd>>,
    /// Tasks that end with the boot: the watcher, the metadata listener of the process make.
    pub tasks: Vec<AbortHandle>,
    pub memory_kills_told: u64,
}

/// Who has which address.
#[derive(Default)]
pub(crate) struct Addresses {
    /// (VPC, private address) to instance and the address where it is reached.
    known: Mutex<HashMap<(VpcId, Ipv4Addr), (InstanceId, Ipv4Addr)>>,
    /// The DNS domain of instances in a VPC.
    domains: Mutex<HashMap<VpcId, String>>,
}

/// What all threads share.
pub(crate) struct Inner {
    pub layout: Layout,
    pub make: Make,
    pub facts: Facts,
    pub hierarchy: Option<Hierarchy>,
    pub notes: Mutex<Vec<String>>,
    pub base: OnceLock<Result<Base, String>>,
    pub addresses: Arc<Addresses>,
    pub io: tokio::runtime::Handle,
    pub service: Arc<Service>,
    machines: Mutex<BTreeMap<InstanceId, Entry>>,
    pub networks: Networks,
    jobs: Jobs,
    pub commands: Commands,
    _lock: File,
}

impl Addresses {
    /// Notes where an instance is.
    pub fn add(&self, record: &Record) {
        let key = (record.spec.vpc.clone(), record.spec.private_ip);
        let value = (record.spec.instance.clone(), record.address);
        let domain = launch::domain(&record.spec);
        self.domains.lock().expect("no code panics under this lock").insert(key.0.clone(), domain);
        self.known.lock().expect("no code panics under this lock").insert(key, value);
    }

    fn remove(&self, record: &Record) {
        let key = (record.spec.vpc.clone(), record.spec.private_ip);
        let mut known = self.known.lock().expect("no code panics under this lock");
        if known.get(&key).is_some_and(|(instance, _)| *instance == record.spec.instance) {
            known.remove(&key);
        }
    }

    /// The instance with this private address.
    pub fn find(&self, vpc: &VpcId, address: Ipv4Addr) -> Option<InstanceId> {
        let known = self.known.lock().expect("no code panics under this lock");
        known.get(&(vpc.clone(), address)).map(|(instance, _)| instance.clone())
    }

    /// The domain of names of a VPC's instances; that of the first region for a VPC without any.
    pub fn domain(&self, vpc: &VpcId) -> String {
        let domains = self.domains.lock().expect("no code panics under this lock");
        domains.get(vpc).cloned().unwrap_or_else(|| "ec2.internal".to_owned())
    }

    /// Where the instance with this private address is reached.
    pub fn reach(&self, vpc: &VpcId, address: Ipv4Addr) -> Ipv4Addr {
        let known = self.known.lock().expect("no code panics under this lock");
        known.get(&(vpc.clone(), address)).map_or(address, |(_, reach)| *reach)
    }

    /// Whether another instance is reached at this address.
    pub fn is_taken(&self, reach: Ipv4Addr, by_other_than: &InstanceId) -> bool {
        let known = self.known.lock().expect("no code panics under this lock");
        known.values().any(|(instance, taken)| *taken == reach && instance != by_other_than)
    }
}

impl Host {
    /// Opens a data directory: finds the instances that still run, removes
    /// what a crash left half-made, and sends the inventory. The process must
    /// be in the namespaces of `make` already.
    pub fn open(config: HostConfig) -> Result<Host, HostError> {
        if config.make.is_sandbox() && !make::has_entered() {
            let why = "the process is not in the private namespaces that sandboxes need";
            return Err(HostError::Refused(why.to_owned()));
        }
        let layout =
            Layout::new(&std::path::absolute(&config.data_dir).context(|| "find the data directory".to_owned())?);
        layout.prepare()?;
        let lock = lock(&layout)?;
        let mut notes = limits_of_make(config.make);
        let hierarchy = hierarchy(config.make, &layout, &mut notes);
        let service = Arc::new(Service::open(&layout, config.source)?);
        let networks = Networks::new(config.make, &layout, config.internet);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(|| "start the host's event loop".to_owned())?;
        let io = runtime.handle().clone();
        let (io_stop, stopped) = tokio::sync::oneshot::channel();
        let io_thread = std::thread::Builder::new()
            .name("host-io".to_owned())
            .spawn(move || drop(runtime.block_on(stopped)))
            .context(|| "start the host's thread".to_owned())?;
        let inner = Arc::new(Inner {
            layout,
            make: config.make,
            facts: config.facts,
            hierarchy,
            notes: Mutex::new(notes),
            base: OnceLock::new(),
            addresses: Arc::default(),
            io,
            service,
            machines: Mutex::default(),
            networks,
            jobs: Jobs::default(),
            commands: Commands::default(),
            _lock: lock,
        });
        let host = Host { inner, io_thread: Some(io_thread), io_stop: Some(io_stop) };
        recovery::recover(&host.inner)?;
        // Built ahead, so that the first launch need not wait for it; a
        // failure is reported by the launches.
        let inner = host.inner.clone();
        host.inner.jobs.submit("base", move || drop(launch::base(&inner)));
        (host.inner.facts)(HostFact::Inventory(host.inventory()));
        (host.inner.facts)(HostFact::Layers(image::all(&host.inner.layout)?));
        host.inner.io.spawn(commands::ping(Arc::downgrade(&host.inner)));
        Ok(host)
    }

    /// Boots an instance; `Booted` or `LaunchFailed` follows. A generation
    /// that has been booted already is not booted again: its state is told
    /// again. An older generation that still runs is killed first.
    pub fn launch(&self, spec: LaunchSpec) {
        let id = spec.instance.clone();
        let names = [id.as_str(), spec.vpc.as_str()];
        let safe = names.into_iter().chain(spec.layers.iter().map(ImageId::as_str)).all(is_safe_name);
        let failed = |reason: &str| HostFact::LaunchFailed {
            instance: id.clone(),
            generation: spec.generation,
            reason: reason.to_owned(),
        };
        if !safe {
            return (self.inner.facts)(failed("an identifier holds characters that cannot be a file name"));
        }
        let fact = failed("the host is shutting down or has too much to do");
        let key = id.as_str().to_owned();
        let inner = self.inner.clone();
        if !self.inner.jobs.submit(&key, move || inner.launch_job(spec)) {
            (self.inner.facts)(fact);
        }
    }

    /// Stops an instance: SIGTERM to all its processes, SIGKILL after a
    /// grace of ten seconds. `Exited` follows, at once if it does not run.
    pub fn stop(&self, instance: &InstanceId, generation: Generation) {
        let id = instance.clone();
        self.submit(instance.as_str(), move |inner| inner.stop_job(&id, generation));
    }

    /// Kills an instance and removes all that is left of it. `Removed`
    /// follows, also for an instance that is not known.
    pub fn terminate(&self, instance: &InstanceId) {
        let id = instance.clone();
        self.submit(instance.as_str(), move |inner| inner.terminate_job(&id));
    }

    /// Copies an instance's writable layer to an image. `Captured` or
    /// `CaptureFailed` follows. The image's parents stay separate layers.
    pub fn capture(&self, image: &ImageId, instance: &InstanceId) {
        let (image, id) = (image.clone(), instance.clone());
        self.submit(instance.as_str(), move |inner| {
            let fact = match image::capture(&inner.layout, image.as_str(), id.as_str()) {
                Ok(bytes) => HostFact::Captured { image, bytes },
                Err(err) => HostFact::CaptureFailed { image, reason: err.sentence() },
            };
            (inner.facts)(fact);
        });
    }

    /// Unpacks a root file system (a tar archive, an OCI layout or an archive
    /// of one) to an image's layer, and says now and then how far it is.
    /// Blocks until the layer is complete on disk, or nothing of it is left.
    pub fn import_image(&self, image: &ImageId, source: &Path, tell: &dyn Fn(Progress)) -> Result<Imported, HostError> {
        let inner = &self.inner;
        if !inner.make.is_sandbox() {
            let why = "images can be imported with the sandbox driver only: \
                       instances of the process driver share the host's files";
            return Err(HostError::Refused(why.to_owned()));
        }
        let owners = Owners::of(inner.make, launch::base(inner)?.owner);
        image::import::import(&inner.layout, image.as_str(), source, owners, tell)
    }

    /// Removes an image's layer. Instances that run from it keep it until
    /// they stop; they cannot be started again then.
    pub fn delete_image(&self, image: &ImageId) {
        let id = image.clone();
        self.submit(image.as_str(), move |inner| {
            if is_safe_name(id.as_str())
                && let Err(err) = inner.layout.discard(&inner.layout.image(id.as_str()))
            {
                inner.note(format!("an image was not removed entirely: {}", err.sentence()));
            }
        });
    }

    /// Begins a session with an instance; its stream belongs to the calling
    /// event loop. Everything that runs in it ends when both halves are
    /// dropped, and when this process ends.
    ///
    /// # Errors
    /// When the instance does not answer, or cannot start what is asked for.
    pub async fn open_session(
        &self,
        instance: &InstanceId,
        task: &SessionTask,
    ) -> Result<(SessionReader, SessionWriter), HostError> {
        if self.pid(instance).is_none() {
            return Err(HostError::Refused(format!("{instance} does not run")));
        }
        let directory = self.inner.layout.instance(instance.as_str());
        session::open(&directory, task).await
    }

    /// The last 64 KiB of an instance's console; empty for an unknown one.
    pub fn console_output(&self, instance: &InstanceId) -> Vec<u8> {
        self.inner.tell_memory_kills(instance);
        let mut bytes = Vec::new();
        if !is_safe_name(instance.as_str()) {
            return bytes;
        }
        let Ok(mut file) = File::open(self.inner.layout.instance(instance.as_str()).join("console.log")) else {
            return bytes;
        };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let start = SeekFrom::Start(length.saturating_sub(CONSOLE_BYTES_MAX));
        if file.seek(start).is_ok() {
            // A read error leaves what was read before it.
            let _ = file.take(CONSOLE_BYTES_MAX).read_to_end(&mut bytes);
        }
        bytes
    }

    /// CPU time that the current boot of an instance has used, in nanoseconds.
    /// `None` when it does not run.
    pub fn cpu_usage(&self, instance: &InstanceId) -> Option<u64> {
        let (groups, pid) = {
            let machines = self.inner.machines();
            let entry = machines.get(instance).filter(|entry| entry.record.phase == Phase::Running)?;
            (entry.record.groups.clone(), entry.record.process?.pid)
        };
        groups.cpu_nanoseconds().or_else(|| process::cpu_nanoseconds(pid))
    }

    /// Bytes that the current boot of an instance has received and sent.
    /// `None` when it does not run, or shares the network of this machine.
    pub fn network_usage(&self, instance: &InstanceId) -> Option<(u64, u64)> {
        process::network_bytes(self.pid(instance)?)
    }

    /// Where the daemon reaches an instance: its private address, or its
    /// loopback address in the process make.
    pub fn address(&self, instance: &InstanceId) -> Option<Ipv4Addr> {
        self.inner.machines().get(instance).map(|entry| entry.record.address)
    }

    /// The instance's first process, while it lives.
    pub fn pid(&self, instance: &InstanceId) -> Option<i32> {
        let machines = self.inner.machines();
        let process = machines.get(instance)?.record.process?;
        process.lives().then_some(process.pid)
    }

    /// All machines on this host. One that is being launched counts as running.
    pub fn inventory(&self) -> Vec<Machine> {
        let machines = self.inner.machines();
        let line = |entry: &Entry| Machine {
            instance: entry.record.spec.instance.clone(),
            generation: entry.record.spec.generation,
            state: match entry.record.phase {
                Phase::Launching | Phase::Running => MachineState::Running,
                Phase::Stopped => MachineState::Stopped,
            },
            initialization: entry.record.initialization.clone(),
        };
        machines.values().map(line).collect()
    }

    /// Runs a VPC's network by this plan from now on, unless a newer one is
    /// known. Returns at once; `Network` follows, and launches in the VPC wait
    /// until the newest plan is in force.
    pub fn apply_network(&self, plan: Arc<NetworkPlan>) {
        self.inner.take_plan(plan);
    }

    /// Forgets a VPC's plan. The network ends when no machine is in it.
    pub fn end_network(&self, vpc: &VpcId) {
        self.inner.drop_plan(vpc);
    }

    /// Before the program ends: applies no more plans, ends the networks in
    /// which nothing runs, and takes back what was changed in the host's own
    /// network namespace for `internet`. Dropping the host does it too.
    pub fn leave_networks(&self) {
        self.inner.close_networks();
    }

    /// Makes sockets inside VPCs.
    pub fn sockets(&self) -> SocketMaker {
        SocketMaker { host: Arc::downgrade(&self.inner) }
    }

    /// What is enforced, and what is not possible here, for the log and `elastane doctor`.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.inner.network_notes();
        notes.push(crate::ipv6::find(self.inner.layout.data()).sentence());
        notes.extend(self.inner.notes.lock().expect("no code panics under this lock").iter().cloned());
        notes
    }

    /// Terminates all instances, ends all networks, and waits for it: for the
    /// demo's end and for reset. Images stay. False when the time limit of a
    /// minute passed before everything was gone.
    pub fn shutdown_all(&self) -> bool {
        let deadline = Instant::now() + SHUTDOWN_LIMIT;
        let ids: Vec<InstanceId> = self.inner.machines().keys().cloned().collect();
        ids.iter().for_each(|id| self.terminate(id));
        while !self.inner.machines().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let done = self.inner.machines().is_empty();
        self.inner.end_networks(true, |_| true);
        if let Some(hierarchy) = self.inner.hierarchy.as_ref().filter(|_| done) {
            hierarchy.retire();
        }
        done
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    fn submit(&self, key: &str, job: impl FnOnce(&Arc<Inner>) + Send + 'static) {
        let inner = self.inner.clone();
        if !self.inner.jobs.submit(key, move || job(&inner)) {
            self.inner.note(format!("a request for {key} was dropped: the host has too much to do"));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.inner.jobs.close();
        self.inner.close_networks();
        drop(self.io_stop.take());
        if let Some(thread) = self.io_thread.take() {
            // A panic there was reported by the panic hook.
            let _ = thread.join();
        }
        launch::release_base(&self.inner);
        if let Some(hierarchy) = &self.inner.hierarchy {
            hierarchy.retire();
        }
    }
}

/// Makes sure that one daemon at a time uses the data directory.
fn lock(layout: &Layout) -> Result<File, HostError> {
    let path = layout.at("host.lock");
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .context(|| format!("open {}", path.display()))?;
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => {
                let why = format!("{} is in use by another daemon", layout.data().display());
                return Err(HostError::Refused(why));
            }
        }
    }
}

/// What is not the same as on EC2 because of the make, besides its networks.
fn limits_of_make(make: Make) -> Vec<String> {
    let text = match make {
        Make::Root => return Vec::new(),
        Make::Rootless => "an instance has one user id, so programs that change their user fail",
        Make::Process => {
            "instances are not isolated: they share the host's files, users and network, and SECURITY GROUPS, routes \
             and public addresses mean nothing"
        }
    };
    vec![text.to_owned()]
}

/// Finds out whether limits can be enforced; only the root make can.
fn hierarchy(make: Make, layout: &Layout, notes: &mut Vec<String>) -> Option<Hierarchy> {
    let name = format!("elastane-{:08x}", checksum(layout.data().as_os_str().as_encoded_bytes()));
    let found = match make {
        Make::Root => Hierarchy::find(&name).map_err(|err| err.sentence()),
        Make::Rootless => Err("an ordinary user's daemon cannot make control groups here".to_owned()),
        Make::Process => {
            Err("the process driver has no control groups; memory is limited for each process alone".to_owned())
        }
    };
    match found {
        Ok(hierarchy) => {
            let version = hierarchy.version();
            notes.push(format!("CPU, memory and process limits are enforced by control groups version {version}"));
            Some(hierarchy)
        }
        Err(why) => {
            notes.push(format!("CPU, memory and process limits of instances are not enforced: {why}"));
            None
        }
    }
}

/// FNV-1a: a short name for a data directory or a subnet, nothing more.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Asks an instance's agent and waits for its answer.
async fn talk(directory: &Path, request: &Ask) -> std::io::Result<Answer> {
    let (_open, path) = agent_client::socket_path(directory)?;
    let mut stream = tokio::net::UnixStream::connect(path).await?;
    stream.write_all(&agent_client::line(request)).await?;
    let mut answer = String::new();
    BufReader::new(stream.take(agent_client::ANSWER_BYTES_MAX)).read_line(&mut answer).await?;
    agent_client::parse(&answer)
}

impl Inner {
    pub fn machines(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Entry>> {
        self.machines.lock().expect("no code panics under this lock")
    }

    /// Adds to what is told by `Host::notes`.
    pub fn note(&self, text: String) {
        let mut notes = self.notes.lock().expect("no code panics under this lock");
        if notes.len() < 100 && !notes.contains(&text) {
            notes.push(text);
        }
    }

    pub fn router(&self, vpc: &VpcId) -> Option<Arc<Router>> {
        self.networks.router(vpc)
    }

    /// Serves metadata on a loopback address for the instance that has it.
    pub fn serve_metadata(&self, listener: std::net::TcpListener, instance: &InstanceId) -> AbortHandle {
        let (service, id) = (self.service.clone(), instance.clone());
        let finder: server::Finder = Arc::new(move |_| Some(id.clone()));
        let task = self.io.spawn(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                server::serve(listener, service, finder).await;
            }
        });
        task.abort_handle()
    }

    fn launch_job(self: &Arc<Self>, spec: LaunchSpec) {
        let (instance, generation) = (spec.instance.clone(), spec.generation);
        let before = self.machines().get(&instance).map(|entry| (entry.record.spec.generation, entry.record.phase));
        match before {
            Some((known, _)) if known > generation => return,
            Some((known, Phase::Running)) if known == generation => {
                return (self.facts)(HostFact::Booted { instance, generation });
            }
            Some((known, _)) if known == generation => {
                return (self.facts)(HostFact::Exited { instance, generation });
            }
            Some((_, Phase::Running)) => self.kill_and_settle(&instance),
            _ => {}
        }
        match launch::launch(self, spec) {
            Ok(()) => (self.facts)(HostFact::Booted { instance, generation }),
            Err(err) => (self.facts)(HostFact::LaunchFailed { instance, generation, reason: err.sentence() }),
        }
    }

    fn stop_job(self: &Arc<Self>, instance: &InstanceId, generation: Generation) {
        let running = self.machines().get(instance).map(|entry| {
            let runs = entry.record.phase == Phase::Running;
            (entry.record.spec.generation, entry.pidfd.clone().filter(|_| runs))
        });
        match running {
            Some((known, _)) if known > generation => {}
            Some((_, Some(pidfd))) => {
                let grace_ms = STOP_GRACE.as_millis() as u64;
                let directory = self.layout.instance(instance.as_str());
                let asked = agent_client::ask(&directory, &Ask::Shutdown { grace_ms }, AGENT_LIMIT);
                if asked.is_err() {
                    let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
                }
                self.io.spawn(async move {
                    tokio::time::sleep(STOP_GRACE + STOP_SLACK).await;
                    // A pidfd never names another process, so this is harmless later.
                    let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
                });
            }
            _ => (self.facts)(HostFact::Exited { instance: instance.clone(), generation }),
        }
    }

    fn terminate_job(self: &Arc<Self>, instance: &InstanceId) {
        if !is_safe_name(instance.as_str()) {
            return (self.facts)(HostFact::Removed { instance: instance.clone() });
        }
        self.kill_and_settle(instance);
        if let Err(err) = self.layout.discard(&self.layout.instance(instance.as_str())) {
            self.note(format!("{instance} left files in the trash: {}", err.sentence()));
        }
        self.forget(instance);
        (self.facts)(HostFact::Removed { instance: instance.clone() });
    }

    /// Takes an instance that could not be launched out of all lists.
    pub fn forget(&self, instance: &InstanceId) {
        let entry = self.machines().remove(instance);
        if let Some(entry) = entry {
            self.addresses.remove(&entry.record);
            self.end_networks(false, |vpc| *vpc == entry.record.spec.vpc);
        }
    }

    /// Kills an instance if it runs, waits until it is gone, and clears up.
    fn kill_and_settle(self: &Arc<Self>, instance: &InstanceId) {
        let pidfd = self.machines().get(instance).and_then(|entry| entry.pidfd.clone());
        if let Some(pidfd) = pidfd {
            let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
            if !launch::wait_ended(&pidfd, KILL_LIMIT) {
                self.note(format!("the first process of {instance} does not end after SIGKILL"));
            }
            self.settle(instance);
        }
    }

    /// After the first process has ended: reaps it, removes its groups and
    /// what it left, and writes the new state down.
    fn settle(self: &Arc<Self>, instance: &InstanceId) -> Option<Generation> {
        self.tell_memory_kills(instance);
        let (record, tasks) = {
            let mut machines = self.machines();
            let entry = machines.get_mut(instance).filter(|entry| entry.record.phase == Phase::Running)?;
            entry.pidfd = None;
            (entry.record.clone(), std::mem::take(&mut entry.tasks))
        };
        tasks.iter().for_each(AbortHandle::abort);
        let stopped = stopped(&self.layout, &record);
        if let Err(err) = stopped.save(&self.layout) {
            self.note(err.sentence());
        }
        if let Some(entry) = self.machines().get_mut(instance) {
            entry.record = stopped;
        }
        Some(record.spec.generation)
    }

    /// Watches a first process and sends `Exited` when it ends.
    pub fn watch(self: &Arc<Self>, instance: &InstanceId, pidfd: Arc<OwnedFd>) -> AbortHandle {
        let (weak, id) = (Arc::downgrade(self), instance.clone());
        let task = self.io.spawn(async move {
            let Ok(watched) = sys::readiness(pidfd.clone()) else { return };
            if watched.readable().await.is_err() {
                return;
            }
            let Some(inner) = weak.upgrade() else { return };
            let jobs = inner.jobs.clone();
            jobs.submit(id.clone().as_str(), move || {
                let current = inner.machines().get(&id).and_then(|entry| entry.pidfd.clone());
                if current.is_some_and(|current| Arc::ptr_eq(&current, &pidfd))
                    && let Some(generation) = inner.settle(&id)
                {
                    (inner.facts)(HostFact::Exited { instance: id, generation });
                }
            });
        });
        task.abort_handle()
    }

    /// Waits for the end of a boot's scripts and user data, writes it down and
    /// sends `Initialized`; after the boot's own fact, since it takes its turn.
    pub fn watch_initialization(self: &Arc<Self>, instance: &InstanceId, generation: Generation) -> AbortHandle {
        let (weak, id) = (Arc::downgrade(self), instance.clone());
        let directory = self.layout.instance(instance.as_str());
        let task = self.io.spawn(async move {
            // An instance that ends before has no result.
            let Ok(Answer::Initialized { generation: of, initialization }) =
                talk(&directory, &Ask::Initialization).await
            else {
                return;
            };
            let Some(inner) = weak.upgrade().filter(|_| of == generation.0) else { return };
            let jobs = inner.jobs.clone();
            jobs.submit(id.clone().as_str(), move || inner.initialized(id, generation, initialization));
        });
        task.abort_handle()
    }

    fn initialized(&self, instance: InstanceId, generation: Generation, initialization: Initialization) {
        let record = {
            let mut machines = self.machines();
            let Some(entry) = machines.get_mut(&instance).filter(|entry| entry.record.spec.generation == generation)
            else {
                return;
            };
            entry.record.initialization = initialization.clone();
            entry.record.clone()
        };
        if let Err(err) = record.save(&self.layout) {
            self.note(err.sentence());
        }
        (self.facts)(HostFact::Initialized { instance, generation, initialization });
    }

    /// Writes into the console how often the memory limit killed a process.
    fn tell_memory_kills(&self, instance: &InstanceId) {
        let mut machines = self.machines();
        let Some(entry) = machines.get_mut(instance) else { return };
        let kills = entry.record.groups.memory_kills();
        if kills <= entry.memory_kills_told {
            return;
        }
        let new = kills - entry.memory_kills_told;
        entry.memory_kills_told = kills;
        let limit = entry.record.spec.memory_mib;
        let path = self.layout.instance(instance.as_str()).join("console.log");
        if let Ok(mut console) = File::options().append(true).open(path) {
            // A full disk loses this line and nothing else.
            let _ = writeln!(
                console,
                "elastane: Out of memory: the limit of {limit} MiB was reached and {new} process(es) were killed"
            );
        }
    }
}

/// The record of an instance whose first process has ended, after removing
/// its groups and, in the process make, what it left running.
pub(crate) fn stopped(layout: &Layout, record: &Record) -> Record {
    if let Some(process) = record.process {
        if record.make == Make::Process {
            let root = layout.instance(record.spec.instance.as_str()).join("rw").join(crate::layout::TOP);
            process::kill_leftovers(&root, process);
        }
        sys::reap(process.pid);
    }
    record.groups.remove();
    Record { phase: Phase::Stopped, process: None, groups: Groups::default(), ..record.clone() }
}
