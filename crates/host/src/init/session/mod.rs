//! A session's keeper: a child of the first process for each session, inside
//! the instance's namespaces and limits. It owns the terminal, the pipes or
//! the connection, carries bytes between it and the daemon's stream, and
//! adopts what its processes leave behind. When the stream closes (the session
//! was ended, or the daemon is gone) or the session's process exits, the
//! keeper ends every process that came from it, and then itself.

mod port;
mod program;

use super::{Answer, InitSpec};
use crate::session::{SessionDecoder, SessionFrame, SessionTask};
use crate::{process, sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes that wait for the daemon; beyond that nothing more is read from the work.
const OUTGOING_BYTES_MAX: usize = 256 << 10;
/// Bytes that wait for the work; beyond that nothing more is read from the daemon.
const INCOMING_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read in one go.
const CHUNK_BYTES: usize = 16 << 10;
/// How long the daemon may take to take the last words.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(10);
/// Between the polite and the forcible end of a session's processes.
const END_GRACE: Duration = Duration::from_secs(2);
/// How long the kernel may take with the forcible one.
const END_LIMIT: Duration = Duration::from_secs(30);
/// While ending, how often the remaining processes are counted.
const END_CHECK: Duration = Duration::from_millis(20);

/// What a session is about, under way.
enum Work {
    Program(program::Program),
    Port(port::Port),
}

impl Work {
    /// What bytes are read from, while there is something.
    fn source(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Work::Program(program) => program.source(),
            Work::Port(port) => port.socket(),
        }
    }

    /// What bytes are written to, while there is something.
    fn sink(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Work::Program(program) => program.sink(),
            Work::Port(port) => port.socket(),
        }
    }
}

struct Keeper {
    stream: UnixStream,
    signals: OwnedFd,
    decoder: SessionDecoder,
    /// For the daemon.
    outgoing: Vec<u8>,
    /// For the work.
    incoming: Vec<u8>,
    work: Work,
    /// Set when it is over once the work has what waits for it.
    closing: bool,
    /// Set when it is over; the exit code if the daemon is to be told one.
    over: Option<Option<i32>>,
}

/// Keeps a session until it is over, and ends the process. Call it in a fresh
/// child of the first process, which has one thread.
pub fn keep(spec: &InitSpec, stream: UnixStream, task: &SessionTask) -> ! {
    // A keeper that fails takes its processes with it all the same.
    let kept = sys::keep_only(stream).and_then(|fd| run(spec, UnixStream::from(fd), task));
    end_all();
    sys::exit_now(i32::from(kept.is_err()))
}

fn run(spec: &InitSpec, mut stream: UnixStream, task: &SessionTask) -> io::Result<()> {
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    let signals = sys::signal_fd(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPWR])?;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(LAST_WORDS_LIMIT))?;
    let begun = match task {
        SessionTask::Shell => program::Program::at_terminal(spec, None).map(Work::Program),
        SessionTask::Interactive(command) => program::Program::at_terminal(spec, Some(command)).map(Work::Program),
        SessionTask::NonInteractive(command) => program::Program::with_pipe(spec, command).map(Work::Program),
        SessionTask::Port { host, port, reopens } => {
            port::Port::new(spec, host.as_deref(), *port, *reopens).map(Work::Port)
        }
    };
    let work = match begun {
        Ok(work) => work,
        Err(why) => return stream.write_all(&line(&Answer::SessionRefused(why))),
    };
    stream.write_all(&line(&Answer::SessionStarted))?;
    stream.set_nonblocking(true)?;
    let mut keeper = Keeper {
        stream,
        signals,
        decoder: SessionDecoder::default(),
        outgoing: Vec::new(),
        incoming: Vec::new(),
        work,
        closing: false,
        over: None,
    };
    let code = loop {
        if let Some(code) = keeper.over {
            break code;
        }
        keeper.step()?;
    };
    if let Some(code) = code {
        keeper.say(&SessionFrame::Exited(code));
        keeper.stream.set_nonblocking(false)?;
        keeper.stream.write_all(&keeper.outgoing)?;
    }
    // The terminal goes with the keeper: its processes are told so before they are killed.
    Ok(())
}

fn line(answer: &Answer) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).expect("answers are plain data");
    line.push(b'\n');
    line
}

/// What may be done without waiting.
#[derive(Default)]
struct Ready {
    daemon_in: bool,
    daemon_gone: bool,
    source: bool,
}

impl Keeper {
    /// Waits for something to happen and handles it.
    fn step(&mut self) -> io::Result<()> {
        let ready = self.wait()?;
        self.signals();
        if ready.source {
            self.take_from_work();
        }
        if ready.daemon_in {
            self.take_from_daemon()?;
        } else if ready.daemon_gone {
            self.over = Some(None);
        }
        self.give_to_work();
        if self.closing && self.incoming.is_empty() && self.over.is_none() {
            self.over = Some(Some(0));
        }
        self.give_to_daemon();
        Ok(())
    }

