//! From rows to effects: what the world must do so that it becomes as the
//! rows say. Effects are remembered while they are under way and issued
//! again when nothing was heard of them for a while.

use super::alarms::Timer;
use super::network::{self, Networks, Touched};
use super::routing;
use crate::cursor::Cursor;
use crate::engine::{Config, Effect, Plant};
use crate::images;
use crate::launch;
use crate::row::*;
use crate::scope::Scope;
use crate::state::{SeenMachine, State, Tables, View};
use elastane_domain::id::*;
use elastane_domain::machine::{Generation, MachineState};
use elastane_domain::routing::Snapshot;
use elastane_domain::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An effect that nothing was heard of is issued again after this. Hosts
/// answer within seconds; effects are idempotent, so early is harmless.
const RETRY: Span = Span::from_mins(10);

/// Names an effect while it is under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Launch(InstanceId, Generation),
    Stop(InstanceId, Generation),
    Terminate(InstanceId),
    Capture(ImageId),
    DeleteImage(ImageId),
    Network(VpcId, u64),
    Command(CommandId, InstanceId, Generation),
    EndCommand { command: CommandId, instance: InstanceId, unless_running: bool },
    Notify(String),
    EndSession(String),
}

/// What the engine remembers besides rows and sights: nothing in it survives
/// a restart, and nothing in it needs to.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    under_way: BTreeMap<Key, Time>,
    /// Instances that the host says are gone altogether.
    pub removed: BTreeSet<InstanceId>,
    /// Alarms' timers.
    pub alarms: BTreeMap<(Scope, AlarmName), Timer>,
    /// Notifications that were delivered.
    pub notified: BTreeSet<String>,
    /// The minute of which group metrics were written last.
    pub group_metrics: BTreeMap<Scope, Time>,
    /// Images whose layers are there, to notice those whose rows went.
    pub layers: BTreeSet<ImageId>,
    /// The network plans that should be in force.
    pub networks: Networks,
    route: Option<Arc<Snapshot>>,
}

impl Memory {
    /// Something was heard of an instance: what it still needs may be issued at once.
    pub fn landed(&mut self, instance: &InstanceId) {
        self.under_way.retain(|key, _| match key {
            Key::Launch(id, _) | Key::Stop(id, _) | Key::Terminate(id) => id != instance,
            Key::Capture(_)
            | Key::DeleteImage(_)
            | Key::Network(..)
            | Key::Command(..)
            | Key::EndCommand { .. }
            | Key::Notify(_)
            | Key::EndSession(_) => true,
        });
    }

    /// Forgets what belongs to rows; what is under way stays.
    pub fn reset(&mut self) {
        self.alarms.clear();
        self.group_metrics.clear();
        self.removed.clear();
    }

    /// The newest routing snapshot.
    pub fn route(&self) -> Option<&Snapshot> {
        self.route.as_deref()
    }
}

/// Collects effects, each once while it is under way.
struct Collector<'a> {
    memory: &'a mut Memory,
    now: Time,
    effects: Vec<Effect>,
    wanted: BTreeSet<Key>,
}

impl Collector<'_> {
    fn want(&mut self, key: Key, effect: impl FnOnce() -> Option<Effect>) {
        let waiting = self.memory.under_way.get(&key).is_some_and(|at| self.now < *at + RETRY);
        self.wanted.insert(key.clone());
        if !waiting && let Some(effect) = effect() {
            self.memory.under_way.insert(key, self.now);
            self.effects.push(effect);
        }
    }
}

/// Which rows changed since the last time.
pub(crate) struct News {
    /// Some that routing is made of.
    pub rerouted: bool,
    /// Those that networks are made of.
    pub touched: Touched,
}

