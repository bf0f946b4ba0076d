//! A scope on an engine with a host that does at once what it is told: what
//! the tests of this service run their calls on.

use crate::{Call, Caller, Change, World};
use elastane_domain::id::InstanceId;
use elastane_domain::machine::HostFact;
use elastane_domain::time::{Span, Time};
use elastane_engine::row::Row;
use elastane_engine::{Config, Effect, Engine, Fact, Scope, View};
use elastane_wire::{ApiError, ec2 as wire};

pub(super) struct Scene {
    pub engine: Engine,
    pub scope: Scope,
    pub now: Time,
    caller: Caller,
}

/// Rounds until the host has nothing left to do; a bug must not hang a test.
const ROUNDS_MAX: usize = 20;

/// An image's size on the scene's host.
pub(super) const LAYER_BYTES: u64 = 12 << 30;

impl World for Scene {
    fn console(&self, instance: &InstanceId) -> Option<Vec<u8>> {
        Some(format!("console of {instance}").into_bytes())
    }
}

impl Scene {
    pub fn new() -> Scene {
        let scope = Scope::new("000000000000", "us-east-1");
        let mut engine = Engine::open(Config::default(), 7, Vec::new()).expect("no rows");
        let now = Time(1_767_261_600_000);
        engine.transact(&scope, now, |_| Ok::<_, ApiError>(())).expect("nothing fails");
        engine.handle(now, vec![Fact::Host(HostFact::Inventory(Vec::new()))]);
        let caller = Caller::root(&scope.account, "AKIAIOSFODNN7EXAMPLE");
        Scene { engine, scope, now, caller }
    }

    pub fn write<T>(&mut self, change: impl FnOnce(&mut Change<'_, '_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let caller = &self.caller;
        self.engine.transact(&self.scope, self.now, |tx| change(&mut Change { tx, caller, world: &crate::NoWorld }))
    }

    pub fn view(&self) -> View<'_> {
        self.engine.view(&self.scope, self.now).expect("made in new")
    }

    pub fn read<T>(&self, read: impl FnOnce(&Call<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        read(&Call { view: self.view(), caller: &self.caller, world: self })
    }

    pub fn row<R: Row>(&self, id: &str) -> R {
        self.view().get::<R>(id).expect("the row").as_ref().clone()
    }

    /// One round of the engine; what the host is told to do.
    pub fn round(&mut self) -> Vec<Effect> {
        self.engine.handle(self.now, Vec::new()).effects
    }

    /// Rounds in which the host does all it is told, until it is told
    /// nothing; what it did.
    pub fn settle(&mut self) -> Vec<Effect> {
        let mut did = Vec::new();
        let mut effects = self.round();
        for _ in 0..ROUNDS_MAX {
            did.extend(effects.iter().cloned());
            let facts: Vec<Fact> = effects.into_iter().filter_map(done).map(Fact::Host).collect();
            if facts.is_empty() {
                return did;
            }
            effects = self.engine.handle(self.now, facts).effects;
        }
        panic!("the host still has something to do");
    }

    pub fn pass(&mut self, span: Span) {
        self.now += span;
        self.settle();
    }

    /// Launches `count` instances of the built-in image.
    pub fn launch(&mut self, count: i32) -> Vec<String> {
        let input = run(count);
        let reservation = self.write(|change| super::run_instances(change, &input)).expect("a launch");
        reservation.instances.into_iter().filter_map(|instance| instance.instance_id).collect()
    }

    /// The state's name of an instance.
    pub fn state(&self, id: &str) -> &'static str {
        self.row::<elastane_engine::row::Instance>(id).phase.state().name()
    }
}

/// A call that launches `count` instances of the built-in image.
pub(super) fn run(count: i32) -> wire::RunInstancesRequest {
    wire::RunInstancesRequest {
        image_id: Some(elastane_engine::network::host_image().to_string()),
        instance_type: Some("t3.micro".to_string()),
        min_count: Some(count),
        max_count: Some(count),
        ..Default::default()
    }
}

pub(super) fn filter(name: &str, values: &[&str]) -> wire::Filter {
    wire::Filter { name: Some(name.to_string()), values: values.iter().map(|value| value.to_string()).collect() }
}

pub(super) fn tag(key: &str, value: &str) -> wire::Tag {
    wire::Tag { key: Some(key.to_string()), value: Some(value.to_string()) }
}

fn done(effect: Effect) -> Option<HostFact> {
    match effect {
        Effect::Launch(spec) => Some(HostFact::Booted { instance: spec.instance, generation: spec.generation }),
        Effect::Stop { instance, generation } => Some(HostFact::Exited { instance, generation }),
        Effect::Terminate { instance } => Some(HostFact::Removed { instance }),
        Effect::Capture { image, .. } => Some(HostFact::Captured { image, bytes: LAYER_BYTES }),
        Effect::DeleteImage { .. } | Effect::RunCommand { .. } | Effect::EndCommand { .. } | Effect::Route(_) => None,
        Effect::Network(_) | Effect::EndNetwork { .. } | Effect::Notify(_) | Effect::EndSession { .. } => None,
    }
}
