//! Finding certificates by ARN, and deleting them.

use super::errors;
use crate::Change;
use elastane_domain::id::CertificateArn;
use elastane_engine::certificates::used_by;
use elastane_engine::row::Certificate;
use elastane_engine::{Scope, Tables};
use elastane_wire::{ApiError, acm as wire};
use std::sync::Arc;

/// Certificates of one account and region (ACM User Guide, "Quotas").
const CERTIFICATES_MAX: usize = 2500;

/// The certificate that a call names.
///
/// # Errors
/// `InvalidArnException`, `ResourceNotFoundException`.
pub fn find<'a>(tables: &'a Tables, arn: &Option<String>) -> Result<&'a Arc<Certificate>, ApiError> {
    let arn = arn.as_deref().filter(|arn| !arn.is_empty()).ok_or_else(|| errors::missing("CertificateArn"))?;
    if !arn.starts_with("arn:aws:acm:") || !arn.contains(":certificate/") {
        return Err(errors::invalid_arn(arn));
    }
    tables.certificates.get(arn).ok_or_else(|| errors::not_found(arn))
}

/// An ARN for a new certificate.
///
/// # Errors
/// `LimitExceededException`.
pub fn new_arn(change: &mut Change<'_, '_>) -> Result<CertificateArn, ApiError> {
    if change.certificates.len() >= CERTIFICATES_MAX {
        return Err(errors::limit(format!("At most {CERTIFICATES_MAX} certificates are allowed in a Region.")));
    }
    let uuid = change.rng.uuid();
    let Scope { account, region } = change.scope();
    Ok(CertificateArn::from(format!("arn:aws:acm:{region}:{account}:certificate/{uuid}")))
}

/// DeleteCertificate.
///
/// # Errors
/// `InvalidArnException`, `ResourceNotFoundException`, and
/// `ResourceInUseException` while a listener shows it.
pub fn delete_certificate(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteCertificateRequest,
) -> Result<wire::DeleteCertificateOutput, ApiError> {
    let arn = find(change.tables(), &input.certificate_arn)?.arn.clone();
    if !used_by(change.tables(), &arn).is_empty() {
        return Err(errors::in_use(arn.as_str()));
    }
    change.delete::<Certificate>(arn.as_str());
    Ok(wire::DeleteCertificateOutput {})
}