/// Everything that is to be done now.
pub(crate) fn effects(state: &State, config: &Config, memory: &mut Memory, now: Time, news: &News) -> Vec<Effect> {
    if !state.seen.inventoried {
        return Vec::new();
    }
    let ended = if network::made_at_all(config) {
        memory.networks.follow(state, config, &news.touched, now)
    } else {
        Vec::new()
    };
    let plans: Vec<_> = memory.networks.plans().cloned().collect();
    let mut collector = Collector { memory, now, effects: Vec::new(), wanted: BTreeSet::new() };
    // Networks come before the launches that need them.
    for plan in plans.into_iter().filter(|plan| !network::in_force(&state.seen, plan)) {
        collector.want(Key::Network(plan.vpc.clone(), plan.generation), || Some(Effect::Network(plan)));
    }
    let mut owned = Vec::new();
    let mut machines = Cursor::over(&state.seen.machines);
    for (scope, tables) in &state.scopes {
        let view = View { state, tables, scope, now };
        let captured = captured_stopped(tables);
        for instance in tables.instances.values() {
            if !matches!(instance.phase, Phase::Terminated { .. }) {
                owned.push(&instance.id);
            }
            want_of_instance(&mut collector, (&view, config), (instance, machines.get(&instance.id)), &captured);
        }
        for image in tables.images.values() {
            want_of_image(&mut collector, tables, state, image);
        }
        for command in tables.commands.values() {
            want_of_command(&mut collector, command);
        }
        for notification in tables.notifications.values() {
            let key = Key::Notify(notification.id.clone());
            collector.want(key, || Some(Effect::Notify(notification.clone())));
        }
    }
    if config.plant != Some(Plant::ReaperOff) {
        // Each scope's are in order already.
        owned.sort();
        let mut owned = owned.into_iter().peekable();
        for instance in state.seen.machines.keys() {
            while owned.next_if(|id| *id < instance).is_some() {}
            if owned.peek() == Some(&instance) {
                continue;
            }
            let instance = instance.clone();
            collector.want(Key::Terminate(instance.clone()), || Some(Effect::Terminate { instance }));
        }
    }
    for (id, end) in super::sessions::to_end(state) {
        let session = id.clone();
        collector.want(Key::EndSession(id), || Some(Effect::EndSession { session, end }));
    }
    want_layers_gone(&mut collector, state, config);
    let Collector { effects: mut found, wanted, memory, .. } = collector;
    memory.under_way.retain(|key, _| wanted.contains(key));
    found.extend(ended.into_iter().map(|vpc| Effect::EndNetwork { vpc }));
    if config.plant == Some(Plant::LaunchBeforeNetwork) {
        found.sort_by_key(|effect| matches!(effect, Effect::Network(_)));
    }
    if news.rerouted || memory.route.is_none() {
        found.extend(route(state, config, memory));
    }
    found
}

