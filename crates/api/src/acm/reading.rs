//! Reading certificates, chains and keys that clients bring: PEM in, what the
//! rows keep out. The key is read by the library that the data plane serves
//! it with, so what is taken here can be served there.

use elastane_domain::secret::SecretText;
use elastane_domain::time::Time;
use elastane_engine::authority::{colons, pem};
use elastane_engine::row::CertificateMaterial;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::fmt;
use x509_parser::oid_registry as oid;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Certificates of one chain: longer ones are mistakes.
const CHAIN_MAX: usize = 20;

/// What is wrong with what a client brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The certificate is not one PEM certificate.
    Certificate(String),
    /// The chain is not a row of certificates, each issued by the next.
    Chain(String),
    /// The private key is not an unencrypted PEM key.
    Key(String),
    /// The private key is another one than the certificate's.
    Mismatch,
    /// The certificate is not valid at this time.
    Time(String),
    /// A kind of key that is not supported.
    Kind(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Certificate(why) | Fault::Chain(why) | Fault::Key(why) | Fault::Time(why) | Fault::Kind(why) => {
                f.write_str(why)
            }
            Fault::Mismatch => f.write_str("The private key does not match the certificate."),
        }
    }
}

/// A certificate with its key, found in order.
#[derive(Debug)]
pub(crate) struct Brought {
    /// What is stored.
    pub(crate) material: CertificateMaterial,
    /// The names that it is for, the subject's first.
    pub(crate) names: Vec<String>,
    /// ACM's word for the kind of its key.
    pub(crate) key_algorithm: &'static str,
}

/// Reads and checks a certificate, its chain and its key.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn brought(body: &str, chain: Option<&str>, key: &str, now: Time) -> Result<Brought, Fault> {
    let bodies = certificates(body).map_err(Fault::Certificate)?;
    let [body] = bodies.as_slice() else {
        let why = "The certificate field contains more than one certificate. You can specify only one.";
        return Err(Fault::Certificate(why.to_string()));
    };
    let chain = chain.map(str::trim).filter(|chain| !chain.is_empty());
    let chain = chain.map_or(Ok(Vec::new()), |chain| certificates(chain).map_err(Fault::Chain))?;
    let parsed = parse(body).map_err(Fault::Certificate)?;
    let key_algorithm = key_algorithm(&parsed)?;
    check_key(&parsed, key)?;
    check_time(&parsed, now)?;
    check_chain(&parsed, &chain)?;
    let validity = parsed.validity();
    let material = CertificateMaterial {
        body_pem: pem("CERTIFICATE", body),
        chain_pem: (!chain.is_empty()).then(|| chain.iter().map(|der| pem("CERTIFICATE", der)).collect()),
        key_pem: SecretText::new(key.trim().to_string() + "\n"),
        not_before: Time(validity.not_before.timestamp() * 1000),
        not_after: Time(validity.not_after.timestamp() * 1000),
        serial: colons(parsed.raw_serial()),
        subject: distinguished(parsed.subject()),
        issuer: issuer_name(&parsed),
        signature_algorithm: signature_algorithm(&parsed).to_string(),
    };
    Ok(Brought { material, names: names(&parsed), key_algorithm })
}

/// The certificates of a PEM text, as DER.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).take(CHAIN_MAX + 1).collect();
    let found = found.map_err(|_| "The certificate is not in valid PEM format.".to_string())?;
    match found.len() {
        0 => Err("Could not parse the certificate: it is not in PEM format.".to_string()),
        1..=CHAIN_MAX => Ok(found),
        _ => Err(format!("At most {CHAIN_MAX} certificates are read.")),
    }
}

/// All certificates of a bundle of at most `max`, each of an authority.
pub(crate) fn authorities(text: &str, max: usize) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).take(max + 1).collect();
    let found = found.map_err(|_| "The bundle is not in valid PEM format.".to_string())?;
    if found.is_empty() || found.len() > max {
        return Err(format!("The bundle must hold 1 to {max} certificates."));
    }
    for der in &found {
        let parsed = parse(der)?;
        if !parsed.is_ca() {
            return Err(format!("The certificate of '{}' is not one of an authority.", parsed.subject()));
        }
    }
    Ok(found)
}

