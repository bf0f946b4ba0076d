//! The mask: a layer between the host's directories and the images, hiding
//! what an instance must not see. The rule is general: whatever the host does
//! not let everybody read is hidden, wherever it is in the base directories;
//! so are logs, spools, state of cloud-init and the data directory. Files
//! that a system needs in their place (shadow, sudoers) are replaced.

use crate::error::{Context, HostError};
use crate::layout::{BASES, TOP};
use crate::make::SHIFT_COUNT;
use crate::tree;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Entries looked at below one base directory; beyond it the rest is hidden
/// unseen, directory by directory.
const ENTRIES_MAX: usize = 200_000;
/// Hidden with everything in it, if it is there.
const EMPTY: [&str; 22] = [
    "var/log",
    "var/lib/cloud",
    "var/spool",
    "var/tmp",
    "var/mail",
    "var/backups",
    "var/crash",
    "var/lib/private",
    "var/lib/docker",
    "var/lib/containerd",
    "var/lib/containers",
    "var/lib/kubelet",
    "var/lib/etcd",
    "var/lib/NetworkManager",
    "var/lib/systemd",
    "var/lib/sudo",
    "var/www",
    "etc/ssh",
    "etc/ssl/private",
    "etc/sudoers.d",
    "etc/cron.d",
    "etc/NetworkManager",
];
/// Directories that are kept in each of `DIRECTORIES_KEPT`.
const DIRECTORIES_KEPT_MAX: usize = 200;
/// Of those, the ones whose directories are kept, empty: services expect them.
const DIRECTORIES_KEPT: [&str; 3] = ["var/log", "var/spool", "var/www"];
/// Hidden single files that would name the host or act on it.
const GONE: [&str; 5] = ["etc/rc.local", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"];
/// Never walked in `usr`: the distribution's files; only the local part is the administrator's.
const USR_WALKED: &str = "local";

/// Symbolic links and empty directories of a root besides the base directories.
const SKELETON: [(&str, u32); 15] = [
    ("usr", 0o755),
    ("etc", 0o755),
    ("var", 0o755),
    ("opt", 0o755),
    ("srv", 0o755),
    ("root", 0o700),
    ("home", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("mnt", 0o755),
    ("media", 0o755),
    ("boot", 0o755),
];

/// Builds the mask in `target`: one directory per base and the skeleton of
/// the root. `owner` owns it on the host.
pub fn build(target: &Path, data_dir: &Path, owner: u32, rootless: bool) -> Result<(), HostError> {
    let mut mask = Mask { target: target.to_owned(), data_dir: data_dir.to_owned(), owner, rootless };
    mask.skeleton().context(|| "build the root's skeleton".to_owned())?;
    for base in BASES {
        let directory = target.join(base);
        fs::create_dir_all(&directory).context(|| format!("make {}", directory.display()))?;
        mask.own(&directory, 0o755).context(|| format!("set the mode of {}", directory.display()))?;
        let start = if base == "usr" { Path::new(base).join(USR_WALKED) } else { PathBuf::from(base) };
        let mut left = ENTRIES_MAX;
        mask.walk(&start, &mut left).context(|| format!("hide what is private in /{base}"))?;
    }
    mask.replacements().context(|| "replace files in the mask".to_owned())
}

struct Mask {
    target: PathBuf,
    data_dir: PathBuf,
    owner: u32,
    rootless: bool,
}

impl Mask {
    fn own(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        tree::give_to(path, self.owner)
    }

    fn skeleton(&self) -> io::Result<()> {
        let top = self.target.join(TOP);
        fs::create_dir_all(&top)?;
        self.own(&top, 0o755)?;
        for (name, mode) in SKELETON {
            fs::create_dir(top.join(name))?;
            self.own(&top.join(name), mode)?;
        }
        for entry in fs::read_dir("/")?.flatten() {
            let name = entry.file_name();
            let kind = entry.file_type()?;
            let binaries = matches!(name.to_str(), Some("bin" | "sbin"));
            let libraries = name.to_str().is_some_and(|n| n.starts_with("lib"));
            if (binaries || libraries) && kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, top.join(&name))?;
                tree::give_to(&top.join(&name), self.owner)?;
            } else if (binaries || libraries) && kind.is_dir() && name != "lost+found" {
                fs::create_dir(top.join(&name))?;
                self.own(&top.join(&name), 0o755)?;
            }
        }
        Ok(())
    }

    /// Walks a directory of the host, given without the leading slash, and
    /// hides entries that not everybody may read.
    fn walk(&self, directory: &Path, left: &mut usize) -> io::Result<()> {
        let host = Path::new("/").join(directory);
        let entries = match fs::read_dir(&host) {
            Ok(entries) => entries,
            Err(_) => return Ok(()),
        };
        for entry in entries.flatten() {
            let path = directory.join(entry.file_name());
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            *left = left.saturating_sub(1);
            let named = |list: &[&str]| list.iter().any(|name| Path::new(name) == path);
            if metadata.is_symlink() {
                if named(&GONE) {
                    self.hide_file(&path)?;
                }
            } else if metadata.is_dir() {
                let open = metadata.mode() & 0o005 == 0o005;
                let other_file_system = metadata.dev() != fs::symlink_metadata(&host)?.dev();
                let is_data = entry.path() == self.data_dir;
                if !open || named(&EMPTY) || *left == 0 || other_file_system || is_data {
                    self.hide_directory(&path)?;
                } else {
                    self.walk(&path, left)?;
                }
            } else if metadata.mode() & 0o004 == 0 || !metadata.is_file() || named(&GONE) {
                self.hide_file(&path)?;
            }
        }
        Ok(())
    }

    /// Gives an entry of the mask the mode and the owner of the host's entry.
    fn own_like(&self, path: &Path, host: &fs::Metadata) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(host.mode() & 0o7777))?;
        // An ordinary user's namespace has one user; otherwise ids are shifted.
        let id = |host: u32| self.owner + if self.rootless || host >= SHIFT_COUNT { 0 } else { host };
        tree::give(path, id(host.uid()), id(host.gid()))
    }

    /// Makes a directory of the mask like the host's.
    fn directory_like(&self, path: &Path) -> io::Result<PathBuf> {
        let made = self.target.join(path);
        fs::create_dir(&made)?;
        let host = fs::symlink_metadata(Path::new("/").join(path))?;
        self.own_like(&made, &host)?;
        Ok(made)
    }

    /// Makes the directories above an entry of the mask.
    fn parents(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if parent.as_os_str().is_empty() || self.target.join(parent).exists() {
            return Ok(());
        }
        self.parents(parent)?;
        self.directory_like(parent).map(drop)
    }

    fn hide_directory(&self, path: &Path) -> io::Result<()> {
        self.parents(path)?;
        tree::set_opaque(&self.directory_like(path)?, self.rootless)?;
        if DIRECTORIES_KEPT.iter().any(|name| Path::new(name) == path) {
            self.keep_directories(path, &mut { DIRECTORIES_KEPT_MAX })?;
        }
        Ok(())
    }

    /// Repeats the directories below a hidden one, without what is in them.
    fn keep_directories(&self, path: &Path, left: &mut usize) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(Path::new("/").join(path)) else { return Ok(()) };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if *left == 0 {
                return Ok(());
            }
            *left -= 1;
            let below = path.join(entry.file_name());
            self.directory_like(&below)?;
            self.keep_directories(&below, left)?;
        }
        Ok(())
    }

    fn hide_file(&self, path: &Path) -> io::Result<()> {
        self.parents(path)?;
        tree::whiteout(&self.target.join(path))
    }

    /// Puts minimal files where the host's own are hidden but programs need one.
    fn replacements(&mut self) -> io::Result<()> {
        let locked = |names: &str, rest: &str| {
            let of = |line: &str| line.split(':').next().map(|name| format!("{name}{rest}\n"));
            names.lines().filter_map(of).collect::<String>()
        };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        self.replace("etc/shadow", &locked(&read("/etc/passwd"), ":*:19000:0:99999:7:::"), 0o640)?;
        self.replace("etc/gshadow", &locked(&read("/etc/group"), ":*::"), 0o640)?;
        if Path::new("/etc/sudoers").exists() {
            self.replace("etc/sudoers", "root ALL=(ALL:ALL) ALL\n", 0o440)?;
        }
        Ok(())
    }

    fn replace(&self, path: &str, content: &str, mode: u32) -> io::Result<()> {
        let target = self.target.join(path);
        match fs::remove_file(&target) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        fs::write(&target, content)?;
        self.own(&target, mode)
    }
}
