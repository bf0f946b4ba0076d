//! What is written down about each instance and network, so that a later
//! daemon finds the processes of this one. A process is named by its id and
//! its start time: ids are used again, start times are not.

use crate::cgroup::Groups;
use crate::error::{Context, HostError};
use crate::layout::{Layout, write_private};
use crate::make::Make;
use elastane_domain::machine::{Initialization, LaunchSpec};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::OnceLock;

/// A process that survives its daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessName {
    /// Process id as the daemon sees it.
    pub pid: i32,
    /// Start time in clock ticks since the machine's boot.
    pub started: u64,
    /// Which boot of the machine that was.
    pub machine_boot: u64,
}

/// A number for the running boot of the machine: FNV-1a of the kernel's boot id.
fn machine_boot() -> u64 {
    static NUMBER: OnceLock<u64> = OnceLock::new();
    *NUMBER.get_or_init(|| {
        let text = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    })
}

/// The fields of `/proc/<pid>/stat` that this crate uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// State letter; `Z` is a process that has ended.
    pub state: char,
    /// Session.
    pub session: i32,
    /// CPU time of it and of its ended children, in ticks.
    pub ticks: u64,
    /// Start time in ticks.
    pub started: u64,
}

impl Stat {
    /// Reads a living process's entry.
    pub fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, so fields count from the last `)`.
    fn parse(text: &str) -> Option<Stat> {
        let rest: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |at: usize| rest.get(at)?.parse::<u64>().ok();
        let ticks = (11..15).map(number).sum::<Option<u64>>()?;
        Some(Stat {
            state: rest.first()?.chars().next()?,
            session: rest.get(3)?.parse().ok()?,
            ticks,
            started: number(19)?,
        })
    }
}

impl ProcessName {
    /// Names a process that exists.
    pub fn of(pid: i32) -> Option<ProcessName> {
        Stat::of(pid).map(|stat| ProcessName { pid, started: stat.started, machine_boot: machine_boot() })
    }

    /// Whether it was started in the running boot of the machine.
    pub fn is_of_this_boot(&self) -> bool {
        self.machine_boot == machine_boot()
    }

    /// Whether exactly this process still runs.
    pub fn lives(&self) -> bool {
        self.is_of_this_boot()
            && Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }
}

/// How far the last boot of an instance came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It has begun; nothing of it is promised.
    Launching,
    /// The first process runs, or ran when this was written.
    Running,
    /// No process; the writable layer is kept.
    Stopped,
}

/// All that is kept about an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked for.
    pub spec: LaunchSpec,
    /// How it was made; another make cannot take it over.
    pub make: Make,
    /// How far the boot came.
    pub phase: Phase,
    /// The first process.
    pub process: Option<ProcessName>,
    /// Its control groups, empty when nothing is enforced.
    pub groups: Groups,
    /// Where it is reached: its own address, or a loopback address in the process make.
    pub address: Ipv4Addr,
    /// Whether an earlier boot succeeded, so that its layer is worth keeping.
    pub booted_before: bool,
    /// Directory of the mask that the boot stands on, relative to the data directory.
    pub mask: String,
    /// Port of the metadata service in the process make: the instance was told.
    pub metadata_port: Option<u16>,
    /// How far the boot scripts and user data of the last boot came.
    #[serde(default)]
    pub initialization: Initialization,
}

impl Record {
    /// Writes the record of `spec.instance`.
    pub fn save(&self, layout: &Layout) -> Result<(), HostError> {
        let path = layout.instance(self.spec.instance.as_str()).join("state.json");
        let text = serde_json::to_vec(self).expect("records are plain data");
        write_private(&path, &text)
    }

    /// Reads the record in an instance's directory.
    pub fn load(directory: &Path) -> Result<Record, HostError> {
        let path = directory.join("state.json");
        let text = fs::read(&path).context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).map_err(|source| HostError::Corrupt { path, source })
    }
}

/// Records of all instances; unreadable ones come as the path alone.
pub fn all(layout: &Layout) -> Vec<Result<Record, std::path::PathBuf>> {
    let Ok(entries) = fs::read_dir(layout.at("instances")) else { return Vec::new() };
    entries.flatten().map(|entry| Record::load(&entry.path()).map_err(|_| entry.path())).collect()
}

/// First processes of instances that still run.
pub fn living_instances(layout: &Layout) -> Vec<ProcessName> {
    all(layout).into_iter().flatten().filter_map(|record| record.process).filter(ProcessName::lives).collect()
}

/// Processes that keep VPC networks and still run.
pub fn living_holders(layout: &Layout) -> Vec<ProcessName> {
    let Ok(entries) = fs::read_dir(layout.at("vpcs")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| holder(&entry.path())).filter(ProcessName::lives).collect()
}

/// The holder recorded in this file.
pub fn holder(path: &Path) -> Option<ProcessName> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process name with spaces and parentheses does not shift the fields.
    #[test]
    fn stat_line() {
        let line = "42 (a) b (c)) S 1 42 43 0 -1 4194560 9 0 0 0 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(Stat::parse(line), Some(Stat { state: 'S', session: 43, ticks: 26, started: 98_765 }));
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }

    /// The running process is found by its name; another start time is another process.
    #[test]
    fn names_defeat_reuse() {
        let me = ProcessName::of(std::process::id() as i32).unwrap();
        assert!(me.lives());
        assert!(!ProcessName { started: me.started + 1, ..me }.lives());
        assert!(!ProcessName { machine_boot: me.machine_boot ^ 1, ..me }.lives());
    }
}
