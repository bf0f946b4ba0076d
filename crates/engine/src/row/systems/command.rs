//! Run Command: commands, and what they printed.

use crate::row::row;
use elastane_domain::command::{Limits, Rate, Stage, Target};
use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::{CommandEnd, CommandStep, Generation, StepOutcome};
use elastane_domain::time::{Span, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A command sent to instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// A UUID.
    pub id: CommandId,
    /// The document's name, as it was given.
    pub document: String,
    /// The document's version, as it was given; `$DEFAULT` when it was not.
    pub document_version: String,
    /// The step that stands for the whole when there is one only: what
    /// PluginName is called.
    pub steps: Vec<CommandStep>,
    /// Parameters as given.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// Comment.
    pub comment: String,
    /// When it was sent.
    pub requested_at: Time,
    /// Seconds within which it must be delivered.
    pub delivery_timeout_secs: i32,
    /// MaxConcurrency as given: a number or a percentage.
    pub max_concurrency: String,
    /// MaxErrors as given: a number or a percentage.
    pub max_errors: String,
    /// Targets as given, as (key, values); empty when it named InstanceIds.
    pub targets: Vec<(String, Vec<String>)>,
    /// Whether all of it was cancelled.
    pub cancelled: bool,
    /// How far it is on each instance.
    pub invocations: BTreeMap<InstanceId, Invocation>,
}
row!(Command, |row| row.id.to_string(), version 2 from upgrade);

/// MaxConcurrency when it was not given (ssm.md 7).
pub const CONCURRENCY: &str = "50";

/// MaxErrors when it was not given (ssm.md 7).
pub const ERRORS: &str = "0";

/// Version 1 had one script and kept what it printed.
fn upgrade(from: u32, mut row: Value) -> Option<Value> {
    if from != 1 {
        return None;
    }
    let timeout = row["execution_timeout_secs"].take();
    let (script, directory) = (row["script"].take(), row["working_directory"].take());
    let name = "aws:runShellScript";
    row["steps"] = json!([{ "name": name, "script": script, "directory": directory, "timeout_secs": timeout }]);
    row["document_version"] = json!("$DEFAULT");
    row["max_concurrency"] = json!(CONCURRENCY);
    row["cancelled"] = json!(false);
    for (member, absent) in [("max_errors", json!(ERRORS)), ("targets", json!([]))] {
        if row.get(member).is_none_or(Value::is_null) {
            row[member] = absent;
        }
    }
    for invocation in row["invocations"].as_object_mut()?.values_mut() {
        if let Some(done) = invocation.get_mut("Done") {
            done["end"] = done["outcome"]["end"].take();
        }
        if let Some(running) = invocation.get_mut("InProgress") {
            running["boot"] = json!(ANY_BOOT);
        }
    }
    Some(row)
}

/// The boot of an invocation of which it was not written down; boots count from 1.
pub const ANY_BOOT: Generation = Generation(0);

/// How far a command is on one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Invocation {
    /// It waits for its turn, or for its instance.
    Waiting,
    /// The host is told to deliver it. Whether it runs is not known.
    Sent {
        /// Since when.
        at: Time,
        /// To which boot of the instance.
        boot: Generation,
    },
    /// The host is told to take it back unless it runs: its time for delivery is over.
    Withdrawing {
        /// When it was sent.
        at: Time,
        /// To which boot of the instance.
        boot: Generation,
    },
    /// It runs.
    InProgress {
        /// Since when.
        since: Time,
        /// In which boot of the instance.
        boot: Generation,
    },
    /// The host is told to end it.
    Cancelling {
        /// When it was sent, or began to run.
        since: Time,
        /// In which boot of the instance.
        boot: Generation,
    },
    /// It ended without having been run.
    NotRun {
        /// When.
        at: Time,
        /// Why.
        why: NotRun,
    },
    /// It ended. What it printed is in [`CommandOutput`].
    Done {
        /// When it began.
        since: Time,
        /// When it ended.
        at: Time,
        /// How.
        end: CommandEnd,
    },
}

