//! Signatures under the instance identity document, with an RSA key of the
//! installation (EC2 User Guide, "Verify instance identity document").
//!
//! `signature` is the RSA signature of the document's SHA-256, `rsa2048` the
//! same within a PKCS #7 message. The DSA form (`pkcs7`) is neither listed
//! nor served. The certificate that verifies both lies in the data directory.

use crate::credentials::random_bytes;
use crate::data_dir::{DataDir, Problem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// Bits of the key: what `rsa2048` says.
const KEY_BITS: usize = 2048;

/// Where the key is kept, readable by its owner alone.
const KEY_FILE: &str = "instance-identity.json";

/// The certificate for those who verify.
const CERTIFICATE_FILE: &str = "instance-identity.pem";

/// Letters of base64 in one line, as in PEM files.
const LINE: usize = 64;

/// The installation's key and its self-signed certificate.
pub struct IdentityKey {
    key: RsaPrivateKey,
    certificate: Vec<u8>,
    serial: Vec<u8>,
}

/// The form in the data directory.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// PKCS #8, PEM.
    private_key: String,
    /// The certificate's serial number, base64.
    serial: String,
}

/// The key as it is used: made in the background at the first start, as
/// making one takes up to a second.
#[derive(Clone)]
pub struct Signer {
    key: Arc<OnceLock<IdentityKey>>,
    data: DataDir,
}

impl Signer {
    /// The key of the data directory, or one that is being made.
    pub fn open(data: &DataDir) -> Result<Signer, Problem> {
        let signer = Signer { key: Arc::default(), data: data.clone() };
        if let Some(stored) = data.read_json::<Stored>(KEY_FILE)? {
            let key = stored.key().map_err(|why| Problem::new(format!("{KEY_FILE} holds no key: {why}")))?;
            let _ = signer.key.set(key);
            return Ok(signer);
        }
        let background = signer.clone();
        std::thread::Builder::new()
            .name("identity-key".to_string())
            .spawn(move || {
                background.key();
            })
            .map_err(|err| Problem::because("cannot start a thread", err))?;
        Ok(signer)
    }

    /// The key; waits while it is being made.
    fn key(&self) -> &IdentityKey {
        self.key.get_or_init(|| {
            let key = IdentityKey::make().expect("the system gave random numbers at the start");
            let stored = key.stored();
            let kept = self.data.write_json(KEY_FILE, &stored).and_then(|()| {
                self.data.write_bytes(CERTIFICATE_FILE, pem("CERTIFICATE", &key.certificate).as_bytes())
            });
            if let Err(problem) = kept {
                eprintln!("elastane: the key of instance identity documents lasts until the next start: {problem}");
            }
            key
        })
    }

    /// `dynamic/instance-identity/signature`.
    pub fn signature(&self, document: &str) -> String {
        wrapped(&self.key().sign(document))
    }

    /// `dynamic/instance-identity/rsa2048`.
    pub fn message(&self, document: &str) -> String {
        wrapped(&self.key().message(document))
    }
}

impl Stored {
    fn key(&self) -> Result<IdentityKey, String> {
        let key = RsaPrivateKey::from_pkcs8_pem(&self.private_key).map_err(|err| err.to_string())?;
        let serial = STANDARD.decode(&self.serial).map_err(|err| err.to_string())?;
        IdentityKey::of(key, serial)
    }
}

impl IdentityKey {
    fn make() -> Result<IdentityKey, Problem> {
        let (mut seed, mut serial) = ([0; 32], vec![0; 16]);
        random_bytes(&mut seed)?;
        random_bytes(&mut serial)?;
        // Positive, and of one length.
        serial[0] = serial[0] & 0x3f | 0x40;
        let key = RsaPrivateKey::new(&mut ChaCha20Rng::from_seed(seed), KEY_BITS)
            .map_err(|err| Problem::because("cannot make an RSA key", err))?;
        IdentityKey::of(key, serial).map_err(Problem::new)
    }

    fn of(key: RsaPrivateKey, serial: Vec<u8>) -> Result<IdentityKey, String> {
        let public = key.to_public_key().to_public_key_der().map_err(|err| err.to_string())?;
        let unsigned = IdentityKey { key, certificate: Vec::new(), serial };
        let content = der::certificate_content(&unsigned.serial, public.as_bytes());
        let signature = unsigned.sign_bytes(&content);
        let certificate = der::certificate(&content, &signature);
        Ok(IdentityKey { certificate, ..unsigned })
    }

