//! Login over SSH: authorized keys, host keys of the instance's own, and the
//! server.

use super::is_true;
use crate::init::boot::{Boot, store};
use crate::init::command::{command, find};
use crate::make::Make;
use rustix::fs::{CWD, Mode, OFlags};
use serde_json::Value;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

const SERVER: &str = "/usr/sbin/sshd";
const CONFIGURATION: &str = "/etc/ssh/sshd_config";
/// Where Debian's package keeps the file that it installs.
const DEBIAN_TEMPLATE: &str = "/usr/share/openssh/sshd_config";
/// For an image whose server has lost its configuration (the host's own is
/// hidden from instances).
const MINIMAL: &str =
    "Include /etc/ssh/sshd_config.d/*.conf\nSubsystem sftp internal-sftp\nPermitRootLogin prohibit-password\n";
/// The server's own messages.
const LOG: &str = "/var/log/auth.log";
/// What cloud-init puts before root's keys when root may not log in.
const ROOT_DISABLED: &str = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please login as the user \\\"$USER\\\" rather than the user \\\"$DISABLE_USER\\\".';echo;sleep 10;exit 142\"";

/// Whose keys they are.
pub struct Owner<'a> {
    /// Home directory, which exists.
    pub home: &'a Path,
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
}

/// What stands before root's keys when `disable_root` is set.
pub fn root_options(boot: &Boot<'_>, default_user: &str) -> String {
    if !is_true(&boot.key("disable_root")) {
        return String::new();
    }
    let options = super::text(&boot.key("disable_root_opts")).unwrap_or_else(|| ROOT_DISABLED.to_owned());
    format!("{} ", options.replace("$DISABLE_USER", "root").replace("$USER", default_user))
}

/// The lines of an authorized_keys file with the new keys, each once.
fn with_keys(present: &str, options: &str, keys: &[String]) -> String {
    let mut text = present.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for key in keys.iter().map(|key| key.trim()).filter(|key| !key.is_empty() && !key.contains('\n')) {
        let line = format!("{options}{key}");
        if !text.lines().any(|known| known.trim() == line) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Lets the keys log in as `owner`.
pub fn authorize(boot: &mut Boot<'_>, owner: &Owner<'_>, options: &str, keys: &[String]) -> Result<(), String> {
    if keys.is_empty() {
        return Ok(());
    }
    let directory = owner.home.join(".ssh");
    let file = directory.join("authorized_keys");
    let result = (|| {
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => return Err(err),
            _ => {}
        }
        fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        let present = fs::read_to_string(&file).unwrap_or_default();
        store(&file, with_keys(&present, options, keys).as_bytes(), 0o600)
    })();
    result.map_err(|err| format!("cannot write {}: {err}", file.display()))?;
    boot.own(&directory, Some(owner.user), Some(owner.group))?;
    boot.own(&file, Some(owner.user), Some(owner.group))
}

/// Whether somebody is meant to log in over SSH.
fn is_wanted(boot: &Boot<'_>) -> bool {
    let keys_of_users =
        boot.key("users").as_array().into_iter().flatten().any(|user| !user["ssh_authorized_keys"].is_null());
    let keys = boot.spec.ssh_public_key.is_some() || !boot.key("ssh_authorized_keys").is_null() || keys_of_users;
    keys || is_true(&boot.key("ssh_pwauth"))
}

/// Starts the server, if the image has it and somebody is meant to use it.
/// Does nothing when it runs already.
pub fn start(boot: &mut Boot<'_>) {
    if !is_wanted(boot) || !Path::new(SERVER).exists() || Path::new("/run/sshd.pid").exists() {
        return;
    }
    if boot.spec.make == Make::Rootless {
        let why = "SSH: the server is not started: the instance has one user id, and the server needs several";
        return boot.report.warn(why);
    }
    if let Err(why) = configure(boot) {
        return boot.report.fail(&format!("SSH: {why}"));
    }
    if boot.first_time("ssh_host_keys") && !make_host_keys(boot) {
        return;
    }
    let mut server = command(boot.spec, Path::new(SERVER));
    server.args(["-E", LOG]);
    if boot.must("SSH: sshd", server) {
        boot.report.line("elastane: SSH: the server runs at port 22");
    }
}

fn configure(boot: &mut Boot<'_>) -> Result<(), String> {
    let result = (|| {
        DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd")?;
        fs::create_dir_all("/etc/ssh/sshd_config.d")?;
        if !Path::new(CONFIGURATION).exists() {
            let content = fs::read(DEBIAN_TEMPLATE).unwrap_or_else(|_| MINIMAL.into());
            store(Path::new(CONFIGURATION), &content, 0o644)?;
        }
        let passwords = boot.key("ssh_pwauth");
        if matches!(passwords, Value::Bool(_) | Value::String(_)) && passwords.as_str() != Some("unchanged") {
            let word = if is_true(&passwords) { "yes" } else { "no" };
            let line = format!("PasswordAuthentication {word}\n");
            let main = fs::read_to_string(CONFIGURATION)?;
            // Of equal keywords the first one counts.
            match main.contains("/etc/ssh/sshd_config.d/") {
                true => store(Path::new("/etc/ssh/sshd_config.d/50-cloud-init.conf"), line.as_bytes(), 0o600)?,
                false if main.starts_with(&line) => {}
                false => store(Path::new(CONFIGURATION), format!("{line}{main}").as_bytes(), 0o644)?,
            }
        }
        Ok(())
    })();
    result.map_err(|err: std::io::Error| format!("the server cannot be configured: {err}"))
}

/// New host keys for this instance: those of an image belong to another one.
fn make_host_keys(boot: &mut Boot<'_>) -> bool {
    let Some(program) = find(boot.spec, "ssh-keygen") else {
        boot.report.fail("SSH: the image has no ssh-keygen for host keys");
        return false;
    };
    let deletes = boot.config.get("ssh_deletekeys").is_none_or(is_true);
    for entry in fs::read_dir("/etc/ssh").into_iter().flatten().flatten().filter(|_| deletes) {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            let _ = fs::remove_file(entry.path());
        }
    }
    let mut run = command(boot.spec, &program);
    run.arg("-A").stdout(std::process::Stdio::null());
    if !boot.must("SSH: ssh-keygen", run) {
        return false;
    }
    tell_host_keys(boot);
    true
}

