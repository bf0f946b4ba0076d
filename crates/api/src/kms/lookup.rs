//! Which key a call names: by id, by ARN, by alias or by the alias's ARN (KMS
//! Developer Guide, "Key identifiers").

use super::errors;
use elastane_engine::View;
use elastane_engine::row::{EncryptionKey, KeyAlias};
use elastane_wire::ApiError;
use std::sync::Arc;

/// `arn:aws:kms:<region>:<account>:key/<id>`.
pub fn key_arn(view: &View<'_>, id: &str) -> String {
    view.scope.arn("kms", &format!("key/{id}"))
}

/// `arn:aws:kms:<region>:<account>:alias/…`.
pub fn alias_arn(view: &View<'_>, name: &str) -> String {
    view.scope.arn("kms", name)
}

/// The key of an id, an ARN, an alias or its ARN; `None` when there is none,
/// also in another account or region.
pub fn named<'a>(view: &View<'a>, text: &str) -> Option<&'a Arc<EncryptionKey>> {
    let own = match text.starts_with("arn:") {
        true => text.strip_prefix(&view.scope.arn("kms", ""))?,
        false => text,
    };
    if own.starts_with("alias/") {
        let alias = view.get::<KeyAlias>(own)?;
        return view.get::<EncryptionKey>(&alias.key);
    }
    let id = match text.starts_with("arn:") {
        true => own.strip_prefix("key/")?,
        false => own,
    };
    view.get::<EncryptionKey>(id)
}

/// The key that a call names.
///
/// # Errors
/// `NotFoundException`, `ValidationException` without a name.
pub fn find<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<EncryptionKey>, ApiError> {
    let text = text.as_deref().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| errors::validation("The request must contain KeyId."))?;
    let what = || match text.starts_with("alias/") {
        true => format!("Alias {}", alias_arn(view, text)),
        false => format!("Key '{}'", if text.starts_with("arn:") { text.to_string() } else { key_arn(view, text) }),
    };
    named(view, text).ok_or_else(|| errors::not_found(&what()))
}

/// The customer's key that a call names by its id or ARN, to be changed.
/// AWS's own keys cannot be.
///
/// # Errors
/// As for [`find`]; `ValidationException` for an alias and for AWS's keys;
/// `KMSInvalidStateException` while it waits for its deletion.
pub fn changeable<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<EncryptionKey>, ApiError> {
    let key = customers(view, text)?;
    if key.deletion.is_some() {
        return Err(errors::invalid_state(&key_arn(view, &key.id), "is pending deletion"));
    }
    Ok(key)
}

/// The same, also while it waits for its deletion.
pub fn customers<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<EncryptionKey>, ApiError> {
    if text.as_deref().is_some_and(|text| text.contains("alias/")) {
        return Err(errors::validation("KeyId must be the ID or the ARN of a key, not an alias."));
    }
    let key = find(view, text)?;
    match &key.service {
        Some(_) => {
            Err(errors::validation(format!("{} is managed by AWS and cannot be changed.", key_arn(view, &key.id))))
        }
        None => Ok(key),
    }
}

/// The key that a call names, to seal or open with.
///
/// # Errors
/// As for [`find`]; `DisabledException`, `KMSInvalidStateException`.
pub fn usable<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<EncryptionKey>, ApiError> {
    let key = find(view, text)?;
    check_usable(view, key)?;
    Ok(key)
}

/// Refuses a key that may not be used.
pub fn check_usable(view: &View<'_>, key: &EncryptionKey) -> Result<(), ApiError> {
    let arn = key_arn(view, &key.id);
    match (&key.deletion, key.enabled) {
        (Some(_), _) => Err(errors::invalid_state(&arn, "is pending deletion")),
        (None, false) => Err(errors::disabled(&arn)),
        (None, true) => Ok(()),
    }
}
