//! Limits and measures of an instance through control groups, version 1 or 2.
//! Groups nest below the daemon's own group, so that limits set on the daemon
//! hold for its instances. Where no group can be made nothing is enforced,
//! and the caller is told.

use crate::error::{Context, HostError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Usual length of the period in which the CPU quota is spent: short, so that
/// a throttled web server stalls for milliseconds, not tenths of a second.
const PERIOD_US: u64 = 20_000;
/// Period for quotas too small for the usual one: the kernel refuses quotas under 1 ms.
const LONG_PERIOD_US: u64 = 100_000;
const QUOTA_US_MIN: u64 = 1_000;
/// Processes and threads of one instance: a fork bomb ends here.
const TASKS_MAX: u32 = 4_096;
const CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];

/// What an instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of one core.
    pub cpu_millicores: u32,
    /// Mebibytes.
    pub memory_mib: u32,
}

/// Where groups can be made on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// One directory per controller: version 1.
    V1(Vec<(String, PathBuf)>),
    /// One directory for all: version 2.
    V2(PathBuf),
}

/// The groups of one instance. Kept in its record, because a later daemon may
/// run in another group of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// (controller, directory); one entry with an empty controller for version 2.
    pub directories: Vec<(String, PathBuf)>,
}

/// A file below a group's directory and what to write there.
type Setting = (&'static str, String);

fn quota(cpu_millicores: u32) -> (u64, u64) {
    let share = u64::from(cpu_millicores.max(1));
    match share * PERIOD_US / 1000 {
        quota if quota >= QUOTA_US_MIN => (quota, PERIOD_US),
        _ => ((share * LONG_PERIOD_US / 1000).max(QUOTA_US_MIN), LONG_PERIOD_US),
    }
}

fn settings_v1(controller: &str, limits: Limits) -> Vec<Setting> {
    let (quota, period) = quota(limits.cpu_millicores);
    let bytes = (u64::from(limits.memory_mib) << 20).to_string();
    match controller {
        "cpu" => vec![("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
        "memory" => vec![("memory.limit_in_bytes", bytes)],
        "pids" => vec![("pids.max", TASKS_MAX.to_string())],
        _ => Vec::new(),
    }
}

fn settings_v2(limits: Limits) -> Vec<Setting> {
    let (quota, period) = quota(limits.cpu_millicores);
    vec![
        ("cpu.max", format!("{quota} {period}")),
        ("memory.max", (u64::from(limits.memory_mib) << 20).to_string()),
        ("pids.max", TASKS_MAX.to_string()),
    ]
}

/// The groups that a process is in, from the text of `/proc/<pid>/cgroup`, as
/// (controllers, path); version 2 has an empty list of controllers.
fn own_groups(text: &str) -> Vec<(Vec<String>, String)> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
            Some((controllers, parts.next()?.to_owned()))
        })
        .collect()
}

/// Where version 1 hierarchies of our controllers are mounted, and version
/// 2's, from the text of `/proc/self/mounts`.
fn mounted(text: &str) -> (Vec<(String, PathBuf)>, Option<PathBuf>) {
    let (mut first, mut second) = (Vec::new(), None);
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            [_, at, "cgroup", options, ..] => {
                let found = CONTROLLERS.iter().filter(|c| options.split(',').any(|o| o == **c));
                first.extend(found.map(|c| ((*c).to_owned(), PathBuf::from(at))));
            }
            [_, at, "cgroup2", ..] => second = Some(PathBuf::from(at)),
            _ => {}
        }
    }
    (first, second)
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

