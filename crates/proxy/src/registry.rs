//! The control side's book of identities: what exists, how it is doing, and
//! what has to happen next. It decides; [`crate::control`] acts.

use crate::metrics::{Count, Ledger, Report, Seen};
use crate::state::{BalancerState, BalancerTable, GroupState, GroupTable, Table, TargetState};
use elastane_domain::health::{CheckResult, TargetHealthState, Thresholds};
use elastane_domain::id::{ListenerArn, LoadBalancerArn, TargetGroupArn};
use elastane_domain::routing::{Admission, HealthCheck, ProxyFact, Snapshot, TargetGroup, TargetHealth, TargetKey};
use elastane_domain::time::{Span, Time};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Checks under way at once: a slow group must not exhaust descriptors.
const PROBES_MAX: usize = 256;
/// The second check of a target comes later by up to this part of the
/// interval, so that targets registered together are not checked together.
const SPREAD_PERCENT: i64 = 10;

/// Counters of one load balancer since the last collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerReport {
    /// The load balancer.
    pub arn: LoadBalancerArn,
    /// What happened.
    pub report: Report,
}

/// Counters of one target group since the last collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// The target group.
    pub arn: TargetGroupArn,
    /// What happened.
    pub report: Report,
    /// Registered targets that are healthy now; 0 for a group that is not checked.
    pub healthy: u32,
    /// Registered targets that are unhealthy now; those still initial are neither.
    pub unhealthy: u32,
}

/// Counters of one target since the last collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// The target.
    pub key: TargetKey,
    /// What happened.
    pub report: Report,
}

/// Everything since the last collection, in the order of ARNs and addresses.
/// What vanished from the snapshot is in one last collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By load balancer.
    pub load_balancers: Vec<BalancerReport>,
    /// By target group.
    pub target_groups: Vec<GroupReport>,
    /// By target.
    pub targets: Vec<TargetReport>,
}

/// An identity with what the last collection saw of it.
struct Entry<S> {
    state: Arc<S>,
    seen: Seen,
    /// Not in the snapshot any more.
    gone: bool,
}

impl<S> Entry<S> {
    fn new(state: S) -> Entry<S> {
        Entry { state: Arc::new(state), seen: Seen::default(), gone: false }
    }
}

struct GroupEntry {
    entry: Entry<GroupState>,
    config: Arc<TargetGroup>,
}

struct TargetEntry {
    entry: Entry<TargetState>,
    admission: Admission,
    /// Registered in a group that is checked.
    probed: bool,
    health: TargetHealthState,
    /// When the next check starts; `None` is at once.
    due: Option<Time>,
    checking: bool,
    /// Grows when the target starts anew: results of checks from before are void.
    life: u64,
    drain: Drain,
}

/// How far the draining of a target is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drain {
    Not,
    /// Since the table of this sequence; `cut` when the delay has ended.
    Since {
        sequence: u64,
        cut: bool,
    },
    Done,
}

/// A check to carry out.
pub(crate) struct Probe {
    pub(crate) key: TargetKey,
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) life: u64,
    pub(crate) check: HealthCheck,
}

/// What a moment asks for.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) probes: Vec<Probe>,
    /// Targets whose requests end now.
    pub(crate) cut: Vec<u64>,
    pub(crate) facts: Vec<ProxyFact>,
}

/// A listener to open.
pub(crate) struct Opening {
    pub(crate) place: Place,
    pub(crate) port: u16,
}

/// A listener on one of its load balancer's nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) listener: ListenerArn,
    pub(crate) node: Ipv4Addr,
}

/// The book.
pub(crate) struct Registry {
    threads: usize,
    balancers: BTreeMap<LoadBalancerArn, Entry<BalancerState>>,
    groups: BTreeMap<TargetGroupArn, GroupEntry>,
    targets: BTreeMap<TargetKey, TargetEntry>,
    /// Listeners that have sockets, with their ports.
    listeners: HashMap<Place, u16>,
    hosts: HashMap<String, LoadBalancerArn>,
    ids: u64,
    sequence: u64,
    /// Tables that not all threads use yet, as (sequence, generation).
    pending: VecDeque<(u64, u64)>,
    applied: Vec<u64>,
    checking: usize,
}

impl Registry {
    pub(crate) fn new(threads: usize) -> Registry {
        Registry {
            threads,
            balancers: BTreeMap::new(),
            groups: BTreeMap::new(),
            targets: BTreeMap::new(),
            listeners: HashMap::new(),
            hosts: HashMap::new(),
            ids: 0,
            sequence: 0,
            pending: VecDeque::new(),
            applied: vec![0; threads],
            checking: 0,
        }
    }

    /// Pages of a ledger: one for each data thread and one for the control side.
    fn pages(&self) -> usize {
        self.threads + 1
    }

