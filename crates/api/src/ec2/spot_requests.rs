//! Spot requests: RequestSpotInstances, which the engine fulfils in its next
//! round, and what became of them. Prices are kept and shown; capacity is
//! there unless a zone is cut off.

use super::filter::Filters;
use super::launch_data::{Said, as_template, image_of_parameter, spot_choice, text};
use super::listing::{IdKind, chosen};
use super::{errors, paging, recast, tag_rules};
use crate::{Call, Change};
use elastane_domain::time::Time;
use elastane_engine::row::*;
use elastane_engine::{View, launch};
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

const REQUEST_ID: IdKind = IdKind {
    prefix: "sir-",
    malformed: "InvalidSpotInstanceRequestID.Malformed",
    not_found: "InvalidSpotInstanceRequestID.NotFound",
    noun: "The spot instance request ID",
};

/// Requests that one call makes: as many as one launch.
const REQUESTS_MAX: i32 = launch::LAUNCH_MAX as i32;

/// What answers show of the market that everybody is in.
const PRODUCT: &str = "Linux/UNIX";

const FILTERS: [&str; 19] = [
    "availability-zone-group",
    "create-time",
    "fault-code",
    "fault-message",
    "instance-id",
    "launch-group",
    "launch.group-id",
    "launch.image-id",
    "launch.instance-type",
    "launch.key-name",
    "launched-availability-zone",
    "product-description",
    "spot-instance-request-id",
    "spot-price",
    "state",
    "status-code",
    "type",
    "valid-from",
    "valid-until",
];

/// RequestSpotInstances. The same client token answers with the requests that
/// it made.
///
/// # Errors
/// Those of launches; `UnsupportedOperation` for launch groups, block
/// durations and a ValidFrom; `IdempotentParameterMismatch`.
pub fn request_spot_instances(
    change: &mut Change<'_, '_>,
    input: &wire::RequestSpotInstancesRequest,
) -> Result<wire::RequestSpotInstancesResult, ApiError> {
    let (data, spot) = asked(&change.view(), input)?;
    let count = input.instance_count.unwrap_or(1);
    if !(1..=REQUESTS_MAX).contains(&count) {
        return Err(errors::invalid_value(format!("InstanceCount is from 1 to {REQUESTS_MAX}, found {count}.")));
    }
    let tags = tag_rules::specified(&input.tag_specifications, &["spot-instances-request"])?;
    let tags = tags.into_values().next().unwrap_or_default();
    let client_token = text(&input.client_token);
    let made: Vec<Arc<SpotRequest>> = change
        .all::<SpotRequest>()
        .filter(|row| client_token.is_some() && row.client_token == client_token)
        .cloned()
        .collect();
    if !made.is_empty() {
        if made.iter().any(|row| row.data != data) || made.len() != count as usize {
            return Err(errors::token_mismatch());
        }
        errors::dry_run(input.dry_run)?;
        let spot_instance_requests = made.iter().map(|row| shown(&change.view(), row)).collect();
        return Ok(wire::RequestSpotInstancesResult { spot_instance_requests });
    }
    launch::check(change, &data).map_err(errors::refused)?;
    errors::dry_run(input.dry_run)?;
    let mut spot_instance_requests = Vec::new();
    for _ in 0..count {
        let row = SpotRequest {
            id: change.rng.id("sir-"),
            instance: None,
            data: data.clone(),
            persistent: spot.persistent,
            behavior: spot.behavior,
            price: spot.price.clone(),
            created_at: change.now,
            changed_at: change.now,
            valid_until: spot.valid_until,
            phase: SpotPhase::Open,
            client_token: client_token.clone(),
            tags: tags.clone(),
        };
        spot_instance_requests.push(shown(&change.view(), &row));
        change.put(row);
    }
    Ok(wire::RequestSpotInstancesResult { spot_instance_requests })
}

