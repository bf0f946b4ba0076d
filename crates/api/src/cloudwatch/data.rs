//! GetMetricData, for single metrics. A page holds a number of datapoints,
//! so a token says how far which query has come.

use super::{errors, metric};
use crate::Call;
use elastane_domain::series::{Distribution, MetricId, Statistic, Unit};
use elastane_domain::time::{Span, Time};
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};
use std::collections::BTreeSet;

/// Queries of one call (cloudwatch.md 3).
const QUERIES_MAX: usize = 500;

/// Datapoints of one page, and when MaxDatapoints is not given.
const DATAPOINTS_MAX: usize = 100_800;

/// Periods of one query, so that one read stays short: a month of minutes,
/// more than is kept.
const PERIODS_MAX: i64 = 44_640;

/// A query, checked.
struct Query {
    id: String,
    label: String,
    returned: bool,
    metric: MetricId,
    period: Span,
    statistic: Statistic,
    unit: Option<Unit>,
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
    let queries = queries(call, &input.metric_data_queries)?;
    if let Some(query) = queries.iter().find(|query| metric::periods(start, end, query.period) > PERIODS_MAX) {
        return Err(errors::invalid(format!(
            "The query {} asks for more than {PERIODS_MAX} datapoints. Increase its Period or decrease the time range.",
            query.id
        )));
    }
    let max = match input.max_datapoints {
        None => DATAPOINTS_MAX,
        Some(max) => usize::try_from(max).ok().filter(|max| (1..=DATAPOINTS_MAX).contains(max)).ok_or_else(|| {
            errors::invalid(format!("The value {max} for parameter MaxDatapoints is invalid: it must be 1 to 100800."))
        })?,
    };
    let ascending = input.scan_by.as_deref() == Some("TimestampAscending");
    let mut cursor = input.next_token.as_deref().map(open).transpose()?.unwrap_or_default();
    if cursor.query > queries.len() {
        return Err(errors::bad_token(input.next_token.as_deref().unwrap_or("")));
    }
    let mut room = max;
    let mut results = Vec::new();
    let mut next_token = None;
    for (index, query) in queries.iter().enumerate().skip(cursor.query).filter(|(_, query)| query.returned) {
        if room == 0 {
            next_token = Some(seal(Cursor { query: index, after: None }));
            break;
        }
        let mut points = points(call, query, start, end, ascending);
        if let Some(after) = cursor.after.take().filter(|_| index == cursor.query) {
            points.retain(|(at, _)| if ascending { *at > after } else { *at < after });
        }
        let partial = points.len() > room;
        points.truncate(room);
        room -= points.len();
        let last = points.last().map(|(at, _)| *at);
        results.push(result(query, points, partial));
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

fn points(call: &Call<'_>, query: &Query, start: Time, end: Time, ascending: bool) -> Vec<(Time, f64)> {
    let samples = call.metrics().map(|store| store.distributions(&query.metric, start, end, query.period, query.unit));
    let point = |(at, samples): &(Time, Distribution)| Some((*at, query.statistic.of(samples)?));
    let mut points: Vec<(Time, f64)> = samples.iter().flatten().filter_map(point).collect();
    if !ascending {
        points.reverse();
    }
    points
}

fn result(query: &Query, points: Vec<(Time, f64)>, partial: bool) -> wire::MetricDataResult {
    wire::MetricDataResult {
        id: Some(query.id.clone()),
        label: Some(query.label.clone()),
        messages: Vec::new(),
        status_code: Some(if partial { "PartialData" } else { "Complete" }.to_string()),
        timestamps: points.iter().map(|(at, _)| Timestamp(at.millis())).collect(),
        values: points.iter().map(|(_, value)| *value).collect(),
    }
}

fn queries(call: &Call<'_>, given: &[wire::MetricDataQuery]) -> Result<Vec<Query>, ApiError> {
    if given.is_empty() {
        return Err(errors::missing("MetricDataQueries"));
    }
    if given.len() > QUERIES_MAX {
        let text = format!("The collection MetricDataQueries must not have a size greater than {QUERIES_MAX}.");
        return Err(errors::invalid(text));
    }
    let mut ids = BTreeSet::new();
    given
        .iter()
        .map(|query| {
            let query = read(call, query)?;
            if ids.insert(query.id.clone()) {
                Ok(query)
            } else {
                Err(errors::invalid(format!(
                    "The value {} for parameter MetricDataQueries.Id is given twice.",
                    query.id
                )))
            }
        })
        .collect()
}

fn read(call: &Call<'_>, given: &wire::MetricDataQuery) -> Result<Query, ApiError> {
    let id = given.id.clone().ok_or_else(|| errors::missing("MetricDataQueries.Id"))?;
    let fine =
        id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fine {
        return Err(errors::invalid(format!(
            "The value {id} for parameter MetricDataQueries.Id is invalid. It must begin with a lower-case letter and \
             hold letters, digits and underscores only."
        )));
    }
    let other_account = given.account_id.as_deref().is_some_and(|account| account != call.scope.account.as_str());
    errors::refuse_unsupported(&[("A query of another account's metrics", other_account)])?;
    let stat = match (&given.metric_stat, &given.expression) {
        (Some(stat), None) => stat,
        (None, Some(_)) => return Err(errors::unsupported(&format!("The metric math Expression of query {id}"))),
        (None, None) | (Some(_), Some(_)) => {
            let text = format!("The query {id} must have either a MetricStat or an Expression.");
            return Err(errors::combination(text));
        }
    };
    let named = stat.metric.as_ref().ok_or_else(|| errors::missing("MetricStat.Metric"))?;
    let metric = metric::id(named.namespace.as_deref(), named.metric_name.as_deref(), &named.dimensions)?;
    let label = given.label.clone().filter(|label| !label.is_empty()).unwrap_or_else(|| metric.name.clone());
    errors::refuse_unsupported(&[("A dynamic Label (with ${...})", label.contains("${"))])?;
    let statistic = stat.stat.as_deref().ok_or_else(|| errors::missing("MetricStat.Stat"))?;
    Ok(Query {
        id,
        label,
        returned: given.return_data.unwrap_or(true),
        metric,
        period: metric::period(stat.period)?,
        statistic: metric::any_statistic(statistic)?,
        unit: metric::unit(stat.unit.as_deref())?,
    })
}
