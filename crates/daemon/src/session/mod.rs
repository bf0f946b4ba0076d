//! Session Manager's data channel: WebSockets on the main port, one live
//! channel a session, the protocol between them and what runs in the instance,
//! and transcripts. Which sessions there are is a matter of rows; what is here
//! lives as long as the daemon, and so do the processes behind it.

mod address;
mod hub;
mod live;
pub mod protocol;
mod socket;
mod streams;
mod transcript;
mod work;

pub use address::{Reached, complete};
pub use hub::Sessions;
pub use socket::{is_channel, limits, seed, upgrade};

use protocol::Now;
use std::time::Instant;

/// The clock of channels: milliseconds since it was made, and wall time.
#[derive(Clone, Copy, Debug)]
pub struct Ticks(Instant);

impl Ticks {
    /// A clock that begins now.
    pub fn start() -> Ticks {
        Ticks(Instant::now())
    }

    /// Now.
    pub fn now(&self) -> Now {
        let millis = u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { millis, wall_ms: crate::clock::wall_ms().max(0).cast_unsigned() }
    }

    /// The moment at which this clock shows `millis`.
    pub fn at(&self, millis: u64) -> Instant {
        self.0 + std::time::Duration::from_millis(millis)
    }
}
