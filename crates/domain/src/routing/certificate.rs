//! Certificates and trust stores as the data plane needs them.

use crate::id::{CertificateArn, TrustStoreArn};
use crate::secret::SecretText;
use serde::{Deserialize, Serialize};

/// A certificate with its private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The certificate, then its chain, as PEM.
    pub chain_pem: String,
    /// The private key as PEM.
    pub key_pem: SecretText,
    /// Lower-case names that it is for; `*.` stands for one label.
    pub names: Vec<String>,
}

/// Who may have issued the certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStore {
    /// Its ARN.
    pub arn: TrustStoreArn,
    /// Certificates of authorities as PEM.
    pub authorities_pem: String,
    /// Certificate revocation lists as PEM.
    pub revocations_pem: Vec<String>,
}
