//! Attributes of application load balancers (alb.md 6 and 7; the list is the
//! one that Terraform sends and reads).

use super::attributes::{Attribute, Honoured, Values, change, in_force};
use super::names;
use crate::{Call, Change};
use elastane_engine::row::LoadBalancer;
use elastane_wire::{ApiError, elbv2 as wire};

/// While it is `true`, the load balancer is not deleted.
pub const DELETION_PROTECTION: &str = "deletion_protection.enabled";

const OFF: Honoured = Honoured::Only(&["false"]);

/// Attributes that matter on HTTPS listeners or with a web firewall only have
/// no effect on HTTP ones on AWS either, so both their values are kept.
/// Buckets and prefixes say nothing while their logs are off.
static KNOWN: &[Attribute] = &[
    flag("access_logs.s3.enabled", "false", OFF),
    text("access_logs.s3.bucket"),
    text("access_logs.s3.prefix"),
    flag("connection_logs.s3.enabled", "false", OFF),
    text("connection_logs.s3.bucket"),
    text("connection_logs.s3.prefix"),
    flag("health_check_logs.s3.enabled", "false", OFF),
    text("health_check_logs.s3.bucket"),
    text("health_check_logs.s3.prefix"),
    Attribute {
        key: "client_keep_alive.seconds",
        default: "3600",
        values: Values::Number(60, 604_800),
        honoured: Honoured::Only(&["3600"]),
    },
    flag(DELETION_PROTECTION, "false", Honoured::All),
    Attribute {
        key: "idle_timeout.timeout_seconds",
        default: "60",
        values: Values::Number(1, 4000),
        honoured: Honoured::All,
    },
    Attribute {
        key: "load_balancing.cross_zone.enabled",
        default: "true",
        values: Values::OneOf(&["true"]),
        honoured: Honoured::All,
    },
    Attribute {
        key: "routing.http.desync_mitigation_mode",
        default: "defensive",
        values: Values::OneOf(&["monitor", "defensive", "strictest"]),
        honoured: Honoured::Only(&["defensive"]),
    },
    flag("routing.http.drop_invalid_header_fields.enabled", "false", OFF),
    flag("routing.http.preserve_host_header.enabled", "false", OFF),
    flag("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Honoured::All),
    flag("routing.http.xff_client_port.enabled", "false", OFF),
    Attribute {
        key: "routing.http.xff_header_processing.mode",
        default: "append",
        values: Values::OneOf(&["append", "preserve", "remove"]),
        honoured: Honoured::Only(&["append"]),
    },
    flag("routing.http2.enabled", "true", Honoured::All),
    flag("waf.fail_open.enabled", "false", Honoured::All),
    flag("zonal_shift.config.enabled", "false", OFF),
];

const fn flag(key: &'static str, default: &'static str, honoured: Honoured) -> Attribute {
    Attribute { key, default, values: Values::Flag, honoured }
}

const fn text(key: &'static str) -> Attribute {
    Attribute { key, default: "", values: Values::Text, honoured: Honoured::All }
}

/// DescribeLoadBalancerAttributes: all of them, with their defaults.
pub fn describe_load_balancer_attributes(
    call: &Call<'_>,
    input: &wire::DescribeLoadBalancerAttributesInput,
) -> Result<wire::DescribeLoadBalancerAttributesOutput, ApiError> {
    let row = names::load_balancer(call.tables, input.load_balancer_arn.as_deref())?;
    Ok(wire::DescribeLoadBalancerAttributesOutput { attributes: shown(row) })
}

/// ModifyLoadBalancerAttributes: the answer holds all of them.
pub fn modify_load_balancer_attributes(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyLoadBalancerAttributesInput,
) -> Result<wire::ModifyLoadBalancerAttributesOutput, ApiError> {
    let row = names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?;
    let mut row = LoadBalancer::clone(row);
    let changes = input.attributes.iter().map(|attribute| (attribute.key.as_deref(), attribute.value.as_deref()));
    change("Load balancer", KNOWN, &mut row.attributes, changes)?;
    let attributes = shown(&row);
    tx.put(row);
    Ok(wire::ModifyLoadBalancerAttributesOutput { attributes })
}

fn shown(row: &LoadBalancer) -> Vec<wire::LoadBalancerAttribute> {
    in_force(KNOWN, &row.attributes)
        .into_iter()
        .map(|(key, value)| wire::LoadBalancerAttribute { key: Some(key), value: Some(value) })
        .collect()
}
