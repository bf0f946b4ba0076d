//! `elastane down`: stops the daemon.

use crate::cli::Down;
use crate::client::Daemon;
use crate::data_dir::{DataDir, Problem};
use std::time::{Duration, Instant};

/// A daemon that takes longer than this to stop is stuck.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Asks the daemon to stop and waits until it has let go of its directory.
pub fn run(down: &Down) -> Result<(), Problem> {
    let data = DataDir::existing(&down.place.path()?)?;
    let daemon = match Daemon::find(&data) {
        Ok(daemon) => daemon,
        Err(problem) => {
            // One that was killed has left its networks; nobody may be starting meanwhile.
            if let Ok(_lock) = data.lock() {
                elastane_host::sweep(data.path());
            }
            return Err(problem);
        }
    };
    if down.all {
        daemon.request("POST", "/_elastane/reset")?;
    }
    let status: crate::admin::Status = serde_json::from_slice(&daemon.request("GET", "/_elastane/status")?)
        .map_err(|err| Problem::because("cannot understand the daemon's status", err))?;
    daemon.request("POST", "/_elastane/down")?;
    let start = Instant::now();
    while data.lock().is_err() {
        if start.elapsed() > STOP_LIMIT {
            return Err(Problem::new(format!("the daemon (process {}) does not stop", daemon.about.pid)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let running = status.instances.iter().filter(|instance| instance.pid.is_some()).count();
    match running {
        0 => println!("Stopped."),
        _ => println!(
            "Stopped. Instances that keep running: {running}. `elastane up` adopts them; \
             `elastane down --all` would have ended them."
        ),
    }
    Ok(())
}
