//! Scheduled actions: when they run (EC2 Auto Scaling User Guide, "Scheduled
//! scaling").

use serde::{Deserialize, Serialize};

/// The sizes that an action sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// MinSize.
    pub min: Option<u32>,
    /// MaxSize.
    pub max: Option<u32>,
    /// DesiredCapacity.
    pub desired: Option<u32>,
}
