//! The life of a group and of its members.

use super::*;
use crate::telemetry::Traffic;
use elastane_domain::group::TerminationPolicy;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::series::MetricId;

fn web() -> TargetGroupArn {
    TargetGroupArn::from(TARGET_GROUP)
}

fn statuses(rig: &Rig) -> BTreeMap<Status, usize> {
    let mut counts = BTreeMap::new();
    for row in rig.all::<Activity>() {
        *counts.entry(row.status.name()).or_default() += 1;
    }
    counts
}

/// AWS's word for an activity's status.
type Status = &'static str;

/// Out over three zones, in again after the drain, then gone: activities and targets follow.
#[test]
fn a_group_grows_drains_and_goes() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.group("web", (0, 6), 6, |group| group.target_groups.push(web()));
    rig.pass(Span::ZERO);
    let zones: Vec<Zone> = rig.members("web").iter().map(|row| row.zone.clone()).collect();
    for zone in network::zones(&Region::from("us-east-1")) {
        assert_eq!(zones.iter().filter(|one| **one == zone).count(), 2, "{zone}");
    }
    assert_eq!(rig.all::<Target>().len(), 6);
    assert_eq!(statuses(&rig), BTreeMap::from([("Successful", 6)]));

    rig.tx(|tx| tx.update("web", |group: &mut Group| group.desired = 3));
    rig.pass(Span::ZERO);
    let going = |rig: &Rig| {
        let leaves = |row: &Arc<Instance>| {
            row.membership.as_ref().is_some_and(|place| place.lifecycle == LifecycleState::Terminating)
        };
        rig.members("web").iter().filter(|row| leaves(row)).count()
    };
    assert_eq!(going(&rig), 3, "they wait for requests in flight");
    assert_eq!(rig.admissions(), BTreeSet::from(["draining", "registered"]));
    rig.pass(Span::from_secs(299));
    assert_eq!(going(&rig), 3);
    rig.pass(Span::from_secs(1));
    assert_eq!((rig.members("web").len(), rig.all::<Target>().len()), (3, 3));
    assert_eq!(statuses(&rig), BTreeMap::from([("Successful", 9)]));

    rig.tx(|tx| {
        tx.update("web", |group: &mut Group| (group.deleting, group.desired) = (true, 0));
    });
    rig.pass(Span::ZERO);
    rig.tell_targets(|target| ProxyFact::Drained { target });
    rig.pass(Span::ZERO);
    assert!(rig.get::<Group>("web").is_none() && rig.members("web").is_empty(), "drained is soon enough");
    assert!(rig.engine.state().seen.drained.is_empty());
    rig.pass(Span::from_mins(61));
    assert!(rig.all::<Instance>().is_empty());
}

/// A target group that is detached while a member drains in it is waited for all the same.
#[test]
fn a_detached_target_group_still_drains() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.group("web", (0, 6), 1, |group| group.target_groups.push(web()));
    rig.pass(Span::ZERO);
    rig.tx(|tx| {
        tx.update("web", |group: &mut Group| group.desired = 0);
    });
    rig.pass(Span::ZERO);
    rig.tx(|tx| tx.update("web", |group: &mut Group| group.target_groups.clear()));
    rig.pass(Span::ZERO);
    assert_eq!(rig.members("web")[0].phase, Phase::Running);
    rig.pass(Span::from_secs(300));
    assert!(rig.members("web").is_empty());
}

/// A thousand instances are wanted: they are launched at once, in batches, without waiting for a timer.
#[test]
fn large_groups_are_launched_at_once() {
    let mut rig = Rig::new();
    rig.group("web", (0, 1_000), 1_000, |_| {});
    rig.pass(Span::ZERO);
    assert_eq!(rig.members("web").len(), 1_000);
    assert_eq!(rig.now, START);
    rig.tx(|tx| tx.update("web", |group: &mut Group| group.desired = 0));
    rig.pass(Span::ZERO);
    assert!(rig.members("web").is_empty());
}

/// When all that is left is protected, one activity says so for each change of desired.
#[test]
fn protection_is_told_once() {
    let mut rig = Rig::new();
    rig.group("web", (0, 9), 2, |group| group.protect_new = true);
    rig.pass(Span::ZERO);
    let told = |rig: &Rig| rig.all::<Activity>().iter().filter(|row| row.description.contains("protected")).count();
    for (desired, times) in [(1, 1), (1, 1), (0, 2), (2, 2), (0, 3)] {
        rig.tx(|tx| tx.update("web", |group: &mut Group| group.desired = desired));
        rig.pass(Span::from_mins(1));
        rig.pass(Span::from_mins(1));
        assert_eq!((told(&rig), rig.members("web").len()), (times, 2), "desired {desired}");
    }
}

