//! Images and Run Command: rows that wait for one answer of the host.

use crate::row::*;
use crate::state::Tx;
use elastane_domain::id::{CommandId, ImageId, InstanceId};
use elastane_domain::machine::{CommandEnd, CommandOutcome};
use elastane_domain::time::Time;
use std::sync::Arc;

pub(super) fn reconcile(tx: &mut Tx<'_>) {
    let images: Vec<Arc<Image>> = tx.all::<Image>().cloned().collect();
    for image in images {
        match &image.phase {
            ImagePhase::Pending => pending(tx, &image),
            ImagePhase::Deregistered if !launched(tx, &image.id) => tx.delete::<Image>(image.id.as_str()),
            ImagePhase::Available { .. } | ImagePhase::Failed { .. } if outlived(tx, &image) => {
                tx.delete::<Image>(image.id.as_str());
            }
            ImagePhase::Deregistered | ImagePhase::Available { .. } | ImagePhase::Failed { .. } => {}
        }
    }
}

/// A living instance shows what it was launched from.
fn launched(tx: &Tx<'_>, image: &ImageId) -> bool {
    let mut living = tx.all::<Instance>().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    living.any(|row| row.image == *image)
}

/// A capture for a snapshot that was deleted.
fn outlived(tx: &Tx<'_>, image: &Image) -> bool {
    image.details.origin == ImageOrigin::Snapshot && tx.get::<Snapshot>(&image.snapshot).is_none()
}

fn pending(tx: &mut Tx<'_>, image: &Image) {
    let source = image.source.as_ref().and_then(|id| tx.get::<Instance>(id.as_str()));
    let gone = source.is_none_or(|source| matches!(source.phase, Phase::Terminated { .. }));
    let phase = match tx.state.seen.captures.remove(&image.id) {
        Some(Ok(bytes)) => ImagePhase::Available { bytes },
        Some(Err(reason)) => ImagePhase::Failed { reason },
        None if gone => ImagePhase::Failed { reason: "The instance was terminated".to_string() },
        None => return,
    };
    tx.update(image.id.as_str(), |row: &mut Image| row.phase = phase);
}

pub(super) fn reconcile_commands(tx: &mut Tx<'_>) {
    let open = |command: &Command| command.invocations.values().any(|i| matches!(i, Invocation::InProgress { .. }));
    let commands: Vec<Arc<Command>> = tx.all::<Command>().filter(|command| open(command)).cloned().collect();
    for command in commands {
        for (instance, invocation) in &command.invocations {
            if let Invocation::InProgress { since } = invocation {
                invoked(tx, &command.id, instance, *since);
            }
        }
    }
}

fn invoked(tx: &mut Tx<'_>, command: &CommandId, instance: &InstanceId, since: Time) {
    let gone = tx.get::<Instance>(instance.as_str()).is_none_or(|row| row.phase != Phase::Running);
    let reported = tx.state.seen.commands.remove(&(command.clone(), instance.clone()));
    let undeliverable = || CommandOutcome {
        end: CommandEnd::Undeliverable,
        stdout: String::new(),
        stderr: "The instance stopped before the command ended.".to_string(),
    };
    let Some(outcome) = reported.or_else(|| gone.then(undeliverable)) else { return };
    let at = tx.now;
    tx.update(command.as_str(), |row: &mut Command| {
        row.invocations.insert(instance.clone(), Invocation::Done { since, at, outcome });
    });
}
