//! Which target gets a request: stickiness, zones, anomalies, and what a
//! successor knows, over real sockets.

use crate::support::*;
use elastane_domain::routing::{
    Action, Admission, Algorithm, Forward, Node, ProxyFact, Stickiness, StickinessKind, TargetGroup, TargetHealth,
};
use elastane_proxy::Count;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The names and values of the cookies that a response sets.
fn cookies(response: &Response) -> Vec<(String, String)> {
    let lines = response.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: "));
    let pairs = lines.filter_map(|line| line.split(';').next()?.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn names(response: &Response) -> Vec<String> {
    cookies(response).into_iter().map(|(name, _)| name).collect()
}

/// The Cookie header that a browser sends back.
fn given_back(response: &Response) -> String {
    let pairs: Vec<String> = cookies(response).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

fn get_with(address: SocketAddrV4, cookies: &str) -> Response {
    send(&mut connect(address), &format!("GET / HTTP/1.1\r\nHost: x.test\r\nCookie: {cookies}\r\n\r\n"))
}

fn non_sticky(world: &World) -> u64 {
    world.proxy.collect().load_balancers[0].report.count(Count::NonStickyRequests)
}

/// A client with the load balancer's cookie stays with its target, while it takes requests.
#[test]
fn alb_4_clients_stay_with_their_target() {
    let servers = [Server::named("one"), Server::named("two"), Server::named("three")];
    let mut world = World::with(1, &[&servers[0], &servers[1], &servers[2]]);
    world.group.stickiness = Some(Stickiness { kind: StickinessKind::LoadBalancerCookie, secs: 86_400 });
    world.apply();
    let first = get(world.address(), "/");
    assert_eq!(names(&first), ["AWSALB", "AWSALBCORS"]);
    assert_eq!(non_sticky(&world), 1);
    for _ in 0..6 {
        let again = get_with(world.address(), &format!("other=1; {}", given_back(&first)));
        assert_eq!((again.text(), names(&again)), (first.text(), names(&first)), "and the cookies are set anew");
    }
    assert_eq!(non_sticky(&world), 0);
    let seen: BTreeSet<String> = (0..6).map(|_| get(world.address(), "/").text()).collect();
    assert_eq!(seen.len(), 3, "others are not");
    let place = ["one", "two", "three"].iter().position(|name| *name == first.text()).unwrap();
    world.set_admission(servers[place].address, Admission::Unused);
    world.apply();
    let moved = get_with(world.address(), &given_back(&first));
    assert_ne!(moved.text(), first.text());
    let stays = get_with(world.address(), &given_back(&moved));
    assert_eq!(stays.text(), moved.text());
}

/// The application's cookie begins a session, and passes unchanged.
#[test]
fn alb_4_4_sessions_of_the_application() {
    let session = |name: &'static str| {
        Server::start(move |_, head, stream| {
            let extra = if head.contains("session=") { "" } else { "Set-Cookie: session=abc; HttpOnly\r\n" };
            respond(stream, 200, extra, name.as_bytes());
            true
        })
    };
    let servers = [session("one"), session("two")];
    let mut world = World::with(1, &[&servers[0], &servers[1]]);
    let kind = StickinessKind::ApplicationCookie("session".to_owned());
    world.group.stickiness = Some(Stickiness { kind, secs: 86_400 });
    world.apply();
    let first = get(world.address(), "/");
    assert!(first.head.contains("Set-Cookie: session=abc; HttpOnly\r\n"), "{}", first.head);
    assert_eq!(names(&first).iter().filter(|name| *name == "AWSALBAPP-0").count(), 1, "{}", first.head);
    for _ in 0..4 {
        assert_eq!(get_with(world.address(), &given_back(&first)).text(), first.text());
    }
    let without = given_back(&first).replace("session=", "sessions=");
    let seen: BTreeSet<String> = (0..4).map(|_| get_with(world.address(), &without).text()).collect();
    assert_eq!(seen.len(), 2, "without the application's cookie there is no session");
}

/// A client with a group's cookie stays with the group, whatever the weights.
#[test]
fn alb_4_5_clients_stay_with_their_group() {
    let servers = [Server::named("one"), Server::named("two")];
    let mut world = World::with(1, &[&servers[0]]);
    world.others = vec![unchecked_group("arn:other", servers[1].address)];
    let forward = |weights: [u32; 2]| {
        let groups = vec![(GROUP.into(), weights[0]), ("arn:other".into(), weights[1])];
        Action::Forward(Forward { groups, stickiness_secs: Some(1_000), unused_stickiness_secs: None })
    };
    world.balancer.listeners[0].rules[0].action = forward([1, 0]);
    world.apply();
    let first = get(world.address(), "/");
    assert_eq!(
        (first.text(), names(&first)),
        ("one".to_owned(), vec!["AWSALBTG".to_owned(), "AWSALBTGCORS".to_owned()])
    );
    world.balancer.listeners[0].rules[0].action = forward([0, 1]);
    world.apply();
    assert_eq!(get(world.address(), "/").text(), "two");
    assert_eq!(get_with(world.address(), &given_back(&first)).text(), "one");
}

/// Without cross-zone each node uses the targets of its zone, and counts are by zone.
#[test]
fn alb_3_2_nodes_and_zones() {
    let servers = [Server::named("one"), Server::named("two")];
    let mut world = World::new(1);
    let node = |zone: &str, last| Node {
        zone: zone.into(),
        address: Ipv4Addr::new(127, 0, 0, last),
        ipv6: None,
        interface: None,
    };
    world.balancer.nodes = vec![node("us-east-1a", 1), node("us-east-1b", 2)];
    world.group.cross_zone = false;
    world.add(servers[0].address);
    world.add(servers[1].address);
    world.group.targets[1].zone = Some("us-east-1b".into());
    world.apply();
    world.wait_healthy(servers[0].address);
    world.wait_healthy(servers[1].address);
    let of_node = |world: &World, last| {
        let bound = world.seen.iter().rev().find_map(|fact| match fact {
            ProxyFact::Listening { node, bound, .. } if *node == Ipv4Addr::new(127, 0, 0, last) => *bound,
            _ => None,
        });
        bound.unwrap()
    };
    for (last, want, requests) in [(1, "one", 3), (2, "two", 2)] {
        for _ in 0..requests {
            assert_eq!(get(of_node(&world, last), "/").text(), want);
        }
    }
    let counters = world.proxy.collect();
    let of_balancer: Vec<u64> =
        counters.load_balancers[0].zones.iter().map(|zone| zone.report.count(Count::Requests)).collect();
    let of_group: Vec<u64> =
        counters.target_groups[0].zones.iter().map(|zone| zone.report.count(Count::Target2xx)).collect();
    assert_eq!((of_balancer, of_group), (vec![3, 2], vec![3, 2]));
    assert_eq!(counters.load_balancers[0].report.response_time.count, 5);
    world.balancer.options.shifted_away = vec!["us-east-1a".into()];
    world.seen.clear();
    world.apply();
    // It may come before the word that the snapshot is in force.
    let is_one = |fact: &ProxyFact| matches!(fact, ProxyFact::ZonesInDns { zones, .. } if zones.len() == 1);
    let known = world.seen.iter().find(|fact| is_one(fact)).cloned();
    let zones = known.unwrap_or_else(|| world.wait(is_one));
    assert_eq!(zones, ProxyFact::ZonesInDns { load_balancer: "arn:balancer".into(), zones: vec!["us-east-1b".into()] });
}

/// A target that fails unlike its peers is found, gets less, and comes back.
#[test]
fn alb_3_4_anomaly_and_mitigation() {
    let broken = Arc::new(AtomicBool::new(true));
    let (bad, others) = (broken.clone(), [Server::named("two"), Server::named("three")]);
    let first = Server::start(move |_, _, stream| {
        respond(stream, if bad.load(Ordering::SeqCst) { 500 } else { 200 }, "", b"one");
        true
    });
    let mut world = World::with(1, &[&first, &others[0], &others[1]]);
    world.group.algorithm = Algorithm::WeightedRandom { mitigate: true };
    world.apply();
    let address = world.address();
    let requests = std::thread::spawn({
        let stop = broken.clone();
        move || {
            // Until it is found, and then as many again as make it normal.
            while stop.load(Ordering::SeqCst) {
                get(address, "/");
            }
            for _ in 0..50 {
                get(address, "/");
            }
        }
    });
    let is = |fact: &ProxyFact, want: bool| matches!(fact, ProxyFact::Anomaly { target, anomalous, .. } if target.address == first.address && *anomalous == want);
    let found = world.wait(|fact| is(fact, true));
    assert!(matches!(found, ProxyFact::Anomaly { mitigated: true, .. }), "{found:?}");
    broken.store(false, Ordering::SeqCst);
    world.wait(|fact| is(fact, false));
    requests.join().unwrap();
}

/// Targets of groups without checks are healthy at once.
#[test]
fn alb_5_1_unchecked_targets_take_requests() {
    let server = Server::named("one");
    server.well.store(false, Ordering::SeqCst);
    let mut world = World::new(1);
    world.add(server.address);
    world.group.check.enabled = false;
    world.apply();
    world.wait_healthy(server.address);
    assert_eq!(get(world.address(), "/").text(), "one");
}

/// A successor knows at once who is healthy: no request goes to the others.
#[test]
fn health_is_handed_to_a_successor() {
    let (well, sick) = (Server::named("well"), Server::named("sick"));
    sick.well.store(false, Ordering::SeqCst);
    let mut old = World::new(1);
    old.add(well.address);
    old.add(sick.address);
    old.apply();
    old.wait_healthy(well.address);
    let unhealthy = |fact: &ProxyFact| matches!(fact, ProxyFact::Health { target, health: TargetHealth::Unhealthy(_) } if target.address == sick.address);
    if !old.seen.iter().any(unhealthy) {
        old.wait(unhealthy);
    }
    let mut new = World::new(1);
    new.proxy.seed_health(old.proxy.export_health());
    new.group = TargetGroup { targets: old.group.targets.clone(), ..new.group };
    new.apply();
    assert!(new.seen.iter().any(unhealthy), "told before the snapshot is in force");
    for _ in 0..4 {
        assert_eq!(get(new.address(), "/").text(), "well");
    }
    let text = new.proxy.prometheus();
    assert!(text.contains("elastane_lb_requests_total{load_balancer="), "{text}");
}
