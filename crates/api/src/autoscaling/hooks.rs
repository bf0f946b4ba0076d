//! Life-cycle hooks, and what clients say to the actions of those that wait
//! (autoscaling.md 3).

use super::{errors, lookup};
use crate::{Call, Change};
use elastane_domain::hooks::{self, HookResult, Transition};
use elastane_domain::id::GroupName;
use elastane_domain::time::Span;
use elastane_engine::groups::hooks as waiting;
use elastane_engine::notifications;
use elastane_engine::row::LifecycleHook;
use elastane_wire::{ApiError, autoscaling as wire};

/// Hooks of one group (autoscaling.md 18).
const HOOKS_MAX: usize = 50;

/// Characters of a hook's name, of a NotificationMetadata and of an ARN.
const NAME_MAX: usize = 255;
const METADATA_MAX: usize = 4_000;

/// PutLifecycleHook: a new hook, or another word on one that is there, of
/// which what is not given stays.
pub fn put_lifecycle_hook(
    change: &mut Change<'_, '_>,
    input: &wire::PutLifecycleHookType,
) -> Result<wire::PutLifecycleHookAnswer, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    put(change, &group.name, input)?;
    Ok(wire::PutLifecycleHookAnswer {})
}

/// One of a new group's LifecycleHookSpecificationList.
pub fn put_specification(
    change: &mut Change<'_, '_>,
    group: &GroupName,
    spec: &wire::LifecycleHookSpecification,
) -> Result<(), ApiError> {
    let input = wire::PutLifecycleHookType {
        auto_scaling_group_name: Some(group.to_string()),
        default_result: spec.default_result.clone(),
        heartbeat_timeout: spec.heartbeat_timeout,
        lifecycle_hook_name: spec.lifecycle_hook_name.clone(),
        lifecycle_transition: spec.lifecycle_transition.clone(),
        notification_metadata: spec.notification_metadata.clone(),
        notification_target_arn: spec.notification_target_arn.clone(),
        role_arn: spec.role_arn.clone(),
    };
    put(change, group, &input)
}

fn put(change: &mut Change<'_, '_>, group: &GroupName, input: &wire::PutLifecycleHookType) -> Result<(), ApiError> {
    let name = name(input.lifecycle_hook_name.as_deref())?;
    let old = change.get::<LifecycleHook>(&LifecycleHook::key(group, name));
    if old.is_none() && waiting::of_group(change.tx, group).len() >= HOOKS_MAX {
        return Err(errors::limit(format!("A group may have at most {HOOKS_MAX} lifecycle hooks")));
    }
    let is_new = old.is_none();
    let mut hook = match old {
        Some(old) => (*old).clone(),
        None => LifecycleHook {
            group: group.clone(),
            name: name.to_string(),
            transition: transition(input.lifecycle_transition.as_deref())?.ok_or_else(|| {
                errors::invalid("A valid LifecycleTransition is required when creating a lifecycle hook.")
            })?,
            heartbeat: hooks::HEARTBEAT_DEFAULT,
            default_result: HookResult::Abandon,
            target: None,
            role: None,
            metadata: None,
        },
    };
    if let Some(given) = transition(input.lifecycle_transition.as_deref())? {
        hook.transition = given;
    }
    if let Some(given) = heartbeat(input.heartbeat_timeout)? {
        hook.heartbeat = given;
    }
    if let Some(given) = &input.default_result {
        hook.default_result = result(given, "DefaultResult")?;
    }
    if let Some(given) = &input.notification_metadata {
        hook.metadata = metadata(given)?;
    }
    notify(input, &mut hook, is_new)?;
    let told = input.notification_target_arn.is_some();
    change.put(hook.clone());
    if told {
        notifications::hook_test(change.tx, &hook);
    }
    Ok(())
}

/// Whom the hook tells. An empty target tells nobody any more.
fn notify(input: &wire::PutLifecycleHookType, hook: &mut LifecycleHook, is_new: bool) -> Result<(), ApiError> {
    if let Some(role) = &input.role_arn {
        if !role.starts_with("arn:") || !role.contains(":role/") {
            return Err(errors::invalid(format!("RoleARN is not the ARN of a role: {role}")));
        }
        hook.role = Some(role.clone());
    }
    match input.notification_target_arn.as_deref() {
        None => {}
        Some("") => (hook.target, hook.role) = (None, None),
        Some(target) => {
            check_target(target)?;
            if is_new && hook.role.is_none() {
                return Err(errors::invalid(
                    "Both notificationTargetARN and roleARN are required or both must be null.",
                ));
            }
            hook.target = Some(target.to_string());
        }
    }
    Ok(())
}

