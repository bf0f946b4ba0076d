//! The state in memory, and the two ways to it: [`View`] to read within one
//! scope, [`Tx`] to change rows within one scope, all or nothing.

use crate::engine::Config;
use crate::identity::Gathered;
use crate::rng::Rng;
use crate::row::*;
use crate::scope::Scope;
use crate::table::Table;
use crate::telemetry::{HostCounts, Tally};
use elastane_domain::id::{CommandId, ImageId, InstanceId, ListenerArn, LoadBalancerArn, TargetGroupArn, VpcId, Zone};
use elastane_domain::machine::{CommandOutcome, Generation, Initialization, MachineState};
use elastane_domain::routing::{self, Admission, TargetHealth, TargetKey};
use elastane_domain::series::MetricStore;
use elastane_domain::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

/// All rows of one scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// VPCs.
    pub vpcs: Table<Vpc>,
    /// Subnets.
    pub subnets: Table<Subnet>,
    /// Security groups.
    pub security_groups: Table<SecurityGroup>,
    /// Key pairs by name.
    pub key_pairs: Table<KeyPair>,
    /// Images.
    pub images: Table<Image>,
    /// Launch templates.
    pub launch_templates: Table<LaunchTemplate>,
    /// Instances, terminated ones for an hour.
    pub instances: Table<Instance>,
    /// Auto Scaling groups by name.
    pub groups: Table<Group>,
    /// Scaling activities.
    pub activities: Table<Activity>,
    /// Scaling policies by `group:policy`.
    pub policies: Table<Policy>,
    /// Launch configurations by name.
    pub launch_configurations: Table<LaunchConfiguration>,
    /// Life-cycle hooks by `group:hook`.
    pub lifecycle_hooks: Table<LifecycleHook>,
    /// Scheduled actions by `group:action`.
    pub scheduled_actions: Table<ScheduledAction>,
    /// Instance refreshes by their ids.
    pub instance_refreshes: Table<InstanceRefresh>,
    /// Forecasts of predictive scaling policies by `group:policy`.
    pub forecasts: Table<Forecast>,
    /// Users.
    pub users: Table<User>,
    /// Groups of users.
    pub user_groups: Table<UserGroup>,
    /// Managed policies of the account.
    pub managed_policies: Table<ManagedPolicy>,
    /// Long-term access keys.
    pub access_keys: Table<AccessKey>,
    /// Temporary access keys.
    pub temporary_keys: Table<TemporaryKey>,
    /// The account's alias.
    pub account_aliases: Table<AccountAlias>,
    /// Keys of KMS.
    pub encryption_keys: Table<EncryptionKey>,
    /// Aliases of keys.
    pub key_aliases: Table<KeyAlias>,
    /// Parameters of Parameter Store.
    pub parameters: Table<Parameter>,
    /// Notifications that wait to be delivered.
    pub notifications: Table<Notification>,
    /// Metric alarms by name.
    pub alarms: Table<Alarm>,
    /// Load balancers by ARN.
    pub load_balancers: Table<LoadBalancer>,
    /// Listeners by ARN.
    pub listeners: Table<Listener>,
    /// Rules of listeners.
    pub rules: Table<Rule>,
    /// Trust stores.
    pub trust_stores: Table<TrustStore>,
    /// Certificates of ACM.
    pub certificates: Table<Certificate>,
    /// Server certificates of IAM.
    pub server_certificates: Table<ServerCertificate>,
    /// Settings of ACM: at most one row.
    pub certificate_settings: Table<CertificateSettings>,
    /// Target groups by ARN.
    pub target_groups: Table<TargetGroup>,
    /// Targets by `group ARN|id|port`.
    pub targets: Table<Target>,
    /// Commands, those that are over for a while.
    pub commands: Table<Command>,
    /// What commands printed, by `command/instance`.
    pub command_outputs: Table<CommandOutput>,
    /// Documents of the account by name.
    pub documents: Table<Document>,
    /// Their versions by `name/number`.
    pub document_versions: Table<DocumentVersion>,
    /// Sessions, ended ones for a while.
    pub sessions: Table<Session>,
    /// Internet gateways.
    pub internet_gateways: Table<InternetGateway>,
    /// Route tables.
    pub route_tables: Table<RouteTable>,
    /// Network interfaces.
    pub interfaces: Table<NetworkInterface>,
    /// Elastic IP addresses.
    pub addresses: Table<Address>,
    /// NAT gateways, deleted ones for an hour.
    pub nat_gateways: Table<NatGateway>,
    /// DHCP options.
    pub dhcp_options: Table<DhcpOptions>,
    /// Managed prefix lists.
    pub prefix_lists: Table<PrefixList>,
    /// Placement groups by name.
    pub placement_groups: Table<PlacementGroup>,
    /// Flow logs.
    pub flow_logs: Table<FlowLog>,
    /// Zones that are cut off.
    pub outages: Table<Outage>,
    /// Spot instance requests.
    pub spot_requests: Table<SpotRequest>,
    /// Snapshots.
    pub snapshots: Table<Snapshot>,
    /// Roles by name; in the scope of `IAM_REGION` only.
    pub roles: Table<Role>,
    /// Instance profiles by name; in the scope of `IAM_REGION` only.
    pub instance_profiles: Table<InstanceProfile>,
    /// Settings of the account in this region: at most one row.
    pub account_settings: Table<AccountSettings>,
    /// Made of the rows of identities; in the scope of `IAM_REGION` only.
    pub(crate) gathered: Gathered,
}

