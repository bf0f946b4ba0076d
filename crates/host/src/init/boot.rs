//! The boot scripts, in cloud-init's order and places: `/etc/rc.local`,
//! `/var/lib/cloud/scripts/per-boot/`, and once in an instance's life its
//! user data (ec2-imds.md 5.4). One runs after the other; what they start in
//! the background stays.

use super::InitSpec;
use super::output::Output;
use crate::error::{Context, HostError};
use crate::sys;
use rustix::process::Resource;
use std::collections::VecDeque;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a boot script is, for messages about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs at each boot.
    EachBoot,
    /// The user data.
    UserData,
}

/// One script to run.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is.
    pub kind: Kind,
    /// The executable file.
    pub path: PathBuf,
}

/// What user data is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Script,
    Nothing,
    /// A format of cloud-init's that is not run here, with its name.
    Unsupported(&'static str),
    Unknown,
}

fn format_of(data: &[u8]) -> Format {
    if data.starts_with(&[0x1f, 0x8b]) {
        return Format::Unsupported("gzip");
    }
    let start = data.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(data.len());
    let text = data[start..data.len().min(start + 64)].to_ascii_lowercase();
    let known: [(&[u8], &'static str); 9] = [
        (b"#cloud-config-archive", "#cloud-config-archive"),
        (b"#cloud-config-jsonp", "#cloud-config-jsonp"),
        (b"#cloud-config", "#cloud-config"),
        (b"#cloud-boothook", "#cloud-boothook"),
        (b"#part-handler", "#part-handler"),
        (b"## template: jinja", "## template: jinja"),
        (b"#include", "#include"),
        (b"content-type: multipart/", "MIME multipart"),
        (b"mime-version:", "MIME multipart"),
    ];
    match known.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        Some((_, name)) => Format::Unsupported(name),
        None if text.is_empty() => Format::Nothing,
        None if text.starts_with(b"#!") => Format::Script,
        None => Format::Unknown,
    }
}

/// The scripts of this boot, in order; says in the log what is left out.
pub fn plan(spec: &InitSpec, output: &mut Output) -> Result<VecDeque<Step>, HostError> {
    let mut steps = VecDeque::new();
    let each = |path| Step { kind: Kind::EachBoot, path };
    steps.extend(Some(spec.path("etc/rc.local")).filter(|path| is_executable(path)).map(each));
    let mut scripts: Vec<PathBuf> = match fs::read_dir(spec.path("var/lib/cloud/scripts/per-boot")) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| is_executable(path)).collect(),
        Err(_) => Vec::new(),
    };
    scripts.sort();
    steps.extend(scripts.into_iter().map(each));
    if let Some(path) = user_data(spec, output)? {
        steps.push_back(Step { kind: Kind::UserData, path });
    }
    Ok(steps)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Stores the user data where cloud-init does, and returns the script if it
/// is one that has not been started in this instance's life. The mark is set
/// before it runs, as cloud-init does: a script that brings the instance down
/// is not run again.
fn user_data(spec: &InitSpec, output: &mut Output) -> Result<Option<PathBuf>, HostError> {
    let cloud = spec.path("var/lib/cloud");
    let own = cloud.join("instances").join(&spec.instance);
    let mark = own.join("sem/config_scripts_user");
    if mark.exists() {
        return Ok(None);
    }
    for directory in [own.join("scripts"), own.join("sem")] {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder.create(&directory).context(|| format!("make {}", directory.display()))?;
    }
    let link = cloud.join("instance");
    let _ = fs::remove_file(&link);
    let linked = std::os::unix::fs::symlink(format!("instances/{}", spec.instance), &link);
    linked.context(|| format!("make {}", link.display()))?;
    super::write_file(&mark, b"")?;
    let Some(data) = &spec.user_data else { return Ok(None) };
    store(&own.join("user-data.txt"), data, 0o600)?;
    match format_of(data) {
        Format::Nothing => Ok(None),
        Format::Script => {
            let start = data.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
            let script = own.join("scripts/part-001");
            store(&script, &data[start..], 0o700)?;
            Ok(Some(script))
        }
        Format::Unsupported(name) => {
            output.line(&format!("elastane: WARNING: user data of the format {name} is not supported yet and was not run; `#!` scripts are"));
            Ok(None)
        }
        Format::Unknown => {
            let first = String::from_utf8_lossy(&data[..data.len().min(24)]).into_owned();
            output.line(&format!(
                "__init__.py[WARNING]: Unhandled non-multipart (text/x-not-multipart) userdata: '{first:?}...'"
            ));
            Ok(None)
        }
    }
}

fn store(path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
    super::write_file(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .context(|| format!("set the mode of {}", path.display()))
}

/// A command as all scripts of the instance are run: own session, clean
/// environment with the instance's identity.
pub fn command(spec: &InitSpec, program: &Path) -> Command {
    let mut command = Command::new(program);
    let root = spec.root();
    command.env_clear().stdin(Stdio::null());
    let inherited = std::env::var("PATH").unwrap_or_default();
    let path = match spec.make.is_sandbox() || inherited.is_empty() {
        true => "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        false => inherited,
    };
    command.env("PATH", path).env("LANG", "C.UTF-8").env("USER", "root").env("SHELL", "/bin/sh");
    command.env("ELASTANE_ROOT", &root);
    command.env("ELASTANE_INSTANCE_ID", &spec.instance);
    command.env("ELASTANE_LOCAL_IPV4", spec.address.to_string());
    if let Some(endpoint) = &spec.metadata_endpoint {
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
    }
    match spec.make.is_sandbox() {
        true => command.env("HOME", "/root").current_dir("/"),
        false => command.env("HOME", root.join("root")).env("TMPDIR", root.join("tmp")).current_dir(&root),
    };
    if !spec.make.is_sandbox() {
        // Each process of the instance by itself: no more can be had without
        // control groups. Not this one, whose allocator reserves more than it uses.
        sys::limit_child(&mut command, Resource::Data, u64::from(spec.memory_mib) << 20);
    }
    // A group of its own lets a timeout end all that a script started.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formats are recognised by their first bytes, after white space, in any case.
    #[test]
    fn formats() {
        for (data, want) in [
            (&b"#!/bin/sh\n"[..], Format::Script),
            (b" \n#!/usr/bin/python3\n", Format::Script),
            (b"#Cloud-Config\n", Format::Unsupported("#cloud-config")),
            (b"#cloud-config-archive\n", Format::Unsupported("#cloud-config-archive")),
            (b"\x1f\x8b\x08", Format::Unsupported("gzip")),
            (b"Content-Type: multipart/mixed", Format::Unsupported("MIME multipart")),
            (b"hello", Format::Unknown),
            (b"", Format::Nothing),
            (b"  \n", Format::Nothing),
        ] {
            assert_eq!(format_of(data), want, "{data:?}");
        }
    }
}
