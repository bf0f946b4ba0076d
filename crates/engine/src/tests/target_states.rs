//! States of targets, and what the snapshot makes of rows (alb.md 5.2).

use super::balancers::{BALANCER, put as put_balancer};
use super::*;
use crate::state::View;
use crate::{Idle, TargetState, TargetStates};
use elastane_domain::lifecycle::InstanceState;
use elastane_domain::routing::{Action, Condition, Family, Pattern, Protocol, UnhealthyReason};

const DELAY: Span = Span::from_secs(60);

impl Rig {
    /// The states of a group's targets, in the order of their ids, as words.
    fn states(&self, group: &str) -> Vec<String> {
        let view: View<'_> = self.engine.view(&self.scope, self.now).expect("a scope");
        let group = view.get::<TargetGroup>(group).expect("a group");
        let states = TargetStates::new(view, group);
        let rows = view.all::<Target>().filter(|row| row.group == group.arn);
        rows.map(|row| words(states.of(Some(row)))).collect()
    }

    /// The group `web` of addresses, which forgets targets after [`DELAY`].
    fn addresses(&mut self, addresses: &[&str]) {
        self.target_group();
        self.tx(|tx| {
            tx.update(TARGET_GROUP, |row: &mut TargetGroup| {
                row.target_type = TargetType::Ip;
                let delay = DELAY.seconds().to_string();
                row.attributes.insert("deregistration_delay.timeout_seconds".to_string(), delay);
            });
            for address in addresses {
                targets::register(tx, &TargetGroupArn::from(TARGET_GROUP), address, 80);
            }
        });
    }

    fn newest(&self) -> &Snapshot {
        self.routes.last().expect("there was a snapshot")
    }
}

fn words(state: TargetState) -> String {
    format!("{} {}", state.state(), state.reason().unwrap_or("-"))
}

/// Initial, healthy, unhealthy with reasons: what the data plane says, in AWS's words.
#[test]
fn alb_5_2_what_checks_find() {
    let mut rig = Rig::new();
    rig.addresses(&["10.9.0.1"]);
    assert_eq!(rig.states(TARGET_GROUP), ["unused Target.NotInUse"]);
    rig.tx(|tx| put_balancer(tx, &["us-east-1a"]));
    rig.pass(Span::ZERO);
    assert_eq!(rig.states(TARGET_GROUP), ["initial Elb.RegistrationInProgress"]);
    for (health, expected) in [
        (TargetHealth::Initial, "initial Elb.InitialHealthChecking"),
        (TargetHealth::Healthy, "healthy -"),
        (TargetHealth::Unhealthy(UnhealthyReason::ResponseCodeMismatch(500)), "unhealthy Target.ResponseCodeMismatch"),
        (TargetHealth::Unhealthy(UnhealthyReason::Timeout), "unhealthy Target.Timeout"),
        (TargetHealth::Unhealthy(UnhealthyReason::FailedHealthChecks), "unhealthy Target.FailedHealthChecks"),
    ] {
        rig.tell_targets(|target| ProxyFact::Health { target, health });
        assert_eq!(rig.states(TARGET_GROUP), [expected]);
    }
    rig.tx(|tx| tx.update(TARGET_GROUP, |row: &mut TargetGroup| row.check.enabled = false));
    assert_eq!(rig.states(TARGET_GROUP), ["unavailable Target.HealthCheckDisabled"]);
    let mismatch = TargetState::Unhealthy(UnhealthyReason::ResponseCodeMismatch(503));
    assert_eq!(mismatch.description().as_deref(), Some("Health checks failed with these codes: [503]"));
    let stopped = TargetState::Idle(Idle::Instance(InstanceState::Stopped));
    assert_eq!(stopped.description().as_deref(), Some("Target is in the stopped state"));
}

