//! Requests through the simulated data plane. They are routed by the
//! product's own decisions (rules, weights, candidates) over the snapshot in
//! force, and checked against the rows that were durable when that snapshot
//! was issued, read in the plainest way.

use crate::run::Violation;
use elastane_domain::choice::{TargetView, candidates, round_robin, weighted};
use elastane_domain::id::{ListenerArn, LoadBalancerArn, RuleArn, TargetGroupArn, Zone};
use elastane_domain::routing::{
    Action, Admission, Condition, Listener, LoadBalancer, Pattern, Snapshot, TargetGroup, TargetHealth, TargetKey,
};
use elastane_domain::rules::{Request, RuleSet};
use elastane_domain::time::Time;
use elastane_engine::row::{self, Phase, TargetPhase};
use elastane_engine::{Rng, Scope, Tables, targets};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Paths that clients ask for; rules of clients are about these.
pub const PATHS: [&str; 4] = ["/", "/api/orders", "/api/users", "/img/a"];

/// Requests that each node of each listener gets a minute.
const REQUESTS: u64 = 12;

/// Weights are judged once so many requests followed them.
const JUDGED: u64 = 120;

/// What must become of requests, by the rows.
#[derive(Default)]
pub struct Expected {
    listeners: BTreeMap<ListenerArn, Vec<ExpectedRule>>,
    groups: BTreeMap<TargetGroupArn, ExpectedGroup>,
    zones: BTreeMap<LoadBalancerArn, BTreeSet<Zone>>,
}

struct ExpectedRule {
    arn: RuleArn,
    paths: Vec<String>,
    weights: Vec<(TargetGroupArn, u32)>,
}

#[derive(Default)]
struct ExpectedGroup {
    /// Targets that may get requests, with their zones.
    targets: BTreeMap<TargetKey, Zone>,
    across_zones: bool,
}

impl Expected {
    /// Reads the rows.
    pub fn new(durable: &BTreeMap<Scope, Tables>) -> Expected {
        let mut expected = Expected::default();
        for tables in durable.values() {
            for row in tables.load_balancers.values() {
                let zones = row.subnets.iter().map(|(_, zone)| zone.clone()).collect();
                expected.zones.insert(row.arn.clone(), zones);
            }
            for row in tables.listeners.values() {
                expected.listeners.insert(row.arn.clone(), rules(tables, row));
            }
            for row in tables.target_groups.values() {
                expected.groups.insert(row.arn.clone(), group(tables, row));
            }
        }
        expected
    }
}

fn rules(tables: &Tables, listener: &row::Listener) -> Vec<ExpectedRule> {
    let mut own: Vec<_> = tables.rules.values().filter(|row| row.listener == listener.arn).collect();
    own.sort_by_key(|row| row.priority);
    let mut rules: Vec<ExpectedRule> = own
        .into_iter()
        .map(|row| ExpectedRule {
            arn: row.arn.clone(),
            paths: row.conditions.iter().flat_map(paths).collect(),
            weights: weights(&row.action),
        })
        .collect();
    let paths = vec!["*".to_string()];
    rules.push(ExpectedRule { arn: listener.default_rule.clone(), paths, weights: weights(&listener.action) });
    rules
}

fn paths(condition: &Condition) -> Vec<String> {
    let Condition::Path(patterns) = condition else { return Vec::new() };
    let text = |pattern: &Pattern| match pattern {
        Pattern::Wildcard(text) | Pattern::Regex(text) => text.clone(),
    };
    patterns.iter().map(text).collect()
}

fn weights(action: &Action) -> Vec<(TargetGroupArn, u32)> {
    match action {
        Action::Forward(forward) => forward.groups.clone(),
        Action::Redirect(_) | Action::FixedResponse { .. } => Vec::new(),
    }
}

fn group(tables: &Tables, row: &row::TargetGroup) -> ExpectedGroup {
    let reaches = |action: &Action| action.target_groups().any(|arn| *arn == row.arn);
    let mut fronts: BTreeSet<&str> = BTreeSet::new();
    for listener in tables.listeners.values() {
        let by_rule = tables.rules.values().any(|rule| rule.listener == listener.arn && reaches(&rule.action));
        if by_rule || reaches(&listener.action) {
            fronts.insert(listener.load_balancer.as_str());
        }
    }
    let balancers = fronts.iter().filter_map(|arn| tables.load_balancers.get(arn));
    let zones: BTreeSet<&Zone> = balancers.flat_map(|row| row.subnets.iter().map(|(_, zone)| zone)).collect();
    let mut found = ExpectedGroup {
        targets: BTreeMap::new(),
        across_zones: row.attributes.get("load_balancing.cross_zone.enabled").is_none_or(|value| value != "false"),
    };
    for target in tables.targets.values().filter(|target| target.group == row.arn) {
        let Some(instance) = tables.instances.get(&target.id) else { continue };
        let takes = target.phase == TargetPhase::Registered && instance.phase == Phase::Running;
        if takes && zones.contains(&instance.zone) {
            found.targets.extend(targets::key(tables, target).map(|key| (key, instance.zone.clone())));
        }
    }
    found
}

