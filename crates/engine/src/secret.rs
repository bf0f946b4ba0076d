//! Randomness that nobody may guess, for private keys. It comes from the
//! shell as 256 bits and is stretched here, so that the engine still reads no
//! random device and a simulated run can be repeated.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::fmt;

/// 256 random bits from outside. A daemon takes them from the operating
/// system at every start; the simulator derives them from its seed.
#[derive(Clone)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// These bits.
    pub fn new(bits: [u8; 32]) -> Entropy {
        Entropy(bits)
    }
}

/// The bits are a secret, so they are not shown.
impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// A stream of secrets. Without entropy it gives none, rather than ones that
/// could be guessed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Option<ChaCha20Rng>);

impl Secrets {
    pub(crate) fn new(entropy: Option<&Entropy>) -> Secrets {
        Secrets(entropy.map(|entropy| ChaCha20Rng::from_seed(entropy.0)))
    }

    pub(crate) fn draw(&mut self) -> Option<[u8; 32]> {
        let mut secret = [0; 32];
        self.0.as_mut()?.fill_bytes(&mut secret);
        Some(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No entropy, no secrets; with it, secrets differ from each other, and a
    /// run with the same entropy repeats them.
    #[test]
    fn secrets_follow_the_entropy() {
        assert_eq!(Secrets::new(None).draw(), None);
        let stream = |bits| {
            let mut secrets = Secrets::new(Some(&Entropy::new(bits)));
            [secrets.draw(), secrets.draw()]
        };
        assert_ne!(stream([1; 32])[0], stream([1; 32])[1]);
        assert_ne!(stream([1; 32])[0], stream([2; 32])[0]);
        assert_eq!(stream([1; 32]), stream([1; 32]));
    }

    /// A log line with the configuration does not tell the bits.
    #[test]
    fn entropy_is_not_shown() {
        assert_eq!(format!("{:?}", Entropy::new([7; 32])), "Entropy(..)");
    }
}
