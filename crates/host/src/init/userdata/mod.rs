//! From the bytes of user data to its parts (ec2-imds.md 5.4): formats are
//! recognised (`format`), messages and archives taken apart (`mime`,
//! `gather`), includes fetched (`fetch`), and cloud-configs read (`yaml`) and
//! merged (`merge`). What the parts then do is not decided here.

mod fetch;
mod format;
mod gather;
mod merge;
mod mime;
mod unpack;
mod yaml;

pub(super) use fetch::Fetcher;
pub(super) use gather::{Gathered, Kind, Part, gather};
pub(super) use merge::merged;
pub(super) use mime::base64_lines;
pub(super) use unpack::gunzip;

/// What is found wrong with user data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It has no effect on the result of the boot.
    Warning(String),
    /// The boot has failed with it.
    Failure(String),
}
