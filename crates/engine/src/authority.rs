//! The installation's own certificate authority: what Amazon's authorities
//! are to ACM. It issues at once, for any name, and is believed by those who
//! were given its certificate.
//!
//! It draws no random numbers and reads no clock: keys and serial numbers
//! come from secrets that the caller drew, times from the caller. Its own key
//! is ECDSA P-256 with deterministic nonces (RFC 6979), so the same call
//! makes the same certificate.

use crate::row::CertificateMaterial;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_domain::secret::SecretText;
use elastane_domain::time::{Span, Time};
use p256::ecdsa::signature::Signer;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rsa::pkcs1::EncodeRsaPublicKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt;

/// How long the authority's own certificate is valid.
const AUTHORITY_LIFE: Span = Span::from_secs(20 * 365 * 86_400);

/// How long an issued certificate is valid: 13 months (ACM User Guide,
/// "ACM certificate characteristics").
pub const CERTIFICATE_LIFE: Span = Span::from_secs(395 * 86_400);

/// Letters of base64 in one line of PEM.
const PEM_LINE: usize = 64;

/// Bytes of a serial number (RFC 5280, 4.1.2.2: at most 20).
const SERIAL_BYTES: usize = 16;

/// An authority, as it is kept between runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Its common name, which differs from installation to installation.
    pub name: String,
    /// Start of its validity.
    pub not_before: Time,
    /// End of its validity.
    pub not_after: Time,
    /// Its certificate as PEM: what clients are to trust.
    pub certificate_pem: String,
    /// Its private key as PEM.
    pub key_pem: SecretText,
}

/// Why nothing was issued: a key that cannot be read, or a name that does not
/// fit into a certificate.
#[derive(Debug)]
pub struct IssueError(Box<dyn Error + Send + Sync>);

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate cannot be issued")
    }
}

impl Error for IssueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}

fn failed(err: impl Error + Send + Sync + 'static) -> IssueError {
    IssueError(Box::new(err))
}

/// Keys that the authority makes certificates for: those of
/// RequestCertificate's public certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKey {
    /// `RSA_2048`.
    Rsa2048,
    /// `EC_prime256v1`.
    P256,
    /// `EC_secp384r1`.
    P384,
}

impl LeafKey {
    /// The kind of a `KeyAlgorithm`; `None` for those that public
    /// certificates are not issued with.
    pub fn from_name(name: &str) -> Option<LeafKey> {
        Some(match name {
            "RSA_2048" => LeafKey::Rsa2048,
            "EC_prime256v1" => LeafKey::P256,
            "EC_secp384r1" => LeafKey::P384,
            _ => return None,
        })
    }
}

/// The authority's key as rcgen wants it.
struct AuthorityKey {
    key: p256::ecdsa::SigningKey,
    point: Vec<u8>,
}

