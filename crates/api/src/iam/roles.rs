//! Roles: what they are, and who may assume them.

use super::bearers::{self, bare, find, find_mine, free};
use super::{boundaries, errors, names, shape, trust};
use crate::{Call, Change};
use elastane_engine::identity;
use elastane_engine::identity::aws_policies::SERVICE_ROLE_PATH;
use elastane_engine::row::{Holder, InstanceProfile, Permissions, Role, Tags, TemporaryKey};
use elastane_wire::{ApiError, iam as wire};
use std::sync::Arc;

/// Roles of an account (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const ROLES_MAX: usize = 1000;

/// MaxSessionDuration's default, in seconds.
const SESSION_SECS: i32 = 3600;

/// CreateRole.
///
/// # Errors
/// `EntityAlreadyExists`, `NoSuchEntity` for the boundary,
/// `MalformedPolicyDocument`, `LimitExceeded`, `InvalidInput`, `ValidationError`.
pub fn create_role(
    change: &mut Change<'_, '_>,
    input: &wire::CreateRoleRequest,
) -> Result<wire::CreateRoleResponse, ApiError> {
    let name = bearers::name::<Role>(&input.role_name)?;
    let path = names::path(&input.path)?;
    if path.starts_with(SERVICE_ROLE_PATH) {
        return Err(errors::input(format!("The path {SERVICE_ROLE_PATH} is for service-linked roles only.")));
    }
    let trust_policy = trust::checked(&change.view(), &input.assume_role_policy_document, "AssumeRolePolicyDocument")?;
    let tags = names::tagged(Tags::new(), &input.tags)?;
    free::<Role>(&change.view(), name)?;
    let boundary = boundaries::named(&change.view(), &input.permissions_boundary)?;
    if change.roles.len() >= ROLES_MAX {
        return Err(errors::quota("RolesPerAccount", ROLES_MAX));
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
        boundary,
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
    let row = find::<Role>(&call.view, &input.role_name)?;
    let role_last_used = Some(shape::last_used(call.world, &row.id));
    Ok(wire::GetRoleResponse { role: Some(wire::Role { role_last_used, ..shape::role(&call.view, row) }) })
}

/// ListRoles, of a path. As on AWS, tags are not in the list.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_roles(call: &Call<'_>, input: &wire::ListRolesRequest) -> Result<wire::ListRolesResponse, ApiError> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let rows: Vec<&Arc<Role>> = call.all::<Role>().filter(|row| row.path.starts_with(prefix)).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    let roles = page.into_iter().map(|row| shape::listed_role(&call.view, row)).collect();
    Ok(wire::ListRolesResponse { is_truncated: Some(marker.is_some()), marker, roles })
}

/// UpdateAssumeRolePolicy.
///
/// # Errors
/// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`, `UnmodifiableEntity`.
pub fn update_assume_role_policy(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateAssumeRolePolicyRequest,
) -> Result<wire::UpdateAssumeRolePolicyOutput, ApiError> {
    let name = find_mine::<Role>(&change.view(), &input.role_name)?.name.clone();
    let policy = trust::checked(&change.view(), &input.policy_document, "PolicyDocument")?;
    change.update(&name, |row: &mut Role| row.trust_policy = policy);
    Ok(wire::UpdateAssumeRolePolicyOutput {})
}

/// UpdateRole: its description and how long its sessions may last.
///
/// # Errors
/// `NoSuchEntity`; `UnmodifiableEntity` for the sessions of a service-linked role.
pub fn update_role(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateRoleRequest,
) -> Result<wire::UpdateRoleResponse, ApiError> {
    let name = find::<Role>(&change.view(), &input.role_name)?.name.clone();
    if input.max_session_duration.is_some() {
        find_mine::<Role>(&change.view(), &input.role_name)?;
    }
    change.update(&name, |row: &mut Role| {
        if input.description.is_some() {
            row.description = input.description.clone().filter(|text| !text.is_empty());
        }
        row.session_secs_max = input.max_session_duration.unwrap_or(row.session_secs_max);
    });
    Ok(wire::UpdateRoleResponse {})
}

/// UpdateRoleDescription: what UpdateRole has replaced.
///
/// # Errors
/// `NoSuchEntity`.
pub fn update_role_description(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateRoleDescriptionRequest,
) -> Result<wire::UpdateRoleDescriptionResponse, ApiError> {
    let mut row = Role::clone(find::<Role>(&change.view(), &input.role_name)?);
    row.description = input.description.clone().filter(|text| !text.is_empty());
    let role = Some(shape::role(&change.view(), &row));
    change.put(row);
    Ok(wire::UpdateRoleDescriptionResponse { role })
}

/// The ids of temporary keys that stand for sessions of the role of a unique id.
pub(super) fn sessions_of(change: &Change<'_, '_>, unique_id: &str) -> Vec<String> {
    let of_role = |key: &&Arc<TemporaryKey>| matches!(&key.holder, Holder::Role { id, .. } if id == unique_id);
    change.all::<TemporaryKey>().filter(of_role).map(|key| key.id.clone()).collect()
}

/// DeleteRole. Its sessions end with it.
///
/// # Errors
/// `NoSuchEntity`, `UnmodifiableEntity`; `DeleteConflict` while it has
/// policies or is in an instance profile.
pub fn delete_role(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteRoleRequest,
) -> Result<wire::DeleteRoleOutput, ApiError> {
    let row = find_mine::<Role>(&change.view(), &input.role_name)?.clone();
    if change.all::<InstanceProfile>().any(|profile| profile.role.as_ref() == Some(&row.name)) {
        return Err(errors::conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    bare(&*row)?;
    for id in sessions_of(change, &row.id) {
        change.delete::<TemporaryKey>(&id);
    }
    change.delete::<Role>(&row.name);
    let arn = identity::role_arn(&change.scope().account, &row);
    trust::follow(change, &arn, &row.id);
    Ok(wire::DeleteRoleOutput {})
}

/// TagRole.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`, `ValidationError`.
pub fn tag_role(change: &mut Change<'_, '_>, input: &wire::TagRoleRequest) -> Result<wire::TagRoleOutput, ApiError> {
    let row = find::<Role>(&change.view(), &input.role_name)?.clone();
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
    let name = find::<Role>(&change.view(), &input.role_name)?.name.clone();
    change.update(&name, |row: &mut Role| names::untag(&mut row.tags, &input.tag_keys));
    Ok(wire::UntagRoleOutput {})
}

/// ListRoleTags.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError` for a marker of another make.
pub fn list_role_tags(
    call: &Call<'_>,
    input: &wire::ListRoleTagsRequest,
) -> Result<wire::ListRoleTagsResponse, ApiError> {
    let row = find::<Role>(&call.view, &input.role_name)?;
    let (tags, marker) = shape::page_of_tags(&row.tags, (input.marker.as_deref(), input.max_items))?;
    Ok(wire::ListRoleTagsResponse { is_truncated: Some(marker.is_some()), marker, tags })
}
