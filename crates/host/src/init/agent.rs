//! The first process at work: one loop over its sockets, pipes and signals.
//! It reaps every process, watches over the child that does the boot work,
//! and answers the daemon on the agent's socket with one line of JSON per
//! connection.

use super::InitSpec;
use super::boot;
use super::command::exit_code;
use super::output::Output;
use super::report::Ended;
use super::scripts::{RunRequest, Scripts};
use super::session;
use crate::error::{Context, HostError};
use crate::session::SessionTask;
use crate::{process, sys};
use elastane_domain::machine::{CommandOutcome, Initialization};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// Longest request: a Run Command script is at most 100 KiB before JSON quoting.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Connections at a time; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 64;
/// Sessions with processes at a time: more than the daemon allows for one instance.
const SESSIONS_MAX: usize = 64;
/// Connections of forwarded ports at a time. They do not take the places of
/// shells; each is a process of a few pages.
const FORWARDED_MAX: usize = 256;
/// Daemons that wait for the end of the boot work: one, and those before it that died.
const WAITING_MAX: usize = 8;
/// Chunks of output that are read in one go; a pipe holds one.
const LOG_READS_MAX: usize = 16;
/// Longest result of the boot work; it fits into a pipe.
const RESULT_BYTES_MAX: u64 = 16 << 10;
/// How long a slow reader of an answer is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// While shutting down, how often the remaining processes are counted.
const SHUTDOWN_CHECK: Duration = Duration::from_millis(20);

/// What the daemon asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Who are you?
    Ping,
    /// Run a command; one answer comes when it begins and one when it has ended.
    Run(RunRequest),
    /// Take a command back, or end it if it runs and may not go on; the answer comes when that is so.
    EndRun { command: String, unless_running: bool },
    /// How did the boot work end? The answer comes when it has.
    Initialization,
    /// Begin a session; after the answer the connection carries its frames.
    Session(SessionTask),
    /// End all processes, by force after the grace, and then yourself.
    Shutdown { grace_ms: u64 },
}

/// The answer to each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    Pong {
        instance: String,
        generation: u64,
    },
    /// The command runs.
    Started,
    /// It has ended.
    Executed(CommandOutcome),
    /// It was taken back, and will not be run.
    Withdrawn,
    /// Too many run: ask again.
    Busy,
    Initialized {
        generation: u64,
        initialization: Initialization,
    },
    SessionStarted,
    SessionRefused(String),
    ShuttingDown,
    Malformed(String),
}

/// A connection whose request is still arriving.
struct Incoming {
    stream: UnixStream,
    request: Vec<u8>,
}

/// The child that does the boot work.
struct Work {
    pid: i32,
    /// Its result, when it has ended.
    result: OwnedFd,
}

/// A session's keeper.
struct Keeper {
    pid: i32,
    /// Whether it holds a connection, and no processes.
    forwards: bool,
}

struct Agent<'a> {
    spec: &'a InitSpec,
    listener: UnixListener,
    signals: OwnedFd,
    output: Output,
    work: Option<Work>,
    /// How the boot work ended.
    initialization: Option<Initialization>,
    /// Who waits for that, oldest first.
    waiting: VecDeque<UnixStream>,
    /// Output of the boot work and of what it left running.
    log: Option<OwnedFd>,
    incoming: Vec<Incoming>,
    scripts: Scripts,
    /// Keepers of sessions.
    keepers: Vec<Keeper>,
    /// When the user data wants the instance to go down.
    power_off: Option<Instant>,
    shutdown: Option<Instant>,
}

/// Does the boot work and serves until the instance shuts down.
pub fn serve(spec: &InitSpec, listener: UnixListener) -> Result<(), HostError> {
    let started = Instant::now();
    listener.set_nonblocking(true).context(|| "prepare the agent's socket".to_owned())?;
    let mut output = Output::open(spec).context(|| "open the instance's log".to_owned())?;
    output
        .line(&format!("elastane: {} ({}) boot {} at {}", spec.hostname, spec.instance, spec.generation, spec.address));
    let (work, log) = begin_work(spec, started).context(|| "begin the boot work".to_owned())?;
    let signals = sys::signal_fd(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGPWR])
        .context(|| "receive signals".to_owned())?;
    let mut agent = Agent {
        spec,
        listener,
        signals,
        output,
        work: Some(work),
        initialization: None,
        waiting: VecDeque::new(),
        log: Some(log),
        incoming: Vec::new(),
        scripts: Scripts::default(),
        keepers: Vec::new(),
        power_off: None,
        shutdown: None,
    };
    // A child that ended before the signals were received is not announced.
    agent.reap();
    loop {
        if agent.shutdown.is_some() && agent.is_down() {
            return Ok(());
        }
        agent.wait().context(|| "wait for events".to_owned())?;
    }
}

