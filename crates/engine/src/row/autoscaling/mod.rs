//! Rows of Auto Scaling: groups with their hooks, scheduled actions and
//! refreshes, launch configurations, activities and policies.

mod activity;
mod configuration;
mod forecast;
mod group;
mod hook;
mod notification;
mod policy;
mod refresh;
mod scheduled;

pub use activity::{Activity, ActivityStatus};
pub use configuration::LaunchConfiguration;
pub use forecast::{Forecast, Foretold};
pub use group::{Group, LaunchSource, NamedSettings};
pub use hook::LifecycleHook;
pub use notification::Notification;
pub use policy::{Policy, PolicyKind, TrackedMetric};
pub use refresh::{InstanceRefresh, Rollback};
pub use scheduled::ScheduledAction;
