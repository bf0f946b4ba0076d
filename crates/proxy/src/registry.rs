//! The control side's book of identities: what exists, how it is doing, and
//! what has to happen next. It decides; [`crate::control`] acts.

mod anomalies;
mod collect;
mod passive;
mod prometheus;
mod standing;

pub use collect::{BalancerReport, BalancerZoneReport, Counters, GroupReport, GroupZoneReport, TargetReport};
pub use standing::KnownHealth;

use crate::metrics::{Count, Ledger, Seen};
use crate::probe::Question;
use crate::share::Share;
use crate::state::{
    BalancerState, BalancerTable, GroupState, GroupTable, NodeState, Table, TargetState, ZoneId, ZoneState,
};
use crate::tls;
use crate::upstream::Transport;
use elastane_domain::choice::{Outcomes, SlowStart, enters_slow_start};
use elastane_domain::health::{CheckResult, TargetHealthState, Thresholds};
use elastane_domain::id::{ListenerArn, LoadBalancerArn, TargetGroupArn, VpcId, Zone};
use elastane_domain::routing::{
    Admission, Family, Listener, LoadBalancer, Node, Protocol, ProxyFact, Snapshot, TargetGroup, TargetHealth,
    TargetKey,
};
use elastane_domain::time::{Span, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Checks under way at once: a slow group must not exhaust descriptors.
const PROBES_MAX: usize = 256;
/// The second check of a target comes later by up to this part of the
/// interval, so that targets registered together are not checked together.
const SPREAD_PERCENT: i64 = 10;

/// How a group's targets are asked. `Host` names the targets, but with a
/// network load balancer its node and listener (alb.md 5.1 and 13).
fn question(group: &TargetGroup, front: Option<&LoadBalancer>) -> Question {
    let network = front.filter(|balancer| balancer.family == Family::Network);
    let host = network.and_then(|balancer| {
        let node = balancer.nodes.first()?;
        let address = node.interface.as_ref().map_or(node.address, |(_, address)| *address);
        let listener = balancer.listeners.iter().find(|one| one.target_groups().any(|arn| *arn == group.arn))?;
        Some(format!("{address}:{}", listener.port))
    });
    Question { check: group.check.clone(), version: group.version, host, proxy_header: group.proxy_protocol }
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

struct BalancerEntry {
    entry: Entry<BalancerState>,
    config: Arc<LoadBalancer>,
    /// By zone and address.
    nodes: BTreeMap<(Zone, Ipv4Addr), Entry<NodeState>>,
    /// The zones that were told last.
    zones_in_dns: Option<Vec<Zone>>,
}

struct GroupEntry {
    entry: Entry<GroupState>,
    config: Arc<TargetGroup>,
    zones: BTreeMap<Option<Zone>, Entry<ZoneState>>,
    /// How its targets are asked.
    question: Question,
    /// The load balancer that forwards to it.
    balancer: Option<LoadBalancerArn>,
    /// What was told last: healthy for routing and for DNS.
    standing: Option<(bool, bool)>,
}

/// Where a target's health comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watching {
    /// Nobody asks.
    Not,
    /// From checks.
    Probed,
    /// Checks are disabled: it is healthy.
    Trusted,
}

struct TargetEntry {
    entry: Entry<TargetState>,
    admission: Admission,
    watching: Watching,
    health: TargetHealthState,
    /// Requests and failures of late, for finding anomalies.
    outcomes: Outcomes,
    /// The counts that are in `outcomes` already.
    judged: Outcomes,
    /// Whether it was told to be anomalous, and to be mitigated.
    anomaly: (bool, bool),
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
    pub(crate) question: Question,
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) listener: ListenerArn,
    /// [`elastane_domain::routing::Node::address`].
    pub(crate) node: Ipv4Addr,
    pub(crate) transport: Transport,
    pub(crate) side: Side,
}

/// Which of a node's addresses a listener is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Side {
    /// The node's own.
    Own,
    /// Its own of IPv6 ([`elastane_domain::routing::Node::ipv6`]).
    Ipv6(Ipv6Addr),
    /// That of its interface in the VPC.
    Inside(VpcId, Ipv4Addr),
}

