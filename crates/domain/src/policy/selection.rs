//! The statements of the policies in force that name an action: chosen once
//! for a request, weighed for each of its resources. There is no other way to
//! a decision; explanations come from the same walk.

use super::arn::Arn;
use super::context::Keys;
use super::decide::{Decision, Policies, Source};
use super::document::{Document, Effect, Grammar, Statement};
use super::evaluation::{Evaluation, Watch};
use super::index::Action;
use super::principal::{Asker, Grant};
use super::resource::Resources;

/// In this order a denial is looked for.
const SOURCES: [Source; 4] = [Source::Identity, Source::Resource, Source::Boundary, Source::Session];

/// Statements that there is room for from the start: most actions are named by few.
const CHOSEN_EXPECTED: usize = 8;

/// What policies have to say about an action.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    policies: Policies<'a>,
    /// In the order of [`SOURCES`], then of documents and statements, each once.
    chosen: Vec<Chosen<'a>>,
}

/// A statement that names the action.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen<'a> {
    pub(super) source: Source,
    /// The document's place in the list of that kind.
    pub(super) document: usize,
    /// The statement's place in the document.
    pub(super) at: usize,
    pub(super) statement: &'a Statement,
    /// What it says, when that is known whatever the resource.
    settled: Option<Grant>,
}

/// What statements say, as far as it is known whatever action and resource.
#[derive(Debug, Default)]
pub struct Settled<'a>(Vec<(&'a Statement, Grant)>);

/// The statements that name an action, of all policies. A resource's own
/// document is among them: where resources have such, each has its selection.
pub fn select<'a>(policies: &Policies<'a>, action: &Action) -> Selection<'a> {
    let mut chosen: Vec<Chosen<'a>> = Vec::with_capacity(CHOSEN_EXPECTED);
    for source in SOURCES {
        for (document, found) in documents(policies, source).enumerate() {
            let first = chosen.len();
            found.index.find(action, |at| {
                chosen.push(Chosen { source, document, at, statement: &found.statements[at], settled: None });
            });
            chosen[first..].sort_unstable_by_key(|it| it.at);
        }
    }
    // A statement that names the action twice is found twice.
    chosen.dedup_by_key(|it| (it.source, it.document, it.at));
    Selection { policies: *policies, chosen }
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

/// What the documents of each kind say.
pub(super) struct Says {
    identity: Grant,
    pub(super) resource: Grant,
    boundary: Grant,
    session: Grant,
}

impl Says {
    fn of(&mut self, source: Source) -> &mut Grant {
        match source {
            Source::Identity => &mut self.identity,
            Source::Resource => &mut self.resource,
            Source::Boundary => &mut self.boundary,
            Source::Session => &mut self.session,
        }
    }
}

impl<'a> Selection<'a> {
    /// Decides as [`super::decide`] does: `resource` and `principal` are those
    /// of a [`super::Request`], and `keys` its context.
    pub fn decide(&self, resource: &str, principal: &[String], keys: &dyn Keys) -> Decision {
        self.verdict(self.weigh(resource, principal, keys, &mut ()))
    }

    /// Weighs now what says the same of all resources - statements about every
    /// resource with none but steady keys - so that it is not weighed again for
    /// each, nor for the request's other actions, which have the same `known`.
    /// Only for a request that is asked with such keys from here on.
    pub fn settle(&mut self, keys: &dyn Keys, known: &mut Settled<'a>) {
        let bounded = self.policies.boundary.is_some();
        let evaluation = Evaluation { resource: Arn::read("*"), keys, asker: Asker::default(), bounded };
        for chosen in &mut self.chosen {
            let statement = chosen.statement;
            if let Some((_, grant)) = known.0.iter().find(|(known, _)| std::ptr::eq(*known, statement)) {
                chosen.settled = Some(*grant);
                continue;
            }
            let all = statement.principals.is_none() && statement.resources.as_ref().is_some_and(Resources::is_all);
            if all && statement.keys().all(|key| keys.is_steady(key)) {
                let grant = evaluation.weigh(statement, &mut ());
                chosen.settled = Some(grant);
                known.0.push((statement, grant));
            }
        }
    }

    /// The keys that the statements ask for, in lower case, some twice.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.chosen.iter().flat_map(|chosen| chosen.statement.keys())
    }

    /// What each kind says; without an onlooker only as far as it matters.
    pub(super) fn weigh<W: Watch>(&self, resource: &str, principal: &[String], keys: &dyn Keys, watch: &mut W) -> Says {
        // Who asks is of interest to documents of resources alone.
        let asker = if self.policies.resource.is_some() { Asker::read(principal) } else { Asker::default() };
        let bounded = self.policies.boundary.is_some();
        let evaluation = Evaluation { resource: Arn::read(resource), keys, asker, bounded };
        let mut says =
            Says { identity: Grant::None, resource: Grant::None, boundary: Grant::None, session: Grant::None };
        for chosen in &self.chosen {
            let so_far = says.of(chosen.source);
            if !W::FULL && chosen.statement.effect == Effect::Allow && *so_far == Grant::Direct {
                continue;
            }
            let grant = match chosen.settled {
                Some(grant) if !W::FULL => grant,
                Some(_) | None => evaluation.weigh(chosen.statement, watch),
            };
            *so_far = grant.max(*so_far);
            if grant != Grant::None {
                watch.matched(chosen);
            }
            if !W::FULL && grant == Grant::Denied {
                break;
            }
        }
        says
    }

    pub(super) fn verdict(&self, mut says: Says) -> Decision {
        let policies = &self.policies;
        if let Some(source) = SOURCES.into_iter().find(|source| *says.of(*source) == Grant::Denied) {
            return Decision::ExplicitDeny(source);
        }
        let trust = policies.resource.is_some_and(|document| document.grammar == Grammar::Trust);
        match says.resource {
            Grant::None if trust || policies.resource_must_allow => return Decision::ImplicitDeny(Source::Resource),
            Grant::None | Grant::Account if says.identity == Grant::None => {
                return Decision::ImplicitDeny(Source::Identity);
            }
            Grant::Direct => return Decision::Allowed,
            Grant::None | Grant::Account | Grant::Role | Grant::Denied => {}
        }
        if policies.boundary.is_some() && says.boundary == Grant::None {
            return Decision::ImplicitDeny(Source::Boundary);
        }
        if !policies.session.is_empty() && says.session == Grant::None {
            return Decision::ImplicitDeny(Source::Session);
        }
        Decision::Allowed
    }
}
