//! GetMetricData: metrics and metric math. A page holds a number of
//! datapoints, so a token says how far which series has come.

use super::{errors, metric, queries};
use crate::Call;
use elastane_domain::series::math::{self, MetricStat, Query, Series, Source, Value};
use elastane_domain::time::Time;
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};

/// Queries of one call (cloudwatch.md 3).
const QUERIES_MAX: usize = 500;

/// Datapoints of one page, and when MaxDatapoints is not given.
const DATAPOINTS_MAX: usize = 100_800;

/// Periods of one query, so that one read stays short: a month of minutes,
/// more than is kept.
const PERIODS_MAX: i64 = 44_640;

/// Datapoints that the expressions of one call may be about. Metrics alone
/// have no such bound, as they are read a page at a time.
const MATH_DATAPOINTS_MAX: i64 = 100_800;

/// A series that is returned.
struct Returned<'a> {
    id: &'a str,
    label: String,
    data: Data<'a>,
}

enum Data<'a> {
    /// To be read when its turn comes.
    Stat(&'a MetricStat),
    /// Oldest first.
    Points(Vec<(Time, f64)>),
}

/// Where a page begins: a query, and the last datapoint of it that was sent.
#[derive(Clone, Copy, Default)]
struct Cursor {
    query: usize,
    after: Option<Time>,
}

/// GetMetricData.
pub fn get_metric_data(
    call: &Call<'_>,
    input: &wire::GetMetricDataInput,
) -> Result<wire::GetMetricDataOutput, ApiError> {
    let (start, end) = metric::range(input.start_time, input.end_time, call.now)?;
    let queries = queries::read(call.scope, "MetricDataQueries", &input.metric_data_queries, QUERIES_MAX)?;
    let periods = math::stats(&queries).map(|stat| metric::periods(start, end, stat.period));
    if periods.max().unwrap_or_default() > PERIODS_MAX {
        return Err(errors::invalid(format!(
            "A query asks for more than {PERIODS_MAX} datapoints. Increase its Period or decrease the time range."
        )));
    }
    let returned = returned(call, &queries, (start, end))?;
    let max = match input.max_datapoints {
        None => DATAPOINTS_MAX,
        Some(max) => usize::try_from(max).ok().filter(|max| (1..=DATAPOINTS_MAX).contains(max)).ok_or_else(|| {
            errors::invalid(format!("The value {max} for parameter MaxDatapoints is invalid: it must be 1 to 100800."))
        })?,
    };
    let ascending = input.scan_by.as_deref() == Some("TimestampAscending");
    let mut cursor = input.next_token.as_deref().map(open).transpose()?.unwrap_or_default();
    if cursor.query > returned.len() {
        return Err(errors::bad_token(input.next_token.as_deref().unwrap_or("")));
    }
    let mut room = max;
    let mut results = Vec::new();
    let mut next_token = None;
    for (index, series) in returned.iter().enumerate().skip(cursor.query) {
        if room == 0 {
            next_token = Some(seal(Cursor { query: index, after: None }));
            break;
        }
        let mut points = points(call, series, (start, end), ascending);
        if let Some(after) = cursor.after.take().filter(|_| index == cursor.query) {
            points.retain(|(at, _)| if ascending { *at > after } else { *at < after });
        }
        let partial = points.len() > room;
        points.truncate(room);
        room -= points.len();
        let last = points.last().map(|(at, _)| *at);
        results.push(result(series, points, partial));
        if partial {
            next_token = Some(seal(Cursor { query: index, after: last }));
            break;
        }
    }
    Ok(wire::GetMetricDataOutput { messages: Vec::new(), metric_data_results: results, next_token })
}

fn seal(cursor: Cursor) -> String {
    format!("{}:{}", cursor.query, cursor.after.map_or(String::new(), |at| at.millis().to_string()))
}

fn open(token: &str) -> Result<Cursor, ApiError> {
    let parse = || {
        let (query, after) = token.split_once(':')?;
        let after = if after.is_empty() { None } else { Some(Time(after.parse().ok()?)) };
        Some(Cursor { query: query.parse().ok()?, after })
    };
    parse().ok_or_else(|| errors::bad_token(token))
}

/// What is returned, in the order of the queries. Without expressions nothing
/// is read yet.
fn returned<'a>(call: &Call<'_>, queries: &'a [Query], range: (Time, Time)) -> Result<Vec<Returned<'a>>, ApiError> {
    let wanted = |query: &&Query| query.returned;
    let label = |query: &Query, name: &str| query.label.clone().unwrap_or_else(|| name.to_string());
    if queries.iter().all(|query| matches!(query.source, Source::Stat(_))) {
        let lazy = |query: &'a Query| match &query.source {
            Source::Stat(stat) => {
                let label = label(query, &stat.metric.name);
                Some(Returned { id: &query.id, label, data: Data::Stat(stat) })
            }
            Source::Expression(_) => None,
        };
        return Ok(queries.iter().filter(wanted).filter_map(lazy).collect());
    }
    let covered: i64 = math::stats(queries).map(|stat| metric::periods(range.0, range.1, stat.period)).sum();
    if covered > MATH_DATAPOINTS_MAX {
        return Err(errors::invalid(format!(
            "The metrics of expressions have more than {MATH_DATAPOINTS_MAX} datapoints. Increase their Period or \
             decrease the time range."
        )));
    }
    math::check(queries).map_err(|err| queries::refused(&err))?;
    let fetch = |stat: &MetricStat| call.metrics().map_or_else(Vec::new, |store| store.points(stat, range.0, range.1));
    let values = math::evaluate(queries, range, &fetch).map_err(|err| queries::refused(&err))?;
    let mut found = Vec::new();
    for (query, value) in queries.iter().zip(values).filter(|(query, _)| query.returned) {
        let name = match &query.source {
            Source::Stat(stat) => &stat.metric.name,
            Source::Expression(_) => &query.id,
        };
        let data = |series: Series| Data::Points(series.points.into_iter().collect());
        match value {
            Value::Series(series) => {
                found.push(Returned { id: &query.id, label: label(query, name), data: data(series) });
            }
            Value::Array(all) => found.extend(all.into_iter().map(|series| {
                let own = series.label.clone().unwrap_or_else(|| series.id.clone());
                let label = format!("{} {own}", label(query, ""));
                Returned { id: &query.id, label: label.trim().to_string(), data: data(series) }
            })),
            // Refused by the check.
            Value::Scalar(_) => {}
        }
    }
    Ok(found)
}

fn points(call: &Call<'_>, series: &Returned<'_>, (start, end): (Time, Time), ascending: bool) -> Vec<(Time, f64)> {
    let mut points = match &series.data {
        Data::Stat(stat) => call.metrics().map_or_else(Vec::new, |store| store.points(stat, start, end)),
        Data::Points(points) => points.clone(),
    };
    if !ascending {
        points.reverse();
    }
    points
}

fn result(series: &Returned<'_>, points: Vec<(Time, f64)>, partial: bool) -> wire::MetricDataResult {
    wire::MetricDataResult {
        id: Some(series.id.to_string()),
        label: Some(series.label.clone()),
        messages: Vec::new(),
        status_code: Some(if partial { "PartialData" } else { "Complete" }.to_string()),
        timestamps: points.iter().map(|(at, _)| Timestamp(at.millis())).collect(),
        values: points.iter().map(|(_, value)| *value).collect(),
    }
}
