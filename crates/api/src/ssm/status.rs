//! Statuses of invocations and commands (ssm.md 7).

use super::parameters::Rate;
use elastane_domain::machine::CommandEnd;
use elastane_engine::row::{Command, Invocation};

/// Standard output that GetCommandInvocation shows, in characters.
const STDOUT_MAX: usize = 24_000;

/// Standard error that it shows, in characters.
const STDERR_MAX: usize = 8_000;

/// A status and its detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// `Status`.
    pub name: &'static str,
    /// `StatusDetails`.
    pub details: &'static str,
}

const IN_PROGRESS: Status = Status { name: "InProgress", details: "InProgress" };
const SUCCESS: Status = Status { name: "Success", details: "Success" };
const FAILED: Status = Status { name: "Failed", details: "Failed" };
const TIMED_OUT: Status = Status { name: "TimedOut", details: "ExecutionTimedOut" };

/// How far an invocation is.
pub fn of_invocation(invocation: &Invocation) -> Status {
    match invocation {
        Invocation::InProgress { .. } => IN_PROGRESS,
        Invocation::Done { outcome, .. } => match outcome.end {
            CommandEnd::Exited(0) => SUCCESS,
            CommandEnd::Exited(_) => FAILED,
            CommandEnd::TimedOut => TIMED_OUT,
            CommandEnd::Undeliverable => Status { name: "Failed", details: "Undeliverable" },
        },
    }
}

/// What a command's invocations amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The command's status.
    pub status: Status,
    /// Invocations that ended.
    pub completed: usize,
    /// Those of them that failed or ran out of time.
    pub errors: usize,
}

/// How far a command is: it succeeds when no more invocations end badly than
/// MaxErrors allows.
pub fn of_command(command: &Command) -> Summary {
    let statuses: Vec<Status> = command.invocations.values().map(of_invocation).collect();
    let completed = statuses.iter().filter(|status| **status != IN_PROGRESS).count();
    let errors = statuses.iter().filter(|status| **status != IN_PROGRESS && **status != SUCCESS).count();
    let tolerated = Rate::parse(&command.max_errors).map_or(0, |rate| rate.of(statuses.len()));
    let status = if statuses.is_empty() {
        Status { name: "Failed", details: "NoInstancesInTag" }
    } else if completed < statuses.len() {
        IN_PROGRESS
    } else if errors <= tolerated {
        SUCCESS
    } else if statuses.iter().any(|status| status.name == FAILED.name) {
        FAILED
    } else {
        TIMED_OUT
    };
    Summary { status, completed, errors }
}

/// The exit code; -1 while there is none.
pub fn response_code(invocation: &Invocation) -> i32 {
    match invocation {
        Invocation::InProgress { .. } => -1,
        Invocation::Done { outcome, .. } => match outcome.end {
            CommandEnd::Exited(code) => code,
            CommandEnd::TimedOut | CommandEnd::Undeliverable => -1,
        },
    }
}

/// Standard output; empty until the script has ended.
pub fn stdout(invocation: &Invocation) -> String {
    match invocation {
        Invocation::InProgress { .. } => String::new(),
        Invocation::Done { outcome, .. } => outcome.stdout.chars().take(STDOUT_MAX).collect(),
    }
}

/// Standard error, with the agent's last line when the script failed.
pub fn stderr(invocation: &Invocation) -> String {
    let Invocation::Done { outcome, .. } = invocation else { return String::new() };
    let last = match outcome.end {
        CommandEnd::Exited(0) | CommandEnd::Undeliverable => String::new(),
        CommandEnd::Exited(code) => format!("failed to run commands: exit status {code}"),
        CommandEnd::TimedOut => "failed to run commands: the execution timeout has passed".to_string(),
    };
    let room = STDERR_MAX - last.len() - 1;
    let mut text: String = outcome.stderr.chars().take(room).collect();
    if !last.is_empty() && !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + &last
}
