//! What a process leaves to its successor: listening sockets with all that
//! waits in their queues, the snapshot, the health of targets.

use super::frame::{FRAME_DESCRIPTORS_MAX, Receiver, send};
use super::link::greet;
use super::message::{Estate, Hello, Order, PROTOCOL, Role, Word};
use super::place::dial;
use crate::sockets::HeldListener;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Listeners of one process: 100 load balancers of 50 listeners in 6 zones,
/// each on the host and in a VPC.
const LISTENERS_MAX: usize = 65_536;

/// What a successor has received, and the stream to its predecessor.
pub(super) struct Inherited {
    pub(super) estate: Estate,
    pub(super) listeners: Vec<HeldListener>,
    pub(super) stream: UnixStream,
    pub(super) receiver: Receiver,
    pub(super) hello: Hello,
}

/// Sends all of it.
pub(super) fn give(stream: &mut UnixStream, listeners: Vec<HeldListener>, estate: Estate) -> io::Result<()> {
    for mut listener in listeners {
        let sockets = std::mem::take(&mut listener.sockets);
        let word = Word::Listener(listener);
        // A listener with more threads than a frame takes comes in several.
        for some in sockets.chunks(FRAME_DESCRIPTORS_MAX) {
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            send(stream, &word, &descriptors)?;
        }
    }
    send(stream, &Word::Estate(Box::new(estate)), &[])
}

/// Asks the process at a place of a data directory for all of it. That
/// process goes on serving.
pub(super) fn receive(folder: &Path, index: usize) -> io::Result<Inherited> {
    let mut stream = dial(folder, index)?;
    let (mut receiver, hello) = greet(&stream, Role::Successor)?;
    if hello.protocol != PROTOCOL {
        return Err(io::ErrorKind::Unsupported.into());
    }
    send(&mut stream, &Order::HandOver, &[])?;
    let mut listeners: Vec<HeldListener> = Vec::new();
    while listeners.len() < LISTENERS_MAX {
        match receiver.next::<Word>()? {
            Some((Word::Listener(mut listener), descriptors)) => match listeners.last_mut() {
                Some(last) if last.place == listener.place => last.sockets.extend(descriptors),
                Some(_) | None => {
                    listener.sockets = descriptors;
                    listeners.push(listener);
                }
            },
            Some((Word::Estate(estate), _)) => {
                return Ok(Inherited { estate: *estate, listeners, stream, receiver, hello });
            }
            // Facts come from the moment of attachment on; the successor finds out for itself.
            Some(_) => {}
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "more listeners than there can be"))
}