fn want_of_instance(
    collector: &mut Collector<'_>,
    (view, config): (&View<'_>, &Config),
    (instance, seen): (&Instance, Option<&SeenMachine>),
    captured: &BTreeSet<&InstanceId>,
) {
    let alive = seen.filter(|seen| seen.state == MachineState::Running);
    let id = || instance.id.clone();
    let stop = |generation| (Key::Stop(id(), generation), Effect::Stop { instance: id(), generation });
    match instance.phase {
        Phase::Pending | Phase::Running => match alive {
            Some(seen) if seen.generation == instance.generation => {}
            Some(seen) => {
                let (key, effect) = stop(seen.generation);
                collector.want(key, || Some(effect));
            }
            None if instance.phase == Phase::Running && seen.is_none() => {}
            None if captured.contains(&instance.id) => {}
            None => collector.want(Key::Launch(id(), instance.generation), || {
                let mut spec = launch::spec(view, instance)?;
                spec.cpu_millicores = launch::millicores(&instance.instance_type, config.vcpu_millicores);
                Some(Effect::Launch(Box::new(spec)))
            }),
        },
        Phase::Stopping | Phase::Stopped => {
            if let Some(seen) = alive {
                let (key, effect) = stop(seen.generation);
                collector.want(key, || Some(effect));
            }
        }
        Phase::ShuttingDown => collector.want(Key::Terminate(id()), || Some(Effect::Terminate { instance: id() })),
        Phase::Terminated { .. } => {}
    }
}

/// Instances that stay stopped until an image of them is captured.
fn captured_stopped(tables: &Tables) -> BTreeSet<&InstanceId> {
    let waiting = tables.images.values().filter(|image| image.phase == ImagePhase::Pending && image.reboot);
    waiting.filter_map(|image| image.source.as_ref()).collect()
}

fn want_of_image(collector: &mut Collector<'_>, tables: &Tables, state: &State, image: &Image) {
    if let Some(source) = image.source.as_ref().filter(|_| image.phase == ImagePhase::Pending) {
        let running = state.seen.machines.get(source).is_some_and(|seen| seen.state == MachineState::Running);
        let ready = !image.reboot || !running;
        if ready && tables.instances.contains_key(source.as_str()) {
            let (image, instance) = (image.id.clone(), source.clone());
            collector.want(Key::Capture(image.clone()), || Some(Effect::Capture { image, instance }));
        }
    }
}

/// A layer that no image, no snapshot and no living instance of any scope has
/// is removed from the host. Hosts tell their layers when they start, so none
/// outlives a crash.
fn want_layers_gone(collector: &mut Collector<'_>, state: &State, config: &Config) {
    let mut known = images::layers_of_rows(state);
    let dropped = config.plant == Some(Plant::LayerDropped);
    if dropped {
        known.retain(|id| state.scopes.values().any(|tables| tables.images.contains_key(id.as_str())));
    }
    let mut gone: BTreeSet<ImageId> = collector.memory.layers.difference(&known).cloned().collect();
    collector.memory.layers.extend(known);
    if !gone.is_empty() && !dropped {
        let instances = state.scopes.values().flat_map(|tables| tables.instances.values());
        for instance in instances.filter(|row| !matches!(row.phase, Phase::Terminated { .. })) {
            gone.retain(|id| !instance.layers.contains(id));
        }
    }
    for image in gone {
        collector.memory.layers.remove(&image);
        collector.want(Key::DeleteImage(image.clone()), || Some(Effect::DeleteImage { image }));
    }
}

fn want_of_command(collector: &mut Collector<'_>, command: &Command) {
    for (instance, invocation) in command.invocations.iter().filter(|(_, invocation)| !invocation.is_over()) {
        let id = || (command.id.clone(), instance.clone());
        match *invocation {
            Invocation::Sent { boot, .. } | Invocation::InProgress { boot, .. } => {
                let (id, instance) = id();
                collector.want(Key::Command(id.clone(), instance.clone(), boot), || {
                    Some(Effect::RunCommand { command: id, instance, boot, steps: command.steps.clone() })
                });
            }
            Invocation::Withdrawing { .. } => end_command(collector, id(), true),
            Invocation::Cancelling { .. } => end_command(collector, id(), false),
            Invocation::Waiting | Invocation::NotRun { .. } | Invocation::Done { .. } => {}
        }
    }
}

fn end_command(collector: &mut Collector<'_>, (command, instance): (CommandId, InstanceId), unless_running: bool) {
    let key = Key::EndCommand { command: command.clone(), instance: instance.clone(), unless_running };
    collector.want(key, || Some(Effect::EndCommand { command, instance, unless_running }));
}

/// The new routing snapshot, if it differs from the last one.
fn route(state: &State, config: &Config, memory: &mut Memory) -> Option<Effect> {
    let last = memory.route.as_ref().map_or(0, |snapshot| snapshot.generation);
    let mut snapshot = routing::compile(state, config, last);
    if memory.route.as_ref().is_some_and(|old| **old == snapshot) {
        return None;
    }
    snapshot.generation = last + 1;
    let snapshot = Arc::new(snapshot);
    memory.route = Some(snapshot.clone());
    Some(Effect::Route(snapshot))
}
