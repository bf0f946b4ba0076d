//! Looking at the processes of an instance from outside, through /proc.

use crate::record::{ProcessName, Stat};
use crate::sys;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Processes of one instance that are looked at: as many as its task limit allows.
const DESCENDANTS_MAX: usize = 8_192;
/// Rounds of killing what a killed process may have started meanwhile.
const KILL_ROUNDS_MAX: u32 = 50;

/// All descendants of a process, not the process itself.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut pending = vec![pid];
    while let Some(parent) = pending.pop() {
        for child in children(parent) {
            if found.len() >= DESCENDANTS_MAX {
                return found;
            }
            found.push(child);
            pending.push(child);
        }
    }
    found
}

/// Living children of a process, of all its threads. Zombies are children
/// too: they vanish when reaped.
fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        if let Ok(text) = fs::read_to_string(task.path().join("children")) {
            found.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok()));
        }
    }
    found
}

/// CPU time that a process, its descendants and all of those that ended have
/// used, in nanoseconds. Fine to a clock tick; never shrinks while they live.
pub fn cpu_nanoseconds(pid: i32) -> Option<u64> {
    let own = Stat::of(pid)?.ticks;
    let others: u64 = descendants(pid).into_iter().filter_map(Stat::of).map(|stat| stat.ticks).sum();
    Some((own + others) * (1_000_000_000 / sys::ticks_per_second()))
}

/// Bytes received and sent by the interfaces of a process's network
/// namespace, loopback left out. `None` for one that is in our own.
pub fn network_bytes(pid: i32) -> Option<(u64, u64)> {
    let namespace = |whose: &str| fs::read_link(format!("/proc/{whose}/ns/net")).ok();
    let theirs = namespace(&pid.to_string())?;
    if Some(theirs) == namespace("self") {
        return None;
    }
    Some(interface_bytes(&fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?))
}

/// Sums of the lines `eth0: received … sent …`: eight numbers each way.
fn interface_bytes(text: &str) -> (u64, u64) {
    let line = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let numbers: Vec<u64> = counters.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        (name.trim() != "lo").then_some((*numbers.first()?, *numbers.get(8)?))
    };
    text.lines().filter_map(line).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Kills what is left of an instance of the process make after its first
/// process has ended: processes that carry its root in their environment, and
/// those of its session while the session's number cannot be another's yet,
/// because the first process has not been reaped.
pub fn kill_leftovers(root: &Path, first: ProcessName) {
    let mut wanted = b"ELASTANE_ROOT=".to_vec();
    wanted.extend_from_slice(root.as_os_str().as_bytes());
    let unreaped = Stat::of(first.pid).is_some_and(|stat| stat.started == first.started);
    let session = (unreaped && first.is_of_this_boot()).then_some(first.pid);
    for _ in 0..KILL_ROUNDS_MAX {
        let left: Vec<i32> = all_processes().into_iter().filter(|pid| is_left(*pid, &wanted, session)).collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            // Once the pidfd is open and the process still fits, it cannot be another.
            if let Some(pidfd) = sys::pidfd_open(pid).ok().filter(|_| is_left(pid, &wanted, session)) {
                let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn all_processes() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_left(pid: i32, wanted: &[u8], session: Option<i32>) -> bool {
    let Some(stat) = Stat::of(pid).filter(|stat| stat.state != 'Z') else { return false };
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    session == Some(stat.session) || environment.split(|b| *b == 0).any(|entry| entry == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's table of interfaces: loopback does not count, the rest is summed.
    #[test]
    fn interface_counters() {
        let text = "Inter-|   Receive   |  Transmit\n face |bytes    packets|bytes    packets\n\
                    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n\
                    eth0: 1000 9 0 0 0 0 0 0 2000 8 0 0 0 0 0 0\n eth1:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(interface_bytes(text), (1001, 2002));
        assert_eq!(interface_bytes(""), (0, 0));
    }
}
