//! Filters of lists of commands and invocations.

use super::errors;
use super::status::Status;
use elastane_domain::time::{Civil, Time};
use elastane_engine::row::Command;
use elastane_wire::{ApiError, ssm as wire};

/// What the filter `Status` takes: statuses and their details (API reference, CommandFilter).
const STATUSES: [&str; 16] = [
    "Pending",
    "InProgress",
    "Delayed",
    "Success",
    "Cancelled",
    "Cancelling",
    "Failed",
    "TimedOut",
    "DeliveryTimedOut",
    "ExecutionTimedOut",
    "Undeliverable",
    "Terminated",
    "Incomplete",
    "NoInstancesInTag",
    "AccessDenied",
    "LimitExceeded",
];

/// A filter, read.
pub enum Filter<'a> {
    /// Sent after.
    After(Time),
    /// Sent before.
    Before(Time),
    /// Of this status.
    Status(&'a str),
    /// Still under way, or not.
    Executing(bool),
    /// Of this document.
    Document(&'a str),
}

/// Reads filters; each must be one of `keys`.
pub fn parse<'a>(filters: &'a [wire::CommandFilter], keys: &[&str]) -> Result<Vec<Filter<'a>>, ApiError> {
    filters.iter().map(|filter| parse_one(filter, keys)).collect()
}

fn parse_one<'a>(filter: &'a wire::CommandFilter, keys: &[&str]) -> Result<Filter<'a>, ApiError> {
    let key = filter.key.as_deref().unwrap_or_default();
    let value = filter.value.as_deref().unwrap_or_default();
    let moment = || moment(value);
    match key {
        _ if !keys.contains(&key) => Err(errors::invalid_filter_key(key)),
        "InvokedAfter" => moment().map(Filter::After),
        "InvokedBefore" => moment().map(Filter::Before),
        "Status" if STATUSES.contains(&value) => Ok(Filter::Status(value)),
        "Status" => Err(errors::invalid_filter_value(format!("The status '{value}' is not valid"))),
        "ExecutionStage" => match value {
            "Executing" => Ok(Filter::Executing(true)),
            "Complete" => Ok(Filter::Executing(false)),
            other => Err(errors::invalid_filter_value(format!("The execution stage '{other}' is not valid"))),
        },
        "DocumentName" => Ok(Filter::Document(value)),
        other => Err(errors::invalid_filter_key(other)),
    }
}

/// A filter's value that is a time.
pub fn moment(value: &str) -> Result<Time, ApiError> {
    let message = || format!("The filter value '{value}' is not a time such as 2026-01-31T00:00:00Z");
    time(value).ok_or_else(|| errors::invalid_filter_value(message()))
}

/// Whether a command, or one of its invocations, of this status is meant.
pub fn matches(filters: &[Filter<'_>], command: &Command, status: Status, open: bool) -> bool {
    filters.iter().all(|filter| match filter {
        Filter::After(time) => command.requested_at > *time,
        Filter::Before(time) => command.requested_at < *time,
        Filter::Status(wanted) => status.is(wanted),
        Filter::Executing(wanted) => open == *wanted,
        Filter::Document(name) => command.document == *name,
    })
}

/// `2026-01-31T00:00:00Z`, with or without milliseconds.
fn time(text: &str) -> Option<Time> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let civil = Civil { year: i64::from(year), month, day, hour, minute, second };
    let time = civil.time();
    // A date that does not exist comes back as another one.
    (Civil::from(time) == civil).then_some(time)
}

fn numbers(text: &str, separator: char) -> Option<[u32; 3]> {
    let parts: Vec<u32> =
        text.split(separator).map(|part| part.parse().ok().filter(|n| *n < 10_000)).collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only real dates in AWS's form are times.
    #[test]
    fn times() {
        for (text, seconds) in [
            ("1970-01-02T00:00:01Z", Some(86_401)),
            ("1970-01-02T00:00:01.500Z", Some(86_401)),
            ("2024-02-30T00:00:00Z", None),
            ("2024-02-28", None),
            ("now", None),
        ] {
            assert_eq!(time(text).map(Time::seconds), seconds, "{text}");
        }
    }
}
