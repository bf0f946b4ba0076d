//! The keys behind key pairs: making them, reading public ones, and the
//! fingerprints that EC2 shows (EC2 User Guide, "Verify the fingerprint of
//! your key pair"). Nothing private is kept here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

/// Bits of RSA keys that EC2 makes.
const RSA_BITS: usize = 2048;

/// Bits of the smallest RSA key that EC2 imports; the largest is the RSA
/// implementation's own limit, 4096, which is EC2's as well.
const RSA_BITS_MIN: usize = 1024;

/// Bytes of public key material that are looked at; the largest key that can
/// be imported takes under 2 KiB in any form.
const MATERIAL_MAX: usize = 16 * 1024;

/// Base64 of a line-wrapped key is decoded at most so many times: once for
/// clients that encode twice, once for the DER form.
const DECODE_MAX: usize = 2;

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    /// RSA.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl KeyType {
    /// EC2's word for it.
    pub fn word(self) -> &'static str {
        match self {
            KeyType::Rsa => "rsa",
            KeyType::Ed25519 => "ed25519",
        }
    }
}

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Public {
    /// Its kind.
    pub kind: KeyType,
    /// In OpenSSH's one-line form.
    pub openssh: String,
    /// As DescribeKeyPairs shows it.
    pub fingerprint: String,
}

/// A key that was just made.
pub(super) struct Made {
    /// Its public half.
    pub public: Public,
    /// PKCS#1 PEM for RSA, OpenSSH's form for Ed25519.
    pub private: String,
}

/// Why there is no key.
#[derive(Debug)]
pub(super) enum KeyError {
    /// Not a public key in a form that EC2 takes.
    Format,
    /// A key of a kind or size that EC2 does not take.
    Kind,
    /// The key could not be made or written.
    Make(Box<dyn std::error::Error + Send + Sync>),
}

/// Makes a key out of 256 bits that nobody can guess. RSA takes tenths of a second.
///
/// # Errors
/// `Make` when the cryptographic library fails.
pub(super) fn make(kind: KeyType, comment: &str, secret: [u8; 32]) -> Result<Made, KeyError> {
    let mut random = ChaCha20Rng::from_seed(secret);
    match kind {
        KeyType::Ed25519 => {
            let mut key = PrivateKey::random(&mut random, Algorithm::Ed25519).map_err(failed)?;
            key.set_comment(comment);
            let private = key.to_openssh(LineEnding::LF).map_err(failed)?.to_string();
            Ok(Made { public: public(key.public_key().key_data(), comment)?, private })
        }
        KeyType::Rsa => {
            let key = RsaPrivateKey::new(&mut random, RSA_BITS).map_err(failed)?;
            let private = key.to_pkcs1_pem(LineEnding::LF).map_err(failed)?.to_string();
            let fingerprint = colons(&Sha1::digest(key.to_pkcs8_der().map_err(failed)?.as_bytes()));
            let public = Public { fingerprint, ..public(&ssh_data(&key.to_public_key())?, comment)? };
            Ok(Made { public, private })
        }
    }
}

fn failed(err: impl std::error::Error + Send + Sync + 'static) -> KeyError {
    KeyError::Make(Box::new(err))
}

/// Reads a public key: OpenSSH's line, RFC 4716, PEM, or base64 of DER.
///
/// # Errors
/// `Format` for what is none of these, `Kind` for a key that is neither RSA
/// of 1024 to 4096 bits nor Ed25519.
pub(super) fn import(material: &[u8], comment: &str) -> Result<Public, KeyError> {
    if material.len() > MATERIAL_MAX {
        return Err(KeyError::Format);
    }
    public(&read(material)?, comment)
}

fn read(material: &[u8]) -> Result<KeyData, KeyError> {
    let mut material = material.to_vec();
    for _ in 0..=DECODE_MAX {
        let Ok(text) = std::str::from_utf8(&material) else { break };
        let text = text.trim();
        if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
            return PublicKey::from_openssh(text).map(|key| key.key_data().clone()).map_err(|_| KeyError::Format);
        }
        if text.starts_with("---- BEGIN SSH2 PUBLIC KEY ----") {
            let bytes = STANDARD.decode(rfc4716_body(text)).map_err(|_| KeyError::Format)?;
            return PublicKey::from_bytes(&bytes).map(|key| key.key_data().clone()).map_err(|_| KeyError::Format);
        }
        if text.starts_with("-----BEGIN PUBLIC KEY-----") {
            return ssh_data(&RsaPublicKey::from_public_key_pem(text).map_err(|_| KeyError::Format)?);
        }
        let compact: String = text.split_whitespace().collect();
        match STANDARD.decode(compact) {
            Ok(bytes) => material = bytes,
            Err(_) => break,
        }
    }
    ssh_data(&RsaPublicKey::from_public_key_der(&material).map_err(|_| KeyError::Format)?)
}

/// The base64 between the markers, without headers and their continuations
/// (RFC 4716, section 3).
fn rfc4716_body(text: &str) -> String {
    let mut body = String::new();
    let mut continued = false;
    for line in text.lines().map(str::trim).skip(1).take_while(|line| !line.starts_with("----")) {
        let header = continued || line.contains(':');
        continued = header && line.ends_with('\\');
        if !header {
            body.push_str(line);
        }
    }
    body
}

fn ssh_data(key: &RsaPublicKey) -> Result<KeyData, KeyError> {
    ssh_key::public::RsaPublicKey::try_from(key).map(KeyData::Rsa).map_err(failed)
}

/// The public half of imported and of Ed25519 keys; RSA keys made by EC2 have
/// a fingerprint of their private half instead.
fn public(data: &KeyData, comment: &str) -> Result<Public, KeyError> {
    let openssh = PublicKey::new(data.clone(), comment).to_openssh().map_err(failed)?;
    let (kind, fingerprint) = match data {
        KeyData::Rsa(key) => {
            let key = RsaPublicKey::try_from(key).map_err(|_| KeyError::Kind)?;
            if key.n().bits() < RSA_BITS_MIN {
                return Err(KeyError::Kind);
            }
            let der = key.to_public_key_der().map_err(failed)?;
            (KeyType::Rsa, colons(&Md5::digest(der.as_bytes())))
        }
        KeyData::Ed25519(_) => {
            let blob = PublicKey::from(data.clone()).to_bytes().map_err(failed)?;
            (KeyType::Ed25519, STANDARD.encode(Sha256::digest(blob)))
        }
        _ => return Err(KeyError::Kind),
    };
    Ok(Public { kind, openssh, fingerprint })
}

/// `1f:51:ae…`
fn colons(digest: &[u8]) -> String {
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(":")
}
