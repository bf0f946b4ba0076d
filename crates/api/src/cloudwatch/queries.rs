//! Lists of metrics and metric math expressions, as GetMetricData and
//! PutMetricAlarm take them and DescribeAlarms gives them back.

use super::{errors, metric};
use elastane_domain::series::math::{MathError, MetricStat, Query, Source};
use elastane_domain::time::Span;
use elastane_engine::Scope;
use elastane_wire::{ApiError, cloudwatch as wire};
use std::collections::BTreeSet;

/// Reads a list of at least one and at most `max` queries with distinct ids;
/// `member` is what the call calls it.
pub fn read(scope: &Scope, member: &str, given: &[wire::MetricDataQuery], max: usize) -> Result<Vec<Query>, ApiError> {
    if given.is_empty() {
        return Err(errors::missing(member));
    }
    if given.len() > max {
        return Err(errors::invalid(format!("The collection {member} must not have a size greater than {max}.")));
    }
    let mut ids = BTreeSet::new();
    let mut queries = Vec::new();
    for query in given {
        let query = one(scope, member, query)?;
        if !ids.insert(query.id.clone()) {
            return Err(errors::invalid(format!("The value {} for parameter {member}.Id is given twice.", query.id)));
        }
        queries.push(query);
    }
    Ok(queries)
}

fn one(scope: &Scope, member: &str, given: &wire::MetricDataQuery) -> Result<Query, ApiError> {
    let id = given.id.clone().ok_or_else(|| errors::missing(&format!("{member}.Id")))?;
    let fine =
        id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fine {
        return Err(errors::invalid(format!(
            "The value {id} for parameter {member}.Id is invalid. It must begin with a lower-case letter and hold \
             letters, digits and underscores only."
        )));
    }
    let other_account = given.account_id.as_deref().is_some_and(|account| account != scope.account.as_str());
    let label = given.label.clone().filter(|label| !label.is_empty());
    errors::refuse_unsupported(&[
        ("A query of another account's metrics", other_account),
        ("A dynamic Label (with ${...})", label.as_ref().is_some_and(|label| label.contains("${"))),
    ])?;
    let source = match (&given.metric_stat, &given.expression) {
        (Some(stat), None) => Source::Stat(read_stat(stat)?),
        (None, Some(expression)) => Source::Expression(expression.clone()),
        (None, None) | (Some(_), Some(_)) => {
            let text = format!("The query {id} must have either a MetricStat or an Expression.");
            return Err(errors::combination(text));
        }
    };
    let period = match (&source, given.period) {
        (Source::Stat(_), Some(_)) => {
            return Err(errors::combination(format!("The query {id} has its Period within its MetricStat.")));
        }
        (_, None) => None,
        (Source::Expression(_), Some(_)) => Some(metric::period(given.period)?),
    };
    Ok(Query { id, source, label, returned: given.return_data.unwrap_or(true), period })
}

fn read_stat(stat: &wire::MetricStat) -> Result<MetricStat, ApiError> {
    let named = stat.metric.as_ref().ok_or_else(|| errors::missing("MetricStat.Metric"))?;
    let statistic = stat.stat.as_deref().ok_or_else(|| errors::missing("MetricStat.Stat"))?;
    Ok(MetricStat {
        metric: metric::id(named.namespace.as_deref(), named.metric_name.as_deref(), &named.dimensions)?,
        period: metric::period(stat.period)?,
        statistic: metric::any_statistic(statistic)?,
        unit: metric::unit(stat.unit.as_deref())?,
    })
}

/// A list that cannot be evaluated: `ValidationError`.
pub fn refused(err: &MathError) -> ApiError {
    ApiError::new("ValidationError", err.to_string())
}

/// A query as an answer has it.
pub fn shown(query: &Query) -> wire::MetricDataQuery {
    let secs = |span: Span| span.seconds() as i32;
    let (metric_stat, expression) = match &query.source {
        Source::Expression(text) => (None, Some(text.clone())),
        Source::Stat(stat) => {
            let named = wire::Metric {
                dimensions: metric::shown_dimensions(&stat.metric),
                metric_name: Some(stat.metric.name.clone()),
                namespace: Some(stat.metric.namespace.clone()),
            };
            let stat = wire::MetricStat {
                metric: Some(named),
                period: Some(secs(stat.period)),
                stat: Some(stat.statistic.name().into_owned()),
                unit: stat.unit.map(|unit| unit.name().to_string()),
            };
            (Some(stat), None)
        }
    };
    wire::MetricDataQuery {
        account_id: None,
        expression,
        id: Some(query.id.clone()),
        label: query.label.clone(),
        metric_stat,
        period: query.period.map(secs),
        return_data: Some(query.returned),
    }
}
