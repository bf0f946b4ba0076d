//! Long-term access keys of users. A secret is shown when its key is made and
//! never again. The root's keys are no rows: `elastane credentials` has them.

use super::bearers::{find, user_or_caller};
use super::users::keys_of;
use super::{errors, names};
use crate::{Call, Change};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_domain::secret::SecretText;
use elastane_engine::Tx;
use elastane_engine::row::{AccessKey, User};
use elastane_wire::{ApiError, Timestamp, iam as wire};
use std::sync::Arc;

/// Access keys of a user (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const KEYS_PER_USER_MAX: usize = 2;

/// Letters behind the prefix of a key's id.
const ID_LETTERS: usize = 16;

/// Bytes of a secret access key, which are 40 letters of base64.
const SECRET_BYTES: usize = 30;

/// The id and the secret of a new key.
///
/// # Errors
/// `ValidationError` in a world without secrets.
pub(crate) fn fresh(tx: &mut Tx<'_>, prefix: &str) -> Result<(String, SecretText), ApiError> {
    let mut id = names::id(tx, prefix);
    id.truncate(prefix.len() + ID_LETTERS);
    let secret = tx.rng.secret().ok_or_else(|| errors::unsupported("Making keys without a source of randomness"))?;
    Ok((id, SecretText::new(STANDARD.encode(&secret[..SECRET_BYTES]))))
}

/// Region and service of a key that was not used yet, as AWS writes them.
const NEVER_USED: &str = "N/A";

fn status(key: &AccessKey) -> Option<String> {
    Some(if key.active { "Active" } else { "Inactive" }.to_string())
}

/// A key of a user by its id.
fn key_of<'a>(change: &'a Change<'_, '_>, user: &str, id: &Option<String>) -> Result<&'a Arc<AccessKey>, ApiError> {
    let id = id.as_deref().unwrap_or_default();
    let key = change.all::<AccessKey>().find(|key| key.id == id && key.user == user);
    key.ok_or_else(|| errors::no_such("The Access Key with id", id))
}

/// CreateAccessKey, for the caller without a name.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`, `ValidationError`.
pub fn create_access_key(
    change: &mut Change<'_, '_>,
    input: &wire::CreateAccessKeyRequest,
) -> Result<wire::CreateAccessKeyResponse, ApiError> {
    let name = user_or_caller(change.caller, &input.user_name)?;
    let user = find::<User>(&change.view(), &name)?.name.clone();
    if keys_of(change, &user).len() >= KEYS_PER_USER_MAX {
        return Err(errors::quota("AccessKeysPerUser", KEYS_PER_USER_MAX));
    }
    let (id, secret) = fresh(change, "AKIA")?;
    let row = AccessKey { id, user, secret, active: true, created_at: change.now };
    let access_key = Some(wire::AccessKey {
        access_key_id: Some(row.id.clone()),
        create_date: Some(Timestamp(row.created_at.millis())),
        secret_access_key: Some(row.secret.expose().to_string()),
        status: status(&row),
        user_name: Some(row.user.clone()),
    });
    change.put(row);
    Ok(wire::CreateAccessKeyResponse { access_key })
}

/// ListAccessKeys, of the caller without a name; never the secrets.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub fn list_access_keys(
    call: &Call<'_>,
    input: &wire::ListAccessKeysRequest,
) -> Result<wire::ListAccessKeysResponse, ApiError> {
    let name = user_or_caller(call.caller, &input.user_name)?;
    let user = find::<User>(&call.view, &name)?;
    let rows: Vec<&Arc<AccessKey>> = call.all::<AccessKey>().filter(|key| key.user == user.name).collect();
    let (page, marker) = names::cut(rows, (input.marker.as_deref(), input.max_items), |row| row.id.clone())?;
    let shown = |row: &Arc<AccessKey>| wire::AccessKeyMetadata {
        access_key_id: Some(row.id.clone()),
        create_date: Some(Timestamp(row.created_at.millis())),
        status: status(row),
        user_name: Some(row.user.clone()),
    };
    let access_key_metadata = page.into_iter().map(shown).collect();
    Ok(wire::ListAccessKeysResponse { access_key_metadata, is_truncated: Some(marker.is_some()), marker })
}

/// UpdateAccessKey: a key that is not active signs nothing.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub fn update_access_key(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateAccessKeyRequest,
) -> Result<wire::UpdateAccessKeyOutput, ApiError> {
    let name = user_or_caller(change.caller, &input.user_name)?;
    let user = find::<User>(&change.view(), &name)?.name.clone();
    let id = key_of(change, &user, &input.access_key_id)?.id.clone();
    let active = match input.status.as_deref() {
        Some("Active") => true,
        Some("Inactive") => false,
        other => {
            let message = format!("Status {} is neither Active nor Inactive.", other.unwrap_or_default());
            return Err(errors::invalid(message));
        }
    };
    change.update(&id, |row: &mut AccessKey| row.active = active);
    Ok(wire::UpdateAccessKeyOutput {})
}

/// DeleteAccessKey.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub fn delete_access_key(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteAccessKeyRequest,
) -> Result<wire::DeleteAccessKeyOutput, ApiError> {
    let name = user_or_caller(change.caller, &input.user_name)?;
    let user = find::<User>(&change.view(), &name)?.name.clone();
    let id = key_of(change, &user, &input.access_key_id)?.id.clone();
    change.delete::<AccessKey>(&id);
    Ok(wire::DeleteAccessKeyOutput {})
}

/// GetAccessKeyLastUsed: when and where it last signed a request.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_access_key_last_used(
    call: &Call<'_>,
    input: &wire::GetAccessKeyLastUsedRequest,
) -> Result<wire::GetAccessKeyLastUsedResponse, ApiError> {
    let id = input.access_key_id.as_deref().unwrap_or_default();
    let key = call.get::<AccessKey>(id).ok_or_else(|| errors::no_such("The Access Key with id", id))?;
    let used = call.world.last_use(id);
    let known = |text: Option<String>| Some(text.unwrap_or_else(|| NEVER_USED.to_string()));
    let last = wire::AccessKeyLastUsed {
        last_used_date: used.as_ref().map(|used| Timestamp(used.at.millis())),
        region: known(used.as_ref().map(|used| used.region.clone())),
        service_name: known(used.map(|used| used.service)),
    };
    Ok(wire::GetAccessKeyLastUsedResponse { access_key_last_used: Some(last), user_name: Some(key.user.clone()) })
}
