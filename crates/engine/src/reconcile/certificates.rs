//! Renewal of issued certificates. As on AWS a certificate keeps its ARN, and
//! only one that somebody has use for is renewed: it is on a listener, or its
//! key was given out (ACM User Guide, "Managed certificate renewal").

use super::wake_at;
use crate::authority::{IssueError, LeafKey};
use crate::row::{Certificate, CertificateOrigin};
use crate::state::{Tables, Tx};
use elastane_domain::id::{CertificateArn, LoadBalancerArn};
use elastane_domain::time::{Span, Time};
use std::collections::BTreeSet;

/// So long before its end a certificate is renewed (ACM User Guide, likewise).
pub const RENEWAL_LEAD: Span = Span::from_secs(60 * 86_400);

/// One pass makes at most so many keys: an RSA key takes tenths of a second,
/// and calls wait meanwhile.
const RENEWALS_A_PASS: usize = 1;

/// Load balancers whose listeners show a certificate.
pub fn used_by<'a>(tables: &'a Tables, arn: &CertificateArn) -> BTreeSet<&'a LoadBalancerArn> {
    let uses = tables
        .listeners
        .values()
        .filter(|listener| listener.tls.as_ref().is_some_and(|tls| tls.certificates.contains(arn)));
    uses.map(|listener| &listener.load_balancer).collect()
}

/// Whether a certificate is renewed in time.
pub fn is_renewed(tables: &Tables, row: &Certificate) -> bool {
    match row.origin {
        CertificateOrigin::Imported => false,
        CertificateOrigin::Issued => row.exported || !used_by(tables, &row.arn).is_empty(),
    }
}

/// Issues a certificate anew under its ARN.
///
/// # Errors
/// When the authority fails. `Ok(false)` where there is none, or no entropy.
pub fn renew(tx: &mut Tx<'_>, arn: &CertificateArn) -> Result<bool, IssueError> {
    let (Some(row), Some(authority)) = (tx.get::<Certificate>(arn.as_str()), tx.config.authority.clone()) else {
        return Ok(false);
    };
    let (Some(kind), Some(secret)) = (LeafKey::from_name(&row.key_algorithm), tx.rng.secret()) else {
        return Ok(false);
    };
    let now = tx.now;
    let material = authority.issue(&row.names, kind, secret, now)?;
    tx.update(arn.as_str(), |row: &mut Certificate| {
        row.material = Some(material);
        row.renewed_at = Some(now);
        row.exported = false;
    });
    Ok(true)
}

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    if tx.config.authority.is_none() || tx.config.entropy.is_none() {
        return;
    }
    let mut due = Vec::new();
    for row in tx.certificates.values() {
        let Some(material) = &row.material else { continue };
        // The authority's own end cannot be put off.
        let at = material.not_after + Span(-RENEWAL_LEAD.millis());
        let gains = tx.config.authority.as_ref().is_some_and(|authority| material.not_after < authority.not_after);
        if !gains || !is_renewed(tx.tables(), row) {
            continue;
        }
        if at <= tx.now {
            due.push(row.arn.clone());
        } else {
            wake_at(wake, at);
        }
    }
    if due.len() > RENEWALS_A_PASS {
        let soon = tx.now;
        wake_at(wake, soon);
    }
    for arn in due.into_iter().take(RENEWALS_A_PASS) {
        // An authority that fails now fails at the next look a minute later, too;
        // DescribeCertificate shows the certificate's end.
        let _ = renew(tx, &arn);
    }
}
