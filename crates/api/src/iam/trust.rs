//! Trust policies of roles: who they name must be there when they are given,
//! and they follow a user or role to its new ARN. One that is deleted stays in
//! them by its unique id, so that another of its name is not trusted (IAM User
//! Guide, "AWS JSON policy elements: Principal").

use super::{errors, names};
use crate::Change;
use elastane_domain::policy::{Grammar, Malformed, PrincipalKind, PrincipalName};
use elastane_engine::row::{PolicyText, Role, User};
use elastane_engine::{View, identity};
use elastane_wire::ApiError;
use serde_json::Value;
use std::sync::Arc;

/// A trust policy. What it means is looked at when somebody assumes the role.
///
/// # Errors
/// `MalformedPolicyDocument`, also for a user or role of this account that is
/// not there; `LimitExceeded`, `ValidationError`.
pub(super) fn checked(view: &View<'_>, text: &Option<String>, member: &str) -> Result<PolicyText, ApiError> {
    let policy = names::policy(text, member, Grammar::Trust)?;
    if policy.size() > names::TRUST_POLICY_MAX {
        return Err(errors::quota("ACLSizePerRole", names::TRUST_POLICY_MAX));
    }
    let named = policy.document(Grammar::Trust).principals();
    if let Some(nobody) = named.iter().find(|principal| !is_somebody(view, principal)) {
        let message = format!("Invalid principal in policy: \"AWS\":\"{}\"", nobody.value);
        return Err(errors::malformed(Malformed(message)));
    }
    Ok(policy)
}

/// Whether a principal may be named: of this account's users and roles those
/// that there are. Of other accounts nothing is known here.
fn is_somebody(view: &View<'_>, principal: &PrincipalName) -> bool {
    let account = &view.scope.account;
    let of_account = format!("arn:aws:iam::{account}:");
    let Some(resource) = principal.value.strip_prefix(&of_account).filter(|_| principal.kind == PrincipalKind::Aws)
    else {
        return true;
    };
    let name = resource.rsplit('/').next().unwrap_or_default();
    match resource.split('/').next() {
        Some("user") => view.get::<User>(name).is_some_and(|row| identity::user_arn(account, row) == principal.value),
        Some("role") => view.get::<Role>(name).is_some_and(|row| identity::role_arn(account, row) == principal.value),
        other => other == Some("root"),
    }
}

/// Puts `new` in the place of a principal's ARN in all trust policies of the account.
pub(super) fn follow(change: &mut Change<'_, '_>, old: &str, new: &str) {
    let names_it = |role: &&Arc<Role>| {
        role.trust_policy.document(Grammar::Trust).principals().iter().any(|principal| principal.value == old)
    };
    let changed: Vec<(String, PolicyText)> = change
        .all::<Role>()
        .filter(names_it)
        .filter_map(|role| Some((role.name.clone(), replaced(role.trust_policy.text(), old, new)?)))
        .collect();
    for (name, policy) in changed {
        change.update(&name, |role: &mut Role| role.trust_policy = policy);
    }
}

/// A trust policy with another name for a principal.
fn replaced(text: &str, old: &str, new: &str) -> Option<PolicyText> {
    let mut policy: Value = serde_json::from_str(text).ok()?;
    for statement in one_or_many(&mut policy["Statement"]) {
        for element in ["Principal", "NotPrincipal"] {
            let Some(kinds) = statement.get_mut(element).and_then(Value::as_object_mut) else { continue };
            let named = kinds.get_mut("AWS").into_iter().flat_map(one_or_many);
            named.filter(|name| **name == old).for_each(|name| *name = Value::from(new));
        }
    }
    Some(PolicyText::new(policy.to_string()))
}

/// A JSON value that may be one or a list of them.
fn one_or_many(value: &mut Value) -> &mut [Value] {
    match value {
        Value::Array(values) => values,
        one => std::slice::from_mut(one),
    }
}
