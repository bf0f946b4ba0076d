//! How strongly instances are isolated on this machine, and the namespaces
//! that the daemon itself must be in for it. The choice is made by trying.

use crate::error::{Context, HostError};
use crate::layout::Layout;
use crate::{record, sys};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// User and group ids of instances start here on the host in the `Root` make,
/// so that an instance's root is nobody outside.
pub const SHIFT: u32 = 200_000;
/// How many ids an instance has.
pub const SHIFT_COUNT: u32 = 65_536;

/// Set once the process is in its private namespaces.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether mounts of this process stay away from the host.
pub(crate) fn has_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// One make of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Make {
    /// Namespaces, shifted users, own root and network, enforced limits.
    Root,
    /// The same inside a user namespace of an ordinary user; one user id, limits not enforced.
    Rootless,
    /// A session of processes on its own loopback address; no isolation.
    Process,
}

impl Make {
    /// All makes, the strongest first.
    pub const ALL: [Make; 3] = [Make::Root, Make::Rootless, Make::Process];

    /// Whether instances have their own root, network and process ids.
    pub fn is_sandbox(self) -> bool {
        !matches!(self, Make::Process)
    }

    /// The name that the command line and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Make::Root => "sandbox",
            Make::Rootless => "sandbox (unprivileged)",
            Make::Process => "process",
        }
    }
}

/// The make that the daemon is prepared for, and why it is not a stronger one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// What instances will be.
    pub make: Make,
    /// For each stronger make: what failed when it was tried.
    pub notes: Vec<String>,
}

/// Enters the private namespaces of the strongest make, among those allowed,
/// whose needs (namespaces, an overlay mount in `data_dir`) are met when
/// tried. Call it first thing in `main`, before any thread starts. `Process`
/// needs nothing and always works.
pub fn enter_best(data_dir: &Path, allowed: &[Make]) -> Result<Entered, HostError> {
    let mut notes = Vec::new();
    if allowed.contains(&Make::Root) && sys::effective_user() == 0 {
        check_place(data_dir)?;
    }
    for make in Make::ALL.into_iter().filter(|make| allowed.contains(make)) {
        match try_in_child(make, data_dir) {
            Ok(()) => {
                enter_private_namespaces(make, data_dir)?;
                return Ok(Entered { make, notes });
            }
            Err(why) => notes.push(format!("{}: {why}", make.name())),
        }
    }
    Err(HostError::Refused(format!("no kind of instance works here: {}", notes.join("; "))))
}

/// Layers of images cannot lie below a directory that instances share.
fn check_place(data_dir: &Path) -> Result<(), HostError> {
    match ["/usr", "/etc", "/var", "/opt"].iter().find(|shared| data_dir.starts_with(shared)) {
        None => Ok(()),
        Some(shared) => Err(HostError::Refused(format!(
            "the data directory {} lies inside {shared}, which instances share: \
             start with --data-dir outside of /usr, /etc, /var and /opt",
            data_dir.display()
        ))),
    }
}

/// Enters the namespaces of `make`. Call it first thing in `main`, before any
/// thread starts; it affects the whole process.
///
/// As root: a mount namespace of its own, so that no mount is ever left on
/// the host. As an ordinary user: a user namespace as well, that of an earlier
/// daemon of the same data directory if one of its instances still lives.
pub fn enter_private_namespaces(make: Make, data_dir: &Path) -> Result<(), HostError> {
    match make {
        Make::Process => return Ok(()),
        Make::Root => {}
        Make::Rootless => enter_user_namespace(data_dir)?,
    }
    sys::unshare(libc::CLONE_NEWNS).context(|| "make a mount namespace".to_owned())?;
    sys::mount("", "/", "", libc::MS_REC | libc::MS_SLAVE, "")
        .context(|| "keep mounts from spreading to the host".to_owned())?;
    ENTERED.store(true, Ordering::Relaxed);
    Ok(())
}

