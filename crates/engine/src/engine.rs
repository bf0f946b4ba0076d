//! The engine: facts in, writes and effects out.

use crate::authority::Authority;
use crate::chaos;
use crate::network::{self, AddressPlan, Ipv6Plan};
use crate::reconcile::{self, Memory, News, Touched};
use crate::rng::Rng;
use crate::row::{Command, ImagePhase, Instance, Kind, Notification, Phase, SessionEnd};
use crate::scope::Scope;
use crate::secret::Entropy;
use crate::state::{Change, Seen, SeenAnomaly, SeenCommand, SeenMachine, SeenPing, SeenSession, State, Tx, View};
use crate::store::{RowError, StoreKey, StoreWrite, read};
use crate::telemetry::{self, ByteSample, CpuSample, Traffic};
use crate::upgrade;
use elastane_domain::id::{CommandId, ImageId, InstanceId, VpcId};
use elastane_domain::machine::{CommandOutcome, CommandStep, Generation, HostFact, LaunchSpec, Machine, MachineState};
use elastane_domain::routing::{ProxyFact, Snapshot, TargetHealth};
use elastane_domain::time::{Span, Time};
use elastane_domain::vpc::NetworkPlan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Reconcilers run again while they change rows, at most so often a round:
/// what is left after that is done in a round of its own that follows at
/// once, so that a large group does not keep answers waiting.
const PASSES_MAX: usize = 8;

/// A scope is looked at this often even when nothing happens: reconcilers are
/// level-triggered, so a lost wake-up costs a minute and not correctness.
const IDLE_WAKE: Span = Span::from_mins(1);

/// What differs from installation to installation.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where private addresses come from.
    pub addresses: AddressPlan,
    /// Tells the installations of one machine apart: their loopback addresses
    /// begin at different places.
    pub installation: u32,
    /// What load balancers have of IPv6.
    pub ipv6: Ipv6Plan,
    /// Name of the built-in image.
    pub host_image_name: String,
    /// A type's vCPU in thousandths of a core.
    pub vcpu_millicores: u32,
    /// What private keys are made from; without it none are made. New at every start.
    pub entropy: Option<Entropy>,
    /// What issues certificates; without it none are issued.
    pub authority: Option<Arc<Authority>>,
    /// Whether there is somewhere to deliver notifications to.
    pub webhook: bool,
    /// A bug to carry, so that the simulator can prove that its checkers
    /// bite. Nothing else sets it.
    pub plant: Option<Plant>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            addresses: AddressPlan::Vpc,
            installation: 0,
            ipv6: Ipv6Plan::Missing,
            host_image_name: "host".to_string(),
            vcpu_millicores: 50,
            entropy: None,
            authority: None,
            webhook: false,
            plant: None,
        }
    }
}