/// The revocation lists of a file, as PEM, with how many certificates they revoke.
pub(crate) fn revocations(content: &[u8]) -> Result<Vec<(String, usize)>, String> {
    let text = String::from_utf8_lossy(content);
    let ders: Vec<Vec<u8>> = if text.contains("-----BEGIN") {
        let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(content).collect();
        let found = found.map_err(|_| "The revocation list is not in valid PEM format.".to_string())?;
        found.iter().map(|der| der.as_ref().to_vec()).collect()
    } else {
        vec![content.to_vec()]
    };
    if ders.is_empty() {
        return Err("There is no revocation list in it.".to_string());
    }
    let read = |der: &Vec<u8>| {
        let wrong = || "The revocation list cannot be read.".to_string();
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| wrong())?;
        if !rest.is_empty() {
            return Err(wrong());
        }
        Ok((pem("X509 CRL", der), list.iter_revoked_certificates().count()))
    };
    ders.iter().map(read).collect()
}

/// A certificate as fields.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match parse_x509_certificate(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err("Could not parse the certificate.".to_string()),
    }
}

/// ACM's word for a certificate's key: RSA of 1024 to 4096 bits, or a NIST
/// curve (ACM User Guide, "Prerequisites for importing certificates").
fn key_algorithm(parsed: &X509Certificate<'_>) -> Result<&'static str, Fault> {
    let unsupported = |what: &str| Err(Fault::Kind(format!("The certificate's key is not supported: {what}.")));
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => match key.key_size() {
            2048 => Ok("RSA_2048"),
            3072 => Ok("RSA_3072"),
            4096 => Ok("RSA_4096"),
            // AWS takes it, but no client of today would: the TLS library refuses it.
            1024 => unsupported("RSA_1024 is too short to be served"),
            bits => unsupported(&format!("RSA of {bits} bits")),
        },
        Ok(PublicKey::EC(point)) => match point.key_size() {
            256 => Ok("EC_prime256v1"),
            384 => Ok("EC_secp384r1"),
            // A coordinate of P-521 takes 66 bytes.
            521 | 528 => Ok("EC_secp521r1"),
            bits => unsupported(&format!("an elliptic curve of {bits} bits")),
        },
        Ok(_) | Err(_) => unsupported("neither RSA nor a NIST curve"),
    }
}

fn check_key(parsed: &X509Certificate<'_>, key: &str) -> Result<(), Fault> {
    if key.contains("ENCRYPTED") {
        return Err(Fault::Key("The private key must not be encrypted.".to_string()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| Fault::Key("The private key is not in PEM format.".to_string()))?;
    let key = any_supported_type(&key).map_err(|_| Fault::Key("The private key is not supported.".to_string()))?;
    match key.public_key() {
        Some(public) if public.as_ref() == parsed.public_key().raw => Ok(()),
        Some(_) => Err(Fault::Mismatch),
        None => Err(Fault::Key("The private key has no public half.".to_string())),
    }
}

fn check_time(parsed: &X509Certificate<'_>, now: Time) -> Result<(), Fault> {
    let validity = parsed.validity();
    if validity.not_after.timestamp() < now.seconds() {
        return Err(Fault::Time("The certificate has expired.".to_string()));
    }
    if validity.not_before.timestamp() > now.seconds() {
        return Err(Fault::Time("The certificate is not valid yet.".to_string()));
    }
    Ok(())
}

/// Each certificate must be issued by the next one.
fn check_chain(leaf: &X509Certificate<'_>, chain: &[CertificateDer<'_>]) -> Result<(), Fault> {
    let chain: Result<Vec<_>, _> = chain.iter().map(|der| parse(der)).collect();
    let chain = chain.map_err(Fault::Chain)?;
    let mut below = leaf;
    for issuer in &chain {
        let by_name = below.issuer().as_raw() == issuer.subject().as_raw();
        let signed = match below.verify_signature(Some(issuer.public_key())) {
            // Not every algorithm can be checked here; the name says enough then.
            Ok(()) | Err(x509_parser::error::X509Error::SignatureUnsupportedAlgorithm) => true,
            Err(_) => false,
        };
        if !by_name || !signed {
            let why = "Could not validate the certificate with the certificate chain: each certificate must be \
                       issued by the next one.";
            return Err(Fault::Chain(why.to_string()));
        }
        below = issuer;
    }
    Ok(())
}

/// The names that a certificate is for: its subject's common name, then the
/// other DNS names.
pub(crate) fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names);
    let alternative = alternative.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let mut names: Vec<String> = Vec::new();
    for name in common.chain(alternative) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_string());
        }
    }
    names
}

