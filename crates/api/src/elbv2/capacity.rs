//! Capacity reservations of load balancers. The data plane is there in full
//! all the time, so what is reserved is provisioned at once; AWS's limits on
//! asking for it hold.

use super::{errors, names};
use crate::{Call, Change};
use elastane_domain::routing::Family;
use elastane_domain::time::Time;
use elastane_engine::row::{CapacityReservation, LoadBalancer};
use elastane_wire::{ApiError, elbv2 as wire};

/// How often a reservation can be made smaller on one day (UTC).
const DECREASES_MAX: usize = 2;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Fewest and most units that can be reserved (ELB-UG, "LCU reservation").
fn units_range(family: Family, zones: usize) -> (u32, u32) {
    match family {
        Family::Application => (100, 1500),
        Family::Network => (2750 * zones as u32, 45_000 * zones as u32),
    }
}

/// DescribeCapacityReservation. A load balancer for which nothing was ever
/// reserved shows its creation as the last change.
pub fn describe_capacity_reservation(
    call: &Call<'_>,
    input: &wire::DescribeCapacityReservationInput,
) -> Result<wire::DescribeCapacityReservationOutput, ApiError> {
    let row = names::load_balancer(call.tables, input.load_balancer_arn.as_deref())?;
    let shown = Shown::new(row, call.now);
    Ok(wire::DescribeCapacityReservationOutput {
        capacity_reservation_state: shown.zones,
        decrease_requests_remaining: Some(shown.decreases),
        last_modified_time: Some(shown.modified.into()),
        minimum_load_balancer_capacity: shown.minimum,
    })
}

/// ModifyCapacityReservation: sets the units, or resets them.
///
/// # Errors
/// `CapacityUnitsLimitExceeded`, `CapacityDecreaseRequestsLimitExceeded`.
pub fn modify_capacity_reservation(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyCapacityReservationInput,
) -> Result<wire::ModifyCapacityReservationOutput, ApiError> {
    let mut row = LoadBalancer::clone(names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?);
    let asked = input.minimum_load_balancer_capacity.as_ref().and_then(|capacity| capacity.capacity_units);
    let units = match (asked, input.reset_capacity_reservation == Some(true)) {
        (Some(_), true) | (None, false) => {
            let message = "Either MinimumLoadBalancerCapacity or ResetCapacityReservation must be specified";
            return Err(errors::validation(message));
        }
        (Some(asked), false) => Some(checked(&row, asked)?),
        (None, true) => None,
    };
    let before = row.capacity.as_ref().and_then(|capacity| capacity.units);
    let mut decreased_at = decreases_of_day(&row, tx.now);
    if before > units {
        if decreased_at.len() >= DECREASES_MAX {
            let message = format!("The capacity of a load balancer can be decreased {DECREASES_MAX} times a day");
            return Err(ApiError::new("CapacityDecreaseRequestsLimitExceeded", message));
        }
        decreased_at.push(tx.now);
    }
    row.capacity = Some(CapacityReservation { units, modified_at: tx.now, decreased_at });
    let shown = Shown::new(&row, tx.now);
    tx.put(row);
    Ok(wire::ModifyCapacityReservationOutput {
        capacity_reservation_state: shown.zones,
        decrease_requests_remaining: Some(shown.decreases),
        last_modified_time: Some(shown.modified.into()),
        minimum_load_balancer_capacity: shown.minimum,
    })
}

fn checked(row: &LoadBalancer, asked: i32) -> Result<u32, ApiError> {
    let (low, high) = units_range(row.family, row.subnets.len());
    match u32::try_from(asked).ok().filter(|units| *units >= low) {
        None => Err(errors::validation(format!("The capacity units '{asked}' must be at least {low}"))),
        Some(units) if units > high => {
            let message = format!("The capacity units '{asked}' are more than the limit of {high}");
            Err(ApiError::new("CapacityUnitsLimitExceeded", message))
        }
        Some(units) => Ok(units),
    }
}

fn decreases_of_day(row: &LoadBalancer, now: Time) -> Vec<Time> {
    let day = |time: &Time| time.millis().div_euclid(DAY_MS);
    let all = row.capacity.iter().flat_map(|capacity| &capacity.decreased_at);
    all.filter(|time| day(time) == day(&now)).copied().collect()
}

/// What both operations answer with.
struct Shown {
    zones: Vec<wire::ZonalCapacityReservationState>,
    decreases: i32,
    modified: i64,
    minimum: Option<wire::MinimumLoadBalancerCapacity>,
}

impl Shown {
    fn new(row: &LoadBalancer, now: Time) -> Shown {
        let units = row.capacity.as_ref().and_then(|capacity| capacity.units);
        let zone = |zone: String, units: u32| wire::ZonalCapacityReservationState {
            availability_zone: Some(zone),
            effective_capacity_units: Some(f64::from(units) / row.subnets.len().max(1) as f64),
            state: Some(wire::CapacityReservationStatus { code: Some("provisioned".to_string()), reason: None }),
        };
        Shown {
            zones: units
                .map(|units| row.subnets.iter().map(|(_, name)| zone(name.to_string(), units)).collect())
                .unwrap_or_default(),
            decreases: DECREASES_MAX as i32 - decreases_of_day(row, now).len() as i32,
            modified: row.capacity.as_ref().map_or(row.created_at, |capacity| capacity.modified_at).millis(),
            minimum: units.map(|units| wire::MinimumLoadBalancerCapacity { capacity_units: Some(units as i32) }),
        }
    }
}

/// ModifyIpPools: there are no pools, so none can be set, and removing none
/// changes nothing.
pub fn modify_ip_pools(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyIpPoolsInput,
) -> Result<wire::ModifyIpPoolsOutput, ApiError> {
    names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?;
    if input.ipam_pools.as_ref().is_some_and(|pools| pools.ipv4_ipam_pool_id.is_some()) {
        return Err(errors::unsupported("IpamPools"));
    }
    if let Some(other) = input.remove_ipam_pools.iter().find(|kind| *kind != "ipv4") {
        return Err(errors::validation(format!("The IPAM pool '{other}' must be one of '[ipv4]'")));
    }
    Ok(wire::ModifyIpPoolsOutput { ipam_pools: None })
}
