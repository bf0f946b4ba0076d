//! Attributes of target groups of instances and addresses (alb.md 3.1 and
//! 13), and what must hold between them.

use super::attributes::{Attribute, Honoured, Values, change, in_force};
use super::{errors, forwards, names, protocols};
use crate::{Call, Change};
use elastane_domain::routing::{Action, Family, Protocol};
use elastane_engine::row::{TargetGroup, TargetType};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;

/// More targets than a group may have: thresholds count up to here.
const TARGETS_MAX: u32 = 1000;

const ALGORITHM: &str = "load_balancing.algorithm.type";
const MITIGATION: &str = "load_balancing.algorithm.anomaly_mitigation";
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
const SLOW_START: &str = "slow_start.duration_seconds";
const STICKINESS: &str = "stickiness.enabled";
const STICKINESS_TYPE: &str = "stickiness.type";
const COOKIE_NAME: &str = "stickiness.app_cookie.cookie_name";
const PRESERVE_CLIENT_IP: &str = "preserve_client_ip.enabled";
const DNS_COUNT: &str = "target_group_health.dns_failover.minimum_healthy_targets.count";
const DNS_PERCENT: &str = "target_group_health.dns_failover.minimum_healthy_targets.percentage";
const ROUTING_COUNT: &str = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count";
const ROUTING_PERCENT: &str = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage";

/// What groups of both families have.
static BOTH: &[Attribute] = &[
    number("deregistration_delay.timeout_seconds", "300", 0, 3600),
    words(CROSS_ZONE, "use_load_balancer_configuration", &["use_load_balancer_configuration", "true", "false"]),
    flag(STICKINESS, "false"),
    threshold(DNS_COUNT, "1", TARGETS_MAX),
    threshold(DNS_PERCENT, "off", 100),
    number(ROUTING_COUNT, "1", 1, TARGETS_MAX),
    threshold(ROUTING_PERCENT, "off", 100),
];

/// What groups of HTTP and HTTPS have besides.
static APPLICATION: &[Attribute] = &[
    words(ALGORITHM, "round_robin", &["round_robin", "least_outstanding_requests", "weighted_random"]),
    words(MITIGATION, "off", &["on", "off"]),
    // 1 to 29 are refused below.
    number(SLOW_START, "0", 0, 900),
    words(STICKINESS_TYPE, "lb_cookie", &["lb_cookie", "app_cookie"]),
    number("stickiness.lb_cookie.duration_seconds", "86400", 1, 604_800),
    number("stickiness.app_cookie.duration_seconds", "86400", 1, 604_800),
    Attribute { key: COOKIE_NAME, default: "", values: Values::Text, honoured: Honoured::All },
];

/// What groups of network load balancers have besides. Connections of a
/// target that becomes unhealthy are ended, and at once.
static NETWORK: &[Attribute] = &[
    flag("deregistration_delay.connection_termination.enabled", "false"),
    flag(PRESERVE_CLIENT_IP, "true"),
    flag("proxy_protocol_v2.enabled", "false"),
    words(STICKINESS_TYPE, "source_ip", &["source_ip"]),
    Attribute {
        key: "target_health_state.unhealthy.connection_termination.enabled",
        default: "true",
        values: Values::Flag,
        honoured: Honoured::Only(&["true"]),
    },
    Attribute {
        key: "target_health_state.unhealthy.draining_interval_seconds",
        default: "0",
        values: Values::Number(0, 360_000),
        honoured: Honoured::Only(&["0"]),
    },
];

const fn words(key: &'static str, default: &'static str, words: &'static [&'static str]) -> Attribute {
    Attribute { key, default, values: Values::OneOf(words), honoured: Honoured::All }
}

const fn flag(key: &'static str, default: &'static str) -> Attribute {
    Attribute { key, default, values: Values::Flag, honoured: Honoured::All }
}

const fn number(key: &'static str, default: &'static str, low: u32, high: u32) -> Attribute {
    Attribute { key, default, values: Values::Number(low, high), honoured: Honoured::All }
}

const fn threshold(key: &'static str, default: &'static str, high: u32) -> Attribute {
    Attribute { key, default, values: Values::WordOr("off", 1, high), honoured: Honoured::All }
}

fn known(family: Family) -> impl Iterator<Item = &'static Attribute> {
    let own = match family {
        Family::Application => APPLICATION,
        Family::Network => NETWORK,
    };
    BOTH.iter().chain(own)
}

/// DescribeTargetGroupAttributes: all of them, with their defaults.
pub fn describe_target_group_attributes(
    call: &Call<'_>,
    input: &wire::DescribeTargetGroupAttributesInput,
) -> Result<wire::DescribeTargetGroupAttributesOutput, ApiError> {
    let row = names::target_group(call.tables, input.target_group_arn.as_deref())?;
    Ok(wire::DescribeTargetGroupAttributesOutput { attributes: shown(row) })
}

