//! `elastane up`: the daemon.

use crate::admin::About;
use crate::audit::{self, Trail};
use crate::auth::{Auth, Sessions};
use crate::authority;
use crate::cli::{AuthMode, Dns, Driver, Up};
use crate::client::ABOUT_FILE;
use crate::clock::{Clock, wall_ms};
use crate::credentials::{Credentials, random_bytes};
use crate::data_dir::{DataDir, Problem};
use crate::dns::NameServer;
use crate::instance_credentials::InstanceSecrets;
use crate::instance_identity::Signer;
use crate::key_uses::{self, KeyUses};
use crate::seal::Sealer;
use crate::server::{Server, serve};
use crate::session;
use crate::shell;
use crate::store::RedbStore;
use crate::supervisor::Supervisor;
use crate::telemetry;
use crate::throttle::Throttle;
use crate::tls::Tls;
use crate::webhook::{Target, Webhook};
use crate::world::{RealWorld, RowMetadata};
use elastane_domain::machine::HostFact;
use elastane_domain::time::Time;
use elastane_engine::network::{AddressPlan, Ipv6Plan};
use elastane_engine::store::Store;
use elastane_engine::{Config, Engine, Entropy, Fact};
use elastane_host::ipv6::Ability;
use elastane_host::{Entered, Host, HostConfig, Make, enter_best};
use elastane_proxy::remote::RemoteProxy;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// A vCPU is this part of the machine when nobody says otherwise: ten
/// instances of four vCPUs, the largest documented example, then fill it.
const VCPUS_A_MACHINE: usize = 40;

/// The file that tells which driver a data directory's networks are made for.
const DRIVER_FILE: &str = "driver.json";

/// Runs the daemon until it is told to stop.
pub fn run(up: &Up) -> Result<(), Problem> {
    check(up)?;
    let data = DataDir::create(&up.place.path()?)?;
    let _lock = data.lock()?;
    let entered = enter(up, &data)?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores().clamp(2, 8))
        .enable_all()
        .build()
        .map_err(|err| Problem::because("cannot start threads", err))?;
    let outcome = runtime.block_on(daemon(up, &data, entered));
    data.remove(ABOUT_FILE);
    outcome
}

fn check(up: &Up) -> Result<(), Problem> {
    let loopback = up.listen.ip().is_loopback();
    if !loopback && !up.expose {
        return Err(Problem::new(format!(
            "{} is not a loopback address: add --expose to accept requests from other machines",
            up.listen.ip()
        )));
    }
    if up.internet && !rustix::process::geteuid().is_root() {
        return Err(Problem::new("--internet changes this machine's forwarding: it needs root"));
    }
    if !loopback && up.auth == AuthMode::Off {
        return Err(Problem::new("--auth off is for loopback addresses only"));
    }
    Ok(())
}

/// Enters the namespaces of the chosen driver, before any thread starts.
fn enter(up: &Up, data: &DataDir) -> Result<Entered, Problem> {
    let allowed: &[Make] = match up.driver {
        Driver::Auto => &Make::ALL,
        Driver::Sandbox => &[Make::Root, Make::Rootless],
        Driver::Process => &[Make::Process],
    };
    let entered = enter_best(data.path(), allowed).map_err(|err| {
        Problem::because("the driver cannot be used here; `elastane doctor` says what each needs", err)
    })?;
    let before: Option<String> = data.read_json(DRIVER_FILE)?;
    let family = if entered.make.is_sandbox() { "sandbox" } else { "process" };
    match before.as_deref() {
        Some(before) if before != family => Err(Problem::new(format!(
            "{} was made with --driver {before}, whose networks differ: name that driver, or another --data-dir",
            data.path().display()
        ))),
        Some(_) => Ok(entered),
        None => data.write_json(DRIVER_FILE, &family).map(|()| entered),
    }
}

/// The driver that a data directory was made with; `None` when no daemon has run on it.
pub fn driver_of(data: &DataDir) -> Result<Option<Driver>, Problem> {
    let family: Option<String> = data.read_json(DRIVER_FILE)?;
    Ok(match family.as_deref() {
        Some("process") => Some(Driver::Process),
        Some("sandbox") => Some(Driver::Sandbox),
        _ => None,
    })
}