    fn stored(&self) -> Stored {
        let private_key = self.key.to_pkcs8_pem(LineEnding::LF).expect("an RSA key has a PKCS #8 form");
        Stored { private_key: private_key.to_string(), serial: STANDARD.encode(&self.serial) }
    }

    fn sign(&self, document: &str) -> Vec<u8> {
        self.sign_bytes(document.as_bytes())
    }

    fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let digest = Sha256::digest(bytes);
        self.key.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).expect("2048 bits hold a signature of SHA-256")
    }

    fn message(&self, document: &str) -> Vec<u8> {
        der::signed_message(document.as_bytes(), &self.certificate, &self.serial, &self.sign(document))
    }
}

/// Base64 in lines, with no line break at the end.
fn wrapped(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(LINE).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    lines.join("\n")
}

fn pem(label: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", wrapped(bytes))
}

/// The few ASN.1 structures that are written, in DER (RFC 2315 and RFC 5280).
mod der {
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const OCTET_STRING: u8 = 0x04;
    const UTF8_STRING: u8 = 0x0c;
    const UTC_TIME: u8 = 0x17;
    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;
    /// `[0]`, constructed.
    const CONTEXT_0: u8 = 0xa0;

    /// Object identifiers with tag and length.
    const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    const SHA256_WITH_RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    const SHA256: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
    const NULL: &[u8] = &[0x05, 0];

    /// Who signs.
    const NAME: &str = "Elastane instance identity";
    /// The certificate's validity: no clock decides whether a key of this
    /// installation is the key of this installation.
    const NOT_BEFORE: &str = "200101000000Z";
    const NOT_AFTER: &str = "491231235959Z";

    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            short @ 0..=0x7f => out.push(short as u8),
            long => {
                let bytes = long.to_be_bytes();
                let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
                out.push(0x80 | used.len() as u8);
                out.extend_from_slice(used);
            }
        }
        out.extend_from_slice(content);
        out
    }

    fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        value(SEQUENCE, &parts.concat())
    }

    fn algorithm(identifier: &[u8]) -> Vec<u8> {
        sequence(&[identifier, NULL])
    }

    fn name() -> Vec<u8> {
        let pair = sequence(&[COMMON_NAME, &value(UTF8_STRING, NAME.as_bytes())]);
        sequence(&[&value(SET, &pair)])
    }

    /// What a certificate of version 1 signs.
    pub fn certificate_content(serial: &[u8], public_key: &[u8]) -> Vec<u8> {
        let validity = [NOT_BEFORE, NOT_AFTER].map(|time| value(UTC_TIME, time.as_bytes())).concat();
        sequence(&[
            &value(INTEGER, serial),
            &algorithm(SHA256_WITH_RSA),
            &name(),
            &value(SEQUENCE, &validity),
            &name(),
            public_key,
        ])
    }

    /// A certificate from its content and the signature of that.
    pub fn certificate(content: &[u8], signature: &[u8]) -> Vec<u8> {
        let bits = [&[0], signature].concat();
        sequence(&[content, &algorithm(SHA256_WITH_RSA), &value(BIT_STRING, &bits)])
    }

    /// A PKCS #7 message that holds its content and one signature of it.
    pub fn signed_message(content: &[u8], certificate: &[u8], serial: &[u8], signature: &[u8]) -> Vec<u8> {
        let one = value(INTEGER, &[1]);
        let inner = sequence(&[DATA, &value(CONTEXT_0, &value(OCTET_STRING, content))]);
        let signer = sequence(&[
            &one,
            &sequence(&[&name(), &value(INTEGER, serial)]),
            &algorithm(SHA256),
            &algorithm(RSA),
            &value(OCTET_STRING, signature),
        ]);
        let signed = sequence(&[
            &one,
            &value(SET, &algorithm(SHA256)),
            &inner,
            &value(CONTEXT_0, certificate),
            &value(SET, &signer),
        ]);
        sequence(&[SIGNED_DATA, &value(CONTEXT_0, &signed)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature verifies with the public key, a key read back signs the
    /// same, and both forms are base64 in lines.
    #[test]
    fn signatures() {
        let key = IdentityKey::make().unwrap();
        let signature = key.sign("a document");
        let digest = Sha256::digest(b"a document");
        let public = key.key.to_public_key();
        public.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature).unwrap();
        assert!(public.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(b"another"), &signature).is_err());
        let again = key.stored().key().unwrap();
        assert_eq!(again.message("a document"), key.message("a document"));
        assert_eq!(again.certificate, key.certificate);
        let text = wrapped(&key.message("a document"));
        assert!(text.lines().all(|line| line.len() <= LINE) && !text.ends_with('\n'));
    }
}
