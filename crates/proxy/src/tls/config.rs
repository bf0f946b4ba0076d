//! From a snapshot to what listeners need for handshakes. Made on the
//! control side, once for each change; threads share the result, and
//! connections that are open keep the one they were made with.

use super::choice::{ByName, KeyKind};
use super::mutual;
use elastane_domain::id::{CertificateArn, ListenerArn};
use elastane_domain::routing::{
    Certificate, ClientAuth, Listener, LoadBalancer, Protocol, Snapshot, TlsSettings, TrustStore,
};
use elastane_domain::tls::{Supported, security_policy};
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SignatureAlgorithm, SupportedCipherSuite, SupportedProtocolVersion};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Tickets that a client of TLS 1.3 gets: browsers open a few connections at once.
const TICKETS: usize = 2;

/// How a listener shakes hands.
pub(crate) struct ListenerTls {
    /// In the order of the listener's certificates; the first is the default.
    pub(super) certificates: Vec<Served>,
    pub(super) by_name: ByName,
    pub(super) auth: ClientAuth,
}

impl ListenerTls {
    /// One that no handshake succeeds with.
    fn closed() -> ListenerTls {
        ListenerTls { certificates: Vec::new(), by_name: ByName::default(), auth: ClientAuth::Off }
    }
}

/// One certificate with the configuration that serves it.
pub(super) struct Served {
    pub(super) arn: CertificateArn,
    pub(super) config: Arc<ServerConfig>,
}

/// What a [`ListenerTls`] was made of.
#[derive(Clone, PartialEq)]
struct Ingredients {
    settings: TlsSettings,
    alpn: Vec<Vec<u8>>,
    certificates: Vec<Arc<Certificate>>,
    trust_store: Option<Arc<TrustStore>>,
}

impl Ingredients {
    /// Whether a session of `other` may go on here: nobody may skip a check
    /// of client certificates that changed meanwhile.
    fn shares_sessions(&self, other: &Ingredients) -> bool {
        self.settings.client_auth == other.settings.client_auth && self.trust_store == other.trust_store
    }
}

struct Entry {
    made_of: Ingredients,
    tickets: Option<Arc<dyn ProducesTickets>>,
    tls: Arc<ListenerTls>,
}

/// Remembers what was made, so that a snapshot costs only what changed.
#[derive(Default)]
pub(crate) struct Book(HashMap<ListenerArn, Entry>);

impl Book {
    /// What the listeners of a snapshot need, by listener; those that do not
    /// speak TLS are not in it.
    pub(crate) fn compile(&mut self, snapshot: &Snapshot) -> HashMap<ListenerArn, Arc<ListenerTls>> {
        let certificates: BTreeMap<_, _> = snapshot.certificates.iter().map(|row| (&row.arn, row)).collect();
        let mut before = std::mem::take(&mut self.0);
        let mut closed = HashMap::new();
        for balancer in &snapshot.load_balancers {
            for listener in &balancer.listeners {
                let Some(settings) = &listener.tls else {
                    if matches!(listener.protocol, Protocol::Https | Protocol::Tls) {
                        // What should be inside TLS is never served in clear text.
                        closed.insert(listener.arn.clone(), Arc::new(ListenerTls::closed()));
                    }
                    continue;
                };
                let made_of = Ingredients {
                    alpn: alpn(settings, listener, balancer),
                    certificates: settings
                        .certificates
                        .iter()
                        .filter_map(|arn| certificates.get(arn).map(|row| (*row).clone()))
                        .collect(),
                    trust_store: trust_store(settings, snapshot),
                    settings: settings.clone(),
                };
                let entry = match before.remove(&listener.arn) {
                    Some(entry) if entry.made_of == made_of => entry,
                    old => make(&listener.arn, made_of, old),
                };
                self.0.insert(listener.arn.clone(), entry);
            }
        }
        closed.extend(self.0.iter().map(|(arn, entry)| (arn.clone(), entry.tls.clone())));
        closed
    }
}

fn trust_store(settings: &TlsSettings, snapshot: &Snapshot) -> Option<Arc<TrustStore>> {
    match &settings.client_auth {
        ClientAuth::Off | ClientAuth::Passthrough => None,
        ClientAuth::Verify { trust_store, .. } => {
            snapshot.trust_stores.iter().find(|store| store.arn == *trust_store).cloned()
        }
    }
}

