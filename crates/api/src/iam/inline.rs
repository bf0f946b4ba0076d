//! Inline policies of users, groups and roles.

use super::bearers::{Ruled, find, find_mine};
use super::{errors, names, shape};
use crate::{Call, Change};
use elastane_domain::policy::Grammar;
use elastane_engine::View;
use elastane_engine::row::{PolicyText, Role, User, UserGroup};
use elastane_wire::{ApiError, iam as wire};

/// Characters of a policy's name (IAM API Reference, "PutRolePolicy").
const NAME_MAX: usize = 128;

type Text = Option<String>;

/// Sets an inline policy; the size counts with all others of the identity.
fn put<B: Ruled>(change: &mut Change<'_, '_>, bearer: &Text, name: &Text, document: &Text) -> Result<(), ApiError> {
    let row = find_mine::<B>(&change.view(), bearer)?.clone();
    let name = names::name(name, "PolicyName", NAME_MAX)?;
    let policy = names::policy(document, "PolicyDocument", Grammar::Identity)?;
    let others = row.permissions().inline.iter().filter(|(other, _)| *other != name);
    let size = others.map(|(_, policy)| policy.size()).sum::<usize>() + policy.size();
    if size > B::INLINE_MAX {
        let message = format!("Maximum policy size of {} bytes exceeded for {} {}", B::INLINE_MAX, B::NOUN, row.name());
        return Err(errors::limit(message));
    }
    change.update(row.name(), |row: &mut B| {
        row.permissions_mut().inline.insert(name.to_string(), policy);
    });
    Ok(())
}

/// An inline policy by the names of its identity and its own.
fn get<'a, B: Ruled>(view: &View<'a>, bearer: &Text, name: &Text) -> Result<(&'a B, &'a PolicyText), ApiError> {
    let row = find::<B>(view, bearer)?;
    let name = name.as_deref().unwrap_or_default();
    let policy = row.permissions().inline.get(name);
    Ok((row, policy.ok_or_else(|| errors::no_such(&format!("The {} policy with name", B::NOUN), name))?))
}

fn delete<B: Ruled>(change: &mut Change<'_, '_>, bearer: &Text, name: &Text) -> Result<(), ApiError> {
    let row = find_mine::<B>(&change.view(), bearer)?.name().to_string();
    get::<B>(&change.view(), bearer, name)?;
    let name = name.as_deref().unwrap_or_default();
    change.update(&row, |row: &mut B| {
        row.permissions_mut().inline.remove(name);
    });
    Ok(())
}

/// A page of the names of an identity's inline policies.
fn list<B: Ruled>(
    view: &View<'_>,
    bearer: &Text,
    page: (Option<&str>, Option<i32>),
) -> Result<(Vec<String>, Option<String>), ApiError> {
    let names: Vec<String> = find::<B>(view, bearer)?.permissions().inline.keys().cloned().collect();
    names::cut(names, page, Clone::clone)
}

/// The four operations of a kind of identity.
macro_rules! inline {
    ($row:ty, $member:ident, $noun:literal,
     $put:ident $put_in:ident $put_out:ident, $get:ident $get_in:ident $get_out:ident,
     $list:ident $list_in:ident $list_out:ident, $delete:ident $delete_in:ident $delete_out:ident) => {
        #[doc = concat!("Sets an inline policy of a ", $noun, ".\n\n# Errors\n`NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`, `UnmodifiableEntity`, `ValidationError`.")]
        pub fn $put(change: &mut Change<'_, '_>, input: &wire::$put_in) -> Result<wire::$put_out, ApiError> {
            put::<$row>(change, &input.$member, &input.policy_name, &input.policy_document)?;
            Ok(wire::$put_out {})
        }

        #[doc = concat!("An inline policy of a ", $noun, ".\n\n# Errors\n`NoSuchEntity`.")]
        pub fn $get(call: &Call<'_>, input: &wire::$get_in) -> Result<wire::$get_out, ApiError> {
            let (row, policy) = get::<$row>(&call.view, &input.$member, &input.policy_name)?;
            Ok(wire::$get_out {
                $member: Some(row.name.clone()),
                policy_document: Some(shape::escaped(policy.text())),
                policy_name: input.policy_name.clone(),
            })
        }

        #[doc = concat!("The names of a ", $noun, "'s inline policies.\n\n# Errors\n`NoSuchEntity`, `ValidationError` for a marker of another make.")]
        pub fn $list(call: &Call<'_>, input: &wire::$list_in) -> Result<wire::$list_out, ApiError> {
            let page = (input.marker.as_deref(), input.max_items);
            let (policy_names, marker) = list::<$row>(&call.view, &input.$member, page)?;
            Ok(wire::$list_out { is_truncated: Some(marker.is_some()), marker, policy_names })
        }

        #[doc = concat!("Deletes an inline policy of a ", $noun, ".\n\n# Errors\n`NoSuchEntity`, `UnmodifiableEntity`.")]
        pub fn $delete(change: &mut Change<'_, '_>, input: &wire::$delete_in) -> Result<wire::$delete_out, ApiError> {
            delete::<$row>(change, &input.$member, &input.policy_name)?;
            Ok(wire::$delete_out {})
        }
    };
}

inline! {
    User, user_name, "user",
    put_user_policy PutUserPolicyRequest PutUserPolicyOutput,
    get_user_policy GetUserPolicyRequest GetUserPolicyResponse,
    list_user_policies ListUserPoliciesRequest ListUserPoliciesResponse,
    delete_user_policy DeleteUserPolicyRequest DeleteUserPolicyOutput
}

inline! {
    UserGroup, group_name, "group",
    put_group_policy PutGroupPolicyRequest PutGroupPolicyOutput,
    get_group_policy GetGroupPolicyRequest GetGroupPolicyResponse,
    list_group_policies ListGroupPoliciesRequest ListGroupPoliciesResponse,
    delete_group_policy DeleteGroupPolicyRequest DeleteGroupPolicyOutput
}

inline! {
    Role, role_name, "role",
    put_role_policy PutRolePolicyRequest PutRolePolicyOutput,
    get_role_policy GetRolePolicyRequest GetRolePolicyResponse,
    list_role_policies ListRolePoliciesRequest ListRolePoliciesResponse,
    delete_role_policy DeleteRolePolicyRequest DeleteRolePolicyOutput
}
