//! The account itself: its alias, and a summary of what there is and of quotas.

use super::bearers::Ruled;
use super::{
    access_keys, attachments, errors, groups, names, policies, profiles, roles, server_certificates, users, versions,
};
use crate::{Call, Change};
use elastane_engine::row::{AccountAlias, Role, User, UserGroup};
use elastane_wire::{ApiError, iam as wire};

/// Characters of an alias (IAM API Reference, "CreateAccountAlias").
const ALIAS_LENGTHS: std::ops::RangeInclusive<usize> = 3..=63;

/// Versions of all managed policies together (IAM User Guide, "IAM and AWS STS quotas").
const VERSIONS_IN_USE_MAX: usize = 10_000;

/// CreateAccountAlias: one at most, so it replaces the one there is.
///
/// # Errors
/// `ValidationError`, `EntityAlreadyExists` for the very same.
pub fn create_account_alias(
    change: &mut Change<'_, '_>,
    input: &wire::CreateAccountAliasRequest,
) -> Result<wire::CreateAccountAliasOutput, ApiError> {
    let alias = input.account_alias.as_deref().unwrap_or_default();
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = alias.starts_with('-') || alias.ends_with('-') || alias.contains("--");
    let digits = alias.len() == 12 && alias.chars().all(|c| c.is_ascii_digit());
    if !ALIAS_LENGTHS.contains(&alias.len()) || !alias.chars().all(letters) || edges || digits {
        let message = "The specified value for accountAlias is invalid. It must have 3 to 63 lower-case letters, \
                       digits and single dashes between them, and may not be an account's id.";
        return Err(errors::invalid(message.to_string()));
    }
    if change.get::<AccountAlias>(alias).is_some() {
        return Err(errors::exists_text(format!("The account alias {alias} already exists.")));
    }
    let old: Vec<String> = change.all::<AccountAlias>().map(|row| row.name.clone()).collect();
    for name in old {
        change.delete::<AccountAlias>(&name);
    }
    change.put(AccountAlias { name: alias.to_string() });
    Ok(wire::CreateAccountAliasOutput {})
}

/// DeleteAccountAlias.
///
/// # Errors
/// `NoSuchEntity`.
pub fn delete_account_alias(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteAccountAliasRequest,
) -> Result<wire::DeleteAccountAliasOutput, ApiError> {
    let alias = input.account_alias.as_deref().unwrap_or_default();
    if change.get::<AccountAlias>(alias).is_none() {
        return Err(errors::no_such("The account alias", alias));
    }
    change.delete::<AccountAlias>(alias);
    Ok(wire::DeleteAccountAliasOutput {})
}

/// ListAccountAliases.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_account_aliases(
    call: &Call<'_>,
    input: &wire::ListAccountAliasesRequest,
) -> Result<wire::ListAccountAliasesResponse, ApiError> {
    let names: Vec<String> = call.all::<AccountAlias>().map(|row| row.name.clone()).collect();
    let (account_aliases, marker) = names::cut(names, (input.marker.as_deref(), input.max_items), Clone::clone)?;
    Ok(wire::ListAccountAliasesResponse { account_aliases, is_truncated: Some(marker.is_some()), marker })
}

/// GetAccountSummary. There are no devices, passwords or identity providers;
/// the root has the key that the installation was made with.
///
/// # Errors
/// None.
pub fn get_account_summary(
    call: &Call<'_>,
    _input: &wire::GetAccountSummaryRequest,
) -> Result<wire::GetAccountSummaryResponse, ApiError> {
    let tables = call.tables;
    let in_use = tables.managed_policies.values().map(|row| row.versions.len()).sum();
    let counts = [
        ("AccountAccessKeysPresent", 1),
        ("AccountMFAEnabled", 0),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("GlobalEndpointTokenVersion", 1),
        ("Groups", tables.user_groups.len()),
        ("InstanceProfiles", tables.instance_profiles.len()),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("Policies", tables.managed_policies.len()),
        ("PolicyVersionsInUse", in_use),
        ("Providers", 0),
        ("Roles", tables.roles.len()),
        ("ServerCertificates", tables.server_certificates.len()),
        ("Users", tables.users.len()),
    ];
    let quotas = [
        ("AccessKeysPerUserQuota", access_keys::KEYS_PER_USER_MAX),
        ("AssumeRolePolicySizeQuota", names::TRUST_POLICY_MAX),
        ("AttachedPoliciesPerGroupQuota", attachments::ATTACHED_MAX),
        ("AttachedPoliciesPerRoleQuota", attachments::ATTACHED_MAX),
        ("AttachedPoliciesPerUserQuota", attachments::ATTACHED_MAX),
        ("GroupPolicySizeQuota", UserGroup::INLINE_MAX),
        ("GroupsPerUserQuota", groups::GROUPS_PER_USER_MAX),
        ("GroupsQuota", groups::GROUPS_MAX),
        ("InstanceProfilesQuota", profiles::PROFILES_MAX),
        ("PoliciesQuota", policies::POLICIES_MAX),
        ("PolicySizeQuota", policies::POLICY_SIZE_MAX),
        ("PolicyVersionsInUseQuota", VERSIONS_IN_USE_MAX),
        ("RolePolicySizeQuota", Role::INLINE_MAX),
        ("RolesQuota", roles::ROLES_MAX),
        ("ServerCertificatesQuota", server_certificates::CERTIFICATES_MAX),
        ("SigningCertificatesPerUserQuota", 0),
        ("UserPolicySizeQuota", User::INLINE_MAX),
        ("UsersQuota", users::USERS_MAX),
        ("VersionsPerPolicyQuota", versions::VERSIONS_MAX),
    ];
    let number = |(name, value): (&str, usize)| (name.to_string(), i32::try_from(value).unwrap_or(i32::MAX));
    Ok(wire::GetAccountSummaryResponse { summary_map: counts.into_iter().chain(quotas).map(number).collect() })
}
