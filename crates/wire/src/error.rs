//! The error that every API handler ends in.

use std::borrow::Cow;
use std::fmt;

/// An API failure: the wire code of the query protocols (or the shape's name;
/// the codecs translate between them), the text, the HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// AWS's code, such as `InvalidInstanceID.NotFound`.
    pub code: Cow<'static, str>,
    /// What a person reads.
    pub message: String,
    /// HTTP status, 4xx for the client's faults.
    pub status: u16,
}

impl ApiError {
    /// A client error with status 400.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> ApiError {
        ApiError { code: code.into(), message: message.into(), status: 400 }
    }

    /// The same with another HTTP status.
    pub fn with_status(self, status: u16) -> ApiError {
        ApiError { status, ..self }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}
