//! LaunchInstances: instances of a group launched at once in one zone, with
//! their ids or EC2's errors in the answer. What is launched raises the
//! desired capacity; with `retry-with-group-configuration` so does what could
//! not be launched, and the group goes on trying.

use super::{errors, lookup, settings};
use crate::Change;
use elastane_domain::group::{LAUNCH_BATCH_MAX, Process};
use elastane_domain::id::{InstanceId, SubnetId, Zone};
use elastane_engine::View;
use elastane_engine::groups::{self, LaunchNow};
use elastane_engine::launch::Refusal;
use elastane_engine::metadata::zone_id;
use elastane_engine::row::{Group, Instance, Subnet};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeMap;

/// LaunchInstances.
pub fn launch_instances(
    change: &mut Change<'_, '_>,
    input: &wire::LaunchInstancesRequest,
) -> Result<wire::LaunchInstancesResult, ApiError> {
    let view = change.view();
    let group = lookup::live_group(&view, input.auto_scaling_group_name.as_deref())?;
    let capacity = settings::size(input.requested_capacity, "RequestedCapacity")?
        .filter(|capacity| (1..=LAUNCH_BATCH_MAX).contains(capacity))
        .ok_or_else(|| errors::invalid(format!("RequestedCapacity must be between 1 and {LAUNCH_BATCH_MAX}")))?;
    let retries = match input.retry_strategy.as_deref() {
        None | Some("none") => false,
        Some("retry-with-group-configuration") => true,
        Some(other) => return Err(errors::invalid(format!("Invalid RetryStrategy: {other}"))),
    };
    if group.suspends(Process::Launch) {
        return Err(errors::invalid("Instances cannot be launched while the Launch process is suspended."));
    }
    let (zone, subnet) = place(&view, &group, input)?;
    let token = input.client_token.as_deref().map(|token| format!("LaunchInstances:{}:{token}", group.name));
    let digest = format!("{capacity} {zone} {subnet:?}");
    if let Some(token) = &token
        && let Some(ids) = earlier(&view, token, &digest)?
    {
        return Ok(answer(&change.view(), input, &ids, None));
    }
    let desired = group.desired.saturating_add(capacity);
    if desired > group.bounds.max {
        return Err(errors::invalid(format!(
            "The requested capacity {capacity} would raise the desired capacity above the maximum size {}.",
            group.bounds.max
        )));
    }
    let request = LaunchNow { zone: &zone, subnet: subnet.as_ref(), units: capacity, token: token.zip(Some(digest)) };
    let (ids, refusal) = groups::launch_now(change.tx, &group, request);
    if refusal.is_some() && retries {
        change.update(group.name.as_str(), |row: &mut Group| row.desired = desired);
    }
    let failed = refusal.map(|refusal| (refusal, zone, subnet));
    Ok(answer(&change.view(), input, &ids, failed))
}

/// The one zone, and perhaps subnet, that a call names. A group of a single
/// zone needs no name.
fn place(
    view: &View<'_>,
    group: &Group,
    input: &wire::LaunchInstancesRequest,
) -> Result<(Zone, Option<SubnetId>), ApiError> {
    let zones = settings::zones(view, &input.availability_zones, &input.availability_zone_ids)?;
    match (zones.as_slice(), input.subnet_ids.as_slice()) {
        ([], []) if group.zones.len() == 1 => Ok((group.zones[0].clone(), None)),
        ([name], []) => {
            let zone = group.zones.iter().find(|zone| zone.as_str() == *name);
            let zone = zone.ok_or_else(|| errors::invalid(format!("The group is not enabled in zone {name}")))?;
            Ok((zone.clone(), None))
        }
        ([], [id]) => {
            let found = group.subnets.iter().find(|subnet| subnet.as_str() == *id);
            let row = found.and_then(|id| view.get::<Subnet>(id.as_str()));
            let row = row.ok_or_else(|| errors::invalid(format!("The group does not have the subnet {id}")))?;
            Ok((row.zone.clone(), Some(row.id.clone())))
        }
        _ => Err(errors::invalid("Exactly one of one availability zone or one subnet must be given.")),
    }
}

/// What an earlier call with the same token launched.
fn earlier(view: &View<'_>, token: &str, digest: &str) -> Result<Option<Vec<InstanceId>>, ApiError> {
    let mut ids = Vec::new();
    for row in view.all::<Instance>().filter(|row| row.client_token.as_deref() == Some(token)) {
        if row.request_digest.as_deref() != Some(digest) {
            let text = "The client token was used with other parameters before.";
            return Err(ApiError::new("IdempotentParameterMismatch", text));
        }
        ids.push(row.id.clone());
    }
    Ok((!ids.is_empty()).then_some(ids))
}

fn answer(
    view: &View<'_>,
    input: &wire::LaunchInstancesRequest,
    ids: &[InstanceId],
    failed: Option<(Refusal, Zone, Option<SubnetId>)>,
) -> wire::LaunchInstancesResult {
    let region = view.scope.region.as_str();
    let mut alike: BTreeMap<(String, bool, SubnetId, Zone), Vec<String>> = BTreeMap::new();
    for row in ids.iter().filter_map(|id| view.get::<Instance>(id.as_str())) {
        let key = (row.instance_type.clone(), row.spot_request.is_some(), row.subnet.clone(), row.zone.clone());
        alike.entry(key).or_default().push(row.id.to_string());
    }
    let instances = alike.into_iter().map(|((kind, spot, subnet, zone), ids)| wire::InstanceCollection {
        availability_zone: Some(zone.to_string()),
        availability_zone_id: Some(zone_id(zone.as_str(), region)),
        instance_ids: ids,
        instance_type: Some(kind),
        market_type: Some(if spot { "spot" } else { "on-demand" }.to_string()),
        subnet_id: Some(subnet.to_string()),
    });
    let errors = failed.map(|(refusal, zone, subnet)| wire::LaunchInstancesError {
        availability_zone: Some(zone.to_string()),
        availability_zone_id: Some(zone_id(zone.as_str(), region)),
        error_code: Some(refusal.code.to_string()),
        error_message: Some(refusal.message),
        instance_type: None,
        market_type: None,
        subnet_id: subnet.map(|subnet| subnet.to_string()),
    });
    wire::LaunchInstancesResult {
        auto_scaling_group_name: input.auto_scaling_group_name.clone(),
        client_token: input.client_token.clone(),
        errors: errors.into_iter().collect(),
        instances: instances.collect(),
    }
}
