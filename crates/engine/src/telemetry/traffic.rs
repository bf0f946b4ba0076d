//! The data plane's minute as CloudWatch samples: who counts what is in
//! [`Traffic`], under which names in [`names`] (alb.md 11 and 13).

use super::hosts::{self, ByZone, Counted, Hosts};
use super::names::{self, Level};
use super::publish;
use crate::reconcile::routing::actions;
use crate::scope::Scope;
use crate::state::{State, Tables};
use elastane_domain::capacity_units::{self, Use};
use elastane_domain::id::{LoadBalancerArn, TargetGroupArn, Zone};
use elastane_domain::routing::Family;
use elastane_domain::series::{Distribution, MetricStore, StatisticSet, Unit};
use elastane_domain::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};

/// What is reported at once.
const MINUTE: Span = Span::from_mins(1);

/// What the data plane counted over a minute that just ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Start of the minute.
    pub at: Time,
    /// By load balancer; zones are those of its nodes.
    pub load_balancers: BTreeMap<LoadBalancerArn, Counts>,
    /// By target group, each of which belongs to one load balancer; zones are
    /// those of its targets.
    pub target_groups: BTreeMap<TargetGroupArn, Counts>,
}

/// Counters of a load balancer, of its part that went to one target group, or
/// of a zone of either.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests for which a target was chosen.
    pub requests: u64,
    /// `TargetResponseTime` in seconds, if a target answered.
    pub response_time: Option<Distribution>,
    /// Everything that is a plain count or a sum: metric name to value. Zero
    /// values are not published, nor are names that the family does not have.
    pub sums: BTreeMap<&'static str, f64>,
    /// The same by zone; empty within a zone.
    pub zones: BTreeMap<Zone, Counts>,
}

impl Counts {
    fn sum(&self, name: &str) -> f64 {
        self.sums.get(name).copied().unwrap_or_default()
    }
}

/// Publishes the data plane's minute, and each target group's hosts.
pub(crate) fn record_traffic(state: &mut State, now: Time, traffic: &Traffic) {
    hosts::count_changed(state);
    let counted = state.seen.hosts.take();
    let scopes: Vec<Scope> = state.scopes.keys().cloned().collect();
    for scope in scopes {
        let Some(tables) = state.scopes.get(&scope) else { continue };
        let store = state.metrics.remove(&scope).unwrap_or_default();
        let mut samples = Samples { at: traffic.at, now, store, family: Family::Application };
        let mut forwarded = forwarded(tables);
        for load_balancer in tables.load_balancers.values() {
            samples.family = load_balancer.family;
            let dimension = load_balancer.dimension();
            samples.balancer(dimension, traffic.load_balancers.get(&load_balancer.arn));
            let arns = forwarded.remove(&load_balancer.arn).unwrap_or_default();
            for group in arns.into_iter().filter_map(|arn| tables.target_groups.get(arn.as_str())) {
                let counts = traffic.target_groups.get(&group.arn);
                let hosts = hosts::count(state, tables, group);
                let dimensions = [("LoadBalancer", dimension), ("TargetGroup", group.dimension())];
                samples.target_group(dimensions, counts, &hosts, counted.get(&group.arn));
                if let Some(&standing) = state.seen.group_health.get(&group.arn) {
                    samples.standing(&dimensions, standing, load_balancer.nodes.len().max(1));
                }
            }
        }
        state.metrics.insert(scope, samples.store);
    }
}

/// The target groups that each load balancer's listeners forward to.
fn forwarded(tables: &Tables) -> BTreeMap<&LoadBalancerArn, BTreeSet<&TargetGroupArn>> {
    let mut forwarded: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (listener, action) in actions(tables) {
        let Some(listener) = tables.listeners.get(listener.as_str()) else { continue };
        forwarded.entry(&listener.load_balancer).or_default().extend(action.target_groups());
    }
    forwarded
}

struct Samples {
    at: Time,
    now: Time,
    store: MetricStore,
    family: Family,
}

impl Samples {
    fn put(&mut self, name: &str, dimensions: &[(&str, &str)], unit: Unit, samples: impl Into<Distribution>) {
        let namespace = names::namespace(self.family);
        publish(&mut self.store, namespace, name, dimensions, unit, self.at, samples, self.now);
    }

    fn count(&mut self, name: &str, dimensions: &[(&str, &str)], value: f64) {
        self.put(name, dimensions, Unit::Count, StatisticSet::of(value));
    }

    /// Counters that are published only when something was counted.
    fn counts(&mut self, dimensions: &[(&str, &str)], counts: &Counts, has: impl Fn(Level) -> bool) {
        if self.family == Family::Application {
            if counts.requests > 0 {
                self.count("RequestCount", dimensions, counts.requests as f64);
            }
            if let Some(times) = &counts.response_time {
                self.put("TargetResponseTime", dimensions, Unit::Seconds, times.clone());
            }
        }
        for plain in names::plain(self.family).iter().filter(|plain| has(plain.level)) {
            let value = counts.sum(plain.name);
            if value > 0.0 {
                self.put(plain.name, dimensions, plain.unit, StatisticSet::of(value));
            }
        }
    }

