//! Sealed texts: what a client keeps for us and must not read or change, as
//! letters that cookies and URLs may have.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Length of every key that is derived here.
struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        32
    }
}

/// A key for one purpose, derived from the installation's secret.
pub(super) fn derive(secret: &[u8; 32], purpose: &[u8], round: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    let extracted = Salt::new(HKDF_SHA256, b"elastane oidc").extract(secret);
    let info = [purpose, &[round]];
    let filled = extracted.expand(&info, KeyBytes).and_then(|key| key.fill(&mut bytes));
    filled.expect("a key's length is below the derivation's limit");
    bytes
}

/// A key that seals. Its cipher stands a repeated nonce, so one key does for
/// the installation's life.
pub(super) struct Sealer(LessSafeKey);

impl Sealer {
    pub(super) fn new(secret: &[u8; 32]) -> Sealer {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &derive(secret, b"seal", 0));
        Sealer(LessSafeKey::new(key.expect("the cipher takes keys of this length")))
    }

    /// Seals a text for a context: it opens in no other.
    pub(super) fn seal(&self, context: &str, plain: &[u8]) -> String {
        let nonce = random::<NONCE_LEN>();
        let mut sealed = plain.to_vec();
        let done = self.0.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.as_bytes()),
            &mut sealed,
        );
        assert!(done.is_ok(), "texts of a few kilobytes can be sealed");
        URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// What was sealed for the context; `None` for anything else.
    pub(super) fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let whole = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = whole.split_first_chunk::<NONCE_LEN>()?;
        let mut text = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(context.as_bytes()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// Random bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the generator does not fail once it is seeded");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sealed texts open with the same secret in the same context only.
    #[test]
    fn sealed_texts_open_where_they_belong() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal("session", b"text");
        assert_eq!(Sealer::new(&[7; 32]).open("session", sealed.as_bytes()).as_deref(), Some(&b"text"[..]));
        assert_eq!(sealer.open("state", sealed.as_bytes()), None);
        assert_eq!(Sealer::new(&[8; 32]).open("session", sealed.as_bytes()), None);
        for index in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(sealer.open("session", &changed), None, "changed at {index}");
            assert_eq!(sealer.open("session", &sealed.as_bytes()[..index]), None, "cut at {index}");
        }
    }
}
