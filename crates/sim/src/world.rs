//! The simulated world: the shell around the engine, on a virtual clock, with
//! a disk that fails and a daemon that crashes.

use crate::checker::Checker;
use crate::disk::{Commit, Disk};
use crate::focus::{Focus, Shape};
use crate::host::{Host, HostFaults};
use crate::requests::Expected;
use crate::run::Violation;
use crate::traffic::{Load, Order, Plane};
use elastane_api::{Caller, World as ApiWorld};
use elastane_domain::id::{AccountId, InstanceId};
use elastane_domain::machine::HostFact;
use elastane_domain::time::{Span, Time};
use elastane_engine::store::Store;
use elastane_engine::{Chaos, Config, Effect, Engine, Entropy, Fact, Plant, Rng, Scope, Step};
use elastane_wire::{ApiError, Input, Output};
use std::sync::Arc;

/// The account of all simulated clients.
pub const ACCOUNT: &str = "000000000000";

/// How badly the world behaves, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The host.
    pub host: HostFaults,
    /// Commits that fail or are lost with the daemon.
    pub commit_fails: u64,
    /// Commits after which the daemon dies before it answers.
    pub commit_unheard: u64,
    /// Rounds after which the daemon dies within its effects.
    pub effects_cut: u64,
    /// Facts of the past that come once more.
    pub fact_stale: u64,
}

/// Nobody reads consoles here.
struct NoConsole;

impl ApiWorld for NoConsole {
    fn console(&self, _instance: &InstanceId) -> Option<Vec<u8>> {
        None
    }
}

/// Everything there is.
pub struct World {
    /// Virtual time.
    pub now: Time,
    /// Draws everything but the engine's own numbers.
    pub rng: Rng,
    /// How it behaves now.
    pub faults: Faults,
    /// The load on it.
    pub load: Load,
    /// What clients are interested in.
    pub focus: Focus,
    /// What the group is made with.
    pub shape: Shape,
    /// The host.
    pub host: Host,
    /// The data plane.
    pub plane: Plane,
    /// The checkers.
    pub checker: Checker,
    /// The engine; a crash replaces it.
    pub engine: Engine,
    /// Digest of everything that happened.
    pub trace: u64,
    /// Crashes so far.
    pub crashes: u64,
    /// Rounds in a row that were called for by the engine alone, at once.
    restless: u32,
    /// The newest snapshot that was issued.
    route: Option<Order>,
    disk: Disk,
    config: Config,
    wake: Time,
    past: Vec<Fact>,
    calls: Vec<(Scope, Input)>,
    answers: Vec<(Scope, Input, Result<Output, ApiError>)>,
}

/// So many rounds in a row the engine may call for at once: large groups take their steps in several.
const RESTLESS_MAX: u32 = 500;

/// So many facts of the past may come once more.
const PAST_MAX: usize = 64;

/// Virtual time begins on a Thursday at midnight.
const BEGINNING: Time = Time(1_767_225_600_000);

impl World {
    /// A world as new, with a bug to carry or none.
    pub fn new(seed: u64, plant: Option<Plant>, load: Load) -> World {
        let mut rng = Rng::new(seed);
        let mut secret = [0; 32];
        secret.chunks_mut(8).for_each(|part| part.copy_from_slice(&rng.draw().to_le_bytes()));
        let config = Config { plant, entropy: Some(Entropy::new(secret)), ..Config::default() };
        let engine = Engine::open(config.clone(), rng.draw(), Vec::new()).expect("an empty store opens");
        let mut world = World {
            now: BEGINNING,
            rng,
            faults: Faults::default(),
            load,
            focus: Focus::Everything,
            shape: Shape::default(),
            host: Host::default(),
            plane: Plane::default(),
            checker: Checker::default(),
            engine,
            trace: 0xcbf2_9ce4_8422_2325,
            crashes: 0,
            restless: 0,
            route: None,
            disk: Disk::default(),
            config,
            wake: BEGINNING,
            past: Vec::new(),
            calls: Vec::new(),
            answers: Vec::new(),
        };
        let inventory = Fact::Host(world.host.inventory());
        world.round(vec![inventory]).expect("an empty world violates nothing");
        world
    }

    /// The scope that most calls are in.
    pub fn scope() -> Scope {
        Scope::new(ACCOUNT, "us-east-1")
    }

    /// Has a client call; the answer is there after the next step.
    pub fn submit(&mut self, scope: Scope, input: Input) {
        self.calls.push((scope, input));
    }

    /// Calls and steps until the answer is there; for the calm set-up.
    pub fn call(&mut self, input: Input) -> Result<Result<Output, ApiError>, Violation> {
        self.submit(World::scope(), input);
        self.round(Vec::new())?;
        let answer = self.answers.pop().map(|(_, _, answer)| answer);
        Ok(answer.unwrap_or_else(|| Err(ApiError::new("Lost", "the daemon crashed"))))
    }

