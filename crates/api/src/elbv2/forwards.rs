//! Forward actions: to one target group, or to several by weight, and what
//! must hold between the groups, the listener and the load balancer.

use super::actions::Place;
use super::protocols;
use super::target_groups::{load_balancers_of, of_group};
use super::{errors, names};
use elastane_domain::id::TargetGroupArn;
use elastane_domain::routing::{Action, Family, Forward, Protocol, ProtocolVersion};
use elastane_engine::Tables;
use elastane_engine::row::{LoadBalancer, TargetGroup};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeSet;

/// Target groups of one forward action (alb.md 12).
pub const GROUPS_MAX: usize = 5;

/// Target groups that one load balancer's actions use (alb.md 12).
pub const GROUPS_PER_BALANCER_MAX: usize = 100;

/// Highest weight.
const WEIGHT_MAX: i32 = 999;

/// Longest that a client stays with its target group: seven days in seconds.
const STICKINESS_SECS_MAX: i32 = 604_800;

/// Targets that one load balancer may have (alb.md 12; NLB quotas).
pub fn targets_max(family: Family) -> usize {
    match family {
        Family::Application => 1000,
        Family::Network => 3000,
    }
}

/// The groups and weights of a forward action.
pub fn parsed(family: Family, action: &wire::Action) -> Result<Forward, ApiError> {
    let config = action.forward_config.as_ref();
    let mut groups: Vec<(TargetGroupArn, u32)> = Vec::new();
    for tuple in config.map_or(&[][..], |config| &config.target_groups) {
        let arn = tuple.target_group_arn.as_deref().ok_or_else(|| errors::missing("TargetGroupArn"))?;
        let weight = tuple.weight.unwrap_or(1);
        if !(0..=WEIGHT_MAX).contains(&weight) {
            let message = format!("The weight '{weight}' of a target group must be between 0 and {WEIGHT_MAX}");
            return Err(errors::validation(message));
        }
        if groups.iter().any(|(other, _)| other.as_str() == arn) {
            return Err(errors::validation(format!("The target group '{arn}' is specified more than once")));
        }
        groups.push((TargetGroupArn::from(arn), weight as u32));
    }
    if let Some(arn) = action.target_group_arn.as_deref().filter(|arn| !arn.is_empty()) {
        if groups.is_empty() {
            groups.push((TargetGroupArn::from(arn), 1));
        } else if groups.len() > 1 || groups[0].0.as_str() != arn {
            let message = "TargetGroupArn must be the only target group of ForwardConfig when both are specified";
            return Err(errors::validation(message));
        }
    }
    let max = if family == Family::Network { 1 } else { GROUPS_MAX };
    if groups.is_empty() || groups.len() > max {
        let message = format!("A forward action must have between 1 and {max} target groups");
        return Err(errors::validation(message));
    }
    let stickiness = config.and_then(|config| config.target_group_stickiness_config.as_ref());
    let (stickiness_secs, unused_stickiness_secs) = stickiness.map(stickiness_secs).transpose()?.unwrap_or_default();
    if stickiness_secs.is_some() && family == Family::Network {
        return Err(errors::validation("Target group stickiness is for application load balancers"));
    }
    Ok(Forward { groups, stickiness_secs, unused_stickiness_secs })
}

/// How long clients stay with their group, and the duration that was named
/// although they do not: it means nothing, on AWS as here, and is kept.
fn stickiness_secs(config: &wire::TargetGroupStickinessConfig) -> Result<(Option<u32>, Option<u32>), ApiError> {
    let duration = config.duration_seconds;
    if let Some(secs) = duration.filter(|secs| !(1..=STICKINESS_SECS_MAX).contains(secs)) {
        let message = format!("The stickiness duration '{secs}' must be between 1 and {STICKINESS_SECS_MAX}");
        return Err(errors::validation(message));
    }
    if config.enabled != Some(true) {
        return Ok((None, duration.map(|secs| secs as u32)));
    }
    let secs = duration.ok_or_else(|| errors::missing("TargetGroupStickinessConfig.DurationSeconds"))?;
    Ok((Some(secs as u32), None))
}

/// Whether a forward can stand at a place.
///
/// # Errors
/// `TargetGroupNotFound`, `InvalidConfigurationRequest`, `IncompatibleProtocols`,
/// `TargetGroupAssociationLimit`, `InvalidLoadBalancerAction`,
/// `TooManyUniqueTargetGroupsPerLoadBalancer`, `TooManyTargets`.
pub fn check(place: Place<'_>, forward: &Forward, authenticates: bool) -> Result<(), ApiError> {
    for (arn, _) in &forward.groups {
        let group = names::target_group(place.tables, Some(arn.as_str()))?;
        check_group(place, group)?;
        check_version(place.protocol, group, authenticates)?;
        check_stickiness(forward, group, |key| group.attributes.get(key).map(String::as_str))?;
    }
    check_counts(place, forward)
}