/// A deregistered target drains for the whole delay, also when it has no
/// request in flight; registered again it starts anew.
#[test]
fn alb_5_2_deregistration() {
    let mut rig = Rig::new();
    rig.addresses(&["10.9.0.1"]);
    rig.tx(|tx| put_balancer(tx, &["us-east-1a"]));
    rig.pass(Span::ZERO);
    rig.all_healthy();
    let arn = TargetGroupArn::from(TARGET_GROUP);
    rig.tx(|tx| targets::deregister(tx, &arn, "10.9.0.1", 80));
    rig.pass(Span::ZERO);
    assert_eq!(rig.admissions(), BTreeSet::from(["draining"]));
    rig.tell_targets(|target| ProxyFact::Drained { target });
    rig.pass(Span(DELAY.millis() - 1_000));
    assert_eq!(rig.states(TARGET_GROUP), ["draining Target.DeregistrationInProgress"]);

    rig.tx(|tx| targets::register(tx, &arn, "10.9.0.1", 80));
    rig.pass(Span::ZERO);
    assert_eq!(rig.states(TARGET_GROUP), ["initial Elb.RegistrationInProgress"], "healthy no more");
    rig.all_healthy();
    rig.pass(DELAY);
    assert_eq!(rig.states(TARGET_GROUP), ["healthy -"], "the old delay is over and means nothing");

    rig.tx(|tx| targets::deregister(tx, &arn, "10.9.0.1", 80));
    rig.tx(|tx| targets::deregister(tx, &arn, "10.9.0.1", 80));
    rig.pass(DELAY);
    assert!(rig.all::<Target>().is_empty() && rig.engine.state().seen.health.is_empty());
    let view = rig.engine.view(&rig.scope, rig.now).expect("a scope");
    let states = TargetStates::new(view, view.get::<TargetGroup>(TARGET_GROUP).expect("a group"));
    assert_eq!(words(states.of(None)), "unused Target.NotRegistered");
}

/// Instances that do not run and zones that are not enabled: unused, and left out of the snapshot.
#[test]
fn alb_5_2_instances_and_zones() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.tx(|tx| put_balancer(tx, &["us-east-1a", "us-east-1b"]));
    rig.group("web", (0, 6), 3, |group| group.target_groups.push(TargetGroupArn::from(TARGET_GROUP)));
    rig.pass(Span::ZERO);
    let mut states = rig.states(TARGET_GROUP);
    states.sort();
    let registering = "initial Elb.RegistrationInProgress";
    assert_eq!(states, [registering, registering, "unused Target.NotInUse"]);
    let zones: Vec<_> = rig.newest().load_balancers[0].nodes.iter().map(|node| node.zone.to_string()).collect();
    assert_eq!(zones, ["us-east-1a", "us-east-1b"]);
    assert_eq!(rig.admissions(), BTreeSet::from(["registered", "unused"]));

    let ids: Vec<_> = rig.members("web").iter().map(|row| row.id.to_string()).collect();
    rig.tx(|tx| {
        for id in &ids {
            tx.update(id, |row: &mut Instance| row.phase = Phase::Stopped);
        }
    });
    let states = rig.states(TARGET_GROUP);
    assert_eq!(states, ["unused Target.InvalidState"; 3]);
}

/// Addresses: a load balancer's own cannot be a target, `all` is in every
/// zone, others are where their subnet is or where they were registered.
#[test]
fn alb_5_2_addresses() {
    let mut rig = Rig::new();
    rig.addresses(&["10.9.0.1"]);
    rig.tx(|tx| put_balancer(tx, &["us-east-1a"]));
    rig.pass(Span::ZERO);
    let own = rig.all::<NetworkInterface>()[0].primary().to_string();
    let elsewhere = rig.all::<Subnet>().into_iter().find(|row| row.zone.as_str() == "us-east-1b").expect("a subnet");
    let there = elsewhere.cidr.next_free(&BTreeSet::new()).expect("it is empty").to_string();
    let arn = TargetGroupArn::from(TARGET_GROUP);
    rig.tx(|tx| {
        targets::register(tx, &arn, &own, 80);
        targets::register(tx, &arn, &there, 80);
        targets::register_in_zone(tx, &arn, &there, 81, Some("all".to_string()));
        targets::register_in_zone(tx, &arn, "10.9.0.2", 80, Some("us-east-1b".to_string()));
    });
    rig.pass(Span::ZERO);
    let view = rig.engine.view(&rig.scope, rig.now).expect("a scope");
    let states = TargetStates::new(view, view.get::<TargetGroup>(TARGET_GROUP).expect("a group"));
    let of = |id: &str, port| states.of(view.get::<Target>(&Target::key(&arn, id, port)).map(AsRef::as_ref));
    assert_eq!(of("10.9.0.1", 80), TargetState::Registering);
    assert_eq!(of(&own, 80), TargetState::Idle(Idle::AddressOfBalancer));
    assert_eq!(of(&there, 80), TargetState::Idle(Idle::ZoneNotEnabled));
    assert_eq!(of(&there, 81), TargetState::Registering);
    assert_eq!(of("10.9.0.2", 80), TargetState::Idle(Idle::ZoneNotEnabled));
    let unused = rig.newest().target_groups[0].targets.iter().filter(|one| one.admission == Admission::Unused);
    assert_eq!(unused.count(), 3);
}

