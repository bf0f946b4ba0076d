//! Spot instances: an interruption that was announced is carried out when its
//! time comes, and requests follow their instances. What a persistent request
//! lost it gets again; a zone that is cut off has no capacity to give.

use super::{instances, outages, wake_at};
use crate::launch;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::id::InstanceId;
use elastane_domain::time::{Span, Time};
use std::sync::Arc;

/// So long ahead an interruption is announced (EC2 User Guide, "Spot Instance
/// interruption notices").
pub const NOTICE: Span = Span::from_mins(2);

/// `StateReason` of an interrupted instance that is stopped.
const SHUTDOWN: &str = "Server.SpotInstanceShutdown";

/// `StateReason` of an interrupted instance that is terminated.
const TERMINATION: &str = "Server.SpotInstanceTermination";

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let announced = |row: &&Arc<Instance>| row.interruption.is_some();
    let announced: Vec<Arc<Instance>> = tx.all::<Instance>().filter(announced).cloned().collect();
    for instance in announced {
        match instance.interruption {
            Some(at) if at <= tx.now => interrupt(tx, &instance),
            Some(at) => wake_at(wake, at),
            None => {}
        }
    }
    let requests: Vec<Arc<SpotRequest>> = tx.all::<SpotRequest>().cloned().collect();
    for request in requests {
        match request.phase {
            SpotPhase::Open => open(tx, &request),
            SpotPhase::Active => active(tx, &request),
            SpotPhase::Closed | SpotPhase::Cancelled => {}
        }
    }
}

/// Takes the instance away, as its request says. One that is stopped or on
/// its way out already has nothing to be taken.
fn interrupt(tx: &mut Tx<'_>, instance: &Instance) {
    tx.update(instance.id.as_str(), |row: &mut Instance| row.interruption = None);
    if !matches!(instance.phase, Phase::Pending | Phase::Running) {
        return;
    }
    let request = instance.spot_request.as_ref().and_then(|id| tx.get::<SpotRequest>(id));
    match request.map_or(InterruptionBehavior::Terminate, |request| request.behavior) {
        InterruptionBehavior::Terminate => {
            let message = format!("{TERMINATION}: Spot instance termination");
            let Some(instance) = tx.get::<Instance>(instance.id.as_str()) else { return };
            instances::end(tx, &instance, TERMINATION, &message);
        }
        InterruptionBehavior::Stop => {
            instances::stop(tx, &instance.id, SHUTDOWN, &format!("{SHUTDOWN}: Spot instance shutdown"));
        }
    }
}

/// A request without an instance that runs: it is given one where there is capacity.
fn open(tx: &mut Tx<'_>, request: &SpotRequest) {
    if request.valid_until.is_some_and(|until| until <= tx.now) {
        return set(tx, request, request.instance.clone(), SpotPhase::Closed);
    }
    let instance = request.instance.as_ref().and_then(|id| tx.get::<Instance>(id.as_str()));
    let lives = |row: &Arc<Instance>| matches!(row.phase, Phase::Pending | Phase::Running | Phase::Stopped);
    match instance.filter(lives) {
        // Somebody else started it.
        Some(row) if row.phase != Phase::Stopped => set(tx, request, Some(row.id.clone()), SpotPhase::Active),
        Some(row) if outages::cut(&tx.view(), &row.zone) => {}
        Some(row) => {
            instances::start(tx, &row.id);
            set(tx, request, Some(row.id.clone()), SpotPhase::Active);
        }
        None => {
            let call = launch::Request {
                data: request.data.clone(),
                count_min: 1,
                count_max: 1,
                ..launch::Request::default()
            };
            // A refusal leaves the request open; the next look tries again.
            let Some(id) = launch::launch(tx, &call).ok().and_then(|ids| ids.into_iter().next()) else { return };
            tx.update(id.as_str(), |row: &mut Instance| row.spot_request = Some(request.id.clone()));
            set(tx, request, Some(id), SpotPhase::Active);
        }
    }
}

/// A request whose instance is gone opens again when it is persistent, and is
/// closed otherwise. Interrupted instances that were stopped open it as well.
fn active(tx: &mut Tx<'_>, request: &SpotRequest) {
    let row = request.instance.as_ref().and_then(|id| tx.get::<Instance>(id.as_str()));
    let gone = row.as_ref().is_none_or(|row| matches!(row.phase, Phase::Terminated { .. }));
    let interrupted = row.filter(|row| {
        let reason = row.state_reason.as_ref().is_some_and(|reason| reason.code == SHUTDOWN);
        row.phase == Phase::Stopped && reason
    });
    match (gone, interrupted) {
        (true, _) if request.persistent => set(tx, request, None, SpotPhase::Open),
        (true, _) => set(tx, request, request.instance.clone(), SpotPhase::Closed),
        (false, Some(row)) if request.persistent => set(tx, request, Some(row.id.clone()), SpotPhase::Open),
        (false, _) => {}
    }
}

fn set(tx: &mut Tx<'_>, request: &SpotRequest, instance: Option<InstanceId>, phase: SpotPhase) {
    let now = tx.now;
    tx.update(&request.id, |row: &mut SpotRequest| {
        row.instance = instance;
        row.phase = phase;
        row.changed_at = now;
    });
}
