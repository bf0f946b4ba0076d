//! DescribeAlarmHistory: what happened to alarms that exist.

use super::alarm_list::page_size;
use super::errors;
use crate::Call;
use crate::page::{Pager, page};
use elastane_engine::row::{Alarm, HistoryItem};
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};

/// Items on a page when MaxRecords is not given.
const PAGE: usize = 100;

struct Found<'a> {
    /// Sorts as items are listed.
    place: String,
    alarm: &'a Alarm,
    item: &'a HistoryItem,
}

/// DescribeAlarmHistory, newest first unless it is asked otherwise.
pub fn describe_alarm_history(
    call: &Call<'_>,
    input: &wire::DescribeAlarmHistoryInput,
) -> Result<wire::DescribeAlarmHistoryOutput, ApiError> {
    let max = page_size(input.max_records, PAGE)?;
    errors::refuse_unsupported(&[("AlarmContributorId", input.alarm_contributor_id.is_some())])?;
    let ascending = input.scan_by.as_deref() == Some("TimestampAscending");
    let metric_alarms = input.alarm_types.is_empty() || input.alarm_types.iter().any(|kind| kind == "MetricAlarm");
    let wanted = |item: &HistoryItem| {
        let at = item.at.millis();
        input.history_item_type.as_deref().is_none_or(|kind| kind == item.kind.name())
            && input.start_date.is_none_or(|start| at >= start.millis())
            && input.end_date.is_none_or(|end| at <= end.millis())
    };
    let mut found = Vec::new();
    let alarms = call
        .all::<Alarm>()
        .filter(|alarm| metric_alarms && input.alarm_name.as_deref().is_none_or(|name| alarm.name.as_str() == name));
    for alarm in alarms {
        for (place, item) in places(alarm, ascending) {
            if wanted(item) {
                found.push(Found { place, alarm, item });
            }
        }
    }
    found.sort_by(|a, b| a.place.cmp(&b.place));
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, |found| found.place.clone())?;
    let alarm_history_items = rows
        .into_iter()
        .map(|found| wire::AlarmHistoryItem {
            alarm_name: Some(found.alarm.name.to_string()),
            alarm_type: Some("MetricAlarm".to_string()),
            history_item_type: Some(found.item.kind.name().to_string()),
            history_summary: Some(found.item.summary.chars().take(255).collect()),
            timestamp: Some(Timestamp(found.item.at.millis())),
            ..Default::default()
        })
        .collect();
    Ok(wire::DescribeAlarmHistoryOutput { alarm_history_items, next_token })
}

/// An alarm's items with the texts that they sort by: time, alarm, and their
/// number among those of the same time, which stays when old items go.
fn places(alarm: &Alarm, ascending: bool) -> impl Iterator<Item = (String, &HistoryItem)> {
    let mut same = 0_i64;
    let mut last = None;
    alarm.history.iter().map(move |item| {
        same = if last == Some(item.at) { same + 1 } else { 0 };
        last = Some(item.at);
        let turn = |number: i64| if ascending { number } else { i64::MAX - number };
        (format!("{:020}{}\u{1}{:020}", turn(item.at.millis()), alarm.name, turn(same)), item)
    })
}
