//! Regions and zones: what exists without having been made.

use super::errors;
use super::filter::Filters;
use super::network::zone_id_of;
use crate::Call;
use elastane_domain::id::Zone;
use elastane_engine::{network, row};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeSet;

/// The regions that every AWS account has without opting in (AWS Account
/// Management Reference Guide, "Available Regions"). Any other works here too;
/// the list is what a caller can expect to find.
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

const OPT_IN_STATUS: &str = "opt-in-not-required";

const REGION_FILTERS: [&str; 3] = ["endpoint", "opt-in-status", "region-name"];

const ZONE_FILTERS: [&str; 11] = [
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

/// DescribeRegions: AWS's regions that need no opt-in, and the caller's own
/// whatever it is called. Errors: `InvalidParameterValue` for an unknown name,
/// those of filters.
pub fn describe_regions(
    call: &Call<'_>,
    input: &wire::DescribeRegionsRequest,
) -> Result<wire::DescribeRegionsResult, ApiError> {
    let filters = Filters::new(&input.filters, &REGION_FILTERS)?;
    let known: BTreeSet<&str> = REGIONS.into_iter().chain([call.scope.region.as_str()]).collect();
    if let Some(name) = input.region_names.iter().find(|name| !known.contains(name.as_str())) {
        return Err(errors::invalid_value(format!("Invalid region name: [{name}]")));
    }
    errors::dry_run(input.dry_run)?;
    let wanted = |name: &str| input.region_names.is_empty() || input.region_names.iter().any(|one| one == name);
    let accepted = |name: &str| {
        filters.accept(&row::Tags::new(), |filter, emit| match filter {
            "endpoint" => emit(&endpoint(name)),
            "opt-in-status" => emit(OPT_IN_STATUS),
            "region-name" => emit(name),
            _ => {}
        })
    };
    let regions = known.into_iter().filter(|name| wanted(name) && accepted(name)).map(|name| wire::Region {
        endpoint: Some(endpoint(name)),
        opt_in_status: Some(OPT_IN_STATUS.to_string()),
        region_name: Some(name.to_string()),
        ..wire::Region::default()
    });
    Ok(wire::DescribeRegionsResult { regions: regions.collect() })
}

/// AWS's name for a region's endpoint; clients take it as a label.
fn endpoint(region: &str) -> String {
    format!("ec2.{region}.amazonaws.com")
}

/// DescribeAvailabilityZones: the zones of the caller's region. Errors:
/// `InvalidParameterValue` for an unknown name or id, those of filters.
pub fn describe_availability_zones(
    call: &Call<'_>,
    input: &wire::DescribeAvailabilityZonesRequest,
) -> Result<wire::DescribeAvailabilityZonesResult, ApiError> {
    let filters = Filters::new(&input.filters, &ZONE_FILTERS)?;
    let zones = network::zones(&call.scope.region);
    let ids: Vec<String> = zones.iter().map(|zone| zone_id_of(&call.view, zone)).collect();
    let unknown = input.zone_names.iter().find(|name| zones.iter().all(|zone| zone.as_str() != name.as_str()));
    if let Some(name) = unknown.or_else(|| input.zone_ids.iter().find(|id| !ids.contains(id))) {
        return Err(errors::invalid_value(format!("Invalid availability zone: [{name}]")));
    }
    errors::dry_run(input.dry_run)?;
    let region = call.scope.region.as_str();
    let kept = zones.iter().zip(&ids).filter(|(zone, id)| {
        let named = input.zone_names.is_empty() || input.zone_names.iter().any(|name| name == zone.as_str());
        let by_id = input.zone_ids.is_empty() || input.zone_ids.contains(id);
        named && by_id && filters.accept(&row::Tags::new(), |filter, emit| zone_values(region, zone, id, filter, emit))
    });
    let availability_zones = kept.map(|(zone, id)| show_zone(region, zone, id)).collect();
    Ok(wire::DescribeAvailabilityZonesResult { availability_zones })
}

fn zone_values(region: &str, zone: &Zone, id: &str, filter: &str, emit: &mut dyn FnMut(&str)) {
    match filter {
        "group-name" | "region-name" => emit(region),
        "opt-in-status" => emit(OPT_IN_STATUS),
        "state" => emit("available"),
        "zone-id" => emit(id),
        "zone-name" => emit(zone.as_str()),
        "zone-type" => emit("availability-zone"),
        _ => {}
    }
}

fn show_zone(region: &str, zone: &Zone, id: &str) -> wire::AvailabilityZone {
    wire::AvailabilityZone {
        group_name: Some(region.to_string()),
        network_border_group: Some(region.to_string()),
        opt_in_status: Some(OPT_IN_STATUS.to_string()),
        region_name: Some(region.to_string()),
        state: Some("available".to_string()),
        zone_id: Some(id.to_string()),
        zone_name: Some(zone.to_string()),
        zone_type: Some("availability-zone".to_string()),
        ..wire::AvailabilityZone::default()
    }
}
