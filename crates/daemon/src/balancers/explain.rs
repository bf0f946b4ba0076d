//! Which rule a request hits, and why: the data plane's own matching, over the
//! snapshot that it was given last.

use super::views::{self, RuleView, group_name, name_in};
use crate::server::Server;
use elastane_domain::routing::{Action, Family, Listener, LoadBalancer, Snapshot};
use elastane_domain::rules::{self, RedirectTemplate, RequestParts, RuleSet};
use elastane_engine::State;
use elastane_proxy::http::request::normalised_path;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A request that nobody sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// `http://host[:port]/path?query`.
    pub url: String,
    /// Its method.
    pub method: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub source: IpAddr,
    /// The load balancer, when the URL's host does not tell.
    pub load_balancer: Option<String>,
}

/// What happens to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The load balancer's name.
    pub load_balancer: String,
    /// The listener's port.
    pub port: u16,
    /// How the listener was found.
    pub found_by: String,
    /// Its rules by priority, with what each says.
    pub rules: Vec<RuleVerdict>,
    /// What follows: the address of a redirect, or the groups that requests are forwarded to.
    pub outcome: Vec<String>,
}

/// What a rule says about the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleVerdict {
    /// The rule.
    pub rule: RuleView,
    /// Whether its conditions hold.
    pub matched: bool,
    /// Whether it is the one that the request hits.
    pub chosen: bool,
    /// Each condition: whether it holds, and why.
    pub why: Vec<(bool, String)>,
}

/// A URL's parts.
struct Url<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
    path: &'a str,
    query: Option<&'a str>,
}

fn parse(url: &str) -> Result<Url<'_>, String> {
    let (scheme, rest) = url.split_once("://").ok_or("the URL must begin with http:// or https://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, Some(port.parse().map_err(|_| format!("{port:?} is not a port"))?))
        }
        Some(_) | None => (authority, None),
    };
    if host.is_empty() || !matches!(scheme, "http" | "https") {
        return Err("the URL must name a host, with http:// or https:// before it".to_string());
    }
    Ok(Url { scheme, host, port, path: if path.is_empty() { "/" } else { path }, query })
}

/// The question as rules see requests.
struct Asked<'a> {
    question: &'a Question,
    url: &'a Url<'a>,
    host: &'a str,
    /// The path in the form that rules are written for, where it is another.
    path: Option<Vec<u8>>,
}

impl rules::Request for Asked<'_> {
    fn method(&self) -> &[u8] {
        self.question.method.as_bytes()
    }

    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_deref().unwrap_or(self.url.path.as_bytes())
    }

    fn query(&self) -> Option<&[u8]> {
        self.url.query.map(str::as_bytes)
    }

    fn each_header(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        let given = &self.question.headers;
        if !given.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            each(b"host", self.url.host.as_bytes());
        }
        given.iter().for_each(|(name, value)| each(name.as_bytes(), value.as_bytes()));
    }

    fn source(&self) -> IpAddr {
        self.question.source
    }
}

/// Explains what happens to a request.
///
/// # Errors
/// The URL cannot be understood, or leads to no listener: why.
pub(super) fn explain(server: &Server, question: &Question) -> Result<Explanation, String> {
    let snapshot = views::snapshot(server);
    let engine = server.shell.engine();
    let url = parse(&question.url)?;
    let own = server.about.endpoint.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let (balancer, listener, found_by) = find(&snapshot, engine.state(), question, &url, own)?;
    if balancer.family == Family::Network {
        return Err(format!("{} forwards connections; only application load balancers have rules", balancer.dimension));
    }
    // A Host header decides instead of the URL's host, as it does on the wire.
    let given = question.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = given.map_or(url.host, |(_, value)| without_port(value));
    let set = RuleSet::compile(&listener.rules).map_err(|err| format!("the rules cannot be compiled: {err:?}"))?;
    let asked = Asked { question, url: &url, host, path: normalised_path(url.path.as_bytes()) };
    let mut outcome = Vec::new();
    let verdicts = set.explain(&asked).into_iter().map(|explained| {
        let rule = &listener.rules[explained.index];
        if explained.chosen {
            outcome = follow(engine.state(), &snapshot, &rule.action, &url, host, listener);
        }
        let told = |one: &rules::ExplainedCondition| (one.held, format!("{}: {}", one.field, one.why));
        RuleVerdict {
            rule: views::rule(rule),
            matched: explained.matched,
            chosen: explained.chosen,
            why: explained.conditions.iter().map(told).collect(),
        }
    });
    let rules = verdicts.collect();
    let load_balancer = name_in(&balancer.dimension).to_string();
    Ok(Explanation { load_balancer, port: listener.port, found_by, rules, outcome })
}

/// A `Host` header's value without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        Some(_) | None => host,
    }
}

