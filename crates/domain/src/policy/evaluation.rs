//! One statement against one request: the only evaluation there is, for
//! decisions and for their explanations.

use super::arn::Arn;
use super::context::Keys;
use super::document::{Effect, Statement};
use super::principal::{Asker, Grant};
use super::selection::Chosen;

/// What is asked about a resource, by whom and in which context.
pub(super) struct Evaluation<'a> {
    pub(super) resource: Arn<'a>,
    pub(super) keys: &'a dyn Keys,
    pub(super) asker: Asker<'a>,
    /// Whether the caller has a permissions boundary.
    pub(super) bounded: bool,
}

/// Who wants to know more than the outcome.
pub(super) trait Watch {
    /// Whether to evaluate what cannot change the outcome any more.
    const FULL: bool;
    /// A statement applies.
    fn matched(&mut self, chosen: &Chosen<'_>);
    /// A statement about the action needs a key that the request has not.
    fn missing(&mut self, key: &str);
}

/// Nobody does.
impl Watch for () {
    const FULL: bool = false;
    fn matched(&mut self, _chosen: &Chosen<'_>) {}
    fn missing(&mut self, _key: &str) {}
}

impl Evaluation<'_> {
    /// What a statement that names the action says.
    pub(super) fn weigh<W: Watch>(&self, statement: &Statement, watch: &mut W) -> Grant {
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
            let missing = resources.variables().filter(|variable| variable.is_missing(self.keys));
            missing.for_each(|variable| watch.missing(&variable.shown));
        }
        let covered = statement.resources.as_ref().is_none_or(|found| found.cover(&self.resource, self.keys));
        if !(covered || W::FULL) {
            return Grant::None;
        }
        let mut holds = covered;
        for condition in &statement.conditions {
            holds &= condition.holds(self.keys, watch);
            if !(holds || W::FULL) {
                return Grant::None;
            }
        }
        if holds { grant } else { Grant::None }
    }
}
