//! Permissions boundaries of users and roles: managed policies that limit
//! what their own policies can allow.

use super::bearers::{find, find_mine};
use super::{errors, policies};
use crate::Change;
use elastane_engine::row::{Role, User};
use elastane_engine::{View, identity};
use elastane_wire::{ApiError, iam as wire};

/// The boundary that a request names, if it names one.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub(super) fn named(view: &View<'_>, arn: &Option<String>) -> Result<Option<String>, ApiError> {
    if arn.is_none() {
        return Ok(None);
    }
    let arn = policies::arn(arn)?;
    if identity::managed(view, arn).is_none() {
        return Err(errors::no_such_text(format!("Scope ARN: {arn} does not exist or is not attachable.")));
    }
    Ok(Some(arn.to_string()))
}

/// PutUserPermissionsBoundary.
///
/// # Errors
/// `NoSuchEntity` for the user or the policy, `InvalidInput`.
pub fn put_user_permissions_boundary(
    change: &mut Change<'_, '_>,
    input: &wire::PutUserPermissionsBoundaryRequest,
) -> Result<wire::PutUserPermissionsBoundaryOutput, ApiError> {
    let name = find::<User>(&change.view(), &input.user_name)?.name.clone();
    let boundary = named(&change.view(), &input.permissions_boundary)?;
    change.update(&name, |row: &mut User| row.boundary = boundary);
    Ok(wire::PutUserPermissionsBoundaryOutput {})
}

/// DeleteUserPermissionsBoundary.
///
/// # Errors
/// `NoSuchEntity`, also without a boundary.
pub fn delete_user_permissions_boundary(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteUserPermissionsBoundaryRequest,
) -> Result<wire::DeleteUserPermissionsBoundaryOutput, ApiError> {
    let row = find::<User>(&change.view(), &input.user_name)?.clone();
    if row.boundary.is_none() {
        return Err(errors::no_such_text(format!("No permissions boundary is set for user {}.", row.name)));
    }
    change.update(&row.name, |row: &mut User| row.boundary = None);
    Ok(wire::DeleteUserPermissionsBoundaryOutput {})
}

/// PutRolePermissionsBoundary.
///
/// # Errors
/// `NoSuchEntity` for the role or the policy, `UnmodifiableEntity`, `InvalidInput`.
pub fn put_role_permissions_boundary(
    change: &mut Change<'_, '_>,
    input: &wire::PutRolePermissionsBoundaryRequest,
) -> Result<wire::PutRolePermissionsBoundaryOutput, ApiError> {
    let name = find_mine::<Role>(&change.view(), &input.role_name)?.name.clone();
    let boundary = named(&change.view(), &input.permissions_boundary)?;
    change.update(&name, |row: &mut Role| row.boundary = boundary);
    Ok(wire::PutRolePermissionsBoundaryOutput {})
}

/// DeleteRolePermissionsBoundary.
///
/// # Errors
/// `NoSuchEntity`, also without a boundary; `UnmodifiableEntity`.
pub fn delete_role_permissions_boundary(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteRolePermissionsBoundaryRequest,
) -> Result<wire::DeleteRolePermissionsBoundaryOutput, ApiError> {
    let row = find_mine::<Role>(&change.view(), &input.role_name)?.clone();
    if row.boundary.is_none() {
        return Err(errors::no_such_text(format!("No permissions boundary is set for role {}.", row.name)));
    }
    change.update(&row.name, |row: &mut Role| row.boundary = None);
    Ok(wire::DeleteRolePermissionsBoundaryOutput {})
}
