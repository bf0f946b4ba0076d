//! Starting, stopping, rebooting and terminating: goal and phase of the rows;
//! the reconcilers tell the host.

use super::instances::named;
use super::{errors, instances_shape as shape};
use crate::Change;
use elastane_domain::id::InstanceId;
use elastane_domain::lifecycle::InstanceState;
use elastane_domain::machine::Generation;
use elastane_domain::time::Civil;
use elastane_engine::launch::placement;
use elastane_engine::row::*;
use elastane_engine::{Tx, instances as life};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

const BY_USER: &str = "Client.UserInitiatedShutdown";

fn rows(change: &Change<'_, '_>, ids: &[String]) -> Result<Vec<Arc<Instance>>, ApiError> {
    if ids.is_empty() {
        return Err(errors::missing("InstanceId"));
    }
    Ok(named(&change.view(), ids)?.into_iter().cloned().collect())
}

fn changed(id: &InstanceId, before: InstanceState, after: InstanceState) -> wire::InstanceStateChange {
    wire::InstanceStateChange {
        current_state: Some(shape::state(after)),
        instance_id: Some(id.to_string()),
        previous_state: Some(shape::state(before)),
    }
}

/// `User initiated (2026-01-01 10:00:00 GMT)`.
fn user_initiated(tx: &Tx<'_>) -> String {
    let at = Civil::from(tx.now);
    format!(
        "User initiated ({:04}-{:02}-{:02} {:02}:{:02}:{:02} GMT)",
        at.year, at.month, at.day, at.hour, at.minute, at.second
    )
}

/// StartInstances. Those that run or boot stay as they are.
pub fn start_instances(
    change: &mut Change<'_, '_>,
    input: &wire::StartInstancesRequest,
) -> Result<wire::StartInstancesResult, ApiError> {
    let mut starting_instances = Vec::new();
    for row in rows(change, &input.instance_ids)? {
        let before = row.phase.state();
        let after = before.on_start().map_err(|_| errors::incorrect_state(row.id.as_str(), "started"))?;
        if after != before {
            check_room(change, &row)?;
            let now = change.now;
            change.update(row.id.as_str(), |row: &mut Instance| {
                row.goal = Goal::Run;
                row.phase = Phase::Pending;
                row.generation = Generation(row.generation.0 + 1);
                row.launched_at = now;
                row.state_reason = None;
                row.transition_reason = String::new();
            });
        }
        starting_instances.push(changed(&row.id, before, after));
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::StartInstancesResult { starting_instances })
}

/// A stopped instance needs room in its zone again.
fn check_room(change: &Change<'_, '_>, row: &Instance) -> Result<(), ApiError> {
    let view = change.view();
    placement::room(&view, &row.zone, None, (&row.instance_type, 1)).map(drop).map_err(errors::refused)
}

/// A spot instance of a one-time request only ends.
fn check_spot(change: &Change<'_, '_>, row: &Instance) -> Result<(), ApiError> {
    let request = row.spot_request.as_ref().and_then(|id| change.get::<SpotRequest>(id));
    if request.is_none_or(|request| request.persistent) {
        return Ok(());
    }
    let message = format!(
        "You can't stop the Spot Instance '{}' because it is associated with a one-time Spot Instance request. You can \
         only stop Spot Instances associated with persistent Spot Instance requests.",
        row.id
    );
    Err(ApiError::new("UnsupportedOperation", message))
}

/// StopInstances. Hibernation is not supported; Force and SkipOsShutdown ask
/// for speed only.
pub fn stop_instances(
    change: &mut Change<'_, '_>,
    input: &wire::StopInstancesRequest,
) -> Result<wire::StopInstancesResult, ApiError> {
    let mut stopping_instances = Vec::new();
    let reason = user_initiated(change);
    for row in rows(change, &input.instance_ids)? {
        let before = row.phase.state();
        if input.hibernate == Some(true) {
            let message = format!("The instance '{}' is not configured for hibernation.", row.id);
            return Err(ApiError::new("UnsupportedHibernationConfiguration", message));
        }
        check_spot(change, &row)?;
        if row.disable_api_stop {
            let message = format!(
                "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
                row.id
            );
            return Err(ApiError::new("OperationNotPermitted", message));
        }
        let after = before.on_stop().map_err(|_| errors::incorrect_state(row.id.as_str(), "stopped"))?;
        if after != before {
            change.update(row.id.as_str(), |row: &mut Instance| {
                row.goal = Goal::Stop;
                row.phase = Phase::Stopping;
                row.transition_reason = reason.clone();
                let message = format!("{BY_USER}: User initiated shutdown");
                row.state_reason = Some(StateReason { code: BY_USER.to_string(), message });
            });
        }
        stopping_instances.push(changed(&row.id, before, after));
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::StopInstancesResult { stopping_instances })
}

