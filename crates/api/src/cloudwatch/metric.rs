//! Names of metrics: reading, writing and listing them.

use super::errors;
use crate::Call;
use crate::page::{Pager, page};
use elastane_domain::series::{MetricFilter, MetricId, RECENTLY_ACTIVE, Statistic, Unit};
use elastane_domain::time::{Span, Time};
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};
use std::collections::BTreeMap;

/// Dimensions of a metric (cloudwatch.md 2).
const DIMENSIONS_MAX: usize = 30;

/// Metrics on a page of ListMetrics.
const LIST_MAX: usize = 500;

/// Exactly the dimensions of a metric.
pub fn dimensions(given: &[wire::Dimension]) -> Result<BTreeMap<String, String>, ApiError> {
    if given.len() > DIMENSIONS_MAX {
        return Err(errors::invalid(format!(
            "The collection Dimensions must not have a size greater than {DIMENSIONS_MAX}."
        )));
    }
    let mut found = BTreeMap::new();
    for dimension in given {
        let name =
            dimension.name.clone().filter(|name| !name.is_empty()).ok_or_else(|| errors::missing("Dimensions.Name"))?;
        let value =
            dimension.value.clone().filter(|v| !v.is_empty()).ok_or_else(|| errors::missing("Dimensions.Value"))?;
        if name.starts_with(':') || [&name, &value].iter().any(|text| text.chars().any(char::is_control)) {
            return Err(errors::invalid(format!("The value {name} for parameter Dimensions.Name is invalid.")));
        }
        if found.insert(name.clone(), value).is_some() {
            return Err(errors::invalid(format!("The dimension {name} is given twice.")));
        }
    }
    Ok(found)
}

/// A metric's name from the members that name it.
pub fn id(namespace: Option<&str>, name: Option<&str>, given: &[wire::Dimension]) -> Result<MetricId, ApiError> {
    let namespace = check_namespace(namespace)?;
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| errors::missing("MetricName"))?;
    Ok(MetricId { namespace, name: name.to_string(), dimensions: dimensions(given)? })
}

/// A namespace of the characters that AWS allows (cloudwatch.md 2).
pub fn check_namespace(namespace: Option<&str>) -> Result<String, ApiError> {
    let namespace = namespace.filter(|text| !text.is_empty()).ok_or_else(|| errors::missing("Namespace"))?;
    let fine = |c: char| c.is_ascii_alphanumeric() || ".-_/#: ".contains(c);
    if namespace.starts_with(':') || !namespace.chars().all(fine) || namespace.trim().is_empty() {
        return Err(errors::invalid(format!("The value {namespace} for parameter Namespace is invalid.")));
    }
    Ok(namespace.to_string())
}

/// Dimensions as an answer has them.
pub fn shown_dimensions(id: &MetricId) -> Vec<wire::Dimension> {
    let pairs = id.dimensions.iter();
    pairs.map(|(name, value)| wire::Dimension { name: Some(name.clone()), value: Some(value.clone()) }).collect()
}

/// A metric as an answer has it.
pub fn shown(id: &MetricId) -> wire::Metric {
    wire::Metric {
        dimensions: shown_dimensions(id),
        metric_name: Some(id.name.clone()),
        namespace: Some(id.namespace.clone()),
    }
}

/// A unit, if one is given.
pub fn unit(name: Option<&str>) -> Result<Option<Unit>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let unknown = || errors::invalid(format!("The value {name} for parameter Unit is invalid."));
    Unit::from_name(name).map(Some).ok_or_else(unknown)
}

/// One of the five statistics of a set.
pub fn statistic(name: &str) -> Result<Statistic, ApiError> {
    Statistic::from_name(name)
        .ok_or_else(|| errors::invalid(format!("The value {name} for parameter Statistic is invalid.")))
}