/// A request for a path.
struct Get<'a>(&'a str);

impl Request for Get<'_> {
    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn host(&self) -> &[u8] {
        b"web.example.com"
    }

    fn path(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        None
    }

    fn each_header(&self, _: &mut dyn FnMut(&[u8], &[u8])) {}

    fn source(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }
}

/// What became of a request.
pub struct Sent {
    balancer: LoadBalancerArn,
    listener: ListenerArn,
    zone: Zone,
    path: &'static str,
    rule: RuleArn,
    group: Option<TargetGroupArn>,
    target: Option<TargetKey>,
    /// Whether the target is healthy, and whether any that the node sees is.
    healthy: bool,
    any_healthy: bool,
}

/// Sends a minute's requests through a snapshot.
pub fn send(snapshot: &Snapshot, health: &BTreeMap<TargetKey, TargetHealth>, rng: &mut Rng) -> Vec<Sent> {
    let mut sent = Vec::new();
    for balancer in &snapshot.load_balancers {
        for listener in &balancer.listeners {
            let Ok(rules) = RuleSet::compile(&listener.rules) else { continue };
            for node in &balancer.nodes {
                for _ in 0..REQUESTS {
                    let way = Way { snapshot, health, balancer, listener, rules: &rules, zone: &node.zone };
                    sent.push(way.send(PATHS[rng.below(PATHS.len() as u64) as usize], rng.draw()));
                }
            }
        }
    }
    sent
}

struct Way<'a> {
    snapshot: &'a Snapshot,
    health: &'a BTreeMap<TargetKey, TargetHealth>,
    balancer: &'a LoadBalancer,
    listener: &'a Listener,
    rules: &'a RuleSet,
    zone: &'a Zone,
}

impl Way<'_> {
    fn send(&self, path: &'static str, draw: u64) -> Sent {
        let rule = &self.listener.rules[self.rules.decide(&Get(path))];
        let mut sent = Sent {
            balancer: self.balancer.arn.clone(),
            listener: self.listener.arn.clone(),
            zone: self.zone.clone(),
            path,
            rule: rule.arn.clone(),
            group: None,
            target: None,
            healthy: false,
            any_healthy: false,
        };
        let Action::Forward(forward) = &rule.action else { return sent };
        let weights: Vec<u32> = forward.groups.iter().map(|(_, weight)| *weight).collect();
        let Some(chosen) = weighted(&weights, draw >> 1) else { return sent };
        let arn = &forward.groups[chosen].0;
        sent.group = Some(arn.clone());
        if let Some(group) = self.snapshot.target_groups.iter().find(|group| group.arn == *arn) {
            self.choose(group, draw, &mut sent);
        }
        sent
    }

    fn choose(&self, group: &TargetGroup, cursor: u64, sent: &mut Sent) {
        let zones: Vec<&Zone> = self.balancer.nodes.iter().map(|node| &node.zone).collect();
        // A zone without a node is no node's.
        let index = |zone: &Zone| zones.iter().position(|one| *one == zone).unwrap_or(zones.len()) as u16;
        let health = |key: &TargetKey| self.health.get(key).copied().unwrap_or(TargetHealth::Initial);
        let views: Vec<TargetView> = group
            .targets
            .iter()
            .map(|target| TargetView {
                admission: target.admission,
                health: health(&group.key(target)),
                zone: target.zone.as_ref().map(index),
                shifted_away: false,
            })
            .collect();
        let node = (!group.cross_zone).then(|| index(self.zone));
        let visible = |view: &&TargetView| node.is_none() || view.zone.is_none() || view.zone == node;
        let takes =
            |view: &&TargetView| view.admission == Admission::Registered && view.health == TargetHealth::Healthy;
        sent.any_healthy = views.iter().filter(visible).any(|view| takes(&view));
        let found = candidates(&views, node, group.routing_minimum);
        if let Some(at) = round_robin(found.targets.len(), cursor) {
            let target = &group.targets[found.targets[at]];
            sent.healthy = views[found.targets[at]].health == TargetHealth::Healthy;
            sent.target = Some(group.key(target));
        }
    }
}

