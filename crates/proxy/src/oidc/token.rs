//! The token that tells targets who the user is: a JSON web token, signed
//! with ES256 by a key that is derived from the installation's secret.
//!
//! Its parts are base64url with padding, as AWS writes them (User Guide,
//! "Authenticate users", "User claims encoding and signature verification").

use super::seal::derive;
use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// What comes before the point in the public key's DER form (RFC 5480, P-256).
const KEY_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Letters in one line of PEM.
const PEM_LINE: usize = 64;

/// Tries to find a number that is a key: each fails with a chance of 2^-32.
const TRIES: u8 = 8;

/// The installation's signing key.
pub(super) struct TokenKey {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
    id: String,
}

impl TokenKey {
    pub(super) fn new(secret: &[u8; 32]) -> TokenKey {
        let found = (0..TRIES).find_map(|round| {
            let scalar = derive(secret, b"sign", round);
            let private = agreement::PrivateKey::from_private_key(&ECDH_P256, &scalar).ok()?;
            let public = private.compute_public_key().ok()?.as_ref().to_vec();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &scalar, &public).ok()?;
            Some((pair, public))
        });
        let (pair, public) = found.expect("one of several random numbers is a key");
        let id = uuid(digest(&SHA256, &public).as_ref());
        TokenKey { pair, public, id }
    }

    /// The `kid` of its tokens.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The public key as PEM.
    pub(super) fn public_pem(&self) -> String {
        let text = STANDARD.encode([&KEY_PREFIX[..], &self.public].concat());
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for line in text.as_bytes().chunks(PEM_LINE) {
            pem.extend(line.iter().map(|&byte| char::from(byte)));
            pem.push('\n');
        }
        pem + "-----END PUBLIC KEY-----\n"
    }

    /// A token with these claims, valid until `expires` (Unix time).
    pub(super) fn token(&self, about: &About<'_>, claims: &Map<String, Value>) -> String {
        let header = json!({
            "typ": "JWT", "kid": self.id, "alg": "ES256", "iss": about.issuer, "client": about.client,
            "signer": about.signer, "exp": about.expires,
        });
        let mut claims = claims.clone();
        claims.insert("exp".to_owned(), json!(about.expires));
        claims.insert("iss".to_owned(), json!(about.issuer));
        let part = |value: &[u8]| URL_SAFE.encode(value);
        let signed =
            format!("{}.{}", part(header.to_string().as_bytes()), part(Value::Object(claims).to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("the generator does not fail once it is seeded");
        format!("{signed}.{}", part(signature.as_ref()))
    }
}

/// What a token's header says.
pub(super) struct About<'a> {
    /// The provider.
    pub(super) issuer: &'a str,
    /// Our client id there.
    pub(super) client: &'a str,
    /// The load balancer's ARN.
    pub(super) signer: &'a str,
    /// Unix time.
    pub(super) expires: i64,
}

/// The claims of a token that came straight from its issuer over TLS, whose
/// signature need not be looked at (OpenID Connect Core, 3.1.3.7, rule 6).
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn uuid(digest: &[u8]) -> String {
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    /// Tokens verify with the public key; the key is the same after a restart.
    #[test]
    fn tokens_verify() {
        let key = TokenKey::new(&[7; 32]);
        assert_eq!(key.id(), TokenKey::new(&[7; 32]).id());
        assert_ne!(key.id(), TokenKey::new(&[8; 32]).id());
        let about = About { issuer: "https://id.example", client: "me", signer: "arn:lb", expires: 99 };
        let user = Map::from_iter([("sub".to_owned(), json!("ann"))]);
        let token = key.token(&about, &user);
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE.decode(signature).expect("with padding");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.public);
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
        let claims = claims(&token).expect("claims");
        assert_eq!(claims["sub"], "ann");
        assert_eq!(claims["exp"], 99);
        let header: Value =
            serde_json::from_slice(&URL_SAFE.decode(token.split('.').next().expect("a part")).expect("base64"))
                .expect("JSON");
        assert_eq!(
            (&header["alg"], &header["signer"], &header["client"]),
            (&json!("ES256"), &json!("arn:lb"), &json!("me"))
        );
        assert!(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"));
    }
}
