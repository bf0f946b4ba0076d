//! Key pairs. A private key is made here, given out once and not kept.

use super::filter::Filters;
use super::key_material::{self, KeyError, KeyType, Public};
use super::launch_data::text;
use super::listing::IdKind;
use super::{errors, tag_rules};
use crate::{Call, Change};
use elastane_engine::row::{KeyPair, Tags};
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::collections::BTreeMap;

const KEY_ID: IdKind = IdKind {
    prefix: "key-",
    malformed: "InvalidKeyPair.NotFound",
    not_found: "InvalidKeyPair.NotFound",
    noun: "The key pair",
};

const FILTERS: [&str; 3] = ["fingerprint", "key-name", "key-pair-id"];

/// Characters of a name (EC2 API Reference, "CreateKeyPair").
const NAME_MAX: usize = 255;

/// Key pairs of one account and region (Service Quotas of EC2).
const KEY_PAIRS_MAX: usize = 5000;

/// CreateKeyPair: RSA unless Ed25519 is asked for.
///
/// # Errors
/// `InvalidKeyPair.Duplicate`, `InvalidParameterValue` for the name,
/// `UnsupportedOperation` for the form `ppk` and where no randomness is
/// configured, `ResourceCountExceeded`, those of tags.
pub fn create_key_pair(
    change: &mut Change<'_, '_>,
    input: &wire::CreateKeyPairRequest,
) -> Result<wire::KeyPair, ApiError> {
    let name = free_name(change, &input.key_name)?;
    let tags = given_tags(&input.tag_specifications)?;
    let kind = match text(&input.key_type).as_deref() {
        None | Some("rsa") => KeyType::Rsa,
        Some("ed25519") => KeyType::Ed25519,
        Some(other) => return Err(errors::invalid_value(format!("Invalid value '{other}' for KeyType."))),
    };
    if text(&input.key_format).is_some_and(|format| format != "pem") {
        return Err(errors::unsupported("The key format ppk"));
    }
    errors::dry_run(input.dry_run)?;
    let secret =
        change.rng.secret().ok_or_else(|| errors::unsupported("Making keys without a source of randomness"))?;
    let made = key_material::make(kind, &name, secret).map_err(refused)?;
    let row = add(change, name, made.public, tags);
    Ok(wire::KeyPair {
        key_fingerprint: Some(row.fingerprint),
        key_material: Some(made.private),
        key_name: Some(row.name),
        key_pair_id: Some(row.id),
        tags: tag_rules::shown(&row.tags),
    })
}

/// ImportKeyPair: an RSA or Ed25519 public key.
///
/// # Errors
/// `InvalidKeyPair.Duplicate`, `InvalidKey.Format`, `InvalidParameterValue`
/// for the name, `ResourceCountExceeded`, those of tags.
pub fn import_key_pair(
    change: &mut Change<'_, '_>,
    input: &wire::ImportKeyPairRequest,
) -> Result<wire::ImportKeyPairResult, ApiError> {
    let name = free_name(change, &input.key_name)?;
    let tags = given_tags(&input.tag_specifications)?;
    let material = input.public_key_material.as_deref().unwrap_or_default();
    if material.is_empty() {
        return Err(errors::missing("PublicKeyMaterial"));
    }
    let public = key_material::import(material, &name).map_err(refused)?;
    errors::dry_run(input.dry_run)?;
    let row = add(change, name, public, tags);
    Ok(wire::ImportKeyPairResult {
        key_fingerprint: Some(row.fingerprint),
        key_name: Some(row.name),
        key_pair_id: Some(row.id),
        tags: tag_rules::shown(&row.tags),
    })
}

/// The name of a key pair to be, checked.
fn free_name(change: &Change<'_, '_>, name: &Option<String>) -> Result<String, ApiError> {
    let name = text(name).ok_or_else(|| errors::missing("KeyName"))?;
    let printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && name.trim() == name;
    if name.len() > NAME_MAX || !printable {
        let message = format!("Key names have 1 to {NAME_MAX} ASCII characters without spaces around them.");
        return Err(errors::invalid_value(message));
    }
    if change.key_pairs.contains_key(&name) {
        return Err(ApiError::new("InvalidKeyPair.Duplicate", format!("The keypair '{name}' already exists.")));
    }
    if change.key_pairs.len() >= KEY_PAIRS_MAX {
        let message = format!("At most {KEY_PAIRS_MAX} key pairs are allowed in a Region.");
        return Err(ApiError::new("ResourceCountExceeded", message));
    }
    Ok(name)
}

