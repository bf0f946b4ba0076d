//! Temporary keys: made here, believed by the authenticator until they expire
//! or what they stand for is gone.

use super::errors;
use crate::iam;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_domain::secret::SecretText;
use elastane_domain::time::Span;
use elastane_engine::Tx;
use elastane_engine::row::{Holder, TemporaryKey};
use elastane_wire::{ApiError, Timestamp, sts as wire};

/// Temporary keys that may be good at a time in one account: each is a row in
/// memory with its policies.
const LIVE_MAX: usize = 5_000;

/// Draws of 32 bytes that make a session token.
const TOKEN_DRAWS: usize = 3;

/// A new key for so many seconds. Those that have expired go first.
///
/// # Errors
/// `Throttling` when too many are good; `ValidationError` in a world without secrets.
pub fn issue(tx: &mut Tx<'_>, holder: Holder, seconds: i32) -> Result<wire::Credentials, ApiError> {
    let now = tx.now;
    let expired: Vec<String> =
        tx.all::<TemporaryKey>().filter(|key| key.expires_at <= now).map(|key| key.id.clone()).collect();
    for id in expired {
        tx.delete::<TemporaryKey>(&id);
    }
    if tx.temporary_keys.len() >= LIVE_MAX {
        return Err(errors::too_many());
    }
    let (id, secret) = iam::fresh(tx, "ASIA")?;
    let mut token = Vec::new();
    for _ in 0..TOKEN_DRAWS {
        token.extend(tx.rng.secret().ok_or_else(|| errors::unsupported("Making keys without a source of randomness"))?);
    }
    let row = TemporaryKey {
        id,
        secret,
        token: SecretText::new(STANDARD.encode(token)),
        holder,
        created_at: now,
        expires_at: now + Span::from_secs(i64::from(seconds)),
    };
    let credentials = wire::Credentials {
        access_key_id: Some(row.id.clone()),
        expiration: Some(Timestamp(row.expires_at.millis())),
        secret_access_key: Some(row.secret.expose().to_string()),
        session_token: Some(row.token.expose().to_string()),
    };
    tx.put(row);
    Ok(credentials)
}
