//! The shell around the engine: one thread that takes in what waits, lets the
//! engine decide, commits, and only then answers and acts.
//!
//! Reads go past the thread: they take the engine's lock for as long as it
//! takes to build the answer. The writer holds the lock until its commit is
//! durable, so nobody reads what could still be lost.

use crate::clock::Clock;
use elastane_api::{Caller, World};
use elastane_engine::store::Store;
use elastane_engine::{Chaos, ChaosError, Effect, Engine, Fact, Scope, Tx};
use elastane_wire::{ApiError, Input, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::oneshot;

/// One commit takes in at most so many calls and facts.
const BATCH_MAX: usize = 256;

/// So many calls may wait for the writer; callers beyond that are told to
/// slow down. Facts are bounded by what there is to report on.
const CALLS_WAITING_MAX: usize = 4_096;

/// Accounts and regions in use. A scope costs a network and an image, and a
/// client makes one by naming it.
const SCOPES_MAX: usize = 100;

/// The engine is called at least this often, in wall time.
const IDLE: Duration = Duration::from_secs(5);

/// A change of rows that is no call of a client.
type OwnChange = Box<dyn FnOnce(&mut Tx<'_>) -> Result<String, ApiError> + Send>;

/// What is sent to the writer.
enum Message {
    Call { scope: Scope, caller: Box<Caller>, input: Input, reply: oneshot::Sender<Result<Output, ApiError>> },
    Change { scope: Scope, change: OwnChange, reply: oneshot::Sender<Result<String, ApiError>> },
    Fact(Fact),
    Chaos { chaos: Chaos, reply: oneshot::Sender<Result<(), ChaosError>> },
    Reset { reply: oneshot::Sender<()> },
    Stop,
}

/// What a result of the engine is done with.
pub trait Actuator: World + Send + Sync {
    /// Starts an effect; does not wait for it.
    fn start(&self, effect: Effect);
}

/// A handle on the engine; clones reach the same one.
#[derive(Clone)]
pub struct Shell {
    engine: Arc<RwLock<Engine>>,
    queue: Sender<Message>,
    calls_waiting: Arc<AtomicUsize>,
    clock: Clock,
}

/// The writer's side, to be run on a thread of its own.
pub struct Writer {
    engine: Arc<RwLock<Engine>>,
    queue: Receiver<Message>,
    clock: Clock,
    store: Box<dyn Store + Send>,
}

/// Where facts go in. Unlike calls they are never refused, and sending one
/// never blocks: some are sent by the writer's own thread.
#[derive(Clone)]
pub struct Facts(Sender<Message>);

impl Facts {
    /// Reports a fact. Nobody listens when the daemon is on its way out.
    pub fn send(&self, fact: Fact) {
        let _ = self.0.send(Message::Fact(fact));
    }
}

/// A shell and its writer over an engine and its store.
pub fn new(engine: Engine, store: Box<dyn Store + Send>, clock: Clock) -> (Shell, Writer) {
    let (sender, queue) = channel();
    let engine = Arc::new(RwLock::new(engine));
    let shell = Shell { engine: engine.clone(), queue: sender, calls_waiting: Arc::default(), clock };
    (shell, Writer { engine, queue, clock, store })
}

impl Shell {
    /// The engine, to read.
    pub fn engine(&self) -> RwLockReadGuard<'_, Engine> {
        self.engine.read().expect("a writer that panicked has taken the daemon with it")
    }

    /// Service time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Where facts go in.
    pub fn facts(&self) -> Facts {
        Facts(self.queue.clone())
    }

    /// Carries out a call: a read from memory, a write through the writer.
    pub async fn call(
        &self,
        scope: Scope,
        caller: Caller,
        input: Input,
        world: &dyn World,
    ) -> Result<Output, ApiError> {
        if let Some(answer) = self.read(&scope, &caller, &input, world) {
            return answer;
        }
        self.check_scope(&scope)?;
        let waiting = self.calls_waiting.fetch_add(1, Ordering::Relaxed);
        let answer = if waiting < CALLS_WAITING_MAX {
            self.write(scope, caller, input).await
        } else {
            Err(ApiError::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503))
        };
        self.calls_waiting.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// Refuses a new account or region when there are too many.
    fn check_scope(&self, scope: &Scope) -> Result<(), ApiError> {
        let engine = self.engine();
        let scopes = &engine.state().scopes;
        if scopes.contains_key(scope) || scopes.len() < SCOPES_MAX {
            return Ok(());
        }
        let message = format!("{SCOPES_MAX} accounts and regions are in use already, and {scope} is not one of them");
        Err(ApiError::new("OptInRequired", message).with_status(403))
    }

    /// Carries out a change of our own through the writer; the answer comes
    /// when it is durable.
    pub async fn change(
        &self,
        scope: Scope,
        change: impl FnOnce(&mut Tx<'_>) -> Result<String, ApiError> + Send + 'static,
    ) -> Result<String, ApiError> {
        self.check_scope(&scope)?;
        let stopping = || ApiError::new("InternalError", "The daemon is stopping.").with_status(500);
        let (reply, answer) = oneshot::channel();
        let message = Message::Change { scope, change: Box::new(change), reply };
        self.queue.send(message).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    async fn write(&self, scope: Scope, caller: Caller, input: Input) -> Result<Output, ApiError> {
        let stopping = || ApiError::new("InternalError", "The daemon is stopping.").with_status(500);
        let (reply, answer) = oneshot::channel();
        let call = Message::Call { scope, caller: Box::new(caller), input, reply };
        self.queue.send(call).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// The answer of a read in a scope that exists; otherwise the writer's turn.
    fn read(
        &self,
        scope: &Scope,
        caller: &Caller,
        input: &Input,
        world: &dyn World,
    ) -> Option<Result<Output, ApiError>> {
        if !input.operation().is_read() {
            return None;
        }
        let engine = self.engine();
        let view = engine.view(scope, self.clock.now())?;
        elastane_api::read(&elastane_api::Call { view, caller, world }, input)
    }

    /// Removes every row; instances end as nobody's.
    pub async fn reset(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Message::Reset { reply }).is_ok() {
            // An error means that the writer stopped, and with it everything else.
            let _ = done.await;
        }
    }

    /// Makes a trouble; it is durable when this returns. `None` when the daemon
    /// is on its way out.
    pub async fn trouble(&self, chaos: Chaos) -> Option<Result<(), ChaosError>> {
        let (reply, done) = oneshot::channel();
        self.queue.send(Message::Chaos { chaos, reply }).ok()?;
        done.await.ok()
    }

    /// Ends the writer after what waits.
    pub fn stop(&self) {
        let _ = self.queue.send(Message::Stop);
    }
}

impl Writer {
    /// Runs until [`Shell::stop`]. A store that fails ends the process: the
    /// state in memory is then ahead of the disk, and a restart puts it right.
    pub fn run(mut self, actuator: &dyn Actuator) {
        let mut wait = Duration::ZERO;
        loop {
            let Some(batch) = self.next_batch(wait) else { return };
            wait = self.round(batch, actuator);
        }
    }

    /// What waits, after at most `wait`; `None` to stop.
    fn next_batch(&self, wait: Duration) -> Option<Vec<Message>> {
        let mut batch = match self.queue.recv_timeout(wait) {
            Ok(message) => vec![message],
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        while batch.len() < BATCH_MAX
            && let Ok(message) = self.queue.try_recv()
        {
            batch.push(message);
        }
        let stop = batch.iter().any(|message| matches!(message, Message::Stop));
        (!stop).then_some(batch)
    }

    /// One round of the engine. Returns how long nothing needs to be done.
    fn round(&mut self, batch: Vec<Message>, actuator: &dyn Actuator) -> Duration {
        let now = self.clock.now();
        let (mut facts, mut answers, mut resets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut changed, mut troubles) = (Vec::new(), Vec::new());
        let mut engine = self.engine.write().expect("only this thread writes, and it did not panic");
        for message in batch {
            match message {
                Message::Call { scope, caller, input, reply } => {
                    let result = engine.transact(&scope, now, |tx| elastane_api::call(tx, &caller, actuator, &input));
                    answers.push((reply, result));
                }
                Message::Change { scope, change, reply } => {
                    changed.push((reply, engine.transact(&scope, now, change)));
                }
                Message::Fact(fact) => facts.push(fact),
                Message::Chaos { chaos, reply } => troubles.push((reply, engine.trouble(now, &chaos))),
                Message::Reset { reply } => {
                    engine.reset();
                    resets.push(reply);
                }
                Message::Stop => {}
            }
        }
        let step = engine.handle(now, facts);
        if !step.writes.is_empty()
            && let Err(err) = self.store.commit(&step.writes)
        {
            let cause = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
            eprintln!("elastane: {err}: {cause}. Stopping, so that nothing is answered that is not on disk.");
            std::process::exit(74);
        }
        drop(engine);
        for (reply, result) in answers {
            // A client that went away does not want its answer.
            let _ = reply.send(result);
        }
        for (reply, result) in troubles {
            // Whoever asked may have gone away.
            let _ = reply.send(result);
        }
        for (reply, result) in changed {
            let _ = reply.send(result);
        }
        for effect in step.effects {
            actuator.start(effect);
        }
        for reply in resets {
            let _ = reply.send(());
        }
        self.clock.wall(step.wake - self.clock.now()).min(IDLE)
    }
}
