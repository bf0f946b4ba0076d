//! One document against one request: the only evaluation there is, for
//! decisions and for their explanations.

use super::context::Context;
use super::document::{Document, Effect};
use super::index::Action;
use super::principal::{Asker, Grant};

/// A request, prepared once for all documents.
pub(super) struct Evaluation<'a> {
    pub(super) action: Action,
    pub(super) resource: &'a str,
    pub(super) context: &'a Context,
    pub(super) asker: Asker<'a>,
    /// Whether the caller has a permissions boundary.
    pub(super) bounded: bool,
}

/// Who wants to know more than the outcome.
pub(super) trait Watch {
    /// Whether to evaluate what cannot change the outcome any more.
    const FULL: bool;
    /// A statement applies.
    fn matched(&mut self, statement: usize);
    /// A statement about the action needs a key that the request has not.
    fn missing(&mut self, key: &str);
}

/// Nobody does.
impl Watch for () {
    const FULL: bool = false;
    fn matched(&mut self, _statement: usize) {}
    fn missing(&mut self, _key: &str) {}
}

impl Evaluation<'_> {
    /// What a document says.
    pub(super) fn weigh<W: Watch>(&self, document: &Document, watch: &mut W) -> Grant {
        let mut outcome = Grant::None;
        document.index.find(&self.action, |at| {
            outcome = outcome.max(self.statement(document, at, watch));
            W::FULL || outcome != Grant::Denied
        });
        outcome
    }

    /// What a statement that names the action says.
    fn statement<W: Watch>(&self, document: &Document, at: usize, watch: &mut W) -> Grant {
        let statement = &document.statements[at];
        let grant = match (&statement.principals, statement.effect) {
            (None, Effect::Allow) => Grant::Direct,
            (None, Effect::Deny) => Grant::Denied,
            (Some(principals), Effect::Allow) => principals.grant(&self.asker),
            (Some(principals), Effect::Deny) if principals.denies(&self.asker, self.bounded) => Grant::Denied,
            (Some(_), Effect::Deny) => Grant::None,
        };
        if grant == Grant::None {
            return Grant::None;
        }
        if W::FULL
            && let Some(resources) = &statement.resources
        {
            let missing = resources.variables().filter(|variable| variable.is_missing(self.context));
            missing.for_each(|variable| watch.missing(&variable.shown));
        }
        let covered = statement.resources.as_ref().is_none_or(|found| found.cover(self.resource, self.context));
        if !(covered || W::FULL) {
            return Grant::None;
        }
        let mut holds = covered;
        for condition in &statement.conditions {
            holds &= condition.holds(self.context, watch);
            if !(holds || W::FULL) {
                return Grant::None;
            }
        }
        if !holds {
            return Grant::None;
        }
        watch.matched(at);
        grant
    }
}
