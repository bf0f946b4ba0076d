//! Which certificates our own commands believe when they call an endpoint over
//! TLS. What is named is believed alone, as the AWS CLI does it; without it the
//! installation's own authority and those of this system are.

use crate::authority;
use crate::data_dir::{DataDir, Problem};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The variable that names a file of authorities to the AWS CLI and the SDKs
/// (AWS SDKs and Tools Reference Guide, "ca_bundle").
pub const BUNDLE_VARIABLE: &str = "AWS_CA_BUNDLE";

/// Whom to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities in this PEM file, and no others.
    File(PathBuf),
    /// The authority of the data directory, if there is one, and the system's.
    Usual(Option<PathBuf>),
}

impl Trust {
    /// TLS as a client that believes these.
    ///
    /// # Errors
    /// When a file cannot be read or holds no certificate.
    pub fn config(&self) -> Result<Arc<ClientConfig>, Problem> {
        let mut roots = RootCertStore::empty();
        match self {
            Trust::File(path) => add_file(&mut roots, path)?,
            Trust::Usual(data) => {
                if let Some(own) = data.as_deref().map(own_authority).transpose()?.flatten() {
                    add_pem(&mut roots, own.as_bytes()).map_err(|err| unusable("the installation's authority", err))?;
                }
                // A system without certificates believes the installation's alone.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| Problem::because("cannot speak TLS", err))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The authority's certificate of a data directory, if there is one.
fn own_authority(path: &Path) -> Result<Option<String>, Problem> {
    match DataDir::existing(path) {
        Ok(data) => Ok(authority::existing(&data)?.map(|found| found.certificate_pem)),
        Err(_) => Ok(None),
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Problem> {
    let bytes = std::fs::read(path).map_err(|err| Problem::because(format!("cannot read {}", path.display()), err))?;
    add_pem(roots, &bytes).map_err(|err| unusable(&path.display().to_string(), err))
}

/// Adds all certificates of a PEM text, of which there must be one.
fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|err| err.to_string())?;
        roots.add(certificate).map_err(|err| err.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_string()) } else { Ok(()) }
}

fn unusable(what: &str, err: String) -> Problem {
    Problem::new(format!("{what} cannot be used as certificates of authorities (PEM): {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::time::Time;
    use elastane_engine::authority::Authority;

    /// Only files with certificates in them are believed; a data directory that is not there is no error.
    #[test]
    fn what_is_believed() {
        let folder = std::env::temp_dir().join(format!("elastane-trust-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let authority = Authority::make([7; 32], Time(1_767_225_600_000)).expect("made");
        for (content, fine) in [
            (authority.certificate_pem.as_str(), true),
            (authority.key_pem.expose(), false),
            ("", false),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", false),
        ] {
            let path = folder.join("ca.pem");
            std::fs::write(&path, content).expect("written");
            let got = Trust::File(path).config();
            assert_eq!(got.is_ok(), fine, "{content}");
        }
        assert!(Trust::File(folder.join("missing.pem")).config().is_err());
        assert!(Trust::Usual(Some(folder.join("missing"))).config().is_ok());
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
