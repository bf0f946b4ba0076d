//! ImportCertificate.

use super::{errors, lookup, reading, tags};
use crate::Change;
use elastane_engine::row::{Certificate, CertificateOrigin, Tags};
use elastane_wire::{ApiError, acm as wire};
use std::collections::BTreeMap;

/// ImportCertificate. With an ARN it replaces that certificate in place:
/// listeners show the new one as soon as the call is answered.
///
/// # Errors
/// `ValidationException` for what is wrong with certificate, chain or key,
/// and for a replacement of another kind of key;
/// `InvalidParameterException` for tags on a replacement; those of tags;
/// `ResourceNotFoundException`, `InvalidArnException`,
/// `LimitExceededException`.
pub fn import_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::ImportCertificateRequest,
) -> Result<wire::ImportCertificateResponse, ApiError> {
    let body = text(&input.certificate, "Certificate")?.ok_or_else(|| errors::missing("Certificate"))?;
    let key = text(&input.private_key, "PrivateKey")?.ok_or_else(|| errors::missing("PrivateKey"))?;
    let chain = text(&input.certificate_chain, "CertificateChain")?;
    let brought = reading::brought(body, chain, key, change.now).map_err(|fault| errors::refused(&fault))?;
    let now = change.now;
    if input.certificate_arn.is_some() {
        let old = lookup::find(change.tables(), &input.certificate_arn)?.clone();
        if !input.tags.is_empty() {
            return Err(errors::invalid_parameter("Tags cannot be applied when a certificate is imported again."));
        }
        if old.origin != CertificateOrigin::Imported {
            return Err(errors::validation(format!("Certificate {} was not imported.", old.arn)));
        }
        if old.key_algorithm != brought.key_algorithm {
            return Err(errors::validation("The key type and size of an imported certificate cannot be changed."));
        }
        let arn = old.arn.to_string();
        change.update(&arn, |row: &mut Certificate| {
            row.domain_name = brought.names.first().cloned().unwrap_or_default();
            row.names = brought.names;
            row.material = Some(brought.material);
            row.imported_at = Some(now);
        });
        return Ok(wire::ImportCertificateResponse { certificate_arn: Some(arn) });
    }
    let tags = tags::added(&Tags::new(), &input.tags)?;
    let arn = lookup::new_arn(change)?;
    change.put(Certificate {
        arn: arn.clone(),
        origin: CertificateOrigin::Imported,
        domain_name: brought.names.first().cloned().unwrap_or_default(),
        names: brought.names,
        material: Some(brought.material),
        created_at: now,
        imported_at: Some(now),
        issued_at: None,
        token: None,
        validation: None,
        key_algorithm: brought.key_algorithm.to_string(),
        transparency: None,
        exportable: false,
        exported: false,
        validation_domains: BTreeMap::new(),
        renewed_at: None,
        tags,
    });
    Ok(wire::ImportCertificateResponse { certificate_arn: Some(arn.to_string()) })
}

fn text<'a>(blob: &'a Option<Vec<u8>>, member: &str) -> Result<Option<&'a str>, ApiError> {
    let Some(bytes) = blob.as_deref().filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
    let text = std::str::from_utf8(bytes);
    text.map(Some).map_err(|_| errors::validation(format!("{member} is not in PEM format.")))
}