/// Bugs that the simulator can plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The shell starts effects before their writes are durable.
    EffectBeforeCommit,
    /// Instances that still boot do not count as capacity.
    PendingNotCounted,
    /// Machines that nobody owns are left alone.
    ReaperOff,
    /// A fact about a terminated instance brings it back.
    TerminatedRevived,
    /// The group's maximum is ignored.
    CapacityAboveMax,
    /// A draining target still takes requests.
    TargetRoutedAfterDrain,
    /// Groups get the same share, whatever their weights.
    WeightsEven,
    /// Rules come in the order of their names.
    RulesUnordered,
    /// Targets in zones that are not enabled take requests.
    ZonesIgnored,
    /// Nodes use targets of all zones although they must not.
    AlwaysAcrossZones,
    /// What was said of targets is forgotten with each snapshot.
    HealthForgotten,
    /// Launches come before the network that they need.
    LaunchBeforeNetwork,
    /// Changes of security groups do not reach the network.
    NetworkStale,
    /// Interfaces that are gone stay in the plans.
    GoneInterfacePlanned,
    /// Public addresses of instances are given to others as well.
    PublicAddressTwice,
    /// Elastic IPs stay associated with interfaces that are gone.
    AddressKept,
    /// Interfaces stay attached to terminated instances.
    InterfaceKept,
    /// A stop moves the instance to another private address.
    PrivateAddressMoved,
    /// Layers go although instances or snapshots have them.
    LayerDropped,
    /// Policies scale in although instances warm up.
    WarmUpIgnored,
    /// Who waits for a hook that nobody answers waits for ever.
    HookDefaultIgnored,
    /// An instance refresh keeps nothing in service.
    RefreshMinimumIgnored,
    /// Zones are balanced by terminating first.
    RebalanceTerminatesFirst,
    /// Target tracking waits for cooldowns.
    TrackingCoolsDown,
    /// Scale-in takes protected instances.
    ProtectionIgnored,
    /// An alarm's actions run when its state changes, and not again.
    AlarmActsOnce,
    /// A forecast takes capacity away.
    ForecastScalesIn,
    /// Instances at rest in the warm pool count as capacity.
    WarmPoolCounted,
    /// Instances that do not run have a grace period.
    GraceForTheDead,
    /// Suspended processes go on.
    SuspensionIgnored,
    /// Groups with mixed instances buy all of them on the spot market.
    SpotOnly,
    /// Each instance counts for one, whatever its weight.
    WeightsIgnored,
    /// Commands go to all of their instances at once.
    ConcurrencyIgnored,
    /// Commands go on although too many have failed.
    ErrorsIgnored,
}

/// What the world reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// From the host.
    Host(HostFact),
    /// From the data plane.
    Proxy(ProxyFact),
    /// CPU use of instances over the last minute.
    Cpu {
        /// Start of that minute.
        at: Time,
        /// One sample an instance.
        samples: Vec<CpuSample>,
    },
    /// Counters of the data plane over the last minute.
    Traffic(Traffic),
    /// Bytes in and out of instances over the last minute.
    Network {
        /// Start of that minute.
        at: Time,
        /// One sample an instance.
        samples: Vec<ByteSample>,
    },
    /// How a session's channel is.
    Session {
        /// The session.
        id: String,
        /// How it is.
        seen: SeenSession,
    },
    /// A notification was delivered.
    Notified {
        /// Its row's id.
        id: String,
    },
}

/// What the shell is to do once the writes are durable. Effects are
/// idempotent and may be issued again.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Boot an instance.
    Launch(Box<LaunchSpec>),
    /// End its processes; keep its writable layer.
    Stop {
        /// The instance.
        instance: InstanceId,
        /// The boot to end.
        generation: Generation,
    },
    /// End it and remove all of it.
    Terminate {
        /// The instance.
        instance: InstanceId,
    },
    /// Copy an instance's writable layer into an image.
    Capture {
        /// The image.
        image: ImageId,
        /// The instance.
        instance: InstanceId,
    },
    /// Remove an image's layer.
    DeleteImage {
        /// The image.
        image: ImageId,
    },
    /// Run the scripts of a command in an instance, once in this boot: one
    /// that was run is not run again, and its outcome is told again.
    RunCommand {
        /// The command.
        command: CommandId,
        /// The instance.
        instance: InstanceId,
        /// The boot that it is for.
        boot: Generation,
        /// Its steps.
        steps: Vec<CommandStep>,
    },
    /// Take a command back that may not run yet, or end it with all that it
    /// has started.
    EndCommand {
        /// The command.
        command: CommandId,
        /// The instance.
        instance: InstanceId,
        /// Whether it goes on when it runs.
        unless_running: bool,
    },
    /// A session is over: close its channel and end its processes.
    EndSession {
        /// The session.
        session: String,
        /// Why; `None` when nothing is known of it.
        end: Option<SessionEnd>,
    },
    /// Route by this snapshot from now on.
    Route(Arc<Snapshot>),
    /// Run a VPC's network by this plan from now on. It comes before the
    /// launches that need it.
    Network(Arc<NetworkPlan>),
    /// A VPC has no interface any more: end its network.
    EndNetwork {
        /// The VPC.
        vpc: VpcId,
    },
    /// Deliver a notification to the webhook.
    Notify(Arc<Notification>),
}

