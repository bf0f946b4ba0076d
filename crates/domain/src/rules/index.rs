//! Which rules can match at all, found without looking at each of them: rules
//! are taken in blocks of 128, a set of rules is one word, and the literal
//! starts of patterns are in one sorted list; patterns without one go by what
//! they contain. The rules that remain are then evaluated one by one, so the
//! index may name too many, never too few.

use super::Request;
use super::condition::Test;
use super::grams::Grams;
use super::headers::Headers;
use super::pattern::{Gram, Matcher, PATTERN_BYTES_MAX};

/// Rules in a block: one bit each in a `u128`.
pub(super) const BLOCK_RULES: usize = 128;

/// An index of up to [`BLOCK_RULES`] rules.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Methods that conditions name, with the rules that do.
    methods: Vec<(Box<[u8]>, u128)>,
    any_method: u128,
    hosts: Literals,
    paths: Literals,
    /// Path patterns that begin with a wildcard and do not end with one.
    path_ends: Literals,
    /// Path patterns that begin and end with a wildcard.
    path_parts: Grams,
    headers: Headers,
    /// Rules with a condition on the query, by what must be in it.
    queries: Grams,
    any_query: u128,
}

impl Block {
    /// `rules` are the conditions of at most [`BLOCK_RULES`] rules.
    pub(super) fn new<'a>(rules: impl Iterator<Item = &'a [Test]>) -> Block {
        let mut block = Block::default();
        for (n, tests) in rules.enumerate() {
            block.add(tests, 1_u128 << n);
        }
        block.hosts.finish();
        block.paths.finish();
        block.path_ends.finish();
        block.headers.finish();
        block
    }

    /// Adds a rule by the first of its conditions of each kind.
    fn add(&mut self, tests: &[Test], rule: u128) {
        let (mut method, mut host, mut path, mut header, mut query) = (false, false, false, false, false);
        let first = |seen: &mut bool| !std::mem::replace(seen, true);
        for test in tests {
            match test {
                Test::Method(methods) if first(&mut method) => {
                    methods.iter().for_each(|method| self.add_method(method, rule));
                }
                Test::Host(matchers) if first(&mut host) => {
                    matchers.iter().for_each(|matcher| self.hosts.add(matcher, rule, End::Tail));
                }
                Test::Path(matchers) if first(&mut path) => {
                    matchers.iter().for_each(|matcher| self.add_path(matcher, rule));
                }
                Test::Header { name, values } if first(&mut header) => self.headers.add(name, values, rule),
                Test::Query(patterns) if first(&mut query) => {
                    for (key, value) in patterns {
                        self.queries.add(query_gram(key.as_ref(), value), rule);
                    }
                }
                _ => {}
            }
        }
        self.any_method |= if method { 0 } else { rule };
        self.hosts.any |= if host { 0 } else { rule };
        self.paths.any |= if path { 0 } else { rule };
        self.headers.others |= if header { 0 } else { rule };
        self.any_query |= if query { 0 } else { rule };
    }

    fn add_path(&mut self, matcher: &Matcher, rule: u128) {
        match matcher {
            Matcher::Wildcard(wildcard) if wildcard.head().is_empty() && !wildcard.end().is_empty() => {
                self.path_ends.add(matcher, rule, End::Tail);
            }
            Matcher::Wildcard(wildcard) if wildcard.head().is_empty() && wildcard.gram().is_some() => {
                self.path_parts.add(wildcard.gram(), rule);
            }
            matcher => self.paths.add(matcher, rule, End::Head),
        }
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
            rules |= self.path_ends.lookup(copied(request.path().iter().rev().copied(), &mut buffer));
        }
        if !self.path_parts.is_empty() {
            rules |= self.path_parts.lookup(request.path());
        }
        if !self.methods.is_empty() {
            let method = request.method();
            let named = self.methods.iter().find(|(known, _)| **known == *method).map_or(0, |(_, rules)| *rules);
            rules &= named | self.any_method;
        }
        if rules != 0 && !self.hosts.is_empty() {
            let mut buffer = [0; TEXT_BYTES];
            let host = request.host().iter().rev().map(u8::to_ascii_lowercase);
            rules &= self.hosts.lookup(copied(host, &mut buffer));
        }
        if rules & !self.headers.others != 0 {
            rules &= self.headers.lookup(request);
        }
        if rules & !self.any_query != 0 {
            rules &= self.any_query | request.query().map_or(0, |query| self.queries.lookup(query));
        }
        rules
    }
}

/// Three bytes that every query string has in which a key and its value match.
fn query_gram(key: Option<&Matcher>, value: &Matcher) -> Option<Gram> {
    let Matcher::Wildcard(value) = value else {
        return key.and_then(Matcher::gram);
    };
    // A value that is not empty follows its key and the sign in between.
    if let Some(Matcher::Wildcard(key)) = key
        && !value.head().is_empty()
    {
        let joined = [key.end(), b"=", value.head()].concat();
        if let Some(gram) = joined.last_chunk() {
            return Some(*gram);
        }
    }
    value.gram().or_else(|| key.and_then(Matcher::gram))
}

/// One byte more than the longest literal, so that a cut text equals none.
pub(super) const TEXT_BYTES: usize = PATTERN_BYTES_MAX + 1;

/// The first of these bytes.
#[inline]
pub(super) fn copied(text: impl Iterator<Item = u8>, buffer: &mut [u8; TEXT_BYTES]) -> &[u8] {
    let mut length = 0;
    for (to, from) in buffer.iter_mut().zip(text) {
        *to = from;
        length += 1;
    }
    &buffer[..length]
}

/// Which end of a pattern is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Head,
    /// Stored backwards.
    Tail,
}

/// Literal starts, with the rules that need them.
#[derive(Debug, Default)]
pub(super) struct Literals {
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

    pub(super) fn add(&mut self, matcher: &Matcher, rule: u128, end: End) {
        let Matcher::Wildcard(wildcard) = matcher else {
            self.any |= rule;
            return;
        };
        let mut bytes = if end == End::Head { wildcard.head() } else { wildcard.end() }.to_vec();
        if end == End::Tail {
            bytes.reverse();
        }
        if bytes.is_empty() && !wildcard.is_literal() {
            self.any |= rule;
            return;
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

    /// Links each entry with the one that it extends.
    pub(super) fn finish(&mut self) {
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
    pub(super) fn lookup(&self, text: &[u8]) -> u128 {
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