    /// Lets time pass until the next event, at most until `limit`.
    pub fn advance(&mut self, limit: Time) -> Result<(), Violation> {
        let minute = self.now.floor(Span::from_mins(1)) + Span::from_mins(1);
        let events = [Some(self.wake), self.host.next(), self.plane.next(), Some(minute), Some(limit)];
        let next = events.into_iter().flatten().min().unwrap_or(limit);
        self.now = next.max(self.now + Span(1));
        self.host.advance(self.now, &mut self.rng, &self.faults.host);
        self.plane.advance(self.now, &self.host, &mut self.rng);
        let facts = self.facts();
        let (sent, expected) = self.plane.take_sent();
        self.checker.requests.check(&expected, &sent, self.now)?;
        if facts.is_empty() && self.calls.is_empty() && self.now < self.wake {
            return Ok(());
        }
        self.round(facts)
    }

    /// Everything that the world has to say now.
    fn facts(&mut self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self.host.take_facts().into_iter().map(Fact::Host).collect();
        self.past.extend(facts.iter().cloned());
        let excess = self.past.len().saturating_sub(PAST_MAX);
        self.past.drain(..excess);
        facts.extend(self.plane.take_facts().into_iter().map(Fact::Proxy));
        if let Some((traffic, samples)) = self.plane.measure(self.now, &self.host, &self.load, &mut self.rng) {
            facts.push(Fact::Cpu { at: traffic.at, samples });
            facts.push(Fact::Traffic(traffic));
        }
        if !self.past.is_empty() && self.rng.below(1000) < self.faults.fact_stale {
            let index = self.rng.below(self.past.len() as u64) as usize;
            facts.push(self.past[index].clone());
        }
        facts
    }

    /// One round of the shell: calls, facts, commit, answers, effects.
    pub fn round(&mut self, facts: Vec<Fact>) -> Result<(), Violation> {
        for fact in &facts {
            self.note(&format!("{} fact {fact:?}", self.now.millis()));
            if let Fact::Host(HostFact::LaunchFailed { .. }) = fact {
                self.checker.met.add("boots that fail");
            }
        }
        self.checker.heard(&facts);
        let mut answers = Vec::new();
        for (scope, input) in std::mem::take(&mut self.calls) {
            self.checker.asked(&input);
            let caller = Caller::root(&AccountId::from(ACCOUNT), "AKIASIMULATED");
            let now = self.now;
            let answer = self.engine.transact(&scope, now, |tx| elastane_api::call(tx, &caller, &NoConsole, &input));
            answers.push((scope, input, answer));
        }
        self.checker.called(&self.engine, !answers.is_empty(), self.now)?;
        let quiet = facts.is_empty() && answers.is_empty();
        let step = self.engine.handle(self.now, facts);
        self.comes_to_rest(&step, quiet)?;
        self.wake = step.wake;
        self.checker.handled(&self.engine, self.now, step.wake > self.now + Span(1))?;
        for write in &step.writes {
            self.note(&format!("{} write {}", self.now.millis(), write.key));
        }
        self.commit(step, answers)
    }

    /// An engine that is told nothing does not find something to do at once for ever.
    fn comes_to_rest(&mut self, step: &Step, quiet: bool) -> Result<(), Violation> {
        let restless = quiet && step.wake <= self.now + Span(1);
        self.restless = if restless { self.restless + 1 } else { 0 };
        if self.restless < RESTLESS_MAX {
            return Ok(());
        }
        let written: Vec<String> = step.writes.iter().map(|write| write.key.to_string()).collect();
        Err(Violation::new("the engine comes to rest", self.now, format!("it writes {written:?}")))
    }

    fn commit(&mut self, step: Step, answers: Vec<(Scope, Input, Result<Output, ApiError>)>) -> Result<(), Violation> {
        if self.config.plant == Some(Plant::EffectBeforeCommit) {
            self.start(&step.effects)?;
        }
        let fate = if step.writes.is_empty() { Commit::Whole } else { self.fate() };
        if self.disk.write(&step.writes, fate).is_err() {
            return self.crash();
        }
        self.checker.committed(&step.writes, self.now)?;
        if fate == Commit::Unheard {
            return self.crash();
        }
        for (scope, input, answer) in answers {
            self.note(&format!("{} answer {:?} {}", self.now.millis(), input.operation(), answer.is_ok()));
            self.checker.answered(&scope, &input, &answer);
            self.answers.push((scope, input, answer));
        }
        self.answers.drain(..self.answers.len().saturating_sub(8));
        if self.config.plant != Some(Plant::EffectBeforeCommit) {
            let cut = self.rng.below(1000) < self.faults.effects_cut;
            let count = if cut { self.rng.below(step.effects.len() as u64 + 1) as usize } else { step.effects.len() };
            self.start(&step.effects[..count])?;
            if cut {
                return self.crash();
            }
        }
        self.checker.look(&self.engine, &self.host, self.now)
    }

    fn fate(&mut self) -> Commit {
        let draw = self.rng.below(1000);
        if draw < self.faults.commit_fails {
            return if draw.is_multiple_of(2) { Commit::Failed } else { Commit::Lost };
        }
        if draw < self.faults.commit_fails + self.faults.commit_unheard { Commit::Unheard } else { Commit::Whole }
    }

