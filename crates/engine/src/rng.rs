//! The engine's own random numbers: a splitmix64 stream from a seed that the
//! shell passes in, so that a run can be repeated.

use crate::secret::{Entropy, Secrets};

/// A deterministic stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64, Secrets);

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng(seed, Secrets::default())
    }

    /// The same stream, which now gives secrets as well if there is entropy.
    pub fn with_entropy(self, entropy: Option<&Entropy>) -> Rng {
        Rng(self.0, Secrets::new(entropy))
    }

    /// 256 bits that nobody can guess, fit to seed the making of a private
    /// key; `None` when the shell passed in no entropy. All other numbers of
    /// this stream can be guessed.
    pub fn secret(&mut self) -> Option<[u8; 32]> {
        self.1.draw()
    }

    /// The next 64 random bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.draw() % limit }
    }

    /// `digits` lower-case hex digits, at most 32.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut text = format!("{:016x}{:016x}", self.draw(), self.draw());
        text.truncate(digits);
        text
    }

    /// An identifier in EC2's long form: the prefix and 17 hex digits.
    pub fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{}", self.hex(17))
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let high = self.draw() & !0xf000 | 0x4000;
        let low = self.draw() & !(3 << 62) | (2 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}
