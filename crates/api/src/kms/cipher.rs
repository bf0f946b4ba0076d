//! What a key seals: AES-256-GCM-SIV, whose nonces may repeat without harm,
//! bound to the encryption context.
//!
//! A sealed text names its key and which of the key's materials opens it:
//! version, the key's id, the material's number, the nonce, then what the
//! cipher made.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::collections::BTreeMap;

/// Version of the form.
const VERSION: u8 = 1;

/// Characters of a key's id.
const ID_LETTERS: usize = 36;

/// Bytes before what the cipher made.
const HEAD_BYTES: usize = 1 + ID_LETTERS + 2 + NONCE_LEN;

/// Bits of a key.
pub type Material = [u8; 32];

/// Which key and which of its materials sealed a text.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The key's id.
    pub key: &'a str,
    /// The number of its material.
    pub material: usize,
    nonce: [u8; NONCE_LEN],
    made: &'a [u8],
}

/// The encryption context as bytes: names and values with their lengths, so
/// that no two contexts look alike.
fn associated(key: &str, context: &BTreeMap<String, String>) -> Vec<u8> {
    let mut bytes = key.as_bytes().to_vec();
    for part in context.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

fn cipher(material: &Material) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM_SIV, material).expect("the material has the cipher's length");
    LessSafeKey::new(key)
}

/// Seals a text with a key's material of a number.
pub fn seal(
    (key, number, material): (&str, u16, &Material),
    nonce: [u8; NONCE_LEN],
    context: &BTreeMap<String, String>,
    plaintext: &[u8],
) -> Vec<u8> {
    let mut made = plaintext.to_vec();
    let aad = Aad::from(associated(key, context));
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    cipher(material).seal_in_place_append_tag(nonce_used, aad, &mut made).expect("the text is far below the limit");
    let mut sealed = vec![VERSION];
    sealed.extend(key.as_bytes());
    sealed.extend(number.to_be_bytes());
    sealed.extend(nonce);
    sealed.extend(made);
    sealed
}

/// Takes a sealed text apart; `None` for what never was one.
pub fn parse(sealed: &[u8]) -> Option<Sealed<'_>> {
    let (head, made) = sealed.split_at_checked(HEAD_BYTES)?;
    let (version, head) = head.split_first()?;
    let (key, head) = head.split_at(ID_LETTERS);
    let (number, nonce) = head.split_at(2);
    let material = usize::from(u16::from_be_bytes(number.try_into().ok()?));
    let key = std::str::from_utf8(key).ok().filter(|_| *version == VERSION)?;
    Some(Sealed { key, material, nonce: nonce.try_into().ok()?, made })
}

impl Sealed<'_> {
    /// The text; `None` when the material or the context is another, or a bit
    /// was changed.
    pub fn open(&self, material: &Material, context: &BTreeMap<String, String>) -> Option<Vec<u8>> {
        let mut text = self.made.to_vec();
        let aad = Aad::from(associated(self.key, context));
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let length = cipher(material).open_in_place(nonce, aad, &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00000000-0000-4000-8000-000000000001";

    fn context(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// What was sealed opens with the same material and context, and with no other.
    #[test]
    fn sealed_texts() {
        let used = context(&[("a", "bc")]);
        let sealed = seal((KEY, 3, &[7; 32]), [9; NONCE_LEN], &used, b"secret");
        let parsed = parse(&sealed).expect("its own form");
        assert_eq!((parsed.key, parsed.material), (KEY, 3));
        assert_eq!(parsed.open(&[7; 32], &used).as_deref(), Some(&b"secret"[..]));
        assert_eq!(parsed.open(&[8; 32], &used), None);
        for other in [&[][..], &[("ab", "c")], &[("a", "bc"), ("d", "")]] {
            assert_eq!(parsed.open(&[7; 32], &context(other)), None, "{other:?}");
        }
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
    }

    /// A changed bit anywhere does not open; a short text is none.
    #[test]
    fn changed_texts() {
        let sealed = seal((KEY, 0, &[7; 32]), [9; NONCE_LEN], &context(&[]), b"secret");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let opened = parse(&changed).and_then(|parsed| {
                let same = parsed.key == KEY && parsed.material == 0;
                parsed.open(&[7; 32], &context(&[])).filter(|_| same)
            });
            assert_eq!(opened, None, "byte {at}");
        }
        assert!((0..HEAD_BYTES).all(|length| parse(&sealed[..length]).is_none()));
    }
}
