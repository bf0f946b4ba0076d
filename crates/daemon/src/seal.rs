//! Sealed texts: what callers carry for us and must not read, such as why a
//! call was refused, and stored secrets. A text is opened only for the purpose
//! that it was sealed for: the purpose is authenticated with it. The cipher stands repeated nonces, so one key does for
//! the installation's life.

use crate::credentials::random_bytes;
use crate::data_dir::{DataDir, Problem};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use elastane_api::Purpose;

/// Where the key is kept.
const FILE: &str = "message-key.json";

/// The installation's key for sealed texts.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// That of the data directory, made if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(data: &DataDir) -> Result<Sealer, Problem> {
        if let Some(found) = data.read_json::<[u8; 32]>(FILE)? {
            return Ok(Sealer::new(&found));
        }
        let mut made = [0; 32];
        random_bytes(&mut made)?;
        data.write_json(FILE, &made)?;
        Ok(Sealer::new(&made))
    }

    fn new(bits: &[u8; 32]) -> Sealer {
        Sealer(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, bits).expect("the cipher takes keys of 32 bytes")))
    }

    /// A text that nobody else can read.
    pub fn seal(&self, purpose: Purpose, text: &str) -> String {
        let mut nonce = [0; NONCE_LEN];
        // Without randomness two equal texts look equal, which tells nothing more.
        let _ = random_bytes(&mut nonce);
        let mut sealed = text.as_bytes().to_vec();
        let aad = Aad::from(purpose.name());
        let done = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
        assert!(done.is_ok(), "texts of a few kilobytes can be sealed");
        URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// What was sealed for this purpose; `None` for anything else.
    pub fn unseal(&self, purpose: Purpose, sealed: &str) -> Option<String> {
        let whole = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = whole.split_first_chunk::<NONCE_LEN>()?;
        let mut text = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(purpose.name()), &mut text).ok()?.len();
        text.truncate(length);
        String::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sealed is opened by the same key for the same purpose,
    /// unchanged, and by nothing else.
    #[test]
    fn sealed_texts() {
        let sealer = Sealer::new(&[7; 32]);
        let purpose = Purpose::KeyMaterial;
        let sealed = sealer.seal(purpose, "why");
        assert_eq!(sealer.unseal(purpose, &sealed).as_deref(), Some("why"));
        assert_eq!(sealer.unseal(Purpose::AuthorizationMessage, &sealed), None);
        assert_eq!(Sealer::new(&[8; 32]).unseal(purpose, &sealed), None);
        for index in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(sealer.unseal(purpose, std::str::from_utf8(&changed).unwrap()), None, "changed at {index}");
            assert_eq!(sealer.unseal(purpose, &sealed[..index]), None, "cut at {index}");
        }
    }
}