/// `C=US,O=…,CN=…`: the form of subjects in ACM.
fn distinguished(name: &X509Name<'_>) -> String {
    let short = |key: &oid::Oid<'_>| match key.to_id_string().as_str() {
        "2.5.4.3" => "CN".to_string(),
        "2.5.4.6" => "C".to_string(),
        "2.5.4.7" => "L".to_string(),
        "2.5.4.8" => "ST".to_string(),
        "2.5.4.10" => "O".to_string(),
        "2.5.4.11" => "OU".to_string(),
        other => other.to_string(),
    };
    let part =
        |part: &AttributeTypeAndValue<'_>| format!("{}={}", short(part.attr_type()), part.as_str().unwrap_or_default());
    let parts: Vec<String> = name.iter_attributes().map(part).collect();
    parts.join(",")
}

fn issuer_name(parsed: &X509Certificate<'_>) -> String {
    let issuer = parsed.issuer();
    let common = issuer.iter_common_name().chain(issuer.iter_organization()).find_map(|name| name.as_str().ok());
    common.unwrap_or_default().to_string()
}

fn signature_algorithm(parsed: &X509Certificate<'_>) -> &'static str {
    match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA",
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA",
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA",
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA",
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA",
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA",
        "1.3.101.112" => "ED25519",
        _ => "OTHER",
    }
}

/// What a certificate may be used for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Usages {
    /// ACM's words for its key usages.
    pub(crate) key: Vec<&'static str>,
    /// ACM's words for its extended key usages, with their object identifiers.
    pub(crate) extended: Vec<(&'static str, String)>,
}

