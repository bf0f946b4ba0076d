//! Clients that come over IPv6, as requests, targets, rules, counters and logs see them.

use crate::logs::{Folder, fields};
use crate::support::*;
use elastane_domain::routing::{Action, Cidr, Condition, ForwardedFor, LogPlace, ProxyFact, Redirect, Rule};
use elastane_proxy::Count;
use std::io::Write;
use std::net::{Ipv6Addr, TcpStream};

/// A target that answers with the head that it got.
fn mirror() -> Server {
    Server::start(|_, head, stream| {
        respond(stream, 200, "", head.as_bytes());
        true
    })
}

/// The listener is at the node's IPv6 address, on the port that it has at the
/// other one if that is free, and leaves it when the node does.
#[test]
fn listeners_come_and_go() {
    let server = Server::named("a");
    let mut world = World::with(2, &[&server]);
    let Some(six) = world.listen_over_ipv6() else { return };
    let told = |fact: &&ProxyFact| matches!(fact, ProxyFact::Listening { node, .. } if node.is_ipv6());
    let Some(ProxyFact::Listening { note, .. }) = world.seen.iter().rev().find(told) else { panic!() };
    assert!(six.port() == world.address().port() || note.contains("[::1]"), "{six} {note}");
    assert_eq!(get(six, "/").text(), "a");
    assert_eq!(get(world.address(), "/").text(), "a");
    // An answer under way is finished; no other connection is taken.
    let mut waiting = connect(six);
    assert_eq!(send(&mut waiting, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").text(), "a");
    world.balancer.nodes[0].ipv6 = None;
    world.apply();
    while TcpStream::connect(six).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(get(world.address(), "/").text(), "a");
}

/// `X-Forwarded-For` names the client with and without its port, `Host` keeps
/// its brackets, and both counters of IPv6 count what came over it alone.
#[test]
fn alb_7_headers_of_ipv6_clients() {
    let server = mirror();
    let mut world = World::with(1, &[&server]);
    let Some(six) = world.listen_over_ipv6() else { return };
    let mut sent = 0;
    for (mode, client_port, given, want) in [
        (ForwardedFor::Append, false, "", Some("::1")),
        (ForwardedFor::Append, true, "", Some("[::1]:PORT")),
        (ForwardedFor::Append, true, "X-Forwarded-For: 2001:db8::7\r\n", Some("2001:db8::7, [::1]:PORT")),
        (ForwardedFor::Preserve, true, "X-Forwarded-For: 2001:db8::7\r\n", Some("2001:db8::7")),
        (ForwardedFor::Remove, true, "X-Forwarded-For: 2001:db8::7\r\n", None),
    ] {
        (world.balancer.options.forwarded_for, world.balancer.options.client_port) = (mode, client_port);
        world.apply();
        let mut client = connect(six);
        let request = format!("GET / HTTP/1.1\r\nHost: [::1]:99\r\n{given}\r\n");
        let got = send(&mut client, &request);
        sent += request.len() + got.head.len() + got.body.len();
        let head = got.text();
        let want = want.map(|want| want.replace("PORT", &client.local_addr().unwrap().port().to_string()));
        assert_eq!(header(&head, "x-forwarded-for"), want.as_deref(), "{mode:?} {client_port} {given}");
        assert!(header(&head, "host").unwrap().starts_with("[::1]"), "{head}");
    }
    get(world.address(), "/");
    let counters = world.proxy.collect();
    let report = &counters.load_balancers[0].report;
    assert_eq!(report.count(Count::Requests), 6);
    assert_eq!(report.count(Count::Ipv6Requests), 5);
    assert_eq!(report.count(Count::Ipv6ProcessedBytes), sent as u64);
    assert!(report.count(Count::ProcessedBytes) > sent as u64);
}

/// Conditions on the source know ranges of IPv6, and a redirect keeps the
/// host that a client named by address.
#[test]
fn alb_2_rules_for_ipv6_clients() {
    let server = Server::named("a");
    let mut world = World::with(1, &[&server]);
    let Some(six) = world.listen_over_ipv6() else { return };
    let from = |network: &str, prefix| Condition::SourceIp(vec![Cidr { network: network.parse().unwrap(), prefix }]);
    let redirect = Action::Redirect(Redirect {
        status: 302,
        protocol: "#{protocol}".to_owned(),
        host: "#{host}".to_owned(),
        port: "8080".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
    });
    let with = |priority, conditions, action| Rule { conditions, ..rule(priority, action) };
    let rules = &mut world.balancer.listeners[0].rules;
    rules.insert(0, with(1, vec![from("2001:db8::", 32)], fixed(200, "documentation")));
    rules.insert(1, with(2, vec![from("::1", 128), Condition::Method(vec!["PUT".to_owned()])], redirect));
    rules.insert(2, with(3, vec![from("::", 64)], fixed(200, "six")));
    world.apply();
    assert_eq!(get(six, "/").text(), "six");
    assert_eq!(get(world.address(), "/").text(), "a");
    let put = "PUT /a?b=c HTTP/1.1\r\nHost: [::1]:99\r\nContent-Length: 0\r\n\r\n";
    let moved = send(&mut connect(six), put);
    assert_eq!((moved.status, header(&moved.head, "location")), (302, Some("http://[::1]:8080/a?b=c")));
}

/// A client's address stands in brackets in the access log.
#[test]
fn alb_10_line_of_an_ipv6_client() {
    let folder = Folder::new();
    let mut world = World::start(1, Some(folder.0.clone()));
    world.balancer.options.access_log = Some(LogPlace { bucket: "bucket".to_owned(), prefix: String::new() });
    let Some(six) = world.listen_over_ipv6() else { return };
    let mut client = connect(six);
    assert_eq!(send(&mut client, "GET /x HTTP/1.1\r\nHost: [::1]\r\n\r\n").status, 503);
    let line = fields(&folder.wait_lines(1)[0]);
    assert_eq!(line[3], format!("[::1]:{}", client.local_addr().unwrap().port()));
    assert_eq!(line[12], "GET http://[::1]:0/x HTTP/1.1");
}

/// HTTP/1.0 without a host works over IPv6 as well.
#[test]
fn old_clients() {
    let server = mirror();
    let mut world = World::with(1, &[&server]);
    let Some(six) = world.listen_over_ipv6() else { return };
    let mut client = connect((Ipv6Addr::LOCALHOST, six.port()));
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let head = receive(&mut client).text();
    assert!(header(&head, "host").unwrap().starts_with("web-1.us-east-1.elb.localhost"), "{head}");
}
