//! Certificates made for one test, and clients and servers that speak TLS.

use crate::support::*;
use elastane_domain::routing::{Certificate, ClientAuth, Listener, Protocol, TlsSettings};
use elastane_domain::secret::SecretText;
use elastane_proxy::Count;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// A certificate with its key.
pub struct Identity {
    pub chain_pem: String,
    pub key_pem: String,
}

impl Identity {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).map(Result::unwrap).collect()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).unwrap()
    }

    /// The row of it that a listener names.
    pub fn certificate(&self, arn: &str, names: &[&str]) -> Certificate {
        Certificate {
            arn: arn.into(),
            chain_pem: self.chain_pem.clone(),
            key_pem: SecretText::new(self.key_pem.clone()),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

/// Issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// What a certificate says.
pub struct Leaf<'a> {
    pub name: &'a str,
    pub serial: u64,
    /// Last year of its validity, which starts in 2000.
    pub until: i32,
    pub algorithm: &'static SignatureAlgorithm,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Leaf { name: "client", serial: 0x1234, until: 2090, algorithm: &rcgen::PKCS_ECDSA_P256_SHA256 }
    }
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::CountryName, "US");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, leaf: &Leaf<'_>) -> Identity {
        let mut params = CertificateParams::new(vec![leaf.name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, leaf.name);
        params.distinguished_name.push(DnType::OrganizationName, "Elastane, tests");
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(leaf.until, 1, 1);
        let key = KeyPair::generate_for(leaf.algorithm).unwrap();
        let chain_pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { chain_pem, key_pem: key.serialize_pem() }
    }

    pub fn named(&self, name: &str) -> Identity {
        self.issue(&Leaf { name, ..Leaf::default() })
    }

    /// A revocation list with these serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2010, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2010, 1, 1),
            next_update: rcgen::date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A listener on a port that the system picks, with these certificates.
pub fn https(certificates: &[&str]) -> Listener {
    Listener {
        protocol: Protocol::Https,
        tls: Some(TlsSettings {
            policy: "ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned(),
            certificates: certificates.iter().map(|arn| (*arn).into()).collect(),
            client_auth: ClientAuth::Off,
            alpn: Vec::new(),
        }),
        ..listener("arn:listener")
    }
}

/// A world whose only listener speaks TLS with one certificate, `a.test`.
pub fn tls_world(threads: usize, servers: &[&Server]) -> World {
    let mut world = World::with(threads, servers);
    secure(&mut world);
    world
}

/// Has the world's listener speak TLS with one certificate, `a.test`.
pub fn secure(world: &mut World) {
    let identity = Authority::new("Authority").named("a.test");
    world.certificates = vec![identity.certificate("arn:certificate/a", &["a.test"])];
    world.balancer.listeners = vec![https(&["arn:certificate/a"])];
    world.apply();
}

/// Believes every server; `schemes` are what it says it can verify.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
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
        self.schemes.clone()
    }
}

/// What a client offers.
#[derive(Default)]
pub struct Offer<'a> {
    pub versions: &'a [&'static SupportedProtocolVersion],
    pub schemes: &'a [SignatureScheme],
    pub alpn: &'a [&'a [u8]],
    pub identity: Option<&'a Identity>,
}

impl Offer<'_> {
    pub fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let all = provider.signature_verification_algorithms.supported_schemes();
        let schemes = if self.schemes.is_empty() { all } else { self.schemes.to_vec() };
        let versions = if self.versions.is_empty() { rustls::ALL_VERSIONS } else { self.versions };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer { provider, schemes }));
        let mut config = match self.identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

/// A connection of a client that speaks TLS.
pub type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// Connects and shakes hands.
pub fn try_tls(address: SocketAddrV4, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<TlsClient> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), connect(address));
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

/// A handshake that succeeds.
pub fn tls(address: SocketAddrV4, config: &Arc<ClientConfig>, name: &str) -> TlsClient {
    try_tls(address, config, name).unwrap()
}

/// How often something was counted for the load balancer, once it is `least`
/// or more: some things are counted after the client saw them.
pub fn counted(world: &World, count: Count, least: u64) -> u64 {
    let started = Instant::now();
    let mut sum = 0;
    loop {
        sum += world.proxy.collect().load_balancers[0].report.count(count);
        if sum >= least {
            return sum;
        }
        assert!(started.elapsed() < PATIENCE, "{sum} of {least}");
        std::thread::yield_now();
    }
}

/// Sends a request and reads the response, which states its length.
pub fn try_ask(stream: &mut (impl Read + Write), request: &str) -> std::io::Result<Response> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Response { status: head[9..12].parse().unwrap(), head, body })
}

/// A request that is answered.
pub fn ask(stream: &mut (impl Read + Write), request: &str) -> Response {
    try_ask(stream, request).unwrap()
}

/// What a target that speaks TLS is configured with.
pub fn server_config(alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let identity = Authority::new("Targets").named("target.internal");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}