/// What is launched, and under which terms.
fn asked(view: &View<'_>, input: &wire::RequestSpotInstancesRequest) -> Result<(LaunchData, SpotChoice), ApiError> {
    const NAMES: &[&str] = &[
        "ClientToken",
        "DryRun",
        "InstanceCount",
        "InstanceInterruptionBehavior",
        "LaunchSpecification",
        "SpotPrice",
        "TagSpecifications",
        "Type",
        "ValidUntil",
    ];
    recast::only(&wire::REQUEST_SPOT_INSTANCES_REQUEST, input, NAMES)?;
    let specification = input.launch_specification.as_ref().ok_or_else(|| errors::missing("LaunchSpecification"))?;
    let words = (&input.r#type, &input.instance_interruption_behavior, &input.spot_price);
    let spot = spot_choice(words, input.valid_until.map(|at| Time(at.millis())))?;
    for (member, said) in [
        ("AddressingType", &specification.addressing_type),
        ("KernelId", &specification.kernel_id),
        ("RamdiskId", &specification.ramdisk_id),
    ] {
        if text(said).is_some() {
            return Err(errors::unsupported(&format!("The parameter '{member}'")));
        }
    }
    let said = Said {
        data: as_template(&wire::REQUEST_SPOT_LAUNCH_SPECIFICATION, specification),
        subnet: text(&specification.subnet_id),
        private_ip: None,
    };
    let mut data = said.read()?;
    if let Some(name) = &data.image_parameter {
        data.image = image_of_parameter(view, name);
    }
    Ok((data, spot))
}

/// DescribeSpotInstanceRequests.
///
/// # Errors
/// `InvalidSpotInstanceRequestID.*`, those of filters and pages.
pub fn describe_spot_instance_requests(
    call: &Call<'_>,
    input: &wire::DescribeSpotInstanceRequestsRequest,
) -> Result<wire::DescribeSpotInstanceRequestsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let mut rows = chosen::<SpotRequest>(call, &input.spot_instance_request_ids, &REQUEST_ID)?;
    errors::dry_run(input.dry_run)?;
    rows.retain(|row| filters.accept(&row.tags, |name, emit| values(&call.view, row, name, emit)));
    let limits = (paging::USUAL, !input.spot_instance_request_ids.is_empty());
    let token = input.next_token.as_deref();
    let (page, next_token) = paging::cut(rows, input.max_results, token, limits, |row| row.id.clone())?;
    let spot_instance_requests = page.into_iter().map(|row| shown(&call.view, row)).collect();
    Ok(wire::DescribeSpotInstanceRequestsResult { spot_instance_requests, next_token })
}

/// CancelSpotInstanceRequests: nothing is launched for them any more;
/// instances live on.
///
/// # Errors
/// `InvalidSpotInstanceRequestID.*`, `MissingParameter`.
pub fn cancel_spot_instance_requests(
    change: &mut Change<'_, '_>,
    input: &wire::CancelSpotInstanceRequestsRequest,
) -> Result<wire::CancelSpotInstanceRequestsResult, ApiError> {
    if input.spot_instance_request_ids.is_empty() {
        return Err(errors::missing("SpotInstanceRequestId"));
    }
    let ids: BTreeSet<&String> = input.spot_instance_request_ids.iter().collect();
    ids.iter().try_for_each(|id| REQUEST_ID.check(id))?;
    if let Some(id) = ids.iter().find(|id| change.get::<SpotRequest>(id).is_none()) {
        return Err(REQUEST_ID.unknown(id));
    }
    errors::dry_run(input.dry_run)?;
    let now = change.now;
    let mut spot_instance_requests = Vec::new();
    for id in ids {
        change.update(id, |row: &mut SpotRequest| {
            if matches!(row.phase, SpotPhase::Open | SpotPhase::Active) {
                (row.phase, row.changed_at) = (SpotPhase::Cancelled, now);
            }
        });
        let phase = change.get::<SpotRequest>(id).map_or(SpotPhase::Cancelled, |row| row.phase.clone());
        spot_instance_requests.push(wire::CancelledSpotInstanceRequest {
            spot_instance_request_id: Some(id.clone()),
            state: Some(state(&phase).to_string()),
        });
    }
    Ok(wire::CancelSpotInstanceRequestsResult { cancelled_spot_instance_requests: spot_instance_requests })
}

