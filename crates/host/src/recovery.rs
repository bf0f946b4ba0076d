//! What the last daemon left: instances that run are taken over, what died
//! is written down as stopped, what was half-made is removed.

use crate::agent_client;
use crate::error::HostError;
use crate::host::{Entry, Inner, stopped};
use crate::init::{Answer, Ask};
use crate::launch::listen_near;
use crate::layout::Layout;
use crate::make::Make;
use crate::network::{Networks, Station};
use crate::record::{self, Phase, ProcessName, Record};
use crate::{cgroup, network, router, sys, tree};
use elastane_domain::machine::Initialization;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a half-booted first process may take to say who it is.
const PING_LIMIT: Duration = Duration::from_secs(2);
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Fills the machines of a fresh `Inner` from its data directory.
pub fn recover(inner: &Arc<Inner>) -> Result<(), HostError> {
    empty_trash(inner);
    for found in record::all(&inner.layout) {
        match found {
            Ok(record) => take_over(inner, record),
            // Its record was never complete, so it never had a process.
            Err(path) => inner.layout.discard(&path)?,
        }
    }
    end_unused_networks(inner);
    remove_unused_groups(inner);
    remove_unused_masks(inner);
    Ok(())
}

fn empty_trash(inner: &Inner) {
    let Ok(entries) = fs::read_dir(inner.layout.at("trash")) else { return };
    for entry in entries.flatten() {
        if let Err(err) = tree::remove(&entry.path()) {
            inner.note(err.sentence());
        }
    }
}

fn take_over(inner: &Arc<Inner>, record: Record) {
    let living = record.process.filter(ProcessName::lives);
    let ours = record.make == inner.make && (record.phase == Phase::Running || has_booted(inner, &record));
    if let (Some(process), true) = (living, ours)
        && adopt(inner, record.clone(), process).is_ok()
    {
        return;
    }
    if let Some(process) = living {
        kill(process);
    }
    let stopped = stopped(&inner.layout, &record);
    if !record.booted_before && record.phase == Phase::Launching {
        if let Err(err) = inner.layout.discard(&inner.layout.instance(record.spec.instance.as_str())) {
            inner.note(err.sentence());
        }
        return;
    }
    if let Err(err) = stopped.save(&inner.layout) {
        inner.note(err.sentence());
    }
    inner.addresses.add(&stopped);
    let entry = Entry { record: stopped, pidfd: None, tasks: Vec::new(), memory_kills_told: 0 };
    inner.machines().insert(record.spec.instance, entry);
}

/// Whether a boot that the last daemon did not see the end of has succeeded.
fn has_booted(inner: &Inner, record: &Record) -> bool {
    if record.phase != Phase::Launching || !record.process.is_some_and(|process| process.lives()) {
        return false;
    }
    let directory = inner.layout.instance(record.spec.instance.as_str());
    let answer = agent_client::ask(&directory, &Ask::Ping, PING_LIMIT);
    matches!(answer, Ok(Answer::Pong { generation, .. }) if generation == record.spec.generation.0)
}

fn adopt(inner: &Arc<Inner>, mut record: Record, process: ProcessName) -> Result<(), HostError> {
    let id = record.spec.instance.clone();
    let gone = |_| HostError::Refused(format!("{id} ended meanwhile"));
    let pidfd = Arc::new(sys::pidfd_open(process.pid).map_err(gone)?);
    if !process.lives() {
        return Err(HostError::Refused(format!("{id} ended meanwhile")));
    }
    let mut tasks = Vec::new();
    if inner.make.is_sandbox() {
        Station::of(&record).map_or(Ok(()), |station| inner.reconnect(&station))?;
    } else {
        let listener = listen_near(record.address, record.metadata_port)?;
        tasks.push(inner.serve_metadata(listener, &id));
    }
    record.phase = Phase::Running;
    record.booted_before = true;
    record.save(&inner.layout)?;
    inner.addresses.add(&record);
    tasks.push(inner.watch(&id, pidfd.clone()));
    let memory_kills_told = record.groups.memory_kills();
    let unfinished = (record.initialization == Initialization::UnderWay).then_some(record.spec.generation);
    inner.machines().insert(id.clone(), Entry { record, pidfd: Some(pidfd), tasks, memory_kills_told });
    // Its result finds the entry that it belongs to.
    let waiting = unfinished.map(|generation| inner.watch_initialization(&id, generation));
    if let Some(entry) = inner.machines().get_mut(&id) {
        entry.tasks.extend(waiting);
    }
    Ok(())
}

fn kill(process: ProcessName) {
    if let Ok(pidfd) = sys::pidfd_open(process.pid)
        && process.lives()
    {
        let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
        crate::launch::wait_ended(&pidfd, KILL_LIMIT);
    }
}

fn end_unused_networks(inner: &Inner) {
    let used: BTreeSet<PathBuf> = {
        let machines = inner.machines();
        let running = machines.values().filter(|entry| !inner.make.is_sandbox() || entry.pidfd.is_some());
        running.map(|entry| inner.layout.vpc(entry.record.spec.vpc.as_str())).collect()
    };
    for problem in end_networks_but(&inner.layout, used, &inner.networks) {
        inner.note(problem);
    }
}

/// Ends what a killed daemon of this data directory has left in the way of
/// networks: all in which no instance runs, and what was changed in the
/// host's own network namespace. For use when no daemon runs and none is
/// started; the next one does it by itself.
pub fn sweep(data_dir: &std::path::Path) {
    let layout = Layout::new(data_dir);
    let running = record::all(&layout).into_iter().flatten();
    let running = running.filter(|record| record.process.is_some_and(|process| process.lives()));
    let used = running.map(|record| layout.vpc(record.spec.vpc.as_str())).collect();
    let make = if sys::effective_user() == 0 { Make::Root } else { Make::Rootless };
    end_networks_but(&layout, used, &Networks::new(make, &layout, false));
    // Without the right to remove it there was none to make it.
    let _ = network::ipv6::keep(data_dir, false);
}

/// Ends all networks but those whose record is named. Returns what failed.
fn end_networks_but(layout: &Layout, used: BTreeSet<PathBuf>, networks: &Networks) -> Vec<String> {
    let edge = layout.vpc(network::EDGE_RECORD);
    let problems = networks.recover(layout, !used.is_empty());
    let used: BTreeSet<PathBuf> = used.into_iter().chain([edge]).collect();
    let Ok(entries) = fs::read_dir(layout.at("vpcs")) else { return problems };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| !used.contains(path)) {
        match record::holder(&path) {
            Some(holder) => router::end_holder(&path, holder),
            None => drop(fs::remove_file(&path)),
        }
    }
    problems
}

fn remove_unused_groups(inner: &Inner) {
    let Some(hierarchy) = &inner.hierarchy else { return };
    let machines = inner.machines();
    let used: BTreeSet<PathBuf> = machines
        .values()
        .flat_map(|entry| entry.record.groups.directories.iter().map(|(_, path)| path.clone()))
        .collect();
    drop(machines);
    hierarchy.existing().iter().filter(|path| !used.contains(*path)).for_each(|path| cgroup::remove_group(path));
}

fn remove_unused_masks(inner: &Inner) {
    let machines = inner.machines();
    let running = machines.values().filter(|entry| inner.make != Make::Process && entry.pidfd.is_some());
    let used: BTreeSet<PathBuf> = running.map(|entry| inner.layout.at(&entry.record.mask)).collect();
    drop(machines);
    let Ok(entries) = fs::read_dir(inner.layout.at("masks")) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| !used.contains(path)) {
        if let Err(err) = tree::remove(&path) {
            inner.note(err.sentence());
        }
    }
}