/// Connections need file descriptors: as many as the system allows without asking.
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the old limit it works too, for fewer clients.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

async fn daemon(up: &Up, data: &DataDir, entered: Entered) -> Result<(), Problem> {
    let clock = Clock::open(data, up.time_scale)?;
    let credentials = administrator(data)?;
    let (mut store, mut seed, mut entropy) = (open_store(data)?, [0; 8], [0; 32]);
    random_bytes(&mut seed)?;
    random_bytes(&mut entropy)?;
    let rows = store.load().map_err(|err| Problem::because("cannot read the store", err))?;
    let engine = Engine::open(engine_config(up, data, &entered, entropy)?, u64::from_le_bytes(seed), rows)
        .map_err(|err| Problem::because(format!("cannot use {}", data.path().display()), err))?;
    let (shell, writer) = shell::new(engine, Box::new(store), clock);
    let listener = TcpListener::bind(up.listen)
        .await
        .map_err(|err| Problem::because(format!("cannot listen on {}: name another with --listen", up.listen), err))?;
    let endpoint = listener.local_addr().map_err(|err| Problem::because("the listener has no address", err))?;
    let secrets = Arc::new(InstanceSecrets::open(data)?);
    let metadata = RowMetadata { shell: shell.clone(), secrets: secrets.clone(), signer: Signer::open(data)? };
    if let Some(target) = &up.webhook {
        target.check(up.webhook_anywhere).await?;
    }
    let trail = Arc::new(Trail::open(data)?);
    let world = open_world(data, &entered, metadata, up, trail.clone())?;
    let names = name_server(up).await?;
    let supervisor = Arc::new(Supervisor::start(data, entered.make.is_sandbox(), world.proxy.clone())?);
    let about = about((up, clock), endpoint, entered, &world, names.as_ref());
    let server = Arc::new(Server {
        shell: shell.clone(),
        world: world.clone(),
        auth: auth(up, credentials, Sessions { shell: shell.clone(), secrets, uses: world.uses.clone() }),
        tls: tls(up, data)?,
        throttle: Throttle::default(),
        trail: trail.clone(),
        requests: AtomicU64::new(1),
        run_id: u64::from_be_bytes(seed),
        imports: Default::default(),
        down: Notify::new(),
        supervisor: supervisor.clone(),
        about,
    });
    let actuator = world.clone();
    let writer = std::thread::Builder::new()
        .name("engine".to_string())
        .spawn(move || writer.run(actuator.as_ref()))
        .map_err(|err| Problem::because("cannot start a thread", err))?;
    let (host, proxy, uses) = (world.host.clone(), world.proxy.clone(), world.uses.clone());
    if let Some(names) = names {
        tokio::spawn(names.serve(shell.clone(), world.clone()));
    }
    tokio::spawn(telemetry::run(shell.clone(), world));
    tokio::spawn(serve(server.clone(), listener));
    tokio::spawn(keep_files(trail.clone(), uses.clone()));
    data.write_passing(ABOUT_FILE, &server.about)?;
    announce(&server.about, up.auth);
    let stopped = wait(&server).await;
    shell.stop();
    // A writer that panicked has said so; the commits before that are on disk.
    let _ = writer.join();
    trail.sync();
    uses.save();
    // A signal may be the first half of a restart: load balancers go on serving.
    let ends = !matches!(stopped, Ok(Stop::Signal)) || !proxy.has_load_balancers();
    supervisor.stop(ends);
    if ends {
        // Without the right to remove the route there was none to make it.
        let _ = elastane_host::ipv6::keep(data.path(), false);
    }
    host.leave_networks();
    stopped.map(|_| ())
}