/// The result of a round: commit `writes`, then answer, then do `effects`.
#[derive(Debug, Default)]
pub struct Step {
    /// Changes of the store, one a key.
    pub writes: Vec<StoreWrite>,
    /// What to do after the commit.
    pub effects: Vec<Effect>,
    /// When to call again at the latest, in service time.
    pub wake: Time,
}

/// Whether a change of such a row can change the routing snapshot.
fn concerns_routing(kind: Kind) -> bool {
    match kind {
        Kind::Instance
        | Kind::LoadBalancer
        | Kind::Listener
        | Kind::Rule
        | Kind::TargetGroup
        | Kind::Target
        | Kind::TrustStore
        | Kind::Certificate
        | Kind::ServerCertificate
        | Kind::NetworkInterface => true,
        Kind::Vpc
        | Kind::Subnet
        | Kind::SecurityGroup
        | Kind::KeyPair
        | Kind::Image
        | Kind::LaunchTemplate
        | Kind::Group
        | Kind::Activity
        | Kind::Policy
        | Kind::Alarm
        | Kind::Command
        | Kind::Session
        | Kind::InternetGateway
        | Kind::RouteTable
        | Kind::Address
        | Kind::NatGateway
        | Kind::DhcpOptions
        | Kind::PrefixList
        | Kind::PlacementGroup
        | Kind::FlowLog
        | Kind::Outage
        | Kind::SpotRequest
        | Kind::Snapshot
        | Kind::Role
        | Kind::InstanceProfile
        | Kind::AccountSettings
        | Kind::CertificateSettings
        | Kind::LaunchConfiguration
        | Kind::LifecycleHook
        | Kind::ScheduledAction
        | Kind::InstanceRefresh
        | Kind::Notification
        | Kind::Forecast
        | Kind::User
        | Kind::UserGroup
        | Kind::ManagedPolicy
        | Kind::AccessKey
        | Kind::TemporaryKey
        | Kind::AccountAlias
        | Kind::EncryptionKey
        | Kind::KeyAlias
        | Kind::Parameter
        | Kind::CommandOutput
        | Kind::Document
        | Kind::DocumentVersion => false,
    }
}

/// The single writer.
pub struct Engine {
    state: State,
    config: Config,
    rng: Rng,
    changes: Vec<Change>,
    touched: BTreeSet<Scope>,
    wakes: BTreeMap<Scope, Time>,
    memory: Memory,
}

impl Engine {
    /// An engine over the rows of a store. `seed` feeds its random numbers.
    pub fn open(config: Config, seed: u64, rows: Vec<(String, Vec<u8>)>) -> Result<Engine, RowError> {
        let mut state = State::default();
        for (key, bytes) in &rows {
            let (key, row) = read(key, bytes)?;
            row.insert(key.id, state.scopes.entry(key.scope).or_default());
        }
        let touched = state.scopes.keys().cloned().collect();
        let memory = Memory::default();
        let mut rng = Rng::new(seed).with_entropy(config.entropy.as_ref());
        let changes = upgrade::complete(&mut state, &mut rng, &config, &rows);
        Ok(Engine { state, config, rng, changes, touched, wakes: BTreeMap::new(), memory })
    }

    /// Everything it knows.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Read access to a scope; `None` before its first transaction.
    pub fn view<'a>(&'a self, scope: &'a Scope, now: Time) -> Option<View<'a>> {
        let tables = self.state.scopes.get(scope)?;
        Some(View { state: &self.state, tables, scope, now })
    }

