//! Simulated Run Command: the daemon's tasks that ask, and what the first
//! processes of machines know of commands. A first process outlives the
//! daemon, runs a command once in its life, and forgets all with its boot.

use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::{CommandEnd, CommandOutcome, Generation, HostFact, MachineState, StepEnd, StepOutcome};
use elastane_domain::time::{Span, Time};
use elastane_engine::Rng;
use std::collections::BTreeMap;

use crate::host::Held;

/// Names a command on an instance.
pub type Name = (CommandId, InstanceId);

/// Who wants what of a first process.
#[derive(Clone, Debug)]
struct Task {
    boot: Generation,
    /// When the request arrives; it has, when it is heard.
    arrives: Time,
    heard: bool,
}

/// What a first process knows of a command.
#[derive(Clone, Debug)]
enum Known {
    Runs { until: Time, end: StepEnd },
    Ended(CommandOutcome),
    Withdrawn,
}

/// All of it.
#[derive(Default)]
pub struct Commands {
    tasks: BTreeMap<Name, Task>,
    /// Requests to end a command: when they arrive, and whether one that runs goes on.
    ends: BTreeMap<Name, (Time, bool)>,
    known: BTreeMap<Name, (Generation, Known)>,
    /// How often a command was run on an instance, to find what runs twice.
    pub executions: BTreeMap<Name, u32>,
    facts: Vec<HostFact>,
}

/// Machines by their instances.
type Machines = BTreeMap<InstanceId, Held>;

fn lives(machines: &Machines, instance: &InstanceId, boot: Generation) -> bool {
    machines.get(instance).is_some_and(|held| held.state == MachineState::Running && held.generation == boot)
}

impl Commands {
    /// Accepts a request to run a command; one that is asked for already is not asked for twice.
    pub fn run(&mut self, name: Name, boot: Generation, now: Time, rng: &mut Rng) {
        // Now and then a machine does not listen for a while.
        let slow = rng.below(12) == 0;
        let after = if slow { Span::from_secs(rng.below(90) as i64) } else { Span(rng.below(50) as i64) };
        self.tasks.entry(name).or_insert(Task { boot, arrives: now + after, heard: false });
    }

    /// Accepts a request to end a command, or to take it back.
    pub fn end(&mut self, name: Name, unless_running: bool, now: Time) {
        self.tasks.remove(&name);
        self.ends.insert(name, (now + Span(20), unless_running));
    }