fn given_tags(specifications: &[wire::TagSpecification]) -> Result<Tags, ApiError> {
    Ok(tag_rules::specified(specifications, &["key-pair"])?.remove("key-pair").unwrap_or_default())
}

fn refused(err: KeyError) -> ApiError {
    match err {
        KeyError::Format => ApiError::new("InvalidKey.Format", "Key is not in valid OpenSSH public key format"),
        KeyError::Kind => {
            let message =
                "Key is not of a supported type: RSA keys of 1024 to 4096 bits and Ed25519 keys can be imported";
            ApiError::new("InvalidKey.Format", message)
        }
        KeyError::Make(cause) => {
            ApiError::new("InternalError", format!("The key cannot be made: {cause}")).with_status(500)
        }
    }
}

fn add(change: &mut Change<'_, '_>, name: String, public: Public, tags: Tags) -> KeyPair {
    let row = KeyPair {
        name,
        id: change.rng.id(KEY_ID.prefix),
        key_type: public.kind.word().to_string(),
        fingerprint: public.fingerprint,
        public_key: public.openssh,
        created_at: change.now,
        tags,
    };
    change.put(row.clone());
    row
}

/// DescribeKeyPairs, of names, of ids, or all.
///
/// # Errors
/// `InvalidKeyPair.NotFound`, those of filters.
pub fn describe_key_pairs(
    call: &Call<'_>,
    input: &wire::DescribeKeyPairsRequest,
) -> Result<wire::DescribeKeyPairsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen_pairs(call, input)?;
    errors::dry_run(input.dry_run)?;
    let rows = rows.into_iter().filter(|pair| {
        filters.accept(&pair.tags, |name, emit| match name {
            "fingerprint" => emit(&pair.fingerprint),
            "key-name" => emit(&pair.name),
            "key-pair-id" => emit(&pair.id),
            _ => {}
        })
    });
    let with_key = input.include_public_key == Some(true);
    Ok(wire::DescribeKeyPairsResult { key_pairs: rows.map(|pair| show(pair, with_key)).collect() })
}

fn chosen_pairs<'a>(call: &Call<'a>, input: &wire::DescribeKeyPairsRequest) -> Result<Vec<&'a KeyPair>, ApiError> {
    if input.key_names.is_empty() && input.key_pair_ids.is_empty() {
        return Ok(call.all::<KeyPair>().map(AsRef::as_ref).collect());
    }
    let mut rows = BTreeMap::new();
    for name in &input.key_names {
        let pair = call.get::<KeyPair>(name).ok_or_else(|| KEY_ID.unknown(name))?;
        rows.insert(&pair.name, pair.as_ref());
    }
    for id in &input.key_pair_ids {
        let pair = call.all::<KeyPair>().find(|pair| pair.id == *id).ok_or_else(|| KEY_ID.unknown(id))?;
        rows.insert(&pair.name, pair.as_ref());
    }
    Ok(rows.into_values().collect())
}

fn show(pair: &KeyPair, with_key: bool) -> wire::KeyPairInfo {
    wire::KeyPairInfo {
        create_time: Some(Timestamp(pair.created_at.millis())),
        key_fingerprint: Some(pair.fingerprint.clone()),
        key_name: Some(pair.name.clone()),
        key_pair_id: Some(pair.id.clone()),
        key_type: Some(pair.key_type.clone()),
        public_key: with_key.then(|| pair.public_key.clone()),
        tags: tag_rules::shown(&pair.tags),
    }
}

/// DeleteKeyPair by name or id. Deleting what is not there succeeds.
///
/// # Errors
/// `MissingParameter` when neither is given.
pub fn delete_key_pair(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteKeyPairRequest,
) -> Result<wire::DeleteKeyPairResult, ApiError> {
    let found = match (text(&input.key_name), text(&input.key_pair_id)) {
        (Some(name), _) => change.get::<KeyPair>(&name),
        (None, Some(id)) => change.all::<KeyPair>().find(|pair| pair.id == id).cloned(),
        (None, None) => return Err(errors::missing("KeyName or KeyPairId")),
    };
    errors::dry_run(input.dry_run)?;
    if let Some(pair) = &found {
        change.delete::<KeyPair>(&pair.name);
    }
    Ok(wire::DeleteKeyPairResult { key_pair_id: found.map(|pair| pair.id.clone()), r#return: Some(true) })
}
