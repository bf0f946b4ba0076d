//! Our own paths on the main port, below `/_elastane/`: health for anybody,
//! the rest for whoever holds the installation's credentials (SigV4 with
//! service `elastane`).

use crate::balancers::{self, BALANCERS, METRICS};
use crate::credentials::{ACCOUNT, Credentials, proxy_secret};
use crate::data_dir::DataDir;
use crate::imports;
use crate::server::{Server, plain};
use crate::troubles::{self, CHAOS_PATH};
use elastane_domain::id::AccountId;
use elastane_domain::machine::Initialization;
use elastane_domain::routing::{Protocol, TargetHealth};
use elastane_engine::row::{Instance, Phase, TargetPhase};
use elastane_engine::{Scope, State, Tables, targets};
use elastane_proxy::remote::Process;
use elastane_wire::HttpResponse;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A reset that takes longer than this has failed.
const RESET_LIMIT: Duration = Duration::from_secs(30);

/// Our own paths besides those below [`IMAGES`] that need credentials.
const PATHS: [&str; 5] = ["/_elastane/status", "/_elastane/reset", "/_elastane/down", METRICS, ROTATE];

/// Beginnings of our own paths below which all need credentials.
const BEGINNINGS: [&str; 3] = [IMAGES, CHAOS_PATH, BALANCERS];

/// Public keys of authenticating rules' tokens, by their ids.
const PUBLIC_KEYS: &str = "/_elastane/public-keys/";

/// POST makes other credentials of the installation, which its answer holds.
pub const ROTATE: &str = "/_elastane/credentials/rotate";

/// Imports of images: POST begins one, GET of its number says how far it is.
pub const IMAGES: &str = "/_elastane/images";

/// What a daemon says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// Release.
    pub version: String,
    /// `http://127.0.0.1:4566`.
    pub endpoint: String,
    /// How instances are isolated.
    pub driver: String,
    /// Why it is not a stronger driver; empty when it is the strongest.
    pub driver_notes: Vec<String>,
    /// Process id.
    pub pid: u32,
    /// The region of those who name none.
    pub region: String,
    /// How many times faster than wall time service time runs.
    pub time_scale: f64,
    /// Where names of load balancers are answered; `None` when they are not.
    #[serde(default)]
    pub dns: Option<String>,
}

/// Everything at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The daemon.
    pub daemon: About,
    /// The data plane's first process, with the routing generation that all have in force.
    #[serde(default)]
    pub proxy: ProxyStatus,
    /// All processes of the data plane.
    #[serde(default)]
    pub proxies: Vec<ProxyStatus>,
    /// Service time.
    pub now: String,
    /// Instances that are not terminated.
    pub instances: Vec<InstanceStatus>,
    /// Auto Scaling groups.
    pub groups: Vec<GroupStatus>,
    /// Load balancers.
    pub load_balancers: Vec<LoadBalancerStatus>,
    /// Target groups.
    pub target_groups: Vec<TargetGroupStatus>,
    /// Alarms.
    pub alarms: Vec<AlarmStatus>,
    /// VPCs whose networks were made.
    pub networks: Vec<NetworkStatus>,
}

/// A process of the data plane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Which of how many it is, such as `1/2`.
    #[serde(default)]
    pub share: String,
    /// Process id; `None` while none is attached.
    pub pid: Option<u32>,
    /// Release of its program.
    pub version: String,
    /// The routing generation in force there.
    pub generation: u64,
    /// What is wrong with it; empty when nothing is.
    pub trouble: String,
    /// The addresses of load balancers that it serves.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// The network of a VPC.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The VPC's id.
    pub vpc: String,
    /// What of it is not as planned; empty when all is.
    pub problem: String,
}

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its id.
    pub id: String,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// Its state in EC2's word.
    pub state: String,
    /// Its type.
    pub instance_type: String,
    /// Its private address.
    pub private_ip: String,
    /// Its group, if it is in one.
    pub group: Option<String>,
    /// Its first process on the host, while it runs.
    pub pid: Option<i32>,
    /// How far boot scripts and user data of its boot are.
    #[serde(default)]
    pub initialization: Initialization,
}

/// An Auto Scaling group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Minimum, desired, maximum.
    pub size: (u32, u32, u32),
    /// Instances in service.
    pub in_service: usize,
    /// Instances on their way in or out.
    pub moving: usize,
}

/// A load balancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadBalancerStatus {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Where its listeners accept connections.
    pub urls: Vec<String>,
    /// The host name that reaches it on the main port.
    pub host: String,
    /// Notes on listeners that are not where they should be.
    pub notes: Vec<String>,
}

/// A target group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetGroupStatus {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Targets by state.
    pub healthy: usize,
    /// Unhealthy ones.
    pub unhealthy: usize,
    /// Ones that wait for their first checks.
    pub initial: usize,
    /// Ones that finish their requests.
    pub draining: usize,
}

