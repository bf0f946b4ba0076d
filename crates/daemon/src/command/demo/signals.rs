//! Ctrl-C and SIGTERM, as a flag that everything which waits looks at.

use crate::data_dir::Problem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Set once somebody wants the demo to end.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// How often a pause looks at the flag.
const LOOK: Duration = Duration::from_millis(50);

impl Interrupt {
    /// Listens from now on, in a thread that lives as long as the process.
    pub fn listen() -> Result<Interrupt, Problem> {
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|err| Problem::because("cannot listen for signals", err))?;
        let (ready, listening) = std::sync::mpsc::channel();
        let listen = async move {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [interrupt, terminate, hangup] = kinds.map(signal);
            let (mut interrupt, mut terminate, mut hangup) = match (interrupt, terminate, hangup) {
                (Ok(interrupt), Ok(terminate), Ok(hangup)) => (interrupt, terminate, hangup),
                (Err(err), ..) | (_, Err(err), _) | (.., Err(err)) => {
                    let _ = ready.send(Err(err));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                flag.0.store(true, Ordering::Relaxed);
            }
        };
        std::thread::Builder::new()
            .name("signals".to_string())
            .spawn(move || runtime.block_on(listen))
            .map_err(|err| Problem::because("cannot start a thread", err))?;
        match listening.recv() {
            Ok(Ok(())) => Ok(interrupt),
            Ok(Err(err)) => Err(Problem::because("cannot listen for signals", err)),
            Err(_) => Err(Problem::new("cannot listen for signals")),
        }
    }

    /// An error once a signal has come.
    pub fn check(&self) -> Result<(), Problem> {
        if self.0.load(Ordering::Relaxed) { Err(Problem::new("interrupted")) } else { Ok(()) }
    }

    /// Waits, but not beyond a signal.
    pub fn pause(&self, span: Duration) -> Result<(), Problem> {
        let end = std::time::Instant::now() + span;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}
