//! The system calls that neither the standard library nor rustix wraps, each
//! behind a safe function. Nothing here knows about instances.
#![allow(unsafe_code)]

use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Inherited descriptors are first moved here, out of the way of their final numbers.
const PARKED_FD_MIN: RawFd = 200;
/// A child gets at most this many descriptors.
const CHILD_FDS_MAX: usize = 8;

/// Turns a C return value into a result.
fn check(value: i64) -> io::Result<i64> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// A path as a C string; fails on an embedded NUL.
pub fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// A process to start by [`spawn`].
pub struct Spawn<'a> {
    /// Namespaces to create: `CLONE_NEW*`.
    pub namespaces: u64,
    /// The arguments, the program's name first. The program is this executable.
    pub argv: &'a [CString],
    /// The environment as `NAME=value`.
    pub environment: &'a [CString],
    /// Descriptors for the child's 0, 1, 2, ...
    pub fds: &'a [RawFd],
    /// Which of the child's descriptors to read one byte from before
    /// anything else happens. End of file there ends the child.
    pub gate: RawFd,
}

/// Starts this executable again as a child in new namespaces and its own
/// session. The child waits for one byte at its gate; only then it is
/// executed. Returns its process id and a pidfd.
///
/// Safe in a program with threads: between `clone3` and `execve` the child
/// makes async-signal-safe system calls on data prepared before.
pub fn spawn(request: &Spawn<'_>) -> io::Result<(i32, OwnedFd)> {
    assert!(request.fds.len() <= CHILD_FDS_MAX, "more descriptors than a child may have");
    let mut argv: Vec<*const libc::c_char> = request.argv.iter().map(|a| a.as_ptr()).collect();
    argv.push(std::ptr::null());
    let mut environment: Vec<*const libc::c_char> = request.environment.iter().map(|e| e.as_ptr()).collect();
    environment.push(std::ptr::null());
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data for which zero is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = request.namespaces | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM this is a fork; `args` lives through the call
    // and its size is passed with it.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid == 0 {
        // SAFETY: we are the only thread of the child; the pointers were
        // prepared by the parent and are part of the copied memory.
        unsafe { become_child(request.fds, request.gate, argv.as_ptr(), environment.as_ptr()) }
    }
    let pid = check(pid)? as i32;
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// The child's side of [`spawn`]. Allocates nothing and takes no lock.
///
/// # Safety
/// Must run in a freshly forked child; `argv` and `environment` must be
/// NULL-terminated arrays of C strings.
unsafe fn become_child(
    fds: &[RawFd],
    gate: RawFd,
    argv: *const *const libc::c_char,
    environment: *const *const libc::c_char,
) -> ! {
    // SAFETY: only async-signal-safe calls on descriptors and local memory.
    unsafe {
        libc::setsid();
        let mut parked = [-1; CHILD_FDS_MAX];
        for (slot, fd) in parked.iter_mut().zip(fds) {
            *slot = libc::fcntl(*fd, libc::F_DUPFD, PARKED_FD_MIN);
        }
        for (target, fd) in parked.iter().take(fds.len()).enumerate() {
            if libc::dup2(*fd, target as RawFd) < 0 {
                libc::_exit(126);
            }
        }
        libc::syscall(libc::SYS_close_range, fds.len() as libc::c_uint, libc::c_uint::MAX, 0);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        let mut byte = 0u8;
        if libc::read(gate, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(125);
        }
        libc::execve(c"/proc/self/exe".as_ptr(), argv, environment);
        libc::_exit(127)
    }
}

/// `fork` for a program that has one thread. `None` in the child.
pub fn fork_single_threaded() -> io::Result<Option<i32>> {
    // SAFETY: the caller promises by the name that no other thread exists, so
    // the child may run any code.
    let pid = check(i64::from(unsafe { libc::fork() }))? as i32;
    Ok((pid != 0).then_some(pid))
}

/// Ends the process without running destructors or exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// `unshare`.
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: affects namespaces only; CLONE_FILES and CLONE_VM are not used here.
    check(i64::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// `setns` for the calling thread.
pub fn setns(namespace: BorrowedFd<'_>, kind: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for the duration of the call.
    check(i64::from(unsafe { libc::setns(namespace.as_raw_fd(), kind) })).map(drop)
}

/// The user namespace that owns the namespace `fd` (or is its parent, when
/// `fd` is a user namespace itself).
pub fn parent_user_namespace(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `NS_GET_USERNS` of linux/nsfs.h; on a user namespace it yields the parent.
    const NS_GET_PARENT: libc::c_ulong = 0xb702;
    // SAFETY: the request takes no argument and returns a new descriptor.
    let got = check(i64::from(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_PARENT as _) }))?;
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(got as RawFd) })
}

