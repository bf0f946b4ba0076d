//! Patterns, compiled: wildcards as one pass over the text with the states in
//! one 128-bit word, regular expressions by the `regex` crate. Matching
//! allocates nothing for wildcards and takes time in proportion to the text.

use super::check::PatternError;
use crate::routing::Pattern;
use regex::bytes::{Regex, RegexBuilder};

/// Longest wildcard pattern, in bytes (alb.md 2.1). The states of the matcher
/// fit into 128 bits because of it.
pub const PATTERN_BYTES_MAX: usize = 128;
/// Compiled size of one regular expression: repetitions of repetitions of 128
/// characters could take gigabytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;
/// Memory that one regular expression may use while it matches.
const REGEX_CACHE_BYTES_MAX: usize = 256 * 1024;

/// Whether letters differ from their other case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `A` is not `a`.
    Sensitive,
    /// `A` is `a`; ASCII only.
    Insensitive,
}

/// A compiled [`Pattern`].
#[derive(Debug)]
pub(super) enum Matcher {
    Wildcard(Wildcard),
    Regex(Regex),
}

impl Matcher {
    pub(super) fn compile(pattern: &Pattern, case: Case) -> Result<Matcher, PatternError> {
        match pattern {
            Pattern::Wildcard(text) => Wildcard::compile(text, case).map(Matcher::Wildcard),
            Pattern::Regex(text) => compile_regex(text, case, REGEX_BYTES_MAX).map(Matcher::Regex),
        }
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Matcher::Wildcard(wildcard) => wildcard.is_match(text),
            Matcher::Regex(regex) => regex.is_match(text),
        }
    }

    /// Three bytes that every matching text has somewhere, in any case if
    /// case does not matter; `None` when nothing is known of it.
    pub(super) fn gram(&self) -> Option<Gram> {
        match self {
            Matcher::Wildcard(wildcard) => wildcard.gram(),
            Matcher::Regex(_) => None,
        }
    }
}

/// Three bytes that follow each other.
pub(super) type Gram = [u8; 3];

/// A regular expression over bytes within `size_max` bytes of program.
pub(super) fn compile_regex(text: &str, case: Case, size_max: usize) -> Result<Regex, PatternError> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(case == Case::Insensitive)
        .size_limit(size_max)
        .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
        .build()
        .map_err(|err| match err {
            regex::Error::CompiledTooBig(_) => PatternError::RegexTooBig,
            err => PatternError::RegexSyntax(err.to_string()),
        })
}

/// One element of a wildcard pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `*`
    Many,
    /// `?`
    One,
    /// A character itself.
    Byte(u8),
}

/// The elements of `pattern`. A backslash takes `*`, `?` and itself
/// literally; before anything else, and at the end, it means itself.
pub(super) fn tokens(pattern: &str) -> Vec<Token> {
    let mut found = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.bytes().peekable();
    while let Some(byte) = bytes.next() {
        found.push(match byte {
            b'*' => Token::Many,
            b'?' => Token::One,
            b'\\' => match bytes.next_if(|next| matches!(next, b'*' | b'?' | b'\\')) {
                Some(next) => Token::Byte(next),
                None => Token::Byte(b'\\'),
            },
            byte => Token::Byte(byte),
        });
    }
    found
}

/// A wildcard pattern: what comes before its first wildcard, what comes after
/// its last, and what lies between.
#[derive(Debug)]
pub(super) struct Wildcard {
    case: Case,
    /// In lower case when case does not matter.
    head: Box<[u8]>,
    tail: Box<[u8]>,
    middle: Middle,
    gram: Option<Gram>,
}

#[derive(Debug)]
enum Middle {
    /// No wildcard: the head is all.
    None,
    /// `*`
    Any,
    /// No `*`: a text of fixed length; `None` is `?`.
    Fixed(Box<[Option<u8>]>),
    Automaton(Automaton),
}

