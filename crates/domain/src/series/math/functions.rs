//! The functions of metric math.

use super::eval::{Context, finite, map};
use super::parse::Expr;
use super::{Series, Source, Value};
use crate::time::{Civil, Span, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Functions that AWS has and that are not done here.
const FOREIGN: [&str; 6] =
    ["SEARCH", "ANOMALY_DETECTION_BAND", "INSIGHT_RULE_METRIC", "SERVICE_QUOTA", "DB_PERF_INSIGHTS", "LAMBDA"];

/// The value of a call.
pub(super) fn call(context: &Context<'_>, name: &str, arguments: &[Expr]) -> Result<Value, String> {
    let value = |index: usize| -> Result<Value, String> {
        context.value(arguments.get(index).ok_or_else(|| format!("{name} has too few arguments"))?)
    };
    let count = |range: std::ops::RangeInclusive<usize>| {
        if range.contains(&arguments.len()) { Ok(()) } else { Err(format!("{name} has a wrong number of arguments")) }
    };
    if let Some(function) = elementwise(name) {
        count(1..=1)?;
        return map(value(0)?, &function);
    }
    if let Some(function) = over_time(name) {
        count(1..=1)?;
        return each(value(0)?, name, &|series| Series { points: function(&series.points), ..series });
    }
    if let Some(function) = calendar(name) {
        count(1..=1)?;
        let stamp = |series: Series| {
            let points = series.points.keys().map(|at| (*at, function(*at))).collect();
            Series { points, ..series }
        };
        return each(value(0)?, name, &stamp);
    }
    match name {
        "AVG" | "MAX" | "MIN" | "SUM" | "STDDEV" | "DATAPOINT_COUNT" => {
            count(1..=1)?;
            aggregate(name, value(0)?, context.period())
        }
        "METRICS" => count(0..=1).and_then(|()| metrics(context, arguments.first())),
        "FIRST" | "LAST" | "REMOVE_EMPTY" | "METRIC_COUNT" => count(1..=1).and_then(|()| array_part(name, value(0)?)),
        "SLICE" => count(2..=3).and_then(|()| slice(value(0)?, index(&value(1)?)?, arguments.len() == 3, &value)),
        "SORT" => count(3..=4).and_then(|()| sort(context, value(0)?, arguments)),
        "FILL" => count(2..=2).and_then(|()| fill(context, value(0)?, &arguments[1])),
        "IF" => {
            count(2..=3)?;
            let otherwise = if arguments.len() == 3 { Some(value(2)?) } else { None };
            choose(value(0)?, &value(1)?, otherwise.as_ref())
        }
        "PERIOD" => count(1..=1).and_then(|()| period(context, &arguments[0])),
        "TIME_SERIES" => count(1..=1).and_then(|()| constant(context, value(0)?)),
        _ if FOREIGN.contains(&name) => Err(format!("the function {name} is not supported by Elastane yet")),
        _ => Err(format!("there is no function {name}")),
    }
}

fn elementwise(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "ABS" => f64::abs,
        "CEIL" => f64::ceil,
        "FLOOR" => f64::floor,
        "LOG" => f64::ln,
        "LOG10" => f64::log10,
        _ => return None,
    })
}

type Points = BTreeMap<Time, f64>;

/// Functions of a point and the one before it.
fn over_time(name: &str) -> Option<fn(&Points) -> Points> {
    fn pairs(points: &Points, function: fn(Span, f64) -> f64) -> Points {
        let after = points.iter().zip(points.iter().skip(1));
        after.map(|(old, new)| (*new.0, function(*new.0 - *old.0, new.1 - old.1))).filter(finite).collect()
    }
    fn seconds(span: Span) -> f64 {
        span.millis() as f64 / 1000.0
    }
    Some(match name {
        "DIFF" => |points| pairs(points, |_, change| change),
        "DIFF_TIME" => |points| pairs(points, |span, _| seconds(span)),
        "RATE" => |points| pairs(points, |span, change| change / seconds(span)),
        "RUNNING_SUM" => |points| {
            let mut sum = 0.0;
            let running = points.iter().map(|(at, value)| {
                sum += value;
                (*at, sum)
            });
            running.filter(finite).collect()
        },
        _ => return None,
    })
}

/// Functions of the time of a point, in UTC.
fn calendar(name: &str) -> Option<fn(Time) -> f64> {
    Some(match name {
        "MINUTE" => |at| f64::from(Civil::from(at).minute),
        "HOUR" => |at| f64::from(Civil::from(at).hour),
        // 1970-01-01 was a Thursday; Monday is 1.
        "DAY" => |at| ((at.seconds().div_euclid(86_400) + 3).rem_euclid(7) + 1) as f64,
        "DATE" => |at| f64::from(Civil::from(at).day),
        "MONTH" => |at| f64::from(Civil::from(at).month),
        "YEAR" => |at| Civil::from(at).year as f64,
        "EPOCH" => |at| at.seconds() as f64,
        _ => return None,
    })
}

