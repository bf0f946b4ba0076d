//! Programs pinned to the one core, their CPU and their memory.

use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The core that everything shares.
pub const CORE: &str = "0";
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// A program; it ends when the value goes.
pub struct Process(Child);

impl Process {
    /// Starts a program on the core and waits until it listens on `port`.
    pub fn start(command: &[String], port: u16) -> Result<Process, String> {
        let child = Command::new("taskset")
            .args(["-c", CORE])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|err| format!("cannot start {command:?}: {err}"))?;
        let process = Process(child);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{command:?} does not listen on port {port}"));
            }
            std::thread::sleep(POLL);
        }
        Ok(process)
    }

    /// CPU used so far by it and its children, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        let of_task = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
        };
        let tasks = self.family().into_iter().flat_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")));
        tasks.flatten().flatten().map(|task| of_task(task.path())).sum()
    }

    /// Memory of it and its children, shared pages by share, in bytes.
    pub fn memory(&self) -> f64 {
        let of_process = |pid: u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
        };
        self.family().into_iter().map(of_process).sum()
    }

    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.0.id()];
        let mut next = 0;
        while let Some(pid) = family.get(next).copied() {
            next += 1;
            let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
