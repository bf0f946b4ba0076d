//! Run Command on the daemon's side: a task for each command on each
//! instance, which asks the instance's first process to run it and waits for
//! its end, and the asking of all instances whether they are there.
//!
//! A task tells `CommandStarted` when the scripts run and `CommandDone` once,
//! unless it is aborted. `Unreached` is said only when the first process
//! cannot have got the request from this task.

use crate::agent_client;
use crate::host::{Host, Inner};
use crate::init::{Answer, Ask, RunRequest};
use crate::record::Phase;
use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::{CommandEnd, CommandOutcome, CommandStep, Generation, HostFact};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Commands at a time on this host; further ones wait.
const COMMANDS_MAX: usize = 1_000;
/// Between two attempts to reach an instance that does not listen, or is busy.
const RETRY: Duration = Duration::from_secs(1);
/// Beyond the scripts' own limits, for the ending of what they started.
const SLACK: Duration = Duration::from_secs(60);
/// How long the ending of a command may take: the keeper's limits and a little more.
const END_LIMIT: Duration = Duration::from_secs(90);
/// How long an instance may take to say that it is there.
const PING_LIMIT: Duration = Duration::from_secs(5);
/// How often instances are asked whether they are there, in wall time. AWS's
/// agents tell every five minutes (ssm.md 8).
const PING_EVERY: Duration = Duration::from_secs(30);
/// Instances that are asked at a time.
const PINGS_MAX: usize = 32;

/// Names a command on an instance.
type Name = (CommandId, InstanceId);

/// The tasks of commands, and who may run.
pub(crate) struct Commands {
    tasks: Mutex<BTreeMap<Name, AbortHandle>>,
    slots: Arc<Semaphore>,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands { tasks: Mutex::default(), slots: Arc::new(Semaphore::new(COMMANDS_MAX)) }
    }
}

impl Commands {
    fn tasks(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, AbortHandle>> {
        self.tasks.lock().expect("no code panics under this lock")
    }
}

impl Host {
    /// Runs the steps of a command as root in a boot of an instance, once.
    /// `CommandStarted` and `CommandDone` follow; both are told again for one
    /// that runs or ran already. Each step and what it started is killed when
    /// its time is over.
    pub fn run_command(&self, command: &CommandId, instance: &InstanceId, boot: Generation, steps: Vec<CommandStep>) {
        let limit =
            steps.iter().map(|step| Duration::from_secs(u64::from(step.timeout_secs))).sum::<Duration>() + SLACK;
        let ask = Ask::Run(RunRequest { command: command.to_string(), steps });
        let name = (command.clone(), instance.clone());
        let inner = self.inner().clone();
        let mut tasks = inner.commands.tasks();
        if tasks.get(&name).is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (weak, slots, directory) =
            (Arc::downgrade(&inner), inner.commands.slots.clone(), inner.layout.instance(instance.as_str()));
        let own = name.clone();
        let task = inner.io.spawn(async move {
            let Ok(_slot) = slots.acquire_owned().await else { return };
            let outcome = deliver(&weak, &own, boot, &directory, &ask, limit).await;
            let Some(inner) = weak.upgrade() else { return };
            inner.commands.tasks().remove(&own);
            (inner.facts)(HostFact::CommandDone { command: own.0, instance: own.1, outcome });
        });
        tasks.insert(name, task.abort_handle());
    }

