//! Launch configurations: what groups launched from before templates.

use crate::row::{LaunchData, row};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};

/// A launch configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchConfiguration {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub created_at: Time,
    /// What it says of instances, as a template would.
    pub data: LaunchData,
}
row!(LaunchConfiguration, |row| row.name.clone());
