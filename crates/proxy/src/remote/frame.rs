//! Frames over a unix stream socket: a length, a number of descriptors, a
//! JSON body. Blocking, with the time limits of the socket; descriptors
//! travel with the first bytes of their frame.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Longest body. A snapshot of 100 load balancers with 25 certificates each is
/// below a third of it.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;
/// Most descriptors of a frame; the kernel takes 253.
pub(super) const FRAME_DESCRIPTORS_MAX: usize = 64;
/// One read.
const READ_BYTES: usize = 64 << 10;
const HEADER_BYTES: usize = 8;

/// Sends a message with descriptors.
pub(super) fn send<T: Serialize>(
    stream: &mut UnixStream,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut bytes = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - HEADER_BYTES;
    if length > FRAME_BYTES_MAX || descriptors.len() > FRAME_DESCRIPTORS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is larger than the other side takes"));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&(descriptors.len() as u32).to_le_bytes());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("there is no room for the descriptors"));
    }
    let sent = loop {
        match sendmsg(&*stream, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    stream.write_all(&bytes[sent..])
}

/// Receives messages.
pub(super) struct Receiver {
    stream: UnixStream,
    bytes: VecDeque<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Receiver {
    pub(super) fn new(stream: UnixStream) -> Receiver {
        Receiver { stream, bytes: VecDeque::new(), descriptors: VecDeque::new() }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// The next message with its descriptors; `None` at the end of the stream.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        if !self.fill(HEADER_BYTES)? {
            return Ok(None);
        }
        let header: Vec<u8> = self.bytes.drain(..HEADER_BYTES).collect();
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (length, count) = (number(0), number(4));
        if length > FRAME_BYTES_MAX || count > FRAME_DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is larger than allowed"));
        }
        if !self.fill(length)? || self.descriptors.len() < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let message = serde_json::from_slice(&self.bytes.make_contiguous()[..length])?;
        self.bytes.drain(..length);
        if self.bytes.is_empty() {
            // A large snapshot's memory is not kept until the next one.
            self.bytes = VecDeque::new();
        }
        Ok(Some((message, self.descriptors.drain(..count).collect())))
    }

    /// Reads until so many bytes are there; `false` at an end before the first of them.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        let mut buffer = vec![0; READ_BYTES];
        while self.bytes.len() < wanted {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_DESCRIPTORS_MAX))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let got = recvmsg(
                self.stream.as_fd(),
                &mut [IoSliceMut::new(&mut buffer)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            );
            let got = match got {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?.bytes,
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            if self.descriptors.len() > 2 * FRAME_DESCRIPTORS_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors come without a message"));
            }
            if got == 0 {
                return if self.bytes.is_empty() { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            self.bytes.extend(&buffer[..got]);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Messages arrive whole and in order, descriptors with theirs; the end of
    /// the stream is told from a message that breaks off.
    #[test]
    fn messages_and_descriptors() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let mut receiver = Receiver::new(there);
        let (pipe_end, mut other_end) = UnixStream::pair().unwrap();
        let long = "x".repeat(3 * READ_BYTES);
        let sender = std::thread::spawn(move || {
            send(&mut here, &"first", &[]).unwrap();
            send(&mut here, &long, &[pipe_end.as_fd()]).unwrap();
            send(&mut here, &"third", &[]).unwrap();
            here.write_all(&[5, 0]).unwrap();
        });
        assert_eq!(receiver.next::<String>().unwrap().map(|(text, fds)| (text, fds.len())), Some(("first".into(), 0)));
        let (text, mut descriptors) = receiver.next::<String>().unwrap().unwrap();
        assert_eq!((text.len(), descriptors.len()), (3 * READ_BYTES, 1));
        UnixStream::from(descriptors.remove(0)).write_all(b"through").unwrap();
        assert_eq!(receiver.next::<String>().unwrap().unwrap().0, "third");
        sender.join().unwrap();
        let mut got = String::new();
        other_end.read_to_string(&mut got).unwrap();
        assert_eq!(got, "through");
        assert_eq!(receiver.next::<String>().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    /// What is too long is refused on both sides.
    #[test]
    fn limits() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let descriptors = vec![there.as_fd(); FRAME_DESCRIPTORS_MAX + 1];
        assert!(send(&mut here, &0, &descriptors).is_err());
        here.write_all(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).unwrap();
        let mut receiver = Receiver::new(there);
        assert_eq!(receiver.next::<u32>().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