/// An alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlarmStatus {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its state.
    pub state: String,
    /// Why.
    pub reason: String,
}

/// A request to one of our own paths.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

/// Answers a request to one of our own paths.
/// `granted`: it was signed with the installation's credentials.
pub async fn respond(server: &Server, request: Request<'_>, granted: bool) -> HttpResponse {
    match (request.method, request.path) {
        ("GET", "/_elastane/health") => json(&server.about.version),
        (_, path)
            if !granted
                && (PATHS.contains(&path) || BEGINNINGS.iter().any(|beginning| path.starts_with(beginning))) =>
        {
            plain(403, "sign the request with the installation's credentials, for the service `elastane`\n")
        }
        ("GET", "/_elastane/status") => json(&status(server)),
        ("POST", "/_elastane/reset") => reset(server).await,
        ("POST", "/_elastane/down") => {
            server.down.notify_one();
            json(&"stopping")
        }
        ("GET", METRICS) => balancers::metrics(server).await,
        ("POST", ROTATE) => rotate(server),
        (method, path) if let Some(rest) = path.strip_prefix(BALANCERS) => {
            balancers::respond(server, method, rest, request.body).await
        }
        ("POST", path) if let Some(rest) = path.strip_prefix(CHAOS_PATH) => troubles::make(server, rest).await,
        ("POST", IMAGES) => imports::begin(server, &AccountId::from(ACCOUNT), request.body).await,
        ("GET", path) if let Some(number) = path.strip_prefix(IMAGES).and_then(|rest| rest.strip_prefix('/')) => {
            imports::look(server, number)
        }
        ("GET", path) if let Some(id) = path.strip_prefix(PUBLIC_KEYS) => public_key(server, id),
        _ => plain(404, "there is no such path; try GET /_elastane/health\n"),
    }
}

/// The key that verifies the tokens of authenticating rules, for anybody: what
/// AWS serves at `public-keys.auth.elb.<region>.amazonaws.com/<key id>`.
fn public_key(server: &Server, id: &str) -> HttpResponse {
    let secret = DataDir::existing(&server.world.data).and_then(|data| proxy_secret(&data));
    match secret.ok().and_then(|secret| elastane_proxy::oidc_public_key(&secret, id)) {
        Some(pem) => plain(200, &pem),
        None => plain(404, "no token of this installation has this key id\n"),
    }
}

/// Other credentials of the installation, in force from now on; the old ones
/// are nobody's.
fn rotate(server: &Server) -> HttpResponse {
    match DataDir::existing(&server.world.data).and_then(|data| Credentials::make(&data)) {
        Ok(made) => {
            let answer = json(&made);
            server.auth.replace(made);
            answer
        }
        Err(problem) => plain(500, &format!("{problem}\n")),
    }
}

/// An answer in JSON.
pub fn json<T: Serialize>(value: &T) -> HttpResponse {
    HttpResponse {
        status: 200,
        headers: vec![("content-type", "application/json".into())],
        body: serde_json::to_vec(value).expect("plain data has a JSON form"),
    }
}