fn state(phase: &SpotPhase) -> &'static str {
    match phase {
        SpotPhase::Open => "open",
        SpotPhase::Active => "active",
        SpotPhase::Closed => "closed",
        SpotPhase::Cancelled => "cancelled",
    }
}

/// The instance of a request, while there is something of it.
fn instance<'a>(view: &View<'a>, row: &SpotRequest) -> Option<&'a Arc<Instance>> {
    row.instance.as_ref().and_then(|id| view.get::<Instance>(id.as_str()))
}

/// Code and sentence of a request's status (EC2 User Guide, "Spot request status").
fn status(view: &View<'_>, row: &SpotRequest) -> (&'static str, &'static str) {
    let found = instance(view, row);
    let lives = found.is_some_and(|row| !matches!(row.phase, Phase::ShuttingDown | Phase::Terminated { .. }));
    let reason = found.and_then(|row| row.state_reason.as_ref()).map_or("", |reason| reason.code.as_str());
    match (&row.phase, lives) {
        (SpotPhase::Active, _) if found.is_some_and(|row| row.interruption.is_some()) => {
            ("marked-for-termination", "The Spot Instance is marked for interruption.")
        }
        (SpotPhase::Active, _) => ("fulfilled", "Your Spot request is fulfilled."),
        (SpotPhase::Open, _) if reason.starts_with("Server.SpotInstance") => {
            ("instance-stopped-no-capacity", "Your instance was interrupted and waits for capacity.")
        }
        (SpotPhase::Open, _) if row.created_at < view.now => {
            ("capacity-not-available", "There is no capacity for your request at the moment.")
        }
        (SpotPhase::Open, _) => ("pending-evaluation", "Your Spot request has been submitted for review."),
        (SpotPhase::Cancelled, true) => {
            ("request-canceled-and-instance-running", "Your Spot request is canceled, but your instance is running.")
        }
        (SpotPhase::Cancelled, false) if row.instance.is_none() => {
            ("canceled-before-fulfillment", "Your Spot request is canceled before it was fulfilled.")
        }
        (SpotPhase::Closed, _) if row.instance.is_none() => {
            ("schedule-expired", "Your Spot request was not fulfilled before it expired.")
        }
        (SpotPhase::Closed | SpotPhase::Cancelled, _) if reason == "Server.SpotInstanceTermination" => {
            ("instance-terminated-no-capacity", "Your Spot Instance was terminated to reclaim capacity.")
        }
        (SpotPhase::Closed | SpotPhase::Cancelled, _) => {
            ("instance-terminated-by-user", "You terminated your Spot Instance.")
        }
    }
}

fn kind(row: &SpotRequest) -> &'static str {
    if row.persistent { "persistent" } else { "one-time" }
}

fn values(view: &View<'_>, row: &SpotRequest, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "create-time" => emit(&row.created_at.iso_millis()),
        "instance-id" => row.instance.iter().for_each(|id| emit(id.as_str())),
        "launch.group-id" => row.data.security_groups.iter().for_each(|id| emit(id.as_str())),
        "launch.image-id" => row.data.image.iter().for_each(|id| emit(id.as_str())),
        "launch.instance-type" => emit(row.data.instance_type.as_deref().unwrap_or(launch::DEFAULT_TYPE)),
        "launch.key-name" => row.data.key_name.iter().for_each(|name| emit(name)),
        "launched-availability-zone" => instance(view, row).iter().for_each(|row| emit(row.zone.as_str())),
        "product-description" => emit(PRODUCT),
        "spot-instance-request-id" => emit(&row.id),
        "spot-price" => row.price.iter().for_each(|price| emit(price)),
        "state" => emit(state(&row.phase)),
        "status-code" => emit(status(view, row).0),
        "type" => emit(kind(row)),
        "valid-until" => row.valid_until.iter().for_each(|at| emit(&at.iso_millis())),
        // Names of what no request here has: launch groups, faults and the like.
        _ => {}
    }
}

