//! Transforms: what a request becomes before it is sent to a target (alb.md 2,
//! item 5). The first match of the expression is replaced; `$1` to `$9` stand
//! for its groups, `$0` for the match, `$$` for a dollar sign.

use super::check::PatternError;
use super::pattern::{Case, compile_regex};
use super::{RuleError, check};
use crate::routing::{Rewrite, Transform};
use regex::bytes::Regex;

/// Compiled size of a transform's expression, which may be 1,024 characters long.
const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// Longest host that a rewrite may give: a DNS name and a port.
const HOST_BYTES_MAX: usize = 255;
/// Longest path with query that a rewrite may give: what fits a request line (alb.md 6).
const URL_BYTES_MAX: usize = 16 * 1024 - 32;

/// What a transform made of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// The expression does not match: the text stays.
    NoMatch,
    /// The new text.
    Applied(Vec<u8>),
    /// The result cannot be sent: the request fails with 500.
    Failed(TransformFailure),
}

/// Why a transform failed, named as in the access log's `request_transform_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransformFailure {
    /// `TransformBufferTooSmall`: the result is too long.
    BufferTooSmall,
    /// `TransformInvalidHost`: the result is no host.
    InvalidHost,
    /// `TransformInvalidPath`: the result is no path.
    InvalidPath,
}

/// The status of a transform that was applied, for the access log.
pub const TRANSFORM_SUCCESS: &str = "TransformSuccess";

impl TransformFailure {
    /// Its name in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            TransformFailure::BufferTooSmall => "TransformBufferTooSmall",
            TransformFailure::InvalidHost => "TransformInvalidHost",
            TransformFailure::InvalidPath => "TransformInvalidPath",
        }
    }
}

impl Rewritten {
    /// Its `request_transform_status` in the access log; `None` for `-`.
    pub fn status(&self) -> Option<&'static str> {
        match self {
            Rewritten::NoMatch => None,
            Rewritten::Applied(_) => Some(TRANSFORM_SUCCESS),
            Rewritten::Failed(failure) => Some(failure.as_str()),
        }
    }
}

/// The transforms of one rule, compiled.
#[derive(Debug, Default)]
pub struct RewriteSet {
    host: Option<Compiled>,
    url: Option<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    replace: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Group(usize),
}

impl RewriteSet {
    /// Compiles the transforms of rule number `rule`; of several of one kind the last counts.
    pub fn compile(rule: usize, transforms: &[Transform]) -> Result<RewriteSet, RuleError> {
        let failed = |error| RuleError { rule, error };
        let mut set = RewriteSet::default();
        for transform in transforms {
            match transform {
                Transform::Host(rewrite) => {
                    set.host = Some(Compiled::new(rewrite, Case::Insensitive).map_err(failed)?);
                }
                Transform::Url(rewrite) => set.url = Some(Compiled::new(rewrite, Case::Sensitive).map_err(failed)?),
            }
        }
        Ok(set)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.host.is_none() && self.url.is_none()
    }

    /// The host to send; `None` without a host transform.
    pub fn host(&self, host: &[u8]) -> Option<Rewritten> {
        let rewrite = self.host.as_ref()?;
        Some(rewrite.apply(host, HOST_BYTES_MAX, TransformFailure::InvalidHost, |result| {
            !result.is_empty() && result.iter().all(|byte| check::is_host_byte(*byte))
        }))
    }

    /// The path and query to send; `None` without a URL transform.
    pub fn url(&self, path_and_query: &[u8]) -> Option<Rewritten> {
        let rewrite = self.url.as_ref()?;
        Some(rewrite.apply(path_and_query, URL_BYTES_MAX, TransformFailure::InvalidPath, |result| {
            result.first() == Some(&b'/') && result.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
        }))
    }
}

impl Compiled {
    fn new(rewrite: &Rewrite, case: Case) -> Result<Compiled, PatternError> {
        let regex = compile_regex(&rewrite.regex, case, REGEX_BYTES_MAX)?;
        Ok(Compiled { regex, replace: pieces(&rewrite.replace) })
    }

    fn apply(&self, text: &[u8], max: usize, invalid: TransformFailure, valid: impl Fn(&[u8]) -> bool) -> Rewritten {
        let Some(found) = self.regex.captures(text) else { return Rewritten::NoMatch };
        let whole = found.get(0).expect("group 0 is the match");
        let mut result = text[..whole.start()].to_vec();
        for piece in &self.replace {
            match piece {
                Piece::Text(text) => result.extend_from_slice(text),
                Piece::Group(n) => result.extend_from_slice(found.get(*n).map_or(&[][..], |group| group.as_bytes())),
            }
            if result.len() > max {
                return Rewritten::Failed(TransformFailure::BufferTooSmall);
            }
        }
        result.extend_from_slice(&text[whole.end()..]);
        if result.len() > max {
            return Rewritten::Failed(TransformFailure::BufferTooSmall);
        }
        if valid(&result) { Rewritten::Applied(result) } else { Rewritten::Failed(invalid) }
    }
}

fn pieces(replace: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    let mut bytes = replace.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek().copied()) {
            (b'$', Some(digit @ b'0'..=b'9')) => {
                bytes.next();
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(usize::from(digit - b'0')));
            }
            (b'$', Some(b'$')) => {
                bytes.next();
                text.push(b'$');
            }
            _ => text.push(byte),
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}