impl Wildcard {
    pub(super) fn compile(pattern: &str, case: Case) -> Result<Wildcard, PatternError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { max: PATTERN_BYTES_MAX });
        }
        let mut tokens = tokens(pattern);
        if case == Case::Insensitive {
            for token in &mut tokens {
                if let Token::Byte(byte) = token {
                    byte.make_ascii_lowercase();
                }
            }
        }
        let literal = |token: &Token| matches!(token, Token::Byte(_));
        let head = tokens.iter().take_while(|token| literal(token)).count();
        let tail = tokens[head..].iter().rev().take_while(|token| literal(token)).count();
        let middle = &tokens[head..tokens.len() - tail];
        let compiled = match middle {
            [] => Middle::None,
            middle if middle.iter().all(|token| *token == Token::Many) => Middle::Any,
            middle if !middle.contains(&Token::Many) => Middle::Fixed(
                middle.iter().map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect(),
            ),
            middle => Middle::Automaton(Automaton::compile(middle, case)),
        };
        let end = tokens.len() - tail;
        let (head, tail) = (bytes(&tokens[..head]), bytes(&tokens[end..]));
        Ok(Wildcard { case, head, tail, middle: compiled, gram: gram(&tokens) })
    }

    /// What every matching text starts with.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// What every matching text ends with, the whole text if there is no wildcard.
    pub(super) fn end(&self) -> &[u8] {
        if self.is_literal() { &self.head } else { &self.tail }
    }

    /// See [`Matcher::gram`].
    pub(super) fn gram(&self) -> Option<Gram> {
        self.gram
    }

    /// Whether it has no wildcard.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.middle, Middle::None)
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        let equal = |a: &[u8], b: &[u8]| match self.case {
            Case::Sensitive => a == b,
            Case::Insensitive => a.eq_ignore_ascii_case(b),
        };
        if text.len() < self.head.len() + self.tail.len() {
            return false;
        }
        let (head, rest) = text.split_at(self.head.len());
        let (middle, tail) = rest.split_at(rest.len() - self.tail.len());
        if !equal(head, &self.head) || !equal(tail, &self.tail) {
            return false;
        }
        match &self.middle {
            Middle::None => middle.is_empty(),
            Middle::Any => true,
            Middle::Fixed(wanted) => {
                middle.len() == wanted.len()
                    && middle.iter().zip(wanted).all(|(&byte, wanted)| {
                        wanted.is_none_or(|wanted| match self.case {
                            Case::Sensitive => wanted == byte,
                            Case::Insensitive => wanted == byte.to_ascii_lowercase(),
                        })
                    })
            }
            Middle::Automaton(automaton) => automaton.is_match(middle),
        }
    }
}

/// The end of the longest part without a wildcard: names that are numbered
/// differ there.
fn gram(tokens: &[Token]) -> Option<Gram> {
    let parts = tokens.split(|token| !matches!(token, Token::Byte(_)));
    let longest = bytes(parts.max_by_key(|part| part.len())?);
    longest.last_chunk().copied()
}

fn bytes(tokens: &[Token]) -> Box<[u8]> {
    tokens.iter().filter_map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect()
}

/// All positions in the pattern that the text so far can have reached, as the
/// bits of one word (the shift-and method). Bit n: n characters are matched.
#[derive(Debug)]
struct Automaton {
    /// Which of `steps` a byte uses.
    class: Box<[u8; 256]>,
    /// For a class of bytes, the positions that such a byte leads to.
    steps: Box<[u128]>,
    /// Positions at which a `*` stands: any byte stays there.
    stay: u128,
    /// The last position.
    end: u128,
}

impl Automaton {
    /// `middle` has a `*` and so at most 127 other elements.
    fn compile(middle: &[Token], case: Case) -> Automaton {
        let mut class = Box::new([0_u8; 256]);
        let mut steps = vec![0_u128];
        let (mut stay, mut position) = (0_u128, 0_u32);
        for token in middle {
            match token {
                Token::Many => stay |= 1 << position,
                Token::One => position += 1,
                Token::Byte(byte) => {
                    position += 1;
                    let at = usize::from(*byte);
                    if class[at] == 0 {
                        class[at] = u8::try_from(steps.len()).expect("at most 127 elements");
                        steps.push(0);
                        if case == Case::Insensitive {
                            class[usize::from(byte.to_ascii_uppercase())] = class[at];
                        }
                    }
                    steps[usize::from(class[at])] |= 1 << position;
                }
            }
        }
        let mut at = 0;
        for token in middle {
            if *token != Token::Many {
                at += 1;
            }
            if *token == Token::One {
                steps.iter_mut().for_each(|step| *step |= 1 << at);
            }
        }
        Automaton { class, steps: steps.into(), stay, end: 1 << position }
    }

    fn is_match(&self, text: &[u8]) -> bool {
        let done = self.end & self.stay;
        let mut reached = 1_u128;
        for &byte in text {
            if reached & done != 0 {
                return true;
            }
            reached = (reached << 1) & self.steps[usize::from(self.class[usize::from(byte)])] | reached & self.stay;
            if reached == 0 {
                return false;
            }
        }
        reached & self.end != 0
    }
}
