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
