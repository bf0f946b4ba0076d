//! Default actions of listeners: `forward` (to one group, or to several by
//! weight) and `fixed-response` (alb.md 2.2).

use super::errors;
use super::names;
use super::target_groups::load_balancers_of;
use elastane_domain::id::TargetGroupArn;
use elastane_domain::routing::{Action, Forward};
use elastane_engine::Tables;
use elastane_engine::routing;
use elastane_engine::row::LoadBalancer;
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeSet;

/// Target groups of one forward action.
const GROUPS_MAX: usize = 5;

/// Target groups that one load balancer's listeners use (alb.md 12).
const GROUPS_PER_BALANCER_MAX: usize = 100;

/// Highest weight.
const WEIGHT_MAX: i32 = 999;

/// Longest body of a fixed response, in bytes.
const BODY_MAX: usize = 1024;

/// Content types that a fixed response may have.
const CONTENT_TYPES: [&str; 5] = ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// The one action of a listener of `balancer`, checked; `listener` is the
/// ARN of the one that it is for, if that exists already.
pub fn checked(
    tables: &Tables,
    balancer: &LoadBalancer,
    listener: Option<&str>,
    actions: &[wire::Action],
) -> Result<Action, ApiError> {
    let action = match actions {
        [] => return Err(errors::missing("DefaultActions")),
        [action] => action,
        [..] => return Err(errors::unsupported("More than one default action")),
    };
    match action.r#type.as_deref() {
        Some("forward") => {
            let groups = forward_groups(action)?;
            check_groups(tables, balancer, listener, &groups)?;
            Ok(Action::Forward(Forward { groups, stickiness_secs: None }))
        }
        Some("fixed-response") => fixed_response(action),
        Some(other) => Err(errors::unsupported(&format!("The action type '{other}'"))),
        None => Err(errors::missing("DefaultActions.member.1.Type")),
    }
}

fn forward_groups(action: &wire::Action) -> Result<Vec<(TargetGroupArn, u32)>, ApiError> {
    let mut groups: Vec<(TargetGroupArn, u32)> = Vec::new();
    let config = action.forward_config.as_ref();
    if config.and_then(|config| config.target_group_stickiness_config.as_ref()).and_then(|c| c.enabled) == Some(true) {
        return Err(errors::unsupported("Target group stickiness"));
    }
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
    if let Some(arn) = action.target_group_arn.as_deref() {
        if groups.is_empty() {
            groups.push((TargetGroupArn::from(arn), 1));
        } else if groups.len() > 1 || groups[0].0.as_str() != arn {
            let message = "TargetGroupArn must be the only target group of ForwardConfig when both are specified";
            return Err(errors::validation(message));
        }
    }
    if groups.is_empty() || groups.len() > GROUPS_MAX {
        let message = format!("A forward action must have between 1 and {GROUPS_MAX} target groups");
        return Err(errors::validation(message));
    }
    Ok(groups)
}

/// The groups exist in the load balancer's VPC, and no other load balancer uses them.
fn check_groups(
    tables: &Tables,
    balancer: &LoadBalancer,
    listener: Option<&str>,
    groups: &[(TargetGroupArn, u32)],
) -> Result<(), ApiError> {
    for (arn, _) in groups {
        let group = names::target_group(tables, Some(arn.as_str()))?;
        if group.vpc != balancer.vpc {
            let message = format!("The target group '{arn}' is not in the VPC '{}' of the load balancer", balancer.vpc);
            return Err(errors::invalid_configuration(message));
        }
        if load_balancers_of(tables, arn.as_str()).into_iter().any(|other| *other != balancer.arn) {
            return Err(errors::association_limit(arn.as_str()));
        }
    }
    let of_balancer = |arn: &str| tables.listeners.get(arn).is_some_and(|row| row.load_balancer == balancer.arn);
    let others = routing::actions(tables)
        .filter(|(arn, _)| of_balancer(arn.as_str()) && Some(arn.as_str()) != listener)
        .flat_map(|(_, action)| action.target_groups());
    let mut used: BTreeSet<&TargetGroupArn> = others.collect();
    used.extend(groups.iter().map(|(arn, _)| arn));
    if used.len() > GROUPS_PER_BALANCER_MAX {
        let what = "target groups of one load balancer";
        return Err(errors::too_many("TooManyUniqueTargetGroupsPerLoadBalancer", GROUPS_PER_BALANCER_MAX, what));
    }
    Ok(())
}

fn fixed_response(action: &wire::Action) -> Result<Action, ApiError> {
    let config = action.fixed_response_config.as_ref().ok_or_else(|| errors::missing("FixedResponseConfig"))?;
    let code = config.status_code.as_deref().unwrap_or_default();
    let well_formed = code.len() == 3 && code.starts_with(['2', '4', '5']);
    let status = code.parse().ok().filter(|_| well_formed);
    let status = status.ok_or_else(|| {
        errors::validation(format!("The status code '{code}' of a fixed response must be 2XX, 4XX or 5XX"))
    })?;
    let content_type = config.content_type.clone().unwrap_or_default();
    if !content_type.is_empty() && !CONTENT_TYPES.contains(&content_type.as_str()) {
        let message = format!("The content type '{content_type}' must be one of {}", CONTENT_TYPES.join(", "));
        return Err(errors::validation(message));
    }
    let body = config.message_body.clone().unwrap_or_default();
    if body.len() > BODY_MAX {
        return Err(errors::validation(format!("The message body must have at most {BODY_MAX} bytes")));
    }
    Ok(Action::FixedResponse { status, content_type, body })
}

/// An action as it is shown: a forward to one group both in the short and in
/// the long form, because clients compare the one that they wrote.
pub fn shown(action: &Action) -> wire::Action {
    let order = Some(1);
    match action {
        Action::Redirect(_) => wire::Action { r#type: Some("redirect".to_string()), order, ..Default::default() },
        Action::Forward(Forward { groups, .. }) => {
            let tuples = groups.iter().map(|(arn, weight)| wire::TargetGroupTuple {
                target_group_arn: Some(arn.to_string()),
                weight: Some(*weight as i32),
            });
            let stickiness = wire::TargetGroupStickinessConfig { duration_seconds: None, enabled: Some(false) };
            wire::Action {
                r#type: Some("forward".to_string()),
                order,
                target_group_arn: match groups.as_slice() {
                    [(arn, _)] => Some(arn.to_string()),
                    [..] => None,
                },
                forward_config: Some(wire::ForwardActionConfig {
                    target_group_stickiness_config: Some(stickiness),
                    target_groups: tuples.collect(),
                }),
                ..Default::default()
            }
        }
        Action::FixedResponse { status, content_type, body } => {
            let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
            wire::Action {
                r#type: Some("fixed-response".to_string()),
                order,
                fixed_response_config: Some(wire::FixedResponseActionConfig {
                    content_type: some(content_type),
                    message_body: some(body),
                    status_code: Some(status.to_string()),
                }),
                ..Default::default()
            }
        }
    }
}
