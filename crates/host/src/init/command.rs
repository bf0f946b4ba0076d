//! How all programs of an instance are started: own process group, clean
//! environment with the instance's identity, output where this process's
//! own goes.

use super::InitSpec;
use crate::sys;
use rustix::process::Resource;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where programs are looked for in an instance with a root of its own.
const PATHS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn paths(spec: &InitSpec) -> String {
    let inherited = std::env::var("PATH").unwrap_or_default();
    match spec.make.is_sandbox() || inherited.is_empty() {
        true => PATHS.to_owned(),
        false => inherited,
    }
}

/// The executable of this name in the instance's path.
pub fn find(spec: &InitSpec, name: &str) -> Option<PathBuf> {
    let paths = paths(spec);
    paths.split(':').map(|directory| Path::new(directory).join(name)).find(|path| is_executable(path))
}

/// Whether it is a file that can be executed by somebody.
pub fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// A command as all scripts of the instance are run.
pub fn command(spec: &InitSpec, program: &Path) -> Command {
    let mut command = command_of_session(spec, program);
    // A group of its own lets a timeout end all that a script started.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// The same for one that becomes the leader of a session, and so of a group,
/// by itself.
pub fn command_of_session(spec: &InitSpec, program: &Path) -> Command {
    let mut command = Command::new(program);
    let root = spec.root();
    command.env_clear().stdin(Stdio::null());
    command.env("PATH", paths(spec)).env("LANG", "C.UTF-8").env("USER", "root").env("SHELL", "/bin/sh");
    command.env("ELASTANE_ROOT", &root);
    command.env("ELASTANE_INSTANCE_ID", &spec.instance);
    command.env("ELASTANE_LOCAL_IPV4", spec.address.to_string());
    // cloud-init gives it to boothooks and to bootcmd.
    command.env("INSTANCE_ID", &spec.instance);
    if let Some(endpoint) = &spec.metadata_endpoint {
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
    }
    match spec.make.is_sandbox() {
        true => command.env("HOME", "/root").current_dir("/"),
        false => command.env("HOME", root.join("root")).env("TMPDIR", root.join("tmp")).current_dir(&root),
    };
    sys::default_signals(&mut command);
    if !spec.make.is_sandbox() {
        // Each process of the instance by itself: no more can be had without
        // control groups. Not this one, whose allocator reserves more than it uses.
        sys::limit_child(&mut command, Resource::Data, u64::from(spec.memory_mib) << 20);
    }
    command
}

/// The exit status as a shell gives it: 128 and the signal's number for a killed process.
pub fn exit_code(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}
