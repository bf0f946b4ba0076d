//! The book without sockets: results of checks go in, facts and counters come out.

use super::*;
use elastane_domain::choice::WEIGHT_FULL;
use elastane_domain::routing::{Action, Algorithm, Minimum, Node, Target, UnhealthyReason};
use std::net::SocketAddrV4;
use std::time::Duration;

const NOW: Time = Time(1_000_000);
const BAD: CheckResult = Err(UnhealthyReason::Timeout);

/// A registry with one load balancer in zones `a` and `b`, and one group.
struct Rig {
    registry: Registry,
    balancer: LoadBalancer,
    group: TargetGroup,
    facts: Vec<ProxyFact>,
    table: Table,
}

impl Rig {
    /// Targets in these zones, one letter each; `*` is none.
    fn new(zones: &str, configure: impl FnOnce(&mut LoadBalancer, &mut TargetGroup)) -> Rig {
        let target = |(index, zone): (usize, char)| Target {
            instance: None,
            address: SocketAddrV4::new([10, 0, 0, index as u8].into(), 80),
            vpc: None,
            source: None,
            zone: (zone != '*').then(|| zone.to_string().into()),
            admission: Admission::Registered,
        };
        let mut group = TargetGroup::http("arn:group".into(), zones.chars().enumerate().map(target).collect());
        let listener = Listener::http("arn:listener".into(), 80, Action::forward_to(group.arn.clone()));
        let mut balancer = LoadBalancer::application("arn:lb".into(), [127, 0, 0, 1].into(), vec![listener]);
        let node = |zone: &str, last| Node {
            zone: zone.into(),
            address: [127, 0, 0, last].into(),
            ipv6: None,
            interface: None,
        };
        balancer.nodes = vec![node("a", 1), node("b", 2)];
        configure(&mut balancer, &mut group);
        let mut rig = Rig { registry: Registry::new(1), balancer, group, facts: Vec::new(), table: Table::default() };
        rig.apply();
        rig
    }

    fn apply(&mut self) {
        let snapshot = Snapshot {
            load_balancers: vec![Arc::new(self.balancer.clone())],
            target_groups: vec![Arc::new(self.group.clone())],
            ..Snapshot::default()
        };
        let (table, _, facts) = self.registry.apply(&snapshot);
        (self.table, self.facts) = (table, facts);
    }

    /// Lets time pass until `now`; returns the facts and the probes that begin.
    fn due(&mut self, now: Time) -> (Vec<ProxyFact>, Vec<Probe>) {
        let due = self.registry.due(now);
        (due.facts, due.probes)
    }

    fn key(&self, index: usize) -> TargetKey {
        self.group.key(&self.group.targets[index])
    }

    fn state(&self, index: usize) -> Arc<TargetState> {
        self.registry.targets[&self.key(index)].entry.state.clone()
    }

    /// The result of a check of this target.
    fn check(&mut self, index: usize, result: CheckResult, now: Time) -> Option<ProxyFact> {
        let entry = &self.registry.targets[&self.key(index)];
        let probe = Probe {
            key: self.key(index),
            source: None,
            life: entry.life,
            question: question(&self.group, Some(&self.balancer)),
        };
        self.registry.checking += 1;
        self.registry.checked(&probe, result, now)
    }

    /// Makes all targets healthy, one after the other.
    fn all_healthy(&mut self, now: Time) {
        for index in 0..self.group.targets.len() {
            self.check(index, Ok(()), now);
        }
    }

    fn health(&self, index: usize, health: TargetHealth) -> ProxyFact {
        ProxyFact::Health { target: self.key(index), health }
    }
}

/// Targets of a group without checks are healthy at once, and nobody asks them.
#[test]
fn alb_5_1_checks_disabled() {
    let mut rig = Rig::new("a", |_, group| group.check.enabled = false);
    assert_eq!(rig.facts, [rig.health(0, TargetHealth::Healthy)]);
    assert!(rig.due(NOW).1.is_empty());
    rig.group.check.enabled = true;
    rig.apply();
    assert_eq!(rig.facts, [rig.health(0, TargetHealth::Initial)]);
    assert_eq!(rig.due(NOW).1.len(), 1);
}