    fn balancer(&mut self, dimension: &str, counts: Option<&Counts>) {
        let whole = [("LoadBalancer", dimension)];
        if let Some(counts) = counts {
            self.counts(&whole, counts, Level::of_balancer);
            for (zone, counts) in &counts.zones {
                self.counts(&[whole[0], ("AvailabilityZone", zone.as_str())], counts, Level::of_balancer_zone);
            }
        }
        // Always reported.
        let units = counts.map_or(0.0, |counts| consumed(self.family, counts));
        self.count("ConsumedLCUs", &whole, units);
    }

    fn target_group(
        &mut self,
        both: [(&str, &str); 2],
        counts: Option<&Counts>,
        hosts: &BTreeMap<Zone, Hosts>,
        before: Option<&ByZone>,
    ) {
        let none = Counts::default();
        let counts = counts.unwrap_or(&none);
        self.counts(&both, counts, Level::of_group);
        for (zone, counts) in &counts.zones {
            self.counts(&[both[0], both[1], ("AvailabilityZone", zone.as_str())], counts, Level::of_group);
        }
        let before = |zone: Option<&Zone>| before.and_then(|zones| zones.get(&zone.cloned()));
        let mut sum = Hosts::default();
        for (zone, hosts) in hosts {
            let dimensions = [both[0], both[1], ("AvailabilityZone", zone.as_str())];
            self.hosts(&dimensions, hosts, before(Some(zone)));
            let requests = counts.zones.get(zone).map_or(0, |counts| counts.requests);
            self.per_target(&dimensions, requests, hosts.healthy);
            sum.add(hosts);
        }
        self.hosts(&both, &sum, before(None));
        // By the group alone too: this is what target tracking looks at.
        self.per_target(&both, counts.requests, sum.healthy);
        self.per_target(&both[1..], counts.requests, sum.healthy);
        if self.family == Family::Application && counts.requests > 0 {
            self.count("RequestCount", &both[1..], counts.requests as f64);
        }
    }

    /// Always reported, zeros too: this is what lets target tracking reach 0.
    fn per_target(&mut self, dimensions: &[(&str, &str)], requests: u64, healthy: u32) {
        if self.family == Family::Application {
            self.count("RequestCountPerTarget", dimensions, requests as f64 / f64::from(healthy.max(1)));
        }
    }

    /// As they are, after what was counted before in the minute.
    fn hosts(&mut self, dimensions: &[(&str, &str)], hosts: &Hosts, before: Option<&Counted>) {
        let healthy = StatisticSet::of(f64::from(hosts.healthy));
        let unhealthy = StatisticSet::of(f64::from(hosts.unhealthy));
        let mut counted = before.copied().unwrap_or(Counted { healthy, unhealthy });
        if before.is_some() {
            counted.healthy.merge(&healthy);
            counted.unhealthy.merge(&unhealthy);
        }
        self.put("HealthyHostCount", dimensions, Unit::Count, counted.healthy);
        self.put("UnHealthyHostCount", dimensions, Unit::Count, counted.unhealthy);
        if self.family == Family::Application {
            self.count("AnomalousHostCount", dimensions, f64::from(hosts.anomalous));
            self.count("MitigatedHostCount", dimensions, f64::from(hosts.mitigated));
        }
    }

    /// In how many zones a group meets its minimums, and in how many not
    /// (alb.md 5.3): it does in all of them or in none.
    fn standing(&mut self, dimensions: &[(&str, &str)], (routing, dns): (bool, bool), zones: usize) {
        for (good, bad, healthy) in
            [("HealthyStateRouting", "UnhealthyStateRouting", routing), ("HealthyStateDNS", "UnhealthyStateDNS", dns)]
        {
            let zones = zones as f64;
            self.count(good, dimensions, if healthy { zones } else { 0.0 });
            self.count(bad, dimensions, if healthy { 0.0 } else { zones });
        }
    }
}

/// Capacity units that a minute's traffic used.
fn consumed(family: Family, counts: &Counts) -> f64 {
    match family {
        Family::Application => {
            let used = Use {
                new_connections: counts.sum("NewConnectionCount"),
                active_connections: counts.sum("ActiveConnectionCount"),
                bytes: counts.sum("ProcessedBytes"),
                requests: counts.requests as f64,
                rule_evaluations: counts.sum("RuleEvaluations"),
            };
            capacity_units::application(&used, MINUTE)
        }
        Family::Network => {
            let of = |protocol: &str| Use {
                new_connections: counts.sum(&format!("NewFlowCount_{protocol}")),
                active_connections: counts.sum(&format!("ActiveFlowCount_{protocol}")),
                bytes: counts.sum(&format!("ProcessedBytes_{protocol}")),
                ..Use::default()
            };
            capacity_units::network(&of("TCP"), &of("TLS"), &of("UDP"), MINUTE)
        }
    }
}

#[cfg(test)]
mod tests;
