//! Groups of users.

use super::bearers::{self, bare, find, free};
use super::{errors, names, shape};
use crate::{Call, Change};
use elastane_engine::row::{Permissions, User, UserGroup};
use elastane_wire::{ApiError, iam as wire};
use std::sync::Arc;

/// Groups of an account (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const GROUPS_MAX: usize = 300;

/// Groups that a user may be in, likewise.
pub(super) const GROUPS_PER_USER_MAX: usize = 10;

/// CreateGroup.
///
/// # Errors
/// `EntityAlreadyExists`, `LimitExceeded`, `ValidationError`.
pub fn create_group(
    change: &mut Change<'_, '_>,
    input: &wire::CreateGroupRequest,
) -> Result<wire::CreateGroupResponse, ApiError> {
    let name = bearers::name::<UserGroup>(&input.group_name)?;
    let path = names::path(&input.path)?;
    free::<UserGroup>(&change.view(), name)?;
    if change.user_groups.len() >= GROUPS_MAX {
        return Err(errors::quota("GroupsPerAccount", GROUPS_MAX));
    }
    let row = UserGroup {
        name: name.to_string(),
        id: names::id(change, "AGPA"),
        path,
        created_at: change.now,
        permissions: Permissions::default(),
    };
    let group = Some(shape::group(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateGroupResponse { group })
}

/// The users of a group.
fn members<'a>(users: impl Iterator<Item = &'a Arc<User>>, group: &str) -> Vec<&'a Arc<User>> {
    users.filter(|user| user.groups.contains(group)).collect()
}

/// GetGroup: the group and a page of its users.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError` for a marker of another make.
pub fn get_group(call: &Call<'_>, input: &wire::GetGroupRequest) -> Result<wire::GetGroupResponse, ApiError> {
    let group = find::<UserGroup>(&call.view, &input.group_name)?;
    let rows = members(call.all::<User>(), &group.name);
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    Ok(wire::GetGroupResponse {
        group: Some(shape::group(&call.view, group)),
        is_truncated: Some(marker.is_some()),
        marker,
        users: page.into_iter().map(|row| shape::listed_user(&call.view, row)).collect(),
    })
}

/// ListGroups, of a path.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_groups(call: &Call<'_>, input: &wire::ListGroupsRequest) -> Result<wire::ListGroupsResponse, ApiError> {
    let prefix = names::path_prefix(&input.path_prefix);
    let rows: Vec<&Arc<UserGroup>> = call.all::<UserGroup>().filter(|row| row.path.starts_with(prefix)).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    let groups = page.into_iter().map(|row| shape::group(&call.view, row)).collect();
    Ok(wire::ListGroupsResponse { groups, is_truncated: Some(marker.is_some()), marker })
}

/// ListGroupsForUser.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError` for a marker of another make.
pub fn list_groups_for_user(
    call: &Call<'_>,
    input: &wire::ListGroupsForUserRequest,
) -> Result<wire::ListGroupsForUserResponse, ApiError> {
    let user = find::<User>(&call.view, &input.user_name)?;
    let rows: Vec<&Arc<UserGroup>> = user.groups.iter().filter_map(|name| call.get::<UserGroup>(name)).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    let groups = page.into_iter().map(|row| shape::group(&call.view, row)).collect();
    Ok(wire::ListGroupsForUserResponse { groups, is_truncated: Some(marker.is_some()), marker })
}

/// UpdateGroup: another name or path. Its users and policies stay with it.
///
/// # Errors
/// `NoSuchEntity`, `EntityAlreadyExists`, `ValidationError`.
pub fn update_group(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateGroupRequest,
) -> Result<wire::UpdateGroupOutput, ApiError> {
    let mut row = UserGroup::clone(find::<UserGroup>(&change.view(), &input.group_name)?);
    let old = row.name.clone();
    if input.new_group_name.is_some() {
        row.name = names::name(&input.new_group_name, "NewGroupName", 128)?.to_string();
        if !row.name.eq_ignore_ascii_case(&old) {
            free::<UserGroup>(&change.view(), &row.name)?;
        }
    }
    if input.new_path.is_some() {
        row.path = names::path(&input.new_path)?;
    }
    if row.name != old {
        let users: Vec<String> = members(change.all::<User>(), &old).iter().map(|user| user.name.clone()).collect();
        for user in users {
            change.update(&user, |user: &mut User| {
                user.groups.remove(&old);
                user.groups.insert(row.name.clone());
            });
        }
        change.delete::<UserGroup>(&old);
    }
    change.put(row);
    Ok(wire::UpdateGroupOutput {})
}

/// DeleteGroup.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has users or policies.
pub fn delete_group(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteGroupRequest,
) -> Result<wire::DeleteGroupOutput, ApiError> {
    let row = find::<UserGroup>(&change.view(), &input.group_name)?.clone();
    if !members(change.all::<User>(), &row.name).is_empty() {
        return Err(errors::conflict("Cannot delete entity, must remove users from group first."));
    }
    bare(&*row)?;
    change.delete::<UserGroup>(&row.name);
    Ok(wire::DeleteGroupOutput {})
}

/// AddUserToGroup; one that is in it stays.
///
/// # Errors
/// `NoSuchEntity` for either, `LimitExceeded`.
pub fn add_user_to_group(
    change: &mut Change<'_, '_>,
    input: &wire::AddUserToGroupRequest,
) -> Result<wire::AddUserToGroupOutput, ApiError> {
    let group = find::<UserGroup>(&change.view(), &input.group_name)?.name.clone();
    let user = find::<User>(&change.view(), &input.user_name)?.clone();
    if !user.groups.contains(&group) && user.groups.len() >= GROUPS_PER_USER_MAX {
        return Err(errors::quota("GroupsPerUser", GROUPS_PER_USER_MAX));
    }
    change.update(&user.name, |row: &mut User| {
        row.groups.insert(group);
    });
    Ok(wire::AddUserToGroupOutput {})
}

/// RemoveUserFromGroup; one that is not in it is no error.
///
/// # Errors
/// `NoSuchEntity` for either.
pub fn remove_user_from_group(
    change: &mut Change<'_, '_>,
    input: &wire::RemoveUserFromGroupRequest,
) -> Result<wire::RemoveUserFromGroupOutput, ApiError> {
    let group = find::<UserGroup>(&change.view(), &input.group_name)?.name.clone();
    let user = find::<User>(&change.view(), &input.user_name)?.name.clone();
    change.update(&user, |row: &mut User| {
        row.groups.remove(&group);
    });
    Ok(wire::RemoveUserFromGroupOutput {})
}
