//! Suspending and resuming the processes of a group (autoscaling.md 6).

use super::{errors, lookup};
use crate::{Call, Change};
use elastane_domain::group::{Process, TerminationPolicy};
use elastane_engine::row::Group;
use elastane_wire::{ApiError, autoscaling as wire};

/// A process that AWS once had: named by old clients, and ignored.
const FORMER_PROCESS: &str = "RemoveFromLoadBalancerLowPriority";

/// The processes that a call names; none named means all.
fn processes(names: &[String]) -> Result<Vec<Process>, ApiError> {
    if names.is_empty() {
        return Ok(Process::ALL.to_vec());
    }
    let known = names.iter().filter(|name| *name != FORMER_PROCESS);
    known
        .map(|name| {
            Process::from_name(name).ok_or_else(|| {
                let valid: Vec<&str> = Process::ALL.iter().map(|process| process.name()).collect();
                errors::invalid(format!("Process type {name} is not valid. Valid types are: {}", valid.join(", ")))
            })
        })
        .collect()
}

/// SuspendProcesses. What is suspended already keeps its reason.
pub fn suspend_processes(
    change: &mut Change<'_, '_>,
    input: &wire::ScalingProcessQuery,
) -> Result<wire::SuspendProcessesOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let chosen = processes(&input.scaling_processes)?;
    let reason = format!("User suspended at {}", change.now.iso_seconds());
    change.update(group.name.as_str(), |row: &mut Group| {
        for process in chosen {
            row.suspended.entry(process).or_insert_with(|| reason.clone());
        }
    });
    Ok(wire::SuspendProcessesOutput {})
}

/// ResumeProcesses.
pub fn resume_processes(
    change: &mut Change<'_, '_>,
    input: &wire::ScalingProcessQuery,
) -> Result<wire::ResumeProcessesOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let chosen = processes(&input.scaling_processes)?;
    change.update(group.name.as_str(), |row: &mut Group| row.suspended.retain(|process, _| !chosen.contains(process)));
    Ok(wire::ResumeProcessesOutput {})
}

/// DescribeScalingProcessTypes.
pub fn describe_scaling_process_types(
    _: &Call<'_>,
    _: &wire::DescribeScalingProcessTypesRequest,
) -> Result<wire::ProcessesType, ApiError> {
    let shown = |process: &Process| wire::ProcessType { process_name: Some(process.name().to_string()) };
    Ok(wire::ProcessesType { processes: Process::ALL.iter().map(shown).collect() })
}

/// DescribeTerminationPolicyTypes.
pub fn describe_termination_policy_types(
    _: &Call<'_>,
    _: &wire::DescribeTerminationPolicyTypesRequest,
) -> Result<wire::DescribeTerminationPolicyTypesAnswer, ApiError> {
    let termination_policy_types = TerminationPolicy::ALL.iter().map(|policy| policy.name().to_string()).collect();
    Ok(wire::DescribeTerminationPolicyTypesAnswer { termination_policy_types })
}
