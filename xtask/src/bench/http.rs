//! As much of an HTTP/1.1 client as a closed loop over loopback needs: whole
//! requests go out as bytes made beforehand, answers are read to their end.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

/// An answer that takes longer is a failure of the run.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// No answer asked for here is anywhere near as long.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Room that is read into at once.
const READ_BYTES: usize = 64 * 1024;

/// One answer.
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Body, without transfer coding.
    pub body: Cow<'a, [u8]>,
}

/// Where a body lies.
enum Body {
    /// In the buffer as it came.
    Within(Range<usize>),
    /// Put together from chunks.
    Joined(Vec<u8>),
}

/// A connection that is kept and opened again when the server closes it.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// Kept over answers, so that the load costs as little as it can.
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// A connection to `address`, opened with the first request.
    pub fn new(address: SocketAddr) -> Connection {
        Connection { address, stream: None, buffer: Vec::new(), filled: 0 }
    }

    /// Sends a whole request.
    pub fn send(&mut self, request: &[u8]) -> Result<(), String> {
        if self.stream.is_none() {
            let stream =
                TcpStream::connect(self.address).map_err(|err| format!("cannot connect to {}: {err}", self.address))?;
            let set = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(ANSWER_LIMIT)));
            set.map_err(|err| format!("cannot set up a socket: {err}"))?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().expect("connected above");
        stream.write_all(request).map_err(|err| format!("cannot send: {err}"))
    }

    /// Reads the answer to the request sent last.
    pub fn receive(&mut self) -> Result<Answer<'_>, String> {
        self.filled = 0;
        let head = loop {
            if let Some(end) = find(&self.buffer[..self.filled], b"\r\n\r\n", 0) {
                break end + 4;
            }
            self.fill()?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text.get(9..12).and_then(|code| code.parse().ok()).ok_or("no status line")?;
        let header = |name: &str| text.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim).next();
        let close = header("connection:") == Some("close") || text.starts_with("http/1.0");
        let body = if header("transfer-encoding:") == Some("chunked") {
            let body = self.chunks(head)?;
            Body::Joined(body)
        } else {
            let length: usize = header("content-length:").and_then(|value| value.parse().ok()).unwrap_or(0);
            while self.filled < head + length {
                self.fill()?;
            }
            Body::Within(head..head + length)
        };
        if close {
            self.stream = None;
        }
        let body = match body {
            Body::Within(range) => Cow::Borrowed(&self.buffer[range]),
            Body::Joined(bytes) => Cow::Owned(bytes),
        };
        Ok(Answer { status, body })
    }

    /// One request and its answer.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, String> {
        self.send(request)?;
        self.receive()
    }

    fn chunks(&mut self, start: usize) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        let mut at = start;
        loop {
            let line = loop {
                if let Some(end) = find(&self.buffer[..self.filled], b"\r\n", at) {
                    break end;
                }
                self.fill()?;
            };
            let size = std::str::from_utf8(&self.buffer[at..line]).map_err(|_| "a chunk's size is no text")?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| "a chunk's size is no number")?;
            let data = line + 2;
            while self.filled < data + size + 2 {
                self.fill()?;
            }
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&self.buffer[data..data + size]);
            at = data + size + 2;
        }
    }

    fn fill(&mut self) -> Result<(), String> {
        let stream = self.stream.as_mut().ok_or("not connected")?;
        if self.buffer.len() < self.filled + READ_BYTES {
            self.buffer.resize(self.filled + READ_BYTES, 0);
        }
        match stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(_) if self.filled > ANSWER_BYTES_MAX => Err("the answer does not end".into()),
            Ok(count) => {
                self.filled += count;
                Ok(())
            }
            Err(err) => Err(format!("cannot read the answer: {err}")),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let tail = haystack.get(from..)?;
    tail.windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}
