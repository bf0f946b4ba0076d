//! Header conditions, indexed: each header of a request is looked at once,
//! however many rules have conditions on headers.

use super::Request;
use super::grams::Grams;
use super::index::{End, Literals, TEXT_BYTES, copied};
use super::pattern::Matcher;

/// Names of this many bytes and longer share one bit of [`Headers::lengths`].
const LENGTHS: usize = 63;

/// The rules of one block by the first header that each has a condition on.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// Rules without a condition on headers.
    pub(super) others: u128,
    /// Sorted by length, then by name.
    names: Vec<Name>,
    /// Which lengths names have: most headers of a request have none of them.
    lengths: u64,
}

/// A header that conditions name, in lower case, with its values.
#[derive(Debug)]
struct Name {
    name: Box<[u8]>,
    /// Values that begin with a literal.
    starts: Literals,
    /// The others.
    parts: Grams,
}

impl Headers {
    /// Adds a rule's condition; `name` is in lower case.
    pub(super) fn add(&mut self, name: &str, values: &[Matcher], rule: u128) {
        let name = name.as_bytes();
        self.lengths |= 1 << name.len().min(LENGTHS);
        let at = match self.find(name) {
            Ok(at) => at,
            Err(at) => {
                let new = Name { name: name.into(), starts: Literals::default(), parts: Grams::default() };
                self.names.insert(at, new);
                at
            }
        };
        for value in values {
            match value {
                Matcher::Wildcard(wildcard) if wildcard.head().is_empty() && !wildcard.is_literal() => {
                    self.names[at].parts.add(value.gram(), rule);
                }
                value => self.names[at].starts.add(value, rule, End::Head),
            }
        }
    }

    /// To be called when all rules were added.
    pub(super) fn finish(&mut self) {
        self.names.iter_mut().for_each(|name| name.starts.finish());
    }

    /// Rules that the headers of a request may match.
    #[inline]
    pub(super) fn lookup<R: Request>(&self, request: &R) -> u128 {
        let mut rules = self.others;
        request.each_header(&mut |name, value| {
            if self.lengths >> name.len().min(LENGTHS) & 1 == 0 {
                return;
            }
            if let Ok(at) = self.find(name) {
                rules |= self.names[at].lookup(value);
            }
        });
        rules
    }

    /// Where a name in any case is, or would be.
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        let lower = || name.iter().map(u8::to_ascii_lowercase);
        self.names.binary_search_by(|known| {
            known.name.len().cmp(&name.len()).then_with(|| known.name.iter().copied().cmp(lower()))
        })
    }
}

impl Name {
    fn lookup(&self, value: &[u8]) -> u128 {
        let mut buffer = [0; TEXT_BYTES];
        self.starts.lookup(copied(value.iter().map(u8::to_ascii_lowercase), &mut buffer)) | self.parts.lookup(value)
    }
}
