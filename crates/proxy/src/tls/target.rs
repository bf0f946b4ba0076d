//! TLS towards targets. Their certificates are not verified, as ELB's
//! documentation promises; the network keeps strangers away.

use crate::stream::Stream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Sessions that are remembered for all targets together.
const SESSIONS_MAX: usize = 4096;

/// What is spoken inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// HTTP/1.1; nothing is offered by ALPN.
    Http1,
    /// HTTP/2.
    Http2,
    /// Whatever the client speaks.
    Bytes,
}

/// Shakes hands with a target on a new connection. Not limited in time.
pub(crate) async fn connect(stream: TcpStream, inside: Inside) -> io::Result<Stream> {
    static PLAIN: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(&[]));
    static HTTP2: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(&[b"h2"]));
    let config = match inside {
        Inside::Http1 | Inside::Bytes => &PLAIN,
        Inside::Http2 => &HTTP2,
    };
    // An address gives no SNI; sessions are remembered by it.
    let name = match stream.peer_addr()?.ip() {
        IpAddr::V4(address) => ServerName::IpAddress(address.into()),
        IpAddr::V6(address) => ServerName::IpAddress(address.into()),
    };
    let stream = TlsConnector::from((*config).clone()).connect(name, stream).await?;
    if inside == Inside::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the target does not speak HTTP/2"));
    }
    Ok(Stream::Tls(Box::new(stream.into())))
}

fn config(alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for all versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyTarget { provider }))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    config.enable_sni = false;
    Arc::new(config)
}

/// Believes every certificate; that the target has its key is still proven.
#[derive(Debug)]
struct AnyTarget {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyTarget {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
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