impl Side {
    fn all(node: &Node) -> impl Iterator<Item = Side> {
        let inside = node.interface.clone().map(|(vpc, address)| Side::Inside(vpc, address));
        [Some(Side::Own), node.ipv6.map(Side::Ipv6), inside].into_iter().flatten()
    }

    /// By the load balancer's address inside the VPC.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self, Side::Inside(..))
    }
}

impl Place {
    /// All places of a listener that belong to a share.
    fn all<'a>(balancer: &'a LoadBalancer, listener: &'a Listener, share: Share) -> impl Iterator<Item = Place> + 'a {
        let transports: &[Transport] = match listener.protocol {
            Protocol::Http | Protocol::Https | Protocol::Tcp | Protocol::Tls => &[Transport::Stream],
            Protocol::Udp => &[Transport::Datagram],
            Protocol::TcpUdp => &[Transport::Stream, Transport::Datagram],
        };
        balancer.nodes.iter().filter(move |node| share.serves(&node.zone)).flat_map(move |node| {
            transports.iter().flat_map(move |&transport| {
                let place = move |side| Place { listener: listener.arn.clone(), node: node.address, transport, side };
                Side::all(node).map(place)
            })
        })
    }

    /// Whether the listener is to be there still, on this node.
    pub(crate) fn is_of(&self, node: &Node) -> bool {
        node.address == self.node && Side::all(node).any(|side| side == self.side)
    }

    /// The address that it is on; inside a VPC that of the VPC.
    pub(crate) fn address(&self) -> IpAddr {
        match &self.side {
            Side::Own => IpAddr::V4(self.node),
            Side::Ipv6(address) => IpAddr::V6(*address),
            Side::Inside(_, address) => IpAddr::V4(*address),
        }
    }

    /// The TCP place that speaks for this UDP place.
    pub(crate) fn beside(&self) -> Place {
        Place { transport: Transport::Stream, ..self.clone() }
    }

    /// The places whose port it is to have too, those that are opened first:
    /// a listener is one port, also where it is not the one asked for.
    pub(crate) fn examples(&self) -> impl Iterator<Item = Place> {
        let own = |transport| Place { transport, side: Side::Own, ..self.clone() };
        [own(Transport::Stream), own(Transport::Datagram)].into_iter().filter(move |place| place != self)
    }
}

/// The book.
pub(crate) struct Registry {
    threads: usize,
    /// Where it listens.
    share: Share,
    balancers: BTreeMap<LoadBalancerArn, BalancerEntry>,
    groups: BTreeMap<TargetGroupArn, GroupEntry>,
    targets: BTreeMap<TargetKey, TargetEntry>,
    /// Listeners that have sockets, with their ports.
    listeners: HashMap<Place, u16>,
    /// Listeners inside VPCs, whose networks come and go.
    inside: HashMap<Place, u16>,
    hosts: HashMap<String, LoadBalancerArn>,
    ids: u64,
    sequence: u64,
    /// Tables that not all threads use yet, as (sequence, generation).
    pending: VecDeque<(u64, u64)>,
    applied: Vec<u64>,
    checking: usize,
    /// What listeners need for handshakes.
    tls: tls::Book,
    /// All zones that were ever named; their places are their numbers.
    zones: Vec<Zone>,
    /// Health that a predecessor found out, until its target is there.
    seeds: HashMap<TargetKey, TargetHealth>,
    /// A snapshot came since: with the next one they are forgotten.
    seeds_used: bool,
    /// Health, registrations or settings changed since the standing was told.
    unsettled: bool,
    /// When anomalies are looked for next.
    judge_at: Time,
    /// Nothing is due at any target before: they need not be looked through.
    look_at: Time,
}

impl Registry {
    pub(crate) fn new(threads: usize) -> Registry {
        Registry {
            threads,
            share: Share::WHOLE,
            balancers: BTreeMap::new(),
            groups: BTreeMap::new(),
            targets: BTreeMap::new(),
            listeners: HashMap::new(),
            inside: HashMap::new(),
            hosts: HashMap::new(),
            ids: 0,
            sequence: 0,
            pending: VecDeque::new(),
            applied: vec![0; threads],
            checking: 0,
            tls: tls::Book::default(),
            zones: Vec::new(),
            seeds: HashMap::new(),
            seeds_used: false,
            unsettled: false,
            judge_at: Time(i64::MIN),
            look_at: Time(i64::MIN),
        }
    }

