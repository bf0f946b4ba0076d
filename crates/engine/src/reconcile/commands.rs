//! Run Command: what hosts said of commands, which invocations are sent next,
//! and what time ends. Each step is written down before the host is told
//! (`effects`), so a daemon that dies in between goes on where it was.
//!
//! An instance's first process outlives the daemon and runs a command of one
//! id once, so what was sent may be sent again to the same boot. A boot that
//! is over answers nothing. When this daemon sent the command and the host
//! says that it never arrived, it waits for the next boot; when an earlier
//! daemon sent it, nobody knows whether it ran, and it is not run again.

use super::wake_at;
use crate::engine::Plant;
use crate::row::*;
use crate::state::{SeenCommand, Tx};
use elastane_domain::command::{Limits, Stage, Target, Verdict, decide};
use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::{CommandEnd, CommandOutcome, Generation, MachineState};
use elastane_domain::time::{Span, Time};
use std::sync::Arc;

/// Commands that are over are shown for so long (Systems Manager User Guide,
/// command history).
const HISTORY: Span = Span::from_mins(30 * 24 * 60);

/// What is said when a boot ended with a command that an earlier daemon had sent.
const UNKNOWN: &str =
    "The instance stopped while the control plane was away. Whether the command ran is not known; it is not run again.";

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let commands: Vec<Arc<Command>> = tx.all::<Command>().cloned().collect();
    for command in commands {
        if command.is_open() {
            go_on(tx, &command, wake);
            continue;
        }
        // What was sent and came back may have been cancelled by a call.
        if !tx.state.seen.sent.is_empty() {
            forget_sent(tx, &command);
        }
        if tx.now >= command.requested_at + HISTORY {
            delete(tx, &command);
        }
    }
}

/// Deletes a command with what it printed.
pub fn delete(tx: &mut Tx<'_>, command: &Command) {
    for instance in command.invocations.keys() {
        tx.delete::<CommandOutput>(&CommandOutput::key(&command.id, instance.as_str()));
    }
    tx.delete::<Command>(command.id.as_str());
}

fn go_on(tx: &mut Tx<'_>, command: &Command, wake: &mut Time) {
    let mut next = command.clone();
    let expired = command.limits(tx.now).expired;
    for (instance, invocation) in &mut next.invocations {
        if let Some(seen) = tx.state.seen.commands.remove(&(command.id.clone(), instance.clone())) {
            *invocation = heard(tx, &command.id, instance, *invocation, seen);
        }
        if let Invocation::Sent { at, boot } = *invocation
            && expired
        {
            *invocation = Invocation::Withdrawing { at, boot };
        }
    }
    let stages: Vec<Stage> =
        next.invocations.iter().map(|(instance, invocation)| invocation.stage(|| target(tx, instance).0)).collect();
    let verdicts = decide(planted(tx, next.limits(tx.now)), &stages);
    for ((instance, invocation), verdict) in next.invocations.iter_mut().zip(verdicts) {
        let not_run = |why| Invocation::NotRun { at: tx.now, why };
        *invocation = match verdict {
            Verdict::Stay => continue,
            Verdict::Terminate => not_run(NotRun::Terminated),
            Verdict::Expire => not_run(NotRun::DeliveryTimedOut),
            Verdict::GiveUp => not_run(NotRun::Undeliverable),
            Verdict::Send => {
                tx.state.seen.sent.insert((command.id.clone(), instance.clone()));
                Invocation::Sent { at: tx.now, boot: target(tx, instance).1 }
            }
        };
    }
    let undelivered = |one: &Invocation| matches!(one, Invocation::Waiting | Invocation::Sent { .. });
    if next.invocations.values().any(undelivered) {
        wake_at(wake, next.delivery_ends());
    }
    forget_sent(tx, &next);
    tx.put(next);
}

/// The limits with the bug that the simulator has planted, if it has.
fn planted(tx: &Tx<'_>, limits: Limits) -> Limits {
    match tx.config.plant {
        Some(Plant::ConcurrencyIgnored) => Limits { at_once: usize::MAX, ..limits },
        Some(Plant::ErrorsIgnored) => Limits { errors_max: usize::MAX, ..limits },
        Some(_) | None => limits,
    }
}

/// Who sent what is over is of no interest any more.
fn forget_sent(tx: &mut Tx<'_>, command: &Command) {
    for (instance, _) in command.invocations.iter().filter(|(_, invocation)| invocation.is_over()) {
        tx.state.seen.sent.remove(&(command.id.clone(), instance.clone()));
    }
}

/// Whether an instance can be sent a command now, and to which boot.
fn target(tx: &Tx<'_>, instance: &InstanceId) -> (Target, Generation) {
    let Some(row) = tx.get::<Instance>(instance.as_str()) else { return (Target::Gone, ANY_BOOT) };
    let target = match row.phase {
        Phase::ShuttingDown | Phase::Terminated { .. } => Target::Gone,
        Phase::Pending | Phase::Stopping | Phase::Stopped => Target::Away,
        Phase::Running => {
            let seen = tx.state.seen.machines.get(instance);
            let lives = |seen: &crate::SeenMachine| seen.state == MachineState::Running;
            let ready = seen.is_some_and(|seen| lives(seen) && seen.generation == row.generation);
            if ready { Target::Ready } else { Target::Away }
        }
    };
    (target, row.generation)
}

