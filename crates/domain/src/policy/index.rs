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
    /// By name in lower case.
    services: BTreeMap<String, Service>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Service {
    /// Statements with `service:*`.
    whole: Vec<usize>,
    /// Statements by names of actions in lower case.
    exact: BTreeMap<String, Vec<usize>>,
    patterns: Vec<(Pattern, usize)>,
}

/// The action of a request, ready to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// In lower case.
    whole: String,
    /// Where the name begins; nought when there is no service.
    name: usize,
}

impl Action {
    /// `ec2:RunInstances`, in any case.
    pub fn read(action: &str) -> Action {
        let name = action.find(':').map_or(0, |colon| colon + 1);
        Action { whole: action.to_ascii_lowercase(), name }
    }

    fn service(&self) -> &str {
        &self.whole[..self.name.saturating_sub(1)]
    }

    fn name(&self) -> &str {
        &self.whole[self.name..]
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
            return Ok(());
        }
        for action in &lower {
            let (service, name) = action.split_once(':').unwrap_or(("*", "*"));
            let pattern = compile(name)?;
            match (service, pattern.is_any()) {
                ("*", true) => self.everything.push(statement),
                ("*", false) => self.anywhere.push((pattern, statement)),
                (service, any) => self.services.entry(service.to_owned()).or_default().add(pattern, any, statement),
            }
        }
        Ok(())
    }

    /// Calls `visit` with each statement that names the action, a few times at most.
    pub(super) fn find(&self, action: &Action, mut visit: impl FnMut(usize)) {
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
            if matches(pattern, action.name()) {
                visit(*at);
            }
        }
        let Some(service) = self.services.get(action.service()) else { return };
        service.whole.iter().for_each(|at| visit(*at));
        service.exact.get(action.name()).into_iter().flatten().for_each(|at| visit(*at));
        for (pattern, at) in &service.patterns {
            if matches(pattern, action.name()) {
                visit(*at);
            }
        }
    }
}

impl Service {
    fn add(&mut self, pattern: Pattern, any: bool, statement: usize) {
        match pattern.exact() {
            _ if any => self.whole.push(statement),
            Some(name) => self.exact.entry(name.to_owned()).or_default().push(statement),
            None => self.patterns.push((pattern, statement)),
        }
    }
}
