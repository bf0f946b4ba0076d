//! Names and ARNs: their shapes, and the rows behind them (alb.md 1).

use super::errors;
use elastane_engine::Tables;
use elastane_engine::row::{Listener, LoadBalancer, TargetGroup};
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
