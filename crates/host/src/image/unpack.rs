//! Unpacking the layers of a root file system into one directory. Archives
//! are not trusted: every path is resolved as if the directory were the root
//! of the system, by the kernel (`openat2`), so that no name and no symbolic
//! link leads out of it; devices are refused; number and size are limited.

use super::owners::Owners;
use crate::error::{Context, HostError};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Entries of one image: a large distribution has some hundred thousand.
pub const ENTRIES_MAX: u64 = 4_000_000;
/// Bytes of all files of one image, against archives that unpack without end.
pub const BYTES_MAX: u64 = 64 << 30;
/// Longest path within an image: the kernel's own limit.
const PATH_BYTES_MAX: usize = 4096;
/// Deepest nesting: deeper trees cannot be captured.
const DEPTH_MAX: usize = 200;
/// Longest extended attribute: the kernel's limit.
const XATTR_BYTES_MAX: usize = 65_536;
/// What marks a file as removed by a layer (OCI image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// What marks all that lower layers have in a directory as removed.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Archives carry extended attributes under this prefix (PAX, as GNU tar and OCI write them).
const XATTR_PREFIX: &str = "SCHILY.xattr.";

/// How much has been done, for who waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries unpacked.
    pub entries: u64,
    /// Bytes of file content unpacked.
    pub bytes: u64,
}

/// A root file system that is being unpacked.
pub struct Unpacker<'a> {
    root: OwnedFd,
    owners: Owners,
    tell: &'a dyn Fn(Progress),
    /// What is there so far.
    pub done: Progress,
    /// The newest parent directory, by its path in the archive.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Whether file names may be whiteouts: in layers, not in a plain archive.
    whiteouts: bool,
    /// What the running layer has made: its own whiteouts do not hide it.
    made: BTreeSet<PathBuf>,
}

impl<'a> Unpacker<'a> {
    /// Unpacks into an existing, empty directory.
    pub fn new(directory: &Path, owners: Owners, tell: &'a dyn Fn(Progress)) -> Result<Unpacker<'a>, HostError> {
        let root = rustix::fs::open(directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("open {}", directory.display()))?;
        let done = Progress::default();
        Ok(Unpacker { root, owners, tell, done, parent: None, whiteouts: false, made: BTreeSet::new() })
    }

    /// Applies one layer; `whiteouts` for those of OCI images.
    pub fn layer(&mut self, archive: impl Read, whiteouts: bool) -> Result<(), HostError> {
        self.whiteouts = whiteouts;
        self.made.clear();
        self.parent = None;
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().context(|| "read the archive".to_owned())?;
        for entry in entries {
            let mut entry = entry.context(|| "read the archive".to_owned())?;
            self.done.entries += 1;
            if self.done.entries > ENTRIES_MAX {
                return Err(HostError::Refused(format!("the image has more than {ENTRIES_MAX} entries")));
            }
            if self.done.entries.is_multiple_of(256) {
                (self.tell)(self.done);
            }
            let path = PathBuf::from(OsString::from_vec(entry.path_bytes().into_owned()));
            let unpacked = clean(&path).and_then(|inside| self.entry(&inside, &mut entry));
            unpacked.map_err(|err| match err {
                HostError::Refused(why) => HostError::Refused(format!("{}: {why}", path.display())),
                err => err,
            })?;
        }
        (self.tell)(self.done);
        Ok(())
    }

    fn entry(&mut self, path: &Path, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), HostError> {
        let kind = entry.header().entry_type();
        if matches!(kind, tar::EntryType::XGlobalHeader | tar::EntryType::GNULongName | tar::EntryType::GNULongLink) {
            return Ok(());
        }
        let Some(name) = path.file_name() else {
            // The root itself: its attributes count.
            return match kind {
                tar::EntryType::Directory => {
                    let root = self.root.try_clone().context(|| "use the root".to_owned())?;
                    self.attributes(&root, entry)
                }
                _ => Err(HostError::Refused("the root is not a directory".to_owned())),
            };
        };
        if path.starts_with("dev") && kind != tar::EntryType::Directory {
            // Instances get a /dev of their own.
            return Ok(());
        }
        if self.whiteouts && name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(path, name);
        }
        let (above, name) = (path.parent().unwrap_or(Path::new("")), name.to_owned());
        let parent = self.directory(above)?;
        let context = || format!("unpack {}", path.display());
        match kind {
            tar::EntryType::Directory => {
                let opened = self.make_directory(&parent, &name).context(context)?;
                self.attributes(&opened, entry)?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                self.make_room(&parent, &name)?;
                self.file(&parent, &name, entry)?;
            }
            tar::EntryType::Symlink => {
                self.make_room(&parent, &name)?;
                let target =
                    entry.link_name_bytes().ok_or_else(|| HostError::Refused("a link to nothing".to_owned()))?;
                let target = CString::new(target.into_owned()).map_err(|_| bad("a link's target holds a zero byte"))?;
                rustix::fs::symlinkat(&*target, &parent, &name).context(context)?;
                self.own(&parent, &name, entry)?;
            }
            tar::EntryType::Link => {
                let target =
                    entry.link_name_bytes().ok_or_else(|| HostError::Refused("a link to nothing".to_owned()))?;
                let target = clean(Path::new(OsStr::from_bytes(&target)))?;
                self.hard_link(&target, &parent, &name)?;
            }
            tar::EntryType::Fifo => {
                self.make_room(&parent, &name)?;
                rustix::fs::mknodat(&parent, &name, FileType::Fifo, Mode::from_raw_mode(0o600), 0).context(context)?;
                self.own(&parent, &name, entry)?;
            }
            tar::EntryType::Char | tar::EntryType::Block => {
                return Err(bad("device files are refused: an image must have none outside of /dev"));
            }
            other => return Err(HostError::Refused(format!("entries of kind {other:?} are not known"))),
        }
        if self.whiteouts {
            self.made.insert(path.to_owned());
        }
        Ok(())
    }