    fn start(&mut self, effects: &[Effect]) -> Result<(), Violation> {
        for effect in effects {
            self.note(&format!("{} effect {effect:?}", self.now.millis()));
            self.checker.effect(effect, &self.host, self.now)?;
            let now = self.now;
            match effect.clone() {
                Effect::Launch(spec) => self.host.launch(*spec, now, &mut self.rng, &self.faults.host),
                Effect::Stop { instance, generation } => self.host.stop(instance, generation, now),
                Effect::Terminate { instance } => self.host.terminate(instance, now),
                Effect::Capture { image, instance } => self.host.capture(image, instance, now),
                Effect::DeleteImage { image } => self.host.delete_image(&image),
                Effect::RunCommand { command, instance, boot, .. } => {
                    self.host.commands.run((command, instance), boot, now, &mut self.rng);
                }
                Effect::EndCommand { command, instance, unless_running } => {
                    self.host.commands.end((command, instance), unless_running, now);
                }
                Effect::Route(snapshot) => {
                    let order = Order { snapshot, expected: Arc::new(Expected::new(self.checker.durable())) };
                    self.route = Some(order.clone());
                    self.plane.apply(order, now, &mut self.rng);
                }
                Effect::Network(plan) => self.host.apply(plan, now, &mut self.rng, &self.faults.host),
                Effect::EndNetwork { vpc } => self.host.end_network(vpc, now),
                // The simulated world has no webhook, and nobody in a session.
                Effect::Notify(_) | Effect::EndSession { .. } => {}
            }
        }
        Ok(())
    }

    /// `kill -9` of the daemon, and its next start: rows come from the disk,
    /// the rest from an inventory. The data plane dies with it, or stays and
    /// tells the next one what it knows.
    pub fn crash(&mut self) -> Result<(), Violation> {
        self.note(&format!("{} crash", self.now.millis()));
        self.checker.met.add("crashes of the daemon");
        self.crashes += 1;
        let rows = self.disk.load().expect("memory can be read");
        self.engine = Engine::open(self.config.clone(), self.rng.draw(), rows)
            .map_err(|err| Violation::new("a store can be opened again", self.now, err.to_string()))?;
        self.route = None;
        if self.rng.below(2) == 0 {
            self.plane = Plane::default();
        } else {
            self.plane.reattach();
        }
        self.calls.clear();
        self.now += Span::from_secs(1 + self.rng.below(20) as i64);
        self.checker.restarted();
        let facts = self.host.restart();
        self.round(facts.into_iter().map(Fact::Host).collect())
    }

    /// The data plane dies alone; the next one gets the newest snapshot and
    /// finds out everything anew.
    pub fn plane_dies(&mut self) {
        self.note(&format!("{} plane dies", self.now.millis()));
        self.checker.met.add("plane deaths");
        self.checker.plane_died(&self.engine, self.now);
        self.plane = Plane::default();
        if let Some(order) = self.route.clone() {
            let later = self.now + Span::from_secs(self.rng.below(5) as i64);
            self.plane.apply(order, later, &mut self.rng);
        }
    }

    /// All machines stop at once, and the daemon starts again on the same disk.
    pub fn power_fails(&mut self) -> Result<(), Violation> {
        self.note(&format!("{} power fails", self.now.millis()));
        self.checker.met.add("power failures");
        self.host.power_fails();
        self.now += Span::from_secs(60 + self.rng.below(600) as i64);
        self.crash()
    }

    /// The clock of the service is set ahead, as when a laptop wakes up.
    pub fn jump(&mut self, ahead: Span) {
        self.note(&format!("{} jump", self.now.millis()));
        self.checker.met.add("clock steps");
        self.now += ahead;
    }

    /// Fate strikes as `elastane chaos` does it; what cannot be done is not done.
    pub fn trouble(&mut self, chaos: &Chaos) -> Result<(), Violation> {
        self.note(&format!("{} trouble {chaos:?}", self.now.millis()));
        let done = self.engine.trouble(self.now, chaos).is_ok();
        if !done {
            return Ok(());
        }
        if let Chaos::SpotInterruption { instance } = chaos {
            self.checker.interrupted(instance);
        }
        self.checker.met.add(match chaos {
            Chaos::ZoneOutage { .. } => "zone failures",
            Chaos::EndZoneOutage { .. } => "zones that came back",
            Chaos::SpotInterruption { .. } => "spot interruptions",
        });
        self.round(Vec::new())
    }

    /// All rows of all scopes go, as `elastane reset` does it.
    pub fn reset(&mut self) -> Result<(), Violation> {
        self.note(&format!("{} reset", self.now.millis()));
        self.checker.met.add("resets");
        self.engine.reset();
        self.checker.reset();
        self.round(Vec::new())
    }

    /// Adds to the digest (FNV-1a).
    fn note(&mut self, text: &str) {
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
