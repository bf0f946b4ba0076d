//! AssumeRole: a session of a role, for those whom its trust policy names and
//! whose own policies do not stand against it.

use super::limits::{self, Given};
use super::session_token::refuse_devices;
use super::{errors, keys};
use crate::access::{self, Why};
use crate::{Change, Principal};
use elastane_domain::policy::{self, Context, Decision, Grammar, Policies, Source};
use elastane_engine::View;
use elastane_engine::identity::aws_policies::AWS_POLICIES;
use elastane_engine::identity::{self, InForce};
use elastane_engine::row::{Holder, Role, TemporaryKey};
use elastane_wire::{ApiError, Operation, sts as wire};
use std::sync::Arc;

/// How long a session lasts when nothing is said, in seconds.
const SESSION_SECS: i32 = 3_600;

/// How long a session may last that a role's session assumed (IAM User Guide,
/// "Role chaining").
const CHAINED_SECS_MAX: i32 = 3_600;

/// What the root may do, whose permissions come from no policy.
const EVERYTHING: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// AssumeRole. The trust policy must let the caller in; unless it names the
/// caller itself, the caller's policies must as well. The root, whom AWS lets
/// assume no role, is treated as its account.
///
/// # Errors
/// `AccessDenied`, also for a role that is not there and one of another
/// account; `MalformedPolicyDocument`, `PackedPolicyTooLarge`, `Throttling`,
/// `ValidationError`.
pub fn assume_role(
    change: &mut Change<'_, '_>,
    input: &wire::AssumeRoleRequest,
) -> Result<wire::AssumeRoleResponse, ApiError> {
    let session = names(input)?;
    refuse_devices(&input.serial_number, &input.token_code)?;
    let view = change.view();
    let arn = input.role_arn.as_deref().unwrap_or_default();
    let name = arn.rsplit('/').next().unwrap_or_default();
    let role = view.get::<Role>(name).filter(|role| identity::role_arn(&view.scope.account, role) == arn);
    let nobody = Decision::ImplicitDeny(Source::Resource);
    let role = role.ok_or_else(|| refusal(change, "sts:AssumeRole", arn, nobody))?.clone();
    let from = view.get::<TemporaryKey>(&change.caller.access_key).cloned();
    let source = source_identity(input, from.as_deref())?;
    let given = limits::given(&view, input, from.as_deref())?;
    permit(change, input, (&role, arn), &given, &source)?;
    let chained = matches!(change.caller.principal, Principal::Role(_));
    let seconds = duration(input, &role, chained)?;
    let Given { policies, tags, transitive, packed } = given;
    let holder = Holder::Role {
        id: role.id.clone(),
        name: role.name.clone(),
        session: session.to_string(),
        policies,
        tags,
        transitive,
        source_identity: source.clone(),
        chained,
    };
    let credentials = keys::issue(change, holder, seconds)?;
    let account = &change.scope().account;
    Ok(wire::AssumeRoleResponse {
        assumed_role_user: Some(wire::AssumedRoleUser {
            arn: Some(format!("arn:aws:sts::{account}:assumed-role/{}/{session}", role.name)),
            assumed_role_id: Some(format!("{}:{session}", role.id)),
        }),
        credentials: Some(credentials),
        packed_policy_size: packed,
        source_identity: source,
        ..Default::default()
    })
}

/// Checks the members that are names, and refuses what would have no effect;
/// the name of the session.
fn names(input: &wire::AssumeRoleRequest) -> Result<&str, ApiError> {
    if !input.provided_contexts.is_empty() {
        return Err(errors::unsupported("ProvidedContexts"));
    }
    if input.minimum_session_token_size.is_some() {
        return Err(errors::unsupported("MinimumSessionTokenSize"));
    }
    let session = input.role_session_name.as_deref().unwrap_or_default();
    spelled("roleSessionName", session, "_+=,.@-")?;
    spelled("externalId", input.external_id.as_deref().unwrap_or("-"), "_+=,.@:/-")?;
    spelled("sourceIdentity", input.source_identity.as_deref().unwrap_or("-"), "_+=,.@-")?;
    Ok(session)
}

/// Checks that a text has letters, digits and some signs only.
fn spelled(member: &str, text: &str, signs: &str) -> Result<(), ApiError> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || signs.contains(c)) {
        return Ok(());
    }
    Err(errors::invalid(format!(
        "1 validation error detected: Value '{text}' at '{member}' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: [\\w+=,.@{}-]*",
        if signs.contains('/') { ":\\/" } else { "" }
    )))
}

