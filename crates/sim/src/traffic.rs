//! A simulated data plane and the load on it: applies snapshots a little
//! late, probes targets, drains them, counts requests.

use crate::host::{Held, Host};
use crate::requests::{self, Expected, Sent};
use elastane_domain::id::{InstanceId, TargetGroupArn};
use elastane_domain::routing::{
    Admission, ProxyFact, Snapshot, Target, TargetGroup, TargetHealth, TargetKey, UnhealthyReason,
};
use elastane_domain::series::StatisticSet;
use elastane_domain::time::{Span, Time};
use elastane_engine::Rng;
use elastane_engine::telemetry::{Counts, CpuSample, Traffic};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// An application answers so long after its machine booted.
const WARM_UP: Span = Span::from_secs(5);

/// Seconds of CPU that one request costs, of the sixty that a minute has.
const CPU_SECONDS_A_REQUEST: f64 = 0.02;

/// The load over time: a day's wave, steps, and quiet nights, in requests a minute.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests a minute at the height of a wave.
    pub peak: u64,
    /// Length of a wave.
    pub period: Span,
    /// Whether nights are silent.
    pub silent: bool,
}

impl Load {
    /// Requests in the minute that begins at `at`. A triangle: integers only,
    /// so that every machine draws the same.
    pub fn requests(&self, at: Time) -> u64 {
        let period = self.period.millis().max(2);
        let phase = at.millis().rem_euclid(period);
        let half = period / 2;
        let height = if phase < half { phase } else { period - phase };
        let requests = self.peak * height as u64 / half.max(1) as u64;
        if self.silent && height < half / 4 { 0 } else { requests }
    }
}

/// The data plane.
#[derive(Default)]
pub struct Plane {
    in_force: Arc<Snapshot>,
    /// What the rows said when that was issued.
    expected: Arc<Expected>,
    /// Snapshots on their way, in their order.
    waiting: VecDeque<(Time, Order)>,
    /// What became of requests since the last call.
    sent: Vec<Sent>,
    health: BTreeMap<TargetKey, TargetHealth>,
    drains: BTreeMap<TargetKey, Time>,
    told: BTreeSet<TargetKey>,
    facts: Vec<ProxyFact>,
    minute: Option<Time>,
}

/// A snapshot with what the rows said when it was issued.
#[derive(Clone)]
pub struct Order {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// What must become of requests.
    pub expected: Arc<Expected>,
}

impl Plane {
    /// Accepts a snapshot; it is in force a little later.
    pub fn apply(&mut self, order: Order, now: Time, rng: &mut Rng) {
        let at = now + Span(rng.below(1_500) as i64);
        let last = self.waiting.back().map_or(at, |(last, _)| *last);
        self.waiting.push_back((at.max(last), order));
    }

    /// Another daemon: orders under way are lost, and it is told everything.
    pub fn reattach(&mut self) {
        self.waiting.clear();
        let told = self.told.iter().map(|target| ProxyFact::Drained { target: target.clone() });
        let known = self.health.iter();
        let known = known.map(|(target, health)| ProxyFact::Health { target: target.clone(), health: *health });
        self.facts = known.chain(told).collect();
    }

    /// What became of requests since the last call, and what should have.
    pub fn take_sent(&mut self) -> (Vec<Sent>, Arc<Expected>) {
        (std::mem::take(&mut self.sent), self.expected.clone())
    }

    /// When it next does something of its own.
    pub fn next(&self) -> Option<Time> {
        let apply = self.waiting.front().map(|(at, _)| *at);
        let drain = self.drains.iter().filter(|(key, _)| !self.told.contains(*key)).map(|(_, at)| *at).min();
        [apply, drain].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time, host: &Host, rng: &mut Rng) {
        while let Some((_, order)) = self.waiting.pop_front_if(|(at, _)| *at <= now) {
            self.facts.push(ProxyFact::Applied { generation: order.snapshot.generation });
            (self.in_force, self.expected) = (order.snapshot, order.expected);
            self.look(now, host, rng);
        }
        self.look(now, host, rng);
    }

    /// Looks at all targets of the snapshot in force.
    fn look(&mut self, now: Time, host: &Host, rng: &mut Rng) {
        let snapshot = self.in_force.clone();
        let mut known = BTreeSet::new();
        for group in &snapshot.target_groups {
            for target in &group.targets {
                let key = group.key(target);
                known.insert(key.clone());
                self.look_at(key, group, target, now, host, rng);
            }
        }
        self.health.retain(|key, _| known.contains(key));
        self.drains.retain(|key, _| known.contains(key));
        self.told.retain(|key| known.contains(key));
    }