    /// Runs `change` as a transaction: when it fails, the rows are as before,
    /// unless it says with [`Tx::keep`] that a part was done.
    /// A scope's first transaction makes its default network.
    pub fn transact<T, E>(
        &mut self,
        scope: &Scope,
        now: Time,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.state.scopes.contains_key(scope) {
            let index = self.state.scopes.len();
            let mut tx = Tx::new(&mut self.state, scope.clone(), now, &mut self.rng, &self.config);
            network::ensure(&mut tx, &self.config, index);
            chaos::inherit_outages(&mut tx);
            self.changes.append(&mut tx.changes);
        }
        let mut tx = Tx::new(&mut self.state, scope.clone(), now, &mut self.rng, &self.config);
        match change(&mut tx) {
            Ok(value) => {
                self.changes.append(&mut tx.changes);
                self.touched.insert(scope.clone());
                Ok(value)
            }
            Err(err) if tx.kept => {
                self.changes.append(&mut tx.changes);
                self.touched.insert(scope.clone());
                Err(err)
            }
            Err(err) => {
                tx.roll_back();
                Err(err)
            }
        }
    }

    /// Removes every row, as `elastane reset` does. Machines are then nobody's
    /// and are reaped; samples and alarms' timers go too.
    pub fn reset(&mut self) {
        for (scope, tables) in std::mem::take(&mut self.state.scopes) {
            self.changes.extend(tables.keys().into_iter().map(|(kind, id)| Change {
                scope: scope.clone(),
                kind,
                id,
                row: None,
            }));
        }
        self.state.metrics.clear();
        self.state.seen.forget_rows();
        self.memory.reset();
        self.wakes.clear();
        self.touched.clear();
    }

    /// One round: takes in facts, reconciles, and returns what to commit and do.
    pub fn handle(&mut self, now: Time, facts: Vec<Fact>) -> Step {
        let news = !facts.is_empty();
        for fact in facts {
            self.observe(now, fact);
        }
        // Before anything is done about those that fell ill.
        telemetry::count_changed_hosts(&mut self.state);
        let scopes: Vec<Scope> = self.state.scopes.keys().cloned().collect();
        for scope in scopes {
            let due = self.wakes.get(&scope).is_none_or(|wake| now >= *wake);
            if due || news || self.touched.contains(&scope) {
                self.reconcile(&scope, now);
            }
        }
        self.touched.clear();
        let rerouted = self.changes.iter().any(|change| concerns_routing(change.kind));
        let news = News { rerouted, touched: Touched::by(&self.changes, self.config.plant) };
        let effects = reconcile::effects(&self.state, &self.config, &mut self.memory, now, &news);
        for effect in &effects {
            if let Effect::EndNetwork { vpc } = effect {
                self.state.seen.networks.remove(vpc);
            }
        }
        if let Some(snapshot) = self.memory.route().filter(|_| rerouted) {
            self.state.seen.forget_unrouted(snapshot);
        }
        let wake = self.wakes.values().min().copied().unwrap_or(now + IDLE_WAKE);
        Step { writes: self.drain(), effects, wake }
    }

    fn reconcile(&mut self, scope: &Scope, now: Time) {
        let mut wake = now;
        for _ in 0..PASSES_MAX {
            let mut tx = Tx::new(&mut self.state, scope.clone(), now, &mut self.rng, &self.config);
            let mut next = now + IDLE_WAKE;
            reconcile::scope(&mut tx, &mut self.memory, &mut next);
            let changed = !tx.changes.is_empty();
            self.changes.append(&mut tx.changes);
            if !changed {
                wake = next;
                break;
            }
        }
        self.wakes.insert(scope.clone(), wake.max(now + Span(1)));
    }

    /// The last change of each key, as bytes.
    fn drain(&mut self) -> Vec<StoreWrite> {
        let mut last = BTreeMap::new();
        for change in self.changes.drain(..) {
            let key = StoreKey { scope: change.scope, kind: change.kind, id: change.id };
            last.insert(key, change.row);
        }
        last.into_iter().map(|(key, row)| StoreWrite { key, value: row.map(|row| row.encode()) }).collect()
    }