/// The public host keys, between the lines between which people look for them.
fn tell_host_keys(boot: &mut Boot<'_>) {
    let mut keys: Vec<String> = Vec::new();
    for entry in fs::read_dir("/etc/ssh").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("ssh_host_") && name.ends_with(".pub") {
            keys.extend(fs::read_to_string(entry.path()).ok());
        }
    }
    keys.sort();
    boot.report.line("-----BEGIN SSH HOST KEY KEYS-----");
    keys.iter().for_each(|key| boot.report.line(key.trim()));
    boot.report.line("-----END SSH HOST KEY KEYS-----");
}

/// A directory of a user's own, with the skeleton's files.
pub fn make_home(boot: &mut Boot<'_>, owner: &Owner<'_>) -> Result<(), String> {
    let made = rustix::fs::mkdir(owner.home, Mode::from_raw_mode(0o755));
    match made {
        Ok(()) => {}
        // Somebody's home may lie where something is already; it is not taken away.
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        Err(rustix::io::Errno::NOENT) => {
            fs::create_dir_all(owner.home).map_err(|err| format!("cannot make {}: {err}", owner.home.display()))?;
        }
        Err(err) => return Err(format!("cannot make {}: {err}", owner.home.display())),
    }
    let _ = fs::set_permissions(owner.home, Permissions::from_mode(0o755));
    for entry in fs::read_dir("/etc/skel").into_iter().flatten().flatten() {
        let target = owner.home.join(entry.file_name());
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let open =
            rustix::fs::openat(CWD, entry.path(), OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        if let (true, Ok(file)) = (is_file, open)
            && let Ok(mut to) = fs::File::create(&target)
            && std::io::copy(&mut fs::File::from(file), &mut to).is_ok()
        {
            boot.own(&target, Some(owner.user), Some(owner.group))?;
        }
    }
    boot.own(owner.home, Some(owner.user), Some(owner.group))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys are added once, on lines of their own, with their options.
    #[test]
    fn key_lines() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        for (present, options, new, want) in [
            ("", "", keys(&["ssh-ed25519 A a\n"]), "ssh-ed25519 A a\n"),
            ("old", "", keys(&["k", "k", ""]), "old\nk\n"),
            ("k\n", "", keys(&["k"]), "k\n"),
            ("k\n", "no-pty ", keys(&["k"]), "k\nno-pty k\n"),
            ("", "", keys(&["a\nssh-rsa evil"]), ""),
        ] {
            assert_eq!(with_keys(present, options, &new), want);
        }
    }
}