/// The last fact from the world about one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenMachine {
    /// The boot that the fact is about.
    pub generation: Generation,
    /// Whether it lives.
    pub state: MachineState,
}

/// How a target stands to its peers, when it is not as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenAnomaly {
    /// It behaves unlike them.
    pub anomalous: bool,
    /// It gets less because of it, or because it did of late.
    pub mitigated: bool,
}

/// The last fact about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenSession {
    /// Its channel is open.
    Connected,
    /// Its channel is gone; its processes live.
    Disconnected,
    /// It is over, and so are its processes.
    Ended(SessionEnd),
}

/// News of a command on an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenCommand {
    /// Whether it has begun to run.
    pub started: bool,
    /// How it ended, if it has.
    pub ended: Option<CommandOutcome>,
}

/// The last that was heard of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenPing {
    /// When it answered last; `None` when it has not since this daemon began.
    pub at: Option<Time>,
    /// Whether it did when it was asked last.
    pub answers: bool,
}

/// What the world said. Kept in memory only and rebuilt from inventories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Whether the first inventory has come: before it, nothing is done.
    pub inventoried: bool,
    /// Machines that the host holds.
    pub machines: BTreeMap<InstanceId, SeenMachine>,
    /// Boots that failed, with the reason.
    pub launch_failures: BTreeMap<InstanceId, (Generation, String)>,
    /// How far boot scripts and user data are, by the boot that they are of.
    pub initialized: BTreeMap<InstanceId, (Generation, Initialization)>,
    /// CPU credits of burstable instances.
    pub credits: BTreeMap<InstanceId, Tally>,
    /// The network plan in force in each VPC, and what of it is not in force.
    pub networks: BTreeMap<VpcId, (u64, String)>,
    /// Images whose capture ended: their size, or why there is none.
    pub captures: BTreeMap<ImageId, Result<u64, String>>,
    /// News of commands on instances.
    pub commands: BTreeMap<(CommandId, InstanceId), SeenCommand>,
    /// Invocations that were sent since this daemon began.
    pub sent: BTreeSet<(CommandId, InstanceId)>,
    /// When instances were last heard of.
    pub pings: BTreeMap<InstanceId, SeenPing>,
    /// Sessions whose channel has been opened, until they are known to have ended.
    pub sessions: BTreeMap<String, SeenSession>,
    /// Health of targets.
    pub health: BTreeMap<TargetKey, TargetHealth>,
    /// How many were healthy when a target fell ill, until that is reported.
    pub hosts: HostCounts,
    /// Targets that drain by the newest routing snapshot.
    pub draining: BTreeSet<TargetKey>,
    /// Draining targets without requests in flight.
    pub drained: BTreeSet<TargetKey>,
    /// Targets that behave unlike their peers, or did and still get less because of it.
    pub anomalies: BTreeMap<TargetKey, SeenAnomaly>,
    /// Where listeners accept connections on each node's address, or why they do not.
    pub listening: BTreeMap<(ListenerArn, IpAddr), (Option<SocketAddr>, String)>,
    /// Zones that load balancers answer in.
    pub zones_in_dns: BTreeMap<LoadBalancerArn, Vec<Zone>>,
    /// Target groups as a whole: healthy for routing, and for DNS.
    pub group_health: BTreeMap<TargetGroupArn, (bool, bool)>,
    /// The routing generation in force.
    pub routing_applied: u64,
}