    fn observe(&mut self, now: Time, fact: Fact) {
        match fact {
            Fact::Host(fact) => self.observe_host(now, fact),
            Fact::Proxy(fact) => self.observe_proxy(fact),
            Fact::Cpu { at, samples } => telemetry::record_cpu(&mut self.state, now, at, &samples),
            Fact::Traffic(traffic) => telemetry::record_traffic(&mut self.state, now, &traffic),
            Fact::Network { at, samples } => telemetry::record_network(&mut self.state, now, at, &samples),
            Fact::Session { id, seen } => self.observe_session(id, seen),
            Fact::Notified { id } => {
                self.memory.notified.insert(id);
            }
        }
    }

    /// The end of a session that is over already, or unknown, is no news.
    fn observe_session(&mut self, id: String, seen: SeenSession) {
        let open = self.state.scopes.values().any(|tables| tables.sessions.get(&id).is_some_and(|row| row.is_open()));
        match seen {
            SeenSession::Ended(_) if !open => drop(self.state.seen.sessions.remove(&id)),
            SeenSession::Connected | SeenSession::Disconnected | SeenSession::Ended(_) => {
                self.state.seen.sessions.insert(id, seen);
            }
        }
    }

    fn observe_host(&mut self, now: Time, fact: HostFact) {
        let seen = &mut self.state.seen;
        match fact {
            HostFact::Inventory(machines) => {
                seen.inventoried = true;
                let told = |m: &Machine| (m.instance.clone(), (m.generation, m.initialization.clone()));
                seen.initialized = machines.iter().map(told).collect();
                seen.machines = machines
                    .into_iter()
                    .map(|m| (m.instance, SeenMachine { generation: m.generation, state: m.state }))
                    .collect();
            }
            HostFact::Booted { instance, generation } => {
                seen.pings.insert(instance.clone(), SeenPing { at: Some(now), answers: true });
                self.observe_machine(instance, generation, MachineState::Running);
            }
            HostFact::Exited { instance, generation } => {
                self.memory.landed(&instance);
                self.observe_machine(instance, generation, MachineState::Stopped);
            }
            HostFact::LaunchFailed { instance, generation, reason } => self.launch_failed(instance, generation, reason),
            HostFact::Removed { instance } => {
                seen.machines.remove(&instance);
                seen.launch_failures.remove(&instance);
                seen.initialized.remove(&instance);
                seen.pings.remove(&instance);
                if self.state.instance(&instance).is_some_and(|row| row.phase == Phase::ShuttingDown) {
                    self.memory.removed.insert(instance);
                }
            }
            HostFact::Captured { image, bytes } => {
                // Its row may have gone while the host wrote the layer.
                self.memory.layers.insert(image.clone());
                self.captured(image, Ok(bytes));
            }
            HostFact::CaptureFailed { image, reason } => self.captured(image, Err(reason)),
            HostFact::CommandStarted { command, instance } => {
                self.command_seen(command, instance, None);
            }
            HostFact::CommandDone { command, instance, outcome } => {
                self.command_seen(command, instance, Some(outcome));
            }
            HostFact::Pinged { answered, silent } => self.pinged(now, answered, silent),
            HostFact::Initialized { instance, generation, initialization } => {
                // One that is on its way out may be gone already.
                let stays = |row: &Instance| !matches!(row.phase, Phase::ShuttingDown | Phase::Terminated { .. });
                let row = self.state.instance(&instance).filter(|row| row.generation == generation);
                if row.is_some_and(|row| stays(row)) {
                    self.state.seen.initialized.insert(instance, (generation, initialization));
                }
            }
            HostFact::Network { vpc, generation, problem } => {
                let newest = self.memory.networks.plan(&vpc).is_some_and(|plan| generation <= plan.generation);
                let seen = &mut self.state.seen.networks;
                if newest && seen.get(&vpc).is_none_or(|(last, _)| *last <= generation) {
                    seen.insert(vpc, (generation, problem));
                }
            }
            HostFact::Layers(images) => self.memory.layers.extend(images),
        }
    }