impl Hierarchy {
    /// Tries to make and remove a group named `name`; says what is possible.
    pub fn find(name: &str) -> Result<Hierarchy, HostError> {
        let read = |path: &str| fs::read_to_string(path).context(|| format!("read {path}"));
        let own = own_groups(&read("/proc/self/cgroup")?);
        let (first, second) = mounted(&read("/proc/self/mounts")?);
        let mut parents = Vec::new();
        for (controller, mount) in first {
            if let Some((_, path)) = own.iter().find(|(list, _)| list.contains(&controller)) {
                parents.push((controller, below(&mount, path).join(name)));
            }
        }
        if parents.iter().any(|(controller, _)| controller == "cpu") {
            let hierarchy = Hierarchy::V1(parents);
            hierarchy.prepare()?;
            return Ok(hierarchy);
        }
        let Some(mount) = second else {
            return Err(HostError::Refused("no control group hierarchy is mounted".to_owned()));
        };
        let path = own.iter().find(|(list, _)| list.is_empty()).map_or("/", |(_, path)| path.as_str());
        let hierarchy = Hierarchy::V2(below(&mount, path).join(name));
        hierarchy.prepare()?;
        Ok(hierarchy)
    }

    /// Makes the directories that hold the instances' groups.
    fn prepare(&self) -> Result<(), HostError> {
        match self {
            Hierarchy::V1(parents) => {
                for (_, parent) in parents {
                    make_group(parent)?;
                }
                Ok(())
            }
            Hierarchy::V2(parent) => prepare_v2(parent),
        }
    }

    /// Version in words, for reports.
    pub fn version(&self) -> &'static str {
        match self {
            Hierarchy::V1(_) => "1",
            Hierarchy::V2(_) => "2",
        }
    }

    /// Makes the groups of one instance and sets their limits.
    pub fn make(&self, instance: &str, limits: Limits) -> Result<Groups, HostError> {
        let mut groups = Groups::default();
        let wanted: Vec<(String, PathBuf, Vec<Setting>)> = match self {
            Hierarchy::V1(parents) => parents
                .iter()
                .map(|(controller, parent)| {
                    (controller.clone(), parent.join(instance), settings_v1(controller, limits))
                })
                .collect(),
            Hierarchy::V2(parent) => vec![(String::new(), parent.join(instance), settings_v2(limits))],
        };
        for (controller, directory, settings) in wanted {
            // The directory above may have been retired when nothing ran.
            directory.parent().map_or(Ok(()), make_group)?;
            make_group(&directory)?;
            groups.directories.push((controller, directory.clone()));
            for (file, value) in settings {
                let path = directory.join(file);
                fs::write(&path, &value).context(|| format!("write {value} to {}", path.display()))?;
            }
        }
        Ok(groups)
    }

    /// The groups that exist here, whoever made them.
    pub fn existing(&self) -> Vec<PathBuf> {
        let parents: Vec<&PathBuf> = match self {
            Hierarchy::V1(parents) => parents.iter().map(|(_, parent)| parent).collect(),
            Hierarchy::V2(parent) => vec![parent],
        };
        let entries = parents.into_iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten();
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()).collect()
    }

    /// Removes the directories that held the instances' groups, if they are empty.
    pub fn retire(&self) {
        match self {
            Hierarchy::V1(parents) => parents.iter().for_each(|(_, parent)| drop(fs::remove_dir(parent))),
            Hierarchy::V2(parent) => drop(fs::remove_dir(parent)),
        }
    }
}