/// `mount(2)`; an empty `source`, `kind` or `data` is passed as NULL.
pub fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let text = |s: &str| CString::new(s).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let (source, target, kind, data) = (text(source)?, text(target)?, text(kind)?, text(data)?);
    let pointer = |s: &CStr| if s.is_empty() { std::ptr::null() } else { s.as_ptr() };
    // SAFETY: all pointers are NULL or NUL-terminated strings that live through the call.
    check(i64::from(unsafe {
        libc::mount(pointer(&source), target.as_ptr(), pointer(&kind), flags, pointer(&data).cast())
    }))
    .map(drop)
}

/// Makes the current directory the root and detaches the old one.
pub fn pivot_to_current() -> io::Result<()> {
    // SAFETY: the arguments are constant strings.
    unsafe {
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        check(i64::from(libc::umount2(c".".as_ptr(), libc::MNT_DETACH)))?;
        check(i64::from(libc::chdir(c"/".as_ptr())))?;
    }
    Ok(())
}

/// Mounts a copy of `source` at `target` on which file owners are shifted by
/// the mapping of the user namespace `mapping`.
pub fn mount_id_mapped(source: &Path, target: &Path, mapping: BorrowedFd<'_>) -> io::Result<()> {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
    let (source, target) = (c_path(source)?, c_path(target)?);
    // SAFETY: the paths are NUL-terminated and the descriptor that the kernel
    // returns is owned by nobody else.
    let tree = unsafe {
        let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint;
        let fd = check(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, source.as_ptr(), flags))?;
        OwnedFd::from_raw_fd(fd as RawFd)
    };
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: mapping.as_raw_fd() as u64,
    };
    // SAFETY: the attributes live through the call and their size is passed with them.
    unsafe {
        check(libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        ))?;
        check(libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        ))?;
    }
    Ok(())
}

/// A pidfd for a process that may not be our child.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: returns a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Sends a signal to the process behind a pidfd.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open; no siginfo is passed.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::c_void>(), 0)
    })
    .map(drop)
}

/// Collects the exit status of a child, so that it is no zombie. Does nothing
/// for a process that is not our child or has not ended.
pub fn reap(pid: i32) {
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
}

