//! Attributes of target groups of instances and addresses (alb.md 3.1).

use super::attributes::{Attribute, Honoured, Values, change, in_force};
use super::names;
use crate::{Call, Change};
use elastane_engine::row::TargetGroup;
use elastane_wire::{ApiError, elbv2 as wire};

/// More targets than a group may have: thresholds count up to here.
const TARGETS_MAX: u32 = 1000;

/// Stickiness settings are kept and shown: they mean nothing until
/// stickiness is switched on, which is refused.
static KNOWN: &[Attribute] = &[
    number("deregistration_delay.timeout_seconds", "300", 0, 3600, Honoured::All),
    words(
        "load_balancing.algorithm.type",
        "round_robin",
        &["round_robin", "least_outstanding_requests", "weighted_random"],
        Honoured::Only(&["round_robin", "least_outstanding_requests"]),
    ),
    words("load_balancing.algorithm.anomaly_mitigation", "off", &["on", "off"], Honoured::Only(&["off"])),
    words(
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        &["use_load_balancer_configuration", "true", "false"],
        Honoured::Only(&["use_load_balancer_configuration", "true"]),
    ),
    number("slow_start.duration_seconds", "0", 0, 900, Honoured::Only(&["0"])),
    words("stickiness.enabled", "false", &["true", "false"], Honoured::Only(&["false"])),
    words("stickiness.type", "lb_cookie", &["lb_cookie", "app_cookie"], Honoured::All),
    number("stickiness.lb_cookie.duration_seconds", "86400", 1, 604_800, Honoured::All),
    number("stickiness.app_cookie.duration_seconds", "86400", 1, 604_800, Honoured::All),
    Attribute { key: "stickiness.app_cookie.cookie_name", default: "", values: Values::Text, honoured: Honoured::All },
    threshold("target_group_health.dns_failover.minimum_healthy_targets.count", "1", TARGETS_MAX),
    threshold("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", 100),
    number(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
        1,
        TARGETS_MAX,
        Honoured::Only(&["1"]),
    ),
    Attribute {
        key: "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        default: "off",
        values: Values::WordOr("off", 1, 100),
        honoured: Honoured::Only(&["off"]),
    },
];

const fn words(
    key: &'static str,
    default: &'static str,
    words: &'static [&'static str],
    honoured: Honoured,
) -> Attribute {
    Attribute { key, default, values: Values::OneOf(words), honoured }
}

const fn number(key: &'static str, default: &'static str, low: u32, high: u32, honoured: Honoured) -> Attribute {
    Attribute { key, default, values: Values::Number(low, high), honoured }
}

/// A threshold of DNS failover. A load balancer has one address here, which
/// stays when all targets are unhealthy, so `off` and `1` are all the same.
const fn threshold(key: &'static str, default: &'static str, high: u32) -> Attribute {
    Attribute { key, default, values: Values::WordOr("off", 1, high), honoured: Honoured::Only(&["off", "1"]) }
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
pub fn modify_target_group_attributes(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyTargetGroupAttributesInput,
) -> Result<wire::ModifyTargetGroupAttributesOutput, ApiError> {
    let row = names::target_group(tx.tables(), input.target_group_arn.as_deref())?;
    let mut row = TargetGroup::clone(row);
    let changes = input.attributes.iter().map(|attribute| (attribute.key.as_deref(), attribute.value.as_deref()));
    change("Target group", KNOWN, &mut row.attributes, changes)?;
    let attributes = shown(&row);
    tx.put(row);
    Ok(wire::ModifyTargetGroupAttributesOutput { attributes })
}

fn shown(row: &TargetGroup) -> Vec<wire::TargetGroupAttribute> {
    in_force(KNOWN, &row.attributes)
        .into_iter()
        .map(|(key, value)| wire::TargetGroupAttribute { key: Some(key), value: Some(value) })
        .collect()
}
