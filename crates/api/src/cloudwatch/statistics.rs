//! GetMetricStatistics.

use super::{errors, metric};
use crate::Call;
use elastane_domain::series::{Distribution, Statistic, Unit};
use elastane_domain::time::Time;
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};
use std::collections::BTreeMap;

/// Datapoints of one call (cloudwatch.md 3).
const DATAPOINTS_MAX: i64 = 1_440;

/// Percentiles of one call (cloudwatch.md 3).
const EXTENDED_MAX: usize = 10;

/// GetMetricStatistics: periods with data, each unit on its own.
pub fn get_metric_statistics(
    call: &Call<'_>,
    input: &wire::GetMetricStatisticsInput,
) -> Result<wire::GetMetricStatisticsOutput, ApiError> {
    let id = metric::id(input.namespace.as_deref(), input.metric_name.as_deref(), &input.dimensions)?;
    let statistics = statistics(input)?;
    let period = metric::period(input.period)?;
    let (start, end) = metric::range(input.start_time, input.end_time, call.now)?;
    let count = metric::periods(start, end, period);
    if count > DATAPOINTS_MAX {
        return Err(errors::combination(format!(
            "You have requested up to {count} datapoints, which exceeds the limit of 1,440. You may reduce the \
             datapoints requested by increasing Period, or decreasing the time range."
        )));
    }
    let wanted = metric::unit(input.unit.as_deref())?;
    let mut datapoints = Vec::new();
    if let Some(store) = call.metrics() {
        let units = store.units(&id).into_iter().filter(|unit| wanted.is_none_or(|wanted| wanted == *unit));
        for unit in units {
            let samples = store.distributions(&id, start, end, period, Some(unit));
            datapoints.extend(samples.iter().filter_map(|(at, samples)| datapoint(*at, samples, unit, &statistics)));
        }
    }
    Ok(wire::GetMetricStatisticsOutput { datapoints, label: Some(id.name) })
}

fn statistics(input: &wire::GetMetricStatisticsInput) -> Result<Vec<Statistic>, ApiError> {
    match (input.statistics.is_empty(), input.extended_statistics.first()) {
        (false, None) => input.statistics.iter().map(|name| metric::statistic(name)).collect(),
        (true, Some(_)) if input.extended_statistics.len() > EXTENDED_MAX => Err(errors::invalid(format!(
            "The collection ExtendedStatistics must not have a size greater than {EXTENDED_MAX}."
        ))),
        (true, Some(_)) => input.extended_statistics.iter().map(|name| metric::extended_statistic(name)).collect(),
        (false, Some(_)) => Err(errors::combination(
            "The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified both.",
        )),
        (true, None) => Err(errors::combination(
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        )),
    }
}

/// `None` when nothing of what is wanted is known: percentiles of samples
/// that came as statistic sets.
fn datapoint(at: Time, samples: &Distribution, unit: Unit, statistics: &[Statistic]) -> Option<wire::Datapoint> {
    let value = |statistic: Statistic| statistics.contains(&statistic).then(|| statistic.of(samples)).flatten();
    let extended_statistics: BTreeMap<String, f64> = statistics
        .iter()
        .filter(|statistic| matches!(statistic, Statistic::Percentile(_)))
        .filter_map(|statistic| Some((statistic.name().into_owned(), statistic.of(samples)?)))
        .collect();
    let only_percentiles = statistics.iter().all(|statistic| matches!(statistic, Statistic::Percentile(_)));
    if only_percentiles && extended_statistics.is_empty() {
        return None;
    }
    Some(wire::Datapoint {
        average: value(Statistic::Average),
        extended_statistics,
        maximum: value(Statistic::Maximum),
        minimum: value(Statistic::Minimum),
        sample_count: value(Statistic::SampleCount),
        sum: value(Statistic::Sum),
        timestamp: Some(Timestamp(at.millis())),
        unit: Some(unit.name().to_string()),
    })
}