/// Waits for a child and returns its raw status.
pub fn wait_for(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` lives through the call.
        match check(i64::from(unsafe { libc::waitpid(pid, &raw mut status, 0) })) {
            Ok(_) => return Ok(status),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

/// The next child that ended, as (process id, raw status).
pub fn next_ended_child() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// `kill`; a process group for a negative id.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill has no memory arguments.
    check(i64::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Blocks `signals` and returns a descriptor that becomes readable with them.
pub fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use, and the
    // returned descriptor is owned by nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        let fd = check(i64::from(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Takes ownership of a descriptor that this process was started with.
pub fn inherited(fd: RawFd) -> OwnedFd {
    // SAFETY: `spawn` put a descriptor at this number for exactly this taker,
    // and each number is taken once.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        OwnedFd::from_raw_fd(fd)
    }
}

/// `prctl` with one argument.
pub fn prctl(option: i32, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: only options with integer arguments are used by this crate.
    check(i64::from(unsafe { libc::prctl(option, argument, 0, 0, 0) })).map(drop)
}

/// Sets host name of the calling process's UTS namespace.
pub fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe one string.
    check(i64::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })).map(drop)
}

/// Becomes user and group 0 of the current user namespace, without further groups.
pub fn become_root() -> io::Result<()> {
    // SAFETY: no memory arguments except an empty group list. setgroups is
    // refused in a namespace made by an ordinary user; it has no groups then.
    unsafe {
        libc::setgroups(0, std::ptr::null());
        check(i64::from(libc::setresgid(0, 0, 0)))?;
        check(i64::from(libc::setresuid(0, 0, 0)))?;
    }
    Ok(())
}

/// Drops every capability that is not a bit of `keep`, from the bounding set too.
pub fn keep_capabilities(keep: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    for capability in 0..64 {
        if keep & (1 << capability) == 0 {
            // Numbers beyond the kernel's last capability are refused: no loss.
            let _ = prctl(libc::PR_CAPBSET_DROP, capability);
        }
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let half = |bits: u32| Data { effective: bits, permitted: bits, inheritable: 0 };
    let data = [half(keep as u32), half((keep >> 32) as u32)];
    // SAFETY: header and the two data blocks have the layout of version 3.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// Effective user id.
pub fn effective_user() -> u32 {
    // SAFETY: has no preconditions.
    unsafe { libc::geteuid() }
}

/// Effective group id.
pub fn effective_group() -> u32 {
    // SAFETY: has no preconditions.
    unsafe { libc::getegid() }
}

/// Interface index by name in the calling thread's network namespace.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the name is a NUL-terminated string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Clock ticks per second of /proc/<pid>/stat.
pub fn ticks_per_second() -> u64 {
    // SAFETY: has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

/// Readiness of a pidfd on the current event loop.
pub fn readiness(pidfd: std::sync::Arc<OwnedFd>) -> io::Result<tokio::io::unix::AsyncFd<std::sync::Arc<OwnedFd>>> {
    // SAFETY: the descriptor stays open and the same while the shared owner
    // lives, and the registration holds it.
    unsafe { tokio::io::unix::AsyncFd::register(pidfd) }.map_err(io::Error::from)
}

/// Lets a socket be bound to an address alone: the kernel chooses the port
/// when it connects, and then one that is free towards that peer.
pub fn bind_address_no_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_number(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Lets a socket be bound to addresses of others. Needs `CAP_NET_ADMIN` over its network.
pub fn set_transparent(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_number(socket, libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1)
}

/// Gives a socket's packets a mark for routing and filtering. Needs
/// `CAP_NET_ADMIN` over its network.
pub fn set_mark(socket: BorrowedFd<'_>, mark: u32) -> io::Result<()> {
    set_number(socket, libc::SOL_SOCKET, libc::SO_MARK, mark as libc::c_int)
}

fn set_number(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, number: libc::c_int) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value lives through the call and its size is passed with it.
    check(i64::from(unsafe {
        let value = (&raw const number).cast();
        libc::setsockopt(socket.as_raw_fd(), level, option, value, size)
    }))
    .map(drop)
}

/// Limits this process and those that it starts.
pub fn limit(resource: Resource, value: u64) -> io::Result<()> {
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).map_err(io::Error::from)
}

/// Limits what `command` will run, and what that starts.
pub fn limit_child(command: &mut Command, resource: Resource, value: u64) {
    // SAFETY: between fork and exec it makes one system call, allocates
    // nothing and takes no lock.
    unsafe { command.pre_exec(move || limit(resource, value)) };
}

/// Lets `command` have every signal in its default state, whatever this
/// process blocks and whoever started the daemon ignores: children inherit both.
pub fn default_signals(command: &mut Command) {
    /// The last of the signals that are not real-time ones.
    const LAST: libc::c_int = 31;
    let reset = || {
        for signal in 1..=LAST {
            // SAFETY: a default disposition runs no code. Two signals have no other and refuse it.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // SAFETY: the set is initialised before it is used.
        unsafe {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls on local memory,
    // allocates nothing and takes no lock.
    unsafe { command.pre_exec(reset) };
}

/// Lets `command` begin a session whose terminal is its standard input. It
/// must not be made the leader of a process group.
pub fn take_terminal(command: &mut Command) {
    let take = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls, allocates
    // nothing and takes no lock.
    unsafe { command.pre_exec(take) };
}

/// Lets `command` run as another user, with exactly these further groups. It
/// stays in the session and directory that it is started in.
pub fn become_user(command: &mut Command, user: u32, group: u32, groups: Vec<u32>) {
    // SAFETY: between fork and exec it makes three system calls on data that
    // was prepared before, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            check(i64::from(libc::setgroups(groups.len(), groups.as_ptr())))?;
            check(i64::from(libc::setresgid(group, group, group)))?;
            check(i64::from(libc::setresuid(user, user, user)))?;
            Ok(())
        })
    };
}

/// Closes every descriptor but the standard ones and `kept`, which gets
/// another number. For a fresh child that has forgotten all others.
pub fn keep_only(kept: impl Into<OwnedFd>) -> io::Result<OwnedFd> {
    /// The first after the standard ones.
    const KEPT_FD: RawFd = 3;
    let kept: OwnedFd = kept.into();
    let number = std::os::fd::IntoRawFd::into_raw_fd(kept);
    // SAFETY: the child's copies of its parent's descriptors are used by
    // nobody any more, and number 3 is owned by nobody else afterwards.
    unsafe {
        if number != KEPT_FD {
            check(i64::from(libc::dup2(number, KEPT_FD)))?;
        }
        libc::fcntl(KEPT_FD, libc::F_SETFD, libc::FD_CLOEXEC);
        check(libc::syscall(libc::SYS_close_range, KEPT_FD + 1, libc::c_uint::MAX, 0))?;
        Ok(OwnedFd::from_raw_fd(KEPT_FD))
    }
}
