//! Both directions of a flow: neither side is read faster than the other can
//! be written to, either may end before the other, and long runs of clear
//! text are not copied.

use crate::splice::{MoveError, Mover};
use crate::stream::Stream;
use crate::thread::Thread;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// A read of so many bytes shows a long run: the rest is moved without copies.
const RUN_BYTES: usize = 32 * 1024;
/// Reads of one direction before others get their turn; moves have their own measure.
const READS_PER_TURN: usize = 16;

/// Which side of a flow an error came from.
#[derive(Debug)]
pub(super) enum Broken {
    /// The one that is read.
    From(io::Error),
    /// The one that is written to.
    To(io::Error),
}

/// One direction.
#[derive(Default)]
pub(super) struct Half {
    /// Read and not yet written.
    pending: Vec<u8>,
    sent: usize,
    mover: Mover,
    in_run: bool,
    ended: bool,
    done: bool,
}

impl Half {
    /// One that has these bytes to say first.
    pub(super) fn beginning_with(bytes: Vec<u8>) -> Half {
        Half { pending: bytes, ..Half::default() }
    }

    /// Whether the sender has ended and everything arrived.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Moves what can be moved; ready when done. `moved` grows with what was written.
    pub(super) fn poll(
        &mut self,
        thread: &Thread,
        from: &mut Stream,
        to: &mut Stream,
        moved: &mut u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..READS_PER_TURN {
            if self.done {
                return Poll::Ready(Ok(()));
            }
            std::task::ready!(self.poll_flush(to, moved, context))?;
            if self.ended {
                // An end that cannot be said is no loss: the peer has gone too.
                let _ = std::task::ready!(Pin::new(&mut *to).poll_shutdown(context));
                self.done = true;
                continue;
            }
            let step = match (self.in_run && self.mover.is_usable(), &*from, &*to) {
                (true, Stream::Plain(from), Stream::Plain(to)) => {
                    let mut most = u64::MAX;
                    let step = self.mover.poll_move(from, to, &mut most, context);
                    step.map_err(|error| match error {
                        MoveError::From(error) => Broken::From(error),
                        MoveError::To(error) => Broken::To(error),
                    })
                    .map_ok(|count| {
                        *moved += count;
                        self.ended = count == 0 && self.mover.is_usable();
                    })
                }
                _ => self.poll_copy(thread, from, to, moved, context),
            };
            if step.is_pending() {
                self.in_run &= !self.mover.is_empty();
            }
            std::task::ready!(step)?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_flush(&mut self, to: &mut Stream, moved: &mut u64, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.sent < self.pending.len() {
            match std::task::ready!(Pin::new(&mut *to).poll_write(context, &self.pending[self.sent..])) {
                Ok(0) => return Poll::Ready(Err(Broken::To(io::ErrorKind::WriteZero.into()))),
                Ok(count) => {
                    self.sent += count;
                    *moved += count as u64;
                }
                Err(error) => return Poll::Ready(Err(Broken::To(error))),
            }
        }
        // Waiting flows keep no memory.
        self.pending = Vec::new();
        self.sent = 0;
        // What TLS holds back goes out before anything is waited for.
        Pin::new(to).poll_flush(context).map_err(Broken::To)
    }

    fn poll_copy(
        &mut self,
        thread: &Thread,
        from: &mut Stream,
        to: &mut Stream,
        moved: &mut u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let read = match std::task::ready!(thread.poll_read(from, context, <[u8]>::len)) {
            Ok(read) => read,
            // A peer that closes TLS without saying so has closed all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Poll::Ready(Err(Broken::From(error))),
        };
        if read == 0 {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        self.in_run = read >= RUN_BYTES;
        let written = thread.with_scratch(read, |bytes| {
            let written = match Pin::new(to).poll_write(context, bytes) {
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => 0,
            };
            self.pending.extend_from_slice(&bytes[written..]);
            Ok(written)
        });
        Poll::Ready(written.map(|count| *moved += count as u64).map_err(Broken::To))
    }
}