/// Starts the child that does the boot work; returns it and its output. This
/// process has one thread and no signals blocked yet, so the child is like it.
fn begin_work(spec: &InitSpec, started: Instant) -> io::Result<(Work, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    let (log, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let (result, to_result) = pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork_single_threaded()? {
        Some(pid) => {
            rustix::io::ioctl_fionbio(&log, true)?;
            rustix::io::ioctl_fionbio(&result, true)?;
            Ok((Work { pid, result }, log))
        }
        None => {
            drop((log, result));
            let well = rustix::stdio::dup2_stdout(&writer).and_then(|()| rustix::stdio::dup2_stderr(&writer));
            if well.is_err() {
                sys::exit_now(1);
            }
            let ended = boot::run(spec, File::from(writer), started);
            let text = serde_json::to_vec(&ended).expect("results are plain data");
            let told = File::from(to_result).write_all(&text);
            sys::exit_now(i32::from(told.is_err()))
        }
    }
}

impl Agent<'_> {
    /// Waits for something to happen and handles everything that has.
    fn wait(&mut self) -> rustix::io::Result<()> {
        let now = Instant::now();
        let mut until: Vec<Duration> =
            self.scripts.deadlines().map(|deadline| deadline.saturating_duration_since(now)).collect();
        until.extend(self.shutdown.map(|_| SHUTDOWN_CHECK));
        until.extend(self.power_off.map(|at| at.saturating_duration_since(now)));
        let timeout = until.into_iter().min().map(|left| left + Duration::from_millis(1));
        let timeout = timeout.and_then(|left| rustix::event::Timespec::try_from(left).ok());
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
        if self.incoming.len() < CONNECTIONS_MAX {
            fds.push(self.listener.as_fd());
        }
        fds.extend(self.log.iter().map(AsFd::as_fd));
        fds.extend(self.incoming.iter().map(|connection| connection.stream.as_fd()));
        fds.extend(self.scripts.sources());
        let mut polled: Vec<PollFd<'_>> =
            fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(err) => return Err(err),
        }
        drop(polled);
        self.read_signals();
        self.read_logs();
        self.accept();
        self.read_requests();
        self.scripts.drain();
        self.reap();
        self.scripts.enforce_timeouts();
        if self.power_off.is_some_and(|at| at <= Instant::now()) {
            self.power_off = None;
            self.begin_shutdown(Duration::from_secs(5));
        }
        Ok(())
    }

    fn read_signals(&mut self) {
        let mut info = [0u8; 128];
        while let Ok(got) = rustix::io::read(&self.signals, &mut info[..]) {
            let signal = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            if got == info.len() && signal != libc::SIGCHLD {
                self.begin_shutdown(Duration::from_secs(5));
            }
        }
    }

    fn read_logs(&mut self) {
        let mut chunk = vec![0u8; 64 << 10];
        // One who writes faster than this reads must not keep it here.
        for _ in 0..LOG_READS_MAX {
            let Some(log) = &self.log else { return };
            match rustix::io::read(log, &mut chunk[..]) {
                Ok(0) => self.log = None,
                Ok(got) => self.output.bytes(&chunk[..got]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.log = None,
            }
        }
    }

    fn accept(&mut self) {
        while self.incoming.len() < CONNECTIONS_MAX {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok() {
                self.incoming.push(Incoming { stream, request: Vec::new() });
            }
        }
    }

    fn read_requests(&mut self) {
        let mut at = 0;
        while at < self.incoming.len() {
            match read_line(&mut self.incoming[at]) {
                Reading::More => at += 1,
                Reading::Gone => drop(self.incoming.swap_remove(at)),
                Reading::Line => {
                    let connection = self.incoming.swap_remove(at);
                    self.request(connection);
                }
            }
        }
    }

    fn request(&mut self, connection: Incoming) {
        match serde_json::from_slice::<Ask>(&connection.request) {
            Ok(Ask::Ping) => {
                let answer = Answer::Pong { instance: self.spec.instance.clone(), generation: self.spec.generation };
                reply(connection.stream, &answer);
            }
            Ok(Ask::Run(request)) => self.scripts.run(self.spec, request, connection.stream),
            Ok(Ask::EndRun { command, unless_running }) => {
                self.scripts.end(command, unless_running, connection.stream);
            }
            Ok(Ask::Initialization) => match &self.initialization {
                Some(_) => reply(connection.stream, &self.initialized()),
                None => {
                    if self.waiting.len() >= WAITING_MAX {
                        self.waiting.pop_front();
                    }
                    self.waiting.push_back(connection.stream);
                }
            },
            Ok(Ask::Session(task)) => self.begin_session(&task, connection.stream),
            Ok(Ask::Shutdown { grace_ms }) => {
                reply(connection.stream, &Answer::ShuttingDown);
                self.begin_shutdown(Duration::from_millis(grace_ms));
            }
            Err(err) => reply(connection.stream, &Answer::Malformed(err.to_string())),
        }
    }

    fn begin_session(&mut self, task: &SessionTask, stream: UnixStream) {
        let forwards = matches!(task, SessionTask::Port { .. });
        let alike = self.keepers.iter().filter(|keeper| keeper.forwards == forwards).count();
        let most = if forwards { FORWARDED_MAX } else { SESSIONS_MAX };
        if alike >= most || self.shutdown.is_some() {
            let why = if self.shutdown.is_some() { "the instance shuts down" } else { "too many sessions are open" };
            return reply(stream, &Answer::SessionRefused(why.to_owned()));
        }
        match sys::fork_single_threaded() {
            Ok(Some(pid)) => self.keepers.push(Keeper { pid, forwards }),
            Ok(None) => session::keep(self.spec, stream, task),
            Err(err) => reply(stream, &Answer::SessionRefused(format!("no process can be started: {err}"))),
        }
    }

    fn reap(&mut self) {
        while let Some((pid, status)) = sys::next_ended_child() {
            if self.work.as_ref().is_some_and(|work| work.pid == pid) {
                self.read_logs();
                if let Some(work) = self.work.take() {
                    self.work_ended(work, status);
                }
            } else if let Some(at) = self.keepers.iter().position(|keeper| keeper.pid == pid) {
                self.keepers.swap_remove(at);
            } else {
                // What scripts and sessions leave behind is reaped and forgotten.
                self.scripts.reaped(self.spec, pid, status);
            }
        }
    }

    /// Takes the result of the boot work and tells it. A shutdown that ended
    /// the work is no result.
    fn work_ended(&mut self, work: Work, status: i32) {
        let mut text = Vec::new();
        // An incomplete result is none.
        let _ = File::from(work.result).take(RESULT_BYTES_MAX).read_to_end(&mut text);
        let ended = match serde_json::from_slice::<Ended>(&text) {
            Ok(ended) => ended,
            Err(_) if self.shutdown.is_some() => return,
            Err(_) => {
                let sentence = format!("the boot work ended with status {}", exit_code(status));
                self.output.line(&format!("elastane: ERROR: {sentence}"));
                Ended { initialization: Initialization::Failed(sentence), power_off_after_ms: None }
            }
        };
        self.power_off =
            ended.power_off_after_ms.and_then(|after| Instant::now().checked_add(Duration::from_millis(after)));
        self.initialization = Some(ended.initialization);
        let answer = self.initialized();
        for stream in self.waiting.drain(..) {
            let heard = stream.try_clone().ok().filter(|_| self.power_off.is_some());
            reply(stream, &answer);
            // The daemon closes when it has taken the answer. Before that the
            // end of the instance must not reach it.
            if let Some(heard) = heard {
                let _ = heard.set_read_timeout(Some(ANSWER_LIMIT));
                let _ = (&heard).read(&mut [0u8]);
            }
        }
    }

    fn initialized(&self) -> Answer {
        let initialization = self.initialization.clone().unwrap_or_default();
        Answer::Initialized { generation: self.spec.generation, initialization }
    }

    fn begin_shutdown(&mut self, grace: Duration) {
        if self.shutdown.is_some() {
            return;
        }
        self.output.line("elastane: shutting down");
        self.shutdown = Some(Instant::now() + grace);
        self.signal_all(libc::SIGTERM);
    }

    fn signal_all(&self, signal: i32) {
        if self.spec.make.is_sandbox() {
            // As process 1 of its own namespace it reaches exactly the instance.
            if std::process::id() == 1 {
                let _ = sys::kill(-1, signal);
            }
        } else {
            for pid in process::descendants(std::process::id() as i32) {
                let _ = sys::kill(pid, signal);
            }
        }
    }

    /// Whether nothing is left to wait for.
    fn is_down(&mut self) -> bool {
        let left = !process::descendants(std::process::id() as i32).is_empty();
        if left && self.shutdown.is_some_and(|deadline| deadline <= Instant::now()) {
            self.signal_all(libc::SIGKILL);
        }
        !left
    }
}

