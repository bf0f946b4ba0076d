//! Health check settings of target groups: defaults, ranges and what goes
//! with which protocol (alb.md 5.1 and 13).

use super::errors;
use super::protocols;
use elastane_domain::routing::{CheckProtocol, Family, Protocol, ProtocolVersion};
use elastane_engine::row::{StoredHealthCheck, parse_matcher};
use elastane_wire::{ApiError, elbv2 as wire};
use std::ops::RangeInclusive;

/// The word for "the port on which the target takes traffic".
pub const TRAFFIC_PORT: &str = "traffic-port";

/// Longest path.
const PATH_MAX: usize = 1024;

/// The path of gRPC checks when none is named.
const GRPC_PATH: &str = "/AWS.ALB/healthcheck";

/// What the targets of a group speak, which decides defaults and ranges.
#[derive(Clone, Copy)]
pub struct Speaks {
    /// The group's protocol.
    pub protocol: Protocol,
    /// Which HTTP.
    pub version: ProtocolVersion,
}

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

impl Speaks {
    fn grpc(self) -> bool {
        self.version == ProtocolVersion::Grpc
    }

    /// Codes that may mean success.
    fn codes(self) -> RangeInclusive<u16> {
        match (self.grpc(), protocols::family(self.protocol)) {
            (true, _) => 0..=99,
            (false, Family::Application) => 200..=499,
            (false, Family::Network) => 200..=599,
        }
    }

    /// The protocol of checks when none is named.
    fn default_check(self) -> CheckProtocol {
        match protocols::family(self.protocol) {
            Family::Application => CheckProtocol::Http,
            Family::Network => CheckProtocol::Tcp,
        }
    }
}

/// The settings of a new group.
pub fn new(speaks: Speaks, given: &Given<'_>) -> Result<StoredHealthCheck, ApiError> {
    let protocol = given.protocol.map_or(Ok(speaks.default_check()), |name| protocol(speaks, name))?;
    changed(speaks, &defaults(speaks, protocol), given)
}

/// The settings of a group for which nothing but the protocol is named.
fn defaults(speaks: Speaks, protocol: CheckProtocol) -> StoredHealthCheck {
    let network = protocols::family(speaks.protocol) == Family::Network;
    let (path, matcher) = match (protocol, speaks.grpc()) {
        (CheckProtocol::Tcp, _) => ("", ""),
        (CheckProtocol::Http | CheckProtocol::Https, true) => (GRPC_PATH, "12"),
        (CheckProtocol::Http | CheckProtocol::Https, false) => ("/", if network { "200-399" } else { "200" }),
    };
    let timeout_secs = match (network, protocol) {
        (false, _) => 5,
        (true, CheckProtocol::Http) => 6,
        (true, CheckProtocol::Https | CheckProtocol::Tcp) => 10,
    };
    StoredHealthCheck {
        protocol,
        path: path.to_string(),
        matcher: matcher.to_string(),
        timeout_secs,
        ..StoredHealthCheck::default()
    }
}

/// The settings `check` with those of the call in their place. When the
/// protocol changes, path and codes that say nothing to the new one go back
/// to its defaults.
pub fn changed(speaks: Speaks, check: &StoredHealthCheck, given: &Given<'_>) -> Result<StoredHealthCheck, ApiError> {
    if given.enabled == Some(false) {
        let message = "Health check enabled must be true for target groups with target type 'instance' or 'ip'";
        return Err(errors::validation(message));
    }
    let protocol = given.protocol.map_or(Ok(check.protocol), |name| protocol(speaks, name))?;
    let tcp = protocol == CheckProtocol::Tcp;
    let default = defaults(speaks, protocol);
    let kept = if tcp == (check.protocol == CheckProtocol::Tcp) { check } else { &default };
    if tcp && (given.path.is_some_and(|path| !path.is_empty()) || given.matcher.is_some()) {
        return Err(errors::validation("Health checks of the protocol 'TCP' have neither a path nor a matcher"));
    }
    let path = given.path.filter(|path| !path.is_empty());
    let number = |name: &str, given: Option<i32>, range, old| given.map_or(Ok(old), |value| within(name, value, range));
    let changed = StoredHealthCheck {
        enabled: check.enabled,
        protocol,
        path: path.map_or(Ok(kept.path.clone()), checked_path)?,
        port: given.port.map_or(Ok(check.port), port)?,
        interval_secs: number("interval", given.interval, 5..=300, check.interval_secs)?,
        timeout_secs: number("timeout", given.timeout, 2..=120, check.timeout_secs)?,
        healthy_threshold: number("healthy threshold", given.healthy, 2..=10, check.healthy_threshold)?,
        unhealthy_threshold: number("unhealthy threshold", given.unhealthy, 2..=10, check.unhealthy_threshold)?,
        matcher: given.matcher.map_or(Ok(kept.matcher.clone()), |given| matcher(speaks, given))?,
    };
    check_times(speaks, &changed)?;
    Ok(changed)
}

