//! Metric math: expressions over metrics, for GetMetricData, alarms and
//! target tracking (CloudWatch User Guide, "Using metric math").
//!
//! A list of queries is checked once, by evaluating it without data: whether
//! an expression can be evaluated never depends on the data. Length, depth
//! and number of expressions are bounded, and so is the work for a given
//! amount of data. SEARCH, anomaly detection and functions that ask other
//! services are refused by name.

mod eval;
mod functions;
mod parse;

use super::{MetricId, Statistic, Unit};
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Characters of one expression; AWS's model allows as many.
pub const EXPRESSION_MAX: usize = 2_048;

/// One member of `Metrics` or `MetricDataQueries`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Id, unique within the list.
    pub id: String,
    /// Where its data come from.
    pub source: Source,
    /// Label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// ReturnData.
    pub returned: bool,
    /// Period of an expression, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
}

/// Where the data of a query come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    /// A metric.
    Stat(MetricStat),
    /// A metric math expression.
    Expression(String),
}

/// A statistic of a metric over periods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricStat {
    /// The metric.
    pub metric: MetricId,
    /// Period.
    pub period: Span,
    /// Stat.
    pub statistic: Statistic,
    /// Unit filter.
    pub unit: Option<Unit>,
}

/// A time series: values by the start of their periods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The id of the metric that it comes from, else of the query that it is the result of.
    pub id: String,
    /// Its label, if the query has one.
    pub label: Option<String>,
    /// The length of its periods.
    pub period: Span,
    /// Its finite values.
    pub points: BTreeMap<Time, f64>,
}

/// What an expression evaluates to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// A time series.
    Series(Series),
    /// Several time series.
    Array(Vec<Series>),
}

/// Why a list of queries cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MathError {
    /// An expression that is not one: which query's, and what is wrong.
    Syntax(String, String),
    /// An expression that does not fit together: which query's, and why.
    Meaning(String, String),
    /// Expressions that need each other.
    Circle(String),
    /// Not exactly one query's data is returned.
    Returned,
}

impl fmt::Display for MathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MathError::Syntax(id, what) => write!(f, "Error in expression '{id}': {what}"),
            MathError::Meaning(id, what) => write!(f, "Error in expression '{id}': {what}"),
            MathError::Circle(id) => write!(f, "Error in expression '{id}': it depends on itself"),
            MathError::Returned => f.write_str("Exactly one element of the metrics list should return data."),
        }
    }
}

impl std::error::Error for MathError {}

/// Gives the points of a statistic within the range that is asked for.
pub type Fetch<'a> = dyn Fn(&MetricStat) -> Vec<(Time, f64)> + 'a;

/// The values of all queries, in their order, over the range from `start` to
/// before `end`.
pub fn evaluate(queries: &[Query], range: (Time, Time), fetch: &Fetch<'_>) -> Result<Vec<Value>, MathError> {
    eval::evaluate(queries, range, fetch)
}

/// Whether a list of queries can be evaluated, and every result that is
/// returned is a time series or several.
pub fn check(queries: &[Query]) -> Result<(), MathError> {
    let values = evaluate(queries, (Time(0), Time(0)), &|_| Vec::new())?;
    for (query, value) in queries.iter().zip(values).filter(|(query, _)| query.returned) {
        if let Value::Scalar(_) = value {
            return Err(MathError::Meaning(query.id.clone(), "its result must be a time series".to_owned()));
        }
    }
    Ok(())
}

/// Whether a list of queries can be watched by an alarm: one query's data is
/// returned, and it is one time series.
pub fn check_single(queries: &[Query]) -> Result<(), MathError> {
    check(queries)?;
    returned(queries, (Time(0), Time(0)), &|_| Vec::new()).map(drop)
}

/// The time series of the one query whose data is returned.
pub fn returned(queries: &[Query], range: (Time, Time), fetch: &Fetch<'_>) -> Result<Vec<(Time, f64)>, MathError> {
    let values = evaluate(queries, range, fetch)?;
    let mut found = queries.iter().zip(values).filter(|(query, _)| query.returned);
    match (found.next(), found.next()) {
        (Some((_, Value::Series(series))), None) => Ok(series.points.into_iter().collect()),
        (Some((query, Value::Scalar(_) | Value::Array(_))), None) => {
            Err(MathError::Meaning(query.id.clone(), "its result must be a single time series".to_owned()))
        }
        (None, _) | (_, Some(_)) => Err(MathError::Returned),
    }
}

/// The period of what a list returns: as the returned query says, else the
/// longest of its metrics'. `None` without metrics.
pub fn period(queries: &[Query]) -> Option<Span> {
    let said = queries.iter().find(|query| query.returned).and_then(|query| match &query.source {
        Source::Stat(stat) => Some(stat.period),
        Source::Expression(_) => query.period,
    });
    said.or_else(|| stats(queries).map(|stat| stat.period).max())
}

/// The metrics of a list.
pub fn stats(queries: &[Query]) -> impl Iterator<Item = &MetricStat> {
    queries.iter().filter_map(|query| match &query.source {
        Source::Stat(stat) => Some(stat),
        Source::Expression(_) => None,
    })
}

#[cfg(test)]
mod tests;
