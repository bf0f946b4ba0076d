//! Statuses of commands, invocations and steps (ssm.md 7; API reference,
//! Command and CommandInvocation, `StatusDetails`).

use elastane_domain::machine::{CommandEnd, StepEnd};
use elastane_engine::row::{Command, Invocation, NotRun};

/// A status and its detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// `Status`.
    pub name: &'static str,
    /// `StatusDetails`.
    pub details: &'static str,
}

impl Status {
    /// One whose detail says nothing more.
    const fn plain(name: &'static str) -> Status {
        Status { name, details: name }
    }

    /// Whether a filter's value means it: either of the two.
    pub fn is(self, wanted: &str) -> bool {
        self.name == wanted || self.details == wanted
    }
}

const PENDING: Status = Status::plain("Pending");
const IN_PROGRESS: Status = Status::plain("InProgress");
const SUCCESS: Status = Status::plain("Success");
const FAILED: Status = Status::plain("Failed");
const CANCELLED: Status = Status::plain("Cancelled");
const CANCELLING: Status = Status::plain("Cancelling");
const EXECUTION_TIMED_OUT: Status = Status { name: "TimedOut", details: "ExecutionTimedOut" };
const DELIVERY_TIMED_OUT: Status = Status { name: "TimedOut", details: "DeliveryTimedOut" };
const UNDELIVERABLE: Status = Status { name: "Failed", details: "Undeliverable" };

/// How far an invocation is. One that waits for an instance that is `away` is delayed.
pub fn of_invocation(invocation: Invocation, away: bool) -> Status {
    match invocation {
        Invocation::Waiting if away => Status::plain("Delayed"),
        Invocation::Waiting | Invocation::Sent { .. } | Invocation::Withdrawing { .. } => PENDING,
        Invocation::InProgress { .. } => IN_PROGRESS,
        Invocation::Cancelling { .. } => CANCELLING,
        Invocation::NotRun { why, .. } => match why {
            NotRun::Cancelled => CANCELLED,
            NotRun::DeliveryTimedOut => DELIVERY_TIMED_OUT,
            NotRun::Terminated => Status { name: "Failed", details: "Terminated" },
            NotRun::Undeliverable => UNDELIVERABLE,
        },
        Invocation::Done { end, .. } => match end {
            CommandEnd::Exited(0) => SUCCESS,
            CommandEnd::Exited(_) | CommandEnd::Lost => FAILED,
            CommandEnd::TimedOut => EXECUTION_TIMED_OUT,
            CommandEnd::Cancelled | CommandEnd::Withdrawn => CANCELLED,
            CommandEnd::Undeliverable | CommandEnd::Unreached => UNDELIVERABLE,
        },
    }
}