/// A successor starts with what its predecessor knew, and tells it.
#[test]
fn health_is_handed_over() {
    let mut old = Rig::new("aab", |_, _| {});
    old.check(0, Ok(()), NOW);
    old.check(1, BAD, NOW);
    old.check(1, BAD, NOW);
    let known = old.registry.export_health();
    assert_eq!(known.len(), 2, "initial targets are not known");
    let known: Vec<KnownHealth> = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
    let mut new = Rig::new("", |_, _| {});
    new.registry.seed_health(known);
    new.group = old.group.clone();
    new.apply();
    let sick = TargetHealth::Unhealthy(UnhealthyReason::Timeout);
    assert_eq!(new.facts, [new.health(0, TargetHealth::Healthy), new.health(1, sick)]);
    assert_eq!(new.state(0).health(), TargetHealth::Healthy);
    assert_eq!(new.check(0, BAD, NOW), None, "it takes as many checks as ever");
    assert_eq!(new.check(0, BAD, NOW), Some(new.health(0, sick)));
    assert_eq!(new.due(NOW).1.len(), 3, "all are checked at once");
}

/// Only targets that become healthy beside others at full share start slowly.
#[test]
fn alb_3_3_who_starts_slowly() {
    let mut rig = Rig::new("aaa", |_, group| group.slow_start = Span::from_secs(100));
    rig.check(0, Ok(()), NOW);
    assert_eq!(rig.state(0).slow_start(), None, "the first has nobody beside it");
    rig.check(1, Ok(()), NOW);
    assert_eq!(rig.state(1).slow_start().map(|start| start.since), Some(NOW));
    rig.check(0, BAD, NOW);
    rig.check(0, BAD, NOW);
    rig.check(2, Ok(()), NOW);
    assert_eq!(rig.state(2).slow_start(), None, "the only other one is in slow start itself");
    for _ in 0..2 {
        rig.check(1, BAD, NOW);
    }
    assert_eq!(rig.state(1).slow_start(), None, "it ends when the target becomes unhealthy");
    for _ in 0..5 {
        rig.check(1, Ok(()), NOW + Span::from_secs(1));
    }
    assert!(rig.state(1).slow_start().is_some(), "and begins again");
    rig.group.slow_start = Span::ZERO;
    rig.apply();
    assert_eq!(rig.state(1).slow_start(), None, "it was switched off");
}

/// Every five seconds: who stands out, with and without mitigation.
#[test]
fn alb_3_4_anomalies_of_a_group() {
    for (algorithm, mitigates) in [
        (Algorithm::RoundRobin, false),
        (Algorithm::WeightedRandom { mitigate: false }, false),
        (Algorithm::WeightedRandom { mitigate: true }, true),
    ] {
        let mut rig = Rig::new("aaa", |_, group| group.algorithm = algorithm);
        rig.all_healthy(NOW);
        rig.due(NOW);
        for (index, status) in [(0, 500), (1, 200), (2, 200)] {
            for _ in 0..100 {
                rig.state(index).ledger.add(0, Count::Requests, 1);
                rig.state(index).ledger.add_response(0, status, Duration::ZERO);
            }
        }
        let anomaly = |anomalous, mitigated| ProxyFact::Anomaly { target: rig.key(0), anomalous, mitigated };
        let (found, recovering, normal) = (anomaly(true, mitigates), anomaly(false, true), anomaly(false, false));
        assert_eq!(rig.due(NOW + Span::from_secs(4)).0, [], "not before its time");
        assert_eq!(rig.due(NOW + Span::from_secs(5)).0, [found], "{algorithm:?}");
        assert_eq!(rig.state(0).weight(), if mitigates { WEIGHT_FULL / 2 } else { WEIGHT_FULL });
        let later: Vec<_> = (2..60).flat_map(|step| rig.due(NOW + Span::from_secs(5 * step)).0).collect();
        assert_eq!(later, if mitigates { vec![recovering, normal] } else { vec![normal] }, "{algorithm:?}");
        assert_eq!(rig.state(0).weight(), WEIGHT_FULL);
    }
}

