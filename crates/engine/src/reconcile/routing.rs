//! Compiles the routing snapshot from rows.

use super::network;
use super::target_states::{Idle, balancer_addresses, idle, zone};
use super::targets::deregistration_delay;
use crate::engine::{Config, Plant};
use crate::row::*;
use crate::state::{State, Tables};
use elastane_domain::id::*;
use elastane_domain::routing::{
    self, Action, Admission, Algorithm, Desync, Family, ForwardedFor, HeaderSettings, LogPlace, Minimum, Node, Options,
    Snapshot, Stickiness, StickinessKind, TlsSettings,
};
use elastane_domain::time::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;
use std::sync::Arc;

/// `tcp.idle_timeout.seconds` when it was not set (alb.md 13).
const TCP_IDLE_SECS: u32 = 350;

/// Everything that the data plane must know, as of these rows.
pub(super) fn compile(state: &State, config: &Config, generation: u64) -> Snapshot {
    let plant = config.plant;
    let mut snapshot = Snapshot { generation, ..Snapshot::default() };
    for tables in state.scopes.values() {
        let used: BTreeSet<&TargetGroupArn> = actions(tables).flat_map(|(_, action)| action.target_groups()).collect();
        let fronts = Fronts::new(tables, network::made_at_all(config));
        let mut targets = targets_by_group(tables, &fronts, plant);
        for row in tables.target_groups.values() {
            let targets = targets.remove(&row.arn).unwrap_or_default();
            let crosses = fronts.balancer(tables, &row.arn).map(crosses_zones);
            let mut group = target_group(row, targets, used.contains(&row.arn), crosses);
            group.cross_zone |= plant == Some(Plant::AlwaysAcrossZones);
            snapshot.target_groups.push(Arc::new(group));
        }
        let mut listeners: BTreeMap<&LoadBalancerArn, Vec<&Listener>> = BTreeMap::new();
        for listener in tables.listeners.values() {
            listeners.entry(&listener.load_balancer).or_default().push(listener);
        }
        let mut rules: BTreeMap<&ListenerArn, Vec<&Rule>> = BTreeMap::new();
        for rule in tables.rules.values() {
            rules.entry(&rule.listener).or_default().push(rule);
        }
        for row in tables.load_balancers.values() {
            let listeners = listeners.remove(&row.arn).unwrap_or_default();
            let listeners = listeners.into_iter().map(|listener| {
                let rules = rules.remove(&listener.arn).unwrap_or_default();
                compile_listener(listener, rules, plant)
            });
            let nodes = nodes(row, &fronts, config);
            snapshot.load_balancers.push(Arc::new(load_balancer(row, listeners.collect(), nodes)));
        }
    }
    certify(state, &mut snapshot);
    snapshot.load_balancers.sort_by(|a, b| a.arn.cmp(&b.arn));
    snapshot.target_groups.sort_by(|a, b| a.arn.cmp(&b.arn));
    snapshot
}

/// All actions of all listeners of load balancers, with their listeners:
/// default actions, then those of the other rules.
pub fn actions(tables: &Tables) -> impl Iterator<Item = (&ListenerArn, &Action)> {
    let there = |row: &&Arc<Listener>| tables.load_balancers.contains_key(row.load_balancer.as_str());
    let defaults = tables.listeners.values().filter(there).map(|row| (&row.arn, &row.action));
    let rules = tables
        .rules
        .values()
        .filter(move |row| tables.listeners.get(row.listener.as_str()).is_some_and(|row| there(&row)));
    defaults.chain(rules.map(|row| (&row.listener, &row.action)))
}