    /// Compiles a snapshot; also returns the listeners that need sockets and
    /// what changed by the snapshot alone.
    pub(crate) fn apply(&mut self, snapshot: &Snapshot) -> (Table, Vec<Opening>, Vec<ProxyFact>) {
        self.sequence += 1;
        self.pending.push_back((self.sequence, snapshot.generation));
        let mut facts = Vec::new();
        let groups = self.apply_groups(snapshot, &mut facts);
        let openings = self.apply_listeners(snapshot);
        let balancers = self.apply_balancers(snapshot);
        (Table { sequence: self.sequence, balancers, groups }, openings, facts)
    }

    fn apply_balancers(&mut self, snapshot: &Snapshot) -> Vec<BalancerTable> {
        let pages = self.pages();
        self.hosts.clear();
        self.balancers.values_mut().for_each(|entry| entry.gone = true);
        let mut tables = Vec::with_capacity(snapshot.load_balancers.len());
        for config in &snapshot.load_balancers {
            let arn = &config.arn;
            let entry = self
                .balancers
                .entry(arn.clone())
                .or_insert_with(|| Entry::new(BalancerState { ledger: Ledger::new(pages, true) }));
            entry.gone = false;
            for host in &config.host_names {
                self.hosts.insert(host.clone(), arn.clone());
            }
            tables.push(BalancerTable { config: config.clone(), state: entry.state.clone() });
        }
        tables
    }

    fn apply_listeners(&mut self, snapshot: &Snapshot) -> Vec<Opening> {
        let mut listeners = HashMap::new();
        let mut openings = Vec::new();
        for balancer in &snapshot.load_balancers {
            for listener in &balancer.listeners {
                for node in &balancer.nodes {
                    let place = Place { listener: listener.arn.clone(), node: node.address };
                    if self.listeners.get(&place) != Some(&listener.port) {
                        openings.push(Opening { place: place.clone(), port: listener.port });
                    }
                    listeners.insert(place, listener.port);
                }
            }
        }
        self.listeners = listeners;
        openings
    }

    fn apply_groups(&mut self, snapshot: &Snapshot, facts: &mut Vec<ProxyFact>) -> HashMap<TargetGroupArn, GroupTable> {
        let pages = self.pages();
        self.groups.values_mut().for_each(|group| group.entry.gone = true);
        self.targets.values_mut().for_each(|target| target.entry.gone = true);
        let mut tables = HashMap::new();
        for config in &snapshot.target_groups {
            let group = self
                .groups
                .entry(config.arn.clone())
                .or_insert_with(|| GroupEntry { entry: Entry::new(GroupState::new(pages)), config: config.clone() });
            group.entry.gone = false;
            group.config = config.clone();
            let state = group.entry.state.clone();
            let targets =
                (0..config.targets.len()).map(|index| self.apply_target(config, index, &state, facts)).collect();
            let table = GroupTable { config: config.clone(), state, targets };
            tables.insert(config.arn.clone(), table);
        }
        for target in self.targets.values_mut().filter(|target| target.entry.gone) {
            target.admission = Admission::Unused;
            target.probed = false;
            target.drain = Drain::Not;
        }
        tables
    }

    fn apply_target(
        &mut self,
        group: &TargetGroup,
        index: usize,
        group_state: &Arc<GroupState>,
        facts: &mut Vec<ProxyFact>,
    ) -> Arc<TargetState> {
        let pages = self.pages();
        let (target, sequence) = (&group.targets[index], self.sequence);
        let key = group.key(target);
        let ids = &mut self.ids;
        let entry = self.targets.entry(key.clone()).or_insert_with(|| {
            *ids += 1;
            TargetEntry {
                entry: Entry::new(TargetState::new(*ids, key.clone(), group_state.clone(), pages)),
                admission: target.admission,
                probed: false,
                health: TargetHealthState::new(),
                due: None,
                checking: false,
                life: 0,
                drain: Drain::Not,
            }
        });
        entry.entry.gone = false;
        entry.entry.state.set_source(target.source);
        entry.admission = target.admission;
        let was_probed = entry.probed;
        entry.probed = group.checked && target.admission == Admission::Registered;
        if entry.probed && !was_probed {
            entry.start_anew(facts);
        }
        entry.drain = match (target.admission, entry.drain) {
            (Admission::Draining { .. }, Drain::Not) => Drain::Since { sequence, cut: false },
            (Admission::Draining { .. }, drain) => drain,
            (Admission::Registered | Admission::Unused, _) => Drain::Not,
        };
        entry.entry.state.clone()
    }

    /// A listener could not be opened anywhere: the next snapshot tries again.
    pub(crate) fn not_listening(&mut self, place: &Place) {
        self.listeners.remove(place);
    }

    /// A thread uses the table of this sequence.
    pub(crate) fn applied(&mut self, thread: usize, sequence: u64) -> Vec<ProxyFact> {
        self.applied[thread] = sequence;
        let everywhere = self.applied_everywhere();
        let mut generation = None;
        while let Some(&(pending, of)) = self.pending.front()
            && pending <= everywhere
        {
            self.pending.pop_front();
            generation = Some(of);
        }
        generation.map(|generation| ProxyFact::Applied { generation }).into_iter().collect()
    }