    /// Takes a command back that has not begun; ends one that has, with all
    /// that it started, unless that is to go on. `CommandDone` follows, or
    /// `CommandStarted` for one that goes on.
    pub fn end_command(&self, command: &CommandId, instance: &InstanceId, unless_running: bool) {
        let inner = self.inner().clone();
        let name = (command.clone(), instance.clone());
        // A request that waits at an instance which does not listen is taken back with its connection.
        let task = inner.commands.tasks().remove(&name);
        task.iter().for_each(AbortHandle::abort);
        let directory = inner.layout.instance(instance.as_str());
        let weak = Arc::downgrade(&inner);
        inner.io.spawn(async move {
            let (command, instance) = name;
            let ask = Ask::EndRun { command: command.to_string(), unless_running };
            let limit = if unless_running { PING_LIMIT } else { END_LIMIT };
            let answer = tokio::time::timeout(limit, ask_to_end(&directory, &ask)).await;
            let outcome = match answer {
                Ok(Ok(Answer::Started)) => Ok(()),
                Ok(Ok(Answer::Executed(outcome))) => Err(outcome),
                Ok(Ok(Answer::Withdrawn)) => Err(CommandOutcome::without_steps(CommandEnd::Withdrawn, "")),
                Ok(Ok(_)) => Err(CommandOutcome::without_steps(CommandEnd::Lost, OLDER)),
                // It took the request and is no more: what ran there has ended.
                Ok(Err(err)) if err.kind() == io::ErrorKind::InvalidData => {
                    Err(CommandOutcome::without_steps(CommandEnd::Lost, "The instance stopped."))
                }
                Ok(Err(err)) => {
                    let note = format!("The instance does not answer: {err}.");
                    Err(CommandOutcome::without_steps(CommandEnd::Unreached, note))
                }
                // It will find nobody who waits for it when it gets to the request.
                Err(_) if unless_running => Err(CommandOutcome::without_steps(CommandEnd::Withdrawn, "")),
                Err(_) => Err(CommandOutcome::without_steps(CommandEnd::Lost, "The instance does not answer.")),
            };
            let Some(inner) = weak.upgrade() else { return };
            (inner.facts)(match outcome {
                Ok(()) => HostFact::CommandStarted { command, instance },
                Err(outcome) => HostFact::CommandDone { command, instance, outcome },
            });
        });
    }
}

/// What is said of an instance that another version of this program booted.
const OLDER: &str = "The instance was booted by another version of Elastane. Reboot it to run commands.";

async fn ask_to_end(directory: &Path, ask: &Ask) -> io::Result<Answer> {
    let (_open, path) = agent_client::socket_path(directory)?;
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(&agent_client::line(ask)).await?;
    let mut answer = String::new();
    BufReader::new(stream.take(agent_client::ANSWER_BYTES_MAX)).read_line(&mut answer).await?;
    agent_client::parse(&answer)
}

/// How one attempt to have a command run ended.
enum Attempt {
    /// The request did not arrive, or was not taken.
    Again,
    Over(CommandOutcome),
}

/// Asks until the instance has the request, and waits for the command's end.
async fn deliver(
    host: &Weak<Inner>,
    name: &Name,
    boot: Generation,
    directory: &Path,
    ask: &Ask,
    limit: Duration,
) -> CommandOutcome {
    loop {
        if !runs(host, &name.1, boot) {
            // Who asks again at once would ask for nothing.
            tokio::time::sleep(RETRY).await;
            return CommandOutcome::without_steps(CommandEnd::Unreached, "The instance does not run.");
        }
        let mut started = false;
        let attempt = attempt(host, name, directory, ask, &mut started);
        match tokio::time::timeout(limit, attempt).await {
            Ok(Attempt::Over(outcome)) => return outcome,
            Ok(Attempt::Again) => tokio::time::sleep(RETRY).await,
            Err(_) if started => {
                let note = "The instance does not answer although the time of the command is over.";
                return CommandOutcome::without_steps(CommandEnd::TimedOut, note);
            }
            // The connection is closed now, so it will not be run; it may be asked for again.
            Err(_) => {}
        }
    }
}

/// Whether an instance runs in this boot, or in any for boot 0.
fn runs(host: &Weak<Inner>, instance: &InstanceId, boot: Generation) -> bool {
    let Some(inner) = host.upgrade() else { return false };
    let machines = inner.machines();
    machines.get(instance).is_some_and(|entry| {
        let generation = entry.record.spec.generation;
        entry.record.phase == Phase::Running && (boot == Generation(0) || boot == generation)
    })
}

async fn attempt(host: &Weak<Inner>, name: &Name, directory: &Path, ask: &Ask, started: &mut bool) -> Attempt {
    let connected = async {
        let (_open, path) = agent_client::socket_path(directory)?;
        UnixStream::connect(path).await
    };
    let Ok(mut stream) = connected.await else { return Attempt::Again };
    if stream.write_all(&agent_client::line(ask)).await.is_err() {
        // The line is not complete, so it cannot have been read.
        return Attempt::Again;
    }
    let lost = |why: String| Attempt::Over(CommandOutcome::without_steps(CommandEnd::Lost, why));
    let mut lines = BufReader::new(stream.take(agent_client::ANSWER_BYTES_MAX));
    loop {
        let mut line = String::new();
        let answer = match lines.read_line(&mut line).await {
            Ok(0) if *started => return lost("The instance stopped before the command ended.".to_owned()),
            Ok(0) => return lost("The instance stopped; whether the command ran is not known.".to_owned()),
            Ok(_) => agent_client::parse(&line),
            Err(err) => Err(err),
        };
        match answer {
            Ok(Answer::Started) => {
                *started = true;
                let Some(inner) = host.upgrade() else { return lost(String::new()) };
                (inner.facts)(HostFact::CommandStarted { command: name.0.clone(), instance: name.1.clone() });
            }
            Ok(Answer::Executed(outcome)) => return Attempt::Over(outcome),
            Ok(Answer::Withdrawn) => {
                return Attempt::Over(CommandOutcome::without_steps(CommandEnd::Withdrawn, ""));
            }
            Ok(Answer::Busy) => return Attempt::Again,
            Ok(Answer::Malformed(_)) => {
                return Attempt::Over(CommandOutcome::without_steps(CommandEnd::Undeliverable, OLDER));
            }
            Ok(
                Answer::Pong { .. }
                | Answer::Initialized { .. }
                | Answer::SessionStarted
                | Answer::SessionRefused(_)
                | Answer::ShuttingDown,
            ) => return lost("The instance gave an unexpected answer.".to_owned()),
            Err(err) => return lost(format!("The instance stopped before the command ended: {err}.")),
        }
    }
}

/// Asks all instances that run whether they are there, now and then, for as
/// long as the host is there.
pub(crate) async fn ping(host: Weak<Inner>) {
    loop {
        let Some(inner) = host.upgrade() else { return };
        let (answered, silent) = ping_all(&inner).await;
        if !answered.is_empty() || !silent.is_empty() {
            (inner.facts)(HostFact::Pinged { answered, silent });
        }
        drop(inner);
        tokio::time::sleep(PING_EVERY).await;
    }
}

async fn ping_all(inner: &Arc<Inner>) -> (Vec<InstanceId>, Vec<InstanceId>) {
    let mut running: Vec<(InstanceId, PathBuf)> = {
        let machines = inner.machines();
        let running = machines.iter().filter(|(_, entry)| entry.record.phase == Phase::Running);
        running.map(|(id, _)| (id.clone(), inner.layout.instance(id.as_str()))).collect()
    };
    let (mut answered, mut silent) = (Vec::new(), Vec::new());
    let mut asked = tokio::task::JoinSet::new();
    loop {
        while asked.len() < PINGS_MAX {
            let Some((id, directory)) = running.pop() else { break };
            asked.spawn(async move {
                let asked = tokio::time::timeout(PING_LIMIT, ask_to_end(&directory, &Ask::Ping)).await;
                (id, matches!(asked, Ok(Ok(Answer::Pong { .. }))))
            });
        }
        match asked.join_next().await {
            None => return (answered, silent),
            Some(Ok((id, true))) => answered.push(id),
            Some(Ok((id, false))) => silent.push(id),
            // A task that was aborted asks nobody.
            Some(Err(_)) => {}
        }
    }
}
