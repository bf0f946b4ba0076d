//! Keys that seal what clients keep for the load balancer.
//!
//! A key is derived from the installation's secret and the day, so all
//! proxies of an installation have the same keys, a new process has those of
//! its predecessor, and no key is used for longer than a day. Texts of the
//! last eight days can be opened: cookies live for seven.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use elastane_domain::time::Time;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Service time that a key seals for.
const PERIOD_SECONDS: i64 = 24 * 60 * 60;
/// Periods that a sealed text can be opened for, after its own.
const PERIODS_KEPT: i64 = 8;
/// Keys that are kept: of the periods that can be opened, and of one ahead.
const KEYS_MAX: usize = PERIODS_KEPT as usize + 2;
/// Longest text that is looked at; cookies are no longer than 4 KiB.
const SEALED_MAX: usize = 4096;
/// Number of the period in front of a sealed text.
const PERIOD_BYTES: usize = 4;

/// The keys of one thread.
pub(crate) struct Jar {
    secret: [u8; 32],
    keys: RefCell<BTreeMap<u32, LessSafeKey>>,
}

/// Length of a key.
struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        32
    }
}

impl Jar {
    /// Keys derived from the installation's secret.
    pub(crate) fn new(secret: [u8; 32]) -> Jar {
        Jar { secret, keys: RefCell::default() }
    }

    /// Seals a text for a purpose and a context, as characters that a cookie
    /// may have (base64 without padding).
    pub(crate) fn seal(&self, purpose: u8, context: &str, plain: &[u8], now: Time) -> Vec<u8> {
        let period = period_of(now);
        let mut nonce = [0; NONCE_LEN];
        // The generator of this library does not fail once it is seeded. A
        // repeated nonce would tell with this cipher that two texts are equal, and no more.
        let _ = aws_lc_rs::rand::fill(&mut nonce);
        let mut sealed = plain.to_vec();
        let aad = Aad::from(associated(purpose, context));
        let done = self.with_key(period, |key| {
            key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).is_ok()
        });
        assert!(done, "texts of a few bytes can be sealed");
        let whole = [&period.to_be_bytes()[..], &nonce, &sealed].concat();
        STANDARD_NO_PAD.encode(whole).into_bytes()
    }

    /// What was sealed; `None` for anything that [`Jar::seal`] did not make
    /// for this purpose and context in the last days.
    pub(crate) fn open(&self, purpose: u8, context: &str, sealed: &[u8], now: Time) -> Option<Vec<u8>> {
        if sealed.len() > SEALED_MAX {
            return None;
        }
        let whole = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (period, rest) = whole.split_first_chunk::<PERIOD_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let period = u32::from_be_bytes(*period);
        let age = i64::from(period_of(now)) - i64::from(period);
        // One period ahead: the clocks of two proxies differ.
        if !(-1..=PERIODS_KEPT).contains(&age) {
            return None;
        }
        let mut text = sealed.to_vec();
        let aad = Aad::from(associated(purpose, context));
        let length = self.with_key(period, |key| {
            let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text);
            opened.map(|plain| plain.len()).ok()
        })?;
        text.truncate(length);
        Some(text)
    }

    fn with_key<R>(&self, period: u32, with: impl FnOnce(&LessSafeKey) -> R) -> R {
        let mut keys = self.keys.borrow_mut();
        let key = keys.entry(period).or_insert_with(|| derive(&self.secret, period));
        let result = with(key);
        while keys.len() > KEYS_MAX {
            keys.pop_first();
        }
        result
    }
}

fn period_of(now: Time) -> u32 {
    u32::try_from(now.seconds().div_euclid(PERIOD_SECONDS)).unwrap_or(0)
}

fn associated(purpose: u8, context: &str) -> Vec<u8> {
    let mut bytes = vec![purpose];
    bytes.extend_from_slice(context.as_bytes());
    bytes
}

fn derive(secret: &[u8; 32], period: u32) -> LessSafeKey {
    let mut bytes = [0; 32];
    let extracted = Salt::new(HKDF_SHA256, b"elastane cookies").extract(secret);
    let info = [&period.to_be_bytes()[..]];
    let filled = extracted.expand(&info, KeyBytes).and_then(|key| key.fill(&mut bytes));
    filled.expect("a key's length is below the derivation's limit");
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &bytes).expect("the cipher takes keys of this length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::time::Span;

    const NOW: Time = Time(1_700_000_000_000);
    const DAY: Span = Span::from_mins(24 * 60);

    /// What was sealed can be opened, by another thread or process too, for days.
    #[test]
    fn alb_4_sealed_texts_open() {
        let sealed = Jar::new([7; 32]).seal(1, "lb", b"text", NOW);
        let jar = Jar::new([7; 32]);
        for days in [0, 1, 7, 8] {
            assert_eq!(jar.open(1, "lb", &sealed, NOW + DAY * days).as_deref(), Some(&b"text"[..]), "{days}");
        }
        assert!(jar.keys.borrow().len() <= KEYS_MAX);
        assert_ne!(sealed, jar.seal(1, "lb", b"text", NOW), "no two sealed texts are equal");
    }

    /// Everything else is refused.
    #[test]
    fn alb_4_other_texts_do_not_open() {
        let jar = Jar::new([7; 32]);
        let sealed = jar.seal(1, "lb", b"text", NOW);
        assert_eq!(jar.open(2, "lb", &sealed, NOW), None, "another purpose");
        assert_eq!(jar.open(1, "other", &sealed, NOW), None, "another load balancer");
        assert_eq!(jar.open(1, "lb", &sealed, NOW + DAY * 9), None, "too old");
        assert_eq!(Jar::new([8; 32]).open(1, "lb", &sealed, NOW), None, "another secret");
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(jar.open(1, "lb", &changed, NOW), None, "changed at {index}");
            assert_eq!(jar.open(1, "lb", &sealed[..index], NOW), None, "cut at {index}");
        }
        assert_eq!(jar.open(1, "lb", &vec![b'A'; SEALED_MAX + 1], NOW), None, "too long");
    }
}