/// Everything that the control plane knows.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Rows by scope.
    pub scopes: BTreeMap<Scope, Tables>,
    /// Metric samples by scope.
    pub metrics: BTreeMap<Scope, MetricStore>,
    /// The last facts from the world.
    pub seen: Seen,
}

impl State {
    /// The instance of an id, of any scope.
    pub fn instance(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.scopes.values().find_map(|tables| tables.instances.get(id.as_str()))
    }
}

impl Seen {
    /// Where a listener accepts connections on each address of its load
    /// balancer's nodes, or why it does not; those of IPv4 first.
    pub fn heard(&self, listener: &ListenerArn) -> impl Iterator<Item = &(Option<SocketAddr>, String)> {
        let lowest = (listener.clone(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let range = self.listening.range(lowest..).take_while(move |((arn, _), _)| arn == listener);
        range.map(|(_, heard)| heard)
    }

    /// Drops what was seen of targets and listeners that are no more.
    pub(crate) fn forget_unrouted(&mut self, snapshot: &routing::Snapshot) {
        let mut targets = BTreeSet::new();
        self.draining.clear();
        for group in &snapshot.target_groups {
            let key = |target| group.key(target);
            targets.extend(group.targets.iter().map(key));
            let drains = |target: &&routing::Target| matches!(target.admission, Admission::Draining { .. });
            self.draining.extend(group.targets.iter().filter(drains).map(key));
        }
        self.health.retain(|key, _| targets.contains(key));
        self.drained.retain(|key| targets.contains(key));
        let mut places: BTreeSet<(ListenerArn, IpAddr)> = BTreeSet::new();
        for balancer in &snapshot.load_balancers {
            for listener in &balancer.listeners {
                places.extend(balancer.addresses().map(|address| (listener.arn.clone(), address)));
            }
        }
        self.listening.retain(|place, _| places.contains(place));
        self.anomalies.retain(|key, _| targets.contains(key));
        let balancers = &snapshot.load_balancers;
        self.zones_in_dns.retain(|arn, _| balancers.iter().any(|balancer| balancer.arn == *arn));
        self.group_health.retain(|arn, _| snapshot.target_groups.iter().any(|group| group.arn == *arn));
    }

    /// Drops what was seen of rows, when all rows go; machines stay, as they
    /// are there until they are reaped.
    pub(crate) fn forget_rows(&mut self) {
        self.launch_failures.clear();
        self.captures.clear();
        self.commands.clear();
        self.sent.clear();
    }
}

/// Read access to one scope at one moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Everything.
    pub state: &'a State,
    /// The scope's rows.
    pub tables: &'a Tables,
    /// Whose rows they are.
    pub scope: &'a Scope,
    /// Service time.
    pub now: Time,
}

impl<'a> View<'a> {
    /// The row of an id.
    pub fn get<R: Row>(&self, id: &str) -> Option<&'a Arc<R>> {
        R::table(self.tables).get(id)
    }

    /// All rows of a kind, in the order of their ids.
    pub fn all<R: Row>(&self) -> impl Iterator<Item = &'a Arc<R>> + use<'a, R> {
        R::table(self.tables).values()
    }

    /// The scope's metric samples, if it has any.
    pub fn metrics(&self) -> Option<&'a MetricStore> {
        self.state.metrics.get(self.scope)
    }
}