/// Adds the certificates and trust stores that listeners name.
fn certify(state: &State, snapshot: &mut Snapshot) {
    let settings: Vec<&TlsSettings> = snapshot
        .load_balancers
        .iter()
        .flat_map(|balancer| balancer.listeners.iter().filter_map(|listener| listener.tls.as_ref()))
        .collect();
    let wanted: BTreeSet<&CertificateArn> = settings.iter().flat_map(|tls| &tls.certificates).collect();
    let stores: BTreeSet<&TrustStoreArn> = settings
        .iter()
        .filter_map(|tls| match &tls.client_auth {
            routing::ClientAuth::Verify { trust_store, .. } => Some(trust_store),
            routing::ClientAuth::Off | routing::ClientAuth::Passthrough => None,
        })
        .collect();
    let mut certificates = Vec::new();
    let mut trust_stores = Vec::new();
    for (scope, tables) in &state.scopes {
        let acm = tables.certificates.values().filter(|row| wanted.contains(&row.arn));
        certificates.extend(acm.filter_map(|row| certificate(&row.arn, &row.names, row.material.as_ref()?)));
        for row in tables.server_certificates.values() {
            let arn = row.arn(&scope.account);
            if wanted.contains(&arn) {
                certificates.extend(certificate(&arn, &row.names, &row.material));
            }
        }
        let used = tables.trust_stores.values().filter(|row| stores.contains(&row.arn));
        trust_stores.extend(used.map(|row| {
            Arc::new(routing::TrustStore {
                arn: row.arn.clone(),
                authorities_pem: row.authorities_pem.clone(),
                revocations_pem: row.revocations.values().cloned().collect(),
            })
        }));
    }
    certificates.sort_by(|a, b| a.arn.cmp(&b.arn));
    trust_stores.sort_by(|a, b| a.arn.cmp(&b.arn));
    (snapshot.certificates, snapshot.trust_stores) = (certificates, trust_stores);
}

fn certificate(
    arn: &CertificateArn,
    names: &[String],
    material: &CertificateMaterial,
) -> Option<Arc<routing::Certificate>> {
    let chain_pem = match &material.chain_pem {
        Some(chain) => format!("{}\n{chain}", material.body_pem.trim_end()),
        None => material.body_pem.clone(),
    };
    Some(Arc::new(routing::Certificate {
        arn: arn.clone(),
        chain_pem,
        key_pem: material.key_pem.clone(),
        names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
    }))
}

fn compile_listener(row: &Listener, mut rules: Vec<&Rule>, plant: Option<Plant>) -> routing::Listener {
    if plant != Some(Plant::RulesUnordered) {
        rules.sort_by_key(|rule| rule.priority);
    }
    let mut compiled: Vec<routing::Rule> = rules
        .into_iter()
        .map(|rule| routing::Rule {
            arn: rule.arn.clone(),
            priority: Some(rule.priority),
            conditions: rule.conditions.clone(),
            transforms: rule.transforms.clone(),
            authenticate: rule.authenticate.clone(),
            action: rule.action.clone(),
        })
        .collect();
    compiled.push(routing::Rule {
        arn: row.default_rule.clone(),
        priority: None,
        conditions: Vec::new(),
        transforms: Vec::new(),
        authenticate: row.authenticate.clone(),
        action: row.action.clone(),
    });
    if plant == Some(Plant::WeightsEven) {
        compiled.iter_mut().for_each(|rule| even(&mut rule.action));
    }
    routing::Listener {
        arn: row.arn.clone(),
        port: row.port,
        protocol: row.protocol,
        rules: compiled,
        tls: row.tls.clone(),
        headers: headers(&row.attributes),
        tcp_idle_secs: number(&row.attributes, "tcp.idle_timeout.seconds").unwrap_or(TCP_IDLE_SECS),
    }
}

/// A bug to carry: every group has the same weight.
fn even(action: &mut Action) {
    if let Action::Forward(forward) = action {
        forward.groups.iter_mut().for_each(|(_, weight)| *weight = 1);
    }
}

