//! Moving bytes from one TCP connection to another without copying them:
//! `splice(2)` through a pipe. Pipes are kept per thread and lent for as long
//! as bytes are inside, so an idle connection holds none. Where the system
//! has no pipe to give, [`Mover::is_usable`] says so and callers copy.

use crate::http::body::Body;
use crate::stream::Stream;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Below this many bytes a copy costs less than two more system calls.
pub(crate) const WORTHWHILE_BYTES: u64 = 64 * 1024;
/// What a pipe holds; the most that is inside it between two sockets. Larger
/// ones fall out of the processor's cache and count against the user's limit.
const PIPE_BYTES: usize = 256 * 1024;
/// What one call may move before others get their turn.
const TURN_BYTES: u64 = 1024 * 1024;
/// Pipes kept for reuse by one thread.
const SPARE_MAX: usize = 16;
/// Pipes that one thread has at most: receivers that do not read keep
/// theirs, and each takes two descriptors and up to [`PIPE_BYTES`].
const PIPES_MAX: usize = 256;

struct Pipe {
    input: OwnedFd,
    output: OwnedFd,
    /// What it holds when full.
    size: usize,
}

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static LENT: Cell<usize> = const { Cell::new(0) };
}

fn lend() -> Option<Pipe> {
    if LENT.get() >= PIPES_MAX {
        return None;
    }
    let pipe = SPARE.with_borrow_mut(Vec::pop).or_else(|| {
        let (output, input) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        // A user who has many pipes gets small ones, which work as well.
        let size = fcntl_setpipe_size(&input, PIPE_BYTES).unwrap_or(4096);
        Some(Pipe { input, output, size })
    })?;
    LENT.set(LENT.get() + 1);
    Some(pipe)
}

/// Takes back a pipe; one with bytes inside is closed.
fn take_back(pipe: Pipe, is_empty: bool) {
    LENT.set(LENT.get() - 1);
    SPARE.with_borrow_mut(|spare| {
        if is_empty && spare.len() < SPARE_MAX {
            spare.push(pipe);
        }
    });
}

/// One direction between two connections.
#[derive(Default)]
pub(crate) struct Mover {
    /// Lent while bytes are inside.
    pipe: Option<Pipe>,
    inside: usize,
    refused: bool,
    /// It has had its turn; the task was woken for the next one.
    paused: bool,
}

/// Which side a move failed at.
#[derive(Debug)]
pub(crate) enum MoveError {
    /// Reading.
    From(io::Error),
    /// Writing.
    To(io::Error),
}

impl Drop for Mover {
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            take_back(pipe, self.inside == 0);
        }
    }
}

impl Mover {
    /// Whether moving works; if not, the caller copies.
    pub(crate) fn is_usable(&self) -> bool {
        !self.refused
    }

    /// Whether all bytes that were taken from the one side have reached the other.
    pub(crate) fn is_empty(&self) -> bool {
        self.inside == 0
    }

    /// Whether a body with so much left is moved: a long one, and one of
    /// which bytes are inside.
    pub(crate) fn is_wanted(&self, left: &Body) -> bool {
        let is_long = matches!(left, Body::Length(left) if *left >= WORTHWHILE_BYTES);
        (is_long && self.is_usable()) || !self.is_empty()
    }

    /// [`Mover::poll_move`] for the rest of a body of known length. Inside TLS
    /// or HTTP/2 nothing is moved, and the mover is not usable any more.
    pub(crate) fn poll_body(
        &mut self,
        from: &Stream,
        to: &Stream,
        left: &mut Body,
        context: &mut Context<'_>,
    ) -> Poll<Result<u64, MoveError>> {
        let (Stream::Plain(from), Stream::Plain(to)) = (from, to) else {
            self.refused = true;
            return Poll::Ready(Ok(0));
        };
        let mut most = if let Body::Length(left) = left { *left } else { 0 };
        let moved = self.poll_move(from, to, &mut most, context);
        *left = Body::of_length(most);
        moved
    }

