//! Rows of certificates: AWS Certificate Manager's, by region, and IAM's
//! server certificates, which belong to the account as a whole.

use super::{Tags, row};
use elastane_domain::id::{AccountId, CertificateArn};
use elastane_domain::secret::SecretText;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A certificate of ACM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its ARN; ends in `certificate/<uuid>`.
    pub arn: CertificateArn,
    /// Where it comes from.
    pub origin: CertificateOrigin,
    /// The first of its names.
    pub domain_name: String,
    /// All of its names, the first one included.
    pub names: Vec<String>,
    /// The certificate and key; `None` while it is being issued or after that failed.
    pub material: Option<CertificateMaterial>,
    /// When it was requested or first imported.
    pub created_at: Time,
    /// When it was imported last.
    pub imported_at: Option<Time>,
    /// When it was issued.
    pub issued_at: Option<Time>,
    /// `IdempotencyToken` of the request.
    pub token: Option<String>,
    /// `ValidationMethod`: `DNS` or `EMAIL`.
    pub validation: Option<String>,
    /// `KeyAlgorithm`, such as `RSA_2048`.
    pub key_algorithm: String,
    /// `CertificateTransparencyLoggingPreference`, as given.
    pub transparency: Option<String>,
    /// `Export`: whether the private key may be given out.
    pub exportable: bool,
    /// Whether the private key was given out since the certificate was issued.
    pub exported: bool,
    /// `ValidationDomain` of names for which another one than their own was given.
    pub validation_domains: BTreeMap<String, String>,
    /// When it was renewed last.
    pub renewed_at: Option<Time>,
    /// Tags.
    pub tags: Tags,
}
row!(Certificate, |row| row.arn.to_string());

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateOrigin {
    /// `IMPORTED`.
    Imported,
    /// `AMAZON_ISSUED`: by the installation's own authority.
    Issued,
}

/// A certificate with its private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateMaterial {
    /// The certificate as PEM.
    pub body_pem: String,
    /// The chain as PEM, if there is one.
    pub chain_pem: Option<String>,
    /// The private key as PEM.
    pub key_pem: SecretText,
    /// Start of its validity.
    pub not_before: Time,
    /// End of its validity.
    pub not_after: Time,
    /// Its serial number, as `xx:xx:…`.
    pub serial: String,
    /// Its subject's distinguished name.
    pub subject: String,
    /// Its issuer's common name.
    pub issuer: String,
    /// Its signature algorithm, such as `SHA256WITHRSA`.
    pub signature_algorithm: String,
}

/// Settings of ACM in one region: at most one row, of the id `acm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertificateSettings {
    /// `ExpiryEvents.DaysBeforeExpiry`.
    pub days_before_expiry: i32,
}
row!(CertificateSettings, |_row| "acm".to_string());

/// A server certificate of IAM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerCertificate {
    /// Its name, unique within the account.
    pub name: String,
    /// `ASCA…`.
    pub id: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// The certificate and key.
    pub material: CertificateMaterial,
    /// When it was uploaded.
    pub uploaded_at: Time,
    /// Tags.
    pub tags: Tags,
}
row!(ServerCertificate, |row| row.name.clone());

impl ServerCertificate {
    /// Its ARN in this account.
    pub fn arn(&self, account: &AccountId) -> CertificateArn {
        CertificateArn::from(format!("arn:aws:iam::{account}:server-certificate{}{}", self.path, self.name))
    }
}
