//! Session tokens that carry their own proof: expiry and a nonce under a
//! keyed hash that also covers the instance. Nothing is stored, so there is
//! no number of tokens to bound, and a restarted daemon accepts those of the
//! one before.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of the expiry in Unix milliseconds.
const EXPIRY: usize = 6;
const NONCE: usize = 4;
/// Bytes kept of the hash. With expiry and nonce 40 in all: 56 characters
/// that end in `==`, like the real ones.
const PROOF: usize = 30;

/// Makes and checks tokens.
pub struct Tokens {
    key: [u8; 32],
}

impl Tokens {
    /// Tokens under this secret key.
    pub fn new(key: [u8; 32]) -> Tokens {
        Tokens { key }
    }

    fn proof(&self, instance: &str, head: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key length is allowed");
        mac.update(head);
        mac.update(instance.as_bytes());
        mac
    }

    /// A token for `instance`, valid until `expires` (Unix milliseconds).
    pub fn issue(&self, instance: &str, expires: u64, nonce: u32) -> String {
        let mut bytes = expires.to_be_bytes()[8 - EXPIRY..].to_vec();
        bytes.extend_from_slice(&nonce.to_be_bytes());
        let proof = self.proof(instance, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&proof[..PROOF]);
        URL_SAFE.encode(bytes)
    }

    /// Whether `token` was issued for `instance` and is valid at `now`.
    pub fn accepts(&self, token: &str, instance: &str, now: u64) -> bool {
        let Ok(bytes) = URL_SAFE.decode(token) else { return false };
        if bytes.len() != EXPIRY + NONCE + PROOF {
            return false;
        }
        let (head, proof) = bytes.split_at(EXPIRY + NONCE);
        let expires = head[..EXPIRY].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        now < expires && self.proof(instance, head).verify_truncated_left(proof).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token holds for its instance until its expiry, and looks like a real one.
    #[test]
    fn tokens_are_bound_to_instance_and_time() {
        let tokens = Tokens::new([7; 32]);
        let token = tokens.issue("i-1", 1_800_000_000_000, 9);
        assert_eq!((token.len(), token.ends_with("==")), (56, true));
        assert!(tokens.accepts(&token, "i-1", 1_799_999_999_999));
        assert!(!tokens.accepts(&token, "i-1", 1_800_000_000_000));
        assert!(!tokens.accepts(&token, "i-2", 0));
        assert!(!Tokens::new([8; 32]).accepts(&token, "i-1", 0));
        for bad in ["", "x", "====", &token[..55], &format!("{token}A")] {
            assert!(!tokens.accepts(bad, "i-1", 0), "{bad}");
        }
    }
}
