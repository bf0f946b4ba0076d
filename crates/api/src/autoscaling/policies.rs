//! Scaling policies: putting, executing, listing. The engine follows them.

use super::{errors, lookup, policy_kinds};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_domain::id::GroupName;
use elastane_engine::policy::{self, PolicyError};
use elastane_engine::row::{Alarm, Policy, PolicyKind};
use elastane_engine::{Tx, View};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Policies of one group (autoscaling.md 18).
const POLICIES_MAX: usize = 50;

/// PutScalingPolicy. A policy of that name is replaced and keeps its ARN; the
/// alarms of target tracking are made anew.
pub fn put_scaling_policy(
    change: &mut Change<'_, '_>,
    input: &wire::PutScalingPolicyType,
) -> Result<wire::PolicyARNType, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let name = new_name(input.policy_name.as_deref())?;
    let kind = policy_kinds::read(change, &group, input)?;
    let old = change.get::<Policy>(&Policy::key(&group.name, &name));
    if old.is_none() && policy::of_group(change.tx, &group.name).len() >= POLICIES_MAX {
        return Err(errors::limit(format!("A group may have at most {POLICIES_MAX} scaling policies")));
    }
    let arn = match old {
        Some(old) => old.arn.clone(),
        None => {
            let id = change.rng.uuid();
            let rest = format!("scalingPolicy:{id}:autoScalingGroupName/{}:policyName/{name}", group.name);
            change.scope().arn("autoscaling", &rest)
        }
    };
    let enabled = input.enabled.unwrap_or(true);
    policy::put(change.tx, Policy { group: group.name.clone(), name, arn: arn.clone(), enabled, kind });
    let alarms = alarms_by_action(&change.view()).remove(arn.as_str()).unwrap_or_default();
    Ok(wire::PolicyARNType { alarms, policy_arn: Some(arn) })
}

fn new_name(name: Option<&str>) -> Result<String, ApiError> {
    let name = name.ok_or_else(|| errors::missing("PolicyName"))?;
    let fine = (1..=255).contains(&name.chars().count()) && !name.contains(':') && !name.chars().any(char::is_control);
    if fine { Ok(name.to_string()) } else { Err(errors::invalid(format!("Invalid policy name: {name}"))) }
}

/// Alarms by the actions that they name, each alarm once an action.
fn alarms_by_action<'a>(view: &View<'a>) -> BTreeMap<&'a str, Vec<wire::Alarm>> {
    let mut index: BTreeMap<&str, Vec<wire::Alarm>> = BTreeMap::new();
    for alarm in view.all::<Alarm>() {
        let actions = [&alarm.ok_actions, &alarm.alarm_actions, &alarm.insufficient_data_actions];
        let actions: BTreeSet<&str> = actions.into_iter().flatten().map(String::as_str).collect();
        for action in actions {
            let shown = wire::Alarm { alarm_arn: Some(alarm.arn.clone()), alarm_name: Some(alarm.name.to_string()) };
            index.entry(action).or_default().push(shown);
        }
    }
    index
}

/// The policy that a call names: by name within a group, or by ARN.
fn find(tx: &Tx<'_>, group: Option<&str>, name: Option<&str>) -> Result<Arc<Policy>, ApiError> {
    let name = name.ok_or_else(|| errors::missing("PolicyName"))?;
    let group = match group {
        Some(group) => Some(lookup::group(&tx.view(), Some(group))?.name.clone()),
        None => None,
    };
    let found = if name.starts_with("arn:") {
        tx.all::<Policy>()
            .find(|policy| policy.arn == name && group.as_ref().is_none_or(|group| policy.group == *group))
            .cloned()
    } else {
        let group = group.ok_or_else(|| errors::missing("AutoScalingGroupName, unless PolicyName is an ARN"))?;
        tx.get::<Policy>(&Policy::key(&group, name))
    };
    found.ok_or_else(|| errors::policy_not_found(name))
}

