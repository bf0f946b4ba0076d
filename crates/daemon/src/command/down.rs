//! `elastane down`: stops the daemon.

use crate::cli::Down;
use crate::client::Daemon;
use crate::command::up::driver_of;
use crate::data_dir::{DataDir, Problem};
use crate::supervisor::end_processes;
use clap::ValueEnum;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon that takes longer than this to stop is stuck.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The same for one that is to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often it is asked whether it has done so.
const POLL: Duration = Duration::from_millis(20);

/// Asks the daemon to stop and waits until it has let go of its directory.
pub fn run(down: &Down) -> Result<(), Problem> {
    let data = DataDir::existing(&down.place.path()?)?;
    let daemon = match Daemon::find(&data) {
        Ok(daemon) => daemon,
        Err(problem) => return without_daemon(&data, down.all, problem),
    };
    if down.all {
        daemon.request("POST", "/_elastane/reset")?;
    }
    let instances = daemon.status()?.instances;
    stop(&daemon, &data)?;
    match instances.iter().filter(|instance| instance.pid.is_some()).count() {
        0 => println!("Stopped."),
        running => println!(
            "Stopped. Instances that keep running: {running}. `elastane up` adopts them; \
             `elastane down --all` would have ended them."
        ),
    }
    Ok(())
}

fn stop(daemon: &Daemon, data: &DataDir) -> Result<(), Problem> {
    daemon.request("POST", "/_elastane/down")?;
    let start = Instant::now();
    while data.lock().is_err() {
        if start.elapsed() > STOP_LIMIT {
            return Err(Problem::new(format!("the daemon (process {}) does not stop", daemon.about.pid)));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// What one that was killed or stopped has left: its networks, and with `all`
/// its instances too. Without `all` the error that no daemon runs.
fn without_daemon(data: &DataDir, all: bool, problem: Problem) -> Result<(), Problem> {
    // One that holds the directory does not answer, or is starting.
    let Ok(lock) = data.lock() else { return Err(problem) };
    let Some(driver) = driver_of(data)?.filter(|_| all) else {
        // The data plane outlives a daemon that was killed.
        end_processes(data).map_err(|err| Problem::because("the data plane does not end", err))?;
        elastane_host::sweep(data.path());
        return Err(problem);
    };
    drop(lock);
    // Instances outlive their daemon: a new one on the same directory finds them and ends them.
    let program = std::env::current_exe().map_err(|err| Problem::because("cannot find our own program", err))?;
    let mut child = Command::new(program)
        .args(["up", "--listen", "127.0.0.1:0", "--driver"])
        .arg(driver.to_possible_value().expect("no driver is hidden").get_name())
        .arg("--data-dir")
        .arg(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|err| Problem::because("cannot start a daemon", err))?;
    let ended = found(data, &mut child).and_then(|daemon| {
        let reset = daemon.request("POST", "/_elastane/reset");
        stop(&daemon, data).and(reset)
    });
    if ended.is_err() {
        // It may have stopped by itself.
        let _ = child.kill();
    }
    let _ = child.wait();
    ended?;
    println!("No daemon was running; the instances and networks that the last one left have ended.");
    Ok(())
}

/// The daemon that `child` is to become.
fn found(data: &DataDir, child: &mut Child) -> Result<Daemon, Problem> {
    let start = Instant::now();
    loop {
        match Daemon::find(data) {
            Ok(daemon) => return Ok(daemon),
            Err(problem) if start.elapsed() > START_LIMIT => return Err(problem),
            Err(_) => {}
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Problem::new(format!("the daemon that was to end what is left ended by itself: {status}")));
        }
        std::thread::sleep(POLL);
    }
}