/// What is offered by ALPN. An application load balancer's listeners follow
/// its own attribute; network load balancers' follow their `AlpnPolicy`.
fn alpn(settings: &TlsSettings, listener: &Listener, balancer: &LoadBalancer) -> Vec<Vec<u8>> {
    let names: Vec<&str> = match listener.protocol {
        Protocol::Https if balancer.options.http2 => vec!["h2", "http/1.1"],
        Protocol::Https => vec!["http/1.1"],
        _ => settings.alpn.iter().flat_map(|name| alpn_policy(name)).collect(),
    };
    names.into_iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn alpn_policy(name: &str) -> Vec<&str> {
    match name {
        "None" => vec![],
        "HTTP1Only" => vec!["http/1.1"],
        "HTTP2Only" => vec!["h2"],
        "HTTP2Optional" => vec!["http/1.1", "h2"],
        "HTTP2Preferred" => vec!["h2", "http/1.1"],
        protocol => vec![protocol],
    }
}

fn make(listener: &ListenerArn, made_of: Ingredients, old: Option<Entry>) -> Entry {
    let kept = old.filter(|old| old.made_of.shares_sessions(&made_of)).and_then(|old| old.tickets);
    // Without tickets handshakes only take longer.
    let tickets = kept.or_else(|| Ticketer::new().ok());
    let mut tls = ListenerTls { auth: made_of.settings.client_auth.clone(), ..ListenerTls::closed() };
    if let Err(trouble) = fill(&mut tls, &made_of, tickets.as_ref()) {
        eprintln!("elastane: clients of {listener} are refused: {trouble}");
        tls = ListenerTls::closed();
    }
    Entry { made_of, tickets, tls: Arc::new(tls) }
}

/// Makes the configurations. The error is why there can be no handshake at all.
fn fill(
    tls: &mut ListenerTls,
    made_of: &Ingredients,
    tickets: Option<&Arc<dyn ProducesTickets>>,
) -> Result<(), String> {
    let settings = &made_of.settings;
    let policy = security_policy(&settings.policy).ok_or_else(|| format!("no security policy {}", settings.policy))?;
    let supported = policy.supported();
    let provider = Arc::new(provider(&supported));
    let versions = versions(&supported);
    let verifier = mutual::verifier(&settings.client_auth, made_of.trust_store.as_deref(), &provider)?;
    let mut kinds = Vec::new();
    for certificate in &made_of.certificates {
        let key = match certified_key(certificate, &provider) {
            Ok(key) => key,
            Err(error) => {
                eprintln!("elastane: certificate {} cannot be used: {error}", certificate.arn);
                continue;
            }
        };
        let kind = match key.key.algorithm() {
            SignatureAlgorithm::RSA => KeyKind::Rsa,
            _ => KeyKind::Elliptic,
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&made_of.alpn);
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = if tickets.is_some() { TICKETS } else { 0 };
        if let Some(tickets) = tickets {
            config.ticketer = tickets.clone();
        }
        kinds.push((certificate.names.as_slice(), kind));
        tls.certificates.push(Served { arn: certificate.arn.clone(), config: Arc::new(config) });
    }
    tls.by_name = ByName::new(kinds);
    Ok(())
}

fn certified_key(certificate: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes()).collect();
    let chain = chain.map_err(|error| error.to_string())?;
    let key =
        PrivateKeyDer::from_pem_slice(certificate.key_pem.expose().as_bytes()).map_err(|error| error.to_string())?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())
}

/// The policy's cipher suites in its order, and key exchange.
fn provider(supported: &Supported) -> CryptoProvider {
    const CLASSICAL: [&dyn SupportedKxGroup; 3] = [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    const HYBRID: [&dyn SupportedKxGroup; 2] = [kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768];
    let hybrid = HYBRID.into_iter().filter(|_| supported.post_quantum);
    CryptoProvider {
        cipher_suites: supported.ciphers.iter().filter_map(|name| suite(name)).collect(),
        kx_groups: hybrid.chain(CLASSICAL).collect(),
        ..aws_lc_rs::default_provider()
    }
}

fn versions(supported: &Supported) -> Vec<&'static SupportedProtocolVersion> {
    let known = [(&rustls::version::TLS13, "TLSv1.3"), (&rustls::version::TLS12, "TLSv1.2")];
    known.into_iter().filter(|(_, name)| supported.protocols.contains(name)).map(|(version, _)| version).collect()
}

/// The suites that both sides of this module know, by OpenSSL's names.
const SUITES: [(&str, SupportedCipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

fn suite(name: &str) -> Option<SupportedCipherSuite> {
    SUITES.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite)
}

/// OpenSSL's name of a suite.
pub(super) fn suite_name(suite: SupportedCipherSuite) -> &'static str {
    SUITES.iter().find(|(_, known)| known.suite() == suite.suite()).map_or("-", |(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::tls::security_policies;

    /// Every cipher that the domain says is offered exists here.
    #[test]
    fn all_supported_suites_are_known() {
        for policy in security_policies() {
            let supported = policy.supported();
            assert_eq!(provider(&supported).cipher_suites.len(), supported.ciphers.len(), "{}", policy.name);
            assert_eq!(versions(&supported).len(), supported.protocols.len(), "{}", policy.name);
        }
    }

    /// The policies of network load balancers.
    #[test]
    fn alpn_policies() {
        assert_eq!(alpn_policy("HTTP2Optional"), ["http/1.1", "h2"]);
        assert_eq!(alpn_policy("None"), [] as [&str; 0]);
        assert_eq!(alpn_policy("h2"), ["h2"]);
    }
}
