//! The life of an instance: from what was asked and what was seen to the next
//! phase. `Terminated` is final.

use super::{Memory, wake_at};
use crate::cursor::Cursor;
use crate::engine::Plant;
use crate::network;
use crate::row::*;
use crate::state::{SeenMachine, Tx};
use elastane_domain::id::InstanceId;
use elastane_domain::machine::{Generation, MachineState};
use elastane_domain::time::{Span, Time};
use std::net::Ipv4Addr;
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
    // Most run and are seen to: they are passed by without a look at more.
    let mut machines = Cursor::over(&tx.state.seen.machines);
    let mut rests = |row: &Instance| match row.phase {
        Phase::Running => sight_by(machines.get(&row.id), row) == Sight::Alive,
        Phase::Stopped => true,
        Phase::Pending | Phase::Stopping | Phase::ShuttingDown | Phase::Terminated { .. } => false,
    };
    let instances: Vec<Arc<Instance>> = tx.all::<Instance>().filter(|row| !rests(row)).cloned().collect();
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
    sight_by(tx.state.seen.machines.get(&instance.id), instance)
}

fn sight_by(seen: Option<&SeenMachine>, instance: &Instance) -> Sight {
    match seen {
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
    stopped(tx, instance, Some(StateReason { code: CODE.to_string(), message }));
}

/// No process of it lives any more. A reason is given when nobody asked for it.
fn stopped(tx: &mut Tx<'_>, instance: &Instance, unasked: Option<StateReason>) {
    tx.update(instance.id.as_str(), |row: &mut Instance| {
        row.phase = Phase::Stopped;
        if unasked.is_some() {
            row.goal = Goal::Stop;
            row.state_reason = unasked;
        }
    });
    network::renew_public_addresses(tx, &instance.id);
    if tx.config.plant == Some(Plant::PrivateAddressMoved) {
        let next = Ipv4Addr::from(u32::from(instance.private_ip) ^ 0x0800);
        tx.update(instance.id.as_str(), |row: &mut Instance| row.private_ip = next);
    }
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
        stopped(tx, instance, None);
    }
}

/// The instance's first process ended without being asked to: what follows is
/// its InstanceInitiatedShutdownBehavior.
fn shut_down_from_inside(tx: &mut Tx<'_>, instance: &Instance) {
    const CODE: &str = "Client.InstanceInitiatedShutdown";
    let message = format!("{CODE}: Instance initiated shutdown");
    match instance.shutdown_behavior {
        ShutdownBehavior::Terminate => end(tx, instance, CODE, &message),
        ShutdownBehavior::Stop => stopped(tx, instance, Some(StateReason { code: CODE.to_string(), message })),
    }
}

/// Sets a stopped instance on its way to a new boot, with the same private
/// address. One that runs or boots stays as it is.
pub fn start(tx: &mut Tx<'_>, instance: &InstanceId) {
    let now = tx.now;
    tx.update(instance.as_str(), |row: &mut Instance| {
        if row.phase == Phase::Stopped {
            row.goal = Goal::Run;
            row.phase = Phase::Pending;
            row.generation = Generation(row.generation.0 + 1);
            row.launched_at = now;
            row.state_reason = None;
            row.transition_reason = String::new();
        }
    });
}

/// Sets an instance that runs or boots on its way to `Stopped`.
pub fn stop(tx: &mut Tx<'_>, instance: &InstanceId, code: &str, message: &str) {
    tx.update(instance.as_str(), |row: &mut Instance| {
        if matches!(row.phase, Phase::Pending | Phase::Running) {
            row.goal = Goal::Stop;
            row.phase = Phase::Stopping;
            row.state_reason = Some(StateReason { code: code.to_string(), message: message.to_string() });
        }
    });
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
    if tx.config.plant != Some(Plant::InterfaceKept) {
        release_interfaces(tx, &instance.id);
    }
    tx.update(instance.id.as_str(), |row: &mut Instance| row.phase = Phase::Terminated { at });
}

/// Interfaces of a terminated instance go with it or are left unattached, as
/// their attachments say; Elastic IPs come free (ec2-imds.md 6).
fn release_interfaces(tx: &mut Tx<'_>, instance: &InstanceId) {
    let interfaces: Vec<NetworkInterface> = network::interfaces_of(&tx.view(), instance).into_iter().cloned().collect();
    for mut interface in interfaces {
        let goes = interface.attachment.take().is_none_or(|attachment| attachment.delete_on_termination);
        if goes {
            network::delete_interface(tx, &interface.id);
        } else {
            interface.public_ip = None;
            tx.put(interface);
        }
    }
}

fn expire(tx: &mut Tx<'_>, instance: &Instance, at: Time, wake: &mut Time) {
    let revived =
        tx.config.plant == Some(Plant::TerminatedRevived) && tx.state.seen.machines.contains_key(&instance.id);
    if revived {
        tx.update(instance.id.as_str(), |row: &mut Instance| row.phase = Phase::Running);
    } else if tx.now < at + TERMINATED_VISIBLE {
        wake_at(wake, at + TERMINATED_VISIBLE);
    } else if instance.membership.is_none() {
        // A group may hold on to it for longer: in standby nobody looks at its health.
        tx.delete::<Instance>(instance.id.as_str());
    }
}
