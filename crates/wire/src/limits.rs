//! Every limit on what clients may send, by name and with its reason.

/// Bytes of a request's body, before and after decompression. PutMetricData
/// has the largest documented bound, 1 MB.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Bytes of all headers of a request; the daemon's HTTP server applies it.
/// Session tokens of real accounts reach 2 KiB, presigned URLs are line, not headers.
pub const HEADERS_BYTES_MAX: usize = 16 << 10;

/// Bytes of the request line's target. Presigned URLs with a session token stay below.
pub const TARGET_BYTES_MAX: usize = 16 << 10;

/// Bytes of an Authorization header: scope, a signature and 100 signed header names.
pub const AUTHORIZATION_BYTES_MAX: usize = 4 << 10;

/// Headers that one signature may cover; SDKs sign about ten.
pub const SIGNED_HEADERS_MAX: usize = 100;

/// Parameters of one query request: 1,000 metrics of 20 parameters each fit.
pub const PARAMETERS_MAX: usize = 50_000;

/// Nesting of structures, lists and maps. The deepest modelled input has 9.
pub const DEPTH_MAX: usize = 32;

/// Entries of one list or map. The largest modelled list of the implemented
/// operations has 1,000 (tags' resources, metric data).
pub const ENTRIES_MAX: usize = 10_000;

/// What a decoder tolerates.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nesting.
    pub depth: usize,
    /// Entries of one list or map.
    pub entries: usize,
}

impl Limits {
    /// For what clients send.
    pub const REQUEST: Limits = Limits { depth: DEPTH_MAX, entries: ENTRIES_MAX };

    /// For answers read by our own clients: as many entries as the answer's
    /// bytes hold.
    pub const RESPONSE: Limits = Limits { depth: DEPTH_MAX, entries: usize::MAX };
}
