//! Looking up many keys that come in order.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

/// A key that is further away than so many entries is looked up.
const STEPS_MAX: usize = 8;

/// Finds entries of a map. A key that comes soon after the one before costs a
/// step or two and no search, so that going through two tables side by side
/// takes time that grows with their sizes alone; any other key is found as well.
pub(crate) struct Cursor<'t, K, V> {
    map: &'t BTreeMap<K, V>,
    rest: Peekable<btree_map::Range<'t, K, V>>,
    /// The key just before `rest`, when it is known.
    passed: Option<&'t K>,
}

impl<'t, K: Ord, V> Cursor<'t, K, V> {
    /// At the first entry of a map.
    pub fn over(map: &'t BTreeMap<K, V>) -> Cursor<'t, K, V> {
        Cursor { map, rest: map.range(..).peekable(), passed: None }
    }

    /// The entry of a key.
    pub fn get<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&'t V>
    where
        K: Borrow<Q>,
    {
        if self.passed.is_none_or(|passed| passed.borrow() < key) {
            for _ in 0..STEPS_MAX {
                let Some((at, value)) = self.rest.peek() else { break };
                match (*at).borrow().cmp(key) {
                    std::cmp::Ordering::Less => {
                        self.passed = Some(at);
                        self.rest.next();
                    }
                    std::cmp::Ordering::Equal => return Some(value),
                    std::cmp::Ordering::Greater if self.passed.is_some() => return None,
                    std::cmp::Ordering::Greater => break,
                }
            }
        }
        self.rest = self.map.range((Bound::Included(key), Bound::Unbounded)).peekable();
        self.passed = None;
        self.rest.peek().filter(|(at, _)| (*at).borrow() == key).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// In any order, what is there is found and nothing else.
    #[test]
    fn any_order() {
        let mut rng = Rng::new(3);
        for size in [0, 1, 2, 40] {
            let map: BTreeMap<u64, u64> = (0..size).map(|_| rng.draw() % 100).map(|key| (key, key + 1)).collect();
            let mut cursor = Cursor::over(&map);
            for round in 0..3 {
                let keys = (0..100).map(|key| if round == 1 { rng.draw() % 101 } else { key });
                for key in keys.collect::<Vec<u64>>() {
                    for _ in 0..2 {
                        assert_eq!(cursor.get(&key), map.get(&key), "{key} of {map:?}");
                    }
                }
            }
        }
    }
}