fn make_group(path: &Path) -> Result<(), HostError> {
    match fs::create_dir(path) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
            Err(err).context(|| format!("make the control group {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A version 2 group passes controllers on only when it holds no process
/// itself, so the daemon first moves into a leaf beside its instances.
fn prepare_v2(parent: &Path) -> Result<(), HostError> {
    make_group(parent)?;
    let above = parent.parent().unwrap_or(parent);
    let enable = |directory: &Path| fs::write(directory.join("cgroup.subtree_control"), "+cpu +memory +pids");
    if enable(above).is_err() {
        let leaf = above.join("elastane-daemon");
        make_group(&leaf)?;
        let procs = leaf.join("cgroup.procs");
        fs::write(&procs, "0").context(|| format!("move into {}", leaf.display()))?;
        enable(above).context(|| format!("pass controllers on below {}", above.display()))?;
    }
    enable(parent).context(|| format!("pass controllers on below {}", parent.display()))
}

/// How often a group is tried to be removed: its processes may still be ending.
const REMOVE_TRIES: u32 = 50;

impl Groups {
    /// Puts a process, and what it starts from now on, under the limits.
    pub fn join(&self, pid: i32) -> Result<(), HostError> {
        for (_, directory) in &self.directories {
            let path = directory.join("cgroup.procs");
            fs::write(&path, pid.to_string()).context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    fn file(&self, controller: &str, v1: &str, v2: &str) -> Option<String> {
        let (found, directory) = self.directories.iter().find(|(c, _)| c == controller || c.is_empty())?;
        fs::read_to_string(directory.join(if found.is_empty() { v2 } else { v1 })).ok()
    }

    /// CPU time used so far, in nanoseconds.
    pub fn cpu_nanoseconds(&self) -> Option<u64> {
        let text = self.file("cpuacct", "cpuacct.usage", "cpu.stat")?;
        match keyed(&text, "usage_usec") {
            Some(microseconds) => Some(microseconds * 1000),
            None => text.trim().parse().ok(),
        }
    }

    /// How many processes were killed because the memory limit was reached.
    pub fn memory_kills(&self) -> u64 {
        let text = self.file("memory", "memory.oom_control", "memory.events").unwrap_or_default();
        keyed(&text, "oom_kill").unwrap_or(0)
    }

    /// Removes the groups. Processes that still end are waited for, a little.
    pub fn remove(&self) {
        for (_, directory) in &self.directories {
            remove_group(directory);
        }
    }
}

/// Removes one group.
pub fn remove_group(directory: &Path) {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir(directory) {
            Err(err) if err.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            _ => return,
        }
    }
}

fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share becomes a quota within the kernel's bounds, in both formats.
    #[test]
    fn limits_in_both_formats() {
        let limits = |cpu_millicores| Limits { cpu_millicores, memory_mib: 64 };
        for (share, quota, period) in
            [(1000, 20_000, 20_000), (200, 4_000, 20_000), (20, 2_000, 100_000), (1, 1_000, 100_000)]
        {
            let v1 = settings_v1("cpu", limits(share));
            assert_eq!(v1[0], ("cpu.cfs_period_us", period.to_string()), "{share}");
            assert_eq!(v1[1], ("cpu.cfs_quota_us", quota.to_string()), "{share}");
            assert_eq!(settings_v2(limits(share))[0], ("cpu.max", format!("{quota} {period}")), "{share}");
        }
        assert_eq!(settings_v1("memory", limits(1)), [("memory.limit_in_bytes", "67108864".to_owned())]);
        assert_eq!(settings_v2(limits(1))[1], ("memory.max", "67108864".to_owned()));
    }

    /// Both kinds of membership lines are read, with colons in paths.
    #[test]
    fn membership_lines() {
        let got = own_groups("4:memory:/a:b\n2:cpu,cpuacct:/x\n0::/user.slice\n");
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(got[0], (strings(&["memory"]), "/a:b".to_owned()));
        assert_eq!(got[1], (strings(&["cpu", "cpuacct"]), "/x".to_owned()));
        assert_eq!(got[2], (Vec::new(), "/user.slice".to_owned()));
    }

    /// Mounts are found by type and controller, joint mounts too.
    #[test]
    fn mounts() {
        let (v1, v2) = mounted(
            "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup /m cgroup rw,memory 0 0\nc /u cgroup2 rw 0 0\n",
        );
        let names: Vec<_> = v1.iter().map(|(c, p)| format!("{c}={}", p.display())).collect();
        assert_eq!(names, ["cpu=/sys/fs/cgroup/cpu,cpuacct", "cpuacct=/sys/fs/cgroup/cpu,cpuacct", "memory=/m"]);
        assert_eq!(v2, Some(PathBuf::from("/u")));
    }

    /// Counters are read from keyed files.
    #[test]
    fn keyed_files() {
        assert_eq!(keyed("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), Some(3));
        assert_eq!(keyed("usage_usec 17\nuser_usec 9\n", "usage_usec"), Some(17));
        assert_eq!(keyed("12345\n", "usage_usec"), None);
    }
}