/// The source identity: a session keeps that of the session that assumed it.
fn source_identity(input: &wire::AssumeRoleRequest, from: Option<&TemporaryKey>) -> Result<Option<String>, ApiError> {
    let kept = match from.map(|key| &key.holder) {
        Some(Holder::Role { source_identity, .. }) => source_identity.clone(),
        Some(Holder::Root | Holder::User { .. }) | None => None,
    };
    match (kept, input.source_identity.clone()) {
        (Some(kept), Some(asked)) if kept != asked => {
            Err(errors::denied("The source identity of a session cannot be changed when it assumes another role."))
        }
        (kept, asked) => Ok(kept.or(asked)),
    }
}

/// How long the session lasts, in seconds.
fn duration(input: &wire::AssumeRoleRequest, role: &Role, chained: bool) -> Result<i32, ApiError> {
    let Some(seconds) = input.duration_seconds else { return Ok(SESSION_SECS) };
    if chained && seconds > CHAINED_SECS_MAX {
        return Err(errors::invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    if seconds > role.session_secs_max {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(errors::invalid(message));
    }
    Ok(seconds)
}

/// Refuses a caller that may not assume the role, or not with these tags or
/// this source identity.
fn permit(
    change: &Change<'_, '_>,
    input: &wire::AssumeRoleRequest,
    (role, arn): (&Role, &str),
    given: &Given,
    source: &Option<String>,
) -> Result<(), ApiError> {
    let view = change.view();
    let principal = access::principals(&view, change.caller);
    let context = context(change, input, role, given, source);
    let (held, session) = (held(&view, change), access::of_session(change.caller));
    let identity = held.identity();
    let policies = Policies {
        identity: &identity,
        boundary: held.boundary(),
        session: &session,
        resource: Some(role.trust_policy.document(Grammar::Trust)),
        ..Policies::default()
    };
    let mut actions = vec!["sts:AssumeRole"];
    if !given.tags.is_empty() {
        actions.push("sts:TagSession");
    }
    if source.is_some() {
        actions.push("sts:SetSourceIdentity");
    }
    for action in actions {
        let request = policy::Request { action, resource: arn, principal: &principal, context: &context };
        let decision = policy::decide(&policies, &request);
        if decision != Decision::Allowed {
            return Err(refusal(change, action, arn, decision));
        }
    }
    Ok(())
}

fn refusal(change: &Change<'_, '_>, action: &str, arn: &str, decision: Decision) -> ApiError {
    let why = Why { action, resource: arn, decision, encoded: None };
    access::refusal(change.caller, Operation::StsAssumeRole, &why)
}

/// The caller's own policies.
fn held(view: &View<'_>, change: &Change<'_, '_>) -> Arc<InForce> {
    match &change.caller.principal {
        Principal::Root => {
            let everything = AWS_POLICIES.get(EVERYTHING).map(|policy| InForce::only(policy.document.clone()));
            Arc::new(everything.unwrap_or_default())
        }
        Principal::User(_) | Principal::Role(_) => access::held(view, change.caller),
    }
}

/// The caller's condition keys and the request's (Service Authorization
/// Reference, "AWS Security Token Service").
fn context(
    change: &Change<'_, '_>,
    input: &wire::AssumeRoleRequest,
    role: &Role,
    given: &Given,
    source: &Option<String>,
) -> Context {
    let mut context = access::context(&change.view(), change.caller);
    let mut add = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            context.add(key, value.as_str());
        }
    };
    add("sts:ExternalId", &input.external_id);
    add("sts:RoleSessionName", &input.role_session_name);
    add("sts:SourceIdentity", source);
    add("sts:DurationSeconds", &input.duration_seconds.map(|seconds| seconds.to_string()));
    for (key, value) in &role.tags {
        context.add(&format!("aws:ResourceTag/{key}"), value.as_str());
        context.add(&format!("iam:ResourceTag/{key}"), value.as_str());
    }
    for (key, value) in &given.tags {
        context.add(&format!("aws:RequestTag/{key}"), value.as_str());
        context.add("aws:TagKeys", key.as_str());
    }
    for key in &given.transitive {
        context.add("sts:TransitiveTagKeys", key.as_str());
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which names of sessions pass.
    #[test]
    fn names_of_sessions() {
        for (name, good) in [("web-1", true), ("a@b.c,d=e+f_", true), ("a b", false), ("a/b", false), ("ä1", false)] {
            let input = wire::AssumeRoleRequest { role_session_name: Some(name.to_string()), ..Default::default() };
            assert_eq!(names(&input).is_ok(), good, "{name}");
        }
    }
}
