//! Who may do what: each call is checked against the caller's policies before
//! its handler runs, within the same transaction.
//!
//! `table.txt` says what each operation needs: actions, the resources that they
//! are about, condition keys. [`permit`] finds the resources that a request
//! names, has [`elastane_domain::policy::select`] choose the statements of the
//! policies in force that speak of each action, and has them weighed for each
//! resource; all must be allowed. Condition keys are made as statements ask for
//! them. The root of an account is asked for nothing.
//!
//! AssumeRole is left to its handler, whose role's trust policy has a say as
//! well; it uses [`context`] and [`principals`].

mod asked;
mod context;
mod finders;
mod keys;
mod keys_ec2;
mod launching;
mod lines;
mod members;
mod message;
mod refusal;
mod resources;
mod table;
mod tags;
#[cfg(test)]
mod tests;

pub use message::decode as decode_message;
pub use refusal::{Why, refusal, throttled};

use crate::{Caller, Principal, World};
use asked::Asked;
use context::Facts;
use elastane_domain::policy::{self, Context, Decision, Document, Grammar, Policies, Selection, Settled};
use elastane_engine::View;
use elastane_engine::identity::{self, Identity, InForce};
use elastane_engine::row::EncryptionKey;
use elastane_wire::{ApiError, Input, Operation, Service};
use resources::Resource;
use std::sync::Arc;
use table::{Check, table};

/// Refuses an operation that the caller may not carry out.
///
/// # Errors
/// The refusal in the words of the service ([`refusal`]).
pub fn permit(view: &View<'_>, caller: &Caller, world: &dyn World, input: &Input) -> Result<(), ApiError> {
    let operation = input.operation();
    refuse_session(caller, operation)?;
    if caller.principal == Principal::Root || operation == Operation::StsAssumeRole {
        return Ok(());
    }
    let checks = table().checks(operation);
    if checks.is_empty() {
        return Ok(());
    }
    let held = held(view, caller);
    let judge = Judge::by(&held, caller);
    let asked = Asked::new(view, caller, input);
    let mut settled = Settled::default();
    checks.iter().try_for_each(|check| judge.check(&asked, check, &mut settled, world))
}

/// Sessions of GetSessionToken reach no operation of IAM, and of STS few; no
/// session makes another one (STS API Reference, "GetSessionToken").
fn refuse_session(caller: &Caller, operation: Operation) -> Result<(), ApiError> {
    if caller.issued_at.is_none() {
        return Ok(());
    }
    let of_role = matches!(caller.principal, Principal::Role(_));
    match operation.service() {
        Service::Iam if !of_role => {
            let message = "The security token included in the request is invalid";
            Err(ApiError::new("InvalidClientTokenId", message).with_status(403))
        }
        Service::Sts if operation == Operation::StsGetSessionToken => refuse_of_session(operation),
        Service::Sts if !of_role => match operation {
            Operation::StsAssumeRole | Operation::StsGetCallerIdentity => Ok(()),
            other => refuse_of_session(other),
        },
        _ => Ok(()),
    }
}

fn refuse_of_session(operation: Operation) -> Result<(), ApiError> {
    let message = format!("Cannot call {} with session credentials", operation.name());
    Err(ApiError::new("AccessDenied", message).with_status(403))
}

/// The policies of the identity that a caller is; none for the root.
pub fn held(view: &View<'_>, caller: &Caller) -> Arc<InForce> {
    match &caller.principal {
        Principal::Root => Arc::default(),
        Principal::User(name) => identity::policies_of(view, Identity::User(name)),
        Principal::Role(session) => identity::policies_of(view, Identity::Role(&session.role)),
    }
}

/// The policies of a caller's session.
pub fn of_session(caller: &Caller) -> Vec<&Document> {
    match &caller.principal {
        Principal::Root | Principal::User(_) => Vec::new(),
        Principal::Role(session) => session.policies.iter().map(|it| it.document(Grammar::Identity)).collect(),
    }
}

/// The policies that a caller is judged by.
struct Judge<'a> {
    identity: Vec<&'a Document>,
    boundary: Option<&'a Document>,
    session: Vec<&'a Document>,
}