/// What an invocation is after this was heard of it.
fn heard(
    tx: &mut Tx<'_>,
    command: &CommandId,
    instance: &InstanceId,
    invocation: Invocation,
    seen: SeenCommand,
) -> Invocation {
    let SeenCommand { started, ended: outcome } = seen;
    let begun = match invocation {
        Invocation::Sent { boot, .. } | Invocation::Withdrawing { boot, .. } if started => {
            Invocation::InProgress { since: tx.now, boot }
        }
        Invocation::Waiting
        | Invocation::Sent { .. }
        | Invocation::Withdrawing { .. }
        | Invocation::InProgress { .. }
        | Invocation::Cancelling { .. }
        | Invocation::NotRun { .. }
        | Invocation::Done { .. } => invocation,
    };
    let Some(mut outcome) = outcome else { return begun };
    let ours = tx.state.seen.sent.contains(&(command.clone(), instance.clone()));
    let next = ended(begun, outcome.end, ours, tx.now);
    if let Invocation::Done { end: CommandEnd::Lost, .. } = next
        && outcome.end == CommandEnd::Unreached
    {
        outcome.note = UNKNOWN.to_string();
    }
    if next.is_over() {
        keep_output(tx, command, instance, outcome);
    }
    next
}

/// What an invocation is after it ended on its instance. `ours` says whether
/// it was this daemon that sent it.
fn ended(invocation: Invocation, end: CommandEnd, ours: bool, at: Time) -> Invocation {
    let not_run = |why| Invocation::NotRun { at, why };
    let done = |since, end| Invocation::Done { since, at, end };
    match invocation {
        // What was sent before it went back to wait is of no interest any more.
        Invocation::Waiting | Invocation::NotRun { .. } | Invocation::Done { .. } => invocation,
        Invocation::Cancelling { since, .. } => match end {
            CommandEnd::Withdrawn | CommandEnd::Undeliverable => not_run(NotRun::Cancelled),
            CommandEnd::Unreached | CommandEnd::Lost => done(since, CommandEnd::Cancelled),
            CommandEnd::Exited(_) | CommandEnd::TimedOut | CommandEnd::Cancelled => done(since, end),
        },
        Invocation::Sent { at: since, .. } => match end {
            CommandEnd::Unreached if ours => Invocation::Waiting,
            CommandEnd::Unreached => done(since, CommandEnd::Lost),
            CommandEnd::Withdrawn => not_run(NotRun::DeliveryTimedOut),
            CommandEnd::Undeliverable => not_run(NotRun::Undeliverable),
            CommandEnd::Exited(_) | CommandEnd::TimedOut | CommandEnd::Cancelled | CommandEnd::Lost => done(since, end),
        },
        Invocation::Withdrawing { at: since, .. } => match end {
            CommandEnd::Unreached if ours => not_run(NotRun::DeliveryTimedOut),
            CommandEnd::Unreached => done(since, CommandEnd::Lost),
            CommandEnd::Withdrawn => not_run(NotRun::DeliveryTimedOut),
            CommandEnd::Undeliverable => not_run(NotRun::Undeliverable),
            CommandEnd::Exited(_) | CommandEnd::TimedOut | CommandEnd::Cancelled | CommandEnd::Lost => done(since, end),
        },
        Invocation::InProgress { since, .. } => match end {
            CommandEnd::Unreached | CommandEnd::Withdrawn | CommandEnd::Undeliverable => done(since, CommandEnd::Lost),
            CommandEnd::Exited(_) | CommandEnd::TimedOut | CommandEnd::Cancelled | CommandEnd::Lost => done(since, end),
        },
    }
}

fn keep_output(tx: &mut Tx<'_>, command: &CommandId, instance: &InstanceId, outcome: CommandOutcome) {
    let CommandOutcome { note, steps, .. } = outcome;
    if !note.is_empty() || !steps.is_empty() {
        tx.put(CommandOutput { command: command.clone(), instance: instance.clone(), note, steps });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was sent ends in one way for each answer of the host; what never
    /// arrived is sent again only by who knows that it did not.
    #[test]
    fn answers_of_hosts() {
        let (at, boot, since) = (Time(9), Generation(1), Time(5));
        let sent = Invocation::Sent { at: since, boot };
        let withdrawing = Invocation::Withdrawing { at: since, boot };
        let running = Invocation::InProgress { since, boot };
        let cancelling = Invocation::Cancelling { since, boot };
        let done = |end| Invocation::Done { since, at, end };
        let not_run = |why| Invocation::NotRun { at, why };
        for (before, end, ours, after) in [
            (sent, CommandEnd::Exited(0), true, done(CommandEnd::Exited(0))),
            (sent, CommandEnd::Unreached, true, Invocation::Waiting),
            (sent, CommandEnd::Unreached, false, done(CommandEnd::Lost)),
            (sent, CommandEnd::Lost, true, done(CommandEnd::Lost)),
            (withdrawing, CommandEnd::Withdrawn, true, not_run(NotRun::DeliveryTimedOut)),
            (withdrawing, CommandEnd::Unreached, true, not_run(NotRun::DeliveryTimedOut)),
            (withdrawing, CommandEnd::Unreached, false, done(CommandEnd::Lost)),
            (withdrawing, CommandEnd::Exited(1), true, done(CommandEnd::Exited(1))),
            (running, CommandEnd::TimedOut, true, done(CommandEnd::TimedOut)),
            (running, CommandEnd::Unreached, true, done(CommandEnd::Lost)),
            (cancelling, CommandEnd::Withdrawn, true, not_run(NotRun::Cancelled)),
            (cancelling, CommandEnd::Cancelled, true, done(CommandEnd::Cancelled)),
            (cancelling, CommandEnd::Unreached, false, done(CommandEnd::Cancelled)),
            // It was over before it could be cancelled.
            (cancelling, CommandEnd::Exited(0), true, done(CommandEnd::Exited(0))),
            (Invocation::Waiting, CommandEnd::Unreached, true, Invocation::Waiting),
        ] {
            assert_eq!(ended(before, end, ours, at), after, "{before:?} {end:?} {ours}");
        }
    }
}