/// A standard queue of SQS or a standard topic of SNS.
fn check_target(target: &str) -> Result<(), ApiError> {
    let parts: Vec<&str> = target.split(':').collect();
    let named = matches!(parts.as_slice(), ["arn", _, "sns" | "sqs", _, _, name] if !name.is_empty());
    if !named {
        return Err(errors::invalid(format!(
            "Invalid notification target: {target}. It must be the ARN of an SNS topic or an SQS queue."
        )));
    }
    if target.ends_with(".fifo") {
        return Err(errors::invalid(format!(
            "FIFO queues and topics are not supported as notification target: {target}"
        )));
    }
    Ok(())
}

fn name(name: Option<&str>) -> Result<&str, ApiError> {
    let name = name.ok_or_else(|| errors::missing("LifecycleHookName"))?;
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_/".contains(letter);
    if !(1..=NAME_MAX).contains(&name.len()) || !name.chars().all(fine) {
        let text = format!("Value '{name}' at 'lifecycleHookName' failed to satisfy constraint: Member must satisfy");
        return Err(errors::invalid(format!(
            "1 validation error detected: {text} regular expression pattern: [A-Za-z0-9\\-_\\/]+ and have 1 to \
             {NAME_MAX} characters"
        )));
    }
    Ok(name)
}

fn transition(name: Option<&str>) -> Result<Option<Transition>, ApiError> {
    name.map(|name| {
        Transition::from_name(name).ok_or_else(|| {
            let valid: Vec<&str> = Transition::ALL.iter().map(|one| one.name()).collect();
            errors::invalid(format!("Invalid LifecycleTransition: {name}. Valid values are: {}", valid.join(", ")))
        })
    })
    .transpose()
}

fn result(name: &str, member: &str) -> Result<HookResult, ApiError> {
    let invalid = || errors::invalid(format!("{member} must be CONTINUE or ABANDON, not '{name}'."));
    HookResult::from_name(name).ok_or_else(invalid)
}

fn heartbeat(seconds: Option<i32>) -> Result<Option<Span>, ApiError> {
    let Some(given) = seconds else { return Ok(None) };
    let span = Span::from_secs(i64::from(given));
    if !(hooks::HEARTBEAT_MIN..=hooks::HEARTBEAT_MAX).contains(&span) {
        return Err(errors::invalid(format!(
            "HeartbeatTimeout must be between {} and {} seconds, not {given}.",
            hooks::HEARTBEAT_MIN.seconds(),
            hooks::HEARTBEAT_MAX.seconds()
        )));
    }
    Ok(Some(span))
}

fn metadata(text: &str) -> Result<Option<String>, ApiError> {
    let printable = text.chars().all(|letter| matches!(letter, ' '..='~' | '\t' | '\n' | '\r'));
    if text.len() > METADATA_MAX || !printable {
        let text = format!("NotificationMetadata must be 1 to {METADATA_MAX} printable ASCII characters.");
        return Err(errors::invalid(text));
    }
    Ok((!text.is_empty()).then(|| text.to_string()))
}

/// DescribeLifecycleHooks: unknown names are left out, not refused.
pub fn describe_lifecycle_hooks(
    call: &Call<'_>,
    input: &wire::DescribeLifecycleHooksType,
) -> Result<wire::DescribeLifecycleHooksAnswer, ApiError> {
    let group = lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    let names = &input.lifecycle_hook_names;
    let asked = |hook: &LifecycleHook| names.is_empty() || names.contains(&hook.name);
    let found = waiting::of_group(call.tables, &group.name);
    let lifecycle_hooks = found.iter().filter(|hook| asked(hook)).map(|hook| shown(hook)).collect();
    Ok(wire::DescribeLifecycleHooksAnswer { lifecycle_hooks })
}

