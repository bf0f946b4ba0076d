//! PutMetricData: all of a call's data are checked before the first is kept,
//! for samples are not rolled back.

use super::{errors, metric};
use crate::Change;
use elastane_domain::series::{AGE_MAX, AHEAD_MAX, Distribution, MetricId, StatisticSet, Unit};
use elastane_domain::time::Time;
use elastane_wire::{ApiError, cloudwatch as wire};

/// Metrics of one call (cloudwatch.md 2).
const METRICS_MAX: usize = 1_000;

/// Unique values of one datum (cloudwatch.md 2).
const VALUES_MAX: usize = 150;

/// Largest magnitude of a value, as a power of two.
const EXPONENT_MAX: i32 = 360;

struct Sample {
    id: MetricId,
    unit: Unit,
    at: Time,
    set: Distribution,
}

/// PutMetricData.
pub fn put_metric_data(
    change: &mut Change<'_, '_>,
    input: &wire::PutMetricDataInput,
) -> Result<wire::PutMetricDataOutput, ApiError> {
    let namespace = metric::check_namespace(input.namespace.as_deref())?;
    if namespace.starts_with("AWS/") {
        let text = format!(
            "The value {namespace} for parameter Namespace is invalid: namespaces that begin with AWS/ are reserved."
        );
        return Err(errors::invalid(text));
    }
    errors::refuse_unsupported(&[("EntityMetricData", !input.entity_metric_data.is_empty())])?;
    if input.metric_data.is_empty() {
        return Err(errors::missing("MetricData"));
    }
    if input.metric_data.len() > METRICS_MAX {
        let text = format!("The collection MetricData must not have a size greater than {METRICS_MAX}.");
        return Err(errors::invalid(text));
    }
    let now = change.now;
    let mut samples = Vec::with_capacity(input.metric_data.len());
    for (index, datum) in input.metric_data.iter().enumerate() {
        samples.push(sample(&namespace, datum, &format!("MetricData.member.{}", index + 1), now)?);
    }
    let store = change.metrics_mut();
    for sample in samples {
        store
            .put(sample.id, sample.unit, sample.at, sample.set, now)
            .map_err(|err| errors::invalid(err.to_string()))?;
    }
    Ok(wire::PutMetricDataOutput {})
}

fn sample(namespace: &str, datum: &wire::MetricDatum, path: &str, now: Time) -> Result<Sample, ApiError> {
    if datum.storage_resolution.is_some_and(|secs| secs != 1 && secs != 60) {
        let text = format!("The value for parameter {path}.StorageResolution is invalid: it must be 1 or 60.");
        return Err(errors::invalid(text));
    }
    let at = datum.timestamp.map_or(now, |at| Time(at.millis()));
    if at < now - AGE_MAX || at > now + AHEAD_MAX {
        return Err(errors::invalid(format!(
            "The parameter {path}.Timestamp must specify a time within the past two weeks and no more than two hours in \
             the future."
        )));
    }
    Ok(Sample {
        id: metric::id(Some(namespace), datum.metric_name.as_deref(), &datum.dimensions)?,
        unit: metric::unit(datum.unit.as_deref())?.unwrap_or(Unit::None),
        at,
        set: set(datum, path)?,
    })
}

/// The samples of a datum, given in exactly one of three forms.
fn set(datum: &wire::MetricDatum, path: &str) -> Result<Distribution, ApiError> {
    match (datum.value, datum.values.is_empty(), &datum.statistic_values) {
        (Some(value), true, None) => Ok(StatisticSet::of(number(value, &format!("{path}.Value"))?).into()),
        (None, false, None) => values(datum, path),
        (None, true, Some(given)) => statistic_set(given, path).map(Distribution::from),
        (None, true, None) => Err(errors::combination(format!(
            "At least one of the parameters must be specified: {path}.Value, {path}.Values, {path}.StatisticValues."
        ))),
        (_, _, _) => Err(errors::combination(format!(
            "The parameters {path}.Value, {path}.Values and {path}.StatisticValues are mutually exclusive and you have \
             specified more than one."
        ))),
    }
}

fn values(datum: &wire::MetricDatum, path: &str) -> Result<Distribution, ApiError> {
    if datum.values.len() > VALUES_MAX {
        let text = format!("The collection {path}.Values must not have a size greater than {VALUES_MAX}.");
        return Err(errors::invalid(text));
    }
    if !datum.counts.is_empty() && datum.counts.len() != datum.values.len() {
        let text = format!("The parameters {path}.Values and {path}.Counts must be of the same size.");
        return Err(errors::invalid(text));
    }
    let mut sum: Option<Distribution> = None;
    for (index, value) in datum.values.iter().enumerate() {
        let value = number(*value, &format!("{path}.Values.member.{}", index + 1))?;
        let count = datum.counts.get(index).copied().unwrap_or(1.0);
        if !(count > 0.0 && count.is_finite()) {
            return Err(errors::invalid(format!(
                "The parameter {path}.Counts must hold numbers above 0, not {count}."
            )));
        }
        let set = Distribution::from(StatisticSet::repeated(value, count));
        match &mut sum {
            Some(sum) => sum.merge(&set),
            None => sum = Some(set),
        }
    }
    sum.filter(|sum| sum.set().count.is_finite() && sum.set().sum.is_finite())
        .ok_or_else(|| errors::invalid(format!("The values of {path} are too large to be summed.")))
}

fn statistic_set(given: &wire::StatisticSet, path: &str) -> Result<StatisticSet, ApiError> {
    let part = |value: Option<f64>, member: &str| {
        let path = format!("{path}.StatisticValues.{member}");
        value.ok_or_else(|| errors::missing(&path)).and_then(|value| number(value, &path))
    };
    let set = StatisticSet {
        count: part(given.sample_count, "SampleCount")?,
        sum: part(given.sum, "Sum")?,
        min: part(given.minimum, "Minimum")?,
        max: part(given.maximum, "Maximum")?,
    };
    if set.count <= 0.0 || set.min > set.max {
        return Err(errors::invalid(format!(
            "The parameter {path}.StatisticValues is invalid: SampleCount must be above 0 and Minimum at most Maximum."
        )));
    }
    Ok(set)
}

/// A number that CloudWatch keeps: finite, and not too large.
fn number(value: f64, path: &str) -> Result<f64, ApiError> {
    if value.is_finite() && value.abs() <= 2f64.powi(EXPONENT_MAX) {
        return Ok(value);
    }
    Err(errors::invalid(format!(
        "The value {value} for parameter {path} is invalid. It must be a number between -2^360 and 2^360."
    )))
}
