//! Reading certificates: describe, get and list.

use super::{errors, lookup, shape};
use crate::{Call, page};
use elastane_engine::row::{Certificate, CertificateOrigin};
use elastane_wire::{ApiError, acm as wire};
use std::sync::Arc;

/// Certificates of a page when a call says nothing (API Reference, "ListCertificates").
const PAGE: usize = 1000;

/// Kinds of keys that are listed when a call names none (API Reference, "Filters").
const KEY_TYPES: [&str; 2] = ["RSA_1024", "RSA_2048"];

/// DescribeCertificate.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidArnException`.
pub fn describe_certificate(
    call: &Call<'_>,
    input: &wire::DescribeCertificateRequest,
) -> Result<wire::DescribeCertificateResponse, ApiError> {
    let row = lookup::find(call.tables, &input.certificate_arn)?;
    Ok(wire::DescribeCertificateResponse { certificate: Some(shape::detail(&call.view, row)) })
}

/// GetCertificate.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidArnException`, and
/// `RequestInProgressException` before it is issued.
pub fn get_certificate(
    call: &Call<'_>,
    input: &wire::GetCertificateRequest,
) -> Result<wire::GetCertificateResponse, ApiError> {
    let row = lookup::find(call.tables, &input.certificate_arn)?;
    let material = row.material.as_ref().ok_or_else(|| errors::in_progress(row.arn.as_str()))?;
    Ok(wire::GetCertificateResponse {
        certificate: Some(material.body_pem.clone()),
        certificate_chain: material.chain_pem.clone(),
    })
}

/// ListCertificates. As on AWS only RSA certificates of 1024 and 2048 bits
/// are listed unless `Includes.keyTypes` names others.
///
/// # Errors
/// `ValidationException` for a token of another make and for an order
/// without `SortBy`.
pub fn list_certificates(
    call: &Call<'_>,
    input: &wire::ListCertificatesRequest,
) -> Result<wire::ListCertificatesResponse, ApiError> {
    if input.sort_by.is_some() != input.sort_order.is_some() {
        return Err(errors::validation("SortBy and SortOrder must be given together."));
    }
    let wanted = |row: &&Arc<Certificate>| is_wanted(call, input, row);
    let mut rows: Vec<&Arc<Certificate>> = call.all::<Certificate>().filter(wanted).collect();
    let descending = input.sort_order.as_deref() == Some("DESCENDING");
    let sorted = input.sort_by.is_some();
    // Pages go by name: one whose order is that of the page.
    let name = |row: &&Arc<Certificate>| match (sorted, descending) {
        (false, _) => row.arn.to_string(),
        (true, false) => format!("{:020} {}", row.created_at.millis(), row.arn),
        (true, true) => format!("{:020} {}", i64::MAX - row.created_at.millis(), row.arn),
    };
    rows.sort_by_key(|row| name(row));
    let max = input.max_items.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE);
    let pager = page::Pager { token: input.next_token.as_deref(), max: Some(max), bad_token: "ValidationException" };
    let (page, next_token) = page::page(rows, pager, name)?;
    let summaries = page.into_iter().map(|row| shape::summary(&call.view, row)).collect();
    Ok(wire::ListCertificatesResponse { certificate_summary_list: summaries, next_token })
}

fn is_wanted(call: &Call<'_>, input: &wire::ListCertificatesRequest, row: &Certificate) -> bool {
    let any = |list: &[String], found: &str| list.is_empty() || list.iter().any(|word| word == found);
    let filters = input.includes.clone().unwrap_or_default();
    let key_type = if filters.key_types.is_empty() {
        KEY_TYPES.contains(&row.key_algorithm.as_str())
    } else {
        any(&filters.key_types, &row.key_algorithm)
    };
    let origin = match row.origin {
        CertificateOrigin::Imported => "CUSTOMER_PROVIDED",
        CertificateOrigin::Issued => "AWS_MANAGED",
    };
    let usages = shape::usages(row);
    let used = |asked: &[String], found: &[&str]| {
        let named = |word: &String| word == "ANY" || found.contains(&word.as_str());
        asked.is_empty() || asked.iter().any(named)
    };
    let extended: Vec<&str> = usages.extended.iter().map(|(word, _)| *word).collect();
    key_type
        && any(&input.certificate_statuses, shape::status(row, call.now))
        && any(&input.certificate_key_pair_origins, origin)
        && used(&filters.key_usage, &usages.key)
        && used(&filters.extended_key_usage, &extended)
        && filters.export_option.as_deref().is_none_or(|option| option == shape::export_option(row))
        && filters.managed_by.is_none()
}