/// A check must end before the next begins; TCP's may end with it.
fn check_times(speaks: Speaks, check: &StoredHealthCheck) -> Result<(), ApiError> {
    let (timeout, interval) = (check.timeout_secs, check.interval_secs);
    let fits = match protocols::family(speaks.protocol) {
        Family::Application => timeout < interval,
        Family::Network => timeout <= interval,
    };
    if fits {
        return Ok(());
    }
    let message = format!("Health check timeout '{timeout}' must be smaller than the interval '{interval}'");
    Err(errors::validation(message))
}

/// The protocol of a name, if checks of such a group can have it.
fn protocol(speaks: Speaks, name: &str) -> Result<CheckProtocol, ApiError> {
    match name {
        "HTTP" => Ok(CheckProtocol::Http),
        "HTTPS" => Ok(CheckProtocol::Https),
        "TCP" if protocols::family(speaks.protocol) == Family::Network => Ok(CheckProtocol::Tcp),
        "TCP" => {
            let group = protocols::name(speaks.protocol);
            let message = format!("Health check protocol 'TCP' is not supported for the protocol '{group}'");
            Err(errors::validation(message))
        }
        other => Err(errors::validation(format!("Health check protocol '{other}' must be one of 'HTTP, HTTPS, TCP'"))),
    }
}

/// The API's name of a check's protocol.
pub fn name(protocol: CheckProtocol) -> &'static str {
    match protocol {
        CheckProtocol::Http => "HTTP",
        CheckProtocol::Https => "HTTPS",
        CheckProtocol::Tcp => "TCP",
    }
}

fn within(name: &str, value: i32, range: RangeInclusive<u32>) -> Result<u32, ApiError> {
    u32::try_from(value).ok().filter(|value| range.contains(value)).ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        errors::validation(format!("Health check {name} '{value}' must be between {low} and {high}"))
    })
}

fn checked_path(path: &str) -> Result<String, ApiError> {
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

/// Codes that mean success, of HTTP or of gRPC.
fn matcher(speaks: Speaks, matcher: &wire::Matcher) -> Result<String, ApiError> {
    let http = matcher.http_code.as_deref().filter(|codes| !codes.is_empty());
    let grpc = matcher.grpc_code.as_deref().filter(|codes| !codes.is_empty());
    let (kind, codes) = match (speaks.grpc(), http, grpc) {
        (true, None, Some(codes)) => ("GRPC", codes),
        (false, Some(codes), None) => ("HTTP", codes),
        (true, ..) => {
            let message = "Target groups of the protocol version GRPC take Matcher.GrpcCode and no other";
            return Err(errors::validation(message));
        }
        (false, ..) => {
            let message = "Target groups that are not of the protocol version GRPC take Matcher.HttpCode and no other";
            return Err(errors::validation(message));
        }
    };
    let range = speaks.codes();
    let fits = |ranges: Vec<(u16, u16)>| ranges.iter().all(|(low, high)| range.contains(low) && range.contains(high));
    if parse_matcher(codes).is_some_and(fits) {
        return Ok(codes.to_string());
    }
    let (low, high) = (range.start(), range.end());
    Err(errors::validation(format!(
        "Health check matcher {kind} code '{codes}' must be within '{low}-{high}' inclusive"
    )))
}

/// The codes as they are shown; checks of TCP have none.
pub fn shown_matcher(speaks: Speaks, check: &StoredHealthCheck) -> Option<wire::Matcher> {
    let codes = Some(check.matcher.clone());
    match (check.protocol, speaks.grpc()) {
        (CheckProtocol::Tcp, _) => None,
        (CheckProtocol::Http | CheckProtocol::Https, true) => Some(wire::Matcher { grpc_code: codes, http_code: None }),
        (CheckProtocol::Http | CheckProtocol::Https, false) => {
            Some(wire::Matcher { grpc_code: None, http_code: codes })
        }
    }
}
