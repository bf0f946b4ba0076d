//! Patterns that begin with a wildcard, found by three bytes that every
//! matching text must have somewhere: one pass over a text names the rules
//! whose three bytes it has. Two different threes may share a place in the
//! table, so it may name too many rules, never too few.

use super::pattern::Gram;

/// Places in the table: far more than a block has patterns, so that few texts
/// name a rule by chance.
const PLACES: usize = 4096;

/// The rules of one block by what their patterns contain.
#[derive(Debug, Default)]
pub(super) struct Grams {
    /// Rules that every text may match.
    any: u128,
    /// Every rule in here; 0 when the tables are empty.
    all: u128,
    /// For each place, which of `sets`; 0 is none, the first set is empty.
    places: Box<[u16]>,
    sets: Vec<Set>,
}

/// The rules of one place.
#[derive(Debug)]
struct Set {
    /// In lower case; `None` where several have the same place.
    gram: Option<Gram>,
    rules: u128,
}

impl Grams {
    /// Whether no pattern was added.
    pub(super) fn is_empty(&self) -> bool {
        self.all | self.any == 0
    }

    /// Adds what a rule's pattern needs; `None` when nothing is known of it.
    pub(super) fn add(&mut self, gram: Option<Gram>, rule: u128) {
        let Some(gram) = gram else {
            self.any |= rule;
            return;
        };
        if self.places.is_empty() {
            self.places = vec![0; PLACES].into_boxed_slice();
            self.sets.push(Set { gram: None, rules: 0 });
        }
        self.all |= rule;
        let gram = gram.map(|byte| byte.to_ascii_lowercase());
        let place = place(gram);
        if self.places[place] == 0 {
            // At most as many sets as places.
            self.places[place] = u16::try_from(self.sets.len()).expect("there are fewer places than numbers");
            self.sets.push(Set { gram: Some(gram), rules: 0 });
        }
        let set = &mut self.sets[usize::from(self.places[place])];
        set.gram = set.gram.filter(|known| *known == gram);
        set.rules |= rule;
    }

    /// Rules that `text` may match.
    pub(super) fn lookup(&self, text: &[u8]) -> u128 {
        let mut rules = self.any;
        if self.all == 0 {
            return rules;
        }
        for three in text.windows(3) {
            let gram = [three[0], three[1], three[2]].map(|byte| byte.to_ascii_lowercase());
            let number = self.places[place(gram)];
            if number != 0 {
                let set = &self.sets[usize::from(number)];
                rules |= if set.gram.is_none_or(|known| known == gram) { set.rules } else { 0 };
            }
        }
        rules
    }
}

/// The place of three bytes in lower case.
fn place(gram: Gram) -> usize {
    let number = gram.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    // The upper bits of a product with an odd number spread well (Fibonacci hashing).
    (number.wrapping_mul(0x9e37_79b1) >> (u32::BITS - PLACES.ilog2())) as usize
}