impl AuthorityKey {
    fn of(key: p256::SecretKey) -> AuthorityKey {
        let point = key.public_key().to_sec1_bytes().into_vec();
        AuthorityKey { key: key.into(), point }
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: p256::ecdsa::DerSignature = self.key.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

/// A key pair made for a certificate.
struct Made {
    public: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
    private_pem: String,
}

impl PublicKeyData for Made {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

fn make_key(kind: LeafKey, random: &mut ChaCha20Rng) -> Result<Made, IssueError> {
    Ok(match kind {
        LeafKey::Rsa2048 => {
            let key = rsa::RsaPrivateKey::new(random, 2048).map_err(failed)?;
            Made {
                public: key.to_public_key().to_pkcs1_der().map_err(failed)?.into_vec(),
                algorithm: &rcgen::PKCS_RSA_SHA256,
                private_pem: key.to_pkcs8_pem(LineEnding::LF).map_err(failed)?.to_string(),
            }
        }
        LeafKey::P256 => {
            let key = p256::SecretKey::random(random);
            Made {
                public: key.public_key().to_sec1_bytes().into_vec(),
                algorithm: &rcgen::PKCS_ECDSA_P256_SHA256,
                private_pem: key.to_pkcs8_pem(LineEnding::LF).map_err(failed)?.to_string(),
            }
        }
        LeafKey::P384 => {
            let key = p384::SecretKey::random(random);
            Made {
                public: key.public_key().to_sec1_bytes().into_vec(),
                algorithm: &rcgen::PKCS_ECDSA_P384_SHA384,
                private_pem: key.to_pkcs8_pem(LineEnding::LF).map_err(failed)?.to_string(),
            }
        }
    })
}

impl Authority {
    /// A new authority from 256 bits that nobody can guess. It is valid from
    /// `now`, which should be the wall clock's: clients compare with theirs.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn make(secret: [u8; 32], now: Time) -> Result<Authority, IssueError> {
        let mut random = ChaCha20Rng::from_seed(secret);
        let key = p256::SecretKey::random(&mut random);
        let key_pem = SecretText::new(key.to_pkcs8_pem(LineEnding::LF).map_err(failed)?.to_string());
        let name = format!("Elastane local authority {:08x}", random.next_u32());
        // Clocks of clients may be a little behind.
        let not_before = now.floor(Span::from_secs(86_400));
        let mut authority = Authority {
            name,
            not_before,
            not_after: not_before + AUTHORITY_LIFE,
            certificate_pem: String::new(),
            key_pem,
        };
        let key = AuthorityKey::of(key);
        let mut params = authority.own_params(&key);
        params.serial_number = Some(serial(&mut random));
        let certificate = params.self_signed(&key).map_err(failed)?;
        authority.certificate_pem = pem("CERTIFICATE", certificate.der());
        Ok(authority)
    }

    fn own_params(&self, key: &AuthorityKey) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.not_before = date(self.not_before);
        params.not_after = date(self.not_after);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Elastane");
        params.distinguished_name.push(DnType::CommonName, self.name.as_str());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.key_identifier_method = KeyIdMethod::PreSpecified(identifier(&key.point));
        params
    }

    /// Issues a certificate for `names` and addresses, the first of which becomes its
    /// subject, with a new key out of `secret`. Making an RSA key takes
    /// tenths of a second.
    ///
    /// It is valid since the authority is: service time may run ahead of the
    /// clocks of clients, who would else take it for one of the future.
    ///
    /// # Errors
    /// `IssueError` for names that are not ASCII, and when the authority's
    /// own key cannot be read.
    pub fn issue(
        &self,
        names: &[String],
        kind: LeafKey,
        secret: [u8; 32],
        now: Time,
    ) -> Result<CertificateMaterial, IssueError> {
        let mut random = ChaCha20Rng::from_seed(secret);
        let made = make_key(kind, &mut random)?;
        let key = p256::SecretKey::from_pkcs8_pem(self.key_pem.expose()).map_err(failed)?;
        let key = AuthorityKey::of(key);
        let not_after = (now + CERTIFICATE_LIFE).min(self.not_after);
        let subject = names.first().map(String::as_str).unwrap_or_default();
        let mut params = CertificateParams::default();
        params.not_before = date(self.not_before);
        params.not_after = date(not_after);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject);
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
            });
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if kind == LeafKey::Rsa2048 {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = KeyIdMethod::PreSpecified(identifier(&made.public));
        let serial = serial(&mut random);
        let shown = colons(serial.as_ref());
        params.serial_number = Some(serial);
        let issuer = Issuer::new(self.own_params(&key), key);
        let certificate = params.signed_by(&made, &issuer).map_err(failed)?;
        Ok(CertificateMaterial {
            body_pem: pem("CERTIFICATE", certificate.der()),
            chain_pem: Some(self.certificate_pem.clone()),
            key_pem: SecretText::new(made.private_pem),
            not_before: self.not_before,
            not_after: Time(not_after.seconds() * 1000),
            serial: shown,
            subject: format!("CN={subject}"),
            issuer: self.name.clone(),
            signature_algorithm: "SHA256WITHECDSA".to_string(),
        })
    }
}

/// A key's identifier: the first 160 bits of its SHA-256 (RFC 7093).
fn identifier(public: &[u8]) -> Vec<u8> {
    Sha256::digest(public)[..20].to_vec()
}

fn serial(random: &mut ChaCha20Rng) -> SerialNumber {
    let mut bytes = [0; SERIAL_BYTES];
    random.fill_bytes(&mut bytes);
    // Positive, and of full length.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// `0a:1b:…`, the form of serial numbers in ACM.
pub fn colons(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(":")
}

/// A point in time, in whole seconds, as rcgen wants it.
fn date(time: Time) -> time::OffsetDateTime {
    let seconds = u64::try_from(time.seconds()).unwrap_or(0);
    rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds)
}

/// DER as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(PEM_LINE) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_767_225_600_123);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    /// The same secrets and times make the same certificates, others make
    /// others; the authority survives being stored.
    #[test]
    fn issuing_repeats_itself() {
        let authority = Authority::make([1; 32], NOW).expect("made");
        assert_eq!(authority, Authority::make([1; 32], NOW).expect("made"));
        let stored = serde_json::to_string(&authority).expect("plain data");
        let authority: Authority = serde_json::from_str(&stored).expect("plain data");
        for kind in [LeafKey::P256, LeafKey::P384, LeafKey::Rsa2048] {
            let issue = |secret| authority.issue(&names(&["a.example", "*.b.example"]), kind, [secret; 32], NOW);
            let first = issue(2).expect("issued");
            assert_eq!(first, issue(2).expect("issued"));
            assert_ne!(first.body_pem, issue(3).expect("issued").body_pem);
            assert_eq!(first.not_after.seconds(), (NOW + CERTIFICATE_LIFE).seconds());
            assert!(first.key_pem.expose().starts_with("-----BEGIN PRIVATE KEY-----"), "{kind:?}");
        }
    }

    /// Nothing outlives the authority, and secrets are not shown.
    #[test]
    fn certificates_end_with_the_authority() {
        let authority = Authority::make([1; 32], NOW).expect("made");
        let late = authority.not_after;
        let made = authority.issue(&names(&["a.example"]), LeafKey::P256, [2; 32], late).expect("issued");
        assert_eq!(made.not_after, authority.not_after);
        assert!(!format!("{authority:?}{made:?}").contains("PRIVATE"));
        assert!(authority.issue(&names(&["ä.example"]), LeafKey::P256, [2; 32], NOW).is_err());
    }
}
