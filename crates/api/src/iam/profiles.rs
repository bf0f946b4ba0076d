//! Instance profiles: what carries a role to an instance.

use super::bearers::{find as find_bearer, find_mine};
use super::{errors, names, shape};
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::{InstanceProfile, Role, Tags};
use elastane_wire::{ApiError, iam as wire};
use std::sync::Arc;

/// Instance profiles of an account (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const PROFILES_MAX: usize = 1000;

/// Characters of a profile's name, likewise.
const NAME_MAX: usize = 128;

fn name(text: &Option<String>) -> Result<&str, ApiError> {
    names::name(text, "InstanceProfileName", NAME_MAX)
}

fn find<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<InstanceProfile>, ApiError> {
    let name = name(text)?;
    view.get::<InstanceProfile>(name).ok_or_else(|| errors::no_such("Instance Profile", name))
}

/// CreateInstanceProfile.
///
/// # Errors
/// `EntityAlreadyExists`, `LimitExceeded`, `ValidationError`.
pub fn create_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::CreateInstanceProfileRequest,
) -> Result<wire::CreateInstanceProfileResponse, ApiError> {
    let name = name(&input.instance_profile_name)?;
    let path = names::path(&input.path)?;
    let tags = names::tagged(Tags::new(), &input.tags)?;
    if change.all::<InstanceProfile>().any(|row| row.name.eq_ignore_ascii_case(name)) {
        return Err(errors::exists("Instance Profile", name));
    }
    if change.instance_profiles.len() >= PROFILES_MAX {
        return Err(errors::quota("InstanceProfilesPerAccount", PROFILES_MAX));
    }
    let row = InstanceProfile {
        name: name.to_string(),
        id: names::id(change, "AIPA"),
        path,
        role: None,
        created_at: change.now,
        tags,
    };
    let instance_profile = Some(shape::profile(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateInstanceProfileResponse { instance_profile })
}

/// GetInstanceProfile.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_instance_profile(
    call: &Call<'_>,
    input: &wire::GetInstanceProfileRequest,
) -> Result<wire::GetInstanceProfileResponse, ApiError> {
    let row = find(&call.view, &input.instance_profile_name)?;
    Ok(wire::GetInstanceProfileResponse { instance_profile: Some(shape::profile(&call.view, row)) })
}

/// A profile without its tags, which lists do not show.
fn listed(view: &View<'_>, row: &InstanceProfile) -> wire::InstanceProfile {
    wire::InstanceProfile { tags: Vec::new(), ..shape::profile(view, row) }
}

/// ListInstanceProfiles, of a path.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_instance_profiles(
    call: &Call<'_>,
    input: &wire::ListInstanceProfilesRequest,
) -> Result<wire::ListInstanceProfilesResponse, ApiError> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let rows: Vec<&Arc<InstanceProfile>> =
        call.all::<InstanceProfile>().filter(|row| row.path.starts_with(prefix)).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    let instance_profiles = page.into_iter().map(|row| listed(&call.view, row)).collect();
    Ok(wire::ListInstanceProfilesResponse { instance_profiles, is_truncated: Some(marker.is_some()), marker })
}

/// ListInstanceProfilesForRole.
///
/// # Errors
/// `NoSuchEntity` for the role; `ValidationError` for a marker of another make.
pub fn list_instance_profiles_for_role(
    call: &Call<'_>,
    input: &wire::ListInstanceProfilesForRoleRequest,
) -> Result<wire::ListInstanceProfilesForRoleResponse, ApiError> {
    let role = find_bearer::<Role>(&call.view, &input.role_name)?;
    let carries = |row: &&Arc<InstanceProfile>| row.role.as_ref() == Some(&role.name);
    let rows: Vec<&Arc<InstanceProfile>> = call.all::<InstanceProfile>().filter(carries).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.name.clone())?;
    let instance_profiles = page.into_iter().map(|row| listed(&call.view, row)).collect();
    Ok(wire::ListInstanceProfilesForRoleResponse { instance_profiles, is_truncated: Some(marker.is_some()), marker })
}

/// AddRoleToInstanceProfile: a profile carries one role.
///
/// # Errors
/// `NoSuchEntity` for profile or role, `LimitExceeded` when there is a role already.
pub fn add_role_to_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::AddRoleToInstanceProfileRequest,
) -> Result<wire::AddRoleToInstanceProfileOutput, ApiError> {
    let view = change.view();
    let profile = find(&view, &input.instance_profile_name)?.clone();
    let role = find_mine::<Role>(&view, &input.role_name)?.name.clone();
    if profile.role.is_some() {
        return Err(errors::limit("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1".to_string()));
    }
    change.update(&profile.name, |row: &mut InstanceProfile| row.role = Some(role));
    Ok(wire::AddRoleToInstanceProfileOutput {})
}

/// RemoveRoleFromInstanceProfile: instances with the profile lose their
/// credentials' source at once.
///
/// # Errors
/// `NoSuchEntity` for the profile, or for a role that is not in it.
pub fn remove_role_from_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::RemoveRoleFromInstanceProfileRequest,
) -> Result<wire::RemoveRoleFromInstanceProfileOutput, ApiError> {
    let profile = find(&change.view(), &input.instance_profile_name)?.clone();
    let role = input.role_name.as_deref().unwrap_or_default();
    if profile.role.as_deref() != Some(role) {
        return Err(errors::no_such("Role", role));
    }
    change.update(&profile.name, |row: &mut InstanceProfile| row.role = None);
    Ok(wire::RemoveRoleFromInstanceProfileOutput {})
}

/// DeleteInstanceProfile. Instances keep their associations, which then lead
/// to nothing, as on AWS.
///
/// # Errors
/// `NoSuchEntity`, `DeleteConflict` while it has a role.
pub fn delete_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteInstanceProfileRequest,
) -> Result<wire::DeleteInstanceProfileOutput, ApiError> {
    let profile = find(&change.view(), &input.instance_profile_name)?.clone();
    if profile.role.is_some() {
        return Err(errors::conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    change.delete::<InstanceProfile>(&profile.name);
    Ok(wire::DeleteInstanceProfileOutput {})
}

/// TagInstanceProfile.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`, `ValidationError`.
pub fn tag_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::TagInstanceProfileRequest,
) -> Result<wire::TagInstanceProfileOutput, ApiError> {
    let row = find(&change.view(), &input.instance_profile_name)?.clone();
    let tags = names::tagged(row.tags.clone(), &input.tags)?;
    change.update(&row.name, |row: &mut InstanceProfile| row.tags = tags);
    Ok(wire::TagInstanceProfileOutput {})
}

/// UntagInstanceProfile.
///
/// # Errors
/// `NoSuchEntity`.
pub fn untag_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::UntagInstanceProfileRequest,
) -> Result<wire::UntagInstanceProfileOutput, ApiError> {
    let name = find(&change.view(), &input.instance_profile_name)?.name.clone();
    change.update(&name, |row: &mut InstanceProfile| names::untag(&mut row.tags, &input.tag_keys));
    Ok(wire::UntagInstanceProfileOutput {})
}

/// ListInstanceProfileTags.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError` for a marker of another make.
pub fn list_instance_profile_tags(
    call: &Call<'_>,
    input: &wire::ListInstanceProfileTagsRequest,
) -> Result<wire::ListInstanceProfileTagsResponse, ApiError> {
    let row = find(&call.view, &input.instance_profile_name)?;
    let (tags, marker) = shape::page_of_tags(&row.tags, (input.marker.as_deref(), input.max_items))?;
    Ok(wire::ListInstanceProfileTagsResponse { is_truncated: Some(marker.is_some()), marker, tags })
}