/// The group is in the load balancer's VPC, speaks what the listener needs,
/// and no other load balancer uses it.
fn check_group(place: Place<'_>, group: &TargetGroup) -> Result<(), ApiError> {
    let (arn, balancer) = (&group.arn, place.balancer);
    if group.vpc != balancer.vpc {
        let message = format!("The target group '{arn}' is not in the VPC '{}' of the load balancer", balancer.vpc);
        return Err(errors::invalid_configuration(message));
    }
    if !protocols::go_together(place.protocol, group.protocol) {
        return Err(errors::incompatible_protocols(protocols::name(place.protocol), protocols::name(group.protocol)));
    }
    if load_balancers_of(place.tables, arn.as_str()).into_iter().any(|other| *other != balancer.arn) {
        return Err(errors::association_limit(arn.as_str()));
    }
    Ok(())
}

/// HTTP/2 and gRPC come over HTTPS only, and take no other action beside the
/// forward (alb.md 2 and 8).
fn check_version(protocol: Protocol, group: &TargetGroup, authenticates: bool) -> Result<(), ApiError> {
    let version = match group.version {
        ProtocolVersion::Http1 => return Ok(()),
        ProtocolVersion::Http2 => "HTTP2",
        ProtocolVersion::Grpc => "GRPC",
    };
    if protocol != Protocol::Https {
        let protocol = protocols::name(protocol);
        return Err(errors::invalid_configuration(format!(
            "Listener protocol '{protocol}' is not supported with a target group with the protocol-version setting \
             '{version}'"
        )));
    }
    if authenticates {
        let message = format!("Authentication is not supported with the protocol-version setting '{version}'");
        return Err(errors::invalid_configuration(message));
    }
    Ok(())
}

/// A sticky target among several groups needs a sticky group, and cannot be
/// sticky by an application's cookie (alb.md 4, point 5). `attribute` gives
/// the group's attributes that were set.
pub fn check_stickiness<'a>(
    forward: &Forward,
    group: &TargetGroup,
    attribute: impl Fn(&str) -> Option<&'a str>,
) -> Result<(), ApiError> {
    if forward.groups.len() < 2 || attribute("stickiness.enabled") != Some("true") {
        return Ok(());
    }
    if forward.stickiness_secs.is_none() {
        let message =
            "You must enable group stickiness on a rule if you enabled target stickiness on one of its target groups";
        return Err(errors::invalid_action(message));
    }
    if attribute("stickiness.type") == Some("app_cookie") {
        let message = format!("Application-based stickiness of '{}' does not work with several groups", group.arn);
        return Err(errors::invalid_action(message));
    }
    Ok(())
}

/// All actions of a scope: the ARN of the listener or rule, the listener's
/// load balancer, and the action.
pub fn all(tables: &Tables) -> impl Iterator<Item = (&str, &str, &Action)> {
    let defaults = tables.listeners.values().map(|row| (row.arn.as_str(), row.load_balancer.as_str(), &row.action));
    let rules = tables.rules.values().filter_map(|row| {
        let listener = tables.listeners.get(row.listener.as_str())?;
        Some((row.arn.as_str(), listener.load_balancer.as_str(), &row.action))
    });
    defaults.chain(rules)
}

/// The target groups that a load balancer's actions use.
pub fn groups_of<'a>(tables: &'a Tables, balancer: &LoadBalancer) -> BTreeSet<&'a TargetGroupArn> {
    let of_it = all(tables).filter(|(_, of, _)| *of == balancer.arn.as_str());
    of_it.flat_map(|(_, _, action)| action.target_groups()).collect()
}

fn check_counts(place: Place<'_>, forward: &Forward) -> Result<(), ApiError> {
    let of_it = all(place.tables).filter(|(_, balancer, _)| *balancer == place.balancer.arn.as_str());
    let others = of_it.filter(|(owner, _, _)| Some(*owner) != place.owner);
    let mut used: BTreeSet<&TargetGroupArn> = others.flat_map(|(_, _, action)| action.target_groups()).collect();
    used.extend(forward.groups.iter().map(|(arn, _)| arn));
    if used.len() > GROUPS_PER_BALANCER_MAX {
        let what = "target groups of one load balancer";
        return Err(errors::too_many("TooManyUniqueTargetGroupsPerLoadBalancer", GROUPS_PER_BALANCER_MAX, what));
    }
    let max = targets_max(place.balancer.family);
    let targets: usize = used.iter().map(|arn| of_group(place.tables, arn.as_str()).len()).sum();
    if targets > max {
        return Err(errors::too_many("TooManyTargets", max, "targets of one load balancer"));
    }
    Ok(())
}