/// DeletePolicy; alarms that belong to the policy go with it.
pub fn delete_policy(
    change: &mut Change<'_, '_>,
    input: &wire::DeletePolicyType,
) -> Result<wire::DeletePolicyOutput, ApiError> {
    let policy = find(change.tx, input.auto_scaling_group_name.as_deref(), input.policy_name.as_deref())?;
    policy::delete(change.tx, &Policy::key(&policy.group, &policy.name));
    Ok(wire::DeletePolicyOutput {})
}

/// ExecutePolicy, of simple and step policies.
pub fn execute_policy(
    change: &mut Change<'_, '_>,
    input: &wire::ExecutePolicyType,
) -> Result<wire::ExecutePolicyOutput, ApiError> {
    let policy = find(change.tx, input.auto_scaling_group_name.as_deref(), input.policy_name.as_deref())?;
    lookup::live_group(&change.view(), Some(policy.group.as_str()))?;
    let honor = input.honor_cooldown.unwrap_or(false);
    let metric = match (&policy.kind, input.metric_value, input.breach_threshold) {
        (PolicyKind::Step { .. }, Some(value), Some(threshold)) => Some((value, threshold)),
        (PolicyKind::Step { .. }, _, _) => {
            return Err(errors::invalid("MetricValue and BreachThreshold are required for policy type StepScaling."));
        }
        (_, None, None) => None,
        (_, _, _) => {
            return Err(errors::invalid("MetricValue and BreachThreshold are valid for policy type StepScaling only."));
        }
    };
    if honor && matches!(policy.kind, PolicyKind::Step { .. }) {
        return Err(errors::invalid("HonorCooldown is not supported for policy type StepScaling."));
    }
    policy::execute(change.tx, &policy, metric, honor).map_err(|err| match err {
        PolicyError::Busy => errors::in_progress(err.to_string()),
        PolicyError::NoStep | PolicyError::NotExecutable => errors::invalid(err.to_string()),
    })?;
    Ok(wire::ExecutePolicyOutput {})
}

/// DescribePolicies: names may be ARNs; unknown ones are left out.
pub fn describe_policies(call: &Call<'_>, input: &wire::DescribePoliciesType) -> Result<wire::PoliciesType, ApiError> {
    let max = errors::page_size(input.max_records, 50, 100)?;
    let group: Option<GroupName> = match &input.auto_scaling_group_name {
        Some(name) => Some(lookup::group(call, Some(name))?.name.clone()),
        None => None,
    };
    const KINDS: [&str; 4] = ["SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling"];
    if let Some(other) = input.policy_types.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(errors::invalid(format!("Invalid policy type: {other}. Valid types are: {}", KINDS.join(", "))));
    }
    let named = |policy: &Policy| {
        input.policy_names.is_empty() || input.policy_names.iter().any(|n| *n == policy.name || *n == policy.arn)
    };
    let typed = |policy: &Policy| {
        let kind = policy_kinds::type_name(&policy.kind);
        input.policy_types.is_empty() || input.policy_types.iter().any(|wanted| wanted == kind)
    };
    let mut found: Vec<&Policy> = call
        .all::<Policy>()
        .map(AsRef::as_ref)
        .filter(|policy| group.as_ref().is_none_or(|group| policy.group == *group) && named(policy) && typed(policy))
        .collect();
    let place = |policy: &&Policy| Policy::key(&policy.group, &policy.name);
    found.sort_by_cached_key(place);
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, place)?;
    let alarms = alarms_by_action(call);
    let shown = |policy: &Policy| wire::ScalingPolicy {
        alarms: alarms.get(policy.arn.as_str()).cloned().unwrap_or_default(),
        auto_scaling_group_name: Some(policy.group.to_string()),
        enabled: Some(policy.enabled),
        policy_arn: Some(policy.arn.clone()),
        policy_name: Some(policy.name.clone()),
        ..policy_kinds::shown(&policy.kind)
    };
    Ok(wire::PoliciesType { next_token, scaling_policies: rows.into_iter().map(shown).collect() })
}