/// RebootInstances: a new boot of those that run, with the same layer and
/// address. Terminated ones are passed over.
pub fn reboot_instances(
    change: &mut Change<'_, '_>,
    input: &wire::RebootInstancesRequest,
) -> Result<wire::RebootInstancesOutput, ApiError> {
    for row in rows(change, &input.instance_ids)? {
        match row.phase {
            Phase::Running => change.update(row.id.as_str(), |row: &mut Instance| {
                row.generation = Generation(row.generation.0 + 1);
            }),
            // It is booting anyway, or never will again.
            Phase::Pending | Phase::ShuttingDown | Phase::Terminated { .. } => {}
            Phase::Stopping | Phase::Stopped => return Err(errors::incorrect_state(row.id.as_str(), "rebooted")),
        }
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::RebootInstancesOutput {})
}

/// TerminateInstances. One wrong id and nothing is terminated. Instances in
/// the zone of a protected one stay; those of other zones are terminated all
/// the same (ec2-imds.md 6, rule 2).
///
/// # Errors
/// `InvalidInstanceID.*`; `OperationNotPermitted` when one is protected.
pub fn terminate_instances(
    change: &mut Change<'_, '_>,
    input: &wire::TerminateInstancesRequest,
) -> Result<wire::TerminateInstancesResult, ApiError> {
    let rows = rows(change, &input.instance_ids)?;
    let gone = |row: &Instance| matches!(row.phase, Phase::ShuttingDown | Phase::Terminated { .. });
    let protected: Vec<&Arc<Instance>> = rows.iter().filter(|row| row.disable_api_termination && !gone(row)).collect();
    let spared: BTreeSet<&str> = protected.iter().map(|row| row.zone.as_str()).collect();
    let reason = user_initiated(change);
    let mut terminating_instances = Vec::new();
    for row in rows.iter().filter(|row| !spared.contains(row.zone.as_str())) {
        let before = row.phase.state();
        if !gone(row) {
            life::end(change, row, BY_USER, &format!("{BY_USER}: User initiated shutdown"));
            change.update(row.id.as_str(), |row: &mut Instance| row.transition_reason = reason.clone());
        }
        terminating_instances.push(changed(&row.id, before, before.on_terminate()));
    }
    if let Some(first) = protected.iter().map(|row| &row.id).min() {
        if input.dry_run != Some(true) {
            change.keep();
        }
        let message = format!(
            "The instance '{first}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
        );
        return Err(ApiError::new("OperationNotPermitted", message));
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::TerminateInstancesResult { terminating_instances })
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, run};
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| id.to_string()).collect()
    }

    fn start(scene: &mut Scene, names: &[&str]) -> Result<wire::StartInstancesResult, ApiError> {
        let input = wire::StartInstancesRequest { instance_ids: ids(names), ..Default::default() };
        scene.write(|change| start_instances(change, &input))
    }

    fn stop(scene: &mut Scene, names: &[&str]) -> Result<wire::StopInstancesResult, ApiError> {
        let input = wire::StopInstancesRequest { instance_ids: ids(names), ..Default::default() };
        scene.write(|change| stop_instances(change, &input))
    }

    fn terminate(scene: &mut Scene, names: &[&str]) -> Result<wire::TerminateInstancesResult, ApiError> {
        let input = wire::TerminateInstancesRequest { instance_ids: ids(names), ..Default::default() };
        scene.write(|change| terminate_instances(change, &input))
    }

    fn names(change: &wire::InstanceStateChange) -> (String, String) {
        let name = |state: &Option<wire::InstanceState>| state.clone().and_then(|state| state.name).expect("a state");
        (name(&change.previous_state), name(&change.current_state))
    }

    /// Stop, start and terminate lead through EC2's states; repeating them
    /// changes nothing; what is too early or too late is refused.
    #[test]
    fn ec2_6_transitions() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        assert_eq!(stop(&mut scene, &[&id]).expect_err("still pending").code, "IncorrectInstanceState");
        scene.settle();
        assert_eq!(scene.state(&id), "running");
        let answer = stop(&mut scene, &[&id]).expect("running");
        assert_eq!(names(&answer.stopping_instances[0]), ("running".to_string(), "stopping".to_string()));
        assert_eq!(start(&mut scene, &[&id]).expect_err("stopping").code, "IncorrectInstanceState");
        scene.settle();
        assert_eq!(scene.state(&id), "stopped");
        let row = scene.row::<Instance>(&id);
        assert_eq!(row.transition_reason, "User initiated (2026-01-01 10:00:00 GMT)");
        let answer = stop(&mut scene, &[&id]).expect("again");
        assert_eq!(names(&answer.stopping_instances[0]), ("stopped".to_string(), "stopped".to_string()));
        start(&mut scene, &[&id]).expect("stopped");
        assert_eq!((scene.state(&id), scene.row::<Instance>(&id).generation), ("pending", Generation(2)));
        scene.settle();
        assert_eq!((scene.state(&id), scene.row::<Instance>(&id).state_reason), ("running", None));
        terminate(&mut scene, &[&id]).expect("running");
        scene.settle();
        assert_eq!(scene.state(&id), "terminated");
        let answer = terminate(&mut scene, &[&id]).expect("idempotent");
        assert_eq!(names(&answer.terminating_instances[0]), ("terminated".to_string(), "terminated".to_string()));
        assert_eq!(start(&mut scene, &[&id]).expect_err("gone").code, "IncorrectInstanceState");
    }

    /// Stop protection and hibernation, with AWS's codes.
    #[test]
    fn what_cannot_be_stopped() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        let input =
            wire::StopInstancesRequest { instance_ids: vec![id.clone()], hibernate: Some(true), ..Default::default() };
        let err = scene.write(|change| stop_instances(change, &input)).expect_err("no hibernation");
        assert_eq!(err.code, "UnsupportedHibernationConfiguration");
        let protect = |change: &mut Change<'_, '_>| {
            change.update(&id, |row: &mut Instance| row.disable_api_stop = true);
            Ok(())
        };
        scene.write(protect).expect("an update");
        assert_eq!(stop(&mut scene, &[&id]).expect_err("protected").code, "OperationNotPermitted");
        assert_eq!(scene.state(&id), "running");
    }

    /// A stopped instance does not start in a zone that is cut off.
    #[test]
    fn a_zone_that_is_cut_off_starts_nothing() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        stop(&mut scene, &[&id]).expect("running");
        scene.settle();
        let cut = |change: &mut Change<'_, '_>| {
            let since = change.now;
            change.put(Outage { zone: "us-east-1a".into(), since, until: None });
            Ok(())
        };
        scene.write(cut).expect("an outage");
        let err = start(&mut scene, &[&id]).expect_err("no capacity");
        assert_eq!((err.code.as_ref(), err.status), ("InsufficientInstanceCapacity", 500));
        let mut named = run(1);
        named.placement =
            Some(wire::Placement { availability_zone: Some("us-east-1a".to_string()), ..Default::default() });
        let err = scene.write(|change| super::super::run_instances(change, &named)).expect_err("cut off");
        assert_eq!(err.code, "InsufficientInstanceCapacity");
        let elsewhere = scene.launch(1).remove(0);
        assert_eq!(scene.row::<Instance>(&elsewhere).zone.as_str(), "us-east-1b");
    }

    /// A reboot is a new generation of a running instance, which stays running.
    #[test]
    fn ec2_6_reboot_keeps_the_state() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        let input = wire::RebootInstancesRequest { instance_ids: vec![id.clone()], ..Default::default() };
        scene.write(|change| reboot_instances(change, &input)).expect("running");
        scene.settle();
        let row = scene.row::<Instance>(&id);
        assert_eq!((row.phase, row.generation), (Phase::Running, Generation(2)));
        assert_eq!(scene.engine.state().seen.machines[&row.id].generation, Generation(2));
    }

    /// One wrong id and nothing is terminated; a protected instance saves
    /// those of its own zone and no others.
    #[test]
    fn ec2_6_what_terminate_spares() {
        let mut scene = Scene::new();
        let two = scene.launch(2);
        for (id, code) in
            [("i-0123456789abcdef0", "InvalidInstanceID.NotFound"), ("i-1", "InvalidInstanceID.Malformed")]
        {
            assert_eq!(terminate(&mut scene, &[&two[0], id]).expect_err("wrong id").code, code);
        }
        scene
            .write(|change| {
                change.update(&two[1], |row: &mut Instance| row.disable_api_termination = true);
                Ok(())
            })
            .expect("an update");
        let err = terminate(&mut scene, &[&two[0], &two[1]]).expect_err("protected");
        assert_eq!(err.code, "OperationNotPermitted");
        assert!(err.message.starts_with(&format!("The instance '{}' may not be terminated.", two[1])));
        assert_eq!(scene.state(&two[0]), "pending");
        let mut elsewhere = run(1);
        elsewhere.placement =
            Some(wire::Placement { availability_zone: Some("us-east-1b".to_string()), ..Default::default() });
        let launched = scene.write(|change| super::super::run_instances(change, &elsewhere)).expect("a launch");
        let other = launched.instances[0].instance_id.clone().expect("an id");
        let err = terminate(&mut scene, &[&two[0], &two[1], &other]).expect_err("protected");
        assert_eq!((err.code.as_ref(), scene.state(&two[0])), ("OperationNotPermitted", "pending"));
        assert_eq!(scene.state(&other), "shutting-down");
        let input = wire::TerminateInstancesRequest {
            instance_ids: vec![two[0].clone()],
            dry_run: Some(true),
            ..Default::default()
        };
        let err = scene.write(|change| terminate_instances(change, &input)).expect_err("a dry run");
        assert_eq!((err.code.as_ref(), err.status, scene.state(&two[0])), ("DryRunOperation", 412, "pending"));
    }
}
