//! Sealing and opening: Encrypt, Decrypt, ReEncrypt and data keys.

use super::cipher::{self, Material};
use super::lookup::{self, key_arn};
use super::shape::ALGORITHM;
use super::{errors, rotation};
use crate::{Call, Change, Purpose, World};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_engine::View;
use elastane_engine::row::EncryptionKey;
use elastane_wire::{ApiError, kms as wire};
use std::collections::BTreeMap;

/// Longest text that Encrypt takes, in bytes (KMS API Reference, "Encrypt").
const PLAINTEXT_MAX: usize = 4_096;

/// Longest data key, and longest answer of GenerateRandom, in bytes.
const RANDOM_MAX: i32 = 1_024;

/// Bytes of the secret that one draw gives.
const DRAW_BYTES: usize = 32;

/// The bits of a key's material of a number.
fn material(world: &dyn World, key: &EncryptionKey, number: usize) -> Option<Material> {
    let sealed = &key.materials.get(number)?.sealed;
    STANDARD.decode(world.unseal(Purpose::KeyMaterial, sealed)?).ok()?.try_into().ok()
}

/// New material, sealed for its row.
pub(super) fn new_material(change: &mut Change<'_, '_>) -> Result<String, ApiError> {
    let secret = change.rng.secret().ok_or_else(no_randomness)?;
    Ok(change.world.seal(Purpose::KeyMaterial, &STANDARD.encode(secret)))
}

fn no_randomness() -> ApiError {
    errors::unsupported("Making keys without a source of randomness")
}

