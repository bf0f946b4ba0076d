//! Copying and removing directory trees that are overlay layers: whiteouts,
//! opaque marks, owners, times and hard links are kept; device nodes,
//! sockets and what only the running instance means are not.

use crate::error::{Context, HostError};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Deepest directory nesting that is copied; deeper is refused, not followed.
const DEPTH_MAX: usize = 200;
/// Longest extended attribute: the kernel's limit.
const XATTR_BYTES_MAX: usize = 65_536;

/// Removes a tree, also directories that forbid it by their mode (overlayfs'
/// work directories do). A missing one is fine.
pub fn remove(path: &Path) -> Result<(), HostError> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path, 0);
            match fs::remove_dir_all(path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
                _ => Ok(()),
            }
        }
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
    .context(|| format!("remove {}", path.display()))
}

fn open_up(path: &Path, depth: usize) {
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if depth < DEPTH_MAX && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path(), depth + 1);
        }
    }
}

/// What to leave out of a copy, by path as the instance sees it, without the
/// leading slash.
pub type Exclude<'a> = &'a dyn Fn(&Path, FileType) -> bool;

/// A copy under way.
pub struct Copy<'a> {
    exclude: Exclude<'a>,
    links: BTreeMap<(u64, u64), PathBuf>,
    /// Bytes of file content copied so far.
    pub bytes: u64,
}

impl<'a> Copy<'a> {
    /// A copy that leaves out what `exclude` says.
    pub fn new(exclude: Exclude<'a>) -> Copy<'a> {
        Copy { exclude, links: BTreeMap::new(), bytes: 0 }
    }

    /// Copies the directory `from`, which the instance sees as `seen_as`, onto
    /// `to`, which may exist.
    pub fn directory(&mut self, from: &Path, to: &Path, seen_as: &Path) -> Result<(), HostError> {
        self.descend(from, to, seen_as, 0)
    }

    fn descend(&mut self, from: &Path, to: &Path, seen_as: &Path, depth: usize) -> Result<(), HostError> {
        if depth > DEPTH_MAX {
            return Err(HostError::Refused(format!("{} is nested too deeply", from.display())));
        }
        match fs::create_dir(to) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
                return Err(err).context(|| format!("make {}", to.display()));
            }
            _ => {}
        }
        let entries = fs::read_dir(from).context(|| format!("read {}", from.display()))?;
        for entry in entries {
            let entry = entry.context(|| format!("read {}", from.display()))?;
            self.entry(&entry.path(), &to.join(entry.file_name()), &seen_as.join(entry.file_name()), depth)?;
        }
        let metadata = fs::symlink_metadata(from).context(|| format!("examine {}", from.display()))?;
        copy_attributes(from, to, &metadata).context(|| format!("set attributes of {}", to.display()))
    }

    fn entry(&mut self, from: &Path, to: &Path, seen_as: &Path, depth: usize) -> Result<(), HostError> {
        let metadata = match fs::symlink_metadata(from) {
            // A live instance may remove files while it is copied.
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.context(|| format!("examine {}", from.display()))?,
        };
        let kind = FileType::from_raw_mode(metadata.mode());
        if (self.exclude)(seen_as, kind) {
            return Ok(());
        }
        match kind {
            FileType::Directory => self.descend(from, to, seen_as, depth + 1),
            FileType::RegularFile | FileType::Symlink => {
                self.file(from, to, &metadata, kind).context(|| format!("copy {} to {}", from.display(), to.display()))
            }
            FileType::CharacterDevice if metadata.rdev() == 0 => {
                replace(to).context(|| format!("replace {}", to.display()))?;
                rustix::fs::mknodat(CWD, to, FileType::CharacterDevice, Mode::empty(), 0)
                    .context(|| format!("make the whiteout {}", to.display()))
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, from: &Path, to: &Path, metadata: &fs::Metadata, kind: FileType) -> io::Result<()> {
        replace(to)?;
        if metadata.nlink() > 1 {
            let key = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&key) {
                return fs::hard_link(first, to);
            }
            self.links.insert(key, to.to_owned());
        }
        if kind == FileType::Symlink {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
        } else {
            self.bytes += fs::copy(from, to)?;
        }
        copy_attributes(from, to, metadata)
    }
}

