//! Options of an instance that calls of their own change: monitoring,
//! maintenance, capacity reservations, private DNS names, placement.

use super::instances::{named, one};
use super::launch_data::{choice, text};
use super::{errors, recast};
use crate::{Call, Change};
use elastane_engine::launch::placement;
use elastane_engine::row::*;
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::sync::Arc;

fn living(change: &Change<'_, '_>, id: Option<&String>) -> Result<Arc<Instance>, ApiError> {
    let row = one(&change.view(), id)?;
    match row.phase {
        Phase::ShuttingDown | Phase::Terminated { .. } => Err(errors::incorrect_state(row.id.as_str(), "modified")),
        Phase::Pending | Phase::Running | Phase::Stopping | Phase::Stopped => Ok(row.clone()),
    }
}

fn stopped(row: &Instance) -> Result<(), ApiError> {
    let message = format!("The instance '{}' is not in the 'stopped' state.", row.id);
    if row.phase == Phase::Stopped { Ok(()) } else { Err(ApiError::new("IncorrectInstanceState", message)) }
}

/// MonitorInstances.
///
/// # Errors
/// `InvalidInstanceID.*`, `MissingParameter` without instances.
pub fn monitor_instances(
    change: &mut Change<'_, '_>,
    input: &wire::MonitorInstancesRequest,
) -> Result<wire::MonitorInstancesResult, ApiError> {
    if !input.metric_category_ids.is_empty() {
        return Err(errors::unsupported("MetricCategoryId"));
    }
    let instance_monitorings = set_monitoring(change, &input.instance_ids, (true, "pending"))?;
    errors::dry_run(input.dry_run)?;
    Ok(wire::MonitorInstancesResult { instance_monitorings })
}

/// UnmonitorInstances.
///
/// # Errors
/// As [`monitor_instances`].
pub fn unmonitor_instances(
    change: &mut Change<'_, '_>,
    input: &wire::UnmonitorInstancesRequest,
) -> Result<wire::UnmonitorInstancesResult, ApiError> {
    let instance_monitorings = set_monitoring(change, &input.instance_ids, (false, "disabling"))?;
    errors::dry_run(input.dry_run)?;
    Ok(wire::UnmonitorInstancesResult { instance_monitorings })
}

fn set_monitoring(
    change: &mut Change<'_, '_>,
    ids: &[String],
    (on, word): (bool, &str),
) -> Result<Vec<wire::InstanceMonitoring>, ApiError> {
    if ids.is_empty() {
        return Err(errors::missing("InstanceId"));
    }
    let rows: Vec<Arc<Instance>> = named(&change.view(), ids)?.into_iter().cloned().collect();
    let set = |row: Arc<Instance>| {
        change.update(row.id.as_str(), |row: &mut Instance| row.monitoring = on);
        wire::InstanceMonitoring {
            instance_id: Some(row.id.to_string()),
            monitoring: Some(wire::Monitoring { state: Some(word.to_string()), ..Default::default() }),
        }
    };
    Ok(rows.into_iter().map(set).collect())
}

/// ModifyInstanceMaintenanceOptions: kept and shown, as instances here have
/// no other machine to recover on.
///
/// # Errors
/// `InvalidInstanceID.*`, `InvalidParameterValue`, `IncorrectInstanceState`,
/// `UnsupportedOperation` for RebootMigration.
pub fn modify_instance_maintenance_options(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyInstanceMaintenanceOptionsRequest,
) -> Result<wire::ModifyInstanceMaintenanceOptionsResult, ApiError> {
    if text(&input.reboot_migration).is_some_and(|word| word != "default") {
        return Err(errors::unsupported("RebootMigration"));
    }
    let row = living(change, input.instance_id.as_ref())?;
    let on = choice(&input.auto_recovery, ("default", "disabled"), "AutoRecovery")?;
    let on = on.ok_or_else(|| errors::missing("AutoRecovery"))?;
    change.update(row.id.as_str(), |row: &mut Instance| row.no_auto_recovery = !on);
    errors::dry_run(input.dry_run)?;
    Ok(wire::ModifyInstanceMaintenanceOptionsResult {
        auto_recovery: input.auto_recovery.clone(),
        instance_id: Some(row.id.to_string()),
        reboot_migration: None,
    })
}

