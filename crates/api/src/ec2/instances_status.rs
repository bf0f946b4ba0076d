//! DescribeInstanceStatus. Checks of a host and a network that are this
//! machine's own pass while the instance runs; the first minute they
//! initialise, as on AWS.

use super::filter::Filters;
use super::instances::select;
use super::{errors, instances_shape as shape, paging};
use crate::Call;
use elastane_domain::time::Span;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};

/// Checks run every minute (EC2 User Guide, "Status checks"): the first
/// result is there a minute after the boot.
const INITIALIZING: Span = Span::from_mins(1);

/// Ids that one call may name (EC2 API Reference, "DescribeInstanceStatus").
const IDS_MAX: usize = 100;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "system-status.reachability",
    "system-status.status",
];

/// DescribeInstanceStatus: running instances, or all on request.
pub fn describe_instance_status(
    call: &Call<'_>,
    input: &wire::DescribeInstanceStatusRequest,
) -> Result<wire::DescribeInstanceStatusResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    if input.instance_ids.len() > IDS_MAX {
        return Err(errors::invalid_value(format!("At most {IDS_MAX} instance ids are allowed in one call.")));
    }
    let filters = Filters::new(&input.filters, FILTERS)?;
    let none = Filters::new(&[], &[])?;
    let all = input.include_all_instances.unwrap_or(false);
    let mut found = select(&call.view, &input.instance_ids, &none)?;
    found.retain(|instance| {
        (all || instance.phase == Phase::Running)
            && filters.accept(&Tags::new(), |name, emit| match name {
                "instance-status.status" | "system-status.status" => emit(status(call, instance).0),
                "instance-status.reachability" | "system-status.reachability" => {
                    status(call, instance).1.into_iter().for_each(emit)
                }
                name => shape::filter_values(&call.view, instance, name, emit),
            })
    });
    let by_id = !input.instance_ids.is_empty();
    let (page, next_token) =
        paging::cut(found, input.max_results, input.next_token.as_deref(), (paging::USUAL, by_id), |row| {
            row.id.to_string()
        })?;
    Ok(wire::DescribeInstanceStatusResult {
        instance_statuses: page.into_iter().map(|instance| shown(call, instance)).collect(),
        next_token,
    })
}

/// Summary and reachability of both checks.
fn status(call: &Call<'_>, instance: &Instance) -> (&'static str, Option<&'static str>) {
    match instance.phase {
        Phase::Running if call.now < instance.launched_at + INITIALIZING => ("initializing", Some("initializing")),
        Phase::Running => ("ok", Some("passed")),
        Phase::Pending | Phase::Stopping | Phase::Stopped | Phase::ShuttingDown | Phase::Terminated { .. } => {
            ("not-applicable", None)
        }
    }
}

fn shown(call: &Call<'_>, instance: &Instance) -> wire::InstanceStatus {
    let (status, reachability) = status(call, instance);
    let summary = wire::InstanceStatusSummary {
        details: reachability
            .into_iter()
            .map(|word| wire::InstanceStatusDetails {
                name: Some("reachability".to_string()),
                status: Some(word.to_string()),
                ..Default::default()
            })
            .collect(),
        status: Some(status.to_string()),
    };
    wire::InstanceStatus {
        availability_zone: Some(instance.zone.to_string()),
        instance_id: Some(instance.id.to_string()),
        instance_state: Some(shape::state(instance.phase.state())),
        instance_status: Some(summary.clone()),
        system_status: Some(summary),
        ..Default::default()
    }
}