/// What `elastane status` and its like are told of the daemon.
fn about(
    (up, clock): (&Up, Clock),
    endpoint: SocketAddr,
    entered: Entered,
    world: &RealWorld,
    names: Option<&NameServer>,
) -> About {
    About {
        version: env!("CARGO_PKG_VERSION").to_string(),
        endpoint: format!("http://{endpoint}"),
        driver: entered.make.name().to_string(),
        driver_notes: entered.notes.into_iter().chain(world.host.notes()).collect(),
        pid: std::process::id(),
        region: up.region.clone(),
        time_scale: clock.scale(),
        dns: names.map(|names| names.address.to_string()),
    }
}

/// The sockets that load balancers' names are answered on. Only an address
/// that was named must be had: names lead to the main port without it.
async fn name_server(up: &Up) -> Result<Option<NameServer>, Problem> {
    match up.dns {
        Some(Dns::Off) => Ok(None),
        Some(Dns::At(address)) => NameServer::bind(Some(address))
            .await
            .map(Some)
            .map_err(|err| Problem::because(format!("cannot answer for names at {address}"), err)),
        None => Ok(NameServer::bind(None)
            .await
            .inspect_err(|err| eprintln!("elastane: names of load balancers are not answered: {err}"))
            .ok()),
    }
}

/// Why the daemon stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Somebody sent a signal.
    Signal,
    /// `elastane down`.
    Down,
}

fn open_store(data: &DataDir) -> Result<RedbStore, Problem> {
    RedbStore::open(&data.file("state.redb")).map_err(|err| Problem::because("cannot open the store", err))
}

fn engine_config(up: &Up, data: &DataDir, entered: &Entered, entropy: [u8; 32]) -> Result<Config, Problem> {
    let share = up.vcpu_share.unwrap_or(cores() as f64 / VCPUS_A_MACHINE as f64);
    Ok(Config {
        addresses: if entered.make.is_sandbox() { AddressPlan::Vpc } else { AddressPlan::Loopback },
        installation: installation(data),
        ipv6: match elastane_host::ipv6::find(data.path()) {
            Ability::Missing(_) => Ipv6Plan::Missing,
            Ability::Shared(_) => Ipv6Plan::Shared,
            Ability::Own(prefix) => Ipv6Plan::Own(prefix),
        },
        host_image_name: host_image_name(),
        entropy: Some(Entropy::new(entropy)),
        authority: Some(authority::open(data)?),
        vcpu_millicores: ((share * 1000.0) as u32).max(1),
        webhook: up.webhook.is_some(),
        ..Config::default()
    })
}

/// A number that differs from one data directory to the next (FNV-1a of its path).
fn installation(data: &DataDir) -> u32 {
    use std::os::unix::ffi::OsStrExt;
    let bytes = data.path().as_os_str().as_bytes();
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// `host/debian-12`: the built-in image is named after the system that it is.
fn host_image_name() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        release.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_matches('"').to_string())
    };
    let id = field("ID=").unwrap_or_else(|| "linux".to_string());
    match field("VERSION_ID=") {
        Some(version) => format!("host/{id}-{version}"),
        None => format!("host/{id}"),
    }
}

/// Opens host and data plane; their facts go to the shell.
fn open_world(
    data: &DataDir,
    entered: &Entered,
    metadata: RowMetadata,
    up: &Up,
    trail: Arc<Trail>,
) -> Result<Arc<RealWorld>, Problem> {
    let shell = metadata.shell.clone();
    let source = Arc::new(metadata);
    let facts = shell.facts();
    let host = Host::open(HostConfig {
        data_dir: data.path().to_path_buf(),
        make: entered.make,
        source,
        facts: Arc::new(move |fact| {
            tell_network_problem(&fact);
            facts.send(Fact::Host(fact));
        }),
        internet: up.internet,
    })
    .map_err(|err| Problem::because("cannot look after instances", err))?;
    let host = Arc::new(host);
    let facts = shell.facts();
    let sink = Arc::new(move |fact| facts.send(Fact::Proxy(fact)));
    let proxy = Arc::new(RemoteProxy::new(shell.clock().settings(), up.proxies, sink));
    let deliver = |target: &Target| Webhook::start(target.clone(), up.webhook_anywhere, shell.facts());
    let webhook = up.webhook.as_ref().map(deliver);
    let (uses, sealer) = (Arc::new(KeyUses::open(data)), Sealer::open(data)?);
    let (host_names, data) = (Arc::default(), data.path().to_path_buf());
    let sessions = session::Sessions::new(shell.clone(), host.clone(), data.clone());
    let ipv6_routed = Mutex::default();
    Ok(Arc::new(RealWorld { host, proxy, host_names, data, sessions, webhook, trail, uses, sealer, ipv6_routed }))
}

