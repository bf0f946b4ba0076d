//! Run Command.

use crate::row::row;
use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::CommandOutcome;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A command sent to instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// A UUID.
    pub id: CommandId,
    /// `AWS-RunShellScript`.
    pub document: String,
    /// Parameters as given.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// Comment.
    pub comment: String,
    /// When it was sent.
    pub requested_at: Time,
    /// Seconds until it counts as not delivered.
    pub delivery_timeout_secs: i32,
    /// Seconds that the script may run, in wall time.
    pub execution_timeout_secs: i32,
    /// The script.
    pub script: String,
    /// Its working directory; empty for the default.
    pub working_directory: String,
    /// MaxErrors as given: a number or a percentage.
    #[serde(default = "no_errors")]
    pub max_errors: String,
    /// Targets as given, as (key, values); empty when it named InstanceIds.
    #[serde(default)]
    pub targets: Vec<(String, Vec<String>)>,
    /// How far it is on each instance.
    pub invocations: BTreeMap<InstanceId, Invocation>,
}
row!(Command, |row| row.id.to_string());

/// MaxErrors when it was not given (ssm.md 7).
fn no_errors() -> String {
    "0".to_string()
}

/// How far a command is on one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Invocation {
    /// The host is told to run it.
    InProgress {
        /// When it was sent.
        since: Time,
    },
    /// It ended.
    Done {
        /// When it was sent.
        since: Time,
        /// When it ended.
        at: Time,
        /// How.
        outcome: CommandOutcome,
    },
}
