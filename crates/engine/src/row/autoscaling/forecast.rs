//! What predictive scaling has seen and foretold. It is a row because two
//! weeks of load are worth keeping over a restart; metric samples are not kept.

use crate::row::row;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The forecast of one predictive scaling policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The policy: the id of its row.
    pub policy: String,
    /// The load of past hours, by the beginning of each; hours without data are missing.
    pub load: BTreeMap<Time, f64>,
    /// All hours before are in `load`, if they had data.
    pub seen_until: Time,
    /// When the newest forecast was made.
    pub made_at: Option<Time>,
    /// What was foretold for each hour, the last word about it.
    pub said: BTreeMap<Time, Foretold>,
    /// The hour whose capacity the group was given last.
    pub applied: Option<Time>,
}
row!(Forecast, |row| row.policy.clone());

/// What was foretold for an hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// The load of a minute.
    pub load: f64,
    /// The instances that it needs.
    pub capacity: u32,
}