/// Makes room for an entry of a higher layer that is not a directory.
fn replace(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
    }
}

/// Whether an extended attribute means something in a copy. Of overlayfs' own
/// only the opaque mark does; the others name inodes of the original.
fn keeps(name: &str) -> bool {
    let overlay = name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
    if overlay {
        return name.ends_with(".opaque");
    }
    name.starts_with("user.") || name == "security.capability" || name.starts_with("system.posix_acl")
}

fn copy_attributes(from: &Path, to: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    rustix::fs::chownat(CWD, to, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if !metadata.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        copy_extended(from, to)?;
    }
    let time = |secs: i64, nanos: i64| Timespec { tv_sec: secs, tv_nsec: nanos as _ };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn copy_extended(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0u8; XATTR_BYTES_MAX];
    let Ok(length) = rustix::fs::llistxattr(from, &mut names[..]) else { return Ok(()) };
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if !keeps(name) {
            continue;
        }
        let mut value = vec![0u8; XATTR_BYTES_MAX];
        let length = rustix::fs::lgetxattr(from, name, &mut value[..])?;
        rustix::fs::lsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// Marks a directory of a layer as hiding everything below it.
pub fn set_opaque(path: &Path, rootless: bool) -> io::Result<()> {
    let name = if rootless { "user.overlay.opaque" } else { "trusted.overlay.opaque" };
    Ok(rustix::fs::lsetxattr(path, name, b"y", XattrFlags::empty())?)
}

/// Makes a whiteout: an entry that hides the one below it.
pub fn whiteout(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)?)
}

/// Gives an entry to a user, without following a symbolic link.
pub fn give_to(path: &Path, id: u32) -> io::Result<()> {
    give(path, id, id)
}

/// Gives an entry to a user and a group, without following a symbolic link.
pub fn give(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    Ok(rustix::fs::chownat(CWD, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, modes, times, links and user attributes survive a copy onto an
    /// existing lower layer; what is excluded does not; both trees can be
    /// removed although a directory forbids it.
    #[test]
    fn copies_and_removes() {
        let base = std::env::temp_dir().join(format!("elastane-tree-{}", std::process::id()));
        let (from, to) = (base.join("from"), base.join("to"));
        fs::create_dir_all(from.join("dir/closed")).unwrap();
        fs::create_dir_all(to.join("dir/replaced")).unwrap();
        fs::write(to.join("dir/kept"), "kept").unwrap();
        fs::write(from.join("dir/replaced"), "now a file").unwrap();
        fs::write(from.join("dir/secret"), "stays").unwrap();
        fs::set_permissions(from.join("dir/replaced"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::hard_link(from.join("dir/replaced"), from.join("link")).unwrap();
        std::os::unix::fs::symlink("/nowhere", from.join("symbolic")).unwrap();
        fs::set_permissions(from.join("dir/closed"), fs::Permissions::from_mode(0o555)).unwrap();
        let mut copy = Copy::new(&|path, _| path == Path::new("dir/secret"));
        copy.directory(&from, &to, Path::new("")).unwrap();
        assert_eq!(copy.bytes, 10);
        assert_eq!(fs::read_to_string(to.join("dir/kept")).unwrap(), "kept");
        assert!(!to.join("dir/secret").exists());
        let of = |path: &str| {
            let (old, new) = (fs::symlink_metadata(from.join(path)), fs::symlink_metadata(to.join(path)));
            (old.unwrap(), new.unwrap())
        };
        for path in ["", "dir", "dir/closed", "dir/replaced", "link", "symbolic"] {
            let (old, new) = of(path);
            assert_eq!((old.mode(), old.mtime_nsec()), (new.mode(), new.mtime_nsec()), "{path}");
        }
        assert_eq!(of("link").1.ino(), of("dir/replaced").1.ino());
        assert_eq!(fs::read_link(to.join("symbolic")).unwrap(), Path::new("/nowhere"));
        fs::write(to.join("dir/other"), "").unwrap();
        remove(&base).unwrap();
        remove(&base).unwrap();
        assert!(!base.exists());
    }
}