fn shown(hook: &LifecycleHook) -> wire::LifecycleHook {
    wire::LifecycleHook {
        auto_scaling_group_name: Some(hook.group.to_string()),
        default_result: Some(hook.default_result.name().to_string()),
        global_timeout: Some(hooks::global_timeout(hook.heartbeat).seconds() as i32),
        heartbeat_timeout: Some(hook.heartbeat.seconds() as i32),
        lifecycle_hook_name: Some(hook.name.clone()),
        lifecycle_transition: Some(hook.transition.name().to_string()),
        notification_metadata: hook.metadata.clone(),
        notification_target_arn: hook.target.clone(),
        role_arn: hook.role.clone(),
    }
}

/// DescribeLifecycleHookTypes.
pub fn describe_lifecycle_hook_types(
    _: &Call<'_>,
    _: &wire::DescribeLifecycleHookTypesRequest,
) -> Result<wire::DescribeLifecycleHookTypesAnswer, ApiError> {
    let lifecycle_hook_types = Transition::ALL.iter().map(|one| one.name().to_string()).collect();
    Ok(wire::DescribeLifecycleHookTypesAnswer { lifecycle_hook_types })
}

/// DeleteLifecycleHook: who waits for it waits no longer.
pub fn delete_lifecycle_hook(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteLifecycleHookType,
) -> Result<wire::DeleteLifecycleHookAnswer, ApiError> {
    let group = lookup::group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let name = input.lifecycle_hook_name.as_deref().ok_or_else(|| errors::missing("LifecycleHookName"))?;
    let hook = change.get::<LifecycleHook>(&LifecycleHook::key(&group.name, name)).ok_or_else(|| {
        errors::invalid(format!("No Lifecycle Hook found with name '{name}' in Auto Scaling group {}", group.name))
    })?;
    waiting::remove(change.tx, &hook);
    Ok(wire::DeleteLifecycleHookAnswer {})
}

/// CompleteLifecycleAction.
pub fn complete_lifecycle_action(
    change: &mut Change<'_, '_>,
    input: &wire::CompleteLifecycleActionType,
) -> Result<wire::CompleteLifecycleActionAnswer, ApiError> {
    let action = Action {
        group: input.auto_scaling_group_name.as_deref(),
        hook: input.lifecycle_hook_name.as_deref(),
        token: input.lifecycle_action_token.as_deref(),
        instance: input.instance_id.as_deref(),
    };
    let given = input.lifecycle_action_result.as_deref().ok_or_else(|| errors::missing("LifecycleActionResult"))?;
    let result = result(given, "LifecycleActionResult")?;
    action.tell(change, |change, which| waiting::complete(change.tx, which, result))?;
    Ok(wire::CompleteLifecycleActionAnswer {})
}

/// RecordLifecycleActionHeartbeat.
pub fn record_lifecycle_action_heartbeat(
    change: &mut Change<'_, '_>,
    input: &wire::RecordLifecycleActionHeartbeatType,
) -> Result<wire::RecordLifecycleActionHeartbeatAnswer, ApiError> {
    let action = Action {
        group: input.auto_scaling_group_name.as_deref(),
        hook: input.lifecycle_hook_name.as_deref(),
        token: input.lifecycle_action_token.as_deref(),
        instance: input.instance_id.as_deref(),
    };
    action.tell(change, |change, which| waiting::heartbeat(change.tx, which))?;
    Ok(wire::RecordLifecycleActionHeartbeatAnswer {})
}

/// What both calls say of the action that they mean.
struct Action<'a> {
    group: Option<&'a str>,
    hook: Option<&'a str>,
    token: Option<&'a str>,
    instance: Option<&'a str>,
}

impl Action<'_> {
    fn tell(
        &self,
        change: &mut Change<'_, '_>,
        tell: impl FnOnce(&mut Change<'_, '_>, &waiting::Which<'_>) -> bool,
    ) -> Result<(), ApiError> {
        let group = lookup::group(&change.view(), self.group)?;
        let hook = self.hook.ok_or_else(|| errors::missing("LifecycleHookName"))?;
        let which = waiting::Which { group: &group.name, hook, token: self.token, instance: self.instance };
        let named = match (self.token, self.instance) {
            (Some(token), _) => format!("token {token}"),
            (None, Some(id)) => format!("instance ID {id}"),
            (None, None) => return Err(errors::missing("either a LifecycleActionToken or an InstanceId")),
        };
        if tell(change, &which) {
            return Ok(());
        }
        Err(errors::invalid(format!("No active Lifecycle Action found with {named}")))
    }
}