/// ModifyTargetGroupAttributes: the answer holds all of them. Targets that
/// already drain keep the delay with which they began.
///
/// # Errors
/// `ValidationError`; `InvalidConfigurationRequest` for attributes that
/// contradict each other; `InvalidLoadBalancerAction` for ones that contradict
/// an action.
pub fn modify_target_group_attributes(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyTargetGroupAttributesInput,
) -> Result<wire::ModifyTargetGroupAttributesOutput, ApiError> {
    let row = names::target_group(tx.tables(), input.target_group_arn.as_deref())?;
    let mut row = TargetGroup::clone(row);
    let family = protocols::family(row.protocol);
    let changes = input.attributes.iter().map(|attribute| (attribute.key.as_deref(), attribute.value.as_deref()));
    change("Target group", || known(family), &mut row.attributes, changes)?;
    if family == Family::Network {
        // The data plane is told of the one kind of stickiness that there is.
        row.attributes.entry(STICKINESS_TYPE.to_string()).or_insert_with(|| "source_ip".to_string());
    }
    let set: BTreeMap<String, String> = values(&row).collect();
    check(&row, &set)?;
    for (_, _, action) in forwards::all(tx.tables()) {
        if let Action::Forward(forward) = action
            && forward.groups.iter().any(|(arn, _)| *arn == row.arn)
        {
            forwards::check_stickiness(forward, &row, |key| row.attributes.get(key).map(String::as_str))?;
        }
    }
    let attributes = shown(&row);
    tx.put(row);
    Ok(wire::ModifyTargetGroupAttributesOutput { attributes })
}

/// All attributes with their values in force.
fn values(row: &TargetGroup) -> impl Iterator<Item = (String, String)> {
    // Targets by address hide the client's address unless told otherwise (alb.md 13).
    let hides = row.target_type == TargetType::Ip && matches!(row.protocol, Protocol::Tcp | Protocol::Tls);
    let hides = hides && !row.attributes.contains_key(PRESERVE_CLIENT_IP);
    in_force(known(protocols::family(row.protocol)), &row.attributes).map(move |(key, value)| {
        if hides && key == PRESERVE_CLIENT_IP { (key, "false".to_string()) } else { (key, value) }
    })
}

/// What must hold between attributes (alb.md 3.1, 3.3, 4 and 5.3).
fn check(row: &TargetGroup, set: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let text = |key: &str| set.get(key).map_or("", String::as_str);
    let number = |key: &str| text(key).parse::<u32>().ok();
    match protocols::family(row.protocol) {
        Family::Application => {
            check_algorithm(text)?;
            check_cookies(text)?;
        }
        Family::Network => check_flows(row.protocol, text)?,
    }
    for (dns, routing) in [(DNS_COUNT, ROUTING_COUNT), (DNS_PERCENT, ROUTING_PERCENT)] {
        if let (Some(low), Some(high)) = (number(dns), number(routing))
            && low < high
        {
            let message = format!("The value of '{dns}' must be greater than or equal to that of '{routing}'");
            return Err(errors::invalid_configuration(message));
        }
    }
    Ok(())
}

/// Slow start and mitigation are of one algorithm each.
fn check_algorithm<'a>(text: impl Fn(&str) -> &'a str) -> Result<(), ApiError> {
    let (algorithm, slow_start) = (text(ALGORITHM), text(SLOW_START).parse::<u32>().unwrap_or(0));
    if (1..30).contains(&slow_start) {
        let message = format!("Target group attribute '{SLOW_START}' must be 0 or between 30 and 900");
        return Err(errors::validation(message));
    }
    if slow_start > 0 && algorithm != "round_robin" {
        let message = format!("Slow start is not supported with the load balancing algorithm '{algorithm}'");
        return Err(errors::invalid_configuration(message));
    }
    if text(MITIGATION) == "on" && algorithm != "weighted_random" {
        let message = "Anomaly mitigation is supported with the load balancing algorithm 'weighted_random' only";
        return Err(errors::invalid_configuration(message));
    }
    Ok(())
}

/// Stickiness by cookies.
fn check_cookies<'a>(text: impl Fn(&str) -> &'a str) -> Result<(), ApiError> {
    let name = text(COOKIE_NAME);
    // A cookie's name is a token (RFC 6265, 4.1.1).
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(token) || name.len() > 256 {
        return Err(errors::validation(format!("The cookie name '{name}' is not valid")));
    }
    // The other two reserved names, AWSALBAPP and AWSALBTG, begin with it.
    if name.starts_with("AWSALB") {
        return Err(errors::validation(format!("The cookie name '{name}' is reserved for the load balancer")));
    }
    if text(STICKINESS) != "true" {
        return Ok(());
    }
    if text(STICKINESS_TYPE) == "app_cookie" && name.is_empty() {
        let message = format!("The attribute '{COOKIE_NAME}' must be specified for stickiness of type 'app_cookie'");
        return Err(errors::validation(message));
    }
    if text(ALGORITHM) == "weighted_random" {
        let message = "Stickiness is not supported with the load balancing algorithm 'weighted_random'";
        return Err(errors::invalid_configuration(message));
    }
    if text(CROSS_ZONE) == "false" {
        return Err(errors::invalid_configuration("Stickiness is not supported when cross-zone load balancing is off"));
    }
    Ok(())
}

/// What network load balancers need.
fn check_flows<'a>(protocol: Protocol, text: impl Fn(&str) -> &'a str) -> Result<(), ApiError> {
    if text(STICKINESS) == "true" && protocol == Protocol::Tls {
        return Err(errors::invalid_configuration("Stickiness is not supported for target groups of the protocol TLS"));
    }
    if text(PRESERVE_CLIENT_IP) == "false" && matches!(protocol, Protocol::Udp | Protocol::TcpUdp) {
        let protocol = protocols::name(protocol);
        let message = format!("Client IP preservation cannot be disabled for target groups of the protocol {protocol}");
        return Err(errors::invalid_configuration(message));
    }
    Ok(())
}

fn shown(row: &TargetGroup) -> Vec<wire::TargetGroupAttribute> {
    values(row).map(|(key, value)| wire::TargetGroupAttribute { key: Some(key), value: Some(value) }).collect()
}
