//! The unix socket at which a process of the data plane is found: a name in
//! the data directory, for its owner alone. Processes that share the work have
//! one each, by their places.

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// A socket's name in the data directory: `proxy.sock`, `proxy-2.sock` and so on.
pub fn socket_file(index: usize) -> String {
    if index == 0 { "proxy.sock".to_owned() } else { format!("proxy-{}.sock", index + 1) }
}

/// A socket's address holds 107 bytes and a data directory's path may be
/// longer, so it is named by a descriptor of the directory.
fn address(folder: &fs::File, name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?)
}

fn open(folder: &Path) -> io::Result<fs::File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::File::from(rustix::fs::open(folder, flags, Mode::empty())?))
}

/// Connects to the process at this place, from zero, that serves this data directory.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` when there is none.
pub fn dial(folder: &Path, index: usize) -> io::Result<UnixStream> {
    let folder = open(folder)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &address(&folder, &socket_file(index))?)?;
    Ok(UnixStream::from(socket))
}

/// The socket of a process that serves a data directory.
pub(super) struct Post {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Post {
    /// Takes the place, from a predecessor too: whoever connects from now on comes here.
    pub(super) fn take(folder: &Path, index: usize) -> io::Result<Post> {
        let own = socket_file(index);
        let name = format!("{own}.{}", std::process::id());
        let (path, temporary) = (folder.join(own), folder.join(&name));
        let handle = open(folder)?;
        let _ = fs::remove_file(&temporary);
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &address(&handle, &name)?)?;
        // Between these two lines nobody can connect: it does not listen yet.
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
        listen(&socket, BACKLOG)?;
        fs::rename(&temporary, &path)?;
        let inode = fs::metadata(&path)?.ino();
        Ok(Post { listener: UnixListener::from(socket), path, inode })
    }

    /// Whether it is still this process that is found there.
    pub(super) fn is_held(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }

    /// Gives the place up.
    pub(super) fn leave(&self) {
        if self.is_held() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the other end belongs to the user that we are.
pub(super) fn is_own(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// The process at the other end: for a stream that was dialled, the one that listens there.
pub fn peer(stream: &UnixStream) -> Option<rustix::process::Pid> {
    rustix::net::sockopt::socket_peercred(stream).ok().map(|peer| peer.pid)
}