fn random(change: &mut Change<'_, '_>, length: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::with_capacity(length + DRAW_BYTES);
    while bytes.len() < length {
        bytes.extend(change.rng.secret().ok_or_else(no_randomness)?);
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Seals a text with a usable key's newest material; one that is due for
/// rotation gets a new one first.
///
/// # Errors
/// `NotFoundException`, `DisabledException`, `KMSInvalidStateException`.
pub fn seal(
    change: &mut Change<'_, '_>,
    key: &Option<String>,
    context: &BTreeMap<String, String>,
    plaintext: &[u8],
) -> Result<(String, Vec<u8>), ApiError> {
    let id = lookup::usable(&change.view(), key)?.id.clone();
    rotation::rotate_when_due(change, &id)?;
    let nonce = random(change, 12)?.try_into().expect("as long as was asked for");
    let view = change.view();
    let key = view.get::<EncryptionKey>(&id).expect("found above");
    let number = key.materials.len() - 1;
    let bits = material(change.world, key, number).ok_or_else(lost)?;
    let number = u16::try_from(number).expect("materials are bounded");
    Ok((key_arn(&view, &id), cipher::seal((&id, number, &bits), nonce, context, plaintext)))
}

/// Opens a sealed text: the ARN of its key, and the text.
///
/// # Errors
/// `InvalidCiphertextException`; `DisabledException` and
/// `KMSInvalidStateException` of its key.
pub fn open(
    view: &View<'_>,
    world: &dyn World,
    context: &BTreeMap<String, String>,
    sealed: &[u8],
) -> Result<(String, Vec<u8>), ApiError> {
    let parsed = cipher::parse(sealed).ok_or_else(errors::invalid_ciphertext)?;
    let key = view.get::<EncryptionKey>(parsed.key).ok_or_else(errors::invalid_ciphertext)?;
    lookup::check_usable(view, key)?;
    let bits = material(world, key, parsed.material).ok_or_else(errors::invalid_ciphertext)?;
    let text = parsed.open(&bits, context).ok_or_else(errors::invalid_ciphertext)?;
    Ok((key_arn(view, &key.id), text))
}

/// The world cannot open what it sealed: its secret is another one.
fn lost() -> ApiError {
    ApiError::new("KeyUnavailableException", "The key material cannot be read.").with_status(500)
}

fn check_algorithm(given: &Option<String>) -> Result<(), ApiError> {
    match given.as_deref() {
        None | Some(ALGORITHM) => Ok(()),
        Some(other) => Err(ApiError::new(
            "InvalidKeyUsageException",
            format!("The algorithm {other} is not for keys of the spec {ALGORITHM}."),
        )),
    }
}

/// What would have no effect: dry runs, grants and enclaves.
fn refuse(dry_run: Option<bool>, grants: &[String], enclave: bool) -> Result<(), ApiError> {
    if dry_run == Some(true) {
        return Err(ApiError::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        ));
    }
    match (grants.is_empty(), enclave) {
        (true, false) => Ok(()),
        (false, _) => Err(errors::unsupported("GrantTokens")),
        (true, true) => Err(errors::unsupported("Recipient")),
    }
}

/// Encrypt.
///
/// # Errors
/// Those of [`seal`]; `ValidationException` without a text of 1 to 4,096 bytes.
pub fn encrypt(change: &mut Change<'_, '_>, input: &wire::EncryptRequest) -> Result<wire::EncryptResponse, ApiError> {
    check_algorithm(&input.encryption_algorithm)?;
    refuse(input.dry_run, &input.grant_tokens, false)?;
    let text = input.plaintext.as_deref().filter(|text| (1..=PLAINTEXT_MAX).contains(&text.len()));
    let text = text.ok_or_else(|| errors::validation(format!("Plaintext must have 1 to {PLAINTEXT_MAX} bytes.")))?;
    let (arn, sealed) = seal(change, &input.key_id, &input.encryption_context, text)?;
    Ok(wire::EncryptResponse {
        ciphertext_blob: Some(sealed),
        encryption_algorithm: Some(ALGORITHM.to_string()),
        key_id: Some(arn),
    })
}

/// Opens what a call gave, and checks that the key is the one that it names, if it names one.
fn opened(
    view: &View<'_>,
    world: &dyn World,
    (sealed, key): (&Option<Vec<u8>>, &Option<String>),
    context: &BTreeMap<String, String>,
) -> Result<(String, Vec<u8>), ApiError> {
    let sealed = sealed.as_deref().filter(|sealed| !sealed.is_empty());
    let sealed = sealed.ok_or_else(|| errors::validation("The request must contain CiphertextBlob."))?;
    if key.is_some() {
        let named = lookup::usable(view, key)?;
        let parsed = cipher::parse(sealed).ok_or_else(errors::invalid_ciphertext)?;
        if parsed.key != named.id {
            return Err(errors::incorrect_key());
        }
    }
    open(view, world, context, sealed)
}

/// Decrypt.
///
/// # Errors
/// Those of [`open`]; `IncorrectKeyException` when another key than the one
/// that is named sealed it.
pub fn decrypt(call: &Call<'_>, input: &wire::DecryptRequest) -> Result<wire::DecryptResponse, ApiError> {
    check_algorithm(&input.encryption_algorithm)?;
    if !input.dry_run_modifiers.is_empty() {
        return Err(errors::unsupported("DryRunModifiers"));
    }
    let given = (&input.ciphertext_blob, &input.key_id);
    let (arn, text) = opened(&call.view, call.world, given, &input.encryption_context)?;
    refuse(input.dry_run, &input.grant_tokens, input.recipient.is_some())?;
    Ok(wire::DecryptResponse {
        encryption_algorithm: Some(ALGORITHM.to_string()),
        key_id: Some(arn),
        plaintext: Some(text),
        ..Default::default()
    })
}

/// ReEncrypt: the text is never shown.
///
/// # Errors
/// Those of Decrypt and Encrypt.
pub fn re_encrypt(
    change: &mut Change<'_, '_>,
    input: &wire::ReEncryptRequest,
) -> Result<wire::ReEncryptResponse, ApiError> {
    check_algorithm(&input.source_encryption_algorithm)?;
    check_algorithm(&input.destination_encryption_algorithm)?;
    if !input.dry_run_modifiers.is_empty() {
        return Err(errors::unsupported("DryRunModifiers"));
    }
    refuse(input.dry_run, &input.grant_tokens, false)?;
    let given = (&input.ciphertext_blob, &input.source_key_id);
    let (source, text) = opened(&change.view(), change.world, given, &input.source_encryption_context)?;
    let context = &input.destination_encryption_context;
    let (arn, sealed) = seal(change, &input.destination_key_id, context, &text)?;
    Ok(wire::ReEncryptResponse {
        ciphertext_blob: Some(sealed),
        destination_encryption_algorithm: Some(ALGORITHM.to_string()),
        key_id: Some(arn),
        source_encryption_algorithm: Some(ALGORITHM.to_string()),
        source_key_id: Some(source),
        ..Default::default()
    })
}

/// Bytes of a data key: by its spec, or by their number.
fn data_key_bytes(spec: &Option<String>, bytes: Option<i32>) -> Result<usize, ApiError> {
    match (spec.as_deref(), bytes) {
        (Some("AES_256"), None) => Ok(32),
        (Some("AES_128"), None) => Ok(16),
        (None, Some(bytes)) => random_bytes(Some(bytes)),
        _ => Err(errors::validation("Please specify either number of bytes or key spec.")),
    }
}

fn random_bytes(bytes: Option<i32>) -> Result<usize, ApiError> {
    let bytes = bytes.filter(|bytes| (1..=RANDOM_MAX).contains(bytes)).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| errors::validation(format!("NumberOfBytes must be from 1 to {RANDOM_MAX}.")))
}

