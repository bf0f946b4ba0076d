//! A bench for the tests of handlers: an engine, a scope and a caller.

use crate::{Call, Caller, Change, World};
use elastane_domain::id::InstanceId;
use elastane_domain::time::Time;
use elastane_engine::{Config, Engine, Entropy, Scope, Tx};
use elastane_wire::ApiError;

/// A world without consoles.
struct Empty;

impl World for Empty {
    fn console(&self, _: &InstanceId) -> Option<Vec<u8>> {
        None
    }
}

/// An engine with one account in us-east-1.
pub(super) struct Rig {
    engine: Engine,
    scope: Scope,
    caller: Caller,
}

/// When everything happens.
pub(super) const NOW: Time = Time(1_767_261_600_000);

impl Rig {
    /// A fresh installation, with entropy.
    pub fn new() -> Rig {
        Rig::with(Config { entropy: Some(Entropy::new([7; 32])), ..Config::default() }, "us-east-1")
    }

    /// A fresh installation.
    pub fn with(config: Config, region: &str) -> Rig {
        let scope = Scope::new("123456789012", region);
        let caller = Caller::root(&scope.account, "AKIDEXAMPLE");
        Rig { engine: Engine::open(config, 1, Vec::new()).expect("no rows to read"), scope, caller }
    }

    /// Runs a transaction.
    pub fn tx<T>(&mut self, change: impl FnOnce(&mut Tx<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        self.engine.transact(&self.scope, NOW, change)
    }

    /// Runs a handler that writes.
    pub fn write<I, O>(
        &mut self,
        handler: impl FnOnce(&mut Change<'_, '_>, &I) -> Result<O, ApiError>,
        input: I,
    ) -> Result<O, ApiError> {
        let caller = &self.caller;
        self.engine.transact(&self.scope, NOW, |tx| handler(&mut Change { tx, caller, world: &crate::NoWorld }, &input))
    }

    /// Runs a handler that reads.
    pub fn read<I, O>(
        &mut self,
        handler: impl FnOnce(&Call<'_>, &I) -> Result<O, ApiError>,
        input: I,
    ) -> Result<O, ApiError> {
        let caller = &self.caller;
        self.engine.transact(&self.scope, NOW, |tx| handler(&Call { view: tx.view(), caller, world: &Empty }, &input))
    }
}

/// A filter of one name and one value.
pub(super) fn filter(name: &str, value: &str) -> elastane_wire::ec2::Filter {
    elastane_wire::ec2::Filter { name: Some(name.to_string()), values: vec![value.to_string()] }
}

/// The code of a failure; empty for success.
pub(super) fn code<T>(result: Result<T, ApiError>) -> String {
    result.err().map_or(String::new(), |err| err.code.into_owned())
}