    /// Opens a path as a directory, seen from the root; what is missing is made.
    fn directory(&mut self, path: &Path) -> Result<OwnedFd, HostError> {
        if let Some((known, fd)) = &self.parent
            && known == path
        {
            return fd.try_clone().context(|| "use a directory".to_owned());
        }
        let fd = self.open_or_make(path)?;
        let kept = fd.try_clone().context(|| "use a directory".to_owned())?;
        self.parent = Some((path.to_owned(), kept));
        Ok(fd)
    }

    fn open_or_make(&self, path: &Path) -> Result<OwnedFd, HostError> {
        match self.open(path) {
            Err(Errno::NOENT) => {}
            other => return other.context(|| format!("open {} in the image", path.display())),
        }
        let (Some(name), Some(above)) = (path.file_name(), path.parent()) else {
            return Err(bad("the root is gone"));
        };
        let parent = self.open_or_make(above)?;
        let fd = self.make_directory(&parent, name).context(|| format!("make {} in the image", path.display()))?;
        self.owners.give(&fd, 0, 0)?;
        Ok(fd)
    }

    /// Opens a directory with all symbolic links taken as of the image's root.
    fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    fn make_directory(&self, parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
        let open = || {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::empty())
        };
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => return open(),
            Err(Errno::EXIST) => {}
            Err(err) => return Err(err),
        }
        match open() {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
                rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
                open()
            }
            other => other,
        }
    }

    /// Removes what an entry replaces.
    fn make_room(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), HostError> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                self.parent = None;
                remove_below(parent, name, Path::new(""), &BTreeSet::new(), 0)
            }
            Err(err) => Err(err).context(|| format!("replace {}", name.display())),
        }
    }

    fn file(&mut self, parent: &OwnedFd, name: &OsStr, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), HostError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let context = || format!("write {}", name.display());
        let made = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)).context(context)?;
        let mut file = File::from(made);
        let mut buffer = vec![0u8; 128 << 10];
        loop {
            let count = entry.read(&mut buffer).context(|| "read the archive".to_owned())?;
            if count == 0 {
                break;
            }
            self.done.bytes += count as u64;
            if self.done.bytes > BYTES_MAX {
                return Err(HostError::Refused(format!("the image holds more than {} GiB", BYTES_MAX >> 30)));
            }
            file.write_all(&buffer[..count]).context(context)?;
        }
        self.attributes(&OwnedFd::from(file), entry)
    }

    fn hard_link(&mut self, target: &Path, parent: &OwnedFd, name: &OsStr) -> Result<(), HostError> {
        let missing = || HostError::Refused(format!("a hard link to {}, which is not there", target.display()));
        let (Some(target_name), Some(above)) = (target.file_name(), target.parent()) else { return Err(missing()) };
        let from = self.open(above).map_err(|_| missing())?;
        self.make_room(parent, name)?;
        match rustix::fs::linkat(&from, target_name, parent, name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT) => Err(missing()),
            Err(err) => Err(err).context(|| format!("link {}", name.display())),
        }
    }

    /// Owner, mode, extended attributes and time of an open file or directory.
    fn attributes(&self, fd: &OwnedFd, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), HostError> {
        let header = entry.header();
        let context = || "set a file's attributes".to_owned();
        let (user, group) = owner_of(header)?;
        let (mode, time) = (header.mode().context(context)?, header.mtime().unwrap_or(0));
        self.owners.give(fd, user, group)?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777)).context(context)?;
        if let Ok(Some(extensions)) = entry.pax_extensions() {
            for extension in extensions.flatten() {
                let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(XATTR_PREFIX)) else { continue };
                let value = self.owners.attribute(name, extension.value_bytes());
                let Some(value) = value.filter(|value| value.len() <= XATTR_BYTES_MAX) else { continue };
                match rustix::fs::fsetxattr(fd, name, &value, XattrFlags::empty()) {
                    // A file system that has none loses them, as a copy to it would.
                    Ok(()) | Err(Errno::NOTSUP) => {}
                    Err(err) => return Err(err).context(|| format!("set the attribute {name}")),
                }
            }
        }
        rustix::fs::futimens(fd, &times(time)).context(context)
    }

    /// Owner and time of what cannot be opened.
    fn own(&self, parent: &OwnedFd, name: &OsStr, entry: &tar::Entry<'_, impl Read>) -> Result<(), HostError> {
        let context = || "set a file's attributes".to_owned();
        let (user, group) = owner_of(entry.header())?;
        let (user, group) = (self.owners.id(user)?, self.owners.id(group)?);
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        rustix::fs::chownat(parent, name, user, group, AtFlags::SYMLINK_NOFOLLOW).context(context)?;
        let time = times(entry.header().mtime().unwrap_or(0));
        rustix::fs::utimensat(parent, name, &time, AtFlags::SYMLINK_NOFOLLOW).context(context)
    }

    /// Removes what a layer says is gone, except for what it brings itself.
    fn whiteout(&mut self, path: &Path, name: &OsStr) -> Result<(), HostError> {
        self.parent = None;
        let above = path.parent().unwrap_or(Path::new(""));
        let parent = match self.open(above) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other.context(|| format!("open {} in the image", above.display()))?,
        };
        if name.as_bytes() == OPAQUE {
            for child in names(&parent).context(|| format!("read {}", above.display()))? {
                remove_below(&parent, &child, &above.join(&child), &self.made, 0)?;
            }
            return Ok(());
        }
        let hidden = OsStr::from_bytes(&name.as_bytes()[WHITEOUT.len()..]);
        if hidden.as_bytes().starts_with(WHITEOUT) || matches!(hidden.as_bytes(), b"" | b"." | b"..") {
            // Marks of a storage driver for itself.
            return Ok(());
        }
        remove_below(&parent, hidden, &above.join(hidden), &self.made, 0)
    }

    /// Makes sure that a path of the image is a directory of its own, not a link.
    pub fn ensure_directory(&mut self, path: &str, mode: u32) -> Result<(), HostError> {
        self.parent = None;
        let path = Path::new(path);
        let above = self.open_or_make(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default();
        let context = || format!("make {} in the image", path.display());
        let made = match rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => FileType::from_raw_mode(found.st_mode) != FileType::Directory,
            Err(_) => true,
        };
        let fd = self.make_directory(&above, name).context(context)?;
        if made {
            self.owners.give(&fd, 0, 0)?;
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).context(context)?;
        }
        Ok(())
    }

    /// The first bytes of a file of the image; `None` when it is not there.
    pub fn peek(&self, path: &str, bytes: &mut [u8]) -> Option<usize> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve).ok()?;
        rustix::io::read(&fd, bytes).ok()
    }
}

