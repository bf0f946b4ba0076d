//! Certificates as ACM shows them.

use super::{domains, reading};
use elastane_domain::time::Time;
use elastane_engine::View;
use elastane_engine::certificates::{is_renewed, used_by};
use elastane_engine::row::{Certificate, CertificateOrigin};
use elastane_wire::{Timestamp, acm as wire};

/// Names in a summary (API Reference, "CertificateSummary": up to 100).
const SUMMARY_NAMES_MAX: usize = 100;

fn time(time: Time) -> Option<Timestamp> {
    Some(Timestamp(time.millis()))
}

fn words(words: &[&'static str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

/// `Status`.
pub fn status(row: &Certificate, now: Time) -> &'static str {
    match &row.material {
        None => "PENDING_VALIDATION",
        Some(material) if material.not_after < now => "EXPIRED",
        Some(_) => "ISSUED",
    }
}

fn kind(row: &Certificate) -> &'static str {
    match row.origin {
        CertificateOrigin::Imported => "IMPORTED",
        CertificateOrigin::Issued => "AMAZON_ISSUED",
    }
}

fn key_pair_origin(row: &Certificate) -> &'static str {
    match row.origin {
        CertificateOrigin::Imported => "CUSTOMER_PROVIDED",
        CertificateOrigin::Issued => "AWS_MANAGED",
    }
}

/// `Export`.
pub fn export_option(row: &Certificate) -> &'static str {
    if row.exportable { "ENABLED" } else { "DISABLED" }
}

fn eligibility(view: &View<'_>, row: &Certificate) -> &'static str {
    if is_renewed(view.tables, row) { "ELIGIBLE" } else { "INELIGIBLE" }
}

/// What a certificate may be used for.
pub fn usages(row: &Certificate) -> reading::Usages {
    row.material.as_ref().map(|material| reading::usages(&material.body_pem)).unwrap_or_default()
}

/// DescribeCertificate's form.
pub fn detail(view: &View<'_>, row: &Certificate) -> wire::CertificateDetail {
    let material = row.material.as_ref();
    let usages = usages(row);
    let validations = domains::validations(row, view.scope.account.as_str());
    let issued = row.origin == CertificateOrigin::Issued;
    let preference = || row.transparency.clone().unwrap_or_else(|| "DISABLED".to_string());
    wire::CertificateDetail {
        certificate_arn: Some(row.arn.to_string()),
        certificate_key_pair_origin: Some(key_pair_origin(row).to_string()),
        domain_name: Some(row.domain_name.clone()),
        subject_alternative_names: row.names.clone(),
        domain_validation_options: validations.clone(),
        serial: material.map(|material| material.serial.clone()),
        subject: material.map(|material| material.subject.clone()),
        issuer: material.map(|material| material.issuer.clone()),
        signature_algorithm: material.map(|material| material.signature_algorithm.clone()),
        created_at: time(row.created_at),
        issued_at: row.issued_at.and_then(time),
        imported_at: row.imported_at.and_then(time),
        not_before: material.and_then(|material| time(material.not_before)),
        not_after: material.and_then(|material| time(material.not_after)),
        status: Some(status(row, view.now).to_string()),
        key_algorithm: Some(row.key_algorithm.clone()),
        in_use_by: used_by(view.tables, &row.arn).into_iter().map(ToString::to_string).collect(),
        r#type: Some(kind(row).to_string()),
        renewal_eligibility: Some(eligibility(view, row).to_string()),
        renewal_summary: row.renewed_at.map(|at| wire::RenewalSummary {
            domain_validation_options: validations,
            renewal_status: Some("SUCCESS".to_string()),
            renewal_status_reason: None,
            updated_at: time(at),
        }),
        key_usages: usages.key.iter().map(|word| wire::KeyUsage { name: Some(word.to_string()) }).collect(),
        extended_key_usages: usages
            .extended
            .into_iter()
            .map(|(word, id)| wire::ExtendedKeyUsage { name: Some(word.to_string()), oid: Some(id) })
            .collect(),
        options: Some(wire::CertificateOptions {
            certificate_transparency_logging_preference: Some(preference()),
            export: issued.then(|| export_option(row).to_string()),
            validation_method: None,
        }),
        ..wire::CertificateDetail::default()
    }
}

/// ListCertificates' form.
pub fn summary(view: &View<'_>, row: &Certificate) -> wire::CertificateSummary {
    let material = row.material.as_ref();
    let usages = usages(row);
    let extended: Vec<&'static str> = usages.extended.iter().map(|(word, _)| *word).collect();
    wire::CertificateSummary {
        certificate_arn: Some(row.arn.to_string()),
        certificate_key_pair_origin: Some(key_pair_origin(row).to_string()),
        domain_name: Some(row.domain_name.clone()),
        subject_alternative_name_summaries: row.names.iter().take(SUMMARY_NAMES_MAX).cloned().collect(),
        has_additional_subject_alternative_names: Some(row.names.len() > SUMMARY_NAMES_MAX),
        status: Some(status(row, view.now).to_string()),
        r#type: Some(kind(row).to_string()),
        key_algorithm: Some(row.key_algorithm.clone()),
        key_usages: words(&usages.key),
        extended_key_usages: words(&extended),
        export_option: Some(export_option(row).to_string()),
        in_use: Some(!used_by(view.tables, &row.arn).is_empty()),
        exported: Some(row.exported),
        renewal_eligibility: Some(eligibility(view, row).to_string()),
        not_before: material.and_then(|material| time(material.not_before)),
        not_after: material.and_then(|material| time(material.not_after)),
        created_at: time(row.created_at),
        issued_at: row.issued_at.and_then(time),
        imported_at: row.imported_at.and_then(time),
        managed_by: None,
        revoked_at: None,
    }
}
