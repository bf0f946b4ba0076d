//! Which rule a request hits (alb.md 2): one pure function over plain data,
//! compiled once a snapshot. Rules are tried in their order, all conditions of
//! a rule must hold, any value of a condition is enough, and the last rule is
//! the default. An index leaves only few rules to evaluate; the result is
//! always that of evaluating all. What the API refuses is in [`check`], what
//! redirects and rewrites make of a request in [`RedirectTemplate`] and
//! [`RewriteSet`].

pub mod check;
mod condition;
mod explain;
mod grams;
mod headers;
mod index;
mod pattern;
mod query;
mod redirect;
mod rewrite;
#[cfg(test)]
mod tests;

pub use check::{PatternError, RulesError};
pub use explain::{Explained, ExplainedCondition};
pub use pattern::{Case, PATTERN_BYTES_MAX};
pub use redirect::{LOCATION_BYTES_MAX, RedirectTemplate, RequestParts, TooLong};
pub use rewrite::{RewriteSet, Rewritten, TransformFailure};

use crate::routing::{Condition, Rule};
use condition::Test;
use index::{BLOCK_RULES, Block, bits};
use std::fmt;
use std::net::IpAddr;

/// What rules can look at. Nothing is decoded; the path is normalised.
pub trait Request {
    /// The method, as sent.
    fn method(&self) -> &[u8];
    /// The host without port, in any case; empty when there is none.
    fn host(&self) -> &[u8];
    /// The path without query, after URI normalisation.
    fn path(&self) -> &[u8];
    /// What follows the first `?`; `None` without one.
    fn query(&self) -> Option<&[u8]>;
    /// Calls `each` for every header: the name in any case, the value.
    fn each_header(&self, each: &mut dyn FnMut(&[u8], &[u8]));
    /// Whether `found` says true of a value of the header `name`, given in any case.
    fn header(&self, name: &str, found: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut held = false;
        self.each_header(&mut |sent, value| {
            held = held || sent.eq_ignore_ascii_case(name.as_bytes()) && found(value);
        });
        held
    }
    /// The TCP peer, never a forwarded address.
    fn source(&self) -> IpAddr;
}

/// A listener's rules, compiled.
#[derive(Debug)]
pub struct RuleSet {
    /// Conditions as given, to explain.
    conditions: Vec<Vec<Condition>>,
    /// The same, compiled; the last rule is the default.
    tests: Vec<Vec<Test>>,
    blocks: Vec<Block>,
}

/// Why rules cannot be compiled. What the API has checked always can.
#[derive(Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Which rule.
    pub rule: usize,
    /// What is wrong with it.
    pub error: PatternError,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} cannot be compiled", self.rule)
    }
}

impl std::error::Error for RuleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl RuleSet {
    /// Compiles `rules`, which are in ascending priority with the default last.
    pub fn compile(rules: &[Rule]) -> Result<RuleSet, RuleError> {
        let mut tests = Vec::with_capacity(rules.len());
        for (rule, given) in rules.iter().enumerate() {
            let compiled: Result<Vec<_>, _> = given.conditions.iter().map(Test::compile).collect();
            tests.push(compiled.map_err(|error| RuleError { rule, error })?);
        }
        let others = tests.len().saturating_sub(1);
        let blocks = tests[..others].chunks(BLOCK_RULES).map(|part| Block::new(part.iter().map(Vec::as_slice)));
        let blocks = blocks.collect();
        let conditions = rules.iter().map(|rule| rule.conditions.clone()).collect();
        Ok(RuleSet { conditions, tests, blocks })
    }

    /// The index of the first rule whose conditions all hold; the last rule,
    /// the default, when there is no other.
    #[inline]
    pub fn decide<R: Request>(&self, request: &R) -> usize {
        for (n, block) in self.blocks.iter().enumerate() {
            let first = n * BLOCK_RULES;
            for bit in bits(block.candidates(request)) {
                if self.holds(first + bit, request) {
                    return first + bit;
                }
            }
        }
        self.tests.len().saturating_sub(1)
    }

    /// How many rules count as evaluated for a request that hit rule `index`
    /// (metric `RuleEvaluations`): those before it and itself, without the default.
    pub fn evaluations(&self, index: usize) -> u32 {
        let others = self.tests.len().saturating_sub(1);
        u32::try_from((index + 1).min(others)).unwrap_or(u32::MAX)
    }

    fn holds<R: Request>(&self, rule: usize, request: &R) -> bool {
        self.tests[rule].iter().all(|test| test.holds(request))
    }

    /// The same as [`RuleSet::decide`] without the index.
    #[cfg(test)]
    fn decide_one_by_one<R: Request>(&self, request: &R) -> usize {
        let others = self.tests.len().saturating_sub(1);
        (0..others).find(|rule| self.holds(*rule, request)).unwrap_or(others)
    }
}
