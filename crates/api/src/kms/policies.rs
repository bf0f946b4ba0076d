//! Key policies: one a key, named `default`.

use super::{errors, lookup};
use crate::{Call, Change};
use elastane_domain::id::AccountId;
use elastane_domain::policy::{Document, Grammar};
use elastane_engine::row::{EncryptionKey, PolicyText};
use elastane_wire::{ApiError, kms as wire};

/// The only name that a key's policy has.
const NAME: &str = "default";

/// Bytes of a key policy (KMS API Reference, "PutKeyPolicy").
const POLICY_MAX: usize = 32 << 10;

/// The policy of a key that came without one: the account decides (KMS
/// Developer Guide, "Default key policy").
pub fn default(account: &AccountId) -> PolicyText {
    PolicyText::new(format!(
        "{{\"Version\":\"2012-10-17\",\"Id\":\"key-default-1\",\"Statement\":[{{\"Sid\":\"Enable IAM User Permissions\",\
         \"Effect\":\"Allow\",\"Principal\":{{\"AWS\":\"arn:aws:iam::{account}:root\"}},\"Action\":\"kms:*\",\
         \"Resource\":\"*\"}}]}}"
    ))
}

/// A policy that a call gives.
///
/// # Errors
/// `MalformedPolicyDocumentException`, `LimitExceededException`.
pub fn checked(text: &str) -> Result<PolicyText, ApiError> {
    if text.len() > POLICY_MAX {
        return Err(errors::limit(format!("A key policy has at most {POLICY_MAX} bytes.")));
    }
    Document::parse(text, Grammar::Resource).map_err(|malformed| errors::malformed_policy(malformed.0))?;
    Ok(PolicyText::new(text))
}

fn check_name(name: &Option<String>) -> Result<(), ApiError> {
    match name.as_deref() {
        None | Some(NAME) => Ok(()),
        Some(other) => Err(errors::not_found(&format!("The policy {other}"))),
    }
}

/// GetKeyPolicy.
///
/// # Errors
/// `NotFoundException`.
pub fn get_key_policy(
    call: &Call<'_>,
    input: &wire::GetKeyPolicyRequest,
) -> Result<wire::GetKeyPolicyResponse, ApiError> {
    check_name(&input.policy_name)?;
    let key = lookup::find(&call.view, &input.key_id)?;
    let policy = Some(key.policy.text().to_string());
    Ok(wire::GetKeyPolicyResponse { policy, policy_name: Some(NAME.to_string()) })
}

/// ListKeyPolicies: the one.
///
/// # Errors
/// `NotFoundException`.
pub fn list_key_policies(
    call: &Call<'_>,
    input: &wire::ListKeyPoliciesRequest,
) -> Result<wire::ListKeyPoliciesResponse, ApiError> {
    lookup::find(&call.view, &input.key_id)?;
    Ok(wire::ListKeyPoliciesResponse {
        next_marker: None,
        policy_names: vec![NAME.to_string()],
        truncated: Some(false),
    })
}

/// PutKeyPolicy.
///
/// # Errors
/// `NotFoundException`, `MalformedPolicyDocumentException`,
/// `LimitExceededException`, `KMSInvalidStateException`.
pub fn put_key_policy(
    change: &mut Change<'_, '_>,
    input: &wire::PutKeyPolicyRequest,
) -> Result<wire::PutKeyPolicyOutput, ApiError> {
    check_name(&input.policy_name)?;
    let id = lookup::changeable(&change.view(), &input.key_id)?.id.clone();
    let policy = checked(input.policy.as_deref().unwrap_or_default())?;
    change.update(&id, |row: &mut EncryptionKey| row.policy = policy);
    Ok(wire::PutKeyPolicyOutput {})
}

/// ListGrants: none, as none can be made.
///
/// # Errors
/// `NotFoundException`.
pub fn list_grants(call: &Call<'_>, input: &wire::ListGrantsRequest) -> Result<wire::ListGrantsResponse, ApiError> {
    lookup::find(&call.view, &input.key_id)?;
    Ok(wire::ListGrantsResponse { grants: Vec::new(), next_marker: None, truncated: Some(false) })
}
