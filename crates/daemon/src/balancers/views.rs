//! Load balancers and targets at a glance.

use crate::server::Server;
use elastane_domain::routing::{Action, Condition, Family, LoadBalancer, Pattern, Protocol, Rule, Snapshot, Transform};
use elastane_engine::row::{Target, TargetGroup};
use elastane_engine::{State, TargetStates};
use elastane_proxy::remote::Process;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A load balancer as the data plane serves it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BalancerView {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `application` or `network`.
    pub family: String,
    /// Its DNS name, which the main port serves as well.
    pub dns_name: String,
    /// Where it is reached.
    pub nodes: Vec<NodeView>,
    /// Its listeners by port.
    pub listeners: Vec<ListenerView>,
}

/// A load balancer in a zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeView {
    /// The zone.
    pub zone: String,
    /// Its loopback address.
    pub address: String,
    /// Its IPv6 address on this machine; empty without one.
    pub ipv6_address: String,
    /// Its address inside the VPC; empty where there are no networks.
    pub private_address: String,
    /// Whether the load balancer's name leads to it.
    pub in_dns: bool,
    /// Whether traffic was shifted away from it.
    pub shifted_away: bool,
    /// The process of the data plane that serves it; `None` while none is attached.
    pub process: Option<u32>,
}

/// A listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListenerView {
    /// The port that clients name.
    pub port: u16,
    /// What it speaks.
    pub protocol: String,
    /// Where it accepts connections.
    pub bound: Vec<String>,
    /// Why it is not where it should be; empty when it is.
    pub notes: Vec<String>,
    /// Its rules by priority; the last one is the default.
    pub rules: Vec<RuleView>,
}

/// A rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleView {
    /// Its priority, or `default`.
    pub priority: String,
    /// Its conditions in words; empty for the default rule.
    pub conditions: Vec<String>,
    /// What it does, in words.
    pub action: String,
}

/// A target group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its targets.
    pub targets: Vec<TargetView>,
}

/// A target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetView {
    /// Instance id or address.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// Its state, as DescribeTargetHealth says.
    pub state: String,
    /// The reason's code; empty for a healthy one.
    pub reason: String,
    /// The reason in words; empty for a healthy one.
    pub description: String,
}

/// The name in a metric dimension, `app/<name>/<id>`.
pub(super) fn name_in(dimension: &str) -> &str {
    dimension.split('/').nth(1).unwrap_or(dimension)
}

/// The name of a target group's ARN.
pub(super) fn group_name(arn: &str) -> &str {
    arn.split_once(":targetgroup/").map_or(arn, |(_, rest)| rest.split('/').next().unwrap_or(rest))
}

/// The snapshot that the data plane was given last.
pub(super) fn snapshot(server: &Server) -> Arc<Snapshot> {
    server.world.proxy.snapshot().unwrap_or_default()
}

/// All load balancers.
pub(super) fn balancers(server: &Server) -> Vec<BalancerView> {
    let snapshot = snapshot(server);
    let engine = server.shell.engine();
    let processes = server.world.proxy.processes();
    snapshot.load_balancers.iter().map(|one| balancer(engine.state(), &processes, one)).collect()
}

fn balancer(state: &State, processes: &[Process], one: &LoadBalancer) -> BalancerView {
    let zones = state.seen.zones_in_dns.get(&one.arn);
    let node = |node: &elastane_domain::routing::Node| NodeView {
        zone: node.zone.to_string(),
        address: node.address.to_string(),
        ipv6_address: node.ipv6.map(|address| address.to_string()).unwrap_or_default(),
        private_address: node.interface.as_ref().map(|(_, address)| address.to_string()).unwrap_or_default(),
        in_dns: zones.is_none_or(|zones| zones.contains(&node.zone)),
        shifted_away: one.options.shifted_away.contains(&node.zone),
        process: processes
            .iter()
            .find(|process| process.share.serves(&node.zone))
            .and_then(|process| process.hello.as_ref().map(|hello| hello.pid)),
    };
    BalancerView {
        name: name_in(&one.dimension).to_string(),
        arn: one.arn.to_string(),
        family: match one.family {
            Family::Application => "application".to_string(),
            Family::Network => "network".to_string(),
        },
        dns_name: one.host_names.first().cloned().unwrap_or_default(),
        nodes: one.nodes.iter().map(node).collect(),
        listeners: one.listeners.iter().map(|listener| listener_view(state, listener)).collect(),
    }
}