fn headers(attributes: &BTreeMap<String, String>) -> HeaderSettings {
    let mut settings = HeaderSettings::default();
    for (key, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
        if key == "routing.http.response.server.enabled" {
            settings.server = value == "true";
        } else if let Some(name) = between(key, "routing.http.response.", ".header_value") {
            settings.response.push((header_name(name), value.clone()));
        } else if let Some(name) = between(key, "routing.http.request.", ".header_name") {
            settings.request_names.push((name.replace('_', "-"), value.clone()));
        }
    }
    settings
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

/// `strict_transport_security` as `Strict-Transport-Security`.
fn header_name(attribute: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    attribute.split('_').filter(|part| !part.is_empty()).map(word).collect::<Vec<_>>().join("-")
}

fn number<T: FromStr>(attributes: &BTreeMap<String, String>, key: &str) -> Option<T> {
    attributes.get(key)?.parse().ok()
}

/// Where a load balancer is reached, zone by zone.
fn nodes(row: &LoadBalancer, fronts: &Fronts<'_>, config: &Config) -> Vec<Node> {
    let interface = |zone: &Zone| {
        let here = fronts.interfaces.get(&row.arn)?.iter().find(|interface| interface.zone == *zone)?;
        Some((here.vpc.clone(), here.primary()))
    };
    let node = |(place, (zone, address)): (usize, (&Zone, &Ipv4Addr))| Node {
        zone: zone.clone(),
        address: *address,
        ipv6: row.is_dual_stack().then(|| config.ipv6.of_node(place == 0, *address)).flatten(),
        interface: interface(zone),
    };
    row.nodes.iter().enumerate().map(node).collect()
}

fn load_balancer(row: &LoadBalancer, mut listeners: Vec<routing::Listener>, nodes: Vec<Node>) -> routing::LoadBalancer {
    listeners.sort_by_key(|listener| listener.port);
    routing::LoadBalancer {
        arn: row.arn.clone(),
        dimension: row.dimension().to_string(),
        family: row.family,
        host_names: vec![row.dns_name.to_ascii_lowercase(), format!("{}.elb.localhost", row.name.to_ascii_lowercase())],
        nodes,
        listeners,
        options: options(row),
    }
}

fn options(row: &LoadBalancer) -> Options {
    let attributes = &row.attributes;
    let defaults = Options::default();
    let flag = |key: &str, default: bool| attributes.get(key).map_or(default, |value| value == "true");
    let log = |name: &str| {
        let text = |part: &str| attributes.get(&format!("{name}.s3.{part}")).cloned().unwrap_or_default();
        (text("enabled") == "true").then(|| LogPlace { bucket: text("bucket"), prefix: text("prefix") })
    };
    Options {
        idle_timeout_secs: number(attributes, "idle_timeout.timeout_seconds").unwrap_or(defaults.idle_timeout_secs),
        client_keep_alive_secs: number(attributes, "client_keep_alive.seconds")
            .unwrap_or(defaults.client_keep_alive_secs),
        http2: flag("routing.http2.enabled", defaults.http2),
        desync: match attributes.get("routing.http.desync_mitigation_mode").map(String::as_str) {
            Some("monitor") => Desync::Monitor,
            Some("strictest") => Desync::Strictest,
            Some(_) | None => Desync::Defensive,
        },
        drop_invalid_headers: flag("routing.http.drop_invalid_header_fields.enabled", false),
        preserve_host: flag("routing.http.preserve_host_header.enabled", false),
        tls_headers: flag("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", false),
        client_port: flag("routing.http.xff_client_port.enabled", false),
        forwarded_for: match attributes.get("routing.http.xff_header_processing.mode").map(String::as_str) {
            Some("preserve") => ForwardedFor::Preserve,
            Some("remove") => ForwardedFor::Remove,
            Some(_) | None => ForwardedFor::Append,
        },
        access_log: log("access_logs"),
        connection_log: log("connection_logs"),
        cross_zone: crosses_zones(row),
        shifted_away: row.shifted_away.clone(),
    }
}

/// `load_balancing.cross_zone.enabled`: always for an application load balancer.
fn crosses_zones(row: &LoadBalancer) -> bool {
    let set = row.attributes.get("load_balancing.cross_zone.enabled").is_some_and(|value| value == "true");
    row.family == Family::Application || set
}

/// `crosses` is what its load balancer says about zones; `None` when none is in front of it.
fn target_group(
    row: &TargetGroup,
    targets: Vec<routing::Target>,
    checked: bool,
    crosses: Option<bool>,
) -> routing::TargetGroup {
    let attributes = &row.attributes;
    let flag = |key: &str, default: bool| attributes.get(key).map_or(default, |value| value == "true");
    let mitigate = attributes.get("load_balancing.algorithm.anomaly_mitigation").is_some_and(|value| value == "on");
    let minimum = |name: &str| Minimum {
        count: match attributes.get(&format!("target_group_health.{name}.minimum_healthy_targets.count")) {
            Some(text) => text.parse().ok(),
            None => Some(1),
        },
        percent: number(attributes, &format!("target_group_health.{name}.minimum_healthy_targets.percentage")),
    };
    let by_flow = !matches!(row.protocol, routing::Protocol::Http | routing::Protocol::Https);
    let over_tcp = matches!(row.protocol, routing::Protocol::Tcp | routing::Protocol::Tls);
    let keeps_client = match row.target_type {
        TargetType::Instance => true,
        TargetType::Ip => !over_tcp,
    };
    routing::TargetGroup {
        arn: row.arn.clone(),
        dimension: row.dimension().to_string(),
        protocol: row.protocol,
        version: row.version,
        algorithm: match attributes.get("load_balancing.algorithm.type").map(String::as_str) {
            Some("least_outstanding_requests") => Algorithm::LeastOutstandingRequests,
            Some("weighted_random") => Algorithm::WeightedRandom { mitigate },
            Some(_) | None => Algorithm::RoundRobin,
        },
        check: row.check.routing(),
        checked,
        deregistration_delay: deregistration_delay(row),
        terminate_at_deregistration: flag("deregistration_delay.connection_termination.enabled", false),
        stickiness: stickiness(attributes),
        slow_start: Span::from_secs(number(attributes, "slow_start.duration_seconds").unwrap_or(0)),
        cross_zone: match attributes.get("load_balancing.cross_zone.enabled").map(String::as_str) {
            Some("true") => true,
            Some("false") => false,
            Some(_) | None => crosses.unwrap_or(!by_flow),
        },
        routing_minimum: minimum("unhealthy_state_routing"),
        dns_minimum: minimum("dns_failover"),
        proxy_protocol: flag("proxy_protocol_v2.enabled", false),
        preserve_client_ip: flag("preserve_client_ip.enabled", keeps_client),
        targets,
    }
}

fn stickiness(attributes: &BTreeMap<String, String>) -> Option<Stickiness> {
    let text = |key: &str| attributes.get(&format!("stickiness.{key}")).map(String::as_str);
    let secs = |kind: &str| number(attributes, &format!("stickiness.{kind}.duration_seconds")).unwrap_or(86_400);
    if text("enabled") != Some("true") {
        return None;
    }
    Some(match text("type") {
        Some("app_cookie") => {
            let name = text("app_cookie.cookie_name").unwrap_or_default().to_owned();
            Stickiness { kind: StickinessKind::ApplicationCookie(name), secs: secs("app_cookie") }
        }
        Some("source_ip" | "source_ip_dest_ip" | "source_ip_dest_ip_proto") => {
            Stickiness { kind: StickinessKind::SourceIp, secs: 0 }
        }
        Some(_) | None => Stickiness { kind: StickinessKind::LoadBalancerCookie, secs: secs("lb_cookie") },
    })
}

/// What is in front of target groups.
struct Fronts<'a> {
    /// The zones that load balancers in front of each group are enabled in:
    /// targets elsewhere take no requests (alb.md 5.2).
    zones: BTreeMap<&'a TargetGroupArn, BTreeSet<&'a Zone>>,
    /// The load balancer that connections to a group's targets come from, the
    /// first by its ARN: targets have one pool and one health.
    balancers: BTreeMap<&'a TargetGroupArn, &'a LoadBalancerArn>,
    /// Interfaces of each load balancer, in the order of their ids.
    interfaces: BTreeMap<&'a LoadBalancerArn, Vec<&'a NetworkInterface>>,
}

