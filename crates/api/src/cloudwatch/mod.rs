//! Operations of CloudWatch: samples and alarms. Evaluating alarms and
//! running their actions is the engine's business.

mod alarm_list;
mod alarm_state;
mod alarms;
mod data;
mod errors;
mod history;
mod metric;
mod put_data;
mod queries;
mod statistics;
mod tags;

#[cfg(test)]
mod alarm_tests;
#[cfg(test)]
mod metric_tests;

pub use alarm_list::describe_alarms;
pub use alarm_state::{delete_alarms, disable_alarm_actions, enable_alarm_actions, set_alarm_state};
pub use alarms::put_metric_alarm;
pub use data::get_metric_data;
pub use history::describe_alarm_history;
pub use metric::list_metrics;
pub use put_data::put_metric_data;
pub use statistics::get_metric_statistics;
pub use tags::{list_tags_for_resource, tag_resource, untag_resource};
