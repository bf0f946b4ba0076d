//! Health check settings of target groups: defaults, ranges and what is
//! supported (alb.md 5.1).

use super::errors;
use elastane_engine::row::{StoredHealthCheck, parse_matcher};
use elastane_wire::{ApiError, elbv2 as wire};
use std::ops::RangeInclusive;

/// The word for "the port on which the target takes traffic".
pub const TRAFFIC_PORT: &str = "traffic-port";

/// Longest path.
const PATH_MAX: usize = 1024;

/// Settings that a call names; what it leaves out stays as it is.
#[derive(Default)]
pub struct Given<'a> {
    /// HealthCheckEnabled.
    pub enabled: Option<bool>,
    /// HealthCheckProtocol.
    pub protocol: Option<&'a str>,
    /// HealthCheckPort.
    pub port: Option<&'a str>,
    /// HealthCheckPath.
    pub path: Option<&'a str>,
    /// HealthCheckIntervalSeconds.
    pub interval: Option<i32>,
    /// HealthCheckTimeoutSeconds.
    pub timeout: Option<i32>,
    /// HealthyThresholdCount.
    pub healthy: Option<i32>,
    /// UnhealthyThresholdCount.
    pub unhealthy: Option<i32>,
    /// Matcher.
    pub matcher: Option<&'a wire::Matcher>,
}

/// The settings `check` with those of the call in their place.
pub fn changed(check: &StoredHealthCheck, given: &Given<'_>) -> Result<StoredHealthCheck, ApiError> {
    if given.enabled == Some(false) {
        let message = "Health check enabled must be true for target groups with target type 'instance' or 'ip'";
        return Err(errors::validation(message));
    }
    if let Some(protocol) = given.protocol.filter(|protocol| *protocol != "HTTP") {
        return Err(errors::unsupported(&format!("The health check protocol '{protocol}'")));
    }
    let number = |name: &str, given: Option<i32>, range, old| given.map_or(Ok(old), |value| within(name, value, range));
    let changed = StoredHealthCheck {
        enabled: check.enabled,
        protocol: check.protocol,
        path: given.path.map_or(Ok(check.path.clone()), path)?,
        port: given.port.map_or(Ok(check.port), port)?,
        interval_secs: number("interval", given.interval, 5..=300, check.interval_secs)?,
        timeout_secs: number("timeout", given.timeout, 2..=120, check.timeout_secs)?,
        healthy_threshold: number("healthy threshold", given.healthy, 2..=10, check.healthy_threshold)?,
        unhealthy_threshold: number("unhealthy threshold", given.unhealthy, 2..=10, check.unhealthy_threshold)?,
        matcher: given.matcher.map_or(Ok(check.matcher.clone()), matcher)?,
    };
    if changed.timeout_secs >= changed.interval_secs {
        let (timeout, interval) = (changed.timeout_secs, changed.interval_secs);
        let message = format!("Health check timeout '{timeout}' must be smaller than the interval '{interval}'");
        return Err(errors::validation(message));
    }
    Ok(changed)
}

fn within(name: &str, value: i32, range: RangeInclusive<u32>) -> Result<u32, ApiError> {
    u32::try_from(value).ok().filter(|value| range.contains(value)).ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        errors::validation(format!("Health check {name} '{value}' must be between {low} and {high}"))
    })
}

fn path(path: &str) -> Result<String, ApiError> {
    let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
    if path.starts_with('/') && path.len() <= PATH_MAX && printable {
        return Ok(path.to_string());
    }
    let message =
        format!("Health check path '{path}' must begin with a '/' character and have at most {PATH_MAX} characters");
    Err(errors::validation(message))
}

/// `None` is the traffic port.
fn port(text: &str) -> Result<Option<u16>, ApiError> {
    if text == TRAFFIC_PORT {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|port| *port > 0);
    let message = || format!("Health check port '{text}' must be '{TRAFFIC_PORT}' or in the range 1-65535");
    number.map(Some).ok_or_else(|| errors::validation(message()))
}

fn matcher(matcher: &wire::Matcher) -> Result<String, ApiError> {
    if matcher.grpc_code.is_some() {
        return Err(errors::validation("Matcher.GrpcCode is for target groups of the protocol version GRPC"));
    }
    let codes = matcher.http_code.as_deref().ok_or_else(|| errors::missing("Matcher.HttpCode"))?;
    let message = || format!("Health check matcher HTTP code '{codes}' must be within '200-499' inclusive");
    parse_matcher(codes).map(|_| codes.to_string()).ok_or_else(|| errors::validation(message()))
}