/// A network that is not as planned may let pass what nobody allowed: said aloud at once.
fn tell_network_problem(fact: &HostFact) {
    if let HostFact::Network { vpc, problem, .. } = fact
        && !problem.is_empty()
    {
        eprintln!("elastane: the network of {vpc} is not as planned: {problem}");
    }
}

/// The main port's certificate: the given one, or one of the installation's authority.
fn tls(up: &Up, data: &DataDir) -> Result<Tls, Problem> {
    match (&up.tls_certificate, &up.tls_key) {
        (Some(certificate), Some(key)) => Tls::given(certificate, key, Time(wall_ms())),
        _ => Tls::own(authority::open(data)?, up.listen.ip(), Time(wall_ms())),
    }
}

/// Has the disk keep the trail, and when keys were last used, off the threads
/// that answer.
async fn keep_files(trail: Arc<Trail>, uses: Arc<KeyUses>) {
    let mut saved = Instant::now();
    loop {
        tokio::time::sleep(audit::SYNC_EVERY).await;
        let due = saved.elapsed() >= key_uses::SAVE_EVERY;
        if due {
            saved = Instant::now();
        }
        let (trail, uses) = (trail.clone(), uses.clone());
        let keep = move || {
            trail.sync();
            if due {
                uses.save();
            }
        };
        // It does not panic, and with the daemon's end there is a last one.
        let _ = tokio::task::spawn_blocking(keep).await;
    }
}

fn auth(up: &Up, credentials: Credentials, sessions: Sessions) -> Auth {
    match up.auth {
        AuthMode::On => {
            let credentials = RwLock::new(credentials);
            Auth::On { credentials, sessions, cache: Default::default() }
        }
        AuthMode::Off => Auth::Off { region: up.region.as_str().into() },
    }
}

/// The administrator's key. That of a new installation is shown, this once, and
/// on a terminal alone: what is written to a log stays there.
fn administrator(data: &DataDir) -> Result<Credentials, Problem> {
    let (credentials, first) = Credentials::open(data)?;
    if !first {
        return Ok(credentials);
    }
    let file = Credentials::path(data);
    println!("A new installation. Its administrator's key is in {} (0600).", file.display());
    if std::io::stdout().is_terminal() {
        println!("  access key id      {}", credentials.access_key);
        println!("  secret access key  {}", credentials.secret_key.expose());
        println!("  It is not shown again; `elastane env` hands it to a shell, `elastane credentials` makes others.");
    }
    Ok(credentials)
}

fn announce(about: &About, auth: AuthMode) {
    println!("elastane {}: driver {}", about.version, about.driver);
    if auth == AuthMode::Off {
        println!("  WARNING: --auth off: nobody's signature is checked. Whoever reaches {} is its", about.endpoint);
        println!("  administrator: every process and every user of this machine.");
    }
    for note in &about.driver_notes {
        println!("  note: {note}");
    }
    if let Some(dns) = &about.dns {
        println!("  names of load balancers are answered by the name server at {dns}");
    }
    println!("  eval \"$(elastane env)\" lets the AWS CLI, boto3 and Terraform in; elastane status shows what runs");
    println!("Ready: {}", about.endpoint);
    // Nobody may be reading; the daemon does its work all the same.
    let _ = std::io::stdout().flush();
}

/// Until a signal or `elastane down`.
async fn wait(server: &Server) -> Result<Stop, Problem> {
    let listen = |kind| signal(kind).map_err(|err| Problem::because("cannot listen for signals", err));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok(Stop::Signal),
        _ = interrupt.recv() => Ok(Stop::Signal),
        () = server.down.notified() => {
            // The answer to the request that asked for it is still under way.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Ok(Stop::Down)
        }
    }
}
