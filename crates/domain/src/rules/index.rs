//! Which rules can match at all, found without looking at each of them: rules
//! are taken in blocks of 128, a set of rules is one word, and the literal
//! starts of patterns are in one sorted list. The rules that remain are then
//! evaluated one by one, so the index may name too many, never too few.

use super::Request;
use super::condition::Test;
use super::pattern::{Matcher, PATTERN_BYTES_MAX};

/// Rules in a block: one bit each in a `u128`.
pub(super) const BLOCK_RULES: usize = 128;

/// An index of up to [`BLOCK_RULES`] rules.
#[derive(Debug)]
pub(super) struct Block {
    /// Methods that conditions name, with the rules that do.
    methods: Vec<(Box<[u8]>, u128)>,
    any_method: u128,
    hosts: Literals,
    paths: Literals,
    /// Path patterns that begin with a wildcard and do not end with one.
    path_ends: Literals,
}

impl Block {
    /// `rules` are the conditions of at most [`BLOCK_RULES`] rules.
    pub(super) fn new<'a>(rules: impl Iterator<Item = &'a [Test]>) -> Block {
        let mut block = Block {
            methods: Vec::new(),
            any_method: 0,
            hosts: Literals::default(),
            paths: Literals::default(),
            path_ends: Literals::default(),
        };
        for (n, tests) in rules.enumerate() {
            let rule = 1_u128 << n;
            block.any_method |= rule;
            let (mut host, mut path) = (false, false);
            for test in tests {
                match test {
                    Test::Method(methods) if block.any_method & rule != 0 => {
                        block.any_method &= !rule;
                        methods.iter().for_each(|method| block.add_method(method, rule));
                    }
                    Test::Host(matchers) if !host => {
                        host = true;
                        block.hosts.add(matchers.iter(), rule, End::Tail);
                    }
                    Test::Path(matchers) if !path => {
                        path = true;
                        let (ends, heads): (Vec<_>, Vec<_>) = matchers.iter().partition(|one| begins_anyhow(one));
                        block.paths.add(heads.into_iter(), rule, End::Head);
                        block.path_ends.add(ends.into_iter(), rule, End::Tail);
                    }
                    _ => {}
                }
            }
            block.hosts.any |= if host { 0 } else { rule };
            block.paths.any |= if path { 0 } else { rule };
        }
        block.hosts.finish();
        block.paths.finish();
        block.path_ends.finish();
        block
    }

    fn add_method(&mut self, method: &[u8], rule: u128) {
        match self.methods.iter_mut().find(|(known, _)| **known == *method) {
            Some((_, rules)) => *rules |= rule,
            None => self.methods.push((method.into(), rule)),
        }
    }

    /// The rules that can match, the first in the lowest bit.
    #[inline]
    pub(super) fn candidates<R: Request>(&self, request: &R) -> u128 {
        let mut rules = self.paths.lookup(request.path());
        if !self.path_ends.is_empty() {
            let mut buffer = [0; TEXT_BYTES];
            rules |= self.path_ends.lookup(reversed(request.path(), &mut buffer, |byte| byte));
        }
        if !self.methods.is_empty() {
            let method = request.method();
            let named = self.methods.iter().find(|(known, _)| **known == *method).map_or(0, |(_, rules)| *rules);
            rules &= named | self.any_method;
        }
        if rules != 0 && !self.hosts.is_empty() {
            let mut buffer = [0; TEXT_BYTES];
            rules &= self.hosts.lookup(reversed(request.host(), &mut buffer, |byte| byte.to_ascii_lowercase()));
        }
        rules
    }
}

/// One byte more than the longest literal, so that a cut text equals none.
const TEXT_BYTES: usize = PATTERN_BYTES_MAX + 1;

/// Whether a pattern begins with a wildcard and ends with a literal.
fn begins_anyhow(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Wildcard(wildcard) => wildcard.head().is_empty() && !wildcard.end().is_empty(),
        Matcher::Regex(_) => false,
    }
}

/// The end of `text`, backwards, each byte as `fold` has it.
#[inline]
fn reversed<'a>(text: &[u8], buffer: &'a mut [u8; TEXT_BYTES], fold: impl Fn(u8) -> u8) -> &'a [u8] {
    let mut length = 0;
    for (to, from) in buffer.iter_mut().zip(text.iter().rev()) {
        *to = fold(*from);
        length += 1;
    }
    &buffer[..length]
}

/// Which end of a pattern is looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Head,
    /// Stored backwards.
    Tail,
}

/// Literal starts, with the rules that need them.
#[derive(Debug, Default)]
struct Literals {
    /// Rules that every text may match.
    any: u128,
    /// Sorted, each once.
    entries: Vec<Literal>,
}

#[derive(Debug)]
struct Literal {
    bytes: Box<[u8]>,
    /// Rules that match a text that is just this.
    whole: u128,
    /// Rules that may match a text that starts with this, or with an entry
    /// that this one starts with.
    start: u128,
    /// The longest other entry that this one starts with.
    parent: Option<usize>,
}

impl Literals {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add<'a>(&mut self, matchers: impl Iterator<Item = &'a Matcher>, rule: u128, end: End) {
        for matcher in matchers {
            let Matcher::Wildcard(wildcard) = matcher else {
                self.any |= rule;
                continue;
            };
            let mut bytes = if end == End::Head { wildcard.head() } else { wildcard.end() }.to_vec();
            if end == End::Tail {
                bytes.reverse();
            }
            if bytes.is_empty() && !wildcard.is_literal() {
                self.any |= rule;
                continue;
            }
            let at = match self.entries.binary_search_by(|entry| (*entry.bytes).cmp(&bytes)) {
                Ok(at) => at,
                Err(at) => {
                    self.entries.insert(at, Literal { bytes: bytes.into(), whole: 0, start: 0, parent: None });
                    at
                }
            };
            if wildcard.is_literal() {
                self.entries[at].whole |= rule;
            } else {
                self.entries[at].start |= rule;
            }
        }
    }

    /// Links each entry with the one that it extends.
    fn finish(&mut self) {
        for n in 1..self.entries.len() {
            let mut parent = Some(n - 1);
            while let Some(at) = parent
                && !self.entries[n].bytes.starts_with(&self.entries[at].bytes)
            {
                parent = self.entries[at].parent;
            }
            self.entries[n].parent = parent;
            if let Some(parent) = parent {
                self.entries[n].start |= self.entries[parent].start;
            }
        }
    }

    /// Rules that `text` may match.
    fn lookup(&self, text: &[u8]) -> u128 {
        // Whatever lies in order between an entry and a text that starts with
        // it starts with that entry too, so all entries that the text starts
        // with are the last one not above it and what that one extends.
        let mut at = self.entries.partition_point(|entry| *entry.bytes <= *text).checked_sub(1);
        while let Some(n) = at {
            let entry = &self.entries[n];
            if text.starts_with(&entry.bytes) {
                let whole = if text.len() == entry.bytes.len() { entry.whole } else { 0 };
                return self.any | entry.start | whole;
            }
            at = entry.parent;
        }
        self.any
    }
}

/// The positions of the bits set, the lowest first.
pub(super) fn bits(mut word: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let n = word.trailing_zeros() as usize;
        word &= word - 1;
        Some(n)
    })
}