    /// How many machines run a command.
    pub fn running(&self, command: &CommandId) -> usize {
        let runs = |known: &(Generation, Known)| matches!(known.1, Known::Runs { .. });
        self.known.iter().filter(|((id, _), known)| id == command && runs(known)).count()
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Time> {
        let asked = self.tasks.values().filter(|task| !task.heard).map(|task| task.arrives);
        let ends = self.ends.values().map(|(at, _)| *at);
        let done = self.known.values().filter_map(|(_, known)| match known {
            Known::Runs { until, .. } => Some(*until),
            Known::Ended(_) | Known::Withdrawn => None,
        });
        asked.chain(ends).chain(done).min()
    }

    /// Does what is due, and returns what is to be told.
    pub fn advance(&mut self, machines: &Machines, now: Time, rng: &mut Rng) -> Vec<HostFact> {
        self.forget_dead(machines);
        let ended: Vec<Name> = self.known.iter().filter(|(_, (_, known))| is_due(known, now)).map(named).collect();
        for name in ended {
            let Some((boot, Known::Runs { end, .. })) = self.known.get(&name).cloned() else { continue };
            self.over(&name, boot, end);
        }
        let arrived = self.tasks.iter().filter(|(_, task)| !task.heard && task.arrives <= now).map(named);
        for name in arrived.collect::<Vec<_>>() {
            self.arrive(machines, name, now, rng);
        }
        let asked = self.ends.iter().filter(|(_, (at, _))| *at <= now).map(named);
        for name in asked.collect::<Vec<_>>() {
            self.end_arrives(machines, name);
        }
        std::mem::take(&mut self.facts)
    }

    /// Boots that are over know nothing; who waits for them is told.
    fn forget_dead(&mut self, machines: &Machines) {
        let dead = |(name, (boot, _)): &(&Name, &(Generation, Known))| !lives(machines, &name.1, *boot);
        for name in self.known.iter().filter(dead).map(named).collect::<Vec<_>>() {
            self.known.remove(&name);
            if self.tasks.get(&name).is_some_and(|task| task.heard) {
                self.tasks.remove(&name);
                self.done(name, CommandOutcome::without_steps(CommandEnd::Lost, "It died."));
            }
        }
    }

    /// A command ends; who waits for it is told.
    fn over(&mut self, name: &Name, boot: Generation, end: StepEnd) {
        let step = StepOutcome { end, stdout: "done".to_string(), stderr: String::new(), elapsed_ms: 1 };
        let outcome = CommandOutcome::of_step(step);
        self.known.insert(name.clone(), (boot, Known::Ended(outcome.clone())));
        if self.tasks.remove(name).is_some() {
            self.done(name.clone(), outcome);
        }
    }

    fn arrive(&mut self, machines: &Machines, name: Name, now: Time, rng: &mut Rng) {
        let Some(task) = self.tasks.get_mut(&name) else { return };
        let boot = task.boot;
        if !lives(machines, &name.1, boot) {
            self.tasks.remove(&name);
            return self.done(name, CommandOutcome::without_steps(CommandEnd::Unreached, "It does not run."));
        }
        match self.known.get(&name).map(|(_, known)| known.clone()) {
            Some(Known::Ended(outcome)) => {
                self.tasks.remove(&name);
                self.done(name, outcome);
            }
            Some(Known::Withdrawn) => {
                self.tasks.remove(&name);
                self.done(name, CommandOutcome::without_steps(CommandEnd::Withdrawn, ""));
            }
            Some(Known::Runs { .. }) => {
                task.heard = true;
                self.started(name);
            }
            None => {
                task.heard = true;
                *self.executions.entry(name.clone()).or_default() += 1;
                let until = now + Span::from_secs(1 + rng.below(90) as i64);
                let end = match rng.below(6) {
                    0 => StepEnd::Exited(1),
                    1 => StepEnd::TimedOut,
                    _ => StepEnd::Exited(0),
                };
                self.known.insert(name.clone(), (boot, Known::Runs { until, end }));
                self.started(name);
            }
        }
    }

    fn end_arrives(&mut self, machines: &Machines, name: Name) {
        let Some((_, unless_running)) = self.ends.remove(&name) else { return };
        let Some(held) = machines.get(&name.1).filter(|held| held.state == MachineState::Running) else {
            return self.done(name, CommandOutcome::without_steps(CommandEnd::Unreached, "It does not run."));
        };
        match self.known.get(&name).cloned() {
            None => {
                self.known.insert(name.clone(), (held.generation, Known::Withdrawn));
                self.done(name, CommandOutcome::without_steps(CommandEnd::Withdrawn, ""));
            }
            Some((_, Known::Withdrawn)) => {
                self.done(name, CommandOutcome::without_steps(CommandEnd::Withdrawn, ""));
            }
            Some((_, Known::Ended(outcome))) => self.done(name, outcome),
            Some((_, Known::Runs { .. })) if unless_running => self.started(name),
            Some((boot, Known::Runs { .. })) => {
                self.over(&name, boot, StepEnd::Cancelled);
                if let Some((_, Known::Ended(outcome))) = self.known.get(&name) {
                    let outcome = outcome.clone();
                    self.done(name, outcome);
                }
            }
        }
    }

    fn started(&mut self, (command, instance): Name) {
        self.facts.push(HostFact::CommandStarted { command, instance });
    }

    fn done(&mut self, (command, instance): Name, outcome: CommandOutcome) {
        self.facts.push(HostFact::CommandDone { command, instance, outcome });
    }

    /// The daemon dies: what it asked and was not heard is lost; what runs goes on.
    pub fn restart(&mut self) {
        self.tasks.clear();
        self.ends.clear();
        self.facts.clear();
    }
}

fn named<T>((name, _): (&Name, T)) -> Name {
    name.clone()
}

fn is_due(known: &Known, now: Time) -> bool {
    matches!(known, Known::Runs { until, .. } if *until <= now)
}
