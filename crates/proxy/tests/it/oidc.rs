//! Authenticating rules through a whole proxy: a browser, an OpenID Connect
//! provider and a target, all on loopback.

use crate::certificates::*;
use crate::support::*;
use elastane_domain::routing::{Condition, OidcAction, OnUnauthenticated, Pattern};
use elastane_domain::secret::SecretText;
use elastane_proxy::{Count, oidc_public_key};

const HOST: &str = "a.test";

/// A provider that knows one user; `claims` is what it says of her.
fn provider(claims: String) -> Server {
    Server::start(move |_, head, stream| {
        // Requests without a length have no body.
        let body = if header(head, "content-length").is_some() { read_body(stream, head) } else { Vec::new() };
        let body = String::from_utf8(body).unwrap();
        if head.starts_with("POST /token ") && body.contains("code=c0de") && body.contains("client_secret=s3cret") {
            respond(stream, 200, "", br#"{"access_token":"at-1","token_type":"Bearer","expires_in":3600}"#);
        } else if head.starts_with("GET /me ") && header(head, "authorization") == Some("Bearer at-1") {
            respond(stream, 200, "", claims.as_bytes());
        } else {
            respond(stream, 400, "", b"{}");
        }
        false
    })
}

/// A target that answers with the request's head.
fn mirror() -> Server {
    Server::start(|_, head, stream| {
        respond(stream, 200, "", head.as_bytes());
        true
    })
}

fn action(provider: &Server) -> OidcAction {
    OidcAction {
        issuer: "https://id.test".to_owned(),
        authorization_endpoint: "https://id.test/login".to_owned(),
        token_endpoint: format!("http://{}/token", provider.address),
        user_info_endpoint: format!("http://{}/me", provider.address),
        client_id: "shop".to_owned(),
        client_secret: SecretText::new("s3cret".to_owned()),
        session_cookie: "AWSELBAuthSessionCookie".to_owned(),
        scope: "openid".to_owned(),
        session_timeout_secs: 600,
        extra_parameters: Vec::new(),
        on_unauthenticated: OnUnauthenticated::Authenticate,
    }
}

/// A world whose listener speaks TLS and authenticates everybody.
fn world(target: &Server, action: OidcAction) -> World {
    let mut world = tls_world(1, &[target]);
    for rule in &mut world.balancer.listeners[0].rules {
        rule.authenticate = Some(Box::new(action.clone()));
    }
    world.apply();
    world
}

fn visit(world: &World, target: &str, extra: &str) -> Response {
    let mut client = tls(world.address(), &Offer::default().config(), HOST);
    ask(&mut client, &format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{extra}\r\n"))
}

/// What the browser sends back of the cookies that an answer set.
fn cookies(response: &Response) -> String {
    let lines = response.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: "));
    let pairs: Vec<&str> = lines.filter_map(|value| value.split(';').next()).collect();
    format!("Cookie: {}\r\n", pairs.join("; "))
}

/// Where an answer sends the browser: the address, and its `state`.
fn sent_to(response: &Response) -> (String, String) {
    assert_eq!(response.status, 302, "{}", response.head);
    let location = header(&response.head, "Location").unwrap().to_owned();
    let state = location.split("state=").nth(1).unwrap_or_default().split('&').next().unwrap_or_default().to_owned();
    (location, state)
}

fn count(world: &World, count: Count) -> u64 {
    world.proxy.collect().load_balancers.iter().map(|one| one.report.count(count)).sum()
}

/// A browser is sent to the provider, comes back, has a session, and the
/// target is told who it is; what the browser says of that itself is dropped.
#[test]
fn users_log_in_before_the_target() {
    let (provider, target) = (provider(r#"{"sub":"ann","email":"ann@id.test"}"#.to_owned()), mirror());
    let world = world(&target, action(&provider));
    let away = visit(&world, "/cart?a=1", "");
    let (location, state) = sent_to(&away);
    assert!(location.starts_with("https://id.test/login?client_id=shop&"), "{location}");
    let callback = format!("/oauth2/idpresponse?code=c0de&state={state}");
    let back = visit(&world, &callback, &cookies(&away));
    assert_eq!(sent_to(&back).0, format!("https://{HOST}/cart?a=1"));
    let session = cookies(&back);
    let page = visit(&world, "/cart?a=1", &format!("x-amzn-oidc-identity: eve\r\n{session}"));
    assert_eq!(page.status, 200);
    let seen = page.text();
    assert_eq!(header(&seen, "x-amzn-oidc-identity"), Some("ann"), "{seen}");
    assert_eq!(header(&seen, "x-amzn-oidc-accesstoken"), Some("at-1"));
    assert!(!seen.contains("eve"), "{seen}");
    let token = header(&seen, "x-amzn-oidc-data").unwrap();
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(oidc_public_key(&[7; 32], "other"), None);
    assert_eq!(count(&world, Count::AuthSuccess), 1);
    // Without cookies she is nobody again: that is how one logs out.
    assert_eq!(visit(&world, "/cart", "").status, 302);
    // Somebody else's browser cannot end her login.
    assert_eq!(visit(&world, &callback, "").status, 401);
}

/// The provider's faults have their statuses, and do not end the connection.
#[test]
fn alb_9_faults_of_the_provider() {
    let target = mirror();
    let large = format!(r#"{{"sub":"ann","note":"{}"}}"#, "x".repeat(11 * 1024));
    for (claims, query, status) in [
        (large.as_str(), "code=c0de", 500),
        ("junk", "code=c0de", 500),
        (r#"{"sub":"ann"}"#, "code=wrong", 561),
        (r#"{"sub":"ann"}"#, "error=access_denied", 561),
    ] {
        let provider = provider(claims.to_owned());
        let world = world(&target, action(&provider));
        let away = visit(&world, "/", "");
        let callback = format!("/oauth2/idpresponse?{query}&state={}", sent_to(&away).1);
        let mut client = tls(world.address(), &Offer::default().config(), HOST);
        let request = format!("GET {callback} HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", cookies(&away));
        assert_eq!(ask(&mut client, &request).status, status, "{query}");
        let next = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        assert_eq!(ask(&mut client, &next).status, 302, "{query}");
    }
}

/// Rules decide who must log in: one denies, one lets anybody pass, and a
/// path without a rule of its own is open.
#[test]
fn rules_decide_who_must_log_in() {
    let (provider, target) = (provider(String::new()), mirror());
    let mut world = tls_world(1, &[&target]);
    let of = |path: &str, then: OnUnauthenticated| {
        let mut rule = rule(1, elastane_domain::routing::Action::forward_to(world.group.arn.clone()));
        rule.conditions = vec![Condition::Path(vec![Pattern::Wildcard(path.to_owned())])];
        rule.authenticate = Some(Box::new(OidcAction { on_unauthenticated: then, ..action(&provider) }));
        rule
    };
    let rules = [of("/closed", OnUnauthenticated::Deny), of("/either", OnUnauthenticated::Allow)];
    for (priority, mut rule) in (1..).zip(rules) {
        rule.priority = Some(priority);
        rule.arn = format!("arn:rule/{priority}").as_str().into();
        let place = world.balancer.listeners[0].rules.len() - 1;
        world.balancer.listeners[0].rules.insert(place, rule);
    }
    world.apply();
    for (path, status) in [("/closed", 401), ("/either", 200), ("/open", 200), ("/oauth2/idpresponse?state=x", 200)] {
        assert_eq!(visit(&world, path, "").status, status, "{path}");
    }
    let seen = visit(&world, "/either", "X-Amzn-Oidc-Identity: eve\r\n").text();
    assert!(!seen.contains("eve"), "{seen}");
}