    fn applied_everywhere(&self) -> u64 {
        self.applied.iter().copied().min().unwrap_or(0)
    }

    /// What is due at this service time.
    pub(crate) fn due(&mut self, now: Time) -> Due {
        let everywhere = self.applied_everywhere();
        let mut due = Due::default();
        for (key, target) in &mut self.targets {
            if target.probed && !target.checking && self.checking < PROBES_MAX {
                let check = &self.groups[&key.group].config.check;
                if target.due.is_none_or(|due| due <= now) {
                    target.schedule(now, check.interval);
                    self.checking += 1;
                    let source = target.entry.state.source();
                    due.probes.push(Probe { key: key.clone(), source, life: target.life, check: check.clone() });
                }
            }
            let (Admission::Draining { until }, Drain::Since { sequence, cut }) = (target.admission, target.drain)
            else {
                continue;
            };
            if everywhere < sequence {
                continue;
            }
            // No thread chooses it any more: what is cut stays cut, and a zero stays one.
            if now >= until && !cut {
                target.drain = Drain::Since { sequence, cut: true };
                due.cut.push(target.entry.state.id);
            }
            if target.entry.state.ledger.in_flight() == 0 {
                target.drain = Drain::Done;
                due.facts.push(ProxyFact::Drained { target: key.clone() });
            }
        }
        due
    }

    /// A check ended.
    pub(crate) fn checked(&mut self, probe: &Probe, result: CheckResult) -> Option<ProxyFact> {
        self.checking -= 1;
        let thresholds =
            Thresholds { healthy: probe.check.healthy_threshold, unhealthy: probe.check.unhealthy_threshold };
        let target = self.targets.get_mut(&probe.key)?;
        target.checking = false;
        if target.life != probe.life || !target.probed {
            return None;
        }
        let health = target.health.observe(result, thresholds)?;
        target.entry.state.set_health(health);
        Some(ProxyFact::Health { target: probe.key.clone(), health })
    }

    /// Counts a connection that no data thread took.
    pub(crate) fn reject(&self, host: &str) {
        let entry = self.hosts.get(host).and_then(|arn| self.balancers.get(arn));
        if let Some(entry) = entry {
            entry.state.ledger.add(self.threads, Count::RejectedConnections, 1);
        }
    }

    /// What happened since the last call; forgets what vanished.
    pub(crate) fn collect(&mut self) -> Counters {
        let mut counters = Counters::default();
        for (arn, entry) in &mut self.balancers {
            let report = entry.seen.report(&entry.state.ledger);
            counters.load_balancers.push(BalancerReport { arn: arn.clone(), report });
        }
        let mut hosts: HashMap<&TargetGroupArn, (u32, u32)> = HashMap::new();
        for (key, target) in &mut self.targets {
            let report = target.entry.seen.report(&target.entry.state.ledger);
            counters.targets.push(TargetReport { key: key.clone(), report });
            if target.probed {
                let (healthy, unhealthy) = hosts.entry(&key.group).or_default();
                match target.health.health() {
                    TargetHealth::Healthy => *healthy += 1,
                    TargetHealth::Unhealthy(_) => *unhealthy += 1,
                    TargetHealth::Initial => {}
                }
            }
        }
        for (arn, group) in &mut self.groups {
            let report = group.entry.seen.report(&group.entry.state.ledger);
            let (healthy, unhealthy) = hosts.get(arn).copied().unwrap_or_default();
            counters.target_groups.push(GroupReport { arn: arn.clone(), report, healthy, unhealthy });
        }
        self.forget_gone();
        counters
    }

    /// Nobody but the book holds what no thread uses any more.
    fn forget_gone(&mut self) {
        let unused = |gone: bool, holders: usize| gone && holders == 1;
        self.balancers.retain(|_, entry| !unused(entry.gone, Arc::strong_count(&entry.state)));
        self.targets
            .retain(|_, target| target.checking || !unused(target.entry.gone, Arc::strong_count(&target.entry.state)));
        self.groups.retain(|_, group| !unused(group.entry.gone, Arc::strong_count(&group.entry.state)));
    }
}

impl TargetEntry {
    /// Registered, again or for the first time: initial until checked (alb.md 5.2, 1 and 6).
    fn start_anew(&mut self, facts: &mut Vec<ProxyFact>) {
        self.life += 1;
        self.due = None;
        if self.health.health() != TargetHealth::Initial {
            let health = TargetHealth::Initial;
            facts.push(ProxyFact::Health { target: self.entry.state.key.clone(), health });
            self.entry.state.set_health(health);
        }
        self.health = TargetHealthState::new();
    }

    fn schedule(&mut self, now: Time, interval: Span) {
        self.checking = true;
        let spread = match self.due {
            // Ids are given in sequence: a multiple of a prime scatters them.
            None => interval.millis() * SPREAD_PERCENT / 100 * (self.entry.state.id as i64 * 37 % 100) / 100,
            Some(_) => 0,
        };
        self.due = Some(now + Span(interval.millis() + spread));
    }
}
