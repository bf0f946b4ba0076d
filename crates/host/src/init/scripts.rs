//! The scripts of Run Command in the instance's first process: each command
//! is run once in the life of that process, its steps one after the other,
//! and whoever asks again gets the first run's answer. So a daemon that was
//! killed in between can ask again.
//!
//! A script has a keeper: a child of the first process that starts the
//! script, adopts what the script leaves behind, and can end all of it. When
//! the script ends by itself, what it left running stays.

use super::command::{self, exit_code};
use super::{Answer, InitSpec, agent, session};
use crate::sys;
use elastane_domain::machine::{CommandEnd, CommandOutcome, CommandStep, OnFailure, StepEnd, StepOutcome};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Commands at a time; who asks for more is told to ask again later.
const RUNNING_MAX: usize = 64;
/// Standard output of a step (SSM GetCommandInvocation).
const STDOUT_BYTES_MAX: usize = 24_000;
/// Standard error of a step, likewise.
const STDERR_BYTES_MAX: usize = 8_000;
/// All steps of a command together may keep the output of so many.
const OUTPUT_STEPS_MAX: usize = 4;
/// What stands at the end of output that is not complete (ssm.md 7).
const CUT: &str = "--output truncated--";
/// Outcomes kept for a daemon that asks again; each is at most 128 KB.
const OUTCOMES_KEPT: usize = 64;
/// Commands that are known not to be run again, longer than their outcomes.
const KNOWN_KEPT: usize = 4_096;
/// How long a keeper may take to end everything before it is killed itself.
const KEEPER_LIMIT: Duration = Duration::from_secs(45);
/// Tells a keeper to end everything. SIGTERM is for the scripts, when the
/// instance shuts down.
const END_SIGNAL: i32 = libc::SIGUSR1;

/// A command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRequest {
    /// Its id.
    pub command: String,
    /// Its steps.
    pub steps: Vec<CommandStep>,
}

/// The scripts that run, and what is known of those that ran.
#[derive(Default)]
pub struct Scripts {
    running: Vec<Running>,
    /// The newest outcomes, oldest first.
    outcomes: VecDeque<(String, CommandOutcome)>,
    /// The newest commands that ended or were taken back, oldest first, and
    /// whether they were taken back.
    known: VecDeque<(String, bool)>,
}

/// A command that runs.
struct Running {
    command: String,
    /// Those that are still to come.
    steps: VecDeque<CommandStep>,
    script: Script,
    outcomes: Vec<StepOutcome>,
    /// A step has ended the command: only those that run anyway still do.
    exited: bool,
    cancelled: bool,
    /// Who waits for its end.
    streams: Vec<UnixStream>,
}

/// A script that runs.
struct Script {
    step: CommandStep,
    keeper: i32,
    began: Instant,
    /// When it has run long enough, or its keeper has taken too long to end it.
    deadline: Instant,
    /// Why it is being ended.
    ending: Option<StepEnd>,
    output: Captured,
    errors: Captured,
}

/// One captured stream of a script.
struct Captured {
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
    bytes_max: usize,
    cut: bool,
}

