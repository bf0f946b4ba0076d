//! Sessions with an instance, as the daemon holds them: a stream to a keeper
//! inside the instance (`init::session`), which has the processes or the
//! connection that the session is about. What passes is frames; when either
//! side closes the stream, the session is over and all of its processes end.

use crate::agent_client;
use crate::error::{Context, HostError};
use crate::init::{Answer, Ask};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How long the instance may take to start what a session is about.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Bytes of a frame's payload: a keeper reads what a pipe or a terminal holds.
pub const FRAME_BYTES_MAX: usize = 64 << 10;
/// Kind and length.
const HEAD_BYTES: usize = 5;
/// Bytes that are read in one go.
const CHUNK_BYTES: usize = 16 << 10;

/// What a session is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionTask {
    /// A shell at a terminal.
    Shell,
    /// A command for `sh -c` at a terminal.
    Interactive(String),
    /// A command for `sh -c` without a terminal; its outputs are one stream.
    NonInteractive(String),
    /// A connection to a port.
    Port {
        /// The host as the instance names it; the instance itself without one.
        host: Option<String>,
        /// The port.
        port: u16,
        /// Whether the session outlives the connection: the next bytes open another.
        reopens: bool,
    },
}

/// What passes between daemon and keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionFrame {
    /// Bytes, either way.
    Data(Vec<u8>),
    /// To the keeper: the terminal's size.
    Size {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// To the keeper: close the connection once it has what was sent.
    Disconnect,
    /// From the keeper: it is over; the exit code as a shell gives it.
    Exited(i32),
    /// From the keeper: there is no connection, and why.
    Unreachable(String),
}

impl SessionFrame {
    /// Appends the frame as it is sent. Data beyond [`FRAME_BYTES_MAX`] must
    /// be split before.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut frame = |kind: u8, payload: &[u8]| {
            assert!(payload.len() <= FRAME_BYTES_MAX, "longer payloads are split by whoever reads them");
            out.push(kind);
            out.extend((payload.len() as u32).to_be_bytes());
            out.extend(payload);
        };
        match self {
            SessionFrame::Data(bytes) => frame(0, bytes),
            SessionFrame::Size { columns, rows } => {
                let [[a, b], [c, d]] = [columns.to_be_bytes(), rows.to_be_bytes()];
                frame(1, &[a, b, c, d]);
            }
            SessionFrame::Disconnect => frame(2, &[]),
            SessionFrame::Exited(code) => frame(3, &code.to_be_bytes()),
            SessionFrame::Unreachable(why) => frame(4, &why.as_bytes()[..why.len().min(FRAME_BYTES_MAX)]),
        }
    }
}