enum Reading {
    More,
    Line,
    Gone,
}

fn read_line(connection: &mut Incoming) -> Reading {
    let mut chunk = [0u8; 16 << 10];
    loop {
        match rustix::io::read(&connection.stream, &mut chunk[..]) {
            Ok(0) => return Reading::Gone,
            Ok(got) => {
                connection.request.extend_from_slice(&chunk[..got]);
                if connection.request.last() == Some(&b'\n') {
                    return Reading::Line;
                }
                if connection.request.len() > REQUEST_BYTES_MAX {
                    return Reading::Gone;
                }
            }
            Err(Errno::AGAIN) => return Reading::More,
            Err(Errno::INTR) => {}
            Err(_) => return Reading::Gone,
        }
    }
}

/// Says something to a daemon that stays; false when it has gone away or does not read.
pub(super) fn say(mut stream: &UnixStream, answer: &Answer) -> bool {
    let mut line = serde_json::to_vec(answer).expect("answers are plain data");
    line.push(b'\n');
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_write_timeout(Some(ANSWER_LIMIT));
    stream.write_all(&line).is_ok()
}

/// Says the last thing to a daemon. One that has gone away or does not read loses it.
pub(super) fn reply(stream: UnixStream, answer: &Answer) {
    say(&stream, answer);
}