impl<'a> Fronts<'a> {
    /// `networks` says whether there are any in which addresses are told apart.
    fn new(tables: &'a Tables, networks: bool) -> Fronts<'a> {
        let mut fronts = Fronts { zones: BTreeMap::new(), balancers: BTreeMap::new(), interfaces: BTreeMap::new() };
        for (listener, action) in actions(tables) {
            let Some(listener) = tables.listeners.get(listener.as_str()) else { continue };
            let Some(balancer) = tables.load_balancers.get(listener.load_balancer.as_str()) else { continue };
            for group in action.target_groups() {
                fronts.zones.entry(group).or_default().extend(balancer.subnets.iter().map(|(_, zone)| zone));
                let first = fronts.balancers.entry(group).or_insert(&balancer.arn);
                *first = (*first).min(&balancer.arn);
            }
        }
        for row in tables.interfaces.values().filter(|_| networks) {
            if let InterfaceOwner::LoadBalancer(arn) = &row.owner {
                fronts.interfaces.entry(arn).or_default().push(row);
            }
        }
        fronts
    }

    /// The load balancer that a group's settings refer to.
    fn balancer(&self, tables: &'a Tables, group: &TargetGroupArn) -> Option<&'a LoadBalancer> {
        tables.load_balancers.get(self.balancers.get(group)?.as_str()).map(AsRef::as_ref)
    }

    /// The load balancer's address in the target's zone, else its first one
    /// in that VPC.
    fn source(&self, group: &TargetGroupArn, vpc: &VpcId, zone: Option<&Zone>) -> Option<Ipv4Addr> {
        let interfaces = self.interfaces.get(self.balancers.get(group)?)?;
        let here = || interfaces.iter().filter(|row| row.vpc == *vpc);
        here().find(|row| Some(&row.zone) == zone).or_else(|| here().next()).map(|row| row.primary())
    }
}

fn targets_by_group(
    tables: &Tables,
    fronts: &Fronts<'_>,
    plant: Option<Plant>,
) -> BTreeMap<TargetGroupArn, Vec<routing::Target>> {
    let mut by_group: BTreeMap<TargetGroupArn, Vec<routing::Target>> = BTreeMap::new();
    let own = balancer_addresses(tables);
    for row in tables.targets.values() {
        let Some(group) = tables.target_groups.get(row.group.as_str()) else { continue };
        if let Some(mut target) = target(tables, group, row, plant) {
            // What drains may end, except on an instance that runs no more.
            match idle(tables, group, row, fronts.zones.get(&row.group), &own) {
                Some(Idle::Instance(_)) => target.admission = Admission::Unused,
                Some(Idle::ZoneNotEnabled) if plant == Some(Plant::ZonesIgnored) => {}
                Some(_) if target.admission == Admission::Registered => target.admission = Admission::Unused,
                Some(_) | None => {}
            }
            target.source = target.vpc.as_ref().and_then(|vpc| fronts.source(&row.group, vpc, target.zone.as_ref()));
            by_group.entry(row.group.clone()).or_default().push(target);
        }
    }
    by_group
}

fn target(tables: &Tables, group: &TargetGroup, row: &Target, plant: Option<Plant>) -> Option<routing::Target> {
    let admission = match row.phase {
        TargetPhase::Draining { .. } if plant == Some(Plant::TargetRoutedAfterDrain) => Admission::Registered,
        TargetPhase::Draining { until } => Admission::Draining { until },
        TargetPhase::Registered => Admission::Registered,
    };
    match group.target_type {
        TargetType::Ip => Some(routing::Target {
            instance: None,
            address: SocketAddrV4::new(row.id.parse().ok()?, row.port),
            vpc: Some(group.vpc.clone()),
            source: None,
            zone: zone(tables, group, row).cloned(),
            admission,
        }),
        TargetType::Instance => {
            let instance = tables.instances.get(&row.id)?;
            Some(routing::Target {
                instance: Some(instance.id.clone()),
                address: SocketAddrV4::new(instance.private_ip, row.port),
                vpc: Some(instance.vpc.clone()),
                source: None,
                zone: Some(instance.zone.clone()),
                admission,
            })
        }
    }
}