fn shown(view: &View<'_>, row: &SpotRequest) -> wire::SpotInstanceRequest {
    let (code, message) = status(view, row);
    let behavior = match row.behavior {
        InterruptionBehavior::Terminate => "terminate",
        InterruptionBehavior::Stop => "stop",
    };
    wire::SpotInstanceRequest {
        create_time: Some(Timestamp(row.created_at.millis())),
        instance_id: row.instance.as_ref().map(ToString::to_string),
        instance_interruption_behavior: Some(behavior.to_string()),
        launch_specification: Some(specification(view, row)),
        launched_availability_zone: instance(view, row).map(|row| row.zone.to_string()),
        product_description: Some(PRODUCT.to_string()),
        spot_instance_request_id: Some(row.id.clone()),
        spot_price: row.price.clone(),
        state: Some(state(&row.phase).to_string()),
        status: Some(wire::SpotInstanceStatus {
            code: Some(code.to_string()),
            message: Some(message.to_string()),
            update_time: Some(Timestamp(row.changed_at.millis())),
        }),
        tags: tag_rules::shown(&row.tags),
        r#type: Some(kind(row).to_string()),
        valid_until: row.valid_until.map(|at| Timestamp(at.millis())),
        ..Default::default()
    }
}

fn specification(view: &View<'_>, row: &SpotRequest) -> wire::LaunchSpecification {
    let data = &row.data;
    let group = |id: &elastane_domain::id::SecurityGroupId| wire::GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: view.get::<SecurityGroup>(id.as_str()).map(|group| group.name.clone()),
    };
    wire::LaunchSpecification {
        ebs_optimized: data.ebs_optimized,
        iam_instance_profile: data.profile.as_ref().map(|text| {
            let arn = text.starts_with("arn:").then(|| text.clone());
            let name = arn.is_none().then(|| text.clone());
            wire::IamInstanceProfileSpecification { arn, name }
        }),
        image_id: data.image.as_ref().map(ToString::to_string),
        instance_type: Some(data.instance_type.clone().unwrap_or_else(|| launch::DEFAULT_TYPE.to_string())),
        key_name: data.key_name.clone(),
        monitoring: Some(wire::RunInstancesMonitoringEnabled {
            enabled: Some(data.monitoring.unwrap_or(false)),
            ..Default::default()
        }),
        placement: data
            .placement
            .zone
            .as_ref()
            .map(|zone| wire::SpotPlacement { availability_zone: Some(zone.to_string()), ..Default::default() }),
        security_groups: data.security_groups.iter().map(group).collect(),
        subnet_id: data.subnet.as_ref().map(ToString::to_string),
        user_data: data.user_data.clone(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter, run};
    use super::*;

    fn request(kind: &str) -> wire::RequestSpotInstancesRequest {
        wire::RequestSpotInstancesRequest {
            r#type: Some(kind.to_string()),
            launch_specification: Some(wire::RequestSpotLaunchSpecification {
                image_id: run(1).image_id,
                instance_type: Some("t3.micro".to_string()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn list(scene: &Scene, filters: Vec<wire::Filter>) -> Vec<wire::SpotInstanceRequest> {
        let input = wire::DescribeSpotInstanceRequestsRequest { filters, ..Default::default() };
        scene.read(|call| describe_spot_instance_requests(call, &input)).expect("listed").spot_instance_requests
    }

    /// A request is fulfilled, shown on its instance, and cancelled without it.
    #[test]
    fn a_request_from_open_to_cancelled() {
        let mut scene = Scene::new();
        let made = scene.write(|change| request_spot_instances(change, &request("one-time"))).expect("asked for");
        let first = &made.spot_instance_requests[0];
        assert_eq!(first.state.as_deref(), Some("open"));
        let id = first.spot_instance_request_id.clone().expect("an id");
        scene.settle();
        let found = list(&scene, vec![filter("state", &["active"]), filter("status-code", &["fulfilled"])]);
        let instance = found[0].instance_id.clone().expect("an instance");
        let shown = super::super::instances_shape::shown(
            &super::super::interface_shape::Cards::of(&scene.view()),
            &scene.row::<Instance>(&instance),
        );
        assert_eq!(shown.instance_lifecycle.as_deref(), Some("spot"));
        assert_eq!(shown.spot_instance_request_id, Some(id.clone()));
        let stop = wire::StopInstancesRequest { instance_ids: vec![instance.clone()], ..Default::default() };
        let err = scene.write(|change| super::super::stop_instances(change, &stop)).expect_err("one-time");
        assert_eq!(err.code, "UnsupportedOperation");
        let cancel = wire::CancelSpotInstanceRequestsRequest {
            spot_instance_request_ids: vec![id.clone()],
            ..Default::default()
        };
        let answer = scene.write(|change| cancel_spot_instance_requests(change, &cancel)).expect("there");
        assert_eq!(answer.cancelled_spot_instance_requests[0].state.as_deref(), Some("cancelled"));
        scene.settle();
        let status = list(&scene, vec![]).remove(0).status.and_then(|status| status.code);
        assert_eq!(status.as_deref(), Some("request-canceled-and-instance-running"));
        assert_eq!(scene.state(&instance), "running");
    }

    /// RunInstances on the spot market makes a request that is active at once.
    #[test]
    fn a_spot_launch_has_its_request() {
        let mut scene = Scene::new();
        let mut input = run(2);
        input.instance_market_options = Some(wire::InstanceMarketOptionsRequest {
            market_type: Some("spot".to_string()),
            spot_options: Some(wire::SpotMarketOptions { max_price: Some("0.01".into()), ..Default::default() }),
        });
        let launched = scene.write(|change| super::super::run_instances(change, &input)).expect("a launch");
        assert!(launched.instances.iter().all(|one| one.spot_instance_request_id.is_some()));
        let found = list(&scene, vec![filter("spot-price", &["0.01"]), filter("type", &["one-time"])]);
        assert_eq!(found.iter().filter(|one| one.state.as_deref() == Some("active")).count(), 2);
    }

    /// What is refused, with which code.
    #[test]
    fn refused_requests() {
        let mut scene = Scene::new();
        type Request = wire::RequestSpotInstancesRequest;
        for (code, input) in [
            ("MissingParameter", Request { launch_specification: None, ..request("one-time") }),
            ("InvalidParameterValue", request("sometimes")),
            ("InvalidParameterValue", Request { spot_price: Some("cheap".into()), ..request("one-time") }),
            ("InvalidParameterValue", Request { instance_count: Some(0), ..request("one-time") }),
            (
                "InvalidParameterCombination",
                Request { instance_interruption_behavior: Some("stop".into()), ..request("one-time") },
            ),
            ("UnsupportedOperation", Request { launch_group: Some("all".into()), ..request("one-time") }),
            ("DryRunOperation", Request { dry_run: Some(true), ..request("one-time") }),
        ] {
            let err = scene.write(|change| request_spot_instances(change, &input)).expect_err(code);
            assert_eq!(err.code, code, "{input:?}");
        }
        let cancel = |id: &str| wire::CancelSpotInstanceRequestsRequest {
            spot_instance_request_ids: vec![id.to_string()],
            ..Default::default()
        };
        for (code, input) in [
            ("InvalidSpotInstanceRequestID.NotFound", cancel("sir-0123456789abcdef0")),
            ("InvalidSpotInstanceRequestID.Malformed", cancel("s")),
        ] {
            let err = scene.write(|change| cancel_spot_instance_requests(change, &input)).expect_err(code);
            assert_eq!(err.code, code);
        }
        assert!(list(&scene, vec![]).is_empty());
    }
}