/// GenerateDataKey: a new key, plain and sealed.
///
/// # Errors
/// Those of [`seal`]; `ValidationException` unless KeySpec or NumberOfBytes says how long it is.
pub fn generate_data_key(
    change: &mut Change<'_, '_>,
    input: &wire::GenerateDataKeyRequest,
) -> Result<wire::GenerateDataKeyResponse, ApiError> {
    refuse(input.dry_run, &input.grant_tokens, input.recipient.is_some())?;
    let length = data_key_bytes(&input.key_spec, input.number_of_bytes)?;
    let plain = random(change, length)?;
    let (arn, sealed) = seal(change, &input.key_id, &input.encryption_context, &plain)?;
    Ok(wire::GenerateDataKeyResponse {
        ciphertext_blob: Some(sealed),
        key_id: Some(arn),
        plaintext: Some(plain),
        ..Default::default()
    })
}

/// GenerateDataKeyWithoutPlaintext: likewise, sealed only.
///
/// # Errors
/// As for GenerateDataKey.
pub fn generate_data_key_without_plaintext(
    change: &mut Change<'_, '_>,
    input: &wire::GenerateDataKeyWithoutPlaintextRequest,
) -> Result<wire::GenerateDataKeyWithoutPlaintextResponse, ApiError> {
    refuse(input.dry_run, &input.grant_tokens, false)?;
    let length = data_key_bytes(&input.key_spec, input.number_of_bytes)?;
    let plain = random(change, length)?;
    let (arn, sealed) = seal(change, &input.key_id, &input.encryption_context, &plain)?;
    Ok(wire::GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Some(sealed),
        key_id: Some(arn),
        ..Default::default()
    })
}

/// GenerateRandom.
///
/// # Errors
/// `ValidationException`; `UnsupportedOperationException` for enclaves and key stores.
pub fn generate_random(
    change: &mut Change<'_, '_>,
    input: &wire::GenerateRandomRequest,
) -> Result<wire::GenerateRandomResponse, ApiError> {
    refuse(None, &[], input.recipient.is_some())?;
    if input.custom_key_store_id.is_some() {
        return Err(errors::unsupported("CustomKeyStoreId"));
    }
    let length = random_bytes(input.number_of_bytes)?;
    Ok(wire::GenerateRandomResponse { plaintext: Some(random(change, length)?), ..Default::default() })
}
