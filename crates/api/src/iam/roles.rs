//! Roles: who may be assumed by whom. What a role may do is not kept.

use super::{errors, names, shape};
use crate::{Call, Change};
use elastane_engine::row::{InstanceProfile, Permissions, Role, Tags};
use elastane_wire::{ApiError, iam as wire};
use std::sync::Arc;

/// Roles of an account (IAM User Guide, "IAM and AWS STS quotas").
const ROLES_MAX: usize = 1000;

/// Characters of a role's name, likewise.
const NAME_MAX: usize = 64;

/// MaxSessionDuration's default, in seconds.
const SESSION_SECS: i32 = 3600;

const KIND: &str = "Role";

fn name(text: &Option<String>) -> Result<&str, ApiError> {
    names::name(text, "RoleName", NAME_MAX)
}

/// The role that a call names.
pub(super) fn find<'a>(view: &elastane_engine::View<'a>, text: &Option<String>) -> Result<&'a Arc<Role>, ApiError> {
    let name = name(text)?;
    view.get::<Role>(name).ok_or_else(|| errors::no_such("The role with name", name))
}

/// CreateRole.
///
/// # Errors
/// `EntityAlreadyExists`, `MalformedPolicyDocument`, `LimitExceeded`,
/// `ValidationError` for members that break a rule and for a permissions
/// boundary, which would have no effect.
pub fn create_role(
    change: &mut Change<'_, '_>,
    input: &wire::CreateRoleRequest,
) -> Result<wire::CreateRoleResponse, ApiError> {
    let name = name(&input.role_name)?;
    if input.permissions_boundary.is_some() {
        return Err(errors::unsupported("PermissionsBoundary"));
    }
    let path = names::path(&input.path)?;
    let trust_policy = names::trust_policy(&input.assume_role_policy_document, "AssumeRolePolicyDocument")?;
    let tags = names::tagged(Tags::new(), &input.tags)?;
    // The path is no part of the name: names are unique regardless of case.
    if change.all::<Role>().any(|row| row.name.eq_ignore_ascii_case(name)) {
        return Err(errors::exists(KIND, name));
    }
    if change.roles.len() >= ROLES_MAX {
        return Err(errors::limit(format!("Cannot exceed quota for RolesPerAccount: {ROLES_MAX}")));
    }
    let row = Role {
        name: name.to_string(),
        id: names::id(change, "AROA"),
        path,
        description: input.description.clone().filter(|text| !text.is_empty()),
        trust_policy,
        session_secs_max: input.max_session_duration.unwrap_or(SESSION_SECS),
        created_at: change.now,
        tags,
        permissions: Permissions::default(),
        boundary: None,
    };
    let role = Some(shape::role(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateRoleResponse { role })
}

/// GetRole.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_role(call: &Call<'_>, input: &wire::GetRoleRequest) -> Result<wire::GetRoleResponse, ApiError> {
    let row = find(&call.view, &input.role_name)?;
    Ok(wire::GetRoleResponse { role: Some(shape::role(&call.view, row)) })
}

/// ListRoles, of a path. As on AWS, tags are not in the list.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_roles(call: &Call<'_>, input: &wire::ListRolesRequest) -> Result<wire::ListRolesResponse, ApiError> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let rows: Vec<&Arc<Role>> = call.all::<Role>().filter(|row| row.path.starts_with(prefix)).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    let roles = page.into_iter().map(|row| wire::Role { tags: Vec::new(), ..shape::role(&call.view, row) }).collect();
    Ok(wire::ListRolesResponse { is_truncated: Some(marker.is_some()), marker, roles })
}

/// UpdateAssumeRolePolicy.
///
/// # Errors
/// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`.
pub fn update_assume_role_policy(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateAssumeRolePolicyRequest,
) -> Result<wire::UpdateAssumeRolePolicyOutput, ApiError> {
    let name = find(&change.view(), &input.role_name)?.name.clone();
    let policy = names::trust_policy(&input.policy_document, "PolicyDocument")?;
    change.update(&name, |row: &mut Role| row.trust_policy = policy);
    Ok(wire::UpdateAssumeRolePolicyOutput {})
}

/// DeleteRole.
///
/// # Errors
/// `NoSuchEntity`, `DeleteConflict` while it is in an instance profile.
pub fn delete_role(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteRoleRequest,
) -> Result<wire::DeleteRoleOutput, ApiError> {
    let name = find(&change.view(), &input.role_name)?.name.clone();
    if change.all::<InstanceProfile>().any(|row| row.role.as_ref() == Some(&name)) {
        return Err(errors::conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    change.delete::<Role>(&name);
    Ok(wire::DeleteRoleOutput {})
}

/// TagRole.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`, `ValidationError`.
pub fn tag_role(change: &mut Change<'_, '_>, input: &wire::TagRoleRequest) -> Result<wire::TagRoleOutput, ApiError> {
    let row = find(&change.view(), &input.role_name)?.clone();
    let tags = names::tagged(row.tags.clone(), &input.tags)?;
    change.update(&row.name, |row: &mut Role| row.tags = tags);
    Ok(wire::TagRoleOutput {})
}

/// UntagRole.
///
/// # Errors
/// `NoSuchEntity`.
pub fn untag_role(
    change: &mut Change<'_, '_>,
    input: &wire::UntagRoleRequest,
) -> Result<wire::UntagRoleOutput, ApiError> {
    let name = find(&change.view(), &input.role_name)?.name.clone();
    change.update(&name, |row: &mut Role| row.tags.retain(|key, _| !input.tag_keys.contains(key)));
    Ok(wire::UntagRoleOutput {})
}