/// A member that dies is replaced; a template that is gone fails, backs off, and is tried again.
#[test]
fn the_dead_are_replaced() {
    let mut rig = Rig::new();
    rig.group("web", (1, 1), 1, |group| group.termination_policies = vec![TerminationPolicy::Default]);
    rig.pass(Span::ZERO);
    let first = rig.members("web")[0].clone();
    let (instance, generation) = (first.id.clone(), first.generation);
    rig.tell(vec![Fact::Host(HostFact::Exited { instance, generation })]);
    rig.pass(Span::ZERO);
    assert_eq!(rig.members("web").len(), 1);
    assert_ne!(rig.members("web")[0].id, first.id);
    assert!(matches!(rig.get::<Instance>(first.id.as_str()).expect("a row").phase, Phase::Terminated { .. }));

    rig.tx(|tx| {
        tx.delete::<LaunchTemplate>(TEMPLATE);
        tx.update("web", |group: &mut Group| (group.bounds.max, group.desired) = (2, 2));
    });
    rig.pass(Span::ZERO);
    rig.pass(Span::from_secs(29));
    assert_eq!(statuses(&rig).get("Failed"), Some(&1));
    rig.pass(Span::from_secs(1));
    assert_eq!(statuses(&rig).get("Failed"), Some(&2));
    rig.tx(|tx| tx.put(template()));
    rig.pass(Span::from_secs(60));
    assert_eq!(rig.members("web").len(), 2);
}

/// Only a target group that once had a healthy member may call others unhealthy.
#[test]
fn elb_health_counts_after_the_first_success() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.group("web", (1, 1), 1, |group| {
        group.target_groups.push(web());
        group.checks_elb = true;
    });
    rig.pass(Span::ZERO);
    let first = rig.members("web")[0].id.clone();
    let reason = elastane_domain::routing::UnhealthyReason::Timeout;
    let sick = |target| ProxyFact::Health { target, health: TargetHealth::Unhealthy(reason) };
    rig.tell_targets(sick);
    rig.pass(Span::ZERO);
    assert_eq!(rig.members("web")[0].id, first, "the application may never have been up");
    rig.all_healthy();
    rig.tell_targets(sick);
    let ids: Vec<InstanceId> = rig.members("web").iter().map(|row| row.id.clone()).collect();
    assert_eq!(ids.len(), 2, "one drains, one is launched");
}

/// Who falls ill is replaced at once, and yet the minute's metrics tell of it.
#[test]
fn who_fell_ill_was_counted() {
    let mut rig = Rig::new();
    rig.target_group();
    load_balancer(&mut rig);
    rig.group("web", (1, 1), 1, |group| {
        group.target_groups.push(web());
        group.checks_elb = true;
    });
    rig.pass(Span::ZERO);
    rig.all_healthy();
    let count = |rig: &Rig, name: &str| {
        let row = rig.get::<TargetGroup>(web().as_str()).expect("it was made");
        let dimensions = [("LoadBalancer", "app/web/1"), ("TargetGroup", row.dimension())];
        let id = MetricId::new("AWS/ApplicationELB", name, &dimensions);
        let minute = Span::from_mins(1);
        let sets = rig.engine.state().metrics[&rig.scope].get(&id, START, rig.now + minute, minute, None);
        sets.last().map(|(_, set)| (set.min, set.max))
    };
    let report = |rig: &mut Rig| rig.tell(vec![Fact::Traffic(Traffic { at: rig.now, ..Traffic::default() })]);
    report(&mut rig);
    assert_eq!(count(&rig, "UnHealthyHostCount"), Some((0.0, 0.0)));
    assert_eq!(count(&rig, "HealthyHostCount"), Some((1.0, 1.0)));

    rig.now += Span::from_mins(1);
    let reason = elastane_domain::routing::UnhealthyReason::Timeout;
    rig.tell_targets(|target| ProxyFact::Health { target, health: TargetHealth::Unhealthy(reason) });
    assert_eq!(rig.members("web").len(), 2, "one drains, one is launched");
    report(&mut rig);
    assert_eq!(count(&rig, "UnHealthyHostCount"), Some((0.0, 1.0)));

    rig.now += Span::from_mins(1);
    report(&mut rig);
    assert_eq!(count(&rig, "UnHealthyHostCount"), Some((0.0, 0.0)), "each minute begins anew");
}

/// Targets in a zone that their load balancer is not enabled in take no requests.
#[test]
fn zones_that_are_not_enabled() {
    let mut rig = Rig::new();
    rig.target_group();
    load_balancer(&mut rig);
    rig.group("web", (0, 6), 2, |group| group.target_groups.push(web()));
    rig.pass(Span::ZERO);
    assert_eq!(rig.admissions(), BTreeSet::from(["registered", "unused"]));
}

/// A load balancer of one zone that forwards to the target group `web`.
fn load_balancer(rig: &mut Rig) {
    let balancer = LoadBalancerArn::from("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/1");
    rig.tx(|tx| {
        let subnet = tx.all::<Subnet>().find(|row| row.zone.as_str() == "us-east-1a").expect("it is there").clone();
        tx.put(LoadBalancer {
            arn: balancer.clone(),
            name: "web".to_string(),
            dns_name: "web.localhost".to_string(),
            scheme: "internal".to_string(),
            created_at: START,
            vpc: subnet.vpc.clone(),
            subnets: vec![(subnet.id.clone(), subnet.zone.clone())],
            security_groups: Vec::new(),
            family: elastane_domain::routing::Family::Application,
            nodes: BTreeMap::from([(Zone::from("us-east-1a"), [127, 64, 0, 1].into())]),
            private_addresses: BTreeMap::new(),
            private_link_rules: None,
            ip_address_type: "ipv4".to_string(),
            capacity: None,
            shifted_away: Vec::new(),
            attributes: BTreeMap::new(),
            tags: Tags::new(),
        });
        tx.put(Listener::http(
            ListenerArn::from("listener"),
            balancer.clone(),
            80,
            elastane_domain::routing::Action::forward_to(web()),
        ));
    });
}
