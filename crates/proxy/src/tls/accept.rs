//! Handshakes with clients: bounded in time and number, and what is known of
//! a client once its handshake is over.

use super::config::{ListenerTls, suite_name};
use super::mutual::{self, ClientCertificate};
use crate::http::headers::ClientTls;
use crate::stream::Stream;
use rustls::server::Acceptor;
use rustls::{CertificateError, HandshakeKind, ProtocolVersion};
use std::io;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// Time for a handshake: who is slower holds a place for nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes of one thread that wait for their clients at once. Each holds
/// some 20 KB, and half-open ones are what floods are made of.
pub(crate) const HANDSHAKES_MAX: usize = 2048;
/// What logs show instead of a certificate when a session went on.
const SESSION_REUSED: &str = "session-reused";

/// A client whose handshake succeeded.
pub(crate) struct Handshaken {
    /// The connection.
    pub(crate) stream: Stream,
    /// What requests are told about it.
    pub(crate) client: ClientTls,
    /// The client chose HTTP/2.
    pub(crate) is_http2: bool,
    /// What only logs are told about it.
    pub(crate) facts: HandshakeFacts,
}

/// What the connection log says of a handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandshakeFacts {
    /// From the first byte to the last.
    pub(crate) took: Duration,
    /// The named group of the key exchange.
    pub(crate) key_exchange: Option<String>,
    /// The certificate that the client was to be shown.
    pub(crate) certificate: String,
    /// What was agreed on to be spoken inside TLS (ALPN).
    pub(crate) protocol: Option<Vec<u8>>,
    /// What the client offered to speak.
    pub(crate) protocols_offered: Vec<Vec<u8>>,
    /// The certificate that the client showed.
    pub(crate) client_certificate: Option<ClientCertificate>,
    /// Whether a certificate was asked of the client, and how that ended: `Success` or
    /// `Failed:…`.
    pub(crate) verify_status: Option<&'static str>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The client did not finish in time.
    Late,
    /// The client went away, or said something that is not TLS.
    Broken(io::Error),
    /// The listener has no certificate that can be used.
    NoCertificate,
}

impl HandshakeError {
    /// What the connection log says of a client's certificate; `None` when it
    /// failed for another reason.
    pub(crate) fn verify_status(&self) -> Option<&'static str> {
        let HandshakeError::Broken(error) = self else {
            return None;
        };
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::NoCertificatesPresented => Some("Failed:ClientCertRejected"),
            rustls::Error::InvalidCertificate(error) => Some(match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "Failed:ClientCertExpired",
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "Failed:ClientCertNotYetValid"
                }
                CertificateError::Revoked => "Failed:ClientCertCrlHit",
                CertificateError::UnknownIssuer => "Failed:ClientCertUntrusted",
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                    "Failed:ClientCertPurposeInvalid"
                }
                _ => "Failed:ClientCertInvalid",
            }),
            _ => None,
        }
    }
}

/// Shakes hands with a client.
pub(crate) async fn handshake(tls: &ListenerTls, stream: TcpStream) -> Result<Handshaken, HandshakeError> {
    let started = Instant::now();
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, shake(tls, stream, started)).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::Late),
    }
}

async fn shake(tls: &ListenerTls, stream: TcpStream, started: Instant) -> Result<Handshaken, HandshakeError> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(HandshakeError::Broken)?;
    let hello = start.client_hello();
    let place = tls.by_name.choose(hello.server_name(), hello.signature_schemes());
    let server_name = hello.server_name().map(str::to_owned);
    let protocols_offered = hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect()).unwrap_or_default();
    let served = place.map(|place| &tls.certificates[place]).ok_or(HandshakeError::NoCertificate)?;
    let stream = start.into_stream(served.config.clone()).await.map_err(HandshakeError::Broken)?;
    let (_, connection) = stream.get_ref();
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let chain = connection.peer_certificates().unwrap_or_default();
    let (headers, client_certificate) = mutual::describe(&tls.auth, chain);
    let facts = HandshakeFacts {
        took: started.elapsed(),
        key_exchange: connection
            .negotiated_key_exchange_group()
            .map(|group| format!("{:?}", group.name()).to_ascii_lowercase()),
        certificate: served.arn.as_str().to_owned(),
        protocol: connection.alpn_protocol().map(<[u8]>::to_vec),
        protocols_offered,
        verify_status: client_certificate.is_some().then_some("Success"),
        client_certificate,
    };
    let client = ClientTls {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        cipher: connection.negotiated_cipher_suite().map_or("-", suite_name),
        server_name,
        certificate_arn: Some(if resumed { SESSION_REUSED } else { served.arn.as_str() }.to_owned()),
        headers,
    };
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    Ok(Handshaken { stream: Stream::Tls(Box::new(stream.into())), client, is_http2, facts })
}
