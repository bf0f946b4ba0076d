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

/// The action of a request.
pub(super) struct Action {
    /// In lower case.
    whole: String,
    /// Where the name begins; nought when there is no service.
    name: usize,
}

impl Action {
    pub(super) fn read(action: &str) -> Action {
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

    /// Calls `visit` with each statement that names the action, a few times at
    /// most, until it answers false.
    pub(super) fn find(&self, action: &Action, mut visit: impl FnMut(usize) -> bool) {
        // In each list a statement's entries follow each other: one visit is enough for them.
        let mut last = None;
        let mut visit = move |at: usize| last.replace(at) == Some(at) || visit(at);
        let none = Context::default();
        let matching =
            |(pattern, at): &(Pattern, usize), text: &str| (pattern.matches(text, &none) == Match::Yes).then_some(*at);
        let unnamed = |(patterns, at): &(Vec<Pattern>, usize)| {
            let named = patterns.iter().any(|pattern| pattern.matches(&action.whole, &none) == Match::Yes);
            (!named).then_some(*at)
        };
        let wide = self.everything.iter().copied();
        let wide = wide.chain(self.negative.iter().filter_map(unnamed));
        let mut wide = wide.chain(self.anywhere.iter().filter_map(|entry| matching(entry, action.name())));
        if !wide.all(&mut visit) {
            return;
        }
        let Some(service) = self.services.get(action.service()) else { return };
        let exact = service.exact.get(action.name()).into_iter().flatten().copied();
        let narrow = service.whole.iter().copied().chain(exact);
        let _ = narrow.chain(service.patterns.iter().filter_map(|entry| matching(entry, action.name()))).all(visit);
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
