//! Aliases of keys.

use super::lookup::{self, alias_arn};
use super::{errors, pager};
use crate::page::page;
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::KeyAlias;
use elastane_wire::{ApiError, kms as wire};

/// Aliases of one key (KMS Developer Guide, "Resource quotas").
const ALIASES_MAX: usize = 50;

/// Characters of an alias.
const NAME_MAX: usize = 256;

/// The alias of a call: `alias/` and letters, digits, `/`, `_` and `-`; those
/// of AWS begin with `alias/aws/`.
fn name(text: &Option<String>) -> Result<&str, ApiError> {
    let text = text.as_deref().unwrap_or_default();
    let rest = text.strip_prefix("alias/");
    let rest = rest.ok_or_else(|| errors::invalid_alias("Alias must start with the prefix \"alias/\"."))?;
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-');
    if rest.is_empty() || text.len() > NAME_MAX || !rest.bytes().all(fine) {
        return Err(errors::validation(format!("The alias name '{text}' contains invalid characters.")));
    }
    if rest.starts_with("aws/") {
        return Err(ApiError::new("NotAuthorizedException", "The prefix alias/aws/ is reserved."));
    }
    Ok(text)
}

fn find(view: &View<'_>, name: &str) -> Result<KeyAlias, ApiError> {
    let found = view.get::<KeyAlias>(name).map(|row| KeyAlias::clone(row));
    found.ok_or_else(|| errors::not_found(&format!("Alias {}", alias_arn(view, name))))
}

/// CreateAlias.
///
/// # Errors
/// `AlreadyExistsException`, `InvalidAliasNameException`, `NotFoundException`
/// of the key, `KMSInvalidStateException`, `LimitExceededException`.
pub fn create_alias(
    change: &mut Change<'_, '_>,
    input: &wire::CreateAliasRequest,
) -> Result<wire::CreateAliasOutput, ApiError> {
    let name = name(&input.alias_name)?;
    if change.get::<KeyAlias>(name).is_some() {
        return Err(errors::exists(&alias_arn(&change.view(), name)));
    }
    let key = target(change, &input.target_key_id)?;
    let now = change.now;
    change.put(KeyAlias { name: name.to_string(), key, created_at: now, updated_at: now });
    Ok(wire::CreateAliasOutput {})
}

/// The id of the key that an alias is to be given to.
fn target(change: &Change<'_, '_>, key: &Option<String>) -> Result<String, ApiError> {
    let id = lookup::changeable(&change.view(), key)?.id.clone();
    if change.all::<KeyAlias>().filter(|alias| alias.key == id).count() >= ALIASES_MAX {
        return Err(errors::limit(format!("A key has at most {ALIASES_MAX} aliases.")));
    }
    Ok(id)
}

/// UpdateAlias: the alias names another key.
///
/// # Errors
/// `NotFoundException`, `KMSInvalidStateException`, `LimitExceededException`.
pub fn update_alias(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateAliasRequest,
) -> Result<wire::UpdateAliasOutput, ApiError> {
    let alias = find(&change.view(), name(&input.alias_name)?)?;
    let key = target(change, &input.target_key_id)?;
    let now = change.now;
    change.put(KeyAlias { key, updated_at: now, ..alias });
    Ok(wire::UpdateAliasOutput {})
}

/// DeleteAlias.
///
/// # Errors
/// `NotFoundException`.
pub fn delete_alias(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteAliasRequest,
) -> Result<wire::DeleteAliasOutput, ApiError> {
    let alias = find(&change.view(), name(&input.alias_name)?)?;
    change.delete::<KeyAlias>(&alias.name);
    Ok(wire::DeleteAliasOutput {})
}

/// ListAliases, of one key if it is named.
///
/// # Errors
/// `NotFoundException` of the key, `InvalidMarkerException`.
pub fn list_aliases(call: &Call<'_>, input: &wire::ListAliasesRequest) -> Result<wire::ListAliasesResponse, ApiError> {
    let of = match input.key_id {
        Some(_) => Some(lookup::find(&call.view, &input.key_id)?.id.as_str()),
        None => None,
    };
    let aliases = call.all::<KeyAlias>().filter(|alias| of.is_none_or(|id| alias.key == id));
    let aliases: Vec<&KeyAlias> = aliases.map(AsRef::as_ref).collect();
    let (aliases, next_marker) =
        page(aliases, pager(input.marker.as_deref(), input.limit), |alias| alias.name.clone())?;
    let entry = |alias: &KeyAlias| wire::AliasListEntry {
        alias_arn: Some(alias_arn(&call.view, &alias.name)),
        alias_name: Some(alias.name.clone()),
        creation_date: Some(alias.created_at.0.into()),
        last_updated_date: Some(alias.updated_at.0.into()),
        target_key_id: Some(alias.key.clone()),
    };
    let truncated = Some(next_marker.is_some());
    Ok(wire::ListAliasesResponse { aliases: aliases.into_iter().map(entry).collect(), next_marker, truncated })
}
