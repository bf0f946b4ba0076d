//! How requests that two parsers could read in two ways are named and
//! treated (alb.md 7.2). What can be read in one way only after a choice is
//! passed on in that one way, never as it came; what cannot be framed at all
//! is refused in every mode.

use elastane_domain::routing::Desync;

/// How far a request is from the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It complies.
    Compliant,
    /// It does not, and nobody misreads it.
    Acceptable,
    /// Parsers may read it in different ways.
    Ambiguous,
    /// It looks like an attack.
    Severe,
}

/// What is odd about a request, from the least to the most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// GET or HEAD with `Content-Length: 0`.
    GetHeadZeroContentLength,
    /// A header with bytes that are not ASCII, or with control characters.
    NonCompliantHeader,
    /// A version that is written unlike the standard's.
    NonCompliantVersion,
    /// A space in the request target.
    SpaceInUri,
    /// A control character in the request target.
    AmbiguousUri,
    /// `Content-Length` and `Transfer-Encoding`.
    BothTeClPresent,
    /// Several `Content-Length` of the same value.
    DuplicateContentLength,
    /// A header line without a name.
    EmptyHeader,
    /// A header that looks like one of those that frame the body.
    SuspiciousHeader,
    /// GET or HEAD with a `Content-Length` that is not 0.
    UndefinedContentLengthSemantics,
    /// GET or HEAD with `Transfer-Encoding`.
    UndefinedTransferEncodingSemantics,
    /// A `Content-Length` that is not a number.
    BadContentLength,
    /// A header with a NUL, a carriage return or a name that is none.
    BadHeader,
    /// A `Transfer-Encoding` that cannot be.
    BadTransferEncoding,
    /// A NUL or a carriage return in the request target.
    BadUri,
    /// A method that is none.
    BadMethod,
    /// No version, or one that is none.
    BadVersion,
    /// Several `Content-Length` of different values.
    MultipleContentLength,
    /// Several `Transfer-Encoding: chunked`.
    MultipleTransferEncodingChunked,
    /// A framing header and one that looks like the other.
    SuspiciousTeClPresent,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It passes, and neither connection serves another one.
    AllowAndClose,
    /// 400.
    Block,
}

impl Class {
    /// As the access log spells it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Compliant => "Compliant",
            Class::Acceptable => "Acceptable",
            Class::Ambiguous => "Ambiguous",
            Class::Severe => "Severe",
        }
    }
}

impl Reason {
    /// The class that it puts a request in.
    pub fn class(self) -> Class {
        if self >= Reason::BadContentLength {
            Class::Severe
        } else if self >= Reason::AmbiguousUri {
            Class::Ambiguous
        } else {
            Class::Acceptable
        }
    }

    /// As the access log spells it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::GetHeadZeroContentLength => "GetHeadZeroContentLength",
            Reason::NonCompliantHeader => "NonCompliantHeader",
            Reason::NonCompliantVersion => "NonCompliantVersion",
            Reason::SpaceInUri => "SpaceInUri",
            Reason::AmbiguousUri => "AmbiguousUri",
            Reason::BothTeClPresent => "BothTeClPresent",
            Reason::DuplicateContentLength => "DuplicateContentLength",
            Reason::EmptyHeader => "EmptyHeader",
            Reason::SuspiciousHeader => "SuspiciousHeader",
            Reason::UndefinedContentLengthSemantics => "UndefinedContentLengthSemantics",
            Reason::UndefinedTransferEncodingSemantics => "UndefinedTransferEncodingSemantics",
            Reason::BadContentLength => "BadContentLength",
            Reason::BadHeader => "BadHeader",
            Reason::BadTransferEncoding => "BadTransferEncoding",
            Reason::BadUri => "BadUri",
            Reason::BadMethod => "BadMethod",
            Reason::BadVersion => "BadVersion",
            Reason::MultipleContentLength => "MultipleContentLength",
            Reason::MultipleTransferEncodingChunked => "MultipleTransferEncodingChunked",
            Reason::SuspiciousTeClPresent => "SuspiciousTeClPresent",
        }
    }

    /// What a mode does with a request whose worst reason is this one.
    pub fn verdict(self, mode: Desync) -> Verdict {
        match (self.class(), mode) {
            (Class::Compliant, _) | (_, Desync::Monitor) | (Class::Acceptable, Desync::Defensive) => Verdict::Allow,
            (Class::Ambiguous, Desync::Defensive) => Verdict::AllowAndClose,
            (Class::Severe, Desync::Defensive) | (_, Desync::Strictest) => Verdict::Block,
        }
    }
}

/// Whether a header's name becomes that of a framing header when what is not
/// a letter is left out, as some servers do; not for the names themselves.
pub(super) fn is_suspicious(name: &[u8]) -> Option<Framing> {
    // Most names differ in length or in the first letter.
    if !(13..=24).contains(&name.len()) {
        return None;
    }
    let first = name.iter().find(|byte| byte.is_ascii_alphabetic())?.to_ascii_lowercase();
    if !matches!(first, b'c' | b't') {
        return None;
    }
    let is = |other: &[u8]| {
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
        letters.eq(other.iter().copied())
    };
    if is(b"transferencoding") {
        Some(Framing::TransferEncoding)
    } else if is(b"contentlength") {
        Some(Framing::ContentLength)
    } else {
        None
    }
}

/// The headers that frame bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    ContentLength,
    TransferEncoding,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of alb.md 7.2.
    #[test]
    fn alb_7_2_modes() {
        use Verdict::{Allow, AllowAndClose, Block};
        let modes = [Desync::Monitor, Desync::Defensive, Desync::Strictest];
        for (reason, class, want) in [
            (Reason::GetHeadZeroContentLength, Class::Acceptable, [Allow, Allow, Block]),
            (Reason::SpaceInUri, Class::Acceptable, [Allow, Allow, Block]),
            (Reason::AmbiguousUri, Class::Ambiguous, [Allow, AllowAndClose, Block]),
            (Reason::UndefinedTransferEncodingSemantics, Class::Ambiguous, [Allow, AllowAndClose, Block]),
            (Reason::BadContentLength, Class::Severe, [Allow, Block, Block]),
            (Reason::SuspiciousTeClPresent, Class::Severe, [Allow, Block, Block]),
        ] {
            assert_eq!((reason.class(), modes.map(|mode| reason.verdict(mode))), (class, want), "{reason:?}");
        }
    }

    /// Names that some servers take for framing headers.
    #[test]
    fn suspicious_names() {
        for (name, want) in [
            ("Transfer_Encoding", Some(Framing::TransferEncoding)),
            ("TransferEncoding", Some(Framing::TransferEncoding)),
            ("content.length", Some(Framing::ContentLength)),
            ("_Content-Length", Some(Framing::ContentLength)),
            ("Content-Location", None),
            ("Content-Lengthy", None),
            ("X-Transfer-Encoding", None),
        ] {
            assert_eq!(is_suspicious(name.as_bytes()), want, "{name}");
        }
    }
}