/// How a step of an invocation ended. What was not run because its command
/// was cancelled is cancelled.
pub fn of_step(end: StepEnd, of: Invocation) -> Status {
    match end {
        StepEnd::Exited(0) => SUCCESS,
        StepEnd::Exited(_) => FAILED,
        StepEnd::TimedOut => EXECUTION_TIMED_OUT,
        StepEnd::Cancelled => CANCELLED,
        StepEnd::Skipped => match of {
            Invocation::Done { end: CommandEnd::Cancelled, .. } => CANCELLED,
            Invocation::Waiting
            | Invocation::Sent { .. }
            | Invocation::Withdrawing { .. }
            | Invocation::InProgress { .. }
            | Invocation::Cancelling { .. }
            | Invocation::NotRun { .. }
            | Invocation::Done { .. } => Status { name: "Success", details: "Skipped" },
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
    /// Those of them that failed or ran out of their execution time.
    pub errors: usize,
    /// Those of them that were not delivered in time.
    pub delivery_timed_out: usize,
}

/// How far a command is.
pub fn of_command(command: &Command) -> Summary {
    let all = || command.invocations.values();
    let having = |status: Status| all().filter(|one| of_invocation(**one, false) == status).count();
    let completed = all().filter(|one| one.is_over()).count();
    let errors = all().filter(|one| one.is_error()).count();
    let delivery_timed_out = having(DELIVERY_TIMED_OUT);
    let status = if command.invocations.is_empty() {
        Status { name: "Failed", details: "NoInstancesInTag" }
    } else if completed == command.invocations.len() {
        of_ended(command, errors, delivery_timed_out, &having)
    } else if command.cancelled {
        CANCELLING
    } else if having(PENDING) == command.invocations.len() {
        PENDING
    } else {
        IN_PROGRESS
    };
    Summary { status, completed, errors, delivery_timed_out }
}

/// A command whose invocations have all ended: it succeeds when no more of
/// them end badly than MaxErrors allows. What was not delivered in time does
/// not end the sending, and yet makes it incomplete; what could not be
/// delivered at all does neither.
fn of_ended(command: &Command, errors: usize, delivery_timed_out: usize, having: &dyn Fn(Status) -> usize) -> Status {
    let tolerated = command.errors_max();
    let cancelled = having(CANCELLED);
    if command.cancelled && cancelled > 0 || cancelled == command.invocations.len() {
        CANCELLED
    } else if errors > tolerated {
        match having(EXECUTION_TIMED_OUT) == errors {
            true => EXECUTION_TIMED_OUT,
            false => FAILED,
        }
    } else if delivery_timed_out > tolerated {
        DELIVERY_TIMED_OUT
    } else if delivery_timed_out + cancelled > 0 {
        Status { name: "Failed", details: "Incomplete" }
    } else if having(UNDELIVERABLE) == command.invocations.len() {
        UNDELIVERABLE
    } else {
        SUCCESS
    }
}

/// The exit code of a step; -1 while there is none.
pub fn response_code(end: Option<StepEnd>) -> i32 {
    match end {
        Some(StepEnd::Exited(code)) => code,
        Some(StepEnd::Skipped) => 0,
        Some(StepEnd::TimedOut | StepEnd::Cancelled) | None => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::id::{CommandId, InstanceId};
    use elastane_domain::machine::Generation;
    use elastane_domain::time::Time;
    use std::collections::BTreeMap;

    fn command(letters: &str, max_errors: &str, cancelled: bool) -> Command {
        let (since, at, boot) = (Time(1), Time(2), Generation(1));
        let done = |end| Invocation::Done { since, at, end };
        let not_run = |why| Invocation::NotRun { at, why };
        let one = |letter| match letter {
            'w' => Invocation::Waiting,
            's' => Invocation::Sent { at, boot },
            'r' => Invocation::InProgress { since, boot },
            'k' => Invocation::Cancelling { since, boot },
            'o' => done(CommandEnd::Exited(0)),
            'f' => done(CommandEnd::Exited(1)),
            'l' => done(CommandEnd::Lost),
            't' => done(CommandEnd::TimedOut),
            'c' => done(CommandEnd::Cancelled),
            'd' => not_run(NotRun::DeliveryTimedOut),
            'x' => not_run(NotRun::Terminated),
            'u' => not_run(NotRun::Undeliverable),
            other => panic!("{other} stands for nothing"),
        };
        let invocations = letters.chars().enumerate();
        Command {
            id: CommandId::from("c"),
            document: "AWS-RunShellScript".to_string(),
            document_version: "$DEFAULT".to_string(),
            steps: Vec::new(),
            parameters: BTreeMap::new(),
            comment: String::new(),
            requested_at: since,
            delivery_timeout_secs: 3600,
            max_concurrency: "50".to_string(),
            max_errors: max_errors.to_string(),
            targets: Vec::new(),
            cancelled,
            invocations: invocations.map(|(n, letter)| (InstanceId::from(format!("i-{n}")), one(letter))).collect(),
        }
    }

    /// What invocations amount to, with the counts (completed, errors, not delivered in time).
    #[test]
    fn commands() {
        for (letters, max_errors, cancelled, name, details, counts) in [
            ("", "0", false, "Failed", "NoInstancesInTag", (0, 0, 0)),
            ("ws", "0", false, "Pending", "Pending", (0, 0, 0)),
            ("wr", "0", false, "InProgress", "InProgress", (0, 0, 0)),
            ("wo", "0", false, "InProgress", "InProgress", (1, 0, 0)),
            ("oo", "0", false, "Success", "Success", (2, 0, 0)),
            ("of", "0", false, "Failed", "Failed", (2, 1, 0)),
            ("ol", "0", false, "Failed", "Failed", (2, 1, 0)),
            ("of", "1", false, "Success", "Success", (2, 1, 0)),
            ("of", "49%", false, "Failed", "Failed", (2, 1, 0)),
            ("of", "50%", false, "Success", "Success", (2, 1, 0)),
            ("fxx", "0", false, "Failed", "Failed", (3, 1, 0)),
            ("txx", "0", false, "TimedOut", "ExecutionTimedOut", (3, 1, 0)),
            ("tf", "0", false, "Failed", "Failed", (2, 2, 0)),
            ("od", "0", false, "TimedOut", "DeliveryTimedOut", (2, 0, 1)),
            ("od", "1", false, "Failed", "Incomplete", (2, 0, 1)),
            ("ou", "0", false, "Success", "Success", (2, 0, 0)),
            ("uu", "0", false, "Failed", "Undeliverable", (2, 0, 0)),
            ("ok", "0", true, "Cancelling", "Cancelling", (1, 0, 0)),
            ("oc", "0", true, "Cancelled", "Cancelled", (2, 0, 0)),
            ("fc", "0", true, "Cancelled", "Cancelled", (2, 1, 0)),
            // It was over before it was cancelled.
            ("oo", "0", true, "Success", "Success", (2, 0, 0)),
            // One of its invocations was cancelled by itself.
            ("oc", "0", false, "Failed", "Incomplete", (2, 0, 0)),
            ("cc", "0", false, "Cancelled", "Cancelled", (2, 0, 0)),
        ] {
            let got = of_command(&command(letters, max_errors, cancelled));
            let (completed, errors, delivery_timed_out) = counts;
            let want = Summary { status: Status { name, details }, completed, errors, delivery_timed_out };
            assert_eq!(got, want, "{letters} {max_errors} {cancelled}");
        }
    }
}
