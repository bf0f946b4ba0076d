//! The demo's own daemon, in a data directory of its own: started, reached,
//! and taken down with everything that it made.

use super::Demo;
use super::signals::Interrupt;
use crate::client::Daemon;
use crate::command::up::driver_of;
use crate::data_dir::{DataDir, Problem};
use clap::ValueEnum;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A daemon that is not ready by then will not be.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A daemon that takes longer to stop when asked is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// So much of the daemon's log is shown when something fails.
const LOG_LINES_SHOWN: usize = 40;
/// Held in its directory by the demo that looks after it.
const LOCK_FILE: &str = "demo.lock";
/// Directories of demos that were cut off, ended by one later demo.
const CUT_OFF_MAX: usize = 16;

/// A running daemon and its directory.
pub struct House {
    /// How to reach it.
    pub daemon: Daemon,
    child: Child,
    home: PathBuf,
    options: Demo,
    _lock: File,
}

impl House {
    /// Starts a daemon in a new directory and waits until it is ready.
    ///
    /// # Errors
    /// With the daemon's own words, when it does not start. Nothing is left then.
    pub fn open(options: &Demo, interrupt: &Interrupt) -> Result<House, Problem> {
        let home = new_home(options)?;
        House::at(options, home.clone(), interrupt).inspect_err(|_| {
            // What keeps it from being removed matters less than what went wrong.
            let _ = remove(&home);
        })
    }

    fn at(options: &Demo, home: PathBuf, interrupt: &Interrupt) -> Result<House, Problem> {
        let lock = hold(&home)?;
        let (child, daemon) = start(options, &home, interrupt)?;
        Ok(House { daemon, child, home, options: options.clone(), _lock: lock })
    }

