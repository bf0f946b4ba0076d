//! Why a request hits the rule that it hits, in words: for `elastane lb
//! explain`. Every rule and every condition is evaluated, also those that the
//! data plane never needs to look at.

use super::{Request, RuleSet};
use crate::routing::{Condition, Pattern, QueryPattern};
use std::fmt::Write;

/// What one rule says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The rule's index; the default rule is the last.
    pub index: usize,
    /// Whether all its conditions hold.
    pub matched: bool,
    /// Whether it is the rule that the request hits: the first that matches.
    pub chosen: bool,
    /// Its conditions in their order.
    pub conditions: Vec<ExplainedCondition>,
}

/// What one condition says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedCondition {
    /// The condition's field, as in the API.
    pub field: &'static str,
    /// Whether it holds.
    pub held: bool,
    /// Why, in words: what was wanted and what came.
    pub why: String,
}

impl RuleSet {
    /// Every rule with every condition, and whether and why it holds.
    pub fn explain<R: Request>(&self, request: &R) -> Vec<Explained> {
        let chosen = self.decide(request);
        let rules = self.conditions.iter().zip(&self.tests).enumerate();
        rules
            .map(|(index, (conditions, tests))| {
                let conditions: Vec<_> = conditions
                    .iter()
                    .zip(tests)
                    .map(|(condition, test)| explained(condition, test.holds(request), request))
                    .collect();
                let matched = conditions.iter().all(|condition| condition.held);
                Explained { index, matched, chosen: index == chosen, conditions }
            })
            .collect()
    }
}

fn explained<R: Request>(condition: &Condition, held: bool, request: &R) -> ExplainedCondition {
    let (field, got, wanted) = match condition {
        Condition::Host(patterns) => ("host-header", quoted(request.host()), listed(patterns.iter().map(pattern))),
        Condition::Path(patterns) => ("path-pattern", quoted(request.path()), listed(patterns.iter().map(pattern))),
        Condition::Header { name, values } => {
            ("http-header", header(name, request), listed(values.iter().map(pattern)))
        }
        Condition::Method(methods) => (
            "http-request-method",
            quoted(request.method()),
            listed(methods.iter().map(|method| format!("{method:?}"))),
        ),
        Condition::Query(patterns) => {
            let got = request.query().map_or("no query".to_owned(), |query| format!("query {}", quoted(query)));
            ("query-string", got, listed(patterns.iter().map(query)))
        }
        Condition::SourceIp(ranges) => {
            let ranges = ranges.iter().map(|range| format!("{}/{}", range.network, range.prefix));
            ("source-ip", request.source().to_string(), listed(ranges))
        }
    };
    let verb = if held { "matches" } else { "does not match" };
    ExplainedCondition { field, held, why: format!("{got} {verb} {wanted}") }
}

fn header<R: Request>(name: &str, request: &R) -> String {
    let mut values = Vec::new();
    request.header(&name.to_ascii_lowercase(), &mut |value| {
        values.push(quoted(value));
        false
    });
    match values.as_slice() {
        [] => format!("no header {name}"),
        values => format!("header {name} {}", values.join(", ")),
    }
}

fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Wildcard(text) => format!("{text:?}"),
        Pattern::Regex(text) => format!("the expression {text:?}"),
    }
}

fn query(wanted: &QueryPattern) -> String {
    match &wanted.key {
        Some(key) => format!("{}={}", pattern(key), pattern(&wanted.value)),
        None => format!("any key={}", pattern(&wanted.value)),
    }
}

fn listed(values: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for value in values {
        let separator = if text.is_empty() { "" } else { " or " };
        write!(text, "{separator}{value}").expect("a String takes all");
    }
    text
}

fn quoted(text: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(text))
}