/// What a stored certificate may be used for.
pub(crate) fn usages(body_pem: &str) -> Usages {
    let Ok(der) = CertificateDer::from_pem_slice(body_pem.as_bytes()) else { return Usages::default() };
    let Ok(parsed) = parse(&der) else { return Usages::default() };
    let mut usages = Usages::default();
    if let Ok(Some(key)) = parsed.key_usage() {
        let flags = [
            (key.value.digital_signature(), "DIGITAL_SIGNATURE"),
            (key.value.non_repudiation(), "NON_REPUDIATION"),
            (key.value.key_encipherment(), "KEY_ENCIPHERMENT"),
            (key.value.data_encipherment(), "DATA_ENCIPHERMENT"),
            (key.value.key_agreement(), "KEY_AGREEMENT"),
            (key.value.key_cert_sign(), "CERTIFICATE_SIGNING"),
            (key.value.crl_sign(), "CRL_SIGNING"),
            (key.value.encipher_only(), "ENCIPHER_ONLY"),
            (key.value.decipher_only(), "DECIPHER_ONLY"),
        ];
        usages.key = flags.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
    }
    if let Ok(Some(extended)) = parsed.extended_key_usage() {
        let flags = [
            (extended.value.server_auth, "TLS_WEB_SERVER_AUTHENTICATION", "1.3.6.1.5.5.7.3.1"),
            (extended.value.client_auth, "TLS_WEB_CLIENT_AUTHENTICATION", "1.3.6.1.5.5.7.3.2"),
            (extended.value.code_signing, "CODE_SIGNING", "1.3.6.1.5.5.7.3.3"),
            (extended.value.email_protection, "EMAIL_PROTECTION", "1.3.6.1.5.5.7.3.4"),
            (extended.value.time_stamping, "TIME_STAMPING", "1.3.6.1.5.5.7.3.8"),
            (extended.value.ocsp_signing, "OCSP_SIGNING", "1.3.6.1.5.5.7.3.9"),
            (extended.value.any, "ANY", "2.5.29.37.0"),
        ];
        let known = flags.into_iter().filter(|(set, ..)| *set);
        usages.extended = known.map(|(_, word, id)| (word, id.to_string())).collect();
        usages.extended.extend(extended.value.other.iter().map(|id| ("CUSTOM", id.to_id_string())));
    }
    usages
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_engine::authority::{Authority, LeafKey};

    const NOW: Time = Time(1_767_225_600_000);

    fn issue(seed: u8, kind: LeafKey) -> CertificateMaterial {
        let authority = Authority::make([9; 32], NOW).expect("made");
        let names = ["www.example.com".to_string(), "*.example.com".to_string()];
        authority.issue(&names, kind, [seed; 32], NOW).expect("issued")
    }

    /// What the authority makes is read back as what it says it made.
    #[test]
    fn issued_certificates_can_be_imported() {
        let kinds = [(LeafKey::P256, "EC_prime256v1"), (LeafKey::P384, "EC_secp384r1"), (LeafKey::Rsa2048, "RSA_2048")];
        for (kind, word) in kinds {
            let made = issue(1, kind);
            let read =
                brought(&made.body_pem, made.chain_pem.as_deref(), made.key_pem.expose(), NOW).expect("in order");
            assert_eq!(read.material, made, "{kind:?}");
            assert_eq!(read.key_algorithm, word);
            assert_eq!(read.names, ["www.example.com", "*.example.com"]);
            let usages = usages(&made.body_pem);
            assert_eq!(usages.key[0], "DIGITAL_SIGNATURE");
            assert_eq!(usages.extended[0].0, "TLS_WEB_SERVER_AUTHENTICATION");
        }
    }

    /// Each fault is found, and told from the others.
    #[test]
    fn faults_are_told_apart() {
        let (good, other) = (issue(1, LeafKey::P256), issue(2, LeafKey::P256));
        let strange = Authority::make([8; 32], NOW).expect("made").certificate_pem;
        let chain = good.chain_pem.as_deref().expect("issued with one");
        let both = format!("{}{}", good.body_pem, other.body_pem);
        let broken = good.body_pem.replace('M', "!");
        let encrypted = good.key_pem.expose().replace("PRIVATE", "ENCRYPTED PRIVATE");
        let late = Time(good.not_after.0 + 1000);
        let early = Time(good.not_before.0 - 1000);
        type Case<'a> = (&'a str, Option<&'a str>, &'a str, Time, fn(&Fault) -> bool);
        let cases: [Case<'_>; 10] = [
            (&both, None, good.key_pem.expose(), NOW, |fault| matches!(fault, Fault::Certificate(_))),
            (&broken, None, good.key_pem.expose(), NOW, |fault| matches!(fault, Fault::Certificate(_))),
            ("", None, good.key_pem.expose(), NOW, |fault| matches!(fault, Fault::Certificate(_))),
            (&good.body_pem, None, other.key_pem.expose(), NOW, |fault| *fault == Fault::Mismatch),
            (&good.body_pem, None, "no key", NOW, |fault| matches!(fault, Fault::Key(_))),
            (&good.body_pem, None, &encrypted, NOW, |fault| matches!(fault, Fault::Key(_))),
            (&good.body_pem, Some(&strange), good.key_pem.expose(), NOW, |fault| matches!(fault, Fault::Chain(_))),
            (&good.body_pem, Some("-----"), good.key_pem.expose(), NOW, |fault| matches!(fault, Fault::Chain(_))),
            (&good.body_pem, Some(chain), good.key_pem.expose(), late, |fault| matches!(fault, Fault::Time(_))),
            (&good.body_pem, Some(chain), good.key_pem.expose(), early, |fault| matches!(fault, Fault::Time(_))),
        ];
        for (number, (body, chain, key, now, expected)) in cases.into_iter().enumerate() {
            let fault = brought(body, chain, key, now).expect_err("not in order");
            assert!(expected(&fault), "{number}: {fault:?}");
        }
    }

    /// A bundle of a trust store holds authorities only.
    #[test]
    fn bundles_hold_authorities() {
        let good = issue(1, LeafKey::P256);
        let authority = good.chain_pem.expect("issued with one");
        assert_eq!(authorities(&authority.repeat(3), 3).map(|found| found.len()), Ok(3));
        assert!(authorities(&authority.repeat(4), 3).is_err());
        assert!(authorities(&good.body_pem, 3).is_err());
        assert!(authorities("", 3).is_err());
        assert!(revocations(b"junk").is_err());
        assert!(revocations(authority.as_bytes()).is_err());
    }
}