    /// Ends what demos have left that were killed before they could do it
    /// themselves; says how many there were.
    pub fn end_cut_off(options: &Demo) -> Result<usize, Problem> {
        let Ok(entries) = fs::read_dir(options.place.path()?.join("demo")) else { return Ok(0) };
        let homes: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(CUT_OFF_MAX).collect();
        let mut ended = 0;
        for home in homes.into_iter().filter(|home| home.join(LOCK_FILE).exists() && hold(home).is_ok()) {
            let data = DataDir::existing(&home)?;
            if let Ok(daemon) = Daemon::find(&data) {
                daemon.request("POST", "/_elastane/down")?;
                let start = Instant::now();
                while data.lock().is_err() && start.elapsed() < STOP_LIMIT {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            let driver = driver_of(&data)?.unwrap_or(options.driver);
            House::at(&Demo { driver, ..options.clone() }, home, &Interrupt::default())?.close()?;
            ended += 1;
        }
        Ok(ended)
    }

    /// Its directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The last lines that the daemon wrote, with a line that says so.
    pub fn log_tail(&self) -> String {
        log_tail(&self.home)
    }

    /// An error when the daemon is gone.
    pub fn check(&mut self) -> Result<(), Problem> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(Problem::new(format!("the daemon ended by itself: {}", status))),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Lets the daemon run on; the demo no longer looks after it.
    pub fn keep(self) {
        // Without the file no later demo takes it for one that was cut off.
        let _ = fs::remove_file(self.home.join(LOCK_FILE));
    }

    /// Ends all instances, the daemon, and removes the directory.
    ///
    /// # Errors
    /// What could not be ended or removed.
    pub fn close(mut self) -> Result<(), Problem> {
        let mut reset = self.daemon.request("POST", "/_elastane/reset").map(drop);
        if reset.is_err() && !self.is_running() {
            // Instances outlive their daemon: a new one on the same directory finds them and ends them.
            let (child, daemon) = start(&self.options, &self.home, &Interrupt::default())?;
            (self.child, self.daemon) = (child, daemon);
            reset = self.daemon.request("POST", "/_elastane/reset").map(drop);
        }
        let stopped = self.stop();
        // Without its instances the directory is all that is left; with some of them it is needed to find them.
        reset.map_err(|err| Problem::because(format!("instances may be left, see {}", self.home.display()), err))?;
        stopped?;
        remove(&self.home)
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks, then signals, then kills.
    fn stop(&mut self) -> Result<(), Problem> {
        // A daemon that does not answer gets a signal.
        let _ = self.daemon.request("POST", "/_elastane/down");
        for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
            if let (Some(signal), Some(pid)) = (signal, Pid::from_raw(self.child.id().cast_signed())) {
                let _ = kill_process(pid, signal);
            }
            let start = Instant::now();
            while start.elapsed() < STOP_LIMIT {
                if !self.is_running() {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Err(Problem::new(format!("the daemon (process {}) does not end", self.child.id())))
    }
}

/// A directory below the installation's data directory; below `$TMPDIR` when
/// that cannot be written.
fn new_home(options: &Demo) -> Result<PathBuf, Problem> {
    let name = format!("run-{}", std::process::id());
    let make = |base: &Path| DataDir::create(&base.join("demo").join(&name)).map(|dir| dir.path().to_path_buf());
    let base = options.place.path()?;
    make(&base).or_else(|problem| make(&std::env::temp_dir().join("elastane")).map_err(|_| problem))
}

/// Removes a demo's directory, and those above it that it alone was in.
fn remove(home: &Path) -> Result<(), Problem> {
    fs::remove_dir_all(home).map_err(|err| Problem::because(format!("cannot remove {}", home.display()), err))?;
    // `demo`, then the data directory; neither goes when something is in it.
    for directory in home.ancestors().skip(1).take(2) {
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

/// Holds a demo's directory until the file is dropped; an error when another
/// demo holds it.
fn hold(home: &Path) -> Result<File, Problem> {
    let problem = |err| Problem::because(format!("cannot hold {}", home.display()), err);
    let file = File::options().create(true).append(true).open(home.join(LOCK_FILE)).map_err(problem)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|err| problem(err.into()))?;
    Ok(file)
}

/// Starts the daemon and waits for the line that says it is ready.
fn start(options: &Demo, home: &Path, interrupt: &Interrupt) -> Result<(Child, Daemon), Problem> {
    let program = std::env::current_exe().map_err(|err| Problem::because("cannot find our own program", err))?;
    let cannot = |err| Problem::because("cannot start a daemon", err);
    let log = File::options().create(true).append(true).open(log_file(home)).map_err(cannot)?;
    let driver = options.driver.to_possible_value().expect("no driver is hidden");
    let mut child = Command::new(program)
        .args(["up", "--listen", "127.0.0.1:0", "--driver", driver.get_name()])
        .arg("--time-scale")
        .arg(options.time_scale.to_string())
        .arg("--data-dir")
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C is for the demo, which ends the daemon when the instances are gone.
        .process_group(0)
        .spawn()
        .map_err(cannot)?;
    let found = wait_ready(&mut child, interrupt).and_then(|()| Daemon::find(&DataDir::existing(home)?));
    match found {
        Ok(daemon) => Ok((child, daemon)),
        Err(problem) => {
            // With it goes the child in which it may be trying a driver; there are no instances yet.
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            interrupt.check()?;
            Err(Problem::new(format!("{problem}\n{}", log_tail(home))))
        }
    }
}

fn wait_ready(child: &mut Child, interrupt: &Interrupt) -> Result<(), Problem> {
    let output = child.stdout.take().expect("it is piped");
    let (sender, lines) = mpsc::channel();
    // Ends with the daemon, which has nothing more to say on this side.
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Read on when nobody listens any more: the daemon must not find the pipe broken.
            let _ = sender.send(line);
        }
    });
    let start = Instant::now();
    while start.elapsed() < START_LIMIT {
        interrupt.check()?;
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) if line.starts_with("Ready: ") => return Ok(()),
            Ok(_) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Problem::new("the daemon did not start")),
        }
    }
    Err(Problem::new(format!("the daemon was not ready within {} s", START_LIMIT.as_secs())))
}

fn log_file(home: &Path) -> PathBuf {
    home.join("demo.log")
}

fn log_tail(home: &Path) -> String {
    let text = fs::read_to_string(log_file(home)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
    match shown.is_empty() {
        true => "The daemon's log is empty.".to_string(),
        false => format!("The daemon's log ends with:\n{}", shown.join("\n")),
    }
}