/// Back to the state of a first start, when all instances are gone.
async fn reset(server: &Server) -> HttpResponse {
    server.shell.reset().await;
    let start = Instant::now();
    while !server.world.host.inventory().is_empty() {
        if start.elapsed() > RESET_LIMIT {
            return plain(500, "some instances did not end; the log says why\n");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    json(&"reset")
}

/// Everything at a glance, as of now.
fn status(server: &Server) -> Status {
    let engine = server.shell.engine();
    let state = engine.state();
    let proxies = proxies(server);
    let mut status = Status {
        daemon: server.about.clone(),
        proxy: ProxyStatus { generation: state.seen.routing_applied, ..proxies.first().cloned().unwrap_or_default() },
        proxies,
        now: server.shell.clock().now().iso_seconds(),
        instances: Vec::new(),
        groups: Vec::new(),
        load_balancers: Vec::new(),
        target_groups: Vec::new(),
        alarms: Vec::new(),
        networks: networks(state),
    };
    for (scope, tables) in &state.scopes {
        add_instances(&mut status, server, state, scope, tables);
        add_groups(&mut status, scope, tables);
        add_load_balancers(&mut status, state, scope, tables);
        status.target_groups.extend(tables.target_groups.values().map(|row| target_group(state, scope, tables, row)));
        status.alarms.extend(tables.alarms.values().map(|row| AlarmStatus {
            name: row.name.to_string(),
            region: scope.region.to_string(),
            state: row.state.name().to_string(),
            reason: row.state_reason.clone(),
        }));
    }
    status
}

fn proxies(server: &Server) -> Vec<ProxyStatus> {
    let snapshot = server.world.proxy.snapshot().unwrap_or_default();
    let nodes = || snapshot.load_balancers.iter().flat_map(|balancer| &balancer.nodes);
    let one = |(process, trouble): (Process, Option<String>)| ProxyStatus {
        share: process.share.to_string(),
        pid: process.hello.as_ref().map(|hello| hello.pid),
        version: process.hello.map(|hello| hello.version).unwrap_or_default(),
        generation: process.generation,
        trouble: trouble.unwrap_or_default(),
        addresses: nodes()
            .filter(|node| process.share.serves(&node.zone))
            .map(|node| node.address.to_string())
            .collect(),
    };
    server.world.proxy.processes().into_iter().zip(server.supervisor.troubles()).map(one).collect()
}

fn networks(state: &State) -> Vec<NetworkStatus> {
    let heard = state.seen.networks.iter();
    heard.map(|(vpc, (_, problem))| NetworkStatus { vpc: vpc.to_string(), problem: problem.clone() }).collect()
}

/// Of the boot that is in force; under way when nothing was heard of it.
fn initialization(state: &State, row: &Instance) -> Initialization {
    let told = state.seen.initialized.get(&row.id).filter(|(generation, _)| *generation == row.generation);
    told.map(|(_, told)| told.clone()).unwrap_or_default()
}

fn add_instances(status: &mut Status, server: &Server, state: &State, scope: &Scope, tables: &Tables) {
    let live = tables.instances.values().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    status.instances.extend(live.map(|row| InstanceStatus {
        id: row.id.to_string(),
        region: scope.region.to_string(),
        zone: row.zone.to_string(),
        state: row.phase.state().name().to_string(),
        instance_type: row.instance_type.clone(),
        private_ip: row.private_ip.to_string(),
        group: row.membership.as_ref().map(|membership| membership.group.to_string()),
        pid: server.world.host.pid(&row.id),
        initialization: initialization(state, row),
    }));
}

fn add_groups(status: &mut Status, scope: &Scope, tables: &Tables) {
    use elastane_domain::lifecycle::LifecycleState;
    for row in tables.groups.values() {
        let members: Vec<LifecycleState> = tables
            .instances
            .values()
            .filter_map(|instance| instance.membership.as_ref())
            .filter(|membership| membership.group == row.name)
            .map(|membership| membership.lifecycle)
            .collect();
        let in_service = members.iter().filter(|state| **state == LifecycleState::InService).count();
        status.groups.push(GroupStatus {
            name: row.name.to_string(),
            region: scope.region.to_string(),
            size: (row.bounds.min, row.desired, row.bounds.max),
            in_service,
            moving: members.len() - in_service,
        });
    }
}

fn add_load_balancers(status: &mut Status, state: &State, scope: &Scope, tables: &Tables) {
    for row in tables.load_balancers.values() {
        let listeners: Vec<_> = tables.listeners.values().filter(|one| one.load_balancer == row.arn).collect();
        let heard = || {
            let told = listeners.iter().map(|one| (scheme(one.protocol), state.seen.heard(&one.arn)));
            told.flat_map(|(scheme, heard)| heard.map(move |(bound, note)| (scheme, bound, note)))
        };
        status.load_balancers.push(LoadBalancerStatus {
            name: row.name.clone(),
            region: scope.region.to_string(),
            urls: heard()
                .filter_map(|(scheme, bound, _)| bound.map(|address| format!("{scheme}://{address}")))
                .collect(),
            host: row.dns_name.clone(),
            notes: heard().filter(|(_, _, note)| !note.is_empty()).map(|(_, _, note)| note.clone()).collect(),
        });
    }
}

/// The scheme of a listener's URL: what a client speaks to it.
fn scheme(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Tcp | Protocol::TcpUdp => "tcp",
        Protocol::Tls => "tls",
        Protocol::Udp => "udp",
    }
}

fn target_group(
    state: &State,
    scope: &Scope,
    tables: &Tables,
    row: &elastane_engine::row::TargetGroup,
) -> TargetGroupStatus {
    let mut counted = TargetGroupStatus {
        name: row.name.clone(),
        region: scope.region.to_string(),
        healthy: 0,
        unhealthy: 0,
        initial: 0,
        draining: 0,
    };
    for target in tables.targets.values().filter(|target| target.group == row.arn) {
        if matches!(target.phase, TargetPhase::Draining { .. }) {
            counted.draining += 1;
            continue;
        }
        let Some(key) = targets::key(tables, target) else { continue };
        match state.seen.health.get(&key) {
            Some(TargetHealth::Healthy) => counted.healthy += 1,
            Some(TargetHealth::Unhealthy(_)) => counted.unhealthy += 1,
            Some(TargetHealth::Initial) | None => counted.initial += 1,
        }
    }
    counted
}
