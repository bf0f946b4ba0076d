//! Certificates of listeners: which rows their ARNs name, and those that a
//! listener shows besides its default one. A client gets the one whose name
//! it asks for (SNI).

use super::{errors, names, pager};
use crate::{Call, Change, page};
use elastane_domain::id::{CertificateArn, LoadBalancerArn};
use elastane_engine::row::{Certificate, IAM_REGION, Listener, ServerCertificate};
use elastane_engine::{Scope, Tables, View};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Certificates of one load balancer besides the default ones (alb.md 12).
pub const CERTIFICATES_MAX: usize = 25;

/// The certificate of an ARN, ACM's or IAM's, with its key.
///
/// # Errors
/// `CertificateNotFound`; `UnsupportedCertificate` while it is not issued.
pub fn resolve(view: &View<'_>, arn: &str) -> Result<CertificateArn, ApiError> {
    if let Some(row) = view.get::<Certificate>(arn) {
        if row.material.is_none() {
            let message = format!("The certificate '{arn}' has not been issued yet");
            return Err(ApiError::new("UnsupportedCertificate", message));
        }
        return Ok(row.arn.clone());
    }
    let iam = Scope::new(view.scope.account.as_str(), IAM_REGION);
    let uploaded = view.state.scopes.get(&iam).and_then(|tables| {
        let arn_of = |row: &Arc<ServerCertificate>| row.arn(&view.scope.account);
        tables.server_certificates.values().map(arn_of).find(|found| found.as_str() == arn)
    });
    uploaded.ok_or_else(|| ApiError::new("CertificateNotFound", format!("Certificate '{arn}' not found")))
}

/// The certificates of a listener that speaks TLS.
fn shown(row: &Listener) -> Result<&[CertificateArn], ApiError> {
    let tls = row.tls.as_ref().ok_or_else(|| {
        errors::validation(format!("Listener '{}' has no certificates: its protocol is not HTTPS or TLS", row.arn))
    })?;
    Ok(&tls.certificates)
}

/// The ARNs of a call's certificates, which must not be called default ones.
fn named(certificates: &[wire::Certificate]) -> Result<Vec<&str>, ApiError> {
    if certificates.is_empty() {
        return Err(errors::missing("Certificates"));
    }
    let arn = |certificate: &'_ wire::Certificate| certificate.is_default.is_none_or(|default| !default);
    if !certificates.iter().all(arn) {
        return Err(errors::validation("IsDefault cannot be set here: the default certificate is the listener's own"));
    }
    let arns = certificates.iter().map(|certificate| certificate.certificate_arn.as_deref());
    arns.collect::<Option<Vec<_>>>().ok_or_else(|| errors::missing("CertificateArn"))
}

fn listed(arn: &CertificateArn, default: bool) -> wire::Certificate {
    wire::Certificate { certificate_arn: Some(arn.to_string()), is_default: Some(default) }
}

/// Certificates of a load balancer besides its listeners' default ones.
fn count(tables: &Tables, balancer: &LoadBalancerArn) -> usize {
    let listeners = tables.listeners.values().filter(|row| row.load_balancer == *balancer);
    let tls = listeners.filter_map(|row| row.tls.as_ref());
    tls.flat_map(|tls| tls.certificates.iter().skip(1)).collect::<BTreeSet<_>>().len()
}

/// AddListenerCertificates. One that is there already stays as it is.
///
/// # Errors
/// `ListenerNotFound`, `CertificateNotFound`, `TooManyCertificates`,
/// `ValidationError`.
pub fn add_listener_certificates(
    change: &mut Change<'_, '_>,
    input: &wire::AddListenerCertificatesInput,
) -> Result<wire::AddListenerCertificatesOutput, ApiError> {
    let row = names::listener(change.tables(), input.listener_arn.as_deref())?.clone();
    let mut certificates = shown(&row)?.to_vec();
    let mut added = Vec::new();
    for arn in named(&input.certificates)? {
        let arn = resolve(&change.view(), arn)?;
        if !certificates.iter().skip(1).any(|known| *known == arn) {
            certificates.push(arn.clone());
        }
        added.push(listed(&arn, false));
    }
    change.update(row.arn.as_str(), |row: &mut Listener| {
        if let Some(tls) = &mut row.tls {
            tls.certificates = certificates;
        }
    });
    if count(change.tables(), &row.load_balancer) > CERTIFICATES_MAX {
        let what = "certificates of one load balancer besides the default ones";
        return Err(errors::too_many("TooManyCertificates", CERTIFICATES_MAX, what));
    }
    Ok(wire::AddListenerCertificatesOutput { certificates: added })
}

/// RemoveListenerCertificates. One that the listener does not show is no error.
///
/// # Errors
/// `ListenerNotFound`, `OperationNotPermitted` for the default certificate.
pub fn remove_listener_certificates(
    change: &mut Change<'_, '_>,
    input: &wire::RemoveListenerCertificatesInput,
) -> Result<wire::RemoveListenerCertificatesOutput, ApiError> {
    let row = names::listener(change.tables(), input.listener_arn.as_deref())?.clone();
    let mut certificates = shown(&row)?.to_vec();
    for arn in named(&input.certificates)? {
        let place = certificates.iter().skip(1).position(|known| known.as_str() == arn);
        match place {
            Some(place) => drop(certificates.remove(place + 1)),
            None if certificates.first().is_some_and(|default| default.as_str() == arn) => {
                let message = format!("Certificate '{arn}' is the listener's default one and cannot be removed");
                return Err(errors::operation_not_permitted(message));
            }
            None => {}
        }
    }
    change.update(row.arn.as_str(), |row: &mut Listener| {
        if let Some(tls) = &mut row.tls {
            tls.certificates = certificates;
        }
    });
    Ok(wire::RemoveListenerCertificatesOutput {})
}

/// DescribeListenerCertificates: the default one first.
///
/// # Errors
/// `ListenerNotFound`, `ValidationError` for a marker of another make.
pub fn describe_listener_certificates(
    call: &Call<'_>,
    input: &wire::DescribeListenerCertificatesInput,
) -> Result<wire::DescribeListenerCertificatesOutput, ApiError> {
    let row = names::listener(call.tables, input.listener_arn.as_deref())?;
    let certificates = row.tls.as_ref().map(|tls| tls.certificates.as_slice()).unwrap_or_default();
    let placed: Vec<(usize, &CertificateArn)> = certificates.iter().enumerate().collect();
    let pager = pager(input.marker.as_deref(), input.page_size);
    let (page, next_marker) = page::page(placed, pager, |(place, _)| format!("{place:05}"))?;
    let certificates = page.into_iter().map(|(place, arn)| listed(arn, place == 0)).collect();
    Ok(wire::DescribeListenerCertificatesOutput { certificates, next_marker })
}
