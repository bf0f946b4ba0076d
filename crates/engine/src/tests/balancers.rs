//! Interfaces of load balancers, and what connections to targets come from.

use super::*;

pub(super) const BALANCER: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/1";

/// A load balancer in the default subnets of these zones, in front of `web`.
pub(super) fn put(tx: &mut Tx<'_>, zones: &[&str]) {
    let enabled = |row: &&Arc<Subnet>| zones.iter().any(|zone| row.zone.as_str() == *zone);
    let subnets: Vec<_> = tx.all::<Subnet>().filter(enabled).map(|row| (row.id.clone(), row.zone.clone())).collect();
    let vpc = network::default_vpc(&tx.view()).expect("a default network").id.clone();
    tx.put(LoadBalancer {
        arn: LoadBalancerArn::from(BALANCER),
        name: "web".to_string(),
        dns_name: "Web-1.elb.localhost".to_string(),
        scheme: "internal".to_string(),
        created_at: START,
        vpc,
        subnets,
        security_groups: vec![SecurityGroupId::from("sg-front")],
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
        LoadBalancerArn::from(BALANCER),
        80,
        elastane_domain::routing::Action::forward_to(TargetGroupArn::from(TARGET_GROUP)),
    ));
}

fn interfaces(rig: &Rig) -> Vec<Arc<NetworkInterface>> {
    let ours = |row: &Arc<NetworkInterface>| matches!(row.owner, InterfaceOwner::LoadBalancer(_));
    let mut found: Vec<_> = rig.all::<NetworkInterface>().into_iter().filter(ours).collect();
    found.sort_by(|a, b| a.zone.cmp(&b.zone));
    found
}

/// One interface a subnet, as long as the load balancer has it, in its groups;
/// its name leads there.
#[test]
fn interfaces_follow_the_load_balancer() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.tx(|tx| put(tx, &["us-east-1a", "us-east-1b"]));
    rig.tx(super::rounds::run_one);
    rig.pass(Span::ZERO);
    let found = interfaces(&rig);
    assert_eq!(found.iter().map(|row| row.zone.as_str()).collect::<Vec<_>>(), ["us-east-1a", "us-east-1b"]);
    assert!(found.iter().all(|row| row.groups == ["sg-front".into()] && row.description == "ELB app/web/1"));
    let view = rig.engine.view(&rig.scope, rig.now).expect("a scope");
    let plan = crate::plans::compile(&view, &found[0].vpc);
    let addresses: Vec<_> = found.iter().map(|row| row.primary()).collect();
    assert_eq!(plan.names["web-1.elb.localhost"], addresses);
    assert_eq!(plan.groups["sg-front"].members.len(), 2);

    rig.tx(|tx| {
        tx.update(BALANCER, |row: &mut LoadBalancer| {
            row.subnets.truncate(1);
            row.security_groups = vec![SecurityGroupId::from("sg-other")];
        });
    });
    rig.pass(Span::ZERO);
    let left = interfaces(&rig);
    assert!(left.len() == 1 && left[0].groups == ["sg-other".into()], "{left:?}");
    rig.tx(|tx| tx.delete::<LoadBalancer>(BALANCER));
    rig.pass(Span::ZERO);
    assert!(interfaces(&rig).is_empty());
}

/// Connections to a target come from the load balancer's interface in its zone, else from its first one.
#[test]
fn sources_of_connections() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.tx(|tx| put(tx, &["us-east-1a", "us-east-1b"]));
    rig.group("web", (0, 6), 3, |group| group.target_groups.push(TargetGroupArn::from(TARGET_GROUP)));
    rig.pass(Span::ZERO);
    let found = interfaces(&rig);
    let first = rig.all::<NetworkInterface>().into_iter().find(|row| found.iter().any(|one| one.id == row.id));
    let first = first.expect("there are two").primary();
    let snapshot = rig.routes.last().expect("there was a snapshot");
    let targets = &snapshot.target_groups[0].targets;
    assert_eq!(targets.len(), 3);
    for target in targets {
        let here = found.iter().find(|row| Some(&row.zone) == target.zone.as_ref()).map(|row| row.primary());
        assert_eq!(target.source, Some(here.unwrap_or(first)), "{:?}", target.zone);
    }
}

/// A load balancer that is `dualstack` has an IPv6 address a node where the
/// machine has addresses for it, and one in all where they share the only
/// one; what was heard of an address goes with it.
#[test]
fn addresses_of_both_families() {
    use crate::network::Ipv6Plan;
    use elastane_domain::routing::ProxyFact;
    use std::net::IpAddr;
    let prefix = "fd65:6c61:1:2::".parse().expect("an address");
    for (plan, kind, wanted) in [
        (Ipv6Plan::Own(prefix), "dualstack", &["fd65:6c61:1:2::7f40:1", "fd65:6c61:1:2::7f40:2"][..]),
        (Ipv6Plan::Shared, "dualstack", &["::1"]),
        (Ipv6Plan::Missing, "dualstack", &[]),
        (Ipv6Plan::Own(prefix), "ipv4", &[]),
    ] {
        let mut rig = Rig::with(Config { ipv6: plan, ..Config::default() });
        rig.target_group();
        rig.tx(|tx| {
            put(tx, &["us-east-1a", "us-east-1b"]);
            tx.update(BALANCER, |row: &mut LoadBalancer| {
                row.ip_address_type = kind.to_string();
                row.nodes.insert(Zone::from("us-east-1b"), [127, 64, 0, 2].into());
            });
        });
        rig.pass(Span::ZERO);
        let snapshot = rig.routes.last().expect("there was a snapshot").clone();
        let balancer = &snapshot.load_balancers[0];
        let found: Vec<String> =
            balancer.nodes.iter().filter_map(|node| node.ipv6).map(|address| address.to_string()).collect();
        assert_eq!(found, wanted, "{plan:?} {kind}");
        assert_eq!(balancer.addresses().count(), 2 + wanted.len());

        let listener = ListenerArn::from("listener");
        for node in balancer.addresses().chain(["fd65:6c61:9::1".parse::<IpAddr>().expect("an address")]) {
            let (listener, note) = (listener.clone(), String::new());
            rig.tell(vec![Fact::Proxy(ProxyFact::Listening { listener, node, bound: None, note })]);
        }
        rig.tell(vec![Fact::Proxy(ProxyFact::Applied { generation: snapshot.generation })]);
        let heard = &rig.engine.state().seen.listening;
        assert_eq!(heard.len(), 2 + wanted.len(), "{heard:?}");
    }
}
