//! DescribeTargetHealth: states, reasons and descriptions of targets (alb.md
//! 5.2), which [`TargetStates`] decides, and what the data plane found unlike
//! their peers (alb.md 3.4).

use super::target_groups::{load_balancers_of, of_group};
use super::targets::named;
use super::{errors, names, protocols};
use crate::Call;
use elastane_domain::routing::Family;
use elastane_engine::row::{Target, TargetGroup, TargetType};
use elastane_engine::{TargetStates, target_states, targets};
use elastane_wire::{ApiError, elbv2 as wire};

/// What all descriptions of one call have in common.
struct Looked<'a> {
    call: &'a Call<'a>,
    group: &'a TargetGroup,
    states: TargetStates<'a>,
    anomalies: bool,
}

/// DescribeTargetHealth: of the targets asked for, also those that are not
/// registered, or of all.
pub fn describe_target_health(
    call: &Call<'_>,
    input: &wire::DescribeTargetHealthInput,
) -> Result<wire::DescribeTargetHealthOutput, ApiError> {
    let group = names::target_group(call.tables, input.target_group_arn.as_deref())?;
    if let Some(other) = input.include.iter().find(|what| !matches!(what.as_str(), "AnomalyDetection" | "All")) {
        return Err(errors::validation(format!("Include '{other}' must be one of '[AnomalyDetection,All]'")));
    }
    let states = TargetStates::new(call.view, group);
    let looked = Looked { call, group, states, anomalies: !input.include.is_empty() };
    if input.targets.is_empty() {
        let rows = of_group(call.tables, group.arn.as_str());
        let target_health_descriptions =
            rows.iter().map(|row| looked.description(&row.id, row.port, Some(row))).collect();
        return Ok(wire::DescribeTargetHealthOutput { target_health_descriptions });
    }
    let describe = |target: &wire::TargetDescription| {
        let (id, port) = named(group, target)?;
        let row = call.get::<Target>(&Target::key(&group.arn, &id, port));
        Ok(looked.description(&id, port, row.map(AsRef::as_ref)))
    };
    let target_health_descriptions = input.targets.iter().map(describe).collect::<Result<_, ApiError>>()?;
    Ok(wire::DescribeTargetHealthOutput { target_health_descriptions })
}

impl Looked<'_> {
    fn description(&self, id: &str, port: u16, row: Option<&Target>) -> wire::TargetHealthDescription {
        let state = self.states.of(row);
        wire::TargetHealthDescription {
            health_check_port: Some(self.group.check.port.unwrap_or(port).to_string()),
            target: Some(wire::TargetDescription {
                id: Some(id.to_string()),
                port: Some(i32::from(port)),
                availability_zone: row.and_then(|row| self.zone(row)),
                ..Default::default()
            }),
            target_health: Some(wire::TargetHealth {
                description: state.description(),
                reason: state.reason().map(str::to_string),
                state: Some(state.state().to_string()),
            }),
            anomaly_detection: row.filter(|_| self.anomalies).and_then(|row| self.anomaly(row)),
            administrative_override: row.map(|row| self.administrative(row)),
        }
    }

    /// Where an address is: the zone that it was registered with, else its
    /// subnet's. Instances show theirs elsewhere.
    fn zone(&self, row: &Target) -> Option<String> {
        let found = || target_states::zone(self.call.tables, self.group, row).map(ToString::to_string);
        match self.group.target_type {
            TargetType::Instance => row.availability_zone.clone(),
            TargetType::Ip => row.availability_zone.clone().or_else(found),
        }
    }

    /// Whether the target behaves unlike its peers; of HTTP groups only.
    fn anomaly(&self, row: &Target) -> Option<wire::AnomalyDetection> {
        if protocols::family(self.group.protocol) != Family::Application {
            return None;
        }
        let key = targets::key(self.call.tables, row)?;
        let seen = self.call.state.seen.anomalies.get(&key).copied().unwrap_or_default();
        Some(wire::AnomalyDetection {
            mitigation_in_effect: Some(if seen.mitigated { "yes" } else { "no" }.to_string()),
            result: Some(if seen.anomalous { "anomalous" } else { "normal" }.to_string()),
        })
    }

    /// Whether traffic was shifted away from the target's zone.
    fn administrative(&self, row: &Target) -> wire::AdministrativeOverride {
        let tables = self.call.tables;
        let zone = target_states::zone(tables, self.group, row);
        let balancers = load_balancers_of(tables, self.group.arn.as_str());
        let mut rows = balancers.into_iter().filter_map(|arn| tables.load_balancers.get(arn.as_str()));
        let shifted = zone.is_some_and(|zone| rows.any(|balancer| balancer.shifted_away.contains(zone)));
        let (state, reason, description) = match shifted {
            true => (
                "zonal_shift_active",
                "AdministrativeOverride.ZonalShiftActive",
                "Override active due to zonal shift away from this Availability Zone",
            ),
            false => ("no_override", "AdministrativeOverride.NoOverride", "No override is currently active on target"),
        };
        wire::AdministrativeOverride {
            description: Some(description.to_string()),
            reason: Some(reason.to_string()),
            state: Some(state.to_string()),
        }
    }
}