impl Captured {
    /// Takes what is there; keeps the first bytes and drops the rest.
    fn drain(&mut self) {
        let mut chunk = [0u8; 16 << 10];
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut chunk[..]) {
                Ok(0) => self.pipe = None,
                Ok(got) => {
                    let room = self.bytes_max - self.bytes.len();
                    self.cut |= got > room;
                    self.bytes.extend_from_slice(&chunk[..got.min(room)]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    /// What was said, with a mark when it was more than is kept.
    fn text(mut self) -> String {
        if self.cut {
            let mut end = self.bytes_max.saturating_sub(CUT.len());
            // Not in the middle of a character.
            while end > 0 && self.bytes[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            self.bytes.truncate(end);
        }
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.cut {
            text.push_str(CUT);
        }
        text
    }
}

impl Scripts {
    /// What output is read from.
    pub fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let pipes = self.running.iter().flat_map(|run| [&run.script.output.pipe, &run.script.errors.pipe]);
        pipes.flatten().map(AsFd::as_fd)
    }

    /// When time alone makes a difference next.
    pub fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.running.iter().map(|run| run.script.deadline)
    }

    /// Takes what the scripts have printed.
    pub fn drain(&mut self) {
        for run in &mut self.running {
            run.script.output.drain();
            run.script.errors.drain();
        }
    }

    /// Runs a command and tells the stream when it has begun and how it
    /// ended; tells of an earlier run if there was one.
    pub fn run(&mut self, spec: &InitSpec, request: RunRequest, stream: UnixStream) {
        let RunRequest { command, steps } = request;
        if let Some(run) = self.running.iter_mut().find(|run| run.command == command) {
            if agent::say(&stream, &Answer::Started) {
                run.streams.push(stream);
            }
            return;
        }
        if let Some(answer) = self.known(&command) {
            return agent::reply(stream, &answer);
        }
        // Who has gone away may have been told meanwhile that it will not run.
        if is_gone(&stream) {
            return;
        }
        if self.running.len() >= RUNNING_MAX {
            return agent::reply(stream, &Answer::Busy);
        }
        let mut progress = Progress { steps: steps.into(), outcomes: Vec::new(), exited: false, cancelled: false };
        // Who does not hear it now hears it when it asks again.
        agent::say(&stream, &Answer::Started);
        match progress.next(spec) {
            Some(script) => {
                let Progress { steps, outcomes, exited, cancelled } = progress;
                self.running.push(Running {
                    command,
                    steps,
                    script,
                    outcomes,
                    exited,
                    cancelled,
                    streams: vec![stream],
                });
            }
            None => self.ended(command, progress.outcome(), vec![stream]),
        }
    }

    /// Takes a command back that has not been run, or ends it, unless it is
    /// to go on when it runs; tells the stream what has come of it.
    pub fn end(&mut self, command: String, unless_running: bool, stream: UnixStream) {
        if let Some(run) = self.running.iter_mut().find(|run| run.command == command) {
            if unless_running {
                return agent::reply(stream, &Answer::Started);
            }
            run.cancelled = true;
            run.script.end(StepEnd::Cancelled);
            return run.streams.push(stream);
        }
        let answer = self.known(&command).unwrap_or_else(|| {
            self.know(command, true);
            Answer::Withdrawn
        });
        agent::reply(stream, &answer);
    }

    /// What is known of a command that does not run.
    fn known(&self, command: &str) -> Option<Answer> {
        if let Some((_, outcome)) = self.outcomes.iter().find(|(known, _)| known == command) {
            return Some(Answer::Executed(outcome.clone()));
        }
        let (_, withdrawn) = self.known.iter().find(|(known, _)| known == command)?;
        let forgotten = || CommandOutcome::without_steps(CommandEnd::Lost, "How it ended has been forgotten.");
        Some(if *withdrawn { Answer::Withdrawn } else { Answer::Executed(forgotten()) })
    }

    fn know(&mut self, command: String, withdrawn: bool) {
        if self.known.len() >= KNOWN_KEPT {
            self.known.pop_front();
        }
        self.known.push_back((command, withdrawn));
    }

    fn ended(&mut self, command: String, outcome: CommandOutcome, streams: Vec<UnixStream>) {
        let answer = Answer::Executed(outcome.clone());
        streams.into_iter().for_each(|stream| agent::reply(stream, &answer));
        self.know(command.clone(), false);
        if self.outcomes.len() >= OUTCOMES_KEPT {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((command, outcome));
    }

    /// Ends what has run long enough.
    pub fn enforce_timeouts(&mut self) {
        let now = Instant::now();
        for run in self.running.iter_mut().filter(|run| run.script.deadline <= now) {
            match run.script.ending {
                None => run.script.end(StepEnd::TimedOut),
                Some(_) => {
                    // It is reaped, and answered, when it has ended.
                    run.script.deadline = now + KEEPER_LIMIT;
                    let _ = sys::kill(run.script.keeper, libc::SIGKILL);
                }
            }
        }
    }

    /// Takes note of a child's end; false when it was nobody's keeper.
    pub fn reaped(&mut self, spec: &InitSpec, pid: i32, status: i32) -> bool {
        let Some(at) = self.running.iter().position(|run| run.script.keeper == pid) else { return false };
        let run = self.running.swap_remove(at);
        let (step, outcome) = run.script.outcome(status);
        let mut progress =
            Progress { steps: run.steps, outcomes: run.outcomes, exited: run.exited, cancelled: run.cancelled };
        progress.add(&step, outcome);
        let (command, streams) = (run.command, run.streams);
        match progress.next(spec) {
            Some(script) => {
                let Progress { steps, outcomes, exited, cancelled } = progress;
                self.running.push(Running { command, steps, script, outcomes, exited, cancelled, streams });
            }
            None => self.ended(command, progress.outcome(), streams),
        }
        true
    }
}

/// Whether nobody listens at the other end.
fn is_gone(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP;
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(gone)
}

/// How far a command is between two scripts.
struct Progress {
    steps: VecDeque<CommandStep>,
    outcomes: Vec<StepOutcome>,
    exited: bool,
    cancelled: bool,
}

impl Progress {
    /// Starts the next step that is to be run.
    fn next(&mut self, spec: &InitSpec) -> Option<Script> {
        while let Some(step) = self.steps.pop_front() {
            let passed_over = step.skipped || self.cancelled || (self.exited && !step.runs_anyway);
            if passed_over {
                self.outcomes.push(StepOutcome {
                    end: StepEnd::Skipped,
                    stdout: String::new(),
                    stderr: String::new(),
                    elapsed_ms: 0,
                });
                continue;
            }
            let left = |each: usize, used: usize| (OUTPUT_STEPS_MAX * each).saturating_sub(used).min(each);
            let used = |of: fn(&StepOutcome) -> usize| self.outcomes.iter().map(of).sum();
            let limits = (
                left(STDOUT_BYTES_MAX, used(|one| one.stdout.len())).max(CUT.len()),
                left(STDERR_BYTES_MAX, used(|one| one.stderr.len())).max(CUT.len()),
            );
            match Script::start(spec, step.clone(), limits) {
                Ok(script) => return Some(script),
                Err(err) => {
                    let stderr = format!("cannot start the script: {err}\n");
                    let end = StepEnd::Exited(127);
                    self.add(&step, StepOutcome { end, stdout: String::new(), stderr, elapsed_ms: 0 });
                }
            }
        }
        None
    }

    /// Notes how a step ended, and what it means for the others.
    fn add(&mut self, step: &CommandStep, outcome: StepOutcome) {
        match (outcome.end, step.on_failure) {
            (StepEnd::Exited(0), _) => self.exited |= step.exits_on_success,
            (_, OnFailure::Continue) => {}
            (_, OnFailure::Exit | OnFailure::ExitAsSuccess) => self.exited = true,
        }
        let forgiven = step.on_failure == OnFailure::ExitAsSuccess && matches!(outcome.end, StepEnd::Exited(_));
        let end = if forgiven { StepEnd::Exited(0) } else { outcome.end };
        self.outcomes.push(StepOutcome { end, ..outcome });
    }

    /// What the steps come to: cancelled, or the first one that did not go well.
    fn outcome(self) -> CommandOutcome {
        let bad = |end: &StepEnd| !matches!(end, StepEnd::Exited(0) | StepEnd::Skipped);
        let first = self.outcomes.iter().map(|one| one.end).find(bad);
        let end = match first {
            _ if self.cancelled => CommandEnd::Cancelled,
            Some(end) => end.of_command(),
            None => CommandEnd::Exited(0),
        };
        CommandOutcome { end, note: String::new(), steps: self.outcomes }
    }
}

impl Script {
    fn start(spec: &InitSpec, step: CommandStep, (stdout_max, stderr_max): (usize, usize)) -> io::Result<Script> {
        use rustix::pipe::{PipeFlags, pipe_with};
        let (output, to_output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, to_errors) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        rustix::io::ioctl_fionbio(&errors, true)?;
        let Some(keeper) = sys::fork_single_threaded()? else { keep(spec, &step, &to_output, &to_errors) };
        let captured = |pipe, bytes_max| Captured { pipe: Some(pipe), bytes: Vec::new(), bytes_max, cut: false };
        let began = Instant::now();
        Ok(Script {
            keeper,
            began,
            deadline: began + Duration::from_secs(u64::from(step.timeout_secs)),
            ending: None,
            output: captured(output, stdout_max),
            errors: captured(errors, stderr_max),
            step,
        })
    }

    /// Has its keeper end it, and everything that came from it.
    fn end(&mut self, why: StepEnd) {
        if self.ending.is_none() {
            self.ending = Some(why);
            self.deadline = Instant::now() + KEEPER_LIMIT;
            let _ = sys::kill(self.keeper, END_SIGNAL);
        }
    }

    fn outcome(mut self, status: i32) -> (CommandStep, StepOutcome) {
        self.output.drain();
        self.errors.drain();
        let end = self.ending.unwrap_or_else(|| StepEnd::Exited(exit_code(status)));
        let elapsed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.step, StepOutcome { end, stdout: self.output.text(), stderr: self.errors.text(), elapsed_ms })
    }
}

/// Keeps a script until it ends, and ends the process with its exit code. For
/// a fresh child of the first process, which has one thread.
fn keep(spec: &InitSpec, step: &CommandStep, output: &OwnedFd, errors: &OwnedFd) -> ! {
    let code = watch(spec, step, output, errors).unwrap_or_else(|err| {
        // Standard error may be what cannot be written.
        let _ = writeln!(io::stderr(), "cannot start the script: {err}");
        127
    });
    sys::exit_now(code)
}

fn watch(spec: &InitSpec, step: &CommandStep, output: &OwnedFd, errors: &OwnedFd) -> io::Result<i32> {
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(errors)?;
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    let signals = sys::keep_only(sys::signal_fd(&[libc::SIGCHLD, END_SIGNAL])?)?;
    let mut shell = command::command(spec, Path::new("/bin/sh"));
    shell.arg("-c").arg(&step.script).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    if !step.directory.is_empty() {
        shell.current_dir(&step.directory);
    }
    let script = shell.spawn()?.id() as i32;
    // What nobody writes to any more ends, although the keeper lives.
    close_outputs()?;
    loop {
        let mut fds = [PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
        let mut info = [0u8; 128];
        while let Ok(got) = rustix::io::read(&signals, &mut info[..]) {
            let signal = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            if got == info.len() && signal == END_SIGNAL {
                session::end_all();
                return Ok(128 + libc::SIGKILL);
            }
        }
        while let Some((pid, status)) = sys::next_ended_child() {
            if pid == script {
                return Ok(exit_code(status));
            }
        }
    }
}

/// Points the keeper's own standard output and error elsewhere.
fn close_outputs() -> io::Result<()> {
    let nothing = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(text: &str, bytes_max: usize) -> String {
        let bytes: Vec<u8> = text.bytes().take(bytes_max).collect();
        Captured { pipe: None, cut: text.len() > bytes_max, bytes, bytes_max }.text()
    }

    /// Output is kept whole up to its limit, and cut before a mark, between characters, above it.
    #[test]
    fn long_output_is_marked() {
        assert_eq!(captured(&"x".repeat(40), 40), "x".repeat(40));
        assert_eq!(captured(&"x".repeat(41), 40), "x".repeat(20) + CUT);
        assert_eq!(captured(&"ä".repeat(30), 41), "ä".repeat(10) + CUT);
    }

    fn outcome(end: StepEnd) -> StepOutcome {
        StepOutcome { end, stdout: String::new(), stderr: String::new(), elapsed_ms: 0 }
    }

    /// What the end of a step means for the command and for the steps after it.
    #[test]
    fn ends_of_steps() {
        let (good, bad, late) = (StepEnd::Exited(0), StepEnd::Exited(3), StepEnd::TimedOut);
        for (on_failure, exits_on_success, end, exited, of_command) in [
            (OnFailure::Continue, false, good, false, CommandEnd::Exited(0)),
            (OnFailure::Continue, true, good, true, CommandEnd::Exited(0)),
            (OnFailure::Continue, true, bad, false, CommandEnd::Exited(3)),
            (OnFailure::Exit, false, bad, true, CommandEnd::Exited(3)),
            (OnFailure::Exit, false, late, true, CommandEnd::TimedOut),
            (OnFailure::ExitAsSuccess, false, bad, true, CommandEnd::Exited(0)),
            (OnFailure::ExitAsSuccess, false, late, true, CommandEnd::TimedOut),
            (OnFailure::Exit, false, good, false, CommandEnd::Exited(0)),
        ] {
            let step = CommandStep { on_failure, exits_on_success, ..CommandStep::default() };
            let mut progress =
                Progress { steps: VecDeque::new(), outcomes: Vec::new(), exited: false, cancelled: false };
            progress.add(&step, outcome(end));
            let shown = format!("{on_failure:?} {end:?}");
            assert_eq!(progress.exited, exited, "{shown}");
            assert_eq!(progress.outcome().end, of_command, "{shown}");
        }
    }
}
