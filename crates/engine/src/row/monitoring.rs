//! Rows of CloudWatch: alarms. Samples are not rows.

use super::{Tags, row};
use elastane_domain::alarm::{AlarmRule, AlarmState};
use elastane_domain::id::AlarmName;
use elastane_domain::series::MetricId;
use elastane_domain::series::math::Query;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};

/// An alarm keeps this many history items; the oldest go first. AWS keeps
/// them by age; a bound by number keeps the row small.
pub const HISTORY_MAX: usize = 50;

/// A metric alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its name.
    pub name: AlarmName,
    /// Its ARN.
    pub arn: String,
    /// AlarmDescription.
    pub description: Option<String>,
    /// ActionsEnabled.
    pub actions_enabled: bool,
    /// OKActions.
    pub ok_actions: Vec<String>,
    /// AlarmActions.
    pub alarm_actions: Vec<String>,
    /// InsufficientDataActions.
    pub insufficient_data_actions: Vec<String>,
    /// What it watches.
    pub metric: Watched,
    /// Unit filter of a single metric.
    pub unit: Option<String>,
    /// When it is in which state.
    pub rule: AlarmRule,
    /// Its state.
    pub state: AlarmState,
    /// StateReason.
    pub state_reason: String,
    /// StateReasonData, JSON.
    pub state_reason_data: Option<String>,
    /// When state or reason was last written.
    pub state_updated_at: Time,
    /// When the state last became another.
    pub state_transitioned_at: Time,
    /// When the configuration was last written.
    pub configured_at: Time,
    /// ARN of the target tracking policy that it belongs to.
    pub owner: Option<String>,
    /// The newest items of its history, oldest first.
    pub history: Vec<HistoryItem>,
    /// Tags.
    pub tags: Tags,
}
row!(Alarm, |row| row.name.to_string());

impl Alarm {
    /// Adds an item to the history.
    pub fn remember(&mut self, at: Time, kind: HistoryKind, summary: String) {
        self.history.push(HistoryItem { at, kind, summary });
        if self.history.len() > HISTORY_MAX {
            self.history.remove(0);
        }
    }

    /// The actions of the state that it is in.
    pub fn actions(&self) -> &[String] {
        match self.state {
            AlarmState::Ok => &self.ok_actions,
            AlarmState::Alarm => &self.alarm_actions,
            AlarmState::InsufficientData => &self.insufficient_data_actions,
        }
    }
}

/// What an alarm watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Watched {
    /// A single metric.
    Metric(MetricId),
    /// The one of these queries whose data is returned.
    Math(Vec<Query>),
}

impl Watched {
    /// The metric, if it is a single one.
    pub fn metric(&self) -> Option<&MetricId> {
        match self {
            Watched::Metric(metric) => Some(metric),
            Watched::Math(_) => None,
        }
    }
}

/// One item of an alarm's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// When.
    pub at: Time,
    /// Of which kind.
    pub kind: HistoryKind,
    /// What happened, in a sentence.
    pub summary: String,
}

/// HistoryItemType.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryKind {
    /// The configuration was written.
    ConfigurationUpdate,
    /// The state became another.
    StateUpdate,
    /// An action was run.
    Action,
}

impl HistoryKind {
    /// AWS's word.
    pub fn name(self) -> &'static str {
        match self {
            HistoryKind::ConfigurationUpdate => "ConfigurationUpdate",
            HistoryKind::StateUpdate => "StateUpdate",
            HistoryKind::Action => "Action",
        }
    }
}
