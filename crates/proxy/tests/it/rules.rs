//! What listeners do with requests (alb.md 2 and 7.3), seen from outside.

use crate::support::*;
use elastane_domain::routing::{
    Action, Cidr, Condition, Forward, ForwardedFor, Pattern, QueryPattern, Redirect, Rewrite, Rule, Transform,
};
use elastane_proxy::Count;

fn wildcard(text: &str) -> Vec<Pattern> {
    vec![Pattern::Wildcard(text.to_owned())]
}

fn with(priority: u32, condition: Condition) -> Rule {
    Rule { conditions: vec![condition], ..rule(priority, fixed(200, &priority.to_string())) }
}

/// A world whose default action answers with `default`, and with these rules before it.
fn world(rules: Vec<Rule>) -> World {
    let mut world = World::new(1);
    let listener = &mut world.balancer.listeners[0];
    listener.rules[0].action = fixed(200, "default");
    listener.rules.splice(0..0, rules);
    world.apply();
    world
}

/// A server that answers with the head it got.
fn echo() -> Server {
    Server::start(|_, head, stream| {
        respond(stream, 200, "Server: target\r\nX-Frame-Options: none\r\n", head.as_bytes());
        true
    })
}

/// Every condition, in the order of priorities; the first rule that holds wins.
#[test]
fn alb_2_conditions() {
    let header = |name: &str, value: &str| Condition::Header { name: name.to_owned(), values: wildcard(value) };
    let query = |key: &str, value: &str| {
        let pattern = |text: &str| Pattern::Wildcard(text.to_owned());
        Condition::Query(vec![QueryPattern { key: Some(pattern(key)), value: pattern(value) }])
    };
    let everyone = Cidr { network: "127.0.0.0".parse().unwrap(), prefix: 8 };
    let world = world(vec![
        with(1, Condition::Host(wildcard("*.Example.com"))),
        with(2, Condition::Path(wildcard("/img/*"))),
        with(3, header("x-version", "v?")),
        with(4, Condition::Method(vec!["PURGE".to_owned()])),
        with(5, query("beta", "yes")),
        Rule {
            conditions: vec![Condition::SourceIp(vec![everyone]), Condition::Path(wildcard("/local"))],
            ..with(6, Condition::Host(Vec::new()))
        },
    ]);
    let mut client = connect(world.address());
    for (request, want) in [
        ("GET /img/a HTTP/1.1\r\nHost: a.example.COM:80\r\n", "1"),
        ("GET /img/a HTTP/1.1\r\nHost: example.com\r\n", "2"),
        ("GET /x/%2e%2e/img/a HTTP/1.1\r\nHost: x\r\n", "2"),
        ("GET http://www.example.com/ HTTP/1.1\r\nHost: x\r\n", "1"),
        ("GET /IMG/a HTTP/1.1\r\nHost: x\r\nX-VERSION: V9\r\n", "3"),
        ("PURGE / HTTP/1.1\r\nHost: x\r\n", "4"),
        ("GET /?a=b&BETA=Yes HTTP/1.1\r\nHost: x\r\n", "5"),
        ("GET /local HTTP/1.1\r\nHost: x\r\n", "6"),
        ("GET / HTTP/1.1\r\nHost: x\r\n", "default"),
    ] {
        assert_eq!(send(&mut client, &format!("{request}\r\n")).text(), want, "{request:?}");
    }
    let report = &world.proxy.collect().load_balancers[0].report;
    assert_eq!((report.count(Count::FixedResponses), report.count(Count::Requests)), (9, 0));
    assert!(report.count(Count::RuleEvaluations) >= 9);
}