/// Loopback addresses follow the zones; those that stay keep theirs.
#[test]
fn nodes_follow_the_zones() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.tx(|tx| put_balancer(tx, &["us-east-1a", "us-east-1b"]));
    rig.pass(Span::ZERO);
    let nodes = rig.get::<LoadBalancer>(BALANCER).expect("a row").nodes.clone();
    assert_eq!(nodes[&Zone::from("us-east-1a")], std::net::Ipv4Addr::from([127, 64, 0, 1]));
    assert_eq!(nodes.len(), 2);
    rig.tx(|tx| {
        let there = tx.all::<Subnet>().find(|row| row.zone.as_str() == "us-east-1c").map(|row| row.id.clone());
        tx.update(BALANCER, |row: &mut LoadBalancer| {
            row.subnets.remove(0);
            row.subnets.push((there.expect("a subnet"), Zone::from("us-east-1c")));
        });
    });
    rig.pass(Span::ZERO);
    let moved = rig.get::<LoadBalancer>(BALANCER).expect("a row").nodes.clone();
    let zones: Vec<_> = moved.keys().map(ToString::to_string).collect();
    assert_eq!(zones, ["us-east-1b", "us-east-1c"]);
    assert_eq!(moved[&Zone::from("us-east-1b")], nodes[&Zone::from("us-east-1b")]);
}

/// Rules count like default actions; with their load balancer listeners and rules go.
#[test]
fn rules_come_and_go_with_their_listener() {
    let mut rig = Rig::new();
    rig.addresses(&["10.9.0.1"]);
    let other = format!("{TARGET_GROUP}-other");
    rig.tx(|tx| {
        put_balancer(tx, &["us-east-1a"]);
        let vpc = tx.get::<TargetGroup>(TARGET_GROUP).expect("a group").vpc.clone();
        tx.put(TargetGroup { target_type: TargetType::Ip, ..TargetGroup::http(other.as_str().into(), "other", vpc) });
        targets::register(tx, &TargetGroupArn::from(other.as_str()), "10.9.0.2", 80);
        for (arn, priority, path) in [("second", 20, "/b"), ("first", 10, "/a")] {
            tx.put(Rule {
                arn: RuleArn::from(arn),
                listener: ListenerArn::from("listener"),
                priority,
                conditions: vec![Condition::Path(vec![Pattern::Wildcard(path.to_string())])],
                transforms: Vec::new(),
                authenticate: None,
                action: Action::forward_to(other.as_str().into()),
                orders: Vec::new(),
                tags: Tags::new(),
            });
        }
    });
    rig.pass(Span::ZERO);
    let rules = &rig.newest().load_balancers[0].listeners[0].rules;
    assert_eq!(rules.iter().map(|rule| rule.priority).collect::<Vec<_>>(), [Some(10), Some(20), None]);
    assert!(rig.newest().target_groups.iter().all(|group| group.checked));
    assert_eq!(rig.states(&other), ["initial Elb.RegistrationInProgress"]);

    rig.tx(|tx| tx.delete::<LoadBalancer>(BALANCER));
    assert_eq!(rig.states(&other), ["unused Target.NotInUse"], "at once");
    rig.pass(Span::ZERO);
    assert!(rig.all::<Listener>().is_empty() && rig.all::<Rule>().is_empty());
    assert!(rig.newest().target_groups.iter().all(|group| !group.checked));
}

/// `use_load_balancer_configuration` is what the load balancer says: always
/// on for an application load balancer, off for a network one unless it is set.
#[test]
fn alb_3_1_cross_zone() {
    for (family, balancer, group, expected) in [
        (Family::Application, None, None, true),
        (Family::Application, None, Some("false"), false),
        (Family::Network, None, None, false),
        (Family::Network, Some("true"), None, true),
        (Family::Network, Some("true"), Some("use_load_balancer_configuration"), true),
        (Family::Network, Some("true"), Some("false"), false),
        (Family::Network, None, Some("true"), true),
    ] {
        let mut rig = Rig::new();
        rig.target_group();
        let key = || "load_balancing.cross_zone.enabled".to_string();
        rig.tx(|tx| {
            put_balancer(tx, &["us-east-1a"]);
            tx.update(BALANCER, |row: &mut LoadBalancer| {
                row.family = family;
                row.attributes.extend(balancer.map(|value| (key(), value.to_string())));
            });
            tx.update(TARGET_GROUP, |row: &mut TargetGroup| {
                row.protocol = if family == Family::Network { Protocol::Udp } else { Protocol::Http };
                row.attributes.extend(group.map(|value: &str| (key(), value.to_string())));
            });
        });
        rig.pass(Span::ZERO);
        let crosses = rig.newest().target_groups[0].cross_zone;
        assert_eq!(crosses, expected, "{family:?} {balancer:?} {group:?}");
    }
}
