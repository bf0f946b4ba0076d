//! The decision (IAM User Guide, "Policy evaluation logic").

use super::context::Context;
use super::document::{Document, Effect, Grammar, Position};
use super::evaluation::{Evaluation, Watch};
use super::index::Action;
use super::principal::{Asker, Grant};
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
    run(policies, request, &mut ())
}

/// Decides likewise, and says which statements it rests on and which keys are missing.
pub fn explain(policies: &Policies<'_>, request: &Request<'_>) -> Explanation {
    let mut recorder = Recorder::default();
    let decision = run(policies, request, &mut recorder);
    let mut matched: Vec<Matched> = recorder
        .matched
        .iter()
        .filter_map(|(source, document, statement)| {
            let found = &documents(policies, *source).nth(*document)?.statements[*statement];
            Some(Matched {
                source: *source,
                document: *document,
                statement: *statement,
                sid: found.sid.clone(),
                effect: found.effect,
                start: found.start,
                end: found.end,
            })
        })
        .collect();
    if matches!(decision, Decision::ExplicitDeny(_)) {
        matched.retain(|statement| statement.effect == Effect::Deny);
    }
    Explanation { decision, matched, missing: recorder.missing.into_values().collect() }
}

/// What a resource's document says by itself.
pub fn grant(document: &Document, request: &Request<'_>) -> Grant {
    prepare(request, false, true).weigh(document, &mut ())
}

fn prepare<'a>(request: &Request<'a>, bounded: bool, with_principal: bool) -> Evaluation<'a> {
    Evaluation {
        action: Action::read(request.action),
        resource: request.resource,
        context: request.context,
        asker: if with_principal { Asker::read(request.principal) } else { Asker::default() },
        bounded,
    }
}

/// The documents of one kind.
fn documents<'a>(policies: &Policies<'a>, source: Source) -> impl Iterator<Item = &'a Document> {
    let (list, single): (&[&Document], Option<&Document>) = match source {
        Source::Identity => (policies.identity, None),
        Source::Session => (policies.session, None),
        Source::Boundary => (&[], policies.boundary),
        Source::Resource => (&[], policies.resource),
    };
    list.iter().copied().chain(single)
}

fn run<O: Observe>(policies: &Policies<'_>, request: &Request<'_>, observer: &mut O) -> Decision {
    let evaluation = prepare(request, policies.boundary.is_some(), policies.resource.is_some());
    let mut weigh = |source: Source| {
        let each = documents(policies, source).enumerate();
        each.map(|(at, document)| observer.weigh(&evaluation, document, source, at)).max().unwrap_or(Grant::None)
    };
    let [identity, resource, boundary, session] =
        [Source::Identity, Source::Resource, Source::Boundary, Source::Session].map(|source| (source, weigh(source)));
    if let Some((source, _)) = [identity, resource, boundary, session].iter().find(|(_, says)| *says == Grant::Denied) {
        return Decision::ExplicitDeny(*source);
    }
    let trust = policies.resource.is_some_and(|document| document.grammar == Grammar::Trust);
    match resource.1 {
        Grant::None if trust || policies.resource_must_allow => return Decision::ImplicitDeny(Source::Resource),
        Grant::None | Grant::Account if identity.1 == Grant::None => return Decision::ImplicitDeny(Source::Identity),
        Grant::Direct => return Decision::Allowed,
        Grant::None | Grant::Account | Grant::Role | Grant::Denied => {}
    }
    if policies.boundary.is_some() && boundary.1 == Grant::None {
        return Decision::ImplicitDeny(Source::Boundary);
    }
    if !policies.session.is_empty() && session.1 == Grant::None {
        return Decision::ImplicitDeny(Source::Session);
    }
    Decision::Allowed
}

/// Who looks on while documents are weighed.
trait Observe {
    fn weigh(&mut self, evaluation: &Evaluation<'_>, document: &Document, source: Source, at: usize) -> Grant;
}

/// Nobody.
impl Observe for () {
    fn weigh(&mut self, evaluation: &Evaluation<'_>, document: &Document, _source: Source, _at: usize) -> Grant {
        evaluation.weigh(document, self)
    }
}

#[derive(Default)]
struct Recorder {
    /// Kind, place of the document in its list, statement.
    matched: Vec<(Source, usize, usize)>,
    /// Keys as they are written, by their names in lower case.
    missing: BTreeMap<String, String>,
}

impl Observe for Recorder {
    fn weigh(&mut self, evaluation: &Evaluation<'_>, document: &Document, source: Source, at: usize) -> Grant {
        let mut notes = Notes { statements: Vec::new(), missing: &mut self.missing };
        let outcome = evaluation.weigh(document, &mut notes);
        let mut statements = notes.statements;
        // The index finds statements by their actions, some of them twice.
        statements.sort_unstable();
        statements.dedup();
        self.matched.extend(statements.into_iter().map(|statement| (source, at, statement)));
        outcome
    }
}

struct Notes<'a> {
    statements: Vec<usize>,
    missing: &'a mut BTreeMap<String, String>,
}

impl Watch for Notes<'_> {
    const FULL: bool = true;
    fn matched(&mut self, statement: usize) {
        self.statements.push(statement);
    }
    fn missing(&mut self, key: &str) {
        self.missing.entry(key.to_ascii_lowercase()).or_insert_with(|| key.to_owned());
    }
}
