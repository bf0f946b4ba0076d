//! Multiplexed port forwarding: version 1 of smux, whose frames are the bytes
//! of a session's messages (ssm.md 6). A frame is a header of eight bytes,
//! version, command, length and stream, the last two with the lowest byte
//! first, and as many bytes of data. Frames begin and end anywhere in messages.
//!
//! There is no window for each stream: whoever cannot take more stops taking
//! the session's bytes.

use super::Wrong;

/// The first version of clients that multiplexes when the agent does.
const FIRST_CLIENT: [u64; 3] = [1, 1, 70];

/// The last one that expects a sign of life now and then.
const LAST_KEEPING_ALIVE: [u64; 4] = [1, 2, 331, 0];

/// How often signs of life are sent (smux's default; its clients wait for three times as long).
pub const KEEP_ALIVE_MS: u64 = 10_000;

/// Data of one frame (smux's default).
const DATA_BYTES_MAX: usize = 32_768;

const HEAD_BYTES: usize = 8;
const VERSION: u8 = 1;
const OPEN: u8 = 0;
const CLOSE: u8 = 1;
const PUSH: u8 = 2;
const ALIVE: u8 = 3;

/// How a client wants port forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// One connection at a time, as plain bytes.
    Basic,
    /// Many, with signs of life or without.
    Multiplexed {
        /// Whether the client expects them.
        keeps_alive: bool,
    },
}

impl Forwarding {
    /// What a client of this version does when it is told our agent's version.
    /// One that cannot be read is none that multiplexes.
    pub fn of_client(version: &str) -> Forwarding {
        let parts: Result<Vec<u64>, _> = version.split('.').map(str::parse).collect();
        match parts {
            Ok(parts) if parts.as_slice() >= FIRST_CLIENT.as_slice() => {
                Forwarding::Multiplexed { keeps_alive: parts.as_slice() <= LAST_KEEPING_ALIVE.as_slice() }
            }
            Ok(_) | Err(_) => Forwarding::Basic,
        }
    }
}

/// What the client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A connection, under this number.
    Opened(u32),
    /// Bytes for it: a frame's, or a part of them.
    Data(u32, Vec<u8>),
    /// It is closed, both ways.
    Closed(u32),
    /// A sign of life.
    Alive,
}

/// Takes frames apart as their bytes arrive. It holds a header at most.
#[derive(Debug, Default)]
pub struct Decoder {
    head: Vec<u8>,
    /// Whose data comes, and how much of it.
    data: (u32, usize),
}

impl Decoder {
    /// Adds what these bytes say.
    ///
    /// # Errors
    /// For what is no frame: from then on nothing can be understood.
    pub fn take(&mut self, mut bytes: &[u8], out: &mut Vec<Piece>) -> Result<(), Wrong> {
        while !bytes.is_empty() {
            let (stream, left) = self.data;
            if left > 0 {
                let (data, rest) = bytes.split_at(left.min(bytes.len()));
                out.push(Piece::Data(stream, data.to_vec()));
                self.data.1 -= data.len();
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at((HEAD_BYTES - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = rest;
            let Ok([version, command, low, high, a, b, c, d]) = <[u8; HEAD_BYTES]>::try_from(self.head.as_slice())
            else {
                return Ok(());
            };
            self.head.clear();
            let (stream, length) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([low, high]));
            match (version, command, length) {
                (VERSION, OPEN, 0) => out.push(Piece::Opened(stream)),
                (VERSION, CLOSE, 0) => out.push(Piece::Closed(stream)),
                (VERSION, ALIVE, 0) => out.push(Piece::Alive),
                (VERSION, PUSH, length) => self.data = (stream, usize::from(length)),
                _ => return Err(Wrong::Payload),
            }
        }
        Ok(())
    }
}

/// Bytes of a stream as they are sent.
pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + HEAD_BYTES);
    for chunk in bytes.chunks(DATA_BYTES_MAX) {
        out.extend(head(PUSH, chunk.len() as u16, stream));
        out.extend_from_slice(chunk);
    }
    out
}

/// That a stream is closed, both ways.
pub fn closed(stream: u32) -> Vec<u8> {
    head(CLOSE, 0, stream).to_vec()
}

/// A sign of life.
pub fn alive() -> Vec<u8> {
    head(ALIVE, 0, 0).to_vec()
}

fn head(command: u8, length: u16, stream: u32) -> [u8; HEAD_BYTES] {
    let ([low, high], [a, b, c, d]) = (length.to_le_bytes(), stream.to_le_bytes());
    [VERSION, command, low, high, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames are understood however their bytes arrive; data comes as it arrives.
    #[test]
    fn frames_in_pieces() {
        let mut bytes = vec![1, 0, 0, 0, 3, 0, 0, 0];
        bytes.extend([1, 3, 0, 0, 0, 0, 0, 0]);
        bytes.extend([1, 2, 5, 0, 3, 0, 0, 0]);
        bytes.extend(b"hello");
        bytes.extend([1, 2, 0, 0, 3, 0, 0, 0]);
        bytes.extend([1, 1, 0, 0, 3, 0, 0, 0]);
        for size in 1..=bytes.len() {
            let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
            for chunk in bytes.chunks(size) {
                decoder.take(chunk, &mut pieces).expect("frames");
            }
            let said = pieces.iter().filter_map(|piece| match piece {
                Piece::Data(3, bytes) => Some(bytes.clone()),
                _ => None,
            });
            assert_eq!(said.collect::<Vec<_>>().concat(), b"hello", "in chunks of {size}");
            pieces.retain(|piece| !matches!(piece, Piece::Data(..)));
            assert_eq!(pieces, [Piece::Opened(3), Piece::Alive, Piece::Closed(3)], "in chunks of {size}");
        }
    }

    /// What is no frame of version 1.
    #[test]
    fn what_is_no_frame() {
        for head in [[2, 0, 0, 0, 3, 0, 0, 0], [1, 4, 0, 0, 3, 0, 0, 0], [1, 0, 1, 0, 3, 0, 0, 0]] {
            assert_eq!(Decoder::default().take(&head, &mut Vec::new()), Err(Wrong::Payload), "{head:?}");
        }
    }

    /// What is sent is what is understood; long data is several frames.
    #[test]
    fn what_is_sent() {
        let long = vec![7; DATA_BYTES_MAX + 1];
        let mut sent = data(0x0102_0304, &long);
        assert_eq!(sent[..8], [1, 2, 0, 0x80, 4, 3, 2, 1]);
        sent.extend(closed(5));
        sent.extend(alive());
        let mut pieces = Vec::new();
        Decoder::default().take(&sent, &mut pieces).expect("frames");
        assert_eq!(
            pieces,
            [
                Piece::Data(0x0102_0304, vec![7; DATA_BYTES_MAX]),
                Piece::Data(0x0102_0304, vec![7]),
                Piece::Closed(5),
                Piece::Alive
            ]
        );
    }

    /// Which clients multiplex, and which of them expect signs of life.
    #[test]
    fn clients() {
        let multiplexed = |keeps_alive| Forwarding::Multiplexed { keeps_alive };
        for (version, want) in [
            ("1.1.69.0", Forwarding::Basic),
            ("1.1.70", multiplexed(true)),
            ("1.1.70.0", multiplexed(true)),
            ("1.2.331.0", multiplexed(true)),
            ("1.2.332.0", multiplexed(false)),
            ("1.2.707.0", multiplexed(false)),
            ("2", multiplexed(false)),
            ("", Forwarding::Basic),
            ("latest", Forwarding::Basic),
        ] {
            assert_eq!(Forwarding::of_client(version), want, "{version}");
        }
    }
}
