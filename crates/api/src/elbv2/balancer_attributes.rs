//! Attributes of load balancers of both families (alb.md 6, 7 and 13; the
//! lists are those that Terraform sends and reads).

use super::attributes::{Attribute, Honoured, Values, change, in_force};
use super::{errors, names};
use crate::{Call, Change};
use elastane_domain::routing::Family;
use elastane_engine::row::LoadBalancer;
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;

/// While it is `true`, the load balancer is not deleted.
pub const DELETION_PROTECTION: &str = "deletion_protection.enabled";

/// What comes by IPv6 never comes through an internet gateway here, so both
/// values mean the same; its default depends on the scheme.
const DENY_GATEWAY: &str = "ipv6.deny_all_igw_traffic";

const OFF: Honoured = Honoured::Only(&["false"]);

/// What both families have. Buckets and prefixes say nothing while their
/// logs are off.
static BOTH: &[Attribute] = &[
    flag("access_logs.s3.enabled", "false", Honoured::All),
    text("access_logs.s3.bucket"),
    text("access_logs.s3.prefix"),
    flag(DELETION_PROTECTION, "false", Honoured::All),
    flag(DENY_GATEWAY, "false", Honoured::All),
    flag("zonal_shift.config.enabled", "false", Honoured::All),
];

/// What application load balancers have besides. A web firewall's attribute
/// has no effect without a firewall on AWS either, so both values are kept.
static APPLICATION: &[Attribute] = &[
    Attribute {
        key: "load_balancing.cross_zone.enabled",
        default: "true",
        values: Values::OneOf(&["true"]),
        honoured: Honoured::All,
    },
    Attribute {
        key: "client_keep_alive.seconds",
        default: "3600",
        values: Values::Number(60, 604_800),
        honoured: Honoured::All,
    },
    flag("connection_logs.s3.enabled", "false", Honoured::All),
    text("connection_logs.s3.bucket"),
    text("connection_logs.s3.prefix"),
    flag("health_check_logs.s3.enabled", "false", OFF),
    text("health_check_logs.s3.bucket"),
    text("health_check_logs.s3.prefix"),
    Attribute {
        key: "idle_timeout.timeout_seconds",
        default: "60",
        values: Values::Number(1, 4000),
        honoured: Honoured::All,
    },
    words("routing.http.desync_mitigation_mode", "defensive", &["monitor", "defensive", "strictest"], Honoured::All),
    flag("routing.http.drop_invalid_header_fields.enabled", "false", Honoured::All),
    flag("routing.http.preserve_host_header.enabled", "false", Honoured::All),
    flag("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Honoured::All),
    flag("routing.http.xff_client_port.enabled", "false", Honoured::All),
    words("routing.http.xff_header_processing.mode", "append", &["append", "preserve", "remove"], Honoured::All),
    flag("routing.http2.enabled", "true", Honoured::All),
    flag("waf.fail_open.enabled", "false", Honoured::All),
];

/// What network load balancers have besides. Clients have no zones here, so a
/// preference for theirs would have no effect.
static NETWORK: &[Attribute] = &[
    words(
        "dns_record.client_routing_policy",
        "any_availability_zone",
        &["any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"],
        Honoured::Only(&["any_availability_zone"]),
    ),
    flag("load_balancing.cross_zone.enabled", "false", Honoured::All),
    Attribute {
        key: "secondary_ips.auto_assigned.per_subnet",
        default: "0",
        values: Values::Number(0, 7),
        honoured: Honoured::Only(&["0"]),
    },
];

const fn flag(key: &'static str, default: &'static str, honoured: Honoured) -> Attribute {
    Attribute { key, default, values: Values::Flag, honoured }
}

const fn text(key: &'static str) -> Attribute {
    Attribute { key, default: "", values: Values::Text, honoured: Honoured::All }
}

const fn words(
    key: &'static str,
    default: &'static str,
    words: &'static [&'static str],
    honoured: Honoured,
) -> Attribute {
    Attribute { key, default, values: Values::OneOf(words), honoured }
}

fn known(family: Family) -> impl Iterator<Item = &'static Attribute> {
    let own = match family {
        Family::Application => APPLICATION,
        Family::Network => NETWORK,
    };
    BOTH.iter().chain(own)
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
///
/// # Errors
/// `ValidationError`; `InvalidConfigurationRequest` for logs without a bucket.
pub fn modify_load_balancer_attributes(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyLoadBalancerAttributesInput,
) -> Result<wire::ModifyLoadBalancerAttributesOutput, ApiError> {
    let row = names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?;
    let mut row = LoadBalancer::clone(row);
    let changes = input.attributes.iter().map(|attribute| (attribute.key.as_deref(), attribute.value.as_deref()));
    change("Load balancer", || known(row.family), &mut row.attributes, changes)?;
    check_logs(&row.attributes)?;
    let attributes = shown(&row);
    tx.put(row);
    Ok(wire::ModifyLoadBalancerAttributesOutput { attributes })
}

/// Logs that are on need a bucket, whose name has AWS's shape: it becomes a
/// folder's name.
fn check_logs(set: &BTreeMap<String, String>) -> Result<(), ApiError> {
    for log in ["access_logs", "connection_logs"] {
        let text = |part: &str| set.get(&format!("{log}.s3.{part}")).map_or("", String::as_str);
        let (bucket, prefix) = (text("bucket"), text("prefix"));
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let named = (3..=63).contains(&bucket.len()) && bucket.bytes().all(letter) && !bucket.starts_with('.');
        if text("enabled") == "true" && bucket.is_empty() {
            let message = format!("The value of '{log}.s3.bucket' cannot be empty while its logs are enabled");
            return Err(errors::invalid_configuration(message));
        }
        if !bucket.is_empty() && (!named || bucket.contains("..")) {
            return Err(errors::invalid_configuration(format!("The bucket name '{bucket}' is not valid")));
        }
        let escapes = prefix.split('/').any(|part| part == ".." || part == ".");
        if prefix.contains("AWSLogs") || prefix.starts_with('/') || escapes {
            return Err(errors::invalid_configuration(format!("The prefix '{prefix}' is not valid")));
        }
    }
    Ok(())
}

fn shown(row: &LoadBalancer) -> Vec<wire::LoadBalancerAttribute> {
    in_force(known(row.family), &row.attributes)
        .map(|(key, value)| {
            // An internal load balancer denies that traffic unless told otherwise.
            let denies = key == DENY_GATEWAY && row.scheme == "internal" && !row.attributes.contains_key(DENY_GATEWAY);
            let value = if denies { "true".to_string() } else { value };
            wire::LoadBalancerAttribute { key: Some(key), value: Some(value) }
        })
        .collect()
}
