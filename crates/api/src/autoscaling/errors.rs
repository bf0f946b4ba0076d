//! Auto Scaling's errors: each code and its text written once. Nearly
//! everything is a `ValidationError`; clients tell them apart by fragments of
//! the text ("not found", "not part of"), so those must stay.

use elastane_domain::capacity::BoundsError;
use elastane_engine::launch::Refusal;
use elastane_wire::ApiError;

/// A request that makes no sense: `ValidationError`.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}

/// A member that must be there is not.
pub fn missing(member: &str) -> ApiError {
    invalid(format!("The request must contain {member}."))
}

/// What is not implemented; `what` begins the sentence.
pub fn unsupported(what: &str) -> ApiError {
    invalid(format!("{what} is not supported by Elastane yet."))
}

/// Refuses the first member that is set and not implemented.
pub fn refuse_unsupported(members: &[(&str, bool)]) -> Result<(), ApiError> {
    match members.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(unsupported(name)),
        None => Ok(()),
    }
}

/// Refuses the first member that is set and does not belong to `kind`.
pub fn refuse_foreign(kind: &str, members: &[(&str, bool)]) -> Result<(), ApiError> {
    match members.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(invalid(format!("{name} is not a valid parameter for {kind}."))),
        None => Ok(()),
    }
}

/// No such group.
pub fn group_not_found(name: &str) -> ApiError {
    invalid(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}

/// The group goes away and takes no more changes.
pub fn pending_delete(name: &str) -> ApiError {
    invalid(format!("AutoScalingGroup '{name}' is pending delete"))
}

/// None, or more than one, of the ways to say what a group launches from.
pub fn one_source() -> ApiError {
    invalid(
        "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or \
         MixedInstancesPolicy parameter.",
    )
}

/// No such launch configuration.
pub fn configuration_not_found(name: &str) -> ApiError {
    invalid(format!(
        "Launch configuration name not found - A launch configuration with the name: {name} does not exist"
    ))
}

/// Classic load balancers do not exist here, so none that is named does.
pub fn no_classic_balancers() -> ApiError {
    invalid("Provided Load Balancers may not be valid. Please ensure they exist and try again.")
}

/// No such policy in the group.
pub fn policy_not_found(name: &str) -> ApiError {
    invalid(format!("ScalingPolicy name not found - Policy '{name}' not found"))
}

/// No group has this instance.
pub fn instance_not_found(id: &str) -> ApiError {
    invalid(format!("Instance Id not found - No managed instance found for instance ID: {id}"))
}

/// The instance is another group's, or nobody's.
pub fn not_part_of(id: &str, group: &str) -> ApiError {
    invalid(format!("The instance {id} is not part of Auto Scaling group {group}."))
}

/// Sizes that do not fit together.
pub fn bounds(err: BoundsError) -> ApiError {
    invalid(err.to_string())
}

/// A template that EC2 would not launch from.
pub fn template(refusal: Refusal) -> ApiError {
    invalid(format!("You must use a valid fully-formed launch template. {}", refusal.message))
}

/// A launch configuration that EC2 would not launch from.
pub fn refused(refusal: Refusal) -> ApiError {
    invalid(refusal.message)
}

/// There is one by this name.
pub fn group_exists(name: &str) -> ApiError {
    let text = "AutoScalingGroup by this name already exists - A group with the name";
    ApiError::new("AlreadyExists", format!("{text} {name} already exists"))
}

/// A quota is used up: `LimitExceeded`.
pub fn limit(message: impl Into<String>) -> ApiError {
    ApiError::new("LimitExceeded", message)
}

/// The group is busy, or its cooldown runs: `ScalingActivityInProgress`.
pub fn in_progress(message: impl Into<String>) -> ApiError {
    ApiError::new("ScalingActivityInProgress", message)
}

/// The group still has instances: `ResourceInUse`.
pub fn in_use(message: impl Into<String>) -> ApiError {
    ApiError::new("ResourceInUse", message)
}

/// One refresh at a time: `InstanceRefreshInProgress`.
pub fn refresh_in_progress() -> ApiError {
    let text = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.";
    ApiError::new("InstanceRefreshInProgress", text)
}

/// Nothing to cancel or to roll back: `ActiveInstanceRefreshNotFound`.
pub fn no_active_refresh(group: &str) -> ApiError {
    let text = format!("No in progress or pending Instance Refresh found for Auto Scaling group {group}");
    ApiError::new("ActiveInstanceRefreshNotFound", text)
}

/// There is no way back: `IrreversibleInstanceRefresh`.
pub fn irreversible_refresh(why: &str) -> ApiError {
    ApiError::new("IrreversibleInstanceRefresh", format!("The instance refresh cannot be rolled back: {why}."))
}

/// A page's length within the operation's limits.
pub fn page_size(max_records: Option<i32>, default: usize, max: usize) -> Result<Option<usize>, ApiError> {
    let Some(given) = max_records else { return Ok(Some(default)) };
    match usize::try_from(given) {
        Ok(size) if (1..=max).contains(&size) => Ok(Some(size)),
        Ok(_) | Err(_) => Err(invalid(format!(
            "1 validation error detected: Value '{given}' at 'maxRecords' failed to satisfy constraint: \
             Member must have value between 1 and {max}"
        ))),
    }
}