fn each(value: Value, name: &str, function: &dyn Fn(Series) -> Series) -> Result<Value, String> {
    match value {
        Value::Scalar(_) => Err(format!("{name} needs a time series")),
        Value::Series(series) => Ok(Value::Series(function(series))),
        Value::Array(all) => Ok(Value::Array(all.into_iter().map(function).collect())),
    }
}

/// One number of a series, or one series of several: point by point, where
/// for AVG and STDDEV a point that a series lacks counts as 0.
fn aggregate(name: &str, value: Value, period: Span) -> Result<Value, String> {
    let statistic = |values: &[f64], of: usize| -> f64 {
        let sum: f64 = values.iter().sum();
        let mean = sum / of.max(1) as f64;
        match name {
            "SUM" => sum,
            "AVG" => mean,
            "MAX" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "MIN" => values.iter().copied().fold(f64::INFINITY, f64::min),
            "STDDEV" => {
                let absent = (of - values.len()) as f64 * mean * mean;
                let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
                ((squares + absent) / of.max(1) as f64).sqrt()
            }
            _ => values.len() as f64,
        }
    };
    match value {
        Value::Scalar(_) => Err(format!("{name} needs a time series or an array of them")),
        Value::Series(series) => {
            let values: Vec<f64> = series.points.values().copied().collect();
            let empty = values.is_empty() && name != "DATAPOINT_COUNT";
            // Of nothing there is no statistic; what is computed with it is left out.
            Ok(Value::Scalar(if empty { f64::NAN } else { statistic(&values, values.len()) }))
        }
        Value::Array(all) => {
            let times: BTreeSet<Time> = all.iter().flat_map(|series| series.points.keys().copied()).collect();
            let at = |at: Time| {
                let values: Vec<f64> = all.iter().filter_map(|series| series.points.get(&at).copied()).collect();
                (at, statistic(&values, all.len()))
            };
            let points = times.into_iter().map(at).filter(finite).collect();
            let period = all.iter().map(|series| series.period).max().unwrap_or(period);
            Ok(Value::Series(Series { points, period, ..Series::default() }))
        }
    }
}

/// All metrics of the list, or those with a text in their id or label.
fn metrics(context: &Context<'_>, filter: Option<&Expr>) -> Result<Value, String> {
    let wanted = match filter {
        None => "",
        Some(Expr::Text(text)) => text.as_str(),
        Some(_) => return Err("METRICS takes a text".to_owned()),
    };
    let mut found = Vec::new();
    for (query, value) in context.queries.iter().zip(context.values) {
        let named = query.id.contains(wanted) || query.label.as_ref().is_some_and(|label| label.contains(wanted));
        if let (Source::Stat(_), Some(Value::Series(series)), true) = (&query.source, value, named) {
            found.push(series.clone());
        }
    }
    Ok(Value::Array(found))
}

fn array(value: Value, name: &str) -> Result<Vec<Series>, String> {
    match value {
        Value::Array(all) => Ok(all),
        Value::Series(series) => Ok(vec![series]),
        Value::Scalar(_) => Err(format!("{name} needs an array of time series")),
    }
}

fn array_part(name: &str, value: Value) -> Result<Value, String> {
    let mut all = array(value, name)?;
    Ok(match name {
        "FIRST" => Value::Series(if all.is_empty() { Series::default() } else { all.swap_remove(0) }),
        "LAST" => Value::Series(all.pop().unwrap_or_default()),
        "REMOVE_EMPTY" => {
            all.retain(|series| !series.points.is_empty());
            Value::Array(all)
        }
        _ => Value::Scalar(all.len() as f64),
    })
}

fn index(value: &Value) -> Result<usize, String> {
    match value {
        Value::Scalar(number) if *number >= 0.0 && number.fract() == 0.0 => Ok(*number as usize),
        Value::Scalar(_) | Value::Series(_) | Value::Array(_) => Err("an index is a whole number".to_owned()),
    }
}

/// One series of an array, or those from one index to before another.
fn slice(
    value: Value,
    from: usize,
    to: bool,
    argument: &dyn Fn(usize) -> Result<Value, String>,
) -> Result<Value, String> {
    let all = array(value, "SLICE")?;
    if !to {
        return Ok(Value::Series(all.into_iter().nth(from).unwrap_or_default()));
    }
    let to = index(&argument(2)?)?;
    Ok(Value::Array(all.into_iter().skip(from).take(to.saturating_sub(from)).collect()))
}

