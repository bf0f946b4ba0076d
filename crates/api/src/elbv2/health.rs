//! DescribeTargetHealth: rows and what the data plane found out, as AWS's
//! states, reasons and descriptions (alb.md 5.2).

use super::target_groups::{is_used, of_group};
use super::targets::named;
use super::{errors, names};
use crate::Call;
use elastane_domain::lifecycle::InstanceState;
use elastane_domain::routing::{TargetHealth, UnhealthyReason};
use elastane_engine::row::{Instance, Phase, Target, TargetGroup, TargetPhase, TargetType};
use elastane_engine::targets;
use elastane_wire::{ApiError, elbv2 as wire};

/// State, reason and description.
struct Shown {
    state: &'static str,
    reason: Option<&'static str>,
    description: Option<String>,
}

impl Shown {
    fn new(state: &'static str, reason: &'static str, description: impl Into<String>) -> Shown {
        Shown { state, reason: Some(reason), description: Some(description.into()) }
    }
}

/// DescribeTargetHealth: of the targets asked for, also those that are not
/// registered, or of all.
pub fn describe_target_health(
    call: &Call<'_>,
    input: &wire::DescribeTargetHealthInput,
) -> Result<wire::DescribeTargetHealthOutput, ApiError> {
    let group = names::target_group(call.tables, input.target_group_arn.as_deref())?;
    if !input.include.is_empty() {
        return Err(errors::unsupported("Anomaly detection (Include)"));
    }
    let used = is_used(call.tables, group.arn.as_str());
    if input.targets.is_empty() {
        let rows = of_group(call.tables, group.arn.as_str());
        let target_health_descriptions =
            rows.iter().map(|row| description(group, &row.id, row.port, shown(call, group, used, row))).collect();
        return Ok(wire::DescribeTargetHealthOutput { target_health_descriptions });
    }
    let describe = |target: &wire::TargetDescription| {
        let (id, port) = named(group, target)?;
        let row = call.get::<Target>(&Target::key(&group.arn, &id, port));
        let shown = row.map_or_else(
            || Shown::new("unused", "Target.NotRegistered", "Target is not registered to the target group"),
            |row| shown(call, group, used, row),
        );
        Ok(description(group, &id, port, shown))
    };
    let target_health_descriptions = input.targets.iter().map(describe).collect::<Result<_, ApiError>>()?;
    Ok(wire::DescribeTargetHealthOutput { target_health_descriptions })
}

fn description(group: &TargetGroup, id: &str, port: u16, shown: Shown) -> wire::TargetHealthDescription {
    wire::TargetHealthDescription {
        health_check_port: Some(group.check.port.unwrap_or(port).to_string()),
        target: Some(wire::TargetDescription {
            id: Some(id.to_string()),
            port: Some(i32::from(port)),
            ..Default::default()
        }),
        target_health: Some(wire::TargetHealth {
            description: shown.description,
            reason: shown.reason.map(str::to_string),
            state: Some(shown.state.to_string()),
        }),
        ..Default::default()
    }
}

fn shown(call: &Call<'_>, group: &TargetGroup, used: bool, row: &Target) -> Shown {
    if matches!(row.phase, TargetPhase::Draining { .. }) {
        return Shown::new("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress");
    }
    if let Some(state) = not_running(call, group, row) {
        let description = format!("Target is in the {} state", state.name());
        return Shown::new("unused", "Target.InvalidState", description);
    }
    if !used {
        let description = "Target group is not configured to receive traffic from the load balancer";
        return Shown::new("unused", "Target.NotInUse", description);
    }
    let seen = targets::key(call.tables, row).and_then(|key| call.state.seen.health.get(&key));
    match seen {
        None => Shown::new("initial", "Elb.RegistrationInProgress", "Target registration is in progress"),
        Some(TargetHealth::Initial) => {
            Shown::new("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
        }
        Some(TargetHealth::Healthy) => Shown { state: "healthy", reason: None, description: None },
        Some(TargetHealth::Unhealthy(reason)) => unhealthy(*reason),
    }
}

fn unhealthy(reason: UnhealthyReason) -> Shown {
    match reason {
        UnhealthyReason::ResponseCodeMismatch(code) => {
            let description = format!("Health checks failed with these codes: [{code}]");
            Shown::new("unhealthy", "Target.ResponseCodeMismatch", description)
        }
        UnhealthyReason::Timeout => Shown::new("unhealthy", "Target.Timeout", "Request timed out"),
        UnhealthyReason::FailedHealthChecks => {
            Shown::new("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
        }
    }
}

/// The state of the target's instance, unless that runs.
fn not_running(call: &Call<'_>, group: &TargetGroup, row: &Target) -> Option<InstanceState> {
    match group.target_type {
        TargetType::Ip => None,
        TargetType::Instance => {
            let instance = call.get::<Instance>(&row.id);
            let phase = instance.map_or(Phase::Terminated { at: call.now }, |instance| instance.phase);
            (phase != Phase::Running).then(|| phase.state())
        }
    }
}
