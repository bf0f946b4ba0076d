//! The daemon's side of the agent: one connection, one line, one answer.
//! Sockets are named through an open directory, because the path of a socket
//! may be at most 107 bytes and data directories may be anywhere.

use crate::init::{Answer, Ask};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest answer: the output of four steps of Run Command, every byte escaped.
pub const ANSWER_BYTES_MAX: u64 = 1 << 20;
const SOCKET: &str = "agent.sock";

/// A short path to the socket, valid while the returned file is open.
pub fn socket_path(directory: &Path) -> io::Result<(File, PathBuf)> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()));
    Ok((opened, path))
}

/// Makes the listening socket of a new boot in place of an older one.
pub fn listen(directory: &Path) -> io::Result<UnixListener> {
    let (_open, path) = socket_path(directory)?;
    match std::fs::remove_file(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Asks and waits for the answer, blocking for at most `limit` a step.
pub fn ask(directory: &Path, ask: &Ask, limit: Duration) -> io::Result<Answer> {
    let (_open, path) = socket_path(directory)?;
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    (&stream).write_all(&line(ask))?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer)?;
    parse(&answer)
}

/// A request as it is sent.
pub fn line(ask: &Ask) -> Vec<u8> {
    let mut line = serde_json::to_vec(ask).expect("requests are plain data");
    line.push(b'\n');
    line
}

/// An answer as it was received.
pub fn parse(line: &str) -> io::Result<Answer> {
    serde_json::from_str(line).map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))
}
