//! Versions of managed policies. Numbers are not used again, and the one in
//! force cannot be deleted.

use super::{errors, names, policies, shape};
use crate::{Call, Change};
use elastane_domain::time::Time;
use elastane_engine::identity::Managed;
use elastane_engine::row::{ManagedPolicy, PolicyText, PolicyVersion};
use elastane_wire::{ApiError, Timestamp, iam as wire};

/// Versions of a managed policy (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const VERSIONS_MAX: usize = 5;

/// The number of `v3`; `None` for what is no version's id.
fn number(id: &Option<String>) -> Option<u32> {
    id.as_deref()?.strip_prefix('v')?.parse().ok()
}

fn no_such(arn: &Option<String>, id: &Option<String>) -> ApiError {
    errors::no_such_version(arn.as_deref().unwrap_or_default(), id.as_deref().unwrap_or_default())
}

fn shown(policy: Managed<'_>, (number, _, created_at): (u32, &PolicyText, Time)) -> wire::PolicyVersion {
    wire::PolicyVersion {
        create_date: Some(Timestamp(created_at.millis())),
        document: None,
        is_default_version: Some(number == policy.default_version()),
        version_id: Some(shape::version(number)),
    }
}

/// The versions of a policy, the newest first, as answers show them with their documents.
pub(super) fn with_documents(policy: Managed<'_>) -> Vec<wire::PolicyVersion> {
    let shown = |version: (u32, &PolicyText, Time)| wire::PolicyVersion {
        document: Some(shape::escaped(version.1.text())),
        ..shown(policy, version)
    };
    policy.versions().into_iter().rev().map(shown).collect()
}

/// CreatePolicyVersion.
///
/// # Errors
/// `NoSuchEntity`, `AccessDenied` for AWS's, `MalformedPolicyDocument`, `LimitExceeded`, `InvalidInput`.
pub fn create_policy_version(
    change: &mut Change<'_, '_>,
    input: &wire::CreatePolicyVersionRequest,
) -> Result<wire::CreatePolicyVersionResponse, ApiError> {
    let mut row = policies::find_own(&change.view(), &input.policy_arn)?.clone();
    let document = policies::document(&input.policy_document)?;
    if row.versions.len() >= VERSIONS_MAX {
        return Err(errors::limit(format!(
            "A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must \
             delete an existing version."
        )));
    }
    let number = row.next_version;
    row.versions.insert(number, PolicyVersion { document: document.clone(), created_at: change.now });
    row.next_version += 1;
    row.updated_at = change.now;
    if input.set_as_default == Some(true) {
        row.default_version = number;
    }
    let policy_version = Some(shown(Managed::Own(&row), (number, &document, change.now)));
    change.put(row);
    Ok(wire::CreatePolicyVersionResponse { policy_version })
}

/// GetPolicyVersion.
///
/// # Errors
/// `NoSuchEntity` for the policy or the version, `InvalidInput`.
pub fn get_policy_version(
    call: &Call<'_>,
    input: &wire::GetPolicyVersionRequest,
) -> Result<wire::GetPolicyVersionResponse, ApiError> {
    let policy = policies::find(&call.view, &input.policy_arn)?;
    let wanted = number(&input.version_id);
    let version = policy.versions().into_iter().find(|(number, ..)| Some(*number) == wanted);
    let version = version.ok_or_else(|| no_such(&input.policy_arn, &input.version_id))?;
    let document = Some(shape::escaped(version.1.text()));
    let policy_version = wire::PolicyVersion { document, ..shown(policy, version) };
    Ok(wire::GetPolicyVersionResponse { policy_version: Some(policy_version) })
}

/// ListPolicyVersions, the newest first, without documents.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`, `ValidationError` for a marker of another make.
pub fn list_policy_versions(
    call: &Call<'_>,
    input: &wire::ListPolicyVersionsRequest,
) -> Result<wire::ListPolicyVersionsResponse, ApiError> {
    let policy = policies::find(&call.view, &input.policy_arn)?;
    let newest_first = policy.versions().into_iter().rev().collect();
    let page = (input.marker.as_deref(), input.max_items);
    let (page, marker) = names::cut(newest_first, page, |(number, ..)| format!("{:010}", u32::MAX - number))?;
    let versions = page.into_iter().map(|version| shown(policy, version)).collect();
    Ok(wire::ListPolicyVersionsResponse { is_truncated: Some(marker.is_some()), marker, versions })
}

/// DeletePolicyVersion.
///
/// # Errors
/// `NoSuchEntity`, `DeleteConflict` for the one in force, `AccessDenied` for AWS's, `InvalidInput`.
pub fn delete_policy_version(
    change: &mut Change<'_, '_>,
    input: &wire::DeletePolicyVersionRequest,
) -> Result<wire::DeletePolicyVersionOutput, ApiError> {
    let mut row = policies::find_own(&change.view(), &input.policy_arn)?.clone();
    let number = number(&input.version_id).filter(|number| row.versions.contains_key(number));
    let number = number.ok_or_else(|| no_such(&input.policy_arn, &input.version_id))?;
    if number == row.default_version {
        return Err(errors::conflict("Cannot delete the default version of a policy."));
    }
    row.versions.remove(&number);
    row.updated_at = change.now;
    change.put(row);
    Ok(wire::DeletePolicyVersionOutput {})
}

/// SetDefaultPolicyVersion: it is in force at once, wherever the policy is attached.
///
/// # Errors
/// `NoSuchEntity`, `AccessDenied` for AWS's, `InvalidInput`.
pub fn set_default_policy_version(
    change: &mut Change<'_, '_>,
    input: &wire::SetDefaultPolicyVersionRequest,
) -> Result<wire::SetDefaultPolicyVersionOutput, ApiError> {
    let row = policies::find_own(&change.view(), &input.policy_arn)?.clone();
    let number = number(&input.version_id).filter(|number| row.versions.contains_key(number));
    let number = number.ok_or_else(|| no_such(&input.policy_arn, &input.version_id))?;
    let now = change.now;
    change.update(&row.name, |row: &mut ManagedPolicy| {
        row.default_version = number;
        row.updated_at = now;
    });
    Ok(wire::SetDefaultPolicyVersionOutput {})
}