    fn look_at(&mut self, key: TargetKey, group: &TargetGroup, target: &Target, now: Time, host: &Host, rng: &mut Rng) {
        match target.admission {
            Admission::Draining { .. } => {
                self.health.remove(&key);
                let end = *self.drains.entry(key.clone()).or_insert(now + Span(rng.below(20_000) as i64));
                if end <= now && self.told.insert(key.clone()) {
                    self.facts.push(ProxyFact::Drained { target: key });
                }
            }
            Admission::Registered if group.checked => {
                self.drains.remove(&key);
                self.told.remove(&key);
                let health = probe(target, now, host);
                let unknown = !self.health.contains_key(&key);
                if unknown || (health != TargetHealth::Initial && self.health.get(&key) != Some(&health)) {
                    self.health.insert(key.clone(), health);
                    self.facts.push(ProxyFact::Health { target: key, health });
                }
            }
            Admission::Registered | Admission::Unused => {
                self.health.remove(&key);
                self.drains.remove(&key);
                self.told.remove(&key);
            }
        }
    }

    /// The facts since the last call.
    pub fn take_facts(&mut self) -> Vec<ProxyFact> {
        std::mem::take(&mut self.facts)
    }

    /// Counters of the minute that ended, once a minute.
    pub fn measure(&mut self, now: Time, host: &Host, load: &Load, rng: &mut Rng) -> Option<(Traffic, Vec<CpuSample>)> {
        let minute = now.floor(Span::from_mins(1));
        if self.minute == Some(minute) {
            return None;
        }
        let first = self.minute.replace(minute).is_none();
        let at = minute - Span::from_mins(1);
        self.sent = requests::send(&self.in_force, &self.health, rng);
        (!first).then(|| self.count(at, host, load))
    }

    fn count(&self, at: Time, host: &Host, load: &Load) -> (Traffic, Vec<CpuSample>) {
        let mut traffic = Traffic { at, ..Traffic::default() };
        let mut shares: BTreeMap<InstanceId, f64> = BTreeMap::new();
        let requests = load.requests(at);
        for balancer in &self.in_force.load_balancers {
            for listener in &balancer.listeners {
                let Some(elastane_domain::routing::Rule {
                    action: elastane_domain::routing::Action::Forward(elastane_domain::routing::Forward { groups, .. }),
                    ..
                }) = listener.rules.last()
                else {
                    continue;
                };
                let Some((arn, _)) = groups.first() else { continue };
                let serving = self.serving(arn);
                let counted = if serving.is_empty() { 0 } else { requests };
                let counts = Counts {
                    requests: counted,
                    response_time: (counted > 0).then(|| StatisticSet::repeated(0.02, counted as f64).into()),
                    ..Counts::default()
                };
                traffic.load_balancers.insert(balancer.arn.clone(), counts.clone());
                traffic.target_groups.insert(arn.clone(), counts);
                for instance in &serving {
                    *shares.entry(instance.clone()).or_default() += counted as f64 / serving.len() as f64;
                }
            }
        }
        let cpu = host.living().map(|(instance, _)| CpuSample {
            instance: instance.clone(),
            percent: (shares.get(instance).copied().unwrap_or_default() * CPU_SECONDS_A_REQUEST / 0.6).min(100.0),
        });
        (traffic, cpu.collect())
    }

    /// Instances of a group that take requests: registered and healthy.
    fn serving(&self, arn: &TargetGroupArn) -> Vec<InstanceId> {
        let Some(group) = self.in_force.target_groups.iter().find(|group| group.arn == *arn) else { return Vec::new() };
        group
            .targets
            .iter()
            .filter(|target| target.admission == Admission::Registered)
            .filter(|target| self.health.get(&group.key(target)) == Some(&TargetHealth::Healthy))
            .filter_map(|target| target.instance.clone())
            .collect()
    }
}

/// What a check finds: a machine that lives and has warmed up answers.
fn probe(target: &Target, now: Time, host: &Host) -> TargetHealth {
    let held: Option<&Held> = target.instance.as_ref().and_then(|instance| host.machines.get(instance));
    match held.filter(|held| host.living().any(|(id, _)| *id == held.spec.instance)) {
        Some(held) if host.cut(&held.spec.vpc, held.spec.private_ip) => {
            TargetHealth::Unhealthy(UnhealthyReason::FailedHealthChecks)
        }
        Some(held) if now >= held.booted_at + WARM_UP => TargetHealth::Healthy,
        Some(_) => TargetHealth::Initial,
        None => TargetHealth::Unhealthy(UnhealthyReason::FailedHealthChecks),
    }
}
