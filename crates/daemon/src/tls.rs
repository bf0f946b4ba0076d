//! TLS on the main port: the same port answers both, told apart by the first
//! byte of a connection. The certificate is the installation's authority's
//! (`elastane ca` prints what to trust) or one that is given.

use crate::credentials::random_bytes;
use crate::data_dir::Problem;
use elastane_domain::time::{Span, Time};
use elastane_engine::authority::{Authority, LeafKey};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, RwLock};
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS connection: a handshake record (RFC 8446, 5.1).
pub const FIRST_BYTE: u8 = 22;

/// An own certificate is replaced when it has less than this left.
const RENEW_BEFORE: Span = Span::from_secs(30 * 86_400);

/// Accepts TLS connections.
pub struct Tls {
    now: RwLock<Accepting>,
    /// What own certificates are issued with and for; `None` for a given one.
    own: Option<(Arc<Authority>, Vec<String>)>,
}

struct Accepting {
    acceptor: TlsAcceptor,
    until: Time,
}

impl Tls {
    /// With certificates of the installation's authority, for this machine's
    /// names and the address that it listens at.
    pub fn own(authority: Arc<Authority>, listen: IpAddr, wall: Time) -> Result<Tls, Problem> {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_string).into();
        names.extend(rustix::system::uname().nodename().to_str().ok().filter(|name| is_host(name)).map(str::to_string));
        if !listen.is_unspecified() {
            names.push(listen.to_string());
        }
        names.dedup();
        let now = RwLock::new(issue(&authority, &names, wall)?);
        Ok(Tls { now, own: Some((authority, names)) })
    }

    /// With a given certificate and its chain, and its key, both PEM.
    pub fn given(certificate: &Path, key: &Path) -> Result<Tls, Problem> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|err| Problem::because(format!("cannot read {}", path.display()), err))
        };
        let acceptor = acceptor(&read(certificate)?, &read(key)?)?;
        Ok(Tls { now: RwLock::new(Accepting { acceptor, until: Time(i64::MAX) }), own: None })
    }

    /// What accepts a connection now; an own certificate that is about to
    /// expire is replaced first.
    pub fn acceptor(&self, wall: Time) -> TlsAcceptor {
        let current = self.now.read().expect("nothing panics while it is held");
        let acceptor = current.acceptor.clone();
        let due = wall + RENEW_BEFORE >= current.until;
        drop(current);
        let Some((authority, names)) = self.own.as_ref().filter(|_| due) else { return acceptor };
        match issue(authority, names, wall) {
            Ok(renewed) => {
                let acceptor = renewed.acceptor.clone();
                *self.now.write().expect("nothing panics while it is held") = renewed;
                acceptor
            }
            Err(problem) => {
                eprintln!("elastane: the certificate of the main port cannot be renewed: {problem}");
                acceptor
            }
        }
    }
}

/// Whether a machine's name can stand in a certificate.
fn is_host(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

fn issue(authority: &Authority, names: &[String], wall: Time) -> Result<Accepting, Problem> {
    let mut secret = [0; 32];
    random_bytes(&mut secret)?;
    let made = authority
        .issue(names, LeafKey::P256, secret, wall)
        .map_err(|err| Problem::because("cannot issue a certificate for the main port", err))?;
    let chain = format!("{}{}", made.body_pem, made.chain_pem.unwrap_or_default());
    let acceptor = acceptor(chain.as_bytes(), made.key_pem.0.as_bytes())?;
    Ok(Accepting { acceptor, until: made.not_after })
}

fn acceptor(chain: &[u8], key: &[u8]) -> Result<TlsAcceptor, Problem> {
    let unusable = |err: String| Problem::new(format!("the certificate of the main port cannot be used: {err}"));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|err| unusable(err.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|err| unusable(err.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| unusable(err.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|err| unusable(err.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Arc<Authority> {
        Arc::new(Authority::make([7; 32], Time(1_767_225_600_000)).expect("made"))
    }

    /// An own certificate is kept until it is about to expire.
    #[test]
    fn own_certificates_are_renewed() {
        let start = Time(1_767_225_600_000);
        let tls = Tls::own(authority(), [127, 0, 0, 1].into(), start).expect("issued");
        let until = |tls: &Tls| tls.now.read().expect("held by nobody").until;
        let first = until(&tls);
        let _ = tls.acceptor(start + Span::from_secs(86_400));
        assert_eq!(until(&tls), first);
        let _ = tls.acceptor(Time(first.0) + Span::from_secs(-86_400));
        assert!(until(&tls) > first);
    }

    /// What is no certificate is refused with a reason; machines' odd names are left out.
    #[test]
    fn what_cannot_be_used() {
        assert!(acceptor(b"", b"").is_err());
        assert!(Tls::given(Path::new("/nonexistent/a.pem"), Path::new("/nonexistent/b.pem")).is_err());
        for (name, fine) in [("web-1.example", true), ("", false), ("a b", false), ("ä", false)] {
            assert_eq!(is_host(name), fine, "{name}");
        }
    }
}