/// SORT(array, statistic, ASC or DESC[, at most so many]); series without data come last.
fn sort(context: &Context<'_>, value: Value, arguments: &[Expr]) -> Result<Value, String> {
    const STATISTICS: [&str; 5] = ["AVG", "MAX", "MIN", "SUM", "STDDEV"];
    let (Expr::Word(statistic), Expr::Word(order)) = (&arguments[1], &arguments[2]) else {
        return Err("SORT takes a statistic and ASC or DESC".to_owned());
    };
    if !STATISTICS.contains(&statistic.as_str()) || !["ASC", "DESC"].contains(&order.as_str()) {
        return Err("SORT takes AVG, MAX, MIN, SUM or STDDEV, and ASC or DESC".to_owned());
    }
    let limit = arguments.get(3).map_or(Ok(usize::MAX), |limit| index(&context.value(limit)?))?;
    let mut keyed = Vec::new();
    for series in array(value, "SORT")? {
        let key = match aggregate(statistic, Value::Series(series.clone()), context.period())? {
            Value::Scalar(number) if number.is_finite() => number,
            Value::Scalar(_) | Value::Series(_) | Value::Array(_) if order == "ASC" => f64::INFINITY,
            Value::Scalar(_) | Value::Series(_) | Value::Array(_) => f64::NEG_INFINITY,
        };
        keyed.push((key, series));
    }
    keyed.sort_by(|a, b| if order == "ASC" { a.0.total_cmp(&b.0) } else { b.0.total_cmp(&a.0) });
    Ok(Value::Array(keyed.into_iter().take(limit).map(|(_, series)| series).collect()))
}

/// Gives every period of the range a value.
fn fill(context: &Context<'_>, value: Value, with: &Expr) -> Result<Value, String> {
    enum With {
        Number(f64),
        Repeat,
        Linear,
        Other(Series),
    }
    let with = match with {
        Expr::Word(word) if word == "REPEAT" => With::Repeat,
        Expr::Word(word) if word == "LINEAR" => With::Linear,
        other => match context.value(other)? {
            Value::Scalar(number) => With::Number(number),
            Value::Series(series) => With::Other(series),
            Value::Array(_) => return Err("FILL takes a number, REPEAT, LINEAR or a time series".to_owned()),
        },
    };
    let filled = |series: Series| {
        let missing = |at: Time| match &with {
            With::Number(number) => Some(*number),
            With::Repeat => series.points.range(..at).next_back().map(|(_, value)| *value),
            With::Linear => linear(&series.points, at),
            With::Other(other) => other.points.get(&at).copied(),
        };
        let point = |at: Time| Some((at, series.points.get(&at).copied().or_else(|| missing(at))?));
        let points = context.grid(series.period).filter_map(point).filter(finite).collect();
        Series { points, ..series.clone() }
    };
    each(value, "FILL", &filled)
}

/// Between two points, on the line between them.
fn linear(points: &Points, at: Time) -> Option<f64> {
    let (before, low) = points.range(..at).next_back()?;
    let (after, high) = points.range(at..).next()?;
    let part = (at - *before).millis() as f64 / (*after - *before).millis() as f64;
    Some(low + (high - low) * part)
}

/// IF(condition, then[, otherwise]), point by point of the condition. A point
/// that the chosen series lacks is 0; without `otherwise` there is none.
fn choose(condition: Value, then: &Value, otherwise: Option<&Value>) -> Result<Value, String> {
    let condition = match condition {
        Value::Series(series) => series,
        Value::Scalar(number) => {
            let chosen = if number != 0.0 { Some(then) } else { otherwise };
            return Ok(chosen.cloned().unwrap_or_else(|| Value::Series(Series::default())));
        }
        Value::Array(_) => return Err("the condition of IF is a number or a time series".to_owned()),
    };
    if [Some(then), otherwise].into_iter().flatten().any(|value| matches!(value, Value::Array(_))) {
        return Err("IF chooses between numbers and time series".to_owned());
    }
    let of = |value: &Value, at: &Time| match value {
        Value::Scalar(number) => *number,
        Value::Series(series) => series.points.get(at).copied().unwrap_or(0.0),
        Value::Array(_) => f64::NAN,
    };
    let point = |(at, holds): (&Time, &f64)| {
        let chosen = if *holds != 0.0 { Some(then) } else { otherwise };
        Some((*at, of(chosen?, at)))
    };
    let points = condition.points.iter().filter_map(point).filter(finite).collect();
    Ok(Value::Series(Series { points, ..condition }))
}

/// The period of a metric in seconds.
fn period(context: &Context<'_>, of: &Expr) -> Result<Value, String> {
    let Expr::Id(id) = of else { return Err("PERIOD takes the id of a metric".to_owned()) };
    match context.index(id).map(|index| &context.queries[index].source) {
        Some(Source::Stat(stat)) => Ok(Value::Scalar(stat.period.seconds() as f64)),
        Some(Source::Expression(_)) | None => Err("PERIOD takes the id of a metric".to_owned()),
    }
}

/// A series that has the same number everywhere.
fn constant(context: &Context<'_>, value: Value) -> Result<Value, String> {
    let Value::Scalar(number) = value else { return Err("TIME_SERIES takes a number".to_owned()) };
    let period = context.period();
    let points = context.grid(period).map(|at| (at, number)).filter(finite).collect();
    Ok(Value::Series(Series { period, points, ..Series::default() }))
}