    /// News of a command matter while it is out: that it began, without an
    /// outcome, and its first outcome.
    fn command_seen(&mut self, command: CommandId, instance: InstanceId, outcome: Option<CommandOutcome>) {
        let out = |row: &Command| row.invocations.get(&instance).is_some_and(|one| one.boot().is_some());
        let mut rows = self.state.scopes.values().filter_map(|tables| tables.commands.get(command.as_str()));
        if rows.any(|row| out(row)) {
            let seen: &mut SeenCommand = self.state.seen.commands.entry((command, instance)).or_default();
            seen.started |= outcome.is_none();
            seen.ended = seen.ended.take().or(outcome);
        }
    }

    /// Who answered keeps the time; of who did not, the last time stays.
    fn pinged(&mut self, now: Time, answered: Vec<InstanceId>, silent: Vec<InstanceId>) {
        let Seen { pings, machines, .. } = &mut self.state.seen;
        // One may have been removed since it was asked.
        let held = |instance: &InstanceId| machines.contains_key(instance);
        let heard = |instance| (instance, SeenPing { at: Some(now), answers: true });
        pings.extend(answered.into_iter().filter(held).map(heard));
        for instance in silent.into_iter().filter(held) {
            pings.entry(instance).or_insert(SeenPing { at: None, answers: false }).answers = false;
        }
    }

    /// A boot that failed matters to the instance that waits for it.
    fn launch_failed(&mut self, instance: InstanceId, generation: Generation, reason: String) {
        if self.state.instance(&instance).is_some_and(|row| row.generation == generation) {
            self.state.seen.launch_failures.insert(instance, (generation, reason));
        }
    }

    /// A capture's end matters to the image that waits for it.
    fn captured(&mut self, image: ImageId, result: Result<u64, String>) {
        let mut rows = self.state.scopes.values().filter_map(|tables| tables.images.get(image.as_str()));
        if rows.any(|row| row.phase == ImagePhase::Pending) {
            self.state.seen.captures.insert(image, result);
        }
    }

    /// Keeps the newest boot's fact: one of an older boot is ignored, and so is
    /// a late one that says that a boot lives which has ended.
    fn observe_machine(&mut self, instance: InstanceId, generation: Generation, state: MachineState) {
        let machines = &mut self.state.seen.machines;
        let news = machines.get(&instance).is_none_or(|seen| match seen.state {
            MachineState::Running => seen.generation <= generation,
            MachineState::Stopped => seen.generation < generation,
        });
        if news {
            machines.insert(instance, SeenMachine { generation, state });
        }
    }

    fn observe_proxy(&mut self, fact: ProxyFact) {
        let seen = &mut self.state.seen;
        match fact {
            ProxyFact::Health { target, health } => {
                let ill = |health: &TargetHealth| matches!(health, TargetHealth::Unhealthy(_));
                if ill(&health) && !seen.health.get(&target).is_some_and(ill) {
                    seen.hosts.fell_ill(&target);
                }
                seen.health.insert(target, health);
            }
            ProxyFact::Applied { generation } => {
                seen.routing_applied = generation;
                if self.config.plant == Some(Plant::HealthForgotten) {
                    seen.health.clear();
                }
                // No fact about a target that is not in this snapshot comes after this one.
                if let Some(snapshot) = self.memory.route().filter(|snapshot| snapshot.generation == generation) {
                    seen.forget_unrouted(snapshot);
                }
            }
            ProxyFact::Drained { target } => {
                seen.drained.insert(target);
            }
            ProxyFact::Listening { listener, node, bound, note } => {
                seen.listening.insert((listener, node), (bound, note));
            }
            ProxyFact::Anomaly { target, anomalous: false, mitigated: false } => {
                seen.anomalies.remove(&target);
            }
            ProxyFact::Anomaly { target, anomalous, mitigated } => {
                seen.anomalies.insert(target, SeenAnomaly { anomalous, mitigated });
            }
            ProxyFact::ZonesInDns { load_balancer, zones } => {
                seen.zones_in_dns.insert(load_balancer, zones);
            }
            ProxyFact::GroupHealth { group, routing_healthy, dns_healthy } => {
                seen.group_health.insert(group, (routing_healthy, dns_healthy));
            }
        }
    }
}
