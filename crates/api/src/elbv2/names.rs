//! Names and ARNs: their shapes, and the rows behind them (alb.md 1).

use super::errors;
use elastane_domain::routing::Family;
use elastane_engine::Tables;
use elastane_engine::row::{Listener, LoadBalancer, Rule, TargetGroup};
use elastane_wire::ApiError;
use std::sync::Arc;

/// Names of load balancers and target groups are at most so long.
const NAME_MAX: usize = 32;

/// The service in ARNs.
pub const SERVICE: &str = "elasticloadbalancing";

/// Hex digits at the end of every ARN.
pub const ID_DIGITS: usize = 16;

/// Checks the name of a load balancer.
pub fn check_load_balancer_name(name: &str) -> Result<(), ApiError> {
    check_name("Load balancer", name)?;
    if name.starts_with("internal-") {
        return Err(errors::validation(format!("Load balancer name '{name}' cannot begin with 'internal-'")));
    }
    Ok(())
}

/// Checks the name of a target group.
pub fn check_target_group_name(name: &str) -> Result<(), ApiError> {
    check_name("Target group", name)
}

fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(errors::validation(format!("{what} name '{name}' must have between 1 and {NAME_MAX} characters")));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        let message =
            format!("{what} name '{name}' can only contain characters that are alphanumeric characters or hyphens(-)");
        return Err(errors::validation(message));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(errors::validation(format!("{what} name '{name}' cannot begin or end with a hyphen(-)")));
    }
    Ok(())
}

/// The word for a family in ARNs.
pub fn kind(family: Family) -> &'static str {
    match family {
        Family::Application => "app",
        Family::Network => "net",
    }
}

/// The load balancer of an ARN.
pub fn load_balancer<'a>(tables: &'a Tables, arn: Option<&str>) -> Result<&'a Arc<LoadBalancer>, ApiError> {
    let arn = arn.ok_or_else(|| errors::missing("LoadBalancerArn"))?;
    check_load_balancer_arn(arn)?;
    tables.load_balancers.get(arn).ok_or_else(|| errors::load_balancer_not_found(arn))
}

/// The listener of an ARN.
pub fn listener<'a>(tables: &'a Tables, arn: Option<&str>) -> Result<&'a Arc<Listener>, ApiError> {
    let arn = arn.ok_or_else(|| errors::missing("ListenerArn"))?;
    check_arn("listener", ":listener/", arn)?;
    tables.listeners.get(arn).ok_or_else(|| errors::listener_not_found(arn))
}

/// The rule of an ARN, which is not a default rule's.
///
/// # Errors
/// `RuleNotFound`; `OperationNotPermitted` for a default rule, which changes
/// and goes with its listener.
pub fn rule<'a>(tables: &'a Tables, arn: Option<&str>) -> Result<&'a Arc<Rule>, ApiError> {
    let arn = arn.ok_or_else(|| errors::missing("RuleArn"))?;
    match any_rule(tables, arn)? {
        AnyRule::Rule(row) => Ok(row),
        AnyRule::Default(_) => {
            let message = format!("Default rule '{arn}' cannot be changed or deleted by itself");
            Err(errors::operation_not_permitted(message))
        }
    }
}

/// What the ARN of a rule names.
#[derive(Clone, Copy)]
pub enum AnyRule<'a> {
    /// The default rule of a listener.
    Default(&'a Arc<Listener>),
    /// Another one.
    Rule(&'a Arc<Rule>),
}

/// The rule of an ARN, also a default one.
pub fn any_rule<'a>(tables: &'a Tables, arn: &str) -> Result<AnyRule<'a>, ApiError> {
    check_arn("listener rule", ":listener-rule/", arn)?;
    if let Some(row) = tables.rules.get(arn) {
        return Ok(AnyRule::Rule(row));
    }
    let default = tables.listeners.values().find(|row| row.default_rule.as_str() == arn);
    default.map(AnyRule::Default).ok_or_else(|| errors::rule_not_found(arn))
}

/// The target group of an ARN.
pub fn target_group<'a>(tables: &'a Tables, arn: Option<&str>) -> Result<&'a Arc<TargetGroup>, ApiError> {
    let arn = arn.ok_or_else(|| errors::missing("TargetGroupArn"))?;
    check_target_group_arn(arn)?;
    tables.target_groups.get(arn).ok_or_else(|| errors::target_group_not_found(arn))
}

/// Whether the text has the shape of a load balancer's ARN.
pub fn check_load_balancer_arn(arn: &str) -> Result<(), ApiError> {
    check_arn("load balancer", ":loadbalancer/", arn)
}

/// Whether the text has the shape of a target group's ARN.
pub fn check_target_group_arn(arn: &str) -> Result<(), ApiError> {
    check_arn("target group", ":targetgroup/", arn)
}

fn check_arn(what: &str, part: &str, arn: &str) -> Result<(), ApiError> {
    if arn.starts_with("arn:") && arn.contains(part) {
        return Ok(());
    }
    Err(errors::validation(format!("'{arn}' is not a valid {what} ARN")))
}
