//! RequestCertificate and RenewCertificate: the installation's authority issues.

use super::{domains, errors, lookup, tags};
use crate::Change;
use elastane_domain::time::Span;
use elastane_engine::authority::{Authority, LeafKey};
use elastane_engine::certificates::{is_renewed, renew};
use elastane_engine::row::{Certificate, CertificateOrigin, Tags};
use elastane_wire::{ApiError, acm as wire};
use std::sync::Arc;

/// So long the same token with the same names gives the same certificate (API
/// Reference, "RequestCertificate").
const TOKEN_LIFE: Span = Span::from_mins(60);

/// What a request amounts to, checked.
struct Order {
    names: Vec<String>,
    key_algorithm: String,
    kind: LeafKey,
    validation: String,
    transparency: Option<String>,
    exportable: bool,
}

fn check(input: &wire::RequestCertificateRequest) -> Result<Order, ApiError> {
    if input.certificate_authority_arn.is_some() {
        return Err(errors::unsupported("A private certificate authority"));
    }
    if input.managed_by.is_some() {
        return Err(errors::unsupported("ManagedBy"));
    }
    let names = domains::asked(&input.domain_name, &input.subject_alternative_names)?;
    let key_algorithm = input.key_algorithm.clone().unwrap_or_else(|| "RSA_2048".to_string());
    let kind = LeafKey::from_name(&key_algorithm).ok_or_else(|| {
        errors::validation(format!("The key algorithm {key_algorithm} cannot be requested for a public certificate."))
    })?;
    let validation = input.validation_method.clone().unwrap_or_else(|| "EMAIL".to_string());
    if validation == "HTTP" {
        return Err(errors::validation("HTTP validation is for certificates of CloudFront only."));
    }
    let options = input.options.clone().unwrap_or_default();
    if options.validation_method.as_ref().is_some_and(|method| *method != validation) {
        return Err(errors::validation("Options.ValidationMethod must be the same as ValidationMethod."));
    }
    Ok(Order {
        names,
        key_algorithm,
        kind,
        validation,
        transparency: options.certificate_transparency_logging_preference,
        exportable: options.export.as_deref() == Some("ENABLED"),
    })
}

/// RequestCertificate. The certificate is issued when the call is answered.
///
/// # Errors
/// `ValidationException`, `LimitExceededException`,
/// `InvalidDomainValidationOptionsException`, those of tags.
pub fn request_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::RequestCertificateRequest,
) -> Result<wire::RequestCertificateResponse, ApiError> {
    let order = check(input)?;
    let validation_domains = domains::validation_domains(&order.names, &input.domain_validation_options)?;
    let tags = tags::added(&Tags::new(), &input.tags)?;
    let now = change.now;
    if let Some(token) = input.idempotency_token.as_deref() {
        let same = |row: &&Arc<Certificate>| {
            row.token.as_deref() == Some(token) && row.names == order.names && now < row.created_at + TOKEN_LIFE
        };
        if let Some(row) = change.certificates.values().find(same) {
            return Ok(wire::RequestCertificateResponse { certificate_arn: Some(row.arn.to_string()) });
        }
    }
    let arn = lookup::new_arn(change)?;
    let (authority, secret) = means(change)?;
    let material = authority.issue(&order.names, order.kind, secret, now).map_err(|err| errors::not_issued(&err))?;
    change.put(Certificate {
        arn: arn.clone(),
        origin: CertificateOrigin::Issued,
        domain_name: order.names.first().cloned().unwrap_or_default(),
        names: order.names,
        material: Some(material),
        created_at: now,
        imported_at: None,
        issued_at: Some(now),
        token: input.idempotency_token.clone(),
        validation: Some(order.validation),
        key_algorithm: order.key_algorithm,
        transparency: Some(order.transparency.unwrap_or_else(|| "ENABLED".to_string())),
        exportable: order.exportable,
        exported: false,
        validation_domains,
        renewed_at: None,
        tags,
    });
    Ok(wire::RequestCertificateResponse { certificate_arn: Some(arn.to_string()) })
}

/// The authority, and a secret for a new key.
fn means(change: &mut Change<'_, '_>) -> Result<(Arc<Authority>, [u8; 32]), ApiError> {
    let authority = change.config.authority.clone();
    let authority = authority.ok_or_else(|| errors::unsupported("Issuing without a certificate authority"))?;
    let secret = change.rng.secret();
    Ok((authority, secret.ok_or_else(|| errors::unsupported("Making keys without a source of randomness"))?))
}

/// RenewCertificate: a new certificate with a new key, at once.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidArnException`, and
/// `ValidationException` for a certificate that is not eligible.
pub fn renew_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::RenewCertificateRequest,
) -> Result<wire::RenewCertificateOutput, ApiError> {
    let row = lookup::find(change.tables(), &input.certificate_arn)?.clone();
    if !is_renewed(change.tables(), &row) {
        return Err(errors::validation(format!("Certificate {} is not eligible for renewal.", row.arn)));
    }
    match renew(change.tx, &row.arn) {
        Ok(true) => Ok(wire::RenewCertificateOutput {}),
        Ok(false) => Err(errors::unsupported("Issuing without a certificate authority")),
        Err(err) => Err(errors::not_issued(&err)),
    }
}