/// A percentile; trimmed means and their kin are refused.
pub fn extended_statistic(name: &str) -> Result<Statistic, ApiError> {
    Statistic::percentile(name).ok_or_else(|| {
        let prefixes = ["tm", "tc", "ts", "wm", "TM", "TC", "TS", "WM", "PR"];
        if name == "IQM" || prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            errors::unsupported(&format!("The extended statistic {name}"))
        } else {
            errors::invalid(format!("The value {name} for parameter ExtendedStatistic is invalid."))
        }
    })
}

/// A statistic of either kind.
pub fn any_statistic(name: &str) -> Result<Statistic, ApiError> {
    Statistic::from_name(name).map_or_else(|| extended_statistic(name), Ok)
}

/// A period that can be read: a multiple of 60 seconds (cloudwatch.md 2.2).
pub fn period(secs: Option<i32>) -> Result<Span, ApiError> {
    let secs = secs.ok_or_else(|| errors::missing("Period"))?;
    match secs {
        1 | 5 | 10 | 20 | 30 => Err(errors::unsupported(&format!("A period of {secs} seconds, below 60,"))),
        secs if secs >= 60 && secs % 60 == 0 => Ok(Span::from_secs(i64::from(secs))),
        _ => Err(errors::invalid(format!(
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {secs}."
        ))),
    }
}

/// The range that a read asks for, its start rounded down by its age
/// (cloudwatch.md 2.2).
pub fn range(start: Option<Timestamp>, end: Option<Timestamp>, now: Time) -> Result<(Time, Time), ApiError> {
    const DAY: Span = Span::from_mins(24 * 60);
    let start = Time(start.ok_or_else(|| errors::missing("StartTime"))?.millis());
    let end = Time(end.ok_or_else(|| errors::missing("EndTime"))?.millis());
    if start >= end {
        return Err(errors::invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    let step = if start < now - DAY * 63 {
        Span::from_mins(60)
    } else if start < now - DAY * 15 {
        Span::from_mins(5)
    } else {
        Span::from_mins(1)
    };
    Ok((start.floor(step), end))
}

/// How many periods a range has.
pub fn periods(start: Time, end: Time, period: Span) -> i64 {
    let millis = (end - start).millis();
    millis.div_euclid(period.millis()) + i64::from(millis.rem_euclid(period.millis()) > 0)
}

/// ListMetrics, 500 a page.
pub fn list_metrics(call: &Call<'_>, input: &wire::ListMetricsInput) -> Result<wire::ListMetricsOutput, ApiError> {
    let own = input.owning_account.as_deref().is_none_or(|account| account == call.scope.account.as_str());
    let recent = match input.recently_active.as_deref() {
        None => None,
        Some("PT3H") => Some(call.now - RECENTLY_ACTIVE),
        Some(other) => {
            return Err(errors::invalid(format!("The value {other} for parameter RecentlyActive is invalid.")));
        }
    };
    let mut wanted = Vec::new();
    for filter in &input.dimensions {
        let name = filter.name.clone().ok_or_else(|| errors::missing("Dimensions.Name"))?;
        wanted.push((name, filter.value.clone()));
    }
    let filter = MetricFilter {
        namespace: input.namespace.as_deref(),
        name: input.metric_name.as_deref(),
        dimensions: &wanted,
        active_since: recent,
    };
    let mut found: Vec<&MetricId> =
        call.metrics().filter(|_| own).map_or_else(Vec::new, |store| store.list(&filter, call.now));
    found.sort_by_cached_key(|id| place(id));
    let pager = Pager { token: input.next_token.as_deref(), max: Some(LIST_MAX), bad_token: "InvalidNextToken" };
    let (ids, next_token) = page(found, pager, |id| place(id))?;
    let metrics = ids.into_iter().map(shown).collect();
    Ok(wire::ListMetricsOutput { metrics, next_token, owning_accounts: Vec::new() })
}

/// One text per metric. Control characters do not occur in its parts.
fn place(id: &MetricId) -> String {
    let mut text = format!("{}\u{1}{}", id.namespace, id.name);
    for (name, value) in &id.dimensions {
        text.extend(["\u{1}", name, "\u{1}", value]);
    }
    text
}
