//! What the request decoders of all protocols share: their error and the
//! reading of scalars from text.

use crate::time;
use crate::value::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt;

/// Why bytes are not the request that they claim to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not well-formed, or over a limit of [`crate::limits`].
    Malformed(String),
    /// Well-formed, but not of the member's type.
    BadValue {
        /// Where it stands.
        path: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// A parameter that the operation does not have.
    UnknownParameter(String),
}

impl DecodeError {
    pub(crate) fn malformed(text: impl Into<String>) -> DecodeError {
        DecodeError::Malformed(text.into())
    }

    pub(crate) fn bad(path: &str, value: &str, expected: &'static str) -> DecodeError {
        DecodeError::BadValue { path: path.to_owned(), value: value.chars().take(VALUE_ECHO_MAX).collect(), expected }
    }
}

/// Characters of a wrong value that an error repeats.
pub(crate) const VALUE_ECHO_MAX: usize = 256;

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed(text) => f.write_str(text),
            DecodeError::BadValue { path, value, expected } => {
                write!(f, "Value ({value}) for parameter {path} is invalid. Expected {expected}.")
            }
            DecodeError::UnknownParameter(name) => {
                write!(f, "The parameter {name} is not recognized")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Fills a scalar from its text; `path` names it in errors.
pub(crate) fn scalar(place: Place<'_>, text: &str, path: &str) -> Result<(), DecodeError> {
    let bad = |expected| DecodeError::bad(path, text, expected);
    match place {
        Place::String(slot) => text.clone_into(slot),
        Place::Boolean(slot) => {
            // The EC2 API accepts any case, and Python clients have sent `True`.
            *slot = match text {
                _ if text.eq_ignore_ascii_case("true") => true,
                _ if text.eq_ignore_ascii_case("false") => false,
                _ => return Err(bad("true or false")),
            }
        }
        Place::Integer(slot) => *slot = text.trim().parse().map_err(|_| bad("an integer"))?,
        Place::Long(slot) => *slot = text.trim().parse().map_err(|_| bad("an integer"))?,
        Place::Float(slot) => *slot = number(text).ok_or_else(|| bad("a number"))? as f32,
        Place::Double(slot) => *slot = number(text).ok_or_else(|| bad("a number"))?,
        Place::Blob(slot) => *slot = blob(text).ok_or_else(|| bad("base64"))?,
        Place::Timestamp(slot) => *slot = time::parse(text).ok_or_else(|| bad("a timestamp"))?,
        Place::Record(_) | Place::List(_) | Place::Map(_) => {
            // An empty text stands for an empty list or structure in the query protocols.
            if !text.trim().is_empty() {
                return Err(bad("a structure or a list"));
            }
        }
    }
    Ok(())
}

/// A number as the text protocols write it, the special values among them.
pub(crate) fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Bytes from base64, with or without line breaks.
pub(crate) fn blob(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let packed: String = text.split_ascii_whitespace().collect();
        return BASE64.decode(packed).ok();
    }
    BASE64.decode(text).ok()
}

/// Base64 of bytes.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}
