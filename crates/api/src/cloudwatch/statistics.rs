//! GetMetricStatistics.

use super::{errors, metric};
use crate::Call;
use elastane_domain::series::{Statistic, StatisticSet, Unit};
use elastane_domain::time::Time;
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};

/// Datapoints of one call (cloudwatch.md 3).
const DATAPOINTS_MAX: i64 = 1_440;

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
            let sets = store.get(&id, start, end, period, Some(unit));
            datapoints.extend(sets.iter().map(|(at, set)| datapoint(*at, set, unit, &statistics)));
        }
    }
    Ok(wire::GetMetricStatisticsOutput { datapoints, label: Some(id.name) })
}

fn statistics(input: &wire::GetMetricStatisticsInput) -> Result<Vec<Statistic>, ApiError> {
    match (input.statistics.is_empty(), input.extended_statistics.first()) {
        (false, None) => input.statistics.iter().map(|name| metric::statistic(name)).collect(),
        (true, Some(name)) => Err(errors::unsupported(&format!("The extended statistic {name}"))),
        (false, Some(_)) => Err(errors::combination(
            "The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified both.",
        )),
        (true, None) => Err(errors::combination(
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        )),
    }
}

fn datapoint(at: Time, set: &StatisticSet, unit: Unit, statistics: &[Statistic]) -> wire::Datapoint {
    let value = |statistic: Statistic| statistics.contains(&statistic).then(|| statistic.of(set));
    wire::Datapoint {
        average: value(Statistic::Average),
        extended_statistics: Default::default(),
        maximum: value(Statistic::Maximum),
        minimum: value(Statistic::Minimum),
        sample_count: value(Statistic::SampleCount),
        sum: value(Statistic::Sum),
        timestamp: Some(Timestamp(at.millis())),
        unit: Some(unit.name().to_string()),
    }
}
