//! Roles and instance profiles as other services see them. Their rows belong
//! to the account as a whole and live in the scope of [`IAM_REGION`]; every
//! region's instances read them here.

use crate::row::{IAM_REGION, Instance, InstanceProfile, Role};
use crate::scope::Scope;
use crate::state::{Tables, View};
use elastane_domain::id::AccountId;
use serde_json::Value;
use std::sync::Arc;

/// The service that instances are to a role.
const EC2: &str = "ec2.amazonaws.com";

/// What a trust policy must allow for credentials to be made.
const ASSUME_ROLE: &str = "sts:AssumeRole";

/// The rows of the view's account as a whole; `None` before the first of them.
fn tables<'a>(view: &View<'a>) -> Option<&'a Tables> {
    view.state.scopes.get(&Scope::new(view.scope.account.as_str(), IAM_REGION))
}

/// The instance profile of a name.
pub fn profile<'a>(view: &View<'a>, name: &str) -> Option<&'a Arc<InstanceProfile>> {
    tables(view)?.instance_profiles.get(name)
}

/// The role of a name.
pub fn role<'a>(view: &View<'a>, name: &str) -> Option<&'a Arc<Role>> {
    tables(view)?.roles.get(name)
}

/// `arn:aws:iam::<account>:instance-profile<path><name>`.
pub fn profile_arn(account: &AccountId, profile: &InstanceProfile) -> String {
    format!("arn:aws:iam::{account}:instance-profile{}{}", profile.path, profile.name)
}

/// `arn:aws:iam::<account>:role<path><name>`.
pub fn role_arn(account: &AccountId, role: &Role) -> String {
    format!("arn:aws:iam::{account}:role{}{}", role.path, role.name)
}

/// The instance profile of a name or an ARN, as a launch names it.
pub fn named_profile<'a>(view: &View<'a>, text: &str) -> Option<&'a Arc<InstanceProfile>> {
    if !text.starts_with("arn:") {
        return profile(view, text);
    }
    let name = text.rsplit('/').next().unwrap_or_default();
    profile(view, name).filter(|profile| profile_arn(&view.scope.account, profile) == text)
}

/// The profile that an instance carries and the role in it. `None` without a
/// profile, and while the profile is gone or has no role.
pub fn role_of(view: &View<'_>, instance: &Instance) -> Option<(InstanceProfile, Role)> {
    let profile = profile(view, &instance.profile.as_ref()?.profile)?;
    let role = role(view, profile.role.as_ref()?)?;
    Some((InstanceProfile::clone(profile), Role::clone(role)))
}

/// Whether a role's trust policy lets instances assume it; without that,
/// metadata shows an `AssumeRoleUnauthorizedAccess` instead of credentials
/// (ec2-imds.md 4.1). Conditions are not evaluated: a statement that has any
/// allows nothing and denies everything that it names.
pub fn trusts_ec2(role: &Role) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(&role.trust_policy) else { return false };
    let statements: Vec<&Value> = one_or_many(&policy["Statement"]).collect();
    let about_us = |statement: &&&Value| {
        let service = one_or_many(&statement["Principal"]["Service"]).any(|name| name == EC2);
        let everybody = statement["Principal"] == "*" || statement["Principal"]["AWS"] == "*";
        let action = one_or_many(&statement["Action"]).filter_map(Value::as_str);
        let denied = statement["Effect"] == "Deny" && everybody;
        (service || denied)
            && action.into_iter().any(|name| matches!(name, "*" | "sts:*") || name.eq_ignore_ascii_case(ASSUME_ROLE))
    };
    let with_effect =
        |effect: &'static str| statements.iter().filter(about_us).filter(move |it| it["Effect"] == effect);
    let allowed = with_effect("Allow").any(|statement| statement["Condition"].is_null());
    allowed && with_effect("Deny").next().is_none()
}

/// A JSON member that may be one value or a list of them; nothing when absent.
fn one_or_many(value: &Value) -> impl Iterator<Item = &Value> {
    let (many, one) = match value {
        Value::Null => (None, None),
        Value::Array(values) => (Some(values.iter()), None),
        value => (None, Some(value)),
    };
    many.into_iter().flatten().chain(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Tags;
    use elastane_domain::time::Time;

    fn role(trust_policy: &str) -> Role {
        Role {
            name: "web".to_string(),
            id: "AROA0".to_string(),
            path: "/app/".to_string(),
            description: None,
            trust_policy: trust_policy.to_string(),
            session_secs_max: 3600,
            created_at: Time(0),
            tags: Tags::new(),
            permissions: Default::default(),
            boundary: None,
        }
    }

    /// Who trusts EC2: single values and lists, other services, denials, conditions.
    #[test]
    fn trust_policies() {
        let allow = |principal: &str, more: &str| {
            format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"{more}}}]}}"#
            )
        };
        let single =
            r#"{"Statement":{"Effect":"Allow","Principal":{"Service":["a","ec2.amazonaws.com"]},"Action":["sts:*"]}}"#;
        let denied = r#"{"Statement":[
            {"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"*"},
            {"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}"#;
        for (policy, want) in [
            (allow(r#"{"Service":"ec2.amazonaws.com"}"#, ""), true),
            (allow(r#"{"Service":"ecs.amazonaws.com"}"#, ""), false),
            (allow(r#"{"AWS":"*"}"#, ""), false),
            (allow(r#"{"Service":"ec2.amazonaws.com"}"#, r#","Condition":{"Bool":{"a":"true"}}"#), false),
            (single.to_string(), true),
            (denied.to_string(), false),
            ("{}".to_string(), false),
            ("no json".to_string(), false),
        ] {
            assert_eq!(trusts_ec2(&role(&policy)), want, "{policy}");
        }
        assert_eq!(role_arn(&"000000000000".into(), &role("")), "arn:aws:iam::000000000000:role/app/web");
    }
}
