//! Certificates that clients show: whom a listener believes, and what it
//! tells the targets about them.

use super::x509;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elastane_domain::routing::{ClientAuth, TrustStore};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::fmt::Write;
use std::sync::Arc;

/// Longest chain that is passed to targets, and most bytes of it: as headers
/// it must fit what servers take.
const CHAIN_MAX: usize = 5;
const CHAIN_BYTES_MAX: usize = 16 * 1024;

/// What a client's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The client's own certificate.
    pub(crate) leaf: x509::Fields,
}

/// How the certificates of a listener's clients are judged; `None` where none
/// are asked for. The error says what is wrong with the trust store.
pub(super) fn verifier(
    auth: &ClientAuth,
    store: Option<&TrustStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    match auth {
        ClientAuth::Off => Ok(None),
        ClientAuth::Passthrough => Ok(Some(Arc::new(Unverified { provider: provider.clone() }))),
        ClientAuth::Verify { ignore_expiry, advertise, .. } => {
            let store = store.ok_or("the trust store is missing")?;
            let inner = trusting(store, *advertise, provider)?;
            Ok(Some(if *ignore_expiry { Arc::new(Timeless { inner }) } else { inner }))
        }
    }
}

fn trusting(
    store: &TrustStore,
    advertise: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(store.authorities_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("an authority cannot be read: {error}"))?;
        roots.add(certificate).map_err(|error| format!("an authority cannot be used: {error}"))?;
    }
    let mut revocations = Vec::new();
    for list in &store.revocations_pem {
        for list in CertificateRevocationListDer::pem_slice_iter(list.as_bytes()) {
            revocations.push(list.map_err(|error| format!("a revocation list cannot be read: {error}"))?);
        }
    }
    // Lists need not be there for all authorities.
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .with_crls(revocations)
        .allow_unknown_revocation_status();
    if !advertise {
        builder = builder.clear_root_hint_subjects();
    }
    builder.build().map_err(|error| error.to_string())
}

/// Verifies as of a time at which the client's certificates were valid, if
/// they expired since.
#[derive(Debug)]
struct Timeless {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Timeless {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(leaf, others, now);
        let Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) =
            verified
        else {
            return verified;
        };
        let ends =
            std::iter::once(leaf).chain(others).filter_map(|certificate| Some(x509::read(certificate)?.not_after));
        let end = ends.min().and_then(|end| u64::try_from(end).ok());
        match end {
            Some(end) => self.inner.verify_client_cert(
                leaf,
                others,
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(end)),
            ),
            None => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate, or none: targets judge. That the client has the
/// certificate's key is still proven.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Unverified {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes: usize = leaf.len() + others.iter().map(|certificate| certificate.len()).sum::<usize>();
        match others.len() < CHAIN_MAX && bytes <= CHAIN_BYTES_MAX {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(Error::General("the client's certificates are too long".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The headers that tell targets about a client's certificates, with
/// lower-case names, and what logs say of them.
pub(super) fn describe(
    auth: &ClientAuth,
    chain: &[CertificateDer<'_>],
) -> (Vec<(&'static str, String)>, Option<ClientCertificate>) {
    let Some(leaf) = chain.first() else {
        return (Vec::new(), None);
    };
    let fields = x509::read(leaf);
    let headers = match (auth, &fields) {
        (ClientAuth::Off, _) | (ClientAuth::Verify { .. }, None) => Vec::new(),
        (ClientAuth::Passthrough, _) => {
            vec![("x-amzn-mtls-clientcert", chain.iter().map(|certificate| encoded_pem(certificate)).collect())]
        }
        (ClientAuth::Verify { .. }, Some(fields)) => {
            vec![
                ("x-amzn-mtls-clientcert-serial-number", fields.serial.clone()),
                ("x-amzn-mtls-clientcert-issuer", fields.issuer.clone()),
                ("x-amzn-mtls-clientcert-subject", fields.subject.clone()),
                ("x-amzn-mtls-clientcert-validity", fields.validity()),
                ("x-amzn-mtls-clientcert-leaf", encoded_pem(leaf)),
            ]
        }
    };
    (headers, fields.map(|leaf| ClientCertificate { leaf }))
}

/// A certificate as PEM, URL-encoded with `+`, `=` and `/` left as they are.
fn encoded_pem(certificate: &[u8]) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(certificate);
    let mut pem = String::with_capacity(text.len() + text.len() / LINE + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(LINE) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    let mut out = String::with_capacity(pem.len() + 64);
    for byte in pem.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~+=/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a text takes all");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line ends and blanks are encoded, the digits of base64 are not.
    #[test]
    fn pem_in_a_header() {
        assert_eq!(encoded_pem(b"f"), "-----BEGIN%20CERTIFICATE-----%0AZg==%0A-----END%20CERTIFICATE-----%0A");
    }
}
