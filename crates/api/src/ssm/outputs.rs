//! What the steps of an invocation printed and when they ran, as far as it is
//! known.

use super::status::{self, Status};
use crate::Call;
use elastane_domain::machine::{CommandEnd, StepEnd, StepOutcome};
use elastane_domain::time::{Span, Time};
use elastane_engine::row::{Command, CommandOutput, Invocation};

/// Standard output that GetCommandInvocation shows, in characters.
const STDOUT_MAX: usize = 24_000;

/// Standard error that it shows, in characters.
const STDERR_MAX: usize = 8_000;

/// What stands at the end of output that is not complete (ssm.md 7).
pub const CUT: &str = "--output truncated--";

/// A step of an invocation, or all of an invocation.
pub struct Shown {
    /// The step's name.
    pub name: String,
    /// How far it is.
    pub status: Status,
    /// The exit code; -1 while there is none.
    pub response_code: i32,
    /// Standard output; empty until it has ended.
    pub stdout: String,
    /// Standard error, with the agent's last line when it failed.
    pub stderr: String,
    /// When it began.
    pub start: Option<Time>,
    /// When it ended.
    pub end: Option<Time>,
}

/// All steps of an invocation.
pub fn steps(call: &Call<'_>, command: &Command, instance: &str, invocation: Invocation, away: bool) -> Vec<Shown> {
    let output = call.get::<CommandOutput>(&CommandOutput::key(&command.id, instance));
    let whole = status::of_invocation(invocation, away);
    let (mut start, end) = times(invocation);
    let single = command.steps.len() == 1;
    let mut shown = Vec::new();
    for (index, step) in command.steps.iter().enumerate() {
        let outcome = output.and_then(|output| output.steps.get(index));
        let note = output.filter(|_| index == 0).map_or("", |output| output.note.as_str());
        let ended_at = match (outcome, start) {
            (Some(outcome), Some(start)) if !single => {
                Some(start + Span(i64::try_from(outcome.elapsed_ms).unwrap_or(0)))
            }
            _ => end,
        };
        shown.push(Shown {
            name: step.name.clone(),
            status: outcome.map_or(whole, |outcome| status::of_step(outcome.end, invocation)),
            response_code: status::response_code(outcome.map(|outcome| outcome.end)),
            stdout: outcome.map(|outcome| cut(&outcome.stdout, STDOUT_MAX)).unwrap_or_default(),
            stderr: stderr(outcome, note),
            start,
            end: ended_at,
        });
        if !single && outcome.is_some() {
            start = ended_at;
        }
    }
    shown
}

/// An invocation as a whole: its only step, or what several come to.
pub fn whole(call: &Call<'_>, command: &Command, instance: &str, invocation: Invocation, away: bool) -> Shown {
    let mut all = steps(call, command, instance, invocation, away);
    let (start, end) = times(invocation);
    let status = status::of_invocation(invocation, away);
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Shown { status, start, end, ..only },
        _ => Shown {
            name: String::new(),
            status,
            response_code: match invocation {
                Invocation::Done { end: CommandEnd::Exited(code), .. } => code,
                Invocation::Waiting
                | Invocation::Sent { .. }
                | Invocation::Withdrawing { .. }
                | Invocation::InProgress { .. }
                | Invocation::Cancelling { .. }
                | Invocation::NotRun { .. }
                | Invocation::Done { .. } => -1,
            },
            stdout: String::new(),
            stderr: String::new(),
            start,
            end,
        },
    }
}

/// When an invocation began and ended to run.
fn times(invocation: Invocation) -> (Option<Time>, Option<Time>) {
    match invocation {
        Invocation::InProgress { since, .. } | Invocation::Cancelling { since, .. } => (Some(since), None),
        Invocation::Done { since, at, .. } => (Some(since), Some(at)),
        Invocation::Waiting | Invocation::Sent { .. } | Invocation::Withdrawing { .. } | Invocation::NotRun { .. } => {
            (None, None)
        }
    }
}

fn stderr(outcome: Option<&StepOutcome>, note: &str) -> String {
    let Some(outcome) = outcome else { return note.to_string() };
    let last = match outcome.end {
        StepEnd::Exited(0) | StepEnd::Skipped => note.to_string(),
        StepEnd::Exited(code) => format!("failed to run commands: exit status {code}"),
        StepEnd::TimedOut => "failed to run commands: the execution timeout has passed".to_string(),
        StepEnd::Cancelled => "failed to run commands: cancelled".to_string(),
    };
    let reserved = if last.is_empty() { 0 } else { last.chars().count() + 1 };
    let mut text = cut(&outcome.stderr, STDERR_MAX.saturating_sub(reserved));
    if !last.is_empty() && !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + &last
}

/// At most so many characters, the mark included when it is cut.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_string();
    }
    text.chars().take(max.saturating_sub(CUT.len())).collect::<String>() + CUT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output is cut at its limit in characters, the mark included.
    #[test]
    fn long_output_is_cut() {
        assert_eq!(cut(&"ä".repeat(50), 50), "ä".repeat(50));
        let short = cut(&"ä".repeat(51), 50);
        assert!(short.ends_with(CUT) && short.chars().count() == 50, "{short}");
    }
}