fn listener_view(state: &State, listener: &elastane_domain::routing::Listener) -> ListenerView {
    let heard: Vec<_> = state.seen.heard(&listener.arn).collect();
    ListenerView {
        port: listener.port,
        protocol: protocol(listener.protocol).to_string(),
        bound: heard.iter().filter_map(|(bound, _)| bound.map(|address| address.to_string())).collect(),
        notes: heard.iter().filter(|(_, note)| !note.is_empty()).map(|(_, note)| note.clone()).collect(),
        rules: listener.rules.iter().map(rule).collect(),
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP",
        Protocol::Https => "HTTPS",
        Protocol::Tcp => "TCP",
        Protocol::Tls => "TLS",
        Protocol::Udp => "UDP",
        Protocol::TcpUdp => "TCP_UDP",
    }
}

/// A rule in words.
pub(super) fn rule(rule: &Rule) -> RuleView {
    RuleView {
        priority: rule.priority.map_or_else(|| "default".to_string(), |priority| priority.to_string()),
        conditions: rule.conditions.iter().map(condition).collect(),
        action: action(rule),
    }
}

fn condition(condition: &Condition) -> String {
    let pattern = |pattern: &Pattern| match pattern {
        Pattern::Wildcard(text) => text.clone(),
        Pattern::Regex(text) => format!("/{text}/"),
    };
    let patterns = |all: &[Pattern]| all.iter().map(pattern).collect::<Vec<_>>().join(" or ");
    match condition {
        Condition::Host(values) => format!("host {}", patterns(values)),
        Condition::Path(values) => format!("path {}", patterns(values)),
        Condition::Header { name, values } => format!("header {name} {}", patterns(values)),
        Condition::Method(methods) => format!("method {}", methods.join(" or ")),
        Condition::Query(values) => {
            let one = |one: &elastane_domain::routing::QueryPattern| match &one.key {
                Some(key) => format!("{}={}", pattern(key), pattern(&one.value)),
                None => pattern(&one.value),
            };
            format!("query {}", values.iter().map(one).collect::<Vec<_>>().join(" or "))
        }
        Condition::SourceIp(ranges) => {
            let ranges: Vec<String> =
                ranges.iter().map(|range| format!("{}/{}", range.network, range.prefix)).collect();
            format!("source {}", ranges.join(" or "))
        }
    }
}

fn action(rule: &Rule) -> String {
    let mut text = String::new();
    if let Some(authenticate) = &rule.authenticate {
        text = format!("authenticate with {}, then ", authenticate.issuer);
    }
    for transform in &rule.transforms {
        let (what, rewrite) = match transform {
            Transform::Host(rewrite) => ("host", rewrite),
            Transform::Url(rewrite) => ("URL", rewrite),
        };
        text += &format!("rewrite the {what} /{}/ to {}, then ", rewrite.regex, rewrite.replace);
    }
    text + &match &rule.action {
        Action::Forward(forward) => {
            let group = |(arn, weight): &(_, u32)| {
                let name = group_name(elastane_domain::id::TargetGroupArn::as_str(arn)).to_string();
                if forward.groups.len() == 1 { name } else { format!("{name} ({weight})") }
            };
            format!("forward to {}", forward.groups.iter().map(group).collect::<Vec<_>>().join(", "))
        }
        Action::Redirect(to) => {
            let query = if to.query.is_empty() { String::new() } else { format!("?{}", to.query) };
            format!("redirect {} to {}://{}:{}{}{query}", to.status, to.protocol, to.host, to.port, to.path)
        }
        Action::FixedResponse { status, .. } => format!("answer {status}"),
    }
}

/// All target groups.
pub(super) fn groups(server: &Server) -> Vec<GroupView> {
    let engine = server.shell.engine();
    let now = server.shell.clock().now();
    let mut groups = Vec::new();
    for scope in engine.state().scopes.keys() {
        let Some(view) = engine.view(scope, now) else { continue };
        groups.extend(view.tables.target_groups.values().map(|row| group(view, row)));
    }
    groups
}

fn group(view: elastane_engine::View<'_>, row: &TargetGroup) -> GroupView {
    let states = TargetStates::new(view, row);
    let target = |target: &Arc<Target>| {
        let state = states.of(Some(target));
        TargetView {
            id: target.id.clone(),
            port: target.port,
            state: state.state().to_string(),
            reason: state.reason().unwrap_or_default().to_string(),
            description: state.description().unwrap_or_default(),
        }
    };
    let targets = view.tables.targets.values().filter(|target| target.group == row.arn);
    GroupView { name: row.name.clone(), arn: row.arn.to_string(), targets: targets.map(target).collect() }
}