/// Takes frames from a stream of bytes.
#[derive(Debug, Default)]
pub struct SessionDecoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl SessionDecoder {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// `InvalidData` for what no peer of ours sends.
    pub fn frame(&mut self) -> io::Result<Option<SessionFrame>> {
        let rest = &self.bytes[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [kind, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        if length > FRAME_BYTES_MAX {
            return Err(wrong());
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let frame = match (kind, payload) {
            (0, bytes) => SessionFrame::Data(bytes.to_vec()),
            (1, &[a, b, c, d]) => {
                SessionFrame::Size { columns: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) }
            }
            (2, []) => SessionFrame::Disconnect,
            (3, &[a, b, c, d]) => SessionFrame::Exited(i32::from_be_bytes([a, b, c, d])),
            (4, text) => SessionFrame::Unreachable(String::from_utf8_lossy(text).into_owned()),
            _ => return Err(wrong()),
        };
        self.taken += HEAD_BYTES + length;
        Ok(Some(frame))
    }
}

/// What comes from the keeper.
pub struct SessionReader {
    stream: OwnedReadHalf,
    decoder: SessionDecoder,
}

/// What goes to the keeper. Dropping both halves ends the session.
pub struct SessionWriter(OwnedWriteHalf);

impl SessionReader {
    /// The next frame; `None` when the keeper is gone. What was read is kept
    /// when this is dropped before it is ready.
    ///
    /// # Errors
    /// The stream's.
    pub async fn receive(&mut self) -> io::Result<Option<SessionFrame>> {
        loop {
            if let Some(frame) = self.decoder.frame()? {
                return Ok(Some(frame));
            }
            let mut chunk = [0u8; CHUNK_BYTES];
            match self.stream.read(&mut chunk).await? {
                0 => return Ok(None),
                got => self.decoder.push(&chunk[..got]),
            }
        }
    }
}

impl SessionWriter {
    /// Sends a frame; waits while the keeper has more than it can take.
    ///
    /// # Errors
    /// The stream's.
    pub async fn send(&mut self, frame: &SessionFrame) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.0.write_all(&bytes).await
    }
}

/// Asks the agent in `directory` for a session; the stream belongs to the
/// calling event loop.
pub(crate) async fn open(directory: &Path, task: &SessionTask) -> Result<(SessionReader, SessionWriter), HostError> {
    let opened = tokio::time::timeout(START_LIMIT, begin(directory, task)).await;
    let begun = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let (stream, line, rest) = begun.context(|| "reach the instance's agent".to_owned())?;
    match agent_client::parse(&line).context(|| "understand the instance's agent".to_owned())? {
        Answer::SessionStarted => {
            let (reader, writer) = stream.into_split();
            let mut decoder = SessionDecoder::default();
            decoder.push(&rest);
            Ok((SessionReader { stream: reader, decoder }, SessionWriter(writer)))
        }
        Answer::SessionRefused(why) => Err(HostError::Refused(why)),
        Answer::Pong { .. }
        | Answer::Started
        | Answer::Executed(_)
        | Answer::Withdrawn
        | Answer::Busy
        | Answer::Initialized { .. }
        | Answer::ShuttingDown
        | Answer::Malformed(_) => Err(HostError::Refused("the instance's agent knows no sessions".to_owned())),
    }
}

/// Sends the request; returns the answer's line and what came after it.
async fn begin(directory: &Path, task: &SessionTask) -> io::Result<(UnixStream, String, Vec<u8>)> {
    let (_open, path) = agent_client::socket_path(directory)?;
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(&agent_client::line(&Ask::Session(task.clone()))).await?;
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0u8; CHUNK_BYTES];
        let got = stream.read(&mut chunk).await?;
        bytes.extend_from_slice(&chunk[..got]);
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let rest = bytes.split_off(end + 1);
            let line = String::from_utf8(bytes).map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
            return Ok((stream, line, rest));
        }
        if got == 0 || bytes.len() > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames come out as they went in, however the bytes arrive.
    #[test]
    fn frames_come_out_as_they_went_in() {
        let frames = [
            SessionFrame::Data(b"ls\r".to_vec()),
            SessionFrame::Data(Vec::new()),
            SessionFrame::Size { columns: 300, rows: 100 },
            SessionFrame::Disconnect,
            SessionFrame::Exited(-1),
            SessionFrame::Unreachable("connection refused".to_owned()),
        ];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        for size in [1, 2, 7, bytes.len()] {
            let mut decoder = SessionDecoder::default();
            let mut got = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.push(chunk);
                while let Some(frame) = decoder.frame().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames, "in chunks of {size}");
        }
    }

    /// A frame that is too long, of an unknown kind or malformed is refused.
    #[test]
    fn bad_frames() {
        for bytes in [&[0, 1, 0, 0, 0][..], &[9, 0, 0, 0, 0], &[1, 0, 0, 0, 1, 7], &[2, 0, 0, 0, 1, 7]] {
            let mut decoder = SessionDecoder::default();
            decoder.push(bytes);
            assert!(decoder.frame().is_err(), "{bytes:?}");
        }
    }
}