/// How often each group was chosen, while the weights stayed the same.
#[derive(Default)]
struct Tally {
    weights: Vec<(TargetGroupArn, u32)>,
    chosen: BTreeMap<TargetGroupArn, u64>,
    sent: u64,
}

/// Checks what became of requests.
#[derive(Default)]
pub struct Requests {
    tallies: BTreeMap<RuleArn, Tally>,
}

type Checked = Result<(), Violation>;

impl Requests {
    /// Compares with what the rows say.
    pub fn check(&mut self, expected: &Expected, sent: &[Sent], now: Time) -> Checked {
        sent.iter().try_for_each(|one| self.check_one(expected, one, now))
    }

    fn check_one(&mut self, expected: &Expected, sent: &Sent, now: Time) -> Checked {
        let broken = |rule: &'static str, what: String| Err(Violation::new(rule, now, what));
        if !expected.zones.get(&sent.balancer).is_some_and(|zones| zones.contains(&sent.zone)) {
            return broken("a load balancer answers in its zones only", format!("{} {}", sent.balancer, sent.zone));
        }
        let Some(rules) = expected.listeners.get(&sent.listener) else {
            return broken("a listener that answers has a row", sent.listener.to_string());
        };
        let hits = |rule: &&ExpectedRule| rule.paths.iter().any(|pattern| plainly(pattern, sent.path));
        let rule = rules.iter().find(hits).expect("the default rule takes all");
        if rule.arn != sent.rule {
            let what = format!("{} hit {} and not {}", sent.path, sent.rule, rule.arn);
            return broken("a request hits the first rule that matches", what);
        }
        self.count(rule, sent, now)?;
        let Some(group) = sent.group.as_ref().and_then(|arn| expected.groups.get(arn)) else { return Ok(()) };
        let seen = || group.targets.iter().filter(|(_, zone)| group.across_zones || **zone == sent.zone);
        let Some(target) = &sent.target else {
            return match seen().next() {
                Some((key, _)) => broken("a request finds a target while there is one", format!("{key:?}")),
                None => Ok(()),
            };
        };
        if !group.targets.contains_key(target) {
            return broken("no request goes to a target that does not take any", format!("{target:?}"));
        }
        if !seen().any(|(key, _)| key == target) {
            return broken("requests stay in their zone", format!("{target:?} from {}", sent.zone));
        }
        if sent.any_healthy && !sent.healthy {
            return broken("requests go to healthy targets while there are some", format!("{target:?}"));
        }
        Ok(())
    }

    /// Shares of groups stay within six standard deviations of their weights.
    fn count(&mut self, rule: &ExpectedRule, sent: &Sent, now: Time) -> Checked {
        let total: u64 = rule.weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if sent.group.is_some() != (total > 0) {
            let what = format!("{:?} by {:?}", sent.group, rule.weights);
            return Err(Violation::new("groups are chosen by weight", now, what));
        }
        let tally = self.tallies.entry(rule.arn.clone()).or_default();
        if tally.weights != rule.weights {
            *tally = Tally { weights: rule.weights.clone(), ..Tally::default() };
        }
        let Some(chosen) = &sent.group else { return Ok(()) };
        tally.sent += 1;
        *tally.chosen.entry(chosen.clone()).or_default() += 1;
        if tally.sent < JUDGED {
            return Ok(());
        }
        for (arn, weight) in &tally.weights {
            let found = tally.chosen.get(arn).copied().unwrap_or_default();
            // In integers, so that every machine judges the same:
            // (found * total - sent * weight)^2 <= 36 * sent * weight * (total - weight).
            let (sent, weight) = (i128::from(tally.sent), i128::from(*weight));
            let total = i128::from(total);
            let off = i128::from(found) * total - sent * weight;
            if off * off > 36 * sent * weight * (total - weight) {
                let what = format!("{found} of {sent} to {arn} by weight {weight} of {total}");
                return Err(Violation::new("groups are chosen by weight", now, what));
            }
        }
        *tally = Tally { weights: rule.weights.clone(), ..Tally::default() };
        Ok(())
    }
}

/// The patterns that clients here use: with `*` at the end, or without.
fn plainly(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => pattern == path,
    }
}