    /// Listens on this share only.
    pub(crate) fn serve_share(&mut self, share: Share) {
        self.share = share;
    }

    /// The number of a zone.
    fn zone_id(&mut self, zone: &Zone) -> ZoneId {
        let place = self.zones.iter().position(|known| known == zone).unwrap_or_else(|| {
            self.zones.push(zone.clone());
            self.zones.len() - 1
        });
        // There are a handful of zones; beyond the numbers they would share the last one.
        ZoneId::try_from(place).unwrap_or(ZoneId::MAX)
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
        self.look_at = Time(i64::MIN);
        let mut facts = Vec::new();
        if std::mem::replace(&mut self.seeds_used, true) {
            self.seeds.clear();
        }
        let groups = self.apply_groups(snapshot, &mut facts);
        let openings = self.apply_listeners(snapshot);
        let balancers = self.apply_balancers(snapshot);
        let tls = self.tls.compile(snapshot);
        (Table { sequence: self.sequence, balancers, groups, tls }, openings, facts)
    }

    fn apply_balancers(&mut self, snapshot: &Snapshot) -> Vec<BalancerTable> {
        let pages = self.pages();
        self.hosts.clear();
        for balancer in self.balancers.values_mut() {
            balancer.entry.gone = true;
            balancer.nodes.values_mut().for_each(|node| node.gone = true);
        }
        let mut tables = Vec::with_capacity(snapshot.load_balancers.len());
        for config in &snapshot.load_balancers {
            let arn = &config.arn;
            let mut places: Vec<(Zone, Ipv4Addr)> =
                config.nodes.iter().map(|node| (node.zone.clone(), node.address)).collect();
            if places.is_empty() {
                // Reached by its name on the main port all the same.
                places.push((Zone::from(""), Ipv4Addr::UNSPECIFIED));
            }
            let ids: Vec<ZoneId> = places.iter().map(|(zone, _)| self.zone_id(zone)).collect();
            let balancer = self.balancers.entry(arn.clone()).or_insert_with(|| BalancerEntry {
                entry: Entry::new(BalancerState { ledger: Ledger::new(pages, true) }),
                config: config.clone(),
                nodes: BTreeMap::new(),
                zones_in_dns: None,
            });
            balancer.entry.gone = false;
            balancer.config = config.clone();
            let nodes = places.into_iter().zip(ids).map(|((zone, address), zone_id)| {
                let state = || NodeState { zone: zone.clone(), zone_id, address, ledger: Ledger::new(pages, true) };
                let node = balancer.nodes.entry((zone.clone(), address)).or_insert_with(|| Entry::new(state()));
                node.gone = false;
                node.state.clone()
            });
            let nodes = nodes.collect();
            for host in &config.host_names {
                self.hosts.insert(host.clone(), arn.clone());
            }
            tables.push(BalancerTable { config: config.clone(), state: balancer.entry.state.clone(), nodes });
        }
        tables
    }