/// Groups and zones are told when they stand otherwise than before.
#[test]
fn alb_5_3_standing() {
    let configure = |_: &mut LoadBalancer, group: &mut TargetGroup| {
        group.cross_zone = false;
        group.routing_minimum = Minimum { count: Some(2), percent: None };
    };
    let mut rig = Rig::new("ab", configure);
    let standing = |routing_healthy, dns_healthy| ProxyFact::GroupHealth {
        group: "arn:group".into(),
        routing_healthy,
        dns_healthy,
    };
    let zones = |zones: &[&str]| ProxyFact::ZonesInDns {
        load_balancer: "arn:lb".into(),
        zones: zones.iter().map(|zone| (*zone).into()).collect(),
    };
    assert_eq!(rig.due(NOW).0, [standing(false, false), zones(&["a", "b"])], "nobody is healthy: all zones");
    rig.check(0, Ok(()), NOW);
    assert_eq!(rig.due(NOW).0, [standing(false, true), zones(&["a"])]);
    rig.check(1, Ok(()), NOW);
    assert_eq!(rig.due(NOW).0, [standing(true, true), zones(&["a", "b"])]);
    rig.balancer.options.shifted_away = vec!["a".into()];
    rig.apply();
    assert_eq!(rig.due(NOW).0, [zones(&["b"])]);
    assert_eq!(rig.table.groups[&rig.group.arn].shifted_away.len(), 1);
    rig.check(0, Ok(()), NOW);
    assert_eq!(rig.due(NOW).0, [], "nothing new");
}

/// With cross-zone every zone stays while any target is healthy.
#[test]
fn alb_5_3_zones_of_cross_zone_groups() {
    let mut rig = Rig::new("ab", |_, _| {});
    rig.due(NOW);
    rig.check(0, Ok(()), NOW);
    let zones = rig.due(NOW).0.into_iter().find(|fact| matches!(fact, ProxyFact::ZonesInDns { .. }));
    assert_eq!(zones, None);
    let mut network = Rig::new("ab", |balancer, _| balancer.family = Family::Network);
    network.due(NOW);
    network.check(0, Ok(()), NOW);
    let told = network.due(NOW).0;
    let left = ProxyFact::ZonesInDns { load_balancer: "arn:lb".into(), zones: vec!["a".into()] };
    assert!(told.contains(&left), "{told:?}");
}

/// A network load balancer's check names its node and listener.
#[test]
fn alb_13_host_of_checks() {
    let rig = Rig::new("a", |_, _| {});
    assert_eq!(question(&rig.group, Some(&rig.balancer)).host, None);
    let mut network = rig.balancer.clone();
    network.family = Family::Network;
    assert_eq!(question(&rig.group, Some(&network)).host.as_deref(), Some("127.0.0.1:80"));
    network.nodes[0].interface = Some(("vpc-1".into(), [10, 1, 2, 3].into()));
    assert_eq!(question(&rig.group, Some(&network)).host.as_deref(), Some("10.1.2.3:80"));
}

/// Sums are those of the zones: of the nodes, and of the targets.
#[test]
fn alb_11_counters_by_zone() {
    let mut rig = Rig::new("aab*", |_, _| {});
    rig.all_healthy(NOW);
    let nodes = &rig.table.balancers[0].nodes;
    nodes[0].ledger.add(0, Count::Requests, 1);
    nodes[1].ledger.add(0, Count::Requests, 2);
    rig.table.balancers[0].state.ledger.add(0, Count::Requests, 4);
    for (index, requests) in [(0, 8), (1, 16), (2, 32), (3, 64)] {
        rig.state(index).zone.ledger.add(0, Count::Requests, requests);
    }
    let counters = rig.registry.collect();
    let balancer = &counters.load_balancers[0];
    let zones: Vec<_> =
        balancer.zones.iter().map(|zone| (zone.zone.as_str(), zone.report.count(Count::Requests))).collect();
    assert_eq!((balancer.report.count(Count::Requests), zones), (7, vec![("a", 1), ("b", 2)]));
    let group = &counters.target_groups[0];
    let zone = |zone: &GroupZoneReport| {
        (
            zone.zone.clone().map_or("*".to_owned(), |zone| zone.to_string()),
            zone.report.count(Count::Requests),
            zone.healthy,
        )
    };
    let zones: Vec<_> = group.zones.iter().map(zone).collect();
    assert_eq!((group.report.count(Count::Requests), group.healthy), (120, 4));
    assert_eq!(zones, [("*".to_owned(), 64, 1), ("a".to_owned(), 24, 2), ("b".to_owned(), 32, 1)]);
    let copy: Counters = serde_json::from_str(&serde_json::to_string(&counters).unwrap()).unwrap();
    assert_eq!(copy, counters);
    let mut sum = counters.clone();
    sum.merge(copy);
    assert_eq!(sum.load_balancers[0].zones[1].report.count(Count::Requests), 4);
    assert_eq!((sum.target_groups[0].zones[1].report.count(Count::Requests), sum.target_groups[0].healthy), (48, 4));
    assert_eq!(rig.registry.collect().load_balancers[0].report.count(Count::Requests), 0, "told once");
}

