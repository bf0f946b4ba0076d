//! Rules of Run Command: limits of concurrency and errors, no sending after
//! the time for it, nothing runs twice, and what is said not to have run has
//! not.

use crate::commands::Commands;
use crate::met::Met;
use crate::run::Violation;
use elastane_domain::machine::CommandEnd;
use elastane_domain::time::Time;
use elastane_engine::row::{Command, Invocation, NotRun};

/// Looks at a command that is about to be durable; `before` is what it was.
pub fn committed(met: &mut Met, before: Option<&Command>, row: &Command, now: Time) -> Result<(), Violation> {
    count(met, before, row);
    let was = |id| before.and_then(|before| before.invocations.get(id)).copied();
    let unsent = |invocation: Option<Invocation>| matches!(invocation, None | Some(Invocation::Waiting));
    let mut sent =
        row.invocations.iter().filter(|(id, one)| matches!(one, Invocation::Sent { .. }) && unsent(was(*id)));
    if let Some((instance, _)) = sent.next() {
        let limits = row.limits(now);
        let errors = row.invocations.values().filter(|one| one.is_error()).count();
        let out = row.invocations.values().filter(|one| one.boot().is_some()).count();
        let what = || format!("{} on {instance}: {errors} errors, {out} out, {limits:?}", row.id);
        if errors > limits.errors_max {
            return Err(Violation::new("too many errors end the sending", now, what()));
        }
        if out > limits.at_once {
            return Err(Violation::new("no more run at a time than MaxConcurrency", now, what()));
        }
        if limits.expired {
            return Err(Violation::new("nothing is sent after its time", now, what()));
        }
    }
    let over = before.into_iter().flat_map(|before| &before.invocations).filter(|(_, one)| one.is_over());
    for (instance, ended) in over {
        if row.invocations.get(instance) != Some(ended) {
            return Err(Violation::new("what is over stays so", now, format!("{} on {instance}", row.id)));
        }
    }
    Ok(())
}

/// Counts how invocations end.
fn count(met: &mut Met, before: Option<&Command>, row: &Command) {
    for (instance, invocation) in &row.invocations {
        let was = before.and_then(|before| before.invocations.get(instance));
        if was == Some(invocation) {
            continue;
        }
        match invocation {
            Invocation::NotRun { why: NotRun::DeliveryTimedOut, .. } => met.add("commands not delivered in time"),
            Invocation::NotRun { why: NotRun::Terminated, .. } => met.add("commands ended by errors"),
            Invocation::NotRun { why: NotRun::Cancelled, .. } => met.add("commands cancelled before they ran"),
            Invocation::NotRun { why: NotRun::Undeliverable, .. } => met.add("commands to instances that were gone"),
            Invocation::Done { end: CommandEnd::Cancelled, .. } => met.add("commands cancelled while they ran"),
            Invocation::Done { end: CommandEnd::Lost, .. } => met.add("commands lost with their instances"),
            Invocation::Done { .. } => met.add("commands run"),
            Invocation::Waiting if matches!(was, Some(Invocation::Sent { .. })) => met.add("commands sent again"),
            Invocation::Withdrawing { .. } => met.add("commands taken back"),
            Invocation::Waiting
            | Invocation::Sent { .. }
            | Invocation::InProgress { .. }
            | Invocation::Cancelling { .. } => {}
        }
    }
}

/// Looks at what machines do, and at what the rows say of it.
pub fn look<'a>(rows: impl Iterator<Item = &'a Command>, machines: &Commands, now: Time) -> Result<(), Violation> {
    if let Some(((command, instance), count)) = machines.executions.iter().find(|(_, count)| **count > 1) {
        return Err(Violation::new("no command runs twice", now, format!("{command} on {instance} {count} times")));
    }
    for row in rows {
        let limit = row.limits(now).at_once;
        let running = machines.running(&row.id);
        if running > limit {
            let what = format!("{}: {running} run and {limit} may", row.id);
            return Err(Violation::new("no more run at a time than MaxConcurrency", now, what));
        }
        for (instance, invocation) in &row.invocations {
            let ran = || machines.executions.contains_key(&(row.id.clone(), instance.clone()));
            if let Invocation::NotRun { why, .. } = invocation
                && ran()
            {
                let what = format!("{} on {instance}: {why:?}", row.id);
                return Err(Violation::new("what is said not to have run has not", now, what));
            }
        }
    }
    Ok(())
}