    fn wait(&self) -> io::Result<Ready> {
        let is = |wanted: bool, flag: PollFlags| if wanted { flag } else { PollFlags::empty() };
        let hears = self.incoming.len() < INCOMING_BYTES_MAX;
        let stream = is(hears, PollFlags::IN) | is(!self.outgoing.is_empty(), PollFlags::OUT);
        let reads = self.closing || self.outgoing.len() < OUTGOING_BYTES_MAX;
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stream.as_fd(), stream),
        ];
        let source = self.work.source().filter(|_| reads);
        let source_at = source.map(|fd| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            fds.len() - 1
        });
        if let Some(sink) = self.work.sink().filter(|_| !self.incoming.is_empty()) {
            fds.push(PollFd::from_borrowed_fd(sink, PollFlags::OUT));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR;
        Ok(Ready {
            daemon_in: fds[1].revents().contains(PollFlags::IN),
            daemon_gone: fds[1].revents().intersects(gone),
            source: source_at.is_some_and(|at| fds[at].revents().intersects(PollFlags::IN | gone)),
        })
    }

    fn signals(&mut self) {
        let mut info = [0u8; 128];
        while let Ok(got) = rustix::io::read(&self.signals, &mut info[..]) {
            let signal = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            if got == info.len() && signal != libc::SIGCHLD {
                self.over = Some(None);
            }
        }
        while let Some((pid, status)) = sys::next_ended_child() {
            let Work::Program(program) = &self.work else { continue };
            if program.pid() == pid {
                // What it wrote last is still to be read.
                self.take_from_work();
                self.over = Some(Some(super::command::exit_code(status)));
            }
        }
    }

    /// Takes what the work has, as far as there is room.
    fn take_from_work(&mut self) {
        let mut chunk = [0u8; CHUNK_BYTES];
        while self.closing || self.outgoing.len() < OUTGOING_BYTES_MAX {
            let Some(source) = self.work.source() else { return };
            match rustix::io::read(source, &mut chunk[..]) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody wants it, but the other side may wait for that before it takes more.
                Ok(got) if got > 0 && self.closing => return,
                Ok(got) if got > 0 => self.say(&SessionFrame::Data(chunk[..got].to_vec())),
                // A terminal without processes says so with an error.
                Ok(_) | Err(_) => return self.source_ended(),
            }
        }
    }

    fn source_ended(&mut self) {
        match &mut self.work {
            Work::Program(program) => program.source_ended(),
            Work::Port(port) => {
                if !port.closed_there() {
                    self.over = Some(Some(0));
                }
            }
        }
    }

    fn take_from_daemon(&mut self) -> io::Result<()> {
        let mut chunk = [0u8; CHUNK_BYTES];
        match rustix::io::read(&self.stream, &mut chunk[..]) {
            Ok(0) => self.over = Some(None),
            Ok(got) => self.decoder.push(&chunk[..got]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(err) => return Err(err.into()),
        }
        while let Some(frame) = self.decoder.frame()? {
            self.hear(frame);
        }
        Ok(())
    }

    fn hear(&mut self, frame: SessionFrame) {
        match (&mut self.work, frame) {
            (Work::Program(program), SessionFrame::Data(bytes)) => match program.takes_input() {
                true => self.incoming.extend(bytes),
                false => program.control(&bytes),
            },
            (Work::Program(program), SessionFrame::Size { columns, rows }) => program.resize(columns, rows),
            (Work::Port(port), SessionFrame::Data(bytes)) => match port.open() {
                Ok(()) => self.incoming.extend(bytes),
                Err(why) => {
                    self.incoming.clear();
                    self.say(&SessionFrame::Unreachable(why));
                }
            },
            (Work::Port(port), SessionFrame::Disconnect) if !port.reopens() => self.closing = true,
            (Work::Port(port), SessionFrame::Disconnect) => {
                port.close_here(&self.incoming);
                self.incoming.clear();
            }
            // Of no use to this work, or not the daemon's to say.
            (_, SessionFrame::Size { .. } | SessionFrame::Disconnect) => {}
            (_, SessionFrame::Exited(_) | SessionFrame::Unreachable(_)) => {}
        }
    }

    fn give_to_work(&mut self) {
        while !self.incoming.is_empty() {
            let Some(sink) = self.work.sink() else { return self.incoming.clear() };
            match rustix::io::write(sink, &self.incoming) {
                Ok(done) => drop(self.incoming.drain(..done)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.incoming.clear();
                    return self.source_ended();
                }
            }
        }
    }

    fn give_to_daemon(&mut self) {
        while !self.outgoing.is_empty() {
            match rustix::io::write(&self.stream, &self.outgoing) {
                Ok(done) => drop(self.outgoing.drain(..done)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.over = Some(None);
                    return;
                }
            }
        }
    }

    fn say(&mut self, frame: &SessionFrame) {
        frame.encode(&mut self.outgoing);
    }
}

/// Ends everything that came from this process: hang-up first, force after a grace.
pub(super) fn end_all() {
    let own = std::process::id() as i32;
    let began = Instant::now();
    let mut asked = false;
    while began.elapsed() < END_LIMIT {
        while sys::next_ended_child().is_some() {}
        let left = process::descendants(own);
        if left.is_empty() {
            return;
        }
        let signals = match (asked, began.elapsed() < END_GRACE) {
            (false, _) => &[libc::SIGHUP, libc::SIGCONT][..],
            (true, true) => &[],
            (true, false) => &[libc::SIGKILL],
        };
        asked = true;
        for (pid, signal) in left.iter().flat_map(|pid| signals.iter().map(move |signal| (*pid, *signal))) {
            // It may just have ended by itself.
            let _ = sys::kill(pid, signal);
        }
        let pause = Timespec::try_from(END_CHECK).ok();
        let _ = poll(&mut [], pause.as_ref());
    }
}
