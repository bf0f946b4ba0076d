//! Identities, their policies and keys as other services see them. Their rows
//! belong to the account as a whole and live in the scope of [`IAM_REGION`];
//! every region reads them here.

pub mod aws_policies;
mod bearer;
mod in_force;
mod managed;

pub use bearer::Bearer;
pub use in_force::{Gathered, InForce, policies_of};
pub use managed::{Managed, Uses, managed, policy_arn, uses};

use crate::row::{AccessKey, IAM_REGION, Instance, InstanceProfile, Role, TemporaryKey, User, UserGroup};
use crate::scope::Scope;
use crate::state::{Tables, View};
use elastane_domain::id::AccountId;
use elastane_domain::policy::{self, Context, Decision, Grammar, Policies, PrincipalKind, Request};
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

/// The user of a name.
pub fn user<'a>(view: &View<'a>, name: &str) -> Option<&'a Arc<User>> {
    tables(view)?.users.get(name)
}

/// The long-term access key of an id.
pub fn access_key<'a>(view: &View<'a>, id: &str) -> Option<&'a Arc<AccessKey>> {
    tables(view)?.access_keys.get(id)
}

/// The temporary access key of an id, which may have expired.
pub fn temporary_key<'a>(view: &View<'a>, id: &str) -> Option<&'a Arc<TemporaryKey>> {
    tables(view)?.temporary_keys.get(id)
}

/// Whose policies are asked for, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'n> {
    /// A user.
    User(&'n str),
    /// A role.
    Role(&'n str),
}

/// `arn:aws:iam::<account>:user<path><name>`.
pub fn user_arn(account: &AccountId, user: &User) -> String {
    format!("arn:aws:iam::{account}:user{}{}", user.path, user.name)
}

/// `arn:aws:iam::<account>:group<path><name>`.
pub fn group_arn(account: &AccountId, group: &UserGroup) -> String {
    format!("arn:aws:iam::{account}:group{}{}", group.path, group.name)
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
/// (ec2-imds.md 4.1). Of the condition keys only those are there that say that
/// a service asks.
pub fn trusts_ec2(account: &AccountId, role: &Role) -> bool {
    let mut context = Context::default();
    context.add("aws:PrincipalIsAWSService", "true");
    context.add("aws:PrincipalServiceName", EC2);
    context.add("aws:SourceAccount", account.as_str());
    let trust = role.trust_policy.document(Grammar::Trust);
    let policies = Policies { resource: Some(trust), ..Policies::default() };
    let arn = role_arn(account, role);
    let request = Request { action: ASSUME_ROLE, resource: &arn, principal: &[EC2.to_string()], context: &context };
    // Whom `*` stands for are accounts and their identities, not services.
    trust.principals().iter().any(|it| it.kind == PrincipalKind::Service && it.value == EC2)
        && policy::decide(&policies, &request) == Decision::Allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{PolicyText, Tags};
    use elastane_domain::time::Time;

    fn role(trust_policy: &str) -> Role {
        Role {
            name: "web".to_string(),
            id: "AROA0".to_string(),
            path: "/app/".to_string(),
            description: None,
            trust_policy: PolicyText::new(trust_policy),
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
        let single = r#"{"Statement":{"Effect":"Allow","Principal":{"Service":["a.amazonaws.com","ec2.amazonaws.com"]},"Action":["sts:*"]}}"#;
        let denied = r#"{"Statement":[
            {"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"*"},
            {"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}"#;
        for (policy, want) in [
            (allow(r#"{"Service":"ec2.amazonaws.com"}"#, ""), true),
            (allow(r#"{"Service":"ecs.amazonaws.com"}"#, ""), false),
            (allow(r#"{"AWS":"*"}"#, ""), false),
            (allow(r#"{"Service":"ec2.amazonaws.com"}"#, r#","Condition":{"Bool":{"a":"true"}}"#), false),
            (
                allow(
                    r#"{"Service":"ec2.amazonaws.com"}"#,
                    r#","Condition":{"StringEquals":{"aws:SourceAccount":"000000000000"}}"#,
                ),
                true,
            ),
            (single.to_string(), true),
            (denied.to_string(), false),
            ("{}".to_string(), false),
            ("no json".to_string(), false),
        ] {
            assert_eq!(trusts_ec2(&"000000000000".into(), &role(&policy)), want, "{policy}");
        }
        assert_eq!(role_arn(&"000000000000".into(), &role("")), "arn:aws:iam::000000000000:role/app/web");
    }
}