    /// Moves bytes until `most` were taken, nothing more comes or fits, or
    /// others should have a turn (the task is then woken again). Ready with
    /// how many bytes the receiver got, at least one; 0 means that the sender
    /// has ended and everything has arrived, or, if [`Mover::is_usable`] turned
    /// false, that the caller must copy. Both sockets must be without
    /// buffers above them. `most` is lowered by what was taken.
    pub(crate) fn poll_move(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        most: &mut u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<u64, MoveError>> {
        if std::mem::take(&mut self.paused) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut moved = 0;
        loop {
            while self.inside > 0 {
                match self.poll_drain(to, context) {
                    Poll::Ready(Ok(count)) => moved += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(MoveError::To(error))),
                    Poll::Pending if moved > 0 => return Poll::Ready(Ok(moved)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if moved >= TURN_BYTES || (moved > 0 && *most == 0) {
                self.paused = *most > 0;
                if *most == 0 {
                    settle(from);
                }
                self.release();
                return Poll::Ready(Ok(moved));
            }
            match self.poll_fill(from, *most, context) {
                Poll::Ready(Ok(0)) => {
                    self.release();
                    return Poll::Ready(Ok(moved));
                }
                Poll::Ready(Ok(count)) => *most -= count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(MoveError::From(error))),
                Poll::Pending => {
                    self.release();
                    return if moved > 0 { Poll::Ready(Ok(moved)) } else { Poll::Pending };
                }
            }
        }
    }

    fn release(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            take_back(pipe, true);
        }
    }

    /// Fills the empty pipe. 0 is the end of the input, or a refusal.
    fn poll_fill(&mut self, from: &TcpStream, most: u64, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        if self.pipe.is_none() {
            self.pipe = lend();
        }
        let Some(pipe) = &self.pipe else {
            self.refused = true;
            return Poll::Ready(Ok(0));
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(pipe.size);
        loop {
            ready!(from.poll_read_ready(context))?;
            let taken = from.try_io(Interest::READABLE, || {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                splice(from, None, &pipe.input, None, most, flags).map_err(io::Error::from)
            });
            match taken {
                Ok(count) => {
                    self.inside = count;
                    return Poll::Ready(Ok(count as u64));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_refusal(&error) => {
                    self.refused = true;
                    return Poll::Ready(Ok(0));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes what is inside. Bytes that are inside cannot be copied any more:
    /// every error is final.
    fn poll_drain(&mut self, to: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let Some(pipe) = &self.pipe else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        loop {
            ready!(to.poll_write_ready(context))?;
            let given = to.try_io(Interest::WRITABLE, || {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                splice(&pipe.output, None, to, None, self.inside, flags).map_err(io::Error::from)
            });
            match given {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.inside -= count;
                    return Poll::Ready(Ok(count as u64));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Lets the reactor notice that nothing more is there: it believes that a
/// socket is readable until a call says otherwise, and a connection that
/// seems to have spoken is not kept for the next request.
fn settle(from: &TcpStream) {
    let peek = || rustix::net::recv(from, &mut [0; 1], RecvFlags::PEEK).map_err(io::Error::from);
    // What is there, or what is wrong, is found by whoever reads next.
    let _ = from.try_io(Interest::READABLE, peek);
}

/// Whether the kernel does not splice these sockets at all.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pipes are limited, used again when they are empty, and closed when they are not.
    #[test]
    fn pipes_are_limited_and_used_again() {
        let mut lent: Vec<Pipe> = std::iter::from_fn(lend).take(PIPES_MAX + 1).collect();
        assert!(lent.len() <= PIPES_MAX && !lent.is_empty());
        assert!(lent.len() == PIPES_MAX || LENT.get() < PIPES_MAX, "fewer only when the system has no more");
        while let Some(pipe) = lent.pop() {
            let is_empty = lent.len() < 3;
            take_back(pipe, is_empty);
        }
        assert_eq!((LENT.get(), SPARE.with_borrow(Vec::len)), (0, 3));
        take_back(lend().expect("one is spare"), true);
        assert_eq!((LENT.get(), SPARE.with_borrow(Vec::len)), (0, 3));
    }

    /// Only long bodies are moved, and those of which a part is under way.
    #[test]
    fn long_bodies_are_wanted() {
        let mut mover = Mover::default();
        for (left, want) in [
            (Body::Empty, false),
            (Body::Length(WORTHWHILE_BYTES - 1), false),
            (Body::Length(WORTHWHILE_BYTES), true),
            (Body::chunked(), false),
            (Body::UntilClose, false),
        ] {
            assert_eq!(mover.is_wanted(&left), want, "{left:?}");
        }
        mover.inside = 1;
        assert!(mover.is_wanted(&Body::Empty));
        (mover.inside, mover.refused) = (0, true);
        assert!(!mover.is_wanted(&Body::Length(u64::MAX)));
    }
}
