//! TLS on the main port: the same port answers both, told apart by the first
//! byte of a connection. The certificate is the installation's authority's
//! (`elastane ca` prints what to trust) or one that is given. Both are renewed
//! while the daemon runs: an own one is issued again, a given one is read again
//! when its files have changed.

use crate::credentials::random_bytes;
use crate::data_dir::Problem;
use elastane_domain::time::{Span, Time};
use elastane_engine::authority::{Authority, LeafKey};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS connection: a handshake record (RFC 8446, 5.1).
pub const FIRST_BYTE: u8 = 22;

/// An own certificate is replaced when it has less than this left.
const RENEW_BEFORE: Span = Span::from_secs(30 * 86_400);

/// A given certificate's files are looked at this often, when somebody comes.
const LOOK_EVERY: Span = Span::from_secs(60);

/// Accepts TLS connections.
pub struct Tls {
    now: RwLock<Accepting>,
    source: Source,
}

/// Where certificates come from.
enum Source {
    /// This authority issues them, for these names.
    Own(Arc<Authority>, Vec<String>),
    /// These files hold the chain and the key.
    Given(PathBuf, PathBuf),
}

struct Accepting {
    acceptor: TlsAcceptor,
    /// When to look for another.
    due: Time,
    /// What the given files were when they were read.
    files: Option<[Stamp; 2]>,
}

/// What tells a file from what it was before: its number, its length and when it was written.
type Stamp = (u64, u64, i64, i64);

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
        Ok(Tls { now, source: Source::Own(authority, names) })
    }

    /// With a given certificate and its chain, and its key, both PEM.
    pub fn given(certificate: &Path, key: &Path, wall: Time) -> Result<Tls, Problem> {
        let now = RwLock::new(read(certificate, key, wall)?);
        Ok(Tls { now, source: Source::Given(certificate.to_path_buf(), key.to_path_buf()) })
    }

    /// What accepts a connection now. An own certificate that is about to
    /// expire, and a given one whose files have changed, is replaced first;
    /// while that fails the old one serves on.
    pub fn acceptor(&self, wall: Time) -> TlsAcceptor {
        let current = self.now.read().expect("nothing panics while it is held");
        let (acceptor, due, files) = (current.acceptor.clone(), current.due, current.files);
        drop(current);
        if wall < due {
            return acceptor;
        }
        let (renewed, files) = match &self.source {
            Source::Own(authority, names) => (Some(issue(authority, names, wall)), None),
            Source::Given(certificate, key) => {
                let found = stamps(certificate, key);
                // Half of a pair may be there already: the other changes its stamp when it comes.
                let changed = found.is_some() && found != files;
                (changed.then(|| read(certificate, key, wall)), found)
            }
        };
        let renewed = renewed.map(|renewed| {
            renewed.unwrap_or_else(|problem| {
                eprintln!("elastane: the certificate of the main port cannot be renewed: {problem}");
                Accepting { acceptor: acceptor.clone(), due: wall + LOOK_EVERY, files }
            })
        });
        let mut now = self.now.write().expect("nothing panics while it is held");
        match renewed {
            Some(renewed) => *now = renewed,
            None => now.due = wall + LOOK_EVERY,
        }
        now.acceptor.clone()
    }
}

/// What a pair of files is at the moment; `None` while one is missing.
fn stamps(certificate: &Path, key: &Path) -> Option<[Stamp; 2]> {
    let stamp = |path: &Path| -> Option<Stamp> {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
    };
    Some([stamp(certificate)?, stamp(key)?])
}

/// A given certificate, from its files.
fn read(certificate: &Path, key: &Path, wall: Time) -> Result<Accepting, Problem> {
    let files = stamps(certificate, key);
    let read = |path: &Path| {
        std::fs::read(path).map_err(|err| Problem::because(format!("cannot read {}", path.display()), err))
    };
    let acceptor = acceptor(&read(certificate)?, &read(key)?)?;
    Ok(Accepting { acceptor, due: wall + LOOK_EVERY, files })
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
    let acceptor = acceptor(chain.as_bytes(), made.key_pem.expose().as_bytes())?;
    Ok(Accepting { acceptor, due: made.not_after - RENEW_BEFORE, files: None })
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
        let due = |tls: &Tls| tls.now.read().expect("held by nobody").due;
        let first = due(&tls);
        assert!(first > start + Span::from_secs(86_400));
        let _ = tls.acceptor(first + Span::from_secs(-1));
        assert_eq!(due(&tls), first);
        let _ = tls.acceptor(first);
        assert!(due(&tls) > first);
    }

    /// A given certificate is read again when its files have changed, and not before its minute has passed; files that
    /// cannot be used change nothing.
    #[test]
    fn given_certificates_are_read_again() {
        let folder = std::env::temp_dir().join(format!("elastane-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let (certificate, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        let (authority, start) = (authority(), Time(1_767_225_600_000));
        let write = |seed: u8| {
            let made = authority.issue(&["localhost".to_string()], LeafKey::P256, [seed; 32], start).expect("issued");
            std::fs::write(&certificate, made.body_pem).expect("written");
            std::fs::write(&key, made.key_pem.expose()).expect("written");
        };
        write(1);
        let tls = Tls::given(&certificate, &key, start).expect("read");
        let at = |secs: i64| tls.acceptor(start + Span::from_secs(secs)).config().clone();
        let first = at(0);
        write(2);
        assert!(Arc::ptr_eq(&first, &at(59)));
        let second = at(60);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &at(200)));
        std::fs::write(&key, "no key").expect("written");
        assert!(Arc::ptr_eq(&second, &at(300)));
        write(3);
        assert!(!Arc::ptr_eq(&second, &at(400)));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    /// What is no certificate is refused with a reason; machines' odd names are left out.
    #[test]
    fn what_cannot_be_used() {
        assert!(acceptor(b"", b"").is_err());
        assert!(Tls::given(Path::new("/nonexistent/a.pem"), Path::new("/nonexistent/b.pem"), Time(0)).is_err());
        for (name, fine) in [("web-1.example", true), ("", false), ("a b", false), ("ä", false)] {
            assert_eq!(is_host(name), fine, "{name}");
        }
    }
}