/// The listener that a URL leads to, and how it was found.
fn find<'a>(
    snapshot: &'a Snapshot,
    state: &State,
    question: &Question,
    url: &Url<'_>,
    main_port: Option<u16>,
) -> Result<(&'a LoadBalancer, &'a Listener, String), String> {
    let host = url.host.to_ascii_lowercase();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let named = question.load_balancer.as_deref();
    let all = &snapshot.load_balancers;
    let wanted = |one: &&std::sync::Arc<LoadBalancer>| match named {
        Some(name) => name_in(&one.dimension) == name,
        None => {
            one.host_names.contains(&host) || address.is_some_and(|address| one.addresses().any(|one| one == address))
        }
    };
    let balancer = match (all.iter().find(wanted), all.as_slice()) {
        (Some(one), _) => one,
        (None, [only]) if named.is_none() => only,
        (None, _) => {
            let names: Vec<&str> = all.iter().map(|one| name_in(&one.dimension)).collect();
            return Err(format!(
                "no load balancer is at {}: name one of {} with --load-balancer",
                url.host,
                if names.is_empty() { "none that exists".to_string() } else { names.join(", ") }
            ));
        }
    };
    let port = url.port.unwrap_or(if url.scheme == "https" { 443 } else { 80 });
    let is_bound = |listener: &&Listener| {
        state.seen.heard(&listener.arn).any(|(bound, _)| bound.map(|bound| bound.port()) == Some(port))
    };
    if let Some(listener) = balancer.listeners.iter().find(|listener| listener.port == port) {
        return Ok((balancer, listener, format!("it listens on port {port}")));
    }
    if let Some(listener) = balancer.listeners.iter().find(is_bound) {
        return Ok((balancer, listener, format!("port {port} stands in for its port {}", listener.port)));
    }
    match balancer.listeners.first() {
        Some(first) if main_port == Some(port) => {
            Ok((balancer, first, "the main port leads to a load balancer's first listener".to_string()))
        }
        Some(_) | None => {
            let ports: Vec<String> = balancer.listeners.iter().map(|one| one.port.to_string()).collect();
            let name = name_in(&balancer.dimension);
            Err(format!("{name} has no listener on port {port}; it has: {}", ports.join(", ")))
        }
    }
}

/// What the action leads to.
fn follow(
    state: &State,
    snapshot: &Snapshot,
    action: &Action,
    url: &Url<'_>,
    host: &str,
    listener: &Listener,
) -> Vec<String> {
    match action {
        Action::Forward(forward) => {
            let weights: u32 = forward.groups.iter().map(|(_, weight)| weight).sum();
            let told = forward.groups.iter().map(|(arn, weight)| {
                let share = (weight * 100).checked_div(weights).unwrap_or(0);
                let group = snapshot.target_groups.iter().find(|group| group.arn == *arn);
                let targets = group.map_or_else(|| "it does not exist".to_string(), |group| standing(state, group));
                format!("{} ({share} % of requests): {targets}", group_name(arn.as_str()))
            });
            told.collect()
        }
        Action::Redirect(redirect) => {
            let mut location = Vec::new();
            let port = url.port.unwrap_or(listener.port);
            let parts = RequestParts {
                protocol: url.scheme,
                host: host.as_bytes(),
                port,
                path: url.path.as_bytes(),
                query: url.query.unwrap_or_default().as_bytes(),
            };
            match RedirectTemplate::compile(redirect).location(&parts, &mut location) {
                Ok(()) => vec![format!("Location: {}", String::from_utf8_lossy(&location))],
                Err(_) => vec!["the redirect's address is too long: the answer is an error".to_string()],
            }
        }
        Action::FixedResponse { body, .. } => vec![format!("{} bytes of body", body.len())],
    }
}

/// How many targets of a group are in which state.
fn standing(state: &State, group: &elastane_domain::routing::TargetGroup) -> String {
    use elastane_domain::routing::{Admission, TargetHealth};
    let (mut healthy, mut unhealthy, mut initial, mut draining, mut unused) = (0, 0, 0, 0, 0);
    for target in &group.targets {
        match (target.admission, state.seen.health.get(&group.key(target))) {
            (Admission::Draining { .. }, _) => draining += 1,
            (Admission::Unused, _) => unused += 1,
            (Admission::Registered, Some(TargetHealth::Healthy)) => healthy += 1,
            (Admission::Registered, Some(TargetHealth::Unhealthy(_))) => unhealthy += 1,
            (Admission::Registered, Some(TargetHealth::Initial) | None) => initial += 1,
        }
    }
    format!("{healthy} healthy, {unhealthy} unhealthy, {initial} initial, {draining} draining, {unused} unused")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules see the path in its normal form, as they do in the data plane.
    #[test]
    fn alb_2_1_paths_are_normalised() {
        for (url, seen) in [
            ("http://shop.test/a/../b/%7euser", "/b/~user"),
            ("http://shop.test/a%2fb?x=/../", "/a%2Fb"),
            ("http://shop.test/plain", "/plain"),
        ] {
            let question = Question {
                url: url.to_string(),
                method: "GET".to_string(),
                headers: Vec::new(),
                source: [127, 0, 0, 1].into(),
                load_balancer: None,
            };
            let parsed = parse(url).unwrap();
            let path = normalised_path(parsed.path.as_bytes());
            let asked = Asked { question: &question, url: &parsed, host: parsed.host, path };
            assert_eq!(rules::Request::path(&asked), seen.as_bytes(), "{url}");
        }
    }

    /// URLs and their parts; what is none is refused.
    #[test]
    fn urls() {
        for (text, host, port, path, query) in [
            ("http://shop.test", "shop.test", None, "/", None),
            ("https://shop.test:8443/a/b?x=1&y#part", "shop.test", Some(8443), "/a/b", Some("x=1&y")),
            ("http://127.0.0.1?x", "127.0.0.1", None, "/", Some("x")),
            ("http://[fd65::1]:8080/", "[fd65::1]", Some(8080), "/", None),
            ("http://[fd65::1]/a", "[fd65::1]", None, "/a", None),
        ] {
            let url = parse(text).unwrap();
            assert_eq!((url.host, url.port, url.path, url.query), (host, port, path, query), "{text}");
        }
        for (host, name) in [("a.test:80", "a.test"), ("a.test", "a.test"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(without_port(host), name);
        }
        for text in ["shop.test/", "ftp://shop.test/", "http:///path", "http://shop.test:port/"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
