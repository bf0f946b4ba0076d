//! The life of an instance: from what was asked and what was seen to the next
//! phase. `Terminated` is final.

use super::{Memory, wake_at};
use crate::engine::Plant;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::machine::{Generation, MachineState};
use elastane_domain::time::{Span, Time};
use std::sync::Arc;

/// A terminated instance stays visible so long (EC2 User Guide, "Terminate
/// instances": usually less than an hour).
pub const TERMINATED_VISIBLE: Span = Span::from_mins(60);

/// What was seen of an instance's current boot.
#[derive(Clone, Copy, PartialEq)]
enum Sight {
    /// The host holds nothing of it, or only an older boot.
    Nothing,
    /// This boot lives.
    Alive,
    /// This boot ended.
    Dead,
}

pub(super) fn reconcile(tx: &mut Tx<'_>, memory: &mut Memory, wake: &mut Time) {
    let instances: Vec<Arc<Instance>> = tx.all::<Instance>().cloned().collect();
    for instance in instances {
        let sight = sight(tx, &instance);
        match instance.phase {
            Phase::Terminated { at } => expire(tx, &instance, at, wake),
            Phase::ShuttingDown => {
                if memory.removed.remove(&instance.id) {
                    terminated(tx, &instance);
                }
            }
            Phase::Pending => pending(tx, &instance, sight),
            Phase::Running => running(tx, &instance, sight),
            Phase::Stopping => stopping(tx, &instance),
            Phase::Stopped => {}
        }
    }
}

fn sight(tx: &Tx<'_>, instance: &Instance) -> Sight {
    match tx.state.seen.machines.get(&instance.id) {
        Some(seen) if seen.generation == instance.generation => match seen.state {
            MachineState::Running => Sight::Alive,
            MachineState::Stopped => Sight::Dead,
        },
        Some(_) | None => Sight::Nothing,
    }
}

fn pending(tx: &mut Tx<'_>, instance: &Instance, sight: Sight) {
    if let Some(reason) = failure(tx, instance) {
        return boot_failed(tx, instance, &reason);
    }
    match sight {
        Sight::Alive => tx.update(instance.id.as_str(), |row: &mut Instance| row.phase = Phase::Running),
        Sight::Dead => shut_down_from_inside(tx, instance),
        Sight::Nothing => {}
    }
}

/// Why the current boot failed, if it did.
fn failure(tx: &Tx<'_>, instance: &Instance) -> Option<String> {
    let (generation, reason) = tx.state.seen.launch_failures.get(&instance.id)?;
    (*generation == instance.generation).then(|| reason.clone())
}

/// A new instance that does not come up is terminated; one that has lived
/// keeps what it is and is stopped (EC2 User Guide, "Instance lifecycle").
fn boot_failed(tx: &mut Tx<'_>, instance: &Instance, reason: &str) {
    const CODE: &str = "Server.InternalError";
    let message = format!("{CODE}: {reason}");
    if instance.generation <= Generation(1) {
        return end(tx, instance, CODE, &message);
    }
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        row.goal = Goal::Stop;
        row.phase = Phase::Stopped;
        row.state_reason = Some(StateReason { code: CODE.to_string(), message });
    });
}

fn running(tx: &mut Tx<'_>, instance: &Instance, sight: Sight) {
    if sight != Sight::Alive
        && let Some(reason) = failure(tx, instance)
    {
        return boot_failed(tx, instance, &reason);
    }
    let held = tx.state.seen.machines.contains_key(&instance.id);
    match sight {
        Sight::Dead => shut_down_from_inside(tx, instance),
        // Another generation is held while it reboots; nothing at all is
        // held when the host itself went down.
        Sight::Nothing if !held => shut_down_from_inside(tx, instance),
        Sight::Nothing | Sight::Alive => {}
    }
}

fn stopping(tx: &mut Tx<'_>, instance: &Instance) {
    let alive = tx.state.seen.machines.get(&instance.id).is_some_and(|seen| seen.state == MachineState::Running);
    if !alive {
        tx.update(instance.id.as_str(), |row: &mut Instance| row.phase = Phase::Stopped);
    }
}

/// The instance's first process ended without being asked to: what follows is
/// its InstanceInitiatedShutdownBehavior.
fn shut_down_from_inside(tx: &mut Tx<'_>, instance: &Instance) {
    const CODE: &str = "Client.InstanceInitiatedShutdown";
    let message = format!("{CODE}: Instance initiated shutdown");
    match instance.shutdown_behavior {
        ShutdownBehavior::Terminate => end(tx, instance, CODE, &message),
        ShutdownBehavior::Stop => tx.update(instance.id.as_str(), |row: &mut Instance| {
            row.goal = Goal::Stop;
            row.phase = Phase::Stopped;
            row.state_reason = Some(StateReason { code: CODE.to_string(), message: message.clone() });
        }),
    }
}

/// Sets an instance on its way to `Terminated`; one that is there stays there.
pub fn end(tx: &mut Tx<'_>, instance: &Instance, code: &str, message: &str) {
    if matches!(instance.phase, Phase::Terminated { .. }) {
        return;
    }
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        row.goal = Goal::Terminate;
        row.phase = Phase::ShuttingDown;
        row.state_reason = Some(StateReason { code: code.to_string(), message: message.to_string() });
    });
}

fn terminated(tx: &mut Tx<'_>, instance: &Instance) {
    let at = tx.now;
    tx.update(instance.id.as_str(), |row: &mut Instance| row.phase = Phase::Terminated { at });
}

fn expire(tx: &mut Tx<'_>, instance: &Instance, at: Time, wake: &mut Time) {
    let revived =
        tx.config.plant == Some(Plant::TerminatedRevived) && tx.state.seen.machines.contains_key(&instance.id);
    if revived {
        tx.update(instance.id.as_str(), |row: &mut Instance| row.phase = Phase::Running);
    } else if tx.now >= at + TERMINATED_VISIBLE && instance.membership.is_none() {
        tx.delete::<Instance>(instance.id.as_str());
    } else {
        wake_at(wake, at + TERMINATED_VISIBLE);
    }
}