/// ModifyInstanceCapacityReservationAttributes of a stopped instance: the
/// preference is kept and shown, as there are no reservations.
///
/// # Errors
/// `InvalidInstanceID.*`, `IncorrectInstanceState`, `InvalidParameterValue`,
/// `UnsupportedOperation` for a target.
pub fn modify_instance_capacity_reservation_attributes(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyInstanceCapacityReservationAttributesRequest,
) -> Result<wire::ModifyInstanceCapacityReservationAttributesResult, ApiError> {
    let row = living(change, input.instance_id.as_ref())?;
    let specification = input.capacity_reservation_specification.as_ref();
    let specification = specification.ok_or_else(|| errors::missing("CapacityReservationSpecification"))?;
    recast::only(&wire::CAPACITY_RESERVATION_SPECIFICATION, specification, &["CapacityReservationPreference"])?;
    let preference = &specification.capacity_reservation_preference;
    let open = choice(preference, ("open", "none"), "CapacityReservationPreference")?;
    let open = open.ok_or_else(|| errors::missing("CapacityReservationSpecification.CapacityReservationPreference"))?;
    stopped(&row)?;
    change.update(row.id.as_str(), |row: &mut Instance| row.no_capacity_reservation = !open);
    errors::dry_run(input.dry_run)?;
    Ok(wire::ModifyInstanceCapacityReservationAttributesResult { r#return: Some(true) })
}

/// ModifyPrivateDnsNameOptions: records at any time, the kind of the host
/// name while the instance is stopped; its next boot has the new name.
///
/// # Errors
/// `InvalidInstanceID.*`, `InvalidParameterValue`, `IncorrectInstanceState`.
pub fn modify_private_dns_name_options(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyPrivateDnsNameOptionsRequest,
) -> Result<wire::ModifyPrivateDnsNameOptionsResult, ApiError> {
    let row = living(change, input.instance_id.as_ref())?;
    let words = ("resource-name", "ip-name");
    let resource_name = choice(&input.private_dns_hostname_type, words, "PrivateDnsHostnameType")?;
    let options = PrivateDns {
        resource_name: resource_name.unwrap_or(row.private_dns.resource_name),
        a_record: input.enable_resource_name_dns_a_record.unwrap_or(row.private_dns.a_record),
        aaaa_record: input.enable_resource_name_dns_aaaa_record.unwrap_or(row.private_dns.aaaa_record),
    };
    if options.resource_name != row.private_dns.resource_name {
        stopped(&row)?;
    }
    change.update(row.id.as_str(), |row: &mut Instance| row.private_dns = options);
    errors::dry_run(input.dry_run)?;
    Ok(wire::ModifyPrivateDnsNameOptionsResult { r#return: Some(true) })
}

/// ModifyInstancePlacement of a stopped instance: into a placement group, or
/// out of one with an empty name.
///
/// # Errors
/// `InvalidInstanceID.*`, `IncorrectInstanceState`,
/// `InvalidPlacementGroup.Unknown`, `InsufficientInstanceCapacity` for a full
/// spread group, `UnsupportedOperation` for hosts and tenancies.
pub fn modify_instance_placement(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyInstancePlacementRequest,
) -> Result<wire::ModifyInstancePlacementResult, ApiError> {
    const NAMES: &[&str] = &["GroupId", "GroupName", "InstanceId", "PartitionNumber"];
    recast::only(&wire::MODIFY_INSTANCE_PLACEMENT_REQUEST, input, NAMES)?;
    let row = living(change, input.instance_id.as_ref())?;
    stopped(&row)?;
    let leaves = input.group_name.as_deref() == Some("");
    let choice = PlacementChoice {
        group: text(&input.group_name)
            .or_else(|| row.placement_group.clone().filter(|_| !leaves && input.group_id.is_none())),
        group_id: text(&input.group_id),
        partition: input.partition_number.filter(|number| *number != 0),
        ..PlacementChoice::default()
    };
    let view = change.view();
    let group = placement::group(&view, &choice).map_err(errors::refused)?;
    if let Some(group) = group.filter(|group| row.placement_group.as_ref() != Some(&group.name)) {
        placement::room(&view, &row.zone, Some(group), (&row.instance_type, 1)).map_err(errors::refused)?;
    }
    let partition = group.and_then(|group| placement::partition(&view, group, choice.partition));
    let group = group.map(|group| group.name.clone());
    change.update(row.id.as_str(), |row: &mut Instance| (row.placement_group, row.partition) = (group, partition));
    Ok(wire::ModifyInstancePlacementResult { r#return: Some(true) })
}

/// GetPasswordData: Linux instances have none.
///
/// # Errors
/// `InvalidInstanceID.*`.
pub fn get_password_data(
    call: &Call<'_>,
    input: &wire::GetPasswordDataRequest,
) -> Result<wire::GetPasswordDataResult, ApiError> {
    let row = one(&call.view, input.instance_id.as_ref())?;
    errors::dry_run(input.dry_run)?;
    Ok(wire::GetPasswordDataResult {
        instance_id: Some(row.id.to_string()),
        password_data: Some(String::new()),
        timestamp: Some(Timestamp(row.launched_at.millis())),
    })
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    fn shown(scene: &Scene, id: &str) -> wire::Instance {
        let input = wire::DescribeInstancesRequest { instance_ids: vec![id.to_string()], ..Default::default() };
        let answer = scene.read(|call| super::super::describe_instances(call, &input)).expect("there");
        answer.reservations[0].instances[0].clone()
    }

    fn stop(scene: &mut Scene, id: &str) {
        let input = wire::StopInstancesRequest { instance_ids: vec![id.to_string()], ..Default::default() };
        scene.write(|change| super::super::stop_instances(change, &input)).expect("running");
        scene.settle();
    }

    fn group(scene: &mut Scene, name: &str, strategy: &str, partitions: Option<i32>) {
        let (name, strategy) = (name.to_string(), strategy.to_string());
        let put = |change: &mut Change<'_, '_>| {
            let id = format!("pg-{name}");
            change.put(PlacementGroup { name, id, strategy, partitions, spread_level: None, tags: Tags::new() });
            Ok(())
        };
        scene.write(put).expect("a group");
    }

    /// Options change and are shown; some of them while it is stopped only.
    #[test]
    fn options_change() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        let instance_id = Some(id.clone());
        let monitor = wire::MonitorInstancesRequest { instance_ids: vec![id.clone()], ..Default::default() };
        let answer = scene.write(|change| monitor_instances(change, &monitor)).expect("running");
        let state = |one: &wire::InstanceMonitoring| one.monitoring.clone().and_then(|found| found.state);
        assert_eq!(state(&answer.instance_monitorings[0]).as_deref(), Some("pending"));
        assert_eq!(shown(&scene, &id).monitoring.and_then(|found| found.state).as_deref(), Some("enabled"));
        let maintenance = wire::ModifyInstanceMaintenanceOptionsRequest {
            instance_id: instance_id.clone(),
            auto_recovery: Some("disabled".into()),
            ..Default::default()
        };
        scene.write(|change| modify_instance_maintenance_options(change, &maintenance)).expect("running");
        let recovery = shown(&scene, &id).maintenance_options.and_then(|found| found.auto_recovery);
        assert_eq!(recovery.as_deref(), Some("disabled"));
        let names = wire::ModifyPrivateDnsNameOptionsRequest {
            instance_id: instance_id.clone(),
            private_dns_hostname_type: Some("resource-name".into()),
            enable_resource_name_dns_a_record: Some(true),
            ..Default::default()
        };
        let reservation = wire::ModifyInstanceCapacityReservationAttributesRequest {
            instance_id: instance_id.clone(),
            capacity_reservation_specification: Some(wire::CapacityReservationSpecification {
                capacity_reservation_preference: Some("none".into()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let err = scene.write(|change| modify_private_dns_name_options(change, &names)).expect_err("running");
        assert_eq!(err.code, "IncorrectInstanceState");
        let reserve =
            |change: &mut Change<'_, '_>| modify_instance_capacity_reservation_attributes(change, &reservation);
        assert_eq!(scene.write(reserve).expect_err("running").code, "IncorrectInstanceState");
        stop(&mut scene, &id);
        scene.write(|change| modify_private_dns_name_options(change, &names)).expect("stopped");
        scene.write(reserve).expect("stopped");
        let found = shown(&scene, &id);
        assert_eq!(found.private_dns_name, Some(format!("{id}.ec2.internal")));
        let preference =
            found.capacity_reservation_specification.and_then(|found| found.capacity_reservation_preference);
        assert_eq!(preference.as_deref(), Some("none"));
        let input = wire::GetPasswordDataRequest { instance_id, ..Default::default() };
        let password = scene.read(|call| get_password_data(call, &input)).expect("there").password_data;
        assert_eq!(password.as_deref(), Some(""));
    }

    /// A stopped instance moves into groups with room for it and out again.
    #[test]
    fn placement_changes_while_stopped() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        group(&mut scene, "parts", "partition", Some(3));
        type Request = wire::ModifyInstancePlacementRequest;
        let of = || Request { instance_id: Some(id.clone()), ..Default::default() };
        let into = |name: &str| Request { group_name: Some(name.to_string()), ..of() };
        let modify = |scene: &mut Scene, input: &Request| {
            scene
                .write(|change| modify_instance_placement(change, input))
                .err()
                .map_or(String::new(), |err| err.code.to_string())
        };
        assert_eq!(modify(&mut scene, &into("parts")), "IncorrectInstanceState");
        stop(&mut scene, &id);
        for (code, input) in [
            ("InvalidPlacementGroup.Unknown", into("nobody")),
            ("UnsupportedOperation", Request { tenancy: Some("dedicated".into()), ..of() }),
            ("InvalidParameterValue", Request { partition_number: Some(4), ..into("parts") }),
            ("", Request { partition_number: Some(2), ..into("parts") }),
        ] {
            assert_eq!(modify(&mut scene, &input), code, "{input:?}");
        }
        let found = shown(&scene, &id).placement.expect("shown");
        assert_eq!((found.group_name.as_deref(), found.partition_number), (Some("parts"), Some(2)));
        assert_eq!(modify(&mut scene, &into("")), "");
        assert_eq!(scene.row::<Instance>(&id).placement_group, None);
    }
}