fn enter_user_namespace(data_dir: &Path) -> Result<(), HostError> {
    if let Some(namespace) = earlier_user_namespace(data_dir) {
        sys::setns(namespace.as_fd(), libc::CLONE_NEWUSER)
            .context(|| "join the user namespace of the running instances".to_owned())?;
        return sys::become_root().context(|| "become root of the user namespace".to_owned());
    }
    let (user, group) = (sys::effective_user(), sys::effective_group());
    sys::unshare(libc::CLONE_NEWUSER).context(|| "make a user namespace".to_owned())?;
    let write = |file: &str, text: String| {
        let path = format!("/proc/self/{file}");
        fs::write(&path, text).context(|| format!("write {path}"))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {user} 1"))?;
    write("gid_map", format!("0 {group} 1"))
}

/// The user namespace in which a daemon of this data directory has left
/// living instances or networks.
fn earlier_user_namespace(data_dir: &Path) -> Option<std::os::fd::OwnedFd> {
    let layout = Layout::new(data_dir);
    for holder in record::living_holders(&layout) {
        if let Ok(namespace) = fs::File::open(format!("/proc/{}/ns/user", holder.pid)) {
            return Some(namespace.into());
        }
    }
    for process in record::living_instances(&layout) {
        // An instance's first process lives in a child of the namespace we look for.
        let own = fs::File::open(format!("/proc/{}/ns/user", process.pid)).ok()?;
        if let Ok(parent) = sys::parent_user_namespace(own.as_fd()) {
            return Some(parent);
        }
    }
    None
}

/// Tries the essential steps of a make in a child process and says what failed.
fn try_in_child(make: Make, data_dir: &Path) -> Result<(), String> {
    if make == Make::Process {
        return Ok(());
    }
    if make == Make::Root && sys::effective_user() != 0 {
        return Err("not started as root".to_owned());
    }
    let layout = Layout::new(data_dir);
    layout.prepare().map_err(|err| err.sentence())?;
    let report = layout.data().join(format!("try-{}", std::process::id()));
    let outcome = match sys::fork_single_threaded() {
        Ok(Some(child)) => sys::wait_for(child).map_err(|err| err.to_string()),
        Ok(None) => {
            let code = match try_steps(make, &layout) {
                Ok(()) => 0,
                Err(err) => {
                    // The parent says "unknown" when this fails.
                    let _ = fs::write(&report, err.sentence());
                    1
                }
            };
            sys::exit_now(code)
        }
        Err(err) => Err(err.to_string()),
    };
    let text = fs::read_to_string(&report).unwrap_or_else(|_| "unknown".to_owned());
    let _ = fs::remove_file(&report);
    match outcome? {
        0 => Ok(()),
        _ => Err(text),
    }
}

fn try_steps(make: Make, layout: &Layout) -> Result<(), HostError> {
    enter_private_namespaces(make, layout.data())?;
    let base = layout.data().join(format!("try-overlay-{}", std::process::id()));
    let result = try_overlay(make, &base);
    // The mount belongs to the child's namespace; the directories do not.
    let _ = sys::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
    let _ = rustix::mount::unmount(base.join("merged"), rustix::mount::UnmountFlags::DETACH);
    let _ = crate::tree::remove(&base);
    result
}

fn try_overlay(make: Make, base: &Path) -> Result<(), HostError> {
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir_all(base.join(name)).context(|| format!("make a directory in {}", base.display()))?;
    }
    std::env::set_current_dir(base).context(|| format!("enter {}", base.display()))?;
    let extra = if make == Make::Rootless { ",userxattr" } else { "" };
    let options = format!("lowerdir=lower,upperdir=upper,workdir=work{extra}");
    let mount = |more: &str| sys::mount("overlay", "merged", "overlay", 0, &format!("{options}{more}"));
    // A volatile one is taken down without a sync of the whole file system
    // below it, which takes tens of milliseconds; kernels before 5.10 have none.
    mount(",volatile").or_else(|_| mount("")).context(|| "mount an overlay".to_owned())?;
    sys::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC)
        .context(|| "make network and process namespaces".to_owned())?;
    let _ = std::env::set_current_dir("/");
    Ok(())
}
