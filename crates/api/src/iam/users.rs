//! Users.

use super::bearers::{self, bare, find, free, user_or_caller};
use super::{boundaries, errors, names, shape, trust};
use crate::{Call, Change, Principal};
use elastane_engine::identity;
use elastane_engine::row::{AccessKey, Holder, Permissions, Tags, TemporaryKey, User};
use elastane_wire::{ApiError, iam as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Users of an account (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const USERS_MAX: usize = 5000;

/// CreateUser.
///
/// # Errors
/// `EntityAlreadyExists`, `NoSuchEntity` for the boundary, `LimitExceeded`, `InvalidInput`, `ValidationError`.
pub fn create_user(
    change: &mut Change<'_, '_>,
    input: &wire::CreateUserRequest,
) -> Result<wire::CreateUserResponse, ApiError> {
    let name = bearers::name::<User>(&input.user_name)?;
    let path = names::path(&input.path)?;
    let tags = names::tagged(Tags::new(), &input.tags)?;
    free::<User>(&change.view(), name)?;
    let boundary = boundaries::named(&change.view(), &input.permissions_boundary)?;
    if change.users.len() >= USERS_MAX {
        return Err(errors::quota("UsersPerAccount", USERS_MAX));
    }
    let row = User {
        name: name.to_string(),
        id: names::id(change, "AIDA"),
        path,
        created_at: change.now,
        tags,
        permissions: Permissions::default(),
        boundary,
        groups: BTreeSet::new(),
    };
    let user = Some(shape::user(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateUserResponse { user })
}

/// GetUser: the caller without a name; of the root there is not more to tell
/// than its ARN.
///
/// # Errors
/// `NoSuchEntity`; `ValidationError` without a name from a role's session.
pub fn get_user(call: &Call<'_>, input: &wire::GetUserRequest) -> Result<wire::GetUserResponse, ApiError> {
    if input.user_name.is_none() && call.caller.principal == Principal::Root {
        let user = wire::User {
            arn: Some(call.caller.arn.clone()),
            user_id: Some(call.caller.user_id.clone()),
            ..Default::default()
        };
        return Ok(wire::GetUserResponse { user: Some(user) });
    }
    let name = user_or_caller(call.caller, &input.user_name)?;
    let user = shape::user(&call.view, find::<User>(&call.view, &name)?);
    Ok(wire::GetUserResponse { user: Some(user) })
}

/// ListUsers, of a path. As on AWS, tags and boundaries are not in the list.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_users(call: &Call<'_>, input: &wire::ListUsersRequest) -> Result<wire::ListUsersResponse, ApiError> {
    let prefix = names::path_prefix(&input.path_prefix);
    let rows: Vec<&Arc<User>> = call.all::<User>().filter(|row| row.path.starts_with(prefix)).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    let users = page.into_iter().map(|row| shape::listed_user(&call.view, row)).collect();
    Ok(wire::ListUsersResponse { is_truncated: Some(marker.is_some()), marker, users })
}

/// UpdateUser: another name or path. Its keys, groups and policies stay with it.
///
/// # Errors
/// `NoSuchEntity`, `EntityAlreadyExists`, `ValidationError`.
pub fn update_user(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateUserRequest,
) -> Result<wire::UpdateUserOutput, ApiError> {
    let before = find::<User>(&change.view(), &input.user_name)?.clone();
    let mut row = User::clone(&before);
    let old = before.name.clone();
    if input.new_user_name.is_some() {
        row.name = names::name(&input.new_user_name, "NewUserName", 64)?.to_string();
        if !row.name.eq_ignore_ascii_case(&old) {
            free::<User>(&change.view(), &row.name)?;
        }
    }
    if input.new_path.is_some() {
        row.path = names::path(&input.new_path)?;
    }
    let account = change.scope().account.clone();
    let (old_arn, new_arn) = (identity::user_arn(&account, &before), identity::user_arn(&account, &row));
    if row.name != old {
        hand_over(change, &row, &old);
        change.delete::<User>(&old);
    }
    change.put(row);
    trust::follow(change, &old_arn, &new_arn);
    Ok(wire::UpdateUserOutput {})
}

/// What knows a user by its name learns the new one.
fn hand_over(change: &mut Change<'_, '_>, user: &User, old: &str) {
    for id in keys_of(change, old) {
        change.update(&id, |key: &mut AccessKey| key.user.clone_from(&user.name));
    }
    for id in sessions_of(change, &user.id) {
        change.update(&id, |key: &mut TemporaryKey| {
            if let Holder::User { name, .. } = &mut key.holder {
                name.clone_from(&user.name);
            }
        });
    }
}

/// The ids of a user's access keys.
pub(super) fn keys_of(change: &Change<'_, '_>, user: &str) -> Vec<String> {
    change.all::<AccessKey>().filter(|key| key.user == user).map(|key| key.id.clone()).collect()
}

/// The ids of temporary keys that stand for the user of a unique id.
fn sessions_of(change: &Change<'_, '_>, unique_id: &str) -> Vec<String> {
    let of_user = |key: &&Arc<TemporaryKey>| matches!(&key.holder, Holder::User { id, .. } if id == unique_id);
    change.all::<TemporaryKey>().filter(of_user).map(|key| key.id.clone()).collect()
}

/// DeleteUser. Its sessions end with it.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has policies, keys or groups.
pub fn delete_user(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteUserRequest,
) -> Result<wire::DeleteUserOutput, ApiError> {
    let row = find::<User>(&change.view(), &input.user_name)?.clone();
    bare(&*row)?;
    if !keys_of(change, &row.name).is_empty() {
        return Err(errors::conflict("Cannot delete entity, must delete access keys first."));
    }
    if !row.groups.is_empty() {
        return Err(errors::conflict("Cannot delete entity, must remove users from group first."));
    }
    for id in sessions_of(change, &row.id) {
        change.delete::<TemporaryKey>(&id);
    }
    change.delete::<User>(&row.name);
    let arn = identity::user_arn(&change.scope().account, &row);
    trust::follow(change, &arn, &row.id);
    Ok(wire::DeleteUserOutput {})
}

/// TagUser.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`, `InvalidInput`, `ValidationError`.
pub fn tag_user(change: &mut Change<'_, '_>, input: &wire::TagUserRequest) -> Result<wire::TagUserOutput, ApiError> {
    let row = find::<User>(&change.view(), &input.user_name)?.clone();
    let tags = names::tagged(row.tags.clone(), &input.tags)?;
    change.update(&row.name, |row: &mut User| row.tags = tags);
    Ok(wire::TagUserOutput {})
}

/// UntagUser.
///
/// # Errors
/// `NoSuchEntity`.
pub fn untag_user(
    change: &mut Change<'_, '_>,
    input: &wire::UntagUserRequest,
) -> Result<wire::UntagUserOutput, ApiError> {
    let name = find::<User>(&change.view(), &input.user_name)?.name.clone();
    change.update(&name, |row: &mut User| names::untag(&mut row.tags, &input.tag_keys));
    Ok(wire::UntagUserOutput {})
}

/// ListUserTags.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError` for a marker of another make.
pub fn list_user_tags(
    call: &Call<'_>,
    input: &wire::ListUserTagsRequest,
) -> Result<wire::ListUserTagsResponse, ApiError> {
    let row = find::<User>(&call.view, &input.user_name)?;
    let (tags, marker) = shape::page_of_tags(&row.tags, (input.marker.as_deref(), input.max_items))?;
    Ok(wire::ListUserTagsResponse { is_truncated: Some(marker.is_some()), marker, tags })
}