impl<'a> Judge<'a> {
    fn by(held: &'a InForce, caller: &'a Caller) -> Judge<'a> {
        Judge { identity: held.identity(), boundary: held.boundary(), session: of_session(caller) }
    }

    fn policies(&self) -> Policies<'_> {
        let Judge { identity, boundary, session } = self;
        Policies { identity, boundary: *boundary, session, ..Policies::default() }
    }

    /// Refuses what one action needs and does not have on one of its resources.
    fn check<'s>(
        &'s self,
        asked: &Asked<'_>,
        check: &'static Check,
        settled: &mut Settled<'s>,
        world: &dyn World,
    ) -> Result<(), ApiError> {
        if !check.when.is_empty() && !check.when.iter().any(|path| path.any(asked.record())) {
            return Ok(());
        }
        let resources = resources::of(check, asked);
        let Some(first) = resources.first() else { return Ok(()) };
        let mut selection = policy::select(&self.policies(), &check.asked);
        if resources.len() > 1 {
            selection.settle(&Facts { asked, check, resource: first }, settled);
        }
        for resource in &resources {
            let facts = Facts { asked, check, resource };
            match encryption_key(asked, resource) {
                None => facts.judge(&selection, &[], world)?,
                Some(key) => {
                    let document = key.policy.document(Grammar::Resource);
                    let policies = Policies { resource: Some(document), resource_must_allow: true, ..self.policies() };
                    let selection = policy::select(&policies, &check.asked);
                    facts.judge(&selection, &principals(&asked.view, asked.caller), world)?;
                }
            }
        }
        Ok(())
    }
}

/// The row of a key: keys are the resources with a policy of their own, which
/// has to allow as well.
fn encryption_key<'a>(asked: &Asked<'a>, resource: &Resource<'_>) -> Option<&'a EncryptionKey> {
    let row = (resource.of() == ("kms", "key")).then(|| asked.view.get::<EncryptionKey>(&resource.id)).flatten();
    row.map(|row| &**row)
}

impl Facts<'_, '_> {
    /// Refuses what the statements that were chosen do not allow.
    fn judge(&self, selection: &Selection<'_>, principal: &[String], world: &dyn World) -> Result<(), ApiError> {
        let Facts { asked, check, resource } = *self;
        let decision = selection.decide(&resource.arn, principal, self);
        if decision == Decision::Allowed {
            return Ok(());
        }
        // A call without a resource has no message behind it.
        let with_message = asked.operation().service() == Service::Ec2 && resource.kind.is_some();
        let encoded = || {
            let context = self.context(selection.keys());
            message::encode(world, asked.caller, &check.action, &resource.arn, (decision, &context))
        };
        let encoded = with_message.then(encoded).flatten();
        let why = refusal::Why { action: &check.action, resource: &resource.arn, decision, encoded };
        Err(refusal(asked.caller, asked.operation(), &why))
    }
}

/// The keys of a caller that policies may ask for, whatever the operation: what
/// [`permit`] adds besides is of the request.
pub fn context(view: &View<'_>, caller: &Caller) -> Context {
    let input = Input::empty(Operation::StsGetCallerIdentity);
    let asked = Asked::new(view, caller, &input);
    let mut context = Context::default();
    for (at, (name, _)) in keys::GLOBAL.iter().enumerate() {
        asked.global(at).iter().for_each(|value| context.add(name, value));
    }
    context.add("aws:ResourceAccount", view.scope.account.as_str());
    for (key, value) in keys::principal_tags(&asked) {
        context.add(&format!("aws:PrincipalTag/{key}"), value);
    }
    context
}

/// What a Principal element may name a caller by: ARNs, unique ids and, last,
/// the account.
pub fn principals(view: &View<'_>, caller: &Caller) -> Vec<String> {
    let mut names = vec![caller.arn.clone()];
    if let Principal::Role(session) = &caller.principal
        && let Some(role) = identity::role(view, &session.role)
    {
        names.push(identity::role_arn(&caller.account, role));
        names.push(role.id.clone());
    }
    names.push(caller.user_id.clone());
    names.push(caller.account.to_string());
    names.dedup();
    names
}

/// The operation's name in policies: `ec2:RunInstances`.
pub fn action(operation: Operation) -> String {
    match table().checks(operation).first() {
        Some(check) => check.action.clone(),
        None => format!("{}:{}", operation.service().info().signing_name, operation.name()),
    }
}

/// The resources that a request is about, as ARNs, for the trail: none for an
/// operation without resources.
pub fn resources(view: &View<'_>, caller: &Caller, input: &Input) -> Vec<(String, String)> {
    let Some(check) = table().checks(input.operation()).first() else { return Vec::new() };
    let asked = Asked::new(view, caller, input);
    let named = resources::of(check, &asked).into_iter().filter(|resource| resource.kind.is_some());
    named.map(|resource| (resource.of().1.to_string(), resource.arn)).collect()
}