/// A redirect's parts come from the request or from the action; what becomes
/// too long is 507.
#[test]
fn alb_2_redirects() {
    let redirect = |status, [protocol, host, port, path, query]: [&str; 5]| {
        Action::Redirect(Redirect {
            status,
            protocol: protocol.to_owned(),
            host: host.to_owned(),
            port: port.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    };
    let secure = redirect(301, ["HTTPS", "#{host}", "443", "/#{path}", "#{query}"]);
    let moved = redirect(302, ["#{protocol}", "new.test", "#{port}", "/moved/#{path}", "from=#{host}"]);
    let mut world = world(vec![
        Rule { action: secure, ..with(1, Condition::Path(wildcard("/secure*"))) },
        Rule { action: moved, ..with(2, Condition::Path(wildcard("/move*"))) },
    ]);
    let mut client = connect(world.address());
    for (target, status, location) in [
        ("/secure/a?b=c", 301, "https://Old.test:443/secure/a?b=c"),
        ("/secure", 301, "https://Old.test:443/secure"),
        ("/move", 302, "http://new.test:0/moved/move?from=Old.test"),
    ] {
        let got = send(&mut client, &format!("GET {target} HTTP/1.1\r\nHost: Old.test:81\r\n\r\n"));
        assert_eq!((got.status, header(&got.head, "location")), (status, Some(location)), "{target}");
        assert_eq!(header(&got.head, "server"), Some("awselb/2.0"));
    }
    let long = "x".repeat(9_000);
    let got = send(&mut client, &format!("GET /secure/{long} HTTP/1.1\r\nHost: a.b\r\n\r\n"));
    assert_eq!((got.status, header(&got.head, "location")), (507, None));
    let report = &world.proxy.collect().load_balancers[0].report;
    let counted = [Count::Redirects, Count::RedirectUrlLimit, Count::Elb3xx].map(|count| report.count(count));
    assert_eq!(counted, [3, 1, 3]);
    world.apply();
}

/// Weights share requests out; a weight of zero gets none, and nothing but
/// zeros is 503. An unknown group's weight does not count.
#[test]
fn alb_2_weights() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let mut world = World::new(1);
    world.others = vec![unchecked_group("arn:one", one.address), unchecked_group("arn:two", two.address)];
    let mut names = |weights: [u32; 2]| {
        let groups = vec![("arn:one".into(), weights[0]), ("arn:two".into(), weights[1])];
        world.balancer.listeners[0].rules[0].action =
            Action::Forward(Forward { groups, stickiness_secs: None, unused_stickiness_secs: None });
        world.apply();
        let mut client = connect(world.address());
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let answers: Vec<_> = (0..64).map(|_| send(&mut client, get)).collect();
        let named = |name: &str| answers.iter().filter(|got| got.body == name.as_bytes()).count();
        [named("one"), named("two"), answers.iter().filter(|got| got.status == 503).count()]
    };
    assert_eq!(names([1, 0]), [64, 0, 0]);
    assert_eq!(names([0, 5]), [0, 64, 0]);
    assert_eq!(names([0, 0]), [0, 0, 64]);
    let [one, two, none] = names([1, 1]);
    assert!(one > 8 && two > 8 && none == 0, "{one} {two}");
}

/// A client stays with its target group while it shows the cookie, whatever the weights.
#[test]
fn alb_4_group_stickiness() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let mut world = World::new(1);
    world.others = vec![unchecked_group("arn:one", one.address), unchecked_group("arn:two", two.address)];
    let forward = |weights: [u32; 2]| {
        let groups = vec![("arn:one".into(), weights[0]), ("arn:two".into(), weights[1])];
        Action::Forward(Forward { groups, stickiness_secs: Some(604_800), unused_stickiness_secs: None })
    };
    world.balancer.listeners[0].rules[0].action = forward([1, 0]);
    world.apply();
    let mut client = connect(world.address());
    let got = send(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let set = got.head.lines().find_map(|line| line.strip_prefix("Set-Cookie: AWSALBTG=")).expect("a cookie");
    let cookie = set.split(';').next().unwrap().to_owned();
    assert_eq!(got.text(), "one");
    world.balancer.listeners[0].rules[0].action = forward([0, 1]);
    world.apply();
    let sticky = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: a=b; AWSALBTG={cookie}\r\n\r\n");
    assert_eq!(send(&mut client, &sticky).text(), "one");
    assert_eq!(send(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").text(), "two");
    assert_eq!(send(&mut client, "GET / HTTP/1.1\r\nHost: x\r\nCookie: AWSALBTG=forged\r\n\r\n").text(), "two");
}

/// Host and URL are rewritten before the request is sent; what cannot be sent is 500.
#[test]
fn alb_2_transforms() {
    let rewrite = |regex: &str, replace: &str| Rewrite { regex: regex.to_owned(), replace: replace.to_owned() };
    let server = echo();
    let mut world = World::with(1, &[&server]);
    let rules = &mut world.balancer.listeners[0].rules;
    rules[0].transforms = vec![
        Transform::Host(rewrite("^(.*)\\.example\\.com$", "$1.internal")),
        Transform::Url(rewrite("^/api/v1/(.*)", "/v2/$1")),
    ];
    world.apply();
    let mut client = connect(world.address());
    for (target, host, want, want_host) in [
        ("/api/v1/a?b=c", "shop.example.com", "/v2/a?b=c", "shop.internal"),
        ("/other", "x.test", "/other", "x.test:0"),
    ] {
        let got = send(&mut client, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let head = got.text();
        assert_eq!((head.split(' ').nth(1), header(&head, "host")), (Some(want), Some(want_host)));
    }
    world.balancer.listeners[0].rules[0].transforms = vec![Transform::Url(rewrite("^/bad", "bad url"))];
    world.apply();
    assert_eq!(get(world.address(), "/bad").status, 500);
    assert_eq!(get(world.address(), "/good").status, 200);
}

/// Listener attributes change response headers, on targets' answers and the load balancer's own.
#[test]
fn alb_7_3_response_headers() {
    let server = echo();
    let mut world = World::with(1, &[&server]);
    let listener = &mut world.balancer.listeners[0];
    listener.headers.server = false;
    listener.headers.response = vec![("X-Frame-Options".to_owned(), "DENY".to_owned())];
    listener.rules.insert(0, with(1, Condition::Path(wildcard("/fixed"))));
    world.apply();
    for path in ["/", "/fixed"] {
        let got = get(world.address(), path);
        assert_eq!((header(&got.head, "server"), header(&got.head, "x-frame-options")), (None, Some("DENY")), "{path}");
        assert_eq!(got.head.to_ascii_lowercase().matches("x-frame-options").count(), 1);
    }
}

/// Load balancer attributes change request headers, from the next snapshot on.
#[test]
fn alb_7_request_headers() {
    let server = echo();
    let mut world = World::with(1, &[&server]);
    let request = "GET / HTTP/1.1\r\nHost: X.test\r\nX-Forwarded-For: 9.9.9.9\r\nBad_Name: 1\r\n\r\n";
    let mut client = connect(world.address());
    let head = send(&mut client, request).text();
    assert!(head.contains("Bad_Name: 1"));
    let options = &mut world.balancer.options;
    (options.forwarded_for, options.client_port, options.drop_invalid_headers) = (ForwardedFor::Append, true, true);
    options.preserve_host = true;
    world.apply();
    let head = send(&mut client, request).text();
    let port = client.local_addr().unwrap().port();
    assert_eq!(header(&head, "x-forwarded-for"), Some(format!("9.9.9.9, 127.0.0.1:{port}").as_str()));
    assert_eq!((header(&head, "host"), header(&head, "bad_name")), (Some("X.test"), None));
    world.balancer.options.forwarded_for = ForwardedFor::Remove;
    world.apply();
    assert_eq!(header(&send(&mut client, request).text(), "x-forwarded-for"), None);
    let report = &world.proxy.collect().load_balancers[0].report;
    let counted = [Count::ForwardedInvalidHeader, Count::DroppedInvalidHeader].map(|count| report.count(count));
    assert_eq!(counted, [1, 2]);
}

/// Rules that cannot be compiled stop the listener instead of letting requests
/// go where an earlier rule might not have let them: 500, until they can.
#[test]
fn alb_2_rules_that_cannot_be_compiled() {
    let broken = Condition::Path(vec![Pattern::Regex("(".to_owned())]);
    let mut world = world(vec![with(1, Condition::Path(wildcard("/one"))), with(2, broken)]);
    assert_eq!([get(world.address(), "/one").status, get(world.address(), "/").status], [500, 500]);
    world.balancer.listeners[0].rules.remove(1);
    world.apply();
    assert_eq!([get(world.address(), "/one").text(), get(world.address(), "/").text()], ["1", "default"]);
}
