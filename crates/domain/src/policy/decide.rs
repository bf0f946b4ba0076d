//! The decision (IAM User Guide, "Policy evaluation logic").

use super::context::Context;
use super::document::{Document, Effect, Position};
use super::evaluation::Watch;
use super::index::Action;
use super::principal::Grant;
use super::selection::{Chosen, Says, Selection, select};
use std::collections::BTreeMap;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `ec2:RunInstances`.
    pub action: &'a str,
    /// The ARN of the resource; `*` for actions without one.
    pub resource: &'a str,
    /// Who asks: the ARNs and ids that a Principal element may name for it -
    /// for a role's session its session ARN, the role's ARN and the account -
    /// or a service as `ec2.amazonaws.com`.
    pub principal: &'a [String],
    /// Condition keys and their values.
    pub context: &'a Context,
}

/// The policies that apply to a request. Of each list every document is in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies<'a> {
    /// Identity-based: inline, attached, and those of the user's groups.
    pub identity: &'a [&'a Document],
    /// The permissions boundary, when the identity has one.
    pub boundary: Option<&'a Document>,
    /// Session policies: none when the session has none.
    pub session: &'a [&'a Document],
    /// The resource's own: a role's trust, a key's policy.
    pub resource: Option<&'a Document>,
    /// Whether the resource's document must allow too, as a key's must: an
    /// identity's alone is not enough. A trust document always must.
    pub resource_must_allow: bool,
}

/// Where a denial comes from, for AWS's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `identity-based policy`.
    Identity,
    /// `permissions boundary`.
    Boundary,
    /// `session policy`.
    Session,
    /// `resource-based policy`.
    Resource,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// A statement denies it.
    ExplicitDeny(Source),
    /// Nothing of this kind allows it.
    ImplicitDeny(Source),
}

/// A statement that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The kind of its document.
    pub source: Source,
    /// The document's place in the list of that kind.
    pub document: usize,
    /// The statement's place in the document.
    pub statement: usize,
    /// Its Sid, when it has one.
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// Where it begins in the text.
    pub start: Position,
    /// Where it ends, just after its brace.
    pub end: Position,
}

/// A decision and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// As [`decide`] says.
    pub decision: Decision,
    /// The statements that apply; after an explicit denial only those that deny.
    pub matched: Vec<Matched>,
    /// Keys that statements about the action use and the request has not, each
    /// once, sorted without regard to case.
    pub missing: Vec<String>,
}

/// Decides a request of a caller on a resource within one account. An
/// explicit denial wins. What the resource's document grants to the caller's
/// own ARN or to everyone stands by itself; to the role's ARN, within
/// boundary and session policies; to the account, it leaves to the identity's
/// documents.
///
/// Whether a role may be assumed is decided so too, with the caller's
/// policies, `sts:AssumeRole`, the role's ARN and the trust document as the
/// resource's. A service has no policies: its name is the principal. For a
/// role of another account the caller's policies must allow by themselves,
/// and [`grant`] of the trust document must be more than [`Grant::None`].
pub fn decide(policies: &Policies<'_>, request: &Request<'_>) -> Decision {
    let selection = select(policies, &Action::read(request.action));
    selection.decide(request.resource, request.principal, request.context)
}

/// Decides likewise, and says which statements it rests on and which keys are missing.
pub fn explain(policies: &Policies<'_>, request: &Request<'_>) -> Explanation {
    let selection = select(policies, &Action::read(request.action));
    let mut recorder = Recorder::default();
    let decision = selection.verdict(weigh(&selection, request, &mut recorder));
    let Recorder { mut matched, missing } = recorder;
    if matches!(decision, Decision::ExplicitDeny(_)) {
        matched.retain(|statement| statement.effect == Effect::Deny);
    }
    Explanation { decision, matched, missing: missing.into_values().collect() }
}

/// What a resource's document says by itself.
pub fn grant(document: &Document, request: &Request<'_>) -> Grant {
    let alone = Policies { resource: Some(document), ..Policies::default() };
    weigh(&select(&alone, &Action::read(request.action)), request, &mut ()).resource
}

fn weigh<W: Watch>(selection: &Selection<'_>, request: &Request<'_>, watch: &mut W) -> Says {
    selection.weigh(request.resource, request.principal, request.context, watch)
}

#[derive(Default)]
struct Recorder {
    matched: Vec<Matched>,
    /// Keys as they are written, by their names in lower case.
    missing: BTreeMap<String, String>,
}

impl Watch for Recorder {
    const FULL: bool = true;
    fn matched(&mut self, chosen: &Chosen<'_>) {
        let Chosen { source, document, at, statement, .. } = *chosen;
        self.matched.push(Matched {
            source,
            document,
            statement: at,
            sid: statement.sid.clone(),
            effect: statement.effect,
            start: statement.start,
            end: statement.end,
        });
    }
    fn missing(&mut self, key: &str) {
        self.missing.entry(key.to_ascii_lowercase()).or_insert_with(|| key.to_owned());
    }
}
