//! Managed policies attached to users, groups and roles.

use super::bearers::{Ruled, find, find_mine};
use super::{errors, names, policies};
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::identity::{self, Managed};
use elastane_engine::row::{Role, User, UserGroup};
use elastane_wire::{ApiError, iam as wire};

/// Managed policies of one identity (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const ATTACHED_MAX: usize = 10;

type Text = Option<String>;

/// Attaches a managed policy; one that is attached stays.
fn attach<B: Ruled>(change: &mut Change<'_, '_>, bearer: &Text, arn: &Text) -> Result<(), ApiError> {
    let row = find_mine::<B>(&change.view(), bearer)?.clone();
    let arn = policies::arn(arn)?.to_string();
    let policy = identity::managed(&change.view(), &arn).ok_or_else(|| errors::not_attachable(&arn))?;
    if matches!(policy, Managed::Aws(policy) if !policy.attachable()) {
        return Err(errors::only_for_services());
    }
    let attached = &row.permissions().attached;
    if !attached.contains(&arn) && attached.len() >= ATTACHED_MAX {
        return Err(errors::quota(B::ATTACHED_QUOTA, ATTACHED_MAX));
    }
    change.update(row.name(), |row: &mut B| {
        row.permissions_mut().attached.insert(arn);
    });
    Ok(())
}

fn detach<B: Ruled>(change: &mut Change<'_, '_>, bearer: &Text, arn: &Text) -> Result<(), ApiError> {
    let row = find_mine::<B>(&change.view(), bearer)?.clone();
    let arn = policies::arn(arn)?;
    if !row.permissions().attached.contains(arn) {
        return Err(errors::no_such_policy(arn));
    }
    change.update(row.name(), |row: &mut B| {
        row.permissions_mut().attached.remove(arn);
    });
    Ok(())
}

/// What is attached to an identity, as answers show it.
pub(super) fn shown<B: Ruled>(view: &View<'_>, row: &B, prefix: &str) -> Vec<wire::AttachedPolicy> {
    let of_path = |arn: &&String| identity::managed(view, arn).is_some_and(|it| it.path().starts_with(prefix));
    let shape = |arn: &String| wire::AttachedPolicy {
        policy_arn: Some(arn.clone()),
        policy_name: arn.rsplit('/').next().map(str::to_string),
    };
    row.permissions().attached.iter().filter(of_path).map(shape).collect()
}

/// A page of what is attached to an identity.
fn list<B: Ruled>(
    view: &View<'_>,
    (bearer, prefix): (&Text, &Text),
    page: (Option<&str>, Option<i32>),
) -> Result<(Vec<wire::AttachedPolicy>, Option<String>), ApiError> {
    let attached = shown(view, &**find::<B>(view, bearer)?, names::path_prefix(prefix));
    names::cut(attached, page, |one| one.policy_arn.clone().unwrap_or_default())
}

/// The three operations of a kind of identity.
macro_rules! attachments {
    ($row:ty, $member:ident, $noun:literal,
     $attach:ident $attach_in:ident $attach_out:ident, $detach:ident $detach_in:ident $detach_out:ident,
     $list:ident $list_in:ident $list_out:ident) => {
        #[doc = concat!("Attaches a managed policy to a ", $noun, ".\n\n# Errors\n`NoSuchEntity`, `PolicyNotAttachable`, `LimitExceeded`, `UnmodifiableEntity`, `InvalidInput`.")]
        pub fn $attach(change: &mut Change<'_, '_>, input: &wire::$attach_in) -> Result<wire::$attach_out, ApiError> {
            attach::<$row>(change, &input.$member, &input.policy_arn)?;
            Ok(wire::$attach_out {})
        }

        #[doc = concat!("Detaches a managed policy from a ", $noun, ".\n\n# Errors\n`NoSuchEntity`, `UnmodifiableEntity`, `InvalidInput`.")]
        pub fn $detach(change: &mut Change<'_, '_>, input: &wire::$detach_in) -> Result<wire::$detach_out, ApiError> {
            detach::<$row>(change, &input.$member, &input.policy_arn)?;
            Ok(wire::$detach_out {})
        }

        #[doc = concat!("The managed policies attached to a ", $noun, ", of a path.\n\n# Errors\n`NoSuchEntity`, `ValidationError` for a marker of another make.")]
        pub fn $list(call: &Call<'_>, input: &wire::$list_in) -> Result<wire::$list_out, ApiError> {
            let page = (input.marker.as_deref(), input.max_items);
            let (attached_policies, marker) = list::<$row>(&call.view, (&input.$member, &input.path_prefix), page)?;
            Ok(wire::$list_out { attached_policies, is_truncated: Some(marker.is_some()), marker })
        }
    };
}

attachments! {
    User, user_name, "user",
    attach_user_policy AttachUserPolicyRequest AttachUserPolicyOutput,
    detach_user_policy DetachUserPolicyRequest DetachUserPolicyOutput,
    list_attached_user_policies ListAttachedUserPoliciesRequest ListAttachedUserPoliciesResponse
}

attachments! {
    UserGroup, group_name, "group",
    attach_group_policy AttachGroupPolicyRequest AttachGroupPolicyOutput,
    detach_group_policy DetachGroupPolicyRequest DetachGroupPolicyOutput,
    list_attached_group_policies ListAttachedGroupPoliciesRequest ListAttachedGroupPoliciesResponse
}

attachments! {
    Role, role_name, "role",
    attach_role_policy AttachRolePolicyRequest AttachRolePolicyOutput,
    detach_role_policy DetachRolePolicyRequest DetachRolePolicyOutput,
    list_attached_role_policies ListAttachedRolePoliciesRequest ListAttachedRolePoliciesResponse
}