    fn apply_listeners(&mut self, snapshot: &Snapshot) -> Vec<Opening> {
        let mut listeners = HashMap::new();
        let mut openings = Vec::new();
        self.inside.clear();
        for balancer in &snapshot.load_balancers {
            for listener in &balancer.listeners {
                for place in Place::all(balancer, listener, self.share) {
                    if place.side.is_inside() {
                        self.inside.insert(place, listener.port);
                        continue;
                    }
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

    /// The listeners inside VPCs that the newest snapshot has, with their ports.
    pub(crate) fn inside(&self) -> &HashMap<Place, u16> {
        &self.inside
    }

    fn apply_groups(&mut self, snapshot: &Snapshot, facts: &mut Vec<ProxyFact>) -> HashMap<TargetGroupArn, GroupTable> {
        let pages = self.pages();
        self.unsettled = true;
        for group in self.groups.values_mut() {
            group.entry.gone = true;
            group.zones.values_mut().for_each(|zone| zone.gone = true);
        }
        let mut fronts: HashMap<&TargetGroupArn, &Arc<LoadBalancer>> = HashMap::new();
        for balancer in &snapshot.load_balancers {
            fronts.extend(balancer.listeners.iter().flat_map(|one| one.target_groups()).map(|arn| (arn, balancer)));
        }
        self.targets.values_mut().for_each(|target| target.entry.gone = true);
        let mut tables = HashMap::new();
        for config in &snapshot.target_groups {
            let group = self.groups.entry(config.arn.clone()).or_insert_with(|| GroupEntry {
                entry: Entry::new(GroupState::new(pages)),
                config: config.clone(),
                zones: BTreeMap::new(),
                question: question(config, None),
                balancer: None,
                standing: None,
            });
            group.entry.gone = false;
            group.config = config.clone();
            let front = fronts.get(&config.arn);
            group.question = question(config, front.map(|balancer| &***balancer));
            group.balancer = front.map(|balancer| balancer.arn.clone());
            let state = group.entry.state.clone();
            let shifted = front.map_or(&[][..], |balancer| &balancer.options.shifted_away);
            let shifted_away = shifted.iter().map(|zone| self.zone_id(zone)).collect();
            let targets =
                (0..config.targets.len()).map(|index| self.apply_target(config, index, &state, facts)).collect();
            let table = GroupTable { config: config.clone(), state, targets, shifted_away };
            tables.insert(config.arn.clone(), table);
        }
        for target in self.targets.values_mut().filter(|target| target.entry.gone) {
            target.admission = Admission::Unused;
            target.watching = Watching::Not;
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
        let (target, sequence) = (&group.targets[index], self.sequence);
        let key = group.key(target);
        let zone = self.group_zone(&group.arn, target.zone.as_ref());
        let pages = self.pages();
        let ids = &mut self.ids;
        let mut make = || {
            *ids += 1;
            TargetEntry::new(TargetState::new(*ids, key.clone(), group_state.clone(), zone.clone(), pages))
        };
        let entry = self.targets.entry(key.clone()).or_insert_with(&mut make);
        if entry.entry.state.zone.zone != zone.zone && !entry.checking {
            // Registered again in another zone: another target.
            *entry = make();
        }
        entry.entry.gone = false;
        entry.entry.state.set_source(target.source);
        if group.slow_start == Span::ZERO && entry.entry.state.slow_start().is_some() {
            entry.entry.state.set_slow_start(None);
        }
        entry.admission = target.admission;
        let watching = match (group.checked && target.admission == Admission::Registered, group.check.enabled) {
            (false, _) => Watching::Not,
            (true, true) => Watching::Probed,
            (true, false) => Watching::Trusted,
        };
        let before = std::mem::replace(&mut entry.watching, watching);
        if watching != before && watching != Watching::Not {
            let known = match watching {
                Watching::Trusted => Some(TargetHealth::Healthy),
                Watching::Probed | Watching::Not => self.seeds.remove(&key),
            };
            entry.start_anew(known.unwrap_or(TargetHealth::Initial), facts);
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

    /// Whether the newest snapshot has a listener there.
    pub(crate) fn listens(&self, place: &Place) -> bool {
        self.listeners.contains_key(place) || self.inside.contains_key(place)
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
        let mut due = Due::default();
        if now >= self.look_at {
            self.look_through(now, &mut due);
        }
        self.observe_flows(now, &mut due.facts);
        self.judge(now, &mut due.facts);
        self.settle(&mut due.facts);
        due
    }

    fn look_through(&mut self, now: Time, due: &mut Due) {
        let everywhere = self.applied_everywhere();
        let mut next = Time(i64::MAX);
        for (key, target) in &mut self.targets {
            if target.watching == Watching::Probed && !target.checking && self.checking < PROBES_MAX {
                let group = &self.groups[&key.group];
                let question = &group.question;
                if target.due.is_none_or(|due| due <= now) {
                    target.schedule(now, question.check.interval);
                    self.checking += 1;
                    let source = target.entry.state.source();
                    let question = question.clone();
                    due.probes.push(Probe { key: key.clone(), source, life: target.life, question });
                }
            }
            // One under way sets its time when it ends.
            if target.watching == Watching::Probed && !target.checking {
                next = next.min(target.due.unwrap_or(now));
            }
            let (Admission::Draining { until }, Drain::Since { sequence, cut }) = (target.admission, target.drain)
            else {
                continue;
            };
            // Requests in flight end without a word.
            next = now;
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
        self.look_at = next;
    }

    /// A check ended.
    pub(crate) fn checked(&mut self, probe: &Probe, result: CheckResult, now: Time) -> Option<ProxyFact> {
        self.checking -= 1;
        let check = &probe.question.check;
        let thresholds = Thresholds { healthy: check.healthy_threshold, unhealthy: check.unhealthy_threshold };
        let target = self.targets.get_mut(&probe.key)?;
        target.checking = false;
        self.look_at = self.look_at.min(target.due.unwrap_or(now));
        if target.life != probe.life || target.watching != Watching::Probed {
            return None;
        }
        let before = target.health.health();
        let health = target.health.observe(result, thresholds)?;
        Some(self.changed(&probe.key, before, health, now))
    }

    /// A target's health has changed: everybody is told.
    fn changed(&mut self, key: &TargetKey, before: TargetHealth, health: TargetHealth, now: Time) -> ProxyFact {
        self.unsettled = true;
        self.start_slowly(key, before, health, now);
        self.targets[key].entry.state.set_health(health);
        ProxyFact::Health { target: key.clone(), health }
    }

    /// Begins or ends the slow start of a target whose health changes (alb.md 3.3).
    fn start_slowly(&self, key: &TargetKey, before: TargetHealth, health: TargetHealth, now: Time) {
        let state = &self.targets[key].entry.state;
        if health != TargetHealth::Healthy {
            state.set_slow_start(None);
        } else if before != TargetHealth::Healthy {
            let duration = self.groups[&key.group].config.slow_start;
            let full = |other: &TargetEntry| {
                let slow = other.entry.state.slow_start().is_some_and(|start| !start.is_over(now));
                other.entry.state.id != state.id
                    && other.admission == Admission::Registered
                    && other.health.health() == TargetHealth::Healthy
                    && !slow
            };
            let others = duration > Span::ZERO && self.of_group(&key.group).any(|(_, other)| full(other));
            state.set_slow_start(enters_slow_start(duration, others).then_some(SlowStart { since: now, duration }));
        }
    }

    /// The targets of a group by its newest settings.
    fn of_group(&self, arn: &TargetGroupArn) -> impl Iterator<Item = (&TargetKey, &TargetEntry)> {
        let config = self.groups.get(arn).map(|group| &group.config);
        let keys = config.into_iter().flat_map(|config| config.targets.iter().map(|target| config.key(target)));
        keys.filter_map(|key| self.targets.get_key_value(&key))
    }

    /// The part of a group in a zone.
    fn group_zone(&mut self, arn: &TargetGroupArn, zone: Option<&Zone>) -> Arc<ZoneState> {
        let pages = self.pages();
        let zone_id = zone.map(|zone| self.zone_id(zone));
        let group = self.groups.get_mut(arn).expect("a group is entered before its targets");
        let state = || ZoneState { zone: zone.cloned(), zone_id, ledger: Ledger::new(pages, true) };
        let entry = group.zones.entry(zone.cloned()).or_insert_with(|| Entry::new(state()));
        entry.gone = false;
        entry.state.clone()
    }

    /// Counts a connection that no data thread took.
    pub(crate) fn reject(&self, host: &str) {
        let balancer = self.hosts.get(host).and_then(|arn| self.balancers.get(arn));
        if let Some(balancer) = balancer {
            balancer.entry.state.ledger.add(self.threads, Count::RejectedConnections, 1);
        }
    }
}

impl TargetEntry {
    fn new(state: TargetState) -> TargetEntry {
        TargetEntry {
            entry: Entry::new(state),
            admission: Admission::Unused,
            watching: Watching::Not,
            health: TargetHealthState::new(),
            outcomes: Outcomes::default(),
            judged: Outcomes::default(),
            anomaly: (false, false),
            due: None,
            checking: false,
            life: 0,
            drain: Drain::Not,
        }
    }

    /// Registered, again or for the first time: initial until checked (alb.md
    /// 5.2, 1 and 6), unless more is known.
    fn start_anew(&mut self, health: TargetHealth, facts: &mut Vec<ProxyFact>) {
        self.life += 1;
        self.due = None;
        if self.health.health() != health {
            facts.push(ProxyFact::Health { target: self.entry.state.key.clone(), health });
            self.entry.state.set_health(health);
        }
        self.entry.state.set_slow_start(None);
        self.health = TargetHealthState::known(health);
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

#[cfg(test)]
mod tests;
