//! The errors of Elastic Load Balancing, each code in one place (alb.md 12).
//! All are client errors with status 400.

use elastane_wire::ApiError;

/// The code of malformed and unsupported requests.
pub const VALIDATION: &str = "ValidationError";

/// A request that is malformed.
pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new(VALIDATION, message)
}

/// A request that AWS takes and Elastane does not, yet.
pub fn unsupported(what: &str) -> ApiError {
    validation(format!("{what} is not supported by Elastane yet"))
}

/// A required member is not there.
pub fn missing(member: &str) -> ApiError {
    validation(format!("The request must contain the parameter {member}"))
}

/// Settings that contradict each other.
pub fn invalid_configuration(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidConfigurationRequest", message)
}

/// No load balancer has this name or ARN.
pub fn load_balancer_not_found(name: &str) -> ApiError {
    ApiError::new("LoadBalancerNotFound", format!("Load balancer '{name}' not found"))
}

/// No target group has this name or ARN.
pub fn target_group_not_found(name: &str) -> ApiError {
    ApiError::new("TargetGroupNotFound", format!("Target group '{name}' not found"))
}

/// No listener has this ARN.
pub fn listener_not_found(arn: &str) -> ApiError {
    ApiError::new("ListenerNotFound", format!("Listener '{arn}' not found"))
}

/// No rule has this ARN.
pub fn rule_not_found(arn: &str) -> ApiError {
    ApiError::new("RuleNotFound", format!("Rule '{arn}' not found"))
}

/// No subnet has this id.
pub fn subnet_not_found(id: &str) -> ApiError {
    ApiError::new("SubnetNotFound", format!("The subnet ID '{id}' does not exist"))
}

/// The subnet has no address left for the load balancer.
pub fn subnet_full(id: &str) -> ApiError {
    ApiError::new("InvalidSubnet", format!("Not enough IP space available in {id}. ELB requires at least 1 address."))
}

/// No security group of the VPC has this id.
pub fn invalid_security_group(id: &str) -> ApiError {
    ApiError::new(
        "InvalidSecurityGroup",
        format!("The security group '{id}' does not exist in the load balancer's VPC"),
    )
}

/// The name is taken by a load balancer with other settings.
pub fn duplicate_load_balancer(name: &str) -> ApiError {
    let message = format!("A load balancer with the same name '{name}' exists, but with different settings");
    ApiError::new("DuplicateLoadBalancerName", message)
}

/// The name is taken by a target group with other settings.
pub fn duplicate_target_group(name: &str) -> ApiError {
    let message = format!("A target group with the same name '{name}' exists, but with different settings");
    ApiError::new("DuplicateTargetGroupName", message)
}

/// The port is taken by another listener of the load balancer.
pub fn duplicate_listener(load_balancer: &str) -> ApiError {
    let message = format!("A listener already exists on this port for this load balancer '{load_balancer}'");
    ApiError::new("DuplicateListener", message)
}

/// A tag key is given twice.
pub fn duplicate_tag_key(key: &str) -> ApiError {
    ApiError::new("DuplicateTagKeys", format!("The tag key '{key}' is given more than once"))
}

/// A target group serves one load balancer only.
pub fn association_limit(arn: &str) -> ApiError {
    let message = format!("The following target groups cannot be associated with more than one load balancer: {arn}");
    ApiError::new("TargetGroupAssociationLimit", message)
}

/// The target group is used by a listener. The sentence is one that clients
/// look for, to try again later (terraform-calls.md 5).
pub fn group_in_use(arn: &str) -> ApiError {
    ApiError::new("ResourceInUse", format!("Target group '{arn}' is currently in use by a listener or a rule"))
}

/// The load balancer is protected from deletion.
pub fn deletion_protected(arn: &str) -> ApiError {
    let message = format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled");
    ApiError::new("OperationNotPermitted", message)
}

/// The target cannot be registered.
pub fn invalid_target(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidTarget", message)
}

/// A quota is reached; `code` is `TooMany` and what there would be too many of.
pub fn too_many(code: &'static str, max: usize, what: &str) -> ApiError {
    ApiError::new(code, format!("The limit of {max} {what} is reached"))
}

/// The thing must stay as it is.
pub fn operation_not_permitted(message: impl Into<String>) -> ApiError {
    ApiError::new("OperationNotPermitted", message)
}

/// An action that a listener or rule cannot have.
pub fn invalid_action(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidLoadBalancerAction", message)
}

/// The load balancer's family does not speak this protocol.
pub fn unsupported_protocol(protocol: &str, allowed: &str) -> ApiError {
    ApiError::new("UnsupportedProtocol", format!("Listener protocol '{protocol}' must be one of '{allowed}'"))
}

/// The listener's protocol and the target group's do not go together.
pub fn incompatible_protocols(listener: &str, group: &str) -> ApiError {
    let message =
        format!("A listener of the protocol '{listener}' cannot forward to a target group of the protocol '{group}'");
    ApiError::new("IncompatibleProtocols", message)
}

/// Another rule of the listener has the priority.
pub fn priority_in_use(priority: u32) -> ApiError {
    ApiError::new("PriorityInUse", format!("Priority '{priority}' is currently in use"))
}

/// The scheme is neither of the two.
pub fn invalid_scheme(scheme: &str) -> ApiError {
    ApiError::new("InvalidScheme", format!("The scheme '{scheme}' must be internet-facing or internal"))
}

/// No Elastic IP address has this id, or it leads elsewhere.
pub fn allocation_id_not_found(id: &str) -> ApiError {
    let message = format!("The allocation ID '{id}' does not exist or is associated with something else");
    ApiError::new("AllocationIdNotFound", message)
}