/// Why an invocation was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotRun {
    /// It was cancelled before.
    Cancelled,
    /// It was not delivered in time.
    DeliveryTimedOut,
    /// Too many others had failed.
    Terminated,
    /// Its instance is no more.
    Undeliverable,
}

impl Invocation {
    /// Whether it is over.
    pub fn is_over(self) -> bool {
        match self {
            Invocation::NotRun { .. } | Invocation::Done { .. } => true,
            Invocation::Waiting
            | Invocation::Sent { .. }
            | Invocation::Withdrawing { .. }
            | Invocation::InProgress { .. }
            | Invocation::Cancelling { .. } => false,
        }
    }

    /// The boot that it was sent to, while it is out.
    pub fn boot(self) -> Option<Generation> {
        match self {
            Invocation::Sent { boot, .. }
            | Invocation::Withdrawing { boot, .. }
            | Invocation::InProgress { boot, .. }
            | Invocation::Cancelling { boot, .. } => Some(boot),
            Invocation::Waiting | Invocation::NotRun { .. } | Invocation::Done { .. } => None,
        }
    }

    /// Whether it counts against MaxErrors: it failed or ran out of its
    /// execution time (API reference, CommandInvocation, `StatusDetails`).
    pub fn is_error(self) -> bool {
        match self {
            Invocation::Done { end, .. } => match end {
                CommandEnd::Exited(code) => code != 0,
                CommandEnd::TimedOut | CommandEnd::Lost => true,
                CommandEnd::Cancelled | CommandEnd::Withdrawn | CommandEnd::Undeliverable | CommandEnd::Unreached => {
                    false
                }
            },
            Invocation::Waiting
            | Invocation::Sent { .. }
            | Invocation::Withdrawing { .. }
            | Invocation::InProgress { .. }
            | Invocation::Cancelling { .. }
            | Invocation::NotRun { .. } => false,
        }
    }

    /// Where it stands for [`elastane_domain::command::decide`].
    pub fn stage(self, target: impl FnOnce() -> Target) -> Stage {
        match self {
            Invocation::Waiting => Stage::Waiting(target()),
            Invocation::Sent { .. }
            | Invocation::Withdrawing { .. }
            | Invocation::InProgress { .. }
            | Invocation::Cancelling { .. } => Stage::Out,
            Invocation::NotRun { .. } | Invocation::Done { .. } => Stage::Over { error: self.is_error() },
        }
    }
}

impl Command {
    /// Whether an invocation is not over.
    pub fn is_open(&self) -> bool {
        self.invocations.values().any(|invocation| !invocation.is_over())
    }

    /// Until when it must be delivered.
    pub fn delivery_ends(&self) -> Time {
        self.requested_at + Span::from_secs(i64::from(self.delivery_timeout_secs))
    }

    /// Seconds that all steps may take together.
    pub fn execution_timeout_secs(&self) -> i64 {
        self.steps.iter().filter(|step| !step.skipped).map(|step| i64::from(step.timeout_secs)).sum()
    }

    /// What decides about its invocations.
    pub fn limits(&self, now: Time) -> Limits {
        let targets = self.invocations.len();
        Limits {
            at_once: Rate::parse(&self.max_concurrency).map_or(1, |rate| rate.at_once(targets)),
            errors_max: self.errors_max(),
            expired: now >= self.delivery_ends(),
        }
    }

    /// Errors that are tolerated.
    pub fn errors_max(&self) -> usize {
        Rate::parse(&self.max_errors).map_or(0, |rate| rate.of(self.invocations.len()))
    }
}

/// What a command printed on an instance: a row of its own, so that one
/// outcome is written when one invocation ends, and not all of them again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandOutput {
    /// The command.
    pub command: CommandId,
    /// The instance.
    pub instance: InstanceId,
    /// What is to be said besides.
    pub note: String,
    /// The steps, in their order; empty when none was run.
    pub steps: Vec<StepOutcome>,
}
row!(CommandOutput, |row| CommandOutput::key(&row.command, row.instance.as_str()));

impl CommandOutput {
    /// The row's id.
    pub fn key(command: &CommandId, instance: &str) -> String {
        format!("{command}/{instance}")
    }
}
