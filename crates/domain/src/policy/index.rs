//! Which statements name an action: by the service's name, then by the exact
//! action, then by patterns, so that a document about other services costs
//! one search (IAM User Guide, "Policy elements: Action"). Actions have no case.

use super::Context;
use super::pattern::{BadVariable, Match, Mode, Pattern};
use std::collections::BTreeMap;

/// The statements of a document, by the actions they name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    /// Statements with `*`.
    everything: Vec<usize>,
    /// Statements with NotAction and their patterns.
    negative: Vec<(Vec<Pattern>, usize)>,
    /// Patterns of names within any service, `*:Get*`.
    anywhere: Vec<(Pattern, usize)>,
    services: BTreeMap<Name, Service>,
    /// [`Name::bit`] of each service that is named; all bits when any may be.
    bits: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Service {
    /// Statements with `service:*`.
    whole: Vec<usize>,
    /// Statements by names of actions.
    exact: BTreeMap<Name, Vec<usize>>,
    patterns: Vec<(Pattern, usize)>,
}

/// The name of a service or an action in lower case. Names are ordered by a
/// number that is made of them, so that finding one seldom compares texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    number: u64,
    text: String,
}

impl Name {
    fn of(text: &str) -> Name {
        // FNV-1a: names that meet by chance or by intent are still told apart by their text.
        let mix = |number: u64, byte: u8| (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Name { number: text.bytes().fold(0xcbf2_9ce4_8422_2325, mix), text: text.to_owned() }
    }

    /// One bit that a few other names have as well.
    fn bit(&self) -> u64 {
        1 << (self.number >> 58)
    }
}

/// The action of a request, ready to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// In lower case.
    whole: String,
    /// What is before the colon; empty without one.
    service: Name,
    /// What is after it.
    name: Name,
}

impl Action {
    /// `ec2:RunInstances`, in any case.
    pub fn read(action: &str) -> Action {
        let whole = action.to_ascii_lowercase();
        let (service, name) = whole.split_once(':').unwrap_or(("", &whole));
        Action { service: Name::of(service), name: Name::of(name), whole }
    }
}

impl Index {
    /// Adds a statement's actions, of which each is `*` or `service:name`.
    pub(super) fn add(&mut self, statement: usize, actions: &[&str], not: bool) -> Result<(), BadVariable> {
        let lower: Vec<String> = actions.iter().map(|action| action.to_ascii_lowercase()).collect();
        let compile = |text: &str| Pattern::compile(text, Mode::Like, false);
        if not {
            let patterns: Result<Vec<Pattern>, BadVariable> = lower.iter().map(|action| compile(action)).collect();
            self.negative.push((patterns?, statement));
            self.bits = u64::MAX;
            return Ok(());
        }
        for action in &lower {
            let (service, name) = action.split_once(':').unwrap_or(("*", "*"));
            let pattern = compile(name)?;
            if service != "*" {
                let (service, any) = (Name::of(service), pattern.is_any());
                self.bits |= service.bit();
                self.services.entry(service).or_default().add(pattern, any, statement);
                continue;
            }
            self.bits = u64::MAX;
            match pattern.is_any() {
                true => self.everything.push(statement),
                false => self.anywhere.push((pattern, statement)),
            }
        }
        Ok(())
    }

    /// Calls `visit` with each statement that names the action, a few times at most.
    pub(super) fn find(&self, action: &Action, mut visit: impl FnMut(usize)) {
        // Most documents are about other services.
        if self.bits & action.service.bit() == 0 {
            return;
        }
        // In each list a statement's entries follow each other: one visit is enough for them.
        let mut last = None;
        let mut visit = |at: usize| {
            if last.replace(at) != Some(at) {
                visit(at);
            }
        };
        let none = Context::default();
        let matches = |pattern: &Pattern, text: &str| pattern.matches(text, &none) == Match::Yes;
        self.everything.iter().for_each(|at| visit(*at));
        for (patterns, at) in &self.negative {
            if !patterns.iter().any(|pattern| matches(pattern, &action.whole)) {
                visit(*at);
            }
        }
        for (pattern, at) in &self.anywhere {
            if matches(pattern, &action.name.text) {
                visit(*at);
            }
        }
        let Some(service) = self.services.get(&action.service) else { return };
        service.whole.iter().for_each(|at| visit(*at));
        service.exact.get(&action.name).into_iter().flatten().for_each(|at| visit(*at));
        for (pattern, at) in &service.patterns {
            if matches(pattern, &action.name.text) {
                visit(*at);
            }
        }
    }
}

impl Service {
    fn add(&mut self, pattern: Pattern, any: bool, statement: usize) {
        match pattern.exact() {
            _ if any => self.whole.push(statement),
            Some(name) => self.exact.entry(Name::of(name)).or_default().push(statement),
            None => self.patterns.push((pattern, statement)),
        }
    }
}