/// What vanished is in one last collection and then forgotten.
#[test]
fn what_vanished_is_forgotten() {
    let mut rig = Rig::new("ab", |_, _| {});
    rig.state(1).zone.ledger.add(0, Count::Requests, 3);
    rig.group.targets.pop();
    rig.balancer.nodes.pop();
    rig.apply();
    assert_eq!(rig.registry.collect().target_groups[0].report.count(Count::Requests), 3);
    let counters = rig.registry.collect();
    assert_eq!((counters.targets.len(), counters.load_balancers[0].zones.len()), (1, 1));
    assert_eq!(counters.target_groups[0].zones.len(), 1);
}

/// Totals stay what they were, whoever collects.
#[test]
fn prometheus_text() {
    let mut rig = Rig::new("a", |_, _| {});
    rig.all_healthy(NOW);
    rig.table.balancers[0].nodes[0].ledger.add(0, Count::Elb503, 2);
    rig.state(0).zone.ledger.add_response(0, 200, Duration::from_millis(7));
    rig.registry.collect();
    let text = rig.registry.prometheus(5);
    for line in [
        "# TYPE elastane_lb_errors_total counter",
        "elastane_lb_errors_total{load_balancer=\"app/web/1\",type=\"application\",zone=\"a\",status=\"503\"} 2",
        "elastane_target_responses_total{target_group=\"targetgroup/web/1\",zone=\"a\",code=\"2xx\"} 1",
        "elastane_target_response_seconds_bucket{target_group=\"targetgroup/web/1\",zone=\"a\",le=\"0.005\"} 0",
        "elastane_target_response_seconds_bucket{target_group=\"targetgroup/web/1\",zone=\"a\",le=\"0.01\"} 1",
        "elastane_target_response_seconds_count{target_group=\"targetgroup/web/1\",zone=\"a\"} 1",
        "elastane_target_state{target_group=\"targetgroup/web/1\",target=\"10.0.0.0:80\",state=\"healthy\"} 1",
        "elastane_log_lines_lost_total 5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

/// Flows that a target does not take make it unhealthy as so many failed
/// checks would, if it took none between them; checks make it healthy again.
#[test]
fn alb_13_passive_checks() {
    let mut rig = Rig::new("aa", |_, group| group.protocol = elastane_domain::routing::Protocol::Tcp);
    let failed = TargetHealth::Unhealthy(UnhealthyReason::FailedHealthChecks);
    // Before the first check nothing is known that flows could speak against.
    rig.state(0).flow_failed();
    rig.state(0).flow_failed();
    assert!(rig.due(NOW).0.iter().all(|fact| *fact != rig.health(0, failed)));
    rig.all_healthy(NOW);
    rig.state(0).flow_taken();
    for taken in [true, false] {
        rig.state(0).flow_failed();
        assert!(rig.due(NOW).0.iter().all(|fact| *fact != rig.health(0, failed)));
        if taken {
            rig.state(0).flow_taken();
        }
    }
    rig.state(0).flow_failed();
    assert!(rig.due(NOW).0.contains(&rig.health(0, failed)));
    assert_eq!((rig.state(0).health(), rig.state(1).health()), (failed, TargetHealth::Healthy));
    let successes: Vec<bool> = (0..5).map(|_| rig.check(0, Ok(()), NOW).is_some()).collect();
    assert_eq!(successes, [false, false, false, false, true]);
}
