//! Who may do what: each call is checked against the caller's policies before
//! its handler runs, within the same transaction.
//!
//! `table.txt` says what each operation needs: actions, the resources that they
//! are about, condition keys. [`permit`] finds the resources that a request
//! names, builds the context that the policies in force ask for and has
//! [`elastane_domain::policy::decide`] decide for each action and resource; all
//! must be allowed. The root of an account is asked for nothing.
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
use elastane_domain::policy::{self, Context, Decision, Document, Grammar, Policies};
use elastane_engine::View;
use elastane_engine::identity::{self, Identity, InForce};
use elastane_engine::row::EncryptionKey;
use elastane_wire::{ApiError, Input, Operation, Service};
use resources::Resource;
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
    let judge = Judge::of(view, caller);
    let asked = Asked::new(view, caller, input);
    checks.iter().try_for_each(|check| judge.check(&asked, check, world))
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

/// The policies that a caller is judged by.
struct Judge<'a> {
    held: InForce<'a>,
    session: Vec<&'a Document>,
}

impl<'a> Judge<'a> {
    fn of(view: &View<'a>, caller: &'a Caller) -> Judge<'a> {
        match &caller.principal {
            Principal::Root => Judge { held: InForce::default(), session: Vec::new() },
            Principal::User(name) => {
                Judge { held: identity::policies_of(view, Identity::User(name)), session: Vec::new() }
            }
            Principal::Role(session) => Judge {
                held: identity::policies_of(view, Identity::Role(&session.role)),
                session: session.policies.iter().map(|policy| policy.document(Grammar::Identity)).collect(),
            },
        }
    }

    /// Refuses what one action needs and does not have on one of its resources.
    fn check(&self, asked: &Asked<'_>, check: &'static Check, world: &dyn World) -> Result<(), ApiError> {
        if !check.when.is_empty() && !check.when.iter().any(|path| path.any(asked.record())) {
            return Ok(());
        }
        let documents = self.held.identity.iter().chain(&self.held.boundary).chain(&self.session);
        let wanted = context::wanted(documents.copied());
        for resource in resources::of(check, asked) {
            let context = context::of(asked, check, &resource, &wanted);
            let decision = self.decide(asked, &check.action, &resource, &context);
            if decision != Decision::Allowed {
                return Err(self.refuse(asked, check, &resource, (decision, &context), world));
            }
        }
        Ok(())
    }

    fn decide(&self, asked: &Asked<'_>, action: &str, resource: &Resource, context: &Context) -> Decision {
        // Keys are the resources with a policy of their own, which has to allow as well.
        let key = (resource.of() == ("kms", "key")).then(|| asked.view.get::<EncryptionKey>(&resource.id)).flatten();
        let policies = Policies {
            identity: &self.held.identity,
            boundary: self.held.boundary,
            session: &self.session,
            resource: key.map(|key| key.policy.document(Grammar::Resource)),
            resource_must_allow: key.is_some(),
        };
        // Who asks is of interest to policies of resources alone.
        let principal = if key.is_some() { principals(&asked.view, asked.caller) } else { Vec::new() };
        let request = policy::Request { action, resource: &resource.arn, principal: &principal, context };
        policy::decide(&policies, &request)
    }

    fn refuse(
        &self,
        asked: &Asked<'_>,
        check: &Check,
        resource: &Resource,
        (decision, context): (Decision, &Context),
        world: &dyn World,
    ) -> ApiError {
        let of_ec2 = asked.operation().service() == Service::Ec2;
        let encoded = || message::encode(world, asked.caller, &check.action, &resource.arn, (decision, context));
        // A call without a resource has no message behind it.
        let encoded = (of_ec2 && resource.kind.is_some()).then(encoded).flatten();
        let why = refusal::Why { action: &check.action, resource: &resource.arn, decision, encoded };
        refusal(asked.caller, asked.operation(), &why)
    }
}

/// The keys of a caller that policies may ask for, whatever the operation: what
/// [`permit`] adds besides is of the request.
pub fn context(view: &View<'_>, caller: &Caller) -> Context {
    let input = Input::empty(Operation::StsGetCallerIdentity);
    let asked = Asked::new(view, caller, &input);
    let nothing = resources::none();
    let mut context = Context::default();
    for (name, maker) in keys::GLOBAL.iter().filter(|(name, _)| !name.ends_with('/')) {
        maker(&asked, &nothing, "", &mut |value| context.add(name, value));
    }
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
