//! A small world for tests of handlers: an engine with one scope, and a host
//! that boots what it is told to boot.

use crate::{Caller, World};
use elastane_domain::id::InstanceId;
use elastane_domain::machine::{Generation, HostFact};
use elastane_domain::time::{Span, Time};
use elastane_engine::launch::{Request, launch};
use elastane_engine::row::{LaunchData, Row};
use elastane_engine::{Config, Effect, Engine, Fact, Scope, Tx, View, network};
use elastane_wire::{ApiError, Input, Output};
use std::sync::Arc;

/// An engine with one scope, its clock, and a caller.
pub struct Lab {
    /// The engine.
    pub engine: Engine,
    /// Its only scope.
    pub scope: Scope,
    /// The root of the scope's account.
    pub caller: Caller,
    /// Service time.
    pub now: Time,
}

/// A world without consoles.
struct NoWorld;

impl World for NoWorld {
    fn console(&self, _instance: &InstanceId) -> Option<Vec<u8>> {
        None
    }
}

impl Lab {
    /// A new engine whose host holds nothing.
    pub fn new() -> Lab {
        Lab::with(Config::default())
    }

    /// The same with other settings.
    pub fn with(config: Config) -> Lab {
        let engine = Engine::open(config, 7, Vec::new()).expect("no rows");
        let scope = Scope::new("000000000000", "us-east-1");
        let caller = Caller::root(&scope.account, "AKIAIOSFODNN7EXAMPLE");
        let mut lab = Lab { engine, scope, caller, now: Time(1_767_225_600_000) };
        lab.facts(vec![Fact::Host(HostFact::Inventory(Vec::new()))]);
        lab.change(|_| ());
        lab
    }

    /// Carries out an operation.
    pub fn call(&mut self, input: Input) -> Result<Output, ApiError> {
        let Lab { engine, scope, caller, now } = self;
        engine.transact(scope, *now, |tx| crate::call(tx, caller, &NoWorld, &input))
    }

    /// Changes rows behind the API's back.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        let result: Result<T, ()> = self.engine.transact(&self.scope, self.now, |tx| Ok(change(tx)));
        result.expect("the change cannot fail")
    }

    /// A round of the engine with these facts.
    pub fn facts(&mut self, facts: Vec<Fact>) -> Vec<Effect> {
        self.engine.handle(self.now, facts).effects
    }

    /// Lets time pass, and runs a round.
    pub fn pass(&mut self, seconds: i64) -> Vec<Effect> {
        self.now += Span::from_secs(seconds);
        self.facts(Vec::new())
    }

    /// The scope's rows.
    pub fn view(&self) -> View<'_> {
        self.engine.view(&self.scope, self.now).expect("the scope is there")
    }

    /// All rows of a kind.
    pub fn rows<R: Row>(&self) -> Vec<Arc<R>> {
        self.view().all::<R>().cloned().collect()
    }

    /// So many instances of the default network that run.
    pub fn running(&mut self, count: u32) -> Vec<InstanceId> {
        let data = LaunchData { image: Some(network::host_image()), ..LaunchData::default() };
        let request = Request { data, count_min: count, count_max: count, ..Request::default() };
        let ids = self.change(|tx| launch(tx, &request).expect("room for them"));
        self.facts(Vec::new());
        let booted = |id: &InstanceId| HostFact::Booted { instance: id.clone(), generation: Generation(1) };
        self.facts(ids.iter().map(|id| Fact::Host(booted(id))).collect());
        ids
    }
}

/// Carries out an operation of a [`Lab`] and gives its own output:
/// `ask!(lab, Elbv2DescribeTags, input)`.
macro_rules! ask {
    ($lab:expr, $operation:ident, $input:expr) => {
        match $lab.call(elastane_wire::Input::$operation(Box::new($input))) {
            Ok(elastane_wire::Output::$operation(output)) => Ok(*output),
            Ok(other) => panic!("the answer of another operation: {other:?}"),
            Err(err) => Err(err),
        }
    };
}
pub(crate) use ask;
