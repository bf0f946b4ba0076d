//! ExportCertificate: a certificate with its key, encrypted by a passphrase.

use super::{errors, lookup};
use crate::Change;
use elastane_engine::row::{Certificate, CertificateOrigin};
use elastane_wire::{ApiError, acm as wire};
use rsa::pkcs8::pkcs5::pbes2;
use rsa::pkcs8::{LineEnding, PrivateKeyInfo, SecretDocument};

/// Rounds of PBKDF2 with SHA-256. The call is carried out by the one writer
/// of all changes, so it must stay within tenths of a second.
const ROUNDS: u32 = 20_000;

/// ExportCertificate: issued certificates for which export was asked.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidArnException`,
/// `RequestInProgressException`; `ValidationException` for imported
/// certificates, for those that must not be exported and without a passphrase.
pub fn export_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::ExportCertificateRequest,
) -> Result<wire::ExportCertificateResponse, ApiError> {
    let row = lookup::find(change.tables(), &input.certificate_arn)?.clone();
    let passphrase = input.passphrase.as_deref().filter(|passphrase| !passphrase.is_empty());
    let passphrase = passphrase.ok_or_else(|| errors::missing("Passphrase"))?;
    if row.origin == CertificateOrigin::Imported || !row.exportable {
        return Err(errors::validation(format!("Certificate {} cannot be exported.", row.arn)));
    }
    let material = row.material.as_ref().ok_or_else(|| errors::in_progress(row.arn.as_str()))?;
    let secret = change.rng.secret();
    let secret = secret.ok_or_else(|| errors::unsupported("Encrypting without a source of randomness"))?;
    let key = encrypted(material.key_pem.expose(), passphrase, &secret).map_err(|err| {
        ApiError::new("InternalFailure", format!("The key cannot be encrypted: {err}")).with_status(500)
    })?;
    change.update(row.arn.as_str(), |row: &mut Certificate| row.exported = true);
    Ok(wire::ExportCertificateResponse {
        certificate: Some(material.body_pem.clone()),
        certificate_chain: material.chain_pem.clone(),
        private_key: Some(key),
    })
}

/// A PKCS #8 key, encrypted with AES-256 (PBES2, RFC 8018).
fn encrypted(key_pem: &str, passphrase: &[u8], secret: &[u8; 32]) -> Result<String, rsa::pkcs8::Error> {
    let (_, key) = SecretDocument::from_pem(key_pem)?;
    let (salt, vector) = secret.split_at(16);
    let vector: &[u8; 16] = vector.try_into().expect("the other half of 32 bytes");
    let params = pbes2::Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, salt, vector)?;
    let document = PrivateKeyInfo::try_from(key.as_bytes())?.encrypt_with_params(params, passphrase)?;
    Ok(document.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)?.to_string())
}