fn bad(why: &str) -> HostError {
    HostError::Refused(why.to_owned())
}

/// A path of an archive as one below the root.
fn clean(path: &Path) -> Result<PathBuf, HostError> {
    if path.as_os_str().len() > PATH_BYTES_MAX || path.as_os_str().as_bytes().contains(&0) {
        return Err(bad("the path is too long or holds a zero byte"));
    }
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(bad("the path leads out of the image")),
        }
    }
    if inside.components().count() > DEPTH_MAX {
        return Err(HostError::Refused(format!("the path is nested more than {DEPTH_MAX} deep")));
    }
    Ok(inside)
}

fn owner_of(header: &tar::Header) -> Result<(u64, u64), HostError> {
    let context = || "read an entry's owner".to_owned();
    Ok((header.uid().context(context)?, header.gid().context(context)?))
}

fn times(seconds: u64) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn names(directory: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let fd = rustix::fs::openat(directory, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    let mut found = Vec::new();
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            found.push(OsString::from_vec(name));
        }
    }
    Ok(found)
}

/// Removes an entry with everything below it, except for paths in `keep` and
/// the directories that lead to them. A missing one is fine.
fn remove_below(
    parent: &OwnedFd,
    name: &OsStr,
    path: &Path,
    keep: &BTreeSet<PathBuf>,
    depth: usize,
) -> Result<(), HostError> {
    let context = || format!("remove {}", name.display());
    if depth > DEPTH_MAX {
        return Err(bad("nested too deeply"));
    }
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.context(context)?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return match keep.contains(path) {
            true => Ok(()),
            false => rustix::fs::unlinkat(parent, name, AtFlags::empty()).context(context),
        };
    }
    // A directory that its mode closes to an ordinary user's own process.
    let _ = rustix::fs::chmodat(parent, name, Mode::from_raw_mode(stat.st_mode | 0o700), AtFlags::empty());
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(parent, name, flags, Mode::empty()).context(context)?;
    for child in names(&fd).context(context)? {
        remove_below(&fd, &child, &path.join(&child), keep, depth + 1)?;
    }
    if keep.contains(path) {
        return rustix::fs::fchmod(&fd, Mode::from_raw_mode(stat.st_mode & 0o7777)).context(context);
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOTEMPTY) => Ok(()),
        Err(err) => Err(err).context(context),
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