/// A change of a row that waits for its commit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub scope: Scope,
    pub kind: Kind,
    pub id: String,
    /// `None` deletes the row.
    pub row: Option<AnyRow>,
}

/// What a row was before a transaction touched it.
type Undo = Box<dyn FnOnce(&mut Tables)>;

/// A transaction within one scope. It reads its own writes; when it fails,
/// the rows are as before.
pub struct Tx<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) scope: Scope,
    /// Service time.
    pub now: Time,
    /// Random numbers, for ids.
    pub rng: &'a mut Rng,
    /// What differs from installation to installation.
    pub config: &'a Config,
    pub(crate) changes: Vec<Change>,
    pub(crate) kept: bool,
    undo: Vec<Undo>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(state: &'a mut State, scope: Scope, now: Time, rng: &'a mut Rng, config: &'a Config) -> Tx<'a> {
        state.scopes.entry(scope.clone()).or_default();
        Tx { state, scope, now, rng, config, changes: Vec::new(), kept: false, undo: Vec::new() }
    }

    /// Keeps what was written, although the call ends in an error: a few of
    /// AWS's calls do a part of what was asked and then refuse.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Whose rows it changes.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The same moment, to read.
    pub fn view(&self) -> View<'_> {
        View { state: self.state, tables: self.tables(), scope: &self.scope, now: self.now }
    }

    /// The scope's rows.
    pub fn tables(&self) -> &Tables {
        self.state.scopes.get(&self.scope).expect("made when the transaction began")
    }

    fn tables_mut(&mut self) -> &mut Tables {
        self.state.scopes.get_mut(&self.scope).expect("made when the transaction began")
    }

    /// The row of an id.
    pub fn get<R: Row>(&self, id: &str) -> Option<Arc<R>> {
        R::table(self.tables()).get(id).cloned()
    }

    /// All rows of a kind, in the order of their ids.
    pub fn all<R: Row>(&self) -> impl Iterator<Item = &Arc<R>> {
        R::table(self.tables()).values()
    }

    /// Stores a row, new or changed. Writing what is already there is no change.
    pub fn put<R: Row>(&mut self, row: R) {
        let id = row.id();
        if R::table(self.tables()).get(&id).is_some_and(|old| **old == row) {
            return;
        }
        let row = Arc::new(row);
        let old = R::table_mut(self.tables_mut()).insert(&id, row.clone());
        self.note(id, Some(R::any(row)), old);
    }

    /// Deletes a row, if it is there.
    pub fn delete<R: Row>(&mut self, id: &str) {
        if let Some(old) = R::table_mut(self.tables_mut()).remove(id) {
            self.note(id.to_string(), None, Some(old));
        }
    }

    /// Changes the row of an id in place, if it is there.
    pub fn update<R: Row>(&mut self, id: &str, change: impl FnOnce(&mut R)) {
        if let Some(row) = self.get::<R>(id) {
            let mut row = Arc::unwrap_or_clone(row);
            change(&mut row);
            self.put(row);
        }
    }

    /// Adds samples to the scope's metrics. Samples are not rows: they are
    /// kept in memory, and a transaction that fails later keeps them.
    pub fn metrics_mut(&mut self) -> &mut MetricStore {
        self.state.metrics.entry(self.scope.clone()).or_default()
    }

    fn note<R: Row>(&mut self, id: String, row: Option<AnyRow>, old: Option<Arc<R>>) {
        self.changes.push(Change { scope: self.scope.clone(), kind: R::KIND, id: id.clone(), row });
        self.undo.push(Box::new(move |tables| {
            let table = R::table_mut(tables);
            match old {
                Some(old) => table.insert(&id, old),
                None => table.remove(&id),
            };
        }));
    }

    /// Puts every row back to what it was.
    pub(crate) fn roll_back(mut self) {
        while let Some(undo) = self.undo.pop() {
            undo(self.tables_mut());
        }
    }
}

impl Deref for Tx<'_> {
    type Target = Tables;
    fn deref(&self) -> &Tables {
        self.tables()
    }
}
